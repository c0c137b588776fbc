//! Teams, what their members have, and their projects, as commands see and change them: the same use cases as the console's.

use crate::accounts::acting::Acting;
use crate::accounts::{MembershipOutcome, ProjectOutcome};
use crate::base::time::Timestamp;
use crate::model::id::ProjectId;
use crate::model::name::{PersonName, TeamName};
use crate::model::team::Project;
use crate::policy::delegation::Delegation;
use crate::server::opening::Desk;

use super::Gifts;
use super::answer::{Answer, ProjectLine, TeamLine};
use super::deeds::{No, found, named, no, person_of};
use super::invitations::offer_of;

pub(super) fn list(desk: &Desk) -> Answer {
    let live = desk.app.live();
    let by = Acting::command_line();
    let teams = live.policies.definitions().teams.iter();
    let lines = teams.filter_map(|team| {
        let may = Delegation::of(&live.policies, &by.giver, &team.name)?;
        Some(TeamLine {
            name: team.name.to_string(),
            title: team.title.clone(),
            roles: may.roles.iter().map(|role| role.name.to_string()).collect(),
            permissions: may
                .applications
                .iter()
                .map(|one| {
                    let names = one.permissions.iter().map(|permission| permission.name.to_string());
                    (one.name.to_string(), names.collect())
                })
                .collect(),
            idps: may.providers.iter().map(|one| one.name.to_string()).collect(),
            seats: team.max_users,
        })
    });
    Answer::Teams(lines.collect())
}

pub(super) async fn set(desk: &Desk, who: &str, team: &str, gifts: &Gifts, now: Timestamp) -> Result<Answer, No> {
    let user = found(desk, who).await?;
    let team: TeamName = named("the team", team)?;
    let offer = offer_of(desk, team.clone(), gifts).await?;
    let by = Acting::command_line();
    let accounts = &desk.app.accounts;
    let before = accounts.member(user.id, &team, &by).await?;
    let before = before.ok_or_else(|| no_member(who, &team))?.offer();
    let live = desk.app.live();
    let outcome = accounts
        .change_membership(user.id, (&before, &offer), &live.policies, &by, now)
        .await?;
    told(outcome, who, &team)?;
    Ok(Answer::Person(person_of(desk, user.id, now).await?))
}

pub(super) async fn remove(desk: &Desk, who: &str, team: &str, now: Timestamp) -> Result<Answer, No> {
    let user = found(desk, who).await?;
    let team: TeamName = named("the team", team)?;
    let live = desk.app.live();
    let by = Acting::command_line();
    let outcome = desk.app.accounts.end_membership(user.id, &team, &live.policies, &by, now).await?;
    told(outcome, who, &team)?;
    Ok(Answer::Done(format!("{who} is out of the team {team}")))
}

fn no_member(who: &str, team: &TeamName) -> No {
    no("no-such-member", format!("{who} is not in the team {team}"))
}

fn told(outcome: MembershipOutcome, who: &str, team: &TeamName) -> Result<(), No> {
    match outcome {
        MembershipOutcome::Changed | MembershipOutcome::Unchanged => Ok(()),
        MembershipOutcome::NotFound | MembershipOutcome::Own => Err(no_member(who, team)),
        MembershipOutcome::NotGiven(refused) => {
            let words: Vec<String> = refused.iter().map(ToString::to_string).collect();
            Err(no("not-given", words.join("; ")))
        }
        MembershipOutcome::Moved => Err(no("moved", "somebody changed it in this moment; try again")),
    }
}

pub(super) async fn projects(desk: &Desk, team: Option<&str>) -> Result<Answer, No> {
    let only = team.map(|name| named::<TeamName>("the team", name)).transpose()?;
    let live = desk.app.live();
    let by = Acting::command_line();
    let mut lines = Vec::new();
    for team in &live.policies.definitions().teams {
        if only.as_ref().is_none_or(|only| *only == team.name) {
            lines.extend(desk.app.accounts.projects(&team.name, &by).await?.iter().map(line));
        }
    }
    Ok(Answer::Projects(lines))
}

pub(super) async fn add_project(desk: &Desk, team: &str, name: &str, now: Timestamp) -> Result<Answer, No> {
    let team: TeamName = named("the team", team)?;
    let name: PersonName = named("the name", name)?;
    let live = desk.app.live();
    let by = Acting::command_line();
    done(desk.app.accounts.add_project(&team, &name, &live.policies, &by, now).await?)
}

pub(super) async fn rename_project(desk: &Desk, id: &str, name: &str, now: Timestamp) -> Result<Answer, No> {
    let id: ProjectId = named("the project", id)?;
    let name: PersonName = named("the name", name)?;
    done(desk.app.accounts.rename_project(id, &name, &Acting::command_line(), now).await?)
}

pub(super) async fn delete_project(desk: &Desk, id: &str, now: Timestamp) -> Result<Answer, No> {
    let id: ProjectId = named("the project", id)?;
    match done(desk.app.accounts.remove_project(id, &Acting::command_line(), now).await?)? {
        Answer::Projects(_) => Ok(Answer::Done(format!("the project {id} is deleted"))),
        other => Ok(other),
    }
}

fn done(outcome: ProjectOutcome) -> Result<Answer, No> {
    match outcome {
        ProjectOutcome::Done(project) => Ok(Answer::Projects(vec![line(&project)])),
        ProjectOutcome::Taken => Err(no("project-taken", "the team has a project of that name")),
        ProjectOutcome::Nameless => Err(no("name-missing", "a project has a name")),
        ProjectOutcome::NotFound => Err(no("no-such-project", "there is no such project, or no such team")),
    }
}

fn line(project: &Project) -> ProjectLine {
    ProjectLine {
        id: project.id.to_string(),
        team: project.team.to_string(),
        name: project.name.to_string(),
    }
}
