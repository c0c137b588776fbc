//! One person: their page, and what can be done to their account.

use http::StatusCode;

use crate::accounts::{EditOutcome, Listed, TokenFor};
use crate::model::id::UserId;
use crate::model::membership::Membership;
use crate::model::name::{ProviderName, RoleName};
use crate::model::role::Power;
use crate::model::user::UserStatus;

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop, fail};
use super::super::pages::me::session_row;
use super::super::relative::Moment;
use super::super::view::BASE;
use super::super::words;
use super::users::{HERE, is_admin, row};
use super::view::{ConfirmPage, ConfirmRolePage, DELETE, DISABLE, Deed, MembershipRow, RoleChange, UserPage};

/// GET `/admin/users/{user}`.
pub async fn show_user(cx: &mut Cx<'_>) -> Outcome {
    let page = user_page(cx).await?;
    Ok(cx.page(&page))
}

/// GET `/admin/users/{user}/role`: asks before the role is changed.
pub async fn ask_role(cx: &mut Cx<'_>) -> Outcome {
    let user = asked_user(cx)?;
    let page = role_page(cx, user).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/users/{user}/role`.
pub async fn change_role(cx: &mut Cx<'_>) -> Outcome {
    let user = asked_user(cx)?;
    give_role(cx, user).await
}

/// POST `/admin/users/role`: the same from the dialog, which names the person in the form.
pub async fn change_role_of(cx: &mut Cx<'_>) -> Outcome {
    let user = cx.form.value("user").parse::<UserId>().map_err(|_| Stop::NotFound)?;
    give_role(cx, user).await
}

async fn give_role(cx: &mut Cx<'_>, user: UserId) -> Outcome {
    let by = cx.acting()?;
    let admin = match cx.form.value("role") {
        "admin" => true,
        "user" => false,
        _ => return Err(Stop::NotFound),
    };
    let outcome = cx.app.accounts.set_admin(user, admin, &by, cx.facts.now).await?;
    match deed_done(cx, &outcome)? {
        None => Ok(answer::see_other(&format!("{BASE}{HERE}?done=role"))),
        Some(status) => {
            let page = role_page(cx, user).await?;
            Ok(cx.not_taken(status, &page))
        }
    }
}

/// GET `/admin/users/{user}/disable`.
pub async fn ask_disable(cx: &mut Cx<'_>) -> Outcome {
    let page = confirm_page(cx, DISABLE).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/users/{user}/disable`: no sign-in, and every session ends now.
pub async fn disable(cx: &mut Cx<'_>) -> Outcome {
    let (user, by) = (asked_user(cx)?, cx.acting()?);
    let outcome = cx.app.accounts.disable(user, &by, cx.facts.now).await?;
    after_deed(cx, &outcome, DISABLE, &format!("{BASE}{HERE}/{user}?done=disabled")).await
}

/// POST `/admin/users/{user}/enable`.
pub async fn enable(cx: &mut Cx<'_>) -> Outcome {
    let (user, by) = (asked_user(cx)?, cx.acting()?);
    let outcome = cx.app.accounts.enable(user, &by, cx.facts.now).await?;
    match deed_done(cx, &outcome)? {
        None => Ok(answer::see_other(&format!("{BASE}{HERE}/{user}?done=enabled"))),
        Some(status) => {
            let page = user_page(cx).await?;
            Ok(cx.not_taken(status, &page))
        }
    }
}

/// GET `/admin/users/{user}/delete`.
pub async fn ask_delete(cx: &mut Cx<'_>) -> Outcome {
    let page = confirm_page(cx, DELETE).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/users/{user}/delete`.
pub async fn delete(cx: &mut Cx<'_>) -> Outcome {
    let (user, by) = (asked_user(cx)?, cx.acting()?);
    let outcome = cx.app.accounts.delete(user, &by, cx.facts.now).await?;
    after_deed(cx, &outcome, DELETE, &format!("{BASE}{HERE}?done=deleted")).await
}

/// POST `/admin/users/{user}/token`: a new registration or reset token; the one before ends.
pub async fn new_token(cx: &mut Cx<'_>) -> Outcome {
    let (user, by) = (asked_user(cx)?, cx.acting()?);
    match cx.app.accounts.token_for(user, true, &by, cx.facts.now).await? {
        TokenFor::Token(_) => Ok(answer::see_other(&format!("{BASE}{HERE}/{user}?done=token"))),
        TokenFor::NotFound => Err(Stop::NotFound),
        TokenFor::Disabled => {
            cx.form.fail("", "disabled", "This account is disabled. Enable it first.");
            let page = user_page(cx).await?;
            Ok(cx.not_taken(StatusCode::CONFLICT, &page))
        }
    }
}

/// POST `/admin/users/{user}/sessions`: ends all of that person's.
pub async fn end_sessions(cx: &mut Cx<'_>) -> Outcome {
    let (user, by) = (asked_user(cx)?, cx.acting()?);
    let ended = cx.app.accounts.end_all_of(user, &by, cx.facts.now).await?;
    ended.ok_or(Stop::NotFound)?;
    Ok(answer::see_other(&format!("{BASE}{HERE}/{user}?done=sessions")))
}

/// What went wrong with a deed is noted in the form, with the status to answer; none if it is done.
fn deed_done(cx: &mut Cx<'_>, outcome: &EditOutcome) -> Result<Option<StatusCode>, Stop> {
    Ok(match outcome {
        EditOutcome::Changed | EditOutcome::Unchanged => None,
        EditOutcome::NotFound => return Err(Stop::NotFound),
        EditOutcome::Own => {
            let message = words::OWN_ROLE;
            let told = if cx.form.has("role") {
                message.words
            } else {
                "You cannot do this to your own account"
            };
            cx.form.fail("", message.code, told);
            Some(StatusCode::CONFLICT)
        }
        EditOutcome::LastAdmin => {
            fail(&mut cx.form, "", words::LAST_ADMIN);
            Some(StatusCode::CONFLICT)
        }
        EditOutcome::NotAllowed => {
            cx.form.fail("", "not_allowed", "You may not give or take this role");
            Some(StatusCode::FORBIDDEN)
        }
        EditOutcome::Pending => {
            cx.form.fail("", "pending", "This account is not registered yet");
            Some(StatusCode::CONFLICT)
        }
    })
}

async fn after_deed(cx: &mut Cx<'_>, outcome: &EditOutcome, deed: Deed, on: &str) -> Outcome {
    match deed_done(cx, outcome)? {
        None => Ok(answer::see_other(on)),
        Some(status) => {
            let page = confirm_page(cx, deed).await?;
            Ok(cx.not_taken(status, &page))
        }
    }
}

/// The person that the address names.
///
/// # Errors
/// 404 for a name that is none.
pub fn asked_user(cx: &Cx<'_>) -> Result<UserId, Stop> {
    cx.param("user").parse().map_err(|_| Stop::NotFound)
}

/// Somebody within reach.
///
/// # Errors
/// 404 for anybody else.
pub async fn listed(cx: &Cx<'_>, user: UserId) -> Result<Listed, Stop> {
    let by = cx.acting()?;
    cx.app.accounts.user(user, &by, cx.facts.now).await?.ok_or(Stop::NotFound)
}

async fn role_page(cx: &Cx<'_>, user: UserId) -> Result<ConfirmRolePage, Stop> {
    let line = listed(cx, user).await?;
    Ok(ConfirmRolePage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        user: user.to_string(),
        name: line.user.display_name(),
        change: RoleChange::from(is_admin(&line.user)),
    })
}

async fn confirm_page(cx: &Cx<'_>, deed: Deed) -> Result<ConfirmPage, Stop> {
    let user = asked_user(cx)?;
    let line = listed(cx, user).await?;
    Ok(ConfirmPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        href: format!("{BASE}{HERE}/{user}"),
        name: line.user.display_name(),
        open: open_words(cx, user).await?,
        deed,
    })
}

async fn user_page(cx: &Cx<'_>) -> Result<UserPage, Stop> {
    let user = asked_user(cx)?;
    let now = cx.facts.now;
    let line = listed(cx, user).await?;
    let sessions = cx.app.accounts.sessions_of(user, now).await?;
    let other_roles: Vec<String> = line
        .user
        .roles
        .iter()
        .filter(|role| **role != RoleName::admin() && **role != RoleName::user())
        .map(|role| {
            cx.live
                .policies
                .role(role)
                .map_or_else(|| role.to_string(), |role| role.title.clone())
        })
        .collect();
    let mut ways = Vec::new();
    if line.user.password.is_some() {
        ways.push("Password".to_owned());
    }
    ways.extend(line.user.external.iter().map(|external| provider_title(cx, &external.provider)));
    let pending = line.user.status == UserStatus::Pending;
    Ok(UserPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        row: row(cx, &line)?,
        disabled: line.user.status == UserStatus::Disabled,
        memberships: line
            .memberships
            .iter()
            // What somebody has in a team that whoever looks does not administer is not theirs to know.
            .filter(|membership| {
                cx.standing
                    .as_ref()
                    .is_some_and(|standing| standing.may_in(Power::Users, &membership.team))
            })
            .map(|membership| membership_row(cx, &line, membership))
            .collect(),
        sessions: sessions.iter().map(|session| session_row(cx, session, now)).collect(),
        open: open_now(sessions.len(), cx.app.open.of_user(user)),
        new_token: match (pending, line.tokens.is_empty()) {
            (_, false) => "Make a new token",
            (true, true) => "Make a registration token",
            (false, true) => "Make a reset token",
        },
        other_roles: other_roles.join(", "),
        ways: if ways.is_empty() { "None yet".to_owned() } else { ways.join(", ") },
        created: Moment::of(line.user.created, now),
        done: match cx.query.value("done") {
            "disabled" => Some("The account is disabled, and its sessions are ended.".to_owned()),
            "enabled" => Some("The account is enabled.".to_owned()),
            "token" => Some("A new token is made. The one before it has ended.".to_owned()),
            "membership" => Some("The membership is changed. It counts from the next request.".to_owned()),
            "sessions" => Some("All sessions are ended.".to_owned()),
            _ => None,
        },
    })
}

/// What somebody has open, in words.
///
/// # Errors
/// As the store's.
pub async fn open_words(cx: &Cx<'_>, user: UserId) -> Result<String, Stop> {
    let sessions = cx.app.accounts.sessions_of(user, cx.facts.now).await?.len();
    Ok(open_now(sessions, cx.app.open.of_user(user)))
}

/// What somebody has open, which ends with their sessions.
fn open_now(sessions: usize, streams: usize) -> String {
    let plural = |count| if count == 1 { "" } else { "s" };
    format!("{sessions} session{}, {streams} stream{}", plural(sessions), plural(streams))
}

fn membership_row(cx: &Cx<'_>, line: &Listed, membership: &Membership) -> MembershipRow {
    let policies = &cx.live.policies;
    let own = cx.caller.as_ref().is_some_and(|caller| caller.identity().user == membership.user);
    let changeable = !own && (cx.may_give_admin() || !is_admin(&line.user)) && policies.team(&membership.team).is_some();
    let applications: Vec<String> = membership
        .permissions
        .iter()
        .map(|(name, permissions)| {
            let title = policies
                .application(name)
                .map_or_else(|| name.to_string(), |application| application.title.clone());
            let held: Vec<String> = permissions.iter().map(ToString::to_string).collect();
            if held.is_empty() {
                title
            } else {
                format!("{title} ({})", held.join(", "))
            }
        })
        .collect();
    let roles: Vec<String> = membership
        .roles
        .iter()
        .map(|name| policies.role(name).map_or_else(|| name.to_string(), |role| role.title.clone()))
        .collect();
    MembershipRow {
        href: changeable.then(|| format!("{BASE}{HERE}/{}/teams/{}", membership.user, membership.team)),
        team: policies
            .team(&membership.team)
            .map_or_else(|| membership.team.to_string(), |team| team.title.clone()),
        roles: roles.join(", "),
        applications: applications.join(", "),
        ip_pattern: membership
            .ip_pattern
            .as_ref()
            .map(|name| {
                policies
                    .ip_pattern(name)
                    .map_or_else(|| name.to_string(), |pattern| pattern.title.clone())
            })
            .unwrap_or_default(),
        provider: membership
            .provider
            .as_ref()
            .map(|name| provider_title(cx, name))
            .unwrap_or_default(),
    }
}

fn provider_title(cx: &Cx<'_>, name: &ProviderName) -> String {
    cx.live
        .policies
        .provider(name)
        .map_or_else(|| name.to_string(), |provider| provider.title.clone())
}
