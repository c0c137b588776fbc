//! Who may read and write the files: secrets are their owner's, and what decides is nobody else's to change.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::base::sources::{NamedFile, Sources};
use crate::config::Settings;
use crate::server::opening::socket_beside;

use super::fault::{Area, Fault};

const OTHERS_WRITE: u32 = 0o002;
const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
const GROUP_WRITES_OTHERS_ANYTHING: u32 = 0o027;
const GROUP_AND_OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// Everything about the files that `sources` were read from, and that `settings` name.
pub(super) fn look(settings_file: &Path, sources: &Sources, settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    let data = folder_of(&settings.store.path);
    faults.extend(too_open(settings_file, OTHERS_WRITE, "mode-settings", "the settings"));
    faults.extend(policies(&settings.policy.dir));
    faults.extend(too_open(&data, GROUP_AND_OTHERS_WRITE, "mode-data", "the store's folder"));
    faults.extend(too_open(&settings.store.path, GROUP_AND_OTHERS, "mode-store", "the store"));
    faults.extend(too_open(
        &socket_beside(&settings.store.path),
        GROUP_AND_OTHERS,
        "mode-socket",
        "the control socket",
    ));
    let mut keys = vec![settings.keys.master_file.clone()];
    keys.extend(settings.keys.previous_files.iter().cloned());
    for key in &keys {
        faults.extend(too_open(key, GROUP_AND_OTHERS, "mode-master-key", "the master key"));
    }
    // A key for TLS is often shared with a group that renews it; others have no business in it.
    for secret in secrets(sources, &settings.policy.dir) {
        if !keys.contains(&secret) {
            faults.extend(too_open(&secret, GROUP_WRITES_OTHERS_ANYTHING, "mode-secret", "a secret"));
        }
    }
    if let Some(authority) = settings.tls.as_ref().and_then(|tls| tls.acme.as_ref()) {
        let forbidden = GROUP_AND_OTHERS_WRITE;
        faults.extend(too_open(
            &authority.dir,
            forbidden,
            "mode-acme",
            "the folder of the authority's certificates",
        ));
        let files = fs::read_dir(&authority.dir).into_iter().flatten().flatten();
        let mut files: Vec<_> = files.map(|file| file.path()).collect();
        files.sort();
        for file in files {
            faults.extend(too_open(&file, GROUP_AND_OTHERS, "mode-acme", "what the authority gave"));
        }
    }
    if let Some(log) = &settings.decision_log.file {
        faults.extend(too_open(log, GROUP_WRITES_OTHERS_ANYTHING, "mode-log", "the decision log"));
    }
    if let Some(timer) = &settings.backup {
        faults.extend(too_open(
            &timer.dir,
            GROUP_AND_OTHERS_WRITE,
            "mode-backup",
            "the folder of the backups",
        ));
    }
    faults.extend(owners(&data, settings, &keys));
    faults.extend(folders_above(&[&folder_of(settings_file), &settings.policy.dir, &data]));
    faults
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A path that grants one of `forbidden`. What is not there is no fault of its mode.
fn too_open(path: &Path, forbidden: u32, code: &str, what: &str) -> Option<Fault> {
    let mode = fs::metadata(path).ok()?.mode() & 0o7777;
    let excess = mode & forbidden;
    (excess != 0).then(|| {
        Fault::error(
            Area::Files,
            code,
            path.display().to_string(),
            format!("{what} may be {} (mode {mode:04o})", granted(excess)),
            format!("chmod {:04o} {}", mode & !forbidden, path.display()),
        )
    })
}

/// In words what too many may do.
fn granted(excess: u32) -> String {
    let whom = match (excess & 0o070 != 0, excess & 0o007 != 0) {
        (true, true) => "its group and everybody",
        (true, false) => "its group",
        _ => "everybody",
    };
    let what = match (excess & 0o044 != 0, excess & 0o022 != 0) {
        (true, true) => "read and written",
        (false, true) => "written",
        (true, false) => "read",
        (false, false) => "entered",
    };
    format!("{what} by {whom}")
}

/// One fault for the whole tree: a wrong umask makes every file of it wrong alike.
fn policies(folder: &Path) -> Option<Fault> {
    let mut open = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(place) = waiting.pop() {
        let Ok(found) = fs::metadata(&place) else { continue };
        if !seen.insert((found.dev(), found.ino())) {
            continue;
        }
        if found.mode() & OTHERS_WRITE != 0 {
            open.push(place.clone());
        }
        if found.is_dir() {
            let entries = fs::read_dir(&place).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()));
        }
    }
    open.sort();
    let first = open.first()?;
    Some(Fault::error(
        Area::Files,
        "mode-policies",
        first.display().to_string(),
        match open.len() {
            1 => "everybody on this machine may change what the policies say".to_owned(),
            many => format!("everybody on this machine may change what the policies say: {many} files and folders, this is the first"),
        },
        format!("chmod -R o-w {}", folder.display()),
    ))
}

/// Files with a secret in them that settings and policies name.
fn secrets(sources: &Sources, policies: &Path) -> BTreeSet<PathBuf> {
    let of = |root: PathBuf, (written, file): (&String, &NamedFile)| matches!(file, NamedFile::Secret(_)).then(|| root.join(written));
    let in_settings = sources.named.iter().filter_map(|named| of(sources.root.clone(), named));
    let in_policies = sources.policies.named.iter().filter_map(|named| of(policies.to_owned(), named));
    in_settings.chain(in_policies).collect()
}

/// What the server writes belongs to whom the folder belongs to. A command that was once given as root leaves files the server cannot open.
fn owners(data: &Path, settings: &Settings, keys: &[PathBuf]) -> Vec<Fault> {
    let Ok(folder) = fs::metadata(data) else { return Vec::new() };
    let files = std::iter::once(settings.store.path.clone())
        .chain(std::iter::once(socket_beside(&settings.store.path)))
        .chain(keys.iter().cloned());
    files
        .filter_map(|file| Some((fs::metadata(&file).ok()?, file)))
        .filter_map(|(found, file)| judge_owners(folder.uid(), found.uid(), &file, data))
        .collect()
}

fn judge_owners(of_folder: u32, of_file: u32, file: &Path, data: &Path) -> Option<Fault> {
    (of_folder != of_file).then(|| {
        Fault::error(
            Area::Files,
            "owner",
            file.display().to_string(),
            format!(
                "it belongs to user {of_file}, and its folder {} to user {of_folder}",
                data.display()
            ),
            format!(
                "chown --reference={} {}; then give commands as the server's user",
                data.display(),
                file.display()
            ),
        )
    })
}

/// Whoever may write a folder may put another one in the place of what is below it.
fn folders_above(starts: &[&Path]) -> Vec<Fault> {
    let mut above = BTreeSet::new();
    for start in starts {
        let Ok(whole) = fs::canonicalize(start) else { continue };
        above.extend(whole.ancestors().skip(1).map(Path::to_owned));
    }
    let open = above.into_iter().filter(|folder| {
        let mode = fs::metadata(folder).map_or(0, |found| found.mode());
        mode & OTHERS_WRITE != 0 && mode & STICKY == 0
    });
    open.map(|folder| {
        Fault::error(
            Area::Files,
            "mode-above",
            folder.display().to_string(),
            "everybody on this machine may replace the folders in it, those of portcullis among them",
            format!("chmod o-w {}", folder.display()),
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_too_many_may_do_is_said_in_words() {
        for (excess, words) in [
            (0o002, "written by everybody"),
            (0o040, "read by its group"),
            (0o064, "read and written by its group and everybody"),
            (0o001, "entered by everybody"),
        ] {
            assert_eq!(granted(excess), words);
        }
    }

    #[test]
    fn files_of_another_user_than_their_folder_are_told() {
        let (file, data) = (Path::new("data/portcullis.redb"), Path::new("data"));
        assert_eq!(judge_owners(990, 990, file, data), None);
        let fault = judge_owners(990, 0, file, data).unwrap();
        assert!(fault.help.starts_with("chown --reference=data data/portcullis.redb"), "{fault:?}");
    }
}
