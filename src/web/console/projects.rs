//! Projects of the teams one administers: made, renamed, deleted.

use askama::Template;
use http::StatusCode;

use crate::accounts::ProjectOutcome;
use crate::model::id::ProjectId;
use crate::model::name::{PersonName, TeamName};
use crate::model::role::Power;
use crate::model::team::Project;

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::view::{BASE, Frame, Me};
use super::super::words;
use super::view::Choice;

/// Where the list is, below `/.portcullis`.
pub const HERE: &str = "/admin/projects";

/// A team with its projects.
#[derive(Clone, Debug)]
pub struct TeamProjects {
    /// Its title.
    pub team: String,
    /// Its projects: address and name of each.
    pub projects: Vec<(String, String)>,
}

/// The list.
#[derive(Template)]
#[template(path = "console/projects.html")]
pub struct ProjectsPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// The teams that have some.
    pub teams: Vec<TeamProjects>,
    /// The teams in which one may be made.
    pub choices: Vec<Choice>,
    /// What was done just now.
    pub done: Option<&'static str>,
}

/// One project.
#[derive(Template)]
#[template(path = "console/project.html")]
pub struct ProjectPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Its name.
    pub name: String,
    /// Its team's title.
    pub team: String,
    /// Its address.
    pub href: String,
}

/// GET `/admin/projects`.
pub async fn show_list(cx: &mut Cx<'_>) -> Outcome {
    let page = list_page(cx).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/projects`: a new one.
pub async fn add(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Projects)?;
    let team: TeamName = cx.form.value("team").parse().map_err(|_| Stop::NotFound)?;
    let status = match read_name(cx) {
        Some(name) => {
            let outcome = cx
                .app
                .accounts
                .add_project(&team, &name, &cx.live.policies, &by, cx.facts.now)
                .await?;
            match told(cx, &outcome)? {
                None => return Ok(answer::see_other(&format!("{BASE}{HERE}?done=made"))),
                Some(status) => status,
            }
        }
        None => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let page = list_page(cx).await?;
    Ok(cx.not_taken(status, &page))
}

/// GET `/admin/projects/{project}`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let project = found(cx).await?;
    Ok(cx.page(&project_page(cx, &project)))
}

/// POST `/admin/projects/{project}`: another name, or an end.
pub async fn change(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Projects)?;
    let project = found(cx).await?;
    let now = cx.facts.now;
    if cx.form.value("do") == "delete" {
        let outcome = cx.app.accounts.remove_project(project.id, &by, now).await?;
        return match told(cx, &outcome)? {
            None => Ok(answer::see_other(&format!("{BASE}{HERE}?done=deleted"))),
            Some(status) => Ok(cx.not_taken(status, &project_page(cx, &project))),
        };
    }
    let status = match read_name(cx) {
        Some(name) => {
            let outcome = cx.app.accounts.rename_project(project.id, &name, &by, now).await?;
            match told(cx, &outcome)? {
                None => return Ok(answer::see_other(&format!("{BASE}{HERE}?done=renamed"))),
                Some(status) => status,
            }
        }
        None => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok(cx.not_taken(status, &project_page(cx, &project)))
}

fn read_name(cx: &mut Cx<'_>) -> Option<PersonName> {
    match cx.form.trimmed("name").parse::<PersonName>() {
        Ok(name) => Some(name),
        Err(flaw) => {
            let (code, told) = words::person_name(flaw);
            cx.form.fail("name", code, told);
            None
        }
    }
}

/// What went wrong is noted in the form, with the status to answer; none if it is done.
fn told(cx: &mut Cx<'_>, outcome: &ProjectOutcome) -> Result<Option<StatusCode>, Stop> {
    let (code, words, status) = match outcome {
        ProjectOutcome::Done(_) => return Ok(None),
        ProjectOutcome::NotFound => return Err(Stop::NotFound),
        ProjectOutcome::Taken => ("project_taken", "The team has a project of that name", StatusCode::CONFLICT),
        ProjectOutcome::Nameless => ("name_missing", "Enter a name", StatusCode::UNPROCESSABLE_ENTITY),
    };
    cx.form.fail("name", code, words);
    Ok(Some(status))
}

async fn found(cx: &Cx<'_>) -> Result<Project, Stop> {
    let by = cx.acting_by(Power::Projects)?;
    let id: ProjectId = cx.param("project").parse().map_err(|_| Stop::NotFound)?;
    cx.app.accounts.project(id, &by).await?.ok_or(Stop::NotFound)
}

async fn list_page(cx: &Cx<'_>) -> Result<ProjectsPage, Stop> {
    let by = cx.acting_by(Power::Projects)?;
    let standing = cx.standing.as_ref();
    let mut teams = Vec::new();
    let mut choices = Vec::new();
    for team in &cx.live.policies.definitions().teams {
        if !standing.is_some_and(|standing| standing.may_in(Power::Projects, &team.name)) {
            continue;
        }
        choices.push(Choice {
            value: team.name.to_string(),
            words: team.title.clone(),
            chosen: cx.form.value("team") == team.name.as_str(),
        });
        let projects = cx.app.accounts.projects(&team.name, &by).await?;
        if !projects.is_empty() {
            teams.push(TeamProjects {
                team: team.title.clone(),
                projects: projects
                    .iter()
                    .map(|project| (address(project), project.name.to_string()))
                    .collect(),
            });
        }
    }
    Ok(ProjectsPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        teams,
        choices,
        done: match cx.query.value("done") {
            "made" => Some("The project is made."),
            "renamed" => Some("The project has another name."),
            "deleted" => Some("The project is deleted."),
            _ => None,
        },
    })
}

fn project_page(cx: &Cx<'_>, project: &Project) -> ProjectPage {
    let team = cx.live.policies.team(&project.team);
    ProjectPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        name: project.name.to_string(),
        team: team.map_or_else(|| project.team.to_string(), |team| team.title.clone()),
        href: address(project),
    }
}

fn address(project: &Project) -> String {
    format!("{BASE}{HERE}/{}", project.id)
}
