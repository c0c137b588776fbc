//! Says when files have changed and are quiet again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// How long files have to be quiet: an editor or `git checkout` writes several.
pub const SETTLE: Duration = Duration::from_secs(1);

/// Watches folders. Nothing is lost between two calls of [`Watch::changed`]: a change in between is remembered.
#[derive(Debug)]
pub struct Watch {
    woken: mpsc::Receiver<()>,
    // Dropping it ends the watching.
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch `folders` and all below them. A folder that is not there is left out.
    ///
    /// # Errors
    /// The operating system refuses, mostly because too many files are watched already (`fs.inotify.max_user_watches`).
    pub fn over(folders: &[PathBuf]) -> notify::Result<Self> {
        // One seat is enough: it only says that there is something to look at.
        let (wake, woken) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the files for a reload must not look like a change of them.
            if !matches!(
                event,
                Ok(notify::Event {
                    kind: EventKind::Access(_),
                    ..
                })
            ) {
                let _ = wake.try_send(());
            }
        })?;
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            watcher.watch(folder, RecursiveMode::Recursive)?;
        }
        Ok(Self { woken, _watcher: watcher })
    }

    /// Waits until something has changed and then nothing for [`SETTLE`].
    pub async fn changed(&mut self) {
        if self.woken.recv().await.is_none() {
            // The watcher is gone; it will never wake again.
            std::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(SETTLE, self.woken.recv()).await {}
    }
}

/// The folders to watch for `files` and `trees`: a file is watched through its folder, since editors replace files rather than write them.
#[must_use]
pub fn folders_of(trees: &[&Path], files: &[&Path]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = trees.iter().map(|tree| tree.to_path_buf()).collect();
    for file in files {
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if !folders.iter().any(|known| folder.starts_with(known)) {
            folders.push(folder.to_owned());
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_in_a_sub_folder_wakes_once_files_are_quiet() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("customers")).unwrap();
        let mut watch = Watch::over(&[folder.path().to_owned()]).unwrap();
        std::fs::write(folder.path().join("customers/acme.toml"), "one").unwrap();
        std::fs::write(folder.path().join("customers/acme.toml"), "two").unwrap();
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap();
        std::fs::read(folder.path().join("customers/acme.toml")).unwrap();
        assert!(tokio::time::timeout(SETTLE * 2, watch.changed()).await.is_err(), "reading wakes it");
    }

    #[test]
    fn a_file_is_watched_through_its_folder() {
        let folders = folders_of(
            &[Path::new("policies")],
            &[Path::new("config/portcullis.toml"), Path::new("policies/idp/x.xml")],
        );
        assert_eq!(folders, [PathBuf::from("policies"), PathBuf::from("config")]);
    }
}
