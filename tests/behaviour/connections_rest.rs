//! A connection on which nothing is under way is held in little memory, and its client notices nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::upstream::Upstream;
use crate::support::{Client, Gate, request};

const SETTINGS: &str = "server.public_url = \"http://sso.localhost\"\n[limits]\nhead_time = \"2s\"\nidle = \"6s\"\n";
const HOST: &str = "eln.localhost";

async fn open_gate(upstream: &Upstream) -> Gate {
    let policy = format!(
        "[app.eln]\nhost = \"{HOST}\"\nupstream = \"{}\"\nwebsocket = true\nrequire = {{ signed_in = true }}\nrule = [{{ path = \"/**\", access = \"public\" }}]\n",
        upstream.url()
    );
    Gate::start(SETTINGS, &policy).await
}

/// Waits until so many connections rest.
async fn until_resting(gate: &Gate, count: usize) {
    let line = format!("portcullis_connections_resting {count}\n");
    let seen = async {
        while !gate.app.metrics.to_text().contains(&line) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), seen).await.unwrap_or_else(|_| {
        let text = gate.app.metrics.to_text();
        let found: Vec<&str> = text.lines().filter(|line| line.contains("connections")).collect();
        panic!("not {count} at rest: {found:?}")
    });
}

#[tokio::test]
async fn every_connection_at_rest_answers_again() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let mut clients = Vec::new();
    for number in 0..50 {
        let mut client = gate.connect().await;
        client.send(&request("GET", HOST, &format!("/first/{number}"), &[])).await;
        assert_eq!(client.answer().await.status, 200);
        clients.push(client);
    }
    for round in 0..2 {
        until_resting(&gate, clients.len()).await;
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&request("GET", HOST, &format!("/{round}/{number}"), &[])).await;
            let answer = client.answer().await;
            assert!(answer.body.starts_with(&format!("GET /{round}/{number} ")), "{}", answer.body);
        }
    }
    drop(clients);
    until_resting(&gate, 0).await;
    gate.stop().await;
}

#[tokio::test]
async fn what_comes_after_a_rest_may_come_in_any_pieces() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let mut client = gate.connect().await;
    let rested = async |client: &mut Client<_>| {
        client.send(&request("GET", HOST, "/before", &[])).await;
        assert_eq!(client.answer().await.status, 200);
        until_resting(&gate, 1).await;
    };

    rested(&mut client).await;
    client
        .send(&format!(
            "{}{}",
            request("GET", HOST, "/one", &[]),
            request("GET", HOST, "/two", &[])
        ))
        .await;
    assert!(client.answer().await.body.starts_with("GET /one "));
    assert!(client.answer().await.body.starts_with("GET /two "));

    rested(&mut client).await;
    let long = "x".repeat(9000);
    for piece in request("GET", HOST, "/long", &[("X-Long", &long)]).as_bytes().chunks(1000) {
        client.send(std::str::from_utf8(piece).unwrap()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.answer().await.received("x-long"), [long.as_str()]);

    rested(&mut client).await;
    let body = "b".repeat(100_000);
    client
        .send(&format!(
            "POST /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{}",
            body.len(),
            &body[..50_000]
        ))
        .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    client.send(&body[50_000..]).await;
    assert!(client.answer().await.body.ends_with(&body), "a body that pauses is no rest");

    rested(&mut client).await;
    client
        .send(&format!(
            "POST /expect HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        ))
        .await;
    assert_eq!(client.head().await.0, 100);
    client.send("abc").await;
    assert!(client.answer().await.body.ends_with("abc"));

    rested(&mut client).await;
    client
        .send(&request(
            "GET",
            HOST,
            "/ws",
            &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
        ))
        .await;
    assert_eq!(client.head().await.0, 101);
    client.send("hello").await;
    client.until("HELLO").await;
    drop(client);
    gate.stop().await;
}

#[tokio::test]
async fn a_bad_head_after_a_rest_is_refused_as_ever() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let mut client = gate.connect().await;
    client.send(&request("GET", HOST, "/", &[])).await;
    assert_eq!(client.answer().await.status, 200);
    until_resting(&gate, 1).await;
    client
        .send(&format!(
            "GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: b\r\n\r\nGET /evil HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        ))
        .await;
    let rest = client.rest().await;
    assert!(
        rest.starts_with("HTTP/1.1 400 ") && rest.matches("HTTP/1.1 ").count() == 1,
        "{rest}"
    );
    gate.stop().await;
}

#[tokio::test]
async fn a_connection_at_rest_keeps_its_deadlines() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let mut kept = gate.connect().await;
    kept.send(&request("GET", HOST, "/", &[])).await;
    assert_eq!(kept.answer().await.status, 200);
    let mut half = gate.connect().await;
    half.send(&request("GET", HOST, "/", &[])).await;
    assert_eq!(half.answer().await.status, 200);
    until_resting(&gate, 2).await;
    half.send("GET / HTTP/1.1\r\nHost: ").await;
    let began = tokio::time::Instant::now();
    let mut silent = gate.connect().await;
    let (nothing, late, over) = tokio::join!(silent.rest(), half.rest(), kept.rest());
    assert_eq!(nothing, "", "the first byte did not come within head_time");
    assert!(late.starts_with("HTTP/1.1 408 "), "half a head: {late}");
    assert_eq!(over, "", "nothing more was asked within idle");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    gate.stop().await;
}

#[tokio::test]
async fn connections_at_rest_do_not_hold_up_the_end() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let mut client = gate.connect().await;
    client.send(&request("GET", HOST, "/", &[])).await;
    assert_eq!(client.answer().await.status, 200);
    until_resting(&gate, 1).await;
    let began = tokio::time::Instant::now();
    gate.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_slow_answer_is_no_rest() {
    let upstream = Upstream::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    let gate = open_gate(&upstream).await;
    let mut client = gate.connect().await;
    // The client takes its time to read; the request is answered long before.
    client.send(&request("GET", HOST, "/", &[])).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(client.answer().await.body, "ok");
    client.socket.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
    gate.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_slow_to_answer_is_no_rest() {
    let upstream = Upstream::raw(b"", false).await;
    let gate = open_gate(&upstream).await;
    let mut client = gate.connect().await;
    client.send(&request("GET", HOST, "/", &[])).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(gate.app.metrics.to_text().contains("portcullis_connections_resting 0\n"));
    drop(client);
    gate.stop().await;
}

#[tokio::test]
async fn a_websocket_that_is_declined_leaves_the_connection_to_others() {
    let upstream = Upstream::raw(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno", true).await;
    let gate = open_gate(&upstream).await;
    let mut client = gate.connect().await;
    let fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for turn in 0..3 {
        client.send(&request("GET", HOST, "/ws", &fields)).await;
        assert_eq!(client.answer().await.status, 426, "{turn}");
    }
    gate.stop().await;
}
