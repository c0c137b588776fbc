//! Opening the engine: is it a store of ours, of this version, for this master key, and where does it stand?

use redb::{Database, DatabaseError, ReadableDatabase, StorageError};

use crate::base::random::Random;
use crate::base::seal::{KeyedHash, Keyring, Purpose};
use crate::base::time::Timestamp;
use crate::store::chain::{self, Trail};
use crate::store::error::{OpenError, StoreError};
use crate::store::migrate::{self, Before};

use super::apply::State;
use super::medium::{Boxed, Medium};
use super::raw::count_rows;
use super::tables::{AUDIT, Fault, MARKS, META, all_tables, read_last, read_one};
use super::writer::in_transaction;
use super::{CHECK, CLUSTER, REVISION, SCHEMA_KEY};

/// What redb may keep of the file in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Opens the engine on its medium.
pub(in crate::store) fn open_database(medium: &dyn Medium) -> Result<Database, OpenError> {
    let path = medium.path().to_owned();
    let backend = medium.open().map_err(|source| OpenError::Io {
        path: path.clone(),
        source,
    })?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.create_with_backend(Boxed(backend)).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::InUse(path),
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
            OpenError::Io { path, source }
        }
        error => OpenError::Damaged {
            path,
            detail: error.to_string(),
        },
    })
}

/// Gives back the room of a file that has grown far beyond what is in it, as it does when a reader is held while much is written.
///
/// The rows are counted, not measured: measuring would read the whole file. A row of ours with what is beside it takes less than a
/// kilobyte as a rule; a file that is large although there is little in it is four times that.
pub(super) fn shrink(database: &mut Database, medium: &dyn Medium) -> Result<(), OpenError> {
    const SMALL: u64 = 64 * 1024 * 1024;
    const ROW: u64 = 1024;
    let Some(before) = medium.bytes().filter(|bytes| *bytes > SMALL) else {
        return Ok(());
    };
    let damaged = |detail: String| OpenError::Damaged {
        path: medium.path().to_owned(),
        detail,
    };
    let rows = all_tables().try_fold(0, |rows, table| Ok::<u64, StoreError>(rows + count_rows(database, table)?));
    let rows = rows.map_err(|error| damaged(error.to_string()))?;
    if before / 4 <= rows.saturating_mul(ROW) {
        return Ok(());
    }
    compact(database, medium)
}

/// Moves what is in the file together and gives back the rest.
fn compact(database: &mut Database, medium: &dyn Medium) -> Result<(), OpenError> {
    let before = medium.bytes();
    database.compact().map_err(|error| OpenError::Damaged {
        path: medium.path().to_owned(),
        detail: error.to_string(),
    })?;
    tracing::info!(before, after = medium.bytes(), "store-compacted");
    Ok(())
}

/// Makes sure that this is a store of ours, of this version and for this master key, and reads where it stands.
pub(super) fn prepare(
    database: &mut Database,
    medium: &dyn Medium,
    keyring: &Keyring,
    random: &Random,
    (before, now): (Before, Timestamp),
) -> Result<State, OpenError> {
    let damaged = |detail: &str| OpenError::Damaged {
        path: medium.path().to_owned(),
        detail: detail.to_owned(),
    };
    let broken = |fault: Fault| damaged(&StoreError::from(fault).to_string());
    let meta = |database: &Database, key: &'static [u8]| -> Result<Option<Vec<u8>>, OpenError> {
        let read = || read_one(&database.begin_read().map_err(Fault::from)?, META, key);
        read().map_err(broken)
    };
    match meta(database, SCHEMA_KEY)? {
        None => make(database, keyring, random).map_err(broken)?,
        Some(found) => {
            let found = <[u8; 4]>::try_from(found.as_slice()).map_err(|_| damaged("its schema version is no number"))?;
            if migrate::migrate(database, medium, u32::from_be_bytes(found), migrate::MIGRATIONS, (before, now))? {
                compact(database, medium)?;
            }
        }
    }
    let cluster = meta(database, CLUSTER)?.ok_or_else(|| damaged("it has no identity"))?;
    let check = meta(database, CHECK)?.ok_or_else(|| damaged("it has no check value"))?;
    let check: KeyedHash = serde_json::from_slice(&check).map_err(|_| damaged("its check value cannot be read"))?;
    if keyring.hash_like(&check, Purpose::Check, &cluster) != Some(check.hash) {
        return Err(OpenError::WrongMasterKey);
    }
    load_state(database)
        .map_err(broken)?
        .ok_or_else(|| damaged("the end of its audit trail cannot be read"))
}

/// Where the store stands, read from its tables; `None` if that is not readable.
pub(super) fn load_state(database: &Database) -> Result<Option<State>, Fault> {
    let transaction = database.begin_read()?;
    let revision = read_one(&transaction, META, REVISION)?.unwrap_or_default();
    let marked = read_last(&transaction, MARKS)?
        .and_then(|(key, _)| chain::number_of(&key))
        .unwrap_or(0);
    let trail = Trail::ending_with(read_last(&transaction, AUDIT)?, marked);
    Ok(trail.map(|trail| State {
        revision: revision.try_into().map_or(0, u64::from_be_bytes),
        trail,
    }))
}

/// The value by which another master key is told.
pub(super) fn check_value(keyring: &Keyring, cluster: &[u8]) -> Vec<u8> {
    // A keyed hash is two strings of digits, which JSON has no reason to refuse.
    serde_json::to_vec(&keyring.hash(Purpose::Check, cluster)).unwrap_or_default()
}

/// A new store: its schema, its identity, the check value of its master key.
fn make(database: &Database, keyring: &Keyring, random: &Random) -> Result<(), Fault> {
    let cluster: [u8; 16] = random.bytes();
    in_transaction(database, |tables| {
        tables.put(META, SCHEMA_KEY, &migrate::SCHEMA.to_be_bytes())?;
        tables.put(META, CLUSTER, &cluster)?;
        tables.put(META, CHECK, &check_value(keyring, &cluster))?;
        Ok(true)
    })
}
