//! The built command, with a server and without: the same answers, exit status 0, 1 or 2.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const SETTINGS: &str =
    "server.public_url = \"http://portal.localhost:4180\"\nlisten.http = \"127.0.0.1:0\"\nlisten.management = \"127.0.0.1:0\"\n";
const POLICY: &str = "[app.echo]\nhost = \"app.localhost\"\nupstream = \"http://127.0.0.1:9\"\nrequire = { roles = [\"admin\"] }\n\
                      [ip_pattern.desk]\ninclude = [\"10.0.0.0/8\"]\n";

pub(crate) struct Installation(tempfile::TempDir);

impl Installation {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("config/portcullis.toml", SETTINGS), ("policies/main.toml", POLICY)] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path().join("config/portcullis.toml"));
        command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        told(&self.command(arguments).output().unwrap())
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (status, out, err) = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(status, 0, "{arguments:?}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?} printed no JSON ({error}): {out}"))
    }

    pub(crate) fn add(&self, username: &str, password: &str) -> String {
        let email = format!("{username}@example.org");
        let mut adding = self
            .command(&["user", "add", "--email", &email, "--username", username, "--password-stdin"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        adding.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
        let (status, out, err) = told(&adding.wait_with_output().unwrap());
        assert_eq!(status, 0, "{err}");
        out
    }

    /// Runs the server until dropped; returns the lines up to `ready`.
    pub(crate) fn serve(&self) -> (Server, Vec<String>) {
        let mut child = self.command(&["serve"]).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line == "ready") {
                break;
            }
        }
        assert_eq!(
            lines.last().map(String::as_str),
            Some("ready"),
            "the server did not start: {lines:?}"
        );
        (Server(child), lines)
    }
}

pub(crate) struct Server(Child);

impl Server {
    fn terminate(mut self) -> Option<i32> {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn people_are_kept_with_a_server_and_without() {
    let house = Installation::new();
    house.add("ada", "walnut orbit ledger 7");
    let (server, lines) = house.serve();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("listening http 127.0.0.1:") && !line.ends_with(":0")),
        "{lines:?}"
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("first-admin")),
        "somebody is there already: {lines:?}"
    );
    let (status, token, _) = house.run(&[
        "user",
        "add",
        "--email",
        "kim@example.org",
        "--username",
        "kim",
        "--ip-pattern",
        "desk",
    ]);
    assert_eq!((status, token.trim().len()), (0, 9), "a token and nothing else: {token:?}");
    assert_eq!(house.run(&["user", "token", "kim"]).1, token, "the live token is shown again");
    let kim = house.json(&["user", "show", "kim@example.org"]);
    assert_eq!(
        (&kim["status"], &kim["memberships"][0]["ip_pattern"]),
        (&"pending".into(), &"desk".into())
    );
    assert_eq!(house.json(&["health"])["ready"], true);
    assert_eq!(server.terminate(), Some(0), "TERM stops it in good order");
    assert_eq!(house.run(&["health"]).0, 1, "nobody is there to answer");
    let people = house.json(&["user", "list"]);
    assert_eq!(people.as_array().unwrap().len(), 2, "nothing acknowledged is lost");
    assert!(house.run(&["user", "list", "--csv"]).1.contains("kim@example.org,kim"));
}

#[test]
fn what_a_change_ends_is_told_by_check_and_by_reload() {
    let house = Installation::new();
    house.add("ada", "walnut orbit ledger 7");
    let alone = house.json(&["check", "--store"]);
    assert!(alone["will_end"].is_null(), "where no server runs nothing is open: {alone}");
    let (server, _) = house.serve();
    let nothing = serde_json::json!({ "sessions": 0, "streams": 0 });
    assert_eq!(house.json(&["check", "--store"])["will_end"], nothing);
    let (status, out, _) = house.run(&["check", "--store"]);
    assert!(status == 0 && out.contains("will end 0 sessions, 0 streams"), "{out}");
    let (status, out, err) = house.run(&["reload"]);
    assert!(status == 0 && out.contains("in force: generation"), "{out}{err}");
    assert!(out.contains("ended 0 sessions, 0 streams"), "{out}");
    assert_eq!(house.json(&["reload"])["ended"], nothing);
    server.terminate();
}

#[test]
fn the_last_admin_stays() {
    let house = Installation::new();
    house.add("ada", "walnut orbit ledger 7");
    house.add("bo", "harbour violin maple 4");
    for arguments in [
        &["user", "role", "ada", "user"][..],
        &["user", "disable", "ada"],
        &["user", "delete", "ada", "--yes"],
    ] {
        let (status, _, err) = house.run(arguments);
        assert_eq!(status, 1, "{arguments:?}");
        assert!(err.contains("at least one must remain"), "{err}");
    }
    assert_eq!(house.run(&["user", "role", "bo", "admin"]).0, 0);
    assert_eq!(house.run(&["user", "role", "ada", "user"]).0, 0, "there is another now");
    assert_eq!(house.run(&["user", "delete", "ada"]).0, 2, "deleting wants --yes");
}

#[test]
fn rules_are_explained_before_anybody_asks() {
    let house = Installation::new();
    house.add("ada", "walnut orbit ledger 7");
    house.add("bo", "harbour violin maple 4");
    let (status, text, _) = house.run(&["explain", "--user", "bo", "--from", "10.0.0.1", "http://app.localhost/"]);
    assert_eq!(status, 0);
    assert!(
        text.starts_with("DENY role-missing") && text.contains("policies/main.toml:1"),
        "{text}"
    );
    assert_eq!(
        house.json(&["explain", "--anonymous", "http://app.localhost/"])["decision"],
        "sign-in"
    );
    let can = house.json(&["who-can", "http://app.localhost/"]);
    assert_eq!(
        can.as_array()
            .unwrap()
            .iter()
            .map(|one| one["username"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["ada"]
    );
    let open = house.json(&["can", "bo"]);
    assert_eq!((&open[0]["application"], &open[0]["outcome"]), (&"echo".into(), &"deny".into()));
}

#[test]
fn a_backup_restores_to_an_equal_store() {
    let house = Installation::new();
    house.add("ada", "walnut orbit ledger 7");
    let before = house.json(&["user", "list"]);
    assert_eq!(house.run(&["backup", "b.dump"]).0, 0);
    assert_eq!(house.run(&["backup", "b.dump"]).0, 1, "a backup never overwrites");
    house.add("bo", "harbour violin maple 4");
    let (server, _) = house.serve();
    assert_eq!(house.run(&["restore", "--yes", "b.dump"]).0, 1, "a server is running");
    drop(server);
    assert_eq!(house.run(&["restore", "b.dump"]).0, 1, "nobody said yes");
    let (status, _, err) = house.run(&["restore", "--yes", "b.dump"]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(house.json(&["user", "list"]), before);
    assert_eq!(house.json(&["audit", "verify"])["sound"], true);
    assert!(house.path().join("data/portcullis.redb.before-restore").exists());
}

#[test]
fn a_broken_policy_at_start_goes_by_the_last_good_one() {
    let house = Installation::new();
    house.add("ada", "walnut orbit ledger 7");
    fs::write(house.path().join("policies/main.toml"), "[app.echo\n").unwrap();
    let (status, _, err) = house.run(&["user", "list"]);
    assert_eq!(status, 1, "no server has run yet, so there is no last good policy");
    assert!(err.contains("policies/main.toml:1"), "{err}");
    fs::write(house.path().join("policies/main.toml"), POLICY).unwrap();
    drop(house.serve());
    fs::write(house.path().join("policies/main.toml"), "[app.echo\n").unwrap();
    let (_server, _) = house.serve();
    let health = house.json(&["health"]);
    assert_eq!(health["ready"], true);
    assert!(health["stale"].as_str().unwrap().contains("main.toml"), "{health}");
    let (status, _, err) = house.run(&["reload"]);
    assert_eq!(status, 1);
    assert!(err.contains("policies/main.toml:1:"), "{err}");
    fs::write(house.path().join("policies/main.toml"), POLICY).unwrap();
    assert_eq!(house.run(&["reload"]).0, 0);
    assert_eq!(house.json(&["health"])["stale"], Value::Null);
}

#[test]
fn a_second_server_leaves_the_first_alone() {
    let house = Installation::new();
    let (_first, lines) = house.serve();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("first-admin URL http://portal.localhost:4180/")),
        "{lines:?}"
    );
    let (status, _, err) = house.run(&["serve"]);
    assert_eq!(status, 1);
    assert!(err.contains("in use"), "{err}");
    assert_eq!(house.run(&["health"]).0, 0);
}

#[test]
fn findings_come_in_three_forms() {
    let house = Installation::new();
    assert_eq!(house.run(&["check"]).0, 0);
    assert_eq!(house.run(&["check", "--strict"]).0, 1, "an application without tests is a warning");
    fs::write(
        house.path().join("policies/more.toml"),
        "[app.echo.permission.x]\nimplies = [\"y\"]\n",
    )
    .unwrap();
    let (status, text, _) = house.run(&["check"]);
    assert_eq!(status, 1);
    assert!(text.contains("--> policies/more.toml:2:"), "{text}");
    let sarif: Value = serde_json::from_str(&house.run(&["check", "--format", "sarif"]).1).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "policies/more.toml",
        "{result}"
    );
    assert!(house.run(&["check", "--json"]).1.contains("\"errors\": 1"));
}

#[test]
fn every_problem_of_every_file_is_told_at_once_with_its_place_a_caret_and_what_was_meant() {
    let house = Installation::new();
    house.add("ada", "walnut orbit ledger 7");
    let rules = POLICY.replace("upstream", "upstrem").replace("\"admin\"", "\"admni\"");
    for (name, text) in [
        ("config/portcullis.toml", format!("{SETTINGS}listen.htps = \"127.0.0.1:0\"\n")),
        ("policies/main.toml", rules),
    ] {
        fs::write(house.path().join(name), text).unwrap();
    }
    let always = [
        ("a setting", "--> config/portcullis.toml:4:8\n"),
        ("which was meant", "^^^^ did you mean `https`?"),
        ("a key of a rule", "--> policies/main.toml:3:1\n"),
        ("and which was meant", "^^^^^^^ did you mean `upstream`?"),
    ];
    let whole = [
        ("a name", "--> policies/main.toml:4:22\n"),
        ("and whose it is", "^^^^^^^ did you mean \"admin\"?"),
    ];
    let torn = [("what is no TOML", "--> policies/torn.toml:1:10\n")];
    for (wrong, besides) in [("keys and names", &whole[..]), ("a torn file", &torn)] {
        if wrong == "a torn file" {
            fs::write(house.path().join("policies/torn.toml"), "[app.echo\n").unwrap();
        }
        for command in ["check", "serve"] {
            let (status, out, err) = house.run(&[command]);
            assert_eq!(status, 1, "{command}: {out}{err}");
            let told = out + &err;
            for (name, said) in always.iter().chain(besides) {
                assert!(told.contains(said), "{command}, {wrong}: {name}: {told}");
            }
        }
    }
}

#[test]
fn what_is_no_command_is_usage() {
    let house = Installation::new();
    for arguments in [
        &["fly"][..],
        &["user", "role", "ada"],
        &["explain", "http://app.localhost/"],
        &["session", "end"],
    ] {
        assert_eq!(house.run(arguments).0, 2, "{arguments:?}");
    }
    assert!(
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["user", "add", "--help"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let (status, man, _) = told(&Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("man").output().unwrap());
    assert_eq!((status, man.contains(".TH")), (0, true));
}
