//! `portcullis team`: see teams, change what their members have, keep projects.

use std::path::Path;

use crate::server::control::{Answer, Gifts, Request};

use super::Outcome;
use super::arguments::{GiftOptions, ProjectCommand, TeamCommand};
use super::ask::{ask, strange};
use super::output::Output;

pub(super) fn run(config: &Path, command: TeamCommand, output: &Output) -> Outcome {
    let request = match command {
        TeamCommand::List => Request::TeamList,
        TeamCommand::Set { who, team, gifts } => Request::TeamSet {
            who,
            team,
            gifts: gifts_of(gifts),
        },
        TeamCommand::Remove { who, team } => Request::TeamRemove { who, team },
        TeamCommand::Project(ProjectCommand::List { team }) => Request::ProjectList { team },
        TeamCommand::Project(ProjectCommand::Add { team, name }) => Request::ProjectAdd { team, name },
        TeamCommand::Project(ProjectCommand::Rename { id, name }) => Request::ProjectRename { id, name },
        TeamCommand::Project(ProjectCommand::Delete { id }) => Request::ProjectDelete { id },
    };
    match ask(config, &request) {
        Ok(Answer::Teams(teams)) => output.answer(&teams, |teams| {
            let rows = teams
                .iter()
                .map(|team| {
                    let apps: Vec<&str> = team.permissions.keys().map(String::as_str).collect();
                    vec![
                        team.name.clone(),
                        team.title.clone(),
                        team.roles.join(" "),
                        apps.join(" "),
                        team.idps.join(" "),
                    ]
                })
                .collect();
            output.table(&["TEAM", "TITLE", "ROLES", "APPLICATIONS", "PROVIDERS"], rows)
        }),
        Ok(Answer::Projects(projects)) => output.answer(&projects, |projects| {
            let rows = projects
                .iter()
                .map(|project| vec![project.id.clone(), project.team.clone(), project.name.clone()])
                .collect();
            output.table(&["ID", "TEAM", "NAME"], rows)
        }),
        Ok(Answer::Person(person)) => output.answer(&person, |person| {
            format!("{}: changed; it counts from the next request", person.username)
        }),
        Ok(Answer::Done(words)) => output.answer(&serde_json::json!({ "done": words }), |_| words.clone()),
        Ok(other) => return strange(&other),
        Err(outcome) => return outcome,
    }
    Outcome::Sound
}

pub(super) fn gifts_of(gifts: GiftOptions) -> Gifts {
    Gifts {
        roles: gifts.role,
        apps: gifts.app,
        permissions: gifts.permission,
        projects: gifts.project,
        ip_pattern: gifts.ip_pattern,
        idp: gifts.idp,
    }
}
