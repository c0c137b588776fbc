//! A balancer that passes TCP on says whose connection it is; nobody else can.

use tokio::io::AsyncWriteExt;

use crate::support::upstream::Upstream;
use crate::support::{Client, Gate, request};

const HOST: &str = "eln.localhost";

async fn open_gate(upstream: &Upstream, more: &str) -> Gate {
    let settings =
        format!("server.public_url = \"http://sso.localhost\"\n{more}\n[limits]\nhead_time = \"1s\"\nconnections_per_address = 2\n");
    let policy = format!(
        "[app.eln]\nhost = \"{HOST}\"\nupstream = \"{}\"\nrequire = {{ signed_in = true }}\nrule = [{{ path = \"/**\", access = \"public\" }}]\n",
        upstream.url()
    );
    Gate::start(&settings, &policy).await
}

async fn connect(gate: &Gate, header: &[u8]) -> Client<tokio::net::TcpStream> {
    let mut client = gate.connect().await;
    client.socket.write_all(header).await.unwrap();
    client
}

fn version_1(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 198.51.100.1 56324 443\r\n").into_bytes()
}

#[tokio::test]
async fn the_address_a_balancer_names_is_the_clients() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream, "listen.proxy_protocol = [\"127.0.0.0/8\"]").await;
    let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    version_2.extend([203, 0, 113, 9, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb]);
    for (name, header, address) in [
        ("version 1", version_1("192.0.2.1"), "192.0.2.1"),
        ("version 2", version_2, "203.0.113.9"),
        ("its own", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        let mut client = connect(&gate, &header).await;
        for _ in 0..2 {
            client.send(&request("GET", HOST, "/", &[("X-Forwarded-For", "10.9.9.9")])).await;
            let answer = client.answer().await;
            assert_eq!(answer.received("x-forwarded-for"), [address], "{name}");
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn a_balancer_that_names_nobody_is_not_served() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream, "listen.proxy_protocol = [\"127.0.0.0/8\"]").await;
    for (name, bytes) in [
        ("a request", request("GET", HOST, "/", &[]).into_bytes()),
        ("silence", Vec::new()),
        ("half a header", b"PROXY TCP4 192.0.2.1 ".to_vec()),
    ] {
        let mut client = connect(&gate, &bytes).await;
        assert_eq!(client.rest().await, "", "{name}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn a_stranger_who_sends_the_header_is_refused() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream, "listen.proxy_protocol = [\"192.0.2.0/24\"]").await;
    let mut client = connect(&gate, &version_1("10.1.1.1")).await;
    client.send(&request("GET", HOST, "/", &[])).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
    assert_eq!(upstream.requests.load(std::sync::atomic::Ordering::SeqCst), 0);
    gate.stop().await;
}

#[tokio::test]
async fn connections_are_counted_for_the_address_that_is_named() {
    let upstream = Upstream::echo().await;
    let gate = open_gate(&upstream, "listen.proxy_protocol = [\"127.0.0.0/8\"]").await;
    let mut kept = Vec::new();
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let mut client = connect(&gate, &version_1(address)).await;
        client.send(&request("GET", HOST, "/", &[])).await;
        assert_eq!(client.answer().await.status, 200, "{address}");
        kept.push(client);
    }
    let mut third = connect(&gate, &version_1("192.0.2.1")).await;
    third.send(&request("GET", HOST, "/", &[])).await;
    assert_eq!(third.rest().await, "", "the third of one address");
    gate.stop().await;
}
