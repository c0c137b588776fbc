//! People, their sessions and memberships, invitations, teams and projects: looked at.

use serde_json::{Map, Value, json};

use crate::accounts::{Filter, InvitationFilter, InvitationsFrom, Page, SessionSearch, StatusFilter};
use crate::model::id::{InvitationId, ProjectId, UserId};
use crate::model::name::TeamName;
use crate::model::role::Power;
use crate::policy::delegation::Delegation;

use super::call::{Call, tag_of};
use super::problem::Not;
use super::shapes;

const NO_NAME: &str = "Invalid characters found";

/// Who asks, and what they may.
pub async fn me(call: &mut Call<'_>) -> Result<Value, Not> {
    let held = call
        .cx
        .standing
        .as_ref()
        .and_then(|standing| standing.held.clone())
        .ok_or(Not::Found)?;
    let identity = call.cx.caller.as_ref().map(|caller| caller.identity()).ok_or(Not::Found)?;
    let powers = held.powers();
    let words = |powers: &std::collections::BTreeSet<Power>| powers.iter().map(|power| power.word()).collect::<Vec<_>>();
    let teams: Map<String, Value> = powers
        .in_team
        .iter()
        .map(|(team, powers)| (team.to_string(), words(powers).into()))
        .collect();
    Ok(json!({
        "kind": "user",
        "id": identity.user.to_string(),
        "name": identity.display_name(),
        "powers": words(&powers.everywhere),
        "teams": teams,
    }))
}

/// People within reach.
pub async fn list(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let filter = Filter {
        text: call.asked("q").to_owned(),
        team: call.asked_as("team", "invalid_characters", NO_NAME),
        role: call.asked_as("role", "invalid_characters", NO_NAME),
        status: match call.asked("status") {
            "reset" => Some(StatusFilter::ResetAsked),
            other => other.parse().ok().map(StatusFilter::Is),
        },
    };
    call.sound()?;
    let page = match call.asked("after") {
        "" => Page::First,
        after => Page::After(after.to_owned()),
    };
    let now = call.cx.facts.now;
    let found = call.cx.app.accounts.list_users(&filter, &page, call.limit(), &by, now).await?;
    let items = found.lines.iter().map(|line| shapes::user(&call.cx, line, &by)).collect();
    let mut value = shapes::page(items, found.after);
    if let Some(parts) = value.as_object_mut() {
        parts.insert("total".to_owned(), found.total.into());
    }
    Ok(value)
}

/// One person.
pub async fn show(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let id: UserId = call.param("user")?;
    let found = call.cx.app.accounts.user(id, &by, call.cx.facts.now).await?;
    let line = found.ok_or(Not::Found)?;
    Ok(shapes::user(&call.cx, &line, &by))
}

/// The sessions of one person.
pub async fn sessions_of(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let id: UserId = call.param("user")?;
    let (accounts, now) = (&call.cx.app.accounts, call.cx.facts.now);
    let line = accounts.user(id, &by, now).await?.ok_or(Not::Found)?;
    let own = call.own_session();
    let sessions = accounts.sessions_of(id, now).await?;
    let items = sessions.iter().map(|one| shapes::session(one, &line.user, line.changeable, own));
    Ok(shapes::page(items.collect(), None))
}

/// What somebody has in a team.
pub async fn show_membership(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let (user, team): (UserId, TeamName) = (call.param("user")?, call.param("team")?);
    let found = call.cx.app.accounts.member(user, &team, &by).await?.ok_or(Not::Found)?;
    call.tag = Some(tag_of(&found.offer()));
    Ok(shapes::membership(&found))
}

/// Live sessions of people within reach.
pub async fn sessions(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Users)?;
    let page = match call.asked("after") {
        "" => Page::First,
        after => Page::After(after.to_owned()),
    };
    let search = SessionSearch::read(call.asked("q"));
    let now = call.cx.facts.now;
    let found = call.cx.app.accounts.list_sessions(&search, &page, call.limit(), &by, now).await?;
    let items = found.lines.iter().map(|one| shapes::listed_session(call, one)).collect();
    Ok(shapes::page(items, found.after))
}

/// Invitations within reach.
pub async fn invitations(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let filter = InvitationFilter {
        text: call.asked("q").to_owned(),
        team: call.asked_as("team", "invalid_characters", NO_NAME),
        progress: call.asked("status").parse().ok(),
    };
    let from = call.asked_as::<InvitationId>("after", "no_page", "This is the `next` of no page");
    call.sound()?;
    let from = from.map_or(InvitationsFrom::First, InvitationsFrom::After);
    let (live, now) = (call.cx.live, call.cx.facts.now);
    let found = call
        .cx
        .app
        .accounts
        .list_invitations(&filter, from, call.limit(), (&live.policies, &by), now)
        .await?;
    let items = found.lines.iter().map(|one| shapes::invitation(&call.cx, one)).collect();
    let mut value = shapes::page(items, found.after.map(|id| id.to_string()));
    if let Some(parts) = value.as_object_mut() {
        parts.insert("total".to_owned(), found.total.into());
    }
    Ok(value)
}

/// One invitation.
pub async fn show_invitation(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let id: InvitationId = call.param("invitation")?;
    let (live, now) = (call.cx.live, call.cx.facts.now);
    let found = call.cx.app.accounts.invitation(id, &live.policies, &by, now).await?;
    let found = found.ok_or(Not::Found)?;
    call.tag = Some(tag_of(&found.invitation.offer));
    Ok(shapes::invitation(&call.cx, &found))
}

/// Teams, with what may be given in each.
pub async fn teams(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_anyhow()?;
    let policies = &call.cx.live.policies;
    let items = shapes::teams(&call.cx, &by).into_iter().filter_map(|team| {
        let may = Delegation::of(policies, &by.giver, &team.name)?;
        let permissions: Map<String, Value> = may
            .applications
            .iter()
            .map(|application| {
                let names: Vec<String> = application.permissions.iter().map(|one| one.name.to_string()).collect();
                (application.name.to_string(), names.into())
            })
            .collect();
        Some(json!({
            "name": team.name.as_str(),
            "title": team.title,
            "roles": may.roles.iter().map(|role| role.name.to_string()).collect::<Vec<_>>(),
            "permissions": permissions,
            "idps": may.providers.iter().map(|one| one.name.to_string()).collect::<Vec<_>>(),
            "seats": team.max_users,
        }))
    });
    Ok(shapes::page(items.collect(), None))
}

/// Projects of teams within reach.
pub async fn projects(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Projects)?;
    let only: Option<TeamName> = call.asked_as("team", "invalid_characters", NO_NAME);
    call.sound()?;
    let mut items = Vec::new();
    for team in shapes::teams(&call.cx, &by) {
        if only.as_ref().is_none_or(|only| *only == team.name) {
            let projects = call.cx.app.accounts.projects(&team.name, &by).await?;
            items.extend(projects.iter().map(shapes::project));
        }
    }
    Ok(shapes::page(items, None))
}

/// One project.
pub async fn show_project(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Projects)?;
    let id: ProjectId = call.param("project")?;
    let found = call.cx.app.accounts.project(id, &by).await?;
    Ok(shapes::project(&found.ok_or(Not::Found)?))
}
