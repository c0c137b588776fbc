//! What may be given in a team: invitations, what they promise, copies of what others have, projects.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use crate::accounts::{InviteOutcome, NewInvitation, ProjectOutcome};
use crate::model::id::{InvitationId, ProjectId, UserId};
use crate::model::membership::Offer;
use crate::model::name::{PersonName, TeamName};
use crate::model::role::Power;
use crate::model::team::Level;
use crate::policy::delegation::{Delegation, NotGiven};
use crate::policy::foresee::{foresee, person_to_be};

use super::super::words;
use super::call::{Call, changed_meanwhile, tag_of};
use super::problem::Not;
use super::shape::within;
use super::shapes;

/// What somebody has in a team, or will have, as it was sent. Names that cannot be are noted; whether they may be given is the use case's
/// to say.
pub(super) fn read_offer(call: &mut Call<'_>, team: TeamName) -> Offer {
    let part = |call: &Call<'_>, name: &str| call.body.get(name).cloned().unwrap_or_default();
    let written = call.text("team");
    if !written.is_empty() && written != team.as_str() {
        call.fail("team", "other_team", "The team stays as it is");
    }
    let mut offer = Offer::nothing(team);
    let roles = part(call, "roles");
    offer.roles = call.names(&roles, "roles").into_iter().collect();
    for (name, ticked) in part(call, "permissions").as_object().into_iter().flatten() {
        let at = within("permissions", name);
        let ticked = call.names(ticked, &at);
        if let Some(name) = call.named(name, &at) {
            offer.permissions.entry(name).or_default().extend(ticked);
        }
    }
    for (id, level) in part(call, "projects").as_object().into_iter().flatten() {
        let id: Option<ProjectId> = call.named(id, &within("projects", id));
        let level: Level = level.as_str().and_then(|level| level.parse().ok()).unwrap_or(Level::None);
        if let Some(id) = id.filter(|_| level != Level::None) {
            offer.projects.insert(id, level);
        }
    }
    offer.ip_pattern = call.name("ip_pattern");
    offer.provider = call.name("idp");
    offer
}

/// What may not be given is said at its field.
pub(super) fn not_given(call: &mut Call<'_>, refused: &[NotGiven]) -> Not {
    for one in refused {
        let field = match one {
            NotGiven::Team(_) => "team".to_owned(),
            NotGiven::Role(_) => "roles".to_owned(),
            NotGiven::Application(name) => within("permissions", name.as_str()),
            NotGiven::Permission(_) => "permissions".to_owned(),
            NotGiven::Provider(_) => "idp".to_owned(),
            NotGiven::IpPattern(_) => "ip_pattern".to_owned(),
            NotGiven::Project => "projects".to_owned(),
            NotGiven::Domain(_) | NotGiven::Oneself => "email".to_owned(),
            NotGiven::Bounds => String::new(),
        };
        call.fail(&field, "not_given", one.to_string());
    }
    let words: Vec<String> = refused.iter().map(ToString::to_string).collect();
    Not::allowed(StatusCode::FORBIDDEN, "not_given", words.join(". "))
}

/// Invites somebody.
pub async fn invite(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let email = call.text_as("email", words::email);
    let team: Option<TeamName> = call.name("team");
    let offer = team.map(|team| read_offer(call, team));
    call.sound()?;
    let (Some(email), Some(offer)) = (email, offer) else {
        return Err(Not::Valid);
    };
    let new = NewInvitation { email, offer };
    let (live, now) = (call.cx.live, call.cx.facts.now);
    let outcome = call.cx.app.accounts.invite(&new, &live.policies, &by, now).await?;
    invited(call, outcome)
}

/// Changes what an invitation promises; its link stays.
pub async fn change(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let id: InvitationId = call.param("invitation")?;
    let (accounts, live, now) = (&call.cx.app.accounts, call.cx.live, call.cx.facts.now);
    let found = accounts.invitation(id, &live.policies, &by, now).await?.ok_or(Not::Found)?;
    let seen = found.invitation.offer;
    call.matches(&tag_of(&seen))?;
    let offer = read_offer(call, seen.team.clone());
    call.sound()?;
    let outcome = accounts.change_invitation(id, (&seen, &offer), &live.policies, &by, now).await?;
    invited(call, outcome)
}

/// Sends an invitation again, under another link.
pub async fn resend(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let id: InvitationId = call.param("invitation")?;
    let (live, now) = (call.cx.live, call.cx.facts.now);
    let outcome = call.cx.app.accounts.invite_again(id, &live.policies, &by, now).await?;
    invited(call, outcome)
}

/// Gives an open invitation more time.
pub async fn extend(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let id: InvitationId = call.param("invitation")?;
    let (live, now) = (call.cx.live, call.cx.facts.now);
    let outcome = call.cx.app.accounts.extend_invitation(id, &live.policies, &by, now).await?;
    invited(call, outcome)
}

/// Withdraws an invitation.
pub async fn withdraw(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let id: InvitationId = call.param("invitation")?;
    if call.cx.app.accounts.withdraw_invitation(id, &by, call.cx.facts.now).await? {
        Ok(Value::Null)
    } else {
        Err(Not::Found)
    }
}

fn invited(call: &mut Call<'_>, outcome: InviteOutcome) -> Result<Value, Not> {
    match outcome {
        InviteOutcome::Invited(invited) => {
            call.tag = Some(tag_of(&invited.invitation.offer));
            Ok(shapes::invitation(&call.cx, &invited))
        }
        InviteOutcome::Moved => Err(changed_meanwhile()),
        InviteOutcome::EmailInTeam => {
            call.fail("email", "email_in_team", "Someone in the team already uses this email address");
            Err(Not::conflict(
                "email_in_team",
                "Someone in the team already uses this email address.",
            ))
        }
        InviteOutcome::EmailInvited(id) => {
            let words = format!("This address is invited to the team already, by {id}.");
            call.fail("email", "email_invited", words.as_str());
            Err(Not::conflict("email_invited", words))
        }
        InviteOutcome::NotGiven(refused) => Err(not_given(call, &refused)),
        InviteOutcome::Full { seats } => Err(Not::conflict(
            "team_full",
            format!("All {seats} seats of the team are taken or promised."),
        )),
        InviteOutcome::TooManyLetters { until } => {
            let words = words::too_many_letters(until, call.cx.facts.now);
            Err(Not::too_many("too_many_letters", words, until))
        }
        InviteOutcome::NotFound => Err(Not::Found),
        InviteOutcome::Ended => Err(Not::conflict("invite_ended", "This invitation has ended. Send it again.")),
    }
}

/// What a person-to-be will reach, by the rules' own word.
pub async fn preview(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let team: Option<TeamName> = call.name("team");
    let offer = team.map(|team| read_offer(call, team));
    call.sound()?;
    let offer = offer.ok_or(Not::Valid)?;
    let policies = &call.cx.live.policies;
    if !by.reaches(&offer.team) || Delegation::of(policies, &by.giver, &offer.team).is_none() {
        return Err(not_given(call, &[NotGiven::Team(offer.team)]));
    }
    let projects = call.cx.app.accounts.projects(&offer.team, &by).await?;
    let names: BTreeMap<ProjectId, String> = projects.into_iter().map(|one| (one.id, one.name.to_string())).collect();
    let now = call.cx.facts.now;
    let email = call.text("email").parse().ok();
    let identity = person_to_be(&offer, &names, email, now).ok_or(Not::Valid)?;
    let reach = foresee(policies, &identity, now);
    let items = reach.iter().map(|one| {
        json!({
            "app": one.application.name.as_str(),
            "decision": one.verdict.word(),
            "reason": one.reason.code(),
            "ip_patterns": one.patterns.iter().map(|pattern| pattern.name.to_string()).collect::<Vec<_>>(),
            "anywhere": one.from.is_some(),
        })
    });
    Ok(shapes::page(items.collect(), None))
}

/// What may be given to others of what somebody has in a team.
pub async fn copy(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Invitations)?;
    let (user, team): (UserId, TeamName) = (call.param("user")?, call.param("team")?);
    let policies = &call.cx.live.policies;
    let found = call.cx.app.accounts.copyable(user, &team, policies, &by).await?;
    let offer = found.ok_or(Not::Found)?;
    Ok(json!({ "permissions": offer.permissions, "projects": offer.projects }))
}

/// Makes a project.
pub async fn add_project(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Projects)?;
    let team: Option<TeamName> = call.name("team");
    let name: Option<PersonName> = call.text_as("name", words::person_name);
    call.sound()?;
    let (Some(team), Some(name)) = (team, name) else {
        return Err(Not::Valid);
    };
    let (live, now) = (call.cx.live, call.cx.facts.now);
    let outcome = call.cx.app.accounts.add_project(&team, &name, &live.policies, &by, now).await?;
    if outcome == ProjectOutcome::NotFound {
        return Err(not_given(call, &[NotGiven::Team(team)]));
    }
    project_done(call, outcome)
}

/// Gives a project another name.
pub async fn rename_project(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Projects)?;
    let id: ProjectId = call.param("project")?;
    let name: Option<PersonName> = call.text_as("name", words::person_name);
    call.sound()?;
    let name = name.ok_or(Not::Valid)?;
    let outcome = call.cx.app.accounts.rename_project(id, &name, &by, call.cx.facts.now).await?;
    project_done(call, outcome)
}

/// Removes a project.
pub async fn remove_project(call: &mut Call<'_>) -> Result<Value, Not> {
    let by = call.acting_by(Power::Projects)?;
    let id: ProjectId = call.param("project")?;
    let outcome = call.cx.app.accounts.remove_project(id, &by, call.cx.facts.now).await?;
    project_done(call, outcome)
}

fn project_done(call: &mut Call<'_>, outcome: ProjectOutcome) -> Result<Value, Not> {
    match outcome {
        ProjectOutcome::Done(project) => Ok(shapes::project(&project)),
        ProjectOutcome::NotFound => Err(Not::Found),
        ProjectOutcome::Taken => {
            call.fail("name", "project_taken", "The team has a project of that name");
            Err(Not::conflict("project_taken", "The team has a project of that name."))
        }
        ProjectOutcome::Nameless => {
            call.fail("name", "name_missing", "Enter a name");
            Err(Not::Valid)
        }
    }
}
