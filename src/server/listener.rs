//! Accepts connections: each serving thread has its own sockets, its own runtime and its own connections to upstreams.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::config::{Limits, ListenAddress};
use crate::gateway::admit::HeadLimits;
use crate::gateway::conversation::Conversation;
use crate::gateway::facts::Connection;
use crate::model::ip_pattern::fold_mapped;
use crate::upstream;

use super::house::House;
use super::stream::{Deadlines, Stream};

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 1024;
/// The largest buffer of an HTTP/1 connection, in bytes.
const BUFFER: usize = 64 * 1024;
/// The largest header list of HTTP/2, in bytes.
const HEADER_LIST: u32 = 16 * 1024;
const WINDOW_OF_STREAM: u32 = 64 * 1024;
const WINDOW_OF_CONNECTION: u32 = 1024 * 1024;
/// How long to wait when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a thread closes upstream connections that waited too long.
const SWEEP: Duration = Duration::from_secs(10);

/// An address that is bound, with a socket for each serving thread.
#[derive(Debug)]
pub struct Bound {
    address: ListenAddress,
    tls: Option<Arc<ServerConfig>>,
    sockets: Vec<Listening>,
}

#[derive(Debug)]
enum Listening {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    /// Binds an address for so many threads. With port 0 all of them get the same free port.
    ///
    /// # Errors
    /// The system's, such as that somebody else has the address.
    pub fn open(address: &ListenAddress, tls: Option<Arc<ServerConfig>>, threads: NonZeroUsize) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                // Sockets that share a port would share it with another portcullis too: first see that nobody has it.
                let probe = tcp(*address, false)?;
                let address = probe.local_addr()?;
                drop(probe);
                let sockets = (0..threads.get())
                    .map(|_| tcp(address, true).map(Listening::Tcp))
                    .collect::<io::Result<_>>()?;
                Ok(Self {
                    address: ListenAddress::Tcp(address),
                    tls,
                    sockets,
                })
            }
            ListenAddress::Unix(path) => {
                let one = unix(path)?;
                let sockets = (0..threads.get())
                    .map(|_| one.try_clone().map(Listening::Unix))
                    .collect::<io::Result<_>>()?;
                Ok(Self {
                    address: address.clone(),
                    tls,
                    sockets,
                })
            }
        }
    }

    /// The address, with the port it really got.
    #[must_use]
    pub const fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The same as a socket address; `None` of a Unix socket.
    #[must_use]
    pub const fn socket_address(&self) -> Option<SocketAddr> {
        match self.address {
            ListenAddress::Tcp(address) => Some(address),
            ListenAddress::Unix(_) => None,
        }
    }
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

fn unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    // A socket that nobody answers on was left behind by a server that did not end well.
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves on everything that is bound, on threads of its own, until told to drain; resolves when the last connection has ended.
///
/// # Errors
/// If the system gives no threads.
pub fn serve(house: &Arc<House>, bound: Vec<Bound>, threads: NonZeroUsize, drain: &watch::Receiver<bool>) -> io::Result<Serving> {
    let places = Arc::new(Places::default());
    let mut of_threads: Vec<Vec<(Listening, Option<Arc<ServerConfig>>)>> = (0..threads.get()).map(|_| Vec::new()).collect();
    for one in bound {
        for (sockets, socket) in of_threads.iter_mut().zip(one.sockets) {
            sockets.push((socket, one.tls.clone()));
        }
    }
    let (ended, all_ended) = watch::channel(());
    for (number, sockets) in of_threads.into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker {
            house: Arc::clone(house),
            places: Arc::clone(&places),
            drain: drain.clone(),
        };
        let ended = ended.clone();
        std::thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
            runtime.block_on(worker.run(sockets));
            drop(ended);
        })?;
    }
    Ok(Serving(all_ended))
}

/// Threads that serve.
#[derive(Debug)]
pub struct Serving(watch::Receiver<()>);

impl Serving {
    /// Waits until every thread has ended, which they do once told to drain and their connections have ended.
    pub async fn ended(mut self) {
        // Nothing is ever sent: the channel closes with the last thread.
        while self.0.changed().await.is_ok() {}
    }
}

/// Connections from each address and in all, over all threads.
#[derive(Debug, Default)]
struct Places {
    taken: AtomicUsize,
    of_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place among those allowed.
struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Places {
    /// A place for a connection, if there is one. `address` is `None` where many people come by one address.
    fn take(self: &Arc<Self>, address: Option<IpAddr>, limits: &Limits) -> Option<Place> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= limits.connections {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut place = Place {
            places: Arc::clone(self),
            address: None,
        };
        if let Some(address) = address {
            let mut of_address = self.of_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = of_address.entry(address).or_default();
            if *count >= limits.connections_per_address {
                return None;
            }
            *count += 1;
            place.address = Some(address);
        }
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut of_address = self.places.of_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = of_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    of_address.remove(&address);
                }
            }
        }
    }
}

/// One serving thread.
struct Worker {
    house: Arc<House>,
    places: Arc<Places>,
    drain: watch::Receiver<bool>,
}

impl Worker {
    async fn run(self, sockets: Vec<(Listening, Option<Arc<ServerConfig>>)>) {
        let worker = Arc::new(self);
        let mut accepting = JoinSet::new();
        for (socket, tls) in sockets {
            accepting.spawn(Arc::clone(&worker).accept(socket, tls));
        }
        let sweeping = tokio::spawn(async {
            loop {
                tokio::time::sleep(SWEEP).await;
                upstream::sweep();
            }
        });
        while accepting.join_next().await.is_some() {}
        sweeping.abort();
    }

    async fn accept(self: Arc<Self>, socket: Listening, tls: Option<Arc<ServerConfig>>) {
        let listener = match socket {
            Listening::Tcp(listener) => TcpListener::from_std(listener).map(Accepting::Tcp),
            Listening::Unix(listener) => UnixListener::from_std(listener).map(Accepting::Unix),
        };
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(error = %error, "cannot listen"),
        };
        let mut drain = self.drain.clone();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = drain.wait_for(|drain| *drain) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let worker = Arc::clone(&self);
                    let tls = tls.clone();
                    connections.spawn(worker.connection(socket, peer, tls));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Without descriptors an accept that is tried again at once only burns time.
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn connection(self: Arc<Self>, socket: ClientSocket, peer: Option<IpAddr>, tls: Option<Arc<ServerConfig>>) {
        let accepted = Instant::now();
        let settings = Arc::clone(&self.house.app.live().settings);
        let limits = &settings.limits;
        // Everybody behind a trusted proxy comes from its address.
        let counted = peer.filter(|peer| !settings.trusted_proxies.contains(*peer));
        let Some(_place) = self.places.take(counted, limits) else {
            return;
        };
        let _counted = self.house.app.metrics.connection();
        let conversation = Arc::new(Conversation::default());
        let connection = Connection {
            peer,
            secure: tls.is_some(),
        };
        match tls {
            None => self.http1(socket, conversation, connection, limits, accepted).await,
            Some(config) => {
                let handshake = tokio::time::timeout(limits.head_time, TlsAcceptor::from(config).accept(socket)).await;
                // Strangers' handshakes fail all the time; it is theirs to know why.
                let Ok(Ok(socket)) = handshake else {
                    return;
                };
                if socket.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.http2(socket, conversation, connection, limits).await;
                } else {
                    self.http1(socket, conversation, connection, limits, accepted).await;
                }
            }
        }
    }

    async fn http1<S>(&self, socket: S, conversation: Arc<Conversation>, connection: Connection, limits: &Limits, accepted: Instant)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let deadlines = Deadlines {
            head: limits.head_time,
            stall: limits.body_stall,
            idle: limits.idle,
        };
        let stream = Stream::new(socket, Arc::clone(&conversation), head_limits(limits), deadlines, accepted);
        let house = Arc::clone(&self.house);
        let service = service_fn(move |request| {
            let house = Arc::clone(&house);
            let conversation = Arc::clone(&conversation);
            async move { Ok::<_, std::convert::Infallible>(house.handle(connection, &conversation, request).await) }
        });
        let mut serving = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                // The stream below has deadlines of its own, for the first byte too.
                .header_read_timeout(None)
                .max_buf_size(BUFFER)
                .max_headers(limits.head_fields.saturating_add(1))
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let mut drain = self.drain.clone();
        tokio::select! {
            // Whatever ended it, the client has been told or has gone.
            _ = serving.as_mut() => return,
            _ = drain.wait_for(|drain| *drain) => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    }

    async fn http2<S>(&self, socket: S, conversation: Arc<Conversation>, connection: Connection, limits: &Limits)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let house = Arc::clone(&self.house);
        let shared = Arc::clone(&conversation);
        let service = service_fn(move |request| {
            let house = Arc::clone(&house);
            let conversation = Arc::clone(&shared);
            conversation.asked();
            async move { Ok::<_, std::convert::Infallible>(house.handle(connection, &conversation, request).await) }
        });
        let mut serving = std::pin::pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.h2_streams)
                .max_header_list_size(HEADER_LIST)
                .initial_stream_window_size(WINDOW_OF_STREAM)
                .initial_connection_window_size(WINDOW_OF_CONNECTION)
                .max_pending_accept_reset_streams(20)
                .max_local_error_reset_streams(100)
                .keep_alive_interval(limits.idle / 2)
                .keep_alive_timeout(limits.body_stall)
                .serve_connection(TokioIo::new(socket), service)
        );
        let mut drain = self.drain.clone();
        let mut since = Instant::now();
        loop {
            tokio::select! {
                _ = serving.as_mut() => return,
                _ = drain.wait_for(|drain| *drain) => break,
                () = tokio::time::sleep(limits.idle / 4) => {
                    if conversation.is_answering() {
                        since = Instant::now();
                    } else if since.elapsed() >= limits.idle {
                        break;
                    }
                }
            }
        }
        serving.as_mut().graceful_shutdown();
        let _ = serving.await;
    }
}

/// The limits of a request head.
pub(super) const fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits {
        bytes: limits.head_bytes,
        fields: limits.head_fields,
        target_bytes: limits.target_bytes,
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
    )
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    async fn accept(&self) -> io::Result<(ClientSocket, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok((ClientSocket::Tcp(socket), Some(fold_mapped(peer.ip()))))
            }
            Self::Unix(listener) => listener.accept().await.map(|(socket, _)| (ClientSocket::Unix(socket), None)),
        }
    }
}

/// A client's socket.
enum ClientSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! on {
    ($self:expr, $socket:ident => $call:expr) => {
        match $self.get_mut() {
            ClientSocket::Tcp($socket) => $call,
            ClientSocket::Unix($socket) => $call,
        }
    };
}

impl AsyncRead for ClientSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on!(self, socket => Pin::new(socket).poll_read(cx, out))
    }
}

impl AsyncWrite for ClientSocket {
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
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}
