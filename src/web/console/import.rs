//! Many people or invitations at once, from comma-separated values: checked line by line first, and made only if every line is fine.

use std::collections::BTreeSet;

use askama::Template;
use http::StatusCode;

use crate::accounts::{AddOutcome, InviteOutcome, NewInvitation, NewUser};
use crate::base::csv::{self, Line};
use crate::model::email::EmailAddress;
use crate::model::membership::Offer;
use crate::model::name::{ApplicationName, PermissionName, PersonName, TeamName, Username};
use crate::model::role::Power;

use super::super::answer;
use super::super::cx::{Cx, Outcome};
use super::super::form::Form;
use super::super::view::{BASE, Frame, Link, Me};
use super::super::words;
use super::{invitations, users};

/// Lines at a time, the first with the names of the columns not counted.
const MOST: usize = 200;

/// A line as it was read.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// Its number, from 1.
    pub number: usize,
    /// Whom it names.
    pub name: String,
    /// What will come of it, or what is wrong with it.
    pub words: String,
    /// Whether it is fine.
    pub fine: bool,
}

/// The page.
#[derive(Template)]
#[template(path = "console/import.html")]
pub struct ImportPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// The list.
    pub list: Link,
    /// What the page is called.
    pub heading: &'static str,
    /// What it makes of each line.
    pub makes: &'static str,
    /// The columns, those that must be there first.
    pub columns: &'static [(&'static str, &'static str)],
    /// The lines that were checked.
    pub rows: Vec<ImportRow>,
    /// What the button says that makes them; none while something is wrong.
    pub verb: Option<String>,
}

const USER_COLUMNS: &[(&str, &str)] = &[
    ("email", "has to be there"),
    ("username", "made of the email where it is empty"),
    ("given_name", "has to be there"),
    ("family_name", "has to be there"),
    ("team", "main where it is empty"),
];
const INVITATION_COLUMNS: &[(&str, &str)] = &[
    ("email", "has to be there"),
    ("team", "as the files name it; has to be there"),
    ("applications", "as the files name them, with blanks between"),
    ("permissions", "application:permission, with blanks between"),
    ("roles", "in the team, with blanks between"),
    ("ip_pattern", ""),
    ("idp", "SAML ID provider"),
];
/// Columns of a download that an upload has no use for.
const PASSED_OVER: [&str; 6] = ["id", "status", "roles", "teams", "sent", "ends"];

/// GET `/admin/users/import`.
pub async fn show_users(cx: &mut Cx<'_>) -> Outcome {
    Ok(cx.page(&users_page(cx, Vec::new())))
}

/// POST `/admin/users/import`: a check, or the making.
pub async fn import_users(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting()?;
    let mut read: Vec<(ImportRow, Option<NewUser>)> = Vec::new();
    let mut seen = BTreeSet::new();
    for (columns, line) in lines(cx, USER_COLUMNS) {
        let cell = |name: &str| cell(&columns, &line, name);
        let new = new_user(&cell);
        let (words, new) = match new {
            Err(words) => (words, None),
            Ok(new) => {
                let email = new.email.canonical().to_string();
                let username = new.username.as_ref().map(|name| format!("@{}", name.canonical()));
                let unknown = new.team.as_ref().filter(|team| cx.live.policies.team(team).is_none());
                let no_team = unknown.map(|team| format!("There is no team \"{team}\""));
                let twice = !seen.insert(email) | username.is_some_and(|name| !seen.insert(name));
                match cx.app.accounts.foresee_user(&new, &by).await? {
                    None if no_team.is_some() => (no_team.unwrap_or_default(), None),
                    _ if twice => ("An earlier line has the same email or username".to_owned(), None),
                    Some(refused) => (user_words(&refused), None),
                    None => ("Gets an account and a registration token".to_owned(), Some(new)),
                }
            }
        };
        read.push((row(&line, cell("email"), words, new.is_some()), new));
    }
    let fine = !cx.form.failed() && !read.is_empty() && read.iter().all(|(_, new)| new.is_some());
    if cx.form.value("do") != "import" || !fine {
        let rows: Vec<ImportRow> = read.into_iter().map(|(row, _)| row).collect();
        return Ok(checked(cx, fine, &users_page(cx, rows)));
    }
    let asked = read.len();
    let mut left = Vec::new();
    for (row, new) in read {
        let Some(new) = new else { continue };
        match cx.app.accounts.add_user(new, &by, cx.facts.now).await? {
            AddOutcome::Added(_) => {}
            refused => left.push(ImportRow {
                words: user_words(&refused),
                fine: false,
                ..row
            }),
        }
    }
    if left.is_empty() {
        return Ok(answer::see_other(&format!(
            "{BASE}{}?several=import&of={asked}&left=0",
            users::HERE
        )));
    }
    some_left(cx, asked, left.len());
    let page = users_page(cx, left);
    Ok(cx.not_taken(StatusCode::CONFLICT, &page))
}

/// GET `/admin/invitations/import`.
pub async fn show_invitations(cx: &mut Cx<'_>) -> Outcome {
    Ok(cx.page(&invitations_page(cx, Vec::new())))
}

/// POST `/admin/invitations/import`: a check, or the sending.
pub async fn import_invitations(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Invitations)?;
    let mut read: Vec<(ImportRow, Option<NewInvitation>)> = Vec::new();
    let mut seen = BTreeSet::new();
    for (columns, line) in lines(cx, INVITATION_COLUMNS) {
        let cell = |name: &str| cell(&columns, &line, name);
        let (words, new) = match new_invitation(&cell) {
            Err(words) => (words, None),
            Ok(new) => {
                let twice = !seen.insert(format!("{} {}", new.offer.team, new.email.canonical()));
                match cx.app.accounts.foresee_invite(&new, &cx.live.policies, &by, cx.facts.now).await? {
                    _ if twice => ("An earlier line has the same email and team".to_owned(), None),
                    Some(refused) => (invitation_words(cx, &refused), None),
                    None => ("Is invited".to_owned(), Some(new)),
                }
            }
        };
        read.push((row(&line, cell("email"), words, new.is_some()), new));
    }
    let fine = !cx.form.failed() && !read.is_empty() && read.iter().all(|(_, new)| new.is_some());
    if cx.form.value("do") != "import" || !fine {
        let rows: Vec<ImportRow> = read.into_iter().map(|(row, _)| row).collect();
        return Ok(checked(cx, fine, &invitations_page(cx, rows)));
    }
    let asked = read.len();
    let mut left = Vec::new();
    for (row, new) in read {
        let Some(new) = new else { continue };
        match cx.app.accounts.invite(&new, &cx.live.policies, &by, cx.facts.now).await? {
            InviteOutcome::Invited(_) => {}
            refused => left.push(ImportRow {
                words: invitation_words(cx, &refused),
                fine: false,
                ..row
            }),
        }
    }
    if left.is_empty() {
        return Ok(answer::see_other(&format!(
            "{BASE}{}?several=import&of={asked}&left=0",
            invitations::HERE
        )));
    }
    some_left(cx, asked, left.len());
    let page = invitations_page(cx, left);
    Ok(cx.not_taken(StatusCode::CONFLICT, &page))
}

/// The records behind the names of the columns. What is wrong with the whole is noted, and nothing is read then.
fn lines(cx: &mut Cx<'_>, known: &[(&str, &str)]) -> Vec<(Vec<String>, Line)> {
    let text = cx.form.value("csv").to_owned();
    let mut refuse = |code: &'static str, words: String| {
        cx.form.fail("csv", code, words);
        Vec::new()
    };
    let read = match csv::read(&text) {
        Ok(read) => read,
        Err(error) => {
            return refuse(
                "csv_unreadable",
                format!("The text cannot be read. {}", capital(&error.to_string())),
            );
        }
    };
    let mut read = read.into_iter();
    let Some(head) = read.next() else {
        return refuse("csv_empty", "Paste the lines, the names of the columns first".to_owned());
    };
    let columns: Vec<String> = head.cells.iter().map(|cell| cell.to_lowercase()).collect();
    let is_known = |column: &str| known.iter().any(|(name, _)| *name == column) || PASSED_OVER.contains(&column);
    if let Some(unknown) = columns.iter().find(|column| !is_known(column)) {
        return refuse("csv_column", format!("Line {}: there is no column {unknown:?}", head.number));
    }
    let mut once = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|column| !once.insert(column.as_str())) {
        return refuse(
            "csv_column",
            format!("Line {}: the column {twice:?} stands there twice", head.number),
        );
    }
    if !columns.iter().any(|column| column == "email") {
        return refuse("csv_column", format!("Line {}: the column \"email\" is missing", head.number));
    }
    let read: Vec<Line> = read.collect();
    if read.is_empty() {
        return refuse("csv_empty", "There is no line behind the names of the columns".to_owned());
    }
    if read.len() > MOST {
        return refuse("csv_long", format!("{} lines are too many: send {MOST} at a time", read.len()));
    }
    if let Some(odd) = read.iter().find(|line| line.cells.len() > columns.len()) {
        return refuse("csv_cells", format!("Line {}: there are more cells than columns", odd.number));
    }
    read.into_iter().map(|line| (columns.clone(), line)).collect()
}

fn cell<'l>(columns: &[String], line: &'l Line, name: &str) -> &'l str {
    let at = columns.iter().position(|column| column == name);
    at.and_then(|at| line.cells.get(at)).map_or("", String::as_str)
}

fn new_user<'l>(cell: &impl Fn(&str) -> &'l str) -> Result<NewUser, String> {
    let names = |name: &str, missing: &str| match cell(name) {
        "" => Err(missing.to_owned()),
        text => text.parse::<PersonName>().map_err(|flaw| words::person_name(flaw).1),
    };
    let optional = |name: &str| Some(cell(name)).filter(|text| !text.is_empty());
    Ok(NewUser {
        email: cell("email").parse::<EmailAddress>().map_err(|flaw| words::email(flaw).1)?,
        username: match optional("username") {
            Some(text) => Some(text.parse::<Username>().map_err(|flaw| words::username(flaw).1)?),
            None => None,
        },
        given_name: names("given_name", "Enter a first name")?,
        family_name: names("family_name", "Enter a last name")?,
        role: None,
        team_role: None,
        team: match optional("team") {
            Some(text) => Some(text.parse().map_err(|_| format!("There is no team {text:?}"))?),
            None => None,
        },
        ip_pattern: None,
        provider: None,
        password: None,
    })
}

fn new_invitation<'l>(cell: &impl Fn(&str) -> &'l str) -> Result<NewInvitation, String> {
    let email = cell("email").parse::<EmailAddress>().map_err(|flaw| words::email(flaw).1)?;
    let no = |what: &str, text: &str| format!("There is no {what} {text:?}");
    let team = cell("team").parse::<TeamName>().map_err(|_| no("team", cell("team")))?;
    let mut offer = Offer::nothing(team);
    for name in cell("applications").split_whitespace() {
        let application: ApplicationName = name.parse().map_err(|_| no("application", name))?;
        offer.permissions.entry(application).or_default();
    }
    for name in cell("permissions").split_whitespace() {
        let parts = name.split_once(':').and_then(|(application, permission)| {
            Some((
                application.parse::<ApplicationName>().ok()?,
                permission.parse::<PermissionName>().ok()?,
            ))
        });
        let (application, permission) = parts.ok_or_else(|| no("permission", name))?;
        offer.permissions.entry(application).or_default().insert(permission);
    }
    for name in cell("roles").split_whitespace() {
        offer.roles.insert(name.parse().map_err(|_| no("role", name))?);
    }
    if !cell("ip_pattern").is_empty() {
        offer.ip_pattern = Some(cell("ip_pattern").parse().map_err(|_| no("IP pattern", cell("ip_pattern")))?);
    }
    if !cell("idp").is_empty() {
        offer.provider = Some(cell("idp").parse().map_err(|_| no("provider", cell("idp")))?);
    }
    Ok(NewInvitation { email, offer })
}

fn user_words(refused: &AddOutcome) -> String {
    match refused {
        AddOutcome::EmailTaken => "Someone already uses this email address".to_owned(),
        AddOutcome::UsernameTaken => words::USERNAME_TAKEN.words.to_owned(),
        AddOutcome::Weak(_) | AddOutcome::NotAllowed => "You may not add people here".to_owned(),
        AddOutcome::Busy => words::BUSY.words.to_owned(),
        AddOutcome::Added(_) => "Added".to_owned(),
    }
}

fn invitation_words(cx: &Cx<'_>, refused: &InviteOutcome) -> String {
    match refused {
        InviteOutcome::EmailInTeam => "Someone in the team already uses this email address".to_owned(),
        InviteOutcome::EmailInvited(_) => "This address is invited to the team already".to_owned(),
        InviteOutcome::Full { seats } => format!("All {seats} seats of the team are taken or promised"),
        InviteOutcome::TooManyLetters { until } => words::too_many_letters(*until, cx.facts.now),
        InviteOutcome::NotGiven(refused) => {
            let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
            told.join("; ")
        }
        InviteOutcome::Invited(_) => "Invited".to_owned(),
        InviteOutcome::NotFound | InviteOutcome::Ended | InviteOutcome::Moved => "Not there any more".to_owned(),
    }
}

fn row(line: &Line, name: &str, words: String, fine: bool) -> ImportRow {
    ImportRow {
        number: line.number,
        name: name.to_owned(),
        words,
        fine,
    }
}

/// The page after a check: 422 while something is wrong.
fn checked(cx: &Cx<'_>, fine: bool, page: &ImportPage) -> answer::Answer {
    if fine {
        cx.page(page)
    } else {
        cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, page)
    }
}

fn some_left(cx: &mut Cx<'_>, asked: usize, left: usize) {
    let words = format!(
        "{} of {asked} are done. What is wrong with the others stands below; only they are to be sent again.",
        asked - left
    );
    cx.form.fail("csv", "some_left", words);
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn users_page(cx: &Cx<'_>, rows: Vec<ImportRow>) -> ImportPage {
    ImportPage {
        list: link(users::HERE, "Users"),
        here: users::HERE,
        heading: "Import users",
        makes: "an account with a registration token for you to pass on",
        columns: USER_COLUMNS,
        verb: verb(cx, &rows, "Make", "account", "accounts"),
        ..plain(cx, rows)
    }
}

fn invitations_page(cx: &Cx<'_>, rows: Vec<ImportRow>) -> ImportPage {
    ImportPage {
        list: link(invitations::HERE, "Invitations"),
        here: invitations::HERE,
        heading: "Import invitations",
        makes: "an invitation, which is sent",
        columns: INVITATION_COLUMNS,
        verb: verb(cx, &rows, "Send", "invitation", "invitations"),
        ..plain(cx, rows)
    }
}

fn plain(cx: &Cx<'_>, rows: Vec<ImportRow>) -> ImportPage {
    ImportPage {
        frame: cx.frame(),
        me: cx.me(),
        here: "",
        form: cx.form.clone(),
        list: link("", ""),
        heading: "",
        makes: "",
        columns: &[],
        rows,
        verb: None,
    }
}

fn verb(cx: &Cx<'_>, rows: &[ImportRow], verb: &str, one: &str, many: &str) -> Option<String> {
    let fine = !cx.form.failed() && !rows.is_empty() && rows.iter().all(|row| row.fine);
    let what = if rows.len() == 1 { one } else { many };
    fine.then(|| format!("{verb} {} {what}", rows.len()))
}

fn link(path: &str, name: &str) -> Link {
    Link {
        path: format!("{BASE}{path}"),
        name: name.to_owned(),
    }
}
