//! Traces of requests for OpenTelemetry: what was asked, how it was decided, and how often and how long an application was asked.
//!
//! They are told what happens and keep nothing of who asks: no user, no address, no cookie, no query. Without the feature `otel` every one of
//! these types is empty and every call does nothing, so that whoever tells them need not ask.

#[cfg(feature = "otel")]
mod courier;
#[cfg(not(feature = "otel"))]
mod none;
#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "otel")]
mod parent;

#[cfg(not(feature = "otel"))]
pub use none::{Attempt, CannotTrace, Trace, Tracer};
#[cfg(feature = "otel")]
pub use otel::{Attempt, CannotTrace, Trace, Tracer};
