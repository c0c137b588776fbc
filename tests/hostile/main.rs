//! What strangers try on the network, tried on the real server: raw bytes against the binary, and every byte that reaches the application kept.
//!
//! The rows are those of the table of attack classes: one module for a row or a few of a kind, each with a list of [`Case`](support::Case)s.
//! [`rows`] says which exist; a test there counts them. `support/mod.rs` says how to write one.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop on the spot"
)]

mod behind;
mod bodies;
mod forms;
mod framing;
mod guessing;
mod h2_claims;
mod h2_client;
mod h2_floods;
mod h2_frames;
mod h2_heads;
mod h2_slow;
mod heads;
mod identity;
mod mail;
mod pages;
mod paths;
mod rows;
mod sessions;
mod slow;
mod support;
