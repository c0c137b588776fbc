//! Reading for lists: rows by their end, the audit trail from either side.

use crate::base::time::Timestamp;
use crate::store::chain::{self, AuditEntry};
use crate::store::error::{Cause, StoreError};
use crate::store::rows::{Kind, Row};

use super::apply::read_expiry_key;
use super::tables::{EXPIRY, keys_from, read_last, read_one};
use super::{AUDIT, Redb, row};

/// What a look from one side found: rows with their places, and how far it came; nothing at the end.
pub(in crate::store) type Looked = (Vec<(Vec<u8>, Row)>, Option<Vec<u8>>);

impl Redb {
    /// The rows of a kind that end, the last to end first or, `upward`, the other way; with each the place where one goes on. Of the rows
    /// that end, of all kinds, `limit` are looked at; the last place says how far that came, and is none at the end.
    pub(in crate::store) async fn list_by_end(
        &self,
        kind: Kind,
        from: Option<Vec<u8>>,
        upward: bool,
        limit: usize,
    ) -> Result<Looked, StoreError> {
        self.reading(move |shared| {
            let (found, last) = shared.read(|transaction| {
                let mut keys = keys_from(transaction, EXPIRY, from.as_deref(), upward, limit)?;
                let mut found = Vec::new();
                for place in &keys {
                    let Some((_, key)) = read_expiry_key(place).filter(|(one, _)| *one == kind) else {
                        continue;
                    };
                    if let Some(bytes) = read_one(transaction, kind.table(), key)? {
                        found.push((place.clone(), bytes));
                    }
                }
                let full = keys.len() == limit;
                Ok((found, keys.pop().filter(|_| full)))
            })?;
            let rows = found.into_iter().map(|(place, bytes)| Ok((place, row(kind, &bytes)?)));
            Ok((rows.collect::<Result<_, StoreError>>()?, last))
        })
        .await
    }

    pub(in crate::store) async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.reading(move |shared| chain::entries(shared, after, limit)).await
    }

    pub(in crate::store) async fn last_event(&self) -> Result<Option<Timestamp>, StoreError> {
        self.reading(|shared| {
            let last = shared.read(|transaction| read_last(transaction, AUDIT))?;
            let decode = |(key, value): (Vec<u8>, Vec<u8>)| AuditEntry::decode(&key, &value, [0; 32]);
            let unreadable = StoreError::Unavailable(Cause::AuditTrail);
            last.map(|row| decode(row).map(|entry| entry.event.at).ok_or(unreadable))
                .transpose()
        })
        .await
    }

    /// Entries before number `before`, or the last there are, the newest first.
    pub(in crate::store) async fn audit_before(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.reading(move |shared| {
            let before = match before {
                Some(before) => before,
                None => {
                    let last = shared.read(|transaction| read_last(transaction, AUDIT))?;
                    last.and_then(|(key, _)| chain::number_of(&key)).unwrap_or(0) + 1
                }
            };
            let first = before.saturating_sub(limit as u64).max(1);
            let count = usize::try_from(before.saturating_sub(first)).unwrap_or(limit);
            let mut entries = chain::entries(shared, first - 1, count)?;
            entries.reverse();
            Ok(entries)
        })
        .await
    }
}
