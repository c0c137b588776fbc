//! `portcullis explain`, `who-can` and `can`: what the rules mean for somebody, with file and line.

use std::path::Path;

use crate::server::control::{Answer, Concerned, Request, Subject};

use super::Outcome;
use super::arguments::{CanOptions, DiffOptions, ExplainOptions, Who, WhoCanOptions};
use super::ask::{ask, strange};
use super::output::Output;

pub(super) fn explain(config: &Path, options: ExplainOptions, output: &Output) -> Outcome {
    let Some(who) = subject(options.who) else { return Outcome::Usage };
    let request = Request::Explain {
        who,
        from: options.from,
        at: options.at,
        request: options.request.as_deref().map(as_request).unwrap_or_default(),
    };
    match ask(config, &request) {
        Ok(Answer::Explained { text, record }) => {
            output.answer(&record, |_| text.clone());
            Outcome::Sound
        }
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

fn subject(who: Who) -> Option<Subject> {
    match who {
        Who { user: Some(who), .. } => Some(Subject::User(who)),
        Who { service: Some(name), .. } => Some(Subject::Service(name)),
        Who { session: Some(id), .. } => Some(Subject::Session(id)),
        Who { decision: Some(id), .. } => Some(Subject::Decision(id)),
        Who { anonymous: true, .. } => Some(Subject::Anonymous),
        Who { .. } => None,
    }
}

/// An address alone is a GET of it.
fn as_request(text: &str) -> String {
    let text = text.trim();
    if text.contains(' ') {
        text.to_owned()
    } else {
        format!("GET {text}")
    }
}

pub(super) fn who_can(config: &Path, options: &WhoCanOptions, output: &Output) -> Outcome {
    match ask(
        config,
        &Request::WhoCan {
            request: as_request(&options.request),
            from: options.from,
        },
    ) {
        Ok(Answer::WhoCan(people)) => {
            output.answer(&people, |people| {
                if people.is_empty() {
                    return "nobody".to_owned();
                }
                let rows = people
                    .iter()
                    .map(|one| {
                        vec![
                            one.username.clone(),
                            one.email.clone().unwrap_or_default(),
                            one.outcome.clone(),
                            one.because.clone(),
                        ]
                    })
                    .collect();
                output.table(&["USERNAME", "EMAIL", "OUTCOME", "BECAUSE"], rows)
            });
            Outcome::Sound
        }
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

pub(super) fn diff(config: &Path, options: &DiffOptions, output: &Output) -> Outcome {
    let policies = options.dir.as_ref().and_then(|dir| std::path::absolute(dir).ok());
    match ask(config, &Request::Diff { policies }) {
        Ok(Answer::Differs(diff)) => {
            output.answer(&diff, |diff| {
                if diff.places.is_empty() {
                    return format!("nothing is different for any of {} people", diff.people);
                }
                let places = diff.places.iter().map(|moved| {
                    vec![
                        moved.application.clone(),
                        moved.place.clone(),
                        moved.gain.to_string(),
                        moved.lose.to_string(),
                    ]
                });
                let table = output.table(&["APPLICATION", "PLACE", "GAIN", "LOSE"], places.collect());
                let people = |does: &str, all: &[Concerned]| {
                    let line = |one: &Concerned| format!("  {does} {} ({})", one.username, one.applications.join(", "));
                    all.iter().map(line).collect::<Vec<_>>()
                };
                let mut lines = vec![table.trim_end().to_owned()];
                lines.extend(people("gains", &diff.gain));
                lines.extend(people("loses", &diff.lose));
                lines.push(format!(
                    "of {} people {} gain and {} lose access; {} -> {}",
                    diff.people,
                    diff.gain.len(),
                    diff.lose.len(),
                    diff.before,
                    diff.after
                ));
                lines.join("\n")
            });
            Outcome::Sound
        }
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}

pub(super) fn can(config: &Path, options: CanOptions, output: &Output) -> Outcome {
    match ask(
        config,
        &Request::Can {
            user: options.user,
            from: options.from,
        },
    ) {
        Ok(Answer::Can(openings)) => {
            output.answer(&openings, |openings| {
                let rows = openings
                    .iter()
                    .map(|one| {
                        let methods = if one.methods.is_empty() {
                            "all".to_owned()
                        } else {
                            one.methods.join(",")
                        };
                        vec![
                            one.application.clone(),
                            one.path.clone(),
                            methods,
                            one.outcome.clone(),
                            one.because.clone(),
                            one.at.clone().unwrap_or_default(),
                        ]
                    })
                    .collect();
                output.table(&["APPLICATION", "PATH", "METHODS", "OUTCOME", "BECAUSE", "AT"], rows)
            });
            Outcome::Sound
        }
        Ok(other) => strange(&other),
        Err(outcome) => outcome,
    }
}
