//! What waits in memory to be used once: bounded in all and for each holder, gone after its time.
//!
//! Strangers can make such things, so they cost no commit, and no one of them can fill the room of the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::secret::Hashed;
use crate::base::time::Timestamp;

/// The room is taken, by this holder or by all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many of these are waiting already; finish one or try again in a moment")]
pub struct Full;

/// Values that are found by the digest of a secret and can be taken out once.
#[derive(Debug)]
pub(super) struct Once<H, T> {
    most: usize,
    most_of_one: usize,
    waiting: Mutex<Waiting<H, T>>,
}

#[derive(Debug)]
struct Waiting<H, T> {
    values: HashMap<Hashed, Entry<H, T>>,
    held: HashMap<H, usize>,
}

#[derive(Debug)]
struct Entry<H, T> {
    holder: H,
    since: Timestamp,
    until: Timestamp,
    value: T,
}

impl<H, T> Entry<H, T> {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until || self.since.is_out_of_time(now)
    }
}

impl<H: Clone + Eq + Hash, T> Once<H, T> {
    /// Room for `most` values, and for `most_of_one` of one holder.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            most,
            most_of_one,
            waiting: Mutex::new(Waiting {
                values: HashMap::new(),
                held: HashMap::new(),
            }),
        }
    }

    /// Keeps `value` until `until`, to be taken by who shows the secret behind `key`.
    ///
    /// # Errors
    /// [`Full`] if there is no room, even after what is over has been thrown out.
    pub(super) fn keep(&self, key: Hashed, holder: H, value: T, until: Timestamp, now: Timestamp) -> Result<(), Full> {
        let mut waiting = self.lock();
        if waiting.is_full(&holder, self.most, self.most_of_one) {
            waiting.sweep(now);
            if waiting.is_full(&holder, self.most, self.most_of_one) {
                return Err(Full);
            }
        }
        *waiting.held.entry(holder.clone()).or_insert(0) += 1;
        if let Some(before) = waiting.values.insert(
            key,
            Entry {
                holder,
                since: now,
                until,
                value,
            },
        ) {
            waiting.let_go(&before.holder);
        }
        Ok(())
    }

    /// Takes the value out; `None` if there is none, it was taken before, or its time is over.
    pub(super) fn take(&self, key: &Hashed, now: Timestamp) -> Option<T> {
        let mut waiting = self.lock();
        let entry = waiting.values.remove(key)?;
        waiting.let_go(&entry.holder);
        (!entry.is_over(now)).then_some(entry.value)
    }

    /// Throws out what is over.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.lock().sweep(now);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<H, T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Clone + Eq + Hash, T> Waiting<H, T> {
    fn is_full(&self, holder: &H, most: usize, most_of_one: usize) -> bool {
        self.values.len() >= most || self.held.get(holder).is_some_and(|held| *held >= most_of_one)
    }

    fn let_go(&mut self, holder: &H) {
        if let Some(held) = self.held.get_mut(holder) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(holder);
            }
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        let over: Vec<Hashed> = self
            .values
            .iter()
            .filter(|(_, entry)| entry.is_over(now))
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            if let Some(entry) = self.values.remove(&key) {
                self.let_go(&entry.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Hashed {
        Hashed::sha256(name.as_bytes())
    }

    #[test]
    fn a_value_is_taken_once_and_in_time() {
        let once: Once<&str, u8> = Once::new(10, 10);
        let now = Timestamp::from_secs(1000);
        let until = now.after(Duration::from_secs(30));
        once.keep(key("a"), "ada", 1, until, now).unwrap();
        once.keep(key("b"), "ada", 2, until, now).unwrap();
        assert_eq!(once.take(&key("a"), now), Some(1));
        assert_eq!(once.take(&key("a"), now), None, "a second time");
        assert_eq!(once.take(&key("b"), until), None, "at its end");
        assert_eq!(once.take(&key("c"), now), None, "never kept");
        once.keep(key("d"), "ada", 4, until, now).unwrap();
        assert_eq!(
            once.take(&key("d"), now.before(Duration::from_secs(3600))),
            None,
            "the clock was set back"
        );
    }

    #[test]
    fn no_holder_fills_the_room_of_the_others() {
        let once: Once<&str, u8> = Once::new(5, 3);
        let now = Timestamp::from_secs(1000);
        let until = now.after(Duration::from_secs(30));
        for n in 0..3 {
            once.keep(key(&format!("a{n}")), "ada", n, until, now).unwrap();
        }
        assert_eq!(once.keep(key("a3"), "ada", 3, until, now), Err(Full), "hers is full");
        once.keep(key("b0"), "bo", 0, until, now).unwrap();
        once.keep(key("b1"), "bo", 1, until, now).unwrap();
        assert_eq!(once.keep(key("c0"), "cy", 0, until, now), Err(Full), "all is full");
        once.take(&key("a0"), now);
        once.keep(key("c0"), "cy", 0, until, now).unwrap();
        once.keep(key("a3"), "ada", 3, until.after(Duration::from_secs(1)), until)
            .expect("what is over makes room");
        assert_eq!(once.take(&key("b0"), until), None);
    }
}
