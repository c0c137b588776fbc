//! One HTTP/2 connection.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::config::Limits;
use crate::gateway::conversation::Conversation;
use crate::gateway::facts::Connection;

use super::listener::Worker;

/// The largest header list, in bytes.
const HEADER_LIST: u32 = 16 * 1024;
const WINDOW_OF_STREAM: u32 = 64 * 1024;
const WINDOW_OF_CONNECTION: u32 = 1024 * 1024;

/// Serves until the client goes, stays idle for too long, or the server drains.
pub(super) async fn serve<S>(worker: &Worker, socket: S, connection: Connection, limits: &Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conversation = Arc::new(Conversation::default());
    let house = Arc::clone(&worker.house);
    let shared = Arc::clone(&conversation);
    let service = service_fn(move |request| {
        let house = Arc::clone(&house);
        let conversation = Arc::clone(&shared);
        conversation.asked();
        async move { Ok::<_, Infallible>(house.handle(connection, &conversation, request).await) }
    });
    let mut serving = std::pin::pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.h2_streams)
            .max_header_list_size(HEADER_LIST)
            .initial_stream_window_size(WINDOW_OF_STREAM)
            .initial_connection_window_size(WINDOW_OF_CONNECTION)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(100)
            .keep_alive_interval(limits.idle / 2)
            .keep_alive_timeout(limits.body_stall)
            .serve_connection(TokioIo::new(socket), service)
    );
    let mut drain = worker.drain.clone();
    let mut since = Instant::now();
    loop {
        tokio::select! {
            _ = serving.as_mut() => return,
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
    let _ = serving.await;
}
