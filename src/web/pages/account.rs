//! Registration with a token, and the two forms of a password reset.

use askama::Template;
use http::StatusCode;

use crate::accounts::{AskOutcome, Flaws, TokenForm, TokenOutcome, TypedNames};
use crate::base::time::MINUTE;

use super::super::answer::{self, Answer};
use super::super::cx::{Cx, Outcome, Stop, fail, retry_after};
use super::super::form::Form;
use super::super::refusal;
use super::super::view::{BASE, Frame, Onward};
use super::super::words::{self, TokenHint};
use super::hand_over::{Going, welcome};

/// The page that completes an account an administrator made.
#[derive(Template)]
#[template(path = "pages/new-account.html")]
pub struct NewAccountPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// What a token looks like.
    pub token: TokenHint,
    /// What a password must be.
    pub password_hint: String,
}

/// The page that says registration tokens are not taken.
#[derive(Template)]
#[template(path = "pages/registration-closed.html")]
pub struct RegistrationClosedPage {
    /// The outside of the page.
    pub frame: Frame,
}

/// "I need a reset token".
#[derive(Template)]
#[template(path = "pages/reset.html")]
pub struct ResetPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Whether there are ways in whose password is kept elsewhere.
    pub others: bool,
}

/// The answer to a request for a reset token: the same for every address.
#[derive(Template)]
#[template(path = "pages/reset-sent.html")]
pub struct ResetSentPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The address that was typed; empty if the page was opened by itself.
    pub email: String,
    /// Whether the token comes by mail; otherwise an administrator has it.
    pub mailed: bool,
}

/// "I have a reset token".
#[derive(Template)]
#[template(path = "pages/reset-token.html")]
pub struct ResetTokenPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// What a token looks like.
    pub token: TokenHint,
    /// What a password must be.
    pub password_hint: String,
}

/// GET `/account/new`.
pub async fn show_new(cx: &mut Cx<'_>) -> Outcome {
    if !cx.app.accounts.rules().registration {
        return Ok(cx.page(&RegistrationClosedPage { frame: cx.frame() }));
    }
    let typed = cx.form.has("return-to");
    let going = Going::read(cx, if typed { cx.form.value("return-to") } else { cx.query.value("rd") })?;
    Ok(cx.page(&new_account_page(cx, &going)))
}

/// POST `/account/new`: a registration token completes an account.
pub async fn submit_new(cx: &mut Cx<'_>) -> Outcome {
    let going = Going::read(cx, cx.form.value("return-to"))?;
    let form = token_form(cx);
    let outcome = cx.app.accounts.register(form, cx.caller.as_ref(), &cx.visit()).await?;
    cx.app.metrics.signed_in("registration", word_for(&outcome));
    finish(cx, outcome, &going, |cx, going| Page::New(new_account_page(cx, going))).await
}

/// GET `/account/reset`: "I need a reset token".
pub async fn show_ask(cx: &mut Cx<'_>) -> Outcome {
    Ok(cx.page(&reset_page(cx)))
}

/// POST `/account/reset`: the same answer for every address.
pub async fn submit_ask(cx: &mut Cx<'_>) -> Outcome {
    let now = cx.facts.now;
    let outcome = cx.app.accounts.ask_reset(cx.form.value("email"), &cx.visit()).await?;
    match outcome {
        AskOutcome::Asked(email) => {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("email", email.as_str())
                .finish();
            Ok(answer::see_other(&format!("{BASE}/account/reset/sent?{query}")))
        }
        AskOutcome::Flawed(flaw) => {
            let (code, told) = words::email(flaw);
            cx.form.fail("email", code, told);
            Ok(cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &reset_page(cx)))
        }
        AskOutcome::TooMany { until } => {
            fail(&mut cx.form, "", words::RATE_LIMITED);
            let answer = cx.not_taken(StatusCode::TOO_MANY_REQUESTS, &reset_page(cx));
            Ok(retry_after(answer, until, now))
        }
    }
}

/// GET `/account/reset/sent`.
pub async fn show_sent(cx: &mut Cx<'_>) -> Outcome {
    let email = cx.query.value("email").parse::<crate::model::email::EmailAddress>();
    Ok(cx.page(&ResetSentPage {
        frame: cx.frame(),
        // Anybody can write such an address: only what can be an address is shown.
        email: email.map(|email| email.to_string()).unwrap_or_default(),
        mailed: cx.app.accounts.sends_mail(),
    }))
}

/// GET `/account/reset/token`: "I have a reset token".
pub async fn show_reset(cx: &mut Cx<'_>) -> Outcome {
    Ok(cx.page(&reset_token_page(cx)))
}

/// POST `/account/reset/token`: a reset token sets a password and ends every other session.
pub async fn submit_reset(cx: &mut Cx<'_>) -> Outcome {
    let going = Going::read(cx, "")?;
    let form = token_form(cx);
    let outcome = cx.app.accounts.reset(form, cx.caller.as_ref(), &cx.visit()).await?;
    cx.app.metrics.signed_in("reset", word_for(&outcome));
    finish(cx, outcome, &going, |cx, _| Page::Reset(reset_token_page(cx))).await
}

/// What came of it, for the figures.
const fn word_for(outcome: &TokenOutcome) -> &'static str {
    match outcome {
        TokenOutcome::SignedIn(_) => "ok",
        TokenOutcome::Flawed(_) | TokenOutcome::UsernameTaken => "incomplete",
        TokenOutcome::NoMatch => "wrong",
        TokenOutcome::TooMany { .. } => "rate",
        TokenOutcome::Busy => "busy",
        TokenOutcome::Closed => "closed",
        TokenOutcome::Refused(_) => "refused",
    }
}

enum Page {
    New(NewAccountPage),
    Reset(ResetTokenPage),
}

/// What a token came to, the same for both forms.
async fn finish(cx: &mut Cx<'_>, outcome: TokenOutcome, going: &Going, page: impl Fn(&Cx<'_>, &Going) -> Page) -> Outcome {
    let now = cx.facts.now;
    let again = |cx: &Cx<'_>, status| match page(cx, going) {
        Page::New(page) => cx.not_taken(status, &page),
        Page::Reset(page) => cx.not_taken(status, &page),
    };
    match outcome {
        TokenOutcome::SignedIn(session) => welcome(cx, &session, going).await,
        TokenOutcome::Flawed(flaws) => {
            note(cx, &flaws);
            Ok(again(cx, StatusCode::UNPROCESSABLE_ENTITY))
        }
        TokenOutcome::NoMatch => {
            fail(&mut cx.form, "token", words::TOKEN_WRONG);
            Ok(again(cx, StatusCode::UNPROCESSABLE_ENTITY))
        }
        TokenOutcome::UsernameTaken => {
            fail(&mut cx.form, "username", words::USERNAME_TAKEN);
            Ok(again(cx, StatusCode::CONFLICT))
        }
        TokenOutcome::TooMany { until } => {
            fail(&mut cx.form, "", words::RATE_LIMITED);
            let answer: Answer = again(cx, StatusCode::TOO_MANY_REQUESTS);
            Ok(retry_after(answer, until, now))
        }
        TokenOutcome::Busy => {
            fail(&mut cx.form, "", words::BUSY);
            Ok(retry_after(again(cx, StatusCode::SERVICE_UNAVAILABLE), now.after(MINUTE), now))
        }
        TokenOutcome::Closed => Ok(answer::page(StatusCode::FORBIDDEN, &RegistrationClosedPage { frame: cx.frame() })),
        TokenOutcome::Refused(refused) => Err(Stop::Answer(Box::new(refusal::at_the_door(cx, &refused)))),
    }
}

fn token_form(cx: &mut Cx<'_>) -> TokenForm {
    let typed = |name: &str| Some(cx.form.trimmed(name).to_owned()).filter(|text| !text.is_empty());
    TokenForm {
        email: cx.form.value("email").to_owned(),
        token: cx.form.value("token").to_owned(),
        names: TypedNames {
            username: typed("username"),
            given_name: typed("given-name"),
            family_name: typed("family-name"),
        },
        new_password: cx.form.take_password("new-password"),
    }
}

fn note(cx: &mut Cx<'_>, flaws: &Flaws) {
    let style = cx.app.accounts.rules().token_style;
    if let Some(flaw) = flaws.email {
        let (code, told) = words::email(flaw);
        cx.form.fail("email", code, told);
    }
    if let Some(flaw) = flaws.token {
        let (code, told) = words::token(flaw, style);
        cx.form.fail("token", code, told);
    }
    if flaws.username.is_some() || flaws.name.is_some() {
        cx.form.fail("", "invalid_characters", "Invalid characters found in a name");
    }
    if let Some(flaw) = flaws.password {
        let (code, told) = words::password(flaw);
        cx.form.fail("new-password", code, told);
    }
}

fn new_account_page(cx: &Cx<'_>, going: &Going) -> NewAccountPage {
    NewAccountPage {
        frame: cx.frame(),
        form: cx.form.clone(),
        onward: going.onward(cx),
        token: TokenHint(cx.app.accounts.rules().token_style),
        password_hint: cx.password_hint(),
    }
}

fn reset_page(cx: &Cx<'_>) -> ResetPage {
    ResetPage {
        frame: cx.frame(),
        form: cx.form.clone(),
        others: !cx.live.policies.definitions().providers.is_empty(),
    }
}

fn reset_token_page(cx: &Cx<'_>) -> ResetTokenPage {
    ResetTokenPage {
        frame: cx.frame(),
        form: cx.form.clone(),
        token: TokenHint(cx.app.accounts.rules().token_style),
        password_hint: format!(
            "{} characters or more. You are signed out everywhere else.",
            cx.app.accounts.rules().password_min
        ),
    }
}
