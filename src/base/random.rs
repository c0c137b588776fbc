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

    /// A random 128-bit number, as identifiers are made of.
    #[must_use]
    pub fn number(&self) -> u128 {
        u128::from_be_bytes(self.bytes())
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
