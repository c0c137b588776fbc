//! Sockets, TLS, reloading, chores and shutdown.

pub mod alone;
pub mod chores;
mod chunks;
pub mod control;
pub mod files;
pub mod house;
pub mod in_use;
pub mod last_good;
pub mod listener;
pub mod management;
pub mod master_key;
pub mod opening;
pub mod reload;
pub mod run;
mod stream;
pub mod tls;
pub mod watch;
