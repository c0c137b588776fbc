//! What is done while no server runs: one command on an opened store, or a backup put in its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::runtime;

use crate::base::random::Random;
use crate::base::time::Clock;
use crate::store::{self, BackupError, OpenError, Store};

use super::control::{Answer, Request, execute};
use super::files::Files;
use super::master_key;
use super::opening::{self, CannotOpen, Opener};

/// Opens the store, carries out one request, closes it.
///
/// # Errors
/// [`CannotOpen`]
pub fn alone(files: &Files, request: Request) -> Result<Answer, CannotOpen> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CannotOpen::System {
            what: "runtime of the command",
            source,
        })?;
    runtime.block_on(async {
        let desk = opening::open(files.clone(), Opener::Command, Clock::System, Random::System).await?;
        let answer = execute(&desk, request).await;
        desk.store.close().await;
        Ok(answer)
    })
}

/// Why a backup was not put in the place of the store. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CannotRestore {
    /// The settings, or the master key.
    #[error(transparent)]
    CannotOpen(#[from] CannotOpen),
    /// Nobody said yes.
    #[error("{0} is a store already: say --yes to put the backup in its place")]
    NotAsked(PathBuf),
    /// A store that an earlier restore replaced is still there.
    #[error("{0} is the store that an earlier restore replaced: move it away first")]
    KeptAlready(PathBuf),
    /// The backup is not whole, not ours, or made under another key.
    #[error("the backup cannot be restored")]
    Backup(#[from] BackupError),
    /// The system refuses to move files.
    #[error("{path} cannot be put in its place")]
    Refused {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Makes a store of the backup beside the one there is, verifies it, and then puts it in its place. The old one is kept.
///
/// # Errors
/// [`CannotRestore`]
pub fn restore(files: &Files, backup: &Path, yes: bool) -> Result<String, CannotRestore> {
    let sources = files.read_settings().map_err(CannotOpen::from)?;
    let (random, now) = (Random::System, Clock::System.now());
    let settings = opening::settings_of(&sources, now)?;
    let place = settings.store.path.clone();
    if place.exists() && !yes {
        return Err(CannotRestore::NotAsked(place));
    }
    // A key that is made here and now could open nothing that is in the backup.
    let keys = &settings.keys;
    let keyring = master_key::keyring(&keys.master_file, &keys.previous_files, true, &random)
        .map_err(CannotOpen::from)?
        .into();
    if place.exists() && matches!(Store::open(&place, &keyring, &random, now), Err(OpenError::InUse(_))) {
        return Err(CannotOpen::Store(OpenError::InUse(place)).into());
    }
    let kept = beside(&place, ".before-restore");
    if place.exists() && kept.exists() {
        return Err(CannotRestore::KeptAlready(kept));
    }
    let fresh = beside(&place, ".restored");
    let _ = fs::remove_file(&fresh);
    let report = store::restore(backup, &fresh, &keyring, &random, now)?;
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |source| CannotRestore::Refused { path, source }
    };
    if place.exists() {
        fs::rename(&place, &kept).map_err(refused(&place))?;
    }
    fs::rename(&fresh, &place).map_err(refused(&place))?;
    let old = if kept.exists() {
        format!("; the store that was there is {}", kept.display())
    } else {
        String::new()
    };
    Ok(format!("{} rows restored and verified{old}", report.rows))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
