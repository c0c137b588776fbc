//! Teams: what the files give each, who is in it, and the groups of its members. Teams themselves are files; groups are kept here.

use std::collections::BTreeSet;

use askama::Template;
use http::StatusCode;

use crate::accounts::{GroupOutcome, TeamFigures};
use crate::model::name::{RoleName, TeamName};
use crate::model::role::Power;
use crate::policy::definitions::{Scope, Team};

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::view::{BASE, Frame, Me};
use super::groups::{read_name, told};
use super::written::quoted;

/// Where the list is, below `/.portcullis`.
pub const HERE: &str = "/admin/teams";

/// A team in the list.
#[derive(Clone, Debug)]
pub struct TeamRow {
    /// Its title.
    pub title: String,
    /// Its address.
    pub href: String,
    /// Members and open invitations.
    pub members: usize,
    /// Open invitations.
    pub invited: usize,
    /// Who administers it.
    pub leaders: String,
    /// Titles of what it gives.
    pub applications: String,
    /// Titles of the patterns it is bound to.
    pub patterns: String,
}

/// What a role of teams may do in the console.
#[derive(Clone, Debug)]
pub struct RoleRow {
    /// Its title.
    pub title: String,
    /// Whether it keeps projects.
    pub projects: bool,
    /// Whether it keeps users and groups.
    pub users: bool,
    /// Whether it invites.
    pub invitations: bool,
    /// Permissions in applications, as the files name them.
    pub permissions: String,
}

/// The list.
#[derive(Template)]
#[template(path = "console/teams.html")]
pub struct TeamsPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// The teams.
    pub rows: Vec<TeamRow>,
    /// The roles that are held in teams.
    pub roles: Vec<RoleRow>,
}

/// A group in the page of its team.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Its address.
    pub href: String,
    /// How many are in it, in words.
    pub members: String,
    /// Levels it gives, in words; empty if none.
    pub levels: String,
}

/// One team.
#[derive(Template)]
#[template(path = "console/team.html")]
pub struct TeamPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// The team.
    pub team: TeamRow,
    /// Its name in the files.
    pub name: String,
    /// Its groups.
    pub groups: Vec<GroupRow>,
    /// File and line; empty for what no file says.
    pub at: String,
    /// Its table as it is written.
    pub toml: String,
    /// What was done just now.
    pub done: Option<&'static str>,
}

/// GET `/admin/teams`.
pub async fn show_list(cx: &mut Cx<'_>) -> Outcome {
    let mut rows = Vec::new();
    for team in &cx.live.policies.definitions().teams {
        if reaches(cx, team) {
            rows.push(row(cx, team).await?);
        }
    }
    let page = TeamsPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        rows,
        roles: roles(cx),
    };
    Ok(cx.page(&page))
}

/// GET `/admin/teams/{team}`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let page = page(cx, asked(cx)?).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/teams/{team}`: a new group.
pub async fn add_group(cx: &mut Cx<'_>) -> Outcome {
    let team = asked(cx)?;
    let by = cx.acting_by(Power::Groups)?;
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(name) = read_name(cx) {
        let outcome = cx.app.accounts.add_group(&team.name, &name, &by, cx.facts.now).await?;
        if let GroupOutcome::Done(group) = &outcome {
            return Ok(answer::see_other(&format!("{BASE}{}/{}?done=made", super::groups::HERE, group.id)));
        }
        status = told(cx, &outcome)?;
    }
    let drawn = page(cx, team).await?;
    Ok(cx.not_taken(status, &drawn))
}

fn reaches(cx: &Cx<'_>, team: &Team) -> bool {
    let standing = cx.standing.as_ref();
    standing.is_some_and(|standing| standing.may_in(Power::Groups, &team.name))
}

fn asked<'p>(cx: &Cx<'p>) -> Result<&'p Team, Stop> {
    let name: TeamName = cx.param("team").parse().map_err(|_| Stop::NotFound)?;
    let team = cx.live.policies.team(&name).ok_or(Stop::NotFound)?;
    if reaches(cx, team) { Ok(team) } else { Err(Stop::NotFound) }
}

/// The roles whose holders administer a team.
fn leading(cx: &Cx<'_>) -> BTreeSet<RoleName> {
    let roles = cx.live.policies.definitions().roles.iter();
    let lead = roles.filter(|role| role.scope == Scope::Team && role.admin.contains(&Power::Users));
    lead.map(|role| role.name.clone()).collect()
}

async fn row(cx: &Cx<'_>, team: &Team) -> Result<TeamRow, Stop> {
    let by = cx.acting_by(Power::Groups)?;
    let figures = cx.app.accounts.team_figures(&team.name, &leading(cx), &by, cx.facts.now).await?;
    let policies = &cx.live.policies;
    let applications = team.apps.iter().map(|name| {
        let application = policies.application(name);
        application.map_or_else(|| name.to_string(), |application| application.title.clone())
    });
    let definitions = policies.definitions();
    let patterns = team.ip_pattern.iter().map(|name| {
        let pattern = definitions.ip_patterns.iter().find(|pattern| pattern.name == *name);
        pattern.map_or_else(|| name.to_string(), |pattern| pattern.title.clone())
    });
    Ok(TeamRow {
        title: team.title.clone(),
        href: format!("{BASE}{HERE}/{}", team.name),
        members: figures.members,
        invited: figures.invited,
        leaders: leaders(&figures),
        applications: listed(applications),
        patterns: listed(patterns),
    })
}

fn leaders(figures: &TeamFigures) -> String {
    match figures.more_leaders {
        0 => listed(figures.leaders.iter().cloned()),
        more => format!("{} and {more} more", figures.leaders.join(", ")),
    }
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "None".to_owned() } else { words.join(", ") }
}

fn roles(cx: &Cx<'_>) -> Vec<RoleRow> {
    let roles = cx.live.policies.definitions().roles.iter().filter(|role| role.scope == Scope::Team);
    roles
        .map(|role| RoleRow {
            title: role.title.clone(),
            projects: role.admin.contains(&Power::Projects),
            users: role.admin.contains(&Power::Users) && role.admin.contains(&Power::Groups),
            invitations: role.admin.contains(&Power::Invitations),
            permissions: role.permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
        .collect()
}

async fn page(cx: &Cx<'_>, team: &Team) -> Result<TeamPage, Stop> {
    let by = cx.acting_by(Power::Groups)?;
    let groups = cx.app.accounts.groups(&team.name, &by).await?;
    Ok(TeamPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        team: row(cx, team).await?,
        name: team.name.to_string(),
        groups: groups
            .iter()
            .map(|group| GroupRow {
                name: group.name.to_string(),
                href: format!("{BASE}{}/{}", super::groups::HERE, group.id),
                members: match group.members.len() {
                    0 => "Nobody".to_owned(),
                    1 => "1 person".to_owned(),
                    many => format!("{many} people"),
                },
                levels: match group.projects.len() {
                    0 => String::new(),
                    1 => "A level in 1 project".to_owned(),
                    many => format!("A level in {many} projects"),
                },
            })
            .collect(),
        at: team.at.line(),
        toml: quoted(&cx.live.texts, &team.at, &format!("team.{}", team.name)),
        done: match cx.query.value("done") {
            "deleted" => Some("The group is deleted."),
            _ => None,
        },
    })
}
