//! Time, randomness, secrets, diagnostics and reading TOML: what knows nothing of identity.

pub mod csv;
pub mod diagnostic;
pub mod document;
pub mod encoding;
pub mod grammar;
pub mod random;
pub mod reader;
pub mod seal;
pub mod secret;
pub mod sources;
pub mod time;
