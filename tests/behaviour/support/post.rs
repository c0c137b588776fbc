//! A mail server of the tests' own on loopback: it keeps what it takes, and can be down, slow, busy, deaf or hostile.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// How long a letter is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the server behaves to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes everything.
    Takes,
    /// Answers each recipient with this.
    Recipient(&'static str),
    /// Hears the whole letter and answers with this.
    Letter(&'static str),
    /// Refuses the sender with this.
    Sender(&'static str),
    /// Hears the whole letter, keeps it, and never answers.
    Silent,
    /// Never says anything.
    Mute,
    /// Says farewell instead of welcome.
    Busy,
    /// Keeps the letter and closes without an answer.
    Hangs,
    /// Says more behind its answer to STARTTLS than it should.
    Injects,
}

/// Which TLS it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// None.
    Clear,
    /// Offers STARTTLS.
    StartTls,
    /// From the start.
    Tls,
}

/// A letter that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Headers and body, as they came.
    pub(crate) raw: String,
    /// Whether it came over TLS.
    pub(crate) encrypted: bool,
    /// Who said to be.
    pub(crate) user: Option<String>,
    /// Whether it was taken.
    pub(crate) taken: bool,
}

impl Arrived {
    /// The value of a header, unfolded.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.raw.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    }

    /// The names of all headers.
    pub(crate) fn headers(&self) -> Vec<String> {
        let head = self.raw.split("\r\n\r\n").next().unwrap();
        let own = head.lines().filter(|line| !line.starts_with([' ', '\t']));
        own.map(|line| line.split(':').next().unwrap().to_ascii_lowercase()).collect()
    }

    /// The text for programs that show text, decoded.
    pub(crate) fn text(&self) -> String {
        self.part("text/plain")
    }

    /// The HTML, decoded.
    pub(crate) fn html(&self) -> String {
        self.part("text/html")
    }

    fn part(&self, kind: &str) -> String {
        let from = self.raw.find(&format!("Content-Type: {kind}")).unwrap();
        let (head, rest) = self.raw[from..].split_once("\r\n\r\n").unwrap();
        let body = rest.split("\r\n--=").next().unwrap();
        if head.contains("quoted-printable") {
            quoted_printable(body)
        } else if head.contains("base64") {
            use base64::Engine;
            let packed: String = body.split_whitespace().collect();
            String::from_utf8(base64::engine::general_purpose::STANDARD.decode(packed).unwrap()).unwrap()
        } else {
            body.to_owned()
        }
    }

    /// The token in the text: `XXXX-XXXX` on a line of its own.
    pub(crate) fn token(&self) -> String {
        let text = self.text();
        let token = text
            .lines()
            .find(|line| line.starts_with("    "))
            .expect("a token is in the letter");
        token.trim().to_owned()
    }
}

fn quoted_printable(body: &str) -> String {
    let mut bytes = Vec::new();
    let joined = body.replace("=\r\n", "");
    let mut rest = joined.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'=' && more.len() >= 2 {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&more[..2]).unwrap(), 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).unwrap()
}

struct Shared {
    manner: Mutex<Manner>,
    /// Who may come in with which password; anybody if none.
    accounts: Mutex<Option<(String, String)>>,
    arrived: Mutex<Vec<Arrived>>,
    bell: Notify,
    speaks: Speaks,
    tls: TlsAcceptor,
}

/// A running mail server.
pub(crate) struct Post {
    pub(crate) address: SocketAddr,
    /// The authority of its certificate, for `localhost` and 127.0.0.1.
    pub(crate) ca_file: PathBuf,
    shared: Arc<Shared>,
    serving: Mutex<Option<tokio::task::JoinHandle<()>>>,
    _folder: tempfile::TempDir,
}

impl Post {
    pub(crate) async fn start(speaks: Speaks) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tls, ca_file) = own_certificate(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let post = Self {
            address: listener.local_addr().unwrap(),
            ca_file,
            shared: Arc::new(Shared {
                manner: Mutex::new(Manner::Takes),
                accounts: Mutex::new(None),
                arrived: Mutex::default(),
                bell: Notify::new(),
                speaks,
                tls,
            }),
            serving: Mutex::new(None),
            _folder: folder,
        };
        post.serve(listener);
        post
    }

    fn serve(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let serving = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = shared.greet(socket).await;
                });
            }
        });
        *self.serving.lock().unwrap() = Some(serving);
    }

    /// The settings of a gateway that sends its mail here in clear.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[mail]\nurl = \"smtp://{}\"\nfrom = \"Gate <gate@lab.example>\"\ntimeout = \"2s\"\n",
            self.address
        )
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// Lets in only this user with this password.
    pub(crate) fn only(&self, user: &str, password: &str) {
        *self.shared.accounts.lock().unwrap() = Some((user.to_owned(), password.to_owned()));
    }

    /// Goes away: nothing listens any more.
    pub(crate) async fn go_down(&self) {
        let serving = self.serving.lock().unwrap().take().unwrap();
        serving.abort();
        let _ = serving.await;
    }

    /// Comes back at the same address.
    pub(crate) async fn come_back(&self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    /// Everything that arrived, whether it was taken or not.
    pub(crate) fn all(&self) -> Vec<Arrived> {
        self.shared.arrived.lock().unwrap().clone()
    }

    /// What was taken.
    pub(crate) fn taken(&self) -> Vec<Arrived> {
        self.all().into_iter().filter(|letter| letter.taken).collect()
    }

    /// Waits until so many letters have arrived.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Arrived> {
        self.until(|| self.all().len() >= count).await;
        self.all()
    }

    /// Waits until so many letters were taken.
    pub(crate) async fn wait_for_taken(&self, count: usize) -> Vec<Arrived> {
        self.until(|| self.taken().len() >= count).await;
        self.taken()
    }

    async fn until(&self, done: impl Fn() -> bool) {
        let waiting = async {
            while !done() {
                let rung = self.shared.bell.notified();
                if done() {
                    break;
                }
                let _ = tokio::time::timeout(Duration::from_millis(50), rung).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("only this arrived: {:?}", self.all()));
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.lock().unwrap().take() {
            serving.abort();
        }
    }
}

impl Shared {
    fn manner(&self) -> Manner {
        self.manner.lock().unwrap().clone()
    }

    async fn greet(&self, mut socket: TcpStream) -> std::io::Result<()> {
        match self.manner() {
            Manner::Mute => return std::future::pending().await,
            Manner::Busy => return socket.write_all(b"421 come again\r\n").await,
            _ => {}
        }
        if self.speaks == Speaks::Tls {
            let mut socket = self.tls.accept(socket).await?;
            socket.write_all(b"220 mail.example ESMTP\r\n").await?;
            return self.hear(&mut socket, true).await.map(drop);
        }
        socket.write_all(b"220 mail.example ESMTP\r\n").await?;
        if self.hear(&mut socket, false).await? {
            let mut socket = self.tls.accept(socket).await?;
            self.hear(&mut socket, true).await?;
        }
        Ok(())
    }

    /// Hears a client out; true if TLS begins.
    async fn hear<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: &mut S, encrypted: bool) -> std::io::Result<bool> {
        // A buffer of one byte reads nothing of a handshake.
        let mut socket = BufReader::with_capacity(1, socket);
        let (mut from, mut to, mut user) = (String::new(), String::new(), None);
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await? == 0 {
                return Ok(false);
            }
            let word = line.split([' ', ':', '\r']).next().unwrap_or("").to_ascii_uppercase();
            let manner = self.manner();
            let answer = match (word.as_str(), manner) {
                ("EHLO", _) => {
                    let tls = if self.speaks == Speaks::StartTls && !encrypted {
                        "250-STARTTLS\r\n"
                    } else {
                        ""
                    };
                    format!("250-mail.example\r\n{tls}250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n")
                }
                ("STARTTLS", manner) => {
                    let more = if manner == Manner::Injects {
                        "250-evil\r\n250 AUTH PLAIN\r\n"
                    } else {
                        ""
                    };
                    socket.get_mut().write_all(format!("220 go on\r\n{more}").as_bytes()).await?;
                    return Ok(true);
                }
                ("AUTH", _) => match self.account(&line) {
                    Some(known) => {
                        user = Some(known);
                        "235 welcome\r\n".to_owned()
                    }
                    None => "535 5.7.8 no such user or password\r\n".to_owned(),
                },
                ("MAIL", Manner::Sender(answer)) => format!("{answer}\r\n"),
                ("MAIL", _) if user.is_none() && self.accounts.lock().unwrap().is_some() => "530 5.7.0 who are you?\r\n".to_owned(),
                ("MAIL", _) => {
                    from = address(&line);
                    "250 ok\r\n".to_owned()
                }
                ("RCPT", Manner::Recipient(answer)) => format!("{answer}\r\n"),
                ("RCPT", _) => {
                    to = address(&line);
                    "250 ok\r\n".to_owned()
                }
                ("DATA", manner) => {
                    socket.get_mut().write_all(b"354 go on\r\n").await?;
                    let raw = letter(&mut socket).await?;
                    let taken = matches!(manner, Manner::Takes | Manner::Injects);
                    self.arrived.lock().unwrap().push(Arrived {
                        from: from.clone(),
                        to: to.clone(),
                        raw,
                        encrypted,
                        user: user.clone(),
                        taken,
                    });
                    self.bell.notify_waiters();
                    match manner {
                        Manner::Letter(answer) => format!("{answer}\r\n"),
                        Manner::Silent => return std::future::pending().await,
                        Manner::Hangs => return Ok(false),
                        _ => "250 2.0.0 queued as 4711\r\n".to_owned(),
                    }
                }
                ("RSET" | "NOOP", _) => "250 ok\r\n".to_owned(),
                ("QUIT", _) => {
                    socket.get_mut().write_all(b"221 bye\r\n").await?;
                    return Ok(false);
                }
                _ => "500 what?\r\n".to_owned(),
            };
            socket.get_mut().write_all(answer.as_bytes()).await?;
        }
    }

    /// The user of an `AUTH PLAIN`, if the password is right.
    fn account(&self, line: &str) -> Option<String> {
        use base64::Engine;
        let packed = line.trim().split(' ').nth(2)?;
        let plain = base64::engine::general_purpose::STANDARD.decode(packed).ok()?;
        let mut parts = plain
            .split(|byte| *byte == 0)
            .skip(1)
            .map(|part| String::from_utf8_lossy(part).into_owned());
        let (user, password) = (parts.next()?, parts.next()?);
        let known = self.accounts.lock().unwrap().clone()?;
        (known == (user.clone(), password)).then_some(user)
    }
}

fn address(line: &str) -> String {
    let rest = line.split_once('<').map_or("", |(_, rest)| rest);
    rest.split('>').next().unwrap_or("").to_owned()
}

/// Everything up to the dot, with dots that were doubled undone.
async fn letter<S: AsyncRead + Unpin>(socket: &mut BufReader<S>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

fn own_certificate(folder: &Path) -> (TlsAcceptor, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_file)
}
