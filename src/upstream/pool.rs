//! Connections that wait for their next request, each thread its own.
//!
//! A connection is driven by the runtime that made it, and every serving thread has one of its own, so nothing here is shared and nothing
//! is locked. Measured in `PERFORMANCE.md` section 2: 8 to 40 % of the processor time of a shared pool.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::body::RequestBody;
use super::connect::Sender;
use super::{Server, Wanted};

/// A connection that waited longer is closed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The most that wait for one server on one thread.
const MOST_WAITING: usize = 256;

#[derive(Default)]
struct Waiting {
    /// Keeps the address of the server from being given to another one while it is the key.
    server: Option<Arc<Server>>,
    http1: Vec<(http1::SendRequest<RequestBody>, Instant)>,
    http2: Option<http2::SendRequest<RequestBody>>,
    used: Option<Instant>,
}

thread_local! {
    static POOL: RefCell<HashMap<usize, Waiting>> = RefCell::default();
}

fn key(server: &Arc<Server>) -> usize {
    Arc::as_ptr(server).addr()
}

/// A connection that is waiting, the one used last first: the others may then age and go.
pub(super) fn take(server: &Arc<Server>, wanted: Wanted) -> Option<Sender> {
    POOL.with_borrow_mut(|pool| {
        let waiting = pool.get_mut(&key(server))?;
        if wanted != Wanted::Http1 {
            if let Some(sender) = waiting.http2.take_if(|sender| sender.is_closed()) {
                drop(sender);
            }
            if let Some(sender) = &waiting.http2 {
                waiting.used = Some(Instant::now());
                return Some(Sender::Http2(sender.clone()));
            }
            if wanted == Wanted::Http2 {
                return None;
            }
        }
        while let Some((sender, since)) = waiting.http1.pop() {
            if !sender.is_closed() && since.elapsed() < LONGEST_WAIT {
                return Some(Sender::Http1(sender));
            }
        }
        None
    })
}

/// Lets a connection wait for its next request.
pub(super) fn give(server: &Arc<Server>, sender: http1::SendRequest<RequestBody>) {
    if sender.is_closed() {
        return;
    }
    with(server, |waiting| {
        if waiting.http1.len() < MOST_WAITING {
            waiting.http1.push((sender, Instant::now()));
        }
    });
}

/// Keeps a connection that takes many requests at once.
pub(super) fn share(server: &Arc<Server>, sender: http2::SendRequest<RequestBody>) {
    with(server, |waiting| {
        waiting.http2 = Some(sender);
        waiting.used = Some(Instant::now());
    });
}

fn with(server: &Arc<Server>, change: impl FnOnce(&mut Waiting)) {
    // A body that is dropped while its thread ends finds no pool any more, and its connection goes too.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let waiting = pool.entry(key(server)).or_default();
        waiting.server.get_or_insert_with(|| Arc::clone(server));
        change(waiting);
    });
}

/// Closes connections of this thread that waited for too long, and those to servers that no policy names any more.
pub fn sweep() {
    POOL.with_borrow_mut(|pool| {
        pool.retain(|_, waiting| {
            waiting
                .http1
                .retain(|(sender, since)| !sender.is_closed() && since.elapsed() < LONGEST_WAIT);
            let rested = waiting.used.is_none_or(|used| used.elapsed() > 3 * LONGEST_WAIT);
            if rested || waiting.http2.as_ref().is_some_and(http2::SendRequest::is_closed) {
                waiting.http2 = None;
            }
            let named = waiting.server.as_ref().is_some_and(|server| Arc::strong_count(server) > 1);
            named && (!waiting.http1.is_empty() || waiting.http2.is_some())
        });
    });
}
