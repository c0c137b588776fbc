//! Where people, sessions and tokens are kept, and the one way to change them.
//!
//! A use case reads [`Versioned`] records, decides, and gives one [`Commit`] back: what it writes, what it rests on, and the event it is
//! written with. The commit is checked and applied alone, or refused alone; when it is answered it is on the disk.

mod backup;
mod chain;
mod commit;
mod error;
mod migrate;
mod record;
mod records;
mod redb;
mod rows;

use std::path::Path;
use std::sync::Arc;

use crate::base::random::Random;
use crate::base::seal::Keyring;
use crate::base::time::Timestamp;
use crate::model::attempts::{AttemptLimit, Attempts};
use crate::model::id::SessionId;
use crate::model::message::Message;

pub use backup::{BackupError, BackupReport, Flaw, restore};
pub use chain::{AuditEntry, AuditReport, BrokenChain, EntryHash, Mark, NotAMark};
pub use commit::Commit;
pub use error::{Cause, OpenError, StoreError};
pub use record::{Never, Page, Record, Versioned};
pub use records::{
    AttemptKey, AttemptRecord, AttemptScope, FirstUser, InvitationUnique, MembershipIndex, MessageIndex, PolicyTree, SecretKind,
    SecretRecord, SessionIndex, SessionValueIndex, SigningKeyRecord, TeamIndex, TheFirst, TokenUnique, UserIndex, UserUnique, WhichTree,
};
pub use redb::{InMemory, Medium, OnFile};
pub use rows::{Change, Index, IndexKey, Kind, Revision, Unique, UniqueKey};

use record::{decode, versioned};
use records::Rewrap;

/// What is told of changes: called before whoever made them is answered, on the thread that writes. It must not wait, nor ask the store.
pub type Subscriber = Box<dyn Fn(&[Change]) + Send + Sync>;

/// How far somebody has read the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

/// What changed since an [`Epoch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These, and up to there.
    These(Vec<Change>, Epoch),
    /// Too much, or too long ago: everything that is remembered has to be read again.
    Everything(Epoch),
}

/// Records by their end, with the place of each.
#[derive(Clone, Debug)]
pub struct ByEnd<R> {
    /// The records.
    pub records: Vec<(Vec<u8>, Versioned<R>)>,
    /// How far it came; none at the end.
    pub reached: Option<Vec<u8>>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that were past their end and are gone.
    pub rows: usize,
    /// Of them sessions.
    pub sessions: usize,
    /// Whether there is more to sweep at once.
    pub more: bool,
}

/// Where the records are. Cloning it gives another handle on the same store, which closes with the last one.
#[derive(Clone, Debug)]
pub struct Store {
    adapter: Adapter,
}

/// The engines. Each takes rows of bytes, so another one is another arm here and nothing else.
#[derive(Clone, Debug)]
enum Adapter {
    Redb(Arc<redb::Redb>),
}

impl Store {
    /// Opens the store in a file, or makes it. The file is readable by its owner only.
    ///
    /// # Errors
    /// [`OpenError`] if another process has it, a newer version wrote it, the master key is another one, or it cannot be read.
    pub fn open(path: &Path, keyring: &Arc<Keyring>, random: &Random, now: Timestamp) -> Result<Self, OpenError> {
        Self::on(Box::new(OnFile::new(path)), keyring, random, now)
    }

    /// A store in memory, gone with its last handle.
    ///
    /// # Errors
    /// [`OpenError`] if the engine refuses, which it has no reason to.
    pub fn in_memory(keyring: &Arc<Keyring>, random: &Random, now: Timestamp) -> Result<Self, OpenError> {
        Self::on(Box::new(InMemory), keyring, random, now)
    }

    /// A store on any medium.
    ///
    /// # Errors
    /// [`OpenError`] as [`Store::open`].
    pub fn on(medium: Box<dyn Medium>, keyring: &Arc<Keyring>, random: &Random, now: Timestamp) -> Result<Self, OpenError> {
        let redb = redb::Redb::open(medium, keyring, random, now)?;
        Ok(Self {
            adapter: Adapter::Redb(Arc::new(redb)),
        })
    }

    /// The record of a key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], or [`StoreError::Unreadable`] for a row that this version does not understand.
    pub async fn get<R: Record>(&self, key: &R::Key) -> Result<Option<Versioned<R>>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        let row = engine.get(R::KIND, R::key_bytes(key)).await?;
        row.as_ref().map(versioned).transpose()
    }

    /// The one record with a unique value.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn find<R: Record>(&self, unique: &R::Unique) -> Result<Option<Versioned<R>>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        let row = engine.find(R::KIND, R::unique_key(unique)).await?;
        row.as_ref().map(versioned).transpose()
    }

    /// Records in the order of their keys: all, or those of a group.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn list<R: Record>(&self, page: Page<R>) -> Result<Vec<Versioned<R>>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        let rows = engine.list(R::KIND, page.within, page.side, page.limit).await?;
        rows.iter().map(versioned).collect()
    }

    /// Records that have an end, the last to end first or, `upward`, the first to end first, behind a place that an earlier call gave; with
    /// each its place. `limit` rows of any kind are looked at, so a call takes no longer however many there are; the place beside the
    /// records says how far it came, and is none at the end.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn list_by_end<R: Record>(&self, from: Option<&[u8]>, upward: bool, limit: usize) -> Result<ByEnd<R>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        let (rows, reached) = engine.list_by_end(R::KIND, from.map(<[u8]>::to_vec), upward, limit).await?;
        let records = rows.iter().map(|(place, row)| Ok((place.clone(), versioned(row)?)));
        Ok(ByEnd {
            records: records.collect::<Result<_, StoreError>>()?,
            reached,
        })
    }

    /// Does what a commit says, all of it or nothing. When this returns, it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if something that was read has moved, [`StoreError::Taken`] if something is not unique,
    /// [`StoreError::Full`] if the disk is full: then nothing was written, no event either. [`StoreError::Unavailable`] if the store is
    /// out of order.
    pub async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        if let Some(flaw) = commit.flaw {
            return Err(flaw);
        }
        let Adapter::Redb(engine) = &self.adapter;
        engine.commit(commit).await
    }

    /// Counts one more try and says how many there are now. Without a revision, so a storm of guesses neither conflicts nor slips through.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Unavailable`]: then nobody may try.
    pub async fn count(&self, key: AttemptKey, limit: AttemptLimit, now: Timestamp) -> Result<Attempts, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.count(key, limit, now).await
    }

    /// Takes one try back that was no guess, in its window and short of a lock.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Unavailable`].
    pub async fn uncount(&self, key: AttemptKey, now: Timestamp) -> Result<(), StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.uncount(key, now).await
    }

    /// Forgets what was counted, a lock too.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Unavailable`].
    pub async fn clear_count(&self, key: AttemptKey) -> Result<(), StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.clear_count(key).await
    }

    /// Notes that a session was used. Written with others some seconds later, and lost if the process ends before.
    pub fn touch(&self, session: SessionId, now: Timestamp) {
        let Adapter::Redb(engine) = &self.adapter;
        engine.touch(session, now);
    }

    /// Removes what is past its end: sessions with their cookie values, tokens with their sealed text, counts. For the chores.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Unavailable`].
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.sweep(now).await
    }

    /// Has `subscriber` told of every change from now on.
    pub fn subscribe(&self, subscriber: Subscriber) {
        let Adapter::Redb(engine) = &self.adapter;
        engine.subscribe(subscriber);
    }

    /// What changed since `since`.
    #[must_use]
    pub fn changes(&self, since: Epoch) -> Changes {
        let Adapter::Redb(engine) = &self.adapter;
        engine.changes(since)
    }

    /// How far the changes have come.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        let Adapter::Redb(engine) = &self.adapter;
        engine.epoch()
    }

    /// Whether the store answers and writes. For readiness; it does not wait.
    ///
    /// # Errors
    /// [`StoreError::Full`] while the last write met a full disk; [`StoreError::Unavailable`] if it is out of order until a restart.
    pub fn health(&self) -> Result<(), StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.health()
    }

    /// Seals everything anew that is not under the key in use, and says how many values that were. The key before may then be taken out
    /// of the ring once the tokens that were hashed under it have ended.
    ///
    /// # Errors
    /// [`RewrapError`]; what was sealed anew until then stays so.
    pub async fn rewrap(&self, keyring: &Keyring, random: &Random, event: crate::model::event::Event) -> Result<usize, RewrapError> {
        let rewrapped = self.rewrap_all::<SecretRecord>(keyring, random, &event).await?
            + self.rewrap_all::<SigningKeyRecord>(keyring, random, &event).await?
            + self.rewrap_all::<Message>(keyring, random, &event).await?;
        let Adapter::Redb(engine) = &self.adapter;
        engine.set_check(keyring.clone()).await?;
        Ok(rewrapped)
    }

    async fn rewrap_all<R: Rewrap>(
        &self,
        keyring: &Keyring,
        random: &Random,
        event: &crate::model::event::Event,
    ) -> Result<usize, RewrapError> {
        const AT_ONCE: usize = 200;
        let mut rewrapped = 0;
        let mut page = Page::<R>::first(AT_ONCE);
        loop {
            let records = self.list(page).await?;
            let Some(last) = records.last().map(|record| record.record.key()) else {
                return Ok(rewrapped);
            };
            let mut commit = Commit::because(event.clone().with("table", R::KIND));
            let mut stale = 0;
            for record in records.iter().filter(|record| needs_rewrap(&record.record, keyring)) {
                commit = commit.replace(record, &record.record.rewrapped(keyring, random)?);
                stale += 1;
            }
            page = Page::first(AT_ONCE).after(&last);
            if stale == 0 {
                continue;
            }
            match self.commit(commit.clone()).await {
                Ok(()) => rewrapped += stale,
                // Something of the page was used or replaced meanwhile: one by one, skipping what is gone.
                Err(StoreError::Conflict(_)) => rewrapped += self.rewrap_each(&records, keyring, random, event).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn rewrap_each<R: Rewrap>(
        &self,
        records: &[Versioned<R>],
        keyring: &Keyring,
        random: &Random,
        event: &crate::model::event::Event,
    ) -> Result<usize, RewrapError> {
        let mut rewrapped = 0;
        for record in records {
            // A row that moved again and again is being written under the new key by whoever moves it.
            for _ in 0..16 {
                let Some(record) = self.get::<R>(&record.record.key()).await? else {
                    break;
                };
                if !needs_rewrap(&record.record, keyring) {
                    break;
                }
                let commit = Commit::because(event.clone().with("table", R::KIND));
                match self
                    .commit(commit.replace(&record, &record.record.rewrapped(keyring, random)?))
                    .await
                {
                    Ok(()) => rewrapped += 1,
                    Err(StoreError::Conflict(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(rewrapped)
    }

    /// Entries of the audit trail behind number `after`, the oldest first, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], or [`StoreError::Unreadable`] for an entry that is damaged.
    pub async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.audit(after, limit).await
    }

    /// Entries of the audit trail before number `before`, or the last there are; the newest first, `limit` at most.
    ///
    /// # Errors
    /// As [`Store::audit`].
    pub async fn audit_before(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.audit_before(before, limit).await
    }

    /// When the last event of the audit trail happened; `None` while there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], also for an entry that is damaged.
    pub async fn last_event(&self) -> Result<Option<Timestamp>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.last_event().await
    }

    /// Reads every row there is, and says how many they are. On a thread of its own; it takes as long as reading the file.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file is damaged somewhere, [`StoreError::Unreadable`] for a row that this version does not understand.
    pub async fn read_all(&self) -> Result<u64, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.aside("store-read", redb::read_all).await?
    }

    /// Signs the end of the audit trail, so that a tail that is cut off later is missed, and returns the mark for the log. `None` if
    /// nothing was added since the last one. For the chores, each minute; the store itself signs every thousandth entry.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Unavailable`].
    pub async fn mark_audit(&self, now: Timestamp) -> Result<Option<Mark>, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        engine.mark_audit(now).await
    }

    /// Goes through the whole audit trail: every link, every mark. `seen` is a mark from the log that must be met too.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read. A broken chain is an answer: see [`AuditReport`].
    pub async fn verify_audit(&self, keyring: &Keyring, seen: Option<Mark>) -> Result<AuditReport, StoreError> {
        let Adapter::Redb(engine) = &self.adapter;
        let keyring = keyring.clone();
        engine
            .aside("audit-verify", move |shared| chain::verify(shared, &keyring, seen))
            .await?
    }

    /// Writes a portable copy of everything to a new file while the store goes on, and reads it back. The master key is not in it.
    ///
    /// # Errors
    /// [`BackupError`] if the file exists or cannot be written, or the store does not answer.
    pub async fn backup(&self, to: &Path) -> Result<BackupReport, BackupError> {
        let Adapter::Redb(engine) = &self.adapter;
        backup::write(engine, to).await
    }

    /// Closes the store: what was touched is written, then the file is released. Other handles then get [`StoreError::Unavailable`].
    pub async fn close(&self) {
        let Adapter::Redb(engine) = &self.adapter;
        engine.close().await;
    }
}

/// Whether something of a record is sealed under another key than the one in use.
fn needs_rewrap<R: Rewrap>(record: &R, keyring: &Keyring) -> bool {
    record.sealed_under().is_some_and(|key| key != keyring.current())
}

/// Whether the engine finds the file of a store whole, every page of it. Nobody may have it open. It is not made where it is not there.
///
/// # Errors
/// [`OpenError`] if the file is no store, is in use, or cannot be read.
pub fn check_file(path: &Path) -> Result<bool, OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    std::fs::metadata(path).map_err(io)?;
    let mut database = redb::open_database(&OnFile::new(path))?;
    Ok(matches!(database.check_integrity(), Ok(true)))
}

/// Why secrets could not be sealed anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewrapError {
    /// The store did not do it.
    #[error("the store could not be changed")]
    Store(#[from] StoreError),
    /// Something does not open.
    #[error("a sealed value could not be opened")]
    Seal(#[from] crate::base::seal::SealError),
}

/// The record of a row that an engine met while it counted.
fn attempts_in(row: &rows::Row) -> Result<AttemptRecord, StoreError> {
    decode(&row.body)
}
