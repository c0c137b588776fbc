//! Authorities that give certificates: Pebble, which nobody here wrote, one that only ever wants to be left alone, and one that says what it is told.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

/// Pebble with a name server of our own: every host is on this machine. It really looks for challenges, at the address of a [`Relay`].
pub(crate) struct Pebble {
    child: Child,
    pub(crate) directory: String,
    naming: tokio::task::JoinHandle<()>,
}

impl Pebble {
    /// Starts one that gives certificates for 90 days and refuses `blocked.example`. Puts `ca.pem` into the folder, which clients must believe.
    pub(crate) async fn start(folder: &Path, looks_at: SocketAddr) -> Self {
        let (certificate, key) = own_certificate(folder);
        let names = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let name_server = names.local_addr().unwrap();
        let naming = tokio::spawn(name_everything(names));
        loop {
            // Pebble cannot say which port the kernel gave it, so it is given one that was free just now.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let config = serde_json::json!({ "pebble": {
                "listenAddress": address.to_string(),
                "managementListenAddress": "",
                "certificate": certificate,
                "privateKey": key,
                "httpPort": looks_at.port(),
                "tlsPort": looks_at.port(),
                "ocspResponderURL": "",
                "externalAccountBindingRequired": false,
                "domainBlocklist": ["blocked.example"],
                "certificateValidityPeriod": 90 * 24 * 60 * 60,
            }});
            let file = folder.join("pebble.json");
            std::fs::write(&file, config.to_string()).unwrap();
            let mut child = Command::new("pebble")
                .args(["-strict", "-config", file.to_str().unwrap(), "-dnsserver", &name_server.to_string()])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "0")
                .env("PEBBLE_AUTHZREUSE", "0")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("Pebble is missing: `make test` installs it (on Debian: apt-get install pebble)");
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).await.is_ok() {
                    return Self {
                        child,
                        directory: format!("https://{address}/dir"),
                        naming,
                    };
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.naming.abort();
    }
}

/// The certificate an authority itself shows, on loopback: paths of chain and key.
fn own_certificate(folder: &Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(at("ca.pem"), made.cert.pem()).unwrap();
    std::fs::write(at("ca.key"), made.signing_key.serialize_pem()).unwrap();
    (at("ca.pem"), at("ca.key"))
}

/// Answers each question for an address with this machine's.
async fn name_everything(socket: UdpSocket) {
    let mut question = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        let Some(name) = question[12..length].iter().position(|byte| *byte == 0) else {
            continue;
        };
        let end = 12 + name + 5;
        let is_v4 = question[end - 4..end - 2] == [0, 1];
        let mut answer = question[..end].to_vec();
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
        if is_v4 {
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
        }
        let _ = socket.send_to(&answer, from).await;
    }
}

/// Stands where the authority looks and passes its connections on to the gateway, once it knows where that is and is told to.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    to: watch::Sender<Option<SocketAddr>>,
    /// What each connection began with, and the word it waits for before it goes on.
    looked: mpsc::Receiver<(Vec<u8>, oneshot::Sender<()>)>,
}

impl Relay {
    /// Holds everything back until [`Relay::open`]; with `shown`, each connection until the test has seen it.
    pub(crate) async fn start(shown: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let to = watch::Sender::new(None);
        let (show, looked) = mpsc::channel(1);
        let place = to.subscribe();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let show = shown.then(|| show.clone());
                tokio::spawn(pass_on(socket, place.clone(), show));
            }
        });
        Self { address, to, looked }
    }

    pub(crate) fn open(&self, to: SocketAddr) {
        self.to.send_replace(Some(to));
    }

    /// What the authority sent first, and the word that lets it go on.
    pub(crate) async fn look(&mut self) -> (Vec<u8>, oneshot::Sender<()>) {
        tokio::time::timeout(super::PATIENCE, self.looked.recv())
            .await
            .expect("it looks")
            .unwrap()
    }

    /// Lets everything go on, for ever.
    pub(crate) async fn hold_nothing_back(&mut self) {
        while let Some((_, go)) = self.looked.recv().await {
            let _ = go.send(());
        }
    }
}

async fn pass_on(
    mut socket: TcpStream,
    mut place: watch::Receiver<Option<SocketAddr>>,
    show: Option<mpsc::Sender<(Vec<u8>, oneshot::Sender<()>)>>,
) {
    let Ok(to) = place.wait_for(Option::is_some).await.map(|to| *to) else {
        return;
    };
    let mut space = [0; 4096];
    let Ok(count) = socket.read(&mut space).await else { return };
    if let Some(show) = show {
        let (go, gone) = oneshot::channel();
        let _ = show.send((space[..count].to_vec(), go)).await;
        let _ = gone.await;
    }
    // It may have been stopped while the authority was held back.
    let Ok(mut gateway) = TcpStream::connect(to.unwrap()).await else {
        return;
    };
    gateway.write_all(&space[..count]).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut socket, &mut gateway).await;
}

/// An authority that makes accounts, and says of every order that it is one too many, for two hours.
pub(crate) struct Weary {
    pub(crate) directory: String,
    /// Orders it was asked for.
    pub(crate) orders: Arc<AtomicUsize>,
}

impl Weary {
    pub(crate) async fn start(folder: &Path) -> Self {
        let orders = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&orders);
        let base = serve(folder, move |at, path| match path {
            "/dir" => ok(&format!(
                "{{\"newNonce\":\"{at}/nonce\",\"newAccount\":\"{at}/account\",\"newOrder\":\"{at}/order\"}}"
            )),
            "/nonce" => "HTTP/1.1 200 OK\r\nReplay-Nonce: bm9uY2U\r\nConnection: close\r\n\r\n".to_owned(),
            "/account" => ok("{\"status\":\"valid\"}").replacen("OK", &format!("OK\r\nLocation: {at}/account/1"), 1),
            "/order" => {
                counted.fetch_add(1, Ordering::SeqCst);
                let said = "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many orders\"}";
                ok(said).replacen("200 OK", "429 Too Many Requests\r\nRetry-After: 7200", 1)
            }
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        })
        .await;
        Self {
            directory: format!("{base}/dir"),
            orders,
        }
    }
}

/// Something with a certificate that is believed, and with the same answer to whatever it is asked.
pub(crate) struct Parrot {
    pub(crate) directory: String,
    says: Arc<Mutex<String>>,
}

impl Parrot {
    pub(crate) async fn start(folder: &Path) -> Self {
        let says = Arc::<Mutex<String>>::default();
        let said = Arc::clone(&says);
        let base = serve(folder, move |_, _| said.lock().unwrap().clone()).await;
        Self {
            directory: format!("{base}/dir"),
            says,
        }
    }

    /// What it says from now on, down to the last byte. It closes after each.
    pub(crate) fn say(&self, answer: &str) {
        answer.clone_into(&mut self.says.lock().unwrap());
    }
}

/// Answers requests over TLS, one per connection, from its own address and the path; gives its address. Puts `ca.pem` into the folder.
async fn serve(folder: &Path, answer: impl Fn(&str, &str) -> String + Send + 'static) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let at = base.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let asked = whole(&mut socket).await;
            let said = answer(&at, asked.split(' ').nth(1).unwrap_or_default());
            let _ = socket.write_all(said.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    base
}

/// A request with its body: closing before all was read would take the answer with it.
async fn whole(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut asked = Vec::new();
    let mut space = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&asked).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match socket.read(&mut space).await {
            Ok(count) if count > 0 => asked.extend_from_slice(&space[..count]),
            _ => return text,
        }
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nReplay-Nonce: bm9uY2U\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
