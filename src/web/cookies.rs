//! The cookies we set, with all their attributes, and how they are read back.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::config::PublicUrl;

/// Which of our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The session on this host.
    Session,
    /// The secret of the sign-ins in progress.
    Login,
    /// The last way in; no secret.
    Realm,
    /// Who has signed in with this browser before.
    Browser,
}

/// How long a browser keeps a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until it is closed.
    Browser,
    /// For that long.
    For(Duration),
    /// Not at all: the cookie is taken back.
    Never,
}

impl Cookie {
    const fn bare_name(self) -> &'static str {
        match self {
            Self::Session => "portcullis",
            Self::Login => "portcullis-login",
            Self::Realm => "portcullis-realm",
            Self::Browser => "portcullis-browser",
        }
    }

    /// Its name: with `__Host-` in front unless the portal is reached in clear, where browsers refuse that prefix.
    #[must_use]
    pub fn name(self, portal: &PublicUrl) -> String {
        let prefix = if portal.is_secure() { "__Host-" } else { "" };
        format!("{prefix}{}", self.bare_name())
    }

    /// The value of `Set-Cookie`. The login cookie is `SameSite=None`, since a provider's answer is a POST from another site; a browser
    /// takes that only with `Secure`, so in clear it is `Lax` like the others.
    #[must_use]
    pub fn set(self, value: &str, keep: Keep, portal: &PublicUrl) -> Option<HeaderValue> {
        use std::fmt::Write;
        let mut text = format!("{}={value}; Path=/", self.name(portal));
        match keep {
            Keep::Browser => {}
            Keep::For(span) => {
                let _ = write!(text, "; Max-Age={}", span.as_secs());
            }
            Keep::Never => text.push_str("; Max-Age=0"),
        }
        if portal.is_secure() {
            text.push_str("; Secure");
        }
        text.push_str("; HttpOnly");
        text.push_str(match self {
            Self::Login if portal.is_secure() => "; SameSite=None",
            _ => "; SameSite=Lax",
        });
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(self != Self::Realm);
        Some(value)
    }

    /// The value that the browser sent; none if it sent none, or several, of which none can be believed.
    #[must_use]
    pub fn read<'h>(self, headers: &'h HeaderMap, portal: &PublicUrl) -> Option<&'h str> {
        let name = self.name(portal);
        let mut found = headers
            .get_all(header::COOKIE)
            .into_iter()
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::HOUR;

    fn portal(url: &str) -> PublicUrl {
        PublicUrl::parse(url).unwrap()
    }

    #[test]
    fn each_cookie_has_all_its_attributes() {
        let (tls, clear) = (portal("https://sso.example.com"), portal("http://localhost:4180"));
        for (name, cookie, keep, at, expected) in [
            (
                "session",
                Cookie::Session,
                Keep::Browser,
                &tls,
                "__Host-portcullis=v; Path=/; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                "remembered",
                Cookie::Session,
                Keep::For(12 * HOUR),
                &tls,
                "__Host-portcullis=v; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                "login",
                Cookie::Login,
                Keep::For(Duration::from_secs(600)),
                &tls,
                "__Host-portcullis-login=v; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=None",
            ),
            (
                "taken back",
                Cookie::Session,
                Keep::Never,
                &tls,
                "__Host-portcullis=v; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                "login in clear",
                Cookie::Login,
                Keep::Browser,
                &clear,
                "portcullis-login=v; Path=/; HttpOnly; SameSite=Lax",
            ),
            (
                "realm in clear",
                Cookie::Realm,
                Keep::Browser,
                &clear,
                "portcullis-realm=v; Path=/; HttpOnly; SameSite=Lax",
            ),
        ] {
            assert_eq!(cookie.set("v", keep, at).unwrap(), expected, "{name}");
        }
        assert!(Cookie::Session.set("a\r\nb", Keep::Browser, &tls).is_none());
    }

    #[test]
    fn a_cookie_is_read_by_its_whole_name_and_only_if_there_is_one() {
        let tls = portal("https://sso.example.com");
        for (name, fields, expected) in [
            ("alone", &["__Host-portcullis-login=a"][..], Some("a")),
            ("among others", &["x=y; __Host-portcullis-login=a; z=1"], Some("a")),
            ("in a second field", &["x=y", "__Host-portcullis-login=a"], Some("a")),
            ("a name that only ends so", &["x__Host-portcullis-login=a"], None),
            ("without its prefix", &["portcullis-login=a"], None),
            ("twice", &["__Host-portcullis-login=a; __Host-portcullis-login=b"], None),
            (
                "twice in two fields",
                &["__Host-portcullis-login=a", "__Host-portcullis-login=a"],
                None,
            ),
            ("none", &[], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::COOKIE, HeaderValue::from_static(field));
            }
            assert_eq!(Cookie::Login.read(&headers, &tls), expected, "{name}");
        }
    }
}
