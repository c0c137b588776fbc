//! The decision log: one JSON line for each decision, written off the request path, and found again by its identifier.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::encoding::hex;
use crate::base::random::Random;
use crate::base::secret::sha256;
use crate::base::time::{Clock, DAY};
use crate::model::id::SessionId;
use crate::model::principal::Principal;

use super::metrics::Metrics;
use super::output::{Output, older_files};
use super::record::{Decided, FactsLine, Line};

/// How many decisions may wait to be written. At 50,000 requests a second this is more than a second of a stuck disk.
const QUEUE: usize = 65_536;
/// How long decisions gather before they are written, while requests come in. Waking the writer costs more than deciding.
const GATHER: Duration = Duration::from_millis(20);
/// So many are written at once, however short the time.
const ENOUGH: usize = 8192;
/// How often the writer looks at the day while nobody asks for anything.
const IDLE: Duration = Duration::from_secs(1);
/// How many recent decisions are kept in memory, so that one can be explained whatever the file setting.
const RECENT: usize = 10_000;
/// How many principals' facts are remembered as written already.
const INTERNED: usize = 100_000;

/// How paths are logged (`decision_log.path`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathDetail {
    /// As sent, without the query.
    Full,
    /// Not at all: the rule says enough.
    Rule,
    /// As a digest, so that equal paths can be told without being read.
    Hash,
}

/// Where decisions are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// Standard error, beside the rest of the log.
    StandardError,
    /// A file; older ones beside it carry a date and a number.
    File(PathBuf),
    /// Nowhere but in memory.
    Memory,
}

/// How decisions are logged.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// Where to.
    pub destination: Destination,
    /// How paths are logged.
    pub path: PathDetail,
    /// How long files are kept.
    pub keep: Duration,
    /// Share of allowed requests that is logged, 0 to 1. Denials always are.
    pub sample_allow: f64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            destination: Destination::Memory,
            path: PathDetail::Full,
            keep: 30 * DAY,
            sample_allow: 1.0,
        }
    }
}

/// A decision found again: its line, and what was known of whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The line as logged.
    pub line: Line,
    /// What was known of whoever asked; `None` for nobody, or if that line is gone.
    pub facts: Option<FactsLine>,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are decisions, and a box for each would cost more"
)]
enum Job {
    Write(Decided),
    Change(LogSettings),
    Flush(SyncSender<()>),
    Close,
}

/// The door to the decision log. Clones share one log.
#[derive(Clone, Debug)]
pub struct DecisionLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    recent: Arc<Mutex<Recent>>,
    metrics: Arc<Metrics>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What waits for the writer.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: Vec<Job>,
    /// Somebody waits for what is among them.
    urgent: bool,
    /// The writer waits for whatever comes first, and must be woken for it.
    idle: bool,
    /// There is no writer any more.
    closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a decision in. False if there is no room, or nobody to write it.
    fn put(&self, decided: Decided) -> bool {
        let mut state = self.state();
        if state.closed || state.jobs.len() >= QUEUE {
            return false;
        }
        state.jobs.push(Job::Write(decided));
        let wake = std::mem::take(&mut state.idle) || state.jobs.len() == ENOUGH;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        true
    }

    /// Puts in what does not come with every request, and has it done at once. False if there is nobody to do it.
    fn order(&self, job: Job) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        state.jobs.push(job);
        state.urgent = true;
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Takes everything that waits, or waits itself: for whatever comes first if it found nothing the last time, else a moment for more.
    fn take(&self, jobs: &mut Vec<Job>, was_idle: bool) {
        let mut state = self.state();
        if was_idle && state.jobs.is_empty() {
            state.idle = true;
            state = self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner).0;
            state.idle = false;
        } else if !state.urgent && state.jobs.len() < ENOUGH {
            state = self.wake.wait_timeout(state, GATHER).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
        std::mem::swap(&mut state.jobs, jobs);
    }

    /// Nothing is taken any more.
    fn close(&self) {
        self.state().closed = true;
    }
}

impl DecisionLog {
    /// Writes what waits and ends the writer. Lines noted afterwards are lost and counted.
    pub fn close(&self) {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            self.shared.queue.order(Job::Close);
            let _ = writer.join();
        }
    }
}

#[derive(Debug, Default)]
struct Recent {
    decided: VecDeque<Decided>,
}

impl DecisionLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// If the file cannot be opened or no thread can be started.
    pub fn start(settings: LogSettings, clock: Clock, random: Random, metrics: Arc<Metrics>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let recent = Arc::new(Mutex::new(Recent::default()));
        let mut writer = Writer {
            output: Output::open(&settings.destination, clock.now())?,
            settings,
            clock,
            random,
            recent: Arc::clone(&recent),
            written: HashMap::new(),
            metrics: Arc::clone(&metrics),
        };
        let jobs = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("decision-log".into())
            .spawn(move || writer.run(&jobs))?;
        let shared = Shared {
            queue,
            recent,
            metrics,
            writer: Mutex::new(Some(thread)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Logs a decision. Never waits: a log that cannot keep up loses lines, counts them and says so.
    pub fn note(&self, decided: Decided) {
        if !self.shared.queue.put(decided) {
            if self.shared.metrics.decisions_dropped() == 0 {
                tracing::warn!("the decision log cannot keep up: lines are being lost (portcullis_decision_log_dropped_total counts them)");
            }
            self.shared.metrics.decision_dropped();
        }
    }

    /// Goes on with other settings, from the next line.
    pub fn change(&self, settings: LogSettings) {
        self.shared.queue.order(Job::Change(settings));
    }

    /// Waits until everything logged so far is written. Blocks: not for the request path.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.shared.queue.order(Job::Flush(done)) {
            let _ = wait.recv_timeout(Duration::from_secs(10));
        }
    }

    /// Finds a decision by its own identifier or its request's, among the recent ones. Blocks for as long as the queue is ahead of it.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Found> {
        self.flush();
        let recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |decided: &&Decided| decided.id.to_string() == id || decided.request_id.to_string() == id;
        recent.decided.iter().rev().find(named).map(|decided| {
            let facts = FactsLine::of(&decided.principal);
            Found {
                line: Line::of(decided, facts.as_ref().map(|facts| facts.facts.as_str().into())),
                facts,
            }
        })
    }
}

fn names(line: &Line, id: &str) -> bool {
    line.id.to_string() == id || line.request_id.to_string() == id
}

/// Finds a decision in the files of a log, newest first.
///
/// # Errors
/// If a file of the log cannot be read. Lines that are no lines of ours are passed over.
pub fn find_in_files(file: &Path, id: &str) -> io::Result<Option<Found>> {
    let mut files = older_files(file)?;
    files.push(file.to_owned());
    let mut found: Option<Line> = None;
    let mut facts: Option<FactsLine> = None;
    for file in files.iter().rev() {
        // A facts line comes before the first decision that names it, perhaps in an older file.
        let mut here: Option<FactsLine> = None;
        let wanted = found
            .as_ref()
            .and_then(|line| line.subject.as_ref())
            .map(|subject| subject.facts.clone());
        let reader = match File::open(file) {
            Ok(open) => BufReader::new(open),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut known: HashMap<String, FactsLine> = HashMap::new();
        for text in reader.lines() {
            let text = text?;
            if found.is_none() && text.contains(id) {
                found = serde_json::from_str::<Line>(&text).ok().filter(|line| names(line, id));
                let name = found.as_ref().and_then(|line| line.subject.as_ref()).map(|subject| &subject.facts);
                here = name.and_then(|name| known.get(&**name).cloned());
            } else if let Some(line) = facts_line(&text) {
                if wanted.as_deref() == Some(line.facts.as_str()) {
                    here = Some(line.clone());
                }
                known.insert(line.facts.clone(), line);
            }
        }
        facts = facts.or(here);
        let complete = found.as_ref().is_some_and(|line| line.subject.is_none() || facts.is_some());
        if complete {
            break;
        }
    }
    Ok(found.map(|line| Found { line, facts }))
}

fn facts_line(text: &str) -> Option<FactsLine> {
    let looks_like_one = text.contains("\"facts\":\"f-") && !text.contains("\"decision\":");
    looks_like_one.then(|| serde_json::from_str(text).ok()).flatten()
}

struct Writer {
    settings: LogSettings,
    clock: Clock,
    random: Random,
    output: Output,
    recent: Arc<Mutex<Recent>>,
    metrics: Arc<Metrics>,
    /// Whose facts this file has already, and the name of their line.
    written: HashMap<(SessionId, u64), Arc<str>>,
}

struct Closing<'q>(&'q Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Writer {
    fn run(&mut self, queue: &Queue) {
        // However it ends: what is noted afterwards is counted as lost.
        let _closing = Closing(queue);
        let mut jobs = Vec::new();
        let (mut idle, mut closed) = (true, false);
        while !closed {
            queue.take(&mut jobs, idle);
            idle = jobs.is_empty();
            for job in jobs.drain(..) {
                closed |= matches!(job, Job::Close);
                self.take(job);
            }
            self.output.flush();
            for _ in 0..self.output.take_lost() {
                self.metrics.decision_dropped();
            }
            if self.output.turn(self.clock.now(), self.settings.keep) {
                // A new file says again what is known, so that each can be read alone.
                self.written.clear();
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Close => {}
            Job::Write(decided) => self.write(decided),
            Job::Flush(done) => {
                self.output.flush();
                let _ = done.send(());
            }
            Job::Change(settings) => {
                if settings.destination != self.settings.destination {
                    match Output::open(&settings.destination, self.clock.now()) {
                        Ok(output) => {
                            self.output.flush();
                            self.output = output;
                            self.written.clear();
                        }
                        Err(error) => tracing::error!(%error, "the decision log stays where it was: the new file cannot be opened"),
                    }
                }
                self.settings = settings;
            }
        }
    }

    fn write(&mut self, mut decided: Decided) {
        decided.request.path = match (self.settings.path, decided.request.path.take()) {
            (PathDetail::Full, path) => path,
            (PathDetail::Rule, _) => None,
            (PathDetail::Hash, path) => path.map(|path| format!("sha256:{}", hex(&sha256(path.as_bytes()))).into()),
        };
        if decided.decision != "allow" || self.random.chance(self.settings.sample_allow) {
            let facts = self.facts_of(&decided.principal);
            self.output.line(&Line::of(&decided, facts));
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.decided.len() >= RECENT {
            recent.decided.pop_front();
        }
        recent.decided.push_back(decided);
    }

    /// The name of the line that says what is known of whoever asked, which is written first if this file has none.
    fn facts_of(&mut self, principal: &Principal) -> Option<Arc<str>> {
        let key = match principal {
            Principal::User(identity) => Some((identity.session, identity.revision)),
            Principal::Anonymous | Principal::Service(_) => None,
        };
        if let Some(known) = key.and_then(|key| self.written.get(&key)) {
            return Some(Arc::clone(known));
        }
        let facts = FactsLine::of(principal)?;
        self.output.line(&facts);
        let name: Arc<str> = facts.facts.into();
        if let Some(key) = key {
            if self.written.len() >= INTERNED {
                self.written.clear();
            }
            self.written.insert(key, Arc::clone(&name));
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests;
