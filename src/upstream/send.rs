//! One request to one of several servers: on a connection that waits or a new one, again where that is safe.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use crate::policy::application::{Target, Timeouts};

use super::body::{AnswerBody, Fault, InFlight, LASTS, RequestBody, Upload};
use super::connect::{ConnectError, MOST_HEAD, Sender, connect};
use super::pool::Lease;
use super::standing::Cause;
use super::{Cluster, Noted, Server, pool};

/// Which protocol a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whichever the server speaks.
    Any,
    /// HTTP/1.1, to turn the connection into something else.
    Http1,
    /// HTTP/2, as gRPC does.
    Http2,
}

/// Called for a request whose answer does not come at once; what it gives resolves when the request must not go on.
pub type Lasting<'a> = &'a (dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> + Send + Sync + 'a);

/// How a request is to be sent.
pub struct Sending<'a> {
    /// Time limits.
    pub timeouts: Timeouts,
    /// Which protocol.
    pub wanted: Wanted,
    /// Whose request it is, for balancing.
    pub key: u64,
    /// How its body goes, if it has one.
    pub upload: Option<Arc<Upload>>,
    /// Asked once it has waited for [`LASTS`].
    pub lasting: Lasting<'a>,
}

impl std::fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending")
            .field("wanted", &self.wanted)
            .field("upload", &self.upload)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No server could be reached.
    #[error("no server of the application could be reached")]
    Unreachable(#[source] ConnectError),
    /// A server was reached and gave no answer that could be read.
    #[error("the application's server gave no answer that can be read")]
    NoAnswer(#[source] hyper::Error),
    /// Its answer is not one to pass on.
    #[error("the application's server {0}")]
    Unfit(&'static str),
    /// A time limit, by the name it has in policy.
    #[error("the application's server was later than `timeout.{0}` allows")]
    Late(&'static str),
    /// The client's own body was the trouble.
    #[error(transparent)]
    Request(#[from] Fault),
    /// It is no longer allowed, and was ended before the answer came.
    #[error("the request is no longer allowed")]
    Cut,
    /// There is no server.
    #[error("the application has no server")]
    NoServer,
}

/// Whoever looks on while a request is sent, perhaps more than once.
pub trait Attempts {
    /// One time that it is sent; dropped without a word if it is given up half way.
    type Attempt;

    /// It goes to a server now, with these fields; they may be added to. `number` counts from 0.
    fn begin(&self, number: u32, server: &Target, headers: &mut HeaderMap) -> Self::Attempt;

    /// The head of an answer came, or none, with a word for why.
    fn end(&self, attempt: Self::Attempt, outcome: Result<StatusCode, &'static str>);
}

/// Requests that were sent may be sent again while no more than so many are, or a fifth of all that are under way.
const RESENT_ALWAYS: usize = 3;

/// A request that is being sent again, counted while it is.
struct Resending<'a>(&'a Cluster);

impl<'a> Resending<'a> {
    /// If there is room for one more: a server in trouble must not get all of its work twice.
    fn begin(cluster: &'a Cluster) -> Option<Self> {
        let under_way: usize = cluster.servers.iter().map(|server| server.in_flight.load(Ordering::Relaxed)).sum();
        let most = RESENT_ALWAYS.max(under_way / 5);
        let this = Self(cluster);
        (cluster.resending.fetch_add(1, Ordering::Relaxed) < most).then_some(this)
    }
}

impl Drop for Resending<'_> {
    fn drop(&mut self) {
        self.0.resending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends a request, and waits for the head of the answer. `head` makes the request's head, and makes it again should it have to be sent twice.
/// `attempts` is told of each time.
///
/// It goes to another server where nothing of it was sent. One that was sent is sent once more only if its method is safe (RFC 9110 section
/// 9.2.1) and it has no body: on a new connection where one that had waited turned out to be closed, and on another server within the
/// budget. Everything else that breaks off after it was sent may have been done, and is the client's to repeat.
///
/// # Errors
/// [`SendError`], after every server was tried that could be.
pub async fn send(
    cluster: &Arc<Cluster>,
    head: impl Fn() -> Request<()>,
    body: RequestBody,
    how: &Sending<'_>,
    attempts: &impl Attempts,
) -> Result<Response<AnswerBody>, SendError> {
    let total = how.timeouts.total.map(|total| Instant::now() + total);
    let first = head().map(|()| body);
    let safe = is_safe(&first);
    let mut tried: Vec<Arc<Server>> = Vec::new();
    let mut last = SendError::NoServer;
    let mut request = Some(first);
    let mut resending = None;
    let mut number = 0;
    while let Some(server) = cluster.choose(how.key, &tried) {
        let mut stale = false;
        // A stale connection says nothing about its server: a new one is tried on the same.
        while let Some(mut taken) = request.take() {
            let attempt = attempts.begin(number, &server.target, taken.headers_mut());
            number += 1;
            let waiting = if stale { None } else { waiting(&server, how.wanted, safe).await };
            let reused = waiting.is_some();
            let sender = match waiting {
                Some(sender) => sender,
                None => match connect(cluster, &server, how.wanted, how.timeouts.connect).await {
                    Ok(sender) => sender,
                    Err(error) => {
                        tracing::warn!(application = %cluster.name, server = %server.target, error = &error as &dyn std::error::Error, "upstream not reached");
                        cluster.failed(&server, Cause::Unreachable);
                        attempts.end(attempt, Err(unconnected(&error)));
                        last = match error {
                            ConnectError::Late(_) => SendError::Late("connect"),
                            error => SendError::Unreachable(error),
                        };
                        request = Some(taken);
                        break;
                    }
                },
            };
            let may_repeat = safe && if reused { !stale } else { resending.is_none() };
            let again = || may_repeat.then(|| head().map(|()| RequestBody::Empty));
            let outcome = exchange(&server, sender, taken, how, total).await;
            attempts.end(attempt, outcome.as_ref().map(Response::status).map_err(Outcome::word));
            match outcome {
                Ok(answer) => {
                    cluster.answered(&server, answer.status());
                    return Ok(answer);
                }
                Err(Outcome::Cut) => return Err(SendError::Cut),
                Err(Outcome::Unfit(why)) => {
                    cluster.failed(&server, Cause::NoAnswer);
                    return Err(SendError::Unfit(why));
                }
                Err(Outcome::Late(limit)) => {
                    // A request that is still under way may be late because of its client.
                    if how.upload.as_ref().is_none_or(|upload| upload.has_ended()) {
                        cluster.failed(&server, Cause::NoAnswer);
                    }
                    return Err(SendError::Late(limit));
                }
                Err(Outcome::Failed { error, unsent }) => {
                    if let Some(fault) = how.upload.as_ref().and_then(|upload| upload.fault()) {
                        return Err(SendError::Request(fault));
                    }
                    // An answer that cannot be read is an answer: the server has had the request.
                    let unread = error.is_parse();
                    let may_repeat = may_repeat && !unread;
                    let again = || again().filter(|_| !unread);
                    last = SendError::NoAnswer(error);
                    if let Some(unsent) = unsent {
                        request = Some(*unsent);
                    } else if reused {
                        stale = true;
                        request = again();
                    } else if may_repeat {
                        resending = Resending::begin(cluster);
                        request = resending.as_ref().and_then(|_| again());
                    }
                    if !reused {
                        cluster.failed(&server, Cause::NoAnswer);
                        break;
                    }
                    if request.is_some() && stale {
                        cluster.tell(Noted::Resent);
                    }
                }
            }
        }
        tried.push(server);
        if request.is_none() {
            break;
        }
        if resending.is_some() {
            cluster.tell(Noted::Resent);
        }
    }
    Err(last)
}

/// A connection that waits for a request, if there is one that is good for it.
///
/// A request that cannot be repeated takes one only after the runtime has looked whether the other end has closed it, and only one that did
/// not wait for long: servers close those that did, often without a word.
async fn waiting(server: &Arc<Server>, wanted: Wanted, safe: bool) -> Option<Sender> {
    if safe {
        return pool::take(server, wanted, pool::LONGEST_WAIT);
    }
    while let Some(sender) = pool::take(server, wanted, pool::SHORT_WAIT) {
        tokio::task::yield_now().await;
        if !sender.is_closed() {
            return Some(sender);
        }
    }
    None
}

enum Outcome {
    Cut,
    Late(&'static str),
    Unfit(&'static str),
    Failed {
        error: hyper::Error,
        /// The request, if nothing of it was sent.
        unsent: Option<Box<Request<RequestBody>>>,
    },
}

/// One word for whoever looks on, where there is not even a connection.
const fn unconnected(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Late(_) => "timeout",
        _ => "unreachable",
    }
}

impl Outcome {
    /// One word for whoever looks on.
    const fn word(&self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Late(_) => "timeout",
            Self::Unfit(_) => "unfit",
            Self::Failed { .. } => "no-answer",
        }
    }
}

impl From<TrySendError<Request<RequestBody>>> for Outcome {
    fn from(mut error: TrySendError<Request<RequestBody>>) -> Self {
        let unsent = error.take_message().map(Box::new);
        Self::Failed {
            error: error.into_error(),
            unsent,
        }
    }
}

/// Writes a request as HTTP/2 has it: the host in the target, and no field for it.
fn for_http2(request: &mut Request<RequestBody>, target: &Target) {
    *request.version_mut() = Version::HTTP_2;
    let Some(host) = request.headers_mut().remove(HOST) else {
        return;
    };
    let scheme = if matches!(target, Target::Tcp { tls: true, .. }) {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let path = request.uri().path_and_query().cloned();
    let whole = Uri::builder()
        .scheme(scheme)
        .authority(host.as_bytes())
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build();
    if let Ok(whole) = whole {
        *request.uri_mut() = whole;
    }
}

/// Writes it as HTTP/1.1 has it, should it have been meant for HTTP/2 before.
fn for_http1(request: &mut Request<RequestBody>) {
    *request.version_mut() = Version::HTTP_11;
    let Some(authority) = request.uri().authority().cloned() else {
        return;
    };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
}

async fn exchange(
    server: &Arc<Server>,
    sender: Sender,
    mut request: Request<RequestBody>,
    how: &Sending<'_>,
    total: Option<Instant>,
) -> Result<Response<AnswerBody>, Outcome> {
    let in_flight = InFlight::on(Arc::clone(server));
    let (answer, lease): (Response<Incoming>, _) = match sender {
        Sender::Http1(mut sender) => {
            for_http1(&mut request);
            if let Err(error) = sender.ready().await {
                return Err(Outcome::Failed {
                    error,
                    unsent: Some(Box::new(request)),
                });
            }
            let answer = in_time(sender.try_send_request(request), how, total).await??;
            (answer, Some(sender))
        }
        Sender::Http2(mut sender) => {
            for_http2(&mut request, &server.target);
            if let Err(error) = sender.ready().await {
                return Err(Outcome::Failed {
                    error,
                    unsent: Some(Box::new(request)),
                });
            }
            pool::share(server, sender.clone());
            (in_time(sender.try_send_request(request), how, total).await??, None)
        }
    };
    if let Some(why) = unfit(answer.headers(), lease.is_some()) {
        // The connection goes with its sender: what follows on it could be anybody's.
        return Err(Outcome::Unfit(why));
    }
    let lease = lease.map(|sender| Lease::new(sender, how.upload.clone(), answer.headers()));
    Ok(answer.map(|body| AnswerBody::new(body, lease, in_flight, how.timeouts.idle, total)))
}

/// Why an answer is not passed on: a head that is too large, or over HTTP/1 a length that is told in two ways (RFC 9112 section 6.3) or a
/// coding other than chunks.
fn unfit(headers: &HeaderMap, http1: bool) -> Option<&'static str> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > MOST_HEAD {
        return Some("answers with too large a head");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coded = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(only), None) if http1 && only.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Some("answers in a coding that is not `chunked`"),
    };
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    (lengths > 1 || coded && lengths > 0).then_some("says in two ways how long its answer is")
}

/// Waits for the head of an answer: `first_byte` from the end of the request on, `idle` while its body is on its way.
async fn in_time<T>(answer: impl Future<Output = T>, how: &Sending<'_>, total: Option<Instant>) -> Result<T, Outcome> {
    let mut answer = std::pin::pin!(answer);
    let sent = Instant::now();
    let mut now = sent;
    // Asked only of those that last.
    let mut ended = None;
    loop {
        let (due, name) = match &how.upload {
            Some(upload) if !upload.has_ended() => (upload.moved().max(sent) + how.timeouts.idle, "idle"),
            Some(upload) => (upload.moved().max(sent) + how.timeouts.first_byte, "first_byte"),
            None => (sent + how.timeouts.first_byte, "first_byte"),
        };
        let (due, name) = match total {
            Some(total) if total < due => (total, "total"),
            _ => (due, name),
        };
        if now >= due {
            return Err(Outcome::Late(name));
        }
        if now >= sent + LASTS {
            ended.get_or_insert_with(how.lasting);
        }
        // A body that is under way moves its own limit: looked at again from time to time, not with every piece.
        let look = match &how.upload {
            _ if ended.is_none() => due.min(sent + LASTS),
            Some(upload) if !upload.has_ended() => due.min(now + Duration::from_millis(250)),
            _ => due,
        };
        let is_cut = async {
            match &mut ended {
                Some(ended) => ended.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer.as_mut() => return Ok(answer),
            () = is_cut => return Err(Outcome::Cut),
            () = tokio::time::sleep_until(look) => now = Instant::now(),
        }
    }
}

/// RFC 9110 section 9.2.1, and no body that would be gone. A method that is only idempotent is not enough: what somebody else did in
/// between would be undone.
fn is_safe(request: &Request<RequestBody>) -> bool {
    request.body().is_empty() && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
}
