//! The decision log: one JSON line for each decision, written off the request path, and found again by its identifier.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::encoding::hex;
use crate::base::random::Random;
use crate::base::secret::sha256;
use crate::base::time::{Clock, DAY};
use crate::model::id::SessionId;
use crate::model::principal::{Identity, Principal};

use super::metrics::Metrics;
use super::output::{Output, older_files};
use super::record::{Decided, FactsLine, Line};

/// How many decisions may wait to be written. At 50,000 requests a second this is more than a second of a stuck disk.
const QUEUE: usize = 65_536;
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

enum Job {
    Write(Box<Decided>),
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
    sender: SyncSender<Job>,
    recent: Arc<Mutex<Recent>>,
    metrics: Arc<Metrics>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl DecisionLog {
    /// Writes what waits and ends the writer. Lines noted afterwards are lost and counted.
    pub fn close(&self) {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = self.shared.sender.send(Job::Close);
            let _ = writer.join();
        }
    }
}

#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<(Line, Option<Arc<FactsLine>>)>,
}

impl DecisionLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// If the file cannot be opened or no thread can be started.
    pub fn start(settings: LogSettings, clock: Clock, random: Random, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (sender, jobs) = sync_channel(QUEUE);
        let recent = Arc::new(Mutex::new(Recent::default()));
        let mut writer = Writer {
            output: Output::open(&settings.destination, clock.now())?,
            settings,
            clock,
            random,
            recent: Arc::clone(&recent),
            facts: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("decision-log".into())
            .spawn(move || writer.run(&jobs))?;
        let shared = Shared {
            sender,
            recent,
            metrics,
            writer: Mutex::new(Some(thread)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Logs a decision. Never waits: a log that cannot keep up loses lines, counts them and says so.
    pub fn note(&self, decided: Decided) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.shared.sender.try_send(Job::Write(Box::new(decided))) {
            if self.shared.metrics.decisions_dropped() == 0 {
                tracing::warn!("the decision log cannot keep up: lines are being lost (portcullis_decision_log_dropped_total counts them)");
            }
            self.shared.metrics.decision_dropped();
        }
    }

    /// Goes on with other settings, from the next line.
    pub fn change(&self, settings: LogSettings) {
        let _ = self.shared.sender.send(Job::Change(settings));
    }

    /// Waits until everything logged so far is written. Blocks: not for the request path.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.shared.sender.send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(10));
        }
    }

    /// Finds a decision by its own identifier or its request's, among the recent ones. Blocks for as long as the queue is ahead of it.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Found> {
        self.flush();
        let recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .lines
            .iter()
            .rev()
            .find(|(line, _)| names(line, id))
            .map(|(line, facts)| Found {
                line: line.clone(),
                facts: facts.as_deref().cloned(),
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
                here = name.and_then(|name| known.get(name).cloned());
            } else if let Some(line) = facts_line(&text) {
                if wanted.as_ref() == Some(&line.facts) {
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
    facts: HashMap<(SessionId, u64), Arc<FactsLine>>,
}

impl Writer {
    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut closing = false;
        loop {
            match jobs.recv_timeout(Duration::from_secs(1)) {
                Ok(Job::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(job) => {
                    self.take(job);
                    // What else waits goes out in the same write, up to a bound that keeps the rest of this loop turning.
                    for job in jobs.try_iter().take(QUEUE) {
                        closing |= matches!(job, Job::Close);
                        self.take(job);
                    }
                    self.output.flush();
                }
                Err(RecvTimeoutError::Timeout) => self.output.flush(),
            }
            if closing {
                break;
            }
            if self.output.turn(self.clock.now(), self.settings.keep) {
                // A new file says again what is known, so that each can be read alone.
                self.facts.clear();
            }
        }
        self.output.flush();
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Close => {}
            Job::Write(decided) => self.write(&decided),
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
                            self.facts.clear();
                        }
                        Err(error) => tracing::error!(%error, "the decision log stays where it was: the new file cannot be opened"),
                    }
                }
                self.settings = settings;
            }
        }
    }

    fn write(&mut self, decided: &Decided) {
        let allowed = decided.decision == "allow";
        let (facts, is_new) = self.facts_of(&decided.principal);
        let mut line = Line::of(decided, facts.as_ref().map(|facts| facts.facts.clone()));
        line.request.path = match (self.settings.path, line.request.path.take()) {
            (PathDetail::Full, path) => path,
            (PathDetail::Rule, _) => None,
            (PathDetail::Hash, path) => path.map(|path| format!("sha256:{}", hex(&sha256(path.as_bytes())))),
        };
        if !allowed || self.is_sampled() {
            if let (true, Some(facts)) = (is_new, &facts) {
                self.output.line(facts.as_ref());
            }
            self.output.line(&line);
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.lines.len() >= RECENT {
            recent.lines.pop_front();
        }
        recent.lines.push_back((line, facts));
    }

    fn is_sampled(&self) -> bool {
        self.settings.sample_allow >= 1.0 || f64::from(self.random.below(1_000_000)) < self.settings.sample_allow * 1_000_000.0
    }

    fn facts_of(&mut self, principal: &Principal) -> (Option<Arc<FactsLine>>, bool) {
        match principal {
            Principal::Anonymous => (None, false),
            Principal::Service(_) => (FactsLine::of(principal).map(Arc::new), true),
            Principal::User(identity) => self.facts_of_user(principal, identity),
        }
    }

    fn facts_of_user(&mut self, principal: &Principal, identity: &Identity) -> (Option<Arc<FactsLine>>, bool) {
        let key = (identity.session, identity.revision);
        if let Some(known) = self.facts.get(&key) {
            return (Some(Arc::clone(known)), false);
        }
        if self.facts.len() >= INTERNED {
            self.facts.clear();
        }
        let Some(facts) = FactsLine::of(principal).map(Arc::new) else {
            return (None, false);
        };
        self.facts.insert(key, Arc::clone(&facts));
        (Some(facts), true)
    }
}

#[cfg(test)]
mod tests;
