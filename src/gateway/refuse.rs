//! Any other verdict than yes: what the person is told, and the line in the log.

use std::sync::Arc;
use std::time::Duration;

use crate::app::refusal::{Asked, Denied, Refusal, RefusalKind, ShownApplication};
use crate::audit::record::{Check, Decided, LoggedRequest};
use crate::config::Settings;
use crate::model::id::{DecisionId, RequestId};
use crate::model::principal::Principal;
use crate::policy::PolicySet;
use crate::policy::decision::{Decision, Reason, Verdict};
use crate::policy::explain::explain;
use crate::policy::facts::RequestFacts;

/// What a decision that is no `Allow` becomes. `ended` says that a cookie was there whose session is over.
#[must_use]
pub fn refusal(
    policies: &PolicySet,
    settings: &Settings,
    decision: &Decision<'_>,
    principal: &Principal,
    asked: Asked,
    id: DecisionId,
    ended: bool,
) -> Refusal {
    let hidden = decision.verdict == Verdict::Deny && decision.application.is_some_and(|application| application.hide);
    let application = decision.application.filter(|_| !hidden).map(|application| ShownApplication {
        name: application.name.clone(),
        title: application.title.as_str().into(),
    });
    let kind = match decision.verdict {
        Verdict::BadRequest => RefusalKind::Malformed {
            what: "the path can be read in more than one way, or in none",
        },
        Verdict::NotFound => not_found(&decision.reason),
        Verdict::Deny if hidden => RefusalKind::NotFound,
        Verdict::SignIn => RefusalKind::SignIn {
            reason: decision.reason.code(),
            ended,
        },
        Verdict::StepUp => RefusalKind::StepUp {
            reason: decision.reason.code(),
            mfa: matches!(decision.reason, Reason::MfaNeeded),
        },
        Verdict::TooMany => RefusalKind::TooMany {
            retry_after: Duration::from_secs(1),
        },
        // An `Allow` never comes here; if one did, it would be refused.
        Verdict::Deny | Verdict::Allow => {
            let login = match principal {
                Principal::User(identity) => Some(identity.login_name().into()),
                _ => None,
            };
            RefusalKind::Denied(Denied::of(&decision.reason, policies, settings, login))
        }
    };
    Refusal {
        kind,
        asked,
        decision: Some(id),
        application,
    }
}

fn not_found(reason: &Reason<'_>) -> RefusalKind {
    match reason {
        Reason::NoApp { host_known: false } => RefusalKind::UnknownHost,
        _ => RefusalKind::NotFound,
    }
}

/// What was asked of somebody who did not get through, for the log. What was allowed is not explained: that would cost more than deciding.
#[must_use]
pub fn checks(policies: &PolicySet, principal: &Principal, facts: &RequestFacts, verdict: Verdict) -> Vec<Check> {
    if !matches!(verdict, Verdict::Deny | Verdict::StepUp) {
        return Vec::new();
    }
    let explained = explain(policies, principal, facts).checks.into_iter();
    explained
        .map(|check| Check {
            what: check.what,
            ok: check.ok,
            need: check.need,
        })
        .collect()
}

/// What the decision log keeps of a decision.
#[must_use]
pub fn record(
    decision: &Decision<'_>,
    facts: &RequestFacts,
    principal: &Principal,
    named: Named,
    checks: Vec<Check>,
    took: Duration,
) -> Decided {
    Decided {
        id: named.decision,
        request_id: named.request,
        at: facts.now,
        generation: named.generation,
        decision: named.verdict.word(),
        reason: named.reason,
        app: decision.application.map(|application| application.name.clone()),
        request: LoggedRequest::of(facts),
        principal: principal.clone(),
        rule: decision.rules.last().map(|rule| (Arc::clone(&rule.name), rule.at.location.clone())),
        checks,
        us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    }
}

/// The identifiers of a decision, and what became of it once limits had been spent.
#[derive(Clone, Debug)]
pub struct Named {
    /// The decision's.
    pub decision: DecisionId,
    /// The request's.
    pub request: RequestId,
    /// The rules it was made by, as headers show them.
    pub generation: Arc<str>,
    /// The verdict; [`Verdict::TooMany`] where a limit was used up.
    pub verdict: Verdict,
    /// The code of the reason.
    pub reason: &'static str,
}
