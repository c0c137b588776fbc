//! A request that may do something reaches the application once or not at all, whenever a connection breaks; one that only reads is brought
//! through where it can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::faulty::{Act, Faulty, Then};
use crate::support::{Gate, request};

const SETTINGS: &str = "server.public_url = \"http://sso.localhost\"\n";
const HOST: &str = "eln.localhost";

fn policy(upstreams: &[&Faulty], more: &str) -> String {
    let urls: Vec<String> = upstreams.iter().map(|upstream| format!("\"{}\"", upstream.url())).collect();
    format!(
        "[app.eln]\ntitle = \"Notebook\"\nhost = \"{HOST}\"\nupstream = [{}]\nbalance = \"round-robin\"\nrequire = {{ signed_in = true }}\n{more}\n",
        urls.join(", ")
    )
}

/// The bytes of a request; those that may have a body have one.
fn written(method: &str, path: &str, cookie: &str) -> String {
    if matches!(method, "POST" | "PATCH") {
        request(method, HOST, path, &[("Cookie", cookie), ("Content-Length", "4")]) + "body"
    } else {
        request(method, HOST, path, &[("Cookie", cookie)])
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_on_a_request_loses_none_that_reads_and_doubles_none_that_does_something() {
    // The worst moment: each connection answers once, and closes when the next request has arrived.
    for then in [Then::Close, Then::Reset] {
        let upstream = Faulty::start(move |arrived| {
            if arrived.on_connection == 0 {
                Act::Answer
            } else {
                Act::Bytes(b"", then)
            }
        })
        .await;
        let gate = Gate::start(SETTINGS, &policy(&[&upstream], "")).await;
        let cookie = gate.signed_in("ada", HOST).await;
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"] {
            let reads = matches!(method, "GET" | "HEAD" | "OPTIONS");
            for turn in 0..4 {
                let mut client = gate.connect().await;
                // One that leaves a connection behind, and the one that meets its end.
                client.send(&written("GET", &format!("/before/{method}/{turn}"), &cookie)).await;
                assert_eq!(client.answer().await.status, 200);
                let path = format!("/{method}/{turn}");
                client.send(&written(method, &path, &cookie)).await;
                let (status, _) = client.head().await;
                let arrived = upstream.count(&format!("{method} {path}"));
                if reads {
                    assert_eq!(status, 200, "{then:?}: {method} {turn}");
                    assert!(arrived <= 2, "{then:?}: {method} {turn} arrived {arrived} times");
                } else {
                    assert_eq!(
                        arrived, 1,
                        "{then:?}: {method} {turn} is never doubled, and never lost without a word"
                    );
                    assert!(status == 200 || status == 502, "{then:?}: {method} {turn}: {status}");
                }
            }
        }
        gate.stop().await;
    }
}

#[tokio::test]
async fn connections_that_were_closed_in_silence_lose_nothing_at_all() {
    let upstream = Faulty::start(|_| Act::Answer).await;
    let gate = Gate::start(SETTINGS, &policy(&[&upstream], "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;
    for turn in 0..60 {
        let method = ["GET", "POST", "PUT", "DELETE"][turn % 4];
        let path = format!("/{turn}");
        client.send(&written(method, &path, &cookie)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        assert_eq!(upstream.count(&format!("{method} {path}")), 1, "{method} {path}");
        // The server's own time-out for idle connections strikes between two requests.
        upstream.close_waiting().await;
    }
    gate.stop().await;
}

#[tokio::test]
async fn an_answer_without_a_word_about_the_end_and_then_the_end_loses_nothing() {
    let upstream = Faulty::start(|arrived| {
        let answer: &'static str = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", arrived.line.len(), arrived.line).leak();
        Act::Bytes(answer.as_bytes(), Then::Close)
    })
    .await;
    let gate = Gate::start(SETTINGS, &policy(&[&upstream], "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;
    for turn in 0..60 {
        let method = ["GET", "POST", "PUT", "DELETE"][turn % 4];
        client.send(&written(method, &format!("/{turn}"), &cookie)).await;
        let answer = client.answer().await;
        let arrived = upstream.count(&format!("{method} /{turn}"));
        if method == "GET" {
            assert_eq!(answer.status, 200, "{turn}: {answer:?}");
        } else {
            // The end may be on its way while the request is: then nobody can know, and the client is told so.
            assert!(arrived <= 1, "{method} {turn} arrived {arrived} times");
            assert!(
                answer.status == 200 && arrived == 1 || answer.status == 502,
                "{method} {turn}: {answer:?}"
            );
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn what_was_not_sent_goes_to_another_server_whatever_it_is() {
    let gone = Faulty::start(|_| Act::Answer).await.url();
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let well = Faulty::start(|_| Act::Answer).await;
    let policy = policy(&[&well, &well], "health.fail = 1000\n").replacen(&well.url(), &format!("http://{nobody}"), 1);
    assert!(!policy.contains(&gone));
    let gate = Gate::start(SETTINGS, &policy).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut client = gate.connect().await;
    for turn in 0..20 {
        let method = ["POST", "PUT", "DELETE", "GET"][turn % 4];
        client.send(&written(method, &format!("/{turn}"), &cookie)).await;
        assert_eq!(client.answer().await.status, 200, "{method} {turn}");
        assert_eq!(well.count(&format!("{method} /{turn}")), 1);
    }
    gate.stop().await;
}

#[tokio::test]
async fn what_was_sent_to_a_server_that_breaks_off_goes_to_another_only_if_it_reads() {
    let breaks = Faulty::start(|_| Act::Bytes(b"", Then::Reset)).await;
    let well = Faulty::start(|_| Act::Answer).await;
    let gate = Gate::start(SETTINGS, &policy(&[&breaks, &well], "health.fail = 1000\n")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"] {
        let reads = matches!(method, "GET" | "HEAD" | "OPTIONS");
        for turn in 0..4 {
            let mut client = gate.connect().await;
            let path = format!("/{turn}");
            client.send(&written(method, &path, &cookie)).await;
            let (status, _) = client.head().await;
            let line = format!("{method} {path}");
            let (there, here) = (breaks.count(&line), well.count(&line));
            if reads {
                assert_eq!((status, here), (200, 1), "{line}");
            } else {
                assert_eq!(there + here, 1, "{line} arrived {there} and {here} times");
                assert_eq!(status, if here == 1 { 200 } else { 502 }, "{line}");
            }
        }
    }
    // A request with a body cannot be sent again, even if it reads.
    for turn in 0..4 {
        let mut client = gate.connect().await;
        let fields = [("Cookie", cookie.as_str()), ("Content-Length", "4")];
        client
            .send(&(request("GET", HOST, &format!("/body/{turn}"), &fields) + "body"))
            .await;
        let status = client.answer().await.status;
        let line = format!("GET /body/{turn}");
        assert_eq!(breaks.count(&line) + well.count(&line), 1);
        assert!(status == 200 || status == 502);
    }
    gate.stop().await;
}

#[tokio::test]
async fn late_answers_are_not_asked_for_again() {
    let late = Faulty::start(|_| Act::Bytes(b"", Then::Silence)).await;
    let also_late = Faulty::start(|_| Act::Bytes(b"", Then::Silence)).await;
    let gate = Gate::start(
        SETTINGS,
        &policy(&[&late, &also_late], "timeout.first_byte = \"300ms\"\nhealth.fail = 1000\n"),
    )
    .await;
    let cookie = gate.signed_in("ada", HOST).await;
    let answer = gate.get(HOST, "/x", &[("Cookie", &cookie)]).await;
    assert_eq!(answer.status, 504);
    assert_eq!(
        late.count("GET /x") + also_late.count("GET /x"),
        1,
        "a server that is slow is not given more to do"
    );
    gate.stop().await;
}

#[tokio::test]
async fn repeating_is_bounded_when_everything_breaks() {
    const ASKED: usize = 40;
    // Nothing breaks before all have arrived, so that all would be repeated at once.
    let arrived = Arc::new(AtomicUsize::new(0));
    let together = |arrived: Arc<AtomicUsize>| {
        move |_: &crate::support::faulty::Arrived| {
            arrived.fetch_add(1, Ordering::SeqCst);
            Act::Bytes(b"", Then::Reset)
        }
    };
    let one = Faulty::start(together(Arc::clone(&arrived))).await;
    let two = Faulty::start(together(Arc::clone(&arrived))).await;
    let gate = Gate::start(SETTINGS, &policy(&[&one, &two], "health.fail = 1000\n")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut clients = Vec::new();
    for _ in 0..ASKED {
        clients.push(gate.connect().await);
    }
    for client in &mut clients {
        client.send(&written("GET", "/x", &cookie)).await;
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 502);
    }
    let sent = arrived.load(Ordering::SeqCst);
    assert!(sent <= ASKED + ASKED / 2, "{ASKED} requests arrived {sent} times");
    assert!(sent >= ASKED, "{sent}");
    gate.stop().await;
}

#[tokio::test]
async fn connections_of_a_burst_are_used_again_one_after_the_other() {
    let upstream = Faulty::start(|_| Act::Late(Duration::from_millis(100))).await;
    let gate = Gate::start(SETTINGS, &policy(&[&upstream], "")).await;
    let cookie = gate.signed_in("ada", HOST).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = gate.connect().await;
        client.send(&written("GET", "/burst", &cookie)).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
    let before = upstream.connections();
    upstream.now(|_| Act::Answer);
    for client in &mut clients {
        client.send(&written("GET", "/calm", &cookie)).await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(upstream.connections(), before, "nothing new was needed");
    gate.stop().await;
}
