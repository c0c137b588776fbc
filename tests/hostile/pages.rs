//! Rows 26, 27 and 32: what is written into pages, tables and logs, what our answers forbid, and what is not for the public.

use crate::support::case::{APP, Case, PORTAL, World};
use crate::support::person::{Browser, PASSWORD, value_of};
use crate::support::{Asking, Protocol, Reply, Verdict, ensure};

const SCRIPT: &str = "\"'><script>alert(1)</script>";

pub(crate) fn cases() -> Vec<Case> {
    let mut all = written_into_pages();
    all.extend(written_into_logs());
    all.extend(headers());
    all.extend(not_public());
    all
}

/// Nothing of a script is in a page as one.
fn harmless(reply: &Reply) -> Verdict {
    let text = reply.text();
    for bad in ["<script>", "<script ", "alert(1)</", "onerror=", "javascript:"] {
        let ours = bad == "<script "
            && text.matches("<script ").count()
                == text.matches("<script src=\"/.portcullis/assets/").count()
                    + text.matches("<script type=\"module\" src=\"/.portcullis/assets/").count()
                    + text.matches("<script defer src=\"/.portcullis/assets/").count();
        ensure!(
            !text.contains(bad) || ours,
            "the page has {bad}: {}",
            crate::support::show(reply.body.as_slice())
        );
    }
    for name in ["location", "set-cookie", "link", "x-request-id"] {
        ensure!(!reply.all(name).any(|value| value.contains(['<', '\r', '\n'])), "{name} carries it");
    }
    Ok(())
}

fn written_into_pages() -> Vec<Case> {
    let encoded = "%22%27%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let mut all = Vec::new();
    for (name, asking) in [
        (
            "the path of a page there is not",
            Asking::get(&format!("/.portcullis/{encoded}")).host(PORTAL),
        ),
        ("the path of an application's page", Asking::get(&format!("/in/{encoded}"))),
        ("the query", Asking::get(&format!("/.portcullis/sign-in?x={encoded}")).host(PORTAL)),
        ("rd", Asking::get(&format!("/.portcullis/sign-in?rd=/{encoded}")).host(PORTAL)),
        (
            "the email of a page",
            Asking::get(&format!("/.portcullis/account/reset/sent?email={encoded}@example.org")).host(PORTAL),
        ),
        ("a ticket", Asking::get(&format!("/.portcullis/callback?ticket={encoded}"))),
        (
            "a secret in the path",
            Asking::get(&format!("/.portcullis/first-admin/{encoded}")).host(PORTAL),
        ),
        (
            "a digest",
            Asking::get(&format!("/.portcullis/sign-in?rd=http://eln.localhost/&login={encoded}")).host(PORTAL),
        ),
        (
            "an asset's name",
            Asking::get(&format!("/.portcullis/assets/x/{encoded}")).host(PORTAL),
        ),
        (
            "User-Agent",
            Asking::get("/.portcullis/nothing").host(PORTAL).field("user-agent", SCRIPT),
        ),
        (
            "Accept-Language",
            Asking::get("/.portcullis/nothing").host(PORTAL).field("accept-language", SCRIPT),
        ),
        ("Referer", Asking::get("/.portcullis/nothing").host(PORTAL).field("referer", SCRIPT)),
        (
            "the realm's cookie",
            Asking::get("/.portcullis/sign-in")
                .host(PORTAL)
                .field("cookie", format!("portcullis-realm={SCRIPT}")),
        ),
    ] {
        all.push(Case::asks(26, &format!("a script in {name}"), asking.browser(), |_, reply| {
            ensure!(matches!(reply.status, 200 | 302 | 400 | 401 | 404), "answered {}", reply.status);
            harmless(reply)
        }));
    }
    for (page, field) in [
        ("/sign-in", "username"),
        ("/sign-in", "realm"),
        ("/sign-in", "return-to"),
        ("/account/new", "email"),
        ("/account/new", "username"),
        ("/account/new", "given-name"),
        ("/account/new", "token"),
        ("/account/reset", "email"),
        ("/account/reset/token", "email"),
        ("/account/reset/token", "token"),
    ] {
        all.push(Case::story(
            26,
            &format!("a script typed into {field} of {page}"),
            Protocol::ALL,
            move |world, protocol| {
                let page = format!("/.portcullis{page}");
                let mut browser = Browser::default();
                let csrf = value_of(&browser.send(world, Asking::get(&page).host(PORTAL)).text(), "csrf");
                let asking = Asking::form(&page, &[("csrf", &csrf), (field, SCRIPT), ("password", "x")]).host(PORTAL);
                let reply = world.ask(protocol, &asking.cookie(&browser.cookies(PORTAL)).browser())?;
                ensure!((400..500).contains(&reply.status), "answered {}", reply.status);
                harmless(&reply)
            },
        ));
    }
    all.push(Case::story(
        26,
        "a script for a person's name, in the console",
        Protocol::ALL,
        |world, protocol| {
            let ada = world.person("ada");
            if world.server.run(&["user", "show", "scripted"], "").status.code() != Some(0) {
                world.server.told(
                    &[
                        "user",
                        "add",
                        "--email",
                        "scripted@example.org",
                        "--username",
                        "scripted",
                        "--given-name",
                        "<b>x<i>",
                        "--family-name",
                        "=1+1",
                        "--password-stdin",
                    ],
                    PASSWORD,
                );
            }
            let reply = world.ask(
                protocol,
                &Asking::get("/.portcullis/admin/users")
                    .host(PORTAL)
                    .cookie(&ada.cookies(PORTAL))
                    .browser(),
            )?;
            ensure!(
                reply.status == 200 && reply.text().contains("scripted"),
                "answered {}",
                reply.status
            );
            ensure!(!reply.text().contains("<b>x<i>"), "the name is markup");
            harmless(&reply)
        },
    ));
    all.push(Case::story(
        26,
        "a formula for a person's name, in a table for a spreadsheet",
        &[Protocol::Clear],
        |world, _| {
            world.person("ada");
            for (number, name) in ["=1+1", "+1", "-1", "@x"].into_iter().enumerate() {
                let email = format!("--email=formula-{number}@example.org");
                let (username, name) = (format!("--username=formula-{number}"), format!("--given-name={name}"));
                // One that is not taken at all is as good.
                world
                    .server
                    .run(&["user", "add", &email, &username, &name, "--password-stdin"], PASSWORD);
            }
            let table = world.server.told(&["user", "list", "--csv"], "");
            ensure!(table.contains("formula-0"), "{table}");
            for cell in table.split([',', '\n']) {
                let cell = cell.trim_matches('"');
                ensure!(
                    !(cell.starts_with(['=', '+', '@']) || cell.starts_with('-') && cell.len() > 1),
                    "the cell {cell:?} is a formula"
                );
            }
            Ok(())
        },
    ));
    all
}

fn written_into_logs() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, asking) in [
        ("a line break in the path", Asking::get("/in/a%0d%0a%7B%22v%22:1%7D")),
        ("a line break in the query", Asking::get("/in/a?x=%0d%0a%7B%22v%22:1%7D")),
        ("quotes in the path", Asking::get("/in/%22,%22decision%22:%22allow%22,%22x%22:%22")),
        ("an escape in the path", Asking::get("/in/%1b%5b31m")),
        ("a separator of lines in the path", Asking::get("/in/%e2%80%a8%7B%7D")),
        ("letters that turn the line round", Asking::get("/in/%e2%80%ae%7B%7D")),
        ("quotes in the host", Asking::get("/in/a").host("x\"y.localhost")),
        (
            "quotes in User-Agent",
            Asking::get("/in/a").field("user-agent", "\",\"decision\":\"allow\""),
        ),
    ] {
        all.push(Case::story(
            26,
            &format!("into the log: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let before = world.server.file("data/decisions.jsonl").len();
                if let Ok(reply) = world.ask(protocol, &asking) {
                    ensure!(matches!(reply.status, 400 | 401 | 421), "answered {}", reply.status);
                }
                // What follows is logged behind it.
                world.ask_clear(&Asking::get("/in/marker"));
                let end = Instant::now() + Duration::from_secs(10);
                let lines = loop {
                    let text = world.server.file("data/decisions.jsonl");
                    let new = text.get(before..).unwrap_or("").to_owned();
                    if new.contains("/in/marker") && new.ends_with('\n') {
                        break new;
                    }
                    ensure!(Instant::now() < end, "nothing is logged");
                    std::thread::sleep(Duration::from_millis(5));
                };
                for line in lines.lines() {
                    let value: serde_json::Value = serde_json::from_str(line).map_err(|why| format!("{why}: {line:?}"))?;
                    ensure!(value["decision"] != "allow", "{line}");
                    ensure!(value["id"].is_string() && value["request_id"].is_string(), "{line}");
                    ensure!(
                        !line.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')),
                        "{line:?} has a control character"
                    );
                }
                for line in world.server.file("log").lines() {
                    ensure!(!line.chars().any(char::is_control), "the log has {line:?}");
                }
                Ok(())
            },
        ));
    }
    all.push(Case::story(26, "no secret is in a log", &[Protocol::Clear], |world, _| {
        let kim = world.person("kim");
        let token = world.server.told(&["user", "token", "kim"], "");
        let secret = "Bearer pcs_SECRETSECRETSECRETSECRETSECRETSECRETSECRET1";
        world.ask_clear(
            &Asking::get("/in/a?token=QUERYSECRET")
                .cookie(&kim.cookies(APP))
                .field("authorization", secret),
        );
        let mut browser = Browser::default();
        browser.sign_in(world, "kim", "a wrong guess SECRET9");
        browser.sign_in(world, "PASSWORDASNAME5", "x");
        let page = "/.portcullis/account/reset/token";
        browser.submit(
            world,
            PORTAL,
            page,
            page,
            &[("email", "kim@example.org"), ("token", &token), ("new-password", "short")],
        );
        world.ask_clear(&Asking::get("/.portcullis/callback?ticket=TICKETSECRET"));
        let logs = world.server.file("data/decisions.jsonl") + &world.server.file("log");
        for secret in [
            kim.cookie(APP, "portcullis").as_str(),
            kim.cookie(PORTAL, "portcullis").as_str(),
            kim.cookie(PORTAL, "portcullis-login").as_str(),
            PASSWORD,
            token.as_str(),
            "SECRET1",
            "SECRET9",
            "PASSWORDASNAME5",
            "QUERYSECRET",
            "TICKETSECRET",
        ] {
            ensure!(secret.is_empty() || !logs.contains(secret), "{secret} is in a log");
        }
        Ok(())
    }));
    all
}

use std::time::{Duration, Instant};

fn careful(reply: &Reply) -> Verdict {
    let policy = reply.field("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        "script-src 'self'",
    ] {
        ensure!(policy.contains(part), "the content policy lacks {part}: {policy:?}");
    }
    ensure!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "the content policy is {policy:?}"
    );
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        ensure!(reply.field(name) == value, "{name}: {}", reply.field(name));
    }
    ensure!(reply.field("x-request-id").starts_with("r-"), "no X-Request-Id");
    ensure!(
        reply.field("server").is_empty() && reply.field("x-powered-by").is_empty(),
        "it says what it is"
    );
    ensure!(
        !reply.text().contains(" style=\"") && !reply.text().contains("<style") && !reply.text().contains(" onclick"),
        "something is inline"
    );
    ensure!(reply.field("access-control-allow-origin").is_empty(), "others may read it");
    Ok(())
}

fn headers() -> Vec<Case> {
    let page = |name: &str, status: u16, asking: Asking| {
        Case::asks(
            27,
            name,
            asking.field("origin", "http://evil.example").browser(),
            move |_, reply| {
                ensure!(reply.status == status, "answered {}", reply.status);
                careful(reply)
            },
        )
    };
    let get = |path: &str| Asking::get(&format!("/.portcullis{path}")).host(PORTAL);
    let mut all = vec![
        page("signing in", 200, get("/sign-in")),
        page("registering", 200, get("/account/new")),
        page("asking for a reset", 200, get("/account/reset")),
        page("a reset that was asked for", 200, get("/account/reset/sent")),
        page("a reset token", 200, get("/account/reset/token")),
        page("signed out", 200, get("/signed-out")),
        page("privacy", 200, get("/privacy")),
        page("nothing here", 404, get("/nothing")),
        page("not signed in", 302, get("/me/sessions")),
        page("who am I", 200, get("/whoami")),
        page("a wrong first administrator's address", 404, get("/first-admin/x")),
        page("a ticket that is none", 400, Asking::get("/.portcullis/callback?ticket=x")),
        page("a page that is the portal's", 302, Asking::get("/.portcullis/admin")),
        page("an application's page, not signed in", 302, Asking::get("/in/a")),
        page("a path without reading", 400, Asking::get("/public/%2e%2e")),
        page("a host there is not", 421, Asking::get("/").host("evil.example")),
        page(
            "a form from elsewhere",
            403,
            Asking::form("/.portcullis/sign-in", &[("a", "b")]).host(PORTAL),
        ),
        page(
            "a method no page takes",
            405,
            Asking::new("DELETE", "/.portcullis/sign-in").host(PORTAL),
        ),
        Case::asks(
            27,
            "no form",
            Asking::new("POST", "/.portcullis/account/reset").host(PORTAL),
            |_, reply| {
                ensure!(reply.status == 415, "answered {}", reply.status);
                careful(reply)
            },
        ),
    ];
    for (name, path) in [
        ("my applications", "/"),
        ("my security", "/me/security"),
        ("my sessions", "/me/sessions"),
        ("people", "/admin/users"),
    ] {
        all.push(Case::story(
            27,
            &format!("signed in: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let ada = world.person("ada");
                let reply = world.ask(
                    protocol,
                    &Asking::get(&format!("/.portcullis{path}"))
                        .host(PORTAL)
                        .cookie(&ada.cookies(PORTAL))
                        .browser(),
                )?;
                ensure!(reply.status == 200, "answered {}", reply.status);
                careful(&reply)
            },
        ));
    }
    all.push(Case::story(27, "a denial", Protocol::ALL, |world, protocol| {
        let kim = world.person("kim");
        let reply = world.ask(protocol, &Asking::get("/admin/a").cookie(&kim.cookies(APP)).browser())?;
        ensure!(reply.status == 403, "answered {}", reply.status);
        careful(&reply)
    }));
    all
}

fn not_public() -> Vec<Case> {
    let mut all = Vec::new();
    for path in [
        "/healthz",
        "/readyz",
        "/startupz",
        "/metrics",
        "/debug/pprof",
        "/.portcullis/metrics",
        "/.portcullis/healthz",
        "/.portcullis/api/v1/users",
        "/authz/auth-request",
        "/.portcullis/authz/auth-request",
        "/.portcullis/authz/forward-auth",
    ] {
        all.push(Case::story(32, path, Protocol::ALL, move |world, protocol| {
            for host in [APP, PORTAL, "127.0.0.1", "localhost"] {
                for agent in ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "curl/8"] {
                    let asking = Asking::get(path)
                        .host(host)
                        .field("user-agent", agent)
                        .field("x-portcullis-peer", "edge x");
                    let reply = world.ask(protocol, &asking)?;
                    ensure!(
                        matches!(reply.status, 302 | 401 | 403 | 404 | 421),
                        "{host} answers {agent} with {}",
                        reply.status
                    );
                    ensure!(!reply.text().contains("portcullis_"), "the figures are told");
                }
            }
            world.nothing_arrived()
        }));
    }
    all.push(Case::story(
        32,
        "they are where they belong, and nothing else is there",
        &[Protocol::Clear],
        |world, _| {
            for (path, status) in [
                ("/healthz", 200),
                ("/readyz", 200),
                ("/startupz", 200),
                ("/metrics", 200),
                ("/in/a", 404),
                ("/.portcullis/sign-in", 404),
                ("/admin/a", 404),
            ] {
                let mut line = crate::support::Line::clear(world.server.management);
                line.send(&Asking::get(path).host("localhost").http1());
                let reply = line.answer().ok_or("no answer")?;
                ensure!(reply.status == status, "{path} is answered {}", reply.status);
            }
            no_names(world)
        },
    ));
    all
}

/// The figures name no person.
fn no_names(world: &World) -> Verdict {
    world.person("kim");
    let mut line = crate::support::Line::clear(world.server.management);
    line.send(&Asking::get("/metrics").host("localhost").http1());
    let reply = line.answer().ok_or("no answer")?;
    ensure!(!reply.text().contains("kim"), "the figures name a person");
    Ok(())
}
