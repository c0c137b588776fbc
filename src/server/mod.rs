//! Sockets, TLS, reloading, chores and shutdown.

pub mod alone;
mod chunks;
pub mod control;
pub mod files;
pub mod house;
pub mod last_good;
pub mod listener;
pub mod management;
pub mod master_key;
pub mod opening;
pub mod reload;
mod stream;
pub mod tls;
pub mod watch;
