//! A portable copy of everything, made while the store goes on, and the way back from it.

mod file;
mod restore;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::Database;

use super::chain::{AuditReport, BrokenChain};
use super::error::{OpenError, StoreError};
use super::redb::{Notes, Redb, Shared, private_file, read_slice};

use file::{Dump, check};
pub use restore::restore;

/// Rows that are read in one transaction: none is held longer than that takes, since the engine's file grows while one is.
const SLICE: usize = 1000;
/// What was touched is taken as of one moment when it is no more than that: the writer stands still for so long.
const LATE_ENOUGH: usize = 200;
/// How often what was touched is followed before the rest is taken at one moment.
const ROUNDS: usize = 20;

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a file of that name, and nothing is overwritten.
    #[error("`{0}` exists: give another name, or move it away")]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("`{path}` could not be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store did not answer.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    /// The restored store could not be opened.
    #[error("the restored store does not open")]
    Open(#[source] OpenError),
    /// The file is no backup, was cut short, or was changed.
    #[error("`{path}` is not a whole backup: {flaw}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// What was restored is not what the backup says. The half-made file was removed.
    #[error("the restored store differs from the backup in table `{0}`")]
    Differs(String),
    /// The engine finds its own file damaged.
    #[error("the restored file does not pass the engine's own check")]
    Integrity,
    /// The audit trail in the backup is broken.
    #[error("the audit trail in the backup is broken")]
    Audit(#[source] BrokenChain),
}

/// What is wrong with a backup file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It does not begin as one.
    #[error("it does not begin as a backup does")]
    Head,
    /// It ends too early.
    #[error("it ends too early")]
    Short,
    /// It holds something that no backup holds.
    #[error("it holds what no backup holds")]
    Frame,
    /// Its digest does not fit.
    #[error("its digest does not fit")]
    Digest,
    /// It names a table that this version does not know.
    #[error("it names a table that this version does not know")]
    Table,
}

/// What a backup or a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Rows in it, in all tables.
    pub rows: u64,
    /// Bytes of the portable file.
    pub bytes: u64,
    /// SHA-256 of the portable file's content, hexadecimal.
    pub digest: String,
    /// What going through the audit trail found; of a restore only.
    pub audit: Option<AuditReport>,
}

/// Writes a backup on a thread of its own and reads it back.
pub(super) async fn write(engine: &Redb, to: &Path) -> Result<BackupReport, BackupError> {
    let (notes, to) = (engine.notes(), to.to_owned());
    engine
        .aside("store-backup", move |_| {
            notes.during(|notes, shared| write_running(notes, shared, &to))
        })
        .await?
}

/// A backup of a store that is being written to.
fn write_running(notes: &Notes, shared: &Shared, to: &Path) -> Result<BackupReport, BackupError> {
    into_new_file(to, |dump| {
        // From this answer on every write is noted.
        notes.touched()?;
        dump.tables(|table, after| shared.slice(table, after, SLICE))?;
        dump.late()?;
        for _ in 0..ROUNDS {
            let mut touched: Vec<_> = notes.touched()?.into_iter().collect();
            let few = touched.len() <= LATE_ENOUGH;
            touched.sort();
            for (table, key) in touched {
                let value = shared.one(table, &key)?;
                dump.put_late(table, &key, value.as_deref())?;
            }
            if few {
                break;
            }
        }
        for (table, key, value) in notes.last_touched()? {
            dump.put_late(table, &key, value.as_deref())?;
        }
        Ok(())
    })
}

/// A backup of a store that nobody writes to.
pub(super) fn write_still(database: &Database, to: &Path) -> Result<BackupReport, BackupError> {
    into_new_file(to, |dump| dump.tables(|table, after| read_slice(database, table, after, SLICE)))
}

/// Writes beside the file, reads that back, and gives it its name only then.
fn into_new_file(to: &Path, writing: impl FnOnce(&mut Dump) -> Result<(), BackupError>) -> Result<BackupReport, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let unfinished = beside(to, ".unfinished");
    let io = |source| BackupError::Io {
        path: to.to_owned(),
        source,
    };
    let written = (|| {
        let file = private_file(OpenOptions::new().write(true).create(true).truncate(true), &unfinished).map_err(io)?;
        let mut dump = Dump::new(file, to).map_err(io)?;
        writing(&mut dump)?;
        dump.finish().map_err(io)?;
        let report = check(&unfinished)?;
        // A link, unlike a change of name, never takes the place of a file that has come meanwhile.
        std::fs::hard_link(&unfinished, to)
            .or_else(|_| std::fs::rename(&unfinished, to))
            .map_err(io)?;
        sync_folder(to).map_err(io)?;
        Ok(report)
    })();
    // Of no use any more, and nothing hangs on its going.
    let _ = std::fs::remove_file(&unfinished);
    written
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// A name is on the disk when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
