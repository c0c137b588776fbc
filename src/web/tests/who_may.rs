//! Who may do what: every row of the site, asked by everybody there is, about a record of their own team and about one of another.
//!
//! What comes of it is checked in as `docs/who-may-do-what.md`, so that a change of rights is a change of that file. Written anew by
//! `PORTCULLIS_WRITE=1 cargo test --lib who_may`.

use std::collections::BTreeSet;
use std::fmt::Write;

use http::{Method, StatusCode};

use crate::accounts::{Acting, GroupOutcome, InviteOutcome, NewInvitation, ProjectOutcome};
use crate::model::membership::Offer;
use crate::web::routes::{ROUTES, Route};

use super::browser::{ADA, Browser, GOOD, House, Page};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/who-may-do-what.md");

const SETTINGS: &str = r#"
server.public_url = "https://sso.example"
mail.url = "smtps://mail.example"
mail.from = "gate@sso.example"
"#;

const TEAMS: &str = r#"
team.own = { title = "Own", roles = ["team-user", "team-permission-admin", "team-data-admin", "team-data-quality"], apps = ["eln"] }
team.other = { title = "Other", roles = ["team-user", "team-permission-admin"], apps = ["eln"] }
"#;

/// Everybody who asks, as the head of their column; a role that is held in the team `own`, none for an admin and for nobody.
const ASKERS: &[(&str, Option<&str>)] = &[
    ("nobody", None),
    ("Member", Some("team-user")),
    ("Team Data Administrator", Some("team-data-admin")),
    ("Team Data Quality Manager", Some("team-data-quality")),
    ("Team Permission Administrator", Some("team-permission-admin")),
    ("admin", None),
];

const BEGIN: &str = r#"# Who may do what

Every address of the portal, asked by everybody the shipped policies know, of a record of their own team and of one of another. The tests ask
each and compare with this page, so that it is always true: a row that is missing here fails them.

- **yes**: they may. What is asked can still be refused for another reason, such as a role that is not theirs to give; the limits of
  giving are in [Administer a team](teams.md).
- **no**: 403, with a page that says so. **not found**: 404, as if there were no such record. **sign in**: somebody has to sign in first.
- Rows without a record have one answer. Lists show what is within reach only.

"#;

/// What forms and addresses say besides, where a row is about nothing without it. Names in braces are replaced as in the path.
const SAID: &[(&str, &str)] = &[
    ("POST /admin/users/role", "user={user}&role=admin"),
    ("POST /admin/users/{user}/role", "role=admin"),
    ("GET /admin/invitations/new", "team={team}"),
    ("POST /admin/invitations/new", "team={team}&do=invite"),
    ("POST /admin/invitations/{invitation}/do", "do=extend"),
    ("POST /admin/users/several", "pick-{user}=on&do=disable"),
    ("POST /admin/invitations/several", "pick-{invitation}=on&do=extend"),
    ("POST /admin/teams/{team}", "name=Crystals"),
    ("POST /admin/groups/{group}", "do=save&name=Crystals"),
    ("POST /admin/projects", "team={team}&name=Assays"),
    ("POST /admin/projects/{project}", "name=Assays"),
    ("POST /admin/sessions", "user={user}"),
    ("GET /admin/audit/export", "format=csv"),
];

/// Records of a team, fresh for each question: what was done with one says nothing about the next.
struct Records<'h> {
    house: &'h House,
    team: &'static str,
    number: usize,
}

impl Records<'_> {
    /// The text with a record in the place of each name in braces.
    async fn put_into(&self, text: &str) -> String {
        let (accounts, now) = (&self.house.app.accounts, self.house.now());
        let by = Acting::command_line();
        let mut text = text.to_owned();
        if text.contains("{user}") {
            let user = self.house.awaited_in(self.team, &format!("{}{}", self.team, self.number)).await;
            text = text.replace("{user}", &user);
        }
        if text.contains("{invitation}") || text.contains("{letter}") {
            let email = format!("{}{}@invited.example", self.team, self.number);
            let new = NewInvitation {
                email: email.parse().unwrap(),
                offer: Offer::nothing(self.team.parse().unwrap()),
            };
            let invited = accounts.invite(&new, &self.house.live.policies, &by, now).await.unwrap();
            let InviteOutcome::Invited(invited) = invited else {
                panic!("{invited:?}")
            };
            text = text.replace("{invitation}", &invited.invitation.id.to_string());
            text = text.replace("{letter}", &self.house.letter_to(&email).await);
        }
        if text.contains("{project}") {
            let name = format!("Project {}", self.number).parse().unwrap();
            let added = accounts
                .add_project(&self.team.parse().unwrap(), &name, &self.house.live.policies, &by, now)
                .await
                .unwrap();
            let ProjectOutcome::Done(project) = added else {
                panic!("{added:?}")
            };
            text = text.replace("{project}", &project.id.to_string());
        }
        if text.contains("{group}") {
            let name = format!("Group {}", self.number).parse().unwrap();
            let added = accounts.add_group(&self.team.parse().unwrap(), &name, &by, now).await.unwrap();
            let GroupOutcome::Done(group) = added else { panic!("{added:?}") };
            text = text.replace("{group}", &group.id.to_string());
        }
        text.replace("{team}", self.team).replace("{secret}", &"A".repeat(43))
    }
}

fn row_of(route: &Route) -> String {
    format!("{} {}", route.method, route.path)
}

/// What a row says besides its path.
fn said(route: &Route) -> &'static str {
    let row = row_of(route);
    SAID.iter().find(|(of, _)| *of == row).map_or("", |(_, said)| said)
}

fn word(route: &Route, page: &Page) -> &'static str {
    match page.status {
        StatusCode::FOUND if page.location().contains("/sign-in") => "sign in",
        // There it says that name or password is wrong.
        StatusCode::UNAUTHORIZED if route.path != "/sign-in" => "sign in",
        StatusCode::FORBIDDEN => "no",
        StatusCode::NOT_FOUND => "not found",
        status if status.is_server_error() => panic!("{status}: {}", page.text),
        _ => "yes",
    }
}

async fn ask(browser: &mut Browser<'_>, csrf: &str, route: &Route, records: &Records<'_>) -> &'static str {
    let whole = records.put_into(&format!("/.portcullis{}?{}", route.path, said(route))).await;
    let page = if route.method == Method::GET {
        browser.get(whole.trim_end_matches('?')).await
    } else {
        let (path, said) = whole.split_once('?').unwrap();
        let kind = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://sso.example"),
        ];
        browser.post(path, &kind, format!("csrf={csrf}&{said}")).await
    };
    word(route, &page)
}

/// What one who asks gets for each row: of their own team and of another, or once.
async fn column(role: Option<&'static str>, name: &'static str) -> Vec<String> {
    let files = [
        ("policies/roles.toml", include_str!("../../../policies/roles.toml")),
        ("policies/eln.toml", include_str!("../../../policies/eln.toml")),
        ("policies/teams.toml", TEAMS),
    ];
    let house = House::under(&files, SETTINGS);
    house.add("ada", "Ada", "Okafor").await;
    let mut browser = match (name, role) {
        ("nobody", _) => house.browser(),
        ("admin", _) => house.signed_in(ADA, GOOD).await,
        _ => {
            house.member("kim", "own", role).await;
            house.signed_in("kim@lab.example", GOOD).await
        }
    };
    let form = if name == "nobody" {
        "/.portcullis/sign-in"
    } else {
        "/.portcullis/me/security"
    };
    let csrf = browser.get(form).await.csrf();
    let mut answers = Vec::new();
    for (number, route) in ordered().into_iter().enumerate() {
        let of = |team| Records {
            house: &house,
            team,
            number,
        };
        let own = ask(&mut browser, &csrf, route, &of("own")).await;
        // Who signs out cannot ask again.
        let other = if route.path == "/sign-out" {
            own
        } else {
            ask(&mut browser, &csrf, route, &of("other")).await
        };
        answers.push(if own == other {
            own.to_owned()
        } else {
            format!("{own}, of another team: {other}")
        });
    }
    answers
}

/// The rows, the one that ends a session last.
fn ordered() -> Vec<&'static Route> {
    let mut rows: Vec<&Route> = ROUTES.iter().filter(|route| !route.path.starts_with("/assets/")).collect();
    rows.sort_by_key(|route| route.method == Method::POST && route.path == "/sign-out");
    rows
}

#[tokio::test]
async fn what_everybody_may_do_is_what_the_page_says() {
    let mut columns = Vec::new();
    for (name, role) in ASKERS {
        columns.push(column(*role, name).await);
    }
    let mut text = BEGIN.to_owned();
    let heads: Vec<&str> = ASKERS.iter().map(|(name, _)| *name).collect();
    writeln!(text, "| | {} |\n| --- |{}", heads.join(" | "), " --- |".repeat(heads.len())).unwrap();
    for (number, route) in ordered().into_iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[number].as_str()).collect();
        writeln!(text, "| {} `{}` | {} |", route.method, route.path, cells.join(" | ")).unwrap();
    }
    if std::env::var_os("PORTCULLIS_WRITE").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap_or_default();
    let (now, then): (BTreeSet<&str>, BTreeSet<&str>) = (text.lines().collect(), written.lines().collect());
    let (more, less): (Vec<_>, Vec<_>) = (now.difference(&then).collect(), then.difference(&now).collect());
    assert_eq!(
        text, written,
        "docs/who-may-do-what.md is not what the site answers.\nIt answers: {more:#?}\nThe page says: {less:#?}"
    );
}
