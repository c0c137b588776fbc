//! A running gateway on loopback, people in it, and clients that speak raw bytes.

pub(crate) mod application;
pub(crate) mod authority;
pub(crate) mod browser;
pub(crate) mod faulty;
pub(crate) mod house;
pub(crate) mod lasting;
pub(crate) mod post;
pub(crate) mod upstream;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use portcullis::accounts::{Accounts, Acting, AddOutcome, Credentials, NewUser, Presented, Realm, SignInOutcome, Visit};
use portcullis::app::{App, Live};
use portcullis::audit::decisions::{DecisionLog, Destination, LogSettings};
use portcullis::audit::metrics::Metrics;
use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey};
use portcullis::base::time::{Clock, Timestamp};
use portcullis::config::{ListenAddress, NamedFile, PolicyTexts, SourceText, Sources};
use portcullis::model::id::UserId;
use portcullis::model::password::Password;
use portcullis::model::session::SessionValue;
use portcullis::policy::RequestFacts;
use portcullis::server::house::House;
use portcullis::server::listener::{Bound, serve};
use portcullis::server::tls;
use portcullis::signin::local::Passwords;
use portcullis::store::Store;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub(crate) const GOOD: &str = "correct horse battery staple";
const PATIENCE: Duration = Duration::from_secs(10);

/// A running gateway.
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) clock: Clock,
    drain: watch::Sender<bool>,
    serving: Option<portcullis::server::listener::Serving>,
    sources: Sources,
    pub(crate) resolver: Option<Arc<tls::Resolver>>,
    _attending: tokio::task::JoinHandle<()>,
}

impl Gate {
    /// Starts one. `policy` may say `UPSTREAM` for the address of an upstream.
    pub(crate) async fn start(settings: &str, policy: &str) -> Self {
        let random = Random::System;
        let clock = Clock::fixed(Timestamp::from_secs(1_900_000_000));
        let keyring = Arc::new(Keyring::new(MasterKey::generate(&random), Vec::new()));
        let passwords = Passwords::start(1, 64, random.clone()).unwrap();
        let store = Store::in_memory(&keyring, &random, clock.now()).unwrap();
        let sources = sources(settings, policy);
        let live = parse(&sources, &clock);
        let accounts = Accounts::new(store.clone(), keyring, passwords, live.house_rules(), random.clone());
        accounts.tend_keys(clock.now()).await.unwrap();
        let metrics = Arc::new(Metrics::new());
        let log = LogSettings {
            destination: Destination::Memory,
            ..live.log_settings()
        };
        let decisions = DecisionLog::start(log, clock.clone(), random.clone(), Arc::clone(&metrics)).unwrap();
        let settings = Arc::clone(&live.settings);
        let app = Arc::new(App::new(live, accounts, decisions, metrics, clock.clone(), random));
        let house = House::new(Arc::clone(&app));
        let open = app.open.clone();
        store.subscribe(Box::new(move |changes| open.moved(changes)));
        let threads = NonZeroUsize::new(2).unwrap();
        let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let plain = Bound::open(&any, None, threads).unwrap();
        let http = plain.socket_address().unwrap();
        let mut bound = vec![plain];
        let mut https = None;
        let mut resolver = None;
        if let Some(written) = &settings.tls {
            let (config, chooser) = tls::server_config(written).unwrap();
            let secure = Bound::open(&any, Some(config), threads).unwrap();
            https = secure.socket_address();
            resolver = Some(chooser);
            bound.push(secure);
        }
        let (drain, drained) = watch::channel(false);
        let serving = serve(&house, bound, threads, &drained).unwrap();
        let attending = tokio::spawn(async move { house.attend().await });
        Self {
            app,
            http,
            https,
            clock,
            drain,
            serving: Some(serving),
            sources,
            resolver,
            _attending: attending,
        }
    }

    /// Goes by another policy.
    pub(crate) fn reload(&mut self, policy: &str) {
        self.sources.policies = policies(policy);
        let _ = self.app.replace(parse(&self.sources, &self.clock));
    }

    /// Adds a person and signs them in on a host: the cookie to send.
    pub(crate) async fn signed_in(&self, username: &str, host: &str) -> String {
        let new = NewUser {
            email: format!("{username}@lab.example").parse().unwrap(),
            username: Some(username.parse().unwrap()),
            given_name: "Ada".parse().unwrap(),
            family_name: "Byron".parse().unwrap(),
            role: None,
            team: None,
            ip_pattern: None,
            team_role: None,
            provider: None,
            password: Some(Password::new(GOOD.to_owned())),
        };
        let added = self
            .app
            .accounts
            .add_user(new, &Acting::command_line(), self.clock.now())
            .await
            .unwrap();
        assert!(matches!(added, AddOutcome::Added(_)), "{added:?}");
        self.sign_in(username, host).await
    }

    /// Signs a person in on a host: the cookie to send.
    pub(crate) async fn sign_in(&self, username: &str, host: &str) -> String {
        let live = self.app.live();
        let facts = RequestFacts::new(
            Method::POST,
            host,
            "/.portcullis/sign-in",
            Some([127, 0, 0, 1].into()),
            self.clock.now(),
        );
        let visit = Visit {
            policies: &live.policies,
            facts: &facts,
            agent: "test",
            browser: "",
        };
        let typed = Credentials {
            name: username.to_owned(),
            password: Password::new(GOOD.to_owned()),
            realm: Realm::Unsaid,
            remember: false,
        };
        let outcome = self.app.accounts.sign_in(typed, None, &visit).await.unwrap();
        let SignInOutcome::SignedIn(new) = outcome else {
            panic!("{outcome:?}")
        };
        let name = if live.settings.public_url.is_secure() {
            "__Host-portcullis"
        } else {
            "portcullis"
        };
        format!("{name}={}", new.value.to_cookie_text())
    }

    /// Whose session a cookie opens.
    pub(crate) async fn user_of(&self, cookie: &str, host: &str) -> UserId {
        let value = SessionValue::parse(cookie.split_once('=').unwrap().1).unwrap();
        match self.app.accounts.caller(&value, host, self.clock.now()).await.unwrap() {
            Presented::Live(caller) => caller.identity().user,
            Presented::Ended => panic!("{cookie} opens nothing"),
        }
    }

    /// A connection in clear.
    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.http).await.unwrap())
    }

    /// Sends bytes on a connection of their own and reads what comes until the other end closes.
    pub(crate) async fn ask(&self, text: &str) -> String {
        let mut client = self.connect().await;
        client.send(text).await;
        client.rest().await
    }

    /// Sends a request on a connection of its own and reads its answer.
    pub(crate) async fn get(&self, host: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut client = self.connect().await;
        client.send(&request("GET", host, path, fields)).await;
        client.answer().await
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.drain.send_replace(true);
        let serving = self.serving.take().unwrap();
        tokio::time::timeout(PATIENCE, serving.ended()).await.expect("it drains");
    }

    /// Tells it to end.
    pub(crate) fn drain(&self) {
        self.drain.send_replace(true);
    }
}

fn policies(policy: &str) -> PolicyTexts {
    PolicyTexts {
        files: vec![SourceText {
            name: "policies/lab.toml".into(),
            text: policy.into(),
        }],
        ..PolicyTexts::default()
    }
}

fn sources(settings: &str, policy: &str) -> Sources {
    let mut sources = Sources {
        settings: Some(SourceText {
            name: "config/portcullis.toml".into(),
            text: settings.into(),
        }),
        policies: policies(policy),
        ..Sources::default()
    };
    for wanted in portcullis::config::wanted(&sources) {
        if let Ok(bytes) = std::fs::read(&wanted.written) {
            sources.named.insert(wanted.written, NamedFile::Plain(bytes.into()));
        }
    }
    sources
}

fn parse(sources: &Sources, clock: &Clock) -> Live {
    Live::parse(sources, clock.now()).unwrap_or_else(|findings| {
        let texts = sources.texts();
        panic!(
            "{}",
            findings.iter().map(|finding| finding.render(&texts)).collect::<Vec<_>>().join("\n")
        )
    })
}

/// A request head without body.
pub(crate) fn request(method: &str, host: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// Every value of a field.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// What the upstream received under a name, as the echoing application tells it: one line each.
    pub(crate) fn received(&self, name: &str) -> Vec<&str> {
        self.body
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

/// A client that speaks raw bytes.
pub(crate) struct Client<S> {
    pub(crate) socket: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        // Whoever refuses may close before everything is written.
        let _ = self.socket.write_all(text.as_bytes()).await;
        let _ = self.socket.flush().await;
    }

    async fn more(&mut self) -> bool {
        let mut space = [0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut space))
            .await
            .expect("bytes in time");
        match read {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&space[..count]);
                true
            }
        }
    }

    /// Everything until the other end closes.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Reads until the bytes contain `what`.
    pub(crate) async fn until(&mut self, what: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            if text.contains(what) {
                return text;
            }
            assert!(self.more().await, "closed before {what:?} came: {text}");
        }
    }

    /// One head.
    pub(crate) async fn head(&mut self) -> (u16, String) {
        self.until("\r\n\r\n").await;
        let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head)
    }

    /// One answer with its body, by whichever framing it has.
    pub(crate) async fn answer(&mut self) -> Answer {
        let (status, head) = self.head().await;
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let body = if let Some(length) = answer.field("content-length") {
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length && self.more().await {}
            self.buffer.drain(..length.min(self.buffer.len())).collect()
        } else if answer.field("transfer-encoding").is_some() {
            self.chunks().await
        } else if status == 304 || status == 204 || status < 200 {
            Vec::new()
        } else {
            while self.more().await {}
            std::mem::take(&mut self.buffer)
        };
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await;
            let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
            while self.buffer.len() < size + 2 {
                assert!(self.more().await, "a chunk is cut off");
            }
            body.extend(self.buffer.drain(..size));
            if size == 0 {
                // Trailers are shown as lines of the body.
                loop {
                    let line = self.line().await;
                    if line.is_empty() {
                        return body;
                    }
                    body.extend_from_slice(format!("\n{line}").as_bytes());
                }
            }
            self.buffer.drain(..2);
        }
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
                self.buffer.drain(..2);
                return line;
            }
            assert!(self.more().await, "a line is cut off");
        }
    }
}
