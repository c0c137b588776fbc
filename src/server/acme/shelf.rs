//! What is kept of an authority between starts: the account's key, certificates with their keys, and what was tried when.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::base::secret::sha256;

use super::schedule::History;

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written", file.display())]
pub(super) struct CannotKeep {
    /// The file.
    pub(super) file: PathBuf,
    /// What the system said.
    #[source]
    source: io::Error,
}

/// A folder, its owner's alone. Everything in it can be had again, so none of it is in the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shelf {
    folder: PathBuf,
    /// Accounts are with one authority only.
    account: PathBuf,
    /// What stands for the authority in files.
    pub(super) authority: String,
}

impl Shelf {
    /// The shelf in `folder` for the authority at `directory`.
    #[must_use]
    pub(super) fn new(folder: &Path, directory: &str) -> Self {
        let short: String = sha256(directory.as_bytes())
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            folder: folder.to_owned(),
            account: folder.join(format!("account-{short}.json")),
            authority: short,
        }
    }

    /// The file of a host's certificate: its key, then the chain.
    #[must_use]
    pub(super) fn certificate(&self, host: &str) -> PathBuf {
        self.folder.join(format!("{host}.pem"))
    }

    /// Keeps a certificate with its key: both or neither.
    ///
    /// # Errors
    /// [`CannotKeep`]
    pub(super) fn keep_certificate(&self, host: &str, key: &Zeroizing<String>, chain: &str) -> Result<(), CannotKeep> {
        let text = Zeroizing::new(format!("{}{chain}", key.as_str()));
        self.write(&self.certificate(host), text.as_bytes())
    }

    /// The account with this authority, if there is one.
    #[must_use]
    pub(super) fn account(&self) -> Option<AccountCredentials> {
        read(&self.account)
    }

    /// Keeps the account.
    ///
    /// # Errors
    /// [`CannotKeep`]
    pub(super) fn keep_account(&self, account: &AccountCredentials) -> Result<(), CannotKeep> {
        let text = Zeroizing::new(serde_json::to_vec(account).unwrap_or_default());
        self.write(&self.account, &text)
    }

    /// Forgets an account that the authority does not know any more.
    pub(super) fn forget_account(&self) {
        let _ = fs::remove_file(&self.account);
    }

    /// What was tried for each host. A file that cannot be read is as good as none.
    #[must_use]
    pub(super) fn history(&self) -> BTreeMap<String, History> {
        read(&self.folder.join("tried.json")).unwrap_or_default()
    }

    /// Keeps what was tried, so that a server that starts again and again does not ask again and again.
    ///
    /// # Errors
    /// [`CannotKeep`]
    pub(super) fn keep_history(&self, history: &BTreeMap<String, History>) -> Result<(), CannotKeep> {
        self.write(
            &self.folder.join("tried.json"),
            &serde_json::to_vec_pretty(history).unwrap_or_default(),
        )
    }

    /// Written whole or not at all, readable by us alone.
    fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), CannotKeep> {
        let write = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let draft = file.with_extension("new");
            let _ = fs::remove_file(&draft);
            let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            open.write_all(bytes)?;
            open.sync_all()?;
            fs::rename(&draft, file)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| CannotKeep {
            file: file.to_owned(),
            source,
        })
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let bytes = match fs::read(file) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file = %file.display(), error = %error, "cannot be read; going on without it");
            }
            return None;
        }
    };
    let value = serde_json::from_slice(&bytes);
    if let Err(error) = &value {
        tracing::warn!(file = %file.display(), error = %error, "is damaged; going on without it");
    }
    value.ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_its_owners_alone_and_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(&folder.path().join("acme"), "https://a.example/dir");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for chain in ["one\n", "two\n"] {
            shelf
                .keep_certificate("eln.example", &Zeroizing::new("key\n".to_owned()), chain)
                .unwrap();
            assert_eq!(
                fs::read_to_string(shelf.certificate("eln.example")).unwrap(),
                format!("key\n{chain}")
            );
        }
        assert_eq!(mode(&shelf.certificate("eln.example")), 0o600);
        assert_eq!(mode(&folder.path().join("acme")), 0o700);
        assert_eq!(
            fs::read_dir(folder.path().join("acme")).unwrap().count(),
            1,
            "a draft was left behind"
        );
    }

    #[test]
    fn what_is_damaged_is_as_good_as_gone() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path(), "https://a.example/dir");
        let tried = BTreeMap::from([("eln.example".to_owned(), History::default())]);
        shelf.keep_history(&tried).unwrap();
        assert_eq!(shelf.history(), tried);
        fs::write(folder.path().join("tried.json"), "{").unwrap();
        assert!(shelf.history().is_empty());
        assert!(shelf.account().is_none());
    }
}
