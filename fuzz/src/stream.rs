//! A client's connection: however its bytes are cut, the HTTP library gets the same requests, each of them judged, and nothing behind a
//! refused one.
//!
//! Input: everything that a client sends on one connection, pipelined requests included. The first byte says how it is cut.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis::gateway::admit::{Canonical, Flaw, Framing, HeadLimits, Scan, admit_http1, scan_http1};
use portcullis::gateway::conversation::{Conversation, Owed};
use portcullis::policy::facts::Host;
use portcullis::server::stream::{Deadlines, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 1024,
    fields: 16,
    target_bytes: 256,
};

const NEVER: Deadlines = Deadlines {
    head: Duration::from_secs(3600),
    stall: Duration::from_secs(3600),
    idle: Duration::from_secs(3600),
};

/// Sends the bytes cut in several ways, and through the HTTP library.
pub fn check(data: &[u8]) {
    let Some((how, sent)) = data.split_first() else { return };
    // Closing a connection arms a timer.
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let _entered = RUNTIME
        .get_or_init(|| Builder::new_current_thread().enable_time().build().unwrap())
        .enter();
    let expected = Expected::of(sent);
    let whole = pass(sent, usize::MAX, 8192, Answers::AtOnce);
    if expected.is_exact {
        assert_eq!(whole.judged, expected.judged, "{:?}", String::from_utf8_lossy(sent));
        assert_eq!(
            whole.passed.strip_suffix(stand_in(&whole)),
            Some(&*expected.passed),
            "{:?}",
            String::from_utf8_lossy(sent)
        );
    }
    let piece = usize::from(how % 61) + 1;
    for (piece, space, answers) in [
        (piece, 8192, Answers::AtOnce),
        (piece, 7, Answers::Late),
        (usize::MAX, 64, Answers::Late),
        (1, 1, Answers::AtOnce),
    ] {
        let cut = pass(sent, piece, space, answers);
        let told = format!(
            "in pieces of {piece} into {space} bytes, {answers:?}: {:?}",
            String::from_utf8_lossy(sent)
        );
        if expected.is_exact {
            assert_eq!(cut, whole, "{told}");
        } else {
            // How much of a broken body is passed on before the break is seen hangs on how it came.
            assert_eq!(cut.judged, whole.judged, "{told}");
            assert!(
                cut.passed.starts_with(&whole.passed) || whole.passed.starts_with(&cut.passed),
                "{told}"
            );
        }
    }
    serve(sent, piece);
}

/// What stands for a refused head, at the end.
fn stand_in(outcome: &Outcome) -> &[u8] {
    let refused = matches!(outcome.judged.last(), Some(Err(_)));
    let start = outcome
        .passed
        .windows(15)
        .rposition(|window| window == b"GET / HTTP/1.1\r")
        .filter(|_| refused);
    let tail = start.map_or(&[][..], |start| &outcome.passed[start..]);
    assert!(
        !refused || String::from_utf8_lossy(tail).contains("host: refused\r\nconnection: close\r\n\r\n"),
        "{tail:?}"
    );
    tail
}

/// The connection as a strict reader of whole requests sees it.
struct Expected {
    passed: Vec<u8>,
    judged: Vec<Result<Canonical, Flaw>>,
    /// Whether no body is broken, behind which nothing has a reading.
    is_exact: bool,
}

impl Expected {
    fn of(sent: &[u8]) -> Self {
        let mut this = Self {
            passed: Vec::new(),
            judged: Vec::new(),
            is_exact: true,
        };
        let mut rest = sent;
        loop {
            while let Some(after) = rest.strip_prefix(b"\r\n") {
                rest = after;
            }
            let judged = match scan_http1(rest, 0, &LIMITS) {
                Scan::Partial(_) => return this,
                Scan::Flawed(flaw) => Err(flaw),
                Scan::Complete(end) => admit_http1(&rest[..end], &LIMITS).map(|canonical| (end, canonical)),
            };
            let (end, canonical) = match judged {
                Ok(judged) => judged,
                Err(flaw) => {
                    this.judged.push(Err(flaw));
                    return this;
                }
            };
            let body = match canonical.framing {
                Framing::Empty | Framing::Frames => Some(0),
                Framing::Length(length) => usize::try_from(length).ok().filter(|length| *length <= rest.len() - end),
                Framing::Chunked => match chunked(&rest[end..]) {
                    Chunked::Whole(length) => Some(length),
                    Chunked::Partial => None,
                    Chunked::Broken => {
                        this.is_exact = false;
                        None
                    }
                },
            };
            this.judged.push(Ok(canonical));
            let Some(body) = body else {
                this.passed.extend_from_slice(rest);
                return this;
            };
            this.passed.extend_from_slice(&rest[..end + body]);
            rest = &rest[end + body..];
        }
    }
}

enum Chunked {
    Whole(usize),
    Partial,
    Broken,
}

/// Where a chunked body ends, by RFC 9112 section 7.1 to the letter. What is long or odd counts as broken: then less is asked of the reader.
fn chunked(bytes: &[u8]) -> Chunked {
    let mut at = 0;
    loop {
        let size = match line(&bytes[at..], is_size) {
            Ok(line) => line,
            Err(why) => return why,
        };
        at += size.len() + 2;
        let digits = size.split(|byte| *byte == b';').next().unwrap_or_default();
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok());
        match number {
            None => return Chunked::Broken,
            Some(0) => break,
            Some(number) => match bytes.get(at..).filter(|rest| rest.len() >= number) {
                None => return Chunked::Partial,
                Some(rest) => match &rest[number..] {
                    [b'\r', b'\n', ..] => at += number + 2,
                    [] | [b'\r'] => return Chunked::Partial,
                    _ => return Chunked::Broken,
                },
            },
        }
    }
    let trailers = at;
    loop {
        if at > trailers + LONG {
            return Chunked::Broken;
        }
        match line(&bytes[at..], is_trailer) {
            Ok([]) => return Chunked::Whole(at + 2),
            Ok(trailer) => at += trailer.len() + 2,
            Err(why) => return why,
        }
    }
}

/// A line that is longer may be too long for the reader.
const LONG: usize = 100;

/// The next line without its end, if it is one by `is_one`; else whether it may still become one.
fn line(bytes: &[u8], is_one: fn(&[u8], bool) -> bool) -> Result<&[u8], Chunked> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    let whole = !rest.is_empty();
    match rest {
        _ if text.len() > LONG || !is_one(text, whole) => Err(Chunked::Broken),
        [b'\r', b'\n', ..] => Ok(text),
        [] | [b'\r'] => Err(Chunked::Partial),
        _ => Err(Chunked::Broken),
    }
}

/// Digits, and perhaps an extension.
fn is_size(text: &[u8], whole: bool) -> bool {
    let mut parts = text.splitn(2, |byte| *byte == b';');
    let digits = parts.next().unwrap_or_default();
    let fine = digits.len() <= 15 && digits.iter().all(u8::is_ascii_hexdigit) && (!whole || !digits.is_empty());
    fine && parts.next().is_none_or(|extension| !digits.is_empty() && is_text(extension))
}

/// Nothing, or a name, a colon and a value.
fn is_trailer(text: &[u8], whole: bool) -> bool {
    let mut parts = text.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    let named = name.iter().all(|byte| matches!(byte, b'!'..=b'~'));
    match parts.next() {
        Some(value) => named && !name.is_empty() && is_text(value),
        None => named && (!whole || text.is_empty()),
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// When the requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    AtOnce,
    /// When nothing more is read.
    Late,
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    passed: Vec<u8>,
    judged: Vec<Result<Canonical, Flaw>>,
}

/// Reads to the end what the HTTP library would.
fn pass(sent: &[u8], piece: usize, space: usize, answers: Answers) -> Outcome {
    let conversation = Arc::new(Conversation::default());
    let mut stream = Stream::new(Pieces::of(sent, piece), Arc::clone(&conversation), LIMITS, NEVER, Instant::now());
    let mut outcome = Outcome {
        passed: Vec::new(),
        judged: Vec::new(),
    };
    let mut room = vec![0; space];
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        let read = Pin::new(&mut stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        outcome.passed.extend_from_slice(buffer.filled());
        let mut answered = 0;
        if answers == Answers::AtOnce || read.is_pending() {
            while let Some(judged) = conversation.next_head() {
                outcome.judged.push(judged);
                drop(Owed::new(Arc::clone(&conversation)));
                answered += 1;
            }
        }
        match read {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => break,
            // A body whose chunks cannot be read ends all that is read.
            Poll::Ready(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "the socket never fails: {error}");
                break;
            }
            Poll::Ready(Ok(())) => {}
            Poll::Pending if answered == 0 => break,
            Poll::Pending => {}
        }
    }
    outcome.judged.extend(std::iter::from_fn(|| conversation.next_head()));
    outcome
}

/// Lets the HTTP library serve the connection: it never sees a request that was not judged.
fn serve(sent: &[u8], piece: usize) {
    let conversation = Arc::new(Conversation::default());
    let stream = Stream::new(Pieces::of(sent, piece), Arc::clone(&conversation), LIMITS, NEVER, Instant::now());
    let broken: Mutex<Option<String>> = Mutex::new(None);
    let served = AtomicUsize::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        let conversation = Arc::clone(&conversation);
        let (broken, served) = (&broken, &served);
        async move {
            served.fetch_add(1, Ordering::Relaxed);
            let owed = Owed::new(Arc::clone(&conversation));
            if let Err(law) = was_judged(request, conversation.next_head()).await {
                broken.lock().unwrap().get_or_insert(law);
            }
            drop(owed);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .max_buf_size(8192)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut quiet = 0;
    while quiet < 3 {
        let before = served.load(Ordering::Relaxed);
        if connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            break;
        }
        quiet = if served.load(Ordering::Relaxed) == before { quiet + 1 } else { 0 };
    }
    if let Some(law) = broken.lock().unwrap().take() {
        panic!("{law}: {:?}", String::from_utf8_lossy(sent));
    }
}

async fn was_judged(request: Request<Incoming>, judged: Option<Result<Canonical, Flaw>>) -> Result<(), String> {
    let host = request
        .headers()
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let shown = format!("{request:?}");
    let canonical = match judged {
        None => return Err(format!("not judged: {shown}")),
        Some(Err(_)) if host == "refused" && request.uri() == "/" => return Ok(()),
        Some(Err(flaw)) => return Err(format!("{flaw:?}, and yet it came through: {shown}")),
        Some(Ok(canonical)) => canonical,
    };
    if Host::of(&host) != canonical.host {
        return Err(format!("judged as {}: {shown}", canonical.host));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes().len() as u64);
    match (canonical.framing, body) {
        (Framing::Length(length), Ok(body)) if length != body => Err(format!("{body} bytes came through: {shown}")),
        (Framing::Empty, Ok(1..)) => Err(format!("a body came through: {shown}")),
        _ => Ok(()),
    }
}

/// A socket whose bytes come in pieces, never late, and that takes everything.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    fn of(sent: &[u8], piece: usize) -> Self {
        Self(sent.chunks(piece).map(<[u8]>::to_vec).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(out.remaining()));
            out.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
