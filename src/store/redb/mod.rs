//! The embedded engine: one file, one thread that writes, reads beside it.

mod apply;
mod looking;
mod medium;
mod notes;
mod opening;
mod packing;
mod raw;
mod tables;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::{Semaphore, oneshot};

use crate::base::random::Random;
use crate::base::seal::Keyring;
use crate::base::time::Timestamp;
use crate::model::attempts::{AttemptLimit, Attempts};
use crate::model::id::SessionId;

use super::chain::Mark;
use super::commit::Commit;
use super::error::{Cause, OpenError, StoreError};
use super::migrate::Before;
use super::record::Side;
use super::records::AttemptKey;
use super::rows::{Change, IndexKey, Kind, Row, UniqueKey};
use super::{Changes, Epoch, Subscriber, Swept};

use apply::{Done, Work};
pub(in crate::store) use medium::private_file;
pub use medium::{InMemory, Medium, OnFile};
pub(in crate::store) use notes::Notes;
pub(in crate::store) use opening::open_database;
use opening::{prepare, shrink};
pub(in crate::store) use raw::{count_rows, load, read_rows, read_slice};
pub(in crate::store) use tables::{AUDIT, INDEXES, MARKS, META, Pair, Spot, Tables, Touched, UNIQUES, all_tables};
use tables::{Fault, read_many, read_one, read_side};
pub(in crate::store) use writer::in_transaction;
use writer::{Job, Writer};

/// Commits that may wait to be written; whoever comes then waits for a place.
const QUEUE: usize = 1024;
/// Threads that read from a file, and reads that may wait for one of them.
const READERS: usize = 2;
const READ_QUEUE: usize = 1024;
/// Sessions whose last use waits to be written. More than that in a few seconds are not noted.
const TOUCHES: usize = 200_000;
/// Changes that are kept for those who ask later.
const RECENT: usize = 16_384;

/// Where the form of the store is noted.
pub(in crate::store) const SCHEMA_KEY: &[u8] = b"schema";
const CLUSTER: &[u8] = b"cluster";
const CHECK: &[u8] = b"check";
const REVISION: &[u8] = b"revision";

/// What the threads share.
#[derive(Debug)]
pub(in crate::store) struct Shared {
    medium: Box<dyn Medium>,
    /// Nothing while it is closed. Held for reading while a transaction is open, and never over an await.
    database: RwLock<Option<Database>>,
    health: Mutex<Option<StoreError>>,
    told: Told,
    recent: Mutex<Recent>,
    touches: Mutex<HashMap<SessionId, Timestamp>>,
    keyring: Arc<Keyring>,
    /// Whether a backup wants to know what is written.
    noting: AtomicBool,
}

#[derive(Default)]
struct Told(RwLock<Vec<Subscriber>>);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

#[derive(Debug)]
struct Recent {
    /// Revision at which it happened, and what.
    changes: VecDeque<(u64, Change)>,
    /// The revision up to which changes are not here any more.
    lost: u64,
    now: u64,
}

/// A lock whose holder panicked still guards sound data here: every one of them is written in one step.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(database: Database, medium: Box<dyn Medium>, keyring: &Arc<Keyring>, revision: u64) -> Self {
        Self {
            medium,
            database: RwLock::new(Some(database)),
            health: Mutex::default(),
            told: Told::default(),
            recent: Mutex::new(Recent {
                changes: VecDeque::new(),
                lost: revision,
                now: revision,
            }),
            touches: Mutex::default(),
            keyring: Arc::clone(keyring),
            noting: AtomicBool::new(false),
        }
    }

    /// A store out of a backup, that is only read: prepared as for use, without the threads.
    pub(in crate::store) fn still(
        mut database: Database,
        medium: Box<dyn Medium>,
        keyring: &Keyring,
        random: &Random,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let state = prepare(&mut database, &*medium, keyring, random, (Before::Nothing, now))?;
        Ok(Self::new(database, medium, &Arc::new(keyring.clone()), state.revision))
    }

    /// Reads in one transaction, on this thread.
    pub(in crate::store) fn read<T>(&self, reading: impl FnOnce(&ReadTransaction) -> Result<T, Fault>) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Err(self.health_or(StoreError::Unavailable(Cause::Closed)));
        };
        let read = || reading(&database.begin_read().map_err(Fault::from)?);
        read().map_err(StoreError::from)
    }

    /// A slice of a table, behind a key.
    pub(in crate::store) fn slice(&self, table: &'static str, after: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.read(|transaction| read_many(transaction, table, &[], after, limit))
    }

    /// One row of a table.
    pub(in crate::store) fn one(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|transaction| read_one(transaction, table, key))
    }

    fn health_or(&self, otherwise: StoreError) -> StoreError {
        held(&self.health).clone().unwrap_or(otherwise)
    }

    fn set_health(&self, health: Option<StoreError>) {
        let mut known = held(&self.health);
        // What is out of order until a restart is not mended by a later refusal.
        if !matches!(*known, Some(StoreError::Unavailable(_))) {
            *known = health;
        }
    }
}

type Reading = Box<dyn FnOnce(&Shared) + Send>;

/// The embedded engine.
#[derive(Debug)]
pub(in crate::store) struct Redb {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    queue: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    closed: Mutex<Option<oneshot::Receiver<()>>>,
    /// Nothing where reading never waits.
    readers: Option<tokio::sync::mpsc::Sender<Reading>>,
    backups: Arc<Mutex<()>>,
}

impl Redb {
    pub(in crate::store) fn open(
        medium: Box<dyn Medium>,
        keyring: &Arc<Keyring>,
        random: &Random,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let mut database = open_database(&*medium)?;
        shrink(&mut database, &*medium)?;
        let state = prepare(&mut database, &*medium, keyring, random, (Before::Copy, now))?;
        let shared = Arc::new(Shared::new(database, medium, keyring, state.revision));
        let thread = |source| OpenError::Io {
            path: shared.medium.path().to_owned(),
            source,
        };
        let readers = if shared.medium.is_memory() {
            None
        } else {
            Some(start_readers(&shared).map_err(thread)?)
        };
        // Places in the queue are given out by the semaphore; the few more are for the store's own work.
        let (queue, jobs) = std::sync::mpsc::sync_channel(QUEUE + 16);
        let (ended, closed) = oneshot::channel();
        let writer = Writer::new(Arc::clone(&shared), jobs, state);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                writer.run();
                drop(ended);
            })
            .map_err(thread)?;
        Ok(Self {
            shared,
            room: Arc::new(Semaphore::new(QUEUE)),
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
            closed: Mutex::new(Some(closed)),
            readers,
            backups: Arc::default(),
        })
    }

    async fn work(&self, work: Work) -> Result<Done, StoreError> {
        let closed = || self.shared.health_or(StoreError::Unavailable(Cause::Closed));
        let place = Arc::clone(&self.room).acquire_owned().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            work,
            answer: Some(answer),
            place: Some(place),
        };
        self.sender().and_then(|queue| queue.try_send(job).ok()).ok_or_else(closed)?;
        answered.await.map_err(|_| closed())?
    }

    fn sender(&self) -> Option<SyncSender<Job>> {
        held(&self.queue).clone()
    }

    /// Reads off this thread where reading may wait for a disk.
    async fn reading<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(readers) = &self.readers else {
            return reading(&self.shared);
        };
        let (answer, answered) = oneshot::channel();
        let reading: Reading = Box::new(move |shared| {
            // Whoever asked may be gone.
            let _ = answer.send(reading(shared));
        });
        let closed = || self.shared.health_or(StoreError::Unavailable(Cause::Closed));
        readers.send(reading).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Does something long on a thread of its own.
    pub(in crate::store) async fn aside<T: Send + 'static>(
        &self,
        name: &str,
        doing: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _ = answer.send(doing(&shared));
            })
            .map_err(|error| StoreError::Unavailable(Cause::Disk(error.to_string())))?;
        answered.await.map_err(|_| StoreError::Unavailable(Cause::Closed))
    }

    pub(in crate::store) async fn get(&self, kind: Kind, key: Vec<u8>) -> Result<Option<Row>, StoreError> {
        self.reading(move |shared| {
            let bytes = shared.one(kind.table(), &key)?;
            bytes.map(|bytes| row(kind, &bytes)).transpose()
        })
        .await
    }

    pub(in crate::store) async fn find(&self, kind: Kind, unique: UniqueKey) -> Result<Option<Row>, StoreError> {
        self.reading(move |shared| {
            let bytes = shared.read(|transaction| match read_one(transaction, UNIQUES, &unique.stored())? {
                Some(key) => read_one(transaction, kind.table(), &key),
                None => Ok(None),
            })?;
            bytes.map(|bytes| row(kind, &bytes)).transpose()
        })
        .await
    }

    pub(in crate::store) async fn list(
        &self,
        kind: Kind,
        within: Option<IndexKey>,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.reading(move |shared| {
            let found = shared.read(|transaction| {
                let Some(index) = within else {
                    let rows = read_side(transaction, kind.table(), &[], &side, limit)?;
                    return Ok(rows.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
                };
                let (prefix, side) = (index.prefix(), side.map(|key| index.entry(key)));
                if !index.is_kept() {
                    let rows = read_side(transaction, kind.table(), &prefix, &side, limit)?;
                    return Ok(rows.into_iter().map(|(_, value)| value).collect());
                }
                let entries = read_side(transaction, INDEXES, &prefix, &side, limit)?;
                let mut rows = Vec::with_capacity(entries.len());
                for (entry, _) in &entries {
                    let key = entry.get(prefix.len()..).unwrap_or_default();
                    rows.extend(read_one(transaction, kind.table(), key)?);
                }
                Ok(rows)
            })?;
            found.iter().map(|bytes| row(kind, bytes)).collect()
        })
        .await
    }

    pub(in crate::store) async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.work(Work::Commit(Box::new(commit))).await.map(|_| ())
    }

    pub(in crate::store) async fn count(&self, key: AttemptKey, limit: AttemptLimit, now: Timestamp) -> Result<Attempts, StoreError> {
        match self.work(Work::Count(key, limit, now)).await? {
            Done::Attempts(attempts) => Ok(attempts),
            _ => Err(StoreError::Unreadable(Kind::Attempts)),
        }
    }

    pub(in crate::store) async fn uncount(&self, key: AttemptKey, now: Timestamp) -> Result<(), StoreError> {
        self.work(Work::Uncount(key, now)).await.map(|_| ())
    }

    pub(in crate::store) async fn clear_count(&self, key: AttemptKey) -> Result<(), StoreError> {
        self.work(Work::ClearCount(key)).await.map(|_| ())
    }

    pub(in crate::store) fn touch(&self, session: SessionId, now: Timestamp) {
        let mut touches = held(&self.shared.touches);
        if touches.len() < TOUCHES || touches.contains_key(&session) {
            let latest = touches.entry(session).or_insert(now);
            *latest = now.max(*latest);
        }
    }

    pub(in crate::store) async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        match self.work(Work::Sweep(now)).await? {
            Done::Swept(swept) => Ok(swept),
            _ => Ok(Swept::default()),
        }
    }

    pub(in crate::store) async fn mark_audit(&self, now: Timestamp) -> Result<Option<Mark>, StoreError> {
        match self.work(Work::Mark(now)).await? {
            Done::Mark(mark) => Ok(mark),
            _ => Ok(None),
        }
    }

    pub(in crate::store) async fn set_check(&self, keyring: Keyring) -> Result<(), StoreError> {
        self.work(Work::SetCheck(Box::new(keyring))).await.map(|_| ())
    }

    pub(in crate::store) fn subscribe(&self, subscriber: Subscriber) {
        self.shared.told.0.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    pub(in crate::store) fn changes(&self, since: Epoch) -> Changes {
        let recent = held(&self.shared.recent);
        let now = Epoch(recent.now);
        if since.0 < recent.lost {
            return Changes::Everything(now);
        }
        let behind = recent.changes.iter().filter(|(revision, _)| *revision > since.0);
        Changes::These(behind.map(|(_, change)| change.clone()).collect(), now)
    }

    pub(in crate::store) fn epoch(&self) -> Epoch {
        Epoch(held(&self.shared.recent).now)
    }

    pub(in crate::store) fn health(&self) -> Result<(), StoreError> {
        held(&self.shared.health).clone().map_or(Ok(()), Err)
    }

    /// A handle on a backup: while it lives no other is made, and what is written is noted.
    pub(in crate::store) fn notes(&self) -> Notes {
        Notes {
            shared: Arc::clone(&self.shared),
            queue: self.sender(),
            backups: Arc::clone(&self.backups),
        }
    }

    pub(in crate::store) async fn close(&self) {
        drop(held(&self.queue).take());
        let closed = held(&self.closed).take();
        if let Some(closed) = closed {
            // The writer drops its end when the file is closed.
            let _ = closed.await;
        }
        self.shared.set_health(Some(StoreError::Unavailable(Cause::Closed)));
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        drop(held(&self.queue).take());
        let Some(writer) = held(&self.writer).take() else { return };
        // A subscriber may hold the last handle, and is dropped by the writer itself.
        if writer.thread().id() != std::thread::current().id() {
            let _ = writer.join();
        }
    }
}

/// Reads every row of every table.
pub(in crate::store) fn read_all(shared: &Shared) -> Result<u64, StoreError> {
    const SLICE: usize = 1000;
    let mut rows = 0;
    for table in all_tables() {
        let kind = Kind::ALL.into_iter().find(|kind| kind.table() == table);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let slice = shared.slice(table, after.as_deref(), SLICE)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            rows += slice.len() as u64;
            if let Some(kind) = kind {
                slice.iter().try_for_each(|(_, bytes)| row(kind, bytes).map(drop))?;
            }
        }
    }
    Ok(rows)
}

fn row(kind: Kind, bytes: &[u8]) -> Result<Row, StoreError> {
    Row::decode(bytes).ok_or(StoreError::Unreadable(kind))
}

/// Threads that take readings one by one until the store is dropped.
fn start_readers(shared: &Arc<Shared>) -> std::io::Result<tokio::sync::mpsc::Sender<Reading>> {
    let (readers, readings) = tokio::sync::mpsc::channel::<Reading>(READ_QUEUE);
    let readings = Arc::new(Mutex::new(readings));
    for number in 1..=READERS {
        let (readings, shared) = (Arc::clone(&readings), Arc::clone(shared));
        std::thread::Builder::new().name(format!("store-reader-{number}")).spawn(move || {
            loop {
                let reading = held(&readings).blocking_recv();
                let Some(reading) = reading else { break };
                // A reading that panics costs its asker an answer, and not the thread.
                let _ = catch_unwind(AssertUnwindSafe(|| reading(&shared)));
            }
        })?;
    }
    Ok(readers)
}
