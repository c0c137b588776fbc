//! The list of people: search, filters, pages, and "Add a new user".

use http::StatusCode;

use crate::accounts::{AddOutcome, Filter, Listed, NewUser, Page, Reach, StatusFilter};
use crate::base::encoding::csv_cell;
use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::model::name::RoleName;
use crate::model::token::TokenKind;
use crate::model::user::{User, UserStatus};
use crate::policy::definitions::Scope;

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::pages::first_admin::{note_outcome, read_names};
use super::super::relative::Moment;
use super::super::view::{BASE, Tag, initials};
use super::several::done_words;
use super::user::listed;
use super::view::{Choice, Choices, FilterView, Made, PagesView, RoleChange, TokenChip, UserRow, UsersPage};

/// Where the list is, below `/.portcullis`.
pub const HERE: &str = "/admin/users";
const LINES: usize = 50;

/// GET `/admin`: the first page of the console that the person may open.
pub async fn start(cx: &mut Cx<'_>) -> Outcome {
    let menu = cx.me().menu;
    let first = menu.iter().flat_map(|part| &part.links).next().ok_or(Stop::NotFound)?;
    Ok(answer::found(&format!("{BASE}{}", first.path)))
}

/// GET `/admin/users`.
pub async fn show_list(cx: &mut Cx<'_>) -> Outcome {
    let page = list_page(cx).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/users`: "Add a new user".
pub async fn add(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting()?;
    let now = cx.facts.now;
    let names = read_names(&mut cx.form);
    for (field, words) in [("given-name", "Enter a first name"), ("family-name", "Enter a last name")] {
        if cx.form.trimmed(field).is_empty() {
            cx.form.fail(field, "name_missing", words);
        }
    }
    let Some(names) = names.filter(|_| !cx.form.failed()) else {
        let page = list_page(cx).await?;
        return Ok(cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    let new = NewUser {
        email: names.email,
        username: Some(names.username),
        given_name: names.given,
        family_name: names.family,
        role: None,
        team: None,
        team_role: None,
        ip_pattern: None,
        provider: None,
        password: None,
    };
    match cx.app.accounts.add_user(new, &by, now).await? {
        AddOutcome::Added(added) => Ok(answer::see_other(&format!("{BASE}{HERE}?added={}", added.user.id))),
        outcome => {
            note_outcome(&mut cx.form, &outcome);
            let status = match outcome {
                AddOutcome::NotAllowed => StatusCode::FORBIDDEN,
                AddOutcome::Busy => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let page = list_page(cx).await?;
            Ok(cx.not_taken(status, &page))
        }
    }
}

/// The most that one download holds.
pub(super) const DOWNLOADED: usize = 10_000;
/// People read at a time for a download.
const AT_ONCE: usize = 500;

/// GET `/admin/users/export`: whom a search finds, as comma-separated values, by name; `after` goes on behind a download before.
pub async fn export(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting()?;
    let filter = read_filter(&cx.query);
    let mut text = "id,email,username,given_name,family_name,status,roles,teams\r\n".to_owned();
    let mut place = match cx.query.value("after") {
        "" => Page::First,
        after => Page::After(after.to_owned()),
    };
    for _ in 0..DOWNLOADED / AT_ONCE {
        let found = cx.app.accounts.list_users(&filter, &place, AT_ONCE, &by, cx.facts.now).await?;
        for line in &found.lines {
            let user = &line.user;
            let words = |words: Vec<&str>| words.join(" ");
            let seen = line.memberships.iter().filter(|one| match &by.reach {
                Reach::All => true,
                Reach::Teams(teams) => teams.contains(&one.team),
            });
            let cells = [
                user.id.to_string(),
                user.email.as_ref().map(ToString::to_string).unwrap_or_default(),
                user.username.to_string(),
                user.given_name.to_string(),
                user.family_name.to_string(),
                user.status.word().to_owned(),
                words(user.roles.iter().map(RoleName::as_str).collect()),
                words(seen.map(|one| one.team.as_str()).collect()),
            ];
            text.push_str(&csv_line(&cells));
        }
        match found.after {
            Some(after) => place = Page::After(after),
            None => break,
        }
    }
    Ok(answer::download("text/csv; charset=utf-8", "users.csv", text))
}

/// Cells as a line: none of them is a formula to a spreadsheet.
pub(super) fn csv_line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
    format!("{}\r\n", cells.join(","))
}

/// The list again, with what was wrong with what was asked of it.
///
/// # Errors
/// As the list.
pub(super) async fn refused(cx: &Cx<'_>, status: StatusCode) -> Outcome {
    let page = list_page(cx).await?;
    Ok(cx.not_taken(status, &page))
}

/// Whether somebody holds the role `admin`.
pub fn is_admin(user: &User) -> bool {
    user.roles.contains(&RoleName::admin())
}

/// A person as a line of the list.
///
/// # Errors
/// 404 for who is not signed in.
pub fn row(cx: &Cx<'_>, line: &Listed) -> Result<UserRow, Stop> {
    let now = cx.facts.now;
    let me = cx.person()?.identity().user;
    let user = &line.user;
    let name = user.display_name();
    let own = user.id == me;
    let reset = line.tokens.iter().any(|token| token.kind == TokenKind::Reset);
    let status = match user.status {
        UserStatus::Pending => Tag {
            kind: "acc",
            words: "Registration pending",
        },
        UserStatus::Active if reset => Tag {
            kind: "warn",
            words: "Reset requested",
        },
        UserStatus::Active => Tag {
            kind: "ok",
            words: "Active",
        },
        UserStatus::Disabled => Tag {
            kind: "",
            words: "Disabled",
        },
    };
    let may_give = cx.may_give_admin();
    let tokens = line
        .tokens
        .iter()
        .map(|token| TokenChip {
            text: token.text.clone(),
            what: format!("{} token of {name}", token.kind),
            kind: match token.kind {
                TokenKind::Registration => "Registration",
                TokenKind::Reset => "Reset",
                TokenKind::Email => "E-mail",
            },
            ends: Moment::of(token.expires, now),
            locked: token.tries_left == 0,
            tries: match token.tries_left {
                1 => "1 try left".to_owned(),
                left => format!("{left} tries left"),
            },
        })
        .collect();
    Ok(UserRow {
        id: user.id.to_string(),
        href: format!("{BASE}{HERE}/{}", user.id),
        initials: initials(&name),
        email: user.email.as_ref().map(ToString::to_string).unwrap_or_default(),
        username: user.username.to_string(),
        role: if is_admin(user) { "Admin" } else { "User" },
        change: (!own && may_give && line.changeable).then(|| RoleChange::from(is_admin(user))),
        own,
        changeable: line.changeable,
        status,
        tokens,
        seen: line.last_seen.map(|at| Moment::of(at, now)),
        name,
    })
}

async fn list_page(cx: &Cx<'_>) -> Result<UsersPage, Stop> {
    let by = cx.acting()?;
    let now = cx.facts.now;
    let filter = read_filter(&cx.query);
    let place = match (cx.query.value("after"), cx.query.value("before")) {
        ("", "") => Page::First,
        ("", before) => Page::Before(before.to_owned()),
        (after, _) => Page::After(after.to_owned()),
    };
    let found = cx.app.accounts.list_users(&filter, &place, LINES, &by, now).await?;
    let rows = found.lines.iter().map(|line| row(cx, line)).collect::<Result<Vec<_>, _>>()?;
    let made = match cx.query.value("added").parse::<UserId>() {
        Ok(id) => made(listed(cx, id).await.ok(), now),
        Err(_) => None,
    };
    let people = if found.all == 1 {
        "1 person.".to_owned()
    } else {
        format!("{} people.", found.all)
    };
    Ok(UsersPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        summary: people,
        filter: filter_view(cx, &filter),
        download: search_of(&cx.query, &["q", "team", "role", "status"]),
        pages: PagesView {
            words: format!(
                "{}–{} of {} users",
                found.from,
                found.from + rows.len().saturating_sub(1),
                found.total
            ),
            previous: found.before.map(|cursor| page_address(&cx.query, "before", &cursor)),
            next: found.after.map(|cursor| page_address(&cx.query, "after", &cursor)),
        },
        rows,
        made,
        done: match cx.query.value("done") {
            "" => done_words(&cx.query),
            "role" => Some("The role is changed. It counts from the next request.".to_owned()),
            "membership" => Some("They are out of the team. It counts from the next request.".to_owned()),
            "deleted" => Some("The account is deleted.".to_owned()),
            _ => None,
        },
    })
}

/// The person who was added just now, as long as their token waits to be used.
fn made(line: Option<Listed>, now: Timestamp) -> Option<Made> {
    let line = line?;
    let token = line.tokens.iter().find(|token| token.kind == TokenKind::Registration)?;
    Some(Made {
        name: line.user.display_name(),
        email: line.user.email.as_ref().map(ToString::to_string).unwrap_or_default(),
        token: token.text.clone(),
        ends: Moment::of(token.expires, now),
    })
}

fn read_filter(query: &Form) -> Filter {
    Filter {
        text: query.trimmed("q").to_owned(),
        team: query.value("team").parse().ok(),
        role: query.value("role").parse().ok(),
        status: match query.value("status") {
            "reset" => Some(StatusFilter::ResetAsked),
            other => other.parse().ok().map(StatusFilter::Is),
        },
    }
}

fn filter_view(cx: &Cx<'_>, filter: &Filter) -> FilterView {
    let choice = |value: &str, words: &str, chosen: bool| Choice {
        value: value.to_owned(),
        words: words.to_owned(),
        chosen,
    };
    let definitions = cx.live.policies.definitions();
    let mut teams = vec![choice("", "All teams", filter.team.is_none())];
    teams.extend(
        definitions
            .teams
            .iter()
            .map(|team| choice(team.name.as_str(), &team.title, filter.team.as_ref() == Some(&team.name))),
    );
    let role = filter.role.as_ref().map_or("", RoleName::as_str);
    let mut roles = vec![
        choice("", "Any role", role.is_empty()),
        choice("admin", "Admin", role == "admin"),
        choice("user", "User", role == "user"),
    ];
    roles.extend(
        definitions
            .roles
            .iter()
            .filter(|one| one.scope == Scope::Global && one.name != RoleName::admin() && one.name != RoleName::user())
            .map(|one| choice(one.name.as_str(), &one.title, role == one.name.as_str())),
    );
    let is = |status| filter.status == Some(status);
    let statuses = vec![
        choice("", "Any status", filter.status.is_none()),
        choice("active", "Active", is(StatusFilter::Is(UserStatus::Active))),
        choice("pending", "Registration pending", is(StatusFilter::Is(UserStatus::Pending))),
        choice("reset", "Reset requested", is(StatusFilter::ResetAsked)),
        choice("disabled", "Disabled", is(StatusFilter::Is(UserStatus::Disabled))),
    ];
    FilterView {
        q: filter.text.clone(),
        choices: vec![
            Choices {
                name: "team",
                label: "Team",
                options: teams,
            },
            Choices {
                name: "role",
                label: "Role",
                options: roles,
            },
            Choices {
                name: "status",
                label: "Status",
                options: statuses,
            },
        ],
    }
}

/// A search as the query of an address, with its question mark; empty if there is none.
pub(super) fn search_of(query: &Form, fields: &[&str]) -> String {
    let mut search = url::form_urlencoded::Serializer::new(String::new());
    for name in fields.iter().filter(|name| query.has(name)) {
        search.append_pair(name, query.value(name));
    }
    match search.finish() {
        search if search.is_empty() => search,
        search => format!("?{search}"),
    }
}

/// The address of another page of the same search.
fn page_address(query: &Form, direction: &str, cursor: &str) -> String {
    let mut address = url::form_urlencoded::Serializer::new(String::new());
    for name in ["q", "team", "role", "status"] {
        if query.has(name) {
            address.append_pair(name, query.value(name));
        }
    }
    address.append_pair(direction, cursor);
    format!("{BASE}{HERE}?{}", address.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_page_keeps_the_search() {
        let query = Form::parse(b"q=ada+l&team=main&after=old&done=role").unwrap();
        assert_eq!(
            page_address(&query, "after", "new"),
            "/.portcullis/admin/users?q=ada+l&team=main&after=new"
        );
    }

    #[test]
    fn a_filter_of_unknown_words_is_none() {
        let filter = read_filter(&Form::parse(b"q=+x+&team=A+B&role=%00&status=lost").unwrap());
        assert_eq!(
            filter,
            Filter {
                text: "x".to_owned(),
                ..Filter::default()
            }
        );
        let filter = read_filter(&Form::parse(b"team=main&role=admin&status=reset").unwrap());
        assert_eq!(filter.status, Some(StatusFilter::ResetAsked));
        assert!(filter.team.is_some() && filter.role.is_some());
    }
}
