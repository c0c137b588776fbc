//! What is asked about the installation as a whole: health, reload, locks, keys, backup, audit trail.

use std::error::Error;
use std::path::Path;

use crate::accounts::acting::Acting;
use crate::base::encoding::hex;
use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::model::event::{Action, Event};
use crate::server::opening::Desk;
use crate::server::reload::{Reloaded, reload};
use crate::store::AttemptKey;

use super::answer::{Answer, AuditPage, Ban, Ended, Health, InForce, Refused, Verified};
use super::deeds::{No, no};

/// Entries of the audit trail on one page.
const PAGE: usize = 1000;

/// An error and all that led to it, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

pub(super) fn health(desk: &Desk) -> Answer {
    let live = desk.app.live();
    let problems: Vec<String> = desk.store.health().err().iter().map(|error| chain(error)).collect();
    Answer::Health(Health {
        ready: problems.is_empty(),
        generation: live.generation().to_string(),
        stale: live.stale.as_ref().map(|stale| stale.problems.join("\n")),
        problems,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

pub(super) async fn reload_now(desk: &Desk) -> Answer {
    match reload(desk).await {
        Reloaded::InForce {
            generation,
            warnings,
            ended,
        } => Answer::Reloaded(InForce {
            generation,
            warnings,
            ended: Ended {
                sessions: ended.sessions,
                streams: ended.streams,
            },
        }),
        Reloaded::Refused { problems, .. } => Answer::Refused(Refused {
            code: "not-reloaded".to_owned(),
            message: "not reloaded: the policy in force stays".to_owned(),
            details: problems,
        }),
    }
}

pub(super) async fn bans(desk: &Desk, now: Timestamp) -> Result<Answer, No> {
    let locks = desk.app.accounts.locks(now).await?;
    let bans = locks.into_iter().map(|lock| Ban {
        id: lock_id(&lock.key),
        scope: lock.key.scope.to_string(),
        tries: lock.attempts.count,
        until: lock.attempts.locked_until.unwrap_or(now).to_string(),
    });
    Ok(Answer::Bans(bans.collect()))
}

pub(super) async fn clear_ban(desk: &Desk, id: &str, now: Timestamp) -> Result<Answer, No> {
    let locks = desk.app.accounts.locks(now).await?;
    let Some(lock) = locks.into_iter().find(|lock| lock_id(&lock.key) == id) else {
        return Err(no("no-such-lock", format!("there is no lock `{id}`; see `ban list`")));
    };
    desk.app.accounts.clear_lock(lock.key, &Acting::command_line(), now).await?;
    Ok(Answer::Done(format!("lock {id} lifted")))
}

/// A lock is named by the digest it is counted under.
fn lock_id(key: &AttemptKey) -> String {
    format!("{}-{}", key.scope, hex(&key.digest()))
}

pub(super) async fn clear_bans(desk: &Desk, now: Timestamp) -> Result<Answer, No> {
    let cleared = desk.app.accounts.clear_locks(&Acting::command_line(), now).await?;
    Ok(Answer::Done(format!("{cleared} counts of failed tries forgotten")))
}

pub(super) async fn rewrap(desk: &Desk) -> Result<Answer, No> {
    let event = Event::new(Action::Rewrapped, Acting::command_line().actor, desk.app.clock.now());
    match desk.store.rewrap(&desk.keyring, &Random::System, event).await {
        Ok(count) => Ok(Answer::Done(format!(
            "{count} secrets sealed anew under key {}",
            desk.keyring.current()
        ))),
        Err(error) => Err(no("not-rewrapped", chain(&error))),
    }
}

pub(super) async fn backup(desk: &Desk, file: &Path) -> Result<Answer, No> {
    match desk.store.backup(file).await {
        Ok(report) => Ok(Answer::Done(format!(
            "{}: {} rows, {} bytes, SHA-256 {}",
            file.display(),
            report.rows,
            report.bytes,
            report.digest
        ))),
        Err(error) => Err(no("not-backed-up", chain(&error))),
    }
}

pub(super) async fn verify(desk: &Desk) -> Result<Answer, No> {
    match desk.store.verify_audit(&desk.keyring, None).await {
        Ok(report) => Ok(Answer::Verified(Verified {
            sound: report.broken.is_none(),
            entries: report.entries,
            broken: report.broken.iter().map(ToString::to_string).collect(),
        })),
        Err(error) => Err(no("unavailable", chain(&error))),
    }
}

pub(super) async fn export(desk: &Desk, after: Option<&str>) -> Result<Answer, No> {
    let after = match after {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| no("malformed", format!("`{text}` is no place in the audit trail")))?,
    };
    let entries = desk
        .store
        .audit(after, PAGE)
        .await
        .map_err(|error| no("unavailable", chain(&error)))?;
    let next = (entries.len() == PAGE)
        .then(|| entries.last().map(|entry| entry.number.to_string()))
        .flatten();
    let entries = entries
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()
        .map_err(|error| no("unreadable", error.to_string()))?;
    Ok(Answer::Audit(AuditPage { entries, next }))
}
