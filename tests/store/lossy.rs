//! A disk that loses power: what was not forced to it is kept in part, sector by sector, in any order.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use portcullis::base::random::Random;
use portcullis::store::Medium;
use redb::StorageBackend;

const SECTOR: usize = 512;

/// What happens when a disk is told to force what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// It does.
    Honest,
    /// It says so and does not: the control that shows that the simulation bites.
    Lying,
}

#[derive(Debug)]
struct Disk {
    /// What survives.
    forced: Vec<u8>,
    /// What reads see.
    seen: Vec<u8>,
    /// What was written since, each sector with what was in it after the write.
    pending: Vec<(usize, Vec<u8>)>,
    /// How many operations there are until the power goes; none: it stays.
    fuse: Option<u32>,
    sync: Sync,
    /// Which room there is in all.
    room: u64,
}

impl Disk {
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The machine with that disk.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    disk: Arc<Mutex<Disk>>,
}

impl Machine {
    pub(crate) fn new(sync: Sync) -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk {
                forced: Vec::new(),
                seen: Vec::new(),
                pending: Vec::new(),
                fuse: None,
                sync,
                room: u64::MAX,
            })),
        }
    }

    /// The power goes after so many operations.
    pub(crate) fn burns_after(&self, operations: u32) {
        self.disk.lock().unwrap().fuse = Some(operations);
    }

    /// The disk holds that many bytes and no more.
    pub(crate) fn has_room_for(&self, bytes: u64) {
        self.disk.lock().unwrap().room = bytes;
    }

    pub(crate) fn size(&self) -> u64 {
        self.disk.lock().unwrap().seen.len() as u64
    }

    /// The power comes back. Of what was not forced each sector is as before, or as after any of the writes to it.
    pub(crate) fn powers_up(&self, random: &Random) {
        let mut disk = self.disk.lock().unwrap();
        let mut image = std::mem::take(&mut disk.forced);
        let pending = std::mem::take(&mut disk.pending);
        // The length of a file is metadata: grown before, or not yet.
        if disk.seen.len() > image.len() && random.below(2) == 0 {
            image.resize(disk.seen.len(), 0);
        }
        let mut order: Vec<usize> = (0..pending.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, random.below(u32::try_from(place + 1).unwrap()) as usize);
        }
        for place in order {
            let (sector, bytes) = &pending[place];
            if random.below(2) == 0 {
                continue;
            }
            let from = sector * SECTOR;
            if image.len() < from + bytes.len() {
                image.resize(from + bytes.len(), 0);
            }
            image[from..from + bytes.len()].copy_from_slice(bytes);
        }
        disk.seen = image.clone();
        disk.forced = image;
        disk.fuse = None;
    }
}

impl Medium for Machine {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn path(&self) -> &Path {
        Path::new("lossy")
    }
}

impl StorageBackend for Machine {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.disk.lock().unwrap();
        disk.burn()?;
        Ok(disk.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        disk.burn()?;
        let from = usize::try_from(offset).unwrap();
        let bytes = disk.seen.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        disk.burn()?;
        if len > disk.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.seen.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        disk.burn()?;
        if disk.sync == Sync::Honest {
            disk.forced = disk.seen.clone();
            disk.pending.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        disk.burn()?;
        let from = usize::try_from(offset).unwrap();
        if disk.seen.len() < from + data.len() {
            disk.seen.resize(from + data.len(), 0);
        }
        disk.seen[from..from + data.len()].copy_from_slice(data);
        for sector in from / SECTOR..=(from + data.len() - 1) / SECTOR {
            let end = disk.seen.len().min((sector + 1) * SECTOR);
            let bytes = disk.seen[sector * SECTOR..end].to_vec();
            disk.pending.push((sector, bytes));
        }
        Ok(())
    }
}
