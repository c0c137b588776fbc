//! Sockets, TLS, reloading, chores and shutdown.

pub mod alone;
pub mod chores;
mod chunks;
mod connection;
pub mod control;
pub mod doctor;
pub mod files;
pub mod frames;
pub mod house;
mod http1;
mod http2;
pub mod in_use;
pub mod last_good;
pub mod listener;
pub mod management;
pub mod master_key;
pub mod opening;
mod places;
pub mod proxy_protocol;
pub mod reload;
pub mod run;
mod socket;
pub mod stream;
mod taking;
pub mod tls;
pub mod watch;
