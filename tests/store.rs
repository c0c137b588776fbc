//! What every store has to promise, run through each engine on each medium.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop on the spot"
)]

#[path = "store/backup.rs"]
mod backup;
#[path = "store/contract.rs"]
mod contract;
#[path = "store/full.rs"]
mod full;
#[path = "store/house.rs"]
mod house;
#[path = "store/lossy.rs"]
mod lossy;
#[path = "store/power.rs"]
mod power;
#[path = "store/races.rs"]
mod races;
#[path = "store/time.rs"]
mod time;
