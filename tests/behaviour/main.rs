//! What portcullis promises, asked of a running one over real sockets. Each file is named after a promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop on the spot"
)]

mod forwarding;
mod framing;
mod over_tls;
mod support;
