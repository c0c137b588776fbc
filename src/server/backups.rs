//! Backups on a timer: written beside the requests, verified, the oldest removed.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::base::time::{MINUTE, Timestamp};
use crate::config::BackupTimer;
use crate::store::BackupError;

use super::control::chain;
use super::opening::Desk;

/// How the files are called; the moment in UTC, so that they order as text.
const NAME: &str = "portcullis-%Y%m%dT%H%M%SZ.dump";
/// How long to wait after a failure: a disk that is full is not empty a minute later.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How soon after the start the first one may be made.
const FIRST: Duration = Duration::from_secs(5);

/// Why there is no new backup.
#[derive(Debug, thiserror::Error)]
pub enum NoBackup {
    /// The folder cannot be used.
    #[error("the folder of the backups {path} cannot be used")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It could not be written or did not read back.
    #[error("the backup was not made")]
    Failed(#[from] BackupError),
}

/// Makes them as the settings say, which may change meanwhile, until the future is dropped.
pub async fn each_in_its_time(desk: Arc<Desk>) {
    // What the folder holds is known from the names in it, so a restart neither skips one nor makes one too many.
    let often = desk
        .app
        .live()
        .settings
        .backup
        .as_ref()
        .map_or(MINUTE, |timer| timer.every.min(MINUTE));
    let mut ticks = interval_at(Instant::now() + FIRST.min(often), often);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed: Option<Instant> = None;
    loop {
        ticks.tick().await;
        if failed.is_some_and(|at| at.elapsed() < PATIENCE) {
            continue;
        }
        failed = match make_if_due(&desk).await {
            Ok(_) => None,
            Err(error) => {
                tracing::error!(error = %chain(&error), "no backup");
                Some(Instant::now())
            }
        };
    }
}

/// Makes one if the newest is old enough, and removes those beyond the number that is kept. Says what it made.
///
/// # Errors
/// [`NoBackup`]; the older ones stay then.
pub async fn make_if_due(desk: &Desk) -> Result<Option<PathBuf>, NoBackup> {
    let Some(timer) = desk.app.live().settings.backup.clone() else {
        return Ok(None);
    };
    let now = desk.app.clock.now();
    let made = make(desk, &timer, now).await;
    match &made {
        Ok(Some(_)) => desk.app.metrics.backed_up(now),
        Ok(None) => {}
        Err(_) => desk.app.metrics.backup_failed(),
    }
    made
}

async fn make(desk: &Desk, timer: &BackupTimer, now: Timestamp) -> Result<Option<PathBuf>, NoBackup> {
    let folder = timer.dir.clone();
    let unusable = |source| NoBackup::Folder {
        path: timer.dir.clone(),
        source,
    };
    let found = tokio::task::spawn_blocking(move || prepare(&folder)).await;
    let found = found.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(unusable)?;
    if let Some((newest, _)) = found.last() {
        desk.app.metrics.backed_up(*newest);
        if !is_due(*newest, now, timer.every) {
            return Ok(None);
        }
    }
    let path = timer.dir.join(name_of(now));
    let report = desk.store.backup(&path).await?;
    tracing::info!(file = %path.display(), rows = report.rows, bytes = report.bytes, sha256 = report.digest, "backed up");
    for old in surplus(&found, timer.keep) {
        match fs::remove_file(old) {
            Ok(()) => tracing::info!(file = %old.display(), "old backup removed"),
            Err(error) => tracing::warn!(file = %old.display(), error = %error, "an old backup cannot be removed"),
        }
    }
    Ok(Some(path))
}

/// Makes the folder where it is not there, and lists what is in it.
fn prepare(folder: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    list(folder)
}

/// The backups in a folder that were made on the timer, the oldest first.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(at) = path.file_name().and_then(|name| moment_in(name.to_str()?)) {
            found.push((at, path));
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(at: Timestamp) -> String {
    at.to_jiff().strftime(NAME).to_string()
}

fn moment_in(name: &str) -> Option<Timestamp> {
    let local = DateTime::strptime(NAME, name).ok()?;
    let at = TimeZone::UTC.to_timestamp(local).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Whether the newest is old enough. One from the future is of a clock that was wrong then, and counts for nothing.
fn is_due(newest: Timestamp, now: Timestamp, every: Duration) -> bool {
    now.since(newest) >= every || newest > now
}

/// Those that go once another one was made.
fn surplus(found: &[(Timestamp, PathBuf)], keep: usize) -> impl Iterator<Item = &PathBuf> {
    let many = (found.len() + 1).saturating_sub(keep);
    found.iter().take(many).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::HOUR;

    #[test]
    fn a_file_tells_by_its_name_when_it_was_made() {
        let at = Timestamp::parse_rfc3339("2026-11-30T21:05:09Z").unwrap();
        assert_eq!(name_of(at), "portcullis-20261130T210509Z.dump");
        assert_eq!(moment_in(&name_of(at)), Some(at));
        for other in [
            "portcullis-20261130T210509Z.dump.unfinished",
            "before-upgrade.dump",
            "portcullis-.dump",
        ] {
            assert_eq!(moment_in(other), None, "{other}");
        }
    }

    #[test]
    fn one_is_due_when_the_newest_is_old_or_from_the_future() {
        let now = Timestamp::from_secs(1_900_000_000);
        for (name, newest, due) in [
            ("just made", now, false),
            ("an hour less a second", now.before(HOUR - Duration::from_secs(1)), false),
            ("an hour", now.before(HOUR), true),
            ("tomorrow", now.after(24 * HOUR), true),
        ] {
            assert_eq!(is_due(newest, now, HOUR), due, "{name}");
        }
    }

    #[test]
    fn the_oldest_go_and_the_number_kept_stays() {
        let found: Vec<_> = (1..=4)
            .map(|number| (Timestamp::from_secs(number), PathBuf::from(number.to_string())))
            .collect();
        let gone = |keep| surplus(&found, keep).map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(gone(3), ["1", "2"]);
        assert!(gone(5).is_empty());
        assert_eq!(gone(1), ["1", "2", "3", "4"]);
    }
}
