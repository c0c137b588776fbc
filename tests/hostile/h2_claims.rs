//! What HTTP/2 could carry past the gateway: claims of who somebody is, paths, cookies in crumbs, and other protocols.

use crate::h2_client::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PREFACE, Peer, SETTINGS, WHOLE, block, fields, frame, from_table, get,
    indexed, literal, never_indexed, post, with,
};
use crate::h2_heads::{goes_on, passed, refused, stopped};
use crate::support::case::{APP, Setup, Verdict};
use crate::support::readers::Message;
use crate::support::recorder::Answer;
use crate::support::wire::PATIENCE;
use crate::support::{Asking, Case, Protocol, ensure, readers, show};

const H2: &[Protocol] = &[Protocol::H2];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = identities();
    all.extend(paths());
    all.extend(cookies());
    all.extend(other_protocols());
    all
}

/// Names that mean who somebody is, in spellings that a server behind may fold to one.
const CLAIMS: [&str; 8] = [
    "x-portcullis-user",
    "x_portcullis_user",
    "x-portcullis_user",
    "x.portcullis.user",
    "x--portcullis--user",
    "x-portcullis-roles",
    "x-portcullis-jwt-assertion",
    "xportcullisuser",
];

fn nothing_claimed(message: &Message) -> Verdict {
    for (name, value) in &message.fields {
        ensure!(value != "mallory" && !value.contains("mallory"), "{name}: {value} arrived");
    }
    ensure!(!message.body.windows(7).any(|part| part == b"mallory"), "it arrived in the body");
    Ok(())
}

fn identities() -> Vec<Case> {
    let mut all = Vec::new();
    for claim in CLAIMS {
        all.push(passed(
            9,
            &format!("{claim} by hand"),
            with(get("/told/x"), &[(claim, "mallory")]),
            nothing_claimed,
        ));
        let name = claim.to_owned();
        all.push(Case::story(9, &format!("{claim} in trailers"), H2, move |world, _| {
            let mut peer = Peer::open(world);
            let trailers = fields(&[(&name, "mallory"), ("x-after", "y")]);
            let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&post("/told/x")));
            bytes.extend(frame(DATA, 0, 1, b"body"));
            bytes.extend(frame(HEADERS, WHOLE, 1, &block(&trailers)));
            peer.send(&bytes);
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            nothing_claimed(&world.arrived_one()?)
        }));
    }
    let claim = |coded: Vec<u8>| [block(&get("/told/x")), coded].concat();
    let sent = |name: &'static str, bytes: Vec<u8>| {
        Case::story(9, name, H2, move |world, _| {
            let mut peer = Peer::open(world);
            peer.send(&bytes);
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            nothing_claimed(&world.arrived_one()?)
        })
    };
    let coded = claim(never_indexed(b"x-portcullis-user", b"mallory"));
    all.push(sent("a claim that no table may keep", frame(HEADERS, WHOLE, 1, &coded)));
    let coded = claim([indexed(b"x-portcullis-user", b"mallory"), from_table(62)].concat());
    all.push(sent("a claim out of the table", frame(HEADERS, WHOLE, 1, &coded)));
    let coded = claim(literal(b"x-portcullis-user", b"mallory"));
    let middle = coded.len() - 16;
    let halves = [
        frame(HEADERS, END_STREAM, 1, &coded[..middle]),
        frame(CONTINUATION, END_HEADERS, 1, &coded[middle..]),
    ];
    all.push(sent("a claim cut in two frames", halves.concat()));
    all.push(Case::story(
        9,
        "a claim that an earlier request left in the table",
        H2,
        |world, _| {
            let mut peer = Peer::open(world);
            let first = [block(&get("/told/first")), indexed(b"x-portcullis-user", b"mallory")].concat();
            peer.send(&frame(HEADERS, WHOLE, 1, &first));
            ensure!(peer.outcome(1) == Outcome::Answered(200), "the first is not answered");
            peer.send(&frame(HEADERS, WHOLE, 3, &[block(&get("/told/second")), from_table(62)].concat()));
            ensure!(peer.outcome(3) == Outcome::Answered(200), "the second is not answered");
            world.arrived()?.iter().try_for_each(nothing_claimed)
        },
    ));
    for forwarded in [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "x_forwarded_for",
    ] {
        all.push(passed(
            11,
            &format!("{forwarded} by hand"),
            with(get("/public/x"), &[(forwarded, "mallory")]),
            nothing_claimed,
        ));
    }
    for (name, trailers) in [
        ("capitals in trailers", fields(&[("X-Note", "y")])),
        ("connection in trailers", fields(&[("connection", "close")])),
        ("a line in trailers", fields(&[("x-note", "a\r\nx-portcullis-user: mallory")])),
    ] {
        all.push(Case::story(9, name, H2, move |world, _| {
            let mut peer = Peer::open(world);
            let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&post("/public/x")));
            bytes.extend(frame(DATA, 0, 1, b"body"));
            bytes.extend(frame(HEADERS, WHOLE, 1, &block(&trailers)));
            peer.send(&bytes);
            let outcome = peer.outcome(1);
            ensure!(outcome.is_refusal(), "{outcome:?}");
            for bytes in world.behind.arrived() {
                ensure!(
                    !matches!(readers::next(&bytes), readers::Next::Whole(_)),
                    "a whole request arrived: {}",
                    show(&bytes)
                );
            }
            goes_on(world)
        }));
    }
    for (name, field, value) in [
        (":path in trailers", ":path", "/admin/x"),
        (":method in trailers", ":method", "DELETE"),
        (":authority in trailers", ":authority", "other.localhost"),
        ("host in trailers", "host", "other.localhost"),
        ("content-length in trailers", "content-length", "999"),
        ("authorization in trailers", "authorization", "Bearer mallory"),
        ("cookie in trailers", "cookie", "portcullis=mallory"),
    ] {
        all.push(Case::story(9, name, H2, move |world, _| {
            let mut peer = Peer::open(world);
            let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&post("/public/x")));
            bytes.extend(frame(DATA, 0, 1, b"body"));
            bytes.extend(frame(HEADERS, WHOLE, 1, &block(&fields(&[(field, value)]))));
            peer.send(&bytes);
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200) || outcome.is_refusal(), "{outcome:?}");
            if outcome == Outcome::Answered(200) {
                let arrived = world.arrived_one()?;
                nothing_claimed(&arrived)?;
                ensure!(
                    arrived.all("host").eq([APP]) && arrived.body == b"body" && arrived.method == "POST" && arrived.target == "/public/x",
                    "{arrived:?}"
                );
            }
            Ok(())
        }));
    }
    all
}

fn paths() -> Vec<Case> {
    [
        "/public/../admin/y",
        "/public/..;/admin/y",
        "/public\\..\\admin\\y",
        "//admin/y",
        "/./admin/y",
        "/%2e%2e/admin/y",
        "/public/%2e%2e/admin/y",
        "/public/..%2fadmin/y",
        "/public/..%5cadmin/y",
        "/public/%252e%252e/admin/y",
        "/admin%2fy",
        "/%61dmin/y",
        "/admin;x/y",
        "/admin/y?",
        "/admin//y",
        "/admin/%00/y",
        "/public/../../admin/y",
    ]
    .into_iter()
    .map(|path| {
        Case::story(13, &format!("{path} by hand"), H2, move |world, _| {
            let mut peer = Peer::open(world);
            peer.ask(1, &get(path));
            let outcome = peer.outcome(1);
            // A path that is twice encoded has one reading, in which it is not below /admin; it must arrive as it is.
            if path.contains("%25") && outcome == Outcome::Answered(200) {
                let arrived = world.arrived_one()?;
                ensure!(arrived.target == path, "{path} arrived as {}", arrived.target);
                return Ok(());
            }
            ensure!(
                matches!(outcome, Outcome::Answered(300..) | Outcome::Reset(_) | Outcome::Gone(_)),
                "{outcome:?}"
            );
            world.nothing_arrived()
        })
    })
    .collect()
}

fn cookies() -> Vec<Case> {
    vec![
        passed(
            17,
            "cookies in crumbs arrive as one field",
            with(get("/public/x"), &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]),
            |message| {
                let all: Vec<_> = message.all("cookie").collect();
                ensure!(all == ["a=1; b=2; c=3"], "{all:?}");
                Ok(())
            },
        ),
        passed(
            17,
            "our cookie does not arrive from any crumb",
            with(
                get("/public/x"),
                &[("cookie", "a=1"), ("cookie", "portcullis=AAAA"), ("cookie", "b=2")],
            ),
            |message| {
                let all: Vec<_> = message.all("cookie").collect();
                ensure!(!all.iter().any(|value| value.contains("portcullis")), "{all:?}");
                Ok(())
            },
        ),
        refused(
            17,
            "our cookie in two crumbs",
            with(get("/public/x"), &[("cookie", "portcullis=AAAA"), ("cookie", "portcullis=BBBB")]),
        ),
    ]
}

fn other_protocols() -> Vec<Case> {
    let connect = |more: &[(&str, &str)]| {
        let mut request = fields(&[(":method", "CONNECT")]);
        request.extend(fields(more));
        request
    };
    let mut all = vec![
        refused(7, "CONNECT", connect(&[(":authority", "eln.localhost:443")])),
        refused(7, "CONNECT to another machine", connect(&[(":authority", "192.0.2.1:25")])),
        refused(
            7,
            "CONNECT with a path",
            connect(&[(":authority", APP), (":scheme", "https"), (":path", "/public/x")]),
        ),
        refused(
            7,
            "a WebSocket by extended CONNECT",
            connect(&[
                (":protocol", "websocket"),
                (":authority", APP),
                (":scheme", "https"),
                (":path", "/socket"),
                ("sec-websocket-version", "13"),
            ]),
        ),
        refused(
            7,
            "a tunnel nobody knows by extended CONNECT",
            connect(&[
                (":protocol", "connect-udp"),
                (":authority", APP),
                (":scheme", "https"),
                (":path", "/public/x"),
            ]),
        ),
    ];
    all.push(Case::story(
        7,
        "extended CONNECT where the client has announced it",
        H2,
        |world, _| {
            let mut peer = Peer::with(world, &[(8, 1)]);
            let request = fields(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                (":authority", APP),
                (":path", "/socket"),
            ]);
            peer.send(&frame(HEADERS, END_HEADERS, 1, &block(&request)));
            stopped(world, peer.outcome(1))
        },
    ));
    all.push(Case::story(
        7,
        "HTTP/2 in clear without asking",
        &[Protocol::Clear],
        |world, protocol| {
            let mut peer = Peer::over(world.line(protocol));
            let mut bytes = PREFACE.to_vec();
            bytes.extend(frame(SETTINGS, 0, 0, &[]));
            bytes.extend(frame(HEADERS, WHOLE, 1, &block(&get("/public/x"))));
            peer.send(&bytes);
            // What comes are no frames: it is an answer of HTTP/1, and the end.
            let outcome = peer.end(PATIENCE);
            ensure!(outcome == Outcome::Gone(None), "{outcome:?}");
            ensure!(peer.streams.is_empty() && peer.settings.is_empty(), "HTTP/2 is spoken in clear");
            world.nothing_arrived()
        },
    ));
    all.push(Case::story(
        7,
        "the preface of HTTP/2 where HTTP/1.1 was agreed on",
        &[Protocol::Tls],
        |world, protocol| {
            let mut line = world.line(protocol);
            line.send(PREFACE);
            let reply = line.answer().ok_or("no answer")?;
            ensure!(matches!(reply.status, 400 | 501 | 505), "answered {}", reply.status);
            world.nothing_arrived()
        },
    ));
    all.push(Case::story(7, "HTTP/1.1 where HTTP/2 was agreed on", H2, |world, _| {
        let mut peer = Peer::silent(world);
        peer.send(b"GET /x HTTP/1.1\r\nHost: eln.localhost\r\n\r\n");
        let outcome = peer.end(PATIENCE);
        ensure!(matches!(outcome, Outcome::Gone(_)), "{outcome:?}");
        world.nothing_arrived()
    }));
    all.push(Case::story(7, "Upgrade: h2c", Protocol::HTTP1, |world, protocol| {
        let mut line = world.line(protocol);
        line.send(
            b"GET /x HTTP/1.1\r\nHost: eln.localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
              HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        );
        let reply = line.answer().ok_or("no answer")?;
        ensure!(reply.status != 101, "it switches to HTTP/2");
        for message in world.arrived()? {
            ensure!(
                message.field("upgrade").is_empty() && message.field("http2-settings").is_empty(),
                "{message:?}"
            );
        }
        Ok(())
    }));
    all.push(Case::story(7, "an upstream that switches protocols for HTTP/2", H2, |world, _| {
        world.behind.answer(Answer::Tunnel(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        ));
        let mut peer = Peer::open(world);
        peer.ask(1, &get("/socket"));
        let outcome = peer.outcome(1);
        ensure!(outcome == Outcome::Answered(502), "{outcome:?}");
        Ok(())
    }));
    all.push(Case::story(
        8,
        "interim answers of an upstream do not stand for the answer",
        H2,
        |world, _| {
            let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
            world.behind.answer(Answer::Bytes(interim));
            let mut peer = Peer::open(world);
            peer.ask(1, &get("/public/x"));
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            ensure!(peer.streams[&1].body == b"ok", "{}", show(&peer.streams[&1].body));
            Ok(())
        },
    ));
    all.push(Case::story(8, "what belongs to the upstream's connection does not reach HTTP/2", H2, |world, _| {
        let answer = b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        world.behind.answer(Answer::Bytes(answer.to_vec()));
        let reply = world.ask(Protocol::H2, &Asking::get("/public/x"))?;
        for name in ["connection", "keep-alive", "transfer-encoding", "x-hop"] {
            ensure!(reply.field(name).is_empty(), "{name}: {}", reply.field(name));
        }
        ensure!(reply.body == b"ok", "{}", reply.text());
        Ok(())
    }));
    all.push(
        Case::story(17, "over HTTP/2 the cookie with its prefix counts", H2, |world, _| {
            let mut peer = Peer::open(world);
            peer.ask(
                1,
                &with(get("/in/x"), &[("cookie", "portcullis=AAAA"), ("cookie", "__Host-portcullis=BBBB")]),
            );
            let outcome = peer.outcome(1);
            ensure!(matches!(outcome, Outcome::Answered(302 | 303 | 307 | 400 | 401)), "{outcome:?}");
            world.nothing_arrived()
        })
        .on(Setup::Secure),
    );
    all
}
