//! The one thread that writes: it takes what waits, does each piece of work alone, forces all of it to the disk at once, then answers.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redb::{Database, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::model::session::Session;
use crate::store::chain::Mark;
use crate::store::error::{Cause, StoreError};
use crate::store::record::Record;
use crate::store::rows::Change;

use super::apply::{Batch, Done, State, Work};
use super::opening::{load_state, open_database};
use super::tables::{Fault, META, Tables, Touched};
use super::{RECENT, REVISION, Shared, held};

/// As much work as one transaction takes.
const BATCH: usize = 512;
/// How long a transaction waits for those who were in the last one: they were just answered and are likely to come again.
const GATHER: Duration = Duration::from_millis(1);
/// How often the last uses of sessions are written.
const FLUSH: Duration = Duration::from_secs(5);
/// How long the thread sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(1);

/// A piece of work and whom to answer.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) answer: Option<oneshot::Sender<Result<Done, StoreError>>>,
    /// A place in the queue, given back with the answer.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// What a transaction left when it was applied.
struct Applied {
    outcomes: Vec<Result<Done, StoreError>>,
    state: State,
    changes: Vec<Change>,
    marks: Vec<Mark>,
}

/// A transaction that failed, with what had been done if only forcing it to the disk did.
struct Failed {
    fault: Fault,
    begun: Option<Box<Applied>>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, begun: None }
    }
}

/// The thread that writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    state: State,
    /// What was written while a backup is made.
    touched: Option<Touched>,
    /// How many were in the last transaction.
    last: usize,
    flushed: Instant,
}

/// However the thread ends, nothing is answered as if it had not.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .set_health(Some(StoreError::Unavailable(Cause::Damaged("the writer stopped".to_owned()))));
        }
        let database = self.0.database.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(database);
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, jobs: Receiver<Job>, state: State) -> Self {
        Self {
            shared,
            jobs,
            state,
            touched: None,
            last: 1,
            flushed: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.shared));
        loop {
            match self.jobs.recv_timeout(IDLE) {
                Ok(first) => self.gather(first),
                Err(RecvTimeoutError::Timeout) => self.write(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.flushed = self.flushed.checked_sub(FLUSH).unwrap_or(self.flushed);
        self.write(Vec::new());
    }

    /// Takes what waits. Where several wrote at once, it gives them a moment to come again; one alone never waits.
    fn gather(&mut self, first: Job) {
        let began = Instant::now();
        let mut jobs = vec![first];
        while jobs.len() < BATCH {
            if let Ok(job) = self.jobs.try_recv() {
                jobs.push(job);
                continue;
            }
            let left = GATHER.saturating_sub(began.elapsed());
            if jobs.len() >= self.last || left.is_zero() {
                break;
            }
            match self.jobs.recv_timeout(left) {
                Ok(job) => jobs.push(job),
                Err(_) => break,
            }
        }
        self.last = jobs.len();
        self.write(jobs);
    }

    fn write(&mut self, mut jobs: Vec<Job>) {
        jobs.extend(self.chores());
        if jobs.is_empty() {
            return;
        }
        if !self.shared.noting.load(Ordering::SeqCst) {
            self.touched = None;
        } else if self.touched.is_none() {
            self.touched = Some(Touched::default());
        }
        let outcomes = match self.attempt(&jobs) {
            Ok(applied) => self.applied(applied),
            Err(failed) => self.failed(failed, jobs.len()),
        };
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            drop(job.place);
            if let Some(answer) = job.answer {
                // Whoever asked may be gone; what was done stays done.
                let _ = answer.send(outcome);
            }
        }
    }

    /// Every few seconds: last uses that have gathered, and while the disk is full a try whether it still is.
    fn chores(&mut self) -> Vec<Job> {
        if self.flushed.elapsed() < FLUSH {
            return Vec::new();
        }
        self.flushed = Instant::now();
        let mut chores = Vec::new();
        let touches = std::mem::take(&mut *held(&self.shared.touches));
        if !touches.is_empty() {
            let touches = touches.into_iter().map(|(session, at)| (Session::key_bytes(&session), at));
            chores.push(Work::Touch(touches.collect()));
        }
        if *held(&self.shared.health) == Some(StoreError::Full) {
            chores.push(Work::Probe);
        }
        let unasked = |work| Job {
            work,
            answer: None,
            place: None,
        };
        chores.into_iter().map(unasked).collect()
    }

    /// One transaction.
    fn attempt(&mut self, jobs: &[Job]) -> Result<Applied, Failed> {
        let shared = Arc::clone(&self.shared);
        let guard = shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_ref() else {
            return Err(Fault::Broken(Cause::Closed).into());
        };
        let transaction = begin(database)?;
        let (applied, wrote) = self.apply_all(&transaction, jobs)?;
        if !wrote {
            transaction.abort().map_err(Fault::from)?;
            return Ok(applied);
        }
        match transaction.commit() {
            Ok(()) => Ok(applied),
            Err(error) => Err(Failed {
                fault: error.into(),
                begun: Some(Box::new(applied)),
            }),
        }
    }

    fn apply_all(&mut self, transaction: &WriteTransaction, jobs: &[Job]) -> Result<(Applied, bool), Fault> {
        let mut state = self.state.clone();
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut batch = Batch {
            tables: Tables::new(transaction, self.touched.as_mut()),
            state: &mut state,
            keyring: &self.shared.keyring,
            changes: Vec::new(),
            wrote: false,
            marks: Vec::new(),
        };
        for job in jobs {
            outcomes.push(batch.apply(&job.work)?);
        }
        let wrote = batch.wrote;
        if wrote {
            // Every transaction that wrote has a revision of its own, which tells after a failure whether it was kept.
            batch.state.revision += 1;
            let revision = batch.state.revision.to_be_bytes();
            batch.tables.put(META, REVISION, &revision)?;
        }
        let (changes, marks) = (batch.changes, batch.marks);
        let applied = Applied {
            outcomes,
            state,
            changes,
            marks,
        };
        Ok((applied, wrote))
    }

    /// It is on the disk: those who remember are told, then those who asked.
    fn applied(&mut self, applied: Applied) -> Vec<Result<Done, StoreError>> {
        let wrote = applied.state.revision != self.state.revision;
        self.state = applied.state;
        if wrote {
            self.shared.set_health(None);
        }
        for mark in applied.marks {
            tracing::info!(%mark, "audit trail marked");
        }
        self.remember(&applied.changes);
        if !applied.changes.is_empty() {
            for told in self.shared.told.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
                told(&applied.changes);
            }
        }
        applied.outcomes
    }

    fn remember(&self, changes: &[Change]) {
        let mut recent = held(&self.shared.recent);
        recent.now = self.state.revision;
        for change in changes {
            recent.changes.push_back((self.state.revision, change.clone()));
        }
        while recent.changes.len() > RECENT {
            if let Some((revision, _)) = recent.changes.pop_front() {
                recent.lost = revision;
            }
        }
    }

    /// Nothing is acknowledged that is not on the disk. After a full disk the file is opened anew, since the engine refuses to go on with
    /// what it holds; then it shows whether the transaction was kept after all.
    fn failed(&mut self, failed: Failed, count: usize) -> Vec<Result<Done, StoreError>> {
        let Failed { fault, begun } = failed;
        let full = fault == Fault::Full;
        let error = StoreError::from(fault);
        tracing::error!(error = %error, "store-write-failed");
        self.shared.set_health(Some(error.clone()));
        if full
            && self.shared.medium.reopens()
            && let Err(cause) = self.reopen()
        {
            self.shared.set_health(Some(StoreError::Unavailable(cause)));
        }
        match begun {
            Some(applied) if full && applied.state.revision == self.state.revision => self.applied(*applied),
            _ => (0..count).map(|_| Err(error.clone())).collect(),
        }
    }

    fn reopen(&mut self) -> Result<(), Cause> {
        let mut slot = self.shared.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(slot.take());
        let database = open_database(&*self.shared.medium).map_err(|error| Cause::Disk(error.to_string()))?;
        let state = load_state(&database).map_err(|fault| Cause::Disk(StoreError::from(fault).to_string()))?;
        self.state = state.ok_or_else(|| Cause::Damaged("the end of its audit trail cannot be read".to_owned()))?;
        *slot = Some(database);
        Ok(())
    }
}

/// A transaction in two phases, because names and addresses that strangers choose are in the pages (redb's design notes, "1PC+C"), with
/// what is needed to open at once after a crash.
fn begin(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// One transaction outside the thread, while a store is opened. It is kept if `writing` says so.
pub(in crate::store) fn in_transaction(
    database: &Database,
    writing: impl FnOnce(&mut Tables<'_>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let transaction = begin(database)?;
    let keep = writing(&mut Tables::new(&transaction, None))?;
    if keep {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(())
}
