//! The rate limits that a decision names, spent here: limits have memory, decisions have none.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::model::name::LimitName;
use crate::model::principal::Principal;
use crate::policy::decision::Decision;
use crate::policy::definitions::{Limit, LimitKey};

/// When a limiter has seen so many keys, those that are full again are forgotten.
const SWEEP_AT: usize = 10_000;

struct Bucket {
    count: u32,
    per: Duration,
    burst: u32,
    limiter: DefaultKeyedRateLimiter<u64>,
}

/// The buckets of all limits. A limit that policy changes begins full; one that stays as it was keeps its memory over a reload.
#[derive(Default)]
pub struct Buckets {
    buckets: ArcSwap<HashMap<LimitName, Arc<Bucket>>>,
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
            let bucket = self.bucket(limit);
            let key = key_of(limit, decision, principal, client_ip);
            if let Err(not_until) = bucket.limiter.check_key(&key) {
                return Err(not_until.wait_time_from(DefaultClock::default().now()));
            }
            if bucket.limiter.len() > SWEEP_AT {
                bucket.limiter.retain_recent();
            }
        }
        Ok(())
    }

    fn bucket(&self, limit: &Limit) -> Arc<Bucket> {
        let known = self.buckets.load();
        let same = |bucket: &Bucket| bucket.count == limit.count && bucket.per == limit.per && bucket.burst == limit.burst;
        if let Some(bucket) = known.get(&limit.name).filter(|bucket| same(bucket)) {
            return Arc::clone(bucket);
        }
        let new = Arc::new(Bucket::of(limit));
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
}

impl Bucket {
    fn of(limit: &Limit) -> Self {
        let one = NonZeroU32::MIN;
        let burst = NonZeroU32::new(limit.burst).unwrap_or(one);
        let every = limit.per / NonZeroU32::new(limit.count).unwrap_or(one).get();
        // A period of zero would be no limit at all; policy does not let one through, and the shortest there is stands in.
        let quota = Quota::with_period(every)
            .or_else(|| Quota::with_period(Duration::from_nanos(1)))
            .unwrap_or_else(|| Quota::per_second(one));
        Self {
            count: limit.count,
            per: limit.per,
            burst: limit.burst,
            limiter: RateLimiter::keyed(quota.allow_burst(burst)),
        }
    }
}

/// Whose bucket: a digest, since buckets are many and keys are long. A key that is missing falls back to the address.
fn key_of(limit: &Limit, decision: &Decision<'_>, principal: &Principal, client_ip: Option<IpAddr>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (limit.key, principal) {
        (LimitKey::User, Principal::User(identity)) => ("user", identity.user).hash(&mut hasher),
        (LimitKey::Session, Principal::User(identity)) => ("session", identity.session).hash(&mut hasher),
        (LimitKey::User | LimitKey::Service, Principal::Service(service)) => ("service", &service.name).hash(&mut hasher),
        (LimitKey::Session, Principal::Service(service)) => ("credential", service.credential).hash(&mut hasher),
        (LimitKey::Team, _) => match decision.held.as_ref().map(|held| held.teams()) {
            Some([team]) => ("team", team).hash(&mut hasher),
            _ => ("ip", client_ip).hash(&mut hasher),
        },
        _ => ("ip", client_ip).hash(&mut hasher),
    }
    hasher.finish()
}
