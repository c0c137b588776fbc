//! Passwords as typed and as stored.

use serde::{Deserialize, Serialize};

use crate::base::secret::Secret;

/// Why a new password was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer characters than `signin.password_min`.
    #[error("Enter a password of {0} characters or more")]
    Short(u32),
    /// More than 256 characters.
    #[error("Enter a password of 256 characters or fewer")]
    Long,
    /// On the lists that attackers try first.
    #[error("This password is on lists that attackers try first. Choose another.")]
    Common,
}

/// The longest local password, in characters (CONTRACT section 10): more is work for the hash and strength for nobody.
pub const LONGEST_PASSWORD: usize = 256;

/// A password that somebody typed. Nothing is trimmed or folded: what was typed is what counts.
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

impl Password {
    /// Takes what was typed.
    #[must_use]
    pub fn new(typed: String) -> Self {
        Self(Secret::new(typed))
    }

    /// The password, for hashing or comparing.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether it may become somebody's new password: long enough, not too long. Common ones are told by the caller, who has the lists.
    ///
    /// # Errors
    /// [`WeakPassword`] says what to change.
    pub fn check_length(&self, at_least: u32) -> Result<(), WeakPassword> {
        let characters = self.expose().chars().count();
        if characters < at_least as usize {
            return Err(WeakPassword::Short(at_least));
        }
        if characters > LONGEST_PASSWORD {
            return Err(WeakPassword::Long);
        }
        Ok(())
    }
}

/// An argon2id hash in PHC text form, as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a hash that was made or stored before.
    #[must_use]
    pub const fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// The PHC text.
    #[must_use]
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[password hash]")
    }
}
