//! The way back: a new store out of a backup, with its name only when everything about it has been looked at.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use redb::Database;

use crate::base::random::Random;
use crate::base::seal::Keyring;
use crate::base::time::Timestamp;
use crate::store::chain;
use crate::store::redb::{OnFile, Shared, Spot, all_tables, count_rows, load, open_database, read_rows};

use super::file::{Late, each_row, survey};
use super::{BackupError, BackupReport, beside, sync_folder};

/// Rows that are written or compared in one transaction.
const LOADED_AT_ONCE: usize = 5000;

/// Makes a new store at `to` out of a backup, and gives it its name only when it has been compared with the backup row by row, passed
/// the engine's own check, opened under the master key, and its audit trail has been gone through.
///
/// It waits for the disk, so it is not for a thread that serves.
///
/// # Errors
/// [`BackupError`]; then there is no store at `to`.
pub fn restore(from: &Path, to: &Path, keyring: &Keyring, random: &Random, now: Timestamp) -> Result<BackupReport, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let unfinished = beside(to, ".restoring");
    // Left by a restore that was cut off.
    let _ = std::fs::remove_file(&unfinished);
    let io = |source| BackupError::Io {
        path: to.to_owned(),
        source,
    };
    let restored = restore_into(from, &unfinished, keyring, random, now).and_then(|report| {
        std::fs::hard_link(&unfinished, to)
            .or_else(|_| std::fs::rename(&unfinished, to))
            .map_err(io)?;
        sync_folder(to).map_err(io)?;
        Ok(report)
    });
    let _ = std::fs::remove_file(&unfinished);
    restored
}

fn restore_into(from: &Path, to: &Path, keyring: &Keyring, random: &Random, now: Timestamp) -> Result<BackupReport, BackupError> {
    let (mut report, late) = survey(from)?;
    let medium = OnFile::new(to);
    let mut database = open_database(&medium).map_err(BackupError::Open)?;
    let mut waiting = Vec::with_capacity(LOADED_AT_ONCE);
    report.rows = each_row(from, &late, |table, row| {
        waiting.push((table, row));
        if waiting.len() == LOADED_AT_ONCE {
            load(&database, &waiting)?;
            waiting.clear();
        }
        Ok(())
    })?;
    load(&database, &waiting)?;
    if !matches!(database.check_integrity(), Ok(true)) {
        return Err(BackupError::Integrity);
    }
    compare(from, &late, &database)?;
    // A backup of an older version is brought to the form of this one here; the comparison was with the form it had.
    let shared = Shared::still(database, Box::new(medium), keyring, random, now).map_err(BackupError::Open)?;
    let audit = chain::verify(&shared, keyring, None)?;
    if let Some(broken) = audit.broken {
        return Err(BackupError::Audit(broken));
    }
    report.audit = Some(audit);
    Ok(report)
}

/// Every row of the backup is in the store, and nothing else.
fn compare(from: &Path, late: &Late, database: &Database) -> Result<(), BackupError> {
    let mut counts: HashMap<&'static str, u64> = HashMap::new();
    let mut waiting: HashMap<Spot, Vec<u8>> = HashMap::new();
    let check = |waiting: &mut HashMap<Spot, Vec<u8>>| {
        let keys: HashSet<_> = waiting.keys().cloned().collect();
        let found = read_rows(database, keys)?;
        for ((table, key), value) in waiting.drain() {
            if found.get(&(table, key)) != Some(&value) {
                return Err(BackupError::Differs(table.to_owned()));
            }
        }
        Ok(())
    };
    each_row(from, late, |table, (key, value)| {
        *counts.entry(table).or_default() += 1;
        waiting.insert((table, key), value);
        if waiting.len() == LOADED_AT_ONCE {
            check(&mut waiting)?;
        }
        Ok(())
    })?;
    check(&mut waiting)?;
    for table in all_tables() {
        let expected = counts.get(table).copied().unwrap_or(0);
        if count_rows(database, table)? != expected {
            return Err(BackupError::Differs(table.to_owned()));
        }
    }
    Ok(())
}
