//! The signed assertion: who asks, as a JWT that an application can check without trusting the way it came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use serde::Serialize;

use crate::accounts::SigningKey;
use crate::base::encoding::base64url;
use crate::base::random::Random;
use crate::base::time::Timestamp;
use crate::model::id::{CredentialId, SessionId};
use crate::model::name::ApplicationName;
use crate::model::principal::{Identity, Principal};
use crate::model::role::SignInMethod;
use crate::policy::{Application, Held};

/// How many assertions are kept to be sent again.
const KEPT: usize = 100_000;

/// The claims, in the order of POLICY section 10. `nbf` lies a little back, for applications whose clock runs behind.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    svc: Option<&'a str>,
    teams: Vec<&'a str>,
    roles: Vec<&'a str>,
    permissions: Vec<&'a str>,
    projects: Vec<String>,
    app: &'a str,
    amr: Vec<&'static str>,
    auth_time: i64,
}

/// How long before now an assertion begins to be good.
const SLACK: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asker {
    Session(SessionId),
    Credential(CredentialId),
}

#[derive(Debug)]
struct Kept {
    held: Arc<Held>,
    key: String,
    made: Timestamp,
    fresh_until: Timestamp,
    value: HeaderValue,
}

impl Kept {
    /// One from a time that has not come yet would be refused by the application: the clock was set back.
    fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until && self.made <= now
    }
}

/// Assertions that were made, kept for half their time: a signature costs more than all the rest of a request.
#[derive(Debug, Default)]
pub struct Assertions {
    kept: Mutex<HashMap<(Asker, ApplicationName), Kept>>,
}

/// What an assertion is made of besides the person.
#[derive(Debug)]
pub struct Terms<'a> {
    /// `iss`: the portal's address.
    pub issuer: &'a str,
    /// How long one is good.
    pub ttl: Duration,
    /// The key that signs now.
    pub key: &'a SigningKey,
    /// Now.
    pub now: Timestamp,
    /// For `jti`.
    pub random: &'a Random,
}

impl Assertions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The assertion for an application of a person or service that holds what is given; none for nobody.
    #[must_use]
    pub fn of(&self, principal: &Principal, held: &Arc<Held>, application: &Application, terms: &Terms<'_>) -> Option<HeaderValue> {
        let asker = match principal {
            Principal::Anonymous => return None,
            Principal::User(identity) => Asker::Session(identity.session),
            Principal::Service(service) => Asker::Credential(service.credential),
        };
        let key = (asker, application.name.clone());
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // What is held is one value for as long as nothing changes; a new one makes a new assertion.
            let same = kept
                .get(&key)
                .filter(|kept| Arc::ptr_eq(&kept.held, held) && kept.key == terms.key.id() && kept.is_fresh(terms.now));
            if let Some(same) = same {
                return Some(same.value.clone());
            }
        }
        let claims = serde_json::to_vec(&claims(principal, held, application, terms)?).ok()?;
        let mut value = HeaderValue::from_str(&terms.key.sign(&claims).ok()?).ok()?;
        value.set_sensitive(true);
        let fresh_until = terms.now.after(terms.ttl / 2);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, one| one.is_fresh(terms.now));
            if kept.len() >= KEPT {
                kept.clear();
            }
        }
        kept.insert(
            key,
            Kept {
                held: Arc::clone(held),
                key: terms.key.id().to_owned(),
                made: terms.now,
                fresh_until,
                value: value.clone(),
            },
        );
        Some(value)
    }
}

fn claims<'a>(principal: &'a Principal, held: &'a Held, application: &'a Application, terms: &Terms<'a>) -> Option<Claims<'a>> {
    let (sub, sid, svc, person, auth_time): (_, _, _, Option<&Identity>, _) = match principal {
        Principal::Anonymous => return None,
        Principal::User(identity) => (
            identity.user.to_string(),
            Some(identity.session.to_string()),
            None,
            Some(&**identity),
            identity.signed_in.at,
        ),
        Principal::Service(service) => (
            format!("service:{}", service.name),
            None,
            Some(service.name.as_str()),
            None,
            service.made,
        ),
    };
    let amr = match person {
        Some(identity) => {
            let mut amr = vec![amr(identity.signed_in.method)];
            if identity.signed_in.mfa {
                amr.push("mfa");
            }
            amr
        }
        None => vec![amr(SignInMethod::Service)],
    };
    Some(Claims {
        iss: terms.issuer,
        aud: &application.audience,
        sub,
        iat: terms.now.as_secs(),
        nbf: terms.now.before(SLACK).as_secs(),
        exp: terms.now.after(terms.ttl).as_secs(),
        jti: base64url(&terms.random.bytes::<16>()),
        sid,
        email: person.and_then(|identity| identity.email.as_ref()).map(|email| email.as_str()),
        name: person.map(Identity::display_name),
        login: person.map(|identity| identity.username.as_str()),
        svc,
        teams: held.teams().iter().map(|team| team.as_str()).collect(),
        roles: held.roles().iter().map(|role| role.as_str()).collect(),
        permissions: held
            .permissions()
            .iter()
            .filter(|permission| permission.application == application.name)
            .map(|permission| permission.name.as_str())
            .collect(),
        projects: held
            .projects()
            .iter()
            .map(|project| format!("{}:{}", project.project, project.level))
            .collect(),
        app: application.name.as_str(),
        amr,
        auth_time: auth_time.as_secs(),
    })
}

/// How the person signed in, in the words of RFC 8176 where it has one.
const fn amr(method: SignInMethod) -> &'static str {
    match method {
        SignInMethod::Password => "pwd",
        SignInMethod::Passkey => "swk",
        SignInMethod::Saml => "saml",
        SignInMethod::Ldap => "ldap",
        SignInMethod::Service => "service",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    use serde_json::Value;

    use super::*;
    use crate::accounts::SigningAlgorithm;
    use crate::base::sources::{PolicyTexts, SourceText};
    use crate::model::membership::Membership;
    use crate::model::name::{PersonName, TeamName};
    use crate::model::principal::SignedIn;
    use crate::model::user::UserStatus;
    use crate::policy::{Context, PolicySet, RequestFacts, Verdict, decide_remembering, load};

    const RULES: &str = r#"
[app.lab]
host = "lab.example"
upstream = "http://127.0.0.1:1"
require = { signed_in = true }
permission.edit.title = "Edit"
"#;

    fn policies(now: Timestamp) -> PolicySet {
        let texts = PolicyTexts {
            files: vec![SourceText {
                name: "lab.toml".into(),
                text: RULES.into(),
            }],
            named: BTreeMap::new(),
            strays: Vec::new(),
        };
        load(&texts, &Context::plain("sso.example", now)).unwrap().0
    }

    fn ada(now: Timestamp) -> Principal {
        let user = crate::model::id::UserId::from_number(7);
        let mut membership = Membership::plain(user, TeamName::main());
        membership
            .permissions
            .insert("lab".parse().unwrap(), ["edit".parse().unwrap()].into());
        Principal::User(Arc::new(Identity {
            user,
            username: "ada".parse().unwrap(),
            email: Some("ada@lab.example".parse().unwrap()),
            given_name: "Ada".parse::<PersonName>().unwrap(),
            family_name: PersonName::default(),
            status: UserStatus::Active,
            roles: Default::default(),
            memberships: vec![membership],
            projects: Vec::new(),
            session: SessionId::from_number(1),
            signed_in: SignedIn::by_password(now),
            revision: 1,
        }))
    }

    #[test]
    fn an_application_can_check_what_it_is_told_and_by_whom() {
        let now = crate::base::time::Clock::System.now();
        let policies = policies(now);
        let facts = RequestFacts::new(http::Method::GET, "lab.example", "/", None, now);
        let memo = crate::policy::Memo::new();
        let ada = ada(now);
        let decision = decide_remembering(&policies, &ada, &facts, &memo);
        assert_eq!(decision.verdict, Verdict::Allow);
        let (application, held) = (decision.application.unwrap(), decision.held.unwrap());
        let key = SigningKey::from_pkcs8(
            SigningAlgorithm::Es256,
            SigningKey::generate(SigningAlgorithm::Es256).unwrap().expose(),
        )
        .unwrap();
        let random = Random::seeded(1);
        let at = |now| Terms {
            issuer: "https://sso.example",
            ttl: Duration::from_secs(300),
            key: &key,
            now,
            random: &random,
        };
        let assertions = Assertions::new();
        let first = assertions.of(&ada, &held, application, &at(now)).unwrap();

        let public: Jwk = serde_json::from_value(serde_json::to_value(key.public()).unwrap()).unwrap();
        let mut checks = Validation::new(Algorithm::ES256);
        checks.set_audience(&["https://lab.example/"]);
        checks.set_issuer(&["https://sso.example"]);
        let token = decode::<Value>(first.to_str().unwrap(), &DecodingKey::from_jwk(&public).unwrap(), &checks).unwrap();
        assert_eq!(token.header.kid.as_deref(), Some(key.id()));
        let claims = token.claims;
        assert_eq!(claims["sub"], "u-00000000000000000000000007");
        assert_eq!(
            (&claims["login"], &claims["email"], &claims["app"]),
            (&"ada".into(), &"ada@lab.example".into(), &"lab".into())
        );
        assert_eq!(
            (&claims["permissions"], &claims["amr"]),
            (&serde_json::json!(["edit"]), &serde_json::json!(["pwd"]))
        );
        assert!(claims["roles"].as_array().unwrap().contains(&"user".into()));

        assert_eq!(
            assertions
                .of(&ada, &held, application, &at(now.after(Duration::from_secs(149))))
                .unwrap(),
            first,
            "sent again"
        );
        assert_ne!(
            assertions
                .of(&ada, &held, application, &at(now.after(Duration::from_secs(150))))
                .unwrap(),
            first,
            "half its time is over"
        );
        assert_ne!(
            assertions
                .of(&ada, &held, application, &at(now.before(Duration::from_secs(3600))))
                .unwrap(),
            first,
            "the clock was set back, and an application would find the first one not good yet"
        );
        let changed = decide_remembering(&policies, &ada, &facts, &crate::policy::Memo::new())
            .held
            .unwrap();
        assert_ne!(
            assertions.of(&ada, &changed, application, &at(now)).unwrap(),
            first,
            "something changed"
        );
        assert_eq!(assertions.of(&Principal::Anonymous, &held, application, &at(now)), None);
    }
}
