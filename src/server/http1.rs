//! One HTTP/1 connection: served by the library while it works, held without it while it rests.
//!
//! The library keeps a read buffer, a write buffer and room for the answer being made as long as a connection lives: some 17 KiB, where a
//! client that may come again costs 1. So a connection starts at rest and goes back to rest when nothing was under way on it for
//! [`REST_AFTER`](super::stream::REST_AFTER); the stream below keeps the deadlines in both states.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::config::Limits;
use crate::gateway::conversation::Conversation;
use crate::gateway::facts::Connection;

use super::listener::{Worker, head_limits};
use super::stream::{Deadlines, Stream};

/// The largest buffer of a connection, in bytes.
const BUFFER: usize = 64 * 1024;

/// How many fields the library takes without being told.
const FIELDS: usize = 100;

/// Serves until the client goes or is too slow, or the server drains.
pub(super) async fn serve<S>(worker: &Worker, socket: S, connection: Connection, limits: &Limits, accepted: Instant)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let deadlines = Deadlines {
        head: limits.head_time,
        stall: limits.body_stall,
        idle: limits.idle,
    };
    let conversation = Arc::new(Conversation::default());
    let mut stream = Stream::new(socket, Arc::clone(&conversation), head_limits(limits), deadlines, accepted);
    let mut drain = worker.drain.clone();
    loop {
        let resting = worker.house.app.metrics.resting();
        let asked = tokio::select! {
            asked = poll_fn(|cx| stream.poll_asked(cx)) => asked,
            _ = drain.wait_for(|drain| *drain) => false,
        };
        drop(resting);
        if !asked {
            // Whether the client hears of it is its own affair.
            let _ = stream.shutdown().await;
            return;
        }
        match Box::pin(work(worker, stream, &conversation, connection, limits)).await {
            Some(rested) => stream = rested,
            None => return,
        }
    }
}

/// Serves requests; gives the stream back when the connection rests, nothing when it has ended.
async fn work<S>(
    worker: &Worker,
    stream: Stream<S>,
    conversation: &Arc<Conversation>,
    connection: Connection,
    limits: &Limits,
) -> Option<Stream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let house = Arc::clone(&worker.house);
    let shared = Arc::clone(conversation);
    let service = service_fn(move |request| {
        let house = Arc::clone(&house);
        let conversation = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(house.handle(connection, &conversation, request).await) }
    });
    let mut builder = http1::Builder::new();
    if limits.head_fields > FIELDS {
        // Room for another number than the library's own is made anew with each head.
        builder.max_headers(limits.head_fields);
    }
    let mut serving = builder
        .timer(TokioTimer::new())
        // The stream below has deadlines of its own, for the first byte too.
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut drain = worker.drain.clone();
    let mut drained = std::pin::pin!(drain.wait_for(|drain| *drain));
    let mut closing = false;
    let rests = poll_fn(|cx| {
        if !closing && drained.as_mut().poll(cx).is_ready() {
            closing = true;
            Pin::new(&mut serving).graceful_shutdown();
        }
        if Pin::new(&mut serving).poll(cx).is_ready() {
            // Whatever ended it, the client has been told or has gone.
            return Poll::Ready(false);
        }
        if closing || !conversation.is_at_rest() {
            return Poll::Pending;
        }
        // The library has the last word: told to close, it ends at once if it too sees nothing under way, and writes nothing.
        closing = true;
        conversation.keep_open(true);
        Pin::new(&mut serving).graceful_shutdown();
        let ended = Pin::new(&mut serving).poll(cx);
        conversation.keep_open(false);
        ended.map(|ended| ended.is_ok())
    })
    .await;
    if !rests {
        return None;
    }
    let parts = serving.into_parts()?;
    // Bytes that the library has read and not used can be taken for nothing: a connection with any is not served again.
    parts.read_buf.is_empty().then(|| parts.io.into_inner())
}
