//! The way to a mail server: the connection, and TLS before anything secret is said on it.
//!
//! With `smtps://` TLS comes first. With `smtp://` the server must offer STARTTLS, unless it is on this machine. What it says in clear is
//! read byte by byte, so that nothing somebody slipped in behind the answer to STARTTLS is taken for words said under TLS (CVE-2011-0411
//! and its kin).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::SmtpServer;

/// The most that a mail server may say to one command, in bytes.
const LONGEST_REPLY: u64 = 16 * 1024;
/// How long one address of a mail server is tried.
const EACH_ADDRESS: Duration = Duration::from_secs(10);
/// What a wire says before the server is asked anything: it has said its own welcome already.
const WELCOME: &[u8] = b"220 connected\r\n";

/// Why there is no way to a mail server.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    /// Nothing listens, or its name is not known.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// It is not a mail server, or wants to hear nothing.
    #[error("it answers {0:?}, which is no welcome of a mail server")]
    Unwelcome(String),
    /// It is elsewhere and would have everything said in clear.
    #[error("it offers no STARTTLS, so passwords and tokens would pass in clear; nothing is sent to it")]
    NoStartTls,
    /// Its certificate is not believed, or it speaks no TLS.
    #[error("TLS to it fails: {0}")]
    Tls(io::Error),
    /// The authorities cannot be read.
    #[error("{} holds no certificates that can be used", .0.display())]
    Roots(PathBuf),
}

#[derive(Debug)]
enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection to a mail server that has said its welcome, and speaks TLS where it has to.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    peer: SocketAddr,
    /// What is still to be read before what the server says.
    ahead: &'static [u8],
}

impl Wire {
    /// Connects. `hello` is who we say we are.
    ///
    /// # Errors
    /// [`NoWay`]. Nothing secret has been said then.
    pub async fn open(server: &SmtpServer, hello: &str) -> Result<Self, NoWay> {
        let host = server.host.trim_matches(['[', ']']);
        let mut socket = connect(host, server.port).await?;
        let peer = socket.peer_addr()?;
        let stream = if server.implicit_tls {
            let mut stream = encrypted(server, host, socket).await?;
            say_hello(&mut stream, hello).await?;
            Stream::Tls(Box::new(stream))
        } else {
            // A mail server on this machine is asked for TLS only where its authority is known: its certificate names another host, if any.
            let may_be_clear = peer.ip().to_canonical().is_loopback() && server.ca_file.is_none();
            if start_tls(&mut socket, hello, may_be_clear).await? {
                Stream::Tls(Box::new(encrypted(server, host, socket).await?))
            } else {
                Stream::Clear(socket)
            }
        };
        Ok(Self {
            stream,
            peer,
            ahead: WELCOME,
        })
    }

    /// Where it leads.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let (now, later) = self.ahead.split_at(self.ahead.len().min(into.remaining()));
            into.put_slice(now);
            self.ahead = later;
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_read(cx, into),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

/// Tries each address of a host in turn, none for so long that the next has no time left.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        match tokio::time::timeout(EACH_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Says hello and asks for TLS; `false` if it goes on in clear, which it may only if `may_be_clear`.
async fn start_tls<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, hello: &str, may_be_clear: bool) -> Result<bool, NoWay> {
    let offers = say_hello(socket, hello).await?;
    if may_be_clear {
        return Ok(false);
    }
    let offered = |line: &str| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
    if !offers.lines().any(offered) {
        return Err(NoWay::NoStartTls);
    }
    command(socket, "STARTTLS\r\n", "220").await?;
    Ok(true)
}

/// The welcome and what EHLO is answered. Source: RFC 5321 sections 4.2 and 4.1.1.1.
async fn say_hello<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, hello: &str) -> Result<String, NoWay> {
    reply(socket, "220").await?;
    command(socket, &format!("EHLO {hello}\r\n"), "250").await
}

async fn command<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, line: &str, expected: &str) -> Result<String, NoWay> {
    socket.write_all(line.as_bytes()).await?;
    socket.flush().await?;
    reply(socket, expected).await
}

/// All lines of one reply: three digits, then `-` where more follow.
async fn reply<S: AsyncRead + Unpin>(socket: &mut S, expected: &str) -> Result<String, NoWay> {
    let mut text = String::new();
    // A buffer of one byte reads nothing that belongs to what comes after.
    let mut reader = BufReader::with_capacity(1, socket.take(LONGEST_REPLY));
    loop {
        let begin = text.len();
        let read = reader.read_line(&mut text).await?;
        let line = text.get(begin..).unwrap_or_default();
        if read == 0 || !line.starts_with(expected) {
            return Err(NoWay::Unwelcome(line.trim_end().chars().take(100).collect()));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(text);
        }
    }
}

async fn encrypted(server: &SmtpServer, host: &str, socket: TcpStream) -> Result<TlsStream<TcpStream>, NoWay> {
    let tls = |error: rustls::Error| NoWay::Tls(io::Error::other(error));
    let ca_file = server.ca_file.clone();
    let roots = tokio::task::spawn_blocking(move || roots(ca_file.as_deref()))
        .await
        .map_err(|error| NoWay::Tls(io::Error::other(error)))??;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| NoWay::Tls(io::Error::other(error)))?;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(NoWay::Tls)
}

/// The authorities that a mail server's certificate may come from: those of a file, or the system's. Reads files.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, NoWay> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let unusable = || NoWay::Roots(file.to_owned());
    let certificates = CertificateDer::pem_file_iter(file).map_err(|_| unusable())?;
    roots.add_parsable_certificates(certificates.flatten());
    if roots.is_empty() {
        return Err(unusable());
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of talking to a server that says these things, one after each line it hears.
    async fn talk(says: &[&'static str], may_be_clear: bool) -> (Result<bool, String>, Vec<u8>) {
        let (mut ours, theirs) = tokio::io::duplex(4096);
        let says: Vec<_> = says.iter().map(|line| (*line).to_owned()).collect();
        let serving = tokio::spawn(async move {
            let mut theirs = BufReader::new(theirs);
            let mut heard = String::new();
            for words in says {
                theirs.get_mut().write_all(words.as_bytes()).await.unwrap();
                theirs.read_line(&mut heard).await.unwrap();
            }
            heard
        });
        let outcome = start_tls(&mut ours, "gate.example", may_be_clear)
            .await
            .map_err(|error| error.to_string());
        let mut left = vec![0; 1024];
        let read = tokio::time::timeout(std::time::Duration::from_millis(50), ours.read(&mut left)).await;
        left.truncate(read.ok().and_then(Result::ok).unwrap_or(0));
        drop(ours);
        let heard = serving.await.unwrap();
        assert!(!heard.contains("MAIL") && !heard.contains("AUTH"), "{heard}");
        (outcome, left)
    }

    #[tokio::test]
    async fn a_mail_server_elsewhere_must_offer_tls() {
        let welcome = "220 mail.example ESMTP\r\n";
        let offers = "250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n";
        let offers_not = "250-mail.example\r\n250 SIZE 1000\r\n";
        assert_eq!(talk(&[welcome, offers, "220 go on\r\n"], false).await.0, Ok(true));
        let refused = talk(&[welcome, offers_not], false).await.0.unwrap_err();
        assert!(refused.contains("no STARTTLS"), "{refused}");
        assert_eq!(talk(&[welcome, offers_not], true).await.0, Ok(false), "on this machine it may");
        for (name, says) in [("HTTP", "HTTP/1.1 400 Bad Request\r\n"), ("a refusal", "554 go away\r\n")] {
            let refused = talk(&[says], false).await.0.unwrap_err();
            assert!(refused.contains(says.trim()), "{name}: {refused}");
        }
    }

    #[tokio::test]
    async fn what_is_slipped_in_behind_the_answer_to_starttls_is_left_to_tls() {
        let says = [
            "220 mail.example\r\n",
            "250 STARTTLS\r\n",
            "220 go on\r\n250 AUTH PLAIN\r\n250 ok\r\n",
        ];
        let (outcome, left) = talk(&says, false).await;
        assert_eq!(outcome, Ok(true));
        assert_eq!(left, b"250 AUTH PLAIN\r\n250 ok\r\n", "the handshake meets it, and fails by it");
    }
}
