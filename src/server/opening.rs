//! Opens what a gateway stands on: files, master key, store, accounts, rules.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::accounts::{Accounts, KeyError};
use crate::app::live::with_those_of_the_policies;
use crate::app::{App, Live, Stale};
use crate::audit::decisions::{DecisionLog, Destination, LogSettings};
use crate::audit::metrics::Metrics;
use crate::base::diagnostic::Diagnostic;
use crate::base::random::Random;
use crate::base::seal::Keyring;
use crate::base::sources::Sources;
use crate::base::time::{Clock, Timestamp};
use crate::config;
use crate::config::{Settings, StoreKind};
use crate::signin::local::Passwords;
use crate::store::{OpenError, Store, StoreError};

use super::files::{Files, Unreadable};
use super::last_good;
use super::master_key::{self, KeyFileError};

/// Why a gateway cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CannotOpen {
    /// A file that has to be there.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Settings or policies are wrong, and no last good policies are kept.
    #[error("{}", .0.join("\n"))]
    Problems(Vec<String>),
    /// The master key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store opened and did not answer.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
    /// The keys of the assertion.
    #[error("the keys of the assertion cannot be used")]
    AssertionKeys(#[from] KeyError),
    /// A setting that a later version carries out.
    #[error("{0} is not available yet")]
    NotYet(&'static str),
    /// The system refuses threads or a file.
    #[error("the {what} cannot be started")]
    System {
        /// What could not.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Who opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// A server: it logs decisions, and what it goes by is kept as the last good rules.
    Server,
    /// One command, while no server runs.
    Command,
}

/// An open gateway: what listens needs no more, and what is asked on the command line is answered by it.
#[derive(Debug)]
pub struct Desk {
    /// The shared state.
    pub app: Arc<App>,
    /// Where the files are.
    pub files: Files,
    /// The store, for what is done to it as a whole.
    pub store: Store,
    /// The keys it is sealed with.
    pub keyring: Arc<Keyring>,
    /// Who opened it.
    pub opener: Opener,
    /// The settings it was opened with; a reload does not change what was taken from them at start.
    pub started_with: Arc<Settings>,
}

/// Where the control socket stands: beside the store.
#[must_use]
pub fn socket_beside(store: &Path) -> PathBuf {
    store.with_file_name("portcullis.sock")
}

/// Reads everything and opens the store. With broken policies the last good ones are used, and marked stale.
///
/// # Errors
/// [`CannotOpen`], with every problem of the files.
pub async fn open(files: Files, opener: Opener, clock: Clock, random: Random) -> Result<Desk, CannotOpen> {
    let now = clock.now();
    let sources = files.read()?;
    let settings = settings_of(&sources, now)?;
    let (store, keyring) = open_store(&settings, &random, now)?;
    open_on(files, sources, store, keyring, opener, clock, random).await
}

/// The same on a store that is open already, as tests have one.
///
/// # Errors
/// [`CannotOpen`], with every problem of the files.
pub async fn open_on(
    files: Files,
    sources: Sources,
    store: Store,
    keyring: Arc<Keyring>,
    opener: Opener,
    clock: Clock,
    random: Random,
) -> Result<Desk, CannotOpen> {
    let now = clock.now();
    let live = live_or_last_good(&sources, &store, now).await?;
    if opener == Opener::Server {
        refuse_what_is_to_come(&live.settings)?;
    }
    let passwords = Passwords::start_for_this_machine(random.clone()).map_err(|source| CannotOpen::System {
        what: "threads that hash passwords",
        source,
    })?;
    let accounts = Accounts::new(store.clone(), Arc::clone(&keyring), passwords, live.house_rules(), random.clone());
    accounts.tend_keys(now).await?;
    let metrics = Arc::new(Metrics::new());
    metrics.set_policy_stale(live.stale.is_some());
    metrics.set_last_reload(live.stale.is_none());
    let log = match opener {
        Opener::Server => live.log_settings(),
        Opener::Command => LogSettings {
            destination: Destination::Memory,
            ..live.log_settings()
        },
    };
    let decisions = DecisionLog::start(log, clock.clone(), random.clone(), Arc::clone(&metrics)).map_err(|source| CannotOpen::System {
        what: "decision log",
        source,
    })?;
    if opener == Opener::Server && live.stale.is_none() {
        last_good::keep(&store, &live, now).await?;
    }
    let started_with = Arc::clone(&live.settings);
    let app = Arc::new(App::new(live, accounts, decisions, metrics, clock, random));
    let on_disk = files.clone();
    // A new state has none yet.
    let _ = app.files.set(Arc::new(move || on_disk.read().map_err(|error| error.to_string())));
    Ok(Desk {
        app,
        files,
        store,
        keyring,
        opener,
        started_with,
    })
}

/// A listener that was asked for and is not there would leave its front proxies to decide by themselves: better not to start.
fn refuse_what_is_to_come(settings: &Settings) -> Result<(), CannotOpen> {
    let listen = &settings.listen;
    for (what, addresses) in [
        ("listen.authz", &listen.authz),
        ("listen.grpc", &listen.grpc),
        ("listen.fastcgi", &listen.fastcgi),
    ] {
        if !addresses.is_empty() {
            return Err(CannotOpen::NotYet(what));
        }
    }
    Ok(())
}

/// The settings of the sources.
///
/// # Errors
/// [`CannotOpen::Problems`], with those of the policies too.
pub fn settings_of(sources: &Sources, now: Timestamp) -> Result<Settings, CannotOpen> {
    config::load(sources).map(|(settings, _)| settings).map_err(|problems| {
        let problems = with_those_of_the_policies(problems, sources, now);
        CannotOpen::Problems(rendered(sources, &problems))
    })
}

/// The store with its keys.
///
/// # Errors
/// Everything about key file and store that [`CannotOpen`] names.
pub fn open_store(settings: &Settings, random: &Random, now: Timestamp) -> Result<(Store, Arc<Keyring>), CannotOpen> {
    if settings.store.kind == StoreKind::Postgres {
        return Err(CannotOpen::NotYet("a PostgreSQL store"));
    }
    let keyring = keyring_of(settings, random)?;
    let store = Store::open(&settings.store.path, &keyring, random, now)?;
    Ok((store, keyring))
}

/// The keys that the settings name.
///
/// # Errors
/// [`CannotOpen::Key`]
pub fn keyring_of(settings: &Settings, random: &Random) -> Result<Arc<Keyring>, CannotOpen> {
    let exists = settings.store.path.exists();
    let keyring = master_key::keyring(&settings.keys.master_file, &settings.keys.previous_files, exists, random)?;
    Ok(Arc::new(keyring))
}

async fn live_or_last_good(sources: &Sources, store: &Store, now: Timestamp) -> Result<Live, CannotOpen> {
    let problems = match Live::parse(sources, now) {
        Ok(live) => return Ok(live),
        Err(problems) => problems,
    };
    let said = rendered(sources, &problems);
    let Some(older) = last_good::find(sources, store).await? else {
        return Err(CannotOpen::Problems(said));
    };
    // The settings are those of today: if they are what is wrong, older rules do not help.
    let mut live = Live::parse(&older, now).map_err(|_| CannotOpen::Problems(said.clone()))?;
    let lines: Vec<String> = problems.iter().map(|problem| problem.one_line(&sources.texts())).collect();
    for problem in &lines {
        tracing::error!(problem, "the policies cannot be used: going by the last good ones");
    }
    live.stale = Some(Stale {
        since: now,
        problems: lines.into(),
    });
    Ok(live)
}

/// Findings as people read them.
#[must_use]
pub fn rendered(sources: &Sources, problems: &[Diagnostic]) -> Vec<String> {
    let texts = sources.texts();
    problems.iter().map(|problem| problem.render(&texts)).collect()
}
