//! With several servers, one that breaks costs little: it is left out, tried again from time to time, and taken back when it is well.

use std::time::Duration;

use crate::support::faulty::{Act, Faulty, Then};
use crate::support::{Client, Gate, request};

const SETTINGS: &str = "server.public_url = \"http://sso.localhost\"\n";
const HOST: &str = "eln.localhost";

fn policy(upstreams: &[Faulty], more: &str) -> String {
    let urls: Vec<String> = upstreams.iter().map(|upstream| format!("\"{}\"", upstream.url())).collect();
    format!(
        "[app.eln]\ntitle = \"Notebook\"\nhost = \"{HOST}\"\nupstream = [{}]\nrequire = {{ signed_in = true }}\n{more}\n",
        urls.join(", ")
    )
}

async fn three() -> Vec<Faulty> {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Faulty::start(|_| Act::Answer).await);
    }
    servers
}

struct Asking<'a> {
    client: Client<tokio::net::TcpStream>,
    gate: &'a Gate,
    cookie: String,
}

impl<'a> Asking<'a> {
    async fn at(gate: &'a Gate) -> Self {
        Self {
            client: gate.connect().await,
            gate,
            cookie: gate.signed_in("ada", HOST).await,
        }
    }

    /// How many of so many requests were not answered 200.
    async fn failed(&mut self, count: usize, method: &str) -> usize {
        let mut failed = 0;
        for _ in 0..count {
            let fields = [("Cookie", self.cookie.as_str()), ("Content-Length", "0")];
            let fields = if method == "GET" { &fields[..1] } else { &fields[..] };
            self.client.send(&request(method, HOST, "/x", fields)).await;
            let answer = self.client.answer().await;
            if answer.status != 200 {
                failed += 1;
                self.client = self.gate.connect().await;
            }
        }
        failed
    }
}

fn metric(gate: &Gate, name: &str) -> String {
    let text = gate.app.metrics.to_text();
    text.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn one_of_three_that_breaks_costs_a_few_requests_and_is_left_alone_after() {
    for (name, act, method, most_failed) in [
        ("answers 500 to all", Act::Status(500), "GET", 6),
        ("resets what reads", Act::Bytes(b"", Then::Reset), "GET", 0),
        ("resets what does something", Act::Bytes(b"", Then::Reset), "POST", 3),
        ("talks nonsense", Act::Bytes(b"SSH-2.0-x\r\n\r\n", Then::Close), "POST", 3),
        (
            "breaks its answers off",
            Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then::Close),
            "GET",
            6,
        ),
    ] {
        let servers = three().await;
        servers[1].now(move |_| act.clone());
        let gate = Gate::start(SETTINGS, &policy(&servers, "health.every = \"60s\"\n")).await;
        let mut asking = Asking::at(&gate).await;
        let failed = if name == "breaks its answers off" {
            // Their status is good, so what is seen of them is the end.
            for _ in 0..60 {
                asking.failed(1, method).await;
                asking.client = gate.connect().await;
            }
            0
        } else {
            asking.failed(100, method).await
        };
        assert!(failed <= most_failed, "{name}: {failed} of 100 failed");
        assert!(metric(&gate, "portcullis_upstream_ejections_total").contains(" 1"), "{name}");
        assert!(
            metric(&gate, "portcullis_upstream_servers_out{app=\"eln\"}").ends_with(" 1"),
            "{name}"
        );
        let before = servers[1].lines().len();
        assert!(before <= 12, "{name}: it was asked {before} times");
        assert_eq!(asking.failed(60, method).await, 0, "{name}");
        assert_eq!(servers[1].lines().len(), before, "{name}: it is left alone");
        gate.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_is_down_costs_nothing_and_comes_back() {
    let servers = three().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let written = policy(&servers, "health = { every = \"200ms\", timeout = \"100ms\" }\n").replacen(
        &servers[0].url(),
        &format!("http://{address}"),
        1,
    );
    let gate = Gate::start(SETTINGS, &written).await;
    let mut asking = Asking::at(&gate).await;
    for method in ["GET", "POST"] {
        assert_eq!(
            asking.failed(50, method).await,
            0,
            "{method}: nothing was sent, so another server does it"
        );
    }
    assert!(metric(&gate, "portcullis_upstream_ejections_total{app=\"eln\",cause=\"unreachable\"}").len() > 1);

    // It returns, at the same address.
    let returned = tokio::net::TcpListener::bind(address).await.unwrap();
    let came_back = async {
        loop {
            assert_eq!(asking.failed(5, "POST").await, 0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        accepted = tokio::time::timeout(Duration::from_secs(20), returned.accept()) => drop(accepted.expect("it is tried again").unwrap()),
        () = came_back => {}
    }
    gate.drain();
}

#[tokio::test]
async fn with_all_of_them_broken_each_is_still_tried_and_the_first_to_return_is_found() {
    let servers = three().await;
    for server in &servers {
        server.now(|_| Act::Status(503));
    }
    let gate = Gate::start(SETTINGS, &policy(&servers, "health.every = \"300ms\"\n")).await;
    let mut asking = Asking::at(&gate).await;
    assert_eq!(asking.failed(60, "GET").await, 60, "their own answer goes through");
    for server in &servers {
        server.now(|_| Act::Bytes(b"", Then::Reset));
    }
    assert_eq!(asking.failed(30, "POST").await, 30);
    servers[2].now(|_| Act::Answer);
    let returned = async {
        // Most go to the one that is well, once it has come back in full and the others are out.
        while asking.failed(20, "POST").await > 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), returned).await.expect("it is found");
    gate.stop().await;
}

#[tokio::test]
async fn an_application_that_is_wrong_everywhere_has_no_server_left_out() {
    let servers = three().await;
    for server in &servers {
        server.now(|arrived| if arrived.in_all % 2 == 0 { Act::Status(500) } else { Act::Answer });
    }
    let gate = Gate::start(SETTINGS, &policy(&servers, "")).await;
    let mut asking = Asking::at(&gate).await;
    asking.failed(120, "GET").await;
    assert!(metric(&gate, "portcullis_upstream_servers_out{app=\"eln\"}").ends_with(" 0"));
    gate.stop().await;
}

#[tokio::test]
async fn checks_that_pass_bring_a_server_back() {
    let servers = three().await;
    let health = "health = { path = \"/health\", every = \"200ms\", timeout = \"100ms\", fail = 2, pass = 2 }\n";
    let gate = Gate::start(SETTINGS, &policy(&servers, health)).await;
    let mut asking = Asking::at(&gate).await;
    let out = |count: usize| {
        let gate = &gate;
        async move {
            let wanted = format!(" {count}");
            while !metric(gate, "portcullis_upstream_servers_out{app=\"eln\"}").ends_with(&wanted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    servers[0].now(|arrived| {
        if arrived.line == "GET /health" {
            Act::Status(503)
        } else {
            Act::Answer
        }
    });
    tokio::time::timeout(Duration::from_secs(20), out(1))
        .await
        .expect("it fails its checks");
    let before = servers[0].count("GET /x");
    assert_eq!(asking.failed(30, "GET").await, 0);
    assert_eq!(servers[0].count("GET /x"), before, "left alone, though it would have answered");
    servers[0].now(|_| Act::Answer);
    tokio::time::timeout(Duration::from_secs(20), out(0))
        .await
        .expect("it passes its checks");
    let again = async {
        while servers[0].count("GET /x") == before {
            assert_eq!(asking.failed(10, "GET").await, 0);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again)
        .await
        .expect("it gets requests again");
    gate.stop().await;
}
