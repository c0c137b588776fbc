//! What is open ends within a second when its right does: sockets, streams, downloads, uploads and requests that wait, whatever ended the right.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::accounts::{Acting, AddOutcome, ChangeOutcome, EditOutcome, NewUser, Presented, Visit};
use portcullis::app::open::{Kind, Question};
use portcullis::model::id::UserId;
use portcullis::model::password::Password;
use portcullis::model::session::SessionValue;
use portcullis::policy::RequestFacts;
use portcullis::server::control::{Answer, Ended, Request as Command};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::support::house::{APP, House, PORTAL, sign_in};
use crate::support::lasting::{GIB, Lasting, Socket, begun, within};
use crate::support::{Client, GOOD, Gate, request};

const HOST: &str = "eln.localhost";
const POLICY: &str = r#"
[app.eln]
title = "Notebook"
host = "eln.localhost"
upstream = "UPSTREAM"
websocket = true
require = { signed_in = true }
rule = [
  { path = "/ws", require = { roles = ["editor"] } },
  { path = "/events", require = { roles = ["editor"] } },
  { path = "/numbers", require = { roles = ["editor"] } },
]

[role.editor]
title = "Editor"
scope = "global"

[ip_pattern.desk]
title = "Desk"
include = ["127.0.0.0/8"]
"#;

/// A gateway with somebody at work behind it.
struct Lab {
    gate: Gate,
    application: Lasting,
    policy: String,
    believed: CertificateDer<'static>,
    _folder: tempfile::TempDir,
    ada: UserId,
    cookie: String,
}

/// Everything that can be open at once.
struct Held {
    socket: Socket,
    events: Client<TcpStream>,
    download: Client<TcpStream>,
    over_http2: Incoming,
    upload: Client<TcpStream>,
    waiting: Client<TcpStream>,
}

impl Lab {
    async fn new(settings: &str) -> Self {
        let application = Lasting::start().await;
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned(), "sso.localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("one.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("one.key"), made.signing_key.serialize_pem()).unwrap();
        let settings = format!(
            "server.public_url = \"http://sso.localhost\"\ntls.cert_file = \"{0}/one.pem\"\ntls.key_file = \"{0}/one.key\"\nlisten.https = \"127.0.0.1:0\"\n{settings}",
            folder.path().display()
        );
        let policy = POLICY.replace("UPSTREAM", &application.url());
        let gate = Gate::start(&settings, &policy).await;
        let new = NewUser {
            email: "ada@lab.example".parse().unwrap(),
            username: Some("ada".parse().unwrap()),
            given_name: "Ada".parse().unwrap(),
            family_name: "Byron".parse().unwrap(),
            role: Some("editor".parse().unwrap()),
            team: None,
            ip_pattern: Some("desk".parse().unwrap()),
            team_role: None,
            provider: None,
            password: Some(Password::new(GOOD.to_owned())),
        };
        let by = Acting::command_line();
        // The first is the administrator who must remain.
        gate.signed_in("root", HOST).await;
        let AddOutcome::Added(added) = gate.app.accounts.add_user(new, &by, gate.clock.now()).await.unwrap() else {
            panic!("nobody was added")
        };
        let cookie = gate.sign_in("ada", HOST).await;
        Self {
            gate,
            application,
            policy,
            believed: made.cert.der().clone(),
            _folder: folder,
            ada: added.user.id,
            cookie,
        }
    }

    async fn hold(&self) -> Held {
        let http = self.gate.http;
        let socket = Socket::open(http, HOST, &self.cookie).await;
        let events = begun(http, HOST, "/events", &self.cookie, "data: 0").await;
        let download = begun(http, HOST, "/big", &self.cookie, "xxxx").await;
        let over_http2 = self.over_http2("/big").await;
        let mut upload = self.gate.connect().await;
        let length = GIB.to_string();
        let fields = [("Cookie", self.cookie.as_str()), ("Content-Length", &length)];
        upload
            .send(&(request("PUT", HOST, "/upload", &fields) + &"y".repeat(100_000)))
            .await;
        let mut waiting = self.gate.connect().await;
        waiting.send(&request("GET", HOST, "/wait", &[("Cookie", &self.cookie)])).await;
        self.application.has_open(6).await;
        self.are_known(6).await;
        Held {
            socket,
            events,
            download,
            over_http2,
            upload,
            waiting,
        }
    }

    /// Waits until so many things of hers are known to be open: what is short is never registered.
    async fn are_known(&self, count: usize) {
        while self.gate.app.open.of_user(self.ada) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn over_http2(&self, path: &str) -> Incoming {
        let mut sender = http2(self.gate.https.unwrap(), &self.believed).await;
        let ask = Request::get(format!("https://{HOST}{path}"))
            .header("cookie", &self.cookie)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = sender.send_request(ask).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        body.frame().await.unwrap().unwrap();
        body
    }

    /// All of it ends within a second of `began`.
    async fn all_end(&self, held: Held, began: Instant, reason: &str) {
        let Held {
            mut socket,
            mut events,
            mut download,
            mut over_http2,
            mut upload,
            mut waiting,
        } = held;
        let on_socket = within("the WebSocket", began, async {
            let close = socket.closed().await.expect("a close with a code");
            assert_eq!((u16::from(close.code), close.reason.as_str()), (4401, reason));
        });
        let on_events = within("the stream of events", began, async {
            let rest = events.rest().await;
            assert!(!rest.ends_with("0\r\n\r\n"), "broken off, so that nobody takes it for whole");
        });
        let on_download = within("the download", began, async {
            // It was not read for a while: what has piled up by now still comes.
            let rest = download.rest().await;
            assert!((rest.len() as u64) < GIB / 4, "{} bytes", rest.len());
        });
        let on_http2 = within("the download over HTTP/2", began, async {
            let mut bytes = 0;
            loop {
                match over_http2.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len) as u64,
                    Some(Err(_)) => break,
                    None => panic!("it ends as if it were whole"),
                }
            }
            assert!(bytes < GIB / 4, "{bytes} bytes");
        });
        let on_upload = within("the upload", began, async {
            let (status, _) = upload.head().await;
            assert!(matches!(status, 401 | 403), "{status}");
        });
        let on_waiting = within("the request that waits", began, async {
            let (status, _) = waiting.head().await;
            assert!(matches!(status, 401 | 403), "{status}");
        });
        let on_application = within("what the application has open", began, self.application.has_open(0));
        tokio::join!(on_socket, on_events, on_download, on_http2, on_upload, on_waiting, on_application);
        within("what is registered", began, self.are_known(0)).await;
    }

    async fn caller(&self, cookie: &str) -> portcullis::accounts::Caller {
        let value = SessionValue::parse(cookie.split_once('=').unwrap().1).unwrap();
        match self.gate.app.accounts.caller(&value, HOST, self.gate.clock.now()).await.unwrap() {
            Presented::Live(caller) => caller,
            Presented::Ended => panic!("{cookie} opens nothing"),
        }
    }

    fn facts(&self) -> RequestFacts {
        let here = Some([127, 0, 0, 1].into());
        RequestFacts::new(Method::POST, HOST, "/.portcullis/sign-out", here, self.gate.clock.now())
    }
}

async fn http2(address: SocketAddr, believed: &CertificateDer<'static>) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(address).await.unwrap();
    let socket = TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(HOST).unwrap(), socket)
        .await
        .unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_person_signs_out() {
    let lab = Lab::new("").await;
    let held = lab.hold().await;
    let caller = lab.caller(&lab.cookie).await;
    let (live, facts) = (lab.gate.app.live(), lab.facts());
    let began = Instant::now();
    let visit = Visit {
        policies: &live.policies,
        facts: &facts,
        agent: "test",
        browser: "",
    };
    lab.gate.app.accounts.sign_out(&caller, &visit).await.unwrap();
    lab.all_end(held, began, "signed out").await;
    let metrics = lab.gate.app.metrics.to_text();
    for (kind, count) in [("websocket", 1), ("answer", 3), ("request", 2)] {
        let line = format!("portcullis_cut_total{{kind=\"{kind}\",reason=\"session-ended\"}} {count}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_an_administrator_ends_the_session() {
    let lab = Lab::new("").await;
    let held = lab.hold().await;
    let session = lab.caller(&lab.cookie).await.session().id;
    let began = Instant::now();
    let by = Acting::command_line();
    assert!(lab.gate.app.accounts.end_session(session, &by, lab.gate.clock.now()).await.unwrap());
    lab.all_end(held, began, "signed out").await;
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_person_is_disabled() {
    let lab = Lab::new("").await;
    let held = lab.hold().await;
    let began = Instant::now();
    let by = Acting::command_line();
    let done = lab.gate.app.accounts.disable(lab.ada, &by, lab.gate.clock.now()).await.unwrap();
    assert_eq!(done, EditOutcome::Changed);
    lab.all_end(held, began, "signed out").await;
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_person_is_deleted() {
    let lab = Lab::new("").await;
    let held = lab.hold().await;
    let began = Instant::now();
    let by = Acting::command_line();
    let done = lab.gate.app.accounts.delete(lab.ada, &by, lab.gate.clock.now()).await.unwrap();
    assert_eq!(done, EditOutcome::Changed);
    lab.all_end(held, began, "signed out").await;
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_password_is_changed_elsewhere() {
    let lab = Lab::new("").await;
    let held = lab.hold().await;
    let elsewhere = lab.gate.sign_in("ada", HOST).await;
    let caller = lab.caller(&elsewhere).await;
    let (live, facts) = (lab.gate.app.live(), lab.facts());
    let visit = Visit {
        policies: &live.policies,
        facts: &facts,
        agent: "test",
        browser: "",
    };
    let new = Password::new("another walnut orbit ledger".to_owned());
    let old = Password::new(GOOD.to_owned());
    // Hashing takes its time; the right ends at some moment of this.
    let (changed, began) = tokio::join!(lab.gate.app.accounts.change_password(&caller, old, new, &visit), async {
        while lab.gate.app.open.of_user(lab.ada) == 6 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Instant::now()
    });
    assert_eq!(changed.unwrap(), ChangeOutcome::Changed);
    lab.all_end(held, began, "signed out").await;
    assert_eq!(
        lab.gate.get(HOST, "/short", &[("Cookie", &elsewhere)]).await.status,
        200,
        "the one goes on"
    );
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_sessions_time_is_over() {
    let lab = Lab::new("session.absolute = \"1h\"\nsession.idle = \"50m\"\n").await;
    let held = lab.hold().await;
    lab.gate.clock.advance(Duration::from_secs(40 * 60));
    assert_eq!(
        lab.gate.get(HOST, "/short", &[("Cookie", &lab.cookie)]).await.status,
        200,
        "it is used"
    );
    lab.are_known(6).await;
    let began = Instant::now();
    lab.gate.clock.advance(Duration::from_secs(20 * 60));
    lab.all_end(held, began, "signed out").await;
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_session_goes_idle_which_what_is_open_does_not_keep_it_from() {
    let lab = Lab::new("session.absolute = \"24h\"\nsession.idle = \"1h\"\n").await;
    let mut held = lab.hold().await;
    for _ in 0..2 {
        lab.gate.clock.advance(Duration::from_secs(29 * 60));
        held.socket.talk("still there").await;
    }
    lab.are_known(6).await;
    let began = Instant::now();
    lab.gate.clock.advance(Duration::from_secs(2 * 60));
    lab.all_end(held, began, "signed out").await;
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_person_loses_the_role() {
    let lab = Lab::new("").await;
    // The download asks for no role, and goes on.
    let mut socket = Socket::open(lab.gate.http, HOST, &lab.cookie).await;
    let mut events = begun(lab.gate.http, HOST, "/events", &lab.cookie, "data: 0").await;
    let mut over_http2 = lab.over_http2("/numbers").await;
    let mut numbers = begun(lab.gate.http, HOST, "/numbers", &lab.cookie, "n 3").await;
    let _download = begun(lab.gate.http, HOST, "/big", &lab.cookie, "xxxx").await;
    lab.are_known(5).await;
    let began = Instant::now();
    let by = Acting::command_line();
    let role = "editor".parse().unwrap();
    let done = lab.gate.app.accounts.remove_role(lab.ada, role, &by, lab.gate.clock.now()).await;
    assert_eq!(done.unwrap(), EditOutcome::Changed);
    within("the WebSocket", began, async {
        let close = socket.closed().await.expect("a close with a code");
        assert_eq!((u16::from(close.code), close.reason.as_str()), (4401, "no longer allowed"));
    })
    .await;
    within("the stream of events", began, async { drop(events.rest().await) }).await;
    within("the answer", began, async { drop(numbers.rest().await) }).await;
    within("the answer over HTTP/2", began, async {
        while let Some(Ok(_)) = over_http2.frame().await {}
    })
    .await;
    within("what the rest has open", began, lab.are_known(1)).await;
    lab.application.has_open(1).await;
    let metrics = lab.gate.app.metrics.to_text();
    let line = "portcullis_cut_total{kind=\"websocket\",reason=\"role-missing\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_reload_moves_an_ip_pattern() {
    let mut lab = Lab::new("").await;
    let held = lab.hold().await;
    let moved = lab.policy.replace("127.0.0.0/8", "192.0.2.0/24");
    let began = Instant::now();
    lab.gate.reload(&moved);
    lab.all_end(held, began, "no longer allowed").await;
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_reload_takes_the_path_away() {
    let mut lab = Lab::new("").await;
    let held = lab.hold().await;
    let (before, after) = lab.policy.split_once("rule = [").unwrap();
    let taken = format!(
        "{before}rule = [{{ path = \"/**\", access = \"deny\" }}]{}",
        after.split_once("\n]").unwrap().1
    );
    let began = Instant::now();
    lab.gate.reload(&taken);
    lab.all_end(held, began, "no longer allowed").await;
    lab.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_reload_takes_the_application_away() {
    let mut lab = Lab::new("").await;
    let held = lab.hold().await;
    let taken = lab.policy.replace("host = \"eln.localhost\"", "host = \"notes.localhost\"");
    let began = Instant::now();
    lab.gate.reload(&taken);
    let Held {
        mut socket, mut events, ..
    } = held;
    within("the WebSocket", began, async {
        assert_eq!(u16::from(socket.closed().await.unwrap().code), 4401)
    })
    .await;
    within("the stream of events", began, async { drop(events.rest().await) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_allowed_goes_on_over_reloads_without_a_lost_byte() {
    let mut lab = Lab::new("").await;
    let mut socket = Socket::open(lab.gate.http, HOST, &lab.cookie).await;
    let mut numbers = begun(lab.gate.http, HOST, "/numbers", &lab.cookie, "n 0").await;
    lab.are_known(2).await;
    for round in 0..20 {
        let other = lab.policy.replace("title = \"Desk\"", &format!("title = \"Desk {round}\""));
        lab.gate.reload(&other);
        socket.talk(&format!("round {round}")).await;
    }
    let text = numbers.until("n 200\n").await;
    let mut from = text.find("\r\n\r\n").unwrap();
    for number in 0..=200 {
        let wanted = format!("n {number}\n\n");
        let at = text[from..].find(&wanted);
        assert!(at.is_some_and(|at| at < 16), "{wanted:?} is missing behind {from}");
        from += at.unwrap() + wanted.len();
    }
    assert_eq!(lab.gate.app.open.of_user(lab.ada), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_answer_is_never_registered() {
    let lab = Lab::new("").await;
    for _ in 0..20 {
        assert_eq!(lab.gate.get(HOST, "/short", &[("Cookie", &lab.cookie)]).await.body, "done");
    }
    assert_eq!(lab.gate.app.open.registered(), 0);
    let _events = begun(lab.gate.http, HOST, "/events", &lab.cookie, "data: 0").await;
    lab.are_known(1).await;
    assert_eq!(lab.gate.app.open.registered(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_are_open_are_judged_in_no_time() {
    let lab = Lab::new("").await;
    let stay = lab.caller(&lab.cookie).await.stay;
    let open = &lab.gate.app.open;
    let facts = RequestFacts::new(Method::GET, HOST, "/events", Some([127, 0, 0, 1].into()), lab.gate.clock.now());
    let tickets: Vec<_> = (0..1000)
        .map(|_| {
            let question = Question {
                facts: facts.clone(),
                stay: Some(Arc::clone(&stay)),
                application: "eln".parse().unwrap(),
                since: open.moment(),
            };
            open.register(Kind::Answer, question, Duration::from_secs(60))
        })
        .collect();
    let began = Instant::now();
    let by = Acting::command_line();
    let role = "editor".parse().unwrap();
    let done = lab.gate.app.accounts.remove_role(lab.ada, role, &by, lab.gate.clock.now()).await;
    assert_eq!(done.unwrap(), EditOutcome::Changed);
    for ticket in &tickets {
        within("one of a thousand", began, async {
            assert_eq!(ticket.cut().await.code(), "role-missing")
        })
        .await;
    }
    drop(tickets);
    assert_eq!(open.count(Kind::Answer), 0);
}

async fn will_end(house: &House) -> Ended {
    match house.ask(Command::CheckStore { policies: None }).await {
        Answer::Checked(checked) => checked.will_end.expect("a server runs"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_changes_the_rules_is_told_before_and_after_what_ends() {
    let application = Lasting::start().await;
    let policy = |pattern: &str| {
        format!(
            "[app.eln]\ntitle = \"Notebook\"\nhost = \"app.localhost\"\nupstream = \"{}\"\nwebsocket = true\nrequire = {{ signed_in = true }}\n\
             [ip_pattern.desk]\ninclude = [\"{pattern}\"]\n",
            application.url()
        )
    };
    let house = House::with("", &policy("127.0.0.0/8")).await;
    house.add("ada").await;
    house.add_with("kim", |kim| kim.ip_pattern = Some("desk".into())).await;
    let mut ada = sign_in(&house, "ada").await;
    let mut kim = sign_in(&house, "kim").await;
    let mut held = Vec::new();
    for (browser, paths) in [(&mut ada, &["/events"][..]), (&mut kim, &["/events", "/numbers"])] {
        assert_eq!(browser.open(&format!("{APP}/short")).await.status, 200);
        let cookies: Vec<String> = browser.cookies["app.localhost"]
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        for path in paths {
            held.push(begun(house.gateway, "app.localhost", path, &cookies.join("; "), "0\n").await);
        }
    }
    let open = &house.running.desk.app.open;
    while open.count(Kind::Answer) != 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let list = ada.open(&format!("{PORTAL}/.portcullis/admin/users")).await.text();
    let user = house.running.desk.app.accounts.user_named("kim").await.unwrap().unwrap();
    assert!(list.contains(&user.id.to_string()), "{list}");
    let page = ada.open(&format!("{PORTAL}/.portcullis/admin/users/{}", user.id)).await;
    assert!(page.words().contains("Open now: 1 session, 2 streams"), "{}", page.words());
    let asks = ada.open(&format!("{PORTAL}/.portcullis/admin/users/{}/disable", user.id)).await;
    assert!(asks.words().contains("Open now: 1 session, 2 streams"), "{}", asks.words());

    assert_eq!(will_end(&house).await, Ended { sessions: 0, streams: 0 }, "nothing has changed");
    house.write_policy("main.toml", &policy("192.0.2.0/24"));
    let expected = Ended { sessions: 1, streams: 2 };
    assert_eq!(will_end(&house).await, expected, "kim, who is bound to the desk");
    assert_eq!(open.count(Kind::Answer), 3, "asking ends nothing");
    let began = Instant::now();
    let Answer::Reloaded(in_force) = house.reload().await else {
        panic!("a good policy was refused")
    };
    assert_eq!(in_force.ended, expected);
    // The reload answers once the streams are told to end; each leaves the
    // register when its own task has ended it.
    within("what kim has open", began, async {
        while open.of_user(user.id) != 0 || open.count(Kind::Answer) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(open.count(Kind::Answer), 1, "ada goes on");
    assert_eq!(will_end(&house).await, Ended { sessions: 0, streams: 0 });
    let metrics = house.management("/metrics").await.text();
    for line in ["portcullis_streams 1", "portcullis_cut_total{kind=\"answer\",reason=\"ip-user\"} 2"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}
