//! Rows 6 and 7: bytes that are left over, and connections that would become something else.

use std::time::Duration;

use crate::support::case::{Case, World};
use crate::support::recorder::Answer;
use crate::support::wire::PATIENCE;
use crate::support::{Asking, Line, Protocol, Verdict, ensure, readers};

const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: eln.localhost\r\n\r\n";
const AFTER: &str = "GET /public/after HTTP/1.1\r\nHost: eln.localhost\r\n\r\n";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) fn cases() -> Vec<Case> {
    let mut all = refusals();
    all.extend(early_answers());
    all.extend(upgrades());
    all.extend(expectations());
    all
}

/// After a refusal the body is thrown away or the connection ends; it is never read as a request.
fn never_a_request(world: &World, line: &mut Line, statuses: &[u16]) -> Verdict {
    let first = line.answer().ok_or("no answer")?;
    ensure!(statuses.contains(&first.status), "answered {}", first.status);
    let second = line.answer();
    ensure!(
        second.as_ref().is_none_or(|reply| matches!(reply.status, 200 | 400 | 408)),
        "what follows is answered {second:?}"
    );
    ensure!(line.answer_within(Duration::from_millis(60)).is_none(), "a third answer");
    let arrived = world.arrived()?;
    ensure!(
        arrived.iter().all(|message| message.target == "/public/after") && arrived.len() <= 1,
        "arrived: {:?}",
        arrived.iter().map(|message| &message.target).collect::<Vec<_>>()
    );
    Ok(())
}

fn refusals() -> Vec<Case> {
    let mut all = Vec::new();
    let length = SMUGGLED.len();
    for (name, line, fields, statuses) in [
        ("nobody is signed in", "POST /in/x", "Host: eln.localhost\r\n", &[401][..]),
        ("not an administrator's", "PUT /admin/x", "Host: eln.localhost\r\n", &[401]),
        ("an unknown host", "POST /public/x", "Host: evil.example\r\n", &[421]),
        ("a path with dots", "POST /public/../x", "Host: eln.localhost\r\n", &[400]),
        ("nothing here", "POST /.portcullis/nothing", "Host: eln.localhost\r\n", &[404]),
        (
            "no form of ours",
            "POST /.portcullis/sign-in",
            "Host: sso.localhost\r\nContent-Type: text/plain\r\n",
            &[415],
        ),
        (
            "another site's form",
            "POST /.portcullis/sign-in",
            "Host: sso.localhost\r\nOrigin: http://evil.example\r\n",
            &[403],
        ),
        (
            "a method no page takes",
            "PUT /.portcullis/whoami",
            "Host: sso.localhost\r\n",
            &[405],
        ),
        (
            "two cookies of ours",
            "POST /public/x",
            "Host: eln.localhost\r\nCookie: portcullis=a; portcullis=b\r\n",
            &[400],
        ),
        (
            "a page that takes no body",
            "GET /.portcullis/whoami",
            "Host: sso.localhost\r\n",
            &[200],
        ),
        ("a redirect", "GET /.portcullis/admin", "Host: eln.localhost\r\n", &[302]),
    ] {
        let head = format!("{line} HTTP/1.1\r\n{fields}");
        let with_length = format!("{head}Content-Length: {length}\r\n\r\n{SMUGGLED}{AFTER}");
        all.push(Case::story(
            6,
            &format!("a refusal: {name}"),
            Protocol::HTTP1,
            move |world, protocol| {
                let mut line = world.line(protocol);
                line.send(with_length.as_bytes());
                never_a_request(world, &mut line, statuses)
            },
        ));
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n{AFTER}");
        all.push(Case::story(
            6,
            &format!("a refusal: {name}, in chunks"),
            Protocol::HTTP1,
            move |world, protocol| {
                let mut line = world.line(protocol);
                line.send(chunked.as_bytes());
                never_a_request(world, &mut line, statuses)
            },
        ));
    }
    all.push(Case::story(
        6,
        "the body comes after the refusal",
        Protocol::HTTP1,
        move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(format!("POST /in/x HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: {length}\r\n\r\n").as_bytes());
            let first = line.answer().ok_or("no answer")?;
            ensure!(first.status == 401, "answered {}", first.status);
            line.send(format!("{SMUGGLED}{AFTER}").as_bytes());
            let second = line.answer();
            ensure!(
                second.as_ref().is_none_or(|reply| reply.status == 200),
                "what follows is answered {second:?}"
            );
            let arrived = world.arrived()?;
            ensure!(arrived.iter().all(|message| message.target == "/public/after"), "smuggled");
            Ok(())
        },
    ));
    all.push(Case::story(
        6,
        "a refusal and a megabyte that nobody wants",
        Protocol::HTTP1,
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(b"POST /in/x HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: 1000000000\r\n\r\n");
            let first = line.answer().ok_or("no answer")?;
            ensure!(first.status == 401, "answered {}", first.status);
            for _ in 0..64 {
                if !line.send(&[b'x'; 65536]) {
                    return world.nothing_arrived();
                }
            }
            ensure!(line.until_closed(PATIENCE), "it goes on reading");
            world.nothing_arrived()
        },
    ));
    all.push(Case::story(6, "a body larger than its application takes", Protocol::HTTP1, |world, protocol| {
        let mut line = world.line(protocol);
        let body = SMUGGLED.repeat(40);
        line.send(format!("POST /public/small HTTP/1.1\r\nHost: eln.localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n{AFTER}", body.len()).as_bytes());
        let first = line.answer().ok_or("no answer")?;
        ensure!(first.status == 413, "answered {}", first.status);
        let _ = line.answer();
        for bytes in world.behind.arrived() {
            ensure!(readers::never(&bytes, "/public/smuggled"), "smuggled");
        }
        Ok(())
    }));
    all
}

fn early_answers() -> Vec<Case> {
    let early = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
    let mut all = Vec::new();
    for (name, answer) in [
        ("and stays", Answer::Early(early.to_vec())),
        (
            "and says it closes",
            Answer::Early(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly".to_vec()),
        ),
        (
            "with a refusal",
            Answer::Early(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly".to_vec()),
        ),
    ] {
        for (spelling, head, begin, rest) in [
            (
                "a length",
                "Content-Length: 200\r\n",
                "0123456789".to_owned(),
                format!("{SMUGGLED}{}", "x".repeat(190 - SMUGGLED.len())),
            ),
            (
                "chunks",
                "Transfer-Encoding: chunked\r\n",
                "a\r\n0123456789\r\n".to_owned(),
                format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
            ),
        ] {
            let answer = answer.clone();
            all.push(Case::story(
                6,
                &format!("the application answers early {name}, {spelling}"),
                Protocol::HTTP1,
                move |world, protocol| {
                    world.behind.answer(answer.clone());
                    let mut line = world.line(protocol);
                    line.send(format!("POST /public/early HTTP/1.1\r\nHost: eln.localhost\r\n{head}\r\n{begin}").as_bytes());
                    let reply = line.answer().ok_or("no answer")?;
                    ensure!(matches!(reply.status, 200 | 413), "answered {}", reply.status);
                    // Somebody else asks meanwhile: theirs must not become a part of the body that is not whole.
                    for _ in 0..3 {
                        let other = world.ask(protocol, &Asking::get("/public/other"))?;
                        ensure!(
                            other.status == 200 && other.text() == "recorded",
                            "somebody else is answered {} {}",
                            other.status,
                            other.text()
                        );
                    }
                    line.send(format!("{rest}{AFTER}").as_bytes());
                    let _ = line.answer();
                    let mut others = 0;
                    for bytes in world.behind.arrived() {
                        ensure!(readers::never(&bytes, "/public/smuggled"), "smuggled");
                        others += readers::count(&bytes, "/public/other");
                    }
                    ensure!(others == 3, "{others} of somebody else's three requests arrived as requests");
                    Ok(())
                },
            ));
        }
    }
    all.push(Case::story(
        6,
        "the client goes away within its body",
        Protocol::HTTP1,
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(b"POST /public/half HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: 200\r\n\r\n0123456789");
            ensure!(
                world.behind.wait_for(|got| got.iter().any(|bytes| bytes.ends_with(b"0123456789"))),
                "the body is held back"
            );
            drop(line);
            for _ in 0..3 {
                let other = world.ask(protocol, &Asking::get("/public/other"))?;
                ensure!(other.status == 200, "somebody else is answered {}", other.status);
            }
            let others: usize = world
                .behind
                .arrived()
                .iter()
                .map(|bytes| readers::count(bytes, "/public/other"))
                .sum();
            ensure!(others == 3, "{others} of somebody else's three requests arrived as requests");
            Ok(())
        },
    ));
    all.push(Case::story(
        6,
        "pipelined requests keep their order and their edges",
        Protocol::HTTP1,
        |world, protocol| {
            let mut line = world.line(protocol);
            let body = format!(
                "POST /public/p1 HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            );
            line.send(format!("{body}{AFTER}{body}{AFTER}").as_bytes());
            for number in 0..4 {
                let reply = line.answer().ok_or(format!("no answer {number}"))?;
                ensure!(reply.status == 200, "answered {}", reply.status);
            }
            let arrived = world.arrived()?;
            ensure!(
                arrived.len() == 4 && arrived.iter().all(|message| message.target != "/public/smuggled"),
                "{} arrived",
                arrived.len()
            );
            Ok(())
        },
    ));
    all.push(Case::story(6, "a body in single bytes", Protocol::HTTP1, |world, protocol| {
        let mut line = world.line(protocol);
        let text = format!(
            "POST /public/slow HTTP/1.1\r\nHost: eln.localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n{AFTER}",
            SMUGGLED.len()
        );
        for byte in text.bytes() {
            line.send(&[byte]);
        }
        for target in ["/public/slow", "/public/after"] {
            let reply = line.answer().ok_or(format!("no answer to {target}"))?;
            ensure!(reply.status == 200, "{target} is answered {}", reply.status);
        }
        let arrived = world.arrived()?;
        ensure!(
            arrived.len() == 2 && arrived.iter().all(|message| message.target != "/public/smuggled"),
            "{} arrived",
            arrived.len()
        );
        Ok(())
    }));
    all
}

fn handshake(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: eln.localhost\r\n{fields}\r\n")
}

fn websocket(target: &str) -> String {
    handshake(
        target,
        &format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"),
    )
}

fn agreed(more: &str) -> Vec<u8> {
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n")
        .into_bytes()
}

/// The request goes on as an ordinary one, without `Upgrade`, and what follows it is a request again.
fn ordinary(name: &str, head: String) -> Case {
    Case::story(7, name, Protocol::HTTP1, move |world, protocol| {
        let mut line = world.line(protocol);
        line.send(format!("{head}{AFTER}").as_bytes());
        let reply = line.answer().ok_or("no answer")?;
        ensure!(reply.status != 101, "it switched protocols");
        let _ = line.answer();
        for message in world.arrived()? {
            ensure!(message.field("upgrade").is_empty(), "Upgrade: {} went on", message.field("upgrade"));
            ensure!(message.field("http2-settings").is_empty(), "HTTP2-Settings went on");
            ensure!(
                !message.field("connection").to_ascii_lowercase().contains("upgrade"),
                "Connection: upgrade went on"
            );
        }
        Ok(())
    })
}

fn upgrades() -> Vec<Case> {
    let settings = "HTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let socket = format!("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n");
    let mut all = vec![
        ordinary(
            "h2c",
            handshake(
                "/public/a",
                &format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"),
            ),
        ),
        ordinary(
            "h2c where WebSockets may be",
            handshake(
                "/socket",
                &format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"),
            ),
        ),
        ordinary(
            "h2c without being told of",
            handshake("/public/a", &format!("Upgrade: h2c\r\n{settings}")),
        ),
        ordinary(
            "h2c in upper case",
            handshake("/public/a", &format!("Connection: UPGRADE\r\nUpgrade: H2C\r\n{settings}")),
        ),
        ordinary(
            "h2c beside a WebSocket",
            handshake(
                "/socket",
                &format!("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{settings}{socket}"),
            ),
        ),
        ordinary(
            "h2c after a WebSocket",
            handshake(
                "/socket",
                &format!("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n{settings}{socket}"),
            ),
        ),
        ordinary(
            "h2c before a WebSocket",
            handshake(
                "/socket",
                &format!("Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n{settings}{socket}"),
            ),
        ),
        ordinary("TLS", handshake("/public/a", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n")),
        ordinary(
            "another HTTP",
            handshake("/public/a", "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n"),
        ),
        ordinary(
            "a tunnel for UDP",
            handshake("/socket", "Connection: Upgrade\r\nUpgrade: connect-udp\r\nCapsule-Protocol: ?1\r\n"),
        ),
        ordinary("a WebSocket where none may be", websocket("/public/a")),
        ordinary(
            "a WebSocket with an old version",
            websocket("/socket").replace("Version: 13", "Version: 8"),
        ),
        ordinary("a WebSocket with a short key", websocket("/socket").replace(KEY, "AAAA")),
        ordinary(
            "a WebSocket without a key",
            handshake(
                "/socket",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            ),
        ),
        ordinary("a WebSocket by POST", websocket("/socket").replace("GET ", "POST ")),
        ordinary("a WebSocket in HTTP/1.0", websocket("/socket").replace("HTTP/1.1", "HTTP/1.0")),
        ordinary(
            "a WebSocket without Connection",
            handshake("/socket", &format!("Upgrade: websocket\r\n{socket}")),
        ),
        ordinary(
            "a WebSocket with a body",
            websocket("/socket")
                .replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")
                .replace("Version: 13", "Version: 7"),
        ),
    ];
    all.push(Case::story(
        7,
        "a WebSocket where all is right",
        Protocol::HTTP1,
        |world, protocol| {
            world.behind.answer(Answer::Tunnel(agreed("")));
            let mut line = world.line(protocol);
            line.send(websocket("/socket").as_bytes());
            let reply = line.answer().ok_or("no answer")?;
            ensure!(reply.status == 101, "answered {}", reply.status);
            line.send(b"\x81\x85\0\0\0\0hello");
            ensure!(
                world.behind.wait_for(|got| got.iter().any(|bytes| bytes.ends_with(b"hello"))),
                "nothing passes"
            );
            Ok(())
        },
    ));
    for (name, answer) in [
        (
            "with a wrong answer to the key",
            String::from_utf8(agreed(""))
                .unwrap()
                .replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ),
        (
            "without an answer to the key",
            String::from_utf8(agreed(""))
                .unwrap()
                .replace(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"), ""),
        ),
        (
            "to something else",
            String::from_utf8(agreed("")).unwrap().replace("Upgrade: websocket", "Upgrade: h2c"),
        ),
        (
            "to nothing",
            String::from_utf8(agreed("")).unwrap().replace("Upgrade: websocket\r\n", ""),
        ),
    ] {
        all.push(Case::story(
            7,
            &format!("the application agrees {name}"),
            Protocol::HTTP1,
            move |world, protocol| {
                world.behind.answer(Answer::Tunnel(answer.clone().into_bytes()));
                let mut line = world.line(protocol);
                line.send(format!("{}{SMUGGLED}", websocket("/socket")).as_bytes());
                let reply = line.answer().ok_or("no answer")?;
                ensure!(reply.status == 502, "answered {}", reply.status);
                let _ = line.answer();
                for bytes in world.behind.arrived() {
                    let socket = bytes.windows(8).any(|window| window == b"/socket ");
                    ensure!(!socket || readers::never(&bytes, "/public/smuggled"), "bytes went through");
                }
                Ok(())
            },
        ));
    }
    for (name, answer) in [
        ("declines", "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"),
        ("answers as if nothing was asked", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        all.push(Case::story(
            7,
            &format!("the application {name}, and the client goes on"),
            Protocol::HTTP1,
            move |world, protocol| {
                world.behind.answer(Answer::Bytes(answer.as_bytes().to_vec()));
                let mut line = world.line(protocol);
                line.send(websocket("/socket").as_bytes());
                let reply = line.answer().ok_or("no answer")?;
                ensure!(matches!(reply.status, 200 | 426), "answered {}", reply.status);
                // What comes now is judged like any other request.
                line.send(b"GET /admin/smuggled HTTP/1.1\r\nHost: eln.localhost\r\n\r\n");
                let second = line.answer();
                ensure!(
                    second.as_ref().is_none_or(|reply| matches!(reply.status, 302 | 401)),
                    "answered {second:?}"
                );
                for bytes in world.behind.arrived() {
                    ensure!(readers::never(&bytes, "/admin/smuggled"), "smuggled");
                }
                Ok(())
            },
        ));
    }
    all.push(Case::story(
        7,
        "the application switches unasked",
        Protocol::ALL,
        |world, protocol| {
            world.behind.answer(Answer::Tunnel(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec(),
            ));
            let reply = world.ask(protocol, &Asking::get("/public/a"))?;
            ensure!(reply.status == 502, "answered {}", reply.status);
            Ok(())
        },
    ));
    all.push(Case::story(
        7,
        "HTTP/2 without TLS, at once",
        &[Protocol::Clear],
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
            ensure!(line.until_closed(PATIENCE), "the connection stays open");
            ensure!(
                !line.got.windows(9).any(|window| window[3..] == [4, 0, 0, 0, 0, 0]),
                "it speaks HTTP/2"
            );
            world.nothing_arrived()
        },
    ));
    all
}

fn expectations() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, value) in [
        ("another", "200-ok"),
        ("a list", "100-continue, 200-ok"),
        ("a parameter", "100-continue;q=1"),
        ("empty", ""),
        ("with a blank", "100 continue"),
    ] {
        let text = format!("POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\nhello{SMUGGLED}");
        all.push(Case::refused(7, &format!("an expectation: {name}"), text, &[400, 417]));
    }
    all.push(Case::refused(
        7,
        "an expectation: two",
        format!("POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello{SMUGGLED}"),
        &[400, 417],
    ));
    all.push(Case::story(
        7,
        "an expectation is met by us and goes no further",
        Protocol::HTTP1,
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(b"POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n");
            let end = std::time::Instant::now() + PATIENCE;
            while !line.got.starts_with(b"HTTP/1.1 100 ") && std::time::Instant::now() < end {
                let _ = line.hear(PATIENCE);
            }
            line.send(b"hello");
            let reply = line.answer().ok_or("no answer")?;
            ensure!(reply.status == 200, "answered {}", reply.status);
            let one = world.arrived_one()?;
            ensure!(one.field("expect").is_empty() && one.body == b"hello", "it went on");
            Ok(())
        },
    ));
    all.push(Case::story(
        7,
        "an expectation that is refused, and a body that is a request",
        Protocol::HTTP1,
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(
                format!(
                    "POST /in/a HTTP/1.1\r\nHost: eln.localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
                    SMUGGLED.len()
                )
                .as_bytes(),
            );
            let reply = line.answer().ok_or("no answer")?;
            ensure!(reply.status == 401, "answered {}", reply.status);
            line.send(format!("{SMUGGLED}{AFTER}").as_bytes());
            let _ = line.answer();
            let arrived = world.arrived()?;
            ensure!(arrived.iter().all(|message| message.target == "/public/after"), "smuggled");
            Ok(())
        },
    ));
    all.push(Case::story(7, "an expectation over HTTP/2", &[Protocol::H2], |world, protocol| {
        let reply = world.ask(
            protocol,
            &Asking::new("POST", "/public/a").field("expect", "100-continue").body("hello"),
        )?;
        ensure!(reply.status == 200, "answered {}", reply.status);
        ensure!(world.arrived_one()?.field("expect").is_empty(), "it went on");
        Ok(())
    }));
    all
}
