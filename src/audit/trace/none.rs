//! Traces in a build without them: the same faces, and nothing behind.

use std::convert::Infallible;

use http::{HeaderMap, Method, StatusCode, Version};

use crate::audit::metrics::Metrics;
use crate::config::Traces;
use crate::model::id::RequestId;
use crate::model::name::ApplicationName;
use crate::policy::application::Target;
use crate::policy::facts::RequestFacts;

/// Why there can be no traces. Here nothing is begun that could fail.
pub type CannotTrace = Infallible;

/// Begins no traces.
#[derive(Debug, Default)]
pub struct Tracer(());

impl Tracer {
    /// Does nothing: settings that ask for traces are refused by this build before they come here.
    ///
    /// # Errors
    /// None.
    pub const fn start(&self, _settings: &Traces, _metrics: &Metrics) -> Result<(), CannotTrace> {
        Ok(())
    }

    /// Never.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        false
    }

    /// An empty one.
    #[must_use]
    pub const fn begin(&self, _id: RequestId, _version: Version, _believed: Option<&HeaderMap>) -> Trace {
        Trace(())
    }

    /// Nothing waits.
    pub const fn stop(&self) {}
}

/// The trace of a request, of which nothing is kept.
#[derive(Clone, Debug, Default)]
pub struct Trace(());

impl Trace {
    /// Never.
    #[must_use]
    pub const fn is_recording(&self) -> bool {
        false
    }

    /// Nothing.
    pub const fn asked(&self, _facts: &RequestFacts, _with_path: bool) {}

    /// Nothing.
    pub const fn for_page(&self, _method: &Method, _page: &'static str) {}

    /// Nothing.
    pub const fn decided(&self, _application: Option<&ApplicationName>, _method: &Method, _decision: &'static str, _reason: &'static str) {}

    /// Nothing: what came with the request is passed on as it is.
    pub const fn attempt(&self, _number: u32, _method: &Method, _server: &Target, _headers: &mut HeaderMap) -> Attempt {
        Attempt(())
    }

    /// Nothing.
    pub const fn answered(&self, _status: StatusCode) {}
}

/// One time that a request is sent to a server, of which nothing is kept.
#[derive(Debug)]
pub struct Attempt(());

impl Attempt {
    /// Nothing.
    pub const fn end(self, _outcome: Result<StatusCode, &'static str>) {}
}
