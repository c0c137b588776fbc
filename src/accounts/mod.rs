//! The use cases: read, apply a rule of the model, commit.

pub mod login;
pub mod once;
pub mod signing;
