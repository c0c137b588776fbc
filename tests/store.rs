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
#[path = "store/killed.rs"]
mod killed;
#[path = "store/killing.rs"]
mod killing;
#[path = "store/lossy.rs"]
mod lossy;
#[path = "store/model.rs"]
mod model;
#[path = "store/power.rs"]
mod power;
#[path = "store/races.rs"]
mod races;
#[path = "store/speed.rs"]
mod speed;
#[path = "store/time.rs"]
mod time;
