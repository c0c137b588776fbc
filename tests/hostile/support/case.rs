//! Cases, the world they happen in, and what runs them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use super::person::{Browser, PASSWORD};
use super::readers::{self, Message};
use super::recorder::Recorder;
use super::server::Server;
use super::wire::PATIENCE;
use super::{Asking, Line, Protocol, Reply, ensure, h2, show};

/// Where people sign in.
pub(crate) const PORTAL: &str = "sso.localhost";
/// The application that most cases ask.
pub(crate) const APP: &str = "eln.localhost";
/// Another one.
pub(crate) const OTHER: &str = "other.localhost";
/// The name that TLS clients ask for.
pub(crate) const NAME: &str = APP;

/// `/public/**` is anybody's, `/told/**` too and hears who asks, `/socket` takes WebSockets from anybody, `/public/small` takes little; `/admin/**` is for
/// administrators, and all else for whoever is signed in.
const POLICY: &str = r#"
[app.eln]
title = "Notebook"
host = "eln.localhost"
upstream = "BEHIND"
require = { signed_in = true }
rule = [
  { path = "/public/**", access = "public" },
  { path = "/admin/**", require = { roles = ["admin"] } },
  { path = "/told/**", access = "public", identify = true },
  { path = "/socket", access = "public", websocket = true },
  { path = "/public/small", access = "public", max_body = "1KiB" },
]

[app.other]
title = "Other"
host = "other.localhost"
upstream = "ELSE"
require = { signed_in = true }
headers.preset = "grafana"
rule = [{ path = "/public/**", access = "public" }]

[app.desk]
title = "Desk"
host = "desk.localhost"
upstream = "BEHIND"
ip_pattern = ["desk"]
require = { signed_in = true }
rule = [{ path = "/**", access = "public" }]

[ip_pattern.desk]
title = "Desk"
include = ["10.9.0.0/16"]
"#;

/// How a server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setup {
    /// The portal is `http`, all limits as shipped.
    Plain,
    /// The same with short times.
    Short,
    /// At most eight connections from an address, twelve in all.
    Crowded,
    /// 127.0.0.2 and 127.0.0.3 are trusted proxies.
    Proxied,
    /// The portal is `https`: cookies have their prefix.
    Secure,
    /// Three wrong passwords lock a name.
    Guarded,
    /// A network may send ten forms a minute.
    Slowed,
    /// Any number of wrong passwords.
    Flooded,
    /// Letters are written to a folder; 127.0.0.2 and 127.0.0.3 are trusted proxies.
    Mailed,
}

impl Setup {
    const fn public_url(self) -> &'static str {
        match self {
            Self::Secure => "https://sso.localhost",
            _ => "http://sso.localhost",
        }
    }

    const fn settings(self) -> &'static str {
        match self {
            Self::Plain | Self::Secure | Self::Guarded | Self::Flooded => "[limits]\nforms = \"100000/1m\"\n",
            Self::Mailed => {
                "trusted_proxies = [\"127.0.0.2/31\"]\n[limits]\nforms = \"100000/1m\"\n[mail]\nurl = \"file://OUTBOX\"\nfrom = \"gate@lab.example\"\n"
            }
            Self::Slowed => "[limits]\nforms = \"10/1m\"\n",
            Self::Short => "[limits]\nhead_time = \"600ms\"\nbody_stall = \"600ms\"\nidle = \"1s\"\n",
            Self::Crowded => "[limits]\nconnections_per_address = 8\nconnections = 12\n",
            Self::Proxied => "trusted_proxies = [\"127.0.0.2/31\"]\n",
        }
    }

    const fn policy(self) -> &'static str {
        match self {
            Self::Guarded => "[signin]\nattempts = 3\n",
            Self::Plain | Self::Secure | Self::Mailed => "[signin]\nattempts = 50\n",
            Self::Flooded => "[signin]\nattempts = 1000\n",
            _ => "",
        }
    }
}

/// A running server, what is behind it, and who is signed in.
pub(crate) struct World {
    pub(crate) server: Server,
    /// The application at [`APP`].
    pub(crate) behind: Recorder,
    /// The application at [`OTHER`].
    pub(crate) elsewhere: Recorder,
    pub(crate) setup: Setup,
    people: Mutex<BTreeMap<String, Browser>>,
}

impl World {
    /// Starts everything.
    pub(crate) fn start(setup: Setup) -> Self {
        Self::with(setup, setup.settings(), setup.policy())
    }

    /// With settings and policies of a case's own; the policies are added to the usual ones.
    pub(crate) fn with(setup: Setup, settings: &str, policy: &str) -> Self {
        let behind = Recorder::start();
        let elsewhere = Recorder::start();
        let policy = format!("{POLICY}\n{policy}")
            .replace("BEHIND", &format!("http://{}", behind.address))
            .replace("ELSE", &format!("http://{}", elsewhere.address));
        Self {
            server: Server::start(setup.public_url(), settings, &policy),
            behind,
            elsewhere,
            setup,
            people: Mutex::default(),
        }
    }

    /// The address that a protocol is spoken at.
    pub(crate) const fn address(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Clear => self.server.http,
            Protocol::Tls | Protocol::H2 => self.server.https,
        }
    }

    /// A connection that speaks HTTP/1.1 (or, for HTTP/2, whatever the case sends over it).
    pub(crate) fn line(&self, protocol: Protocol) -> Line {
        self.line_from(protocol, None)
    }

    /// The same from another address.
    pub(crate) fn line_from(&self, protocol: Protocol, from: Option<IpAddr>) -> Line {
        let to = self.address(protocol);
        match protocol {
            Protocol::Clear => Line::clear_from(to, from),
            Protocol::Tls => Line::tls_from(to, from, &self.server.certificate, NAME, b"http/1.1"),
            Protocol::H2 => Line::tls_from(to, from, &self.server.certificate, NAME, b"h2"),
        }
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask(&self, protocol: Protocol, asking: &Asking) -> Result<Reply, String> {
        let reply = match protocol {
            Protocol::H2 => h2::ask(&self.server, asking),
            _ => {
                let mut line = self.line_from(protocol, asking.from);
                line.send(&asking.http1());
                line.answer_to(&asking.method)
            }
        };
        reply.ok_or_else(|| format!("no answer to {} {}", asking.method, asking.target))
    }

    /// The same in clear, where there must be an answer.
    pub(crate) fn ask_clear(&self, asking: &Asking) -> Reply {
        self.ask(Protocol::Clear, asking).unwrap_or_else(|why| panic!("{why}"))
    }

    /// What reached the application since the case began, which all readers must see alike.
    pub(crate) fn arrived(&self) -> Result<Vec<Message>, String> {
        readers::agree_on(&self.behind.arrived())
    }

    /// The one request that reached it.
    pub(crate) fn arrived_one(&self) -> Result<Message, String> {
        let mut arrived = self.arrived()?;
        ensure!(arrived.len() == 1, "{} requests reached the application, not one", arrived.len());
        Ok(arrived.remove(0))
    }

    /// Nothing reached any application.
    pub(crate) fn nothing_arrived(&self) -> Verdict {
        for recorder in [&self.behind, &self.elsewhere] {
            let arrived = recorder.arrived();
            ensure!(arrived.is_empty(), "an application was sent {}", show(&arrived[0]));
        }
        Ok(())
    }

    /// A browser in which that person has signed in on the portal and at the application. `ada` is the administrator; others hold no role.
    pub(crate) fn person(&self, username: &str) -> Browser {
        let known = self.people.lock().unwrap().get(username).cloned();
        known.unwrap_or_else(|| {
            if username != "ada" {
                // The first person ever made is the administrator.
                self.person("ada");
            }
            self.add(username);
            let browser = self.sign_in(username);
            self.people.lock().unwrap().insert(username.to_owned(), browser.clone());
            browser
        })
    }

    /// Adds a person with a password.
    pub(crate) fn add(&self, username: &str) {
        let email = format!("{username}@example.org");
        let arguments = ["user", "add", "--email", &email, "--username", username, "--password-stdin"];
        self.server.told(&arguments, PASSWORD);
    }

    /// A fresh browser in which that person signs in anew.
    pub(crate) fn sign_in(&self, username: &str) -> Browser {
        let mut browser = Browser::default();
        let reply = browser.sign_in(self, username, PASSWORD);
        assert!(
            matches!(reply.status, 200 | 303),
            "{username} cannot sign in: {} {}",
            reply.status,
            reply.text()
        );
        let reply = browser.go(self, APP, "/in/signed-in");
        assert_eq!(reply.status, 200, "{username} does not get in: {}", reply.text());
        browser
    }

    /// The name of the session's cookie here.
    pub(crate) const fn session_cookie(&self) -> &'static str {
        match self.setup {
            Setup::Secure => "__Host-portcullis",
            _ => "portcullis",
        }
    }
}

/// What came of a case.
pub(crate) type Verdict = Result<(), String>;

type Act = Box<dyn Fn(&World, Protocol) -> Verdict>;

/// One thing that strangers try.
pub(crate) struct Case {
    /// The row of the table.
    pub(crate) row: u8,
    pub(crate) name: String,
    pub(crate) over: &'static [Protocol],
    pub(crate) on: Setup,
    act: Act,
}

impl Case {
    /// Anything.
    pub(crate) fn story(row: u8, name: &str, over: &'static [Protocol], act: impl Fn(&World, Protocol) -> Verdict + 'static) -> Self {
        Self {
            row,
            name: name.to_owned(),
            over,
            on: Setup::Plain,
            act: Box::new(act),
        }
    }

    /// On another set-up.
    pub(crate) const fn on(mut self, setup: Setup) -> Self {
        self.on = setup;
        self
    }

    /// Over these protocols only.
    pub(crate) const fn over(mut self, over: &'static [Protocol]) -> Self {
        self.over = over;
        self
    }

    /// Raw HTTP/1.1 that is refused: one answer, with one of `statuses`, then the connection closes, and nothing reaches anybody.
    pub(crate) fn refused(row: u8, name: &str, bytes: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Self {
        let bytes = bytes.into();
        Self::story(row, name, Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(&bytes);
            let closed = line.until_closed(PATIENCE);
            refused(&line, statuses)?;
            ensure!(closed, "the connection stays open");
            world.nothing_arrived()
        })
    }

    /// Raw HTTP/1.1 of which exactly these targets reach the application, in this order of each connection, all readers agreeing.
    pub(crate) fn passed(row: u8, name: &str, bytes: impl Into<Vec<u8>>, targets: &'static [&'static str]) -> Self {
        let bytes = bytes.into();
        Self::story(row, name, Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(&bytes);
            for target in targets {
                let reply = line.answer().ok_or_else(|| format!("no answer to {target}"))?;
                ensure!(reply.status == 200, "{target} is answered {}", reply.status);
            }
            let mut arrived: Vec<String> = world.arrived()?.into_iter().map(|message| message.target).collect();
            arrived.sort();
            let mut wanted = targets.to_vec();
            wanted.sort_unstable();
            ensure!(arrived == wanted, "{arrived:?} reached the application");
            Ok(())
        })
    }

    /// Raw HTTP/1.1 that may be refused or passed on: all readers agree on what arrives, and `/smuggled` never does.
    pub(crate) fn either(row: u8, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::story(row, name, Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(&bytes);
            ensure!(line.answer().is_some(), "no answer at all");
            let arrived = world.arrived()?;
            let smuggled = arrived.iter().find(|message| message.target.contains("smuggled"));
            ensure!(smuggled.is_none(), "a smuggled request reached the application");
            Ok(())
        })
    }

    /// A well-formed request over every protocol, with a look at the answer and at the world.
    pub(crate) fn asks(row: u8, name: &str, asking: Asking, look: impl Fn(&World, &Reply) -> Verdict + 'static) -> Self {
        Self::story(row, name, Protocol::ALL, move |world, protocol| {
            let reply = world.ask(protocol, &asking)?;
            look(world, &reply)
        })
    }

    /// Runs it over one protocol.
    pub(crate) fn run(&self, world: &World, protocol: Protocol) -> Verdict {
        world.behind.arrived();
        world.behind.clear();
        world.elsewhere.clear();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.act)(world, protocol)));
        caught.unwrap_or_else(|_| Err("it panicked".to_owned()))
    }
}

/// What came is one answer with one of these statuses.
pub(crate) fn refused(line: &Line, statuses: &[u16]) -> Verdict {
    let answers: Vec<u16> = line.answers().iter().map(|reply| reply.status).collect();
    ensure!(
        answers.len() == 1 && statuses.contains(&answers[0]),
        "answered {answers:?}, not one of {statuses:?}: {}",
        show(&line.got)
    );
    // A library's own words would mean that it was reached by what should not have reached it.
    ensure!(
        line.answers()[0].field("x-request-id").starts_with("r-"),
        "the refusal is none of ours: {}",
        show(&line.got)
    );
    Ok(())
}

/// Runs the cases of some rows, each over each of its protocols, on one server for each set-up.
pub(crate) fn run_rows(rows: &[u8]) {
    let cases: Vec<Case> = crate::rows::cases().into_iter().filter(|case| rows.contains(&case.row)).collect();
    assert!(!cases.is_empty(), "no case for {rows:?}");
    // With a defence off, which `scripts/without-defences` tells us of, only whether anything fails is asked.
    let off = std::env::var("HOSTILE_WITHOUT").is_ok_and(|number| number != "0");
    let mut failures = Vec::new();
    let setups: std::collections::BTreeSet<Setup> = cases.iter().map(|case| case.on).collect();
    'all: for setup in setups {
        let world = World::start(setup);
        for case in cases.iter().filter(|case| case.on == setup) {
            for protocol in case.over {
                let began = std::time::Instant::now();
                let verdict = case.run(&world, *protocol);
                if began.elapsed().as_secs() > 2 {
                    eprintln!("slow: {} · {protocol:?} · {:?}", case.name, began.elapsed());
                }
                if let Err(why) = verdict {
                    failures.push(format!("row {} · {} · {protocol:?} · {why}", case.row, case.name));
                    if off {
                        break 'all;
                    }
                }
            }
        }
        failures.extend(world.server.panics().iter().map(|line| format!("{setup:?} · the server: {line}")));
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
