//! The shared state of a running portcullis: what came from files, what talks to the outside, and nothing else.

pub mod refusal;
