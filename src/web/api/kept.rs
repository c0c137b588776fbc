//! Answers that are kept for whoever asks again with the same `Idempotency-Key`.
//!
//! They are kept in memory and not in the store: they may hold a token or a link, and nothing that can be made is made twice without them,
//! since addresses, names and open invitations are unique in the store. After a start a repetition is told that it exists.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::secret::sha256;
use crate::base::time::{DAY, Timestamp};

/// How long an answer is kept.
const LASTS: Duration = DAY;
/// Answers that are kept for everybody together, and for one asker.
const MOST: (usize, usize) = (20_000, 2_000);

/// The name under which an answer is kept: whose, of which row, under which key.
type Name = [u8; 32];

struct Kept {
    whose: String,
    body: [u8; 32],
    since: Timestamp,
    answer: Option<Bytes>,
}

impl Kept {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since) >= LASTS || self.since > now
    }
}

/// What there is under a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it is this request's now, and is held by a [`Begun`].
    New,
    /// The answer to the same request.
    Same(Bytes),
    /// Another request was sent with this key.
    Other,
    /// The same request is being carried out.
    Busy,
    /// Too many answers are kept.
    Full,
}

/// The answers that are kept.
#[derive(Default)]
pub struct Answers(Mutex<HashMap<Name, Kept>>);

impl Answers {
    /// The name under which an answer is kept.
    #[must_use]
    pub fn name(whose: &str, row: &str, key: &str) -> Name {
        sha256(format!("{whose}\n{row}\n{key}").as_bytes())
    }

    /// What there is under a name; a new one is begun.
    pub fn begin(&self, name: Name, whose: &str, body: &[u8], now: Timestamp) -> Found {
        let body = sha256(body);
        let mut kept = self.lock();
        let of_one = |kept: &HashMap<Name, Kept>| kept.values().filter(|one| one.whose == whose).count();
        if !kept.contains_key(&name) && (kept.len() >= MOST.0 || of_one(&kept) >= MOST.1) {
            kept.retain(|_, one| !one.is_over(now));
            if kept.len() >= MOST.0 || of_one(&kept) >= MOST.1 {
                return Found::Full;
            }
        }
        let new = Kept {
            whose: whose.to_owned(),
            body,
            since: now,
            answer: None,
        };
        match kept.entry(name) {
            Entry::Vacant(place) => {
                place.insert(new);
                Found::New
            }
            Entry::Occupied(mut place) if place.get().is_over(now) => {
                place.insert(new);
                Found::New
            }
            Entry::Occupied(place) if place.get().body != body => Found::Other,
            Entry::Occupied(place) => place.get().answer.clone().map_or(Found::Busy, Found::Same),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a request that is not finished, as when whoever sent it went away.
pub struct Begun<'a> {
    answers: &'a Answers,
    name: Name,
}

impl<'a> Begun<'a> {
    /// A request that was begun under this name.
    #[must_use]
    pub const fn new(answers: &'a Answers, name: Name) -> Self {
        Self { answers, name }
    }

    /// Keeps its answer.
    pub fn done(self, answer: Bytes) {
        if let Some(kept) = self.answers.lock().get_mut(&self.name) {
            kept.answer = Some(answer);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut kept = self.answers.lock();
        if kept.get(&self.name).is_some_and(|one| one.answer.is_none()) {
            kept.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_brings_the_same_answer_for_a_day_and_to_its_sender_only() {
        let answers = Answers::default();
        let now = Timestamp::from_secs(1_900_000_000);
        let name = Answers::name("u-1", "users", "k");
        assert_eq!(answers.begin(name, "u-1", b"{}", now), Found::New);
        assert_eq!(answers.begin(name, "u-1", b"{}", now), Found::Busy);
        Begun::new(&answers, name).done(Bytes::from_static(b"made"));
        assert_eq!(answers.begin(name, "u-1", b"{}", now), Found::Same(Bytes::from_static(b"made")));
        assert_eq!(answers.begin(name, "u-1", b"{ }", now), Found::Other);
        assert_eq!(answers.begin(Answers::name("u-2", "users", "k"), "u-2", b"{}", now), Found::New);
        assert_eq!(answers.begin(name, "u-1", b"{ }", now.after(LASTS)), Found::New, "a day later");
    }

    #[test]
    fn what_was_not_finished_is_forgotten() {
        let answers = Answers::default();
        let now = Timestamp::from_secs(1_900_000_000);
        let name = Answers::name("u-1", "users", "k");
        assert_eq!(answers.begin(name, "u-1", b"{}", now), Found::New);
        drop(Begun::new(&answers, name));
        assert_eq!(answers.begin(name, "u-1", b"{}", now), Found::New);
    }

    #[test]
    fn one_asker_does_not_take_the_room_of_others() {
        let answers = Answers::default();
        let now = Timestamp::from_secs(1_900_000_000);
        for number in 0..MOST.1 {
            let name = Answers::name("u-1", "users", &number.to_string());
            assert_eq!(answers.begin(name, "u-1", b"{}", now), Found::New);
        }
        assert_eq!(answers.begin(Answers::name("u-1", "users", "more"), "u-1", b"{}", now), Found::Full);
        assert_eq!(answers.begin(Answers::name("u-2", "users", "more"), "u-2", b"{}", now), Found::New);
    }
}
