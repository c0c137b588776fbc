//! The answer: what is decided, and the one reason for it under a stable code.

use std::sync::Arc;
use std::time::Duration;

use crate::model::name::{IpPatternName, RoleName, ServiceName, TeamName, WindowName};
use crate::model::role::{Permission, SignInMethod, words};
use std::fmt;

use super::application::{Application, BodyLimit, Guard, Rule, Timeouts};
use super::condition::GroupMatch;
use super::definitions::Limit;
use super::facts::PathFlaw;
use super::headers::Told;
use super::subject::Held;

words!(
    /// What becomes of a request. Later in this list is better for whoever asks.
    Verdict {
        /// The request has no safe reading.
        BadRequest = "bad-request",
        /// Nothing is there.
        NotFound = "not-found",
        /// No.
        Deny = "deny",
        /// Too many requests; only the gateway says so.
        TooMany = "too-many",
        /// Sign in first, or in another way.
        SignIn = "sign-in",
        /// Sign in again, or show a second factor.
        StepUp = "step-up",
        /// Yes.
        Allow = "allow",
    }
);

/// Why. One variant for each code of `POLICY.md` section 7 that a decision can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason<'p> {
    /// The path is public.
    PublicPath,
    /// Everything asked for is there.
    RequirementMet,
    /// No application is there; whether one has at least the host.
    NoApp {
        /// False: no application has this host, which is answered 421.
        host_known: bool,
    },
    /// The path has no safe reading.
    PathAmbiguous(PathFlaw),
    /// A rule says nobody, or the application closes what no rule names.
    PathDenied,
    /// The path's rules name other methods.
    MethodNotListed,
    /// A guard.
    Guard(&'p Guard),
    /// None of the person's memberships counts from here: the patterns they are bound to.
    IpUser(Vec<IpPatternName>),
    /// The application is not open to this address: its patterns.
    IpApp(&'p [IpPatternName]),
    /// A requirement asks for another address.
    IpRule(Vec<IpPatternName>),
    /// The service may not come from here.
    IpService(ServiceName),
    /// Nobody is signed in.
    NoSession,
    /// The account or service is not in use.
    Account,
    /// The session was made in a way that is not accepted here.
    Method {
        /// Ways that would be accepted; empty if only another provider would.
        accepted: Vec<SignInMethod>,
    },
    /// A second factor is missing.
    MfaNeeded,
    /// The sign-in is too old.
    SessionTooOld {
        /// It must be younger than this.
        max_age: Duration,
    },
    /// The session was unused for too long.
    SessionUnused {
        /// It must have been unused for less than this.
        idle: Duration,
    },
    /// The person was not given the application.
    NotAssigned,
    /// A role is missing: one of these.
    RoleMissing(Vec<RoleName>),
    /// A permission is missing: one of these.
    PermissionMissing(Vec<Permission>),
    /// Not in the team: one of these.
    TeamMissing(Vec<TeamName>),
    /// The provider did not report the group: one of these.
    GroupMissing(Vec<GroupMatch>),
    /// Not the service: one of these.
    ServiceMissing(Vec<ServiceName>),
    /// Something else that was asked for.
    ConditionMissing,
    /// Not now: one of these windows.
    OutsideWindow(Vec<WindowName>),
    /// A rate limit is used up; only the gateway says so.
    Rate,
    /// The identity headers do not fit their budget, or hold what they may not.
    HeaderOverflow,
}

impl Reason<'_> {
    /// Its stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PublicPath => "public-path",
            Self::RequirementMet => "requirement-met",
            Self::NoApp { .. } => "no-app",
            Self::PathAmbiguous(_) => "path-ambiguous",
            Self::PathDenied => "path-denied",
            Self::MethodNotListed => "method-not-listed",
            Self::Guard(_) => "guard",
            Self::IpUser(_) => "ip-user",
            Self::IpApp(_) => "ip-app",
            Self::IpRule(_) => "ip-rule",
            Self::IpService(_) => "ip-service",
            Self::NoSession => "no-session",
            Self::Account => "account",
            Self::Method { .. } => "method",
            Self::MfaNeeded => "mfa-needed",
            Self::SessionTooOld { .. } | Self::SessionUnused { .. } => "session-too-old",
            Self::NotAssigned => "not-assigned",
            Self::RoleMissing(_) => "role-missing",
            Self::PermissionMissing(_) => "permission-missing",
            Self::TeamMissing(_) => "team-missing",
            Self::GroupMissing(_) => "group-missing",
            Self::ServiceMissing(_) => "service-missing",
            Self::ConditionMissing => "condition-missing",
            Self::OutsideWindow(_) => "outside-window",
            Self::Rate => "rate",
            Self::HeaderOverflow => "header-overflow",
        }
    }
}

impl Reason<'_> {
    /// What would have been enough, in names: for logs and programs, not for people.
    #[must_use]
    pub fn need(&self) -> Vec<String> {
        fn names<T: ToString>(list: &[T]) -> Vec<String> {
            list.iter().map(ToString::to_string).collect()
        }
        match self {
            Self::IpUser(patterns) | Self::IpRule(patterns) => names(patterns),
            Self::IpApp(patterns) => names(patterns),
            Self::Method { accepted } => names(accepted),
            Self::RoleMissing(roles) => names(roles),
            Self::PermissionMissing(permissions) => names(permissions),
            Self::TeamMissing(teams) => names(teams),
            Self::GroupMissing(groups) => groups.iter().map(|one| format!("{}:{}", one.source, one.group)).collect(),
            Self::ServiceMissing(services) => names(services),
            Self::OutsideWindow(windows) => names(windows),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What holds for carrying the request, after rules have had their say over the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Time limits.
    pub timeouts: Timeouts,
    /// Body limit.
    pub max_body: BodyLimit,
    /// Whether an upgrade may pass.
    pub websocket: bool,
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    /// What is decided.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason<'p>,
    /// The application, if one is there.
    pub application: Option<&'p Application>,
    /// The rules that spoke; several when patterns tie.
    pub rules: Vec<&'p Rule>,
    /// Named here, spent by the gateway. Only of an [`Verdict::Allow`].
    pub limits: Vec<&'p Limit>,
    /// How to carry the request. Only of an [`Verdict::Allow`].
    pub terms: Option<Terms>,
    /// What the person holds, as far as it was looked at.
    pub held: Option<Arc<Held>>,
    /// The identity headers to send; empty values where nobody is identified. Only of an [`Verdict::Allow`].
    pub told: Option<Arc<Told>>,
}
