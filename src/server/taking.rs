//! Streams of HTTP/2 whose client does not take the answer: each is watched by itself, since the others go on.
//!
//! A client may keep a stream's window shut for as long as it likes (RFC 9113 section 5.2), and so hold a connection to an application and
//! what it has sent. The HTTP library asks for the next part of an answer only when the one before has found room, so a part that was handed
//! over and no next one asked for is a client that takes nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

use super::frames::is_past;

/// One stream.
#[derive(Debug)]
pub(super) struct Taking {
    began: Instant,
    /// Milliseconds after `began`, plus one, at which the part in hand was handed over; 0 while there is none.
    handed: AtomicU64,
}

impl Taking {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            handed: AtomicU64::new(0),
        })
    }

    fn hand_over(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.handed.store(now.saturating_add(1), Ordering::Relaxed);
    }

    fn taken(&self) {
        self.handed.store(0, Ordering::Relaxed);
    }

    fn since(&self) -> Option<Instant> {
        let handed = self.handed.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(handed))
    }
}

/// The most that is handed over at once, in bytes; also the largest DATA frame that clients take unasked.
///
/// The library takes a part whole once there is room for a byte of it, so the next one waits for all of this to go.
const PART: usize = 16 * 1024;

/// An answer's body that goes out in parts, and notes when the next one is asked for.
#[derive(Debug)]
pub(super) struct Taken<B> {
    body: B,
    rest: Bytes,
    taking: Arc<Taking>,
}

impl<B> Drop for Taken<B> {
    fn drop(&mut self) {
        self.taking.taken();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Taken<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        this.taking.taken();
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)).map(|next| next.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let part = this.rest.split_to(this.rest.len().min(PART));
        if !part.is_empty() {
            this.taking.hand_over();
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// Starts the streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// The one whose request was just handed to the service. The library starts its task before it looks at the next request.
    next: Arc<Mutex<Option<Arc<Taking>>>>,
    stall: Duration,
}

impl Streams {
    /// Streams that are reset when their client takes nothing for so long.
    pub(super) fn new(stall: Duration) -> Self {
        Self {
            next: Arc::default(),
            stall,
        }
    }

    /// Notes that a request came in; its answer's body goes through what this gives.
    pub(super) fn request(&self) -> Answering {
        let taking = Taking::new();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&taking));
        Answering(taking)
    }
}

/// An answer that is on its way.
pub(super) struct Answering(Arc<Taking>);

impl Answering {
    /// The body of the answer, watched.
    pub(super) fn body<B>(self, body: B) -> Taken<B> {
        Taken {
            body,
            rest: Bytes::new(),
            taking: self.0,
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let Some(taking) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            tokio::spawn(stream);
            return;
        };
        let stall = self.stall;
        tokio::spawn(async move {
            let mut stream = pin!(stream);
            let mut timer: Option<Pin<Box<Sleep>>> = None;
            poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match taking.since() {
                    // Dropping a stream that is not over resets it.
                    Some(since) if is_past(&mut timer, since + stall, cx) => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await;
        });
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    const STALL: Duration = Duration::from_millis(100);

    /// What the library does with an answer: asks for a part, waits for room, asks for the next.
    async fn send(mut body: Taken<Full<Bytes>>, room: Duration, done: tokio::sync::oneshot::Sender<()>) {
        while let Some(part) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            drop(part);
            tokio::time::sleep(room).await;
        }
        let _ = done.send(());
    }

    async fn is_sent(room: Duration) -> bool {
        let streams = Streams::new(STALL);
        let body = streams.request().body(Full::new(Bytes::from_static(b"answer")));
        let (done, sent) = tokio::sync::oneshot::channel();
        streams.execute(send(body, room, done));
        sent.await.is_ok()
    }

    #[tokio::test]
    async fn an_answer_that_finds_room_is_sent() {
        assert!(is_sent(Duration::from_millis(1)).await);
    }

    #[tokio::test]
    async fn an_answer_that_finds_no_room_is_dropped() {
        assert!(!is_sent(Duration::from_secs(600)).await);
    }

    #[tokio::test]
    async fn a_large_answer_goes_out_in_parts_and_whole() {
        let streams = Streams::new(STALL);
        let large = Bytes::from((0..100_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>());
        let mut body = streams.request().body(Full::new(large.clone()));
        let mut sent = Vec::new();
        while let Some(part) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let part = part.unwrap().into_data().unwrap();
            assert!(part.len() <= PART);
            sent.extend_from_slice(&part);
            assert_eq!(body.size_hint().exact(), Some((large.len() - sent.len()) as u64));
            assert_eq!(body.is_end_stream(), sent.len() == large.len());
        }
        assert_eq!(sent, large);
    }

    #[tokio::test]
    async fn an_application_that_takes_its_time_is_waited_for() {
        let streams = Streams::new(STALL);
        let _answering = streams.request();
        let (done, sent) = tokio::sync::oneshot::channel();
        streams.execute(async move {
            tokio::time::sleep(STALL * 4).await;
            let _ = done.send(());
        });
        assert!(sent.await.is_ok());
    }
}
