//! The master key's file: read, or made at the first start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::base::random::Random;
use crate::base::seal::{Keyring, MasterKey};

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is a store, and its key is gone.
    #[error(
        "the master key {path} is missing, and the store was made with one: put the file back from where you keep it; \
         if the key was replaced on purpose, name the old one in keys.previous_files"
    )]
    Gone {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{path} holds no master key: it should be one line of 43 letters and digits")]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// Others than its owner can read the key.
    #[error("{path} can be read by others than its owner: chmod 600 {path}")]
    Open {
        /// Which file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("the master key {path} cannot be used")]
    Refused {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The key at `master`, then those that sealed before it. Makes the first where there is no store yet, or where an older key is named.
///
/// # Errors
/// The key of a store that exists is missing, unreadable for us or readable for others.
pub fn keyring(master: &Path, previous: &[PathBuf], store_exists: bool, random: &Random) -> Result<Keyring, KeyFileError> {
    let before = previous.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let current = match read(master) {
        Err(KeyFileError::Refused { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            if store_exists && previous.is_empty() {
                return Err(KeyFileError::Gone { path: master.to_owned() });
            }
            make(master, random)?
        }
        other => other?,
    };
    Ok(Keyring::new(current, before))
}

/// The same keys, if all of them are there already. Makes none.
///
/// # Errors
/// A key is missing, unreadable for us or readable for others.
pub fn present(master: &Path, previous: &[PathBuf]) -> Result<Keyring, KeyFileError> {
    let before = previous.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    match read(master) {
        Err(KeyFileError::Refused { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(KeyFileError::Gone { path: master.to_owned() })
        }
        current => Ok(Keyring::new(current?, before)),
    }
}

fn read(path: &Path) -> Result<MasterKey, KeyFileError> {
    let refused = |source| KeyFileError::Refused {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(refused)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open { path: path.to_owned() });
    }
    let text = zeroize::Zeroizing::new(fs::read_to_string(path).map_err(refused)?);
    MasterKey::parse(&text).ok_or_else(|| KeyFileError::NoKey { path: path.to_owned() })
}

/// Written whole or not at all: a start that is killed half way must not leave half a key.
fn make(path: &Path, random: &Random) -> Result<MasterKey, KeyFileError> {
    let refused = |source| KeyFileError::Refused {
        path: path.to_owned(),
        source,
    };
    let key = MasterKey::generate(random);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(refused)?;
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(key.to_file_text().expose().as_bytes())?;
        file.sync_all()?;
        // A link refuses to replace what another process has just made; a rename would not.
        fs::hard_link(&draft, path)?;
        File::open(folder)?.sync_all()
    };
    let outcome = written();
    let _ = fs::remove_file(&draft);
    outcome.map_err(refused)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/master.key");
        let made = keyring(&path, &[], false, &Random::System).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = keyring(&path, &[], true, &Random::System).unwrap();
        assert_eq!(made.current(), again.current());
        assert_eq!(
            fs::read_dir(folder.path().join("data")).unwrap().count(),
            1,
            "a draft was left behind"
        );
    }

    #[test]
    fn a_store_without_its_key_stops_the_start_unless_an_old_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(matches!(keyring(&path, &[], true, &Random::System), Err(KeyFileError::Gone { .. })));
        let old = folder.path().join("old.key");
        let before = keyring(&old, &[], false, &Random::System).unwrap();
        let both = keyring(&path, std::slice::from_ref(&old), true, &Random::System).unwrap();
        assert!(both.has(before.current()) && both.current() != before.current());
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        keyring(&path, &[], false, &Random::System).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(keyring(&path, &[], true, &Random::System), Err(KeyFileError::Open { .. })));
        fs::write(&path, "short\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            keyring(&path, &[], true, &Random::System),
            Err(KeyFileError::NoKey { .. })
        ));
    }
}
