//! The body of any answer: ours, or an upstream's handed through as it comes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::upstream::{AnswerBody, AnswerFault};

use super::conversation::Owed;

/// Resolves when whoever the answer goes to may no longer have it.
pub type Refused = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of an answer.
pub struct Body {
    kind: Kind,
    owed: Option<Owed>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Upstream(AnswerBody),
    /// An upstream's answer without a known end, decided again from time to time.
    Stream(AnswerBody, Refused),
}

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The upstream's fault.
    #[error(transparent)]
    Upstream(#[from] AnswerFault),
    /// It is no longer allowed.
    #[error("the answer is no longer allowed")]
    Refused,
}

impl Body {
    const fn new(kind: Kind) -> Self {
        Self { kind, owed: None }
    }

    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self::new(Kind::Empty)
    }

    /// A body that is there whole.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self::new(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }

    /// An upstream's.
    #[must_use]
    pub const fn upstream(body: AnswerBody) -> Self {
        Self::new(Kind::Upstream(body))
    }

    /// An upstream's that breaks off once `refused` resolves.
    #[must_use]
    pub fn stream(body: AnswerBody, refused: Refused) -> Self {
        Self::new(Kind::Stream(body, refused))
    }

    /// The answer is out when this body is gone.
    #[must_use]
    pub fn owing(mut self, owed: Owed) -> Self {
        self.owed = Some(owed);
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        match &mut this.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Upstream(body) => Pin::new(body).poll_frame(cx).map_err(BodyFault::from),
            Kind::Stream(body, refused) => {
                if refused.as_mut().poll(cx).is_ready() {
                    this.kind = Kind::Empty;
                    return Poll::Ready(Some(Err(BodyFault::Refused)));
                }
                Pin::new(body).poll_frame(cx).map_err(BodyFault::from)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Upstream(body) | Kind::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Upstream(body) | Kind::Stream(body, _) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}
