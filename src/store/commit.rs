//! One change that explains itself: what it rests on, what it writes, and the event it is written with.

use crate::model::event::Event;

use super::error::StoreError;
use super::record::{Record, Versioned, encode, marks_of};
use super::rows::{Deed, Kind, Step};

/// A set of changes that happen together or not at all, with the event that goes into the audit trail in the same moment.
#[must_use = "nothing is written before the store is given the commit"]
#[derive(Clone, Debug)]
pub struct Commit {
    pub(super) event: Event,
    pub(super) steps: Vec<Step>,
    /// What was wrong with it while it was put together; told when it is committed.
    pub(super) flaw: Option<StoreError>,
}

impl Commit {
    /// A commit because of `event`. No change of state without it; without a change the event alone is written.
    pub const fn because(event: Event) -> Self {
        Self {
            event,
            steps: Vec::new(),
            flaw: None,
        }
    }

    /// Makes a record. Refused with [`StoreError::Taken`] if its key or what must be unique is there already.
    pub fn create<R: Record>(self, new: &R) -> Self {
        let change = if R::NEW_IS_A_CHANGE { new.change() } else { None };
        match encode(new) {
            Ok(body) => self.step(R::KIND, R::key_bytes(&new.key()), Deed::Create(body, marks_of(new)), change),
            Err(flaw) => self.flawed(flaw),
        }
    }

    /// Puts `new` in the place of what was read. Both have the same key. Refused with [`StoreError::Conflict`] if the row has moved.
    pub fn replace<R: Record>(self, old: &Versioned<R>, new: &R) -> Self {
        let key = R::key_bytes(&old.record.key());
        if R::key_bytes(&new.key()) != key {
            return self.flawed(StoreError::Conflict(R::KIND));
        }
        match encode(new) {
            Ok(body) => self.step(
                R::KIND,
                key,
                Deed::Replace(old.revision(), body, marks_of(new)),
                old.record.change(),
            ),
            Err(flaw) => self.flawed(flaw),
        }
    }

    /// Removes what was read. Refused with [`StoreError::Conflict`] if the row has moved.
    pub fn remove<R: Record>(self, old: &Versioned<R>) -> Self {
        let key = R::key_bytes(&old.record.key());
        self.step(R::KIND, key, Deed::Remove(old.revision()), old.record.change())
    }

    /// Says that the decision rests on what was read. Refused with [`StoreError::Conflict`] if the row has moved.
    pub fn unchanged<R: Record>(self, read: &Versioned<R>) -> Self {
        let key = R::key_bytes(&read.record.key());
        self.step(R::KIND, key, Deed::Unchanged(read.revision()), None)
    }

    fn step(mut self, kind: Kind, key: Vec<u8>, deed: Deed, change: Option<super::Change>) -> Self {
        self.steps.push(Step { kind, key, deed, change });
        self
    }

    fn flawed(mut self, flaw: StoreError) -> Self {
        self.flaw.get_or_insert(flaw);
        self
    }
}
