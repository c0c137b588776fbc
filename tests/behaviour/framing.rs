//! A request that two servers could read differently reaches nobody.

use std::sync::atomic::Ordering;

use crate::support::Gate;
use crate::support::upstream::Upstream;

const SETTINGS: &str = "server.public_url = \"http://sso.localhost\"\n[limits]\nhead_time = \"1s\"\nbody_stall = \"1s\"\n";

async fn open_gate(upstream: &Upstream) -> Gate {
    let policy = format!(
        "[app.eln]\nhost = \"eln.localhost\"\nupstream = \"{}\"\nrequire = {{ signed_in = true }}\nrule = [{{ path = \"/**\", access = \"public\" }}]\n",
        upstream.url()
    );
    Gate::start(SETTINGS, &policy).await
}

#[tokio::test]
async fn two_readings_are_refused_and_the_connection_closes() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let host = "Host: eln.localhost\r\n";
    let tail = "GET /smuggled HTTP/1.1\r\nHost: eln.localhost\r\n\r\n";
    for (name, head, status) in [
        (
            "CL.TE",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        (
            "TE.CL",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        (
            "TE.TE",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        (
            "identity first",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        (
            "two lengths",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "400",
        ),
        ("sign", format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"), "400"),
        ("two hosts", format!("GET / HTTP/1.1\r\n{host}Host: other.localhost\r\n\r\n"), "400"),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (
            "absolute form",
            format!("GET http://other.localhost/ HTTP/1.1\r\n{host}\r\n"),
            "400",
        ),
        ("folded", format!("GET / HTTP/1.1\r\n{host}X: y\r\n z\r\n\r\n"), "400"),
        ("blank before colon", format!("GET / HTTP/1.1\r\n{host}X : y\r\n\r\n"), "400"),
        ("bare line feeds", "GET / HTTP/1.1\nHost: eln.localhost\n\n".to_owned(), "400"),
        ("bare carriage return", format!("GET / HTTP/1.1\r\n{host}X: a\rb\r\n\r\n"), "400"),
        ("NUL", format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"), "400"),
        ("fragment", format!("GET /a#b HTTP/1.1\r\n{host}\r\n"), "400"),
        ("long target", format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(17_000)), "414"),
        (
            "large head",
            format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "a".repeat(40_000)),
            "431",
        ),
        (
            "many fields",
            format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: y\r\n".repeat(101)),
            "431",
        ),
        ("version", format!("GET / HTTP/3.0\r\n{host}\r\n"), "501"),
        (
            "coding",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        ("CONNECT", format!("CONNECT eln.localhost:443 HTTP/1.1\r\n{host}\r\n"), "501"),
        ("no HTTP", "\x16\x03\x01\x00".to_owned(), "400"),
    ] {
        let answer = gate.ask(&format!("{head}{tail}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{name}: nothing behind it is answered: {answer}"
        );
        let lower = answer.to_ascii_lowercase();
        assert!(
            lower.contains("connection: close") && lower.contains("x-request-id: r-"),
            "{name}: {answer}"
        );
    }
    assert_eq!(upstream.requests.load(Ordering::SeqCst), 0, "nobody saw any of it");
    gate.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_up_to_the_first_bad_one() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let host = "Host: eln.localhost\r\n";
    let answers = gate
        .ask(&format!(
            "GET /one HTTP/1.1\r\n{host}\r\nPOST /two HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabcGET /bad HTTP/1.1\r\n{host}{host}\r\nGET /never HTTP/1.1\r\n{host}\r\n"
        ))
        .await;
    assert!(
        answers.contains("GET /one ") && answers.contains("POST /two ") && answers.contains(" 400 "),
        "{answers}"
    );
    assert!(!answers.contains("/never"), "{answers}");
    assert_eq!(upstream.requests.load(Ordering::SeqCst), 2);
    gate.stop().await;
}

#[tokio::test]
async fn a_bad_body_is_the_clients_fault() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    let head = "POST /up HTTP/1.1\r\nHost: eln.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, body) in [
        ("no size", "zz\r\nabc\r\n0\r\n\r\n"),
        ("no end", "3\r\nabcd\r\n0\r\n\r\n"),
        ("sign", "-3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let answer = gate.ask(&format!("{head}{body}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
    }
    let answer = gate
        .ask("POST /up HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: 9\r\n\r\nabc")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "stalled: {answer}");
    gate.stop().await;
}

#[tokio::test]
async fn a_client_has_its_time_for_a_head() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream).await;
    assert_eq!(gate.ask("").await, "", "silence from the start");
    let answer = gate.ask("GET / HTTP/1.1\r\nHost: eln").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    gate.stop().await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_and_one_that_is_merely_slow_is_not() {
    let upstream = Upstream::echo().await;
    let policy = format!(
        "[app.eln]\nhost = \"eln.localhost\"\nupstream = \"{}\"\nrequire = {{ signed_in = true }}\nrule = [{{ path = \"/**\", access = \"public\" }}]\n",
        upstream.url()
    );
    let gate = Gate::start(&format!("{SETTINGS}body_rate = 1000\n"), &policy).await;
    for (name, piece, times, status) in [("drips", "x", 12, "408"), ("slow", &"x".repeat(1000), 12, "200")] {
        let mut client = gate.connect().await;
        let length = piece.len() * times;
        client
            .send(&format!(
                "POST /up HTTP/1.1\r\nHost: eln.localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        for _ in 0..times {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            client.send(piece).await;
        }
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
    }
    gate.stop().await;
}
