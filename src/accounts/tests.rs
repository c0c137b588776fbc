//! What the use cases promise, over a store in memory and a clock that stands still.

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

#[tokio::test]
async fn the_first_account_is_admin_and_no_other() {
    let house = House::new();
    assert!(house.accounts.needs_first_admin().await.unwrap());
    let first = house.add("ada@lab.example", Some(GOOD)).await;
    let second = house.add("bo@lab.example", None).await;
    assert!(first.user.is_active_admin());
    assert!(second.user.roles.is_empty());
    assert_eq!(first.token, None);
    assert_eq!(second.token.unwrap().kind, TokenKind::Registration);
    assert!(!house.accounts.needs_first_admin().await.unwrap());
}

#[tokio::test]
async fn of_many_at_once_there_is_one_first() {
    let house = Arc::new(House::new());
    let mut adding = Vec::new();
    for n in 0..12 {
        let house = Arc::clone(&house);
        adding.push(tokio::spawn(async move { house.add(&format!("u{n}@lab.example"), None).await }));
    }
    let mut admins = 0;
    for added in adding {
        admins += usize::from(!added.await.unwrap().user.roles.is_empty());
    }
    assert_eq!(admins, 1);
}

#[tokio::test]
async fn an_address_and_a_username_are_given_once() {
    let house = House::new();
    house.add("ada@lab.example", None).await;
    assert!(matches!(house.try_add("ADA@lab.example", None, None).await, AddOutcome::EmailTaken));
    assert!(matches!(
        house.try_add("x@lab.example", Some("Ada"), None).await,
        AddOutcome::UsernameTaken
    ));
    let other = house.add("ada@uni.example", None).await;
    assert_eq!(other.user.username.as_str(), "ada-2", "derived names give way");
    assert!(matches!(
        house.try_add("y@lab.example", None, Some("short")).await,
        AddOutcome::Weak(WeakPassword::Short(12))
    ));
}

#[tokio::test]
async fn a_registration_token_completes_the_account_once() {
    let house = House::new();
    let added = house.add("bo@lab.example", None).await;
    let token = added.token.unwrap().text;
    assert!(
        matches!(house.sign_in_from("bo@lab.example", GOOD, HOME).await, SignInOutcome::Wrong),
        "not registered"
    );
    let new = signed_in(
        house
            .register("BO@lab.example", &token.to_lowercase().replace('-', " "), GOOD)
            .await,
    );
    assert!(house.lives(&new.value).await);
    assert_eq!(house.user(added.user.id).await.status, UserStatus::Active);
    assert!(
        matches!(house.register("bo@lab.example", &token, BETTER).await, TokenOutcome::NoMatch),
        "used"
    );
    assert!(
        matches!(house.reset("bo@lab.example", &token, BETTER).await, TokenOutcome::NoMatch),
        "another purpose"
    );
    house.sign_in("bo", GOOD).await;
    assert!(house.shown(added.user.id).await.is_empty());
}

#[tokio::test]
async fn a_token_ends_in_time_and_a_new_one_ends_the_old() {
    let house = House::new();
    let by = Acting::command_line();
    let bo = house.add("bo@lab.example", None).await;
    let old = bo.token.unwrap();
    assert_eq!(old.expires, house.now().after(48 * HOUR));
    let same = house.accounts.token_for(bo.user.id, false, &by, house.now()).await.unwrap();
    assert_eq!(same, TokenFor::Token(old.clone()), "shown again");
    let TokenFor::Token(new) = house.accounts.token_for(bo.user.id, true, &by, house.now()).await.unwrap() else {
        panic!("no token")
    };
    assert_ne!(old.text, new.text);
    assert!(
        matches!(house.register("bo@lab.example", &old.text, GOOD).await, TokenOutcome::NoMatch),
        "replaced"
    );
    house.clock.advance(48 * HOUR);
    assert!(
        matches!(house.register("bo@lab.example", &new.text, GOOD).await, TokenOutcome::NoMatch),
        "too late"
    );
    assert!(house.shown(bo.user.id).await.is_empty());
    let TokenFor::Token(again) = house.accounts.token_for(bo.user.id, false, &by, house.now()).await.unwrap() else {
        panic!("no token")
    };
    signed_in(house.register("bo@lab.example", &again.text, GOOD).await);
}

#[tokio::test]
async fn five_wrong_guesses_lock_a_token_and_nothing_else() {
    let house = House::new();
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    house.ask_reset("bo@lab.example").await;
    let right = house.shown(bo).await.remove(0);
    let wrong = ["0000-0000", "2222-2222"]
        .into_iter()
        .find(|text| *text != right.text && TokenText::parse(text, TokenStyle::Code).is_ok())
        .unwrap();
    for (name, typed) in [("a `!`", "K7QF!2MX"), ("seven symbols", "K7QF-2M"), ("nothing", "")] {
        assert!(
            matches!(house.reset("bo@lab.example", typed, BETTER).await, TokenOutcome::Flawed(_)),
            "{name}"
        );
    }
    assert_eq!(house.shown(bo).await.remove(0).tries_left, 5, "what cannot be a token costs no try");
    for left in (0..5).rev() {
        assert!(matches!(house.reset("bo@lab.example", wrong, BETTER).await, TokenOutcome::NoMatch));
        assert_eq!(house.shown(bo).await.first().map_or(0, |token| token.tries_left), left);
    }
    assert!(
        matches!(house.reset("bo@lab.example", &right.text, BETTER).await, TokenOutcome::NoMatch),
        "locked"
    );
    house.sign_in("bo", GOOD).await;
    house.ask_reset("bo@lab.example").await;
    let again = house.shown(bo).await.remove(0);
    signed_in(house.reset("bo@lab.example", &again.text, BETTER).await);
}

#[tokio::test]
async fn flaws_are_told_all_at_once() {
    let house = House::new();
    let TokenOutcome::Flawed(flaws) = house.register("nobody", "K7QF!2MX", "short").await else {
        panic!("no flaws")
    };
    assert_eq!(flaws.email, Some(InvalidEmail::Format));
    assert_eq!(flaws.token, Some(InvalidToken::Characters));
    assert_eq!(flaws.password, Some(WeakPassword::Short(12)));
    let TokenOutcome::Flawed(flaws) = house.register("a@lab.example", "0000-0000", "password1234").await else {
        panic!("no flaws")
    };
    assert_eq!(flaws.password, Some(WeakPassword::Common));
}

#[tokio::test]
async fn a_reset_signs_in_and_ends_every_other_session() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let before = house.sign_in("ada@lab.example", GOOD).await;
    assert!(house.lives(&before.value).await);
    let asked = house.ask_reset("ada@lab.example").await;
    assert_eq!(asked, AskOutcome::Asked("ada@lab.example".parse().unwrap()));
    assert_eq!(
        house.ask_reset("nobody@lab.example").await,
        AskOutcome::Asked("nobody@lab.example".parse().unwrap())
    );
    let token = house.shown(ada).await.remove(0);
    assert_eq!((token.kind, token.expires), (TokenKind::Reset, house.now().after(60 * MINUTE)));
    house.ask_reset("ada@lab.example").await;
    assert_eq!(house.shown(ada).await, vec![token.clone()], "asking again takes nothing away");
    assert!(
        matches!(house.register("ada@lab.example", &token.text, BETTER).await, TokenOutcome::NoMatch),
        "another purpose"
    );
    let after = signed_in(house.reset("ada@lab.example", &token.text, BETTER).await);
    assert!(house.lives(&after.value).await);
    assert!(!house.lives(&before.value).await);
    assert!(
        matches!(house.sign_in_from("ada", GOOD, HOME).await, SignInOutcome::Wrong),
        "the old password"
    );
    house.sign_in("ada", BETTER).await;
}

#[tokio::test]
async fn four_digits_work_and_the_other_style_that_is_still_out_does_too() {
    let house = House::new();
    let bo = house.add("bo@lab.example", None).await;
    let cy = house.add("cy@lab.example", None).await;
    house.accounts.adopt(HouseRules {
        token_style: TokenStyle::Digits(4),
        ..HouseRules::default()
    });
    let TokenOutcome::Flawed(flaws) = house.register("cy@lab.example", "12!4", GOOD).await else {
        panic!("no flaws")
    };
    assert_eq!(flaws.token, Some(InvalidToken::Characters));
    let TokenOutcome::Flawed(flaws) = house.register("nobody@lab.example", &bo.token.as_ref().unwrap().text, GOOD).await else {
        panic!("no flaws")
    };
    assert!(flaws.token.is_some(), "said of unknown addresses as of wrong tokens");
    signed_in(house.register("bo@lab.example", &bo.token.unwrap().text, GOOD).await);
    let by = Acting::command_line();
    let TokenFor::Token(new) = house.accounts.token_for(cy.user.id, true, &by, house.now()).await.unwrap() else {
        panic!("no token")
    };
    assert_eq!(new.text.len(), 4);
    signed_in(house.register("cy@lab.example", &new.text, GOOD).await);
}

#[tokio::test]
async fn two_tabs_use_one_token_once() {
    for _ in 0..5 {
        let house = Arc::new(House::new());
        let bo = house.add("bo@lab.example", None).await;
        let token = bo.token.unwrap().text;
        let mut tabs = Vec::new();
        for tab in 0..4 {
            let (house, token) = (Arc::clone(&house), token.clone());
            tabs.push(tokio::spawn(async move {
                matches!(
                    house.register("bo@lab.example", &token, &format!("{GOOD} {tab}")).await,
                    TokenOutcome::SignedIn(_)
                )
            }));
        }
        let mut wins = 0;
        for tab in tabs {
            wins += usize::from(tab.await.unwrap());
        }
        assert_eq!(wins, 1);
        assert_eq!(house.accounts.sessions_of(bo.user.id, house.now()).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_storm_of_wrong_tokens_counts_every_one() {
    let house = Arc::new(House::new());
    let bo = house.add("bo@lab.example", None).await;
    let right = bo.token.unwrap().text;
    let mut tabs = Vec::new();
    for _ in 0..12 {
        let house = Arc::clone(&house);
        tabs.push(tokio::spawn(
            async move { house.register("bo@lab.example", "0000-0000", GOOD).await },
        ));
    }
    for tab in tabs {
        assert!(matches!(tab.await.unwrap(), TokenOutcome::NoMatch));
    }
    assert!(
        matches!(house.register("bo@lab.example", &right, GOOD).await, TokenOutcome::NoMatch),
        "locked"
    );
}

#[tokio::test]
async fn sign_in_takes_username_or_address_and_says_one_thing_otherwise() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let by = Acting::command_line();
    assert_eq!(house.accounts.disable(bo, &by, house.now()).await.unwrap(), EditOutcome::Changed);
    for (name, who, password, expected) in [
        ("username", "ada", GOOD, true),
        ("in capitals", " ADA ", GOOD, true),
        ("address", "Ada@Lab.example", GOOD, true),
        ("wrong password", "ada", BETTER, false),
        ("unknown name", "eve", GOOD, false),
        ("unknown address", "eve@lab.example", GOOD, false),
        ("disabled", "bo", GOOD, false),
        ("nothing", "", "", false),
        ("rubbish", "\u{0}'; drop table", GOOD, false),
    ] {
        match house.sign_in_from(who, password, HOME).await {
            SignInOutcome::SignedIn(_) => assert!(expected, "{name}"),
            SignInOutcome::Wrong => assert!(!expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn guesses_are_counted_for_a_name_from_a_network_and_lock_nobody_else_out() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    for (name, who) in [("a name that exists", "ada"), ("one that does not", "eve")] {
        for _ in 0..10 {
            assert!(
                matches!(house.sign_in_from(who, BETTER, HOME).await, SignInOutcome::Wrong),
                "{name}"
            );
        }
        let SignInOutcome::Locked { until } = house.sign_in_from(who, GOOD, HOME).await else {
            panic!("{name} is not locked")
        };
        assert_eq!(until, house.now().after(15 * MINUTE), "{name}");
        assert!(
            matches!(house.sign_in_from(who, GOOD, "192.0.2.200").await, SignInOutcome::Locked { .. }),
            "{name}: the same /24"
        );
    }
    let SignInOutcome::SignedIn(_) = house.sign_in_from("ada", GOOD, ELSEWHERE).await else {
        panic!("she is locked out elsewhere")
    };
    assert_eq!(house.accounts.locks(house.now()).await.unwrap().len(), 2);
    house.clock.advance(15 * MINUTE);
    house.sign_in("ada", GOOD).await;
}

#[tokio::test]
async fn the_right_password_clears_the_count_of_the_name() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    for _ in 0..3 {
        for _ in 0..9 {
            assert!(matches!(house.sign_in_from("ada", BETTER, HOME).await, SignInOutcome::Wrong));
        }
        house.sign_in("ada", GOOD).await;
    }
    let cleared = house.accounts.clear_locks(&Acting::command_line(), house.now()).await.unwrap();
    assert_eq!(cleared, 1, "the network's own count stays");
}

#[tokio::test]
async fn a_network_that_guesses_many_names_has_to_wait_and_right_ones_do_not_count() {
    let rules = HouseRules {
        network_limit: crate::model::attempts::AttemptLimit {
            attempts: 20,
            lock_for: MINUTE,
        },
        ..HouseRules::default()
    };
    let house = House::with(rules);
    house.add("ada@lab.example", Some(GOOD)).await;
    for _ in 0..30 {
        house.sign_in("ada", GOOD).await;
    }
    for n in 0..20 {
        assert!(matches!(
            house.sign_in_from(&format!("name{n}"), BETTER, HOME).await,
            SignInOutcome::Wrong
        ));
    }
    let SignInOutcome::TooMany { until } = house.sign_in_from("ada", GOOD, HOME).await else {
        panic!("not throttled")
    };
    assert_eq!(until, house.now().after(MINUTE));
    assert!(matches!(
        house.register("x@lab.example", "0000-0000", GOOD).await,
        TokenOutcome::TooMany { .. }
    ));
    assert!(matches!(
        house.sign_in_from("ada", GOOD, ELSEWHERE).await,
        SignInOutcome::SignedIn(_)
    ));
}

#[tokio::test]
async fn a_session_ends_idle_absolute_and_when_told() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let idle = house.sign_in("ada", GOOD).await.value;
    let used = house.sign_in("ada", GOOD).await.value;
    for _ in 0..23 {
        house.clock.advance(HOUR);
        assert!(house.lives(&used).await);
    }
    assert!(!house.lives(&idle).await, "unused for two hours");
    house.clock.advance(HOUR);
    assert!(!house.lives(&used).await, "24 hours old");
    let new = house.sign_in("ada", GOOD).await.value;
    let caller = house.caller(&new).await.unwrap();
    let facts = house.facts(HOME);
    house.accounts.sign_out(&caller, &visit(&facts)).await.unwrap();
    assert!(!house.lives(&new).await);
}

#[tokio::test]
async fn a_live_session_is_found_without_the_store() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let value = house.sign_in("ada", GOOD).await.value;
    assert!(house.accounts.remembered(&value, PORTAL, house.now()).is_none(), "not read yet");
    assert!(house.lives(&value).await);
    assert!(house.accounts.remembered(&value, PORTAL, house.now()).is_some());
    assert!(
        house.accounts.remembered(&value, "app.example", house.now()).is_none(),
        "another host"
    );
    let stranger = SessionValue::generate(&Random::System);
    assert!(house.accounts.remembered(&stranger, PORTAL, house.now()).is_none());
}

#[tokio::test]
async fn a_role_counts_from_the_next_request_and_brings_a_new_value() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let value = house.sign_in("bo", GOOD).await.value;
    let caller = house.caller(&value).await.unwrap();
    assert!(caller.identity().roles.is_empty() && !caller.rotate);
    let by = Acting::command_line();
    assert_eq!(
        house.accounts.set_admin(bo, true, &by, house.now()).await.unwrap(),
        EditOutcome::Changed
    );
    assert!(
        house.accounts.remembered(&value, PORTAL, house.now()).is_none(),
        "forgotten at once"
    );
    let caller = house.caller(&value).await.unwrap();
    assert!(caller.identity().roles.contains("admin") && caller.rotate);
    let new = house.accounts.rotate(&caller, house.now()).await.unwrap().unwrap();
    assert!(house.accounts.rotate(&caller, house.now()).await.unwrap().is_none(), "once");
    let old = house.caller(&value).await.unwrap();
    assert!(!old.rotate);
    house.clock.advance(Duration::from_secs(30));
    assert!(!house.lives(&value).await, "30 seconds later");
    let caller = house.caller(&new).await.unwrap();
    assert!(!caller.rotate);
    assert_eq!(
        house.accounts.set_admin(bo, false, &by, house.now()).await.unwrap(),
        EditOutcome::Changed
    );
    let caller = house.caller(&new).await.unwrap();
    assert!(
        caller.identity().roles.is_empty() && !caller.rotate,
        "a role that is lost asks for no new value"
    );
}

#[tokio::test]
async fn the_last_admin_stays() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let by = Acting::command_line();
    for (name, outcome) in [
        ("demote", house.accounts.set_admin(ada, false, &by, house.now()).await.unwrap()),
        ("disable", house.accounts.disable(ada, &by, house.now()).await.unwrap()),
        ("delete", house.accounts.delete(ada, &by, house.now()).await.unwrap()),
    ] {
        assert_eq!(outcome, EditOutcome::LastAdmin, "{name}");
    }
    assert_eq!(
        house.accounts.set_admin(bo, true, &by, house.now()).await.unwrap(),
        EditOutcome::Changed
    );
    let (one, two) = tokio::join!(
        house.accounts.set_admin(ada, false, &by, house.now()),
        house.accounts.set_admin(bo, false, &by, house.now()),
    );
    let mut outcomes = [one.unwrap(), two.unwrap()];
    outcomes.sort_by_key(|outcome| *outcome == EditOutcome::LastAdmin);
    assert_eq!(
        outcomes,
        [EditOutcome::Changed, EditOutcome::LastAdmin],
        "two who are demoted at once"
    );
}

#[tokio::test]
async fn nobody_changes_their_own_role_and_reach_is_kept() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let as_ada = Acting {
        actor: crate::model::event::Actor::User(ada),
        ..Acting::command_line()
    };
    assert_eq!(
        house.accounts.set_admin(ada, false, &as_ada, house.now()).await.unwrap(),
        EditOutcome::Own
    );
    assert_eq!(house.accounts.delete(ada, &as_ada, house.now()).await.unwrap(), EditOutcome::Own);
    let helper = Acting {
        admin: false,
        ..as_ada.clone()
    };
    assert_eq!(
        house.accounts.set_admin(bo, true, &helper, house.now()).await.unwrap(),
        EditOutcome::NotAllowed
    );
    assert_eq!(
        house.accounts.token_for(ada, false, &helper, house.now()).await.unwrap(),
        TokenFor::NotFound,
        "an admin's token"
    );
    let other_team = Acting {
        reach: Reach::Teams(["acme".parse().unwrap()].into()),
        ..helper
    };
    assert_eq!(
        house.accounts.disable(bo, &other_team, house.now()).await.unwrap(),
        EditOutcome::NotFound
    );
    assert!(house.accounts.user(bo, &other_team, house.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn disabling_and_deleting_end_sessions_and_tokens() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let by = Acting::command_line();
    let bo = house.add("bo@lab.example", Some(GOOD)).await.user.id;
    let value = house.sign_in("bo", GOOD).await.value;
    house.ask_reset("bo@lab.example").await;
    let token = house.shown(bo).await.remove(0).text;
    assert!(house.lives(&value).await);
    house.accounts.disable(bo, &by, house.now()).await.unwrap();
    assert!(house.accounts.remembered(&value, PORTAL, house.now()).is_none());
    assert!(!house.lives(&value).await);
    assert!(matches!(house.reset("bo@lab.example", &token, BETTER).await, TokenOutcome::NoMatch));
    assert_eq!(
        house.accounts.token_for(bo, false, &by, house.now()).await.unwrap(),
        TokenFor::Disabled
    );
    house.accounts.enable(bo, &by, house.now()).await.unwrap();
    assert!(!house.lives(&value).await, "what has ended stays ended");
    let value = house.sign_in("bo", GOOD).await.value;
    house.accounts.delete(bo, &by, house.now()).await.unwrap();
    assert!(!house.lives(&value).await);
    assert!(house.accounts.user_named("bo").await.unwrap().is_none());
    house.add("bo@lab.example", None).await;
}

#[tokio::test]
async fn changing_the_password_keeps_this_session_and_ends_the_others() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let here = house.sign_in("ada", GOOD).await.value;
    let there = house.sign_in("ada", GOOD).await.value;
    let caller = house.caller(&here).await.unwrap();
    assert!(house.lives(&there).await);
    let facts = house.facts(HOME);
    let change = |current: &str, new: &str| {
        let (current, new, facts, caller, accounts) = (
            password_of(current),
            password_of(new),
            facts.clone(),
            caller.clone(),
            Arc::clone(&house.accounts),
        );
        async move { accounts.change_password(&caller, current, new, &visit(&facts)).await.unwrap() }
    };
    assert_eq!(change(BETTER, BETTER).await, ChangeOutcome::WrongCurrent);
    assert_eq!(change(GOOD, "short").await, ChangeOutcome::Weak(WeakPassword::Short(12)));
    assert_eq!(change(GOOD, BETTER).await, ChangeOutcome::Changed);
    assert!(house.lives(&here).await);
    assert!(!house.lives(&there).await);
    house.sign_in("ada", BETTER).await;
}

#[tokio::test]
async fn own_sessions_are_listed_and_ended() {
    let house = House::new();
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    house.add("bo@lab.example", Some(GOOD)).await;
    let here = house.sign_in("ada", GOOD).await;
    let there = house.sign_in("ada", GOOD).await;
    let third = house.sign_in("ada", GOOD).await;
    let bos = house.sign_in("bo", GOOD).await;
    let caller = house.caller(&here.value).await.unwrap();
    let facts = house.facts(HOME);
    let lines = house.accounts.own_sessions(&caller, house.now()).await.unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines.iter().filter(|line| line.current).count(), 1);
    assert!(
        house
            .accounts
            .end_own_session(&caller, there.session.id, &visit(&facts))
            .await
            .unwrap()
    );
    assert!(
        !house
            .accounts
            .end_own_session(&caller, bos.session.id, &visit(&facts))
            .await
            .unwrap(),
        "not hers"
    );
    assert!(!house.lives(&there.value).await);
    assert_eq!(house.accounts.end_all_others(&caller, &visit(&facts)).await.unwrap(), 1);
    assert!(house.lives(&here.value).await && !house.lives(&third.value).await && house.lives(&bos.value).await);
    let by = Acting::command_line();
    assert_eq!(house.accounts.end_all_of(ada, &by, house.now()).await.unwrap(), Some(1));
    assert!(!house.lives(&here.value).await);
    assert!(house.accounts.end_session(bos.session.id, &by, house.now()).await.unwrap());
    assert!(!house.lives(&bos.value).await);
}

#[tokio::test]
async fn a_ticket_takes_a_session_to_one_host_once() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let value = house.sign_in("ada", GOOD).await.value;
    let caller = house.caller(&value).await.unwrap();
    let login = house.accounts.begin_login(house.now());
    let stranger = house.accounts.begin_login(house.now());
    let arrive = |ticket: String, host: &'static str, login: Option<login::LoginSecret>| {
        let accounts = Arc::clone(&house.accounts);
        let facts = RequestFacts::new(Method::GET, host, "/.portcullis/callback", None, house.now());
        async move { accounts.redeem_ticket(&ticket, login.as_ref(), &visit(&facts)).await.unwrap() }
    };
    let ticket = || {
        let to = house.accounts.ticket(
            &caller,
            "app.example",
            login.digest(),
            "https://app.example/x".to_owned(),
            house.now(),
        );
        to.unwrap().expose().clone()
    };
    for (name, host, cookie) in [
        ("another host", "other.example", Some(login.clone())),
        ("another browser", "app.example", Some(stranger)),
        ("no cookie", "app.example", None),
    ] {
        assert!(matches!(arrive(ticket(), host, cookie).await, Arrival::Stranger), "{name}");
    }
    let good = ticket();
    let Arrival::Arrived { session, go_on } = arrive(good.clone(), "app.example", Some(login.clone())).await else {
        panic!("it did not arrive")
    };
    assert_eq!(go_on, "https://app.example/x");
    assert!(
        matches!(arrive(good, "app.example", Some(login.clone())).await, Arrival::Stranger),
        "twice"
    );
    let there = house.accounts.caller(&session.value, "app.example", house.now()).await.unwrap();
    assert!(matches!(there, Presented::Live(_)));
    assert!(!house.lives(&session.value).await, "not on the portal");
    let late = ticket();
    house.clock.advance(Duration::from_secs(30));
    assert!(
        matches!(arrive(late, "app.example", Some(login.clone())).await, Arrival::Stranger),
        "too late"
    );
    let facts = house.facts(HOME);
    house.accounts.sign_out(&caller, &visit(&facts)).await.unwrap();
    let there = house.accounts.caller(&session.value, "app.example", house.now()).await.unwrap();
    assert!(matches!(there, Presented::Ended), "signed out everywhere");
}

#[tokio::test]
async fn the_printed_secret_makes_the_first_admin_once() {
    let house = House::new();
    let secret = house.accounts.first_admin_secret().await.unwrap().unwrap();
    let new = |email: &str| NewUser {
        email: email.parse().unwrap(),
        username: None,
        given_name: Default::default(),
        family_name: Default::default(),
        role: None,
        team: None,
        ip_pattern: None,
        provider: None,
        password: Some(password_of(GOOD)),
    };
    let facts = house.facts(HOME);
    let wrong = "A".repeat(43);
    assert!(matches!(
        house
            .accounts
            .make_first_admin(&wrong, new("eve@lab.example"), &visit(&facts))
            .await
            .unwrap(),
        FirstAdminOutcome::Closed
    ));
    let FirstAdminOutcome::Made(added, signed_in) = house
        .accounts
        .make_first_admin(secret.expose(), new("ada@lab.example"), &visit(&facts))
        .await
        .unwrap()
    else {
        panic!("not made")
    };
    assert!(added.user.is_active_admin());
    assert!(matches!(*signed_in, SignInOutcome::SignedIn(_)));
    assert!(matches!(
        house
            .accounts
            .make_first_admin(secret.expose(), new("bo@lab.example"), &visit(&facts))
            .await
            .unwrap(),
        FirstAdminOutcome::Closed
    ));
    assert!(house.accounts.first_admin_secret().await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_is_searched_filtered_and_turned_page_by_page() {
    let house = House::new();
    let by = Acting::command_line();
    for n in 0..25 {
        house.add(&format!("u{n:02}@lab.example"), None).await;
    }
    let list = |filter: Filter, page: Page| {
        let (accounts, by, now) = (Arc::clone(&house.accounts), by.clone(), house.now());
        async move { accounts.list_users(&filter, &page, 10, &by, now).await.unwrap() }
    };
    let mut seen = Vec::new();
    let mut page = Page::First;
    let mut last = None;
    loop {
        let shown = list(Filter::default(), page).await;
        assert_eq!((shown.total, shown.from), (25, seen.len() + 1));
        seen.extend(shown.lines.iter().map(|line| line.user.id));
        last = shown.before.clone().or(last);
        let Some(after) = shown.after else { break };
        page = Page::After(after);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25, "everybody once");
    let before = list(Filter::default(), Page::Before(last.unwrap())).await;
    assert_eq!((before.lines.len(), before.from), (10, 11));
    let found = list(
        Filter {
            text: "U07@".to_owned(),
            ..Filter::default()
        },
        Page::First,
    )
    .await;
    assert_eq!(found.total, 1);
    assert_eq!(found.lines[0].tokens.len(), 1, "with its token");
    let admins = list(
        Filter {
            role: Some("admin".parse().unwrap()),
            status: Some(StatusFilter::Is(UserStatus::Pending)),
            team: Some("main".parse().unwrap()),
            ..Filter::default()
        },
        Page::First,
    )
    .await;
    assert_eq!(admins.total, 1);
    let nobody = list(
        Filter {
            team: Some("acme".parse().unwrap()),
            ..Filter::default()
        },
        Page::First,
    )
    .await;
    assert_eq!((nobody.total, nobody.from, nobody.all), (0, 0, 25));
}

#[tokio::test]
async fn form_values_are_one_for_each_session_and_sign_in() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let one = house.sign_in("ada", GOOD).await.session.id;
    let two = house.sign_in("ada", GOOD).await.session.id;
    let of = |session| house.accounts.csrf_of_session(session);
    assert!(csrf_fits(&of(one), &of(one)));
    assert!(!csrf_fits(&of(one), &of(two)));
    assert!(!csrf_fits(&of(one), ""));
    let login = house.accounts.begin_login(house.now());
    let renewed = login.renewed(house.now().after(MINUTE));
    assert_eq!(house.accounts.csrf_of_login(&login), house.accounts.csrf_of_login(&renewed));
}

#[tokio::test]
async fn keys_are_made_kept_and_published() {
    let house = House::new();
    assert!(house.accounts.signing_key(house.now()).is_none());
    house.accounts.tend_keys(house.now()).await.unwrap();
    let first = house.accounts.signing_key(house.now()).unwrap();
    house.accounts.tend_keys(house.now()).await.unwrap();
    assert_eq!(
        house.accounts.signing_key(house.now()).unwrap().id(),
        first.id(),
        "read again, the same"
    );
    assert!(house.accounts.jwks().contains(first.id()));
    house.clock.advance(29 * 24 * HOUR);
    house.accounts.tend_keys(house.now()).await.unwrap();
    assert_eq!(house.accounts.jwks().matches("\"kid\"").count(), 2, "published ahead");
    assert_eq!(house.accounts.signing_key(house.now()).unwrap().id(), first.id());
    house.clock.advance(24 * HOUR);
    assert_ne!(house.accounts.signing_key(house.now()).unwrap().id(), first.id(), "its turn");
    house.clock.advance(2 * HOUR);
    house.accounts.tend_keys(house.now()).await.unwrap();
    assert!(!house.accounts.jwks().contains(first.id()), "retired");
}

#[tokio::test]
async fn what_a_stranger_can_see_takes_the_same_steps() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let timed = |name: &'static str| {
        let house = &house;
        async move {
            let began = std::time::Instant::now();
            house.sign_in_from(name, BETTER, HOME).await;
            began.elapsed()
        }
    };
    timed("warm").await;
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for _ in 0..8 {
        known = known.min(timed("ada").await);
        unknown = unknown.min(timed("eve").await);
    }
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.5..2.0).contains(&ratio), "known {known:?}, unknown {unknown:?}");
}

#[tokio::test]
async fn the_audit_trail_has_the_first_failure_and_the_lock_and_no_secret() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    for _ in 0..14 {
        house.clock.advance(Duration::from_secs(1));
        house.sign_in_from("ada", BETTER, HOME).await;
    }
    let trail = house.accounts.store.audit(0, 1000).await.unwrap();
    let events: Vec<_> = trail.into_iter().map(|entry| entry.event).collect();
    let count = |action: Action| events.iter().filter(|event| event.action == action).count();
    assert_eq!((count(Action::SignInFailed), count(Action::SignInLocked)), (1, 1));
    let text = serde_json::to_string(&events).unwrap();
    assert!(!text.contains("horse"), "{text}");
}

/// A policy whose one IP pattern `office` is the /24 of [`HOME`].
fn office_policies() -> PolicySet {
    let range = AddressRange::parse("192.0.2.0/24").unwrap();
    let office = IpPattern::plain("office".parse().unwrap(), AddressSet::of([range]));
    let definitions = Definitions {
        ip_patterns: vec![office],
        ..Definitions::default()
    };
    PolicySet::compile(definitions.with_built_ins()).unwrap()
}

#[tokio::test]
async fn an_ip_pattern_refuses_sign_in_registration_and_reset_from_outside_and_spends_no_token() {
    let house = House::new();
    let policies = office_policies();
    house.add("ada@lab.example", Some(GOOD)).await;
    let add = |email: &str, password: Option<&str>, pattern: &str| {
        let new = NewUser {
            email: email.parse().unwrap(),
            username: None,
            given_name: "Bo".parse().unwrap(),
            family_name: "B".parse().unwrap(),
            role: None,
            team: None,
            ip_pattern: Some(pattern.parse().unwrap()),
            provider: None,
            password: password.map(password_of),
        };
        let accounts = Arc::clone(&house.accounts);
        let now = house.now();
        async move {
            match accounts.add_user(new, &Acting::command_line(), now).await.unwrap() {
                AddOutcome::Added(added) => *added,
                other => panic!("{other:?}"),
            }
        }
    };
    let bo = add("bo@lab.example", Some(GOOD), "office").await;
    add("cy@lab.example", Some(GOOD), "lost").await;
    let di = add("di@lab.example", None, "office").await;
    let sign_in = |name: &'static str, password: &'static str, from: &'static str| {
        let (accounts, policies, facts) = (Arc::clone(&house.accounts), &policies, house.facts(from));
        async move {
            let typed = Credentials {
                name: name.to_owned(),
                password: password_of(password),
                realm: Realm::Local,
                remember: false,
            };
            let visit = Visit {
                policies,
                facts: &facts,
                agent: "",
            };
            accounts.sign_in(typed, None, &visit).await.unwrap()
        }
    };
    assert!(matches!(sign_in("bo", GOOD, HOME).await, SignInOutcome::SignedIn(_)));
    assert!(
        matches!(sign_in("bo", BETTER, ELSEWHERE).await, SignInOutcome::Wrong),
        "nothing is told before the password is right"
    );
    let SignInOutcome::Refused(refused) = sign_in("bo", GOOD, ELSEWHERE).await else {
        panic!("not refused")
    };
    let facts = house.facts(ELSEWHERE);
    let standing = crate::policy::house::judge(&policies, &refused.principal, &facts);
    assert_eq!(standing.reason.code(), "ip-user");
    assert!(
        matches!(sign_in("cy", GOOD, HOME).await, SignInOutcome::Refused(_)),
        "a pattern that policy lost contains nothing"
    );
    let outside = Visit {
        policies: &policies,
        facts: &facts,
        agent: "",
    };
    let inside = house.facts(HOME);
    let inside = Visit { facts: &inside, ..outside };
    let token = di.token.unwrap().text;
    let registered = |visit| house.accounts.register(form("di@lab.example", &token, GOOD), None, visit);
    assert!(matches!(registered(&outside).await.unwrap(), TokenOutcome::Refused(_)));
    assert!(
        matches!(registered(&inside).await.unwrap(), TokenOutcome::SignedIn(_)),
        "the token was not spent outside"
    );
    house.ask_reset("bo@lab.example").await;
    let token = house.shown(bo.user.id).await.remove(0).text;
    let reset = |visit| house.accounts.reset(form("bo@lab.example", &token, BETTER), None, visit);
    assert!(matches!(reset(&outside).await.unwrap(), TokenOutcome::Refused(_)));
    assert!(
        matches!(sign_in("bo", GOOD, HOME).await, SignInOutcome::SignedIn(_)),
        "the old password still holds"
    );
    assert!(matches!(reset(&inside).await.unwrap(), TokenOutcome::SignedIn(_)));
}

#[tokio::test]
async fn a_directory_answers_that_it_is_not_available_and_an_unknown_one_nothing() {
    let house = House::new();
    let corp = crate::policy::definitions::Provider {
        name: "corp".parse().unwrap(),
        at: Default::default(),
        formerly: Vec::new(),
        kind: crate::policy::definitions::ProviderKind::Ldap,
        title: "Corp".to_owned(),
        rank: 0,
        team: None,
        email_domains: Vec::new(),
        jit: crate::policy::definitions::Jit::Off,
    };
    let definitions = Definitions {
        providers: vec![corp],
        ..Definitions::default()
    };
    let policies = PolicySet::compile(definitions.with_built_ins()).unwrap();
    let facts = house.facts(HOME);
    for (realm, expected) in [("corp", true), ("other", false), ("No Name!", false)] {
        let typed = Credentials {
            name: "ada".to_owned(),
            password: password_of(GOOD),
            realm: Realm::parse(realm),
            remember: false,
        };
        let visit = Visit {
            policies: &policies,
            facts: &facts,
            agent: "",
        };
        let outcome = house.accounts.sign_in(typed, None, &visit).await.unwrap();
        match outcome {
            SignInOutcome::NotAvailable(failure) => assert!(expected, "{realm}: {failure}"),
            SignInOutcome::Wrong => assert!(!expected, "{realm}"),
            other => panic!("{realm}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_new_sign_in_ends_the_session_the_browser_had() {
    let house = House::new();
    house.add("ada@lab.example", Some(GOOD)).await;
    let first = house.sign_in("ada", GOOD).await.value;
    let caller = house.caller(&first).await.unwrap();
    let facts = house.facts(HOME);
    let typed = Credentials {
        name: "ada".to_owned(),
        password: password_of(GOOD),
        realm: Realm::Unsaid,
        remember: true,
    };
    let SignInOutcome::SignedIn(second) = house.accounts.sign_in(typed, Some(&caller), &visit(&facts)).await.unwrap() else {
        panic!("not signed in")
    };
    assert!(second.session.remember);
    assert!(!house.lives(&first).await && house.lives(&second.value).await);
}

#[tokio::test]
async fn a_flood_of_sign_ins_is_bounded_and_the_refused_cost_no_try() {
    let random = Random::System;
    let keyring = Arc::new(Keyring::new(MasterKey::generate(&random), Vec::new()));
    let now = Timestamp::from_secs(1_900_000_000);
    let store = Store::in_memory(&keyring, &random, now).unwrap();
    let passwords = Passwords::start(1, 4, random.clone()).unwrap();
    let house = Arc::new(House {
        accounts: Arc::new(Accounts::new(store, keyring, passwords, HouseRules::default(), random)),
        clock: Clock::fixed(now),
    });
    house.add("ada@lab.example", Some(GOOD)).await;
    let mut flood = Vec::new();
    for n in 0..60 {
        let house = Arc::clone(&house);
        flood.push(tokio::spawn(
            async move { house.sign_in_from(&format!("name{n}"), GOOD, HOME).await },
        ));
    }
    let mut busy = 0;
    for one in flood {
        busy += usize::from(matches!(one.await.unwrap(), SignInOutcome::Busy));
    }
    assert!(busy >= 50, "{busy} of 60 were told to come again");
    house.sign_in("ada", GOOD).await;
}
