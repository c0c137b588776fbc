//! Everything that the console does is done by the API and on the command line: a table of all of it, and a team of five by each.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use http::Method;
use portcullis::web::api::rows::API;
use portcullis::web::routes::ROUTES;
use serde_json::{Value, json};

use crate::commands::Installation;
use crate::support::browser::Browser;
use crate::support::house::{House, PASSWORD, PORTAL, sign_in};

/// Every form of the console: its address, the rows of the API that do the same, and the commands.
const ACTS: &[(&str, &[&str], &[&str])] = &[
    ("/admin/users", &["addUser"], &["user add"]),
    ("/admin/users/role", &["changeRole"], &["user role"]),
    ("/admin/users/{user}/role", &["changeRole"], &["user role"]),
    ("/admin/users/{user}/disable", &["disableUser"], &["user disable"]),
    ("/admin/users/{user}/enable", &["enableUser"], &["user enable"]),
    ("/admin/users/{user}/delete", &["deleteUser"], &["user delete"]),
    ("/admin/users/{user}/token", &["makeToken"], &["user token"]),
    ("/admin/users/{user}/sessions", &["endSessionsOfUser"], &["session end"]),
    (
        "/admin/users/{user}/teams/{team}",
        &["showMembership", "setMembership", "copyMembership"],
        &["user show", "team set"],
    ),
    ("/admin/users/{user}/teams/{team}/end", &["endMembership"], &["team remove"]),
    ("/admin/invitations/new", &["invite", "previewInvitation"], &["invite create"]),
    ("/admin/invitations/{invitation}", &["changeInvitation"], &["invite change"]),
    (
        "/admin/invitations/{invitation}/do",
        &["resendInvitation", "extendInvitation", "withdrawInvitation"],
        &["invite resend", "invite extend", "invite withdraw"],
    ),
    ("/admin/projects", &["addProject"], &["team project add"]),
    (
        "/admin/projects/{project}",
        &["renameProject", "deleteProject"],
        &["team project rename", "team project delete"],
    ),
    (
        "/admin/sessions",
        &["endSession", "endSessionsOfUser", "endSessionsFrom"],
        &["session end"],
    ),
    // Many at once are one after the other by machine, and a table of people or invitations is read by the program itself.
    ("/admin/users/import", &["addUser"], &["user add"]),
    (
        "/admin/users/several",
        &["disableUser", "enableUser", "endSessionsOfUser", "setMembership"],
        &["user disable", "user enable", "session end", "team set"],
    ),
    ("/admin/invitations/import", &["invite"], &["invite create"]),
    (
        "/admin/invitations/several",
        &["resendInvitation", "extendInvitation", "withdrawInvitation"],
        &["invite resend", "invite extend", "invite withdraw"],
    ),
    ("/admin/policy/check", &["showPolicy"], &["check"]),
    ("/admin/audit/check", &["checkAudit"], &["audit verify"]),
    ("/admin/mail/test", &["sendTestLetter"], &["mail test"]),
    ("/admin/mail/{letter}/again", &["sendLetterAgain"], &["mail again"]),
    ("/admin/mail/{letter}/give-up", &["giveLetterUp"], &["mail give-up"]),
];

/// Forms whose row and command are still to come.
const TO_COME: &[&str] = &["/admin/teams/{team}", "/admin/groups/{group}"];

#[test]
fn every_act_of_the_console_has_its_row_and_its_command() {
    let forms: BTreeSet<&str> = ROUTES
        .iter()
        .filter(|route| route.method == Method::POST && route.path.starts_with("/admin"))
        .map(|route| route.path)
        .collect();
    let told: BTreeSet<&str> = ACTS.iter().map(|(path, ..)| *path).chain(TO_COME.iter().copied()).collect();
    let missing: Vec<&&str> = forms.difference(&told).collect();
    assert!(
        missing.is_empty(),
        "forms of the console without their row and their command: {missing:?}"
    );
    for (path, rows, commands) in ACTS {
        for row in *rows {
            assert!(API.iter().any(|one| one.id == *row), "{path}: the API has no {row}");
        }
        for command in *commands {
            let help = Command::new(env!("CARGO_BIN_EXE_portcullis"))
                .args(command.split(' '))
                .arg("--help")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&help.stdout).into_owned();
            assert!(help.status.success(), "{path}: there is no command {command}");
            assert!(
                text.contains(&format!("portcullis {command}")),
                "{command} shows no example: {text}"
            );
        }
    }
    // Nothing of the API changes what the console does not.
    let named: BTreeSet<&str> = ACTS.iter().flat_map(|(_, rows, _)| rows.iter().copied()).collect();
    let besides: Vec<&str> = API
        .iter()
        .filter(|row| row.method != Method::GET && !named.contains(row.id))
        .map(|row| row.id)
        .collect();
    assert_eq!(besides, ["checkIpPattern"], "it saves nothing");
}

const TEAM: &str = r#"
[app.echo]
title = "Echo"
host = "app.localhost"
upstream = "UPSTREAM"
require = { assigned = true }
permission.dq = { title = "Data quality" }

[role.lead]
title = "Team Permission Administrator"
scope = "team"
admin = ["users", "projects", "invitations"]
grantable_by = ["lead", "admin"]

[team.acme]
title = "ACME Research"
apps = ["echo"]
roles = ["lead"]
"#;

/// The four who are invited by the first, and what each has.
const OTHERS: [(&str, &str); 4] = [("bo", "member"), ("cy", "member"), ("di", "guest"), ("eve", "guest")];

/// A person of a team, at a program.
struct Script {
    browser: Browser,
    csrf: String,
}

impl Script {
    async fn of(mut browser: Browser) -> Self {
        let page = browser.open(&format!("{PORTAL}/.portcullis/me/sessions")).await.text();
        let csrf = page
            .split("name=\"csrf\" value=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned();
        Self { browser, csrf }
    }

    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let reply = self
            .browser
            .ask(
                method.clone(),
                &format!("{PORTAL}/.portcullis/api/v1{path}"),
                &[("x-portcullis-csrf", &self.csrf), ("accept", "application/json")],
                body,
            )
            .await;
        assert!(reply.status.is_success(), "{method} {path}: {} {}", reply.status, reply.text());
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }
}

/// Registers by a link: the account form, and then the token that `token` finds.
async fn registers(mut browser: Browser, link: &str, username: &str, token: impl AsyncFnOnce() -> String) -> Browser {
    let fields = [
        ("given-name", username),
        ("family-name", "Person"),
        ("username", username),
        ("new-password", PASSWORD),
    ];
    let page = browser.fill(link, &fields).await;
    let token = token().await;
    let home = browser.fill_in(&page, &[("token", &token)]).await;
    assert!(home.words().contains("My applications"), "{}", home.words());
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_of_five_is_built_by_the_api() {
    let house = House::with("", TEAM).await;
    house.add_with("ada", |person| person.role = Some("admin".to_owned())).await;
    let mut ada = Script::of(sign_in(&house, "ada").await).await;
    let first = json!({ "email": "kim@example.org", "team": "acme", "roles": ["lead"], "permissions": { "echo": ["dq"] } });
    let made = ada.ask(Method::POST, "/invitations", Some(&first)).await;
    let (id, link) = (made["id"].as_str().unwrap(), made["link"].as_str().unwrap());
    let kim = registers(house.browser(), link, "kim", async || {
        let seen = ada.ask(Method::GET, &format!("/invitations/{id}"), None).await;
        seen["token"].as_str().unwrap().to_owned()
    })
    .await;
    // From here on the team looks after itself.
    let mut kim = Script::of(kim).await;
    let project = kim
        .ask(Method::POST, "/projects", Some(&json!({ "team": "acme", "name": "Kinase" })))
        .await;
    let project = project["id"].as_str().unwrap();
    for (name, level) in OTHERS {
        let offer = json!({
            "email": format!("{name}@example.org"), "team": "acme",
            "permissions": { "echo": [] }, "projects": { project: level },
        });
        let reach = kim.ask(Method::POST, "/invitations/preview", Some(&offer)).await;
        assert_eq!(reach["items"][0]["decision"], "allow", "{reach}");
        let made = kim.ask(Method::POST, "/invitations", Some(&offer)).await;
        let (id, link) = (made["id"].as_str().unwrap(), made["link"].as_str().unwrap());
        registers(house.browser(), link, name, async || {
            let seen = kim.ask(Method::GET, &format!("/invitations/{id}"), None).await;
            seen["token"].as_str().unwrap().to_owned()
        })
        .await;
    }
    let all = kim.ask(Method::GET, "/users?team=acme", None).await;
    assert_eq!(all["total"], 5);
    for (name, level) in OTHERS {
        let user = all["items"].as_array().unwrap().iter().find(|one| one["username"] == name).unwrap();
        assert_eq!(user["status"], "active", "{name}");
        assert_eq!(user["memberships"][0]["projects"], json!({ project: level }), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_of_five_is_built_on_the_command_line() {
    let house = Installation::new();
    let policy = house.path().join("policies/team.toml");
    let text = TEAM.replace("[app.echo]", "[app.notes]").replace("UPSTREAM", "http://127.0.0.1:9");
    let text = text.replace("app.localhost", "notes.localhost").replace("\"echo\"", "\"notes\"");
    fs::write(policy, text).unwrap();
    house.add("ada", PASSWORD);
    let (_server, lines) = house.serve();
    let gateway = lines.iter().find_map(|line| line.strip_prefix("listening http ")).unwrap();
    let gateway = gateway.split(' ').next().unwrap().parse().unwrap();
    let project = house.json(&["team", "project", "add", "--team", "acme", "Kinase"]);
    let project = project[0]["id"].as_str().unwrap().to_owned();
    let mut all = vec![("kim", "none")];
    all.extend(OTHERS);
    for (name, level) in &all {
        let email = format!("{name}@example.org");
        let level = format!("Kinase={level}");
        let mut words = vec![
            "invite",
            "create",
            "--email",
            &email,
            "--team",
            "acme",
            "--app",
            "notes",
            "--project",
            &level,
        ];
        if *name == "kim" {
            words.extend(["--role", "lead"]);
        }
        let made = house.json(&words);
        let link = made["link"].as_str().unwrap().to_owned();
        registers(Browser::new(gateway), &link, name, async || {
            let listed = house.json(&["invite", "list", "--search", &email]);
            listed[0]["token"].as_str().unwrap().to_owned()
        })
        .await;
    }
    let people = house.json(&["user", "list"]);
    let of_team: Vec<&Value> = people
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["memberships"][0]["team"] == "acme")
        .collect();
    assert_eq!(of_team.len(), 5, "{people}");
    let changed = house.json(&["team", "set", "bo", "--team", "acme", "--permission", "notes:dq"]);
    assert_eq!(changed["memberships"][0]["permissions"], json!({ "notes": ["dq"] }), "{changed}");
    assert_eq!(changed["memberships"][0]["projects"], json!({}), "all of it");
    house.json(&["team", "remove", "eve", "--team", "acme"]);
    assert_eq!(house.json(&["user", "show", "eve"])["memberships"], json!([]));
    assert_eq!(
        house.json(&["team", "project", "rename", &project, "Solubility"])[0]["name"],
        "Solubility"
    );
    house.json(&["team", "project", "delete", &project]);
    assert_eq!(house.json(&["team", "project", "list"]), json!([]));
    let teams = house.json(&["team", "list"]);
    assert!(
        teams.as_array().unwrap().iter().any(|team| team["roles"] == json!(["lead"])),
        "{teams}"
    );
    assert_eq!(house.json(&["mail", "list"]), json!([]));
    let (status, _, told) = house.run(&["mail", "test", "ada"]);
    assert_eq!((status, told.contains("no mail is set up")), (1, true), "{told}");
    let (status, _, told) = house.run(&["team", "set", "bo", "--team", "acme", "--role", "admin"]);
    assert_eq!((status, told.contains("You may not give the role")), (1, true), "{told}");
}
