//! What is kept in the store but must not be readable from it: sealing and keyed hashes under the master key.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::encoding::{array_from_base64url, base64url, hex};
use super::random::Random;
use super::secret::{Hashed, Secret, sha256};

/// What a key derived from the master key is for. Keys of different purposes are independent (HKDF, RFC 5869).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Values sealed at rest.
    Sealing,
    /// Registration tokens handed over by an administrator.
    RegistrationToken,
    /// Reset tokens.
    ResetToken,
    /// Tokens that confirm an e-mail address.
    EmailToken,
    /// The value that ties a form to its session.
    Csrf,
    /// Names that tries to sign in are counted under.
    Attempts,
    /// What a browser keeps of who signed in with it.
    Browser,
    /// The value that tells a wrong master key at start.
    Check,
    /// Signed ends of the audit trail.
    AuditMark,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Sealing => "portcullis sealing 1",
            Self::RegistrationToken => "portcullis registration token 1",
            Self::ResetToken => "portcullis reset token 1",
            Self::EmailToken => "portcullis e-mailed token 1",
            Self::Csrf => "portcullis csrf 1",
            Self::Attempts => "portcullis attempts 1",
            Self::Browser => "portcullis browser 1",
            Self::Check => "portcullis check value 1",
            Self::AuditMark => "portcullis audit mark 1",
        }
    }
}

/// Which master key something was sealed or hashed under: eight bytes of a digest of it, which give nothing of the key away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for KeyId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16)
            .ok()
            .filter(|_| text.len() == 16)
            .map(|number| Self(number.to_be_bytes()))
            .ok_or("a key id is 16 hexadecimal digits")
    }
}

/// The key that everything secret at rest hangs on: 256 random bits, kept in a file of its own (mode 0600).
#[derive(Clone)]
pub struct MasterKey {
    id: KeyId,
    key: Secret<[u8; 32]>,
}

impl MasterKey {
    /// A new random key.
    #[must_use]
    pub fn generate(random: &Random) -> Self {
        Self::from_bytes(random.bytes())
    }

    /// The key made of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut named = b"portcullis master key id 1".to_vec();
        named.extend_from_slice(&bytes);
        let digest = sha256(&named);
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self {
            id: KeyId(id),
            key: Secret::new(bytes),
        }
    }

    /// Reads a key file: 43 symbols of base64url, white space around them allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        array_from_base64url(text.trim()).map(Self::from_bytes)
    }

    /// The text to keep in the key file.
    #[must_use]
    pub fn to_file_text(&self) -> Secret<String> {
        Secret::new(format!("{}\n", base64url(self.key.expose())))
    }

    /// Which key this is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    fn derive(&self, purpose: Purpose) -> Option<[u8; 32]> {
        let mut out = [0; 32];
        let info = [purpose.label().as_bytes()];
        let prk = Salt::new(HKDF_SHA256, b"portcullis").extract(self.key.expose());
        prk.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(&mut out)).ok()?;
        Some(out)
    }

    fn hmac(&self, purpose: Purpose, message: &[u8]) -> Hashed {
        // Derivation cannot fail for 32 bytes; were it to, the digest below matches nothing that was ever stored.
        let key = self.derive(purpose).unwrap_or([0xff; 32]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), message);
        let mut out = [0; 32];
        out.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Hashed::from_bytes(out)
    }

    fn aead(&self) -> Option<LessSafeKey> {
        let key = self.derive(Purpose::Sealing)?;
        UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// Where a sealed value stands. It is part of what is authenticated, so that a value cannot be moved to another row.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Table, such as `secrets`.
    pub table: &'a str,
    /// Key of the row.
    pub key: &'a [u8],
    /// Field of the row.
    pub column: &'a str,
}

impl Place<'_> {
    fn to_aad(self, id: KeyId) -> Vec<u8> {
        let mut aad = Vec::with_capacity(self.table.len() + self.key.len() + self.column.len() + 32);
        for part in [self.table.as_bytes(), self.key, self.column.as_bytes(), &id.0] {
            aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
            aad.extend_from_slice(part);
        }
        aad
    }
}

/// A value under AES-256-GCM: which key, the nonce, the text with its tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The master key it was sealed under.
    pub key: KeyId,
    /// Nonce and ciphertext, base64url.
    text: String,
}

/// A keyed hash and the key it was made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedHash {
    /// The master key it was made under.
    pub key: KeyId,
    /// HMAC-SHA-256 under the key of its purpose.
    pub hash: Hashed,
}

/// Why a sealed value did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key of the ring has that id.
    #[error("sealed under master key {0}, which is neither keys.master_file nor in keys.previous_files")]
    UnknownKey(KeyId),
    /// Not what was sealed, or not where it was sealed.
    #[error("a sealed value was changed or moved")]
    Broken,
}

/// The master key in use and those before it.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: MasterKey,
    previous: Vec<MasterKey>,
}

impl Keyring {
    /// A ring that seals under `current` and still opens what `previous` sealed.
    #[must_use]
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Self {
        Self { current, previous }
    }

    /// The key in use.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.current.id
    }

    /// Whether this ring has that key.
    #[must_use]
    pub fn has(&self, id: KeyId) -> bool {
        self.find(id).is_some()
    }

    fn find(&self, id: KeyId) -> Option<&MasterKey> {
        std::iter::once(&self.current).chain(&self.previous).find(|key| key.id == id)
    }

    /// Seals `plain` for `place` under the key in use, with a random nonce of 96 bits (NIST SP 800-38D section 8.2.2).
    ///
    /// # Errors
    /// [`SealError::Broken`] if the cipher refuses, as it does for texts of 64 GiB.
    pub fn seal(&self, place: Place<'_>, plain: &[u8], random: &Random) -> Result<Sealed, SealError> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let mut text = plain.to_vec();
        let key = self.current.aead().ok_or(SealError::Broken)?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place.to_aad(self.current.id)),
            &mut text,
        )
        .map_err(|_| SealError::Broken)?;
        let mut whole = nonce.to_vec();
        whole.append(&mut text);
        Ok(Sealed {
            key: self.current.id,
            text: base64url(&whole),
        })
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// [`SealError`] if the key is not here, or the value was changed or stood elsewhere.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>, SealError> {
        let key = self.find(sealed.key).ok_or(SealError::UnknownKey(sealed.key))?;
        let whole = super::encoding::from_base64url(&sealed.text).ok_or(SealError::Broken)?;
        let (nonce, text) = whole.split_at_checked(NONCE_LEN).ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
        let mut text = text.to_vec();
        let length = key
            .aead()
            .ok_or(SealError::Broken)?
            .open_in_place(nonce, Aad::from(place.to_aad(sealed.key)), &mut text)
            .map_err(|_| SealError::Broken)?
            .len();
        text.truncate(length);
        Ok(Secret::new(text))
    }

    /// The keyed hashes of a message under every key of the ring, the one in use first.
    pub fn hashes<'a>(&'a self, purpose: Purpose, message: &'a [u8]) -> impl Iterator<Item = Hashed> + 'a {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .map(move |key| key.hmac(purpose, message))
    }

    /// The keyed hash of a secret that is too short to be hashed openly, under the key in use.
    #[must_use]
    pub fn hash(&self, purpose: Purpose, message: &[u8]) -> KeyedHash {
        KeyedHash {
            key: self.current.id,
            hash: self.current.hmac(purpose, message),
        }
    }

    /// The keyed hash of `message` under the key that `stored` was made under, to compare with it; `None` if that key is gone.
    #[must_use]
    pub fn hash_like(&self, stored: &KeyedHash, purpose: Purpose, message: &[u8]) -> Option<Hashed> {
        self.find(stored.key).map(|key| key.hmac(purpose, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &[u8]) -> Place<'_> {
        Place {
            table: "secrets",
            key,
            column: "token",
        }
    }

    #[test]
    fn what_was_sealed_opens_only_where_it_was_sealed() {
        let random = Random::seeded(3);
        let ring = Keyring::new(MasterKey::generate(&random), Vec::new());
        let sealed = ring.seal(place(b"1"), b"open sesame", &random).unwrap();
        assert_eq!(ring.open(place(b"1"), &sealed).unwrap().expose(), b"open sesame");
        assert_eq!(ring.open(place(b"2"), &sealed).err(), Some(SealError::Broken), "another row");
        assert_eq!(
            ring.open(
                Place {
                    column: "other",
                    ..place(b"1")
                },
                &sealed
            )
            .err(),
            Some(SealError::Broken),
            "another column"
        );
        let mut changed = sealed;
        changed
            .text
            .replace_range(20..21, if changed.text.as_bytes()[20] == b'A' { "B" } else { "A" });
        assert_eq!(ring.open(place(b"1"), &changed).err(), Some(SealError::Broken), "a changed symbol");
    }

    #[test]
    fn a_key_that_was_rotated_out_still_opens_while_it_is_in_the_ring() {
        let random = Random::seeded(4);
        let old = MasterKey::generate(&random);
        let new = MasterKey::generate(&random);
        let sealed = Keyring::new(old.clone(), Vec::new()).seal(place(b"1"), b"x", &random).unwrap();
        assert_eq!(
            Keyring::new(new.clone(), vec![old.clone()])
                .open(place(b"1"), &sealed)
                .unwrap()
                .expose(),
            b"x"
        );
        assert_eq!(
            Keyring::new(new, Vec::new()).open(place(b"1"), &sealed).err(),
            Some(SealError::UnknownKey(old.id()))
        );
    }

    #[test]
    fn hashes_of_different_purposes_differ() {
        let ring = Keyring::new(MasterKey::from_bytes([1; 32]), Vec::new());
        let one = ring.hash(Purpose::ResetToken, b"1234");
        assert_ne!(one.hash, ring.hash(Purpose::RegistrationToken, b"1234").hash);
        assert_eq!(ring.hash_like(&one, Purpose::ResetToken, b"1234"), Some(one.hash));
    }

    #[test]
    fn a_key_file_reads_back() {
        let key = MasterKey::from_bytes([9; 32]);
        assert_eq!(MasterKey::parse(key.to_file_text().expose()).unwrap().id(), key.id());
        assert!(MasterKey::parse("short").is_none());
        assert_eq!(format!("{key:?}").len(), "MasterKey()".len() + 16, "only the id is shown");
    }
}
