//! Every text the rules and settings come from, as one value; who reads them from disk lives upstairs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::Texts;
use super::secret::Secret;

/// A text file, with the name people should see in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// `policies/roles.toml`.
    pub name: Arc<str>,
    /// What is in it.
    pub text: Arc<str>,
}

/// A file that the texts name: metadata, certificates, secrets.
#[derive(Clone, Debug)]
pub enum NamedFile {
    /// It is there; its bytes count for the generation.
    Plain(Arc<[u8]>),
    /// It is there, and what is in it must not be shown nor counted for the generation.
    Secret(Arc<Secret<Vec<u8>>>),
    /// It is missing or cannot be read, and why.
    Missing(String),
}

/// A file that a text names and that has to be read before the text can be judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// As written, which is its key in the map of named files.
    pub written: String,
    /// Whether what is in it is a secret.
    pub secret: bool,
}

/// The policy files and what they name.
#[derive(Clone, Debug, Default)]
pub struct PolicyTexts {
    /// The files, in any order.
    pub files: Vec<SourceText>,
    /// Files they name, by the path as written; it counts from the policies folder.
    pub named: BTreeMap<String, NamedFile>,
    /// What was wrong with the folder itself, such as a symlink that leads out of it: file and what it is.
    pub strays: Vec<(String, String)>,
}

/// Everything that makes up a configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Relative paths in the settings count from here: the folder above `config/`, else the settings file's own.
    pub root: PathBuf,
    /// The settings file.
    pub settings: Option<SourceText>,
    /// `PORTCULLIS__…` variables.
    pub environment: BTreeMap<String, String>,
    /// Files the settings name, by the path as written.
    pub named: BTreeMap<String, NamedFile>,
    /// The policies.
    pub policies: PolicyTexts,
}

impl Sources {
    /// The texts, for rendering what is found in them.
    #[must_use]
    pub fn texts(&self) -> Texts {
        let mut texts = self.policies.texts();
        if let Some(settings) = &self.settings {
            texts.add(Arc::clone(&settings.name), Arc::clone(&settings.text));
        }
        texts
    }
}

impl PolicyTexts {
    /// The texts, for rendering what is found in them.
    #[must_use]
    pub fn texts(&self) -> Texts {
        let mut texts = Texts::default();
        for file in &self.files {
            texts.add(Arc::clone(&file.name), Arc::clone(&file.text));
        }
        texts
    }
}
