//! `portcullis demo`: a gateway to look at, on a folder that is thrown away.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as BlockingListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::runtime;

use crate::base::encoding::hex;
use crate::base::random::Random;
use crate::base::time::Clock;
use crate::server::control::{Answer, NewPerson, Request, chain, execute};
use crate::server::files::Files;
use crate::server::opening::{self, CannotOpen, Desk, Opener};
use crate::server::run::{CannotRun, Running};

use super::Outcome;
use super::arguments::{DemoOptions, LogFormat};
use super::output::{Output, complain, print};
use super::sample;
use super::serve::log_to_stderr;

/// The port of the gateway, if it is free.
const PORT: u16 = 4180;
/// Where the shipped policies expect the application.
const SHIPPED_UPSTREAM: &str = "http://127.0.0.1:8080";

/// The shipped policies, so that the command shows them wherever it is run.
const SHIPPED: &[(&str, &str)] = &[
    ("roles.toml", include_str!("../../policies/roles.toml")),
    ("eln.toml", include_str!("../../policies/eln.toml")),
    ("customers/acme.toml", include_str!("../../policies/customers/acme.toml")),
    ("tests.toml", include_str!("../../policies/tests.toml")),
];

/// What the demonstration adds to them.
const ADDED: &str = r#"# Added by `portcullis demo`. Change anything in this folder: a second later it is in force, or the console says why not.

# Everybody here comes from this machine, whose loopback network has many addresses; one of them is outside.
[ip_pattern.this-desk]
title = "This desk"
include = ["127.0.0.0/8"]
exclude = ["127.0.0.9"]

# In the console an administrator would give people the application; here the policy does.
[[grant]]
when = { users = ["ada@example.org", "kim@example.org", "grace@example.org"] }
apps = ["eln"]
"#;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum CannotShow {
    #[error("the demonstration's folder {path} cannot be written")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no free port")]
    NoPort(#[source] io::Error),
    #[error(transparent)]
    CannotOpen(#[from] CannotOpen),
    #[error(transparent)]
    CannotRun(#[from] CannotRun),
    #[error("the threads cannot be started")]
    Threads(#[source] io::Error),
    #[error("nobody could be added: {0}")]
    Nobody(String),
}

pub(super) fn run(options: &DemoOptions) -> Outcome {
    if let Err(error) = log_to_stderr(LogFormat::Text, "warn") {
        complain(&error);
        return Outcome::Wrong;
    }
    let folder = std::env::temp_dir().join(format!("portcullis-demo-{}", hex(&Random::System.bytes::<6>())));
    let outcome = show(options, &folder);
    let _ = fs::remove_dir_all(&folder);
    match outcome {
        Ok(()) => Outcome::Sound,
        Err(error) => {
            complain(&chain(&error));
            Outcome::Wrong
        }
    }
}

fn show(options: &DemoOptions, folder: &Path) -> Result<(), CannotShow> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CannotShow::Threads)?;
    runtime.block_on(async {
        let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(CannotShow::NoPort)?;
        let upstream = application.local_addr().map_err(CannotShow::NoPort)?;
        tokio::spawn(sample::serve(application));
        let port = free_port(options.port).map_err(CannotShow::NoPort)?;
        let written = write_files(folder, port, upstream, options.policies.as_deref());
        written.map_err(|source| CannotShow::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let files = Files::at(&folder.join("config/portcullis.toml"));
        let desk = opening::open(files, Opener::Server, Clock::System, Random::System).await?;
        let guests = Guests::invite(&desk).await?;
        let mut running = Running::start(desk, &mut |line| print(line)).await?;
        running.attend()?;
        print(&guests.guide(port, folder));
        print("ready");
        running.until_told_to_stop().await;
        print("\nstopped; everything of it is thrown away");
        Ok(())
    })
}

/// The port that was asked for; else the usual one, or a free one if that is taken.
fn free_port(asked: Option<u16>) -> io::Result<u16> {
    let free = |port| {
        BlockingListener::bind((Ipv4Addr::LOCALHOST, port))
            .and_then(|bound| bound.local_addr())
            .map(|bound| bound.port())
    };
    match asked {
        Some(port) => free(port),
        None => free(PORT).or_else(|_| free(0)),
    }
}

fn write_files(folder: &Path, port: u16, upstream: SocketAddr, policies: Option<&Path>) -> io::Result<()> {
    // Passwords and tokens of the demonstration are in it.
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    let settings = format!(
        "server.public_url = \"http://portal.localhost:{port}\"\nlisten.http = \"127.0.0.1:{port}\"\nlisten.management = \"127.0.0.1:0\"\n\
         decision_log.file = \"data/decisions.jsonl\"\nsite.name = \"portcullis demo\"\n"
    );
    write(&folder.join("config/portcullis.toml"), &settings)?;
    match policies {
        Some(from) => copy_policies(from, &folder.join("policies"), upstream)?,
        None => {
            for (name, text) in SHIPPED {
                write(&folder.join("policies").join(name), &aimed(text, upstream))?;
            }
        }
    }
    write(&folder.join("policies/demo.toml"), ADDED)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    fs::write(path, text)
}

fn copy_policies(from: &Path, to: &Path, upstream: SocketAddr) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_policies(&source, &target, upstream)?;
        } else if source.extension().is_some_and(|ending| ending == "toml") {
            write(&target, &aimed(&fs::read_to_string(&source)?, upstream))?;
        }
    }
    Ok(())
}

/// The sample application stands in for the one the policies name.
fn aimed(text: &str, upstream: SocketAddr) -> String {
    text.replace(SHIPPED_UPSTREAM, &format!("http://{upstream}"))
}

/// The people of the demonstration, and what they need to get in.
struct Guests {
    password: String,
    token: String,
}

impl Guests {
    async fn invite(desk: &Desk) -> Result<Self, CannotShow> {
        let password = format!("demo-{}", hex(&Random::System.bytes::<6>()));
        let mut token = String::new();
        for (username, given_name, family_name, password, ip_pattern) in [
            ("ada", "Ada", "Lovelace", Some(&password), None),
            ("kim", "Kim", "Park", Some(&password), Some("this-desk")),
            ("grace", "Grace", "Hopper", None, None),
        ] {
            let person = NewPerson {
                email: format!("{username}@example.org"),
                username: Some(username.to_owned()),
                given_name: Some(given_name.to_owned()),
                family_name: Some(family_name.to_owned()),
                role: None,
                team: None,
                ip_pattern: ip_pattern.map(str::to_owned),
                idp: None,
                password: password.cloned(),
            };
            match execute(desk, Request::UserAdd(person)).await {
                Answer::Added(added) => token = added.token.map(|token| token.token).unwrap_or_default(),
                Answer::Refused(refused) => return Err(CannotShow::Nobody(refused.message)),
                other => return Err(CannotShow::Nobody(format!("{other:?}"))),
            }
        }
        Ok(Self { password, token })
    }

    fn guide(&self, port: u16, folder: &Path) -> String {
        let output = Output::of(false);
        let heading = |words: &str| output.strong(words);
        let (portal, application) = (
            format!("http://portal.localhost:{port}"),
            format!("http://notebook.localhost:{port}"),
        );
        let (password, token) = (&self.password, &self.token);
        let settings = folder.join("config/portcullis.toml");
        // As it was started: who runs it from a checkout has no `portcullis` on the path.
        let program = std::env::args().next().unwrap_or_else(|| "portcullis".to_owned());
        format!(
            "\n{}\n\
             \x20 {application}/            the sample application: you are sent to sign in, and come back\n\
             \x20   as ada, an admin           {password}\n\
             \x20   as kim, a member           {password}\n\
             \x20 {portal}/.portcullis/account/new\n\
             \x20   register as grace          grace@example.org   {token}\n\
             \x20 {portal}/.portcullis/admin/users\n\
             \x20   as ada: tokens to copy, roles to change with a click\n\
             \n{}\n\
             \x20 curl {application}/health                  a public path: the application answers\n\
             \x20 curl -i {application}/                     nobody: 401 and where to sign in\n\
             \x20 curl -i {application}/health/..%2fusers    a path with two readings: 400\n\
             \x20 curl -H 'X-Portcullis-User: ada' {application}/health    a forged header does not arrive\n\
             \n{}\n\
             \x20 kim may come from this desk only, which is 127.0.0.0/8 without 127.0.0.9. Signed in as kim,\n\
             \x20 copy the cookie `portcullis` of notebook.localhost from the browser, then\n\
             \x20 curl -H 'Cookie: portcullis=…' {application}/                          200\n\
             \x20 curl --interface 127.0.0.9 -H 'Cookie: portcullis=…' {application}/    403 ip-user\n\
             \n{}\n\
             \x20 {program} explain --config {config} --user kim --from 127.0.0.9 {application}/\n\
             \x20 {program} who-can --config {config} --from 127.0.0.1 {application}/\n\
             \x20 {folder}/policies    edit them: a second later they are in force, or the log says why not\n\
             \nCtrl-C stops it and throws everything away.\n",
            heading("Open in a browser"),
            heading("Try with curl"),
            heading("Shut out by address"),
            heading("Ask why"),
            folder = folder.display(),
            config = settings.display(),
        )
    }
}
