//! Certificates are had from an authority and renewed while requests flow; what it refuses never costs the one in use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey};
use portcullis::base::time::{Clock, DAY, HOUR};
use portcullis::server::control::{self, Request};
use portcullis::server::files::Files;
use portcullis::server::opening::{self, Opener};
use portcullis::server::run::Running;
use portcullis::store::Store;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::application::Echo;
use crate::support::authority::{Parrot, Pebble, Relay, Weary};
use crate::support::browser::Browser;
use crate::support::{Answer, Client, request};

const HOST: &str = "eln.example";
const PORTAL: &str = "sso.example";
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with an authority, on a folder that outlives it.
struct Place {
    folder: tempfile::TempDir,
    echo: Echo,
    clock: Clock,
}

impl Place {
    async fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            echo: Echo::start().await,
            // What the authority gives begins now.
            clock: Clock::fixed(Clock::System.now()),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn write_policy(&self, host: &str) {
        let application = host.replace('.', "-");
        let text = format!(
            "[app.{application}]\nhost = \"{host}\"\nupstream = \"{}\"\nrequire = {{ signed_in = true }}\nrule = [{{ path = \"/public/**\", access = \"public\" }}]\n",
            self.echo.url()
        );
        self.write(&format!("policies/{application}.toml"), &text);
    }

    /// What is kept of the authority: names in order, modes and contents.
    fn kept(&self) -> Vec<(String, u32, Vec<u8>)> {
        let files = std::fs::read_dir(self.path().join("data/acme")).unwrap().map(Result::unwrap);
        let mut kept: Vec<_> = files
            .map(|file| {
                let mode = file.metadata().unwrap().permissions().mode();
                (file.file_name().into_string().unwrap(), mode, std::fs::read(file.path()).unwrap())
            })
            .collect();
        kept.sort();
        kept
    }

    /// A certificate of [`HOST`] that is good for years, and is to be renewed now.
    fn write_due_certificate(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let now = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(Clock::System.now().as_secs()).unwrap());
        params.not_before = (now - 3000 * DAY).into();
        params.not_after = (now + 900 * DAY).into();
        let made = params.self_signed(&key).unwrap().pem();
        // It is its own signer.
        self.write(&format!("data/acme/{HOST}.pem"), &format!("{}{made}{made}", key.serialize_pem()));
    }

    /// Starts on what is in the folder. The store is new each time; certificates are not kept there.
    async fn start(&self, directory: &str, more: &str) -> Gateway {
        let settings = format!(
            "server.public_url = \"https://{PORTAL}\"\npolicy.watch = false\nlisten = {{ http = \"127.0.0.1:0\", https = \"127.0.0.1:0\", management = \"127.0.0.1:0\" }}\n\
             [tls.acme]\nagree_to_terms = true\ncontact = [\"ops@lab.example\"]\ndirectory = \"{directory}\"\nca_file = \"ca.pem\"\n{more}\n"
        );
        self.write("config/portcullis.toml", &settings);
        self.write_policy(HOST);
        let files = Files {
            settings: self.path().join("config/portcullis.toml"),
            policies: None,
            environment: BTreeMap::new(),
        };
        let keyring = Arc::new(Keyring::new(MasterKey::from_bytes([7; 32]), Vec::new()));
        let store = Store::in_memory(&keyring, &Random::System, self.clock.now()).unwrap();
        let sources = files.read().unwrap();
        let desk = opening::open_on(files, sources, store, keyring, Opener::Server, self.clock.clone(), Random::System)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let running = Running::start(desk, &mut |_| {}).await.unwrap_or_else(|error| panic!("{error}"));
        Gateway {
            running,
            acme: self.path().join("data/acme"),
        }
    }
}

struct Gateway {
    running: Running,
    acme: std::path::PathBuf,
}

impl Gateway {
    fn https(&self) -> SocketAddr {
        self.running.https[0]
    }

    /// Reads the files again, which also makes it look at what is due.
    async fn reload(&self) {
        let answer = control::execute(&self.running.desk, Request::Reload).await;
        assert!(!format!("{answer:?}").contains("Refused"), "{answer:?}");
    }

    /// Who signed the certificate of a host, once there is one.
    fn signer(&self, host: &str) -> Option<CertificateDer<'static>> {
        let text = std::fs::read(self.acme.join(format!("{host}.pem"))).ok()?;
        CertificateDer::pem_slice_iter(&text).nth(1)?.ok()
    }

    async fn connect(&self, host: &str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.signer(host).or_else(|| self.signer(HOST)));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let socket = TcpStream::connect(self.https()).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    /// The certificate a host shows, if the handshake comes about.
    async fn shown(&self, host: &str) -> Option<CertificateDer<'static>> {
        let socket = self.connect(host, &[b"http/1.1"]).await.ok()?;
        Some(socket.get_ref().1.peer_certificates()?[0].clone().into_owned())
    }

    /// Waits for a certificate of a host other than `before`.
    async fn given(&self, host: &str, before: Option<&CertificateDer<'static>>) -> CertificateDer<'static> {
        for _ in 0..PATIENCE.as_millis() / 50 {
            match self.shown(host).await {
                Some(shown) if Some(&shown) != before => return shown,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("no new certificate for {host}: {:?}", self.missing().await);
    }

    /// What `/readyz` says stands in the way.
    async fn missing(&self) -> Vec<String> {
        let reply = Browser::script(self.running.management[0]).get("http://localhost/readyz").await;
        assert_eq!(reply.status, 200, "a certificate that is missing makes nothing unready");
        let told = reply.json();
        let lines = told["certificates"].as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    /// Waits until it says of a host what contains `what`.
    async fn says(&self, host: &str, what: &str) -> String {
        for _ in 0..PATIENCE.as_millis() / 50 {
            let lines = self.missing().await;
            if let Some(line) = lines.iter().find(|line| line.starts_with(host) && line.contains(what)) {
                return line.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{host}: {what:?} is not said: {:?}", self.missing().await);
    }

    async fn in_clear(&self, host: &str, path: &str) -> Answer {
        let mut client = Client::new(TcpStream::connect(self.running.http[0]).await.unwrap());
        client.send(&request("GET", host, path, &[])).await;
        client.answer().await
    }

    async fn stop(self) {
        self.running.stop().await;
    }
}

/// Asks over one connection that stays, and over new ones, until told to end; counts what was answered. Anything else is a panic.
async fn ask_all_the_time(gateway: &Gateway, over: &AtomicBool, answered: &AtomicUsize) {
    let mut kept = Client::new(gateway.connect(HOST, &[b"http/1.1"]).await.unwrap());
    while !over.load(Ordering::SeqCst) {
        let mut fresh = Client::new(
            gateway
                .connect(HOST, &[b"http/1.1"])
                .await
                .expect("a handshake while the certificate is replaced"),
        );
        for client in [&mut kept, &mut fresh] {
            client.send(&request("GET", HOST, "/public/x", &[])).await;
            let answer = client.answer().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn a_certificate_is_had_at_the_first_start_and_renewed_while_requests_flow() {
    let place = Place::new().await;
    let relay = Relay::start(false).await;
    let pebble = Pebble::start(place.path(), relay.address).await;
    let gateway = place.start(&pebble.directory, "").await;
    assert!(gateway.shown(HOST).await.is_none(), "the authority has not been able to look yet");
    relay.open(gateway.https());
    let first = gateway.given(HOST, None).await;
    gateway.given(PORTAL, None).await;
    for (name, protocols) in [
        ("alone", &[&b"acme-tls/1"[..]][..]),
        ("with an unknown one", &[&b"acme-tls/1"[..], &b"x"[..]][..]),
    ] {
        let served = match gateway.connect(HOST, protocols).await {
            Err(_) => String::new(),
            Ok(socket) => {
                let mut client = Client::new(socket);
                client.send(&request("GET", HOST, "/public/x", &[])).await;
                client.rest().await
            }
        };
        assert_eq!(served, "", "the authorities' protocol serves nothing: {name}");
    }

    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let renewing = async {
        place.clock.advance(61 * DAY);
        gateway.reload().await;
        let second = gateway.given(HOST, Some(&first)).await;
        let before = answered.load(Ordering::SeqCst);
        while answered.load(Ordering::SeqCst) < before + 20 {
            tokio::task::yield_now().await;
        }
        over.store(true, Ordering::SeqCst);
        second
    };
    let (second, ()) = tokio::join!(renewing, ask_all_the_time(&gateway, &over, &answered));
    assert_ne!(first, second);
    assert!(gateway.missing().await.is_empty());
    gateway.stop().await;
    let kept = place.kept();
    let names: Vec<&str> = kept.iter().map(|(name, ..)| name.as_str()).collect();
    assert!(
        matches!(names[..], [account, "eln.example.pem", "sso.example.pem", "tried.json"] if account.starts_with("account-")),
        "{names:?}"
    );
    for (name, mode, _) in &kept {
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_restart_midway_begins_anew_with_the_same_account() {
    let place = Place::new().await;
    let mut relay = Relay::start(true).await;
    let pebble = Pebble::start(place.path(), relay.address).await;
    let gateway = place.start(&pebble.directory, "names = [\"eln.example\"]").await;
    relay.open(gateway.https());
    let (_, held) = relay.look().await;
    gateway.stop().await;
    let account = place.kept().remove(0);

    let gateway = place.start(&pebble.directory, "names = [\"eln.example\"]").await;
    relay.open(gateway.https());
    let _ = held.send(());
    tokio::select! {
        _ = gateway.given(HOST, None) => {}
        () = relay.hold_nothing_back() => {}
    }
    assert_eq!(place.kept().remove(0), account, "the account with its key");
    gateway.stop().await;
}

#[tokio::test]
async fn an_authority_that_answers_wrongly_costs_no_certificate_in_use() {
    let place = Place::new().await;
    place.write_due_certificate();
    let parrot = Parrot::start(place.path()).await;
    let gateway = place.start(&parrot.directory, "names = [\"eln.example\"]").await;
    let first = gateway.given(HOST, None).await;
    for (name, answer, told) in [
        ("nothing", "", "does not answer as HTTP"),
        ("no HTTP", "220 mail.example ESMTP\r\n", "does not answer as HTTP"),
        ("half", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "cannot be read"),
        (
            "a page",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "answers what is no ACME",
        ),
        (
            "nothing there",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "is out of order: it answers 404",
        ),
        (
            "out of order",
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n",
            "is out of order: it answers 503",
        ),
        (
            "other than a directory",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "answers what is no ACME",
        ),
    ] {
        parrot.say(answer);
        // A week is the longest that an authority is left alone.
        place.clock.advance(8 * DAY);
        gateway.reload().await;
        let line = gateway.says(HOST, told).await;
        assert!(line.contains("not renewed"), "{name}: {line}");
        assert_eq!(gateway.shown(HOST).await.as_ref(), Some(&first), "{name}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn in_clear_only_the_token_of_an_order_in_progress_is_answered() {
    let place = Place::new().await;
    let mut relay = Relay::start(true).await;
    let pebble = Pebble::start(place.path(), relay.address).await;
    let gateway = place
        .start(&pebble.directory, "challenge = \"http-01\"\nnames = [\"eln.example\"]")
        .await;
    relay.open(gateway.running.http[0]);
    let (asked, go) = relay.look().await;
    let asked = String::from_utf8(asked).unwrap();
    let path = asked.split(' ').nth(1).unwrap().to_owned();
    let token = path
        .strip_prefix("/.well-known/acme-challenge/")
        .expect("the authority asks for a token");
    let answer = gateway.in_clear(HOST, &path).await;
    assert_eq!(
        (answer.status, answer.body.starts_with(&format!("{token}."))),
        (200, true),
        "{answer:?}"
    );
    for (name, host, path) in [
        ("another token", HOST, "/.well-known/acme-challenge/x".to_owned()),
        ("the host of the portal", PORTAL, path.clone()),
        ("another well-known path", HOST, "/.well-known/security.txt".to_owned()),
        ("below the token", HOST, format!("{path}/x")),
    ] {
        assert_eq!(gateway.in_clear(host, &path).await.status, 308, "{name} is the application's");
    }
    go.send(()).unwrap();
    // It looks several times at once.
    tokio::select! {
        _ = gateway.given(HOST, None) => {}
        () = relay.hold_nothing_back() => {}
    }
    assert_eq!(gateway.in_clear(HOST, &path).await.status, 308, "the order is over");
    gateway.stop().await;
}

#[tokio::test]
async fn an_authority_that_is_gone_costs_neither_a_restart_nor_the_certificate_in_use() {
    let place = Place::new().await;
    let relay = Relay::start(false).await;
    let pebble = Pebble::start(place.path(), relay.address).await;
    let directory = pebble.directory.clone();
    let gateway = place.start(&directory, "names = [\"eln.example\"]").await;
    relay.open(gateway.https());
    let first = gateway.given(HOST, None).await;
    gateway.stop().await;
    drop(pebble);

    let gateway = place.start(&directory, "names = [\"eln.example\"]").await;
    assert_eq!(gateway.given(HOST, None).await, first, "the one that was kept");
    assert!(gateway.missing().await.is_empty(), "nothing was due");
    place.clock.advance(61 * DAY);
    gateway.reload().await;
    let line = gateway.says(HOST, "not renewed").await;
    assert!(line.contains("127.0.0.1") && line.contains("cannot be reached"), "{line}");
    assert_eq!(gateway.shown(HOST).await, Some(first));
    gateway.stop().await;
}

#[tokio::test]
async fn a_host_that_is_refused_keeps_no_other_waiting_and_is_told() {
    let place = Place::new().await;
    let relay = Relay::start(false).await;
    let pebble = Pebble::start(place.path(), relay.address).await;
    let gateway = place
        .start(&pebble.directory, "names = [\"blocked.example\", \"eln.example\"]")
        .await;
    relay.open(gateway.https());
    gateway.given(HOST, None).await;
    let line = gateway.says("blocked.example", "no certificate: the authority refuses").await;
    assert!(line.contains("blocked.example") && line.contains("next order"), "{line}");
    assert!(
        gateway.shown("blocked.example").await.is_none(),
        "no other's certificate is shown for it"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_authority_does_not_find_is_told_with_where_it_looked() {
    let place = Place::new().await;
    let relay = Relay::start(false).await;
    let pebble = Pebble::start(place.path(), relay.address).await;
    let gateway = place.start(&pebble.directory, "names = [\"eln.example\"]").await;
    // The handshake of an authority never gets along with the port in clear.
    relay.open(gateway.running.http[0]);
    let line = gateway.says(HOST, "looked by tls-alpn-01 and did not find us").await;
    assert!(line.contains("port 443"), "{line}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_authority_that_wants_to_be_left_alone_is() {
    let place = Place::new().await;
    let weary = Weary::start(place.path()).await;
    let gateway = place.start(&weary.directory, "names = [\"eln.example\"]").await;
    let line = gateway.says(HOST, "too many orders").await;
    assert!(line.contains("the authority refuses"), "{line}");
    for _ in 0..4 {
        place.clock.advance(25 * Duration::from_secs(60));
        gateway.reload().await;
    }
    gateway.stop().await;
    assert_eq!(weary.orders.load(Ordering::SeqCst), 1, "for two hours");

    let gateway = place.start(&weary.directory, "names = [\"eln.example\"]").await;
    gateway.says(HOST, "too many orders").await;
    assert_eq!(weary.orders.load(Ordering::SeqCst), 1, "a restart forgets nothing");
    place.clock.advance(HOUR);
    gateway.reload().await;
    while weary.orders.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_host_that_is_added_gets_its_certificate_and_one_with_a_file_needs_none() {
    let place = Place::new().await;
    let relay = Relay::start(false).await;
    let pebble = Pebble::start(place.path(), relay.address).await;
    let own = rcgen::generate_simple_self_signed(vec![PORTAL.to_owned()]).unwrap();
    place.write("own.pem", &own.cert.pem());
    place.write("own.key", &own.signing_key.serialize_pem());
    let gateway = place
        .start(&pebble.directory, "[tls]\ncert_file = \"own.pem\"\nkey_file = \"own.key\"")
        .await;
    relay.open(gateway.https());
    gateway.given(HOST, None).await;
    place.write_policy("lims.example");
    gateway.reload().await;
    gateway.given("lims.example", None).await;
    assert!(gateway.signer(PORTAL).is_none(), "nobody was asked for what there is a file for");
    gateway.stop().await;
}
