//! How fast one network may send forms (`limits.forms`): what a person types is never so much, and hashing passwords is dear.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::base::grammar::Rate;
use crate::model::attempts::network_of;

/// When so many networks are known, those that have been quiet are forgotten.
const SWEEP_AT: usize = 10_000;

struct Limiter {
    rate: Rate,
    limiter: DefaultKeyedRateLimiter<Option<IpAddr>>,
}

/// The memory of the rate. It begins anew when the setting changes.
#[derive(Default)]
pub struct Pace {
    current: ArcSwapOption<Limiter>,
}

impl Pace {
    /// Counts a form from an address; addresses of one network count together, and so do those that are unknown.
    ///
    /// # Errors
    /// How long to wait, if there were too many.
    pub fn count(&self, rate: Rate, address: Option<IpAddr>) -> Result<(), Duration> {
        let limiter = self.limiter(rate);
        let checked = limiter.limiter.check_key(&address.map(network_of));
        if limiter.limiter.len() > SWEEP_AT {
            limiter.limiter.retain_recent();
        }
        checked.map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    fn limiter(&self, rate: Rate) -> Arc<Limiter> {
        if let Some(current) = self.current.load_full().filter(|current| current.rate == rate) {
            return current;
        }
        let new = Arc::new(Limiter::of(rate));
        self.current.store(Some(Arc::clone(&new)));
        new
    }
}

impl Limiter {
    fn of(rate: Rate) -> Self {
        let count = NonZeroU32::new(rate.count).unwrap_or(NonZeroU32::MIN);
        // A period of zero would be no limit at all; the settings do not let one through, and the shortest there is stands in.
        let quota = Quota::with_period(rate.per / count.get())
            .or_else(|| Quota::with_period(Duration::from_nanos(1)))
            .unwrap_or_else(|| Quota::per_second(count));
        Self {
            rate,
            limiter: RateLimiter::keyed(quota.allow_burst(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_cannot_use_up_what_another_has() {
        let pace = Pace::default();
        let rate = Rate {
            count: 2,
            per: Duration::from_secs(3600),
        };
        let from = |text: &str| Some(text.parse().unwrap());
        assert!(pace.count(rate, from("192.0.2.1")).is_ok());
        assert!(pace.count(rate, from("192.0.2.200")).is_ok());
        assert!(pace.count(rate, from("192.0.2.3")).is_err(), "the same network");
        assert!(pace.count(rate, from("198.51.100.1")).is_ok(), "another");
        assert!(pace.count(rate, None).is_ok());
        let other = Rate { count: 3, ..rate };
        assert!(pace.count(other, from("192.0.2.1")).is_ok(), "a new setting begins anew");
    }
}
