//! What must hold of anything that strangers send or administrators write.
//!
//! Each module checks one of the product's readers: `check` takes any bytes and panics where a law is broken. The fuzz targets run them under
//! libFuzzer; `tests/fuzz.rs` includes this file and runs the same with the corpora and with random input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken law stops on the spot"
)]

pub mod admission;
pub mod cookies;
pub mod forwarded;
pub mod frames;
pub mod ip_patterns;
pub mod paths;
pub mod policies;
pub mod proxy_header;
pub mod return_addresses;
pub mod settings;
pub mod stream;
pub mod tokens;

/// A reader with its laws.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the fuzz target and of its corpus.
    pub name: &'static str,
    /// Panics where a law is broken.
    pub check: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "admission",
        check: admission::check,
    },
    Target {
        name: "cookies",
        check: cookies::check,
    },
    Target {
        name: "forwarded",
        check: forwarded::check,
    },
    Target {
        name: "frames",
        check: frames::check,
    },
    Target {
        name: "ip_patterns",
        check: ip_patterns::check,
    },
    Target {
        name: "paths",
        check: paths::check,
    },
    Target {
        name: "policies",
        check: policies::check,
    },
    Target {
        name: "proxy_header",
        check: proxy_header::check,
    },
    Target {
        name: "return_addresses",
        check: return_addresses::check,
    },
    Target {
        name: "settings",
        check: settings::check,
    },
    Target {
        name: "stream",
        check: stream::check,
    },
    Target {
        name: "tokens",
        check: tokens::check,
    },
];
