//! The store: whether it opens under the key, is whole, remembers no later time, and has room to grow.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::statvfs;

use crate::base::random::Random;
use crate::base::seal::Keyring;
use crate::base::time::{Clock, Timestamp};
use crate::config::{Settings, StoreKind};
use crate::server::control::chain;
use crate::server::master_key::{self, KeyFileError};
use crate::store::{self, OpenError, Page, Record, SecretRecord, SigningKeyRecord, Store, StoreError};

use super::clock;
use super::fault::{Area, Fault};

/// With less than this on its disk the store stops taking changes soon.
const LITTLE: u64 = 64 * 1024 * 1024;
/// Compaction and the copy before a migration need the store's size once more.
const COMFORT: u64 = 512 * 1024 * 1024;

/// The master key by itself. Never makes one.
pub(super) fn key(settings: &Settings) -> Result<Option<Arc<Keyring>>, Fault> {
    let keys = &settings.keys;
    match master_key::present(&keys.master_file, &keys.previous_files) {
        Ok(keyring) => Ok(Some(Arc::new(keyring))),
        // Both are made at the first start.
        Err(KeyFileError::Gone { .. }) if !settings.store.path.exists() => Ok(None),
        Err(error) => {
            let code = match &error {
                KeyFileError::Gone { .. } => "key-missing",
                KeyFileError::NoKey { .. } => "key-malformed",
                KeyFileError::Open { .. } => "key-readable",
                KeyFileError::Refused { .. } => "key-unreadable",
            };
            let (what, help) = match &error {
                KeyFileError::Refused { .. } => (
                    chain(&error),
                    "let the server's user read it: look at its owner and mode".to_owned(),
                ),
                error => told(&error.to_string()),
            };
            Err(Fault::error(Area::Key, code, keys.master_file.display().to_string(), what, help))
        }
    }
}

/// Messages of these errors say what is wrong, then a colon, then what to do.
fn told(message: &str) -> (String, String) {
    let (what, help) = message
        .split_once(": ")
        .unwrap_or((message, "`portcullis serve` stops at the same"));
    (what.to_owned(), help.to_owned())
}

/// The store where no server runs: the engine's own check, then everything that is asked of a running one.
pub(super) async fn alone(settings: &Settings, keyring: &Arc<Keyring>, clock: &Clock, random: &Random) -> Vec<Fault> {
    let path = &settings.store.path;
    if settings.store.kind != StoreKind::Redb || !path.exists() {
        return Vec::new();
    }
    let at = path.display().to_string();
    let checked = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || store::check_file(&path)).await
    };
    match checked {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) | Err(_) => return vec![damaged(&at, "the engine's own check does not pass")],
        Ok(Err(error)) => return vec![not_opened(&at, &error)],
    }
    let opened = {
        let (path, keyring, random, now) = (path.clone(), Arc::clone(keyring), random.clone(), clock.now());
        tokio::task::spawn_blocking(move || Store::open(&path, &keyring, &random, now)).await
    };
    match opened {
        Ok(Ok(store)) => {
            let faults = of_open(&store, keyring, clock.now(), path).await;
            store.close().await;
            faults
        }
        Ok(Err(error)) => vec![not_opened(&at, &error)],
        Err(_) => vec![damaged(&at, "opening it ended in a fault of portcullis")],
    }
}

fn not_opened(at: &str, error: &OpenError) -> Fault {
    let (what, help) = match error {
        OpenError::Io { .. } | OpenError::Migration { .. } | OpenError::CopyBefore(_) => {
            (chain(error), "look at the file's owner and mode, and at its disk".to_owned())
        }
        error => told(&error.to_string()),
    };
    match error {
        OpenError::WrongMasterKey => Fault::error(Area::Key, "key-of-another-store", at, what, help),
        OpenError::Damaged { .. } => Fault::error(Area::Store, "store-damaged", at, what, help),
        _ => Fault::error(Area::Store, "store-unopened", at, what, help),
    }
}

fn damaged(at: &str, what: &str) -> Fault {
    let help = "stop the server, keep the file, and restore the last backup with `portcullis restore`";
    Fault::error(Area::Store, "store-damaged", at, what, help)
}

/// A store that is open: all its rows, its audit trail, what is sealed in it, its last event, its disk.
pub(super) async fn of_open(store: &Store, keyring: &Keyring, now: Timestamp, path: &Path) -> Vec<Fault> {
    let at = path.display().to_string();
    let mut faults = Vec::new();
    match store.health() {
        Err(StoreError::Full) => faults.push(full(&at, 0)),
        Err(error) => faults.push(damaged(&at, &chain(&error))),
        Ok(()) => {}
    }
    match store.read_all().await {
        Ok(_) => {}
        Err(error) => faults.push(damaged(&at, &chain(&error))),
    }
    match store.verify_audit(keyring, None).await {
        Ok(report) => {
            if let Some(broken) = &report.broken {
                faults.push(audit(&at, &broken.to_string()));
            } else if let Ok(Some(last)) = store.last_event().await {
                faults.extend(clock::behind(now, last));
            }
        }
        Err(error) => faults.push(audit(&at, &chain(&error))),
    }
    faults.extend(unsealed(store, keyring, &at).await);
    faults.extend(room(path));
    faults
}

fn audit(at: &str, what: &str) -> Fault {
    let help =
        "somebody changed the store beside portcullis, or its disk did: keep the file, compare with backups and with the marks in the log";
    Fault::error(Area::Store, "audit-broken", at, what, help)
}

/// What is sealed and does not open under the keys there are.
async fn unsealed(store: &Store, keyring: &Keyring, at: &str) -> Option<Fault> {
    const AT_ONCE: usize = 500;
    let mut shut = 0_u64;
    let mut first = None;
    let mut note = |error: String| {
        shut += 1;
        first.get_or_insert(error);
    };
    let mut page = Page::<SecretRecord>::first(AT_ONCE);
    while let Ok(records) = store.list(page).await {
        for record in &records {
            if let Err(error) = record.record.open(keyring) {
                note(error.to_string());
            }
        }
        let Some(last) = records.last() else { break };
        page = Page::first(AT_ONCE).after(&last.record.key());
    }
    let keys = store.list(Page::<SigningKeyRecord>::first(AT_ONCE)).await.unwrap_or_default();
    for key in &keys {
        if let Err(error) = key.record.open(keyring) {
            note(error.to_string());
        }
    }
    first.map(|why| {
        Fault::error(
            Area::Key,
            "key-opens-not",
            at,
            format!("{shut} sealed values do not open: {why}"),
            "name the key they were sealed under in keys.previous_files, then `portcullis rewrap`",
        )
    })
}

fn room(path: &Path) -> Option<Fault> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let disk = statvfs(folder).ok()?;
    let size = fs::metadata(path).map_or(0, |found| found.len());
    judge_room(&folder.display().to_string(), disk.f_bavail.saturating_mul(disk.f_frsize), size)
}

fn judge_room(at: &str, free: u64, store: u64) -> Option<Fault> {
    if free < LITTLE {
        return Some(full(at, free));
    }
    (free < COMFORT.max(store)).then(|| {
        Fault::warning(
            Area::Store,
            "disk-little",
            at,
            format!("{} MiB are free; the store has {} MiB", free >> 20, store >> 20),
            "make room: an upgrade copies the store first, and compacting it needs its size once more",
        )
    })
}

fn full(at: &str, free: u64) -> Fault {
    Fault::error(
        Area::Store,
        "disk-full",
        at,
        format!("{} MiB are free: soon no change can be written, and nobody can sign in", free >> 20),
        "make room on the disk",
    )
}

#[cfg(test)]
mod tests {
    use super::super::fault::Severity;
    use super::*;
    use crate::base::seal::MasterKey;
    use crate::model::event::{Action, Actor, Event};
    use crate::store::{Commit, SecretKind};

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_disk_that_fills_up_is_told_in_time() {
        for (name, free, store, expected) in [
            ("plenty", 10_000 * MIB, 400 * MIB, None),
            ("less than the store", 900 * MIB, 1000 * MIB, Some(Severity::Warning)),
            ("little", 100 * MIB, MIB, Some(Severity::Warning)),
            ("nothing", MIB, MIB, Some(Severity::Error)),
        ] {
            assert_eq!(judge_room("data", free, store).map(|fault| fault.severity), expected, "{name}");
        }
    }

    fn ring(byte: u8) -> Arc<Keyring> {
        Arc::new(Keyring::new(MasterKey::from_bytes([byte; 32]), Vec::new()))
    }

    #[tokio::test]
    async fn what_does_not_open_and_a_later_event_are_found_in_an_open_store() {
        let now = Timestamp::from_secs(1_900_000_000);
        let (ours, others) = (ring(1), ring(2));
        let store = Store::in_memory(&ours, &Random::System, now).unwrap();
        let codes = async |now| {
            let faults = of_open(&store, &ours, now, Path::new("/")).await;
            let mut codes: Vec<_> = faults.into_iter().map(|fault| fault.code).collect();
            codes.retain(|code| !code.starts_with("disk"));
            codes
        };
        assert!(codes(now).await.is_empty());
        let event = Event::new(Action::Rewrapped, Actor::CommandLine, now);
        let secret = SecretRecord::seal(SecretKind::Token, "kim", b"token", &others, &Random::System).unwrap();
        store.commit(Commit::because(event).create(&secret)).await.unwrap();
        assert_eq!(codes(now).await, ["key-opens-not"]);
        let before = now.before(crate::base::time::HOUR);
        assert_eq!(codes(before).await, ["clock-stepped-back", "key-opens-not"]);
    }
}
