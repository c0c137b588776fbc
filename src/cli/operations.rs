//! The commands that look after a running installation: reload, sessions, locks, keys, backups, the audit trail, health.

use std::path::Path;

use serde_json::json;

use crate::server::control::{Answer, Request};

use super::Outcome;
use super::arguments::{AuditCommand, BanCommand, SessionCommand};
use super::ask::{self, ask, strange};
use super::output::{Output, complain, print};

pub(super) fn reload(config: &Path, output: &Output) -> Outcome {
    match ask::running_only(config, &Request::Reload) {
        Ok(Answer::Reloaded(in_force)) => {
            output.answer(&in_force, |in_force| {
                let mut lines = in_force.warnings.clone();
                lines.push(format!("in force: generation {}; ended {}", in_force.generation, in_force.ended));
                lines.join("\n")
            });
            Outcome::Sound
        }
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

pub(super) fn session(config: &Path, command: SessionCommand, output: &Output) -> Outcome {
    let request = match command {
        SessionCommand::List { user } => Request::SessionList { user },
        SessionCommand::End { user: Some(user), .. } => Request::SessionEndAll { user },
        SessionCommand::End { from: Some(address), .. } => Request::SessionEndFrom { address },
        SessionCommand::End { id: Some(id), .. } => Request::SessionEnd { id },
        SessionCommand::End { .. } => return Outcome::Usage,
    };
    match ask(config, &request) {
        Ok(Answer::Sessions(sessions)) => {
            output.answer(&sessions, |sessions| {
                let rows = sessions
                    .iter()
                    .map(|session| {
                        vec![
                            session.id.clone(),
                            session.user.clone(),
                            session.method.clone(),
                            session.since.clone(),
                            session.last_seen.clone(),
                            session.address.clone().unwrap_or_default(),
                        ]
                    })
                    .collect();
                output.table(&["ID", "USER", "BY", "SINCE", "LAST SEEN", "FROM"], rows)
            });
            Outcome::Sound
        }
        Ok(Answer::Done(words)) => said(&words, output),
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

pub(super) fn ban(config: &Path, command: BanCommand, output: &Output) -> Outcome {
    let request = match command {
        BanCommand::List => Request::BanList,
        BanCommand::Clear { all: true, .. } => Request::BanClearAll,
        BanCommand::Clear { id: Some(id), .. } => Request::BanClear { id },
        BanCommand::Clear { .. } => return Outcome::Usage,
    };
    match ask(config, &request) {
        Ok(Answer::Bans(bans)) => {
            output.answer(&bans, |bans| {
                let rows = bans
                    .iter()
                    .map(|ban| vec![ban.id.clone(), ban.scope.clone(), ban.tries.to_string(), ban.until.clone()])
                    .collect();
                output.table(&["ID", "LOCKED", "TRIES", "UNTIL"], rows)
            });
            Outcome::Sound
        }
        Ok(Answer::Done(words)) => said(&words, output),
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

pub(super) fn rewrap(config: &Path, output: &Output) -> Outcome {
    plain(config, &Request::Rewrap, output)
}

pub(super) fn backup(config: &Path, file: &Path, output: &Output) -> Outcome {
    // The server may have another working folder, so it is told the whole path.
    match std::path::absolute(file) {
        Ok(file) => plain(config, &Request::Backup { file }, output),
        Err(error) => {
            complain(&format!("{} is no file name: {error}", file.display()));
            Outcome::Wrong
        }
    }
}

pub(super) fn restore(config: &Path, file: &Path, yes: bool, output: &Output) -> Outcome {
    match ask::restore(config, file, yes) {
        Ok(words) => said(&words, output),
        Err(outcome) => outcome,
    }
}

pub(super) fn audit(config: &Path, command: &AuditCommand, output: &Output) -> Outcome {
    match command {
        AuditCommand::Verify => match ask(config, &Request::AuditVerify) {
            Ok(Answer::Verified(verified)) => {
                output.answer(&verified, |verified| {
                    let mut lines = verified.broken.clone();
                    lines.push(if verified.sound {
                        output.good(&format!("{} entries, every link holds", verified.entries))
                    } else {
                        output.bad(&format!("{} entries, the chain is broken", verified.entries))
                    });
                    lines.join("\n")
                });
                if verified.sound { Outcome::Sound } else { Outcome::Wrong }
            }
            Ok(other) => strange(&other),
            Err(outcome) => outcome,
        },
        AuditCommand::Export => {
            let mut after = None;
            loop {
                match ask(config, &Request::AuditExport { after }) {
                    Ok(Answer::Audit(page)) => {
                        for entry in &page.entries {
                            print(&entry.to_string());
                        }
                        match page.next {
                            Some(next) => after = Some(next),
                            None => return Outcome::Sound,
                        }
                    }
                    Ok(other) => return strange(&other),
                    Err(outcome) => return outcome,
                }
            }
        }
    }
}

pub(super) fn health(config: &Path, output: &Output) -> Outcome {
    match ask::running_only(config, &Request::Health) {
        Ok(Answer::Health(health)) => {
            output.answer(&health, |health| {
                let mut lines = vec![if health.ready {
                    output.good("ready")
                } else {
                    output.bad("not ready")
                }];
                lines.push(format!("version {}, policy generation {}", health.version, health.generation));
                lines.extend(
                    health
                        .stale
                        .iter()
                        .map(|why| format!("the policy in force is not the one in the files: {why}")),
                );
                lines.extend(health.problems.iter().cloned());
                lines.join("\n")
            });
            if health.ready { Outcome::Sound } else { Outcome::Wrong }
        }
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

fn plain(config: &Path, request: &Request, output: &Output) -> Outcome {
    match ask(config, request) {
        Ok(Answer::Done(words)) => said(&words, output),
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

fn said(words: &str, output: &Output) -> Outcome {
    output.answer(&json!({ "done": words }), |_| words.to_owned());
    Outcome::Sound
}
