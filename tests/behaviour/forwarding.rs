//! A request that may pass reaches its application with our word of who asks, and the answer comes back as it is.

use portcullis::accounts::Acting;

use crate::support::upstream::Upstream;
use crate::support::{Gate, request};

const SETTINGS: &str = "server.public_url = \"http://sso.localhost\"\n";
const HOST: &str = "eln.localhost";

fn policy(upstream: &Upstream, more: &str) -> String {
    format!(
        r#"
[app.eln]
title = "Notebook"
host = "{HOST}"
upstream = "{}"
websocket = true
require = {{ signed_in = true }}
rule = [{{ path = "/public/**", access = "public" }}]
headers.preset = "grafana"
{more}
"#,
        upstream.url()
    )
}

#[tokio::test]
async fn a_signed_in_person_is_told_to_the_application_and_nobody_else_is() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;

    let answer = gate.get(HOST, "/notes?q=1", &[("Cookie", &format!("a=1; {cookie}; b=2"))]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.starts_with("GET /notes?q=1 HTTP/1.1\n"), "{}", answer.body);
    assert_eq!(answer.received("x-portcullis-login"), ["ada"]);
    assert_eq!(answer.received("x-webauth-user"), ["ada"]);
    assert_eq!(answer.received("x-portcullis-email"), ["ada@lab.example"]);
    assert_eq!(answer.received("cookie"), ["a=1; b=2"]);
    assert_eq!(answer.received("host"), [HOST]);
    assert_eq!(answer.received("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(answer.received("x-forwarded-host"), [HOST]);
    assert!(answer.received("x-portcullis-decision")[0].starts_with("d-"), "{}", answer.body);
    let id = answer.field("x-request-id").expect("an id on every answer");
    assert_eq!(answer.received("x-request-id"), [id]);

    let stranger = gate.get(HOST, "/notes", &[("Accept", "text/html")]).await;
    assert_eq!(stranger.status, 302, "{stranger:?}");
    assert!(stranger.field("location").unwrap().contains("/.portcullis/sign-in"), "{stranger:?}");
    let script = gate.get(HOST, "/notes", &[]).await;
    assert_eq!(script.status, 401);
    let public = gate.get(HOST, "/public/x", &[]).await;
    assert_eq!(public.status, 200);
    assert_eq!(
        public.received("x-portcullis-user"),
        [""],
        "empty, so that nobody's forged one stays in place"
    );
    gate.stop().await;
}

#[tokio::test]
async fn identity_headers_of_a_client_never_reach_the_application() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    for name in [
        "X-Portcullis-User",
        "X_Portcullis_User",
        "x.portcullis.user",
        "XPORTCULLISUSER",
        "X-Portcullis_Roles",
        "X-Webauth-User",
        "X_WEBAUTH_ROLE",
        "X-Forwarded-User",
        "X-Forwarded-For",
        "X-Real-IP",
        "X-Original-URL",
        "X-Portcullis-Jwt-Assertion",
        "Forwarded",
        "Proxy",
    ] {
        for path in ["/notes", "/public/x"] {
            let answer = gate
                .get(
                    HOST,
                    path,
                    &[
                        ("Cookie", &cookie),
                        (name, "forged-value"),
                        ("Connection", "X-Portcullis-User, X-Webauth-User"),
                    ],
                )
                .await;
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            assert!(!answer.body.contains("forged-value"), "{name}: {}", answer.body);
            assert_eq!(
                answer.received("x-portcullis-user").len(),
                1,
                "{name}: Connection cannot take ours out"
            );
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn bodies_and_trailers_go_through_as_they_are() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "max_body = \"64KiB\"")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;

    let body = "x".repeat(60_000);
    let length = body.len().to_string();
    client
        .send(&(request("POST", HOST, "/up", &[("Cookie", &cookie), ("Content-Length", &length)]) + &body))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.ends_with(&body), "the whole body");
    assert_eq!(answer.received("content-length"), [length.as_str()]);

    let chunked = [
        ("Cookie", cookie.as_str()),
        ("Transfer-Encoding", "chunked"),
        ("Trailer", "X-Portcullis-User"),
    ];
    client
        .send(&(request("POST", HOST, "/up", &chunked) + "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Portcullis-User: forged-value\r\n\r\n"))
        .await;
    let answer = client.answer().await;
    assert!(answer.body.ends_with("hello world"), "{}", answer.body);
    assert!(
        !answer.body.contains("forged-value"),
        "trailers of requests stay behind: {}",
        answer.body
    );

    client
        .send(&request("GET", HOST, "/trailers", &[("Cookie", &cookie), ("TE", "trailers")]))
        .await;
    let answer = client.answer().await;
    assert!(answer.body.to_ascii_lowercase().contains("x-sum: 42"), "{answer:?}");

    client
        .send(&request(
            "POST",
            HOST,
            "/up",
            &[("Cookie", &cookie), ("Content-Length", "9"), ("Expect", "100-continue")],
        ))
        .await;
    let (status, _) = client.head().await;
    assert_eq!(status, 100);
    client.send("continued").await;
    let answer = client.answer().await;
    assert!(
        answer.body.ends_with("continued") && answer.received("expect").is_empty(),
        "{}",
        answer.body
    );

    client
        .send(&request("POST", HOST, "/up", &[("Cookie", &cookie), ("Content-Length", "70000")]))
        .await;
    assert_eq!(client.answer().await.status, 413);
    let large = "10000\r\n".to_owned() + &"y".repeat(65_536) + "\r\n1\r\nz\r\n0\r\n\r\n";
    let mut client = gate.connect().await;
    client
        .send(&(request("POST", HOST, "/up", &[("Cookie", &cookie), ("Transfer-Encoding", "chunked")]) + &large))
        .await;
    assert_eq!(client.answer().await.status, 413, "counted where nothing is declared");
    gate.stop().await;
}

#[tokio::test]
async fn an_application_cannot_set_our_cookies() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let answer = gate.get(HOST, "/cookies", &[("Cookie", &cookie)]).await;
    assert_eq!(answer.fields("set-cookie"), ["a=1; Path=/"]);
    let twice = gate.get(HOST, "/notes", &[("Cookie", &format!("{cookie}; portcullis=x"))]).await;
    assert_eq!(twice.status, 400, "two cookies of our name");
    gate.stop().await;
}

#[tokio::test]
async fn connections_to_the_application_are_used_again() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;
    for _ in 0..20 {
        client.send(&request("GET", HOST, "/x", &[("Cookie", &cookie)])).await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    gate.stop().await;
}

#[tokio::test]
async fn an_application_that_is_down_late_or_talks_nonsense_is_named() {
    for (name, upstream, status) in [
        ("nobody listens", Upstream::nobody().await, 502),
        ("closes at once", Upstream::raw(b"", true).await, 502),
        ("nonsense", Upstream::raw(b"SSH-2.0-OpenSSH_9\r\n\r\n", true).await, 502),
        ("says nothing", Upstream::raw(b"", false).await, 504),
        (
            "two lengths",
            Upstream::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", true).await,
            502,
        ),
        (
            "length and chunks",
            Upstream::raw(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                false,
            )
            .await,
            502,
        ),
        (
            "codings",
            Upstream::raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false).await,
            502,
        ),
        (
            "a head without end",
            Upstream::raw(
                [b"HTTP/1.1 200 OK\r\nX: ", [b'a'; 70_000].as_slice(), b"\r\n\r\n"].concat().leak(),
                false,
            )
            .await,
            502,
        ),
        (
            "switches unasked",
            Upstream::raw(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
                false,
            )
            .await,
            502,
        ),
    ] {
        let gate = Gate::start(SETTINGS, &policy(&upstream, "timeout.first_byte = \"1s\"\n")).await;
        let cookie = gate.signed_in("ada", HOST).await;
        let answer = gate.get(HOST, "/x", &[("Cookie", &cookie), ("Accept", "text/html")]).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.body.contains("Notebook"), "{name}: {}", answer.body);
        assert!(!answer.body.contains("127.0.0.1:"), "{name}: its address is nobody's business");
        gate.stop().await;
    }
}

#[tokio::test]
async fn a_websocket_passes_and_is_cut_when_the_rules_change() {
    let upstream = Upstream::echo().await;
    let mut gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let fields = [
        ("Cookie", cookie.as_str()),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut client = gate.connect().await;
    client.send(&request("GET", HOST, "/ws", &fields)).await;
    let (status, head) = client.head().await;
    assert_eq!(status, 101, "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client.send("hello").await;
    client.until("HELLO").await;
    gate.reload(&policy(
        &upstream,
        "ip_pattern = [\"away\"]\n[ip_pattern.away]\ninclude = [\"192.0.2.1\"]\n",
    ));
    assert_eq!(client.rest().await, "HELLO", "closed");

    gate.reload(&policy(&upstream, "").replace("websocket = true", "websocket = false"));
    let mut client = gate.connect().await;
    client.send(&request("GET", HOST, "/plain", &fields)).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "an ordinary request");
    assert!(answer.received("upgrade").is_empty(), "{}", answer.body);
    let mut client = gate.connect().await;
    client
        .send(&request(
            "GET",
            HOST,
            "/plain",
            &[
                ("Cookie", &cookie),
                ("Upgrade", "h2c"),
                ("Connection", "Upgrade, HTTP2-Settings"),
                ("HTTP2-Settings", "AAMAAABk"),
            ],
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.to_ascii_lowercase().contains("http2-settings"), "{}", answer.body);
    gate.stop().await;
}

#[tokio::test]
async fn a_websocket_without_a_valid_accept_is_refused() {
    let upstream = Upstream::raw(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        false,
    )
    .await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let fields = [
        ("Cookie", cookie.as_str()),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(gate.get(HOST, "/ws", &fields).await.status, 502);
    gate.stop().await;
}

#[tokio::test]
async fn events_arrive_as_they_are_sent_and_end_with_the_session() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;
    client.send(&request("GET", HOST, "/events", &[("Cookie", &cookie)])).await;
    client.until("data: one").await;
    let by = Acting::command_line();
    assert_eq!(
        gate.app
            .accounts
            .end_all_of(gate.user_of(&cookie, HOST).await, &by, gate.clock.now())
            .await,
        Ok(Some(1))
    );
    let rest = client.rest().await;
    assert!(
        !rest.ends_with("0\r\n\r\n"),
        "broken off, so that nobody takes it for whole: {rest}"
    );
    gate.stop().await;
}

#[tokio::test]
async fn unknown_hosts_and_paths_have_no_default() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    assert_eq!(gate.get("nobody.localhost", "/", &[]).await.status, 421);
    assert_eq!(gate.get("nobody.localhost", "/.portcullis/sign-in", &[]).await.status, 421);
    assert_eq!(gate.get("sso.localhost", "/nothing", &[]).await.status, 404);
    let root = gate.get("sso.localhost", "/", &[]).await;
    assert_eq!(root.field("location"), Some("/.portcullis/"), "{root:?}");
    for path in [
        "/public/../x",
        "/public/%2e%2e/x",
        "/public/..;/x",
        "/a%00b",
        "/a%5cb",
        "//.portcullis/x",
    ] {
        assert_eq!(gate.get(HOST, path, &[]).await.status, 400, "{path}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn draining_lets_what_has_begun_end() {
    let upstream = Upstream::echo().await;
    let gate = Gate::start(SETTINGS, &policy(&upstream, "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;
    client
        .send(&(request("POST", HOST, "/up", &[("Cookie", &cookie), ("Content-Length", "6")]) + "abc"))
        .await;
    // The request has begun when the upstream has its head.
    while upstream.requests.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    gate.drain();
    client.send("def").await;
    let answer = client.answer().await;
    assert!(answer.status == 200 && answer.body.ends_with("abcdef"), "{answer:?}");
    gate.stop().await;
}

#[tokio::test]
async fn a_server_that_is_down_is_passed_over_and_a_stale_connection_is_not_an_answer() {
    let up = Upstream::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true).await;
    let down = Upstream::nobody().await;
    for balance in ["least-busy", "round-robin", "sticky"] {
        let written = policy(&up, &format!("balance = \"{balance}\"\n")).replace(
            &format!("upstream = \"{}\"", up.url()),
            &format!("upstream = [\"{}\", \"{}\"]", down.url(), up.url()),
        );
        let gate = Gate::start(SETTINGS, &written).await;
        let cookie = gate.signed_in("ada", HOST).await;
        let mut client = gate.connect().await;
        for turn in 0..10 {
            client.send(&request("GET", HOST, "/x", &[("Cookie", &cookie)])).await;
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{balance} {turn}: {answer:?}");
        }
        gate.stop().await;
    }
}

#[tokio::test]
async fn a_rate_limit_that_is_used_up_says_when_to_come_again() {
    let upstream = Upstream::echo().await;
    let limited = policy(&upstream, "limits = [\"slow\"]\n[limit.slow]\nrate = \"2/1h\"\nburst = 2\n");
    let gate = Gate::start(SETTINGS, &limited).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = gate.get(HOST, "/x", &[("Cookie", &cookie)]).await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert!(answer.field("retry-after").unwrap().parse::<u64>().unwrap() > 60, "{answer:?}");
        }
    }
    assert_eq!(statuses, [200, 200, 429]);
    gate.stop().await;
}

#[tokio::test]
async fn the_prefix_is_taken_off_and_the_public_host_kept_as_policy_says() {
    let upstream = Upstream::echo().await;
    let written =
        policy(&upstream, "path = \"/app\"\nstrip_prefix = true\npreserve_host = false\n").replace("/public/**", "/app/public/**");
    let gate = Gate::start(SETTINGS, &written).await;
    let cookie = gate.signed_in("ada", HOST).await;
    for (path, expected) in [("/app/a/b?c=%2F", "/a/b?c=%2F"), ("/app", "/"), ("/app?x", "/?x"), ("/app/", "/")] {
        let answer = gate.get(HOST, path, &[("Cookie", &cookie)]).await;
        assert!(answer.body.starts_with(&format!("GET {expected} ")), "{path}: {}", answer.body);
        assert_eq!(answer.received("host"), [upstream.address.to_string()]);
        assert_eq!(answer.received("x-forwarded-host"), [HOST]);
    }
    assert_eq!(gate.get(HOST, "/other", &[("Cookie", &cookie)]).await.status, 404);
    gate.stop().await;
}

#[tokio::test]
async fn an_application_may_listen_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let upstream = Upstream::echo_on(&path).await;
    let written = policy(&upstream, "").replace(&upstream.url(), &format!("unix:{}", path.display()));
    let gate = Gate::start(SETTINGS, &written).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let answer = gate.get(HOST, "/x", &[("Cookie", &cookie)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.received("x-portcullis-login"), ["ada"]);
    gate.stop().await;
}

#[tokio::test]
async fn a_server_that_fails_its_checks_is_left_out() {
    let good = Upstream::echo().await;
    let bad = Upstream::raw(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", true).await;
    let checked = "balance = \"round-robin\"\nhealth = { path = \"/health\", every = \"1s\", timeout = \"500ms\", fail = 1, expect = [\"200-299\"] }\n";
    let written = policy(&good, checked).replace(
        &format!("upstream = \"{}\"", good.url()),
        &format!("upstream = [\"{}\", \"{}\"]", bad.url(), good.url()),
    );
    let gate = Gate::start(SETTINGS, &written).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut in_a_row = 0;
    // Before its first check it takes its turns; each turn here is a request, so nothing is slept for.
    for _ in 0..5_000 {
        let answer = gate.get(HOST, "/x", &[("Cookie", &cookie)]).await;
        in_a_row = if answer.status == 200 { in_a_row + 1 } else { 0 };
        if in_a_row == 6 {
            gate.stop().await;
            return;
        }
    }
    panic!("it is still asked");
}
