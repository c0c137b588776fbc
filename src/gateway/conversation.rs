//! What the two ends of one client connection know of each other: the socket below the HTTP library, and the answers above it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::admit::{Canonical, Flaw};
use super::identity_headers::OriginFields;

/// One client connection. The socket puts in what it judged of each head, in order; each request takes its own out.
#[derive(Debug, Default)]
pub struct Conversation {
    heads: Mutex<VecDeque<Result<Canonical, Flaw>>>,
    answering: AtomicUsize,
    upgraded: AtomicBool,
    stalled: AtomicBool,
    at_rest: AtomicBool,
    kept_open: AtomicBool,
    waits: AtomicWaker,
    origin: Mutex<Option<Arc<OriginFields>>>,
}

impl Conversation {
    /// A head was read whole, and this is what was found.
    pub fn head(&self, judged: Result<Canonical, Flaw>) {
        self.at_rest.store(false, Ordering::Release);
        self.answering.fetch_add(1, Ordering::AcqRel);
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).push_back(judged);
    }

    /// The judgement of the request whose turn it is.
    pub fn next_head(&self) -> Option<Result<Canonical, Flaw>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// A request came in without a head of its own here, as in HTTP/2.
    pub fn asked(&self) {
        self.answering.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether an answer is under way or owed.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Acquire) > 0
    }

    /// From here on the bytes are no longer HTTP.
    pub fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    /// Whether the bytes are no longer HTTP.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    /// Wakes the socket when an answer is out: it holds back what follows a request that may turn the connection into something else.
    pub fn wake_when_answered(&self, waker: &Waker) {
        self.waits.register(waker);
    }

    /// The socket says whether nothing has been under way for a while: no byte of a request, no answer, nothing left to be written.
    pub fn rest(&self, at_rest: bool) {
        if at_rest {
            // What is kept for the next request is memory, and there may be none.
            *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
            if heads.is_empty() {
                *heads = VecDeque::new();
            }
        }
        self.at_rest.store(at_rest, Ordering::Release);
    }

    /// Whether nothing has been under way for a while.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.at_rest.load(Ordering::Acquire)
    }

    /// Whether the socket is to stay open when the library closes it, because it will be served again.
    pub fn keep_open(&self, open: bool) {
        self.kept_open.store(open, Ordering::Release);
    }

    /// Whether the socket stays open when the library closes it.
    #[must_use]
    pub fn is_kept_open(&self) -> bool {
        self.kept_open.load(Ordering::Acquire)
    }

    /// What the request before said of where it came from.
    pub(super) const fn origin(&self) -> &Mutex<Option<Arc<OriginFields>>> {
        &self.origin
    }

    /// The client stopped in the middle of a body.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// Whether the client stopped in the middle of a body.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }
}

/// An answer that is owed; dropped when its last byte is handed over, or when there is nobody left to take it.
#[derive(Debug)]
pub struct Owed(Arc<Conversation>);

impl Owed {
    /// The answer to a request that [`Conversation::head`] or [`Conversation::asked`] counted.
    #[must_use]
    pub const fn new(conversation: Arc<Conversation>) -> Self {
        Self(conversation)
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let _ = self
            .0
            .answering
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |owed| owed.checked_sub(1));
        self.0.waits.wake();
    }
}
