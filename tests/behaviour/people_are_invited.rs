//! An administrator invites somebody; a link, a form and a token later they are signed in with exactly what was promised.

use std::time::Duration;

use portcullis::server::control::{Answer, NewInvitee, Request};

use crate::support::browser::{Browser, Reply};
use crate::support::house::{APP, House, PASSWORD, PORTAL, sign_in};

const INVITATIONS: &str = "http://portal.localhost/.portcullis/admin/invitations";

/// Two teams with an administrator's role; the application is for those who were given it.
const COMPANY: &str = r#"
[app.echo]
title = "Echo"
host = "app.localhost"
upstream = "UPSTREAM"
require = { assigned = true }

[app.echo.permission.curate]
title = "Curator"

[[app.echo.rule]]
path = "/curated/**"
require = { permissions = ["curate"] }

[app.vault]
title = "Vault"
host = "vault.localhost"
upstream = "UPSTREAM"
require = { assigned = true }

[role.lead]
title = "Team Permission Administrator"
scope = "team"
admin = ["users", "invitations"]
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
apps = ["echo"]
roles = ["lead"]
idps = ["sso"]

[idp.sso]
kind = "saml"
title = "Northgate SSO"
metadata = "https://sso.example/metadata"
email_domains = ["northgate.example"]

[ip_pattern.desk]
title = "Desk"
include = ["127.0.0.0/8"]
exclude = ["127.0.0.9"]
"#;

async fn company() -> House {
    let house = House::with("", COMPANY).await;
    house.add_with("ada", |person| person.role = Some("admin".to_owned())).await;
    house
}

/// The first link or value behind these words, as an attribute of the page.
fn attribute_with<'a>(page: &'a str, before: &str, part: &str) -> Option<&'a str> {
    page.split(before)
        .skip(1)
        .find_map(|rest| rest.split('"').next().filter(|value| value.contains(part)))
}

fn link_on(page: &Reply) -> String {
    let text = page.text();
    attribute_with(&text, "data-copy=\"", "/invite/")
        .unwrap_or_else(|| panic!("no link: {}", page.words()))
        .to_owned()
}

fn token_on(page: &Reply) -> String {
    let text = page.text();
    attribute_with(&text, "aria-label=\"Copy token ", "-")
        .unwrap_or_else(|| panic!("no token: {}", page.words()))
        .to_owned()
}

async fn invite(ada: &mut Browser, team: &str, fields: &[(&str, &str)]) -> Reply {
    let page = ada.open(&format!("{INVITATIONS}/new?team={team}")).await;
    let mut all = vec![("team", team), ("do", "send")];
    all.extend_from_slice(fields);
    ada.fill_in(&page, &all).await
}

async fn register(house: &House, link: &str, username: &str) -> (Browser, Reply) {
    let mut sam = house.browser();
    let page = sam
        .fill(
            link,
            &[
                ("given-name", "Sam"),
                ("family-name", "Osei"),
                ("username", username),
                ("new-password", PASSWORD),
            ],
        )
        .await;
    (sam, page)
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_invited_has_what_was_promised_and_nothing_else() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let sent = invite(
        &mut ada,
        "acme",
        &[
            ("email", "sam@northgate.example"),
            ("app-echo", "on"),
            ("perm-echo:curate", "on"),
            ("ip-pattern", "desk"),
        ],
    )
    .await;
    assert!(sent.words().contains("sam@northgate.example is invited"), "{}", sent.words());
    let link = link_on(&sent);
    let mut scanner = house.browser();
    for _ in 0..3 {
        let page = scanner.open(&link).await;
        assert!(page.words().contains("Join ACME Research"), "{}", page.words());
    }
    assert!(ada.open(INVITATIONS).await.words().contains("Sent"), "a GET changes nothing");
    // Whoever else has the link, and not the mailbox, cannot put their own password in front of the token.
    let (_, theirs) = register(&house, &link, "mallory").await;
    assert!(theirs.words().contains("Stay on this page"), "{}", theirs.words());
    let elsewhere = house.browser().open(theirs.url.as_str().split('?').next().unwrap()).await;
    assert!(
        elsewhere.words().contains("Accept your invitation") && !elsewhere.text().contains("mallory"),
        "{}",
        elsewhere.words()
    );
    let (mut sam, page) = register(&house, &link, "sam").await;
    assert_eq!(page.url.path().rsplit('/').next(), Some("token"), "{}", page.words());
    assert!(page.words().contains("Stay on this page"), "{}", page.words());
    let listed = ada.open(INVITATIONS).await;
    assert!(listed.words().contains("Token sent"), "{}", listed.words());
    let wrong = sam.fill_in(&page, &[("token", "K7QF!2MX")]).await;
    assert!(wrong.words().contains("Invalid characters found"), "{}", wrong.words());
    let stolen = house.browser().fill_in(&theirs, &[("token", &token_on(&listed))]).await;
    assert!(!stolen.words().contains("My applications"), "{}", stolen.words());
    let home = sam.fill_in(&page, &[("token", &token_on(&listed))]).await;
    assert!(home.words().contains("My applications"), "{}", home.words());
    assert_eq!(sam.open(&format!("{APP}/curated/1")).await.status, 200);
    assert_eq!(sam.open("http://vault.localhost/").await.status, 403, "only what was promised");
    let mut outside = Browser::from_address(house.gateway, "127.0.0.9");
    let shut = outside
        .fill(
            &format!("{PORTAL}/.portcullis/sign-in"),
            &[("username", "sam"), ("password", PASSWORD)],
        )
        .await;
    assert!(shut.words().contains("outside the pattern"), "{}", shut.words());
    let again = house.browser().open(&link).await;
    assert_eq!(again.status, 410);
    assert!(again.words().contains("This invitation has ended"), "{}", again.words());
    assert!(ada.open(INVITATIONS).await.words().contains("Nobody is invited"));
    let twice = invite(&mut ada, "acme", &[("email", "SAM@northgate.example")]).await;
    assert!(
        twice.words().contains("Someone in ACME Research already uses this email address"),
        "{}",
        twice.words()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_ends_after_48_hours_and_is_replaced_when_it_is_sent_again() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let first = link_on(&invite(&mut ada, "acme", &[("email", "sam@northgate.example")]).await);
    house.wait(Duration::from_secs(47 * 3600));
    let mut ada = sign_in(&house, "ada").await;
    assert_eq!(house.browser().open(&first).await.status, 200);
    house.wait(Duration::from_secs(3600));
    let ended = house.browser().open(&first).await;
    assert!(ended.words().contains("Invitations last 48 hours"), "{}", ended.words());
    let listed = ada.open(INVITATIONS).await;
    assert!(listed.words().contains("Ended"), "{}", listed.words());
    // An hour is long ago: what was pressed is kept while they prove who they are.
    let asked = ada.fill_in(&listed, &[("do", "resend")]).await;
    assert!(asked.words().contains("Confirm it is you"), "{}", asked.words());
    let sent = ada.fill_in(&asked, &[("confirm-password", PASSWORD)]).await;
    let second = link_on(&sent);
    assert_eq!(house.browser().open(&second).await.status, 200);
    assert_eq!(
        house.browser().open(&first).await.status,
        410,
        "a link that was replaced opens nothing"
    );
    let gone = ada.fill_in(&sent, &[("do", "delete")]).await;
    assert!(gone.words().contains("The invitation is deleted"), "{}", gone.words());
    assert_eq!(house.browser().open(&second).await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_or_expired_token_leads_back_to_the_link() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let link = link_on(&invite(&mut ada, "acme", &[("email", "sam@northgate.example")]).await);
    let (mut sam, page) = register(&house, &link, "sam").await;
    let right = token_on(&ada.open(INVITATIONS).await);
    let guess = if right == "0000-0000" { "1111-1113" } else { "0000-0000" };
    for left in ["4 tries left", "3 tries left", "2 tries left", "1 try left"] {
        let reply = sam.fill_in(&page, &[("token", guess)]).await;
        assert!(reply.words().contains(left), "{}", reply.words());
    }
    let locked = sam.fill_in(&page, &[("token", guess)]).await;
    assert!(locked.words().contains("This token is locked"), "{}", locked.words());
    let still = sam.fill_in(&page, &[("token", &right)]).await;
    assert!(
        still.words().contains("This token is locked"),
        "even the right one: {}",
        still.words()
    );
    assert!(ada.open(INVITATIONS).await.words().contains("Token locked"));
    let (mut sam, page) = register(&house, &link, "sam").await;
    let token = token_on(&ada.open(INVITATIONS).await);
    house.wait(Duration::from_secs(3600));
    let late = sam.fill_in(&page, &[("token", &token)]).await;
    assert!(late.words().contains("This token has expired"), "{}", late.words());
    let (mut sam, page) = register(&house, &link, "sam").await;
    let mut ada = sign_in(&house, "ada").await;
    let token = token_on(&ada.open(INVITATIONS).await);
    let home = sam.fill_in(&page, &[("token", &token)]).await;
    assert!(home.words().contains("My applications"), "{}", home.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_an_account_joins_with_that_account() {
    let house = company().await;
    house.add("sam").await;
    let mut ada = sign_in(&house, "ada").await;
    let link = link_on(&invite(&mut ada, "acme", &[("email", "sam@example.org"), ("app-echo", "on")]).await);
    let mut sam = house.browser();
    let page = sam.open(&link).await;
    assert!(page.words().contains("This address has an account here"), "{}", page.words());
    assert!(!page.text().contains("new-password"), "no second password");
    let sign_in_there = page.text();
    let there = attribute_with(&sign_in_there, "href=\"", "/sign-in?rd=")
        .unwrap()
        .replace("&amp;", "&");
    let back = sam
        .fill(&format!("{PORTAL}{there}"), &[("username", "sam"), ("password", PASSWORD)])
        .await;
    assert!(back.words().contains("You join with the account you have"), "{}", back.words());
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 403, "not before they agreed");
    let joined = sam.fill_in(&back, &[("do", "join")]).await;
    assert!(joined.words().contains("My applications"), "{}", joined.words());
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 200);
    let ada_there = ada.open(&link).await;
    assert_eq!(ada_there.status, 410, "an invitation is used once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_with_a_provider_offers_no_password_and_takes_no_token() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let sent = invite(&mut ada, "beta", &[("email", "sam@northgate.example"), ("idp", "sso")]).await;
    let link = link_on(&sent);
    let mut sam = house.browser();
    let page = sam.open(&link).await;
    assert!(page.words().contains("Continue with Northgate SSO"), "{}", page.words());
    assert!(!page.text().contains("new-password"));
    let forced = sam
        .submit(
            &link,
            &[
                ("csrf", &csrf_of(&mut sam.clone(), &house).await),
                ("given-name", "Sam"),
                ("family-name", "Osei"),
                ("username", "sam"),
                ("new-password", PASSWORD),
            ],
        )
        .await;
    assert!(forced.words().contains("Continue with Northgate SSO"), "{}", forced.words());
    assert!(ada.open(INVITATIONS).await.words().contains("Sent"), "nothing was begun");
}

/// The value of a form of somebody who is not signed in.
async fn csrf_of(browser: &mut Browser, _house: &House) -> String {
    let page = browser.open(&format!("{PORTAL}/.portcullis/account/new")).await;
    let form = page.form_with(["token"].into_iter());
    form.hidden.iter().find(|(name, _)| name == "csrf").unwrap().1.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_administrator_invites_into_their_team_and_gives_what_they_may() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let link = link_on(&invite(&mut ada, "acme", &[("email", "kim@northgate.example"), ("role-lead", "on")]).await);
    let (mut kim, page) = register(&house, &link, "kim").await;
    let token = token_on(&ada.open(INVITATIONS).await);
    kim.fill_in(&page, &[("token", &token)]).await;
    let form = kim.open(&format!("{INVITATIONS}/new")).await;
    assert!(form.words().contains("Team Permission Administrator"), "{}", form.words());
    assert!(!form.words().contains("Keeper"), "a role they may not give is not offered");
    assert!(!form.words().contains("Beta"), "nor another team");
    assert_eq!(kim.get(&format!("{INVITATIONS}/new?team=beta")).await.status, 404);
    let forged = kim
        .fill_in(&form, &[("team", "acme"), ("email", "lee@northgate.example"), ("do", "send")])
        .await;
    assert!(forged.words().contains("is invited"), "{}", forged.words());
    for (name, value, told) in [
        ("role-keeper", "on", "You may not give the role"),
        ("app-vault", "on", "You may not give the application"),
        ("ip-pattern", "gone", "There is no IP pattern"),
        ("idp", "sso", "is no SAML ID provider of this team"),
    ] {
        let page = kim.open(&format!("{INVITATIONS}/new")).await;
        let csrf = page.form_with(["email", "team"].into_iter()).hidden[0].1.clone();
        let fields = [
            ("csrf", csrf.as_str()),
            ("team", "acme"),
            ("email", "max@northgate.example"),
            ("do", "send"),
            (name, value),
        ];
        let reply = kim.submit(&format!("{INVITATIONS}/new"), &fields).await;
        assert_eq!(reply.status, 403, "{name}: {}", reply.words());
        assert!(reply.words().contains(told), "{name}: {}", reply.words());
    }
    let of_beta = invite(&mut ada, "beta", &[("email", "max@northgate.example")]).await;
    assert!(of_beta.words().contains("is invited"), "{}", of_beta.words());
    let seen = kim.open(INVITATIONS).await.words();
    assert!(
        seen.contains("lee@northgate.example") && !seen.contains("max@northgate.example"),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copying_fills_in_what_may_be_given_and_says_what_is_different() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let fields = [
        ("email", "kim@northgate.example"),
        ("app-echo", "on"),
        ("perm-echo:curate", "on"),
        ("role-lead", "on"),
        ("ip-pattern", "desk"),
    ];
    let link = link_on(&invite(&mut ada, "acme", &fields).await);
    let (mut kim, page) = register(&house, &link, "kim").await;
    let token = token_on(&ada.open(INVITATIONS).await);
    kim.fill_in(&page, &[("token", &token)]).await;
    let form = ada.open(&format!("{INVITATIONS}/new?team=acme")).await;
    let text = form.text();
    let who = text
        .split("<option value=\"u-")
        .find(|option| option.contains("kim@northgate.example"))
        .and_then(|option| option.split('"').next())
        .unwrap();
    let copy = format!("u-{who}");
    let asked = [
        ("team", "acme"),
        ("copy", copy.as_str()),
        ("copy-applications", "on"),
        ("do", "copy"),
    ];
    let copied = ada.fill_in(&form, &asked).await;
    assert!(copied.words().contains("Echo: givenEcho: Curator"), "{}", copied.words());
    let ticked = |name: &str| copied.text().contains(&format!("name=\"{name}\" value=\"on\" checked"));
    assert!(ticked("app-echo") && ticked("perm-echo:curate"), "{}", copied.text());
    assert!(!ticked("role-lead"), "roles are never copied");
    let nothing = ada
        .fill_in(&form, &[("team", "acme"), ("copy", copy.as_str()), ("do", "copy")])
        .await;
    assert!(nothing.words().contains("Tick what to copy"), "{}", nothing.words());
    let nobody = ada.fill_in(&form, &[("team", "acme"), ("copy", "nobody"), ("do", "copy")]).await;
    assert!(
        nobody.words().contains("No member of this team has that name"),
        "{}",
        nobody.words()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foreseen_is_what_the_rules_say() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let form = ada.open(&format!("{INVITATIONS}/new?team=acme")).await;
    let asked = [
        ("team", "acme"),
        ("email", "sam@northgate.example"),
        ("app-echo", "on"),
        ("ip-pattern", "desk"),
        ("do", "preview"),
    ];
    let seen = ada.fill_in(&form, &asked).await.words();
    assert!(seen.contains("EchoAllowedFrom Desk, signed in with a password"), "{seen}");
    assert!(seen.contains("VaultNo access"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_invitation_is_changed_and_its_link_stays() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let sent = invite(&mut ada, "acme", &[("email", "sam@northgate.example"), ("app-echo", "on")]).await;
    let link = link_on(&sent);
    let text = sent.text();
    let page = attribute_with(&text, "href=\"", "/admin/invitations/i-").unwrap().to_owned();
    let form = ada.open(&format!("{PORTAL}{page}")).await;
    assert!(form.text().contains("name=\"app-echo\" value=\"on\" checked"));
    let changed = ada.fill_in(&form, &[("role-lead", "on"), ("do", "send")]).await;
    assert!(changed.words().contains("is changed"), "{}", changed.words());
    let (mut sam, page) = register(&house, &link, "sam").await;
    let token = token_on(&ada.open(INVITATIONS).await);
    sam.fill_in(&page, &[("token", &token)]).await;
    assert_eq!(sam.open(&format!("{APP}/")).await.status, 403, "the application was taken off");
    assert_eq!(
        sam.open(INVITATIONS).await.status,
        200,
        "the role works from the moment they registered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_power_to_invite_finds_nothing_and_mistakes_are_told_at_their_field() {
    let house = company().await;
    house.add("bo").await;
    let mut bo = sign_in(&house, "bo").await;
    for path in ["", "/new"] {
        assert_eq!(bo.get(&format!("{INVITATIONS}{path}")).await.status, 403, "{path}");
    }
    let mut ada = sign_in(&house, "ada").await;
    let missing = invite(&mut ada, "acme", &[("email", "not an address"), ("app-echo", "on")]).await;
    assert_eq!(missing.status, 422);
    assert!(missing.words().contains("There is a problem"), "{}", missing.words());
    assert!(
        missing.text().contains("name=\"app-echo\" value=\"on\" checked"),
        "what was ticked is kept"
    );
    let link = link_on(&invite(&mut ada, "acme", &[("email", "sam@northgate.example")]).await);
    let mut sam = house.browser();
    let fields = [
        ("given-name", "<b>Sam"),
        ("family-name", ""),
        ("username", "s m"),
        ("new-password", "short"),
    ];
    let page = sam.fill(&link, &fields).await;
    assert_eq!(page.status, 422);
    for told in [
        "Enter a last name",
        "Invalid characters found",
        "Enter a password of 12 characters or more",
    ] {
        assert!(page.words().contains(told), "{told}: {}", page.words());
    }
    assert!(
        page.text().contains("value=\"&#60;b&#62;Sam\"") || page.text().contains("value=\"&lt;b&gt;Sam\""),
        "{}",
        page.text()
    );
    assert!(!page.text().contains("value=\"short\""), "a password is never filled in again");
    assert!(ada.open(INVITATIONS).await.words().contains("Opened"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_invite_as_the_console_does() {
    let house = company().await;
    let new = |email: &str| NewInvitee {
        email: email.to_owned(),
        team: Some("acme".to_owned()),
        roles: vec!["lead".to_owned()],
        apps: Vec::new(),
        permissions: vec!["echo:curate".to_owned()],
        projects: Vec::new(),
        ip_pattern: Some("desk".to_owned()),
        idp: None,
    };
    let Answer::Invitation(made) = house.ask(Request::InviteCreate(new("sam@northgate.example"))).await else {
        panic!("not invited")
    };
    let link = made.link.unwrap();
    let (mut sam, page) = register(&house, &link, "sam").await;
    let list = |status: Option<&str>| Request::InviteList {
        search: None,
        team: Some("acme".to_owned()),
        status: status.map(str::to_owned),
        after: None,
    };
    let Answer::Invitations { invitations, .. } = house.ask(list(Some("token-sent"))).await else {
        panic!("no list")
    };
    let token = invitations[0].token.clone().unwrap();
    sam.fill_in(&page, &[("token", &token)]).await;
    assert_eq!(sam.open(&format!("{APP}/curated/1")).await.status, 200);
    for (name, change, code) in [
        ("in the team", new("sam@northgate.example"), "email-in-team"),
        ("no address", new("sam"), "malformed"),
        (
            "a role of another team",
            NewInvitee {
                team: Some("beta".to_owned()),
                roles: vec!["keeper".to_owned()],
                ..new("kim@northgate.example")
            },
            "not-given",
        ),
        (
            "no such project",
            NewInvitee {
                projects: vec!["Kinase=member".to_owned()],
                ..new("kim@northgate.example")
            },
            "no-such-project",
        ),
    ] {
        let answer = house.ask(Request::InviteCreate(change)).await;
        assert!(
            matches!(&answer, Answer::Refused(refused) if refused.code == code),
            "{name}: {answer:?}"
        );
    }
    let which = "kim@northgate.example".to_owned();
    assert!(matches!(house.ask(Request::InviteCreate(new(&which))).await, Answer::Invitation(_)));
    let answer = house.ask(Request::InviteResend { which: which.clone() }).await;
    assert!(matches!(&answer, Answer::Invitation(line) if line.status == "sent"), "{answer:?}");
    assert!(matches!(
        house.ask(Request::InviteExtend { which: which.clone() }).await,
        Answer::Invitation(_)
    ));
    assert!(matches!(
        house.ask(Request::InviteWithdraw { which: which.clone() }).await,
        Answer::Done(_)
    ));
    let answer = house.ask(Request::InviteWithdraw { which }).await;
    assert!(
        matches!(&answer, Answer::Refused(refused) if refused.code == "no-such-invitation"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_more_than_one_may_give_is_out_of_ones_reach() {
    let house = company().await;
    let mut ada = sign_in(&house, "ada").await;
    let invite_with = async |ada: &mut Browser, email: &str, fields: &[(&str, &str)]| {
        let mut all = vec![("email", email)];
        all.extend_from_slice(fields);
        invite(ada, "acme", &all).await
    };
    let complete = async |ada: &mut Browser, link: &str, username: &str| {
        let (mut browser, page) = register(&house, link, username).await;
        let token = token_on(&ada.open(INVITATIONS).await);
        browser.fill_in(&page, &[("token", &token)]).await;
        browser
    };
    let link = link_on(&invite_with(&mut ada, "kim@northgate.example", &[("role-lead", "on")]).await);
    let mut kim = complete(&mut ada, &link, "kim").await;
    let fields = [("role-keeper", "on"), ("ip-pattern", "desk")];
    let sent = invite_with(&mut ada, "boss@northgate.example", &fields).await;
    let link = link_on(&sent);
    let seen = kim.open(INVITATIONS).await;
    assert!(seen.words().contains("boss@northgate.example"), "{}", seen.words());
    assert!(
        !seen.text().contains("/invite/"),
        "the link makes an account with what kim may not give"
    );
    let text = sent.text();
    let page = attribute_with(&text, "href=\"", "/admin/invitations/i-").unwrap().to_owned();
    let form = kim.open(&format!("{PORTAL}{page}")).await;
    let loosened = kim.fill_in(&form, &[("ip-pattern", ""), ("do", "send")]).await;
    assert_eq!(loosened.status, 403);
    assert!(
        loosened.words().contains("provider and IP pattern stay as they are"),
        "{}",
        loosened.words()
    );
    for (what, status) in [("extend", 403), ("resend", 403), ("delete", 200)] {
        if what == "delete" {
            complete(&mut ada, &link, "boss").await;
            continue;
        }
        let form = kim.open(INVITATIONS).await;
        let reply = kim.fill_in(&form, &[("do", what)]).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.words());
    }
    let people = format!("{PORTAL}/.portcullis/admin/users?q=boss");
    let listed = kim.open(&people).await.text();
    let boss = listed
        .split("/admin/users/u-")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let url = format!("{PORTAL}/.portcullis/admin/users/u-{boss}");
    let page = kim.open(&url).await;
    assert!(
        !page.text().contains("/token\""),
        "no reset token of somebody with more power: {}",
        page.words()
    );
    let csrf = page.form_with(["csrf"].into_iter()).hidden[0].1.clone();
    assert_eq!(kim.post(&format!("{url}/token"), &[("csrf", &csrf)]).await.status, 404);
}
