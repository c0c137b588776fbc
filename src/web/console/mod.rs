//! The console: what administrators see and change.

pub mod applications;
pub mod audit;
pub mod explain;
pub mod groups;
pub mod health;
pub mod import;
pub mod invitations;
pub mod invite;
pub mod invite_view;
pub mod ip_patterns;
pub mod mail;
pub mod membership;
pub mod policy;
pub mod projects;
pub mod providers;
pub mod sessions;
pub mod several;
pub mod teams;
pub mod user;
pub mod users;
pub mod view;
mod written;
