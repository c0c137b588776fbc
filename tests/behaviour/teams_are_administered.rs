//! What somebody has in a team is changed in the console: it counts from the next request, and never beyond what the changer may give.

use portcullis::server::control::{Answer, NewInvitee, Request};

use crate::support::browser::{Browser, Reply};
use crate::support::house::{APP, House, PASSWORD, PORTAL, sign_in};
use crate::support::post::{Post, Speaks};

const CONSOLE: &str = "http://portal.localhost/.portcullis/admin";

const COMPANY: &str = r#"
[app.echo]
title = "Echo"
host = "app.localhost"
upstream = "UPSTREAM"
require = { assigned = true }

[app.vault]
title = "Vault"
host = "vault.localhost"
upstream = "UPSTREAM"
require = { assigned = true }

[role.lead]
title = "Team Permission Administrator"
scope = "team"
admin = ["users", "groups", "projects", "invitations"]
grantable_by = ["lead", "admin"]

[role.keeper]
title = "Keeper"
scope = "team"
grantable_by = ["admin"]

[team.acme]
title = "ACME Research"
apps = ["echo"]
roles = ["lead", "keeper"]

[team.beta]
title = "Beta"
apps = ["echo", "vault"]
roles = ["lead"]

[ip_pattern.elsewhere]
title = "Elsewhere"
include = ["192.0.2.0/24"]
"#;

/// An admin `ada`, a team's administrator `kim` and a member `sam`, both of acme.
async fn company() -> House {
    company_with("").await
}

async fn company_with(settings: &str) -> House {
    let house = House::with(settings, COMPANY).await;
    house.add_with("ada", |person| person.role = Some("admin".to_owned())).await;
    house
        .add_with("kim", |person| {
            person.team = Some("acme".to_owned());
            person.role = Some("lead".to_owned());
        })
        .await;
    house.add_with("sam", |person| person.team = Some("acme".to_owned())).await;
    house
}

async fn id_of(house: &House, who: &str) -> String {
    let Answer::Person(person) = house.ask(Request::UserShow { who: who.to_owned() }).await else {
        panic!("no {who}")
    };
    person.id
}

async fn membership(house: &House, who: &str, team: &str) -> String {
    format!("{CONSOLE}/users/{}/teams/{team}", id_of(house, who).await)
}

/// Opens a form about a membership and saves it with these boxes; what is hidden goes along.
async fn save(browser: &mut Browser, url: &str, fields: &[(&str, &str)]) -> Reply {
    let page = browser.open(url).await;
    let mut all = vec![("do", "send")];
    all.extend_from_slice(fields);
    browser.fill_in(&page, &all).await
}

/// Presses the button of a page that asks before a deed.
async fn confirm(browser: &mut Browser, page: &Reply, url: &str) -> Reply {
    let hidden = page.form_with(["csrf"].into_iter()).hidden;
    let fields: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.submit(url, &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_and_taken_counts_from_the_next_request() {
    let house = company().await;
    let (mut kim, mut sam) = (sign_in(&house, "kim").await, sign_in(&house, "sam").await);
    let url = membership(&house, "sam", "acme").await;
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 403);
    let given = save(&mut kim, &url, &[("app-echo", "on")]).await;
    assert!(given.words().contains("The membership is changed"), "{}", given.words());
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 200);
    let kept = kim.open(&url).await;
    assert!(kept.text().contains("name=\"app-echo\" value=\"on\" checked"));
    assert!(kept.words().contains("Open now: 1 session"), "{}", kept.words());
    save(&mut kim, &url, &[("app-echo", "on"), ("ip-pattern", "elsewhere")]).await;
    let shut = sam.open(&format!("{APP}/")).await;
    assert!(shut.words().contains("outside the pattern “Elsewhere”"), "{}", shut.words());
    save(&mut kim, &url, &[]).await;
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 403, "taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_a_role_in_a_team_is_told_and_the_teams_administrators_see_that_letter_and_no_other() {
    let post = Post::start(Speaks::Clear).await;
    let house = company_with(&post.settings()).await;
    let (mut ada, mut kim) = (sign_in(&house, "ada").await, sign_in(&house, "kim").await);
    let url = membership(&house, "sam", "acme").await;
    save(&mut ada, &url, &[("role-keeper", "on"), ("app-echo", "on")]).await;
    let letter = post.wait_for_taken(1).await.remove(0);
    assert_eq!(letter.to, "sam@example.org");
    for line in ["Role: Keeper", "Team: ACME Research", "Given by: ada"] {
        assert!(letter.text().contains(line), "{line}: {}", letter.text());
    }
    save(&mut ada, &url, &[("app-echo", "on")]).await;
    let outbox = format!("{CONSOLE}/mail");
    let page = ada.open(&outbox).await;
    confirm(&mut ada, &page, &format!("{outbox}/test")).await;
    let arrived = post.wait_for_taken(2).await;
    assert_eq!(arrived[1].to, "ada@example.org", "what is taken is not told");
    let seen = kim.open(&outbox).await.words();
    assert!(seen.contains("sam@example.org") && !seen.contains("ada@example.org"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_beyond_what_they_may_give_nor_their_own() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let mut kim = sign_in(&house, "kim").await;
    let url = membership(&house, "sam", "acme").await;
    save(&mut ada, &url, &[("role-keeper", "on")]).await;
    save(&mut kim, &url, &[("app-echo", "on")]).await;
    let seen = ada.open(&url).await;
    assert!(
        seen.text().contains("name=\"role-keeper\" value=\"on\" checked"),
        "what one may not give stays when one saves without it"
    );
    let page = kim.open(&url).await;
    let hidden = page.form_with(["ip-pattern"].into_iter()).hidden;
    for (name, told) in [
        ("role-admin", "You may not give the role"),
        ("app-vault", "You may not give the application"),
    ] {
        let mut fields: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend([("do", "send"), (name, "on")]);
        let forged = kim.submit(&url, &fields).await;
        assert_eq!(forged.status, 403, "{name}: {}", forged.words());
        assert!(forged.words().contains(told), "{name}: {}", forged.words());
    }
    let own = membership(&house, "kim", "acme").await;
    let refused = save(&mut kim, &own, &[("role-lead", "on"), ("app-echo", "on")]).await;
    assert!(
        refused.words().contains("You cannot change what you have yourself"),
        "{}",
        refused.words()
    );
    let end = format!("{url}/end");
    let asked = kim.open(&end).await;
    let kept = confirm(&mut kim, &asked, &end).await;
    assert_eq!(kept.status, 403, "whose role may not be taken is not taken out: {}", kept.words());
    for (who, team) in [("ada", "main"), ("sam", "beta"), ("sam", "gone")] {
        let url = membership(&house, who, team).await;
        assert_eq!(kim.get(&url).await.status, 404, "{who} in {team}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_change_the_same_at_once_overwrite_nothing() {
    let house = company().await;
    let (mut ada, mut kim) = (sign_in(&house, "ada").await, sign_in(&house, "kim").await);
    let url = membership(&house, "sam", "acme").await;
    let opened = kim.open(&url).await;
    save(&mut ada, &url, &[("role-keeper", "on")]).await;
    let late = kim.fill_in(&opened, &[("do", "send"), ("app-echo", "on")]).await;
    assert_eq!(late.status, 409);
    assert!(
        late.words().contains("Somebody changed this while the form was open"),
        "{}",
        late.words()
    );
    assert!(
        late.text().contains("name=\"app-echo\" value=\"on\" checked"),
        "what was ticked is kept"
    );
    let again = kim.fill_in(&late, &[("do", "send"), ("app-echo", "on")]).await;
    assert!(again.words().contains("The membership is changed"), "{}", again.words());
    let seen = ada.open(&url).await.text();
    assert!(seen.contains("name=\"role-keeper\" value=\"on\" checked") && seen.contains("name=\"app-echo\" value=\"on\" checked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_taken_out_of_a_team_has_nothing_of_it() {
    let house = company().await;
    let (mut kim, mut sam) = (sign_in(&house, "kim").await, sign_in(&house, "sam").await);
    let url = membership(&house, "sam", "acme").await;
    save(&mut kim, &url, &[("app-echo", "on")]).await;
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 200);
    let end = format!("{url}/end");
    let asked = kim.open(&end).await;
    assert!(asked.words().contains("Take out sam"), "{}", asked.words());
    confirm(&mut kim, &asked, &end).await;
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 403);
    assert_eq!(kim.get(&url).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_kept_by_who_may_and_told_to_applications() {
    let house = company().await;
    let (mut kim, mut sam) = (sign_in(&house, "kim").await, sign_in(&house, "sam").await);
    let projects = format!("{CONSOLE}/projects");
    let empty = kim.open(&projects).await;
    assert!(
        empty.words().contains("No projects yet") && !empty.words().contains("Beta"),
        "{}",
        empty.words()
    );
    let made = kim.fill_in(&empty, &[("name", "Kinase <b>panel"), ("team", "acme")]).await;
    assert!(made.words().contains("The project is made"), "{}", made.words());
    let twice = kim.fill_in(&made, &[("name", "KINASE <b>panel"), ("team", "acme")]).await;
    assert!(twice.words().contains("The team has a project of that name"), "{}", twice.words());
    let nameless = kim.fill_in(&made, &[("name", " "), ("team", "acme")]).await;
    assert!(nameless.words().contains("Enter a name"), "{}", nameless.words());
    assert_eq!(sam.get(&projects).await.status, 403);
    let text = made.text();
    let project = text.split("/admin/projects/p-").nth(1).unwrap().split('"').next().unwrap();
    let field = format!("project-p-{project}");
    let url = membership(&house, "sam", "acme").await;
    save(&mut kim, &url, &[("app-echo", "on"), (&field, "guest")]).await;
    let told = async |browser: &mut Browser| {
        let seen = browser.open(&format!("{APP}/")).await.json();
        let headers = seen["headers"].as_array().unwrap().clone();
        let found = headers.iter().find(|pair| pair[0] == "x-portcullis-projects").unwrap()[1].clone();
        found.as_str().unwrap().to_owned()
    };
    let projects_told = told(&mut sam).await;
    assert!(
        projects_told.contains("Kinase") && projects_told.contains(":guest"),
        "{projects_told}"
    );
    let page = kim.open(&format!("{CONSOLE}/projects/p-{project}")).await;
    kim.fill_in(&page, &[("name", "Solubility"), ("do", "rename")]).await;
    assert_eq!(
        told(&mut sam).await,
        "Solubility:guest",
        "the new name is told from the next request on"
    );
    let Answer::Invitation(_) = house
        .ask(Request::InviteCreate(NewInvitee {
            email: "max@example.org".to_owned(),
            team: Some("acme".to_owned()),
            roles: Vec::new(),
            apps: Vec::new(),
            permissions: Vec::new(),
            projects: vec!["Solubility=member".to_owned()],
            ip_pattern: None,
            idp: None,
        }))
        .await
    else {
        panic!("not invited")
    };
    let page = kim.open(&format!("{CONSOLE}/projects/p-{project}")).await;
    kim.fill_in(&page, &[("do", "delete")]).await;
    assert_eq!(told(&mut sam).await, "", "a level in a project that is gone gives nothing");
    assert!(kim.open(&projects).await.words().contains("No projects yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_elsewhere_is_not_shown_to_a_teams_administrator() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let Answer::Invitation(made) = house
        .ask(Request::InviteCreate(NewInvitee {
            email: "sam@example.org".to_owned(),
            team: Some("beta".to_owned()),
            roles: Vec::new(),
            apps: vec!["vault".to_owned()],
            permissions: Vec::new(),
            projects: Vec::new(),
            ip_pattern: None,
            idp: None,
        }))
        .await
    else {
        panic!("not invited")
    };
    let mut sam = house.browser();
    sam.fill(
        &format!("{PORTAL}/.portcullis/sign-in"),
        &[("username", "sam"), ("password", PASSWORD)],
    )
    .await;
    let page = sam.open(&made.link.unwrap()).await;
    sam.fill_in(&page, &[("do", "join")]).await;
    let url = format!("{CONSOLE}/users/{}", id_of(&house, "sam").await);
    assert!(ada.open(&url).await.words().contains("Beta"));
    let mut kim = sign_in(&house, "kim").await;
    let seen = kim.open(&url).await;
    assert_eq!(seen.status, 200);
    assert!(
        seen.words().contains("ACME Research") && !seen.words().contains("Beta"),
        "{}",
        seen.words()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_gives_its_members_levels_in_projects() {
    let house = company().await;
    house.add_with("max", |person| person.team = Some("beta".to_owned())).await;
    let (mut ada, mut kim, mut sam) = (
        sign_in(&house, "ada").await,
        sign_in(&house, "kim").await,
        sign_in(&house, "sam").await,
    );
    let teams = kim.open(&format!("{CONSOLE}/teams")).await;
    assert!(
        teams.words().contains("ACME Research") && !teams.words().contains("Beta"),
        "{}",
        teams.words()
    );
    assert_eq!(kim.get(&format!("{CONSOLE}/teams/beta")).await.status, 404);
    assert_eq!(sam.get(&format!("{CONSOLE}/teams")).await.status, 403);
    let projects = kim.open(&format!("{CONSOLE}/projects")).await;
    kim.fill_in(&projects, &[("name", "Kinase"), ("team", "acme")]).await;
    let url = membership(&house, "sam", "acme").await;
    save(&mut kim, &url, &[("app-echo", "on")]).await;

    let team = kim.open(&format!("{CONSOLE}/teams/acme")).await;
    let nameless = kim.fill_in(&team, &[("name", " ")]).await;
    assert!(nameless.words().contains("Enter a name"), "{}", nameless.words());
    let group = kim.fill_in(&team, &[("name", "Crystals <b>")]).await;
    assert!(group.words().contains("The group is made"), "{}", group.words());
    assert!(!group.text().contains("<b>"));
    let twice = kim.fill_in(&team, &[("name", "CRYSTALS <b>")]).await;
    assert!(twice.words().contains("The team has a group of that name"), "{}", twice.words());

    let text = group.text();
    let field = text.split("name=\"project-").nth(1).unwrap().split('"').next().unwrap();
    let field = format!("project-{field}");
    // Somebody of another team is nobody.
    for stranger in ["max", "nobody@example.org"] {
        let refused = kim
            .fill_in(&group, &[("do", "save"), ("name", "Crystals"), ("add", stranger)])
            .await;
        assert!(
            refused
                .words()
                .contains(&format!("No member of this team has that name: {stranger}")),
            "{}",
            refused.words()
        );
    }
    let own = kim.fill_in(&group, &[("do", "save"), ("name", "Crystals"), ("add", "kim")]).await;
    assert!(own.words().contains("You cannot change what you have yourself"), "{}", own.words());
    let saved = kim
        .fill_in(
            &group,
            &[("do", "save"), ("name", "Crystals"), ("add", "sam@example.org"), (&field, "guest")],
        )
        .await;
    assert!(saved.words().contains("The group is saved"), "{}", saved.words());
    let told = async |browser: &mut Browser| {
        let seen = browser.open(&format!("{APP}/")).await.json();
        let headers = seen["headers"].as_array().unwrap().clone();
        let found = headers.iter().find(|pair| pair[0] == "x-portcullis-projects").unwrap()[1].clone();
        found.as_str().unwrap().to_owned()
    };
    assert_eq!(told(&mut sam).await, "Kinase:guest");
    assert!(kim.open(&url).await.words().contains("In the groups Crystals"));

    // Who had it open before does not overwrite what was done since.
    let late = ada.open(group.url.as_str().split('?').next().unwrap()).await;
    let member = format!("member-{}", id_of(&house, "sam").await);
    kim.fill_in(&saved, &[("do", "save"), ("name", "Crystals"), (&member, "on"), (&field, "member")])
        .await;
    assert_eq!(told(&mut sam).await, "Kinase:member");
    let moved = ada.fill_in(&late, &[("do", "save"), ("name", "Crystals")]).await;
    assert_eq!(moved.status, 409, "{}", moved.words());
    assert_eq!(told(&mut sam).await, "Kinase:member");

    let page = kim.open(group.url.as_str().split('?').next().unwrap()).await;
    kim.fill_in(&page, &[("do", "save"), ("name", "Crystals"), (&field, "member")])
        .await;
    assert_eq!(told(&mut sam).await, "", "who is taken out has nothing by it");
    let page = kim.open(group.url.as_str().split('?').next().unwrap()).await;
    let gone = kim.fill_in(&page, &[("do", "delete")]).await;
    assert!(gone.words().contains("The group is deleted"), "{}", gone.words());
}
