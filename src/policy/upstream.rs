//! Where an application lies, how its servers are asked, and for how long.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::role::words;

words!(
    /// How an upstream is chosen among several.
    Balance {
        /// The one with the fewest requests in flight.
        LeastBusy = "least-busy",
        /// One after the other.
        RoundRobin = "round-robin",
        /// The same one for the same person.
        Sticky = "sticky",
    }
);

words!(
    /// The oldest TLS version accepted of an upstream.
    TlsVersion {
        /// TLS 1.2
        V1_2 = "1.2",
        /// TLS 1.3
        V1_3 = "1.3",
    }
);

/// A file that a policy names, with what was in it when the policies were read.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Its path as written.
    pub path: Arc<str>,
    /// Its bytes; they may be secret.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedFile({}, {} bytes)", self.path, self.bytes.len())
    }
}

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Over the network.
    Tcp {
        /// Whether it is asked over TLS.
        tls: bool,
        /// Name or address literal (IPv6 without brackets).
        host: Arc<str>,
        /// Port.
        port: u16,
    },
    /// A socket in the file system.
    Unix {
        /// Its path.
        path: PathBuf,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { tls, host, port } => {
                let scheme = if *tls { "https" } else { "http" };
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.to_string()
                };
                write!(f, "{scheme}://{host}:{port}")
            }
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One server of an application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamServer {
    /// Where it listens.
    pub target: Target,
    /// How much of the load it takes, next to its siblings; at least 1.
    pub weight: u32,
}

/// Time limits towards an upstream. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To be connected.
    pub connect: Duration,
    /// From the request's end to the first byte of the answer.
    pub first_byte: Duration,
    /// Silence in between.
    pub idle: Duration,
    /// All of it.
    pub total: Option<Duration>,
    /// Silence of a WebSocket.
    pub websocket_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(75),
            total: None,
            websocket_idle: Duration::from_secs(60 * 60),
        }
    }
}

impl Timeouts {
    /// The shorter of each.
    #[must_use]
    pub fn shorter(&self, other: &Self) -> Self {
        Self {
            connect: self.connect.min(other.connect),
            first_byte: self.first_byte.min(other.first_byte),
            idle: self.idle.min(other.idle),
            total: match (self.total, other.total) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            },
            websocket_idle: self.websocket_idle.min(other.websocket_idle),
        }
    }
}

/// Active checks of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked for; `None`: passive checks only.
    pub path: Option<String>,
    /// How often.
    pub every: Duration,
    /// How long an answer may take; less than `every`.
    pub timeout: Duration,
    /// So many failures in a row take a server out.
    pub fail: u32,
    /// So many successes in a row take it in again.
    pub pass: u32,
    /// Statuses that count as success.
    pub expect: Vec<RangeInclusive<u16>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: None,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            fail: 3,
            pass: 2,
            expect: vec![200..=399],
        }
    }
}

/// TLS towards an upstream. There is no way to skip verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Authorities that are believed; the system's where `None`.
    pub ca_file: Option<NamedFile>,
    /// The name to verify; the host where `None`.
    pub server_name: Option<String>,
    /// Our certificate.
    pub cert_file: Option<NamedFile>,
    /// Its key.
    pub key_file: Option<NamedFile>,
    /// The oldest version accepted.
    pub min: TlsVersion,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            ca_file: None,
            server_name: None,
            cert_file: None,
            key_file: None,
            min: TlsVersion::V1_2,
        }
    }
}

/// What becomes of the size of a request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLimit {
    /// Any size.
    #[default]
    Unlimited,
    /// At most so many bytes.
    Bytes(u64),
}

impl BodyLimit {
    /// The smaller of two.
    #[must_use]
    pub fn smaller(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(two)) => Self::Bytes(one.min(two)),
            (Self::Unlimited, limit) | (limit, Self::Unlimited) => limit,
        }
    }
}
