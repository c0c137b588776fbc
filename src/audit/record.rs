//! What the decision log keeps of a decision: enough to explain it again, and no secret.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Location;
use crate::base::encoding::hex;
use crate::base::secret::sha256;
use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::id::{CredentialId, DecisionId, RequestId, SessionId, UserId};
use crate::model::membership::Membership;
use crate::model::name::{ApplicationName, PersonName, ProviderName, RoleName, ServiceName, Username};
use crate::model::principal::{Identity, Principal, Service, SignedIn};
use crate::model::role::SignInMethod;
use crate::model::team::ProjectLevel;
use crate::model::user::UserStatus;
use crate::policy::facts::{RequestFacts, Via};

/// One decision, as the gateway hands it over. Cheap to make: shared parts are shared.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Names the decision; shown to the person it refused.
    pub id: DecisionId,
    /// The request it was made for.
    pub request_id: RequestId,
    /// When.
    pub at: Timestamp,
    /// The rules it was made by.
    pub generation: Arc<str>,
    /// The word of the verdict.
    pub decision: &'static str,
    /// The code of the reason.
    pub reason: &'static str,
    /// The application, if there is one.
    pub app: Option<ApplicationName>,
    /// What was asked.
    pub request: LoggedRequest,
    /// Who asked.
    pub principal: Principal,
    /// The rule that spoke last, if one did: its name and its place.
    pub rule: Option<(Arc<str>, Location)>,
    /// What was checked of the requirement, in order; may be left empty for what was allowed.
    pub checks: Vec<Check>,
    /// How long judging took, in microseconds.
    pub us: u64,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// `https` or `http`.
    pub scheme: Cow<'static, str>,
    /// Method.
    pub method: Cow<'static, str>,
    /// Host without port.
    pub host: Arc<str>,
    /// Path as sent, without query; absent where only the rule is logged, `sha256:` and a digest where paths are hashed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<Arc<str>>,
    /// The client's address, as far as it was believed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<IpAddr>,
    /// `proxy`, or the front proxy that asked.
    pub via: Cow<'static, str>,
}

impl LoggedRequest {
    /// What facts say was asked. Nothing of them is copied: every request comes here.
    #[must_use]
    pub fn of(facts: &RequestFacts) -> Self {
        Self {
            scheme: Cow::Borrowed(facts.scheme.as_str()),
            method: match facts.method {
                Method::GET => Cow::Borrowed("GET"),
                Method::POST => Cow::Borrowed("POST"),
                Method::HEAD => Cow::Borrowed("HEAD"),
                _ => Cow::Owned(facts.method.as_str().to_owned()),
            },
            host: Arc::clone(facts.host.shared()),
            path: Some(Arc::clone(facts.path.shared())),
            ip: facts.client_ip,
            via: match &facts.via {
                Via::Proxy => Cow::Borrowed("proxy"),
                via @ Via::Peer(_) => Cow::Owned(via.to_string()),
            },
        }
    }
}

/// The rule that spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRule {
    /// Its name, or its path.
    pub name: String,
    /// `file:line:column`.
    pub at: String,
}

impl LoggedRule {
    /// A rule by its name and place.
    #[must_use]
    pub fn new(name: &str, at: &Location) -> Self {
        Self {
            name: name.to_owned(),
            at: at.to_string(),
        }
    }
}

/// One thing that was asked of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Such as `app.require.assigned`.
    pub what: String,
    /// Whether it held.
    pub ok: bool,
    /// What would have been needed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub need: Vec<String>,
}

/// One line of the log: a decision, as POLICY section 7 draws it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Version of this form.
    pub v: u8,
    /// The decision's identifier.
    pub id: DecisionId,
    /// The request's identifier.
    pub request_id: RequestId,
    /// When, RFC 3339.
    pub ts: String,
    /// The rules it was made by.
    pub generation: String,
    /// The word of the verdict.
    pub decision: String,
    /// The code of the reason.
    pub reason: String,
    /// The application, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub app: Option<ApplicationName>,
    /// What was asked.
    pub request: LoggedRequest,
    /// Who asked; absent for nobody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Subject>,
    /// The rule that spoke last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<LoggedRule>,
    /// What was checked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub checks: Vec<Check>,
    /// How long judging took, in microseconds.
    pub us: u64,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `u-…`, or the name of a service.
    pub id: String,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<SessionId>,
    /// How the session was made.
    pub signin: SignInMethod,
    /// Through which provider or directory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idp: Option<ProviderName>,
    /// Seconds since the last full sign-in.
    pub age_s: u64,
    /// Whether a second factor was shown.
    pub mfa: bool,
    /// The line that says what was known of them.
    pub facts: Arc<str>,
}

/// What was known of a person or service when decisions were made: written once, named by many lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsLine {
    /// Version of this form.
    pub v: u8,
    /// Its name: `f-` and a digest of the rest.
    pub facts: String,
    /// The person, or none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<Person>,
    /// The service, or none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<ServiceFacts>,
}

/// What was known of a person. Names are left out: no rule reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    user: UserId,
    username: Username,
    email: Option<EmailAddress>,
    status: UserStatus,
    roles: BTreeSet<RoleName>,
    memberships: Vec<Membership>,
    projects: Vec<ProjectLevel>,
    session: SessionId,
    signed_in: SignedIn,
    revision: u64,
}

/// What was known of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFacts {
    name: ServiceName,
    credential: CredentialId,
    made: Timestamp,
}

impl FactsLine {
    /// What is known of a principal; nothing of nobody.
    #[must_use]
    pub fn of(principal: &Principal) -> Option<Self> {
        let (person, service) = match principal {
            Principal::Anonymous => return None,
            Principal::User(identity) => (Some(Person::of(identity)), None),
            Principal::Service(service) => {
                let facts = ServiceFacts {
                    name: service.name.clone(),
                    credential: service.credential,
                    made: service.made,
                };
                (None, Some(facts))
            }
        };
        let mut line = Self {
            v: 1,
            facts: String::new(),
            person,
            service,
        };
        let bytes = serde_json::to_vec(&line).unwrap_or_default();
        line.facts = format!("f-{}", hex(&sha256(&bytes)).get(..16).unwrap_or_default());
        Some(line)
    }

    /// The principal as it was then.
    #[must_use]
    pub fn to_principal(&self) -> Principal {
        match (&self.person, &self.service) {
            (Some(person), _) => Principal::User(Arc::new(person.to_identity())),
            (None, Some(service)) => Principal::Service(Arc::new(Service {
                name: service.name.clone(),
                credential: service.credential,
                made: service.made,
            })),
            (None, None) => Principal::Anonymous,
        }
    }
}

impl Person {
    fn of(identity: &Identity) -> Self {
        Self {
            user: identity.user,
            username: identity.username.clone(),
            email: identity.email.clone(),
            status: identity.status,
            roles: identity.roles.clone(),
            memberships: identity.memberships.clone(),
            projects: identity.projects.clone(),
            session: identity.session,
            signed_in: identity.signed_in.clone(),
            revision: identity.revision,
        }
    }

    fn to_identity(&self) -> Identity {
        Identity {
            user: self.user,
            username: self.username.clone(),
            email: self.email.clone(),
            given_name: PersonName::default(),
            family_name: PersonName::default(),
            status: self.status,
            roles: self.roles.clone(),
            memberships: self.memberships.clone(),
            projects: self.projects.clone(),
            session: self.session,
            signed_in: self.signed_in.clone(),
            revision: self.revision,
        }
    }
}

impl Line {
    /// The line for a decision; `facts` names what was known of whoever asked.
    #[must_use]
    pub fn of(decided: &Decided, facts: Option<Arc<str>>) -> Self {
        let subject = facts.and_then(|facts| Subject::of(&decided.principal, decided.at, facts));
        Self {
            v: 1,
            id: decided.id,
            request_id: decided.request_id,
            ts: decided.at.to_string(),
            generation: decided.generation.to_string(),
            decision: decided.decision.to_owned(),
            reason: decided.reason.to_owned(),
            app: decided.app.clone(),
            request: decided.request.clone(),
            subject,
            rule: decided.rule.as_ref().map(|(name, at)| LoggedRule::new(name, at)),
            checks: decided.checks.clone(),
            us: decided.us,
        }
    }
}

impl Subject {
    fn of(principal: &Principal, at: Timestamp, facts: Arc<str>) -> Option<Self> {
        match principal {
            Principal::Anonymous => None,
            Principal::User(identity) => Some(Self {
                id: identity.user.to_string(),
                session: Some(identity.session),
                signin: identity.signed_in.method,
                idp: identity.signed_in.provider.clone(),
                age_s: at.since(identity.signed_in.at).as_secs(),
                mfa: identity.signed_in.mfa,
                facts,
            }),
            Principal::Service(service) => Some(Self {
                id: service.name.to_string(),
                session: None,
                signin: SignInMethod::Service,
                idp: None,
                age_s: at.since(service.made).as_secs(),
                mfa: false,
                facts,
            }),
        }
    }
}
