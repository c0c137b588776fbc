//! `portcullis serve`: set up the log and the threads, then hand over to the server.

use std::io::{self, IsTerminal};
use std::path::Path;

use tracing_subscriber::EnvFilter;

use crate::server::control::chain;
use crate::server::files::Files;
use crate::server::run;

use super::Outcome;
use super::arguments::{LogFormat, ServeOptions};
use super::output::{complain, print};

pub(super) fn run(config: &Path, options: &ServeOptions) -> Outcome {
    if let Err(error) = log_to_stderr(options.log_format, &options.log) {
        complain(&error);
        return Outcome::Usage;
    }
    match run::run(&Files::at(config), &mut |line| print(line)) {
        Ok(()) => Outcome::Sound,
        Err(error) => {
            complain(&chain(&error));
            Outcome::Wrong
        }
    }
}

/// Standard output is for what scripts wait for; the log goes to standard error.
pub(super) fn log_to_stderr(format: LogFormat, filter: &str) -> Result<(), String> {
    // What the HTTP/2 library warns of is for strangers to choose, as often as they like.
    let filter = EnvFilter::try_new(format!("h2=error,{filter}")).map_err(|error| format!("--log: {error}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
