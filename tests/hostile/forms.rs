//! Rows 19 and 20: forms that others send in somebody's name, and addresses that lead away.

use crate::support::case::{Case, PORTAL, Setup, World};
use crate::support::person::{Browser, PASSWORD, leads_to, split, value_of};
use crate::support::{Asking, Protocol, Reply, Verdict, ensure};

pub(crate) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = FORMS
        .iter()
        .map(|form| {
            Case::story(19, &format!("the form of {}", form.to), Protocol::ALL, |world, protocol| {
                forged(world, protocol, form)
            })
        })
        .collect();
    all.extend(sign_ins());
    all.extend(return_addresses());
    all
}

/// A form of ours: where it goes, the page that shows a `csrf` value for it, and what else it holds.
struct Form {
    to: &'static str,
    page: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

const fn form(to: &'static str, page: &'static str, fields: &'static [(&'static str, &'static str)]) -> Form {
    Form { to, page, fields }
}

/// Every row of the site's table that takes a POST; a test below compares.
const FORMS: &[Form] = &[
    form(
        "/sign-in",
        "/me/security",
        &[("username", "victim"), ("password", PASSWORD), ("realm", "local")],
    ),
    form("/sign-out", "/sign-out", &[]),
    form(
        "/account/new",
        "/account/new",
        &[("email", "victim@example.org"), ("token", "0000-0000")],
    ),
    form("/account/reset", "/account/reset", &[("email", "victim@example.org")]),
    form(
        "/account/reset/token",
        "/account/reset/token",
        &[("email", "victim@example.org"), ("token", "0000-0000")],
    ),
    form(
        "/first-admin/{secret}",
        "/me/security",
        &[
            ("email", "mallory@example.org"),
            ("username", "mallory"),
            ("new-password", PASSWORD),
        ],
    ),
    form(
        "/me/security",
        "/me/security",
        &[("current-password", PASSWORD), ("new-password", "mallory orbit ledger 7")],
    ),
    form("/me/sessions", "/me/sessions", &[("session", "others")]),
    form(
        "/admin/users",
        "/admin/users",
        &[("email", "mallory@example.org"), ("username", "mallory")],
    ),
    form("/admin/users/role", "/admin/users", &[("user", "{user}"), ("role", "admin")]),
    form(
        "/admin/users/import",
        "/admin/users",
        &[("csv", "email,given_name,family_name\nmallory@example.org,M,M"), ("do", "import")],
    ),
    form(
        "/admin/users/several",
        "/admin/users",
        &[("pick-{user}", "on"), ("do", "disable"), ("sure", "yes")],
    ),
    form("/admin/users/{user}/role", "/admin/users/{user}/role", &[("role", "admin")]),
    form("/admin/users/{user}/disable", "/admin/users/{user}/disable", &[]),
    form("/admin/users/{user}/enable", "/admin/users/{user}", &[]),
    form("/admin/users/{user}/delete", "/admin/users/{user}/delete", &[]),
    form("/admin/users/{user}/token", "/admin/users/{user}", &[]),
    form("/admin/users/{user}/sessions", "/admin/users/{user}", &[]),
    form("/admin/users/{user}/teams/{team}", "/admin/users/{user}", &[("do", "send")]),
    form("/admin/users/{user}/teams/{team}/end", "/admin/users/{user}", &[]),
    form("/admin/sessions", "/admin/sessions", &[("user", "{user}")]),
    form("/admin/audit/check", "/admin/audit", &[]),
    form(
        "/admin/invitations/new",
        "/admin/invitations/new",
        &[("email", "mallory@example.org"), ("team", "main"), ("do", "send")],
    ),
    form(
        "/admin/invitations/import",
        "/admin/invitations",
        &[("csv", "email,team\nmallory@example.org,main"), ("do", "import")],
    ),
    form(
        "/admin/invitations/several",
        "/admin/invitations",
        &[("pick-{invitation}", "on"), ("do", "delete"), ("sure", "yes")],
    ),
    form("/admin/invitations/{invitation}", "/admin/invitations", &[("do", "send")]),
    form("/admin/invitations/{invitation}/do", "/admin/invitations", &[("do", "delete")]),
    form("/admin/policy/check", "/admin/policy", &[]),
    form("/admin/mail/test", "/admin/mail", &[]),
    form("/admin/mail/{letter}/again", "/admin/mail", &[]),
    form("/admin/mail/{letter}/give-up", "/admin/mail", &[]),
    form("/admin/teams/{team}", "/admin/teams/{team}", &[("name", "Mallory")]),
    form("/admin/groups/{group}", "/admin/teams/{team}", &[("do", "delete")]),
    form("/admin/projects", "/admin/projects", &[("name", "Mallory"), ("team", "main")]),
    form("/admin/projects/{project}", "/admin/projects", &[("do", "delete")]),
    form(
        "/invite/{secret}",
        "/me/security",
        &[
            ("given-name", "Mallory"),
            ("family-name", "M"),
            ("username", "mallory"),
            ("new-password", PASSWORD),
        ],
    ),
    form("/invite/{secret}/token", "/me/security", &[("token", "0000-0000")]),
];

#[test]
fn every_form_of_the_site_is_tried() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/routes.rs")).unwrap();
    let table: String = table.split_whitespace().collect();
    let mut posts: Vec<&str> = ["on_portal(POST,\"", "sensitive(POST,\""]
        .iter()
        .flat_map(|row| table.split(row).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    posts.sort_unstable();
    let mut tried: Vec<&str> = FORMS.iter().map(|form| form.to).collect();
    tried.sort_unstable();
    assert_eq!(tried, posts);
}

fn id_of(world: &World, who: &str) -> String {
    let shown = world.server.told(&["user", "show", who, "--json"], "");
    let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
    value["id"].as_str().unwrap().to_owned()
}

fn forged(world: &World, protocol: Protocol, form: &Form) -> Verdict {
    let mut ada = world.person("ada");
    let mut other = world.person("kim");
    if world.server.run(&["user", "show", "victim"], "").status.code() != Some(0) {
        world.add("victim");
    }
    let user = id_of(world, "victim");
    let invitations = || world.server.told(&["invite", "list", "--json"], "");
    if invitations().trim() == "[]" {
        world.server.told(&["invite", "create", "--email", "invited@example.org"], "");
    }
    let invited: serde_json::Value = serde_json::from_str(&invitations()).unwrap();
    let invitation = invited[0]["id"].as_str().unwrap().to_owned();
    let filled = |text: &str| {
        text.replace("{user}", &user)
            .replace("{team}", "main")
            .replace("{invitation}", &invitation)
            .replace("{letter}", "m-0000000000000000000000000h")
            .replace("{group}", "g-0000000000000000000000000h")
            .replace("{project}", "p-0000000000000000000000000h")
            .replace("{secret}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    };
    let (to, page) = (
        format!("/.portcullis{}", filled(form.to)),
        format!("/.portcullis{}", filled(form.page)),
    );
    let state = || {
        world.server.told(&["user", "show", "victim", "--json"], "") + &world.server.told(&["user", "list", "--csv"], "") + &invitations()
    };
    let before = state();
    let csrf = value_of(&ada.send(world, Asking::get(&page).host(PORTAL)).text(), "csrf");
    ensure!(!csrf.is_empty(), "{page} shows no value");
    let foreign = value_of(
        &other.send(world, Asking::get("/.portcullis/me/security").host(PORTAL)).text(),
        "csrf",
    );
    ensure!(!foreign.is_empty() && foreign != csrf, "another session's value is {foreign:?}");
    let fields: Vec<(String, String)> = form.fields.iter().map(|(name, value)| (filled(name), filled(value))).collect();
    let sent = |values: &[&str]| {
        let mut pairs: Vec<(&str, &str)> = values.iter().map(|value| ("csrf", *value)).collect();
        pairs.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Asking::form(&to, &pairs).host(PORTAL).cookie(&ada.cookies(PORTAL))
    };
    let typed = |kind: &str| {
        let mut asking = sent(&[&csrf]);
        asking.fields.retain(|(name, _)| name != "content-type");
        if kind.is_empty() {
            asking
        } else {
            asking.field("content-type", kind)
        }
    };
    let mut by_get = sent(&[&csrf]);
    by_get.target = format!("{to}?{}", String::from_utf8_lossy(&by_get.body));
    by_get.method = "GET".to_owned();
    by_get.body = Vec::new();
    let mut by_put = sent(&[&csrf]);
    by_put.method = "PUT".to_owned();
    let mut without_cookies = sent(&[&csrf]);
    without_cookies.fields.retain(|(name, _)| name != "cookie");
    for (name, asking) in [
        ("without a value", sent(&[])),
        ("with an empty value", sent(&[""])),
        ("with another session's value", sent(&[&foreign])),
        ("with two values", sent(&[&csrf, "x"])),
        ("from another site", sent(&[&csrf]).field("origin", "http://evil.example")),
        ("from an application", sent(&[&csrf]).field("origin", "http://eln.localhost")),
        ("from nowhere", sent(&[&csrf]).field("origin", "null")),
        (
            "from here and from another site",
            sent(&[&csrf])
                .field("origin", "http://sso.localhost")
                .field("origin", "http://evil.example"),
        ),
        (
            "as a browser says of another site",
            sent(&[&csrf]).field("sec-fetch-site", "cross-site"),
        ),
        (
            "as a browser says of an application",
            sent(&[&csrf]).field("sec-fetch-site", "same-site"),
        ),
        ("as a browser says of no site", sent(&[&csrf]).field("sec-fetch-site", "none")),
        ("as text", typed("text/plain")),
        ("as JSON", typed("application/json")),
        ("in parts", typed("multipart/form-data; boundary=x")),
        ("as nothing", typed("")),
        ("with another method", by_put),
        ("by a browser without cookies", without_cookies),
    ] {
        let reply = world.ask(protocol, &asking)?;
        ensure!(
            matches!(reply.status, 400 | 401 | 403 | 405 | 415),
            "{name}: answered {}",
            reply.status
        );
        ensure!(reply.cookie("portcullis").is_none(), "{name}: it signs in");
    }
    let reply = world.ask(protocol, &by_get)?;
    ensure!(reply.cookie("portcullis").is_none(), "by GET: it signs in");
    ensure!(state() == before, "something was changed");
    if form.to != "/sign-out" && !form.to.contains("{user}") {
        // What a browser sends from our own page is taken: refused, if at all, for what stands in it.
        let mut harmless = sent(&[&csrf])
            .field("origin", "http://sso.localhost")
            .field("sec-fetch-site", "same-origin");
        harmless.body = format!("csrf={csrf}").into_bytes();
        let reply = world.ask(protocol, &harmless)?;
        ensure!(!matches!(reply.status, 403 | 415), "our own form is answered {}", reply.status);
    }
    Ok(())
}

fn sign_ins() -> Vec<Case> {
    let sign_in = |csrf: &str| {
        Asking::form(
            "/.portcullis/sign-in",
            &[("csrf", csrf), ("username", "kim"), ("password", PASSWORD), ("realm", "local")],
        )
        .host(PORTAL)
    };
    vec![
        Case::story(
            19,
            "a sign-in with the value of another browser",
            Protocol::ALL,
            move |world, protocol| {
                world.person("kim");
                let mut attacker = Browser::default();
                let csrf = value_of(
                    &attacker.send(world, Asking::get("/.portcullis/sign-in").host(PORTAL)).text(),
                    "csrf",
                );
                let mut victim = Browser::default();
                victim.send(world, Asking::get("/.portcullis/sign-in").host(PORTAL));
                for (name, cookies) in [
                    ("with a cookie of its own", victim.cookies(PORTAL)),
                    ("without a cookie", String::new()),
                ] {
                    let reply = world.ask(protocol, &sign_in(&csrf).cookie(&cookies))?;
                    ensure!(
                        reply.status == 403 && reply.cookie("portcullis").is_none(),
                        "{name}: answered {}",
                        reply.status
                    );
                }
                let reply = world.ask(protocol, &sign_in(&csrf).cookie(&attacker.cookies(PORTAL)))?;
                ensure!(
                    reply.status == 303 && reply.cookie("portcullis").is_some(),
                    "in its own browser: answered {}",
                    reply.status
                );
                Ok(())
            },
        ),
        Case::story(
            19,
            "a sign-in with a login cookie that was made up",
            Protocol::ALL,
            move |world, protocol| {
                let csrf = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
                let reply = world.ask(
                    protocol,
                    &sign_in(csrf).cookie("portcullis-login=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
                )?;
                ensure!(reply.status == 403, "answered {}", reply.status);
                Ok(())
            },
        ),
        Case::story(19, "a form larger than any", Protocol::ALL, move |world, protocol| {
            let mut browser = Browser::default();
            let csrf = value_of(
                &browser.send(world, Asking::get("/.portcullis/sign-in").host(PORTAL)).text(),
                "csrf",
            );
            let long = "x".repeat(17_000);
            let asking = Asking::form("/.portcullis/sign-in", &[("csrf", &csrf), ("username", "kim"), ("password", &long)]).host(PORTAL);
            let reply = world.ask(protocol, &asking.cookie(&browser.cookies(PORTAL)))?;
            ensure!(reply.status == 413, "answered {}", reply.status);
            Ok(())
        }),
    ]
}

/// Wherever it sends a browser, it is a host of ours.
fn stays_with_us(reply: &Reply, host: &str) -> Verdict {
    if let Some(to) = leads_to(reply) {
        let (next, target) = split(&to, host);
        ensure!(
            ["sso.localhost", "eln.localhost", "other.localhost", "desk.localhost"].contains(&next.as_str())
                && !target.starts_with("//")
                && !to.contains('\\'),
            "it leads to {to}"
        );
        let scheme = to.split("://").next().unwrap_or("");
        ensure!(
            to.starts_with('/') && !to.starts_with("//") || matches!(scheme, "http" | "https"),
            "it leads to {to}"
        );
    }
    let text = reply.text();
    ensure!(
        !text.contains("href=\"http://evil") && !text.contains("href=\"//evil") && !text.contains("href=\"javascript"),
        "the page has a link there"
    );
    Ok(())
}

fn return_addresses() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, address) in [
        ("a stranger", "http://evil.example/"),
        ("a stranger over TLS", "https://evil.example/"),
        ("two slashes", "//evil.example/"),
        ("three slashes", "///evil.example/"),
        ("a slash and a backslash", "/\\evil.example/"),
        ("a backslash and a slash", "\\/evil.example/"),
        ("two backslashes", "\\\\evil.example/"),
        ("an encoded slash", "/%2fevil.example/"),
        ("an encoded backslash", "/%5cevil.example/"),
        ("encoded twice", "/%252fevil.example/"),
        ("a tab between slashes", "/\t/evil.example/"),
        ("an encoded tab between slashes", "/%09/evil.example/"),
        ("a line break between slashes", "/\n/evil.example/"),
        ("a line break that would be a field", "/a\r\nSet-Cookie: portcullis=x"),
        ("dots that vanish", "/.//evil.example/"),
        ("dots that vanish twice", "/a/..//evil.example/"),
        ("a blank in front", " //evil.example/"),
        ("a user in front", "http://eln.localhost@evil.example/"),
        ("a user and a password", "http://eln.localhost:80@evil.example/"),
        ("a host that begins so", "http://eln.localhost.evil.example/"),
        ("a host that ends so", "http://evileln.localhost/"),
        ("a backslash behind the host", "http://eln.localhost\\@evil.example/"),
        ("a fragment behind the host", "http://evil.example#eln.localhost/"),
        ("a query behind the host", "http://evil.example?eln.localhost/"),
        ("another port", "http://eln.localhost:8080/"),
        ("one slash", "http:/evil.example/"),
        ("no slash", "http:evil.example/"),
        ("an encoded host", "http://evil%2eexample/"),
        ("a script", "javascript:alert(1)//eln.localhost/"),
        ("a script in capitals", "JaVaScRiPt:alert(1)"),
        ("data", "data:text/html,<script>alert(1)</script>"),
        ("another scheme", "ftp://eln.localhost/"),
        ("letters beyond ASCII", "http://\u{435}ln.localhost/"),
        ("a wide slash", "/\u{ff0f}evil.example/"),
        ("a wide dot", "http://evil\u{3002}example/"),
        ("a NUL", "/\0/evil.example/"),
        ("a name", "evil.example"),
        ("an at sign", "@evil.example"),
        ("an address", "http://[::ffff:192.0.2.1]/"),
        ("a number", "http://3221225985/"),
    ] {
        all.push(Case::story(20, &format!("rd: {name}"), Protocol::ALL, move |world, protocol| {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("rd", address)
                .finish();
            let kim = world.person("kim");
            for (host, cookies) in [
                (PORTAL, String::new()),
                (PORTAL, kim.cookies(PORTAL)),
                ("eln.localhost", String::new()),
            ] {
                let asking = Asking::get(&format!("/.portcullis/sign-in?{query}"))
                    .host(host)
                    .cookie(&cookies)
                    .browser();
                let reply = world.ask(protocol, &asking)?;
                ensure!(matches!(reply.status, 200 | 302 | 400), "answered {}", reply.status);
                // Decoded twice it is another address; once, it is a path of ours.
                ensure!(reply.status == 400 || name == "encoded twice", "{host} takes it: {}", reply.status);
                stays_with_us(&reply, host)?;
            }
            Ok(())
        }));
        all.push(
            Case::story(20, &format!("return-to: {name}"), &[Protocol::Clear], move |world, _| {
                world.person("kim");
                let mut browser = Browser::default();
                let page = "/.portcullis/sign-in";
                let fields = [
                    ("username", "kim"),
                    ("password", PASSWORD),
                    ("realm", "local"),
                    ("return-to", address),
                ];
                let reply = browser.submit(world, PORTAL, page, page, &fields);
                ensure!(reply.status == 400 || name == "encoded twice", "answered {}", reply.status);
                stays_with_us(&reply, PORTAL)
            })
            .on(Setup::Plain),
        );
    }
    for (name, address, to) in [
        ("a path", "/me?a=b", "/me?a=b"),
        ("an application", "http://eln.localhost/in/a", "http://eln.localhost/in/a"),
    ] {
        all.push(Case::story(
            20,
            &format!("where it may lead: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let kim = world.person("kim");
                let query = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("rd", address)
                    .finish();
                let asking = Asking::get(&format!("/.portcullis/sign-in?{query}"))
                    .host(PORTAL)
                    .cookie(&kim.cookies(PORTAL))
                    .browser();
                let reply = world.ask(protocol, &asking)?;
                ensure!(reply.status == 302, "answered {}", reply.status);
                let there = reply.field("location");
                ensure!(
                    there.ends_with(to) || there.starts_with("http://eln.localhost/.portcullis/sign-in?rd="),
                    "it leads to {there}"
                );
                Ok(())
            },
        ));
    }
    all
}
