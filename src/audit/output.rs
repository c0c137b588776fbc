//! The files of the decision log: appended to, turned daily, removed when they are old.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::time::Timestamp;

use super::decisions::Destination;

/// A file is closed and numbered when it has grown to this, so that finding and deleting stay cheap.
const LARGEST_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Where lines go.
pub(super) enum Output {
    StandardError(Vec<u8>),
    Memory,
    File {
        path: PathBuf,
        file: File,
        waiting: Vec<u8>,
        written: u64,
        day: i64,
        failed: bool,
        /// Whether the file ends in the middle of a line, whose rest waits.
        torn: bool,
        /// Lines that were given up since somebody asked.
        lost: u64,
    },
}

/// What waits for a disk that takes nothing, before lines are given up.
const MOST_WAITING_BYTES: usize = 16 * 1024 * 1024;

impl Output {
    pub(super) fn open(destination: &Destination, now: Timestamp) -> io::Result<Self> {
        match destination {
            Destination::StandardError => Ok(Self::StandardError(Vec::new())),
            Destination::Memory => Ok(Self::Memory),
            Destination::File(path) => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let file = open_to_append(path)?;
                let about = file.metadata()?;
                let day = about
                    .modified()
                    .ok()
                    .filter(|_| about.len() > 0)
                    .and_then(day_of)
                    .unwrap_or_else(|| day_number(now));
                Ok(Self::File {
                    path: path.clone(),
                    file,
                    waiting: Vec::new(),
                    written: about.len(),
                    day,
                    failed: false,
                    torn: false,
                    lost: 0,
                })
            }
        }
    }

    pub(super) fn line(&mut self, line: &impl serde::Serialize) {
        let (Self::StandardError(waiting) | Self::File { waiting, .. }) = self else {
            return;
        };
        if serde_json::to_writer(&mut *waiting, line).is_ok() {
            waiting.push(b'\n');
        }
        if waiting.len() >= 64 * 1024 {
            self.flush();
        }
    }

    pub(super) fn flush(&mut self) {
        match self {
            Self::Memory => {}
            Self::StandardError(waiting) => {
                let _ = io::stderr().lock().write_all(waiting);
                waiting.clear();
            }
            Self::File {
                path,
                file,
                waiting,
                written,
                failed,
                torn,
                lost,
                ..
            } => {
                if waiting.is_empty() {
                    return;
                }
                let (count, ended) = write_what_goes(file, waiting);
                if let Some(last) = count.checked_sub(1).and_then(|last| waiting.get(last)) {
                    *torn = *last != b'\n';
                }
                *written += count as u64;
                waiting.drain(..count);
                match ended {
                    Ok(()) if *failed => {
                        tracing::info!(file = %path.display(), lost, "the decision log can be written again");
                        *failed = false;
                    }
                    Ok(()) => {}
                    Err(error) => {
                        if !*failed {
                            tracing::error!(file = %path.display(), %error, "the decision log cannot be written; lines are kept in memory only until it can");
                        }
                        *failed = true;
                        if waiting.len() > MOST_WAITING_BYTES {
                            *lost += give_up(waiting, *torn);
                        }
                    }
                }
            }
        }
    }

    /// How many lines were given up since this was asked last.
    pub(super) fn take_lost(&mut self) -> u64 {
        match self {
            Self::File { lost, .. } => std::mem::take(lost),
            Self::StandardError(_) | Self::Memory => 0,
        }
    }

    /// Begins a new file on a new day or when this one is large, and removes what is older than `keep`. Says whether it did.
    pub(super) fn turn(&mut self, now: Timestamp, keep: Duration) -> bool {
        let Self::File {
            path,
            file,
            written,
            day,
            failed,
            ..
        } = self
        else {
            return false;
        };
        let today = day_number(now);
        if *written == 0 {
            *day = today;
            return false;
        }
        if (today == *day && *written < LARGEST_FILE_BYTES) || *failed {
            return false;
        }
        let turned = next_name(path, *day)
            .and_then(|name| fs::rename(&*path, name))
            .and_then(|()| open_to_append(path));
        match turned {
            Ok(new) => {
                *file = new;
                *written = 0;
                *day = today;
                remove_older(path, now.before(keep));
                true
            }
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "the decision log could not begin a new file and goes on in the old one");
                *day = today;
                false
            }
        }
    }
}

/// Writes as much as the disk takes: how much that was, and why it was not all. What was written once is never written again.
fn write_what_goes(file: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Gives up the lines that wait, but for the rest of one that is in the file already: says how many.
fn give_up(waiting: &mut Vec<u8>, torn: bool) -> u64 {
    let whole = match waiting.iter().position(|byte| *byte == b'\n') {
        Some(end) if torn => end + 1,
        _ => 0,
    };
    let lost = waiting.iter().skip(whole).filter(|byte| **byte == b'\n').count();
    waiting.truncate(whole);
    waiting.shrink_to(64 * 1024);
    lost as u64
}

fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640);
    }
    options.open(path)
}

fn day_number(now: Timestamp) -> i64 {
    now.as_secs().div_euclid(86_400)
}

fn day_of(time: std::time::SystemTime) -> Option<i64> {
    let secs = time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(secs / 86_400).ok()
}

/// The name a full file gets: `decisions.jsonl.2026-11-24`, then `.1`, `.2` behind it.
fn next_name(path: &Path, day: i64) -> io::Result<PathBuf> {
    let date: String = Timestamp::from_secs(day * 86_400).to_string().chars().take(10).collect();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{date}"));
    for number in 0..10_000 {
        let mut numbered = name.clone();
        if number > 0 {
            numbered.push(format!(".{number:04}"));
        }
        let candidate = PathBuf::from(numbered);
        if !candidate.try_exists()? {
            return Ok(candidate);
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "ten thousand files of one day"))
}

/// The numbered files beside a log, oldest first.
pub(super) fn older_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let prefix = format!("{name}.");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|other| other.strip_prefix(&prefix).is_some_and(is_date));
        if ours {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn is_date(ending: &str) -> bool {
    ending.len() >= 10 && ending.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'.')
}

pub(super) fn remove_older(path: &Path, than: Timestamp) {
    let Ok(files) = older_files(path) else { return };
    for file in files {
        let ended = fs::metadata(&file).and_then(|about| about.modified()).ok().and_then(day_of);
        if ended.is_none_or(|day| day >= day_number(than)) {
            continue;
        }
        if let Err(error) = fs::remove_file(&file) {
            tracing::warn!(file = %file.display(), %error, "an old file of the decision log could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, a few at a time, and then no more.
    struct Disk {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room - self.taken.len()).min(7);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_fills_in_the_middle_of_a_line_gets_the_rest_of_it_later_and_nothing_twice() {
        let mut disk = Disk {
            taken: Vec::new(),
            room: 12,
        };
        let lines = b"first line\nsecond line\nthird line\n";
        let (count, ended) = write_what_goes(&mut disk, lines);
        assert_eq!((count, ended.unwrap_err().kind()), (12, io::ErrorKind::StorageFull));
        disk.room = 100;
        let (rest, ended) = write_what_goes(&mut disk, &lines[count..]);
        assert!(ended.is_ok());
        assert_eq!((rest, disk.taken.as_slice()), (lines.len() - 12, &lines[..]));
    }

    #[test]
    fn lines_are_given_up_whole_and_counted() {
        let mut waiting = b"st of it\nsecond\nthird\n".to_vec();
        assert_eq!(give_up(&mut waiting, true), 2);
        assert_eq!(waiting, b"st of it\n");
        let mut waiting = b"first\nsecond\n".to_vec();
        assert_eq!(give_up(&mut waiting, false), 2);
        assert!(waiting.is_empty());
    }
}
