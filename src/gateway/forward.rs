//! Brings a request that may pass to its application, and the answer back.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::app::open::{End, Kind, Question, Ticket};
use crate::app::refusal::{Refusal, RefusalKind};
use crate::app::{App, Live};
use crate::audit::trace::Attempt;
use crate::model::principal::Principal;
use crate::policy::Application;
use crate::policy::application::{BodyLimit, Target};
use crate::policy::decision::Terms;
use crate::upstream;
use crate::upstream::{Attempts, Fault, Patience, RequestBody, SendError, Sending, Upload, Wanted};

use super::body::Body;
use super::{Ask, Gateway, Made, assertion, identity_headers, refused, upgrade};

/// So many fields of ours come besides those that say who asks: room for them is made at once.
const OURS_AT_MOST: usize = 12;

/// Everything a request is forwarded with.
pub(super) struct Forward<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) live: &'a Live,
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) ask: &'a Ask<'a>,
    pub(super) principal: &'a Principal,
    pub(super) made: &'a Made<'a>,
    pub(super) application: &'a Application,
    pub(super) terms: Terms,
    /// What it is registered as, once it lasts.
    pub(super) ticket: OnceLock<Ticket>,
}

/// Why a request that might pass did not.
pub(super) enum Failure {
    /// With this answer.
    Refused(Box<Refusal>),
    /// Its right ended while it waited for its answer.
    Cut,
}

impl From<Box<Refusal>> for Failure {
    fn from(refusal: Box<Refusal>) -> Self {
        Self::Refused(refusal)
    }
}

impl Forward<'_> {
    pub(super) fn refuse(&self, kind: RefusalKind) -> Box<Refusal> {
        refused(self.ask, kind, Some(self.application), Some(self.made.id))
    }

    /// What an upstream's failure is for the person who waits.
    pub(super) fn failed(&self, error: &SendError) -> Box<Refusal> {
        let kind = match error {
            SendError::Late(limit) => RefusalKind::UpstreamLate { limit },
            SendError::Request(Fault::TooLong) => RefusalKind::BodyTooLarge,
            SendError::Request(fault) => RefusalKind::BodyBroken {
                stalled: *fault == Fault::Stalled || self.ask.conversation.is_stalled(),
            },
            SendError::Unreachable(_) | SendError::NoAnswer(_) | SendError::Unfit(_) | SendError::NoServer | SendError::Cut => {
                RefusalKind::UpstreamDown
            }
        };
        if !matches!(error, SendError::Request(_)) {
            tracing::warn!(
                application = %self.application.name,
                request = %self.ask.read.id,
                error = error as &dyn std::error::Error,
                "not answered by the application"
            );
        }
        self.refuse(kind)
    }

    /// Registers it as something that lasts.
    pub(super) fn register(&self, kind: Kind) -> Ticket {
        let question = Question {
            facts: self.ask.read.facts.clone(),
            stay: self.ask.presented.caller.as_ref().map(|caller| Arc::clone(&caller.stay)),
            application: self.application.name.clone(),
            since: self.ask.since,
        };
        self.app.open.register(kind, question, self.application.recheck)
    }

    /// It waits for its answer: resolves when it may no longer.
    pub(super) fn lasting<'s>(&'s self, upload: Option<&Arc<Upload>>) -> Pin<Box<dyn Future<Output = ()> + Send + 's>> {
        let ticket = self.ticket.get_or_init(|| self.register(Kind::Request));
        if let Some(upload) = upload {
            ticket.also(Arc::clone(upload) as Arc<dyn End>);
        }
        Box::pin(async {
            ticket.cut().await;
        })
    }

    /// Whose request it is, so that `sticky` can bring it to the same server again.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self.principal {
            Principal::User(identity) => identity.user.hash(&mut hasher),
            Principal::Service(service) => service.name.hash(&mut hasher),
            Principal::Anonymous => self.ask.read.facts.client_ip.hash(&mut hasher),
        }
        hasher.finish()
    }

    /// The head as the application gets it: what belongs to the connection and what the client claims left out, ours put in.
    pub(super) fn head(&self) -> Request<()> {
        let parts = self.ask.parts;
        let mut head = Request::new(());
        *head.method_mut() = parts.method.clone();
        *head.uri_mut() = self.target(&parts.uri);
        let headers = head.headers_mut();
        let more = parts.headers.len() + OURS_AT_MOST;
        if let Some(told) = &self.made.decision.told {
            let rules = &self.application.headers;
            let decision = rules.identity.then_some(&self.made.shown);
            let assertion = rules.assertion.then(|| self.assertion().unwrap_or(HeaderValue::from_static("")));
            *headers = identity_headers::identity(told, decision, assertion, more);
        } else {
            headers.reserve(more);
        }
        let origin = identity_headers::Origin {
            client: &self.ask.read.client,
            peer: self.ask.connection.peer,
            scheme: self.ask.read.facts.scheme,
            host: &self.ask.read.authority,
        };
        identity_headers::set_origin(headers, &origin, self.ask.read.id, self.ask.conversation.origin());
        if let Some(host) = self.host() {
            headers.insert(HOST, host);
        }
        if takes_trailers(&parts.headers) {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        identity_headers::pass_on(&parts.headers, headers, &self.gateway.protected(self.application));
        head
    }

    /// The signed assertion of who asks, where the application is told that.
    fn assertion(&self) -> Option<HeaderValue> {
        let held = self.made.decision.held.as_ref().filter(|_| self.application.headers.assertion)?;
        let now = self.ask.read.facts.now;
        let key = self.app.accounts.signing_key(now)?;
        let terms = assertion::Terms {
            issuer: self.live.settings.public_url.origin(),
            ttl: self.live.settings.assertion.ttl,
            key: &key,
            now,
            random: &self.app.random,
        };
        self.gateway.assertions.of(self.principal, held, self.application, &terms)
    }

    fn host(&self) -> Option<HeaderValue> {
        if self.application.preserve_host {
            return HeaderValue::from_str(&self.ask.read.authority).ok();
        }
        let text = match self.application.upstreams.first().map(|server| &server.target)? {
            Target::Unix { .. } => "localhost".to_owned(),
            Target::Tcp { tls, host, port } => {
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.to_string()
                };
                match (tls, port) {
                    (true, 443) | (false, 80) => host,
                    _ => format!("{host}:{port}"),
                }
            }
        };
        HeaderValue::from_str(&text).ok()
    }

    /// The bytes that were judged, less the prefix where the application wants it taken off.
    fn target(&self, uri: &Uri) -> Uri {
        let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let prefix = self.application.path.trim_end_matches('/');
        let rest = match whole.strip_prefix(prefix) {
            Some(rest) if self.application.strip_prefix => rest,
            _ => whole,
        };
        if rest.len() == whole.len() {
            return uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        }
        let rooted = if rest.starts_with('/') {
            rest.to_owned()
        } else {
            format!("/{rest}")
        };
        PathAndQuery::try_from(rooted).map(Uri::from).unwrap_or_default()
    }
}

/// Each time is told to the trace, and to the server as what its own spans are below.
impl Attempts for Forward<'_> {
    type Attempt = Attempt;

    fn begin(&self, number: u32, server: &Target, headers: &mut HeaderMap) -> Attempt {
        self.ask.trace.attempt(number, &self.ask.parts.method, server, headers)
    }

    fn end(&self, attempt: Attempt, outcome: Result<StatusCode, &'static str>) {
        attempt.end(outcome);
    }
}

/// Forwards a request that may pass.
pub(super) async fn forward(forward: &Forward<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let parts = forward.ask.parts;
    if forward.terms.websocket && upgrade::is_asked_for(parts) {
        return upgrade::serve(forward, body).await;
    }
    let most = match forward.terms.max_body {
        BodyLimit::Unlimited => None,
        BodyLimit::Bytes(most) => Some(most),
    };
    if most.is_some_and(|most| declared_length(&parts.headers).is_some_and(|length| length > most)) {
        return Err(forward.refuse(RefusalKind::BodyTooLarge).into());
    }
    let wanted = if is_grpc(parts) { Wanted::Http2 } else { Wanted::Any };
    let limits = &forward.live.settings.limits;
    // A gRPC stream is quiet for as long as there is nothing to say.
    let rate = if wanted == Wanted::Http2 { 0 } else { limits.body_rate };
    let (body, upload) = RequestBody::of(body, most, Patience::new(limits.body_stall, rate));
    let going = upload.clone();
    let how = Sending {
        timeouts: forward.terms.timeouts,
        wanted,
        key: forward.key(),
        upload,
        lasting: &|| forward.lasting(going.as_ref()),
    };
    let started = Instant::now();
    let answer = send(forward, || forward.head(), body, &how).await?;
    forward.app.metrics.upstream_answered(&forward.application.name, started.elapsed());
    let (mut head, body) = answer.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for that.
        tracing::warn!(application = %forward.application.name, "the application switched protocols unasked");
        return Err(forward.refuse(RefusalKind::UpstreamDown).into());
    }
    clean_answer(&mut head.headers);
    head.version = Version::HTTP_11;
    // Words for the status are of no use to anybody, and may be long.
    head.extensions.remove::<hyper::ext::ReasonPhrase>();
    let upload = how.upload.filter(|upload| !upload.has_ended());
    Ok(Response::from_parts(head, Body::upstream(body).await.beside(upload)))
}

pub(super) async fn send(
    forward: &Forward<'_>,
    head: impl Fn() -> Request<()>,
    body: RequestBody,
    how: &Sending<'_>,
) -> Result<Response<upstream::AnswerBody>, Failure> {
    let cluster = forward
        .gateway
        .upstreams
        .cluster(&forward.application.name)
        .ok_or_else(|| forward.failed(&SendError::NoServer))?;
    upstream::send(&cluster, head, body, how, forward)
        .await
        .map_err(|error| match error {
            SendError::Cut | SendError::Request(Fault::Cut) => Failure::Cut,
            error => forward.failed(&error).into(),
        })
}

/// Takes off an answer what belongs to its connection, and cookies of ours that are not the application's to set.
pub(super) fn clean_answer(headers: &mut HeaderMap) {
    // Trailers of answers are kept, and so is the field that announces them.
    let announced: Vec<HeaderValue> = headers.get_all(http::header::TRAILER).iter().cloned().collect();
    identity_headers::remove_hop_by_hop(headers);
    for trailer in announced {
        headers.append(http::header::TRAILER, trailer);
    }
    identity_headers::keep_our_cookies(headers);
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// gRPC is spoken over HTTP/2 only, so an upstream in clear is known to speak it.
fn is_grpc(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    parts.version == Version::HTTP_2 && kind.starts_with(b"application/grpc") && !kind.starts_with(b"application/grpc-web")
}

/// How long a refusal that our own trouble causes lets people wait.
pub(super) const SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http::header::TRAILER;

    use super::*;

    #[test]
    fn every_trailer_that_an_answer_announces_stays_announced() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("grpc-status"));
        headers.append(TRAILER, HeaderValue::from_static("grpc-message, x-sum"));
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("keep-alive"));
        clean_answer(&mut headers);
        assert_eq!(
            headers.get_all(TRAILER).iter().collect::<Vec<_>>(),
            ["grpc-status", "grpc-message, x-sum"]
        );
        assert_eq!(headers.keys_len(), 1);
    }
}
