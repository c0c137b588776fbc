//! Where a sign-in may go on to: a path of our own, or an address of an application of ours. Anything else is refused, never repaired.

use percent_encoding::percent_decode_str;

use crate::config::PublicUrl;
use crate::policy::facts::RequestPath;

/// An address that a sign-in may go on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A path, with its query, on the host that was asked.
    Here(String),
    /// Another host of ours.
    Elsewhere {
        /// The host, lower case, without port.
        host: String,
        /// Path and query there.
        target: String,
    },
}

/// The address is neither a path nor that of an application of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address to go on to is not one of ours")]
pub struct NotOurs;

impl Destination {
    /// Reads `rd` or `return-to`, percent-decoded once, as asked of `host`; `is_ours` says which other hosts have an application.
    ///
    /// An absolute address has the portal's scheme, and its port or none: that is how all our hosts are reached.
    ///
    /// # Errors
    /// [`NotOurs`] for anything that could lead elsewhere, however it is spelled.
    ///
    /// Source: SECURITY row 20.
    pub fn read(text: &str, host: &str, portal: &PublicUrl, is_ours: impl Fn(&str) -> bool) -> Result<Self, NotOurs> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(NotOurs);
        }
        if text.starts_with('/') {
            return is_local(text).then(|| Self::Here(text.to_owned())).ok_or(NotOurs);
        }
        let rest = text
            .strip_prefix(portal.scheme())
            .and_then(|rest| rest.strip_prefix("://"))
            .ok_or(NotOurs)?;
        let (authority, target) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at_checked(at).ok_or(NotOurs)?,
            None => (rest, "/"),
        };
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        let named = host_of(authority, portal).ok_or(NotOurs)?;
        if named == host {
            return is_local(&target).then_some(Self::Here(target)).ok_or(NotOurs);
        }
        if named != portal.host() && !is_ours(&named) {
            return Err(NotOurs);
        }
        if !is_local(&target) {
            return Err(NotOurs);
        }
        Ok(Self::Elsewhere { host: named, target })
    }

    /// The whole address, as asked of `host`.
    #[must_use]
    pub fn to_address(&self, host: &str, portal: &PublicUrl) -> String {
        match self {
            Self::Here(target) => format!("{}{target}", portal.origin_of(host)),
            Self::Elsewhere { host, target } => format!("{}{target}", portal.origin_of(host)),
        }
    }
}

/// `^/(?![/\\])`, as it stands and decoded once more: a browser or a server on the way may do that. Nor may its path have dots, which
/// vanish: `/a/..//evil.example` becomes `//evil.example`.
fn is_local(target: &str) -> bool {
    let safe = |text: &str| text.starts_with('/') && !text.starts_with("//") && !text.starts_with("/\\");
    let again = percent_decode_str(target).decode_utf8_lossy();
    let path = target.split(['?', '#']).next().unwrap_or(target);
    safe(target) && safe(&again) && RequestPath::read(path).flaw().is_none()
}

/// The host of an authority, in lower case, if its port is the portal's or left out; no user, no oddities.
fn host_of(authority: &str, portal: &PublicUrl) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':').or_else(|| after.is_empty().then_some(""))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let ours = portal.port().unwrap_or(if portal.is_secure() { 443 } else { 80 });
    let fits = port.is_empty() && !authority.ends_with(':') || port.parse() == Ok(ours) && port.bytes().all(|byte| byte.is_ascii_digit());
    let plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'));
    (fits && plain && !host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(target: &str) -> Result<Destination, NotOurs> {
        Ok(Destination::Here(target.to_owned()))
    }

    fn there(target: &str) -> Result<Destination, NotOurs> {
        Ok(Destination::Elsewhere {
            host: "eln.example.com".to_owned(),
            target: target.to_owned(),
        })
    }

    #[test]
    fn only_our_own_addresses_are_gone_on_to() {
        let portal = PublicUrl::parse("https://sso.example.com:8443").unwrap();
        for (name, text, expected) in [
            ("a path", "/a/b?c=d#e", here("/a/b?c=d#e")),
            ("the root", "/", here("/")),
            ("an encoded backslash in a query", "/a?b=%5C", here("/a?b=%5C")),
            ("two slashes", "//evil.example", Err(NotOurs)),
            ("slash and backslash", "/\\evil.example", Err(NotOurs)),
            ("a backslash further on", "/a\\b", Err(NotOurs)),
            ("two slashes, one encoded", "/%2fevil.example", Err(NotOurs)),
            ("an encoded backslash in front", "/%5cevil.example", Err(NotOurs)),
            ("dots that vanish", "/.//evil.example", Err(NotOurs)),
            ("dots that vanish, twice", "/..//evil.example", Err(NotOurs)),
            ("dots that vanish further on", "/a/..//evil.example", Err(NotOurs)),
            ("encoded dots that vanish", "/a/%2e%2e//evil.example", Err(NotOurs)),
            ("dots in a query", "/a?b=/../c", here("/a?b=/../c")),
            ("a tab that vanishes", "/\t/evil.example", Err(NotOurs)),
            ("a line break", "/a\r\nSet-Cookie:x", Err(NotOurs)),
            ("a blank", "/a b", Err(NotOurs)),
            ("not ASCII", "/é", Err(NotOurs)),
            ("no slash", "evil.example", Err(NotOurs)),
            ("nothing", "", Err(NotOurs)),
            ("a script", "javascript:alert(1)", Err(NotOurs)),
            ("an application", "https://eln.example.com:8443/a?b", there("/a?b")),
            ("in upper case", "https://ELN.example.com/", there("/")),
            ("without a path", "https://eln.example.com", there("/")),
            ("a query at once", "https://eln.example.com?a", there("/?a")),
            ("the portal itself", "https://sso.example.com:8443/me", here("/me")),
            ("another port", "https://eln.example.com:9999/", Err(NotOurs)),
            ("an empty port", "https://eln.example.com:/", Err(NotOurs)),
            ("in clear", "http://eln.example.com/", Err(NotOurs)),
            ("no scheme of the web", "ftp://eln.example.com/", Err(NotOurs)),
            ("a stranger", "https://evil.example/", Err(NotOurs)),
            ("a stranger below us", "https://eln.example.com.evil.example/", Err(NotOurs)),
            ("a user in front", "https://eln.example.com@evil.example/", Err(NotOurs)),
            ("a user in front of us", "https://x@eln.example.com/", Err(NotOurs)),
            (
                "a backslash after the host",
                "https://eln.example.com\\@evil.example/",
                Err(NotOurs),
            ),
            ("one slash", "https:/eln.example.com/", Err(NotOurs)),
            ("three slashes", "https:///eln.example.com/", Err(NotOurs)),
            ("two slashes there", "https://eln.example.com//x", Err(NotOurs)),
            ("an encoded host", "https://eln%2eexample.com/", Err(NotOurs)),
        ] {
            let read = Destination::read(text, "sso.example.com", &portal, |host| host == "eln.example.com");
            assert_eq!(read, expected, "{name}: {text:?}");
        }
    }

    #[test]
    fn an_address_is_written_out_with_the_portals_port() {
        let portal = PublicUrl::parse("http://sso.localhost:4180").unwrap();
        let ours = |host: &str| host == "eln.localhost";
        for (text, expected) in [
            ("/a?b", "http://app.localhost:4180/a?b"),
            ("http://eln.localhost/x", "http://eln.localhost:4180/x"),
            ("http://sso.localhost:4180/", "http://sso.localhost:4180/"),
        ] {
            let read = Destination::read(text, "app.localhost", &portal, ours).unwrap();
            assert_eq!(read.to_address("app.localhost", &portal), expected, "{text}");
        }
    }
}
