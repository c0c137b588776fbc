//! The decision log and the figures: one line for each answer given, and counters of all of them.

pub mod decisions;
pub mod metrics;
mod output;
pub mod record;
pub mod trace;
