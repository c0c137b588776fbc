//! `portcullis mail`: see letters, have them tried again or given up.

use std::path::Path;

use crate::server::control::{Answer, Request};

use super::Outcome;
use super::arguments::MailCommand;
use super::ask::{ask, strange};
use super::output::Output;

pub(super) fn run(config: &Path, command: MailCommand, output: &Output) -> Outcome {
    let request = match command {
        MailCommand::List { status } => return list(config, status.as_deref(), output),
        MailCommand::Again { id } => Request::MailAgain { id },
        MailCommand::GiveUp { id } => Request::MailGiveUp { id },
        MailCommand::Test { who } => Request::MailTest { who },
    };
    match ask(config, &request) {
        Ok(Answer::Done(words)) => output.answer(&serde_json::json!({ "done": words }), |_| words.clone()),
        Ok(other) => return strange(&other),
        Err(outcome) => return outcome,
    }
    Outcome::Sound
}

fn list(config: &Path, status: Option<&str>, output: &Output) -> Outcome {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let request = Request::MailList {
            status: status.map(str::to_owned),
            after,
        };
        match ask(config, &request) {
            Ok(Answer::Letters { letters, next }) => {
                all.extend(letters);
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            Ok(other) => return strange(&other),
            Err(outcome) => return outcome,
        }
    }
    output.answer(&all, |all| {
        let rows = all
            .iter()
            .map(|letter| {
                vec![
                    letter.id.clone(),
                    letter.to.clone(),
                    letter.title.clone(),
                    letter.status.clone(),
                    letter.made.clone(),
                    letter.said.clone(),
                ]
            })
            .collect();
        output.table(&["ID", "TO", "WHAT", "STATUS", "WRITTEN", "SERVER SAID"], rows)
    });
    Outcome::Sound
}
