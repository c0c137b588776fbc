//! Proving who somebody is. A proof admits nobody by itself.

pub mod local;
