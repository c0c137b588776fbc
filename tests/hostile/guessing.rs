//! Rows 23 to 25: guessing, finding out who there is, and making the server hash until it can do nothing else.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::support::case::{APP, Case, PORTAL, Setup, World};
use crate::support::person::{Browser, PASSWORD, value_of};
use crate::support::{Asking, Protocol, Reply, ensure};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = guesses();
    all.extend(enumeration());
    all.extend(floods());
    all
}

/// A sign-in from an address, over any protocol.
fn sign_in(world: &World, protocol: Protocol, from: &str, name: &str, password: &str) -> Result<Reply, String> {
    let from: IpAddr = from.parse().unwrap();
    let mut browser = Browser::default();
    let mut page = Asking::get("/.portcullis/sign-in").host(PORTAL);
    page.from = Some(from);
    let csrf = value_of(&browser.send(world, page).text(), "csrf");
    let fields = [
        ("csrf", csrf.as_str()),
        ("username", name),
        ("password", password),
        ("realm", "local"),
    ];
    let mut asking = Asking::form("/.portcullis/sign-in", &fields)
        .host(PORTAL)
        .cookie(&browser.cookies(PORTAL));
    asking.from = Some(from);
    world.ask(protocol, &asking)
}

/// What is the same for everybody in an answer: without what differs each time.
fn shape(reply: &Reply, name: &str) -> String {
    let body = reply.text().replace(name, "NAME");
    let without: Vec<&str> = body
        .split(['"', '>', '<'])
        .filter(|part| !part.starts_with("r-") && part.len() != 43 && !part.contains("portcullis-login"))
        .collect();
    let fields: Vec<&str> = reply
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != "date")
        .collect();
    format!("{} {fields:?} {}", reply.status, without.join("|"))
}

fn guesses() -> Vec<Case> {
    let mut all = Vec::new();
    for (number, known) in [true, false].into_iter().enumerate() {
        let word = if known { "that there is" } else { "that there is not" };
        all.push(
            Case::story(
                23,
                &format!("a name {word} is locked from one network"),
                Protocol::ALL,
                move |world, protocol| {
                    let name = if known { "kim" } else { "nobody-here" };
                    world.person("kim");
                    let network = 10 + number * 10 + protocol as usize;
                    let here = format!("127.1.{network}.1");
                    let neighbour = format!("127.1.{network}.200");
                    for attempt in 0..3 {
                        let reply = sign_in(world, protocol, &here, name, "a wrong guess 1")?;
                        ensure!(reply.status == 401, "guess {attempt} is answered {}", reply.status);
                    }
                    for from in [&here, &neighbour] {
                        let reply = sign_in(world, protocol, from, name, PASSWORD)?;
                        ensure!(
                            reply.status == 429 && !reply.field("retry-after").is_empty(),
                            "from {from}: answered {}",
                            reply.status
                        );
                        ensure!(reply.cookie("portcullis").is_none(), "it signs in");
                    }
                    let elsewhere = sign_in(world, protocol, &format!("127.2.{network}.1"), name, PASSWORD)?;
                    ensure!(
                        elsewhere.status == if known { 303 } else { 401 },
                        "from elsewhere: answered {}",
                        elsewhere.status
                    );
                    let other = sign_in(world, protocol, &here, "ada", PASSWORD)?;
                    ensure!(other.status == 303, "another person from here: answered {}", other.status);
                    Ok(())
                },
            )
            .on(Setup::Guarded),
        );
    }
    all.push(
        Case::story(23, "spellings of a name count together", Protocol::ALL, |world, protocol| {
            world.person("kim");
            let here = format!("127.3.{}.1", protocol as usize);
            for name in ["kim", "KIM", "Kim"] {
                let reply = sign_in(world, protocol, &here, name, "a wrong guess 1")?;
                ensure!(reply.status == 401, "{name} is answered {}", reply.status);
            }
            let reply = sign_in(world, protocol, &here, "kIm", PASSWORD)?;
            ensure!(reply.status == 429, "answered {}", reply.status);
            Ok(())
        })
        .on(Setup::Guarded),
    );
    all.push(
        Case::story(
            23,
            "a network that tries many names is held back",
            &[Protocol::Clear],
            |world, protocol| {
                world.person("ada");
                // A token's form, which costs the server little: all of them fall into one minute however busy the machine.
                let token = world.server.told(&["user", "token", "ada", "--new"], "");
                let page = "/.portcullis/account/reset/token";
                let mut browser = Browser::default();
                let csrf = value_of(&browser.send(world, Asking::get(page).host(PORTAL)).text(), "csrf");
                let mut held = false;
                for number in 0..110 {
                    let email = format!("name-{number}@example.org");
                    let fields = [
                        ("csrf", csrf.as_str()),
                        ("email", &email),
                        ("token", &token),
                        ("new-password", "another orbit ledger 8"),
                    ];
                    let asking = Asking::form(page, &fields)
                        .host(PORTAL)
                        .cookie(&browser.cookies(PORTAL))
                        .from("127.4.1.1");
                    let reply = world.ask(protocol, &asking)?;
                    ensure!(matches!(reply.status, 422 | 429), "answered {}", reply.status);
                    held |= reply.status == 429;
                    if held {
                        ensure!(!reply.field("retry-after").is_empty(), "and not told for how long");
                        break;
                    }
                }
                ensure!(held, "a hundred names were tried");
                Ok(())
            },
        )
        .on(Setup::Guarded),
    );
    all.push(
        Case::story(23, "what was counted outlives a crash", &[Protocol::Clear], |_, protocol| {
            let mut world = World::start(Setup::Guarded);
            world.person("kim");
            for _ in 0..3 {
                sign_in(&world, protocol, "127.5.1.1", "kim", "a wrong guess 1")?;
            }
            world.server.kill_and_start();
            let reply = sign_in(&world, protocol, "127.5.1.1", "kim", PASSWORD)?;
            ensure!(reply.status == 429, "answered {}", reply.status);
            Ok(())
        })
        .on(Setup::Guarded),
    );
    all.push(
        Case::story(23, "a token is locked after five wrong guesses", &[Protocol::Clear], |world, _| {
            world.person("ada");
            world.add("guessed");
            let token = world.server.told(&["user", "token", "guessed"], "");
            let page = "/.portcullis/account/reset/token";
            let with = |token: &str| {
                let fields = [
                    ("email", "guessed@example.org"),
                    ("token", token),
                    ("new-password", "another orbit ledger 8"),
                ];
                Browser::default().submit(world, PORTAL, page, page, &fields)
            };
            // One symbol wrong is a typing mistake, which the check symbol tells and which is no guess.
            let last = if token.ends_with('0') { "1" } else { "0" };
            let mistaken = format!("{}{last}", &token[..token.len() - 1]);
            for _ in 0..6 {
                let reply = with(&mistaken);
                ensure!(
                    reply.status == 422 && reply.text().contains("One character is wrong"),
                    "a mistake is answered {}",
                    reply.status
                );
            }
            // Somebody else's tokens: well formed, and wrong here.
            for number in 0..5 {
                let guess = world.server.told(&["user", "token", "ada", "--new"], "");
                let reply = with(&guess);
                ensure!(
                    reply.status == 422 && reply.text().contains("do not match"),
                    "guess {number} is answered {}",
                    reply.status
                );
            }
            let reply = with(&token);
            ensure!(reply.status != 303, "it is good after five guesses");
            let reply = Browser::default().sign_in(world, "guessed", PASSWORD);
            ensure!(reply.status == 303, "the account is locked with it: {}", reply.status);
            Ok(())
        })
        .on(Setup::Plain),
    );
    all.push(
        Case::story(
            23,
            "a network that sends forms without end is held back",
            Protocol::ALL,
            |world, protocol| {
                let network = protocol as usize;
                let mut statuses = Vec::new();
                for number in 0..30 {
                    let mut asking = Asking::form("/.portcullis/sign-in", &[("csrf", "x")]).host(PORTAL);
                    asking.from = Some(format!("127.6.{network}.{}", 1 + number).parse().unwrap());
                    let reply = world.ask(protocol, &asking)?;
                    let wait = reply.field("retry-after").parse::<u64>().ok();
                    ensure!(
                        (reply.status == 429) == wait.is_some_and(|seconds| seconds > 0),
                        "{} says to wait {wait:?}",
                        reply.status
                    );
                    statuses.push(reply.status);
                }
                ensure!(statuses.contains(&403) && statuses.ends_with(&[429]), "answered {statuses:?}");
                Ok(())
            },
        )
        .on(Setup::Slowed),
    );
    all
}

/// The median time of some sign-ins.
fn median(world: &World, name: &str) -> Result<Duration, String> {
    let mut times = Vec::new();
    for number in 0..7 {
        let mut browser = Browser::default();
        let csrf = value_of(
            &browser.send(world, Asking::get("/.portcullis/sign-in").host(PORTAL)).text(),
            "csrf",
        );
        let name = if name.is_empty() {
            format!("nobody-{number}")
        } else {
            name.to_owned()
        };
        let fields = [
            ("csrf", csrf.as_str()),
            ("username", name.as_str()),
            ("password", "a wrong guess 1"),
            ("realm", "local"),
        ];
        let asking = Asking::form("/.portcullis/sign-in", &fields)
            .host(PORTAL)
            .cookie(&browser.cookies(PORTAL));
        let began = Instant::now();
        let reply = world.ask(Protocol::Clear, &asking)?;
        times.push(began.elapsed());
        ensure!(reply.status == 401, "{name} is answered {}", reply.status);
    }
    times.sort();
    Ok(times[3])
}

fn enumeration() -> Vec<Case> {
    let mut all = Vec::new();
    all.push(
        Case::story(
            24,
            "a locked name is answered alike whether there is one or not",
            Protocol::ALL,
            |world, protocol| {
                world.person("kim");
                let locked = |number: usize, name: &str| {
                    let here = format!("127.10.{}.1", number * 10 + protocol as usize);
                    for _ in 0..3 {
                        sign_in(world, protocol, &here, name, "a wrong guess 1")?;
                    }
                    sign_in(world, protocol, &here, name, PASSWORD)
                };
                let (known, unknown) = (locked(1, "kim")?, locked(2, "nobody-here")?);
                ensure!(known.status == 429, "answered {}", known.status);
                ensure!(
                    shape(&known, "kim") == shape(&unknown, "nobody-here"),
                    "{} differs from {}",
                    shape(&known, "kim"),
                    shape(&unknown, "nobody-here")
                );
                ensure!(
                    known.field("retry-after") == "900" && unknown.field("retry-after") == "900",
                    "one waits {} and the other {}",
                    known.field("retry-after"),
                    unknown.field("retry-after")
                );
                Ok(())
            },
        )
        .on(Setup::Guarded),
    );
    for (word, name) in [("disabled", "gone"), ("not yet registered", "pending")] {
        all.push(Case::story(
            24,
            &format!("a person {word} is answered as nobody"),
            Protocol::ALL,
            move |world, protocol| {
                world.person("kim");
                if world.server.run(&["user", "show", name], "").status.code() != Some(0) {
                    let email = format!("{name}@example.org");
                    if name == "gone" {
                        world.add(name);
                        world.server.told(&["user", "disable", name], "");
                    } else {
                        world.server.told(&["user", "add", "--email", &email, "--username", name], "");
                    }
                }
                let here = format!("127.7.{}.1", protocol as usize);
                let one = sign_in(world, protocol, &here, name, PASSWORD)?;
                let nobody = sign_in(world, protocol, &here, "nobody-at-all", PASSWORD)?;
                let wrong = sign_in(world, protocol, &here, "kim", "a wrong guess 1")?;
                ensure!(
                    shape(&one, name) == shape(&nobody, "nobody-at-all"),
                    "{} differs from {}",
                    shape(&one, name),
                    shape(&nobody, "nobody-at-all")
                );
                ensure!(shape(&wrong, "kim") == shape(&nobody, "nobody-at-all"), "a wrong password differs");
                ensure!(one.status == 401, "answered {}", one.status);
                Ok(())
            },
        ));
    }
    all.push(Case::story(
        24,
        "asking for a reset tells nothing",
        Protocol::ALL,
        |world, protocol| {
            world.person("kim");
            let ask = |email: &str| {
                let mut browser = Browser::default();
                let page = "/.portcullis/account/reset";
                let csrf = value_of(&browser.send(world, Asking::get(page).host(PORTAL)).text(), "csrf");
                world.ask(
                    protocol,
                    &Asking::form(page, &[("csrf", &csrf), ("email", email)])
                        .host(PORTAL)
                        .cookie(&browser.cookies(PORTAL)),
                )
            };
            let (known, unknown) = (ask("kim@example.org")?, ask("nim@example.org")?);
            ensure!(
                known.status == 303 && unknown.status == 303,
                "answered {} and {}",
                known.status,
                unknown.status
            );
            ensure!(
                known.field("location").replace("kim", "NAME") == unknown.field("location").replace("nim", "NAME"),
                "they lead elsewhere"
            );
            Ok(())
        },
    ));
    all.push(Case::story(
        24,
        "a token for nobody is answered as a wrong one",
        Protocol::ALL,
        |world, protocol| {
            world.person("kim");
            let page = "/.portcullis/account/reset/token";
            // The check symbols of both are right.
            let token = world.server.told(&["user", "token", "kim", "--new"], "");
            world.server.told(&["user", "token", "kim", "--new"], "");
            let ask = |email: &str| {
                let mut browser = Browser::default();
                let csrf = value_of(&browser.send(world, Asking::get(page).host(PORTAL)).text(), "csrf");
                let fields = [
                    ("csrf", csrf.as_str()),
                    ("email", email),
                    ("token", token.as_str()),
                    ("new-password", "another orbit ledger 8"),
                ];
                world.ask(protocol, &Asking::form(page, &fields).host(PORTAL).cookie(&browser.cookies(PORTAL)))
            };
            let (known, unknown) = (ask("kim@example.org")?, ask("nim@example.org")?);
            ensure!(
                shape(&known, "kim") == shape(&unknown, "nim"),
                "{} {}",
                shape(&known, "kim"),
                shape(&unknown, "nim")
            );
            Ok(())
        },
    ));
    all.push(Case::story(
        24,
        "an unknown name takes as long as a wrong password",
        &[Protocol::Clear],
        |world, _| {
            world.person("kim");
            // A busy machine may disturb one measurement, not each of three.
            let mut last = String::new();
            for _ in 0..3 {
                let (known, unknown) = (median(world, "kim")?, median(world, "")?);
                if unknown * 2 > known && known * 2 > unknown {
                    return Ok(());
                }
                last = format!("{known:?} for a name that there is, {unknown:?} for others");
                world.server.told(&["ban", "clear", "--all"], "");
            }
            Err(last)
        },
    ));
    all
}

fn floods() -> Vec<Case> {
    vec![
        Case::story(
            25,
            "a flood of sign-ins is told to wait, and what is proxied goes on",
            &[Protocol::Clear],
            |world, _| {
                let kim = world.person("kim");
                let mut browser = Browser::default();
                let csrf = value_of(
                    &browser.send(world, Asking::get("/.portcullis/sign-in").host(PORTAL)).text(),
                    "csrf",
                );
                let cookies = browser.cookies(PORTAL);
                // All are sent before the first is read.
                let mut lines: Vec<_> = (0..200).map(|_| world.line(Protocol::Clear)).collect();
                for (number, line) in lines.iter_mut().enumerate() {
                    let name = format!("nobody-{number}");
                    let fields = [
                        ("csrf", csrf.as_str()),
                        ("username", name.as_str()),
                        ("password", "a wrong guess 1"),
                        ("realm", "local"),
                    ];
                    line.send(&Asking::form("/.portcullis/sign-in", &fields).host(PORTAL).cookie(&cookies).http1());
                }
                let reply = world.ask_clear(&Asking::get("/in/a").cookie(&kim.cookies(APP)));
                ensure!(reply.status == 200, "meanwhile an application is answered {}", reply.status);
                let replies: Vec<_> = lines.iter_mut().filter_map(crate::support::Line::answer).collect();
                let busy = replies.iter().filter(|reply| reply.status == 503).count();
                ensure!(replies.len() == 200, "{} answers", replies.len());
                ensure!(busy > 0, "nobody is told to wait");
                ensure!(
                    replies
                        .iter()
                        .filter(|reply| reply.status == 503)
                        .all(|reply| !reply.field("retry-after").is_empty()),
                    "and not for how long"
                );
                Ok(())
            },
        )
        .on(Setup::Flooded),
        Case::story(25, "a password longer than any is not hashed", Protocol::ALL, |world, protocol| {
            world.person("kim");
            let here = format!("127.8.{}.1", protocol as usize);
            let long = sign_in(world, protocol, &here, "kim", &"x".repeat(10_000))?;
            ensure!(long.status == 401, "answered {}", long.status);
            Ok(())
        }),
        Case::story(25, "a password longer than a field may be", Protocol::ALL, |world, protocol| {
            let here = format!("127.9.{}.1", protocol as usize);
            let long = sign_in(world, protocol, &here, "kim", &"x".repeat(20_000))?;
            ensure!(long.status == 413, "answered {}", long.status);
            Ok(())
        }),
    ]
}
