//! Reads settings, policies and the files they name from disk into one value. What they mean is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::secret::Secret;
use crate::base::sources::{NamedFile, PolicyTexts, SourceText, Sources, Wanted};
use crate::config;
use crate::policy;

/// The longest text, in bytes. Metadata of a large federation has tens of megabytes, a policy file never has.
const LONGEST_TEXT: u64 = 4 * 1024 * 1024;
/// The longest file a text may name, in bytes.
const LONGEST_NAMED: u64 = 64 * 1024 * 1024;

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Files {
    /// The settings file.
    pub settings: PathBuf,
    /// A policies folder in place of the one the settings name.
    pub policies: Option<PathBuf>,
    /// Variables that override settings.
    pub environment: BTreeMap<String, String>,
}

/// A file that has to be there and cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The settings file is missing.
    #[error("there is no settings file {path}; name another with --config FILE")]
    NoSettings {
        /// As given.
        path: PathBuf,
    },
    /// The policies folder is missing.
    #[error("there is no policies folder {path}; `policy.dir` names another")]
    NoPolicies {
        /// As the settings say.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{path} cannot be read: {source}")]
    Refused {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Files {
    /// The settings file at `settings`, and what the environment of this process overrides.
    #[must_use]
    pub fn at(settings: &Path) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("PORTCULLIS__"))
            .collect();
        Self {
            settings: settings.to_owned(),
            policies: None,
            environment,
        }
    }

    /// Reads everything. What is named and missing is no error here: whether it matters is for the rules to say.
    ///
    /// # Errors
    /// The settings file or the policies folder cannot be read.
    pub fn read(&self) -> Result<Sources, Unreadable> {
        let mut sources = self.read_settings()?;
        let folder = self.policies.clone().unwrap_or_else(|| config::policy_dir(&sources));
        if !folder.is_dir() {
            return Err(Unreadable::NoPolicies { path: folder });
        }
        sources.policies = read_policies(&folder, &sources.root)?;
        sources.policies.named = named(&folder, policy::wanted(&sources.policies));
        Ok(sources)
    }

    /// Reads a policies folder that no settings belong to, as one has it in continuous integration.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn read_policies_alone(&self, folder: &Path) -> Result<Sources, Unreadable> {
        if !folder.is_dir() {
            return Err(Unreadable::NoPolicies { path: folder.to_owned() });
        }
        let root = fs::canonicalize(folder)
            .ok()
            .and_then(|whole| whole.parent().map(Path::to_owned))
            .unwrap_or_default();
        let mut sources = Sources {
            root,
            environment: self.environment.clone(),
            ..Sources::default()
        };
        sources.policies = read_policies(folder, &sources.root)?;
        sources.policies.named = named(folder, policy::wanted(&sources.policies));
        Ok(sources)
    }

    /// Reads the settings alone, for what needs no policies.
    ///
    /// # Errors
    /// The settings file cannot be read.
    pub fn read_settings(&self) -> Result<Sources, Unreadable> {
        if !self.settings.exists() {
            return Err(Unreadable::NoSettings {
                path: self.settings.clone(),
            });
        }
        let root = root_of(&self.settings);
        let settings = SourceText {
            name: shown(&self.settings, &root),
            text: text(&self.settings)?.into(),
        };
        let mut sources = Sources {
            root,
            settings: Some(settings),
            environment: self.environment.clone(),
            ..Sources::default()
        };
        sources.named = named(&sources.root, config::wanted(&sources));
        Ok(sources)
    }
}

/// Relative paths count from the folder above the file's `config/`, else from the file's own.
fn root_of(settings: &Path) -> PathBuf {
    let folder = settings
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    match whole.parent() {
        Some(above) if whole.file_name() == Some(OsStr::new("config")) => above.to_owned(),
        _ => whole,
    }
}

/// The name messages use: from the root if the file is below it.
fn shown(path: &Path, root: &Path) -> Arc<str> {
    // A link is shown as itself, not as what it leads to.
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let whole = folder
        .zip(path.file_name())
        .map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name));
    whole.strip_prefix(root).unwrap_or(path).to_string_lossy().into()
}

fn text(path: &Path) -> Result<String, Unreadable> {
    let refused = |source| Unreadable::Refused {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(refused)?.len();
    if length > LONGEST_TEXT {
        return Err(refused(io::Error::other(format!(
            "it has {length} bytes, more than {LONGEST_TEXT}"
        ))));
    }
    fs::read_to_string(path).map_err(refused)
}

fn read_policies(folder: &Path, root: &Path) -> Result<PolicyTexts, Unreadable> {
    let refused = |path: &Path, source| Unreadable::Refused {
        path: path.to_owned(),
        source,
    };
    let tree = fs::canonicalize(folder).map_err(|error| refused(folder, error))?;
    let mut texts = PolicyTexts::default();
    let mut waiting = vec![folder.to_owned()];
    // A link inside the tree could lead round in a circle.
    let mut visited = BTreeSet::new();
    while let Some(place) = waiting.pop() {
        if !visited.insert(fs::canonicalize(&place).map_err(|error| refused(&place, error))?) {
            continue;
        }
        for entry in fs::read_dir(&place).map_err(|error| refused(&place, error))? {
            let path = entry.map_err(|error| refused(&place, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || name.ends_with(".off") {
                continue;
            }
            if let Some(stray) = stray(&path, &tree) {
                texts.strays.push((shown(&path, root).to_string(), stray));
            } else if path.is_dir() {
                waiting.push(path);
            } else if path.extension() == Some(OsStr::new("toml")) {
                texts.files.push(SourceText {
                    name: shown(&path, root),
                    text: text(&path)?.into(),
                });
            }
        }
    }
    // Order carries no meaning; a fixed one makes messages and digests the same everywhere.
    texts.files.sort_by(|one, other| one.name.cmp(&other.name));
    texts.strays.sort();
    Ok(texts)
}

fn stray(path: &Path, tree: &Path) -> Option<String> {
    match fs::canonicalize(path) {
        Err(error) => Some(format!("leads nowhere: {error}")),
        Ok(target) if !target.starts_with(tree) => Some("is a link out of the policies folder".to_owned()),
        Ok(_) => None,
    }
}

fn named(from: &Path, wanted: Vec<Wanted>) -> BTreeMap<String, NamedFile> {
    wanted
        .into_iter()
        .map(|one| (one.written.clone(), read_named(&from.join(&one.written), one.secret)))
        .collect()
}

fn read_named(path: &Path, secret: bool) -> NamedFile {
    match fs::metadata(path) {
        Ok(found) if found.len() > LONGEST_NAMED => NamedFile::Missing(format!("it has more than {LONGEST_NAMED} bytes")),
        Ok(_) => match fs::read(path) {
            Ok(bytes) if secret => NamedFile::Secret(Arc::new(Secret::new(bytes))),
            Ok(bytes) => NamedFile::Plain(bytes.into()),
            Err(error) => NamedFile::Missing(error.to_string()),
        },
        Err(error) => NamedFile::Missing(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("config/portcullis.toml", "server.public_url = \"http://portal.localhost:4180\"\n"),
            ("policies/roles.toml", "role.curator = {}\n"),
            ("policies/customers/acme.toml", "team.acme = {}\n"),
            ("policies/old.toml.off", "nonsense"),
            ("policies/.hidden.toml", "nonsense"),
            ("policies/readme.md", "nonsense"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn files(folder: &Path) -> Files {
        Files {
            settings: folder.join("config/portcullis.toml"),
            policies: None,
            environment: BTreeMap::new(),
        }
    }

    #[test]
    fn sub_folders_count_and_hidden_or_switched_off_files_do_not() {
        let folder = house();
        let sources = files(folder.path()).read().unwrap();
        let names: Vec<_> = sources.policies.files.iter().map(|file| &*file.name).collect();
        assert_eq!(names, ["policies/customers/acme.toml", "policies/roles.toml"]);
        assert_eq!(&*sources.settings.unwrap().name, "config/portcullis.toml");
        assert_eq!(sources.root, fs::canonicalize(folder.path()).unwrap());
        assert!(sources.policies.strays.is_empty());
    }

    #[test]
    fn a_link_out_of_the_tree_is_told_and_not_followed() {
        let folder = house();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("policies/out.toml")).unwrap();
        std::os::unix::fs::symlink("roles.toml", folder.path().join("policies/alias.toml")).unwrap();
        let sources = files(folder.path()).read().unwrap();
        assert_eq!(sources.policies.strays.len(), 1, "{:?}", sources.policies.strays);
        assert_eq!(sources.policies.strays[0].0, "policies/out.toml");
        assert_eq!(sources.policies.files.len(), 3);
    }

    #[test]
    fn what_is_not_there_is_said_with_the_way_out() {
        let folder = house();
        let mut asked = files(folder.path());
        asked.policies = Some(folder.path().join("nowhere"));
        assert!(asked.read().unwrap_err().to_string().contains("policy.dir"));
        asked.settings = folder.path().join("nowhere.toml");
        assert!(asked.read().unwrap_err().to_string().contains("--config"));
    }

    #[test]
    fn a_settings_file_outside_a_config_folder_counts_from_its_own() {
        let folder = house();
        fs::copy(folder.path().join("config/portcullis.toml"), folder.path().join("other.toml")).unwrap();
        let mut asked = files(folder.path());
        asked.settings = folder.path().join("other.toml");
        assert_eq!(asked.read().unwrap().root, fs::canonicalize(folder.path()).unwrap());
    }
}
