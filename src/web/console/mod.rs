//! The console: what administrators see and change.

pub mod user;
pub mod users;
pub mod view;
