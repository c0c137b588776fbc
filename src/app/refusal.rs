//! A request that does not go through: what is known of it, for the page or the problem document that says so.
//!
//! The gateway finds out, the web draws; neither knows the other, so what they say to each other lives here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};

use crate::config::Settings;
use crate::model::id::{DecisionId, RequestId};
use crate::model::name::ApplicationName;
use crate::policy::PolicySet;
use crate::policy::decision::Reason;
use crate::policy::facts::{Host, Scheme};

/// A refused request, with what its answer may say.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why, as far as the person may know.
    pub kind: RefusalKind,
    /// The request, as far as it could be read.
    pub asked: Asked,
    /// The decision in the log, where there was one.
    pub decision: Option<DecisionId>,
    /// The application, where one is there and is not to be hidden.
    pub application: Option<ShownApplication>,
}

/// What a refusal needs to know of its request: where to come back to, and whether a person reads the answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request's identifier, on every answer.
    pub id: RequestId,
    /// Method.
    pub method: Method,
    /// As far as we can believe it.
    pub scheme: Scheme,
    /// The host asked for, without port; `None` if it could not be read.
    pub host: Option<Host>,
    /// Path and query as sent, `/` if unreadable. To come back to after signing in; never to decide on.
    pub target: Arc<str>,
    /// The client's address, as far as it was believed.
    pub client_ip: Option<IpAddr>,
    /// The request's header fields, for content negotiation.
    pub headers: HeaderMap,
}

/// An application as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownApplication {
    /// Its name, for the figures.
    pub name: ApplicationName,
    /// Its title, for people.
    pub title: Arc<str>,
}

/// Why a request does not go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The head or the path has no safe reading: 400, and the connection closes. Says which part, in words that hold nothing of the request.
    Malformed {
        /// Such as `the path has dot segments`.
        what: &'static str,
    },
    /// Longer than a limit: 414 for the target, 431 for the fields; the connection closes.
    HeadTooLarge {
        /// Whether it was the target.
        target: bool,
    },
    /// A transfer coding or an HTTP feature that is not spoken here: 501, and the connection closes.
    NotImplemented {
        /// Such as `the transfer coding`.
        what: &'static str,
    },
    /// The host is none of ours: 421.
    UnknownHost,
    /// The host is ours, and nothing is at that path; or what is there is hidden: 404.
    NotFound,
    /// It came in clear where `public_url` is https: 308 to the same address over TLS.
    InClear,
    /// A session is needed: 302 or 401.
    SignIn {
        /// The reason's code: `no-session` or `method`.
        reason: &'static str,
        /// A cookie was there, and its session is over.
        ended: bool,
    },
    /// A fresher or stronger sign-in is needed.
    StepUp {
        /// The reason's code: `mfa-needed` or `session-too-old`.
        reason: &'static str,
        /// Whether a second factor is what is missing.
        mfa: bool,
    },
    /// Refused: 403.
    Denied(Denied),
    /// Too many: 429.
    TooMany {
        /// When to come again.
        retry_after: Duration,
    },
    /// The request's body is longer than the application takes: 413.
    BodyTooLarge,
    /// The request's body stopped coming, or was no body: 400 or 408, and the connection closes.
    BodyBroken {
        /// It stalled, rather than being malformed.
        stalled: bool,
    },
    /// The application could not be reached or answered nonsense: 502.
    UpstreamDown,
    /// The application was late: 504.
    UpstreamLate {
        /// Which limit: `connect`, `first_byte`, `idle` or `total`.
        limit: &'static str,
    },
    /// Something of ours cannot answer, so nobody gets in by it: 503.
    Unavailable {
        /// When to come again.
        retry_after: Duration,
    },
}

/// Why somebody was denied, as far as they may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The reason's code.
    pub reason: &'static str,
    /// The title of the IP pattern they are outside of, where `show_pattern_name` lets it be told.
    pub pattern: Option<Arc<str>>,
    /// The titles of what is missing, where `explain_to_users` lets them be told.
    pub missing: Vec<Arc<str>>,
    /// The name they sign in with; none if nobody is signed in.
    pub login: Option<Arc<str>>,
}

impl Denied {
    /// What may be told of a reason: `show_pattern_name` and `explain_to_users` decide how much. Never a rule's or a guard's name.
    #[must_use]
    pub fn of(reason: &Reason<'_>, policies: &PolicySet, settings: &Settings, login: Option<Arc<str>>) -> Self {
        let patterns: &[_] = match reason {
            Reason::IpUser(names) | Reason::IpRule(names) => names,
            Reason::IpApp(names) => names,
            _ => &[],
        };
        let titles: Vec<&str> = patterns
            .iter()
            .map(|name| policies.ip_pattern(name).map_or(name.as_str(), |pattern| &pattern.title))
            .collect();
        let pattern = (settings.show_pattern_name && !titles.is_empty()).then(|| titles.join(", ").into());
        let missing = if settings.explain_to_users {
            missing(reason, policies)
        } else {
            Vec::new()
        };
        Self {
            reason: reason.code(),
            pattern,
            missing,
            login,
        }
    }
}

fn missing(reason: &Reason<'_>, policies: &PolicySet) -> Vec<Arc<str>> {
    let titled = |title: Option<&str>, name: &str| Arc::from(title.unwrap_or(name));
    match reason {
        Reason::RoleMissing(names) => names
            .iter()
            .map(|name| titled(policies.role(name).map(|role| role.title.as_str()), name.as_str()))
            .collect(),
        Reason::TeamMissing(names) => names
            .iter()
            .map(|name| titled(policies.team(name).map(|team| team.title.as_str()), name.as_str()))
            .collect(),
        Reason::PermissionMissing(permissions) => permissions
            .iter()
            .map(|permission| {
                let application = policies.application(&permission.application);
                let known = application.and_then(|application| application.permissions.iter().find(|known| known.name == permission.name));
                titled(known.map(|known| known.title.as_str()), permission.name.as_str())
            })
            .collect(),
        _ => Vec::new(),
    }
}
