//! Sessions: the record behind an opaque cookie.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::encoding::{array_from_base64url, base64url};
use crate::base::random::Random;
use crate::base::secret::{Hashed, Secret};
use crate::base::time::Timestamp;

use super::id::{SessionId, UserId};
use super::principal::SignedIn;

/// The secret in a session cookie: 256 random bits as 43 symbols of base64url. Good on one host only; stored as its SHA-256.
#[derive(Clone, Debug)]
pub struct SessionValue(Secret<[u8; 32]>);

impl SessionValue {
    /// A new one.
    #[must_use]
    pub fn generate(random: &Random) -> Self {
        Self(Secret::new(random.bytes()))
    }

    /// Reads a cookie's value; `None` for anything that we never made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        array_from_base64url(text).map(|bytes| Self(Secret::new(bytes)))
    }

    /// What goes into the cookie.
    #[must_use]
    pub fn to_cookie_text(&self) -> String {
        base64url(self.0.expose())
    }

    /// What is stored, and looked up by.
    #[must_use]
    pub fn digest(&self) -> Hashed {
        Hashed::sha256(self.0.expose())
    }

    /// The bytes, to derive the form's `csrf` value from.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// A session that is not used for so long is over.
    pub idle: Duration,
    /// A session is over that long after it was made, used or not.
    pub absolute: Duration,
}

/// A person's stay: server-side, opened by sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its identifier; no secret.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The user's epoch when it was made; an older one than the user's is over.
    pub epoch: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, used or not.
    pub expires: Timestamp,
    /// The last request, to the minute.
    pub last_seen: Timestamp,
    /// The longest it has been unused since the person signed in, short by up to a minute.
    #[serde(default)]
    pub rested: Duration,
    /// How and when the person signed in.
    pub signed_in: SignedIn,
    /// Whether the cookie outlives the browser ("keep me signed in").
    pub remember: bool,
    /// The address it was made from.
    pub address: Option<IpAddr>,
    /// What the browser called itself, shortened to 256 characters, for the person's own list of sessions.
    pub agent: String,
}

impl Session {
    /// Whether it is over: too old, unused for too long, past what its provider allowed, or used at a time that has not come yet, since then
    /// the clock was set back and nobody can say how old it is.
    ///
    /// Whatever the clock does, a session that is used lasts no longer than it may by more than [`CORRECTION`](crate::base::time::CORRECTION),
    /// and one that was not used when the clock was set back by no more than `idle`: had it been older than that it would have been over.
    #[must_use]
    pub fn is_over(&self, last_seen: Timestamp, idle: Duration, now: Timestamp) -> bool {
        now >= self.expires
            || now >= last_seen.after(idle)
            || self.signed_in.ends.is_some_and(|ends| now >= ends)
            || self.created.is_out_of_time(now)
            || last_seen.is_out_of_time(now)
    }
}

/// A value of a session on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionValueRecord {
    /// SHA-256 of the value.
    pub digest: Hashed,
    /// The session it opens.
    pub session: SessionId,
    /// The host it is good on, lower case, without port.
    pub host: String,
    /// How often its person had gained a role when it was made ([`super::user::User::gains`]).
    #[serde(default)]
    pub gains: u64,
    /// A value that was replaced is good a little longer: until then.
    pub good_until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{CORRECTION, HOUR};

    #[test]
    fn a_cookie_value_reads_back_and_nothing_else_does() {
        let value = SessionValue::generate(&Random::seeded(1));
        let text = value.to_cookie_text();
        assert_eq!(text.len(), 43);
        assert_eq!(SessionValue::parse(&text).unwrap().digest(), value.digest());
        for text in ["", "short", &"A".repeat(44), &format!("{text}=")] {
            assert!(SessionValue::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_session_ends_exactly_at_its_bounds() {
        let start = Timestamp::from_secs(1_000);
        let session = Session {
            id: SessionId::from_number(1),
            user: UserId::from_number(1),
            epoch: 0,
            created: start,
            expires: start.after(Duration::from_secs(100)),
            last_seen: start,
            rested: Duration::ZERO,
            signed_in: SignedIn::by_password(start),
            remember: false,
            address: None,
            agent: String::new(),
        };
        let idle = Duration::from_secs(10);
        let at = |secs: i64| Timestamp::from_secs(1_000 + secs);
        assert!(!session.is_over(start, idle, at(9)));
        assert!(session.is_over(start, idle, at(10)), "idle");
        assert!(!session.is_over(at(95), idle, at(99)));
        assert!(session.is_over(at(95), idle, at(100)), "absolute");
        let mut bounded = session;
        bounded.signed_in.ends = Some(at(5));
        assert!(bounded.is_over(start, idle, at(5)), "provider");
        bounded.expires = start.after(HOUR);
        bounded.signed_in.ends = None;
        assert!(!bounded.is_over(start, idle, start.before(CORRECTION)), "a correction");
        let earlier = start.before(CORRECTION).before(Duration::from_millis(1));
        assert!(bounded.is_over(start, idle, earlier), "made at a time to come");
        bounded.created = start.before(HOUR);
        assert!(bounded.is_over(start, idle, earlier), "used at a time to come");
    }
}
