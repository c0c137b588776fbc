//! Names: parsed once, valid for ever.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// The text breaks the rules for a name that policy files give: a small letter, then at most 62 small letters, digits and dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is a small letter, then at most 62 small letters, digits and dashes")]
pub struct InvalidName;

fn is_policy_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

macro_rules! text_type {
    ($name:ident, $error:ty) => {
        impl $name {
            /// The text of it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

macro_rules! policy_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        text_type!($name, InvalidName);

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                is_policy_name(text).then(|| Self(text.into())).ok_or(InvalidName)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

policy_name!(
    /// An application, from `[app.NAME]`.
    ApplicationName
);
policy_name!(
    /// A role, from `[role.NAME]`, or the built-in `admin` and `user`.
    RoleName
);
policy_name!(
    /// A permission of one application, from `[app.X] permission.NAME`; it means nothing without its application.
    PermissionName
);
policy_name!(
    /// A team, from `[team.NAME]`, or the built-in `main`.
    TeamName
);
policy_name!(
    /// A set of addresses, from `[ip_pattern.NAME]`.
    IpPatternName
);
policy_name!(
    /// An identity provider or a directory, from `[idp.NAME]` or `[directory.NAME]`; the two share one set of names.
    ProviderName
);
policy_name!(
    /// A rate limit, from `[limit.NAME]`.
    LimitName
);
policy_name!(
    /// A time window, from `[window.NAME]`.
    WindowName
);
policy_name!(
    /// A caller that is no person, from `[service.NAME]`.
    ServiceName
);

impl TeamName {
    /// The team that always exists; whoever is made without a team is put in it.
    #[must_use]
    pub fn main() -> Self {
        Self("main".into())
    }
}

impl RoleName {
    /// The built-in role that may do everything.
    #[must_use]
    pub fn admin() -> Self {
        Self("admin".into())
    }

    /// The built-in role that every active person holds.
    #[must_use]
    pub fn user() -> Self {
        Self("user".into())
    }
}

/// Why a username was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsername {
    /// Nothing was given.
    #[error("enter a username")]
    Empty,
    /// More than 64 characters.
    #[error("a username has at most 64 characters")]
    TooLong,
    /// Something else than letters, digits, dot, dash and underscore.
    #[error("a username has letters, digits, dots, dashes and underscores")]
    Characters,
}

/// A local username: letters of any script, digits, dot, dash, underscore; 1 to 64 characters, in Unicode normal form C.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(Arc<str>);

text_type!(Username, InvalidUsername);

impl Username {
    /// How two usernames compare: in lower case, normal form KC. Unique in the instance by this.
    #[must_use]
    pub fn canonical(&self) -> String {
        fold_name(&self.0)
    }
}

impl FromStr for Username {
    type Err = InvalidUsername;

    fn from_str(text: &str) -> Result<Self, InvalidUsername> {
        if text.is_empty() {
            return Err(InvalidUsername::Empty);
        }
        // Bounded before it is normalised: one character can grow to eighteen.
        if text.len() > 64 * 4 {
            return Err(InvalidUsername::TooLong);
        }
        let text: String = text.nfc().collect();
        if text.chars().count() > 64 {
            return Err(InvalidUsername::TooLong);
        }
        // A combining mark may follow a letter: some scripts cannot be written without.
        let mut letter_before = false;
        for c in text.chars() {
            let mark = unicode_normalization::char::is_combining_mark(c);
            if !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_') || mark && letter_before) {
                return Err(InvalidUsername::Characters);
            }
            letter_before = c.is_alphabetic() || mark;
        }
        Ok(Self(text.into()))
    }
}

/// Folds what somebody typed as a name, so that spellings that look alike count as one.
///
/// Used for looking a username up and for counting tries; it accepts any text, since strangers type anything.
#[must_use]
pub fn fold_name(typed: &str) -> String {
    typed.trim().nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// Why a given or family name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPersonName {
    /// More than 100 characters.
    #[error("a name has at most 100 characters")]
    TooLong,
    /// A control character or the like.
    #[error("Invalid characters found")]
    Characters,
}

/// A given or family name as people write theirs: anything printable, trimmed, at most 100 characters. It may be empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PersonName(Arc<str>);

text_type!(PersonName, InvalidPersonName);

impl Default for PersonName {
    fn default() -> Self {
        Self("".into())
    }
}

impl FromStr for PersonName {
    type Err = InvalidPersonName;

    fn from_str(text: &str) -> Result<Self, InvalidPersonName> {
        let text = text.trim();
        if text.chars().count() > 100 {
            return Err(InvalidPersonName::TooLong);
        }
        if text.chars().any(is_unprintable) {
            return Err(InvalidPersonName::Characters);
        }
        Ok(Self(text.nfc().collect::<String>().into()))
    }
}

/// Control characters, line breaks, and the marks that turn the direction of the text after them (as in "Trojan Source", CVE-2021-42574).
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff0}'..='\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names_follow_one_grammar() {
        for (text, valid) in [
            ("lab", true),
            ("lab-2", true),
            ("a", true),
            ("", false),
            ("2lab", false),
            ("-lab", false),
            ("Lab", false),
            ("lab_x", false),
            ("läb", false),
        ] {
            assert_eq!(text.parse::<RoleName>().is_ok(), valid, "{text:?}");
        }
        assert!("a".repeat(63).parse::<RoleName>().is_ok());
        assert!("a".repeat(64).parse::<RoleName>().is_err());
    }

    #[test]
    fn usernames_take_letters_of_any_script() {
        for (text, expected) in [
            ("ada", Ok(())),
            ("Ada.Lovelace-1_x", Ok(())),
            ("Łukasz", Ok(())),
            ("नमस्ते", Ok(())),
            ("王芳", Ok(())),
            ("", Err(InvalidUsername::Empty)),
            ("a b", Err(InvalidUsername::Characters)),
            ("a@b", Err(InvalidUsername::Characters)),
            ("a\u{202e}b", Err(InvalidUsername::Characters)),
            ("\u{301}a", Err(InvalidUsername::Characters)),
        ] {
            assert_eq!(text.parse::<Username>().map(|_| ()), expected, "{text:?}");
        }
        assert!("x".repeat(64).parse::<Username>().is_ok());
        assert_eq!("x".repeat(65).parse::<Username>(), Err(InvalidUsername::TooLong));
        assert_eq!("é".repeat(64).parse::<Username>().map(|_| ()), Ok(()));
    }

    #[test]
    fn spellings_that_look_alike_are_one_name() {
        let ada: Username = "Ada".parse().unwrap();
        assert_eq!(ada.canonical(), fold_name(" ADA "));
        let composed: Username = "é".parse().unwrap();
        let decomposed: Username = "e\u{301}".parse().unwrap();
        assert_eq!(composed, decomposed);
        assert_eq!(fold_name("ﬁ"), "fi");
    }

    #[test]
    fn person_names_cannot_carry_control_or_direction_marks() {
        assert!("Lucía Campos".parse::<PersonName>().is_ok());
        assert!("".parse::<PersonName>().is_ok());
        assert_eq!("a\r\nb".parse::<PersonName>(), Err(InvalidPersonName::Characters));
        assert_eq!("a\u{202e}b".parse::<PersonName>(), Err(InvalidPersonName::Characters));
        assert_eq!("x".repeat(101).parse::<PersonName>(), Err(InvalidPersonName::TooLong));
    }
}
