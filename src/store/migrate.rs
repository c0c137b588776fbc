//! One step for each form that the store has had: forward only, with a copy made before.

use std::path::{Path, PathBuf};

use redb::Database;

use crate::base::time::Timestamp;

use super::backup;
use super::error::{OpenError, StoreError};
use super::redb::{META, Medium, SCHEMA_KEY, Tables, in_transaction};

/// The form that this version writes.
pub(super) const SCHEMA: u32 = 1;

/// What brings a store to the next form. Numbers follow each other without a gap.
pub(super) struct Migration {
    /// The form that it makes, from the one before.
    pub(super) to: u32,
    /// Rewrites rows, in the one transaction that also notes the new form.
    pub(super) run: fn(&mut Tables<'_>) -> Result<(), StoreError>,
}

/// Every step there is, the oldest first.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// Brings a store from the form it was `found` in to the newest, or refuses one that is newer.
///
/// # Errors
/// [`OpenError::Newer`]; [`OpenError::CopyBefore`] or [`OpenError::Migration`], after which the store is as the last good step left it.
pub(super) fn migrate(
    database: &Database,
    medium: &dyn Medium,
    found: u32,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<(), OpenError> {
    let known = migrations.last().map_or(SCHEMA, |migration| migration.to);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    let due: Vec<&Migration> = migrations.iter().filter(|migration| migration.to > found).collect();
    if due.is_empty() {
        return Ok(());
    }
    if !medium.is_memory() {
        let copy = copy_name(medium.path(), found, now);
        backup::write_still(database, &copy).map_err(|error| OpenError::CopyBefore(Box::new(error)))?;
        tracing::info!(copy = %copy.display(), schema = found, "store-copied-before-migration");
    }
    for migration in due {
        let mut refused = None;
        let written = in_transaction(database, |tables| {
            if let Err(error) = (migration.run)(tables) {
                refused = Some(error);
                return Ok(false);
            }
            tables.put(META, SCHEMA_KEY, &migration.to.to_be_bytes())?;
            Ok(true)
        });
        let failed = refused.or_else(|| written.err().map(StoreError::from));
        if let Some(source) = failed {
            return Err(OpenError::Migration { to: migration.to, source });
        }
        tracing::info!(schema = migration.to, "store-migrated");
    }
    Ok(())
}

/// `portcullis.redb` of form 1 is copied to `portcullis.redb.schema-1.1753000000.backup` beside it.
fn copy_name(path: &Path, schema: u32, now: Timestamp) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".schema-{schema}.{}.backup", now.as_secs()));
    path.with_file_name(name)
}
