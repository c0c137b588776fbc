//! A whole gateway in this process: real sockets, a store in memory, a clock that is moved by hand.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey};
use portcullis::base::time::{Clock, Timestamp};
use portcullis::server::control::{self, Answer, NewPerson, Request};
use portcullis::server::files::Files;
use portcullis::server::opening::{self, Opener};
use portcullis::server::run::Running;
use portcullis::store::Store;

use super::application::Echo;
use super::browser::{Browser, Reply};

/// Where people sign in.
pub(crate) const PORTAL: &str = "http://portal.localhost";
/// The application behind.
pub(crate) const APP: &str = "http://app.localhost";

/// The password of everybody that [`House::add`] adds.
pub(crate) const PASSWORD: &str = "walnut orbit ledger 7";

/// One application at [`APP`], as [`House::new`] says.
pub(crate) const POLICY: &str = r#"
[app.echo]
title = "Echo"
host = "app.localhost"
upstream = "UPSTREAM"
require = { signed_in = true }
rule = [
  { path = "/public/**", access = "public" },
  { path = "/admin/**", require = { roles = ["admin"] } },
]

[ip_pattern.desk]
include = ["127.0.0.0/8"]
exclude = ["127.0.0.9"]
"#;

/// A running gateway and the application behind it.
pub(crate) struct House {
    pub(crate) gateway: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) echo: Echo,
    pub(crate) running: Running,
    folder: tempfile::TempDir,
}

impl House {
    /// With one application at [`APP`]: open to everybody signed in, `/public/**` to anybody, `/admin/**` to admins.
    pub(crate) async fn new() -> Self {
        Self::with("", POLICY).await
    }

    /// With these settings besides, and this policy; `UPSTREAM` in it stands for the address of the echoing application.
    pub(crate) async fn with(settings: &str, policy: &str) -> Self {
        let echo = Echo::start().await;
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "server.public_url = \"{PORTAL}\"\nlisten.http = \"127.0.0.1:0\"\nlisten.management = \"127.0.0.1:0\"\npolicy.watch = false\n{settings}\n"
        );
        write(folder.path(), "config/portcullis.toml", &settings);
        write(folder.path(), "policies/main.toml", &policy.replace("UPSTREAM", &echo.url()));
        let clock = Clock::fixed(Timestamp::parse_rfc3339("2026-03-02T10:00:00Z").unwrap());
        let files = Files {
            settings: folder.path().join("config/portcullis.toml"),
            policies: None,
            environment: BTreeMap::new(),
        };
        let keyring = Arc::new(Keyring::new(MasterKey::from_bytes([7; 32]), Vec::new()));
        let store = Store::in_memory(&keyring, &Random::System, clock.now()).unwrap();
        let sources = files.read().unwrap();
        let desk = opening::open_on(files, sources, store, keyring, Opener::Server, clock.clone(), Random::System)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let running = Running::start(desk, &mut |_| {}).await.unwrap_or_else(|error| panic!("{error}"));
        Self {
            gateway: running.http[0],
            clock,
            echo,
            running,
            folder,
        }
    }

    /// Writes a policy file; [`House::reload`] puts it in force.
    pub(crate) fn write_policy(&self, name: &str, text: &str) {
        write(
            self.folder.path(),
            &format!("policies/{name}"),
            &text.replace("UPSTREAM", &self.echo.url()),
        );
    }

    /// Writes more settings below those it was started with; [`House::reload`] puts them in force.
    pub(crate) fn write_settings(&self, more: &str) {
        let path = self.folder.path().join("config/portcullis.toml");
        let settings = fs::read_to_string(path).unwrap();
        write(self.folder.path(), "config/portcullis.toml", &format!("{settings}{more}\n"));
    }

    /// Puts other words into the settings; [`House::reload`] puts them in force.
    pub(crate) fn rewrite_settings(&self, before: &str, after: &str) {
        let path = self.folder.path().join("config/portcullis.toml");
        let settings = fs::read_to_string(&path).unwrap();
        assert!(settings.contains(before));
        fs::write(path, settings.replace(before, after)).unwrap();
    }

    /// As the command line asks a running server.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        control::execute(&self.running.desk, request).await
    }

    /// Reads the files again.
    pub(crate) async fn reload(&self) -> Answer {
        self.ask(Request::Reload).await
    }

    /// Adds a person with a password, a registered one.
    pub(crate) async fn add(&self, username: &str) -> Answer {
        self.add_with(username, |_| {}).await
    }

    /// The same, with more than a name.
    pub(crate) async fn add_with(&self, username: &str, more: impl FnOnce(&mut NewPerson)) -> Answer {
        let mut person = NewPerson {
            email: format!("{username}@example.org"),
            username: Some(username.to_owned()),
            given_name: Some(username.to_owned()),
            family_name: None,
            role: None,
            team: None,
            ip_pattern: None,
            idp: None,
            password: Some(PASSWORD.to_owned()),
        };
        more(&mut person);
        self.ask(Request::UserAdd(person)).await
    }

    /// A browser that nobody has signed in with.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.gateway)
    }

    /// What the management listener answers.
    pub(crate) async fn management(&self, path: &str) -> Reply {
        Browser::script(self.running.management[0])
            .get(&format!("http://localhost{path}"))
            .await
    }

    /// Moves the clock on.
    pub(crate) fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A browser in which somebody that [`House::add`] added has signed in.
pub(crate) async fn sign_in(house: &House, username: &str) -> Browser {
    let mut browser = house.browser();
    let reply = browser
        .fill(
            &format!("{PORTAL}/.portcullis/sign-in"),
            &[("username", username), ("password", PASSWORD)],
        )
        .await;
    assert_eq!(reply.status, 200, "{username} cannot sign in: {}", reply.words());
    assert!(
        !reply.url.path().contains("sign-in"),
        "{username} cannot sign in: {}",
        reply.words()
    );
    browser
}
