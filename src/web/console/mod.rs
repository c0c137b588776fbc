//! The console: what administrators see and change.

pub mod sessions;
pub mod user;
pub mod users;
pub mod view;
