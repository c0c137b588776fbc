//! The only door to the operating system's random source.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// Where random bytes come from: the operating system, or a seed that a test chose.
#[derive(Clone, Debug, Default)]
pub enum Random {
    /// The operating system's source.
    #[default]
    System,
    /// The same bytes for the same seed, for tests. Never for anything that guards something.
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// A source that a test can repeat.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Fills `bytes`.
    ///
    /// If the operating system has no randomness to give, the process ends: every secret made from here on would be a guess away.
    pub fn fill(&self, bytes: &mut [u8]) {
        match self {
            Self::System => {
                if SysRng.try_fill_bytes(bytes).is_err() {
                    std::process::abort();
                }
            }
            Self::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes),
        }
    }

    /// That many random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random 128-bit number, as identifiers are made of. Of the system's source it is stretched in each thread, without asking it each
    /// time: every request has two identifiers. Nothing that guards something is made of it.
    #[must_use]
    pub fn number(&self) -> u128 {
        match self {
            Self::System => {
                let mut bytes = [0; 16];
                #[expect(clippy::disallowed_methods, reason = "this is the one door to it")]
                rand::rng().fill_bytes(&mut bytes);
                u128::from_be_bytes(bytes)
            }
            Self::Seeded(_) => u128::from_be_bytes(self.bytes()),
        }
    }

    /// True with a probability of `share`, which is cut to between 0 and 1. For samples, not for secrets.
    #[must_use]
    pub fn chance(&self, share: f64) -> bool {
        if share >= 1.0 || share <= 0.0 {
            return share >= 1.0;
        }
        // A draw of 64 bits as a share of all that there are; a float's precision is enough for a sample.
        #[expect(clippy::cast_precision_loss, reason = "a share of all draws, near enough")]
        let drawn = (self.number() as u64) as f64 / u64::MAX as f64;
        drawn < share
    }

    /// A random number below `bound`, each as likely as the other; 0 if `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        let fair = u32::MAX - u32::MAX % bound;
        loop {
            let drawn = u32::from_be_bytes(self.bytes());
            if drawn < fair {
                return drawn % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        assert_eq!(Random::seeded(7).bytes::<16>(), Random::seeded(7).bytes::<16>());
        assert_ne!(Random::System.bytes::<16>(), Random::System.bytes::<16>());
    }

    #[test]
    fn identifiers_differ_and_chances_are_kept() {
        let random = Random::System;
        assert_ne!(random.number(), random.number());
        let taken = (0..10_000).filter(|_| random.chance(0.25)).count();
        assert!((1_000..4_000).contains(&taken), "{taken} of 10,000");
        assert!(random.chance(1.0) && random.chance(7.0));
        assert!(!random.chance(0.0) && !random.chance(-1.0));
    }

    #[test]
    fn a_bounded_number_stays_below_its_bound_and_reaches_every_value() {
        let random = Random::seeded(1);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[random.below(10) as usize] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }
}
