//! Sockets, TLS, reloading, chores and shutdown.

pub mod control;
pub mod management;
pub mod master_key;
pub mod watch;
