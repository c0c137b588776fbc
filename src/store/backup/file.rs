//! The portable file: how it is written, and how it is read and checked.
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
//! Names, keys and values have their length in four bytes before them. Rows that are written while the tables are copied are noted and
//! follow at the end, as of one moment.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::base::encoding::hex;
use crate::store::error::StoreError;
use crate::store::redb::{Pair, Spot, all_tables};

use super::{BackupError, BackupReport, Flaw};

const HEAD: &[u8] = b"portcullis backup 1\n";
/// No key or value of ours comes near; a length beyond it means a damaged file.
const LONGEST: u32 = 1 << 30;

/// A portable file while it is written.
pub(super) struct Dump {
    out: BufWriter<File>,
    path: PathBuf,
    digest: Context,
    table: Option<&'static str>,
    frames: u64,
}

impl Dump {
    pub(super) fn new(file: File, path: &Path) -> io::Result<Self> {
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
    pub(super) fn tables(
        &mut self,
        slice: impl Fn(&'static str, Option<&[u8]>) -> Result<Vec<Pair>, StoreError>,
    ) -> Result<(), BackupError> {
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

    pub(super) fn late(&mut self) -> Result<(), BackupError> {
        self.table = None;
        self.frame(b'L', &[])
    }

    pub(super) fn put_late(&mut self, table: &'static str, key: &[u8], value: Option<&[u8]>) -> Result<(), BackupError> {
        self.in_table(table)?;
        match value {
            Some(value) => self.frame(b'P', &[key, value]),
            None => self.frame(b'D', &[key]),
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
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
pub(super) struct Late {
    /// By table and key: the value at the end, or nothing if the row was gone.
    rows: HashMap<Spot, Option<Vec<u8>>>,
}

/// Goes through a portable file once: is it whole, and what is in its late part?
pub(super) fn survey(path: &Path) -> Result<(BackupReport, Late), BackupError> {
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
pub(super) fn each_row(
    path: &Path,
    late: &Late,
    mut taking: impl FnMut(&'static str, Pair) -> Result<(), BackupError>,
) -> Result<u64, BackupError> {
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
pub(super) fn check(path: &Path) -> Result<BackupReport, BackupError> {
    let (mut report, late) = survey(path)?;
    report.rows = each_row(path, &late, |_, _| Ok(()))?;
    Ok(report)
}
