//! Identifiers: 128 random bits with a letter in front that says what they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::encoding::{number_from_text, number_symbols};
use crate::base::random::Random;
use crate::base::time::Timestamp;

/// The text is not an identifier of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier")]
pub struct NotAnId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u128);

        impl $name {
            /// A new one, random.
            #[must_use]
            pub fn generate(random: &Random) -> Self {
                Self(random.number())
            }

            /// The one with that number.
            #[must_use]
            pub const fn from_number(number: u128) -> Self {
                Self(number)
            }

            /// The bytes of its text, all visible ASCII.
            #[must_use]
            pub fn symbols(self) -> [u8; 28] {
                let mut text = [0; 28];
                let (prefix, number) = text.split_at_mut(2);
                prefix.copy_from_slice($prefix.as_bytes());
                number.copy_from_slice(&number_symbols(self.0));
                text
            }

            /// The number it is made of.
            #[must_use]
            pub const fn number(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.symbols()).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix).and_then(number_from_text).map(Self).ok_or(NotAnId)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;

            fn try_from(text: String) -> Result<Self, NotAnId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// Names a user for ever, whatever becomes of e-mail and username.
    UserId, "u-"
);
id!(
    /// Names a session; not the secret that opens it.
    SessionId, "s-"
);
id!(
    /// Names a one-time token; not the token.
    TokenId, "t-"
);
id!(
    /// Names a project of a team.
    ProjectId, "p-"
);
id!(
    /// Names a group of a team's members.
    GroupId, "g-"
);
id!(
    /// Names an invitation; not the secret in its link.
    InvitationId, "i-"
);
id!(
    /// Names one credential of a service.
    CredentialId, "c-"
);
id!(
    /// Names a signing key of the assertion in the store; its public name is the thumbprint.
    KeyRecordId, "k-"
);
id!(
    /// Names a letter, waiting or sent. Made by [`MessageId::generate_at`], so that the newest sorts first.
    MessageId, "m-"
);
id!(
    /// Names one decision in the log.
    DecisionId, "d-"
);
id!(
    /// Names one request, on every answer as `X-Request-Id`.
    RequestId, "r-"
);

impl MessageId {
    /// A new one of a moment: those made later sort before it.
    #[must_use]
    pub fn generate_at(made: Timestamp, random: &Random) -> Self {
        let age = u64::try_from(i64::MAX - made.as_millis().max(0)).unwrap_or(0);
        let low = random.number() & u128::from(u64::MAX);
        Self::from_number(u128::from(age) << 64 | low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_another_kind_does_not() {
        let user = UserId::from_number(17);
        assert_eq!(user.to_string(), "u-0000000000000000000000000h");
        assert_eq!(user.to_string().parse(), Ok(user));
        assert_eq!(user.to_string().parse::<SessionId>(), Err(NotAnId));
        assert_eq!(
            serde_json::from_str::<UserId>(&serde_json::to_string(&user).unwrap()).unwrap(),
            user
        );
    }
}
