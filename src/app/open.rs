//! What is open: WebSockets, answers and requests that last, each with the question that was answered when it began.
//!
//! An exchange that is over in a moment never comes here. What lasts is registered under its session and its person, so that a change finds
//! those it concerns; they are judged again by one task ([`Open::attend`]) beside the threads that serve, and those alone wake that must end.

mod judge;
mod registry;

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::accounts::Stay;
use crate::base::time::Timestamp;
use crate::model::id::{SessionId, UserId};
use crate::model::name::ApplicationName;
use crate::model::principal::Principal;
use crate::policy;
use crate::policy::{Memo, PolicySet, RequestFacts, Verdict};
use crate::upstream::Upload;

pub use judge::{Cuts, sessions_ended_by};
pub use registry::{Moment, Open};

/// What was asked when something was opened, to be asked again.
#[derive(Debug)]
pub struct Question {
    /// The request.
    pub facts: RequestFacts,
    /// The session of whoever asked; `None` of nobody.
    pub stay: Option<Arc<Stay>>,
    /// The application that was found.
    pub application: ApplicationName,
    /// A moment before anything was read that the first answer rested on.
    pub since: Moment,
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that is still coming in, or waits for its answer.
    Request,
    /// An answer that is under way.
    Answer,
    /// A WebSocket.
    WebSocket,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Request, Self::Answer, Self::WebSocket];

    /// As the figures have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
            Self::WebSocket => "websocket",
        }
    }
}

/// Why something that was open is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The session is over: signed out, ended, expired, idle.
    SessionEnded,
    /// The rules say no, for the reason of this code.
    Refused(&'static str),
}

impl Why {
    /// A stable code: `session-ended`, or that of the rules' reason.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SessionEnded => "session-ended",
            Self::Refused(code) => code,
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SessionEnded => "signed out",
            Self::Refused(_) => "no longer allowed",
        }
    }
}

/// Something that must not go on once its right has ended, though nobody may be looking at it.
pub trait End: fmt::Debug + Send + Sync {
    /// Ends it.
    fn end(&self);
}

impl End for Upload {
    fn end(&self) {
        self.cut();
    }
}

/// One thing that is open.
#[derive(Debug)]
struct Entry {
    number: u64,
    kind: AtomicU8,
    session: Option<(SessionId, UserId)>,
    application: ApplicationName,
    asked: Mutex<Asked>,
    /// Judged again then even if nothing is heard of a change, in milliseconds since the registry was made.
    due: AtomicU64,
    why: OnceLock<Why>,
    waker: AtomicWaker,
    ends: Mutex<Vec<Arc<dyn End>>>,
}

#[derive(Debug)]
struct Asked {
    facts: RequestFacts,
    stay: Option<Arc<Stay>>,
}

impl Entry {
    fn kind(&self) -> Kind {
        let number = usize::from(self.kind.load(Ordering::Relaxed));
        Kind::ALL.get(number).copied().unwrap_or(Kind::Answer)
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, Vec<Arc<dyn End>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it would be cut by these rules at `now`, if it would.
    fn judge(&self, policies: &PolicySet, stay: Option<&Arc<Stay>>, memo: &Memo, now: Timestamp) -> Option<Why> {
        let principal = stay.map_or(Principal::Anonymous, |stay| Principal::User(Arc::clone(&stay.identity)));
        let mut asked = self.asked();
        asked.facts.now = now;
        // As a request would find it that came now: what is open is no use of a session.
        asked.facts.rested = stay.map_or(Duration::ZERO, |stay| stay.rested().max(now.since(stay.last_seen())));
        let decision = policy::decide_remembering(policies, &principal, &asked.facts, memo);
        if decision.verdict != Verdict::Allow {
            return Some(Why::Refused(decision.reason.code()));
        }
        if decision.application.is_none_or(|application| application.name != self.application) {
            // It would be another application's now: whoever asked for this one would not get it.
            return Some(Why::Refused("no-app"));
        }
        let websocket = decision.terms.is_some_and(|terms| terms.websocket);
        (self.kind() == Kind::WebSocket && !websocket).then_some(Why::Refused("websocket"))
    }

    /// Ends it; false if it was ended already.
    fn cut(&self, why: Why) -> bool {
        if self.why.set(why).is_err() {
            return false;
        }
        for end in self.ends().drain(..) {
            end.end();
        }
        self.waker.wake();
        true
    }
}

/// Holds what is open in the registry. It leaves when this is dropped.
#[derive(Debug)]
pub struct Ticket {
    entry: Arc<Entry>,
    open: Open,
}

impl Ticket {
    /// Why it must end, as soon as it must; whoever asks last is woken.
    pub fn poll_cut(&self, cx: &Context<'_>) -> Poll<Why> {
        // The common way first; then a look after the waker is in place, so that nothing slips between.
        if self.entry.why.get().is_none() {
            self.entry.waker.register(cx.waker());
        }
        self.entry.why.get().copied().map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits until it must end.
    pub async fn cut(&self) -> Why {
        poll_fn(|cx| self.poll_cut(cx)).await
    }

    /// Why it must end, if it must.
    #[must_use]
    pub fn why(&self) -> Option<Why> {
        self.entry.why.get().copied()
    }

    /// Who has it, as they were found last.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match self.why() {
            Some(Why::SessionEnded) => Principal::Anonymous,
            _ => self
                .entry
                .asked()
                .stay
                .as_ref()
                .map_or(Principal::Anonymous, |stay| Principal::User(Arc::clone(&stay.identity))),
        }
    }

    /// Ends something else together with it.
    pub fn also(&self, end: Arc<dyn End>) {
        self.entry.ends().push(end);
        // What is cut in between has taken the list away already.
        if self.entry.why.get().is_some() {
            for end in self.entry.ends().drain(..) {
                end.end();
            }
        }
    }

    /// The request has its answer: from here on it is that which is open.
    pub fn becomes(&self, kind: Kind) {
        let before = self.entry.kind();
        if before != kind {
            self.entry.kind.store(kind as u8, Ordering::Relaxed);
            self.open.counted(before, -1);
            self.open.counted(kind, 1);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.open.remove(&self.entry);
    }
}

/// Milliseconds from one moment to another.
fn millis_between(earlier: Instant, later: Instant) -> u64 {
    u64::try_from(later.saturating_duration_since(earlier).as_millis()).unwrap_or(u64::MAX)
}
