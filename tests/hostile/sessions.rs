//! Rows 17, 18, 29 and 31: cookies that were changed, planted or stolen, rights that ended, secrets that are nearly right, and what is good once.

use crate::support::case::{APP, Case, OTHER, PORTAL, Setup, World};
use crate::support::person::{Browser, PASSWORD, leads_to, split, value_of};
use crate::support::{Asking, Protocol, Verdict, ensure};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = tampered();
    all.extend(twice());
    all.extend(fixed());
    all.extend(revoked());
    all.extend(nearly());
    all.extend(once());
    all
}

/// Kim's session at the application, and an empty recorder.
fn kim(world: &World) -> (Browser, String) {
    let kim = world.person("kim");
    let value = kim.cookie(APP, world.session_cookie());
    world.behind.arrived();
    world.behind.clear();
    (kim, value)
}

type Change = fn(&str) -> String;

fn replaced(value: &str, at: usize, by: impl Fn(char) -> char) -> String {
    value
        .chars()
        .enumerate()
        .map(|(number, c)| if number == at { by(c) } else { c })
        .collect()
}

/// Another symbol of base64 that differs in the lowest bit alone.
fn sibling(c: char) -> char {
    const SYMBOLS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = SYMBOLS.find(c).unwrap_or(0);
    SYMBOLS.chars().nth(at ^ 1).unwrap_or('A')
}

fn tampered() -> Vec<Case> {
    let changes: [(&str, Change); 16] = [
        ("its first symbol", |value| replaced(value, 0, sibling)),
        ("its last symbol", |value| replaced(value, value.len() - 1, sibling)),
        ("the bits of its last symbol that mean nothing", |value| {
            replaced(
                value,
                value.len() - 1,
                |c| if c == 'A' { 'D' } else { sibling(sibling(sibling(c))) },
            )
        }),
        ("one in the middle", |value| replaced(value, value.len() / 2, sibling)),
        ("the last symbol gone", |value| value[..value.len() - 1].to_owned()),
        ("half of it", |value| value[..value.len() / 2].to_owned()),
        ("one more symbol", |value| format!("{value}A")),
        ("padded", |value| format!("{value}=")),
        ("twice in a row", |value| format!("{value}{value}")),
        ("in capitals", str::to_uppercase),
        ("in small letters", str::to_lowercase),
        ("quoted", |value| format!("\"{value}\"")),
        ("encoded", |value| format!("%{:02x}{}", value.as_bytes()[0], &value[1..])),
        ("empty", |_| String::new()),
        ("a word", |_| "null".to_owned()),
        ("eight thousand symbols", |_| "A".repeat(8000)),
    ];
    let mut all = Vec::new();
    for (name, change) in changes {
        all.push(Case::story(
            17,
            &format!("changed: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let (_, value) = kim(world);
                let changed = change(&value);
                if changed == value {
                    return Ok(());
                }
                let reply = world.ask(
                    protocol,
                    &Asking::get("/in/a").cookie(&format!("{}={changed}", world.session_cookie())),
                )?;
                ensure!(reply.status == 401, "answered {}", reply.status);
                world.nothing_arrived()
            },
        ));
    }
    all.push(Case::story(17, "as it is, it lets in", Protocol::ALL, |world, protocol| {
        let (_, value) = kim(world);
        let reply = world.ask(protocol, &Asking::get("/in/a").cookie(&format!("portcullis={value}")))?;
        ensure!(reply.status == 200 && value.len() >= 43, "answered {}", reply.status);
        Ok(())
    }));
    for (name, to, of) in [
        ("the portal's at an application", APP, PORTAL),
        ("an application's at the portal", PORTAL, APP),
        ("an application's at another", OTHER, APP),
    ] {
        all.push(Case::story(
            17,
            &format!("on another host: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let (kim, _) = kim(world);
                let value = kim.cookie(of, "portcullis");
                let target = if to == PORTAL { "/.portcullis/me/sessions" } else { "/in/a" };
                let reply = world.ask(protocol, &Asking::get(target).host(to).cookie(&format!("portcullis={value}")))?;
                ensure!(reply.status == 401, "answered {}", reply.status);
                world.nothing_arrived()
            },
        ));
    }
    for (name, pair) in [
        ("with a prefix it never had", "__Host-portcullis=VALUE"),
        ("under the login's name", "portcullis-login=VALUE"),
        ("in another case", "Portcullis=VALUE"),
        ("without a name", "=portcullis=VALUE"),
        ("with a name that ends so", "xportcullis=VALUE"),
    ] {
        all.push(Case::story(
            17,
            &format!("under another name: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let (_, value) = kim(world);
                let reply = world.ask(protocol, &Asking::get("/in/a").cookie(&pair.replace("VALUE", &value)))?;
                ensure!(matches!(reply.status, 400 | 401), "answered {}", reply.status);
                world.nothing_arrived()
            },
        ));
    }
    all
}

fn twice() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, fields) in [
        ("the same", &["portcullis=VALUE; portcullis=VALUE"][..]),
        ("another behind", &["portcullis=VALUE; portcullis=x"]),
        ("another in front", &["portcullis=x; portcullis=VALUE"]),
        ("in two fields", &["portcullis=VALUE", "portcullis=x"]),
        ("an empty one", &["portcullis=; portcullis=VALUE"]),
        ("the login's", &["portcullis=VALUE; portcullis-login=a; portcullis-login=b"]),
        ("with others between", &["portcullis=x; a=1; b=2; portcullis=VALUE"]),
    ] {
        all.push(Case::story(
            17,
            &format!("two of a name: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let (_, value) = kim(world);
                let asking = fields.iter().fold(Asking::get("/in/a"), |asking, field| {
                    asking.field("cookie", field.replace("VALUE", &value))
                });
                let reply = world.ask(protocol, &asking)?;
                ensure!(reply.status == 400, "answered {}", reply.status);
                world.nothing_arrived()
            },
        ));
    }
    all.push(
        Case::story(
            17,
            "one without its prefix opens nothing where the prefix is due",
            Protocol::ALL,
            |world, protocol| {
                let (_, value) = kim(world);
                let reply = world.ask(protocol, &Asking::get("/in/a").cookie(&format!("portcullis={value}")))?;
                ensure!(reply.status == 401, "answered {}", reply.status);
                let reply = world.ask(
                    protocol,
                    &Asking::get("/in/a").cookie(&format!("portcullis=planted; __Host-portcullis={value}")),
                )?;
                ensure!(reply.status == 200, "one that was planted shuts out: {}", reply.status);
                Ok(())
            },
        )
        .on(Setup::Secure),
    );
    all.push(
        Case::story(17, "cookies have all their attributes", &[Protocol::Clear], |world, _| {
            world.person("ada");
            let mut browser = Browser::default();
            let shown = browser.send(world, Asking::get("/.portcullis/sign-in").host(PORTAL));
            let login = shown
                .all("set-cookie")
                .find(|cookie| cookie.starts_with("__Host-portcullis-login="))
                .unwrap_or("");
            for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=None"] {
                ensure!(login.contains(part), "the login cookie lacks {part}: {login}");
            }
            let reply = browser.sign_in(world, "ada", PASSWORD);
            let session = reply
                .all("set-cookie")
                .find(|cookie| cookie.starts_with("__Host-portcullis="))
                .unwrap_or("");
            for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
                ensure!(session.contains(part), "the session cookie lacks {part}: {session}");
            }
            ensure!(!session.contains("Domain") && !session.contains("Max-Age"), "{session}");
            Ok(())
        })
        .on(Setup::Secure),
    );
    all
}

fn fixed() -> Vec<Case> {
    vec![
        Case::story(
            17,
            "a value planted before the sign-in is worth nothing after it",
            &[Protocol::Clear],
            |world, _| {
                world.person("kim");
                let planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
                let mut browser = Browser::default();
                browser.jar.insert((PORTAL.to_owned(), "portcullis".to_owned()), planted.to_owned());
                let reply = browser.sign_in(world, "kim", PASSWORD);
                let value = reply.cookie("portcullis").ok_or(format!("no new value, {}", reply.status))?;
                ensure!(value != planted, "the planted value stays");
                let reply = world.ask_clear(
                    &Asking::get("/.portcullis/me/sessions")
                        .host(PORTAL)
                        .cookie(&format!("portcullis={planted}")),
                );
                ensure!(reply.status == 401, "answered {}", reply.status);
                Ok(())
            },
        ),
        Case::story(17, "each sign-in has a value of its own", &[Protocol::Clear], |world, _| {
            world.person("kim");
            let mut browser = Browser::default();
            let one = browser.sign_in(world, "kim", PASSWORD).cookie("portcullis");
            let two = Browser::default().sign_in(world, "kim", PASSWORD).cookie("portcullis");
            ensure!(one.is_some() && two.is_some() && one != two, "{one:?} {two:?}");
            Ok(())
        }),
        Case::story(17, "what is stored is no value", &[Protocol::Clear], |world, _| {
            let (kim, value) = kim(world);
            let store = world.server.file("data/portcullis.redb");
            ensure!(store.len() > 1000 && !store.contains(&value), "the store holds the value");
            ensure!(
                !store.contains(&kim.cookie(PORTAL, "portcullis")),
                "the store holds the portal's value"
            );
            Ok(())
        }),
        Case::story(17, "signing out ends every value", Protocol::ALL, |world, protocol| {
            world.person("kim");
            let mut browser = world.sign_in("kim");
            let there = browser.cookies(APP);
            let here = browser.cookies(PORTAL);
            let reply = browser.submit(world, PORTAL, "/.portcullis/sign-out", "/.portcullis/sign-out", &[]);
            ensure!(reply.status == 303, "signing out is answered {}", reply.status);
            for (host, target, cookies) in [(APP, "/in/a", &there), (PORTAL, "/.portcullis/me/sessions", &here)] {
                let reply = world.ask(protocol, &Asking::get(target).host(host).cookie(cookies))?;
                ensure!(reply.status == 401, "{host} answers {}", reply.status);
            }
            Ok(())
        }),
        Case::story(
            17,
            "an application's scripts reach nothing of ours",
            Protocol::ALL,
            |world, protocol| {
                let ada = world.person("ada");
                for path in [
                    "/.portcullis/admin/users",
                    "/.portcullis/me/security",
                    "/.portcullis/",
                    "/.portcullis/sign-out",
                    "/.portcullis/first-admin/x",
                ] {
                    let reply = world.ask(protocol, &Asking::get(path).cookie(&ada.cookies(APP)).browser())?;
                    ensure!(reply.status == 302, "{path} is answered {}", reply.status);
                    ensure!(
                        reply.field("location").starts_with("http://sso.localhost"),
                        "{path} leads to {}",
                        reply.field("location")
                    );
                    let reply = world.ask(protocol, &Asking::form(path, &[("csrf", "x")]).cookie(&ada.cookies(APP)))?;
                    ensure!(reply.status == 404, "a POST to {path} is answered {}", reply.status);
                }
                Ok(())
            },
        ),
    ]
}

type End = fn(&World, &str, &mut Browser) -> Verdict;

fn revoked() -> Vec<Case> {
    let deeds: [(&str, End); 6] = [
        ("an administrator ends the sessions", |world, name, _| {
            world.server.told(&["session", "end", "--user", name], "");
            Ok(())
        }),
        ("the person is disabled", |world, name, _| {
            world.server.told(&["user", "disable", name], "");
            Ok(())
        }),
        ("the person is deleted", |world, name, _| {
            world.server.told(&["user", "delete", name, "--yes"], "");
            Ok(())
        }),
        ("the role is taken", |world, name, _| {
            world.server.told(&["user", "role", name, "user"], "");
            Ok(())
        }),
        ("the person signs out elsewhere", |world, _, browser| {
            let reply = browser.submit(world, PORTAL, "/.portcullis/sign-out", "/.portcullis/sign-out", &[]);
            ensure!(reply.status == 303, "signing out is answered {}", reply.status);
            Ok(())
        }),
        ("the password is reset", |world, name, _| {
            let token = world.server.told(&["user", "token", name], "");
            let email = format!("{name}@example.org");
            let fields = [
                ("email", email.as_str()),
                ("token", token.trim()),
                ("new-password", "another orbit ledger 8"),
            ];
            let page = "/.portcullis/account/reset/token";
            let reply = Browser::default().submit(world, PORTAL, page, page, &fields);
            ensure!(reply.status == 303, "the reset is answered {} {}", reply.status, reply.text());
            Ok(())
        }),
    ];
    let mut all = Vec::new();
    for (number, (name, end)) in deeds.into_iter().enumerate() {
        all.push(Case::story(
            18,
            &format!("on a connection that is kept: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                world.person("ada");
                let person = format!("ending-{number}-{protocol:?}").to_lowercase();
                world.add(&person);
                world.server.told(&["user", "role", &person, "admin"], "");
                let mut browser = world.sign_in(&person);
                let asking = Asking::get("/admin/a").cookie(&browser.cookies(APP));
                let mut kept = (protocol != Protocol::H2).then(|| world.line(protocol));
                let mut ask = || match &mut kept {
                    Some(line) => {
                        line.send(&asking.http1());
                        line.answer().ok_or("the connection ended".to_owned())
                    }
                    None => world.ask(protocol, &asking),
                };
                let before = ask()?;
                ensure!(before.status == 200, "before that: {}", before.status);
                end(world, &person, &mut browser)?;
                let after = ask()?;
                ensure!(matches!(after.status, 401 | 403), "the next request is answered {}", after.status);
                Ok(())
            },
        ));
    }
    all
}

/// Secrets that differ in a little are compared whole.
fn nearly() -> Vec<Case> {
    let changes: [(&str, Change); 6] = [
        ("its first half", |value| value[..value.len() / 2].to_owned()),
        ("one symbol less", |value| value[..value.len() - 1].to_owned()),
        ("one symbol more", |value| format!("{value}A")),
        ("another last symbol", |value| replaced(value, value.len() - 1, sibling)),
        ("another first symbol", |value| replaced(value, 0, sibling)),
        ("nothing", |_| String::new()),
    ];
    let mut all = Vec::new();
    for (name, change) in changes {
        all.push(Case::story(
            29,
            &format!("a form's value: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                let ada = world.person("ada");
                let page = world.ask(
                    protocol,
                    &Asking::get("/.portcullis/me/sessions")
                        .host(PORTAL)
                        .cookie(&ada.cookies(PORTAL))
                        .browser(),
                )?;
                let csrf = change(&value_of(&page.text(), "csrf"));
                let form = Asking::form("/.portcullis/me/sessions", &[("csrf", &csrf), ("session", "none")]).host(PORTAL);
                let reply = world.ask(protocol, &form.cookie(&ada.cookies(PORTAL)))?;
                ensure!(reply.status == 403, "answered {}", reply.status);
                Ok(())
            },
        ));
        all.push(Case::story(
            29,
            &format!("a ticket: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                world.person("kim");
                let (browser, ticket) = ticket(world)?;
                let target = format!("/.portcullis/callback?ticket={}", change(&ticket));
                let reply = world.ask(protocol, &Asking::get(&target).cookie(&browser.cookies(APP)))?;
                ensure!(
                    reply.status == 400 && reply.cookie("portcullis").is_none(),
                    "answered {}",
                    reply.status
                );
                Ok(())
            },
        ));
    }
    all
}

/// A browser that is signed in on the portal and on its way to the application, and its ticket.
fn ticket(world: &World) -> Result<(Browser, String), String> {
    let mut browser = Browser::default();
    browser.sign_in(world, "kim", PASSWORD);
    let mut host = APP.to_owned();
    let mut reply = browser.send(world, Asking::get("/.portcullis/sign-in?rd=/in/a"));
    for _ in 0..6 {
        let to = leads_to(&reply).ok_or(format!("it ends with {}", reply.status))?;
        let (next, target) = split(&to, &host);
        if let Some(ticket) = target.split("ticket=").nth(1) {
            return Ok((browser, ticket.to_owned()));
        }
        host = next;
        reply = browser.send(world, Asking::get(&target).host(&host));
    }
    Err("no ticket".to_owned())
}

fn callback(world: &World, protocol: Protocol, host: &str, ticket: &str, cookies: &str) -> Result<u16, String> {
    let target = format!("/.portcullis/callback?ticket={ticket}");
    let reply = world.ask(protocol, &Asking::get(&target).host(host).cookie(cookies))?;
    ensure!(
        (reply.status == 302) == reply.cookie("portcullis").is_some(),
        "answered {} with a cookie or without",
        reply.status
    );
    Ok(reply.status)
}

fn token_form(world: &World, page: &str, fields: &[(&str, &str)]) -> u16 {
    let page = format!("/.portcullis{page}");
    Browser::default().submit(world, PORTAL, &page, &page, fields).status
}

fn once() -> Vec<Case> {
    let mut all = vec![
        Case::story(31, "a ticket", Protocol::ALL, |world, protocol| {
            world.person("kim");
            let (browser, ticket) = ticket(world)?;
            let cookies = browser.cookies(APP);
            let first = callback(world, protocol, APP, &ticket, &cookies)?;
            let second = callback(world, protocol, APP, &ticket, &cookies)?;
            ensure!((first, second) == (302, 400), "answered {first}, then {second}");
            Ok(())
        }),
        Case::story(31, "a ticket in another browser", Protocol::ALL, |world, protocol| {
            world.person("kim");
            let (browser, ticket) = ticket(world)?;
            let mut other = Browser::default();
            other.send(world, Asking::get("/.portcullis/sign-in?rd=/in/a"));
            for (name, cookies) in [("with its own cookie", other.cookies(APP)), ("without a cookie", String::new())] {
                let status = callback(world, protocol, APP, &ticket, &cookies)?;
                ensure!(status == 400, "{name}: answered {status}");
            }
            drop(browser);
            Ok(())
        }),
        Case::story(31, "a ticket on another host", Protocol::ALL, |world, protocol| {
            world.person("kim");
            let (browser, ticket) = ticket(world)?;
            for host in [OTHER, PORTAL] {
                let status = callback(world, protocol, host, &ticket, &browser.cookies(APP))?;
                ensure!(status == 400, "{host} answers {status}");
            }
            Ok(())
        }),
        Case::story(31, "a reset token", &[Protocol::Clear], |world, _| {
            world.person("ada");
            world.add("resets");
            let token = world.server.told(&["user", "token", "resets"], "");
            let fields = [
                ("email", "resets@example.org"),
                ("token", token.as_str()),
                ("new-password", "another orbit ledger 8"),
            ];
            let first = token_form(world, "/account/reset/token", &fields);
            let second = token_form(world, "/account/reset/token", &fields);
            ensure!((first, second) == (303, 422), "answered {first}, then {second}");
            Ok(())
        }),
        Case::story(31, "a reset token, many at once", &[Protocol::Clear], |world, _| {
            world.person("ada");
            world.add("hurries");
            let token = world.server.told(&["user", "token", "hurries"], "");
            let statuses: Vec<u16> = std::thread::scope(|scope| {
                let tries: Vec<_> = (0..6)
                    .map(|number| {
                        let token = &token;
                        scope.spawn(move || {
                            let password = format!("another orbit ledger {number}");
                            let fields = [
                                ("email", "hurries@example.org"),
                                ("token", token.as_str()),
                                ("new-password", password.as_str()),
                            ];
                            token_form(world, "/account/reset/token", &fields)
                        })
                    })
                    .collect();
                tries.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let taken = statuses.iter().filter(|status| **status == 303).count();
            ensure!(taken == 1, "answered {statuses:?}");
            Ok(())
        }),
        Case::story(31, "a registration token, and for nothing else", &[Protocol::Clear], |world, _| {
            world.person("ada");
            let token = world
                .server
                .told(&["user", "add", "--email", "joins@example.org", "--username", "joins"], "");
            let fields = [
                ("email", "joins@example.org"),
                ("token", token.as_str()),
                ("username", "joins"),
                ("given-name", "Jo"),
                ("family-name", "Ins"),
                ("new-password", "another orbit ledger 8"),
            ];
            let reset = token_form(world, "/account/reset/token", &fields);
            ensure!(reset == 422, "taken for a reset token: {reset}");
            let first = token_form(world, "/account/new", &fields);
            let second = token_form(world, "/account/new", &fields);
            ensure!((first, second) == (303, 422), "answered {first}, then {second}");
            Ok(())
        }),
        Case::story(31, "a new token ends the old", &[Protocol::Clear], |world, _| {
            world.person("ada");
            world.add("renews");
            let old = world.server.told(&["user", "token", "renews"], "");
            let new = world.server.told(&["user", "token", "renews", "--new"], "");
            let with = |token: &str| {
                let fields = [
                    ("email", "renews@example.org"),
                    ("token", token),
                    ("new-password", "another orbit ledger 8"),
                ];
                token_form(world, "/account/reset/token", &fields)
            };
            let (old, new) = (with(&old), with(&new));
            ensure!((old, new) == (422, 303), "the old is answered {old}, the new {new}");
            Ok(())
        }),
    ];
    all.push(Case::story(
        31,
        "nothing that was said is lost to a crash, and nothing used comes back",
        &[Protocol::Clear],
        |_, _| {
            let mut world = World::start(Setup::Plain);
            let kim = world.person("kim");
            let token = world.server.told(&["user", "token", "kim"], "");
            let fields = [
                ("email", "kim@example.org"),
                ("token", token.as_str()),
                ("new-password", "another orbit ledger 8"),
            ];
            let first = token_form(&world, "/account/reset/token", &fields);
            ensure!(first == 303, "answered {first}");
            world.server.kill_and_start();
            let second = token_form(&world, "/account/reset/token", &fields);
            ensure!(second == 422, "the token is good again: {second}");
            let reply = world.ask_clear(&Asking::get("/in/a").cookie(&kim.cookies(APP)));
            ensure!(reply.status == 401, "a session that the reset ended is back: {}", reply.status);
            let reply = Browser::default().sign_in(&world, "kim", "another orbit ledger 8");
            ensure!(reply.status == 303, "the new password was lost: {}", reply.status);
            Ok(())
        },
    ));
    all.push(Case::story(
        31,
        "the address for the first administrator",
        &[Protocol::Clear],
        |_, _| {
            let world = World::start(Setup::Plain);
            let said = world.server.said.join("\n") + &world.server.file("log");
            let secret = said.split("/first-admin/").nth(1).ok_or("no address is printed")?;
            let secret: String = secret
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                .collect();
            let page = format!("/.portcullis/first-admin/{secret}");
            let near = world.ask_clear(
                &Asking::get(&format!("/.portcullis/first-admin/{}", replaced(&secret, 0, sibling)))
                    .host(PORTAL)
                    .browser(),
            );
            ensure!(near.status == 404, "nearly the address is answered {}", near.status);
            let with = |name: &str| {
                let email = format!("{name}@example.org");
                let fields = [
                    ("email", email.as_str()),
                    ("username", name),
                    ("given-name", "A"),
                    ("family-name", "B"),
                    ("new-password", PASSWORD),
                ];
                Browser::default().submit(&world, PORTAL, &page, &page, &fields).status
            };
            let statuses = std::thread::scope(|scope| {
                let tries: Vec<_> = ["one", "two", "three"]
                    .map(|name| scope.spawn(move || with(name)))
                    .into_iter()
                    .collect();
                tries.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
            });
            ensure!(
                statuses.iter().filter(|status| **status == 303).count() == 1,
                "answered {statuses:?}"
            );
            let late = with("four");
            ensure!(matches!(late, 403 | 404), "afterwards it is answered {late}");
            Ok(())
        },
    ));
    all
}
