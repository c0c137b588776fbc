//! Counts of tries.

use serde::{Deserialize, Serialize};

use crate::base::secret::Hashed;
use crate::base::time::Timestamp;
use crate::model::attempts::Attempts;
use crate::store::record::{Never, Record};
use crate::store::rows::{IndexKey, Kind, UniqueKey};

use super::{in_no_group, nothing_else_unique};

/// What tries are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptScope {
    /// A name from a network.
    Name,
    /// A network.
    Network,
    /// Mail to an address.
    Mail,
    /// Nothing: counted so that an answer without a deed costs as much as one with it.
    Nothing,
}

impl std::fmt::Display for AttemptScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Network => "network",
            Self::Mail => "mail",
            Self::Nothing => "nothing",
        })
    }
}

/// What tries are counted under: a scope and half of a keyed digest, from which no name can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// What is counted.
    pub scope: AttemptScope,
    digest: [u8; 16],
}

impl AttemptKey {
    /// The key for what was hashed to `digest`.
    #[must_use]
    pub fn new(scope: AttemptScope, digest: Hashed) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        Self { scope, digest: half }
    }

    /// What it is counted under besides the scope, to name it by.
    #[must_use]
    pub const fn digest(&self) -> [u8; 16] {
        self.digest
    }
}

/// Tries that were counted, as they are listed. Changed by [`Store::count`](crate::store::Store::count) only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// What is counted.
    pub key: AttemptKey,
    /// How often.
    pub attempts: Attempts,
    /// When the count means nothing any more.
    pub until: Timestamp,
}

impl Record for AttemptRecord {
    type Key = AttemptKey;
    const KIND: Kind = Kind::Attempts;

    fn key(&self) -> AttemptKey {
        self.key
    }

    fn key_bytes(key: &AttemptKey) -> Vec<u8> {
        let scope = match key.scope {
            AttemptScope::Name => b'n',
            AttemptScope::Network => b'w',
            AttemptScope::Mail => b'm',
            AttemptScope::Nothing => b'-',
        };
        let mut bytes = vec![scope];
        bytes.extend_from_slice(&key.digest);
        bytes
    }

    nothing_else_unique!();

    in_no_group!();

    fn expires(&self) -> Option<Timestamp> {
        Some(self.until)
    }
}
