//! Connections to the gateway that say whatever a case wants, and well-formed requests.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::reply::{Reply, read};

/// How long anything is waited for; a machine that has much to do needs some of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a request is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 in clear.
    Clear,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    H2,
}

impl Protocol {
    /// What raw HTTP/1.1 can be sent over.
    pub(crate) const HTTP1: &'static [Self] = &[Self::Clear, Self::Tls];
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[Self::Clear, Self::Tls, Self::H2];
}

trait Socket: Read + Write + Send {}
impl<T: Read + Write + Send> Socket for T {}

/// A connection to the gateway.
pub(crate) struct Line {
    socket: Box<dyn Socket>,
    tcp: TcpStream,
    /// What was received and not yet read as an answer.
    pub(crate) got: Vec<u8>,
}

impl Line {
    /// Connects in clear.
    pub(crate) fn clear(to: SocketAddr) -> Self {
        Self::clear_from(to, None)
    }

    /// The same, from one of the loopback network's addresses.
    pub(crate) fn clear_from(to: SocketAddr, from: Option<IpAddr>) -> Self {
        let tcp = connect(to, from);
        Self {
            socket: Box::new(tcp.try_clone().unwrap()),
            tcp,
            got: Vec::new(),
        }
    }

    /// Connects with TLS, asking for `alpn`, perhaps from one of the loopback network's addresses.
    pub(crate) fn tls_from(to: SocketAddr, from: Option<IpAddr>, believed: &CertificateDer<'static>, name: &str, alpn: &[u8]) -> Self {
        let tcp = connect(to, from);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let client = ClientConnection::new(client_config(believed, alpn), name).unwrap();
        Self {
            socket: Box::new(StreamOwned::new(client, tcp.try_clone().unwrap())),
            tcp,
            got: Vec::new(),
        }
    }

    /// Sends; `false` where the other end no longer takes it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).and_then(|()| self.socket.flush()).is_ok()
    }

    /// Reads once; how many bytes came, 0 at the end; nothing where none came within the time.
    pub(crate) fn hear(&mut self, within: Duration) -> Option<usize> {
        let _ = self.tcp.set_read_timeout(Some(within.max(Duration::from_millis(1))));
        let mut space = [0; 16 * 1024];
        match self.socket.read(&mut space) {
            Ok(count) => {
                self.got.extend_from_slice(&space[..count]);
                Some(count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => None,
            // Reset, or ended without TLS's goodbye: it is over.
            Err(_) => Some(0),
        }
    }

    /// Reads until the other end closes; whether it did so within the time.
    pub(crate) fn until_closed(&mut self, within: Duration) -> bool {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            if self.hear(left) == Some(0) {
                return true;
            }
        }
    }

    /// Reads until nothing has come for a while, which is longer than any answer here takes.
    pub(crate) fn until_quiet(&mut self) {
        while self
            .hear(Duration::from_millis(if self.got.is_empty() { 5000 } else { 150 }))
            .is_some_and(|count| count > 0)
        {}
    }

    /// Reads one whole answer; what came of it where the connection ends first, nothing where no head came.
    pub(crate) fn answer(&mut self) -> Option<Reply> {
        self.answer_to("GET")
    }

    /// The same to a request with this method: a HEAD is answered without body.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Reply> {
        let end = Instant::now() + PATIENCE;
        loop {
            let over = match read(&self.got, method == "HEAD") {
                Some((reply, taken)) if reply.whole => {
                    self.got.drain(..taken);
                    return Some(reply);
                }
                _ => Instant::now() >= end || self.hear(end.saturating_duration_since(Instant::now())) == Some(0),
            };
            if over {
                let got = std::mem::take(&mut self.got);
                let (mut reply, _) = read(&got, method == "HEAD")?;
                // One without a length ends with the connection.
                reply.whole |= reply.field("content-length").is_empty() && reply.field("transfer-encoding").is_empty();
                return Some(reply);
            }
        }
    }

    /// The same, not waiting long.
    pub(crate) fn answer_within(&mut self, patience: Duration) -> Option<Reply> {
        let end = Instant::now() + patience;
        loop {
            match read(&self.got, false) {
                Some((reply, taken)) if reply.whole => {
                    self.got.drain(..taken);
                    return Some(reply);
                }
                _ => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() || self.hear(left) == Some(0) {
                        return None;
                    }
                }
            }
        }
    }

    /// Every answer in what was received until the other end closed.
    pub(crate) fn answers(&self) -> Vec<Reply> {
        let mut replies = Vec::new();
        let mut rest = &self.got[..];
        while let Some((reply, taken)) = read(rest, false) {
            replies.push(reply);
            rest = &rest[taken..];
        }
        replies
    }
}

fn connect(to: SocketAddr, from: Option<IpAddr>) -> TcpStream {
    let tcp = match from {
        None => TcpStream::connect(to).unwrap(),
        Some(from) => {
            let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
            socket.connect(&to.into()).unwrap();
            socket.into()
        }
    };
    tcp.set_nodelay(true).unwrap();
    tcp.set_write_timeout(Some(PATIENCE)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp
}

/// A client that believes one certificate.
pub(crate) fn client_config(believed: &CertificateDer<'static>, alpn: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// A request that keeps to the rules of its protocol, whatever its fields say.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Sent behind the body, which is chunked for them in HTTP/1.1.
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// From which address of the loopback network.
    pub(crate) from: Option<IpAddr>,
}

impl Asking {
    /// Of any method, to the application's host.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            host: super::case::APP.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            from: None,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A form, as a browser sends it from a page of the same host.
    pub(crate) fn form(target: &str, pairs: &[(&str, &str)]) -> Self {
        let mut asking = Self::new("POST", target).field("content-type", "application/x-www-form-urlencoded");
        asking.body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish()
            .into_bytes();
        asking
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn cookie(self, pairs: &str) -> Self {
        if pairs.is_empty() { self } else { self.field("cookie", pairs) }
    }

    /// As a browser that navigates.
    pub(crate) fn browser(self) -> Self {
        self.field("accept", "text/html")
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn from(mut self, address: &str) -> Self {
        self.from = Some(address.parse().unwrap());
        self
    }

    /// As bytes of HTTP/1.1.
    pub(crate) fn http1(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).into_bytes();
        for (name, value) in &self.fields {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if !self.trailers.is_empty() {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            if !self.body.is_empty() {
                bytes.extend_from_slice(format!("{:x}\r\n", self.body.len()).as_bytes());
                bytes.extend_from_slice(&self.body);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n");
            for (name, value) in &self.trailers {
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(b": ");
                bytes.extend_from_slice(value);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            return bytes;
        }
        if !self.body.is_empty() || self.method == "POST" {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
