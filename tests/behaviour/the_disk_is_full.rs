//! A disk without room: whoever is signed in goes on, whoever would sign in is told, nothing is lost, and it heals when there is room again.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portcullis::server::control::{self, Answer, NewPerson, Request};

use crate::support::application::Echo;
use crate::support::browser::{Browser, Reply};

const PORTAL: &str = "http://portal.localhost";
const APP: &str = "http://app.localhost";
const PASSWORD: &str = "walnut orbit ledger 7";

/// What makes room scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scarce {
    /// A file system of its own in memory, filled by a file. Takes root.
    Disk,
    /// The system lets the server's files grow no further.
    Limit,
}

/// A server whose store and decision log lie where room can be taken away.
struct Server {
    folder: tempfile::TempDir,
    scarce: Scarce,
    process: Option<Child>,
    gateway: SocketAddr,
}

impl Server {
    /// `None` where this machine does not let us make room scarce in this way.
    fn start(scarce: Scarce, echo: &Echo) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("small");
        fs::create_dir_all(&small).unwrap();
        if scarce == Scarce::Disk {
            let mounting = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
                .arg(&small)
                .output();
            if !mounting.is_ok_and(|done| done.status.success()) {
                return None;
            }
        }
        let settings = format!(
            "server.public_url = \"{PORTAL}\"\nlisten.http = \"127.0.0.1:0\"\nlisten.management = \"127.0.0.1:0\"\npolicy.watch = false\n\
             store.path = \"small/portcullis.redb\"\ndecision_log.file = \"small/decisions.jsonl\"\n"
        );
        let policy = format!(
            "[app.echo]\nhost = \"app.localhost\"\nupstream = \"{}\"\nrequire = {{ signed_in = true }}\n",
            echo.url()
        );
        for (name, text) in [("config/portcullis.toml", settings), ("policies/main.toml", policy)] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut server = Self {
            folder,
            scarce,
            process: None,
            gateway: ([127, 0, 0, 1], 0).into(),
        };
        server.run();
        Some(server)
    }

    fn run(&mut self) {
        // A limit on files is told by a signal first, and only whoever ignores that sees the error.
        let process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--config"])
            .arg(self.folder.path().join("config/portcullis.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = self.process.insert(process).stdout.take().unwrap();
        for line in BufReader::new(told).lines() {
            let line = line.unwrap();
            if let Some(address) = line.strip_prefix("listening http ") {
                self.gateway = address.parse().unwrap();
            }
            if line == "ready" {
                return;
            }
        }
        panic!("the server does not start");
    }

    fn small(&self) -> PathBuf {
        self.folder.path().join("small")
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn ask(&self, request: &Request) -> Answer {
        control::ask(&self.small().join("portcullis.sock"), request).unwrap()
    }

    fn add(&self, username: &str, password: Option<&str>) -> Answer {
        self.ask(&Request::UserAdd(NewPerson {
            email: format!("{username}@example.org"),
            username: Some(username.to_owned()),
            given_name: None,
            family_name: None,
            role: None,
            team: None,
            ip_pattern: None,
            idp: None,
            password: password.map(str::to_owned),
        }))
    }

    fn limit_files(&self, most: &str) {
        let process = self.process.as_ref().unwrap().id().to_string();
        let done = Command::new("prlimit")
            .args(["--pid", &process, &format!("--fsize={most}:unlimited")])
            .status()
            .unwrap();
        assert!(done.success(), "prlimit");
    }

    /// Leaves no room at all.
    fn fill(&self) {
        match self.scarce {
            Scarce::Disk => {
                let mut filler = fs::File::create(self.small().join("filler")).unwrap();
                for size in [64 * 1024, 4096, 1] {
                    while filler.write_all(&vec![b'x'; size]).is_ok() {}
                }
            }
            Scarce::Limit => {
                let size = fs::metadata(self.small().join("portcullis.redb")).unwrap().len();
                self.limit_files(&size.to_string());
            }
        }
    }

    fn make_room(&self) {
        match self.scarce {
            Scarce::Disk => fs::remove_file(self.small().join("filler")).unwrap(),
            Scarce::Limit => self.limit_files("unlimited"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if self.scarce == Scarce::Disk {
            let _ = Command::new("umount").arg(self.small()).status();
        }
    }
}

async fn sign_in(server: &Server, username: &str) -> (Browser, Reply) {
    let mut browser = Browser::new(server.gateway);
    let reply = browser
        .fill(&format!("{APP}/notes"), &[("username", username), ("password", PASSWORD)])
        .await;
    (browser, reply)
}

fn whole_lines(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines {
        let read: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(read.is_ok(), "a torn line in the decision log: {line}");
    }
    lines.len()
}

async fn goes_through(scarce: Scarce) {
    let echo = Echo::start().await;
    let Some(mut server) = Server::start(scarce, &echo) else {
        // Where nobody may mount, the other kind of scarcity is what is tested.
        return;
    };
    assert!(matches!(server.add("ada", Some(PASSWORD)), Answer::Added(_)));
    assert!(matches!(server.add("bo", Some(PASSWORD)), Answer::Added(_)));
    let (mut ada, reply) = sign_in(&server, "ada").await;
    assert_eq!(reply.status, 200, "{}", reply.words());

    server.fill();
    // There is some room within the file itself.
    let mut kept = vec!["ada".to_owned(), "bo".to_owned()];
    let refused = loop {
        let name = format!("person{}", kept.len());
        match server.add(&name, None) {
            Answer::Added(_) => kept.push(name),
            Answer::Refused(refused) => break refused,
            other => panic!("{other:?}"),
        }
        assert!(kept.len() < 20_000, "the disk never fills");
    };
    let told = refused.message.to_lowercase();
    assert!(told.contains("full") || told.contains("room") || told.contains("space"), "{told}");

    for turn in 0..20 {
        let reply = ada.get(&format!("{APP}/notes/{turn}")).await;
        assert_eq!(reply.status, 200, "{scarce:?}: whoever is in goes on: {}", reply.words());
    }
    let mut stranger = Browser::new(server.gateway);
    let page = stranger.open(&format!("{APP}/notes")).await;
    assert_eq!(page.status, 200, "{}", page.words());
    for _ in 0..2 {
        let reply = stranger.fill_in(&page, &[("username", "bo"), ("password", PASSWORD)]).await;
        assert_eq!(reply.status, 503, "{scarce:?}: {}", reply.words());
        assert!(reply.header("retry-after").is_some(), "{scarce:?}: says when to try again");
        assert!(
            reply.words().contains("This does not work at the moment"),
            "{scarce:?}: {}",
            reply.words()
        );
    }

    server.make_room();
    let (mut bo, reply) = sign_in(&server, "bo").await;
    assert_eq!(reply.status, 200, "{scarce:?}: it heals: {}", reply.words());
    assert_eq!(bo.get(&format!("{APP}/notes")).await.status, 200);
    assert_eq!(ada.get(&format!("{APP}/notes")).await.status, 200);
    assert!(matches!(server.add("late", None), Answer::Added(_)));
    kept.push("late".to_owned());

    // Not even a crash takes back what was acknowledged, and nothing that was refused has happened.
    server.kill();
    let lines = whole_lines(&server.small().join("decisions.jsonl"));
    server.run();
    let mut there = Vec::new();
    let mut after = None;
    loop {
        let Answer::People { people, next } = server.ask(&Request::UserList { search: None, after }) else {
            panic!("no people")
        };
        there.extend(people.into_iter().map(|person| person.username));
        after = next;
        if after.is_none() {
            break;
        }
    }
    there.sort();
    kept.sort();
    assert_eq!(there, kept, "{scarce:?}");
    assert!(lines > 20, "{scarce:?}: {lines} decisions are in the log");
    let Answer::Verified(trail) = server.ask(&Request::AuditVerify) else {
        panic!("not verified")
    };
    assert!(trail.sound, "{scarce:?}: {:?}", trail.broken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_stops_nobody_who_is_signed_in_and_heals() {
    goes_through(Scarce::Disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_may_not_grow_stops_nobody_who_is_signed_in_and_heals() {
    goes_through(Scarce::Limit).await;
}
