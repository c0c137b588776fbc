//! Sockets that systemd opened before the server started, taken by the names of the listeners.
//!
//! Source: sd_listen_fds(3). The names come in `LISTEN_FDNAMES`, from `FileDescriptorName=` of a socket unit.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// The listeners that can be handed over.
const NAMES: [&str; 3] = ["http", "https", "management"];

/// A socket that listens already.
#[derive(Debug)]
pub enum Socket {
    /// Over the network.
    Tcp(TcpListener),
    /// In the file system.
    Unix(UnixListener),
}

/// The sockets that were handed over, each with the listener it is for.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(&'static str, Socket)>);

/// Why what was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CannotInherit {
    /// Its name is no listener's.
    #[error("a socket was handed over as `{0}`: set FileDescriptorName= in its unit to http, https or management")]
    Unnamed(String),
    /// It is no listening stream socket.
    #[error("the socket handed over as `{name}` cannot be listened on")]
    Unfit {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Inherited {
    /// Takes what was handed over to this process, once; nothing if it was started by hand. Before there are threads: it changes the environment.
    ///
    /// # Errors
    /// [`CannotInherit`]: somebody meant a socket for something that portcullis does not have.
    pub fn from_environment() -> Result<Self, CannotInherit> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let mut inherited = Vec::new();
        for (number, name) in names_of(&names, sockets.len())?.into_iter().enumerate() {
            let unfit = |source| CannotInherit::Unfit { name, source };
            let socket = match sockets.take_tcp_listener(number) {
                Ok(taken) => taken.map(Socket::Tcp),
                Err(_) => sockets.take_unix_listener(number).map_err(unfit)?.map(Socket::Unix),
            };
            inherited.push((name, socket.ok_or_else(|| unfit(io::ErrorKind::NotFound.into()))?));
        }
        Ok(Self(inherited))
    }

    /// Whether there is a socket for a listener.
    #[must_use]
    pub fn has(&self, listener: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == listener)
    }

    /// The sockets for a listener, which are then the caller's.
    pub fn take(&mut self, listener: &str) -> Vec<Socket> {
        let (taken, rest) = std::mem::take(&mut self.0).into_iter().partition(|(name, _)| *name == listener);
        self.0 = rest;
        let taken: Vec<(&str, Socket)> = taken;
        taken.into_iter().map(|(_, socket)| socket).collect()
    }
}

/// The listeners that so many sockets are for.
fn names_of(written: &str, count: usize) -> Result<Vec<&'static str>, CannotInherit> {
    let mut names = written.split(':');
    (0..count)
        .map(|_| {
            let name = names.next().unwrap_or_default();
            let known = NAMES.into_iter().find(|known| *known == name);
            known.ok_or_else(|| CannotInherit::Unnamed(name.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_the_listener_it_is_named_after() {
        assert_eq!(names_of("http:https:management", 3).unwrap(), ["http", "https", "management"]);
        assert_eq!(names_of("http:http", 2).unwrap(), ["http", "http"]);
        assert!(names_of("", 0).unwrap().is_empty());
        for (written, count) in [("", 1), ("http", 2), ("portcullis.socket", 1), ("authz", 1)] {
            assert!(names_of(written, count).is_err(), "{written}");
        }
    }
}
