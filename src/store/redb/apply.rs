//! What one piece of work does to the open tables: checked first, then written, or refused with nothing written.

use crate::base::seal::Keyring;
use crate::base::time::Timestamp;
use crate::model::attempts::{AttemptLimit, Attempts};
use crate::store::chain::{self, Mark, Trail};
use crate::store::commit::Commit;
use crate::store::error::StoreError;
use crate::store::record::{Record, encode, marks_of};
use crate::store::records::{AttemptKey, AttemptRecord, Dependent, dependent, describe, touched};
use crate::store::rows::{Body, Change, Deed, IndexKey, Kind, Marks, Revision, Row, Step, Unique, UniqueKey};
use crate::store::{Swept, attempts_in};

use super::tables::{AUDIT, EXPIRY, Fault, INDEXES, MARKS, META, Tables, Touched, UNIQUES};

/// How many rows one sweep removes in one transaction.
const SWEPT_AT_ONCE: usize = 500;

/// Something to be done by the thread that writes.
#[derive(Debug)]
pub(super) enum Work {
    Commit(Box<Commit>),
    Count(AttemptKey, AttemptLimit, Timestamp),
    Uncount(AttemptKey, Timestamp),
    ClearCount(AttemptKey),
    Touch(Vec<(Vec<u8>, Timestamp)>),
    Sweep(Timestamp),
    Mark(Timestamp),
    /// Writes, to see whether the disk has room again.
    Probe,
    SetCheck(Box<Keyring>),
    /// What was written since it was asked last; with the rows as they are now, or without.
    Touched(WithRows),
}

/// Whether touched rows are wanted with what is in them at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithRows {
    Yes,
    No,
}

/// Rows that were touched, each with what is in it now, or nothing if it is gone.
pub(in crate::store) type Now = Vec<(&'static str, Vec<u8>, Option<Vec<u8>>)>;

/// What came of a piece of work.
#[derive(Debug)]
pub(super) enum Done {
    Nothing,
    Attempts(Attempts),
    Swept(Swept),
    Mark(Option<Mark>),
    Touched(Touched),
    Rows(Now),
}

/// What the writer knows between transactions.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The revision given last.
    pub(super) revision: u64,
    /// The end of the audit trail.
    pub(super) trail: Trail,
}

/// A refusal writes nothing; a fault ends the transaction.
type Outcome<T> = Result<Result<T, StoreError>, Fault>;

/// Ends a function early with a refusal.
macro_rules! allowed {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(refusal)),
        }
    };
}

/// One transaction's worth of work.
pub(super) struct Batch<'t, 's> {
    pub(super) tables: Tables<'t>,
    pub(super) state: &'s mut State,
    pub(super) keyring: &'s Keyring,
    /// Whom it concerned.
    pub(super) changes: Vec<Change>,
    /// Whether anything was written.
    pub(super) wrote: bool,
    /// Marks that it signed of its own accord, for the log.
    pub(super) marks: Vec<Mark>,
}

impl Batch<'_, '_> {
    pub(super) fn apply(&mut self, work: &Work) -> Outcome<Done> {
        match work {
            Work::Commit(commit) => Ok(self.commit(commit)?.map(|()| Done::Nothing)),
            Work::Count(key, limit, now) => Ok(self.count(*key, *limit, *now)?.map(Done::Attempts)),
            Work::Uncount(key, now) => Ok(self.uncount(*key, *now)?.map(|()| Done::Nothing)),
            Work::ClearCount(key) => {
                self.remove(Kind::Attempts, &AttemptRecord::key_bytes(key))?;
                Ok(Ok(Done::Nothing))
            }
            Work::Touch(sessions) => {
                for (key, at) in sessions {
                    self.touch(key, *at)?;
                }
                Ok(Ok(Done::Nothing))
            }
            Work::Sweep(now) => Ok(Ok(Done::Swept(self.sweep(*now)?))),
            Work::Mark(now) => Ok(Ok(Done::Mark(self.mark(*now)?))),
            Work::Probe => {
                self.wrote = true;
                Ok(Ok(Done::Nothing))
            }
            Work::SetCheck(keyring) => self.set_check(keyring),
            Work::Touched(with) => self.touched(*with),
        }
    }

    /// Refused if anything it rests on has moved or anything is not unique, else written with its event.
    fn commit(&mut self, commit: &Commit) -> Outcome<()> {
        let mut before = Vec::with_capacity(commit.steps.len());
        for (place, step) in commit.steps.iter().enumerate() {
            let earlier = commit.steps.iter().take(place);
            let twice = |other: &Step| other.kind == step.kind && other.key == step.key && writes(other) && writes(step);
            if earlier.into_iter().any(twice) {
                return Ok(Err(StoreError::Twice(step.kind)));
            }
            before.push(allowed!(self.check(step)?));
        }
        allowed!(self.check_unique(&commit.steps, &before)?);
        // Everything is allowed: from here on it is only written.
        self.state.revision += 1;
        let revision = Revision(self.state.revision);
        for (step, marks) in commit.steps.iter().zip(&before) {
            self.unmark(step, marks.as_ref())?;
        }
        for step in &commit.steps {
            self.write(step, revision)?;
            self.changes.extend(step.change.clone());
        }
        let link = self.state.trail.add(&commit.event);
        self.tables.put(AUDIT, &link.key, &link.value)?;
        if self.state.trail.wants_mark() {
            let mark = self.mark(commit.event.at)?;
            self.marks.extend(mark);
        }
        self.wrote = true;
        Ok(Ok(()))
    }

    /// What is kept beside the row as it stands, if the step takes it away.
    fn check(&mut self, step: &Step) -> Outcome<Option<Marks>> {
        let row = allowed!(self.row(step.kind, &step.key)?);
        let expected = match &step.deed {
            Deed::Create(..) if row.is_some() => return Ok(Err(StoreError::Taken(Unique::Key(step.kind)))),
            Deed::Create(..) => return Ok(Ok(None)),
            Deed::Replace(revision, ..) | Deed::Remove(revision) | Deed::Unchanged(revision) => *revision,
        };
        let Some(row) = row.filter(|row| row.revision == expected) else {
            return Ok(Err(StoreError::Conflict(step.kind)));
        };
        if matches!(step.deed, Deed::Unchanged(_)) {
            return Ok(Ok(None));
        }
        Ok(describe(step.kind, &step.key, &row.body).map(|(marks, _)| Some(marks)))
    }

    /// What must be unique is free, or let go in the same commit, and nothing is taken twice.
    fn check_unique(&mut self, steps: &[Step], before: &[Option<Marks>]) -> Outcome<()> {
        let released: Vec<&UniqueKey> = before.iter().flatten().flat_map(|marks| &marks.uniques).collect();
        let mut taken: Vec<&UniqueKey> = Vec::new();
        for step in steps {
            let (Deed::Create(_, marks) | Deed::Replace(_, _, marks)) = &step.deed else {
                continue;
            };
            for unique in &marks.uniques {
                let free = released.contains(&unique) || self.tables.get(UNIQUES, &unique.stored())?.is_none();
                if !free || taken.contains(&unique) {
                    return Ok(Err(StoreError::Taken(unique.rule)));
                }
                taken.push(unique);
            }
        }
        Ok(Ok(()))
    }

    /// Takes away what was beside a row and will not be there again.
    fn unmark(&mut self, step: &Step, before: Option<&Marks>) -> Result<(), Fault> {
        let Some(before) = before else { return Ok(()) };
        let after = match &step.deed {
            Deed::Create(_, marks) | Deed::Replace(_, _, marks) => Some(marks),
            Deed::Remove(_) | Deed::Unchanged(_) => None,
        };
        for unique in &before.uniques {
            if after.is_none_or(|after| !after.uniques.contains(unique)) {
                self.tables.delete(UNIQUES, &unique.stored())?;
            }
        }
        for index in before.indexes.iter().filter(|index| index.is_kept()) {
            if after.is_none_or(|after| !after.indexes.contains(index)) {
                self.tables.delete(INDEXES, &index.entry(&step.key))?;
            }
        }
        if let Some(at) = before.expires.filter(|at| after.is_none_or(|after| after.expires != Some(*at))) {
            self.tables.delete(EXPIRY, &expiry_key(at, step.kind, &step.key))?;
        }
        Ok(())
    }

    fn write(&mut self, step: &Step, revision: Revision) -> Result<(), Fault> {
        match &step.deed {
            Deed::Create(body, marks) | Deed::Replace(_, body, marks) => {
                self.put_row(step.kind, &step.key, revision, body)?;
                self.put_marks(step.kind, &step.key, marks)
            }
            Deed::Remove(_) => self.tables.delete(step.kind.table(), &step.key),
            Deed::Unchanged(_) => Ok(()),
        }
    }

    fn put_row(&mut self, kind: Kind, key: &[u8], revision: Revision, body: &Body) -> Result<(), Fault> {
        let row = Row {
            revision,
            body: body.clone(),
        };
        self.wrote = true;
        self.tables.put(kind.table(), key, &row.encode())
    }

    fn put_marks(&mut self, kind: Kind, key: &[u8], marks: &Marks) -> Result<(), Fault> {
        for unique in &marks.uniques {
            self.tables.put(UNIQUES, &unique.stored(), key)?;
        }
        for index in marks.indexes.iter().filter(|index| index.is_kept()) {
            self.tables.put(INDEXES, &index.entry(key), &[])?;
        }
        match marks.expires {
            Some(at) => self.tables.put(EXPIRY, &expiry_key(at, kind, key), &[]),
            None => Ok(()),
        }
    }

    fn row(&mut self, kind: Kind, key: &[u8]) -> Outcome<Option<Row>> {
        let Some(bytes) = self.tables.get(kind.table(), key)? else {
            return Ok(Ok(None));
        };
        Ok(Row::decode(&bytes).map(Some).ok_or(StoreError::Unreadable(kind)))
    }

    /// Removes a row with what is beside it, if it is there and can be read.
    fn remove(&mut self, kind: Kind, key: &[u8]) -> Result<bool, Fault> {
        let Ok(Some(row)) = self.row(kind, key)? else {
            return Ok(false);
        };
        if let Ok((marks, change)) = describe(kind, key, &row.body) {
            let step = Step {
                kind,
                key: key.to_vec(),
                deed: Deed::Remove(row.revision),
                change: None,
            };
            self.unmark(&step, Some(&marks))?;
            self.changes.extend(change);
        }
        self.tables.delete(kind.table(), key)?;
        self.wrote = true;
        Ok(true)
    }

    fn count(&mut self, key: AttemptKey, limit: AttemptLimit, now: Timestamp) -> Outcome<Attempts> {
        let bytes = AttemptRecord::key_bytes(&key);
        let row = allowed!(self.row(Kind::Attempts, &bytes)?);
        let before = allowed!(row.as_ref().map(attempts_in).transpose());
        let attempts = before
            .map_or_else(|| Attempts::none(now), |record| record.attempts)
            .and_one(limit, now);
        if before.is_some_and(|before| before.attempts == attempts) {
            // A try during a lock is not counted, and costs no write.
            return Ok(Ok(attempts));
        }
        let until = attempts.locked_until.unwrap_or_else(|| attempts.since.after(limit.lock_for));
        let new = AttemptRecord { key, attempts, until };
        allowed!(self.put_attempts(&bytes, before.as_ref(), &new)?);
        Ok(Ok(attempts))
    }

    fn uncount(&mut self, key: AttemptKey, now: Timestamp) -> Outcome<()> {
        let bytes = AttemptRecord::key_bytes(&key);
        let row = allowed!(self.row(Kind::Attempts, &bytes)?);
        let Some(before) = allowed!(row.as_ref().map(attempts_in).transpose()) else {
            return Ok(Ok(()));
        };
        if before.attempts.count == 0 || before.attempts.is_locked(now) || now >= before.until {
            return Ok(Ok(()));
        }
        let attempts = Attempts {
            count: before.attempts.count - 1,
            ..before.attempts
        };
        let new = AttemptRecord { attempts, ..before };
        self.put_attempts(&bytes, Some(&before), &new)
    }

    fn put_attempts(&mut self, key: &[u8], before: Option<&AttemptRecord>, new: &AttemptRecord) -> Outcome<()> {
        let body = allowed!(encode(new));
        if let Some(at) = before.and_then(|before| marks_of(before).expires) {
            self.tables.delete(EXPIRY, &expiry_key(at, Kind::Attempts, key))?;
        }
        self.state.revision += 1;
        self.put_row(Kind::Attempts, key, Revision(self.state.revision), &body)?;
        self.put_marks(Kind::Attempts, key, &marks_of(new))?;
        Ok(Ok(()))
    }

    /// Keeps the revision: that a session was used is nothing that a commit could rest on.
    fn touch(&mut self, key: &[u8], at: Timestamp) -> Result<(), Fault> {
        let Ok(Some(row)) = self.row(Kind::Sessions, key)? else {
            return Ok(());
        };
        if let Ok(Some(body)) = touched(&row.body, at) {
            self.put_row(Kind::Sessions, key, row.revision, &body)?;
        }
        Ok(())
    }

    fn sweep(&mut self, now: Timestamp) -> Result<Swept, Fault> {
        let end = u64::try_from(now.as_secs()).unwrap_or(0).saturating_add(1).to_be_bytes();
        let due = self.tables.below(EXPIRY, &end, SWEPT_AT_ONCE)?;
        let mut swept = Swept {
            more: due.len() == SWEPT_AT_ONCE,
            ..Swept::default()
        };
        for (entry, _) in due {
            self.tables.delete(EXPIRY, &entry)?;
            self.wrote = true;
            let Some((kind, key)) = read_expiry_key(&entry) else { continue };
            if !self.is_over(kind, key, now)? {
                continue;
            }
            if self.remove(kind, key)? {
                swept.rows += 1;
                swept.sessions += usize::from(kind == Kind::Sessions);
            }
            self.remove_dependents(kind, key)?;
        }
        Ok(swept)
    }

    /// An entry says when to look; the row says whether it is over.
    fn is_over(&mut self, kind: Kind, key: &[u8], now: Timestamp) -> Result<bool, Fault> {
        let Ok(Some(row)) = self.row(kind, key)? else {
            return Ok(false);
        };
        let Ok((marks, _)) = describe(kind, key, &row.body) else {
            return Ok(false);
        };
        let now = u64::try_from(now.as_secs()).unwrap_or(0);
        match marks.expires {
            Some(at) if at > now => {
                self.tables.put(EXPIRY, &expiry_key(at, kind, key), &[])?;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    fn remove_dependents(&mut self, kind: Kind, key: &[u8]) -> Result<(), Fault> {
        match dependent(kind, key) {
            Some(Dependent::Row(kind, key)) => {
                self.remove(kind, &key)?;
            }
            Some(Dependent::Group(kind, index)) => {
                for key in self.group(&index)? {
                    self.remove(kind, &key)?;
                }
            }
            None => {}
        }
        Ok(())
    }

    fn group(&mut self, index: &IndexKey) -> Result<Vec<Vec<u8>>, Fault> {
        let prefix = index.prefix();
        let entries = self.tables.beginning(INDEXES, &prefix, usize::MAX)?;
        Ok(entries
            .into_iter()
            .filter_map(|(entry, _)| entry.get(prefix.len()..).map(<[u8]>::to_vec))
            .collect())
    }

    /// Signs the end of the trail if it has moved since the last mark.
    fn mark(&mut self, now: Timestamp) -> Result<Option<Mark>, Fault> {
        let Some(mark) = self.state.trail.mark(now, self.keyring) else {
            return Ok(None);
        };
        self.tables.put(MARKS, &chain::key_of(mark.entry), &mark.encode())?;
        self.wrote = true;
        Ok(Some(mark))
    }

    fn set_check(&mut self, keyring: &Keyring) -> Outcome<Done> {
        let cluster = self.tables.get(META, super::CLUSTER)?.unwrap_or_default();
        let check = super::opening::check_value(keyring, &cluster);
        self.tables.put(META, super::CHECK, &check)?;
        self.wrote = true;
        Ok(Ok(Done::Nothing))
    }

    fn touched(&mut self, with: WithRows) -> Outcome<Done> {
        let touched = self.tables.take_touched();
        if with == WithRows::No {
            return Ok(Ok(Done::Touched(touched)));
        }
        let mut rows = Vec::with_capacity(touched.len());
        for (table, key) in touched {
            let value = self.tables.get(table, &key)?;
            rows.push((table, key, value));
        }
        rows.sort();
        Ok(Ok(Done::Rows(rows)))
    }
}

const fn writes(step: &Step) -> bool {
    !matches!(step.deed, Deed::Unchanged(_))
}

pub(super) fn expiry_key(at: u64, kind: Kind, key: &[u8]) -> Vec<u8> {
    let mut bytes = at.to_be_bytes().to_vec();
    bytes.extend_from_slice(kind.table().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(key);
    bytes
}

pub(super) fn read_expiry_key(entry: &[u8]) -> Option<(Kind, &[u8])> {
    let (_, rest) = entry.split_first_chunk::<8>()?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (name, key) = rest.split_at_checked(end)?;
    let kind = Kind::named(std::str::from_utf8(name).ok()?)?;
    Some((kind, key.get(1..)?))
}
