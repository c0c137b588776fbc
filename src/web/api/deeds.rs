//! What is done to people, their sessions and memberships, and to letters.

use std::net::IpAddr;

use http::StatusCode;
use serde_json::{Value, json};

use crate::accounts::{Acting, AddOutcome, EditOutcome, MembershipOutcome, NewUser, SendOutcome, SessionsToEnd, TokenFor};
use crate::model::id::{MessageId, SessionId, UserId};
use crate::model::name::{PersonName, TeamName};
use crate::model::role::Power;

use super::super::cx::minutes_until;
use super::super::words;
use super::call::{Call, changed_meanwhile, tag_of};
use super::offers::{not_given, read_offer};
use super::problem::Not;
use super::{looks, shapes};

/// Adds a person; the answer holds their registration token.
pub async fn add(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let email = call.text_as("email", words::email);
    let username = if call.text("username").is_empty() {
        None
    } else {
        call.text_as("username", words::username)
    };
    let given = person_name(call, "given_name");
    let family = person_name(call, "family_name");
    call.sound()?;
    let (Some(email), Some(given_name), Some(family_name)) = (email, given, family) else {
        return Err(Not::Valid);
    };
    let new = NewUser {
        email,
        username,
        given_name,
        family_name,
        role: None,
        team: None,
        team_role: None,
        ip_pattern: None,
        provider: None,
        password: None,
    };
    match call.cx.app.accounts.add_user(new, &by, call.cx.facts.now).await? {
        AddOutcome::Added(added) => show(call, added.user.id, &by).await,
        AddOutcome::EmailTaken => {
            call.fail("email", "email_taken", "Someone already uses this email address");
            Err(Not::conflict("email_taken", "Someone already uses this email address."))
        }
        AddOutcome::UsernameTaken => {
            call.fail("username", words::USERNAME_TAKEN.code, words::USERNAME_TAKEN.words);
            Err(Not::conflict(words::USERNAME_TAKEN.code, words::USERNAME_TAKEN.words))
        }
        AddOutcome::NotAllowed | AddOutcome::Weak(_) | AddOutcome::Busy => {
            Err(Not::allowed(StatusCode::FORBIDDEN, "not_allowed", "You may not add people here."))
        }
    }
}

fn person_name(call: &mut Call<'_>, field: &str) -> Option<PersonName> {
    if call.text(field).is_empty() {
        call.fail(field, "name_missing", "Enter a name");
        return None;
    }
    call.text_as(field, words::person_name)
}

async fn show(call: &Call<'_>, user: UserId, by: &Acting) -> Result<Value, Not> {
    let found = call.cx.app.accounts.user(user, by, call.cx.facts.now).await?;
    Ok(shapes::user(&call.cx, &found.ok_or(Not::Found)?, by))
}

/// Makes somebody an admin, or a normal user again.
pub async fn change_role(call: &mut Call<'_>) -> Result<Value, Not> {
    let (by, user) = asked(call)?;
    let admin = call.text("role") == "admin";
    let outcome = call.cx.app.accounts.set_admin(user, admin, &by, call.cx.facts.now).await?;
    edited(outcome)?;
    show(call, user, &by).await
}

/// Shuts an account.
pub async fn disable(call: &mut Call<'_>) -> Result<Value, Not> {
    let (by, user) = asked(call)?;
    edited(call.cx.app.accounts.disable(user, &by, call.cx.facts.now).await?)?;
    show(call, user, &by).await
}

/// Opens an account again.
pub async fn enable(call: &mut Call<'_>) -> Result<Value, Not> {
    let (by, user) = asked(call)?;
    edited(call.cx.app.accounts.enable(user, &by, call.cx.facts.now).await?)?;
    show(call, user, &by).await
}

/// Removes an account.
pub async fn delete(call: &mut Call<'_>) -> Result<Value, Not> {
    let (by, user) = asked(call)?;
    edited(call.cx.app.accounts.delete(user, &by, call.cx.facts.now).await?)?;
    Ok(Value::Null)
}

/// Makes a new registration or reset token; the one before ends.
pub async fn new_token(call: &mut Call<'_>) -> Result<Value, Not> {
    let (by, user) = asked(call)?;
    match call.cx.app.accounts.token_for(user, true, &by, call.cx.facts.now).await? {
        TokenFor::Token(token) => Ok(shapes::token(&call.cx, &token)),
        TokenFor::NotFound => Err(Not::Found),
        TokenFor::Disabled => Err(Not::conflict("disabled", "This account is disabled. Enable it first.")),
    }
}

fn asked(call: &Call<'_>) -> Result<(Acting, UserId), Not> {
    Ok((call.acting_by(Power::Users)?, call.param("user")?))
}

fn edited(outcome: EditOutcome) -> Result<(), Not> {
    match outcome {
        EditOutcome::Changed | EditOutcome::Unchanged => Ok(()),
        EditOutcome::NotFound => Err(Not::Found),
        EditOutcome::Own => Err(Not::conflict(words::OWN_ROLE.code, "You cannot do this to your own account.")),
        EditOutcome::LastAdmin => Err(Not::conflict(words::LAST_ADMIN.code, words::LAST_ADMIN.words)),
        EditOutcome::NotAllowed => Err(Not::allowed(
            StatusCode::FORBIDDEN,
            "not_allowed",
            "You may not give or take this role.",
        )),
        EditOutcome::Pending => Err(Not::conflict("pending", "This account is not registered yet.")),
    }
}

/// Ends one session.
pub async fn end_session(call: &mut Call<'_>) -> Result<Value, Not> {
    let id: SessionId = call.param("session")?;
    end(call, SessionsToEnd::One(id)).await?;
    Ok(Value::Null)
}

/// Ends all sessions of a person; the one of this request excepted.
pub async fn end_sessions_of(call: &mut Call<'_>) -> Result<Value, Not> {
    let id: UserId = call.param("user")?;
    end(call, SessionsToEnd::Of(id)).await
}

/// Ends all sessions that were made from an address; the one of this request excepted.
pub async fn end_sessions_from(call: &mut Call<'_>) -> Result<Value, Not> {
    let told = |_| ("invalid_characters", "Enter an address like 203.0.113.7 or 2001:db8::7".to_owned());
    let address: Option<IpAddr> = call.text_as("address", told);
    call.sound()?;
    end(call, SessionsToEnd::From(address.ok_or(Not::Valid)?)).await
}

async fn end(call: &Call<'_>, which: SessionsToEnd) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let own = call.cx.caller.as_ref();
    let ended = call.cx.app.accounts.end_sessions(which, own, &by, &call.cx.visit()).await?;
    Ok(json!({ "ended": ended.ok_or(Not::Found)? }))
}

/// Changes what somebody has in a team, if it is still as it was read.
pub async fn set_membership(call: &mut Call<'_>) -> Result<Value, Not> {
    let (by, user) = asked(call)?;
    let team: TeamName = call.param("team")?;
    let (accounts, policies) = (&call.cx.app.accounts, &call.cx.live.policies);
    let before = accounts.member(user, &team, &by).await?.ok_or(Not::Found)?.offer();
    call.matches(&tag_of(&before))?;
    let offer = read_offer(call, team.clone());
    call.sound()?;
    let now = call.cx.facts.now;
    let outcome = accounts.change_membership(user, (&before, &offer), policies, &by, now).await?;
    membership_changed(call, outcome)?;
    let after = accounts.member(user, &team, &by).await?.ok_or(Not::Found)?;
    call.tag = Some(tag_of(&after.offer()));
    Ok(shapes::membership(&after))
}

/// Takes somebody out of a team.
pub async fn end_membership(call: &mut Call<'_>) -> Result<Value, Not> {
    let (by, user) = asked(call)?;
    let team: TeamName = call.param("team")?;
    let (live, now) = (call.cx.live, call.cx.facts.now);
    let outcome = call.cx.app.accounts.end_membership(user, &team, &live.policies, &by, now).await?;
    membership_changed(call, outcome)?;
    Ok(Value::Null)
}

fn membership_changed(call: &mut Call<'_>, outcome: MembershipOutcome) -> Result<(), Not> {
    match outcome {
        MembershipOutcome::Changed | MembershipOutcome::Unchanged => Ok(()),
        MembershipOutcome::NotFound => Err(Not::Found),
        MembershipOutcome::Own => Err(Not::conflict(words::OWN_MEMBERSHIP.code, words::OWN_MEMBERSHIP.words)),
        MembershipOutcome::Moved => Err(changed_meanwhile()),
        MembershipOutcome::NotGiven(refused) => Err(not_given(call, &refused)),
    }
}

/// Begins to check the chain of the audit trail.
pub async fn check_audit(call: &mut Call<'_>) -> Result<Value, Not> {
    call.cx.app.accounts.begin_audit_check(call.cx.facts.now);
    looks::audit_check(call).await
}

/// Has a letter tried now.
pub async fn send_again(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let id: MessageId = call.param("letter")?;
    let outcome = call.cx.app.accounts.send_letter_again(id, &by, call.cx.facts.now).await?;
    sent(call, outcome)
}

/// Has a letter not tried any more.
pub async fn give_up(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let id: MessageId = call.param("letter")?;
    match call.cx.app.accounts.give_letter_up(id, &by, call.cx.facts.now).await? {
        Some(true) => Ok(Value::Null),
        Some(false) => sent(call, SendOutcome::Gone),
        None => Err(Not::Found),
    }
}

/// Has a letter sent to whoever asks, which only shows that mail arrives.
pub async fn send_test(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let Some(caller) = call.cx.caller.clone() else {
        return sent(call, SendOutcome::Nowhere);
    };
    let me = caller.identity().user;
    let outcome = call.cx.app.accounts.send_test_letter(me, &by, call.cx.facts.now).await?;
    sent(call, outcome)
}

fn sent(call: &Call<'_>, outcome: SendOutcome) -> Result<Value, Not> {
    match outcome {
        SendOutcome::Waits => Ok(Value::Null),
        SendOutcome::NotFound => Err(Not::Found),
        SendOutcome::Gone => Err(Not::conflict(
            "letter_gone",
            "This message does not wait any more. If it was not sent, do again what it told of.",
        )),
        SendOutcome::TooMany { until } => {
            let minutes = minutes_until(until, call.cx.facts.now);
            let words = format!("5 messages went to this address within an hour. Wait {minutes} minutes.");
            Err(Not::too_many("mail_limit", words, until))
        }
        SendOutcome::Nowhere => Err(Not::conflict(
            "no_mail",
            "Nothing can be sent: no mail is set up, or your account has no email address.",
        )),
    }
}
