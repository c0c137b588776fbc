//! Rows 21 and 22: letters whose links lead elsewhere, whose headers somebody else wrote, and floods of them.

use std::time::{Duration, Instant};

use crate::support::case::{Case, PORTAL, Setup, World};
use crate::support::person::{Browser, value_of};
use crate::support::{Asking, Protocol, Reply, ensure};

const ASK: &str = "/.portcullis/account/reset";

pub(crate) fn cases() -> Vec<Case> {
    let mut all = poisons();
    all.extend(injections());
    all.extend(floods());
    all
}

/// The form that asks for a reset, to be sent as a case wishes.
fn asking(world: &World, email: &str) -> Asking {
    let mut browser = Browser::default();
    let csrf = value_of(&browser.send(world, Asking::get(ASK).host(PORTAL)).text(), "csrf");
    Asking::form(ASK, &[("csrf", csrf.as_str()), ("email", email)])
        .host(PORTAL)
        .cookie(&browser.cookies(PORTAL))
        .browser()
}

fn ask(world: &World, protocol: Protocol, email: &str) -> Result<Reply, String> {
    world.ask(protocol, &asking(world, email))
}

/// The letters to an address, once there are so many.
fn letters(world: &World, to: &str, count: usize) -> Result<Vec<String>, String> {
    let line = format!("To: {to}\r\n");
    let began = Instant::now();
    loop {
        let found: Vec<String> = world.server.letters().into_iter().filter(|letter| letter.contains(&line)).collect();
        if found.len() >= count {
            return Ok(found);
        }
        ensure!(
            began.elapsed() < Duration::from_secs(20),
            "{} letters to {to}, not {count}",
            found.len()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody nobody else asks for.
fn somebody(world: &World, name: &str, protocol: Protocol) -> (String, String) {
    world.person("ada");
    let username = format!("{name}{}", protocol as usize);
    world.add(&username);
    let email = format!("{username}@example.org");
    (username, email)
}

fn poisons() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, change) in [
        (
            "a port that is not ours",
            &(|asking: Asking| asking.host("sso.localhost:6666")) as &'static (dyn Fn(Asking) -> Asking + Sync),
        ),
        ("X-Forwarded-Host from a stranger", &|asking| {
            asking.field("x-forwarded-host", "evil.example")
        }),
        ("X-Forwarded-Host from a trusted proxy", &|asking| {
            asking.field("x-forwarded-host", "evil.example").from("127.0.0.2")
        }),
        ("Forwarded", &|asking| {
            asking.field("forwarded", "host=evil.example;proto=http").from("127.0.0.2")
        }),
        ("X-Original-URL", &|asking| asking.field("x-original-url", "http://evil.example/")),
        ("X-Forwarded-Port and -Proto", &|asking| {
            asking
                .field("x-forwarded-port", "6666")
                .field("x-forwarded-proto", "evil")
                .from("127.0.0.2")
        }),
        ("Referer and User-Agent", &|asking| {
            asking
                .field("referer", "http://evil.example/")
                .field("user-agent", "http://evil.example/ \u{202e}")
        }),
    ] {
        let word: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        let letter_of = move |world: &World, protocol: Protocol| {
            let (_, email) = somebody(world, &word, protocol);
            let reply = world.ask(protocol, &change(asking(world, &email)))?;
            ensure!(matches!(reply.status, 303 | 308 | 400), "answered {}", reply.status);
            if reply.status != 303 {
                // Refused is as good; then the usual request brings the letter.
                ask(world, protocol, &email)?;
            }
            let letter = letters(world, &email, 1)?.remove(0).replace("=\r\n", "");
            ensure!(
                letter.contains("http://sso.localhost/.portcullis/account/reset/token"),
                "the link is missing: {letter}"
            );
            ensure!(!letter.contains("evil") && !letter.contains("6666"), "{letter}");
            Ok(())
        };
        all.push(Case::story(21, name, Protocol::ALL, letter_of).on(Setup::Mailed));
    }
    all.push(
        Case::story(21, "a host that is not ours", Protocol::ALL, |world, protocol| {
            let (_, email) = somebody(world, "nothost", protocol);
            let reply = world.ask(protocol, &asking(world, &email).host("evil.example"))?;
            ensure!(reply.status == 421, "answered {}", reply.status);
            let (_, other) = somebody(world, "afterhost", protocol);
            ask(world, protocol, &other)?;
            letters(world, &other, 1)?;
            ensure!(letters(world, &email, 0)?.is_empty(), "a letter was written");
            Ok(())
        })
        .on(Setup::Mailed),
    );
    all
}

fn injections() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, typed) in [
        ("a second header behind a line break", "EMAIL\r\nBcc: eve@evil.example"),
        ("a second header behind a bare line feed", "EMAIL\nBcc: eve@evil.example"),
        ("a body behind two line breaks", "EMAIL\r\n\r\nhello"),
        ("two addresses with a comma", "EMAIL,eve@evil.example"),
        ("two addresses with a semicolon", "EMAIL;eve@evil.example"),
        ("two addresses with a blank", "EMAIL eve@evil.example"),
        ("a display name", "Eve <EMAIL>"),
        ("a quoted local part", "\"EMAIL\"@evil.example"),
        ("a source route", "@evil.example:EMAIL"),
        ("a percent hack", "EMAIL%evil.example@[127.0.0.1]"),
        ("SMTP behind a line break", "EMAIL>\r\nRCPT TO:<eve@evil.example"),
        ("NUL", "EMAIL\0eve@evil.example"),
        ("a full-width at sign", "eve\u{ff20}example.org"),
        ("an encoded word", "=?utf-8?q?EMAIL?="),
    ] {
        let word: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        all.push(
            Case::story(22, name, Protocol::ALL, move |world, protocol| {
                let (_, email) = somebody(world, &word, protocol);
                let reply = ask(world, protocol, &typed.replace("EMAIL", &email))?;
                ensure!(reply.status == 422, "answered {}", reply.status);
                ask(world, protocol, &email)?;
                letters(world, &email, 1)?;
                let evil = world.server.letters().into_iter().find(|letter| letter.contains("evil.example"));
                ensure!(evil.is_none(), "{evil:?}");
                Ok(())
            })
            .on(Setup::Mailed),
        );
    }
    for (name, typed) in [
        ("a name with a line break", "Eve\r\nBcc: eve@evil.example"),
        ("a name with a bare carriage return", "Eve\rBcc: eve@evil.example"),
        ("a name with a line separator", "Eve\u{2028}Bcc: eve@evil.example"),
        ("a name that turns the text", "Eve\u{202e}"),
    ] {
        all.push(
            Case::story(22, name, &[Protocol::Clear], move |world, _| {
                let mut ada = world.person("ada");
                let page = "/.portcullis/admin/users";
                let fields = [
                    ("email", "named@example.org"),
                    ("username", "named"),
                    ("given-name", typed),
                    ("family-name", "x"),
                ];
                let reply = ada.submit(world, PORTAL, page, page, &fields);
                ensure!(reply.status == 422, "answered {}", reply.status);
                Ok(())
            })
            .on(Setup::Mailed),
        );
    }
    for (number, typed) in [
        "<b>Eve</b> =?utf-8?q?=0d=0aBcc:_eve?=",
        "Bcc: eve@evil.example",
        "Eve\", <eve@evil.example>, \"",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("a name that looks like mail, {number}");
        all.push(
            Case::story(22, &name, &[Protocol::Clear], move |world, _| {
                world.person("ada");
                let giver = format!("mailer{number}");
                let email = format!("{giver}@example.org");
                let arguments = [
                    "user",
                    "add",
                    "--email",
                    &email,
                    "--username",
                    &giver,
                    "--given-name",
                    typed,
                    "--role",
                    "admin",
                    "--password-stdin",
                ];
                world.server.told(&arguments, crate::support::person::PASSWORD);
                let (taker, to) = somebody(world, &format!("taker{number}"), Protocol::Clear);
                let shown: serde_json::Value = serde_json::from_str(&world.server.told(&["user", "show", &taker, "--json"], "")).unwrap();
                let page = format!("/.portcullis/admin/users/{}/role", shown["id"].as_str().unwrap());
                let reply = world.sign_in(&giver).submit(world, PORTAL, &page, &page, &[("role", "admin")]);
                ensure!(reply.status == 303, "answered {}", reply.status);
                let letter = letters(world, &to, 1)?.remove(0);
                let head = letter.split("\r\n\r\n").next().unwrap();
                let names: Vec<&str> = head
                    .lines()
                    .filter(|line| !line.starts_with(' '))
                    .filter_map(|line| line.split(':').next())
                    .collect();
                ensure!(
                    names.len() == 8 && !names.iter().any(|name| name.eq_ignore_ascii_case("bcc")),
                    "its headers are {names:?}"
                );
                let html = letter.split("text/html").nth(1).unwrap_or_default();
                ensure!(html.contains("Given by") && !html.contains("<b>"), "{letter}");
                Ok(())
            })
            .on(Setup::Mailed),
        );
    }
    all
}

fn floods() -> Vec<Case> {
    let token_for = |world: &World, username: &str| {
        // One that an administrator hands over is mailed at each asking.
        world.server.told(&["user", "token", username], "");
    };
    vec![
        Case::story(
            22,
            "no more than five letters an hour to one address",
            Protocol::ALL,
            move |world, protocol| {
                let (username, email) = somebody(world, "flooded", protocol);
                token_for(world, &username);
                for number in 0..8 {
                    let spelled = if number % 2 == 0 { email.clone() } else { email.to_uppercase() };
                    let reply = ask(world, protocol, &spelled)?;
                    ensure!(reply.status == 303, "answered {}", reply.status);
                }
                let (_, other) = somebody(world, "afterflood", protocol);
                ask(world, protocol, &other)?;
                letters(world, &other, 1)?;
                let count = letters(world, &email, 0)?.len();
                ensure!(count == 5, "{count} letters");
                Ok(())
            },
        )
        .on(Setup::Mailed),
        Case::story(
            22,
            "what was sent to an address outlives a crash",
            &[Protocol::Clear],
            move |_, protocol| {
                let mut world = World::start(Setup::Mailed);
                let (username, email) = somebody(&world, "crashed", protocol);
                token_for(&world, &username);
                for number in 0..8 {
                    if number == 4 {
                        letters(&world, &email, 4)?;
                        world.server.kill_and_start();
                    }
                    ask(&world, protocol, &email)?;
                }
                let (_, other) = somebody(&world, "aftercrash", protocol);
                ask(&world, protocol, &other)?;
                letters(&world, &other, 1)?;
                let count = letters(&world, &email, 0)?.len();
                ensure!(count == 5, "{count} letters");
                Ok(())
            },
        )
        .on(Setup::Mailed),
        Case::story(
            22,
            "addresses that nobody has are written no letter",
            Protocol::ALL,
            |world, protocol| {
                let (_, last) = somebody(world, "afternobody", protocol);
                let before = world.server.letters().len();
                for number in 0..10 {
                    let reply = ask(world, protocol, &format!("nobody{number}@evil.example"))?;
                    ensure!(reply.status == 303, "answered {}", reply.status);
                }
                ask(world, protocol, &last)?;
                letters(world, &last, 1)?;
                let written = world.server.letters().len() - before;
                ensure!(written == 1, "{written} letters");
                Ok(())
            },
        )
        .on(Setup::Mailed),
    ]
}
