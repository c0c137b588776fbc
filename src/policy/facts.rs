//! What is known of a request before it is judged: host, method, path with all its readings, address, time.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::base::time::Timestamp;
use crate::model::ip_pattern::fold_mapped;

pub use super::path::{House, PathFlaw, Reading, RequestPath};

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS, as far as we can believe it.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// By which door a request came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// We forward it ourselves.
    Proxy,
    /// A front proxy, by the name of its `[[peer]]`, asks for an answer.
    Peer(Arc<str>),
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy => f.write_str("proxy"),
            Self::Peer(name) => write!(f, "peer {name}"),
        }
    }
}

/// A host, lower case, without port and without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

impl Host {
    /// Takes a host as it stands in a request, with or without port.
    #[must_use]
    pub fn of(authority: &str) -> Self {
        let host = match authority.strip_prefix('[') {
            // The colons of an IPv6 literal are no port, and it has one spelling only.
            Some(rest) => {
                let inside = rest.split_once(']').map_or(rest, |(inside, _)| inside);
                return Self(
                    inside
                        .parse::<Ipv6Addr>()
                        .map_or_else(|_| inside.to_ascii_lowercase(), |v6| v6.to_string())
                        .into(),
                );
            }
            None => authority.rsplit_once(':').map_or(authority, |(host, port)| {
                if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(':') {
                    host
                } else {
                    authority
                }
            }),
        };
        Self(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, to be kept.
    #[must_use]
    pub const fn shared(&self) -> &Arc<str> {
        &self.0
    }

    /// The domain after the first label, which wildcards are looked up by. Addresses have none.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        if self.0.parse::<IpAddr>().is_ok() {
            return None;
        }
        self.0
            .split_once('.')
            .filter(|(label, rest)| !label.is_empty() && !rest.is_empty())
            .map(|(_, rest)| rest)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything a decision looks at besides who asks. There is no query in it: no rule can read one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// How it came in.
    pub scheme: Scheme,
    /// The host asked for.
    pub host: Host,
    /// The method.
    pub method: Method,
    /// The path.
    pub path: RequestPath,
    /// The address it came from, as far as it can be believed; `None` is in no pattern.
    pub client_ip: Option<IpAddr>,
    /// When.
    pub now: Timestamp,
    /// The longest that the session was unused since its person signed in; zero of who has none.
    pub rested: Duration,
    /// By which door.
    pub via: Via,
    /// The method that a browser's preflight asks for: OPTIONS with `Origin` and `Access-Control-Request-Method`, no cookie of ours and
    /// no credential.
    pub preflight: Option<Method>,
}

impl RequestFacts {
    /// A request over TLS, by ourselves, no preflight.
    #[must_use]
    pub fn new(method: Method, host: &str, path: &str, client_ip: Option<IpAddr>, now: Timestamp) -> Self {
        Self {
            scheme: Scheme::Https,
            host: Host::of(host),
            method,
            path: RequestPath::read(path),
            client_ip: client_ip.map(fold_mapped),
            now,
            rested: Duration::ZERO,
            via: Via::Proxy,
            preflight: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_port_and_case() {
        for (written, host, parent) in [
            ("Lab.Example.org:443", "lab.example.org", Some("example.org")),
            ("lab.example.org.", "lab.example.org", Some("example.org")),
            ("localhost", "localhost", None),
            ("127.0.0.1:8080", "127.0.0.1", None),
            ("[::1]:8080", "::1", None),
            ("[0:0::0:1]", "::1", None),
            ("[2001:DB8::1]", "2001:db8::1", None),
            ("::1", "::1", None),
        ] {
            assert_eq!(Host::of(written).as_str(), host, "{written}");
            assert_eq!(Host::of(written).parent(), parent, "{written}");
        }
    }
}
