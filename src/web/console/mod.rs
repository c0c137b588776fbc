//! The console: what administrators see and change.

pub mod users;
