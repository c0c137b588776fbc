//! An application that is down, slow, breaks off or lies costs its own requests only: the client is told which it is, and never where.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::faulty::{Act, Faulty, Then};
use crate::support::{Answer, Gate, request};

const SETTINGS: &str = "server.public_url = \"http://sso.localhost\"\n";
const HOST: &str = "eln.localhost";
const LIMITS: &str = "timeout = { connect = \"500ms\", first_byte = \"500ms\", idle = \"500ms\" }\n";

fn policy(address: SocketAddr, more: &str) -> String {
    format!(
        "[app.eln]\ntitle = \"Notebook\"\nhost = \"{HOST}\"\nupstream = \"http://{address}\"\nrequire = {{ signed_in = true }}\n{LIMITS}{more}\n"
    )
}

fn names_the_application_only(name: &str, answer: &Answer, address: SocketAddr) {
    assert!(answer.body.contains("Notebook"), "{name}: {answer:?}");
    let port = address.port().to_string();
    for secret in [&address.to_string(), &port, "127.0.0.1"] {
        assert!(
            !answer.body.contains(secret) && !answer.head.contains(secret),
            "{name}: {secret} in {answer:?}"
        );
    }
}

/// An address whose queue of connections is full, so that new ones wait; whoever holds it up is kept beside it.
fn slow_to_connect() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![listener];
    for _ in 0..8 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let connected = socket.connect_timeout(&address.into(), Duration::from_millis(200));
        held.push(socket);
        if connected.is_err() {
            return (address, held);
        }
    }
    panic!("the queue is never full");
}

#[tokio::test]
async fn whatever_goes_wrong_before_an_answer_is_told_with_the_applications_name() {
    let cases: Vec<(&str, Act, u16)> = vec![
        ("closes without an answer", Act::Bytes(b"", Then::Close), 502),
        ("resets without an answer", Act::Bytes(b"", Then::Reset), 502),
        (
            "closes in the middle of its head",
            Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Le", Then::Close),
            502,
        ),
        (
            "resets in the middle of its head",
            Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Le", Then::Reset),
            502,
        ),
        ("says nothing", Act::Bytes(b"", Then::Silence), 504),
        (
            "stops in the middle of its head",
            Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Le", Then::Silence),
            504,
        ),
        ("answers too late", Act::Late(Duration::from_secs(5)), 504),
        (
            "sends its head too slowly",
            Act::Drip(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Duration::from_millis(100)),
            504,
        ),
        ("speaks another protocol", Act::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n", Then::Close), 502),
        ("speaks TLS", Act::Bytes(b"\x15\x03\x01\x00\x02\x02\x46", Then::Close), 502),
        (
            "speaks HTTP/2",
            Act::Bytes(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", Then::Close),
            502,
        ),
        ("sends zeros", Act::Bytes(&[0; 4096], Then::Keep), 502),
        ("has a version of its own", Act::Bytes(b"HTTP/9.9 200 OK\r\n\r\n", Then::Close), 502),
        ("has no status", Act::Bytes(b"HTTP/1.1 OK\r\n\r\n", Then::Close), 502),
        (
            "has a status of four digits",
            Act::Bytes(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", Then::Close),
            502,
        ),
        (
            "has a length below zero",
            Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Then::Close),
            502,
        ),
        (
            "has a length in words",
            Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n0123456789", Then::Close),
            502,
        ),
        (
            "has a field with a NUL",
            Act::Bytes(b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n", Then::Keep),
            502,
        ),
        (
            "has a field without a name",
            Act::Bytes(b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n", Then::Keep),
            502,
        ),
    ];
    for (name, act, status) in cases {
        let upstream = Faulty::start(move |_| act.clone()).await;
        let gate = Gate::start(SETTINGS, &policy(upstream.address, "")).await;
        let cookie = gate.signed_in("ada", HOST).await;
        for accept in ["text/html", "application/json"] {
            let answer = gate.get(HOST, "/x", &[("Cookie", &cookie), ("Accept", accept)]).await;
            assert_eq!(answer.status, status, "{name}: {answer:?}");
            names_the_application_only(name, &answer, upstream.address);
        }
        gate.stop().await;
    }
}

#[tokio::test]
async fn an_application_that_cannot_be_reached_is_told_apart_from_one_that_is_slow_to_be() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (slow, _held) = slow_to_connect();
    for (name, address, status) in [("refuses", nobody, 502), ("is slow to connect", slow, 504)] {
        let gate = Gate::start(SETTINGS, &policy(address, "")).await;
        let cookie = gate.signed_in("ada", HOST).await;
        let began = Instant::now();
        let answer = gate.get(HOST, "/x", &[("Cookie", &cookie)]).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{name}: {:?}", began.elapsed());
        names_the_application_only(name, &answer, address);
        gate.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
    const CHUNKS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n";
    const BAD_CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n";
    for (name, bytes, then) in [
        ("length, close", HEAD, Then::Close),
        ("length, reset", HEAD, Then::Reset),
        ("length, silence", HEAD, Then::Silence),
        ("chunks, close", CHUNKS, Then::Close),
        ("chunks, reset", CHUNKS, Then::Reset),
        ("chunks, silence", CHUNKS, Then::Silence),
        ("chunks, nonsense", BAD_CHUNK, Then::Keep),
    ] {
        let upstream = Faulty::start(move |_| Act::Bytes(bytes, then)).await;
        let gate = Gate::start(SETTINGS, &policy(upstream.address, "")).await;
        let cookie = gate.signed_in("ada", HOST).await;
        let mut client = gate.connect().await;
        client.send(&request("GET", HOST, "/x", &[("Cookie", &cookie)])).await;
        let (status, head) = client.head().await;
        assert_eq!(status, 200, "{name}");
        let rest = client.rest().await;
        assert!(rest.contains("only this"), "{name}: {rest:?}");
        assert!(!rest.contains("0\r\n\r\n"), "{name}: no end is made up: {rest:?}");
        assert!(
            head.to_ascii_lowercase().contains("content-length: 100") || head.to_ascii_lowercase().contains("chunked"),
            "{name}: {head}"
        );
        gate.stop().await;
    }
}

#[tokio::test]
async fn a_slow_body_goes_on_while_it_moves() {
    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let upstream = Faulty::start(|arrived| {
        if arrived.line == "GET /drip" {
            Act::Drip(WHOLE, b"0123456789", Duration::from_millis(60))
        } else {
            Act::Bytes(WHOLE, Then::Silence)
        }
    })
    .await;
    let gate = Gate::start(SETTINGS, &policy(upstream.address, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let answer = gate.get(HOST, "/drip", &[("Cookie", &cookie)]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "0123456789"));
    let began = Instant::now();
    let answer = gate.get(HOST, "/never", &[("Cookie", &cookie)]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "cut short, and seen to be");
    assert!(began.elapsed() >= Duration::from_millis(400), "`timeout.idle` was waited for");
    gate.stop().await;
}

#[tokio::test]
async fn more_than_was_announced_is_nobodys_answer() {
    let upstream = Faulty::start(|arrived| {
        if arrived.line == "GET /long" {
            Act::Bytes(
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrueHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
                Then::Keep,
            )
        } else {
            Act::Answer
        }
    })
    .await;
    let gate = Gate::start(SETTINGS, &policy(upstream.address, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;
    for turn in 0..5 {
        client.send(&request("GET", HOST, "/long", &[("Cookie", &cookie)])).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "true"), "{turn}");
        client.send(&request("GET", HOST, "/mine", &[("Cookie", &cookie)])).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "GET /mine"), "{turn}");
    }
    // The same for an answer that nobody has asked for yet.
    upstream.now(|arrived| match arrived.line.as_str() {
        "HEAD /body" => Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", Then::Keep),
        "GET /unchanged" => Act::Bytes(
            b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
            Then::Keep,
        ),
        _ => Act::Answer,
    });
    for line in ["HEAD /body", "GET /unchanged"] {
        let (method, path) = line.split_once(' ').unwrap();
        let mut client = gate.connect().await;
        client.send(&request(method, HOST, path, &[("Cookie", &cookie)])).await;
        let (status, _) = client.head().await;
        assert!(status == 200 || status == 304, "{line}: {status}");
        client.send(&request("GET", HOST, "/mine", &[("Cookie", &cookie)])).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "GET /mine"), "after {line}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_read_is_passed_on() {
    const NO: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
    for then in [Then::Close, Then::Silence] {
        let upstream = Faulty::start(move |arrived| {
            if arrived.line.starts_with("POST") {
                Act::Early(NO, then)
            } else {
                Act::Answer
            }
        })
        .await;
        let gate = Gate::start(SETTINGS, &policy(upstream.address, "")).await;
        let cookie = gate.signed_in("ada", HOST).await;
        let mut client = gate.connect().await;
        client
            .send(&request(
                "POST",
                HOST,
                "/up",
                &[("Cookie", &cookie), ("Content-Length", "50000000")],
            ))
            .await;
        client.send(&"x".repeat(100_000)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (413, "no"), "{then:?}");
        drop(client);
        // What of the request never was read is not in the way of others, nor is its connection used for them.
        for turn in 0..10 {
            let answer = gate.get(HOST, "/next", &[("Cookie", &cookie)]).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "GET /next"), "{then:?}, {turn}");
        }
        assert_eq!(upstream.count("POST /up"), 1);
        gate.stop().await;
    }
}

#[tokio::test]
async fn one_application_in_trouble_is_none_of_another_ones() {
    let silent = Faulty::start(|_| Act::Bytes(b"", Then::Silence)).await;
    let well = Faulty::start(|_| Act::Answer).await;
    let both = format!(
        "{}[app.well]\nhost = \"well.localhost\"\nupstream = \"{}\"\nrequire = {{ signed_in = true }}\n",
        policy(silent.address, "").replace("first_byte = \"500ms\"", "first_byte = \"20s\""),
        well.url()
    );
    let gate = Gate::start(SETTINGS, &both).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let at_well = gate.sign_in("ada", "well.localhost").await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut client = gate.connect().await;
        client.send(&request("GET", HOST, "/x", &[("Cookie", &cookie)])).await;
        waiting.push(client);
    }
    while silent.lines().len() < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = gate.get("well.localhost", "/y", &[("Cookie", &at_well)]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "GET /y"));
    gate.drain();
}
