//! Faults beyond this process: applications that are away, ill, or open to whoever goes around the gateway, and mail.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::upstream::Upstream;

use super::{Site, codes};

/// Answers 200 to whoever says who they are, 401 to others, on an address of its own choice.
async fn believer(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).await.unwrap();
    let bound = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut space = [0; 4096];
                while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
                    match socket.read(&mut space).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => seen.extend_from_slice(&space[..count]),
                    }
                }
                let head = String::from_utf8_lossy(&seen).to_lowercase();
                let status = if head.contains("x-webauth-user: ") {
                    "200 OK"
                } else {
                    "401 Unauthorized"
                };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    bound
}

#[tokio::test]
async fn an_application_that_believes_whoever_goes_around_the_gateway_is_found() {
    let site = Site::sound().await;
    let preset = "headers.preset = \"grafana\"";
    let open = believer("0.0.0.0:0").await;
    site.application(&format!("http://127.0.0.1:{}", open.port()), preset);
    let found = site.faults().await;
    assert_eq!(codes(&found), ["upstream-believes"]);
    assert!(
        found[0].what.contains("without headers it answers 401, with made-up ones 200"),
        "{found:?}"
    );
    assert!(
        found[0].help.contains("jwks.json") && found[0].help.contains("loopback"),
        "{found:?}"
    );

    let here = believer("127.0.0.1:0").await;
    site.application(&format!("http://{here}"), preset);
    assert_eq!(
        site.faults().await,
        [],
        "on loopback only the gateway's own machine can go around it"
    );
}

#[tokio::test]
async fn an_application_that_answers_anybody_is_found_where_anybody_can_reach_it() {
    let site = Site::sound().await;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut space = [0; 4096];
            let _ = socket.read(&mut space).await;
            let _ = socket
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
                .await;
        }
    });
    let upstream = format!("http://127.0.0.1:{port}");
    site.application(&upstream, "");
    assert_eq!(site.codes().await, ["upstream-open"]);
    site.application(&upstream, "rule = [{ path = \"/\", access = \"public\" }]");
    assert_eq!(site.faults().await, [], "policy opens that page to anybody");
}

#[tokio::test]
async fn an_application_that_is_away_or_ill_is_found() {
    let site = Site::sound().await;
    site.application(&Upstream::nobody().await.url(), "");
    assert_eq!(site.codes().await, ["upstream-unreachable"]);
    site.application(&format!("unix:{}", site.at("nobody.sock").display()), "");
    assert_eq!(site.codes().await, ["upstream-unreachable"]);
    site.application(&site.upstream.url().replace("http:", "https:"), "");
    assert_eq!(site.codes().await, ["upstream-unreachable"], "it speaks no TLS");
    site.application(&Upstream::raw(b"SSH-2.0-OpenSSH\r\n", true).await.url(), "");
    assert_eq!(site.codes().await, ["upstream-silent"]);
    let ill = Upstream::raw(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", true).await;
    site.application(&ill.url(), "health = { path = \"/health\" }");
    assert_eq!(site.codes().await, ["upstream-unhealthy"]);
    site.application(&site.upstream.url(), "health = { path = \"/health\" }");
    assert_eq!(site.faults().await, []);
}

#[tokio::test]
async fn a_mail_server_that_would_take_no_mail_is_found() {
    let site = Site::sound().await;
    let mail = |scheme: &str, port: u16| {
        site.settings(&format!(
            "mail = {{ url = \"{scheme}://127.0.0.1:{port}\", from = \"portcullis@example.org\" }}"
        ));
    };
    mail("smtp", Upstream::nobody().await.address.port());
    assert_eq!(site.codes().await, ["mail-unreachable"]);
    let shell = TcpListener::bind("127.0.0.1:0").await.unwrap();
    mail("smtp", shell.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = shell.accept().await {
            let _ = socket.write_all(b"SSH-2.0-OpenSSH\r\n").await;
        }
    });
    assert_eq!(site.codes().await, ["mail-unwelcome"], "a shell is no mail server");
    mail("smtps", site.upstream.address.port());
    assert_eq!(site.codes().await, ["mail-tls"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    mail("smtp", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"220 mail.example ESMTP\r\n").await;
            let mut space = [0; 512];
            let _ = socket.read(&mut space).await;
            let _ = socket.write_all(b"250-mail.example\r\n250 8BITMIME\r\n").await;
            let _ = socket.read(&mut space).await;
        }
    });
    assert_eq!(site.faults().await, [], "on this machine it may do without TLS");
}
