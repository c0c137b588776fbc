//! Proving again who one is before a sensitive act. What the form sent is kept on the page that asks for the password, and done with the
//! answer: nothing is lost, nothing is done twice, and nothing redirects, so nothing loops.

use askama::Template;
use http::StatusCode;

use crate::accounts::{Credentials, NewSession, Presented, Realm, SignInOutcome};
use crate::base::time::MINUTE;
use crate::model::role::SignInMethod;
use crate::policy::house;

use super::answer::{self, Answer};
use super::cx::{Cx, Stop, fail, minutes_until, retry_after};
use super::form::Form;
use super::pages::hand_over;
use super::pages::sign_in::word_for;
use super::refusal;
use super::relative;
use super::view::{BASE, Frame};
use super::words;

/// The field in which the password comes that proves it.
pub const PASSWORD: &str = "confirm-password";
/// What a page that asks for the password does not keep: its own fields, and secrets.
const NOT_KEPT: [&str; 6] = ["csrf", PASSWORD, "confirm-username", "password", "new-password", "current-password"];

/// The page that asks for the password again, and keeps what was sent.
#[derive(Template)]
#[template(path = "pages/confirm-it-is-you.html")]
pub struct ConfirmItIsYouPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What is wrong with the password.
    pub form: Form,
    /// Where the form goes: to what was asked for.
    pub action: String,
    /// What was sent, by name.
    pub kept: Vec<(String, String)>,
    /// How recent a sign-in is wanted, such as "10 minutes".
    pub within: String,
    /// Who is signed in.
    pub login: String,
    /// Where to go instead.
    pub back: String,
}

/// What came of asking.
pub enum Proved {
    /// The person had signed in a moment ago.
    Recently,
    /// The person proved it now, and has a new session, whose cookie belongs on the answer whatever that says.
    Now(Box<NewSession>),
}

/// Goes on where the person signed in lately, or the form proves it now; otherwise asks for the proof.
///
/// # Errors
/// The page that asks, or what is wrong.
pub async fn prove(cx: &mut Cx<'_>, back: Option<String>) -> Result<Proved, Stop> {
    let caller = cx.person()?;
    let within = cx.app.accounts.rules().fresh_for;
    if caller.identity().signed_in.is_fresh(within, cx.facts.now) {
        return Ok(Proved::Recently);
    }
    let refuse = |answer: Answer| Err(Stop::Answer(Box::new(answer)));
    if !answer::wants_page(cx.headers()) {
        return refuse(cx.scene().sign_in("session-too-old", false, None));
    }
    if caller.identity().signed_in.method != SignInMethod::Password {
        return refuse(cx.scene().error(
            StatusCode::FORBIDDEN,
            "session-too-old",
            "Sign in again, then repeat this",
            "This needs a more recent sign-in. Nothing was changed. Sign out, sign in again the way you did, and repeat it.",
        ));
    }
    let back = back.unwrap_or_else(|| format!("{BASE}/admin"));
    if cx.form.value(PASSWORD).is_empty() {
        // What is wrong with the rest is told once it is done.
        let mut page = page(cx, back);
        if cx.form.has("confirm-username") {
            page.form.fail(PASSWORD, "password_missing", "Enter your password");
        }
        return refuse(answer::page(StatusCode::FORBIDDEN, &page));
    }
    let typed = Credentials {
        name: cx.login_name(),
        password: cx.form.take_password(PASSWORD),
        realm: Realm::Local,
        remember: caller.session().remember,
    };
    let now = cx.facts.now;
    let outcome = cx.app.accounts.sign_in(typed, Some(&caller), &cx.visit()).await?;
    cx.app.metrics.signed_in("password", word_for(&outcome));
    let mut page = page(cx, back);
    let (status, until) = match outcome {
        SignInOutcome::SignedIn(session) => {
            enter(cx, &session).await?;
            return Ok(Proved::Now(session));
        }
        SignInOutcome::Wrong => {
            page.form.fail(PASSWORD, "password_current", "Your password is wrong");
            (StatusCode::UNAUTHORIZED, None)
        }
        SignInOutcome::Locked { until } => {
            page.form.fail("", "locked", words::locked(minutes_until(until, now)));
            (StatusCode::TOO_MANY_REQUESTS, Some(until))
        }
        SignInOutcome::TooMany { until } => {
            fail(&mut page.form, "", words::RATE_LIMITED);
            (StatusCode::TOO_MANY_REQUESTS, Some(until))
        }
        SignInOutcome::Busy | SignInOutcome::NotAvailable(_) => {
            fail(&mut page.form, "", words::BUSY);
            (StatusCode::SERVICE_UNAVAILABLE, Some(now.after(MINUTE)))
        }
        SignInOutcome::Refused(refused) => return refuse(refusal::at_the_door(cx, &refused)),
    };
    let answer = answer::page(status, &page);
    refuse(match until {
        Some(until) => retry_after(answer, until, now),
        None => answer,
    })
}

/// Goes on as who has just signed in.
async fn enter(cx: &mut Cx<'_>, session: &NewSession) -> Result<(), Stop> {
    let presented = cx.app.accounts.caller(&session.value, cx.host(), cx.facts.now).await?;
    let Presented::Live(caller) = presented else {
        return Err(Stop::NotFound);
    };
    let live = cx.live;
    cx.standing = Some(house::judge_remembering(&live.policies, &caller.principal, cx.facts, caller.memo()));
    cx.caller = Some(caller);
    Ok(())
}

/// Sends the cookies of the session that was opened, with the answer to the act.
pub fn with_session(cx: &Cx<'_>, mut answer: Answer, session: &NewSession) -> Answer {
    hand_over::add_session_cookies(cx, &mut answer, session);
    answer
}

fn page(cx: &Cx<'_>, back: String) -> ConfirmItIsYouPage {
    ConfirmItIsYouPage {
        frame: cx.frame(),
        form: Form::default(),
        action: cx.asked.target.to_string(),
        kept: cx
            .form
            .beginning("")
            .filter(|(name, _)| !NOT_KEPT.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        within: relative::length(cx.app.accounts.rules().fresh_for),
        login: cx.login_name(),
        back,
    }
}
