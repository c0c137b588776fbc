//! A group of a team's members: its name, who is in it, and the levels in projects that they have through it.

use std::collections::BTreeSet;

use askama::Template;
use http::StatusCode;

use crate::accounts::{Acting, GroupChange, GroupOutcome, MOST_MEMBERS, Member};
use crate::base::encoding::hex;
use crate::base::secret::sha256;
use crate::model::id::{GroupId, ProjectId, UserId};
use crate::model::name::{PersonName, TeamName};
use crate::model::role::Power;
use crate::model::team::{Group, Level, Project};

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop, fail};
use super::super::form::Form;
use super::super::view::{BASE, Frame, Link, Me};
use super::super::words;
use super::invite_view::{ProjectRow, Tick};
use super::teams;

/// Where groups are, below `/.portcullis`.
pub const HERE: &str = "/admin/groups";

/// The page of a group.
#[derive(Template)]
#[template(path = "console/group.html")]
pub struct GroupPage {
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
    /// Its team.
    pub team: Link,
    /// Where its forms go.
    pub href: String,
    /// What whoever changes it was shown.
    pub seen: String,
    /// Who is in it.
    pub members: Vec<Tick>,
    /// The team's projects, with the level that the group gives.
    pub projects: Vec<ProjectRow>,
    /// What was done just now.
    pub done: Option<&'static str>,
}

/// GET `/admin/groups/{group}`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let group = found(cx).await?;
    let page = page(cx, &group).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/groups/{group}`: another name, other members, other levels, or an end.
pub async fn change(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Groups)?;
    let group = found(cx).await?;
    let now = cx.facts.now;
    if cx.form.value("do") == "delete" {
        let outcome = cx.app.accounts.remove_group(group.id, &by, now).await?;
        return match outcome {
            GroupOutcome::Done(group) => Ok(answer::see_other(&format!("{BASE}{}/{}?done=deleted", teams::HERE, group.team))),
            _ => Err(Stop::NotFound),
        };
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(change) = read(cx, &group.team, &by).await? {
        if cx.form.value("seen") == digest(&group) {
            let outcome = cx.app.accounts.change_group(&group, &change, &by, now).await?;
            if matches!(outcome, GroupOutcome::Done(_)) {
                return Ok(answer::see_other(&format!("{BASE}{HERE}/{}?done=saved", group.id)));
            }
            status = told(cx, &outcome)?;
        } else {
            // Shown is what stands there now, with what was typed in the boxes: saving again is a decision.
            status = told(cx, &GroupOutcome::Moved)?;
        }
    }
    let page = page(cx, &group).await?;
    Ok(cx.not_taken(status, &page))
}

/// What was typed as a name; none if it cannot be one, which is noted.
pub(super) fn read_name(cx: &mut Cx<'_>) -> Option<PersonName> {
    match cx.form.trimmed("name").parse::<PersonName>() {
        Ok(name) => Some(name),
        Err(flaw) => {
            let (code, told) = words::person_name(flaw);
            cx.form.fail("name", code, told);
            None
        }
    }
}

/// Notes in the form what went wrong, and says the status to answer.
///
/// # Errors
/// 404 for what is not there.
pub(super) fn told(cx: &mut Cx<'_>, outcome: &GroupOutcome) -> Result<StatusCode, Stop> {
    let (field, code, words, status) = match outcome {
        GroupOutcome::Done(_) => return Ok(StatusCode::OK),
        GroupOutcome::NotFound => return Err(Stop::NotFound),
        GroupOutcome::Taken => ("name", "group_taken", "The team has a group of that name", StatusCode::CONFLICT),
        GroupOutcome::Nameless => ("name", "name_missing", "Enter a name", StatusCode::UNPROCESSABLE_ENTITY),
        GroupOutcome::NoMember => (
            "add",
            "no_member",
            "Somebody is no member of this team whom you may change",
            StatusCode::CONFLICT,
        ),
        GroupOutcome::Own => ("", "own_group", "You cannot change what you have yourself", StatusCode::CONFLICT),
        GroupOutcome::NoProject => ("", "not_given", "The team has no such project any more", StatusCode::CONFLICT),
        GroupOutcome::Full => (
            "",
            "group_full",
            "There are too many: a group holds 500 people, a team 200 groups",
            StatusCode::CONFLICT,
        ),
        GroupOutcome::Moved => {
            fail(&mut cx.form, "", words::CHANGED_MEANWHILE);
            return Ok(StatusCode::CONFLICT);
        }
    };
    cx.form.fail(field, code, words);
    Ok(status)
}

/// The form as it was sent; none if something is wrong with it, which is noted.
async fn read(cx: &mut Cx<'_>, team: &TeamName, by: &Acting) -> Result<Option<GroupChange>, Stop> {
    let name = read_name(cx);
    let mut members: BTreeSet<UserId> = cx.form.beginning("member-").filter_map(|(id, _)| id.parse().ok()).collect();
    let levels = cx.form.beginning("project-");
    let projects = levels
        .filter_map(|(id, level)| Some((id.parse::<ProjectId>().ok()?, level.parse::<Level>().ok()?)))
        .collect();
    let typed = cx.form.value("add").to_owned();
    let mut unknown = Vec::new();
    for one in typed
        .split([',', ';', ' ', '\r', '\n', '\t'])
        .filter(|one| !one.is_empty())
        .take(MOST_MEMBERS)
    {
        // Who is in another team only is told apart from nobody by nothing.
        let member = match cx.app.accounts.user_named(one).await? {
            Some(user) => cx.app.accounts.member(user.id, team, by).await?.map(|_| user.id),
            None => None,
        };
        match member {
            Some(member) => {
                members.insert(member);
            }
            None => unknown.push(one.to_owned()),
        }
    }
    if !unknown.is_empty() {
        cx.form.fail(
            "add",
            "no_member",
            format!("No member of this team has that name: {}", unknown.join(", ")),
        );
    }
    Ok(name
        .filter(|_| !cx.form.failed())
        .map(|name| GroupChange { name, members, projects }))
}

async fn found(cx: &Cx<'_>) -> Result<Group, Stop> {
    let by = cx.acting_by(Power::Groups)?;
    let id: GroupId = cx.param("group").parse().map_err(|_| Stop::NotFound)?;
    cx.app.accounts.group(id, &by).await?.ok_or(Stop::NotFound)
}

async fn page(cx: &Cx<'_>, group: &Group) -> Result<GroupPage, Stop> {
    let by = cx.acting_by(Power::Groups)?;
    let accounts = &cx.app.accounts;
    let members = accounts.members_of_group(group).await?;
    let projects = accounts.projects(&group.team, &by).await?;
    let team = cx.live.policies.team(&group.team);
    // After a mistake the boxes stand as they were sent.
    let typed = cx.form.has("do");
    Ok(GroupPage {
        frame: cx.frame(),
        me: cx.me(),
        here: teams::HERE,
        form: cx.form.clone(),
        name: group.name.to_string(),
        team: Link {
            path: format!("{BASE}{}/{}", teams::HERE, group.team),
            name: team.map_or_else(|| group.team.to_string(), |team| team.title.clone()),
        },
        href: format!("{BASE}{HERE}/{}", group.id),
        seen: digest(group),
        members: members.iter().map(|member| member_tick(cx, member, typed)).collect(),
        projects: projects.iter().map(|project| project_row(cx, group, project)).collect(),
        done: match cx.query.value("done") {
            "made" => Some("The group is made. Put people in it, and give it levels in projects."),
            "saved" => Some("The group is saved."),
            _ => None,
        },
    })
}

fn member_tick(cx: &Cx<'_>, member: &Member, typed: bool) -> Tick {
    let field = format!("member-{}", member.id);
    Tick {
        ticked: !typed || cx.form.has(&field),
        field,
        title: member.name.clone(),
        hint: String::new(),
    }
}

fn project_row(cx: &Cx<'_>, group: &Group, project: &Project) -> ProjectRow {
    let field = format!("project-{}", project.id);
    let kept = group.projects.get(&project.id).copied().unwrap_or(Level::None);
    ProjectRow {
        level: cx.form.value(&field).parse().unwrap_or(kept).word(),
        field,
        name: project.name.to_string(),
    }
}

/// What a group is, in short: the form carries it, so that a change by somebody else in between is noticed.
fn digest(group: &Group) -> String {
    let text = serde_json::to_vec(group).unwrap_or_default();
    let mut digest = hex(&sha256(&text));
    digest.truncate(16);
    digest
}
