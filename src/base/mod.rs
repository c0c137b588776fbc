//! Time, randomness, secrets and diagnostics: what knows nothing of identity.

pub mod diagnostic;
pub mod encoding;
pub mod random;
pub mod seal;
pub mod secret;
pub mod time;
