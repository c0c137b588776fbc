//! The bytes of requests and answers on their way: handed over as they come, counted, never copied.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::{Server, pool};

/// What goes on for so long is no longer short.
pub const LASTS: Duration = Duration::from_millis(100);

/// What went wrong with a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The client's body broke off, or its framing cannot be read.
    #[error("the request's body broke off")]
    Broken,
    /// The client stopped in the middle of it.
    #[error("the request's body stopped coming")]
    Stalled,
    /// It is longer than the application takes.
    #[error("the request's body is too long")]
    TooLong,
    /// Whoever sends it no longer may.
    #[error("the request is no longer allowed")]
    Cut,
}

/// How far a request's body has come; shared by the body, which is on its way upstream, and by who waits for the answer.
#[derive(Debug)]
pub struct Upload {
    started: Instant,
    moved: AtomicU64,
    state: AtomicU8,
    waker: AtomicWaker,
}

const UNDER_WAY: u8 = 0;
const ENDED: u8 = 1;
const BROKEN: u8 = 2;
const TOO_LONG: u8 = 3;
const STALLED: u8 = 4;
const CUT: u8 = 5;

impl Upload {
    /// One that begins now.
    #[must_use]
    pub fn begin() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            moved: AtomicU64::new(0),
            state: AtomicU8::new(UNDER_WAY),
            waker: AtomicWaker::new(),
        })
    }

    /// Ends it where it is: the upstream gets no more of it.
    pub fn cut(&self) {
        let going_on = |state| (state == UNDER_WAY).then_some(CUT);
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, going_on).is_ok() {
            self.waker.wake();
        }
    }

    fn is_cut(&self) -> bool {
        self.state.load(Ordering::Acquire) == CUT
    }

    fn note(&self, state: u8) {
        let moved = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(moved, Ordering::Relaxed);
        // What was cut stays so.
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |known| (known != CUT).then_some(state));
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self.state.load(Ordering::Acquire) {
            BROKEN => Some(Fault::Broken),
            TOO_LONG => Some(Fault::TooLong),
            STALLED => Some(Fault::Stalled),
            CUT => Some(Fault::Cut),
            _ => None,
        }
    }

    /// Whether its last byte was handed over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDED
    }

    /// When it last moved.
    pub(super) fn moved(&self) -> Instant {
        self.started + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }
}

/// Waits for a client that sends a body: not for longer than it may be silent, nor for one that sends a byte now and then for ever.
///
/// Only the time in which it is waited for counts: where the upstream takes its time, the client is not to blame.
#[derive(Debug)]
pub struct Patience {
    silence: Duration,
    /// Bytes a second; 0 is no bound.
    rate: usize,
    timer: Option<Pin<Box<Sleep>>>,
    since: Option<Instant>,
    waited: Duration,
    came: u64,
}

impl Patience {
    /// `silence` is the longest, and also how long a client may be slower than `rate` bytes a second; a rate of 0 is no bound.
    #[must_use]
    pub const fn new(silence: Duration, rate: usize) -> Self {
        Self {
            silence,
            rate,
            timer: None,
            since: None,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// Nothing is there yet: whether it has been silent for too long.
    fn waits(&mut self, cx: &mut Context<'_>) -> bool {
        self.since.get_or_insert_with(Instant::now);
        let silence = self.silence;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(silence)));
        timer.as_mut().poll(cx).is_ready()
    }

    /// Something came: whether it has been too slow on the whole.
    fn came(&mut self, bytes: usize) -> bool {
        self.came = self.came.saturating_add(bytes as u64);
        self.timer = None;
        let Some(since) = self.since.take() else {
            return false;
        };
        self.waited += since.elapsed();
        let due = self.waited.as_secs_f64() * self.rate as f64;
        self.waited > self.silence && (self.came as f64) < due
    }
}

/// A request's body on its way upstream. Its trailers stay behind: an upstream could take them for fields that we vouch for.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// It comes from the client. Boxed, so that the many requests without one are moved cheaply.
    Client(Box<ClientBody>),
}

/// A body that comes from a client.
#[derive(Debug)]
pub struct ClientBody {
    body: Incoming,
    /// So many bytes are still allowed.
    left: Option<u64>,
    /// Told how it goes.
    upload: Arc<Upload>,
    /// How long the client is waited for.
    patience: Patience,
}

impl RequestBody {
    /// The body of a client's request, and what to watch it by. `most` bytes are allowed, and waiting as `patience` says.
    #[must_use]
    pub fn of(body: Incoming, most: Option<u64>, patience: Patience) -> (Self, Option<Arc<Upload>>) {
        if body.is_end_stream() {
            return (Self::Empty, None);
        }
        let upload = Upload::begin();
        (
            Self::Client(Box::new(ClientBody {
                body,
                left: most,
                upload: Arc::clone(&upload),
                patience,
            })),
            Some(upload),
        )
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Self::Client(client) = self.get_mut() else {
            return Poll::Ready(None);
        };
        let ClientBody {
            body,
            left,
            upload,
            patience,
        } = &mut **client;
        let next = Pin::new(&mut *body).poll_frame(cx);
        if next.is_pending() {
            upload.waker.register(cx.waker());
        }
        if upload.is_cut() {
            return Poll::Ready(Some(Err(Fault::Cut)));
        }
        if let Poll::Ready(Some(Ok(frame))) = &next
            && patience.came(frame.data_ref().map_or(0, Bytes::len))
        {
            upload.note(STALLED);
            return Poll::Ready(Some(Err(Fault::Stalled)));
        }
        match next {
            Poll::Pending if patience.waits(cx) => {
                upload.note(STALLED);
                Poll::Ready(Some(Err(Fault::Stalled)))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                upload.note(ENDED);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                upload.note(BROKEN);
                Poll::Ready(Some(Err(Fault::Broken)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else {
                    upload.note(ENDED);
                    return Poll::Ready(None);
                };
                if let Some(left) = left {
                    let Some(rest) = left.checked_sub(data.len() as u64) else {
                        upload.note(TOO_LONG);
                        return Poll::Ready(Some(Err(Fault::TooLong)));
                    };
                    *left = rest;
                }
                upload.note(if body.is_end_stream() { ENDED } else { UNDER_WAY });
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(client) => client.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(client) => client.body.size_hint(),
        }
    }
}

/// A request that a server is working on.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Server>);

impl InFlight {
    pub(super) fn on(server: Arc<Server>) -> Self {
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFault {
    /// The upstream broke it off.
    #[error("the upstream broke its answer off")]
    Broken(#[source] hyper::Error),
    /// Silence for too long.
    #[error("the upstream fell silent")]
    Idle,
    /// All of it takes too long.
    #[error("the upstream took too long in all")]
    Total,
}

/// An upstream's answer on its way. Its connection waits for the next request once the last byte is through; one that is dropped
/// before takes its connection with it.
#[derive(Debug)]
pub struct AnswerBody {
    body: Incoming,
    lease: Option<pool::Lease>,
    in_flight: InFlight,
    idle: Duration,
    moved: Instant,
    total: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// From then on it lasts; `None` once that is so. Whoever waits for it is woken at that moment.
    lasts: Option<Instant>,
}

impl AnswerBody {
    pub(super) fn new(body: Incoming, lease: Option<pool::Lease>, in_flight: InFlight, idle: Duration, total: Option<Instant>) -> Self {
        let now = Instant::now();
        let mut answer = Self {
            body,
            lease,
            in_flight,
            idle,
            moved: now,
            total,
            timer: None,
            lasts: Some(now + LASTS),
        };
        if answer.body.is_end_stream() {
            answer.end();
        }
        answer
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give(&self.in_flight.0);
        }
    }

    /// It broke off, and that is the server's doing.
    fn broken(&mut self) {
        self.lease = None;
        let server = &self.in_flight.0;
        if let Some(cluster) = server.cluster.upgrade() {
            cluster.answered_badly(server);
        }
    }

    /// Whether it has been under way for [`LASTS`], as of the last look.
    #[must_use]
    pub const fn has_lasted(&self) -> bool {
        self.lasts.is_none()
    }

    /// Why it must break off now, if it must.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<AnswerFault> {
        loop {
            let now = Instant::now();
            let silent = self.moved + self.idle;
            if now >= silent {
                return Some(AnswerFault::Idle);
            }
            if self.total.is_some_and(|total| now >= total) {
                return Some(AnswerFault::Total);
            }
            self.lasts = self.lasts.filter(|lasts| now < *lasts);
            let due = [self.total, self.lasts].into_iter().flatten().fold(silent, Instant::min);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() > due || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return None;
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.moved = Instant::now();
                this.lasts = this.lasts.filter(|lasts| this.moved < *lasts);
                if this.body.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.broken();
                Poll::Ready(Some(Err(AnswerFault::Broken(error))))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => match this.overdue(cx) {
                Some(fault) => {
                    match fault {
                        // All of it may have taken too long because of the client.
                        AnswerFault::Total => this.lease = None,
                        AnswerFault::Idle | AnswerFault::Broken(_) => this.broken(),
                    }
                    Poll::Ready(Some(Err(fault)))
                }
                None => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
