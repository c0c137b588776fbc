//! The client's socket as the HTTP/2 library sees it: what passes is counted against a budget, what was begun must be ended in time.
//!
//! The library bounds what a connection holds: streams, windows, the size of header lists. It does not bound what a client makes it do (see
//! [`budget`]), nor how long it waits for a preface, for the rest of a header block, or for a client that takes no answer. A connection that
//! goes too far is told so with GOAWAY where that can be put between two frames, and closed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use budget::{Allowance, Awaited, Budget, Excess};

pub mod budget;

/// The most that is read and thrown away after the end, so that the client's own bytes do not make its system drop the GOAWAY.
const MOST_DRAINED: usize = 64 * 1024;

/// How long the end may take.
const LEAVE_TIME: Duration = Duration::from_secs(1);

const GOAWAY_BYTES: usize = 17;

/// Deadlines of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// From accept to the end of the first head, and from the first byte of any header block to its last.
    pub(super) head: Duration,
    /// Silence within a frame, and of a client that takes nothing.
    pub(super) stall: Duration,
}

/// Why a connection was ended from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It sent too much of something.
    Excess(Excess),
    /// Something did not come in time.
    Late(Awaited),
    /// It took nothing for too long.
    Unread,
}

impl Cut {
    /// One word, for figures and the log.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Excess(excess) => excess.code(),
            Self::Late(_) => "late",
            Self::Unread => "unread",
        }
    }

    /// The code of the GOAWAY that says so (RFC 9113 section 7).
    const fn reason(self) -> u32 {
        match self {
            Self::Excess(Excess::NoSettings) => 0x1,
            Self::Excess(_) => 0xb,
            // Somebody who connected ahead of need has done nothing wrong.
            Self::Late(_) | Self::Unread => 0,
        }
    }
}

/// What the socket tells whoever drives the connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    cut: OnceLock<Cut>,
    data_sent: AtomicU64,
}

impl Watch {
    /// Why the connection was ended from here, if it was.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.cut.get().copied()
    }

    /// How many DATA frames have gone to the client.
    pub(super) fn data_sent(&self) -> u64 {
        self.data_sent.load(Ordering::Relaxed)
    }
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct Frames<S> {
    inner: S,
    budget: Budget,
    deadlines: Deadlines,
    watch: Arc<Watch>,
    accepted: Instant,
    /// Since when what is awaited is awaited.
    since: Instant,
    awaited: Awaited,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    leaving: Option<Leaving>,
}

/// The end of a connection, in steps.
#[derive(Debug)]
struct Leaving {
    goaway: [u8; GOAWAY_BYTES],
    written: usize,
    step: Step,
    drained: usize,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Say,
    Flush,
    Shut,
    Drain,
    Gone,
}

impl<S> Frames<S> {
    /// Takes a socket that was accepted at `accepted`.
    pub(super) fn new(inner: S, allowance: &Allowance, deadlines: Deadlines, accepted: Instant) -> (Self, Arc<Watch>) {
        let watch = Arc::new(Watch::default());
        let frames = Self {
            inner,
            budget: Budget::new(allowance),
            deadlines,
            watch: Arc::clone(&watch),
            accepted,
            since: accepted,
            awaited: Awaited::Head,
            read_timer: None,
            write_timer: None,
            leaving: None,
        };
        (frames, watch)
    }

    fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.accepted)
    }

    /// Counts what was read.
    fn heard(&mut self, bytes: &[u8]) -> Result<(), Excess> {
        let now = Instant::now();
        self.budget.received(bytes, self.at(now))?;
        let awaited = self.budget.awaited();
        // Each byte of a frame is a sign of life; a head has its time in all.
        if awaited != Awaited::Head || self.awaited != Awaited::Head {
            self.since = now;
        }
        self.awaited = awaited;
        Ok(())
    }

    /// Counts what was written; the connection ends at the next read if it was too much.
    fn said(&mut self, bytes: &[u8], cx: &Context<'_>) {
        let at = self.at(Instant::now());
        let counted = self.budget.sent(bytes, at);
        self.watch.data_sent.store(self.budget.data_sent(), Ordering::Relaxed);
        if let Err(excess) = counted {
            self.leave(Cut::Excess(excess));
            cx.waker().wake_by_ref();
        }
    }

    /// Begins the end.
    fn leave(&mut self, cut: Cut) {
        let _ = self.watch.cut.set(cut);
        self.begin_leaving(if self.budget.is_between_frames() { Step::Say } else { Step::Flush }, cut.reason());
    }

    fn begin_leaving(&mut self, step: Step, reason: u32) {
        if self.leaving.is_some() {
            return;
        }
        let [a, b, c, d] = self.budget.last_stream().to_be_bytes();
        let [e, f, g, h] = reason.to_be_bytes();
        self.leaving = Some(Leaving {
            goaway: [0, 0, 8, 7, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h],
            written: 0,
            step,
            drained: 0,
            timer: Box::pin(tokio::time::sleep(LEAVE_TIME)),
        });
    }

    /// Whether the client has taken too long with what it owes.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let patience = match self.awaited {
            Awaited::Head => self.deadlines.head,
            Awaited::Frame => self.deadlines.stall,
            Awaited::Nothing => return false,
        };
        is_past(&mut self.read_timer, self.since + patience, cx)
    }
}

/// Polls a timer for `due`. One that is armed for earlier is let be until it fires, so that it is rarely set anew.
pub(super) fn is_past(timer: &mut Option<Pin<Box<Sleep>>>, due: Instant, cx: &mut Context<'_>) -> bool {
    let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
    loop {
        if Instant::now() >= due {
            return true;
        }
        if sleep.deadline() > due || sleep.is_elapsed() {
            sleep.as_mut().reset(due);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Goes on with the end; ready when there is nothing more to do.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(leaving) = &mut self.leaving else {
            return Poll::Ready(());
        };
        if leaving.step == Step::Gone || leaving.timer.as_mut().poll(cx).is_ready() {
            leaving.step = Step::Gone;
            return Poll::Ready(());
        }
        let mut inner = Pin::new(&mut self.inner);
        let mut space = [0; 4096];
        loop {
            let went = match leaving.step {
                Step::Say => {
                    let rest = leaving.goaway.get(leaving.written..).unwrap_or_default();
                    if rest.is_empty() {
                        leaving.step = Step::Flush;
                        continue;
                    }
                    ready!(inner.as_mut().poll_write(cx, rest)).map(|count| {
                        leaving.written += count;
                        if count == 0 { Step::Gone } else { Step::Say }
                    })
                }
                Step::Flush => ready!(inner.as_mut().poll_flush(cx)).map(|()| Step::Shut),
                Step::Shut => ready!(inner.as_mut().poll_shutdown(cx)).map(|()| Step::Drain),
                Step::Drain if leaving.drained >= MOST_DRAINED => Ok(Step::Gone),
                Step::Drain => {
                    let mut scrap = ReadBuf::new(&mut space);
                    ready!(inner.as_mut().poll_read(cx, &mut scrap)).map(|()| {
                        leaving.drained += scrap.filled().len();
                        if scrap.filled().is_empty() { Step::Gone } else { Step::Drain }
                    })
                }
                Step::Gone => return Poll::Ready(()),
            };
            leaving.step = went.unwrap_or(Step::Gone);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Frames<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.leaving.is_none() {
            let before = out.filled().len();
            match Pin::new(&mut this.inner).poll_read(cx, out) {
                Poll::Ready(Ok(())) => {
                    let Err(excess) = this.heard(out.filled().get(before..).unwrap_or_default()) else {
                        return Poll::Ready(Ok(()));
                    };
                    out.set_filled(before);
                    this.leave(Cut::Excess(excess));
                }
                Poll::Pending if this.is_late(cx) => this.leave(Cut::Late(this.awaited)),
                other => return other,
            }
        }
        ready!(this.poll_leave(cx));
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    /// Turns a wait for the client to take bytes into an error once it lasts too long.
    fn wrote<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_timer = None;
            return result;
        }
        // The timer lives only as long as the wait.
        let due = Instant::now() + self.deadlines.stall;
        let sleep = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let _ = self.watch.cut.set(Cut::Unread);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.leaving.is_some() {
            // Nothing comes after the GOAWAY. The library learns of the end when it reads.
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut this.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &result {
            this.said(bytes.get(..*count).unwrap_or_default(), cx);
        }
        this.wrote(result, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.leaving.is_some() {
            return Poll::Ready(Ok(bytes.iter().map(|slice| slice.len()).sum()));
        }
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, bytes);
        if let Poll::Ready(Ok(count)) = &result {
            let mut left = *count;
            for slice in bytes {
                let taken = slice.get(..left.min(slice.len())).unwrap_or_default();
                this.said(taken, cx);
                left -= taken.len();
            }
        }
        this.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.leaving.is_some() {
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut this.inner).poll_flush(cx);
        this.wrote(result, cx)
    }

    /// Closes our direction, then reads a little of what the client still sends.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.begin_leaving(Step::Flush, 0);
        this.poll_leave(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
