//! A sign-in in progress: one secret in a cookie, shared by all tabs, and nothing kept here.
//!
//! The secret ties the forms before sign-in to the browser that asked for them (login CSRF) and a hand-over to the browser that began it.
//! It carries the moment it was made, so that it ends without anything being remembered: a GET starts one, and strangers send many.

use std::time::Duration;

use crate::base::encoding::{array_from_base64url, base64url};
use crate::base::random::Random;
use crate::base::secret::{Hashed, Secret, sha256};
use crate::base::time::{MINUTE, Timestamp};

/// How long a sign-in may take.
pub const LASTS: Duration = Duration::from_secs(10 * 60);

const TIME_BYTES: usize = 5;
const SECRET_BYTES: usize = 27;

/// The value of the login cookie: the second it was made, then 216 random bits. Only the random part is the secret.
#[derive(Clone, Debug)]
pub struct LoginSecret {
    made: Timestamp,
    secret: Secret<[u8; SECRET_BYTES]>,
}

impl LoginSecret {
    /// A new one.
    #[must_use]
    pub fn new(random: &Random, now: Timestamp) -> Self {
        Self {
            made: Timestamp::from_secs(now.as_secs()),
            secret: Secret::new(random.bytes()),
        }
    }

    /// Reads a cookie's value; `None` if it is none of ours or its ten minutes are over.
    ///
    /// Who forges the moment only prolongs a secret of their own.
    #[must_use]
    pub fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let bytes: [u8; TIME_BYTES + SECRET_BYTES] = array_from_base64url(text)?;
        let (time, random) = bytes.split_at_checked(TIME_BYTES)?;
        let made = Timestamp::from_secs(time.iter().fold(0_i64, |secs, byte| (secs << 8) | i64::from(*byte)));
        let fresh = now.since(made) < LASTS && made <= now.after(MINUTE);
        fresh.then_some(Self {
            made,
            secret: Secret::new(random.try_into().ok()?),
        })
    }

    /// The same secret with its ten minutes begun anew, so that what other tabs hold stays good.
    #[must_use]
    pub fn renewed(&self, now: Timestamp) -> Self {
        Self {
            made: Timestamp::from_secs(now.as_secs()),
            secret: self.secret.clone(),
        }
    }

    /// The cookie's value.
    #[must_use]
    pub fn to_cookie_value(&self) -> Secret<String> {
        let secs = self.made.as_secs().to_be_bytes();
        let mut bytes = secs.get(secs.len() - TIME_BYTES..).unwrap_or_default().to_vec();
        bytes.extend_from_slice(self.secret.expose());
        Secret::new(base64url(&bytes))
    }

    /// What may be shown of it: the digest that goes to the portal in an address and comes back with a ticket.
    #[must_use]
    pub fn digest(&self) -> LoginDigest {
        LoginDigest(Hashed::from_bytes(sha256(self.secret.expose())))
    }

    pub(super) const fn secret(&self) -> &[u8; SECRET_BYTES] {
        self.secret.expose()
    }
}

/// The digest of a [`LoginSecret`]: says which browser, lets nobody be it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginDigest(Hashed);

impl LoginDigest {
    /// Reads what [`LoginDigest::to_text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        array_from_base64url(text).map(|bytes| Self(Hashed::from_bytes(bytes)))
    }

    /// 43 symbols of base64url, to stand in an address.
    #[must_use]
    pub fn to_text(self) -> String {
        base64url(self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_lasts_ten_minutes_and_its_secret_outlives_a_renewal() {
        let now = Timestamp::from_secs(1_900_000_000);
        let first = LoginSecret::new(&Random::seeded(1), now);
        let text = first.to_cookie_value();
        assert_eq!(text.expose().len(), 43);
        let read = LoginSecret::parse(text.expose(), now).unwrap();
        assert_eq!(read.digest(), first.digest());
        assert!(LoginSecret::parse(text.expose(), now.after(LASTS)).is_none(), "over");
        assert!(
            LoginSecret::parse(text.expose(), now.before(2 * MINUTE)).is_none(),
            "from the future"
        );
        assert!(LoginSecret::parse("x", now).is_none(), "none of ours");
        let later = now.after(9 * MINUTE);
        let renewed = LoginSecret::parse(text.expose(), later).unwrap().renewed(later);
        assert_eq!(renewed.digest(), first.digest());
        assert!(LoginSecret::parse(renewed.to_cookie_value().expose(), now.after(LASTS)).is_some());
        assert_eq!(LoginDigest::parse(&first.digest().to_text()), Some(first.digest()));
    }
}
