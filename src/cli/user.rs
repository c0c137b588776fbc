//! `portcullis user`: add people, hand out tokens, change roles.

use std::io::{self, Read};
use std::path::Path;

use crate::base::encoding::csv_cell;
use crate::server::control::{Added, Answer, Change, Handed, NewPerson, Person, Request};

use super::Outcome;
use super::arguments::{UserAdd, UserCommand};
use super::ask::{ask, strange};
use super::output::{Output, complain, print};

pub(super) fn run(config: &Path, command: UserCommand, output: &Output) -> Outcome {
    let request = match command {
        UserCommand::Add(new) => match new_person(new) {
            Ok(person) => Request::UserAdd(person),
            Err(outcome) => return outcome,
        },
        UserCommand::List { search, csv } => return list(config, search.as_deref(), csv, output),
        UserCommand::Show { who } => Request::UserShow { who },
        UserCommand::Role { who, role, add, remove } => {
            let change = match (role, add, remove) {
                (Some(role), _, _) => Change::Set(role),
                (None, Some(role), _) => Change::Add(role),
                (None, None, Some(role)) => Change::Remove(role),
                (None, None, None) => return Outcome::Usage,
            };
            Request::UserRole { who, change }
        }
        UserCommand::Disable { who } => Request::UserDisable { who },
        UserCommand::Enable { who } => Request::UserEnable { who },
        UserCommand::Delete { who, yes: true } => Request::UserDelete { who },
        UserCommand::Delete { who, yes: false } => {
            complain(&format!("this deletes {who} for good: say --yes"));
            return Outcome::Usage;
        }
        UserCommand::Token { who, new } => Request::UserToken { who, new },
    };
    match ask(config, &request) {
        Ok(Answer::Added(added)) => tell_added(&added, output),
        Ok(Answer::Person(person)) => output.answer(&person, |person| show(person, output)),
        Ok(Answer::Token(token)) => {
            if !output.is_json() {
                complain(&about(&token));
            }
            output.answer(&token, |token| token.token.clone());
        }
        Ok(Answer::Done(words)) => output.answer(&serde_json::json!({ "done": words }), |_| words.clone()),
        Ok(other) => return strange(&other),
        Err(outcome) => return outcome,
    }
    Outcome::Sound
}

fn new_person(new: UserAdd) -> Result<NewPerson, Outcome> {
    let password = if new.password_stdin { Some(password_from_stdin()?) } else { None };
    Ok(NewPerson {
        email: new.email,
        username: new.username,
        given_name: new.given_name,
        family_name: new.family_name,
        role: new.role,
        team: new.team,
        ip_pattern: new.ip_pattern,
        idp: new.idp,
        password,
    })
}

/// All of standard input less one trailing newline.
pub(super) fn password_from_stdin() -> Result<String, Outcome> {
    // Four bytes a character at most, and one more to notice that it is too long.
    const LONGEST: u64 = 4 * 1024;
    let mut text = String::new();
    if let Err(error) = io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text) {
        complain(&format!("the password on standard input cannot be read: {error}"));
        return Err(Outcome::Wrong);
    }
    if text.len() as u64 > LONGEST {
        complain("the password on standard input is far too long");
        return Err(Outcome::Wrong);
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The token alone goes to standard output, so that `token=$(portcullis user add …)` is all a script needs.
fn tell_added(added: &Added, output: &Output) {
    if !output.is_json() {
        let roles = added.user.roles.iter().cloned().collect::<Vec<_>>().join(", ");
        let roles = if roles.is_empty() { String::new() } else { format!(", {roles}") };
        let email = added.user.email.as_deref().unwrap_or("no address");
        complain(&format!("added {} ({email}){roles}", added.user.username));
        if let Some(token) = &added.token {
            complain(&about(token));
        }
    }
    output.answer(added, |added| match &added.token {
        Some(token) => token.token.clone(),
        None => added.user.id.clone(),
    });
}

fn about(token: &Handed) -> String {
    format!(
        "the {} token below is good until {}; it is typed in at {}",
        token.kind, token.expires, token.url
    )
}

fn show(person: &Person, output: &Output) -> String {
    let list = |words: &mut dyn Iterator<Item = String>| words.collect::<Vec<_>>().join(", ");
    let mut rows = vec![
        vec!["id".to_owned(), person.id.clone()],
        vec!["email".to_owned(), person.email.clone().unwrap_or_default()],
        vec!["username".to_owned(), person.username.clone()],
        vec![
            "name".to_owned(),
            format!("{} {}", person.given_name, person.family_name).trim().to_owned(),
        ],
        vec!["status".to_owned(), person.status.clone()],
        vec!["roles".to_owned(), list(&mut person.roles.iter().cloned())],
    ];
    for member in &person.memberships {
        let mut words = vec![list(&mut member.roles.iter().cloned())];
        for (application, permissions) in &member.permissions {
            words.push(format!("{application} [{}]", list(&mut permissions.iter().cloned())));
        }
        words.extend(member.projects.iter().map(|(project, level)| format!("{project}: {level}")));
        words.extend(member.ip_pattern.iter().map(|name| format!("only from {name}")));
        words.extend(member.idp.iter().map(|name| format!("only through {name}")));
        words.retain(|word| !word.is_empty());
        rows.push(vec![format!("team {}", member.team), words.join("; ")]);
    }
    output.table(&["", ""], rows).trim_start_matches('\n').to_owned()
}

fn list(config: &Path, search: Option<&str>, csv: bool, output: &Output) -> Outcome {
    let mut everybody = Vec::new();
    let mut after = None;
    loop {
        match ask(
            config,
            &Request::UserList {
                search: search.map(str::to_owned),
                after,
            },
        ) {
            Ok(Answer::People { people, next }) => {
                everybody.extend(people);
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            Ok(other) => return strange(&other),
            Err(outcome) => return outcome,
        }
    }
    if csv {
        print(&to_csv(&everybody));
        return Outcome::Sound;
    }
    output.answer(&everybody, |people| {
        let rows = people
            .iter()
            .map(|person| {
                vec![
                    person.username.clone(),
                    person.email.clone().unwrap_or_default(),
                    format!("{} {}", person.given_name, person.family_name).trim().to_owned(),
                    person.status.clone(),
                    joined(person.roles.iter()),
                    joined(person.memberships.iter().map(|member| &member.team)),
                ]
            })
            .collect();
        output.table(&["USERNAME", "EMAIL", "NAME", "STATUS", "ROLES", "TEAMS"], rows)
    });
    Outcome::Sound
}

fn joined<'a>(words: impl Iterator<Item = &'a String>) -> String {
    words.cloned().collect::<Vec<_>>().join(" ")
}

fn to_csv(people: &[Person]) -> String {
    let mut lines = vec!["id,email,username,given_name,family_name,status,roles,teams".to_owned()];
    for person in people {
        let cells = [
            person.id.clone(),
            person.email.clone().unwrap_or_default(),
            person.username.clone(),
            person.given_name.clone(),
            person.family_name.clone(),
            person.status.clone(),
            joined(person.roles.iter()),
            joined(person.memberships.iter().map(|member| &member.team)),
        ];
        lines.push(cells.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>().join(","));
    }
    lines.join("\n")
}
