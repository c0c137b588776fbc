//! Under systemd: the units are accepted, sockets are taken by name, and the manager is told how the server is doing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const SETTINGS: &str =
    "server.public_url = \"http://portal.localhost:4180\"\nlisten.http = \"127.0.0.1:0\"\nlisten.management = \"127.0.0.1:0\"\n";

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd")
}

fn installation(settings: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("config/portcullis.toml", settings), ("policies/main.toml", "")] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

struct Running(Child);

impl Running {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    // systemd looks whether the command is there, and here it is not installed yet.
    for unit in ["portcullis.service", "portcullis.socket"] {
        let text = fs::read_to_string(packaging().join(unit)).unwrap();
        let text = text.replace("/usr/local/bin/portcullis", env!("CARGO_BIN_EXE_portcullis"));
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let verify = |unit: &str| {
        let answer = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(folder.path().join(unit))
            .output()
            .expect("systemd-analyze is there: scripts/install-needs test");
        (answer.status.success(), String::from_utf8_lossy(&answer.stderr).into_owned())
    };
    for unit in ["portcullis.service", "portcullis.socket"] {
        let (accepted, said) = verify(unit);
        assert!(accepted && !said.contains(unit), "{unit}: {said}");
    }
    let broken = fs::read_to_string(folder.path().join("portcullis.service")).unwrap() + "NoSuchKey=yes\nExecStart=/nowhere/at/all\n";
    fs::write(folder.path().join("portcullis.service"), broken.replace("[Install]", "[Service]")).unwrap();
    let (accepted, said) = verify("portcullis.service");
    assert!(!accepted, "it accepts anything: {said}");
}

#[test]
fn the_sandbox_leaves_little_open() {
    let answer = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(packaging().join("portcullis.service"))
        .output()
        .expect("systemd-analyze is there: scripts/install-needs test");
    let said = String::from_utf8_lossy(&answer.stdout);
    assert!(
        answer.status.success(),
        "more than 2.0 is exposed: {}",
        said.lines().last().unwrap_or_default()
    );
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts the server the way a socket unit does: when somebody connects. Sockets are given by name and the address they listen on; their
/// ports are told. A port that somebody else took in between is tried no further: others are.
fn activated(folder: &Path, sockets: &[(&str, &str)]) -> (Running, Vec<SocketAddr>) {
    for _ in 0..20 {
        let ports: Vec<u16> = sockets.iter().map(|_| free().port()).collect();
        let mut running = activated_on(folder, sockets, &ports);
        while running.0.try_wait().unwrap().is_none() {
            if ports.iter().all(|port| listens(&running, *port)) {
                let local = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
                return (running, ports.iter().map(local).collect());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    panic!("no port is free");
}

fn activated_on(folder: &Path, sockets: &[(&str, &str)], ports: &[u16]) -> Running {
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    let mut command = Command::new("systemd-socket-activate");
    for ((_, host), port) in sockets.iter().zip(ports) {
        command.arg(format!("--listen={host}:{port}"));
    }
    let child = command
        .arg(format!("--fdname={}", names.join(":")))
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--config"])
        .arg(folder.join("config/portcullis.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("systemd-socket-activate is there: scripts/install-needs test");
    Running(child)
}

/// Whether it is this process that listens on a port. Nothing is connected to, which would start the server.
fn listens(running: &Running, port: u16) -> bool {
    const LISTENING: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}"))) && fields.get(3) == Some(&LISTENING))
        .filter_map(|fields| Some(format!("socket:[{}]", fields.get(9)?)))
        .collect();
    let open = fs::read_dir(format!("/proc/{}/fd", running.0.id()));
    open.is_ok_and(|open| {
        open.flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
    })
}

fn ask(address: SocketAddr, path: &str) -> String {
    let began = Instant::now();
    loop {
        let attempt = || -> std::io::Result<String> {
            let mut socket = TcpStream::connect(address)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            write!(socket, "GET {path} HTTP/1.1\r\nHost: portal.localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok(answer)
        };
        match attempt() {
            Ok(answer) => return answer,
            // The one who opens the socket may not have come so far.
            Err(error) if began.elapsed() < PATIENCE => {
                assert!(
                    matches!(
                        error.kind(),
                        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::ConnectionReset
                    ),
                    "{error}"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn it_answers_on_sockets_that_were_opened_for_it() {
    // What the settings say for those listeners does not count then; these would be bound otherwise.
    let folder = installation(
        &SETTINGS
            .replacen("127.0.0.1:0", "127.0.0.1:9", 1)
            .replacen("127.0.0.1:0", "127.0.0.1:11", 1),
    );
    let (_running, addresses) = activated(folder.path(), &[("http", "127.0.0.1"), ("management", "127.0.0.1")]);
    let (http, management) = (addresses[0], addresses[1]);
    // The first connection starts it, and waits for its answer meanwhile.
    let answer = ask(http, "/.portcullis/whoami");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"user\":null"), "{answer}");
    let answer = ask(management, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for _ in 0..20 {
        assert!(
            ask(http, "/.portcullis/whoami").starts_with("HTTP/1.1 200"),
            "whichever thread takes it"
        );
    }
}

#[test]
fn a_socket_that_is_nobodys_or_too_open_is_refused() {
    for (name, host, said) in [
        ("gateway", "127.0.0.1", "FileDescriptorName="),
        ("http", "0.0.0.0", "allow_plain"),
        ("https", "127.0.0.1", "tls.cert_file"),
    ] {
        let folder = installation(SETTINGS);
        let (mut running, addresses) = activated(folder.path(), &[(name, host)]);
        // The first connection starts it.
        drop(TcpStream::connect(addresses[0]).unwrap());
        let lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let told = lines.inspect(|line| seen.push(line.clone())).any(|line| line.contains(said));
        assert!(told, "{name}: {seen:?}");
        assert_eq!(running.0.wait().unwrap().code(), Some(1), "{name}");
    }
}

#[test]
fn the_manager_is_told_how_the_server_is_doing() {
    let folder = installation(SETTINGS);
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = String::new();
    let mut wait_for = |word: &str| {
        let mut space = [0; 4096];
        loop {
            if let Some(at) = heard.find(word) {
                heard = heard.split_off(at + word.len());
                return;
            }
            let read = manager
                .recv(&mut space)
                .unwrap_or_else(|error| panic!("{word} is not heard ({error}), only {heard}"));
            heard.push_str(std::str::from_utf8(&space[..read]).unwrap());
        }
    };
    let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--config"])
        .arg(folder.path().join("config/portcullis.toml"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    wait_for("READY=1\n");
    wait_for("WATCHDOG=1\n");
    running.signal("HUP");
    wait_for("RELOADING=1\n");
    wait_for("MONOTONIC_USEC=");
    wait_for("READY=1\n");
    running.signal("TERM");
    wait_for("STOPPING=1\n");
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}
