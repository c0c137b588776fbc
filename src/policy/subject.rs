//! What a person holds, from this address, now: memberships that count, grants, roles with what they include.

/// What somebody holds under one state of the policies, from one place, at one time.
#[derive(Debug, Default)]
pub struct Held {}
