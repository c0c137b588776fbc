//! Asks the running server, or does it on the opened store where none runs.

use std::path::{Path, PathBuf};

use crate::config;
use crate::server::alone::{alone, restore as restore_store};
use crate::server::control::{self, Answer, AskError, Request};
use crate::server::files::Files;
use crate::server::opening::socket_beside;

use super::Outcome;
use super::output::complain;

/// Asks the running server; opens the store where none runs. What is refused is said here.
pub(super) fn ask(config: &Path, request: &Request) -> Result<Answer, Outcome> {
    match control::ask(&socket_of(config)?, request) {
        Err(AskError::NobodyThere(_)) => match alone(&Files::at(config), request.clone()) {
            Ok(answer) => accepted(answer),
            Err(error) => Err(wrong(&error)),
        },
        Err(error) => Err(wrong(&error)),
        Ok(answer) => accepted(answer),
    }
}

/// Asks the running server, for what makes no sense without one.
pub(super) fn running_only(config: &Path, request: &Request) -> Result<Answer, Outcome> {
    match control::ask(&socket_of(config)?, request) {
        Ok(answer) => accepted(answer),
        Err(error) => Err(wrong(&error)),
    }
}

/// Puts a backup in the place of the store, unless a server runs.
pub(super) fn restore(config: &Path, file: &Path, yes: bool) -> Result<String, Outcome> {
    let socket = socket_of(config)?;
    if !matches!(control::ask(&socket, &Request::Health), Err(AskError::NobodyThere(_))) {
        complain("a server is running on this store: stop it, then restore");
        return Err(Outcome::Wrong);
    }
    restore_store(&Files::at(config), file, yes).map_err(|error| wrong(&error))
}

/// The answer to another question than was asked: server and command are of different versions.
pub(super) fn strange(answer: &Answer) -> Outcome {
    complain(&format!("the server answered something else: {answer:?}"));
    Outcome::Wrong
}

fn accepted(answer: Answer) -> Result<Answer, Outcome> {
    match answer {
        Answer::Refused(refused) => {
            for line in &refused.details {
                complain(line);
            }
            complain(&refused.message);
            Err(Outcome::Wrong)
        }
        other => Ok(other),
    }
}

fn wrong(error: &(dyn std::error::Error + 'static)) -> Outcome {
    complain(&control::chain(error));
    Outcome::Wrong
}

/// The control socket stands beside the store. Settings that a running server has not taken over must not hide it.
fn socket_of(config: &Path) -> Result<PathBuf, Outcome> {
    let sources = Files::at(config).read_settings().map_err(|error| wrong(&error))?;
    let store = match config::load(&sources) {
        Ok((settings, _)) => settings.store.path,
        Err(_) => sources.root.join("data/portcullis.redb"),
    };
    Ok(socket_beside(&store))
}
