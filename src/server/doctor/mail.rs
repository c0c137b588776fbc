//! The mail server: whether it answers, and speaks TLS before anything secret is said. Nothing is sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::Mail;

use super::fault::{Area, Fault};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most that a mail server may say to one command, in bytes.
const LONGEST_REPLY: u64 = 16 * 1024;

/// Why mail would not leave.
#[derive(Debug, thiserror::Error)]
enum NoMail {
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("no answer within {LIMIT:?}")]
    Late,
    #[error("it answers {0:?}, which is no welcome of a mail server")]
    Unwelcome(String),
    #[error("it offers no STARTTLS, so passwords and tokens would pass in clear; nothing is sent to it")]
    NoStartTls,
    #[error("TLS to it fails: {0}")]
    Tls(io::Error),
}

/// Greets the mail server.
pub(super) async fn look(mail: &Mail) -> Option<Fault> {
    let at = format!("mail.url {}", mail.url);
    let error = tokio::time::timeout(LIMIT, greet(mail)).await.unwrap_or(Err(NoMail::Late)).err()?;
    let (code, help) = match &error {
        NoMail::Unreachable(_) | NoMail::Late => ("mail-unreachable", "start it, or correct `mail.url` and the firewall between"),
        NoMail::Unwelcome(_) => (
            "mail-unwelcome",
            "is that the port of a mail server, and the right scheme: smtps:// for TLS from the start?",
        ),
        NoMail::NoStartTls => ("mail-in-clear", "switch STARTTLS on there, or use smtps://"),
        NoMail::Tls(_) => (
            "mail-tls",
            "the name in `mail.url` must be in its certificate, and this machine must know the authority",
        ),
    };
    Some(Fault::error(Area::Mail, code, at, error.to_string(), help))
}

async fn greet(mail: &Mail) -> Result<(), NoMail> {
    let host = mail.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let secure = mail.url.scheme() == "smtps";
    let port = mail.url.port().unwrap_or(if secure { 465 } else { 587 });
    let socket = TcpStream::connect((&*host, port)).await?;
    let local = socket.peer_addr()?.ip().is_loopback();
    if secure {
        let mut socket = encrypted(&host, socket).await?;
        return hello(&mut socket).await.map(drop);
    }
    let mut socket = socket;
    if start_tls(&mut socket, local).await? {
        encrypted(&host, socket).await?;
    }
    Ok(())
}

/// Says hello and asks for TLS; `false` if it goes on in clear, which only a server on this machine may.
async fn start_tls<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, local: bool) -> Result<bool, NoMail> {
    let offers = hello(socket).await?;
    if !offers
        .lines()
        .any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")))
    {
        return if local { Ok(false) } else { Err(NoMail::NoStartTls) };
    }
    if local {
        // Its certificate names another host, if any.
        return Ok(false);
    }
    command(socket, "STARTTLS\r\n", "220").await?;
    Ok(true)
}

/// The welcome and what EHLO is answered. Source: RFC 5321 sections 4.2 and 4.1.1.1.
async fn hello<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S) -> Result<String, NoMail> {
    reply(socket, "220").await?;
    command(socket, "EHLO portcullis-doctor\r\n", "250").await
}

async fn command<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, line: &str, expected: &str) -> Result<String, NoMail> {
    socket.write_all(line.as_bytes()).await?;
    socket.flush().await?;
    reply(socket, expected).await
}

/// All lines of one reply: three digits, then `-` where more follow.
async fn reply<S: AsyncRead + Unpin>(socket: &mut S, expected: &str) -> Result<String, NoMail> {
    let mut text = String::new();
    // A buffer of one byte reads nothing that belongs to what comes after.
    let mut reader = BufReader::with_capacity(1, socket.take(LONGEST_REPLY));
    loop {
        let begin = text.len();
        let read = reader.read_line(&mut text).await?;
        let line = text.get(begin..).unwrap_or_default();
        if read == 0 || !line.starts_with(expected) {
            return Err(NoMail::Unwelcome(line.trim_end().chars().take(100).collect()));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(text);
        }
    }
}

async fn encrypted(host: &str, socket: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, NoMail> {
    let tls = |error: rustls::Error| NoMail::Tls(io::Error::other(error));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| NoMail::Tls(io::Error::other(error)))?;
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .map_err(NoMail::Tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn talk(says: &[&'static str], local: bool) -> Result<bool, String> {
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
        let outcome = start_tls(&mut ours, local).await.map_err(|error| error.to_string());
        drop(ours);
        let heard = serving.await.unwrap();
        assert!(!heard.contains("MAIL") && !heard.contains("AUTH"), "{heard}");
        outcome
    }

    #[tokio::test]
    async fn a_mail_server_elsewhere_must_offer_tls() {
        let welcome = "220 mail.example ESMTP\r\n";
        let offers = "250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n";
        let offers_not = "250-mail.example\r\n250 SIZE 1000\r\n";
        assert_eq!(talk(&[welcome, offers, "220 go on\r\n"], false).await, Ok(true));
        assert!(talk(&[welcome, offers_not], false).await.unwrap_err().contains("no STARTTLS"));
        assert_eq!(talk(&[welcome, offers_not], true).await, Ok(false), "on this machine it may");
        assert!(
            talk(&["HTTP/1.1 400 Bad Request\r\n"], false)
                .await
                .unwrap_err()
                .contains("HTTP/1.1 400")
        );
        assert!(talk(&["554 go away\r\n"], false).await.unwrap_err().contains("554"));
    }
}
