//! What makes a noun a record: its key, what must be unique about it, how it is found, and its body as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::time::Timestamp;

use super::error::StoreError;
use super::rows::{Body, Change, IndexKey, Kind, Marks, Revision, Row, UniqueKey};

/// A noun that the store keeps.
///
/// The body is JSON behind a byte that says which shape it has, so that a person can look and a migration knows what it meets.
pub trait Record: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What it is looked up by.
    type Key: Send + Sync;
    /// What else finds exactly one; [`Never`] if nothing does.
    type Unique: Send + Sync;
    /// The groups it is listed in; [`Never`] if there are none.
    type Index: Send + Sync;

    /// Its table.
    const KIND: Kind;
    /// The shape of the body that this version writes and reads.
    const SHAPE: u8 = 1;
    /// Whether making one changes somebody who is there already, as a membership changes its user, or a list that is remembered.
    const NEW_IS_A_CHANGE: bool = false;

    /// Its own key.
    fn key(&self) -> Self::Key;
    /// A key as bytes; they sort as the keys do.
    fn key_bytes(key: &Self::Key) -> Vec<u8>;

    /// What no other record may have.
    fn uniques(&self) -> Vec<Self::Unique> {
        Vec::new()
    }
    /// A unique value as an engine compares it.
    fn unique_key(unique: &Self::Unique) -> UniqueKey;

    /// The groups it is listed in.
    fn indexes(&self) -> Vec<Self::Index> {
        Vec::new()
    }
    /// A group as an engine finds it.
    fn index_key(index: &Self::Index) -> IndexKey;

    /// From when on it may be swept away.
    fn expires(&self) -> Option<Timestamp> {
        None
    }
    /// Who has to be looked at again when it is changed or removed.
    fn change(&self) -> Option<Change> {
        None
    }
}

/// For records without a second unique key, or without groups: there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

/// A record as it was read. A commit that gives it back is refused with [`StoreError::Conflict`] if the row has moved since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<R> {
    /// What was read.
    pub record: R,
    revision: Revision,
}

impl<R> Versioned<R> {
    /// Which write it comes from.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The record alone.
    #[must_use]
    pub fn into_record(self) -> R {
        self.record
    }
}

impl<R> std::ops::Deref for Versioned<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

/// Which records to list: all or those of a group, from a key on, so many at most; in the order of their keys.
#[derive(Clone, Debug)]
pub struct Page<R: Record> {
    pub(super) within: Option<IndexKey>,
    pub(super) side: Side,
    pub(super) limit: usize,
    record: std::marker::PhantomData<fn() -> R>,
}

impl<R: Record> Page<R> {
    /// The first `limit` records of all.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self {
            within: None,
            side: Side::First,
            limit,
            record: std::marker::PhantomData,
        }
    }

    /// The first `limit` records of a group.
    #[must_use]
    pub fn of(index: &R::Index, limit: usize) -> Self {
        Self {
            within: Some(R::index_key(index)),
            ..Self::first(limit)
        }
    }

    /// Those behind a key, whether a record of that key is still there or not.
    #[must_use]
    pub fn after(mut self, key: &R::Key) -> Self {
        self.side = Side::After(R::key_bytes(key));
        self
    }

    /// The last of those in front of a key, whether a record of that key is still there or not.
    #[must_use]
    pub fn before(mut self, key: &R::Key) -> Self {
        self.side = Side::Before(R::key_bytes(key));
        self
    }
}

/// Which of the records that are to be listed.
#[derive(Clone, Debug)]
pub(super) enum Side {
    /// The first.
    First,
    /// The first behind a key.
    After(Vec<u8>),
    /// The last in front of a key.
    Before(Vec<u8>),
}

impl Side {
    /// The same, by keys that are written otherwise.
    pub(super) fn map(self, write: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        match self {
            Self::First => Self::First,
            Self::After(key) => Self::After(write(&key)),
            Self::Before(key) => Self::Before(write(&key)),
        }
    }
}

/// The body of a record.
pub(super) fn encode<R: Record>(record: &R) -> Result<Body, StoreError> {
    let json = serde_json::to_vec(record).map_err(|_| StoreError::Unreadable(R::KIND))?;
    Ok(Body { shape: R::SHAPE, json })
}

/// The record in a body.
pub(super) fn decode<R: Record>(body: &Body) -> Result<R, StoreError> {
    if body.shape != R::SHAPE {
        return Err(StoreError::Unreadable(R::KIND));
    }
    serde_json::from_slice(&body.json).map_err(|_| StoreError::Unreadable(R::KIND))
}

/// The record in a row, with the revision of the row.
pub(super) fn versioned<R: Record>(row: &Row) -> Result<Versioned<R>, StoreError> {
    Ok(Versioned {
        record: decode(&row.body)?,
        revision: row.revision,
    })
}

/// What is kept beside the row of a record.
pub(super) fn marks_of<R: Record>(record: &R) -> Marks {
    Marks {
        uniques: record.uniques().iter().map(R::unique_key).collect(),
        indexes: record.indexes().iter().map(R::index_key).collect(),
        expires: record.expires().map(|at| u64::try_from(at.as_secs()).unwrap_or(0)),
    }
}
