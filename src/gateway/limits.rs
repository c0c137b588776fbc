//! The rate limits that a decision names, spent here: limits have memory, decisions have none.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::model::name::LimitName;
use crate::model::principal::Principal;
use crate::policy::decision::Decision;
use crate::policy::definitions::{Limit, LimitKey};

/// Keys of one limit that are remembered one by one. With more of them at a time, all share [`SHARED`] buckets, so that strangers with many
/// addresses cost neither memory without bound nor a limit its effect.
const MOST_KEYS: usize = 100_000;
/// Buckets that keys share while there are too many.
const SHARED: u64 = 4096;
/// Every so many requests it is looked how many keys there are, and those whose buckets are full again are forgotten.
const LOOK_EVERY: u64 = 4096;

struct Bucket {
    count: u32,
    per: Duration,
    burst: u32,
    limiter: DefaultKeyedRateLimiter<u64>,
    shared: DefaultKeyedRateLimiter<u64>,
    asked: AtomicU64,
    crowded: AtomicBool,
}

/// The buckets of all limits. A limit that policy changes begins full; one that stays as it was keeps its memory over a reload.
///
/// Time is monotonic here: setting the wall clock neither fills a bucket nor empties it.
#[derive(Default)]
pub struct Buckets {
    buckets: ArcSwap<HashMap<LimitName, Arc<Bucket>>>,
    /// Makes digests of keys that nobody outside can foresee.
    digests: RandomState,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").field("limits", &self.buckets.load().len()).finish()
    }
}

impl Buckets {
    /// No bucket yet; they are made as decisions name them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spends one of each limit that the decision names.
    ///
    /// # Errors
    /// How long to wait, if one of them is used up. Those before it have been spent: who floods one limit does not save another.
    pub fn spend(&self, decision: &Decision<'_>, principal: &Principal, client_ip: Option<IpAddr>) -> Result<(), Duration> {
        for limit in &decision.limits {
            self.bucket(limit).spend(self.key_of(limit, decision, principal, client_ip))?;
        }
        Ok(())
    }

    /// Forgets the limits that policy no longer names.
    pub fn keep(&self, named: &[Limit]) {
        let known = self.buckets.load();
        if known.keys().all(|name| named.iter().any(|limit| limit.name == *name)) {
            return;
        }
        self.buckets.rcu(|known| {
            let mut next = HashMap::clone(known);
            next.retain(|name, _| named.iter().any(|limit| limit.name == *name));
            next
        });
    }

    fn bucket(&self, limit: &Limit) -> Arc<Bucket> {
        let known = self.buckets.load();
        let same = |bucket: &Bucket| bucket.count == limit.count && bucket.per == limit.per && bucket.burst == limit.burst;
        if let Some(bucket) = known.get(&limit.name).filter(|bucket| same(bucket)) {
            return Arc::clone(bucket);
        }
        let new = Arc::new(Bucket::of(limit.count, limit.per, limit.burst));
        self.buckets.rcu(|known| {
            let mut next = HashMap::clone(known);
            // Somebody else may have made it in the meantime: one of the two is kept, and both spend from it.
            if !next.get(&limit.name).is_some_and(|bucket| same(bucket)) {
                next.insert(limit.name.clone(), Arc::clone(&new));
            }
            next
        });
        self.buckets.load().get(&limit.name).map_or(new, Arc::clone)
    }

    /// Whose bucket: a digest, since buckets are many and keys are long. A key that is missing falls back to the address.
    fn key_of(&self, limit: &Limit, decision: &Decision<'_>, principal: &Principal, client_ip: Option<IpAddr>) -> u64 {
        let mut hasher = self.digests.build_hasher();
        let address = client_ip.map(counted_address);
        match (limit.key, principal) {
            (LimitKey::User, Principal::User(identity)) => ("user", identity.user).hash(&mut hasher),
            (LimitKey::Session, Principal::User(identity)) => ("session", identity.session).hash(&mut hasher),
            (LimitKey::User | LimitKey::Service, Principal::Service(service)) => ("service", &service.name).hash(&mut hasher),
            (LimitKey::Session, Principal::Service(service)) => ("credential", service.credential).hash(&mut hasher),
            (LimitKey::Team, _) => match decision.held.as_ref().map(|held| held.teams()) {
                Some([team]) => ("team", team).hash(&mut hasher),
                _ => ("ip", address).hash(&mut hasher),
            },
            _ => ("ip", address).hash(&mut hasher),
        }
        hasher.finish()
    }
}

/// An IPv6 client is counted by its network of 64 bits, since it has all of that to choose its addresses from.
fn counted_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
    }
}

impl Bucket {
    fn of(count: u32, per: Duration, burst: u32) -> Self {
        let one = NonZeroU32::MIN;
        let every = per / NonZeroU32::new(count).unwrap_or(one).get();
        // A period of zero would be no limit at all; policy does not let one through, and the shortest there is stands in.
        let quota = Quota::with_period(every)
            .or_else(|| Quota::with_period(Duration::from_nanos(1)))
            .unwrap_or_else(|| Quota::per_second(one))
            .allow_burst(NonZeroU32::new(burst).unwrap_or(one));
        Self {
            count,
            per,
            burst,
            limiter: RateLimiter::keyed(quota),
            shared: RateLimiter::keyed(quota),
            asked: AtomicU64::new(0),
            crowded: AtomicBool::new(false),
        }
    }

    /// Spends one of a key's.
    fn spend(&self, key: u64) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % LOOK_EVERY == LOOK_EVERY - 1 {
            self.look();
        }
        let checked = if self.crowded.load(Ordering::Relaxed) {
            self.shared.check_key(&(key % SHARED))
        } else {
            self.limiter.check_key(&key)
        };
        checked.map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    /// Forgets keys whose buckets are full again, and sees whether there are too many others.
    fn look(&self) {
        self.limiter.retain_recent();
        let keys = self.limiter.len();
        let crowded = self.crowded.load(Ordering::Relaxed);
        if !crowded && keys >= MOST_KEYS {
            self.crowded.store(true, Ordering::Relaxed);
            tracing::warn!(
                keys,
                "a rate limit is asked for more keys than it remembers: they share buckets for now"
            );
        } else if crowded && keys < MOST_KEYS / 2 {
            self.crowded.store(false, Ordering::Relaxed);
            self.shared.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_burst_is_spent_and_the_wait_is_until_one_is_there_again() {
        let bucket = Bucket::of(60, HOUR, 3);
        for _ in 0..3 {
            assert_eq!(bucket.spend(7), Ok(()));
        }
        let wait = bucket.spend(7).unwrap_err();
        let minute = Duration::from_secs(60);
        assert!(wait <= minute && wait > minute - Duration::from_secs(5), "{wait:?}");
        assert!(bucket.spend(7).unwrap_err() <= wait, "asking again does not lengthen it");
        assert_eq!(bucket.spend(8), Ok(()), "another key has its own");
        let quick = Bucket::of(100, Duration::from_secs(1), 1);
        quick.spend(1).unwrap();
        let wait = quick.spend(1).unwrap_err();
        assert!(wait <= Duration::from_millis(10), "{wait:?}");
        std::thread::sleep(wait);
        assert_eq!(quick.spend(1), Ok(()), "after the wait that was told");
    }

    #[test]
    fn no_more_than_the_burst_goes_through_whoever_asks_at_once() {
        let bucket = Bucket::of(1, HOUR, 50);
        let through: usize = std::thread::scope(|scope| {
            let askers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter(|_| bucket.spend(1).is_ok()).count()))
                .collect();
            askers.into_iter().map(|asker| asker.join().unwrap()).sum()
        });
        assert_eq!(through, 50);
    }

    #[test]
    fn many_keys_neither_grow_memory_without_bound_nor_get_through() {
        let bucket = Bucket::of(1, HOUR, 1);
        for key in 0..400_000 {
            let _ = bucket.spend(key);
        }
        let most = MOST_KEYS + usize::try_from(LOOK_EVERY + SHARED).unwrap();
        let remembered = bucket.limiter.len() + bucket.shared.len();
        assert!(remembered <= most, "{remembered}");
        let through = (1_000_000..1_100_000).filter(|key| bucket.spend(*key).is_ok()).count();
        assert!(through <= usize::try_from(SHARED).unwrap(), "{through} of strangers got through");

        let quick = Bucket::of(1_000_000, Duration::from_secs(1), 1);
        for key in 0..400_000 {
            let _ = quick.spend(key);
        }
        assert!(
            quick.limiter.len() < MOST_KEYS,
            "full buckets are forgotten: {}",
            quick.limiter.len()
        );
    }

    #[test]
    fn addresses_of_one_network_count_together_in_ipv6_only() {
        let counted = |text: &str| counted_address(text.parse().unwrap());
        assert_eq!(counted("2001:db8:1:2::7"), counted("2001:db8:1:2:ffff::1"));
        assert_ne!(counted("2001:db8:1:2::7"), counted("2001:db8:1:3::7"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
    }
}
