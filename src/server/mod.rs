//! Sockets, TLS, reloading, chores and shutdown.
