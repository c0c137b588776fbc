//! The path of a request to an application: who asks, whether they may, and the bytes both ways.

pub mod admit;
pub mod assertion;
pub mod authenticate;
pub mod body;
pub mod client_ip;
pub mod conversation;
pub mod cookies;
pub mod facts;
mod forward;
pub mod identity_headers;
pub mod limits;
pub mod refuse;
mod upgrade;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderValue, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::app::open::{Moment, Ticket, Why};
use crate::app::refusal::{Refusal, RefusalKind};
use crate::app::{App, Live};
use crate::audit::trace::Trace;
use crate::model::id::DecisionId;
use crate::model::name::ApplicationName;
use crate::model::principal::Principal;
use crate::policy;
use crate::policy::decision::{Decision, Verdict};
use crate::policy::protected::ProtectedNames;
use crate::policy::{Application, Memo};
use crate::upstream::{Noted, Tell, Upstreams};

use assertion::Assertions;
use authenticate::Presented;
use body::Body;
use conversation::Conversation;
use facts::Read;
use limits::Buckets;
use refuse::Named;

/// What the gateway remembers between requests.
#[derive(Debug, Default)]
pub struct Gateway {
    upstreams: Upstreams,
    buckets: Buckets,
    assertions: Assertions,
    protected: ArcSwap<HashMap<ApplicationName, Arc<ProtectedNames>>>,
}

impl Gateway {
    /// A gateway to the applications of the rules in force.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let metrics = Arc::clone(&app.metrics);
        let tell = Tell::new(move |application, noted| match noted {
            Noted::Ejected(cause) => metrics.upstream_ejected(application, cause.word()),
            Noted::Out(count) => metrics.set_upstream_out(application, count),
            Noted::Resent => metrics.upstream_resent(application),
        });
        let gateway = Self {
            upstreams: Upstreams::new(tell),
            ..Self::default()
        };
        gateway.adopt(&app.live());
        gateway
    }

    /// Goes by other rules from now on.
    pub fn adopt(&self, live: &Live) {
        let applications = live.policies.applications();
        self.upstreams.adopt(applications.iter());
        self.buckets.keep(&live.policies.definitions().limits);
        let protected = applications
            .iter()
            .map(|application| (application.name.clone(), Arc::new(ProtectedNames::of(application))))
            .collect();
        self.protected.store(Arc::new(protected));
    }

    /// Runs the active checks of upstreams, for ever.
    pub async fn watch(&self) {
        self.upstreams.watch().await;
    }

    fn protected(&self, application: &Application) -> Arc<ProtectedNames> {
        let known = self.protected.load().get(&application.name).map(Arc::clone);
        // A request that took its rules just before a reload may know an application that is gone.
        known.unwrap_or_else(|| Arc::new(ProtectedNames::of(application)))
    }
}

/// A request for an application, as far as it was read.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Its head, as it came.
    pub parts: &'a Parts,
    /// What is known of it.
    pub read: &'a Read,
    /// Who sent it.
    pub presented: Presented,
    /// Its connection.
    pub connection: facts::Connection,
    /// What the connection's socket knows.
    pub conversation: &'a Arc<Conversation>,
    /// A moment before anything of this was found out.
    pub since: Moment,
    /// Is told what becomes of it.
    pub trace: &'a Trace,
}

/// A decision with what names it.
struct Made<'p> {
    decision: Decision<'p>,
    id: DecisionId,
    /// `X-Portcullis-Decision`.
    shown: HeaderValue,
}

/// Judges a request for an application and, if it may, forwards it.
///
/// # Errors
/// The [`Refusal`], if it may not or if the application does not answer.
pub async fn serve(
    app: &Arc<App>,
    live: &Live,
    gateway: &Arc<Gateway>,
    ask: Ask<'_>,
    body: Incoming,
) -> Result<(Response<Body>, ApplicationName), Box<Refusal>> {
    let fresh = Memo::new();
    let memo = ask.presented.caller.as_ref().map_or(&fresh, |caller| caller.memo());
    let principal = ask.presented.principal();
    let made = decide(app, live, gateway, &ask, &principal, memo)?;
    let (Some(application), Some(terms)) = (made.decision.application, made.decision.terms) else {
        return Err(refused(
            &ask,
            RefusalKind::Unavailable {
                retry_after: forward::SOON,
            },
            None,
            None,
        ));
    };
    let forward = forward::Forward {
        app,
        live,
        gateway,
        ask: &ask,
        principal: &principal,
        made: &made,
        application,
        terms,
        ticket: OnceLock::new(),
    };
    match forward::forward(&forward, body).await {
        Ok(answer) => {
            let ticket = forward.ticket.into_inner();
            Ok((answer.map(|body| body.continuing(ticket)), application.name.clone()))
        }
        Err(forward::Failure::Refused(refusal)) => Err(refusal),
        Err(forward::Failure::Cut) => Err(no_longer(app, gateway, &ask, forward.ticket.get())),
    }
}

/// A request whose right has ended while it waited: what it would be told if it came now.
fn no_longer(app: &App, gateway: &Gateway, ask: &Ask<'_>, ticket: Option<&Ticket>) -> Box<Refusal> {
    let live = app.live();
    let principal = ticket.map_or(Principal::Anonymous, Ticket::principal);
    let again = Ask {
        presented: Presented {
            ended: ticket.and_then(Ticket::why) == Some(Why::SessionEnded),
            ..Presented::default()
        },
        ..*ask
    };
    match decide(app, &live, gateway, &again, &principal, &Memo::new()) {
        Err(refusal) => refusal,
        // It was refused a moment ago, and may come again.
        Ok(made) => refused(
            ask,
            RefusalKind::Unavailable {
                retry_after: forward::SOON,
            },
            made.decision.application,
            Some(made.id),
        ),
    }
}

/// Decides, spends limits, logs.
fn decide<'p>(
    app: &App,
    live: &'p Live,
    gateway: &Gateway,
    ask: &Ask<'_>,
    principal: &Principal,
    memo: &Memo,
) -> Result<Made<'p>, Box<Refusal>> {
    let started = Instant::now();
    let decision = policy::decide_remembering(&live.policies, principal, &ask.read.facts, memo);
    let spent = match decision.verdict {
        Verdict::Allow => gateway.buckets.spend(&decision, principal, ask.read.facts.client_ip),
        _ => Ok(()),
    };
    let (verdict, reason) = match spent {
        Ok(()) => (decision.verdict, decision.reason.code()),
        Err(_) => (Verdict::TooMany, "rate"),
    };
    let id = DecisionId::generate(&app.random);
    let generation = live.generation();
    let named = Named {
        decision: id,
        request: ask.read.id,
        generation: Arc::clone(generation),
        verdict,
        reason,
    };
    let application = decision.application.map(|application| &application.name);
    app.metrics.decided(application, verdict.word(), reason);
    ask.trace.decided(application, &ask.parts.method, verdict.word(), reason);
    let took = started.elapsed();
    let checks = refuse::checks(&live.policies, principal, &ask.read.facts, decision.verdict);
    app.decisions
        .note(refuse::record(&decision, &ask.read.facts, principal, named, checks, took));
    if let Err(retry_after) = spent {
        return Err(refused(ask, RefusalKind::TooMany { retry_after }, decision.application, Some(id)));
    }
    if decision.verdict != Verdict::Allow {
        let asked = ask.read.asked(&ask.parts.headers);
        let refusal = refuse::refusal(&live.policies, &live.settings, &decision, principal, asked, id, ask.presented.ended);
        return Err(Box::new(refusal));
    }
    let shown = identity_headers::decision_value(id, &decision, generation);
    Ok(Made { decision, id, shown })
}

fn refused(ask: &Ask<'_>, kind: RefusalKind, application: Option<&Application>, decision: Option<DecisionId>) -> Box<Refusal> {
    Box::new(Refusal {
        kind,
        asked: ask.read.asked(&ask.parts.headers),
        decision,
        application: application.map(|application| crate::app::refusal::ShownApplication {
            name: application.name.clone(),
            title: application.title.as_str().into(),
        }),
    })
}
