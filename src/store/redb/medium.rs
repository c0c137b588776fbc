//! What the embedded engine writes to: a file, or memory. It says how a failed write failed.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{BackendError, StorageBackend};

/// Something a store can be kept on. It is opened again after a full disk.
pub trait Medium: Send + Sync + std::fmt::Debug {
    /// The bytes. Called once at start, and again after the handle before was closed.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// What messages call it.
    fn path(&self) -> &Path;

    /// Whether reading never waits for a disk, so that it may be done where one must not wait.
    fn is_memory(&self) -> bool {
        false
    }

    /// How many bytes it takes on a disk, if it is on one and says so.
    fn bytes(&self) -> Option<u64> {
        None
    }

    /// Whether it can be opened again with what was written before.
    fn reopens(&self) -> bool {
        true
    }
}

/// A file.
#[derive(Debug)]
pub struct OnFile {
    path: PathBuf,
}

impl OnFile {
    /// The file at `path`, made if it is not there, its folder too.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Medium for OnFile {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let file = private_file(OpenOptions::new().read(true).write(true).create(true).truncate(false), &self.path)?;
        let grown = file.try_clone()?;
        let backend = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Box::new(Roomy { backend, file: grown }))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn bytes(&self) -> Option<u64> {
        std::fs::metadata(&self.path).ok().map(|known| known.len())
    }
}

/// Opens a file that only its owner may read.
pub(in crate::store) fn private_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// Memory.
#[derive(Clone, Copy, Debug)]
pub struct InMemory;

impl Medium for InMemory {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(InMemoryBackend::new()))
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn is_memory(&self) -> bool {
        true
    }

    fn reopens(&self) -> bool {
        false
    }
}

/// A file whose room is taken when it grows. A full disk then shows where the file would grow, when nothing has been written yet, and
/// never in the middle of pages that were promised.
#[derive(Debug)]
struct Roomy {
    backend: FileBackend,
    file: File,
}

impl Roomy {
    fn take_room(&self, from: u64, to: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            match fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
                // Some file systems cannot promise room; there the write itself will say.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                answer => answer?,
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (&self.file, from, to);
        Ok(())
    }
}

impl StorageBackend for Roomy {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.backend.len()?;
        if len > before {
            self.take_room(before, len)?;
        }
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}

/// A box of a backend, which the engine wants by value. It hides a full disk that shows only when writing is forced: what the system
/// kept of such a write is not known, so that counts as a failed disk and not as a refusal.
#[derive(Debug)]
pub(super) struct Boxed(pub(super) Box<dyn StorageBackend>);

impl StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0
            .sync_data()
            .map_err(|error| io::Error::other(format!("writing could not be forced to the disk: {error}")))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
