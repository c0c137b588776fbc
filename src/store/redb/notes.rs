//! What a backup is told of the writes beside it.

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::store::error::{Cause, StoreError};

use super::apply::{Done, Now, WithRows, Work};
use super::writer::Job;
use super::{Shared, Touched, held};

/// What a backup is told of the writes beside it.
pub(in crate::store) struct Notes {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Option<SyncSender<Job>>,
    pub(super) backups: Arc<Mutex<()>>,
}

impl Notes {
    /// Runs `copying` while what is written is noted. Waits, so it is for a thread of its own.
    pub(in crate::store) fn during<T>(&self, copying: impl FnOnce(&Self, &Shared) -> T) -> T {
        let _alone = held(&self.backups);
        self.shared.noting.store(true, Ordering::SeqCst);
        let copied = copying(self, &self.shared);
        self.shared.noting.store(false, Ordering::SeqCst);
        copied
    }

    /// What was written since this was asked last. The first answer is empty: noting begins with it.
    pub(in crate::store) fn touched(&self) -> Result<Touched, StoreError> {
        match self.ask(WithRows::No)? {
            Done::Touched(touched) => Ok(touched),
            _ => Ok(Touched::default()),
        }
    }

    /// What was written since this was asked last, as it stands at one moment.
    pub(in crate::store) fn last_touched(&self) -> Result<Now, StoreError> {
        match self.ask(WithRows::Yes)? {
            Done::Rows(rows) => Ok(rows),
            _ => Ok(Vec::new()),
        }
    }

    fn ask(&self, with: WithRows) -> Result<Done, StoreError> {
        let closed = || self.shared.health_or(StoreError::Unavailable(Cause::Closed));
        let (answer, answered) = oneshot::channel();
        let job = Job {
            work: Work::Touched(with),
            answer: Some(answer),
            place: None,
        };
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(job).map_err(|_| closed())?;
        answered.blocking_recv().map_err(|_| closed())?
    }
}
