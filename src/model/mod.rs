//! The nouns of the product and their legal changes. No IO, no clock.

pub mod attempts;
pub mod device;
pub mod email;
pub mod event;
pub mod id;
pub mod invitation;
pub mod ip_pattern;
pub mod membership;
pub mod message;
pub mod name;
pub mod password;
pub mod principal;
pub mod role;
pub mod session;
pub mod team;
pub mod token;
pub mod user;
