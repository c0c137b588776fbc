//! What every store has to promise, run through each engine on each medium.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop on the spot"
)]

#[path = "store/contract.rs"]
mod contract;
#[path = "store/house.rs"]
mod house;
