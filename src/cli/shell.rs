//! Commands that need neither settings nor store: hash, version, completions, manual pages.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::json;

use crate::base::random::Random;
use crate::model::password::Password;
use crate::signin::local;

use super::Outcome;
use super::arguments::Arguments;
use super::output::{Output, complain};
use super::user::password_from_stdin;

pub(super) fn hash(output: &Output) -> Outcome {
    let password = match password_from_stdin() {
        Ok(text) => Password::new(text),
        Err(outcome) => return outcome,
    };
    match local::hash_here(&password, &Random::System) {
        Ok(hash) => {
            output.answer(&json!({ "hash": hash.as_phc() }), |_| hash.as_phc().to_owned());
            Outcome::Sound
        }
        Err(error) => {
            complain(&format!("the password cannot be hashed: {error}"));
            Outcome::Wrong
        }
    }
}

pub(super) fn version(output: &Output) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    output.answer(&json!({ "name": "portcullis", "version": version }), |_| {
        format!("portcullis {version}")
    });
    Outcome::Sound
}

pub(super) fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "portcullis", &mut script);
    write_out(&script)
}

pub(super) fn man(folder: Option<&Path>) -> Outcome {
    let mut command = Arguments::command();
    command.build();
    match folder {
        None => match page(&command) {
            Ok(text) => write_out(&text),
            Err(error) => wrong("the manual page cannot be written", &error),
        },
        Some(folder) => match fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder)) {
            Ok(()) => Outcome::Sound,
            Err(error) => wrong(&format!("the manual pages cannot be written to {}", folder.display()), &error),
        },
    }
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}

fn write_out(text: &[u8]) -> Outcome {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => wrong("standard output cannot be written", &error),
        _ => Outcome::Sound,
    }
}

fn wrong(what: &str, error: &io::Error) -> Outcome {
    complain(&format!("{what}: {error}"));
    Outcome::Wrong
}
