//! How fast one may guess.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;

/// How many wrong tries, and how long the wait is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimit {
    /// Tries that are let through before the lock.
    pub attempts: u32,
    /// Length of the lock, and of the window that tries are counted in.
    pub lock_for: Duration,
}

/// Tries that were counted under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// When counting began.
    pub since: Timestamp,
    /// How many since then.
    pub count: u32,
    /// Locked until then.
    pub locked_until: Option<Timestamp>,
}

impl Attempts {
    /// Nothing counted yet.
    #[must_use]
    pub const fn none(now: Timestamp) -> Self {
        Self {
            since: now,
            count: 0,
            locked_until: None,
        }
    }

    /// Counts one more try. A window that has passed starts anew; a try during a lock neither counts nor lengthens it,
    /// so that nobody can keep a name locked by hammering on it.
    #[must_use]
    pub fn and_one(self, limit: AttemptLimit, now: Timestamp) -> Self {
        if self.is_locked(now) {
            return self;
        }
        let fresh = self.locked_until.is_some() || now >= self.since.after(limit.lock_for) || self.since.is_out_of_time(now);
        let (since, before) = if fresh { (now, 0) } else { (self.since, self.count) };
        let count = before.saturating_add(1);
        let locked_until = (count > limit.attempts).then(|| now.after(limit.lock_for));
        Self {
            since,
            count,
            locked_until,
        }
    }

    /// Whether a try now is refused unseen. A lock from a time that has not come yet is none: the clock was set back, and would keep people
    /// out for as long as it was wrong.
    #[must_use]
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.locked_until.is_some_and(|until| now < until) && !self.since.is_out_of_time(now)
    }
}

/// The network that guesses are counted for: the /24 of an IPv4 address, the /56 of an IPv6 one.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & 0xffff_ff00).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 72)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: AttemptLimit = AttemptLimit {
        attempts: 3,
        lock_for: Duration::from_secs(60),
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn the_try_after_the_last_allowed_one_is_locked_out() {
        let mut tries = Attempts::none(at(0));
        for _ in 0..3 {
            tries = tries.and_one(LIMIT, at(1));
            assert!(!tries.is_locked(at(1)));
        }
        tries = tries.and_one(LIMIT, at(2));
        assert!(tries.is_locked(at(61)));
        assert_eq!(tries.and_one(LIMIT, at(30)), tries, "hammering does not lengthen the lock");
        assert!(!tries.is_locked(at(62)));
        assert_eq!(tries.and_one(LIMIT, at(62)).count, 1, "after the lock counting starts anew");
    }

    #[test]
    fn a_window_that_passed_is_forgotten() {
        let tries = Attempts::none(at(0)).and_one(LIMIT, at(0)).and_one(LIMIT, at(59));
        assert_eq!(tries.count, 2);
        assert_eq!(tries.and_one(LIMIT, at(60)).count, 1);
    }

    #[test]
    fn a_lock_does_not_outlast_a_clock_that_is_set_back() {
        let mut tries = Attempts::none(at(100_000));
        for _ in 0..4 {
            tries = tries.and_one(LIMIT, at(100_000));
        }
        assert!(tries.is_locked(at(100_000 - 300)), "a correction");
        assert!(!tries.is_locked(at(100_000 - 301)));
        let again = tries.and_one(LIMIT, at(1));
        assert_eq!((again.since, again.count, again.locked_until), (at(1), 1, None));
    }

    #[test]
    fn networks_are_24_and_56_bits_wide() {
        assert_eq!(network_of("192.0.2.77".parse().unwrap()), "192.0.2.0".parse::<IpAddr>().unwrap());
        assert_eq!(
            network_of("2001:db8:1:2ff::7".parse().unwrap()),
            "2001:db8:1:200::".parse::<IpAddr>().unwrap()
        );
    }
}
