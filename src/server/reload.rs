//! Reads the files again and puts what they mean in force, as one piece or not at all.

use std::sync::Arc;
use std::time::Duration;

use crate::app::open::{Cuts, sessions_ended_by};
use crate::app::{App, Live, Stale};
use crate::base::diagnostic::{Diagnostic, Level};
use crate::base::sources::Sources;
use crate::base::time::Timestamp;
use crate::config::Settings;

use super::files::Files;
use super::in_use::People;
use super::last_good;
use super::opening::{Desk, rendered};
use super::supervisor;

/// What came of a reload.
#[derive(Debug, Clone)]
pub enum Reloaded {
    /// It is in force.
    InForce {
        /// The generation now in force.
        generation: String,
        /// Warnings, as people read them.
        warnings: Vec<String>,
        /// What was open and has ended by it.
        ended: Cuts,
    },
    /// Everything stays as it was.
    Refused {
        /// Every problem, as people read it.
        problems: Vec<String>,
        /// The same, one line each.
        lines: Vec<String>,
    },
}

/// How long a reload waits until everything that is open was judged again. It goes on all the same.
const JUDGING: Duration = Duration::from_secs(5);

/// Reads, judges and swaps. A failure keeps what is in force and is told in the log, the metrics and `/readyz`.
pub async fn reload(desk: &Desk) -> Reloaded {
    supervisor::reloading();
    let outcome = read_and_swap(desk).await;
    let state = if matches!(outcome, Reloaded::InForce { .. }) {
        ""
    } else {
        ", not the one in the files"
    };
    supervisor::ready(&format!("policy generation {}{state}", desk.app.live().generation()));
    outcome
}

async fn read_and_swap(desk: &Desk) -> Reloaded {
    let app = &desk.app;
    let now = app.clock.now();
    let files = desk.files.clone();
    let read = tokio::task::spawn_blocking(move || read_and_judge(&files, now)).await;
    let outcome = match read {
        Ok(Ok((sources, live))) => put_in_force(desk, &sources, live).await,
        Ok(Err(refused)) => refused,
        Err(_) => refused("reading the policies ended in a fault of portcullis; see the log"),
    };
    app.metrics.set_last_reload(matches!(outcome, Reloaded::InForce { .. }));
    match &outcome {
        Reloaded::InForce {
            generation,
            warnings,
            ended,
        } => tracing::info!(
            generation,
            warnings = warnings.len(),
            sessions = ended.sessions,
            streams = ended.streams,
            "reloaded; what the rules no longer allow has ended"
        ),
        Reloaded::Refused { lines, .. } => {
            for problem in lines {
                tracing::error!(problem, "not reloaded, the policy in force stays");
            }
            app.mark_stale(Stale {
                since: now,
                problems: lines.clone().into(),
            });
        }
    }
    outcome
}

/// A refusal that no file has a place for.
fn refused(why: &str) -> Reloaded {
    Reloaded::Refused {
        problems: vec![why.to_owned()],
        lines: vec![why.to_owned()],
    }
}

fn refused_for(sources: &Sources, problems: &[Diagnostic]) -> Reloaded {
    let texts = sources.texts();
    Reloaded::Refused {
        problems: rendered(sources, problems),
        lines: problems.iter().map(|problem| problem.one_line(&texts)).collect(),
    }
}

fn read_and_judge(files: &Files, now: Timestamp) -> Result<(Sources, Live), Reloaded> {
    let sources = files.read().map_err(|error| refused(&error.to_string()))?;
    match Live::parse(&sources, now) {
        Ok(live) => Ok((sources, live)),
        Err(problems) => Err(refused_for(&sources, &problems)),
    }
}

async fn put_in_force(desk: &Desk, sources: &Sources, live: Live) -> Reloaded {
    let app = &desk.app;
    let now = app.clock.now();
    let people = match People::read(&app.accounts, now).await {
        Ok(people) => people,
        Err(error) => {
            let why = format!("whether an administrator could still get in cannot be asked: {error}");
            return refused(&why);
        }
    };
    let mut found = people.administrators(&live.policies, now);
    // Whoever is locked out already must be able to mend it.
    if locks_out(&found) && !locks_out(&people.administrators(&app.live().policies, now)) {
        return refused_for(sources, &found);
    }
    found.extend(people.orphans(&live.policies));
    let generation = live.generation().to_string();
    tell_what_needs_a_restart(&app.live(), &live);
    found.extend(live.findings.iter().filter(|finding| finding.level != Level::Info).cloned());
    let kept = last_good::keep(&desk.store, &live, now).await;
    let ended = replace(app, live).await;
    if let Err(error) = kept {
        tracing::error!(error = %error, "the policy in force could not be kept for a restart");
    }
    if let Err(error) = app.accounts.tend_keys(now).await {
        tracing::error!(error = %error, "the keys of the assertion could not be looked after");
    }
    Reloaded::InForce {
        generation,
        warnings: rendered(sources, &found),
        ended,
    }
}

/// Puts rules in force and tells what that has ended.
async fn replace(app: &Arc<App>, live: Live) -> Cuts {
    let before = app.live();
    let cut = app.open.cut_in_rounds();
    let round = app.replace(live);
    let sessions = sessions_ended_by(app, &before, &app.live()).await;
    if tokio::time::timeout(JUDGING, app.open.settled(round)).await.is_err() {
        tracing::warn!("what is open is still being judged by the new rules");
    }
    let streams = app.open.cut_in_rounds().saturating_sub(cut);
    Cuts {
        sessions,
        streams: usize::try_from(streams).unwrap_or(usize::MAX),
    }
}

fn locks_out(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.level == Level::Error)
}

/// Listeners, store, keys and threads are taken at start; changing them does nothing until the next one, and that is said.
fn tell_what_needs_a_restart(old: &Live, new: &Live) {
    for setting in needs_restart(&old.settings, &new.settings) {
        tracing::warn!(setting, "changed; in force after a restart");
    }
}

/// Settings that differ and that a server takes only when it starts.
pub(super) fn needs_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    [
        ("listen", old.listen == new.listen),
        ("store.path", old.store.path == new.store.path),
        ("keys", old.keys == new.keys),
        ("telemetry.traces", old.traces == new.traces),
        ("server.threads", old.threads == new.threads),
    ]
    .into_iter()
    .filter_map(|(setting, same)| (!same).then_some(setting))
    .collect()
}
