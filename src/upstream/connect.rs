//! New connections to upstreams: TCP or a Unix socket, TLS over it where asked for, HTTP/1.1 or HTTP/2 on top.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::policy::application::Target;

use super::body::RequestBody;
use super::{Cluster, Server, Wanted};

/// The largest response head that is taken, in bytes.
pub(super) const MOST_HEAD: usize = 64 * 1024;
/// The most that is read at once, in bytes: the library reads more with each time that it got all it had room for. 64 KiB behind a head are
/// read in one go, and so are written in one.
const MOST_READ: usize = 128 * 1024;
const WINDOW_OF_STREAM: u32 = 1024 * 1024;
const WINDOW_OF_CONNECTION: u32 = 4 * 1024 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It took too long.
    #[error("no connection within {0:?}")]
    Late(Duration),
    /// The system says no.
    #[error("no connection")]
    Io(#[from] io::Error),
    /// The HTTP library says no.
    #[error("no HTTP on the connection")]
    Http(#[from] hyper::Error),
    /// TLS to this application cannot be set up; why was said when its policy was loaded.
    #[error("TLS to the upstream is not set up")]
    Tls,
}

/// The sending end of a connection.
pub(super) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}

/// Makes a connection, within `limit`.
pub(super) async fn connect(cluster: &Cluster, server: &Server, wanted: Wanted, limit: Duration) -> Result<Sender, ConnectError> {
    tokio::time::timeout(limit, open(cluster, server, wanted))
        .await
        .unwrap_or(Err(ConnectError::Late(limit)))
}

async fn open(cluster: &Cluster, server: &Server, wanted: Wanted) -> Result<Sender, ConnectError> {
    let (socket, http2) = match &server.target {
        Target::Unix { path } => (Socket::Unix(UnixStream::connect(path).await?), wanted == Wanted::Http2),
        Target::Tcp { tls, host, port } => {
            let tcp = TcpStream::connect((&**host, *port)).await?;
            tcp.set_nodelay(true)?;
            if *tls {
                let config = cluster.client_config(wanted).ok().flatten().ok_or(ConnectError::Tls)?;
                let name = cluster.tls_written.server_name.clone().unwrap_or_else(|| host.to_string());
                let name = ServerName::try_from(name).map_err(|_| ConnectError::Tls)?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2") || wanted == Wanted::Http2;
                (Socket::Tls(Box::new(stream)), http2)
            } else {
                (Socket::Tcp(tcp), wanted == Wanted::Http2)
            }
        }
    };
    if http2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_OF_STREAM)
            .initial_connection_window_size(WINDOW_OF_CONNECTION)
            .max_header_list_size(u32::try_from(MOST_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .handshake(TokioIo::new(socket))
            .await?;
        // A connection that ends in an error has told it to each of its requests.
        tokio::spawn(async move { drop(connection.await) });
        return Ok(Sender::Http2(sender));
    }
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_READ)
        .handshake(TokioIo::new(Line { socket, begun: false }))
        .await?;
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    Ok(Sender::Http1(sender))
}

/// A socket to an upstream.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! on {
    ($self:expr, $socket:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($socket) => $call,
            Socket::Unix($socket) => $call,
            Socket::Tls($socket) => $call,
        }
    };
}

/// A connection to an upstream.
///
/// An upstream that has enough of a request answers and closes. What is written to it then goes nowhere, but its answer may be there
/// already: so that the closing is told by reading, behind the answer, and not by writing, before it. Only where a part of the request was
/// taken: one of which nothing was can still go elsewhere.
struct Line {
    socket: Socket,
    /// Something was written since something was read.
    begun: bool,
}

impl Line {
    fn wrote(&mut self, written: Poll<io::Result<usize>>, all: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if self.begun && matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                Poll::Ready(Ok(all))
            }
            Poll::Ready(Ok(count)) => {
                self.begun |= count > 0;
                Poll::Ready(Ok(count))
            }
            written => written,
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(cx, out);
        this.begun &= out.filled().len() == before;
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.wrote(written, bytes.len())
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, bytes);
        this.wrote(written, bytes.iter().map(|part| part.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on!(self, socket => Pin::new(socket).poll_read(cx, out))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(self, socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        on!(self, socket => Pin::new(socket).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_write_vectored(),
            Self::Unix(socket) => socket.is_write_vectored(),
            Self::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}
