//! The console: what administrators see and change.

pub mod invitations;
pub mod invite;
pub mod invite_view;
pub mod membership;
pub mod projects;
pub mod sessions;
pub mod user;
pub mod users;
pub mod view;
