//! `portcullis explain`, `who-can` and `can`: what the rules mean for somebody, with file and line.

use std::path::Path;

use crate::server::control::{Answer, Request, Subject};

use super::Outcome;
use super::arguments::{CanOptions, ExplainOptions, Who, WhoCanOptions};
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
