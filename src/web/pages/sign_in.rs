//! Signing in, and proving again who one is.

use askama::Template;
use http::StatusCode;

use crate::accounts::{Credentials, Realm, SignInOutcome};
use crate::base::time::{DAY, MINUTE};
use crate::model::role::SignInMethod;
use crate::policy::definitions::ProviderKind;

use super::super::answer::{self, Answer};
use super::super::cookies::{Cookie, Keep};
use super::super::cx::{Cx, Outcome, Stop, fail, minutes_until, retry_after};
use super::super::form::Form;
use super::super::refusal;
use super::super::relative;
use super::super::view::{Frame, Onward};
use super::super::words;
use super::hand_over::{self, Going, Missing, welcome};

/// A provider that people can go to instead of typing a password.
#[derive(Clone, Debug)]
pub struct ProviderButton {
    /// Its name in policy.
    pub name: String,
    /// What its button says.
    pub title: String,
}

/// One of several places that keep passwords.
#[derive(Clone, Debug)]
pub struct RealmChoice {
    /// `local`, or a directory's name.
    pub name: String,
    /// What the choice says.
    pub title: String,
    /// Whether it was the last way in.
    pub chosen: bool,
}

/// The page that asks for name and password.
#[derive(Template)]
#[template(path = "pages/sign-in.html")]
pub struct SignInPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// The title of the application it goes on to.
    pub going_to: Option<String>,
    /// Single sign-on.
    pub providers: Vec<ProviderButton>,
    /// Whether passwords are a way in.
    pub passwords: bool,
    /// The places that keep passwords, where there are several.
    pub realms: Vec<RealmChoice>,
    /// How long a remembered session lasts.
    pub remembered_for: String,
    /// Whether registration tokens are taken.
    pub registration: bool,
}

/// The page that asks for the password again, in a session that goes on.
#[derive(Template)]
#[template(path = "pages/step-up.html")]
pub struct StepUpPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What is wrong with what was typed.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// The title of the application that asks.
    pub going_to: Option<String>,
    /// Who is signed in.
    pub login: String,
}

/// The page that says a second factor is needed and cannot be shown yet.
#[derive(Template)]
#[template(path = "pages/mfa-missing.html")]
pub struct MfaMissingPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The title of the application that asks.
    pub going_to: Option<String>,
    /// Who is signed in.
    pub login: String,
}

/// GET `/sign-in`: the form; or on at once, for who is signed in already.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    if !cx.on_portal() {
        return hand_over::begin(cx);
    }
    let typed = cx.form.has("return-to");
    let going = Going::read(cx, if typed { cx.form.value("return-to") } else { cx.query.value("rd") })?;
    if let Some(begin) = going.to_where_it_begins(cx) {
        return Ok(answer::found(&begin));
    }
    let Some(caller) = cx.caller.clone() else {
        return Ok(cx.page(&sign_in_page(cx, &going)));
    };
    match going.missing(cx, &caller) {
        // A form of before, sent when another tab had signed in: said, and not lost by going on.
        Missing::Nothing if cx.form.failed() => Ok(cx.page(&sign_in_page(cx, &going))),
        Missing::Nothing => going.redirect(cx, &caller),
        Missing::Recent if caller.session().signed_in.method == SignInMethod::Password => Ok(cx.page(&step_up_page(cx, &going))),
        Missing::AnotherWay | Missing::Recent => {
            if !cx.form.failed() {
                let asks = going.title(cx).unwrap_or_else(|| cx.live.settings.site.name.clone());
                cx.form.fail(
                    "",
                    "method",
                    format!("{asks} asks for another way to sign in than the one you used."),
                );
            }
            Ok(cx.page(&sign_in_page(cx, &going)))
        }
        Missing::SecondFactor => Ok(cx.page(&MfaMissingPage {
            frame: cx.frame(),
            going_to: going.title(cx),
            login: cx.login_name(),
        })),
    }
}

/// POST `/sign-in`: name and password, or a provider's button.
pub async fn submit(cx: &mut Cx<'_>) -> Outcome {
    let going = Going::read(cx, cx.form.value("return-to"))?;
    let password = cx.form.take_password("password");
    if cx.form.has("idp") {
        return Ok(not_taken(cx, &going, StatusCode::NOT_IMPLEMENTED, "", words::NOT_AVAILABLE));
    }
    let realm = cx.form.value("realm").to_owned();
    let typed = Credentials {
        name: cx.form.value("username").to_owned(),
        password,
        realm: Realm::parse(&realm),
        remember: cx.form.has("remember"),
    };
    let now = cx.facts.now;
    let outcome = cx.app.accounts.sign_in(typed, cx.caller.as_ref(), &cx.visit()).await?;
    cx.app.metrics.signed_in("password", word_for(&outcome));
    match outcome {
        SignInOutcome::SignedIn(session) => {
            let mut answer = welcome(cx, &session, &going).await?;
            cx.add_cookie(&mut answer, Cookie::Realm, realm_to_keep(&realm), Keep::For(365 * DAY));
            Ok(answer)
        }
        SignInOutcome::Wrong => Ok(not_taken(cx, &going, StatusCode::UNAUTHORIZED, "username", words::SIGN_IN_FAILED)),
        SignInOutcome::Locked { until } => {
            cx.form.fail("", "locked", words::locked(minutes_until(until, now)));
            let answer = again(cx, &going, StatusCode::TOO_MANY_REQUESTS);
            Ok(retry_after(answer, until, now))
        }
        SignInOutcome::TooMany { until } => {
            let answer = not_taken(cx, &going, StatusCode::TOO_MANY_REQUESTS, "", words::RATE_LIMITED);
            Ok(retry_after(answer, until, now))
        }
        SignInOutcome::Busy => {
            let answer = not_taken(cx, &going, StatusCode::SERVICE_UNAVAILABLE, "", words::BUSY);
            Ok(retry_after(answer, now.after(MINUTE), now))
        }
        SignInOutcome::NotAvailable(_) => {
            let answer = not_taken(cx, &going, StatusCode::SERVICE_UNAVAILABLE, "", words::NOT_AVAILABLE);
            Ok(retry_after(answer, now.after(MINUTE), now))
        }
        SignInOutcome::Refused(refused) => Err(Stop::Answer(Box::new(refusal::at_the_door(cx, &refused)))),
    }
}

/// What came of it, for the figures.
#[must_use]
pub const fn word_for(outcome: &SignInOutcome) -> &'static str {
    match outcome {
        SignInOutcome::SignedIn(_) => "ok",
        SignInOutcome::Wrong => "wrong",
        SignInOutcome::Locked { .. } => "locked",
        SignInOutcome::TooMany { .. } => "rate",
        SignInOutcome::Busy => "busy",
        SignInOutcome::NotAvailable(_) => "not-available",
        SignInOutcome::Refused(_) => "refused",
    }
}

fn not_taken(cx: &mut Cx<'_>, going: &Going, status: StatusCode, field: &'static str, message: words::Message) -> Answer {
    fail(&mut cx.form, field, message);
    again(cx, going, status)
}

/// The form again: the one that asks for the password alone, for who was proving again who they are.
fn again(cx: &Cx<'_>, going: &Going, status: StatusCode) -> Answer {
    let steps_up = cx
        .caller
        .as_ref()
        .is_some_and(|caller| going.missing(cx, caller) == Missing::Recent && cx.form.value("username") == cx.login_name());
    if steps_up {
        cx.not_taken(status, &step_up_page(cx, going))
    } else {
        cx.not_taken(status, &sign_in_page(cx, going))
    }
}

fn step_up_page(cx: &Cx<'_>, going: &Going) -> StepUpPage {
    StepUpPage {
        frame: cx.frame(),
        form: cx.form.clone(),
        onward: going.onward(cx),
        going_to: going.title(cx),
        login: cx.login_name(),
    }
}

fn sign_in_page(cx: &Cx<'_>, going: &Going) -> SignInPage {
    let rules = cx.app.accounts.rules();
    let methods = &cx.live.policies.signin().accepted.methods;
    let listed = |kind: ProviderKind, method: SignInMethod| {
        let mut found: Vec<_> = cx
            .live
            .policies
            .definitions()
            .providers
            .iter()
            .filter(|provider| provider.kind == kind && methods.contains(&method))
            .collect();
        found.sort_by(|one, other| (one.rank, &one.title).cmp(&(other.rank, &other.title)));
        found
    };
    let directories = listed(ProviderKind::Ldap, SignInMethod::Ldap);
    let last = Cookie::Realm.read(cx.headers(), cx.portal()).unwrap_or("local").to_owned();
    let known = |name: &str| directories.iter().any(|directory| directory.name.as_str() == name);
    let chosen = if known(&last) { last.as_str() } else { "local" };
    let local = rules.passwords.then_some(("local", "Account with a password"));
    let realms: Vec<RealmChoice> = local
        .into_iter()
        .chain(
            directories
                .iter()
                .map(|directory| (directory.name.as_str(), directory.title.as_str())),
        )
        .map(|(name, title)| RealmChoice {
            name: name.to_owned(),
            title: title.to_owned(),
            chosen: name == chosen,
        })
        .collect();
    SignInPage {
        frame: cx.frame(),
        form: cx.form.clone(),
        onward: going.onward(cx),
        going_to: going.title(cx),
        providers: listed(ProviderKind::Saml, SignInMethod::Saml)
            .into_iter()
            .map(|provider| ProviderButton {
                name: provider.name.to_string(),
                title: provider.title.clone(),
            })
            .collect(),
        passwords: !realms.is_empty(),
        realms: if realms.len() > 1 { realms } else { Vec::new() },
        remembered_for: relative::length(rules.session.absolute),
        registration: rules.registration,
    }
}

/// What the cookie of the last way in may hold: a name as policies write them.
fn realm_to_keep(realm: &str) -> &str {
    let plain = realm.len() <= 63
        && realm
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if plain && !realm.is_empty() { realm } else { "local" }
}
