//! What is sealed under the master key, and how it is sealed anew.

use serde::{Deserialize, Serialize};

use crate::base::random::Random;
use crate::base::seal::{KeyId, Keyring, Place, SealError, Sealed};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::model::id::KeyRecordId;
use crate::store::record::{Never, Record};
use crate::store::rows::{IndexKey, Kind, UniqueKey};

use super::{in_no_group, keyed_by_number, nothing_else_unique};

/// What a sealed value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretKind {
    /// The text of a token that an administrator hands over, until it is used. Its owner is the token.
    Token,
    /// The secret in an invitation's link, where no mail takes it to the person. Its owner is the invitation.
    InvitationLink,
}

/// A value sealed under the master key. Where it stands is authenticated with it, so it cannot be moved to another owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// What it is.
    pub kind: SecretKind,
    /// Whose it is.
    pub owner: String,
    sealed: Sealed,
}

impl SecretRecord {
    /// Seals `plain` for its owner.
    ///
    /// # Errors
    /// [`SealError`] if the cipher refuses.
    pub fn seal(kind: SecretKind, owner: &str, plain: &[u8], keyring: &Keyring, random: &Random) -> Result<Self, SealError> {
        let key = secret_key(kind, owner);
        let sealed = keyring.seal(secret_place(&key), plain, random)?;
        Ok(Self {
            kind,
            owner: owner.to_owned(),
            sealed,
        })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`SealError`] if its key is not in the ring, or it was changed or moved.
    pub fn open(&self, keyring: &Keyring) -> Result<Secret<Vec<u8>>, SealError> {
        keyring.open(secret_place(&secret_key(self.kind, &self.owner)), &self.sealed)
    }
}

pub(super) fn secret_key(kind: SecretKind, owner: &str) -> Vec<u8> {
    let mut key = match kind {
        SecretKind::Token => b"token".to_vec(),
        SecretKind::InvitationLink => b"invitation".to_vec(),
    };
    key.push(0);
    key.extend_from_slice(owner.as_bytes());
    key
}

const fn secret_place(key: &[u8]) -> Place<'_> {
    Place {
        table: "secrets",
        key,
        column: "sealed",
    }
}

impl Record for SecretRecord {
    type Key = (SecretKind, String);
    const KIND: Kind = Kind::Secrets;

    fn key(&self) -> Self::Key {
        (self.kind, self.owner.clone())
    }

    fn key_bytes((kind, owner): &Self::Key) -> Vec<u8> {
        secret_key(*kind, owner)
    }

    nothing_else_unique!();

    in_no_group!();
}

/// A key that signs assertions, its private half sealed under the master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyRecord {
    /// Its identifier in the store.
    pub id: KeyRecordId,
    /// Name of the algorithm, such as `ES256`.
    pub algorithm: String,
    /// When it was made.
    pub made: Timestamp,
    /// From when on it signs; it is published before.
    pub signs_from: Timestamp,
    sealed: Sealed,
}

impl SigningKeyRecord {
    /// Seals the private half.
    ///
    /// # Errors
    /// [`SealError`] if the cipher refuses.
    pub fn seal(
        id: KeyRecordId,
        algorithm: &str,
        (made, signs_from): (Timestamp, Timestamp),
        private: &[u8],
        keyring: &Keyring,
        random: &Random,
    ) -> Result<Self, SealError> {
        let key = Self::key_bytes(&id);
        Ok(Self {
            id,
            algorithm: algorithm.to_owned(),
            made,
            signs_from,
            sealed: keyring.seal(signing_place(&key), private, random)?,
        })
    }

    /// Opens the private half.
    ///
    /// # Errors
    /// [`SealError`] if its master key is not in the ring, or it was changed or moved.
    pub fn open(&self, keyring: &Keyring) -> Result<Secret<Vec<u8>>, SealError> {
        keyring.open(signing_place(&Self::key_bytes(&self.id)), &self.sealed)
    }
}

const fn signing_place(key: &[u8]) -> Place<'_> {
    Place {
        table: "signing_keys",
        key,
        column: "private",
    }
}

impl Record for SigningKeyRecord {
    const KIND: Kind = Kind::SigningKeys;

    keyed_by_number!(KeyRecordId);

    nothing_else_unique!();

    in_no_group!();
}

/// A record that holds something sealed, to be sealed anew under another master key.
pub(in crate::store) trait Rewrap: Record {
    /// The key it is sealed under; none if there is nothing sealed in it.
    fn sealed_under(&self) -> Option<KeyId>;
    fn rewrapped(&self, keyring: &Keyring, random: &Random) -> Result<Self, SealError>;
}

impl Rewrap for SecretRecord {
    fn sealed_under(&self) -> Option<KeyId> {
        Some(self.sealed.key)
    }

    fn rewrapped(&self, keyring: &Keyring, random: &Random) -> Result<Self, SealError> {
        Self::seal(self.kind, &self.owner, self.open(keyring)?.expose(), keyring, random)
    }
}

impl Rewrap for SigningKeyRecord {
    fn sealed_under(&self) -> Option<KeyId> {
        Some(self.sealed.key)
    }

    fn rewrapped(&self, keyring: &Keyring, random: &Random) -> Result<Self, SealError> {
        let sealed = keyring.seal(signing_place(&Self::key_bytes(&self.id)), self.open(keyring)?.expose(), random)?;
        Ok(Self { sealed, ..self.clone() })
    }
}
