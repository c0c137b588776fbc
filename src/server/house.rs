//! Every request of every listener comes in here, and every answer goes out here.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_TYPE, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::accounts::Caller;
use crate::app::open::{Moment, Question};
use crate::app::refusal::{Asked, Refusal, RefusalKind};
use crate::app::{App, Live};
use crate::audit::trace::Trace;
use crate::base::time::Timestamp;
use crate::config::LoggedPath;
use crate::gateway;
use crate::gateway::admit::{Canonical, Flaw};
use crate::gateway::authenticate::{Presented, authenticate};
use crate::gateway::body;
use crate::gateway::body::Body;
use crate::gateway::client_ip::is_proxy;
use crate::gateway::conversation::{Conversation, Owed};
use crate::gateway::cookies::OurCookies;
use crate::gateway::facts::{Connection, Read};
use crate::gateway::{Ask, Gateway, facts, identity_headers};
use crate::model::id::RequestId;
use crate::model::name::ApplicationName;
use crate::policy::facts::{House as Ours, Scheme};
use crate::web;
use crate::web::cookies::{Cookie, Keep};
use crate::web::view::BASE;
use crate::web::{Visitor, Web};

use super::acme::challenges::Challenges;
use super::listener::head_limits;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What answers requests: applications behind the gateway, and our own pages.
pub struct House {
    /// The shared state.
    pub app: Arc<App>,
    /// The way to applications.
    pub gateway: Arc<Gateway>,
    /// What an authority that looks whether a host is ours is told.
    challenges: Arc<Challenges>,
    web: Web,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("app", &self.app).finish_non_exhaustive()
    }
}

/// An answer with what the figures say of it.
struct Answered {
    response: Response<Body>,
    application: Option<ApplicationName>,
    /// Whether nothing more of this connection can be understood.
    close: bool,
    /// Whether the request was refused, with its body left where it is.
    refused: bool,
}

impl Answered {
    fn ours(response: Response<Bytes>) -> Self {
        Self {
            response: response.map(Body::full),
            application: None,
            close: false,
            refused: false,
        }
    }
}

impl House {
    /// A house that goes by the rules in force.
    #[must_use]
    pub fn new(app: Arc<App>) -> Arc<Self> {
        Self::with_challenges(app, Arc::default())
    }

    /// The same, which also tells an authority what it looks for.
    #[must_use]
    pub fn with_challenges(app: Arc<App>, challenges: Arc<Challenges>) -> Arc<Self> {
        let gateway = Arc::new(Gateway::new(&app));
        Arc::new(Self {
            app,
            gateway,
            challenges,
            web: Web::new(),
        })
    }

    /// Follows the rules when they are replaced, judges again what is open, and checks upstreams, for ever.
    pub async fn attend(&self) {
        let mut replaced = self.app.replacements();
        let follow = async {
            while replaced.changed().await.is_ok() {
                self.gateway.adopt(&self.app.live());
            }
        };
        tokio::join!(follow, self.app.open.attend(&self.app), self.gateway.watch());
    }

    /// Answers one request. A panic costs that request and nothing else.
    pub async fn handle(&self, connection: Connection, conversation: &Arc<Conversation>, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let owed = Owed::new(Arc::clone(conversation));
        let id = RequestId::generate(&self.app.random);
        let method = request.method().clone();
        let version = request.version();
        let trace = self.trace(id, connection, &request);
        let has_body = !request.body().is_end_stream();
        let answering = AssertUnwindSafe(self.answer(id, connection, conversation, &trace, request)).catch_unwind();
        let mut answered = answering.await.unwrap_or_else(|_| {
            self.app.metrics.panicked();
            tracing::error!(request = %id, "a request ended in a panic, which is a fault of portcullis");
            our_fault()
        });
        let headers = answered.response.headers_mut();
        if let Some(id) = identity_headers::request_id(id) {
            headers.insert(X_REQUEST_ID, id);
        }
        // A body that nobody read is in the way of the next request: whoever would send one is told not to (RFC 9112 section 9.6).
        let close = answered.close || answered.refused && has_body;
        if close && version != Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let status = answered.response.status().as_u16();
        self.app
            .metrics
            .answered(answered.application.as_ref(), method.as_str(), status, started.elapsed());
        trace.answered(answered.response.status());
        answered.response.map(|body| body.owing(owed).traced(trace))
    }

    /// Begins the trace of a request, if there are traces. Only a trusted proxy may say which one it belongs to, and so whether it is kept.
    fn trace(&self, id: RequestId, connection: Connection, request: &Request<Incoming>) -> Trace {
        let tracer = &self.app.tracer;
        if !tracer.is_on() {
            return Trace::default();
        }
        let is_believed = is_proxy(connection.peer, &self.app.live().settings.trusted_proxies);
        tracer.begin(id, request.version(), is_believed.then(|| request.headers()))
    }

    async fn answer(
        &self,
        id: RequestId,
        connection: Connection,
        conversation: &Arc<Conversation>,
        trace: &Trace,
        request: Request<Incoming>,
    ) -> Answered {
        let since = self.app.open.moment();
        let now = self.app.clock.now();
        let live = self.app.live();
        let (parts, body) = request.into_parts();
        let canonical = match admitted(&live, conversation, &parts) {
            Ok(canonical) => canonical,
            Err(flaw) => return refuse(&live, &of_flaw(flaw, id, &parts), now),
        };
        if !connection.secure
            && parts.method == Method::GET
            && let Some(text) = self.challenges.text(canonical.host.as_str(), parts.uri.path())
        {
            return Answered::ours(text_for_authority(text));
        }
        let mut read = facts::read(&parts, canonical.host, connection, &live.settings, id, now);
        let whose = read.facts.path.house();
        trace.asked(
            &read.facts,
            whose == Ours::Outside && live.settings.decision_log.path == LoggedPath::Full,
        );
        if whose == Ours::Inside
            && trace.is_recording()
            && let Some(page) = self.web.page(&read.facts)
        {
            trace.for_page(&read.facts.method, page);
        }
        let cookies = OurCookies::read(&parts.headers, live.settings.public_url.is_secure());
        if let Some(kind) = at_the_door(&live, &read, &cookies) {
            return refuse(&live, &plain(kind, &read, &parts), now);
        }
        let presented = authenticate(&self.app.accounts, &cookies, &parts.headers, &read.facts.host, now).await;
        if let Some(caller) = presented.as_ref().ok().and_then(|presented| presented.caller.as_ref()) {
            read.facts.rested = caller.stay.rested();
        }
        if whose == Ours::Inside {
            let asked = read.asked(&parts.headers);
            let visitor = Visitor {
                facts: &read.facts,
                asked: &asked,
                hop: hop(&read),
                // Sessions in memory may go on without the store, but not into our own pages.
                caller: self
                    .app
                    .accounts
                    .health()
                    .and_then(|()| presented.map(|presented| presented.caller)),
            };
            return Answered::ours(self.web.serve(&self.app, &live, visitor, body).await);
        }
        let Ok(presented) = presented else {
            let kind = RefusalKind::Unavailable {
                retry_after: std::time::Duration::from_secs(1),
            };
            return refuse(&live, &plain(kind, &read, &parts), now);
        };
        self.forward(&live, connection, conversation, trace, read, presented, since, &parts, body)
            .await
    }

    #[expect(clippy::too_many_arguments, reason = "what one request consists of")]
    async fn forward(
        &self,
        live: &Live,
        connection: Connection,
        conversation: &Arc<Conversation>,
        trace: &Trace,
        read: Read,
        presented: Presented,
        since: Moment,
        parts: &Parts,
        body: Incoming,
    ) -> Answered {
        let rotate = presented.caller.clone().filter(|caller| caller.rotate);
        let stay = presented.caller.as_ref().map(|caller| Arc::clone(&caller.stay));
        let ask = Ask {
            parts,
            read: &read,
            presented,
            connection,
            conversation,
            since,
            trace,
        };
        match gateway::serve(&self.app, live, &self.gateway, ask, body).await {
            Ok((response, application)) => {
                let recheck = || live.policies.application(&application).map(|application| application.recheck);
                let mut response = response.map(|body| {
                    body.watched(|| body::Asked {
                        open: self.app.open.clone(),
                        question: Question {
                            facts: read.facts,
                            stay,
                            application: application.clone(),
                            since,
                        },
                        recheck: recheck().unwrap_or_default(),
                    })
                });
                if let Some(caller) = rotate {
                    // The answer may have taken its time, and the old value is good for some seconds from now.
                    self.rotate(live, &caller, self.app.clock.now(), response.headers_mut()).await;
                }
                Answered {
                    response,
                    application: Some(application),
                    close: false,
                    refused: false,
                }
            }
            Err(refusal) if of_portal(live, &read) => at_portal(live, *refusal, &read),
            Err(refusal) => refuse(live, &refusal, read.facts.now),
        }
    }

    /// Gives the browser a new value for its session, since its person has gained a role.
    async fn rotate(&self, live: &Live, caller: &Caller, now: Timestamp, headers: &mut HeaderMap) {
        // Where there is none, another answer brings it, or the next one does.
        let Ok(Some(value)) = self.app.accounts.rotate(caller, now).await else {
            return;
        };
        let session = caller.session();
        let keep = if session.remember {
            Keep::For(session.expires.since(now))
        } else {
            Keep::Browser
        };
        if let Some(cookie) = Cookie::Session.set(&value.to_cookie_text(), keep, &live.settings.public_url) {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

/// The key authorization, as RFC 8555 section 8.3 wants it.
fn text_for_authority(text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The judgement of the head: made by the socket for HTTP/1, made here for HTTP/2.
fn admitted(live: &Live, conversation: &Conversation, parts: &Parts) -> Result<Canonical, Flaw> {
    if parts.version == Version::HTTP_2 {
        return facts::admit_http2(parts, &head_limits(&live.settings.limits));
    }
    // A request without a judgement never came through the socket's hands.
    conversation.next_head().unwrap_or(Err(Flaw::RequestLine))
}

/// What is refused whoever asks.
fn at_the_door(live: &Live, read: &Read, cookies: &OurCookies) -> Option<RefusalKind> {
    let portal = &live.settings.public_url;
    let host = &read.facts.host;
    if cookies.twice {
        return Some(RefusalKind::Malformed {
            what: "it carries two cookies of our name",
        });
    }
    if !live.policies.knows_host(host) && host.as_str() != portal.host() {
        return Some(RefusalKind::UnknownHost);
    }
    if read.facts.scheme == Scheme::Http && portal.is_secure() {
        return Some(RefusalKind::InClear);
    }
    None
}

fn of_portal(live: &Live, read: &Read) -> bool {
    read.facts.host.as_str() == live.settings.public_url.host()
}

/// The portal's host is ours even where no application has it: its root leads to the pages where no application owns it.
fn at_portal(live: &Live, mut refusal: Refusal, read: &Read) -> Answered {
    let asks = matches!(read.facts.method, Method::GET | Method::HEAD);
    if asks && read.facts.path.original() == "/" && !live.policies.has_application_for(&read.facts) {
        return Answered::ours(web::answer::found(&format!("{BASE}/")));
    }
    if refusal.kind == RefusalKind::UnknownHost {
        refusal.kind = RefusalKind::NotFound;
    }
    refuse(live, &refusal, read.facts.now)
}

fn of_flaw(flaw: Flaw, id: RequestId, parts: &Parts) -> Refusal {
    let kind = match flaw {
        Flaw::TargetTooLong => RefusalKind::HeadTooLarge { target: true },
        Flaw::TooLarge | Flaw::TooManyFields => RefusalKind::HeadTooLarge { target: false },
        Flaw::Method => RefusalKind::NotImplemented { what: "the method" },
        Flaw::Version => RefusalKind::NotImplemented {
            what: "the version of HTTP",
        },
        Flaw::Late => RefusalKind::BodyBroken { stalled: true },
        flaw => RefusalKind::Malformed { what: flaw.what() },
    };
    Refusal {
        kind,
        asked: Asked {
            id,
            method: Method::GET,
            scheme: Scheme::Https,
            host: None,
            target: "/".into(),
            client_ip: None,
            // Of HTTP/1 these are a stand-in's: nothing of a head that was refused is looked at.
            headers: if parts.version == Version::HTTP_2 {
                parts.headers.clone()
            } else {
                HeaderMap::new()
            },
        },
        decision: None,
        application: None,
    }
}

fn plain(kind: RefusalKind, read: &Read, parts: &Parts) -> Refusal {
    Refusal {
        kind,
        asked: read.asked(&parts.headers),
        decision: None,
        application: None,
    }
}

fn refuse(live: &Live, refusal: &Refusal, now: Timestamp) -> Answered {
    let close = matches!(
        refusal.kind,
        RefusalKind::Malformed { .. }
            | RefusalKind::HeadTooLarge { .. }
            | RefusalKind::NotImplemented { .. }
            | RefusalKind::BodyBroken { .. }
    );
    Answered {
        response: web::refusal::answer(live, refusal, now).map(Body::full),
        application: refusal.application.as_ref().map(|application| application.name.clone()),
        close,
        refused: true,
    }
}

/// The one answer that is made without anything that could fail again.
fn our_fault() -> Answered {
    let mut response = Response::new(Body::full(Bytes::from_static(
        br#"{"type":"about:blank","title":"Internal Server Error","status":500}"#,
    )));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Answered {
        response,
        application: None,
        close: true,
        refused: true,
    }
}

/// Where the client's address was read, in words.
fn hop(read: &Read) -> &'static str {
    match (
        read.client.through_proxy,
        read.client.address.is_some(),
        read.client.chain.is_empty(),
    ) {
        (false, ..) => "the connection itself",
        (true, false, _) => "nowhere: a trusted proxy names a hop that cannot be read",
        (true, true, true) => "the connection of a trusted proxy, which names nobody before it",
        (true, true, false) => "X-Forwarded-For of a trusted proxy",
    }
}
