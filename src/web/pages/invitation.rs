//! The invitee's way: a link, an account form, a token, and they are signed in; or their word that they join with the account they have.

use askama::Template;
use http::StatusCode;

use crate::accounts::{AccountForm, BeginOutcome, ConfirmOutcome, JoinOutcome, Welcome};
use crate::base::time::{MINUTE, Timestamp};
use crate::model::invitation::Progress;
use crate::model::name::{PersonName, ProviderName, Username};
use crate::model::token::TokenStyle;

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop, fail, retry_after};
use super::super::form::Form;
use super::super::refusal;
use super::super::relative::{self, Moment};
use super::super::view::{BASE, Frame, Link, Onward};
use super::super::words::{self, TokenHint};
use super::hand_over::{Going, welcome};

/// What every page of an invitation says of it.
#[derive(Clone, Debug)]
pub struct About {
    /// The last part of its link.
    pub secret: String,
    /// The team's title.
    pub team: String,
    /// Whom it is for.
    pub email: String,
    /// Who invited.
    pub by: Option<String>,
    /// When it ends.
    pub ends: Moment,
    /// What this browser was given when it filled the form in; empty in any other.
    pub begun: String,
}

/// The account form.
#[derive(Template)]
#[template(path = "pages/invite.html")]
pub struct InvitePage {
    /// The outside of the page.
    pub frame: Frame,
    /// The invitation.
    pub about: About,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// Whether the token is mailed.
    pub mailed: bool,
    /// What a password must be.
    pub password_hint: String,
}

/// An invitation that a provider's word completes.
#[derive(Template)]
#[template(path = "pages/invite-provider.html")]
pub struct InviteProviderPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The invitation.
    pub about: About,
    /// The provider's button.
    pub provider: Link,
}

/// An invitation to somebody who has an account.
#[derive(Template)]
#[template(path = "pages/invite-join.html")]
pub struct InviteJoinPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The invitation.
    pub about: About,
    /// What went wrong.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// Who is signed in instead.
    pub other: Option<String>,
    /// Where to sign in, for who is not.
    pub sign_in: Option<Link>,
    /// Whether the account still waits for its registration: it is not signed in to, but finished first.
    pub waits: bool,
}

/// A link that opens nothing: used, ended, replaced, withdrawn, or never ours.
#[derive(Template)]
#[template(path = "pages/invite-ended.html")]
pub struct InviteEndedPage {
    /// The outside of the page.
    pub frame: Frame,
    /// How long invitations last, in words.
    pub lasts: String,
    /// The request's id.
    pub request: String,
}

/// The token page.
#[derive(Template)]
#[template(path = "pages/invite-token.html")]
pub struct InviteTokenPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The invitation.
    pub about: About,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// Whether the token was mailed.
    pub mailed: bool,
    /// What a token looks like.
    pub token: TokenHint,
    /// When the token ends.
    pub ends: Moment,
    /// The same as a time of day.
    pub ends_at: String,
    /// How long that is, minutes and seconds.
    pub left: String,
}

/// A token that is over: the link starts again.
#[derive(Template)]
#[template(path = "pages/invite-again.html")]
pub struct InviteAgainPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The invitation.
    pub about: About,
    /// Where it goes on to.
    pub onward: Onward,
    /// What is over.
    pub title: &'static str,
    /// Why, in a sentence.
    pub words: String,
}

/// GET `/invite/{secret}`. Nothing changes by it.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let going = Going::read(cx, cx.query.value("rd"))?;
    entrance(cx, &going, StatusCode::OK).await
}

/// POST `/invite/{secret}`: the account form, or the word of somebody who has an account.
pub async fn submit(cx: &mut Cx<'_>) -> Outcome {
    let going = Going::read(cx, cx.form.value("return-to"))?;
    if cx.form.value("do") == "join" {
        return join(cx, &going).await;
    }
    let secret = cx.param("secret").to_owned();
    let Some(form) = read_form(cx) else {
        cx.app.accounts.note_opened(&secret, &cx.visit()).await?;
        return entrance(cx, &going, StatusCode::UNPROCESSABLE_ENTITY).await;
    };
    let now = cx.facts.now;
    let outcome = cx.app.accounts.begin(&secret, form, &cx.visit()).await?;
    let status = match outcome {
        BeginOutcome::TokenSent { begun } => return Ok(answer::see_other(&token_address(&secret, begun.expose(), &going.onward(cx)))),
        BeginOutcome::Ended => return Ok(ended(cx)),
        BeginOutcome::HasAccount => return Ok(answer::see_other(&link_address(&secret, &going.onward(cx)))),
        BeginOutcome::Elsewhere(_) => StatusCode::FORBIDDEN,
        BeginOutcome::Closed => {
            fail(&mut cx.form, "", words::REGISTRATION_CLOSED);
            StatusCode::FORBIDDEN
        }
        BeginOutcome::UsernameTaken => {
            fail(&mut cx.form, "username", words::USERNAME_TAKEN);
            StatusCode::CONFLICT
        }
        BeginOutcome::Weak(weak) => {
            let (code, told) = words::password(weak);
            cx.form.fail("new-password", code, told);
            StatusCode::UNPROCESSABLE_ENTITY
        }
        BeginOutcome::TooMany { until } => {
            fail(&mut cx.form, "", words::RATE_LIMITED);
            let answer = entrance(cx, &going, StatusCode::TOO_MANY_REQUESTS).await?;
            return Ok(retry_after(answer, until, now));
        }
        BeginOutcome::TooManyLetters { until } => {
            cx.form.fail("", "too_many_letters", words::too_many_letters(until, now));
            let answer = entrance(cx, &going, StatusCode::TOO_MANY_REQUESTS).await?;
            return Ok(retry_after(answer, until, now));
        }
        BeginOutcome::Busy => {
            fail(&mut cx.form, "", words::BUSY);
            let answer = entrance(cx, &going, StatusCode::SERVICE_UNAVAILABLE).await?;
            return Ok(retry_after(answer, now.after(MINUTE), now));
        }
    };
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        cx.app.accounts.note_opened(&secret, &cx.visit()).await?;
    }
    entrance(cx, &going, status).await
}

/// GET `/invite/{secret}/token`.
pub async fn show_token(cx: &mut Cx<'_>) -> Outcome {
    let going = Going::read(cx, cx.query.value("rd"))?;
    token_page(cx, &going, StatusCode::OK).await
}

/// POST `/invite/{secret}/token`: the token, or a wish for a new one.
pub async fn submit_token(cx: &mut Cx<'_>) -> Outcome {
    let going = Going::read(cx, cx.form.value("return-to"))?;
    let secret = cx.param("secret").to_owned();
    let begun = begun(cx);
    let now = cx.facts.now;
    if cx.form.value("do") == "again" {
        return match cx.app.accounts.send_token_again(&secret, &begun, &cx.visit()).await? {
            Ok(true) => Ok(answer::see_other(&token_address(&secret, &begun, &going.onward(cx)))),
            Ok(false) => entrance(cx, &going, StatusCode::CONFLICT).await,
            Err(until) => {
                cx.form.fail("", "too_many_letters", words::too_many_letters(until, now));
                let answer = token_page(cx, &going, StatusCode::TOO_MANY_REQUESTS).await?;
                Ok(retry_after(answer, until, now))
            }
        };
    }
    let typed = cx.form.value("token").to_owned();
    let outcome = cx
        .app
        .accounts
        .confirm((&secret, &begun), &typed, cx.caller.as_ref(), &cx.visit())
        .await?;
    cx.app.metrics.signed_in("invitation", word_for(&outcome));
    match outcome {
        ConfirmOutcome::SignedIn(session) => welcome(cx, &session, &going).await,
        ConfirmOutcome::Flawed(flaw) => {
            let (code, told) = words::token(flaw, cx.app.accounts.rules().token_style);
            cx.form.fail("token", code, told);
            token_page(cx, &going, StatusCode::UNPROCESSABLE_ENTITY).await
        }
        ConfirmOutcome::Wrong { left } => {
            cx.form.fail("token", "token_wrong_tries", words::tries_left(left));
            token_page(cx, &going, StatusCode::UNPROCESSABLE_ENTITY).await
        }
        ConfirmOutcome::Locked | ConfirmOutcome::Expired => token_page(cx, &going, StatusCode::UNPROCESSABLE_ENTITY).await,
        ConfirmOutcome::Ended => Ok(ended(cx)),
        ConfirmOutcome::StartAgain => entrance(cx, &going, StatusCode::CONFLICT).await,
        ConfirmOutcome::HasAccount => Ok(answer::see_other(&link_address(&secret, &going.onward(cx)))),
        ConfirmOutcome::UsernameTaken => {
            fail(&mut cx.form, "username", words::USERNAME_TAKEN);
            entrance(cx, &going, StatusCode::CONFLICT).await
        }
        ConfirmOutcome::Full => {
            fail(&mut cx.form, "", words::TEAM_FULL);
            token_page(cx, &going, StatusCode::CONFLICT).await
        }
        ConfirmOutcome::Refused(refused) => Err(Stop::Answer(Box::new(refusal::at_the_door(cx, &refused)))),
        ConfirmOutcome::TooMany { until } => {
            fail(&mut cx.form, "", words::RATE_LIMITED);
            let answer = token_page(cx, &going, StatusCode::TOO_MANY_REQUESTS).await?;
            Ok(retry_after(answer, until, now))
        }
    }
}

async fn join(cx: &mut Cx<'_>, going: &Going) -> Outcome {
    let secret = cx.param("secret").to_owned();
    let Some(caller) = cx.caller.clone() else {
        return Ok(answer::see_other(&link_address(&secret, &going.onward(cx))));
    };
    // A session that every other page of ours turns away gains nothing here either.
    if let Some(standing) = cx.standing.as_ref().filter(|standing| !standing.is_allowed()) {
        return Ok(cx.turned_away(&caller.principal, standing));
    }
    match cx.app.accounts.join(&secret, &caller, &cx.visit()).await? {
        JoinOutcome::Joined => going.after_form(cx, &caller),
        JoinOutcome::Ended => Ok(ended(cx)),
        JoinOutcome::SomebodyElse | JoinOutcome::Elsewhere(_) => entrance(cx, going, StatusCode::FORBIDDEN).await,
        JoinOutcome::Full => {
            fail(&mut cx.form, "", words::TEAM_FULL);
            entrance(cx, going, StatusCode::CONFLICT).await
        }
    }
}

/// What came of it, for the figures.
const fn word_for(outcome: &ConfirmOutcome) -> &'static str {
    match outcome {
        ConfirmOutcome::SignedIn(_) => "ok",
        ConfirmOutcome::Flawed(_) | ConfirmOutcome::UsernameTaken | ConfirmOutcome::HasAccount => "incomplete",
        ConfirmOutcome::Wrong { .. }
        | ConfirmOutcome::Locked
        | ConfirmOutcome::Expired
        | ConfirmOutcome::Ended
        | ConfirmOutcome::StartAgain => "wrong",
        ConfirmOutcome::Full | ConfirmOutcome::Refused(_) => "refused",
        ConfirmOutcome::TooMany { .. } => "rate",
    }
}

/// What the link leads to: the account form, the provider's button, a sign-in, or the question whether to join.
async fn entrance(cx: &mut Cx<'_>, going: &Going, status: StatusCode) -> Outcome {
    let secret = cx.param("secret").to_owned();
    let Some(found) = cx.app.accounts.welcome(&secret, &begun(cx), cx.facts.now).await? else {
        return Ok(ended(cx));
    };
    let about = about(cx, &secret, &found);
    let onward = going.onward(cx);
    if found.has_account {
        return Ok(draw(cx, status, &join_page(cx, &found, about, onward)));
    }
    if let Some(name) = &found.invitation.offer.provider {
        let page = InviteProviderPage {
            frame: cx.frame(),
            about,
            provider: provider_button(cx, name),
        };
        return Ok(draw(cx, status, &page));
    }
    let page = InvitePage {
        frame: cx.frame(),
        about,
        form: cx.form.clone(),
        onward,
        mailed: cx.live.settings.mail.is_some(),
        password_hint: cx.password_hint(),
    };
    Ok(draw(cx, status, &page))
}

fn join_page(cx: &Cx<'_>, found: &Welcome, about: About, onward: Onward) -> InviteJoinPage {
    let asked = found.invitation.email.canonical();
    let is_theirs = |caller: &crate::accounts::Caller| {
        let own = caller.identity().email.as_ref().map(crate::model::email::EmailAddress::canonical);
        own.is_some_and(|own| own == asked)
    };
    // Who came another way than by the provider that counts has to come by it.
    let fits = |caller: &crate::accounts::Caller| {
        let named = found.invitation.offer.provider.as_ref();
        named.is_none_or(|name| caller.session().signed_in.provider.as_ref() == Some(name))
    };
    let there = link_address(&about.secret, &onward);
    let by_password = || Link {
        path: format!(
            "{BASE}/sign-in{}",
            Onward {
                to: there,
                login: String::new()
            }
            .query()
        ),
        name: "Sign in to join".to_owned(),
    };
    let (other, sign_in) = match &cx.caller {
        Some(caller) if !is_theirs(caller) => (Some(cx.login_name()), None),
        Some(caller) if fits(caller) => (None, None),
        _ => match &found.invitation.offer.provider {
            Some(name) => (None, Some(continue_with(provider_button(cx, name)))),
            None => (None, Some(by_password())),
        },
    };
    InviteJoinPage {
        frame: cx.frame(),
        about,
        form: cx.form.clone(),
        onward,
        other,
        sign_in,
        waits: found.waits,
    }
}

fn continue_with(button: Link) -> Link {
    Link {
        name: format!("Continue with {}", button.name),
        ..button
    }
}

fn provider_button(cx: &Cx<'_>, name: &ProviderName) -> Link {
    let provider = cx.live.policies.provider(name);
    Link {
        path: format!("{BASE}/saml/{name}/login"),
        name: provider.map_or_else(|| name.to_string(), |provider| provider.title.clone()),
    }
}

async fn token_page(cx: &mut Cx<'_>, going: &Going, status: StatusCode) -> Outcome {
    let secret = cx.param("secret").to_owned();
    let now = cx.facts.now;
    let found = cx.app.accounts.welcome(&secret, &begun(cx), now).await?;
    let Some(found) = found.filter(|found| found.invitation.offer.provider.is_none() && !found.has_account) else {
        return entrance(cx, going, status).await;
    };
    let about = about(cx, &secret, &found);
    let onward = going.onward(cx);
    let Some((ends, style)) = found.token else {
        if !found.begun_here {
            return entrance(cx, going, status).await;
        }
        let locked = found.progress == Progress::Locked;
        let (title, words) = if locked {
            ("This token is locked", "It was typed wrong too often, so it no longer works.")
        } else {
            ("This token has expired", "Its time is over.")
        };
        let page = InviteAgainPage {
            frame: cx.frame(),
            about,
            onward,
            title,
            words: words.to_owned(),
        };
        let message = if locked { words::TOKEN_LOCKED } else { words::TOKEN_EXPIRED };
        fail(&mut cx.form, "token", message);
        return Ok(draw(cx, status, &page));
    };
    let page = token_view(cx, about, onward, (ends, style), now);
    Ok(draw(cx, status, &page))
}

fn token_view(cx: &Cx<'_>, about: About, onward: Onward, (ends, style): (Timestamp, TokenStyle), now: Timestamp) -> InviteTokenPage {
    let left = ends.since(now).as_secs();
    InviteTokenPage {
        frame: cx.frame(),
        about,
        form: cx.form.clone(),
        onward,
        mailed: cx.live.settings.mail.is_some(),
        token: TokenHint(style),
        ends: Moment::of(ends, now),
        ends_at: relative::time_of_day(ends),
        left: format!("{}:{:02}", left / 60, left % 60),
    }
}

/// A page for a person; problem details for a program whose form was not taken.
fn draw(cx: &Cx<'_>, status: StatusCode, page: &impl Template) -> answer::Answer {
    if status.is_success() || !cx.form.failed() {
        return answer::page(status, page);
    }
    cx.not_taken(status, page)
}

fn about(cx: &Cx<'_>, secret: &str, found: &Welcome) -> About {
    let name = &found.invitation.offer.team;
    let team = cx.live.policies.team(name);
    About {
        secret: secret.to_owned(),
        team: team.map_or_else(|| name.to_string(), |team| team.title.clone()),
        email: found.invitation.email.to_string(),
        by: found.by.clone(),
        ends: Moment::of(found.invitation.expires, cx.facts.now),
        begun: if found.begun_here { begun(cx) } else { String::new() },
    }
}

fn ended(cx: &Cx<'_>) -> answer::Answer {
    let page = InviteEndedPage {
        frame: cx.frame(),
        lasts: lasting(cx.app.accounts.rules().registration_ttl),
        request: cx.request(),
    };
    if answer::wants_page(cx.headers()) {
        return answer::page(StatusCode::GONE, &page);
    }
    answer::Problem {
        status: StatusCode::GONE,
        reason: "invite_ended",
        detail: "This invitation has ended",
        request: &cx.request(),
        decision: None,
        login_url: None,
    }
    .answer()
}

/// How long links last, in hours as the letters say it: `48 hours`.
#[must_use]
pub fn lasting(ttl: std::time::Duration) -> String {
    let hours = ttl.as_secs() / 3600;
    if hours > 1 && ttl.as_secs().is_multiple_of(3600) {
        format!("{hours} hours")
    } else {
        relative::length(ttl)
    }
}

fn link_address(secret: &str, onward: &Onward) -> String {
    format!("{BASE}/invite/{secret}{}", onward.query())
}

fn token_address(secret: &str, begun: &str, onward: &Onward) -> String {
    let onward = onward.query().replacen('?', "&", 1);
    format!("{BASE}/invite/{secret}/token?b={begun}{onward}")
}

/// What this browser was given when it filled the form in, from the form or the address.
fn begun(cx: &Cx<'_>) -> String {
    let form = cx.form.value("b");
    let begun = if form.is_empty() { cx.query.value("b") } else { form };
    begun.to_owned()
}

/// The account form as it is meant; `None` if something is to be corrected, which is noted at its field.
fn read_form(cx: &mut Cx<'_>) -> Option<AccountForm> {
    let password = cx.form.take_password("new-password");
    for (field, missing) in [("given-name", "Enter a first name"), ("family-name", "Enter a last name")] {
        if cx.form.trimmed(field).is_empty() {
            cx.form.fail(field, "name_missing", missing);
        }
    }
    let given_name = cx.form.trimmed("given-name").parse::<PersonName>();
    let family_name = cx.form.trimmed("family-name").parse::<PersonName>();
    for (field, name) in [("given-name", &given_name), ("family-name", &family_name)] {
        if let Err(flaw) = name {
            let (code, told) = words::person_name(*flaw);
            cx.form.fail(field, code, told);
        }
    }
    let username = cx.form.trimmed("username").parse::<Username>();
    if let Err(flaw) = &username {
        let (code, told) = words::username(*flaw);
        cx.form.fail("username", code, told);
    }
    if let Err(flaw) = password.check_length(cx.app.accounts.rules().password_min) {
        let (code, told) = words::password(flaw);
        cx.form.fail("new-password", code, told);
    }
    if cx.form.failed() {
        return None;
    }
    Some(AccountForm {
        given_name: given_name.ok()?,
        family_name: family_name.ok()?,
        username: username.ok()?,
        password,
    })
}
