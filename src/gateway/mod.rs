//! The path of a request to an application: who asks, whether they may, and the bytes both ways.

pub mod admit;
pub mod assertion;
pub mod body;
pub mod client_ip;
pub mod conversation;
pub mod cookies;
pub mod facts;
pub mod identity_headers;
pub mod limits;
pub mod refuse;
