//! One HTTP/2 connection.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::config::Limits;
use crate::gateway::conversation::Conversation;
use crate::gateway::facts::Connection;

use super::frames::budget::Allowance;
use super::frames::{Cut, Deadlines, Frames};
use super::listener::Worker;
use super::taking::Streams;

/// Streams that the library resets for what the client did, over the life of a connection. Our own count goes by time; this one is behind it.
const RESET_IN_ALL: usize = 1024;

/// Bytes of one answer that wait in the library for room to be sent.
const WAITING: usize = 64 * 1024;

/// How often at most it is logged that connections were cut.
const QUIET: Duration = Duration::from_secs(10);

/// Serves until the client goes, stays idle for too long, goes too far, or the server drains.
pub(super) async fn serve<S>(worker: &Worker, socket: S, connection: Connection, limits: &Limits, accepted: Instant)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conversation = Arc::new(Conversation::default());
    let deadlines = Deadlines {
        head: limits.head_time,
        stall: limits.body_stall,
    };
    let (socket, watch) = Frames::new(socket, &allowance(limits), deadlines, accepted);
    let streams = Streams::new(limits.body_stall);
    let house = Arc::clone(&worker.house);
    let of_service = (Arc::clone(&conversation), streams.clone());
    let service = service_fn(move |request| {
        let house = Arc::clone(&house);
        let (conversation, streams) = &of_service;
        let conversation = Arc::clone(conversation);
        let answering = streams.request();
        conversation.asked();
        async move {
            let answer = house.handle(connection, &conversation, request).await;
            Ok::<_, Infallible>(answer.map(|body| answering.body(body)))
        }
    });
    let mut serving = std::pin::pin!(
        http2::Builder::new(streams)
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams)
            .max_header_list_size(limits.h2_header_list_bytes)
            .initial_stream_window_size(limits.h2_stream_window)
            .initial_connection_window_size(limits.h2_connection_window)
            // Those reset before they were looked at. A page that is left takes back all of its own at once.
            .max_pending_accept_reset_streams(usize::try_from(limits.h2_streams).unwrap_or(usize::MAX))
            .max_local_error_reset_streams(RESET_IN_ALL)
            .max_send_buf_size(WAITING)
            .keep_alive_interval(limits.idle / 2)
            .keep_alive_timeout(limits.body_stall)
            .serve_connection(TokioIo::new(socket), service)
    );
    let mut drain = worker.drain.clone();
    let mut since = Instant::now();
    loop {
        tokio::select! {
            _ = serving.as_mut() => return worker.note_cut(watch.cut(), connection.peer),
            _ = drain.wait_for(|drain| *drain) => break,
            () = tokio::time::sleep(limits.idle / 4) => {
                if conversation.is_answering() {
                    since = Instant::now();
                } else if since.elapsed() >= limits.idle {
                    break;
                }
            }
        }
    }
    serving.as_mut().graceful_shutdown();
    let mut sent = watch.data_sent();
    loop {
        tokio::select! {
            _ = serving.as_mut() => return worker.note_cut(watch.cut(), connection.peer),
            () = tokio::time::sleep(limits.body_stall) => {
                // What is ours is done, and the client takes none of it.
                let now = watch.data_sent();
                if !conversation.is_answering() && now == sent {
                    return worker.note_cut(Some(Cut::Unread), connection.peer);
                }
                sent = now;
            }
        }
    }
}

fn allowance(limits: &Limits) -> Allowance {
    Allowance {
        control_frames: limits.h2_control_frames,
        resets: limits.h2_resets,
        // A list that is a little too large is answered with 431; of one that is far too large nobody waits for the end.
        block_bytes: limits.h2_header_list_bytes.saturating_mul(2),
    }
}

impl Worker {
    fn note_cut(&self, cut: Option<Cut>, peer: Option<IpAddr>) {
        let Some(cut) = cut else {
            return;
        };
        self.house.app.metrics.http2_cut(cut.code());
        // Clients that only connected ahead of need are no news.
        if matches!(cut, Cut::Excess(_)) {
            self.cuts.say(cut.code(), peer);
        }
    }
}

/// Logs cut connections, not all of them: who attacks must not fill the disk.
#[derive(Debug)]
pub(super) struct Cuts {
    began: Instant,
    /// Milliseconds after `began` before which nothing is logged.
    next: AtomicU64,
    unsaid: AtomicU64,
}

impl Cuts {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            next: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        }
    }

    fn say(&self, reason: &'static str, peer: Option<IpAddr>) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let now = millis(self.began.elapsed());
        let next = self.next.load(Ordering::Relaxed);
        let mine = now >= next
            && self
                .next
                .compare_exchange(next, now.saturating_add(millis(QUIET)), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !mine {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let others = self.unsaid.swap(0, Ordering::Relaxed);
        tracing::warn!(reason, peer = ?peer, others, "an HTTP/2 connection went beyond its limits and was closed");
    }
}
