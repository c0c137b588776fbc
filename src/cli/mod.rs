//! The command line: parse arguments, ask, print what came back.
//!
//! A command that reads or changes the store builds a [`Request`](crate::server::control::Request) and hands it to `ask`: to the running
//! server over its control socket, or to the store itself where none runs. Both ways end in the same function.

mod arguments;
mod ask;
mod check;
mod demo;
mod doctor;
mod explain;
mod invite;
mod mail;
mod operations;
mod output;
mod sample;
mod serve;
mod shell;
mod team;
mod user;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, Command};
use self::output::Output;

/// What a command came to. The numbers are for scripts: 0 done and sound, 1 something is wrong and was said, 2 usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Sound,
    Wrong,
    Usage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Sound => Self::SUCCESS,
            Outcome::Wrong => Self::from(1),
            Outcome::Usage => Self::from(2),
        }
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => dispatch(arguments).into(),
        Err(said) => {
            // Help and version are answers, everything else is usage; clap knows which stream each belongs to.
            let outcome = if said.use_stderr() { Outcome::Usage } else { Outcome::Sound };
            let _ = said.print();
            outcome.into()
        }
    }
}

fn dispatch(arguments: Arguments) -> Outcome {
    let output = Output::of(arguments.json);
    let config = arguments.config;
    match arguments.command {
        Command::Serve(options) => serve::run(&config, &options),
        Command::Demo(options) => demo::run(&options),
        Command::Check(options) => check::run(&config, &options, &output),
        Command::Explain(options) => explain::explain(&config, options, &output),
        Command::WhoCan(options) => explain::who_can(&config, &options, &output),
        Command::Can(options) => explain::can(&config, options, &output),
        Command::Diff(options) => explain::diff(&config, &options, &output),
        Command::Reload => operations::reload(&config, &output),
        Command::User(what) => user::run(&config, what, &output),
        Command::Invite(what) => invite::run(&config, what, &output),
        Command::Team(what) => team::run(&config, what, &output),
        Command::Mail(what) => mail::run(&config, what, &output),
        Command::Session(what) => operations::session(&config, what, &output),
        Command::Ban(what) => operations::ban(&config, what, &output),
        Command::Rewrap => operations::rewrap(&config, &output),
        Command::Backup { file } => operations::backup(&config, &file, &output),
        Command::Restore { file, yes } => operations::restore(&config, &file, yes, &output),
        Command::Audit(what) => operations::audit(&config, &what, &output),
        Command::Doctor(options) => doctor::run(&config, &options, &output),
        Command::Health => operations::health(&config, &output),
        Command::Hash => shell::hash(&output),
        Command::Version => shell::version(&output),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { folder } => shell::man(folder.as_deref()),
    }
}
