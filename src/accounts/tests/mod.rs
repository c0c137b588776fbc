//! What the use cases promise, over a store in memory and a clock that stands still.

mod invitations;
mod mail;
mod promises;
mod sessions;
mod sign_in;
mod tokens;
mod users;

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::*;
use crate::base::seal::MasterKey;
use crate::base::time::{Clock, HOUR, MINUTE};
use crate::model::email::InvalidEmail;
use crate::model::event::Action;
use crate::model::id::UserId;
use crate::model::ip_pattern::{AddressRange, AddressSet};
use crate::model::name::RoleName;
use crate::model::password::{Password, WeakPassword};
use crate::model::session::SessionValue;
use crate::model::token::{InvalidToken, TokenKind, TokenStyle, TokenText};
use crate::model::user::{User, UserStatus};
use crate::policy::definitions::IpPattern;
use crate::policy::{Definitions, PolicySet, RequestFacts};

const PORTAL: &str = "portal.example";
const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.9";
const GOOD: &str = "correct horse battery staple";
const BETTER: &str = "another horse, another battery";

struct House {
    accounts: Arc<Accounts>,
    clock: Clock,
}

impl House {
    fn new() -> Self {
        Self::with(HouseRules::default())
    }

    fn with(rules: HouseRules) -> Self {
        let random = Random::System;
        let keyring = Arc::new(Keyring::new(MasterKey::generate(&random), Vec::new()));
        let passwords = Passwords::start(2, 64, random.clone()).unwrap();
        let clock = Clock::fixed(Timestamp::from_secs(1_900_000_000));
        let store = Store::in_memory(&keyring, &random, clock.now()).unwrap();
        Self {
            accounts: Arc::new(Accounts::new(store, keyring, passwords, rules, random)),
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn facts(&self, from: &str) -> RequestFacts {
        RequestFacts::new(
            Method::POST,
            PORTAL,
            "/.portcullis/sign-in",
            Some(from.parse().unwrap()),
            self.now(),
        )
    }

    async fn add(&self, email: &str, password: Option<&str>) -> Added {
        let outcome = self.try_add(email, None, password).await;
        let AddOutcome::Added(added) = outcome else {
            panic!("{email}: {outcome:?}")
        };
        *added
    }

    async fn try_add(&self, email: &str, username: Option<&str>, password: Option<&str>) -> AddOutcome {
        let new = NewUser {
            email: email.parse().unwrap(),
            username: username.map(|name| name.parse().unwrap()),
            given_name: "Given".parse().unwrap(),
            family_name: "Family".parse().unwrap(),
            role: None,
            team_role: None,
            team: None,
            ip_pattern: None,
            provider: None,
            password: password.map(password_of),
        };
        self.accounts.add_user(new, &Acting::command_line(), self.now()).await.unwrap()
    }

    async fn sign_in_from(&self, name: &str, password: &str, from: &str) -> SignInOutcome {
        let facts = self.facts(from);
        let typed = Credentials {
            name: name.to_owned(),
            password: password_of(password),
            realm: Realm::Unsaid,
            remember: false,
        };
        self.accounts.sign_in(typed, None, &visit(&facts)).await.unwrap()
    }

    async fn sign_in(&self, name: &str, password: &str) -> NewSession {
        let outcome = self.sign_in_from(name, password, HOME).await;
        let SignInOutcome::SignedIn(new) = outcome else {
            panic!("{name}: {outcome:?}")
        };
        *new
    }

    async fn caller(&self, value: &SessionValue) -> Option<Caller> {
        match self.accounts.caller(value, PORTAL, self.now()).await.unwrap() {
            Presented::Live(caller) => Some(caller),
            Presented::Ended => None,
        }
    }

    async fn lives(&self, value: &SessionValue) -> bool {
        self.caller(value).await.is_some()
    }

    async fn register(&self, email: &str, token: &str, password: &str) -> TokenOutcome {
        let facts = self.facts(HOME);
        self.accounts
            .register(form(email, token, password), None, &visit(&facts))
            .await
            .unwrap()
    }

    async fn reset(&self, email: &str, token: &str, password: &str) -> TokenOutcome {
        let facts = self.facts(HOME);
        self.accounts
            .reset(form(email, token, password), None, &visit(&facts))
            .await
            .unwrap()
    }

    async fn ask_reset(&self, email: &str) -> AskOutcome {
        let facts = self.facts(HOME);
        self.accounts.ask_reset(email, &visit(&facts)).await.unwrap()
    }

    async fn shown(&self, user: UserId) -> Vec<ShownToken> {
        self.accounts.live_tokens(user, self.now()).await.unwrap()
    }

    async fn user(&self, id: UserId) -> User {
        self.accounts.user_named(&id.to_string()).await.unwrap().unwrap()
    }
}

fn visit(facts: &RequestFacts) -> Visit<'_> {
    Visit {
        policies: policies(),
        facts,
        agent: "a browser",
        browser: "",
    }
}

fn policies() -> &'static PolicySet {
    static POLICIES: std::sync::OnceLock<PolicySet> = std::sync::OnceLock::new();
    POLICIES.get_or_init(|| PolicySet::compile(Definitions::default().with_built_ins()).unwrap())
}

fn password_of(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn form(email: &str, token: &str, password: &str) -> TokenForm {
    TokenForm {
        email: email.to_owned(),
        token: token.to_owned(),
        new_password: password_of(password),
        names: TypedNames::default(),
    }
}

fn signed_in(outcome: TokenOutcome) -> NewSession {
    match outcome {
        TokenOutcome::SignedIn(new) => *new,
        other => panic!("{other:?}"),
    }
}
