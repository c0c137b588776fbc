//! Sockets, TLS, reloading, chores and shutdown.

mod chunks;
pub mod control;
pub mod management;
pub mod master_key;
mod stream;
pub mod tls;
pub mod watch;
