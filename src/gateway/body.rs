//! The body of any answer: ours, or an upstream's handed through as it comes, for as long as whoever asked may have it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::app::open::{End, Kind as OpenKind, Open, Question, Ticket};
use crate::audit::trace::Trace;
use crate::upstream::{AnswerBody, AnswerFault, Upload};

use super::conversation::Owed;
use super::identity_headers::clean_trailers;

/// So much of an answer is taken from the upstream before it is registered as one that lasts: what the HTTP library would buffer.
const SHORT: u64 = 64 * 1024;

/// The body of an answer.
pub struct Body {
    kind: Kind,
    owed: Option<Owed>,
    /// Ends with it.
    trace: Trace,
}

enum Kind {
    Empty,
    Full(Bytes),
    /// Boxed, so that the many answers that are there whole are moved cheaply.
    Passing(Box<Passing>),
}

/// An upstream's answer that is under way.
struct Passing {
    source: Source,
    first: First,
    passed: u64,
    /// The request's own body, where that is still under way too.
    upload: Option<Arc<Upload>>,
    watch: Watch,
}

/// Where it comes from.
enum Source {
    Own(AnswerBody),
    /// What lasts can be ended though the client takes no more of it and nobody asks for the rest.
    Shared(Arc<Shared>),
    Gone,
}

#[derive(Debug)]
struct Shared(Mutex<Option<AnswerBody>>);

/// What was there when the head was passed on.
enum First {
    Nothing,
    Data(Bytes),
    Other(Box<Result<Frame<Bytes>, AnswerFault>>),
}

/// Whether the answer ends when its right does. What is over in a moment is never registered, and costs nothing.
#[expect(
    clippy::large_enum_variant,
    reason = "it lies in a box, and another one would be made for each answer"
)]
enum Watch {
    Unasked,
    Short(Asked),
    Lasting(Ticket),
}

/// With what an answer is registered once it lasts.
#[derive(Debug)]
pub struct Asked {
    /// The registry.
    pub open: Open,
    /// The question to be asked again.
    pub question: Question,
    /// How often at least.
    pub recheck: Duration,
}

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The upstream's fault.
    #[error(transparent)]
    Upstream(#[from] AnswerFault),
    /// It is no longer allowed.
    #[error("the answer is no longer allowed")]
    Refused,
}

impl Body {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            owed: None,
            trace: Trace::default(),
        }
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Kind::Empty)
    }

    /// A body that is there whole.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self::new(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }

    /// An upstream's. What came together with its head is taken at once: mostly that is all of it.
    pub(super) async fn upstream(mut body: AnswerBody) -> Self {
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        let first = match first {
            Poll::Pending => First::Nothing,
            Poll::Ready(None) => return Self::empty(),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if body.is_end_stream() => return Self::full(data),
                Ok(data) => First::Data(data),
                Err(other) => First::Other(Box::new(Ok(other))),
            },
            Poll::Ready(Some(Err(fault))) => First::Other(Box::new(Err(fault))),
        };
        Self::new(Kind::Passing(Box::new(Passing {
            source: Source::Own(body),
            first,
            passed: 0,
            upload: None,
            watch: Watch::Unasked,
        })))
    }

    /// The request's own body is still under way too.
    pub(super) fn beside(mut self, upload: Option<Arc<Upload>>) -> Self {
        if let Kind::Passing(passing) = &mut self.kind {
            passing.upload = upload;
        }
        self
    }

    /// Goes on with what its request was registered as.
    pub(super) fn continuing(mut self, ticket: Option<Ticket>) -> Self {
        if let (Kind::Passing(passing), Some(ticket)) = (&mut self.kind, ticket) {
            ticket.becomes(OpenKind::Answer);
            passing.tie(ticket);
        }
        self
    }

    /// Ends it once `asked` is answered otherwise. Of what is there whole nothing is asked.
    #[must_use]
    pub fn watched(mut self, asked: impl FnOnce() -> Asked) -> Self {
        if let Kind::Passing(passing) = &mut self.kind {
            // What is registered already stays so.
            if matches!(passing.watch, Watch::Unasked) {
                passing.watch = Watch::Short(asked());
                // How much there will be is known of most.
                let length = passing.source.ask(|body| body.size_hint().lower());
                if length.is_some_and(|length| length > SHORT) {
                    passing.register();
                }
            }
        }
        self
    }

    /// The answer is out when this body is gone.
    #[must_use]
    pub fn owing(mut self, owed: Owed) -> Self {
        self.owed = Some(owed);
        self
    }

    /// The request's trace lasts as long as this body.
    #[must_use]
    pub fn traced(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Option<AnswerBody>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End for Shared {
    /// The upstream's connection goes with it.
    fn end(&self) {
        let body = self.held().take();
        drop(body);
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(BodyFault::from),
            Self::Shared(shared) => match &mut *shared.held() {
                Some(body) => Pin::new(body).poll_frame(cx).map_err(BodyFault::from),
                None => Poll::Ready(Some(Err(BodyFault::Refused))),
            },
            Self::Gone => Poll::Ready(None),
        }
    }

    /// `None` once it was ended.
    fn ask<T>(&self, ask: impl FnOnce(&AnswerBody) -> T) -> Option<T> {
        match self {
            Self::Own(body) => Some(ask(body)),
            Self::Shared(shared) => shared.held().as_ref().map(ask),
            Self::Gone => None,
        }
    }

    fn share(&mut self) -> Option<Arc<Shared>> {
        match std::mem::replace(self, Self::Gone) {
            Self::Own(body) => {
                let shared = Arc::new(Shared(Mutex::new(Some(body))));
                *self = Self::Shared(Arc::clone(&shared));
                Some(shared)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Passing {
    /// From here on it is known as one that lasts.
    fn register(&mut self) {
        let Watch::Short(asked) = std::mem::replace(&mut self.watch, Watch::Unasked) else {
            return;
        };
        let ticket = asked.open.register(OpenKind::Answer, asked.question, asked.recheck);
        self.tie(ticket);
    }

    /// What ends with the ticket, whether or not anybody asks for more of it.
    fn tie(&mut self, ticket: Ticket) {
        if let Some(upload) = self.upload.take() {
            ticket.also(upload);
        }
        if let Some(shared) = self.source.share() {
            ticket.also(shared);
        }
        self.watch = Watch::Lasting(ticket);
    }

    fn is_cut(&self, cx: &Context<'_>) -> bool {
        matches!(&self.watch, Watch::Lasting(ticket) if ticket.poll_cut(cx).is_ready())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if self.is_cut(cx) {
            return Poll::Ready(Some(Err(BodyFault::Refused)));
        }
        let next = match std::mem::replace(&mut self.first, First::Nothing) {
            First::Data(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            First::Other(other) => Poll::Ready(Some(other.map_err(BodyFault::from))),
            First::Nothing => self.source.poll(cx),
        };
        if let Poll::Ready(Some(Ok(frame))) = &next {
            self.passed += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        if matches!(self.watch, Watch::Short(_)) && (self.passed > SHORT || self.source.ask(AnswerBody::has_lasted) == Some(true)) {
            self.register();
            if next.is_pending() && self.is_cut(cx) {
                return Poll::Ready(Some(Err(BodyFault::Refused)));
            }
        }
        next
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        let next = match &mut this.kind {
            Kind::Empty => return Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Passing(passing) => {
                let next = passing.poll(cx).map_ok(cleaned);
                if !matches!(next, Poll::Ready(Some(Err(BodyFault::Refused)))) {
                    return next;
                }
                next
            }
        };
        this.kind = Kind::Empty;
        next
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Passing(passing) => matches!(passing.first, First::Nothing) && passing.source.ask(HttpBody::is_end_stream) == Some(true),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Passing(passing) => {
                let ahead = match &passing.first {
                    First::Data(data) => data.len() as u64,
                    First::Nothing | First::Other(_) => 0,
                };
                let rest = passing.source.ask(HttpBody::size_hint).unwrap_or_default();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + ahead);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + ahead);
                }
                hint
            }
        }
    }
}

/// An upstream's trailers with what may not be there taken out.
fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            clean_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}
