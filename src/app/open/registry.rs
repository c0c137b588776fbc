//! Who has what open: found by session, by person, or all of it; and who must be judged again.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::model::id::{SessionId, UserId};
use crate::store::Change;

use super::{Asked, Entry, Kind, Question, Ticket, millis_between};

/// So many parts can be changed side by side.
const PARTS: u64 = 16;

/// A moment in the history of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

/// What is open. Clones are handles on the same registry.
#[derive(Clone, Debug)]
pub struct Open(pub(super) Arc<Registry>);

#[derive(Debug)]
pub(super) struct Registry {
    first: Mutex<Part>,
    others: Vec<Mutex<Part>>,
    number: AtomicU64,
    /// Changes so far, of anything a decision rests on.
    epoch: AtomicU64,
    moved: Mutex<Moved>,
    pub(super) bell: Notify,
    /// How often everything was to be judged again, and how often that is done.
    rounds: AtomicU64,
    done: watch::Sender<u64>,
    pub(super) began: Instant,
    /// How many of each kind.
    counts: [AtomicI64; 3],
    /// Streams that were cut in rounds.
    pub(super) cut_in_rounds: AtomicU64,
}

#[derive(Debug, Default)]
struct Part {
    all: HashMap<u64, Arc<Entry>>,
    sessions: HashMap<SessionId, HashSet<u64>>,
    users: HashMap<UserId, HashSet<u64>>,
}

/// Who must be judged again.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Everybody, since something that everybody shares has changed.
    pub(super) all: bool,
    users: HashSet<UserId>,
    sessions: HashSet<SessionId>,
    /// Those that began while something changed.
    pub(super) entries: Vec<Arc<Entry>>,
}

impl Moved {
    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.users.is_empty() && self.sessions.is_empty() && self.entries.is_empty()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Open {
    fn default() -> Self {
        Self(Arc::new(Registry {
            first: Mutex::default(),
            others: (1..PARTS).map(|_| Mutex::default()).collect(),
            number: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            moved: Mutex::default(),
            bell: Notify::new(),
            rounds: AtomicU64::new(0),
            done: watch::Sender::new(0),
            began: Instant::now(),
            counts: Default::default(),
            cut_in_rounds: AtomicU64::new(0),
        }))
    }
}

impl Open {
    /// To be taken before anything is read that a decision rests on.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.0.epoch.load(Ordering::SeqCst))
    }

    /// Registers something that lasts. It is judged again at once if something has changed since its question was answered, and every
    /// `recheck` besides.
    #[must_use]
    pub fn register(&self, kind: Kind, question: Question, recheck: Duration) -> Ticket {
        let registry = &self.0;
        let number = registry.number.fetch_add(1, Ordering::Relaxed);
        let session = question.stay.as_ref().map(|stay| (stay.session.id, stay.session.user));
        let entry = Arc::new(Entry {
            number,
            kind: (kind as u8).into(),
            session,
            application: question.application,
            asked: Mutex::new(Asked {
                facts: question.facts,
                stay: question.stay,
            }),
            due: AtomicU64::new(millis_between(registry.began, Instant::now() + recheck)),
            why: OnceLock::new(),
            waker: AtomicWaker::new(),
            ends: Mutex::default(),
        });
        {
            let mut part = held(registry.part_of(&entry));
            part.all.insert(number, Arc::clone(&entry));
            if let Some((session, user)) = session {
                part.sessions.entry(session).or_default().insert(number);
                part.users.entry(user).or_default().insert(number);
            }
        }
        self.counted(kind, 1);
        // A change that came before it was in place did not find it.
        if self.moment() != question.since {
            held(&registry.moved).entries.push(Arc::clone(&entry));
            registry.bell.notify_one();
        }
        Ticket { entry, open: self.clone() }
    }

    pub(super) fn remove(&self, entry: &Entry) {
        let mut part = held(self.0.part_of(entry));
        part.all.remove(&entry.number);
        if let Some((session, user)) = entry.session {
            leave(&mut part.sessions, &session, entry.number);
            leave(&mut part.users, &user, entry.number);
        }
        drop(part);
        self.counted(entry.kind(), -1);
    }

    pub(super) fn counted(&self, kind: Kind, by: i64) {
        if let Some(count) = self.0.counts.get(kind as usize) {
            count.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// How many things were registered so far.
    #[must_use]
    pub fn registered(&self) -> u64 {
        self.0.number.load(Ordering::Relaxed)
    }

    /// How many of a kind are open.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        let count = self.0.counts.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed));
        usize::try_from(count).unwrap_or(0)
    }

    /// How many things somebody has open.
    #[must_use]
    pub fn of_user(&self, user: UserId) -> usize {
        self.0.parts().map(|part| held(part).users.get(&user).map_or(0, HashSet::len)).sum()
    }

    /// The store has changed: those whom it concerns are judged again. Neither waits nor judges, as the store's writer calls it.
    pub fn moved(&self, changes: &[Change]) {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
        let mut concerned = false;
        for change in changes {
            match change {
                Change::User(user) => {
                    if self.0.parts().any(|part| held(part).users.contains_key(user)) {
                        concerned |= held(&self.0.moved).users.insert(*user);
                    }
                }
                Change::Session(session) => {
                    if held(self.0.part(session_part(*session))).sessions.contains_key(session) {
                        concerned |= held(&self.0.moved).sessions.insert(*session);
                    }
                }
                Change::Team(_) => {
                    held(&self.0.moved).all = true;
                    concerned = true;
                }
                Change::Token(_) | Change::Invitation(_) | Change::Outbox => {}
            }
        }
        if concerned {
            self.0.bell.notify_one();
        }
    }

    /// Something has changed that everybody shares: everything is judged again. Says which round that is, to wait for with
    /// [`Open::settled`].
    pub fn all_moved(&self) -> u64 {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
        let mut moved = held(&self.0.moved);
        moved.all = true;
        let round = self.0.rounds.fetch_add(1, Ordering::SeqCst) + 1;
        drop(moved);
        self.0.bell.notify_one();
        round
    }

    /// Waits until a round is over.
    pub async fn settled(&self, round: u64) {
        let mut done = self.0.done.subscribe();
        // Who tells of it is there as long as this.
        let _ = done.wait_for(|done| *done >= round).await;
    }

    /// Takes who must be judged again, with the last round that is in it.
    pub(super) fn take_moved(&self) -> (Moved, u64) {
        let mut moved = held(&self.0.moved);
        (std::mem::take(&mut *moved), self.0.rounds.load(Ordering::SeqCst))
    }

    pub(super) fn round_is_over(&self, round: u64) {
        self.0.done.send_replace(round);
    }

    /// All that is open.
    pub(super) fn everything(&self) -> Vec<Arc<Entry>> {
        let mut entries = Vec::new();
        for part in self.0.parts() {
            entries.extend(held(part).all.values().map(Arc::clone));
        }
        entries
    }

    /// What those have open who moved.
    pub(super) fn of(&self, moved: Moved) -> Vec<Arc<Entry>> {
        if moved.all {
            return self.everything();
        }
        let mut entries = moved.entries;
        for session in moved.sessions {
            let part = held(self.0.part(session_part(session)));
            part.collect(part.sessions.get(&session), &mut entries);
        }
        for user in moved.users {
            for part in self.0.parts() {
                let part = held(part);
                part.collect(part.users.get(&user), &mut entries);
            }
        }
        entries
    }
}

impl Part {
    fn collect(&self, numbers: Option<&HashSet<u64>>, into: &mut Vec<Arc<Entry>>) {
        let numbers = numbers.into_iter().flatten();
        into.extend(numbers.filter_map(|number| self.all.get(number)).map(Arc::clone));
    }
}

impl Registry {
    fn part(&self, number: u64) -> &Mutex<Part> {
        let number = usize::try_from(number % PARTS).unwrap_or(0);
        number
            .checked_sub(1)
            .and_then(|other| self.others.get(other))
            .unwrap_or(&self.first)
    }

    /// What one session has open stands together.
    fn part_of(&self, entry: &Entry) -> &Mutex<Part> {
        self.part(entry.session.map_or(entry.number, |(session, _)| session_part(session)))
    }

    fn parts(&self) -> impl Iterator<Item = &Mutex<Part>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Identifiers begin with the time; their end is random.
const fn session_part(session: SessionId) -> u64 {
    (session.number() % PARTS as u128) as u64
}

fn leave<K: std::hash::Hash + Eq>(index: &mut HashMap<K, HashSet<u64>>, key: &K, number: u64) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}
