//! The tables of one write transaction: opened when first used, read and written as bytes. Rows of records lie packed on the disk; in here
//! that begins and ends.

use std::collections::HashSet;

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use crate::store::error::{Cause, StoreError};
use crate::store::record::Side;
use crate::store::rows::Kind;

use super::packing::{pack, unpack};

/// What the store knows of itself.
pub(in crate::store) const META: &str = "meta";
/// What must be unique, and the key of the row that has it.
pub(in crate::store) const UNIQUES: &str = "uniques";
/// Groups of rows: index, group, key of the row. There is no value.
pub(in crate::store) const INDEXES: &str = "indexes";
/// When rows end: second, table, key.
pub(in crate::store) const EXPIRY: &str = "expiry";
/// The audit trail.
pub(in crate::store) const AUDIT: &str = "audit";
/// Signed ends of the audit trail.
pub(in crate::store) const MARKS: &str = "audit_mark";

/// Every table, in the order in which a backup lists them.
pub(in crate::store) fn all_tables() -> impl Iterator<Item = &'static str> {
    Kind::ALL
        .into_iter()
        .map(Kind::table)
        .chain([UNIQUES, INDEXES, EXPIRY, AUDIT, MARKS, META])
}

pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
pub(in crate::store) type Pair = (Vec<u8>, Vec<u8>);
/// Where a row stands: its table and its key.
pub(in crate::store) type Spot = (&'static str, Vec<u8>);
/// Where something was written.
pub(in crate::store) type Touched = HashSet<Spot>;

/// What ends a transaction: nothing that was done in it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Fault {
    /// The disk has no room.
    Full,
    /// Everything else.
    Broken(Cause),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => Self::Full,
            Fault::Broken(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error {
            redb::Error::Io(error) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) => Self::Full,
            redb::Error::Corrupted(detail) => Self::Broken(Cause::Damaged(detail)),
            redb::Error::DatabaseClosed => Self::Broken(Cause::Closed),
            error => Self::Broken(Cause::Disk(error.to_string())),
        }
    }
}

macro_rules! fault_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
fault_from!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError
);

type OpenTable<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// The tables of one write transaction.
pub(in crate::store) struct Tables<'t> {
    transaction: &'t WriteTransaction,
    open: Vec<(&'static str, OpenTable<'t>)>,
    /// Where to note what is written, while a backup is made.
    touched: Option<&'t mut Touched>,
}

impl<'t> Tables<'t> {
    pub(super) const fn new(transaction: &'t WriteTransaction, touched: Option<&'t mut Touched>) -> Self {
        Self {
            transaction,
            open: Vec::new(),
            touched,
        }
    }

    /// What was written since the backup asked last.
    pub(super) fn take_touched(&mut self) -> Touched {
        self.touched.as_mut().map(|touched| std::mem::take(*touched)).unwrap_or_default()
    }

    fn table(&mut self, name: &'static str) -> Result<&mut OpenTable<'t>, Fault> {
        let place = match self.open.iter().position(|(known, _)| *known == name) {
            Some(place) => place,
            None => {
                self.open.push((name, self.transaction.open_table(Definition::new(name))?));
                self.open.len() - 1
            }
        };
        match self.open.get_mut(place) {
            Some((_, table)) => Ok(table),
            None => Err(Fault::Broken(Cause::Closed)),
        }
    }

    pub(in crate::store) fn get(&mut self, name: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.table(name)?.get(key)?.map(|value| unpack(name, key, value.value())))
    }

    pub(in crate::store) fn put(&mut self, name: &'static str, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.table(name)?.insert(key, &*pack(name, key, value))?;
        self.touch(name, key);
        Ok(())
    }

    pub(in crate::store) fn delete(&mut self, name: &'static str, key: &[u8]) -> Result<(), Fault> {
        self.table(name)?.remove(key)?;
        self.touch(name, key);
        Ok(())
    }

    fn touch(&mut self, name: &'static str, key: &[u8]) {
        if let Some(touched) = &mut self.touched {
            touched.insert((name, key.to_vec()));
        }
    }

    /// The first `limit` rows whose keys begin with `prefix`.
    pub(super) fn beginning(&mut self, name: &'static str, prefix: &[u8], limit: usize) -> Result<Vec<Pair>, Fault> {
        beginning(self.table(name)?, name, prefix, None, limit)
    }

    /// Rows behind a key of a table that was set aside, `limit` at most. They lie packed as in the table `of` whose they were.
    pub(in crate::store) fn slice(
        &mut self,
        aside: &'static str,
        of: &'static str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, Fault> {
        beginning(self.table(aside)?, of, &[], after, limit)
    }

    /// Takes a table away with all its rows; it is made anew when it is written to.
    pub(in crate::store) fn clear(&mut self, name: &'static str) -> Result<(), Fault> {
        self.open.retain(|(known, _)| *known != name);
        self.transaction.delete_table(Definition::new(name))?;
        Ok(())
    }

    /// Gives a table another name, which none must have. Under its own it is made anew when it is written to.
    pub(in crate::store) fn set_aside(&mut self, name: &'static str, aside: &'static str) -> Result<(), Fault> {
        // Opened, it is there to be renamed.
        self.table(name)?;
        self.open.retain(|(known, _)| *known != name && *known != aside);
        self.transaction.rename_table(Definition::new(name), Definition::new(aside))?;
        Ok(())
    }

    /// The first `limit` rows with a key below `end`.
    pub(super) fn below(&mut self, name: &'static str, end: &[u8], limit: usize) -> Result<Vec<Pair>, Fault> {
        let mut found = Vec::new();
        for row in self.table(name)?.range(..end)?.take(limit) {
            let (key, value) = row?;
            found.push((key.value().to_vec(), unpack(name, key.value(), value.value())));
        }
        Ok(found)
    }
}

/// Rows whose keys begin with `prefix`, behind the key `after`, `limit` at most.
pub(super) fn beginning(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    name: &str,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Pair>, Fault> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let from = after.map_or(Included(prefix), Excluded);
    let mut found = Vec::new();
    for row in table.range::<&[u8]>((from, Unbounded))?.take(limit) {
        let (key, value) = row?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push((key.value().to_vec(), unpack(name, key.value(), value.value())));
    }
    Ok(found)
}

/// One row of a read transaction. A table that was never written is empty.
pub(super) fn read_one(transaction: &ReadTransaction, name: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    match transaction.open_table(Definition::new(name)) {
        Ok(table) => Ok(table.get(key)?.map(|value| unpack(name, key, value.value()))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Rows of a read transaction, as [`beginning`].
pub(super) fn read_many(
    transaction: &ReadTransaction,
    name: &'static str,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Pair>, Fault> {
    match transaction.open_table(Definition::new(name)) {
        Ok(table) => beginning(&table, name, prefix, after, limit),
        Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Keys of a read transaction on one side of a key, the nearest first, `limit` at most; from the end of the table where there is none.
pub(super) fn keys_from(
    transaction: &ReadTransaction,
    name: &'static str,
    from: Option<&[u8]>,
    upward: bool,
    limit: usize,
) -> Result<Vec<Vec<u8>>, Fault> {
    use std::ops::Bound::{Excluded, Unbounded};
    let table = match transaction.open_table(Definition::new(name)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let near = from.map_or(Unbounded, Excluded);
    let mut keys = Vec::new();
    if upward {
        for row in table.range::<&[u8]>((near, Unbounded))?.take(limit) {
            keys.push(row?.0.value().to_vec());
        }
    } else {
        for row in table.range::<&[u8]>((Unbounded, near))?.rev().take(limit) {
            keys.push(row?.0.value().to_vec());
        }
    }
    Ok(keys)
}

/// Rows of a read transaction whose keys begin with `prefix`: the first, those behind a key, or the last in front of one; in the order of
/// their keys.
pub(super) fn read_side(
    transaction: &ReadTransaction,
    name: &'static str,
    prefix: &[u8],
    side: &Side,
    limit: usize,
) -> Result<Vec<Pair>, Fault> {
    let before = match side {
        Side::First => return read_many(transaction, name, prefix, None, limit),
        Side::After(key) => return read_many(transaction, name, prefix, Some(key), limit),
        Side::Before(key) => key,
    };
    let table = match transaction.open_table(Definition::new(name)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for row in table.range::<&[u8]>(prefix..before.as_slice())?.rev().take(limit) {
        let (key, value) = row?;
        found.push((key.value().to_vec(), unpack(name, key.value(), value.value())));
    }
    found.reverse();
    Ok(found)
}

/// The last row of a table.
pub(super) fn read_last(transaction: &ReadTransaction, name: &'static str) -> Result<Option<Pair>, Fault> {
    match transaction.open_table(Definition::new(name)) {
        Ok(table) => Ok(table.last()?.map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
