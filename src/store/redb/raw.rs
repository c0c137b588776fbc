//! Rows of a store that nobody else uses: read in slices, loaded, counted.

use std::collections::HashMap;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableError};

use crate::store::error::StoreError;

use super::tables::{Definition, Fault, Pair, Spot, read_many, read_one};
use super::writer::in_transaction;

/// Writes rows as they are into an empty store.
pub(in crate::store) fn load(database: &Database, rows: &[(&'static str, Pair)]) -> Result<(), StoreError> {
    let loaded = in_transaction(database, |tables| {
        for (table, (key, value)) in rows {
            tables.put(table, key, value)?;
        }
        Ok(!rows.is_empty())
    });
    loaded.map_err(StoreError::from)
}

/// A slice of a table, behind a key.
pub(in crate::store) fn read_slice(
    database: &Database,
    table: &'static str,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Pair>, StoreError> {
    let read = || read_many(&database.begin_read().map_err(Fault::from)?, table, &[], after, limit);
    read().map_err(StoreError::from)
}

/// The rows of those tables and keys that are there.
pub(in crate::store) fn read_rows(database: &Database, keys: impl IntoIterator<Item = Spot>) -> Result<HashMap<Spot, Vec<u8>>, StoreError> {
    let read = || {
        let transaction = database.begin_read()?;
        let mut found = HashMap::new();
        for (table, key) in keys {
            if let Some(value) = read_one(&transaction, table, &key)? {
                found.insert((table, key), value);
            }
        }
        Ok::<_, Fault>(found)
    };
    read().map_err(StoreError::from)
}

/// How many rows a table has.
pub(in crate::store) fn count_rows(database: &Database, table: &'static str) -> Result<u64, StoreError> {
    let count = || match database.begin_read()?.open_table(Definition::new(table)) {
        Ok(table) => Ok(table.len()?),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(Fault::from(error)),
    };
    count().map_err(StoreError::from)
}
