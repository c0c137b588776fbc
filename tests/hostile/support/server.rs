//! The server as it is shipped: a process with a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::case::{APP, OTHER, PORTAL};

/// How long a start may take on a machine that has much to do.
const START: Duration = Duration::from_secs(60);

/// The program: the one that was built with these tests, or another that is to be tried.
fn program() -> PathBuf {
    std::env::var_os("PORTCULLIS_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_portcullis").into(), PathBuf::from)
}

/// A running server; it is killed when this is dropped.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) management: SocketAddr,
    /// What clients must believe.
    pub(crate) certificate: CertificateDer<'static>,
    /// What `serve` printed before it was ready.
    pub(crate) said: Vec<String>,
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// Starts one with these settings beside the usual ones, and these policies.
    pub(crate) fn start(public_url: &str, settings: &str, policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for inside in ["config", "policies", "data", "outbox"] {
            fs::create_dir(folder.path().join(inside)).unwrap();
        }
        let names = [APP, PORTAL, OTHER].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(folder.path().join("config/tls.pem"), made.cert.pem()).unwrap();
        fs::write(folder.path().join("config/tls.key"), made.signing_key.serialize_pem()).unwrap();
        let text = format!(
            "server.public_url = \"{public_url}\"\nserver.threads = 2\n\
             listen.http = \"127.0.0.1:0\"\nlisten.https = \"127.0.0.1:0\"\nlisten.management = \"127.0.0.1:0\"\n\
             tls.cert_file = \"config/tls.pem\"\ntls.key_file = \"config/tls.key\"\npolicy.watch = false\n\
             decision_log.file = \"data/decisions.jsonl\"\n{settings}\n"
        )
        .replace("OUTBOX", &folder.path().join("outbox").display().to_string());
        fs::write(folder.path().join("config/portcullis.toml"), text).unwrap();
        fs::write(folder.path().join("policies/main.toml"), policy).unwrap();
        let (child, said) = launch(folder.path());
        Self {
            http: address(&said, "http"),
            https: address(&said, "https"),
            management: address(&said, "management"),
            certificate: made.cert.der().clone(),
            folder,
            child,
            said,
        }
    }

    /// Ends it as a crash would, and starts it again on the same folder, at other addresses.
    pub(crate) fn kill_and_start(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        (self.child, self.said) = launch(self.folder.path());
        self.http = address(&self.said, "http");
        self.https = address(&self.said, "https");
        self.management = address(&self.said, "management");
    }

    /// Runs a command of the program beside the server, with something on its standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = command(&self.folder.path().join("config/portcullis.toml"), arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The same, which must succeed; what it printed.
    pub(crate) fn told(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What its log says of a panic: nothing, if all is well.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = self.file("log");
        let panics = log.lines().filter(|line| line.contains("panic"));
        panics.map(str::to_owned).collect()
    }

    /// The letters it has sent, where it is set up to write them to a folder.
    pub(crate) fn letters(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path().join("outbox")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let whole = paths.filter(|path| path.extension().is_some_and(|ending| ending == "eml"));
        whole.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// What a file of its folder says now: `log`, `data/decisions.jsonl`.
    pub(crate) fn file(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap_or_default()).into_owned()
    }
}

/// Starts the program and waits until it is ready; the process and what it printed.
fn launch(folder: &Path) -> (Child, Vec<String>) {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut child = command(&folder.join("config/portcullis.toml"), &["serve"])
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let (say, heard) = sync_channel(16);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = say.try_send(line);
        }
    });
    let mut said: Vec<String> = Vec::new();
    while said.last().is_none_or(|line| line != "ready") {
        match heard.recv_timeout(START) {
            Ok(line) => said.push(line),
            Err(_) => {
                let _ = child.kill();
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("the server does not start: {said:?}\n{log}");
            }
        }
    }
    (child, said)
}

/// The address of a listener, as printed.
fn address(said: &[String], name: &str) -> SocketAddr {
    let wanted = format!("listening {name} ");
    let line = said.iter().find_map(|line| line.strip_prefix(&wanted));
    line.unwrap_or_else(|| panic!("no {name} in {said:?}")).parse().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env_clear()
        // The second is for `scripts/without-defences`, whose patched copies of the program read it.
        .envs(
            ["PATH", "HOSTILE_WITHOUT"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
    command
}
