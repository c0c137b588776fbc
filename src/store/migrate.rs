//! One step for each form that the store has had: forward only, with a copy made before.

mod form_2;

use std::path::{Path, PathBuf};

use redb::Database;

use crate::base::time::Timestamp;

use super::backup;
use super::error::{OpenError, StoreError};
use super::redb::{META, Medium, SCHEMA_KEY, Tables, in_transaction};

/// The form that this version writes.
pub(super) const SCHEMA: u32 = 2;

/// What is made of a store before it is stepped forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// A portable copy beside it.
    Copy,
    /// Nothing: it was just made out of such a copy.
    Nothing,
}

/// What brings a store to the next form. Numbers follow each other without a gap.
pub(super) struct Migration {
    /// The form that it makes, from the one before.
    pub(super) to: u32,
    /// Rewrites rows, in the one transaction that also notes the new form.
    pub(super) run: fn(&mut Tables<'_>) -> Result<(), StoreError>,
}

/// Every step there is, the oldest first.
pub(super) const MIGRATIONS: &[Migration] = &[Migration { to: 2, run: form_2::run }];

/// Brings a store from the form it was `found` in to the newest, or refuses one that is newer. Says whether anything was to be done.
///
/// # Errors
/// [`OpenError::Newer`]; [`OpenError::CopyBefore`] or [`OpenError::Migration`], after which the store is as the last good step left it.
pub(super) fn migrate(
    database: &Database,
    medium: &dyn Medium,
    found: u32,
    migrations: &[Migration],
    (before, now): (Before, Timestamp),
) -> Result<bool, OpenError> {
    let known = migrations.last().map_or(SCHEMA, |migration| migration.to);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    let due: Vec<&Migration> = migrations.iter().filter(|migration| migration.to > found).collect();
    if due.is_empty() {
        return Ok(false);
    }
    if before == Before::Copy && !medium.is_memory() {
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
    Ok(true)
}

/// `portcullis.redb` of form 1 is copied to `portcullis.redb.schema-1.1753000000.backup` beside it.
fn copy_name(path: &Path, schema: u32, now: Timestamp) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".schema-{schema}.{}.backup", now.as_secs()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::random::Random;
    use crate::base::seal::{Keyring, MasterKey};
    use crate::store::redb::{OnFile, open_database, read_slice};
    use crate::store::rows::Kind;
    use crate::store::{Store, restore};

    const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);
    /// A form that is not there yet.
    const NEXT: u32 = SCHEMA + 1;

    fn keyring() -> Arc<Keyring> {
        Arc::new(Keyring::new(MasterKey::from_bytes([7; 32]), Vec::new()))
    }

    fn put_row(tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.put("singles", b"stepped", b"once").map_err(StoreError::from)
    }

    fn half_then_fail(tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.put("singles", b"half", b"done").map_err(StoreError::from)?;
        Err(StoreError::Unreadable(Kind::Singles))
    }

    /// A store of the form of this version, closed.
    fn a_store(path: &Path) {
        drop(Store::open(path, &keyring(), &Random::System, NOW).unwrap());
    }

    fn singles(database: &Database) -> Vec<Vec<u8>> {
        let rows = read_slice(database, "singles", None, 99).unwrap();
        rows.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn numbers_follow_each_other_up_to_the_form_of_this_version() {
        let numbers: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.to).collect();
        assert!(numbers.iter().copied().eq((1..SCHEMA).map(|before| before + 1)), "{numbers:?}");
    }

    #[test]
    fn an_old_store_is_copied_and_then_stepped_forward_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.redb");
        a_store(&path);
        let medium = OnFile::new(&path);
        let steps = [Migration { to: NEXT, run: put_row }];
        let database = open_database(&medium).unwrap();
        assert!(migrate(&database, &medium, SCHEMA, &steps, (Before::Copy, NOW)).unwrap());
        assert!(!migrate(&database, &medium, NEXT, &steps, (Before::Copy, NOW)).unwrap());
        assert_eq!(singles(&database), [b"stepped"]);
        drop(database);
        let newer = Store::open(&path, &keyring(), &Random::System, NOW).unwrap_err();
        assert!(
            matches!(
                newer,
                OpenError::Newer {
                    found: NEXT,
                    known: SCHEMA
                }
            ),
            "{newer}"
        );
        let copy = folder.path().join(format!("p.redb.schema-{SCHEMA}.1900000000.backup"));
        let back = folder.path().join("back.redb");
        restore(&copy, &back, &keyring(), &Random::System, NOW).unwrap();
        assert_eq!(singles(&open_database(&OnFile::new(&back)).unwrap()), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_step_that_fails_leaves_the_store_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.redb");
        a_store(&path);
        let medium = OnFile::new(&path);
        let steps = [
            Migration { to: NEXT, run: put_row },
            Migration {
                to: NEXT + 1,
                run: half_then_fail,
            },
        ];
        let database = open_database(&medium).unwrap();
        let failed = migrate(&database, &medium, SCHEMA, &steps, (Before::Copy, NOW)).unwrap_err();
        assert!(matches!(failed, OpenError::Migration { to, .. } if to == NEXT + 1), "{failed}");
        assert_eq!(singles(&database), [b"stepped"], "the good step stays, nothing of the bad one");
    }
}
