//! E-mail addresses and how two of them compare.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use email_address::{EmailAddress as Grammar, Options};
use serde::{Deserialize, Serialize};

/// Why a text is no e-mail address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// Nothing was given.
    #[error("Enter an email address")]
    Empty,
    /// Not the plain form `name@example.com`.
    #[error("Enter an email address in the correct format, like name@example.com")]
    Format,
}

/// An address in the plain form `name@example.com`, as typed but trimmed.
///
/// ASCII only; no quoted local part, comment, display name or address literal, although RFC 5321 has them: each has been a way to smuggle a second
/// recipient or a header into a mail.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(Arc<str>);

impl EmailAddress {
    /// As it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How two addresses compare: all in lower case. Unique in the instance by this.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The domain, in lower case.
    #[must_use]
    pub fn domain(&self) -> String {
        self.0.rsplit('@').next().unwrap_or("").to_ascii_lowercase()
    }
}

impl PartialEq for EmailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for EmailAddress {}

impl std::hash::Hash for EmailAddress {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl PartialOrd for EmailAddress {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EmailAddress {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.canonical().cmp(&other.canonical())
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidEmail::Empty);
        }
        let plain = text.bytes().all(|byte| {
            byte.is_ascii_graphic() && !matches!(byte, b'"' | b'(' | b')' | b'<' | b'>' | b',' | b';' | b':' | b'\\' | b'[' | b']')
        });
        let options = Options::default()
            .with_required_tld()
            .without_domain_literal()
            .without_display_text();
        if text.len() > 254 || !plain || Grammar::parse_with_options(text, options).is_err() {
            return Err(InvalidEmail::Format);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidEmail;

    fn try_from(text: String) -> Result<Self, InvalidEmail> {
        text.parse()
    }
}

impl From<EmailAddress> for String {
    fn from(email: EmailAddress) -> Self {
        email.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_read() {
        for (name, text, valid) in [
            ("plain", "ada@lab.example", true),
            ("plus", "ada+x@lab.example", true),
            ("blanks around", "  ada@lab.example ", true),
            ("upper case", "Ada@Lab.Example", true),
            ("no domain", "ada@", false),
            ("no name", "@lab.example", false),
            ("one label", "ada@localhost", false),
            ("two", "a@b.example,c@d.example", false),
            ("display name", "Ada <ada@lab.example>", false),
            ("quoted", "\"a b\"@lab.example", false),
            ("literal", "ada@[192.0.2.1]", false),
            ("line break", "ada@lab.example\r\nBcc: x@y.example", false),
            ("inner blank", "a da@lab.example", false),
            ("not ASCII", "ädа@lab.example", false),
            ("empty", "", false),
        ] {
            assert_eq!(text.parse::<EmailAddress>().is_ok(), valid, "{name}");
        }
        assert!(format!("{}@lab.example", "a".repeat(300)).parse::<EmailAddress>().is_err());
    }

    #[test]
    fn case_makes_no_difference() {
        let one: EmailAddress = "Ada@Lab.example".parse().unwrap();
        let two: EmailAddress = "ada@lab.EXAMPLE".parse().unwrap();
        assert_eq!(one, two);
        assert_eq!(one.canonical(), "ada@lab.example");
        assert_eq!(one.domain(), "lab.example");
        assert_eq!(one.as_str(), "Ada@Lab.example");
    }
}
