//! Row 8: applications that answer as none should.

use crate::support::case::{Case, World};
use crate::support::recorder::Answer;
use crate::support::{Asking, Protocol, Reply, Verdict, ensure};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = refused();
    all.extend(cut_off());
    all.extend(poisoned());
    all
}

/// Afterwards the gateway serves on, and nothing of what came before is left in a connection.
fn serves_on(world: &World, protocol: Protocol) -> Verdict {
    for _ in 0..3 {
        let reply = world.ask(protocol, &Asking::get("/public/next"))?;
        ensure!(
            reply.status == 200 && reply.text() == "recorded" && reply.field("x-poison").is_empty(),
            "the next request is answered {} {:?}",
            reply.status,
            reply.text()
        );
    }
    Ok(())
}

fn answered(name: &str, bytes: Vec<u8>, method: &'static str, look: impl Fn(&Reply) -> Verdict + 'static) -> Case {
    Case::story(8, name, Protocol::ALL, move |world, protocol| {
        world.behind.answer(Answer::Bytes(bytes.clone()));
        match world.ask(protocol, &Asking::new(method, "/public/a")) {
            Ok(reply) => {
                ensure!(
                    !reply.text().contains("poison"),
                    "what came behind was taken for the answer: {}",
                    reply.text()
                );
                look(&reply)?;
            }
            // A stream that is reset says as clearly that the answer is not whole.
            Err(why) => look(&Reply::default()).map_err(|_| why)?,
        }
        serves_on(world, protocol)
    })
}

fn refused() -> Vec<Case> {
    let many = "X: y\r\n".repeat(500);
    let mut all = Vec::new();
    for (name, answer) in [
        (
            "a length and chunks",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "chunks and a length",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".to_owned(),
        ),
        (
            "two lengths in a list",
            "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd".to_owned(),
        ),
        (
            "a length with a plus",
            "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc".to_owned(),
        ),
        (
            "a length below nothing",
            "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc".to_owned(),
        ),
        (
            "a length in hexadecimal",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc".to_owned(),
        ),
        ("an empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc".to_owned()),
        (
            "a length beyond 64 bits",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc".to_owned(),
        ),
        (
            "chunked twice",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "identity before chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "a coding nobody knows",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "chunks in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "a NUL in a value",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "a carriage return in a value",
            "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "a control character in a name",
            "HTTP/1.1 200 OK\r\nX\x01: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "a head of 400 kB",
            format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(400_000)),
        ),
        (
            "a head of 70 kB in many fields",
            format!(
                "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
                format!("X: {}\r\n", "a".repeat(990)).repeat(70)
            ),
        ),
        ("five hundred fields", format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n")),
        ("no status", "HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (
            "a status of four digits",
            "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        ("a status below nothing", "HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("another version", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("another protocol", "ICY 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("HTTP/0.9", "<html>hello</html>\r\n\r\n".to_owned()),
        ("TLS", "\x15\x03\x01\0\x02\x02\x16\r\n\r\n".to_owned()),
        (
            "a switch of protocols nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned(),
        ),
    ] {
        all.push(Case::story(8, name, Protocol::ALL, move |world, protocol| {
            world.behind.answer(Answer::Last(answer.clone().into_bytes()));
            let reply = world.ask(protocol, &Asking::get("/public/a"))?;
            ensure!(reply.status == 502, "answered {} {:?}", reply.status, reply.text());
            serves_on(world, protocol)
        }));
    }
    all.push(Case::story(8, "no answer at all", Protocol::ALL, |world, protocol| {
        // Asked with a method that must not be sent twice.
        world.behind.answer(Answer::Nothing);
        let reply = world.ask(protocol, &Asking::new("POST", "/public/a").body("once"))?;
        ensure!(reply.status == 502, "answered {}", reply.status);
        let count = world.arrived()?.len();
        ensure!(count == 1, "it was sent {count} times");
        serves_on(world, protocol)
    }));
    all.push(Case::story(
        8,
        "the gateway's word for it names no address",
        Protocol::ALL,
        |world, protocol| {
            world.behind.answer(Answer::Last(b"no answer\r\n\r\n".to_vec()));
            let reply = world.ask(protocol, &Asking::get("/public/a").browser())?;
            let port = world.behind.address.port().to_string();
            ensure!(
                reply.status == 502 && reply.text().contains("Notebook"),
                "answered {} {}",
                reply.status,
                reply.text()
            );
            ensure!(
                !reply.text().contains("127.0.0.1") && !reply.text().contains(&port),
                "the page tells where the application is"
            );
            Ok(())
        },
    ));
    all
}

/// What is cut off must be seen to be cut off.
fn cut_off() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, answer) in [
        ("less than the length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
        (
            "chunks without end",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ),
        ("half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"),
        (
            "a bad chunk size",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a chunk with a minus",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a chunk longer than it says",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
        ),
        (
            "a chunk beyond 64 bits",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        ),
    ] {
        all.push(Case::story(
            8,
            &format!("cut off: {name}"),
            Protocol::ALL,
            move |world, protocol| {
                world.behind.answer(Answer::Last(answer.as_bytes().to_vec()));
                if let Ok(reply) = world.ask(protocol, &Asking::get("/public/a")) {
                    ensure!(
                        !reply.whole || reply.status == 502,
                        "it looks whole: {} {:?}",
                        reply.status,
                        reply.text()
                    );
                }
                serves_on(world, protocol)
            },
        ));
    }
    all
}

/// What comes behind an answer is nobody's.
fn poisoned() -> Vec<Case> {
    let poison = "HTTP/1.1 200 OK\r\nX-Poison: y\r\nContent-Length: 6\r\n\r\npoison";
    let mut all = Vec::new();
    for (name, method, first) in [
        ("an answer behind a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "an answer behind chunks",
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        (
            "an answer behind one to HEAD",
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        ),
        ("an answer behind 204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "an answer behind 204 with a length",
            "GET",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "an answer behind 304 with a length",
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        ("an answer behind nothing", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        all.push(answered(name, format!("{first}{poison}").into_bytes(), method, |reply| {
            ensure!(matches!(reply.status, 200 | 204 | 304 | 502), "answered {}", reply.status);
            Ok(())
        }));
    }
    all.push(answered(
        "a body behind HEAD",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec(),
        "HEAD",
        |_| Ok(()),
    ));
    all.push(answered(
        "the same length twice",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        "GET",
        |reply| {
            ensure!(matches!(reply.status, 200 | 502), "answered {}", reply.status);
            ensure!(reply.all("content-length").count() <= 1, "two lengths go on");
            Ok(())
        },
    ));
    all.push(answered(
        "folded",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        "GET",
        |reply| {
            ensure!(matches!(reply.status, 200 | 502), "answered {}", reply.status);
            ensure!(!reply.field("x").contains(['\r', '\n']), "a line break goes on");
            Ok(())
        },
    ));
    all.push(answered(
        "a blank before the colon",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length : 2\r\n\r\nok".to_vec(),
        "GET",
        |reply| {
            ensure!(matches!(reply.status, 0 | 200 | 502), "answered {}", reply.status);
            Ok(())
        },
    ));
    all.push(answered(
        "fields of one connection",
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: y\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        "GET",
        |reply| {
            for name in ["x-hop", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade"] {
                ensure!(reply.field(name).is_empty(), "{name} goes on");
            }
            Ok(())
        },
    ));
    all
}
