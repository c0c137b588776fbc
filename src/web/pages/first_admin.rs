//! Setting up the first administrator, at the address that `serve` prints while there is none.

use askama::Template;
use http::StatusCode;

use crate::accounts::{AddOutcome, FirstAdminOutcome, NewUser, SignInOutcome};
use crate::base::time::MINUTE;
use crate::model::email::EmailAddress;
use crate::model::name::{PersonName, Username};

use super::super::answer;
use super::super::cx::{Cx, Outcome, fail, retry_after};
use super::super::form::Form;
use super::super::view::{BASE, Frame};
use super::super::words;
use super::hand_over::{Going, welcome};

/// The address to print: good once, while nobody is an administrator.
#[must_use]
pub fn address(public_url: &str, secret: &str) -> String {
    format!("{}{BASE}/first-admin/{secret}", public_url.trim_end_matches('/'))
}

/// The page that makes the first administrator.
#[derive(Template)]
#[template(path = "pages/first-admin.html")]
pub struct FirstAdminPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// The secret of the address, where the form goes again.
    pub secret: String,
    /// What a password must be.
    pub password_hint: String,
}

/// The page behind an address that works no longer.
#[derive(Template)]
#[template(path = "pages/first-admin-ended.html")]
pub struct FirstAdminEndedPage {
    /// The outside of the page.
    pub frame: Frame,
}

/// GET `/first-admin/{secret}`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    if !cx.app.accounts.is_first_admin_secret(cx.param("secret")).await? {
        return Ok(ended(cx));
    }
    Ok(cx.page(&page(cx)))
}

/// POST `/first-admin/{secret}`.
pub async fn submit(cx: &mut Cx<'_>) -> Outcome {
    let secret = cx.param("secret").to_owned();
    if !cx.app.accounts.is_first_admin_secret(&secret).await? {
        return Ok(ended(cx));
    }
    let password = cx.form.take_password("new-password");
    let names = read_names(&mut cx.form);
    // Its length is judged with the rest, so that one round tells all that can be told before hashing.
    let length = password.check_length(cx.app.accounts.rules().password_min);
    if let Err(flaw) = length {
        let (code, told) = words::password(flaw);
        cx.form.fail("new-password", code, told);
    }
    let (Some(names), Ok(())) = (names, length) else {
        return Ok(cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &page(cx)));
    };
    let new = NewUser {
        email: names.email,
        username: Some(names.username),
        given_name: names.given,
        family_name: names.family,
        role: None,
        team: None,
        team_role: None,
        ip_pattern: None,
        provider: None,
        password: Some(password),
    };
    let now = cx.facts.now;
    match cx.app.accounts.make_first_admin(&secret, new, &cx.visit()).await? {
        FirstAdminOutcome::Made(_, signed_in) => match *signed_in {
            SignInOutcome::SignedIn(session) => {
                let going = Going::read(cx, "")?;
                welcome(cx, &session, &going).await
            }
            _ => Ok(answer::see_other(&format!("{BASE}/sign-in"))),
        },
        FirstAdminOutcome::Closed => Ok(ended(cx)),
        FirstAdminOutcome::Not(AddOutcome::Busy) => {
            fail(&mut cx.form, "", words::BUSY);
            let answer = cx.not_taken(StatusCode::SERVICE_UNAVAILABLE, &page(cx));
            Ok(retry_after(answer, now.after(MINUTE), now))
        }
        FirstAdminOutcome::Not(outcome) => {
            note_outcome(&mut cx.form, &outcome);
            Ok(cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &page(cx)))
        }
    }
}

/// Names and address of a person to be made, as they are meant.
pub struct Names {
    /// E-mail address.
    pub email: EmailAddress,
    /// Username.
    pub username: Username,
    /// Given name.
    pub given: PersonName,
    /// Family name.
    pub family: PersonName,
}

/// Reads them from a form and notes all that is wrong with them at once.
pub fn read_names(form: &mut Form) -> Option<Names> {
    let email = form.trimmed("email").parse::<EmailAddress>();
    let username = form.trimmed("username").parse::<Username>();
    let given = form.trimmed("given-name").parse::<PersonName>();
    let family = form.trimmed("family-name").parse::<PersonName>();
    if let Err(flaw) = &email {
        let (code, told) = words::email(*flaw);
        form.fail("email", code, told);
    }
    if let Err(flaw) = &username {
        let (code, told) = words::username(*flaw);
        form.fail("username", code, told);
    }
    if let Err(flaw) = &given {
        let (code, told) = words::person_name(*flaw);
        form.fail("given-name", code, told);
    }
    if let Err(flaw) = &family {
        let (code, told) = words::person_name(*flaw);
        form.fail("family-name", code, told);
    }
    Some(Names {
        email: email.ok()?,
        username: username.ok()?,
        given: given.ok()?,
        family: family.ok()?,
    })
}

/// Notes why a person could not be made. What an administrator is told may name what is taken.
pub fn note_outcome(form: &mut Form, outcome: &AddOutcome) {
    match outcome {
        AddOutcome::EmailTaken => form.fail("email", "email_taken", "Someone already uses this email address"),
        AddOutcome::UsernameTaken => fail(form, "username", words::USERNAME_TAKEN),
        AddOutcome::Weak(flaw) => {
            let (code, told) = words::password(*flaw);
            form.fail("new-password", code, told);
        }
        AddOutcome::NotAllowed => form.fail("", "not_allowed", "You may not add people here"),
        AddOutcome::Busy => fail(form, "", words::BUSY),
        AddOutcome::Added(_) => {}
    }
}

fn page(cx: &Cx<'_>) -> FirstAdminPage {
    FirstAdminPage {
        frame: cx.frame(),
        form: cx.form.clone(),
        secret: cx.param("secret").to_owned(),
        password_hint: cx.password_hint(),
    }
}

fn ended(cx: &Cx<'_>) -> answer::Answer {
    answer::page(StatusCode::NOT_FOUND, &FirstAdminEndedPage { frame: cx.frame() })
}
