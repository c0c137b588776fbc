//! How long sessions that are in memory go on while the store is out of order.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::base::time::Timestamp;
use crate::store::StoreError;

/// The store's health is asked at most this often, so that requests do not meet at its lock.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Nothing was lost: no moment is this one.
const WELL: i64 = i64::MIN;

/// What is known of the store's health, without asking it for each request.
#[derive(Debug)]
pub(super) struct Loss {
    looked: AtomicI64,
    lost: AtomicI64,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            looked: AtomicI64::new(WELL),
            lost: AtomicI64::new(WELL),
        }
    }
}

impl Loss {
    /// Whether sessions in memory still count: the store is well, or has been lost for less than `on_loss`. A full disk is no loss: what is
    /// there can be read.
    pub(super) fn goes_on(&self, health: impl FnOnce() -> Result<(), StoreError>, on_loss: Duration, now: Timestamp) -> bool {
        let looked = self.looked.load(Ordering::Relaxed);
        // A clock that was set back must neither keep us from looking nor give the loss more time.
        let due = looked == WELL || now >= Timestamp::from_millis(looked).after(LOOK_EVERY) || now < Timestamp::from_millis(looked);
        if due
            && self
                .looked
                .compare_exchange(looked, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            match health() {
                Err(StoreError::Unavailable(_)) => {
                    // The first moment of a loss stands.
                    let _ = self
                        .lost
                        .compare_exchange(WELL, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed);
                }
                Ok(()) | Err(_) => self.lost.store(WELL, Ordering::Relaxed),
            }
        }
        match self.lost.load(Ordering::Relaxed) {
            WELL => true,
            lost => now < Timestamp::from_millis(lost).after(on_loss) && !Timestamp::from_millis(lost).is_out_of_time(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::MINUTE;
    use crate::store::Cause;

    #[test]
    fn sessions_go_on_for_as_long_as_the_settings_say_and_no_longer() {
        let well = || Ok(());
        let full = || Err(StoreError::Full);
        let gone = || Err(StoreError::Unavailable(Cause::Closed));
        let start = Timestamp::from_secs(1_900_000_000);
        let second = Duration::from_secs(1);
        let loss = Loss::default();
        assert!(loss.goes_on(well, Duration::ZERO, start));
        assert!(loss.goes_on(full, Duration::ZERO, start.after(second)), "a full disk can be read");
        let at = start.after(2 * second);
        assert!(!loss.goes_on(gone, Duration::ZERO, at), "by default nobody goes on");
        assert!(loss.goes_on(gone, MINUTE, at.after(MINUTE - second)));
        assert!(!loss.goes_on(gone, MINUTE, at.after(MINUTE)));
        assert!(loss.goes_on(well, MINUTE, at.after(MINUTE + second)), "it came back");
        assert!(loss.goes_on(gone, 2 * MINUTE, at));
        assert!(
            !loss.goes_on(gone, 2 * MINUTE, at.before(10 * MINUTE)),
            "a clock set back gives no more time"
        );
        assert!(
            loss.goes_on(well, MINUTE, at.before(10 * MINUTE).after(second)),
            "nor keeps from looking"
        );
    }
}
