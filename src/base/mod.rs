//! Time, randomness, secrets and diagnostics: what knows nothing of identity.
