//! The decision log: one line for each answer given.
