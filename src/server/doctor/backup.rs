//! Backups on a timer: whether there is one that is young enough, and whether they are their owner's alone.

use std::time::Duration;

use crate::base::time::{HOUR, Timestamp};
use crate::config::BackupTimer;
use crate::server::backups;

use super::fault::{Area, Fault};

/// How much later than its time a backup may be: writing a large store takes a while.
const SLACK: Duration = HOUR;

/// What is wrong with the folder, or with the age of what is in it.
pub(super) fn look(timer: &BackupTimer, running: bool, now: Timestamp) -> Option<Fault> {
    let at = timer.dir.display().to_string();
    let help = "the log of the server says why: is the folder writable for it, and its disk full?";
    let newest = match backups::list(&timer.dir) {
        Ok(found) => found.last().map(|(at, _)| *at),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Some(Fault::error(
                Area::Backup,
                "backup-folder",
                at,
                format!("it cannot be read: {error}"),
                help,
            ));
        }
    };
    let late = timer.every.saturating_mul(2).saturating_add(SLACK);
    match newest {
        Some(made) if now.since(made) > late => {
            let what = format!(
                "the newest backup is of {made}, and one is to be made every {} s",
                timer.every.as_secs()
            );
            Some(Fault::error(Area::Backup, "backup-old", at, what, help))
        }
        // One is made seconds after the first start.
        None if running => Some(Fault::error(Area::Backup, "backup-missing", at, "there is none yet", help)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_a_fault_once_a_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        let timer = BackupTimer {
            dir: folder.path().join("none"),
            every: HOUR,
            keep: 1,
        };
        let now = Timestamp::from_secs(1_900_000_000);
        assert_eq!(look(&timer, false, now), None);
        assert_eq!(look(&timer, true, now).map(|fault| fault.code).as_deref(), Some("backup-missing"));
        std::fs::write(&timer.dir, "a file").unwrap();
        assert_eq!(look(&timer, true, now).map(|fault| fault.code).as_deref(), Some("backup-folder"));
    }
}
