//! Traces in a build that has them: a span for each request, and one below it for each time an application was asked.
//!
//! Names and attributes are those of OpenTelemetry's semantic conventions for HTTP; what is ours begins with `portcullis.`.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderMap, Method, StatusCode, Version};
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};

use crate::audit::metrics::Metrics;
use crate::config::Traces;
use crate::model::id::RequestId;
use crate::model::name::ApplicationName;
use crate::policy::application::Target;
use crate::policy::facts::RequestFacts;

use super::courier::{self, Roots, Stop};
use super::parent;

/// Why there can be no traces.
#[derive(Debug, thiserror::Error)]
pub enum CannotTrace {
    /// Nobody could be believed to be the collector.
    #[error(transparent)]
    Roots(#[from] Roots),
    /// The system refuses a thread.
    #[error("the thread that sends traces cannot be started")]
    Thread(#[from] io::Error),
}

/// Begins traces, once it was started.
#[derive(Default)]
pub struct Tracer(OnceLock<Running>);

struct Running {
    tracer: SdkTracer,
    stop: Mutex<Option<Stop>>,
}

impl Tracer {
    /// Sends traces from now on, as the settings say.
    ///
    /// # Errors
    /// [`CannotTrace`]; a collector that is not there is none.
    pub fn start(&self, settings: &Traces, metrics: &Metrics) -> Result<(), CannotTrace> {
        let resource = Resource::builder_empty()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let (queue, stop) = courier::start(settings, &resource, metrics.spans_dropped())?;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sampling))))
            .with_resource(resource)
            .build();
        let running = Running {
            tracer: provider.tracer("portcullis"),
            stop: Mutex::new(Some(stop)),
        };
        // Whoever starts it twice keeps the first.
        let _ = self.0.set(running);
        Ok(())
    }

    /// Whether there are traces.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.get().is_some()
    }

    /// Begins the trace of a request, or goes on with the one that believed fields name.
    ///
    /// Whether it is kept is told by the span above where there is one, else by `telemetry.traces.sampling`.
    #[must_use]
    pub fn begin(&self, id: RequestId, version: Version, believed: Option<&HeaderMap>) -> Trace {
        let Some(running) = self.0.get() else {
            return Trace::default();
        };
        let above = believed
            .and_then(parent::read)
            .map_or_else(Context::new, |above| Context::new().with_remote_span_context(above));
        let builder = running.tracer.span_builder("HTTP").with_kind(SpanKind::Server);
        let mut span = running.tracer.build_with_context(builder, &above);
        if span.is_recording() {
            span.set_attribute(KeyValue::new("network.protocol.version", protocol(version)));
            span.set_attribute(KeyValue::new("portcullis.request_id", id.to_string()));
        }
        Trace(Some(Arc::new(Going {
            tracer: running.tracer.clone(),
            context: Context::new().with_span(span),
            decided: Mutex::default(),
        })))
    }

    /// Sends what has not been sent, for some seconds at most. Blocks.
    pub fn stop(&self) {
        let stop = self
            .0
            .get()
            .and_then(|running| running.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(stop) = stop {
            stop.stop();
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("on", &self.is_on()).finish()
    }
}

/// The trace of a request. It ends when the last clone is dropped: with the last byte of the answer.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Going>>);

struct Going {
    tracer: SdkTracer,
    context: Context,
    decided: Mutex<Option<Decided>>,
}

/// How the request was decided the last time: what waits for its answer may be asked again.
struct Decided {
    application: Option<ApplicationName>,
    decision: &'static str,
    reason: &'static str,
}

impl Drop for Going {
    fn drop(&mut self) {
        let Some(decided) = self.decided.get_mut().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let span = self.context.span();
        if let Some(application) = decided.application {
            span.set_attribute(KeyValue::new("portcullis.app", application.to_string()));
        }
        span.set_attribute(KeyValue::new("portcullis.decision", decided.decision));
        span.set_attribute(KeyValue::new("portcullis.reason", decided.reason));
    }
}

impl Trace {
    /// Whether anything that is told is kept.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recorded().is_some()
    }

    fn recorded(&self) -> Option<&Context> {
        let context = &self.0.as_ref()?.context;
        context.span().is_recording().then_some(context)
    }

    /// Notes what is asked. The path only where the decision log keeps it too, and only of applications: some addresses of ours are secrets.
    pub fn asked(&self, facts: &RequestFacts, with_path: bool) {
        let Some(context) = self.recorded() else { return };
        let span = context.span();
        span.update_name(named(&facts.method));
        span.set_attribute(method(&facts.method));
        span.set_attribute(KeyValue::new("url.scheme", facts.scheme.as_str()));
        span.set_attribute(KeyValue::new("server.address", facts.host.as_str().to_owned()));
        if with_path {
            span.set_attribute(KeyValue::new("url.path", facts.path.original().to_owned()));
        }
    }

    /// Notes which page of ours is asked for, as the table of pages has it: `/admin/users/{user}`.
    pub fn for_page(&self, method: &Method, page: &'static str) {
        let Some(context) = self.recorded() else { return };
        let span = context.span();
        let route = format!("/.portcullis{page}");
        span.update_name(format!("{} {route}", named(method)));
        span.set_attribute(KeyValue::new("http.route", route));
    }

    /// Notes how it was decided, and about what.
    pub fn decided(&self, application: Option<&ApplicationName>, method: &Method, decision: &'static str, reason: &'static str) {
        let (Some(going), Some(context)) = (&self.0, self.recorded()) else {
            return;
        };
        if let Some(application) = application {
            context.span().update_name(format!("{} {application}", named(method)));
        }
        *going.decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(Decided {
            application: application.cloned(),
            decision,
            reason,
        });
    }

    /// Begins the span of one time that the request is sent, and tells the server of it in place of what the client said. `number` counts from 0.
    pub fn attempt(&self, number: u32, asked: &Method, server: &Target, headers: &mut HeaderMap) -> Attempt {
        let Some(going) = &self.0 else {
            return Attempt(None);
        };
        let builder = going.tracer.span_builder(named(asked)).with_kind(SpanKind::Client);
        let mut span = going.tracer.build_with_context(builder, &going.context);
        parent::write(span.span_context(), headers);
        if span.is_recording() {
            span.set_attribute(method(asked));
            match server {
                Target::Tcp { host, port, .. } => {
                    span.set_attribute(KeyValue::new("server.address", host.to_string()));
                    span.set_attribute(KeyValue::new("server.port", i64::from(*port)));
                }
                Target::Unix { path } => span.set_attribute(KeyValue::new("server.address", path.display().to_string())),
            }
            if number > 0 {
                span.set_attribute(KeyValue::new("http.request.resend_count", i64::from(number)));
            }
        }
        Attempt(Some(span))
    }

    /// Notes the answer's status; those of the 500s are errors.
    pub fn answered(&self, status: StatusCode) {
        let Some(context) = self.recorded() else { return };
        let span = context.span();
        span.set_attribute(status_code(status));
        if status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.0.as_ref().map(|going| going.context.span().span_context().trace_id());
        f.debug_tuple("Trace").field(&context).finish()
    }
}

/// One time that a request is sent to a server. Dropped without a word, it was given up half way.
#[derive(Debug)]
pub struct Attempt(Option<Span>);

impl Attempt {
    /// Ends it: with the answer's status, or a word for why there is none. To whoever asks, the 400s are errors too.
    pub fn end(self, outcome: Result<StatusCode, &'static str>) {
        let Some(mut span) = self.0 else { return };
        if !span.is_recording() {
            return;
        }
        let error = match outcome {
            Ok(status) => {
                span.set_attribute(status_code(status));
                (status.is_client_error() || status.is_server_error()).then(|| status.as_str().to_owned())
            }
            Err(why) => Some(why.to_owned()),
        };
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

fn status_code(status: StatusCode) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status.as_u16()))
}

/// The methods that have a name of their own; clients can spell any other.
fn known(method: &Method) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]
        .into_iter()
        .find(|known| *known == method.as_str())
}

fn named(method: &Method) -> &'static str {
    known(method).unwrap_or("HTTP")
}

fn method(method: &Method) -> KeyValue {
    KeyValue::new("http.request.method", known(method).unwrap_or("_OTHER"))
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
