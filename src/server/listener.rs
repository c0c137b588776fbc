//! Accepts connections: each serving thread has its own sockets, its own runtime and its own connections to upstreams.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Limits, ListenAddress};
use crate::gateway::admit::HeadLimits;
use crate::model::ip_pattern::fold_mapped;
use crate::upstream;

use super::activation;
use super::house::House;
use super::http2;
use super::places::Places;
use super::socket::ClientSocket;

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 1024;
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

    /// Serves on a socket that listens already; all threads share it.
    ///
    /// # Errors
    /// The system's.
    pub fn inherited(socket: activation::Socket, tls: Option<Arc<ServerConfig>>, threads: NonZeroUsize) -> io::Result<Self> {
        let (address, sockets) = match socket {
            activation::Socket::Tcp(one) => {
                one.set_nonblocking(true)?;
                let sockets = (0..threads.get())
                    .map(|_| one.try_clone().map(Listening::Tcp))
                    .collect::<io::Result<_>>()?;
                (ListenAddress::Tcp(one.local_addr()?), sockets)
            }
            activation::Socket::Unix(one) => {
                one.set_nonblocking(true)?;
                let path = one.local_addr()?.as_pathname().unwrap_or(Path::new("")).to_owned();
                let sockets = (0..threads.get())
                    .map(|_| one.try_clone().map(Listening::Unix))
                    .collect::<io::Result<_>>()?;
                (ListenAddress::Unix(path), sockets)
            }
        };
        Ok(Self { address, tls, sockets })
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
            cuts: http2::Cuts::new(),
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

/// One serving thread.
pub(super) struct Worker {
    pub(super) house: Arc<House>,
    pub(super) places: Arc<Places>,
    pub(super) drain: watch::Receiver<bool>,
    pub(super) cuts: http2::Cuts,
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
