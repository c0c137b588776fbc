//! Request heads of HTTP/2 that must not be believed: pseudo-headers, names and values, what belongs to a connection, and lengths.

use crate::h2_client::{DATA, END_HEADERS, END_STREAM, Fields, HEADERS, Outcome, PADDED, Peer, block, fields, frame, get, post, with};
use crate::support::case::{APP, OTHER, Verdict, World};
use crate::support::readers::Message;
use crate::support::{Asking, Case, Protocol, ensure, readers, show};

const H2: &[Protocol] = &[Protocol::H2];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = pseudo_headers();
    all.extend(names_and_values());
    all.extend(of_the_connection());
    all.extend(lengths());
    all
}

/// A request that must be stopped, with nothing of it upstream; the gateway goes on serving others.
pub(crate) fn refused(row: u8, name: &str, request: Fields) -> Case {
    Case::story(row, name, H2, move |world, _| {
        let mut peer = Peer::open(world);
        peer.ask(1, &request);
        stopped(world, peer.outcome(1))
    })
}

pub(crate) fn stopped(world: &World, outcome: Outcome) -> Verdict {
    ensure!(outcome.is_refusal(), "not refused but {outcome:?}");
    world.nothing_arrived()?;
    goes_on(world)
}

pub(crate) fn goes_on(world: &World) -> Verdict {
    let reply = world.ask(Protocol::H2, &Asking::get("/public/after"))?;
    ensure!(reply.status == 200, "the next connection is answered {}", reply.status);
    Ok(())
}

/// A request that passes, and what of it must have arrived.
pub(crate) fn passed(row: u8, name: &str, request: Fields, look: impl Fn(&Message) -> Verdict + 'static) -> Case {
    Case::story(row, name, H2, move |world, _| {
        let mut peer = Peer::open(world);
        peer.ask(1, &request);
        let outcome = peer.outcome(1);
        ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
        look(&world.arrived_one()?)
    })
}

/// The same request with one of its fields replaced by others.
pub(crate) fn instead(name: &str, by: &[(&str, &str)]) -> Fields {
    let mut request: Fields = get("/public/x").into_iter().filter(|field| field.0 != name.as_bytes()).collect();
    request.extend(fields(by));
    request
}

fn pseudo_headers() -> Vec<Case> {
    let late = |field: (&str, &str)| {
        let mut request = with(get("/public/x"), &[("accept", "*/*")]);
        request.extend(fields(&[field]));
        request
    };
    vec![
        refused(16, "no :method", instead(":method", &[])),
        refused(16, "no :scheme", instead(":scheme", &[])),
        refused(16, "no :path", instead(":path", &[])),
        refused(16, "two :method", instead(":method", &[(":method", "GET"), (":method", "POST")])),
        refused(16, "two :scheme", instead(":scheme", &[(":scheme", "https"), (":scheme", "https")])),
        refused(16, "two :path", instead(":path", &[(":path", "/public/x"), (":path", "/admin/x")])),
        refused(16, "a pseudo-header of answers", with(get("/public/x"), &[(":status", "200")])),
        refused(16, "a pseudo-header nobody knows", with(get("/public/x"), &[(":role", "admin")])),
        refused(
            16,
            ":protocol without CONNECT",
            with(get("/public/x"), &[(":protocol", "websocket")]),
        ),
        refused(16, ":path after a field", late((":path", "/admin/x"))),
        refused(16, ":authority after a field", late((":authority", OTHER))),
        refused(16, "a pseudo-header in capitals", instead(":path", &[(":PATH", "/public/x")])),
        refused(16, "a name that is only a colon", with(get("/public/x"), &[(":", "x")])),
        refused(
            5,
            "two :authority",
            instead(":authority", &[(":authority", APP), (":authority", OTHER)]),
        ),
        refused(5, "neither :authority nor host", instead(":authority", &[])),
        refused(5, "an empty :authority", instead(":authority", &[(":authority", "")])),
        refused(
            5,
            ":authority with a user",
            instead(":authority", &[(":authority", "eln.localhost@other.localhost")]),
        ),
        refused(
            5,
            ":authority with a path",
            instead(":authority", &[(":authority", "eln.localhost/x")]),
        ),
        refused(
            5,
            ":authority with a blank",
            instead(":authority", &[(":authority", "eln.localhost ")]),
        ),
        refused(
            5,
            ":authority with two ports",
            instead(":authority", &[(":authority", "eln.localhost:80:81")]),
        ),
        refused(
            5,
            ":authority of a host nobody knows",
            instead(":authority", &[(":authority", "evil.localhost")]),
        ),
        refused(5, "host is not :authority", with(get("/public/x"), &[("host", OTHER)])),
        refused(5, "host twice", instead(":authority", &[("host", APP), ("host", OTHER)])),
        refused(
            5,
            "host twice beside :authority",
            with(get("/public/x"), &[("host", APP), ("host", APP)]),
        ),
        refused(13, "an empty :path", instead(":path", &[(":path", "")])),
        refused(13, ":path without a slash", instead(":path", &[(":path", "admin/x")])),
        refused(
            13,
            ":path is an address elsewhere",
            instead(":path", &[(":path", "https://other.localhost/public/x")]),
        ),
        refused(13, ":path is * in a GET", instead(":path", &[(":path", "*")])),
        refused(
            13,
            ":path with a blank and a version",
            instead(":path", &[(":path", "/public/x HTTP/1.1")]),
        ),
        refused(
            13,
            ":path with lines of HTTP/1",
            instead(
                ":path",
                &[(":path", "/public/x HTTP/1.1\r\nhost: eln.localhost\r\n\r\nGET /smuggled")],
            ),
        ),
        refused(13, ":path with a tab", instead(":path", &[(":path", "/public/x\ty")])),
        refused(13, ":path with a NUL", instead(":path", &[(":path", "/public/x\0y")])),
        refused(
            13,
            ":scheme is neither http nor https",
            instead(":scheme", &[(":scheme", "javascript")]),
        ),
        refused(
            13,
            ":scheme holds an address",
            instead(":scheme", &[(":scheme", "https://other.localhost/x?")]),
        ),
        refused(
            4,
            ":method with a blank",
            instead(":method", &[(":method", "GET /smuggled HTTP/1.1\r\nx: ")]),
        ),
        refused(4, "an empty :method", instead(":method", &[(":method", "")])),
        refused(7, "TRACE", instead(":method", &[(":method", "TRACE")])),
        passed(5, "host alone names the host", instead(":authority", &[("host", APP)]), |message| {
            ensure!(message.all("host").eq([APP]), "host is {:?}", message.field("host"));
            Ok(())
        }),
        passed(
            13,
            "a fragment neither counts nor arrives",
            instead(":path", &[(":path", "/public/x#/../../admin")]),
            |message| {
                ensure!(message.target == "/public/x", "{} arrived", message.target);
                Ok(())
            },
        ),
        passed(
            5,
            "host that is :authority arrives once",
            with(get("/public/x"), &[("host", APP)]),
            |message| {
                ensure!(message.all("host").eq([APP]), "hosts {:?}", message.all("host").collect::<Vec<_>>());
                Ok(())
            },
        ),
    ]
}

fn names_and_values() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, field) in [
        ("a name in capitals", "X-Portcullis-User"),
        ("a name with one capital", "accepT"),
        ("an empty name", ""),
        ("a name with a blank", "x y"),
        ("a name with a colon", "x:y"),
        ("a name with a line", "x\r\nx-portcullis-user"),
        ("a name with a NUL", "x\0"),
        ("a name with a delete", "x\x7f"),
        ("a name that is not ASCII", "x-portcullis-usér"),
    ] {
        all.push(refused(4, name, with(get("/public/x"), &[(field, "ada")])));
    }
    for (name, value) in [
        ("a value with a line", "a\r\nx-portcullis-user: ada"),
        (
            "a value with a request",
            "a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: eln.localhost\r\n\r\n",
        ),
        ("a value with a line feed", "a\nx-portcullis-user: ada"),
        ("a value with a carriage return", "a\rb"),
        ("a value with a NUL", "a\0b"),
        ("a value with a delete", "a\x7fb"),
        ("a value that begins with a blank", " a"),
        ("a value that ends with a blank", "a "),
        ("a value that ends with a tab", "a\t"),
    ] {
        all.push(refused(4, name, with(get("/public/x"), &[("x-note", value)])));
    }
    all.push(passed(
        4,
        "what is allowed in values arrives as it is",
        with(get("/public/x"), &[("x-note", "a \t b, \"c\""), ("x-none", "")]),
        |message| {
            ensure!(message.field("x-note") == "a \t b, \"c\"", "{:?}", message.field("x-note"));
            Ok(())
        },
    ));
    all
}

fn of_the_connection() -> Vec<Case> {
    let mut all = Vec::new();
    for (row, field, value) in [
        (10, "connection", "close"),
        (10, "connection", "x-portcullis-user"),
        (10, "connection", "keep-alive, upgrade"),
        (10, "keep-alive", "timeout=5"),
        (10, "proxy-connection", "keep-alive"),
        (1, "transfer-encoding", "chunked"),
        (1, "transfer-encoding", "identity"),
        (1, "transfer-encoding", ""),
        (7, "upgrade", "h2c"),
        (7, "upgrade", "websocket"),
        (10, "te", "gzip"),
        (10, "te", "trailers, deflate"),
        (10, "te", ""),
    ] {
        all.push(refused(
            row,
            &format!("{field}: {value}"),
            with(get("/public/x"), &[(field, value)]),
        ));
    }
    all.push(passed(
        10,
        "te: trailers",
        with(get("/public/x"), &[("te", "trailers")]),
        |message| {
            let named: Vec<_> = message
                .all("connection")
                .filter(|value| value.to_ascii_lowercase().contains("x-"))
                .collect();
            ensure!(named.is_empty(), "connection names {named:?}");
            Ok(())
        },
    ));
    for field in ["http2-settings", "proxy-authorization", "trailer", "alt-used"] {
        all.push(passed(
            10,
            &format!("{field} reaches nobody who could take it for the gateway's"),
            with(get("/public/x"), &[(field, "AAMAAABk")]),
            move |message| {
                let kept = message.field(field);
                let harmless = kept.is_empty() || field == "alt-used";
                ensure!(harmless, "{field} arrived as {kept:?}");
                Ok(())
            },
        ));
    }
    all
}

/// A POST in pieces: a head, then DATA frames; the last one ends the stream.
fn in_pieces(request: &Fields, data: &[&[u8]]) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(request));
    for (at, piece) in data.iter().enumerate() {
        let last = if at + 1 == data.len() { END_STREAM } else { 0 };
        bytes.extend(frame(DATA, last, 1, piece));
    }
    bytes
}

/// A body whose length is a lie: it may not be answered as if it were one, and nothing whole may arrive.
fn lies(name: &str, length: &str, data: &'static [&'static [u8]]) -> Case {
    let request = with(post("/public/x"), &[("content-length", length)]);
    Case::story(2, name, H2, move |world, _| {
        let mut peer = Peer::open(world);
        peer.send(&in_pieces(&request, data));
        let outcome = peer.outcome(1);
        ensure!(outcome != Outcome::Answered(200) && outcome != Outcome::Silence, "{outcome:?}");
        for bytes in world.behind.arrived() {
            ensure!(
                !matches!(readers::next(&bytes), readers::Next::Whole(_)),
                "a whole request arrived: {}",
                show(&bytes)
            );
            ensure!(
                !String::from_utf8_lossy(&bytes).contains("smuggled"),
                "more arrived: {}",
                show(&bytes)
            );
        }
        goes_on(world)
    })
}

fn lengths() -> Vec<Case> {
    let mut all = vec![
        lies("a body shorter than its length", "9", &[b"four"]),
        lies("a body longer than its length", "2", &[b"four"]),
        lies(
            "a body longer than its length, a request behind",
            "4",
            &[b"four", b"GET /smuggled HTTP/1.1\r\nhost: eln.localhost\r\n\r\n"],
        ),
        lies(
            "a body for a length of zero",
            "0",
            &[b"GET /smuggled HTTP/1.1\r\nhost: eln.localhost\r\n\r\n"],
        ),
        lies("no body for a length", "4", &[b""]),
        lies("a body in pieces that ends early", "12", &[b"four", b"", b"four"]),
    ];
    for (name, value) in [
        ("with a sign", "+4"),
        ("below zero", "-4"),
        ("a list", "4, 4"),
        ("in hexadecimal", "0x4"),
        ("with a blank before", " 4"),
        ("with a blank behind", "4 "),
        ("empty", ""),
        ("a word", "four"),
        ("of 2^64 + 4", "18446744073709551620"),
        ("with a fraction", "4.0"),
    ] {
        let request = with(post("/public/x"), &[("content-length", value)]);
        all.push(Case::story(2, &format!("a content-length {name}"), H2, move |world, _| {
            let mut peer = Peer::open(world);
            peer.send(&in_pieces(&request, &[b"four"]));
            stopped(world, peer.outcome(1))
        }));
    }
    let twice = with(post("/public/x"), &[("content-length", "4"), ("content-length", "5")]);
    all.push(Case::story(2, "two content-lengths", H2, move |world, _| {
        let mut peer = Peer::open(world);
        peer.send(&in_pieces(&twice, &[b"four"]));
        stopped(world, peer.outcome(1))
    }));
    all.push(refused(
        2,
        "a content-length and no body at all",
        with(post("/public/x"), &[("content-length", "4")]),
    ));
    all.push(Case::story(2, "a body in many pieces arrives as one", H2, |world, _| {
        let mut peer = Peer::open(world);
        peer.send(&in_pieces(&post("/public/x"), &[b"one ", b"", b"two ", b"three", b""]));
        let outcome = peer.outcome(1);
        ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
        let arrived = world.arrived_one()?;
        ensure!(arrived.body == b"one two three", "{}", show(&arrived.body));
        Ok(())
    }));
    all.push(Case::story(2, "padding of a body does not arrive", H2, |world, _| {
        let mut peer = Peer::open(world);
        let request = with(post("/public/x"), &[("content-length", "4")]);
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&request));
        bytes.extend(frame(DATA, END_STREAM | PADDED, 1, b"\x05four\0\0\0\0\0"));
        peer.send(&bytes);
        let outcome = peer.outcome(1);
        ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
        let arrived = world.arrived_one()?;
        ensure!(arrived.body == b"four", "{}", show(&arrived.body));
        Ok(())
    }));
    all
}
