//! A portable copy of everything, made while the store goes on, and the way back from it.
//!
//! ```text
//! portcullis backup 1\n
//! T name                  a table begins
//! R key value             a row of it
//! L                       what was written while the tables were copied follows
//! T name, P key value     a row as it stood at the end
//! T name, D key           a row that was gone at the end
//! E rows digest           how many frames, and SHA-256 of every byte before it
//! ```
//! Names, keys and values have their length in four bytes before them. No read transaction is held longer than a slice takes, since
//! the engine's file grows while one is; rows that are written meanwhile are noted and follow at the end, as of one moment.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use redb::Database;

use crate::base::encoding::hex;
use crate::base::random::Random;
use crate::base::seal::Keyring;
use crate::base::time::Timestamp;

use super::chain::{self, AuditReport, BrokenChain};
use super::error::{OpenError, StoreError};
use super::redb::{Notes, OnFile, Pair, Redb, Shared, Spot, all_tables, load, private_file, read_slice};

const HEAD: &[u8] = b"portcullis backup 1\n";
/// Rows that are read in one transaction.
const SLICE: usize = 1000;
/// What was touched is taken as of one moment when it is no more than that: the writer stands still for so long.
const LATE_ENOUGH: usize = 200;
/// How often what was touched is followed before the rest is taken at one moment.
const ROUNDS: usize = 20;
/// No key or value of ours comes near; a length beyond it means a damaged file.
const LONGEST: u32 = 1 << 30;
/// Rows that a restore writes in one transaction.
const LOADED_AT_ONCE: usize = 5000;

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

/// A portable file while it is written.
struct Dump {
    out: BufWriter<File>,
    path: PathBuf,
    digest: Context,
    table: Option<&'static str>,
    frames: u64,
}

impl Dump {
    fn new(file: File, path: &Path) -> io::Result<Self> {
        let mut dump = Self {
            out: BufWriter::with_capacity(1 << 20, file),
            path: path.to_owned(),
            digest: Context::new(&SHA256),
            table: None,
            frames: 0,
        };
        dump.bytes(HEAD)?;
        Ok(dump)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }

    fn measured(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.bytes(&length.to_be_bytes())?;
        self.bytes(bytes)
    }

    fn frame(&mut self, letter: u8, parts: &[&[u8]]) -> Result<(), BackupError> {
        let write = |dump: &mut Self| {
            dump.bytes(&[letter])?;
            parts.iter().try_for_each(|part| dump.measured(part))
        };
        self.frames += 1;
        write(self).map_err(|source| BackupError::Io {
            path: self.path.clone(),
            source,
        })
    }

    fn in_table(&mut self, table: &'static str) -> Result<(), BackupError> {
        if self.table == Some(table) {
            return Ok(());
        }
        self.table = Some(table);
        self.frame(b'T', &[table.as_bytes()])
    }

    /// Every table, slice by slice.
    fn tables(&mut self, slice: impl Fn(&'static str, Option<&[u8]>) -> Result<Vec<Pair>, StoreError>) -> Result<(), BackupError> {
        for table in all_tables() {
            self.in_table(table)?;
            let mut after: Option<Vec<u8>> = None;
            loop {
                let rows = slice(table, after.as_deref())?;
                let Some((last, _)) = rows.last() else { break };
                after = Some(last.clone());
                for (key, value) in &rows {
                    self.frame(b'R', &[key, value])?;
                }
            }
        }
        Ok(())
    }

    fn late(&mut self) -> Result<(), BackupError> {
        self.table = None;
        self.frame(b'L', &[])
    }

    fn put_late(&mut self, table: &'static str, key: &[u8], value: Option<&[u8]>) -> Result<(), BackupError> {
        self.in_table(table)?;
        match value {
            Some(value) => self.frame(b'P', &[key, value]),
            None => self.frame(b'D', &[key]),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let frames = self.frames.to_be_bytes();
        self.bytes(b"E")?;
        self.bytes(&frames)?;
        let digest = self.digest.finish();
        self.out.write_all(digest.as_ref())?;
        let file = self.out.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()
    }
}

/// A frame of a portable file.
enum Frame {
    Table(&'static str),
    Row(Vec<u8>, Vec<u8>),
    Late,
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
}

/// A portable file while it is read.
struct Reader {
    input: BufReader<File>,
    path: PathBuf,
    digest: Context,
    frames: u64,
    bytes: u64,
    /// SHA-256 of the whole, once the end was met.
    whole: Option<String>,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|source| BackupError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut reader = Self {
            input: BufReader::with_capacity(1 << 20, file),
            path: path.to_owned(),
            digest: Context::new(&SHA256),
            frames: 0,
            bytes: 0,
            whole: None,
        };
        if reader.take(HEAD.len()).ok().as_deref() != Some(HEAD) {
            return Err(reader.flawed(Flaw::Head));
        }
        Ok(reader)
    }

    fn flawed(&self, flaw: Flaw) -> BackupError {
        BackupError::Damaged {
            path: self.path.clone(),
            flaw,
        }
    }

    /// Reads in pieces, so that a wrong length costs no memory that the file does not fill.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(length as u64).read_to_end(&mut bytes);
        match read {
            Ok(read) if read == length => {}
            Ok(_) => return Err(self.flawed(Flaw::Short)),
            Err(source) => {
                return Err(BackupError::Io {
                    path: self.path.clone(),
                    source,
                });
            }
        }
        self.digest.update(&bytes);
        self.bytes += length as u64;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| self.flawed(Flaw::Short))
    }

    fn measured(&mut self) -> Result<Vec<u8>, BackupError> {
        let length = u32::from_be_bytes(self.number()?);
        if length > LONGEST {
            return Err(self.flawed(Flaw::Frame));
        }
        self.take(length as usize)
    }

    /// The next frame; nothing at the end, if that is as it should be.
    fn next(&mut self) -> Result<Option<Frame>, BackupError> {
        let [letter] = self.number()?;
        self.frames += 1;
        let frame = match letter {
            b'T' => {
                let name = self.measured()?;
                let known = all_tables().find(|table| table.as_bytes() == name);
                Frame::Table(known.ok_or_else(|| self.flawed(Flaw::Table))?)
            }
            b'R' => Frame::Row(self.measured()?, self.measured()?),
            b'L' => Frame::Late,
            b'P' => Frame::Put(self.measured()?, self.measured()?),
            b'D' => Frame::Delete(self.measured()?),
            b'E' => {
                self.end()?;
                return Ok(None);
            }
            _ => return Err(self.flawed(Flaw::Frame)),
        };
        Ok(Some(frame))
    }

    fn end(&mut self) -> Result<(), BackupError> {
        let frames = u64::from_be_bytes(self.number()?);
        let digest = self.digest.clone().finish();
        let stored: [u8; 32] = self.number()?;
        if digest.as_ref() != stored || frames != self.frames - 1 {
            return Err(self.flawed(Flaw::Digest));
        }
        let mut one = [0];
        if self.input.read(&mut one).ok() != Some(0) {
            return Err(self.flawed(Flaw::Frame));
        }
        self.whole = Some(hex(digest.as_ref()));
        Ok(())
    }
}

/// What the rows of a portable file come to in the end: those of the first part, less what the late part says otherwise.
struct Late {
    /// By table and key: the value at the end, or nothing if the row was gone.
    rows: HashMap<Spot, Option<Vec<u8>>>,
}

/// Goes through a portable file once: is it whole, and what is in its late part?
fn survey(path: &Path) -> Result<(BackupReport, Late), BackupError> {
    let mut reader = Reader::open(path)?;
    let mut late = Late { rows: HashMap::new() };
    let (mut table, mut rows) = (None, 0);
    while let Some(frame) = reader.next()? {
        match (frame, table) {
            (Frame::Table(name), _) => table = Some(name),
            (Frame::Row(..), Some(_)) => rows += 1,
            (Frame::Late, _) => table = None,
            (Frame::Put(key, value), Some(table)) => {
                late.rows.insert((table, key), Some(value));
            }
            (Frame::Delete(key), Some(table)) => {
                late.rows.insert((table, key), None);
            }
            (Frame::Row(..) | Frame::Put(..) | Frame::Delete(_), None) => return Err(reader.flawed(Flaw::Frame)),
        }
    }
    let report = BackupReport {
        rows,
        bytes: reader.bytes,
        digest: reader.whole.clone().unwrap_or_default(),
        audit: None,
    };
    Ok((report, late))
}

/// Gives every row of a portable file to `taking`, each as it stood at the end; says how many there were.
fn each_row(path: &Path, late: &Late, mut taking: impl FnMut(&'static str, Pair) -> Result<(), BackupError>) -> Result<u64, BackupError> {
    let mut reader = Reader::open(path)?;
    let (mut table, mut rows) = ("", 0);
    while let Some(frame) = reader.next()? {
        match frame {
            Frame::Table(name) => table = name,
            Frame::Row(key, value) if !late.rows.contains_key(&(table, key.clone())) => {
                rows += 1;
                taking(table, (key, value))?;
            }
            Frame::Row(..) | Frame::Put(..) | Frame::Delete(_) => {}
            Frame::Late => break,
        }
    }
    for ((table, key), value) in &late.rows {
        if let Some(value) = value {
            rows += 1;
            taking(table, (key.clone(), value.clone()))?;
        }
    }
    Ok(rows)
}

/// Whether a portable file is whole, and how many rows it comes to.
fn check(path: &Path) -> Result<BackupReport, BackupError> {
    let (mut report, late) = survey(path)?;
    report.rows = each_row(path, &late, |_, _| Ok(()))?;
    Ok(report)
}

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
    let mut database = super::redb::open_database(&medium).map_err(BackupError::Open)?;
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
        let found = super::redb::read_rows(database, keys)?;
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
        if super::redb::count_rows(database, table)? != expected {
            return Err(BackupError::Differs(table.to_owned()));
        }
    }
    Ok(())
}
