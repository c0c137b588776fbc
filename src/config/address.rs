//! Addresses in settings: where to listen, and where the portal is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use url::{Host, Url};

use crate::base::grammar::Flaw;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Reads `127.0.0.1:4180`, `[::]:443` or `unix:/run/portcullis.sock`.
    ///
    /// # Errors
    /// `E103` for anything else.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(Flaw::malformed("a Unix socket needs a path").help("unix:/run/portcullis.sock"));
            }
            return Ok(Self::Unix(path.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            Flaw::malformed(format!("\"{text}\" is no address to listen on"))
                .help("write an address and a port, such as 127.0.0.1:4180 or [::]:443, or unix:PATH")
        })
    }

    /// Whether it takes IPv6; nothing of a Unix socket.
    #[must_use]
    pub fn is_ipv6(&self) -> Option<bool> {
        match self {
            Self::Tcp(address) => Some(address.is_ipv6()),
            Self::Unix(_) => None,
        }
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The portal's address: `https`, or `http` to loopback; no path, query or user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    host: String,
    origin: String,
}

impl PublicUrl {
    /// Reads the portal's address.
    ///
    /// # Errors
    /// `E103` if it is no address, has a path, or is in clear to anything but loopback.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let url = Url::parse(text)
            .map_err(|_| Flaw::malformed(format!("\"{text}\" is not the address of a site")).help("write it as https://sso.example.org"))?;
        let Some(host) = url.host().map(|host| host.to_owned()) else {
            return Err(Flaw::malformed("the portal's address needs a host"));
        };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&host) => {}
            "http" => {
                return Err(Flaw::malformed(
                    "the portal is reached by https; http serves only localhost and other loopback hosts",
                ));
            }
            other => return Err(Flaw::malformed(format!("the portal is reached by https, not {other}"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Flaw::malformed("the portal's address has no user and no password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(Flaw::malformed("the portal's address ends with its host and port")
                .help(format!("write {}", url.origin().ascii_serialization())));
        }
        let host = match host {
            Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        };
        let origin = url.origin().ascii_serialization();
        Ok(Self { url, host, origin })
    }

    /// The whole address, ending with `/`.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The host in lower case, without port and without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port if it is not the scheme's own.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.url.port()
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Whether it is reached by TLS, and cookies are `Secure`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Scheme, host and port, without a slash at the end: `https://sso.example.org`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address of another host of ours at the same scheme and port: `https://cryo.lab.example:8443`.
    #[must_use]
    pub fn origin_of(&self, host: &str) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match self.url.port() {
            Some(port) => format!("{}://{host}:{port}", self.url.scheme()),
            None => format!("{}://{host}", self.url.scheme()),
        }
    }
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portal_is_reached_by_https_or_on_loopback() {
        for (text, origin) in [
            ("https://sso.example.org", Some("https://sso.example.org")),
            ("https://SSO.example.org:8443/", Some("https://sso.example.org:8443")),
            ("http://localhost:4180", Some("http://localhost:4180")),
            ("http://portal.localhost:4180", Some("http://portal.localhost:4180")),
            ("http://127.0.0.1", Some("http://127.0.0.1")),
            ("http://[::1]:4180", Some("http://[::1]:4180")),
            ("http://sso.example.org", None),
            ("https://sso.example.org/x", None),
            ("https://u:p@sso.example.org", None),
            ("ftp://sso.example.org", None),
            ("sso.example.org", None),
            ("", None),
        ] {
            assert_eq!(PublicUrl::parse(text).ok().as_ref().map(PublicUrl::origin), origin, "{text:?}");
        }
        let portal = PublicUrl::parse("http://portal.localhost:4180").unwrap();
        assert_eq!(portal.origin_of("app.localhost"), "http://app.localhost:4180");
        assert_eq!(PublicUrl::parse("http://[::1]:1").unwrap().host(), "::1");
    }

    #[test]
    fn listening_takes_addresses_and_sockets() {
        for (text, local) in [
            ("127.0.0.1:0", Some(true)),
            ("[::]:443", Some(false)),
            ("unix:/run/p.sock", Some(true)),
            ("localhost:1", None),
            ("4180", None),
            ("unix:", None),
        ] {
            assert_eq!(ListenAddress::parse(text).ok().map(|address| address.is_local()), local, "{text:?}");
        }
    }
}
