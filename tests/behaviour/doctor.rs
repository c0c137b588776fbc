//! The doctor finds each fault when it is planted, and nothing on a sound installation.

mod network;
mod on_disk;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portcullis::base::random::Random;
use portcullis::base::time::{Clock, DAY, Timestamp};
use portcullis::server::doctor::{Fault, Reach, Report, examine};
use portcullis::server::files::Files;
use portcullis::server::opening::{self, Desk, Opener};
use portcullis::server::run::Running;

use crate::support::upstream::Upstream;

const SETTINGS: &str = "server.public_url = \"http://portal.localhost:4180\"\nlisten.http = \"127.0.0.1:0\"\n\
                        listen.management = \"127.0.0.1:0\"\nlimits.connections = 500\npolicy.watch = false\n";

/// An installation with a store, a key, and an application that answers.
pub(super) struct Site {
    folder: tempfile::TempDir,
    pub(super) upstream: Upstream,
}

impl Site {
    /// A sound one.
    pub(super) async fn sound() -> Self {
        let upstream = Upstream::echo().await;
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
            upstream,
        };
        site.settings("");
        site.application(&site.upstream.url(), "");
        site.open(Opener::Command).await.store.close().await;
        site
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The sound settings and these. A line of the sound ones with the same key goes.
    pub(super) fn settings(&self, more: &str) {
        let key = |line: &str| line.split('=').next().unwrap().trim().to_owned();
        let mut lines: Vec<&str> = SETTINGS
            .lines()
            .filter(|line| !more.lines().any(|other| key(other) == key(line)))
            .collect();
        // Keys without a table come before the first table.
        lines.extend(more.lines());
        self.write("config/portcullis.toml", &lines.join("\n"));
    }

    /// The policy: one application there, with these keys besides.
    pub(super) fn application(&self, upstream: &str, more: &str) {
        self.write(
            "policies/main.toml",
            &format!("[app.echo]\nhost = \"app.localhost\"\nupstream = \"{upstream}\"\nrequire = {{ signed_in = true }}\n{more}\n"),
        );
    }

    pub(super) fn files(&self) -> Files {
        Files {
            settings: self.at("config/portcullis.toml"),
            policies: None,
            environment: BTreeMap::new(),
        }
    }

    pub(super) async fn open(&self, opener: Opener) -> Desk {
        opening::open(self.files(), opener, Clock::System, Random::System)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// A server on it, until it is stopped.
    pub(super) async fn serve(&self) -> Running {
        let desk = self.open(Opener::Server).await;
        let mut running = Running::start(desk, &mut |_| {}).await.unwrap_or_else(|error| panic!("{error}"));
        running.attend().unwrap_or_else(|error| panic!("{error}"));
        running
    }

    pub(super) async fn examine(&self) -> Report {
        self.examine_at(&Clock::System).await
    }

    pub(super) async fn examine_at(&self, clock: &Clock) -> Report {
        examine(&self.files(), clock, &Random::System, Reach::Network).await
    }

    /// What is found but for the machine the tests run on: its disk may well be full.
    pub(super) async fn faults(&self) -> Vec<Fault> {
        without_machine(self.examine().await)
    }

    pub(super) async fn codes(&self) -> Vec<String> {
        codes(&self.faults().await)
    }

    fn command(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .arg("--config")
            .arg(self.at("config/portcullis.toml"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text + &String::from_utf8(output.stderr).unwrap())
    }
}

fn without_machine(report: Report) -> Vec<Fault> {
    let of_machine = |fault: &Fault| fault.code == "disk-little" || fault.code == "time-zones";
    report.faults.into_iter().filter(|fault| !of_machine(fault)).collect()
}

pub(super) fn codes(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| fault.code.clone()).collect()
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn nothing_is_wrong_with_a_sound_installation() {
    let site = Site::sound().await;
    assert_eq!(site.faults().await, [], "no server runs");
    let running = site.serve().await;
    let report = site.examine().await;
    assert!(report.running, "{report:?}");
    assert_eq!(without_machine(report), [], "a server runs");
    running.stop().await;
}

#[tokio::test]
async fn looking_at_what_is_not_there_yet_makes_nothing() {
    let site = Site::sound().await;
    fs::remove_dir_all(site.at("data")).unwrap();
    assert_eq!(site.faults().await, []);
    assert!(!site.at("data").exists(), "neither key nor store");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_found() {
    let site = Site::sound().await;
    let now = Clock::System.now();
    for (name, at, code) in [
        ("an empty battery", Timestamp::from_secs(100), "clock-year"),
        ("before the last event of the store", now.before(DAY), "clock-stepped-back"),
    ] {
        let found = without_machine(site.examine_at(&Clock::fixed(at)).await);
        assert!(codes(&found).contains(&code.to_owned()), "{name}: {found:?}");
    }
    let late = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
    site.application(&Upstream::raw(late, true).await.url(), "");
    assert_eq!(site.codes().await, ["clock-skew"]);
}

#[tokio::test]
async fn a_server_that_goes_by_older_rules_is_found() {
    let site = Site::sound().await;
    let running = site.serve().await;
    site.application(&site.upstream.url(), "title = \"Another\"");
    assert_eq!(site.codes().await, ["policy-stale"]);
    site.application(&site.upstream.url(), "");
    assert_eq!(site.faults().await, []);
    site.settings("listen.management = [\"127.0.0.1:0\", \"127.0.0.2:0\"]");
    assert_eq!(site.codes().await, ["needs-restart"]);
    running.stop().await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_found_with_their_places() {
    let site = Site::sound().await;
    site.write("policies/broken.toml", "[app.echo\n");
    let found = site.faults().await;
    assert_eq!(codes(&found), ["files-unusable"]);
    assert!(found[0].at.starts_with("policies/broken.toml:1:"), "{found:?}");
    let running = {
        fs::remove_file(site.at("policies/broken.toml")).unwrap();
        site.serve().await
    };
    site.write("policies/broken.toml", "[app.echo\n");
    assert_eq!(
        site.codes().await,
        ["policy-stale", "files-unusable"],
        "and the server goes on by what it has"
    );
    running.stop().await;
    site.settings("listen.htp = \"127.0.0.1:0\"");
    assert_eq!(site.codes().await, ["files-unusable"]);
    fs::remove_file(site.at("config/portcullis.toml")).unwrap();
    assert_eq!(site.codes().await, ["files-unusable"]);
    site.settings("");
    fs::remove_dir_all(site.at("policies")).unwrap();
    assert_eq!(site.codes().await, ["files-unusable"]);
}

#[tokio::test]
async fn too_few_descriptors_are_found_in_the_process_that_serves() {
    let site = Site::sound().await;
    site.settings("limits.connections = 10_000_000");
    assert_eq!(site.codes().await, ["descriptors"]);
    let running = site.serve().await;
    assert_eq!(site.codes().await, ["descriptors"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_read_json_and_the_exit_status() {
    let site = Site::sound().await;
    let run = |arguments: &'static [&'static str]| {
        let (status, text) = site.command(&[&["doctor", "--accept", "disk-little", "--accept", "time-zones"], arguments].concat());
        (status, text)
    };
    let (status, text) = run(&[]);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("no server is running") && text.contains("0 errors, 0 warnings"),
        "{text}"
    );
    site.settings("listen.http = \"0.0.0.0:0\"\nlisten.allow_plain = true");
    assert_eq!(run(&[]).0, 0, "a warning");
    assert_eq!(run(&["--strict"]).0, 1);
    assert_eq!(run(&["--strict", "--accept", "listener-in-clear:listen.http"]).0, 0);
    fs::write(site.at("data/master.key"), "short\n").unwrap();
    let (status, text) = run(&["--json"]);
    assert_eq!(status, 1, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&report["sound"], &report["errors"], &report["warnings"]),
        (&false.into(), &1.into(), &1.into())
    );
    let fault = report["faults"]
        .as_array()
        .unwrap()
        .iter()
        .find(|fault| fault["code"] == "key-malformed")
        .unwrap();
    assert_eq!((&fault["area"], &fault["severity"]), (&"key".into(), &"error".into()));
    let (_, text) = run(&[]);
    assert!(
        text.contains("error key-malformed  ") && text.contains("-> it should be one line"),
        "{text}"
    );
}
