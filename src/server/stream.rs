//! The client's socket as the HTTP/1 library sees it: only heads that were let in, only bodies that belong to them, and deadlines.
//!
//! Heads are held back until they are whole and judged by [`admit`](crate::gateway::admit); one that is refused never reaches the library. In its
//! place goes a stand-in that the request handler answers with the refusal, so that every answer is made in one place and none is lost.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::gateway::admit::{Canonical, Flaw, Framing, HeadLimits, Scan, admit_http1, is_one_head, scan_http1};
use crate::gateway::conversation::Conversation;

use super::chunks::Chunks;

/// Stands in for a head that was refused.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The most that is read and thrown away after the last answer, so that the client's own bytes do not make its system drop the answer.
const MOST_DRAINED: usize = 64 * 1024;

/// A connection on which nothing was under way for so long is held without the library until it is spoken on again.
///
/// Shorter, and clients that ask now and then would pay for the change each time; longer, and a burst would leave its memory behind for longer.
pub(super) const REST_AFTER: Duration = Duration::from_millis(200);

/// What is read at once of a connection at rest, in bytes: nearly every head.
const FIRST_READ: usize = 2048;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Deadlines of a client connection.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From accept, or from a head's first byte, to its end.
    pub head: Duration,
    /// Silence within a body, and of a client that does not take its answer.
    pub stall: Duration,
    /// Silence between requests.
    pub idle: Duration,
}

#[derive(Debug)]
enum State {
    /// A head is awaited or arriving; so many of its bytes were looked at.
    Head { seen: usize },
    /// So many bytes of a judged head are still to be handed over.
    Release { left: usize, then: Then },
    /// So many bytes of a body are to come.
    Length(u64),
    /// Chunks are to come.
    Chunks(Chunks),
    /// The request may turn the connection into something else: what follows waits for the answer.
    Held,
    /// Nothing more is taken from the client.
    Deaf,
    /// No longer HTTP, or something the library will refuse by itself.
    Open,
}

/// What follows a head.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// A head was let in.
    Body(Framing),
    /// One was, and asks for another protocol.
    Upgrade,
    /// One was refused: nothing that follows has a reading.
    Nothing,
}

impl Then {
    const fn of(canonical: &Canonical) -> Self {
        match canonical.framing {
            Framing::Empty if canonical.upgrade => Self::Upgrade,
            framing => Self::Body(framing),
        }
    }
}

/// A client's socket.
#[derive(Debug)]
pub struct Stream<S> {
    inner: S,
    conversation: Arc<Conversation>,
    limits: HeadLimits,
    deadlines: Deadlines,
    state: State,
    buffer: Vec<u8>,
    /// Since when the head or the body that is awaited is awaited.
    since: Instant,
    first: bool,
    /// An answer was under way when we last looked.
    busy: bool,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    drained: usize,
    shut: bool,
    /// Something was written and not flushed.
    unflushed: bool,
}

impl<S> Stream<S> {
    /// Takes a socket that was accepted at `accepted`.
    #[must_use]
    pub fn new(inner: S, conversation: Arc<Conversation>, limits: HeadLimits, deadlines: Deadlines, accepted: Instant) -> Self {
        Self {
            inner,
            conversation,
            limits,
            deadlines,
            state: State::Head { seen: 0 },
            buffer: Vec::new(),
            since: accepted,
            first: true,
            busy: false,
            read_timer: None,
            write_timer: None,
            drained: 0,
            shut: false,
            unflushed: false,
        }
    }

    /// Hands over from the buffer at most `most` bytes; says how many.
    fn hand_over(&mut self, out: &mut ReadBuf<'_>, most: usize) -> usize {
        let count = most.min(out.remaining()).min(self.buffer.len());
        out.put_slice(self.buffer.get(..count).unwrap_or_default());
        self.buffer.drain(..count);
        if self.buffer.is_empty() {
            // An idle connection holds no buffer.
            self.buffer = Vec::new();
        }
        count
    }

    fn refuse(&mut self, flaw: Flaw) {
        self.conversation.head(Err(flaw));
        self.buffer = STAND_IN.to_vec();
        self.state = State::Release {
            left: STAND_IN.len(),
            then: Then::Nothing,
        };
    }

    /// Judges the head at the front of the buffer if it is whole.
    fn judge(&mut self, seen: usize) {
        // One empty line before a request is let be (RFC 9112 section 2.2).
        if seen == 0 {
            while self.buffer.starts_with(b"\r\n") {
                self.buffer.drain(..2);
            }
        }
        match scan_http1(&self.buffer, seen, &self.limits) {
            Scan::Partial(seen) => {
                self.state = State::Head {
                    seen: if self.buffer.len() < 3 { 0 } else { seen },
                }
            }
            Scan::Flawed(flaw) => self.refuse(flaw),
            Scan::Complete(end) => match admit_http1(self.buffer.get(..end).unwrap_or_default(), &self.limits) {
                Ok(canonical) => {
                    self.state = State::Release {
                        left: end,
                        then: Then::of(&canonical),
                    };
                    self.conversation.head(Ok(canonical));
                }
                Err(flaw) => self.refuse(flaw),
            },
        }
    }

    fn follow(&mut self, then: Then) {
        self.first = false;
        self.since = Instant::now();
        self.state = match then {
            Then::Nothing => State::Deaf,
            Then::Upgrade => State::Held,
            Then::Body(Framing::Empty | Framing::Frames) => State::Head { seen: 0 },
            Then::Body(Framing::Length(length)) => State::Length(length),
            Then::Body(Framing::Chunked) => State::Chunks(Chunks::default()),
        };
    }

    /// Lets a head pass that came whole and alone, which nearly all do: it stays where it was read.
    fn passes(&mut self, bytes: &[u8]) -> bool {
        if !is_one_head(bytes) {
            return false;
        }
        let Ok(canonical) = admit_http1(bytes, &self.limits) else {
            return false;
        };
        let then = Then::of(&canonical);
        self.conversation.head(Ok(canonical));
        self.follow(then);
        true
    }

    /// How many of these bytes belong to the body, and goes on.
    fn advance(&mut self, bytes: usize, look: impl FnOnce(&mut Chunks) -> (usize, bool)) -> usize {
        let (taken, over) = match &mut self.state {
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes);
                *left -= taken as u64;
                (taken, *left == 0)
            }
            State::Chunks(chunks) => look(chunks),
            _ => (bytes, false),
        };
        self.since = Instant::now();
        if over {
            self.state = State::Head { seen: 0 };
        }
        taken
    }

    /// Whether a chunked body has left the grammar: the library might find another end of it than we do, so it sees none of that.
    fn is_broken(&self) -> bool {
        matches!(&self.state, State::Chunks(chunks) if chunks.is_broken())
    }

    /// The moment by which something must arrive; `None` while it is our turn.
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Head { .. } if self.conversation.is_answering() => None,
            State::Head { .. } if self.buffer.is_empty() && !self.first => Some(self.since + self.deadlines.idle),
            State::Head { .. } => Some(self.since + self.deadlines.head),
            State::Length(_) | State::Chunks(_) => Some(self.since + self.deadlines.stall),
            State::Release { .. } | State::Held | State::Deaf | State::Open => None,
        }
    }

    /// Whether nothing is under way: no byte of a request has come, no answer is owed, and all that was written is out.
    fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head { .. })
            && self.buffer.is_empty()
            && !self.first
            && !self.unflushed
            && self.write_timer.is_none()
            && !self.conversation.is_answering()
    }

    /// Whether the library could be spared now; if not yet, how long until it could.
    fn rests(&self, now: Instant) -> Result<(), Option<Instant>> {
        match self.since + REST_AFTER {
            _ if !self.is_between_requests() => Err(None),
            rest if now < rest => Err(Some(rest)),
            _ => Ok(()),
        }
    }

    /// Whether it has taken too long. Where nothing is due now but may be later, it looks again after a while.
    ///
    /// Says in passing whether the connection rests, which is of use only `in_use` by the library.
    fn is_late(&mut self, cx: &mut Context<'_>, in_use: bool) -> bool {
        let watched = matches!(self.state, State::Head { .. } | State::Length(_) | State::Chunks(_));
        if !watched {
            return false;
        }
        loop {
            let now = Instant::now();
            // The wait for the next head begins when the answer is out.
            if self.conversation.is_answering() {
                self.busy = true;
            } else if std::mem::take(&mut self.busy) && self.buffer.is_empty() {
                self.since = now;
            }
            let due = match self.deadline() {
                Some(due) if now >= due => return true,
                Some(due) => due,
                // The library does not read again when an answer is out, so that is found by looking.
                None => now + REST_AFTER.min(self.deadlines.idle),
            };
            let due = match self.rests(now) {
                Err(Some(rest)) if in_use => due.min(rest),
                Err(_) => due,
                Ok(()) => {
                    self.conversation.rest(in_use);
                    due
                }
            };
            if !is_over(&mut self.read_timer, due, cx) {
                return false;
            }
        }
    }
}

/// Polls a timer that is armed for `due` at the latest.
fn is_over(timer: &mut Option<Pin<Box<Sleep>>>, due: Instant, cx: &mut Context<'_>) -> bool {
    let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
    // One that is armed for earlier is let be: it fires, and is armed again then. That is rare; new requests are not.
    if sleep.deadline() > due || sleep.is_elapsed() {
        sleep.as_mut().reset(due);
    }
    sleep.as_mut().poll(cx).is_ready()
}

impl<S: AsyncRead + Unpin> Stream<S> {
    /// Waits without the library until there is something for it to do: a head that came whole or was refused. `false`: the client has gone,
    /// or has said nothing for too long.
    pub(super) fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let (State::Head { seen }, false) = (&self.state, self.buffer.is_empty()) {
                self.judge(*seen);
            }
            if !matches!(self.state, State::Head { .. }) {
                return Poll::Ready(true);
            }
            let mut space = [0; FIRST_READ];
            let mut out = ReadBuf::new(&mut space);
            match Pin::new(&mut self.inner).poll_read(cx, &mut out) {
                Poll::Ready(Ok(())) if !out.filled().is_empty() => {
                    if self.buffer.is_empty() && !self.first {
                        self.since = Instant::now();
                    }
                    self.buffer.extend_from_slice(out.filled());
                }
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending if !self.is_late(cx, false) => return Poll::Pending,
                Poll::Pending if self.buffer.is_empty() => return Poll::Ready(false),
                Poll::Pending => self.refuse(Flaw::Late),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.conversation.is_upgraded() && matches!(this.state, State::Held) {
            this.state = State::Open;
        }
        loop {
            match &mut this.state {
                State::Release { left, then } => {
                    let (left, then) = (*left, *then);
                    let given = this.hand_over(out, left);
                    if given == left {
                        this.follow(then);
                    } else {
                        this.state = State::Release { left: left - given, then };
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Held if !this.conversation.is_answering() => {
                    this.state = State::Head { seen: 0 };
                }
                State::Held => {
                    this.conversation.wake_when_answered(cx.waker());
                    // It may have gone out just now.
                    if this.conversation.is_answering() {
                        return Poll::Pending;
                    }
                }
                State::Deaf => return Poll::Pending,
                State::Open => {
                    if !this.buffer.is_empty() {
                        this.hand_over(out, usize::MAX);
                        return Poll::Ready(Ok(()));
                    }
                    return Pin::new(&mut this.inner).poll_read(cx, out);
                }
                State::Length(_) | State::Chunks(_) if !this.buffer.is_empty() => {
                    let most = out.remaining().min(this.buffer.len());
                    let bytes = std::mem::take(&mut this.buffer);
                    let taken = this.advance(most, |chunks| chunks.advance(bytes.get(..most).unwrap_or_default()));
                    this.buffer = bytes;
                    if this.is_broken() {
                        return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                    }
                    this.hand_over(out, taken);
                    return Poll::Ready(Ok(()));
                }
                State::Length(_) | State::Chunks(_) => {
                    let before = out.filled().len();
                    match Pin::new(&mut this.inner).poll_read(cx, out) {
                        Poll::Ready(Ok(())) => {
                            let new = out.filled().get(before..).unwrap_or_default();
                            let count = new.len();
                            let mut beyond = Vec::new();
                            let taken = this.advance(count, |chunks| chunks.advance(new));
                            if this.is_broken() {
                                out.set_filled(before);
                                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                            }
                            if taken < count {
                                beyond.extend_from_slice(new.get(taken..).unwrap_or_default());
                            }
                            out.set_filled(before + taken);
                            this.buffer = beyond;
                            return Poll::Ready(Ok(()));
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending if this.is_late(cx, true) => {
                            this.conversation.stall();
                            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
                State::Head { seen } => {
                    let seen = *seen;
                    if !this.buffer.is_empty() {
                        this.judge(seen);
                        if !matches!(this.state, State::Head { .. }) {
                            continue;
                        }
                    }
                    let before = out.filled().len();
                    match Pin::new(&mut this.inner).poll_read(cx, out) {
                        Poll::Ready(Ok(())) => {
                            let new = out.filled().get(before..).unwrap_or_default();
                            if new.is_empty() {
                                return Poll::Ready(Ok(()));
                            }
                            if this.buffer.is_empty() {
                                if this.passes(new) {
                                    return Poll::Ready(Ok(()));
                                }
                                if !this.first {
                                    this.since = Instant::now();
                                }
                            }
                            this.buffer.extend_from_slice(new);
                            out.set_filled(before);
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending if this.is_late(cx, true) => {
                            if this.buffer.is_empty() {
                                // Nothing was begun: as if the client had closed.
                                return Poll::Ready(Ok(()));
                            }
                            this.refuse(Flaw::Late);
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Turns a wait for the client to take bytes into an error once it lasts too long.
    fn wrote<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match result {
            Poll::Pending if !self.conversation.is_upgraded() => {
                // The timer lives only as long as the wait.
                let due = Instant::now() + self.deadlines.stall;
                let sleep = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                if sleep.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
            result => {
                self.write_timer = None;
                result
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.unflushed = true;
        let result = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.wrote(result, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.unflushed = true;
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, bytes);
        this.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_flush(cx);
        this.unflushed &= !matches!(result, Poll::Ready(Ok(())));
        this.wrote(result, cx)
    }

    /// Closes our direction, then reads a little of what the client still sends: closing with unread bytes makes its system throw away
    /// the answer it has not read yet.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.conversation.is_kept_open() {
            return Poll::Ready(Ok(()));
        }
        if !this.shut {
            match Pin::new(&mut this.inner).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => this.shut = true,
                other => return other,
            }
            this.read_timer = Some(Box::pin(tokio::time::sleep(DRAIN_TIME)));
        }
        let mut space = [0; 4096];
        while this.drained < MOST_DRAINED {
            let mut scrap = ReadBuf::new(&mut space);
            match Pin::new(&mut this.inner).poll_read(cx, &mut scrap) {
                Poll::Ready(Ok(())) if scrap.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => this.drained += scrap.filled().len(),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let over = this.read_timer.as_mut().is_none_or(|timer| timer.as_mut().poll(cx).is_ready());
                    return if over { Poll::Ready(Ok(())) } else { Poll::Pending };
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
