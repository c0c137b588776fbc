//! Connections that wait for their next request, each thread its own.
//!
//! A connection is driven by the runtime that made it, and every serving thread has one of its own, so nothing here is shared and nothing
//! is locked. Measured in `PERFORMANCE.md` section 2: 8 to 40 % of the processor time of a shared pool.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::body::{RequestBody, Upload};
use super::connect::Sender;
use super::{Server, Wanted};

/// A connection that waited longer is closed.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Who cannot ask again takes no connection that waited longer.
pub(super) const SHORT_WAIT: Duration = Duration::from_secs(1);
/// A connection is given up so long before its server says that it will close it.
const BEFORE_THE_SERVER: Duration = Duration::from_secs(1);

/// The most that wait for one server on one thread.
const MOST_WAITING: usize = 256;
/// So many may wait unused: fewer are not worth giving up, since each costs 24 KiB.
const SPARE: usize = 4;

struct Resting {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
    /// How long its server keeps it, and no longer than we do.
    kept: Duration,
}

impl Resting {
    fn is_good(&self, within: Duration) -> bool {
        !self.sender.is_closed() && self.since.elapsed() < self.kept.min(within)
    }
}

#[derive(Default)]
struct Waiting {
    /// Keeps the address of the server from being given to another one while it is the key.
    server: Option<Arc<Server>>,
    /// The one used last is the last one.
    http1: Vec<Resting>,
    /// The fewest that waited at one time since the last sweep: so many were not needed.
    unused: usize,
    http2: Option<http2::SendRequest<RequestBody>>,
    used: Option<Instant>,
}

thread_local! {
    static POOL: RefCell<HashMap<usize, Waiting>> = RefCell::default();
}

fn key(server: &Arc<Server>) -> usize {
    Arc::as_ptr(server).addr()
}

/// A connection whose answer is on its way, and what it takes to use it again.
#[derive(Debug)]
pub(super) struct Lease {
    sender: http1::SendRequest<RequestBody>,
    upload: Option<Arc<Upload>>,
    kept: Duration,
}

impl Lease {
    /// `answer` is the head that came over it.
    pub(super) fn new(sender: http1::SendRequest<RequestBody>, upload: Option<Arc<Upload>>, answer: &HeaderMap) -> Self {
        Self {
            sender,
            upload,
            kept: kept(answer),
        }
    }

    /// Lets the connection wait for its next request. One whose request is not out yet, though it was answered, is given up: nobody knows
    /// whether the rest of it will ever be read.
    pub(super) fn give(self, server: &Arc<Server>) {
        if self.sender.is_closed() || self.upload.is_some_and(|upload| !upload.has_ended()) {
            return;
        }
        with(server, |waiting| {
            if waiting.http1.len() < MOST_WAITING {
                waiting.http1.push(Resting {
                    sender: self.sender,
                    since: Instant::now(),
                    kept: self.kept,
                });
            }
        });
    }
}

/// How long a connection may wait, by what its server says of it: `Keep-Alive: timeout=5`.
///
/// Source: RFC 2068 section 19.7.1.1; the parameter is what servers send today.
fn kept(answer: &HeaderMap) -> Duration {
    let said = answer.get("keep-alive").and_then(|value| value.to_str().ok()).and_then(|text| {
        let mut parameters = text.split(',').filter_map(|parameter| parameter.split_once('='));
        let (_, seconds) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
        seconds.trim().parse().ok().map(Duration::from_secs)
    });
    said.map_or(LONGEST_WAIT, |said| said.saturating_sub(BEFORE_THE_SERVER).min(LONGEST_WAIT))
}

/// A connection that waits since less than `within`, the one used last first: the others may then age and go.
pub(super) fn take(server: &Arc<Server>, wanted: Wanted, within: Duration) -> Option<Sender> {
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
        let good = loop {
            // Those before it have waited longer still.
            if waiting.http1.last()?.is_good(within) {
                break waiting.http1.pop();
            }
            if within == LONGEST_WAIT {
                waiting.http1.pop();
            } else if waiting.http1.pop_if(|resting| !resting.is_good(LONGEST_WAIT)).is_none() {
                break None;
            }
        };
        waiting.unused = waiting.unused.min(waiting.http1.len());
        good.map(|resting| Sender::Http1(resting.sender))
    })
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

/// Closes connections of this thread that waited for too long, half of those that nobody needed since the last time, and those to servers
/// that no policy names any more. After a burst, what waits is halved with each sweep.
pub fn sweep() {
    POOL.with_borrow_mut(|pool| {
        pool.retain(|_, waiting| {
            // The first ones have waited longest.
            let surplus = (waiting.unused.min(waiting.http1.len()) / 2).min(waiting.http1.len().saturating_sub(SPARE));
            waiting.http1.drain(..surplus);
            waiting.http1.retain(|resting| resting.is_good(LONGEST_WAIT));
            waiting.unused = waiting.http1.len();
            if waiting.http1.capacity() > 4 * waiting.http1.len().max(SPARE) {
                waiting.http1.shrink_to_fit();
            }
            let rested = waiting.used.is_none_or(|used| used.elapsed() > 3 * LONGEST_WAIT);
            if rested || waiting.http2.as_ref().is_some_and(http2::SendRequest::is_closed) {
                waiting.http2 = None;
            }
            let named = waiting.server.as_ref().is_some_and(|server| Arc::strong_count(server) > 1);
            named && (!waiting.http1.is_empty() || waiting.http2.is_some())
        });
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_connection_is_given_up_before_its_server_closes_it() {
        for (said, expected) in [
            (None, 30),
            (Some("timeout=5"), 4),
            (Some("max=100, Timeout = 5"), 4),
            (Some("timeout=600"), 30),
            (Some("timeout=1"), 0),
            (Some("timeout=0"), 0),
            (Some("timeout=often"), 30),
            (Some("max=3"), 30),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert("keep-alive", HeaderValue::from_static(said));
            }
            assert_eq!(kept(&headers), Duration::from_secs(expected), "{said:?}");
        }
    }
}
