//! Frames of HTTP/2 that break the rules: sizes, streams, order, settings, and header blocks that do not decode.

use crate::h2_client::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PADDED, PING, PREFACE, PRIORITISED, PRIORITY, PUSH_PROMISE,
    Peer, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block, fields, frame, from_table, get, head, indexed, integer, post, setting, with,
};
use crate::h2_heads::goes_on;
use crate::support::wire::PATIENCE;
use crate::support::{Asking, Case, Protocol, ensure};

const H2: &[Protocol] = &[Protocol::H2];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = sizes();
    all.extend(streams());
    all.extend(settings());
    all.extend(header_blocks());
    all.extend(let_be());
    all
}

/// Bytes that end the connection, or at least the stream they are about; others are served as before.
fn broken(name: &str, bytes: Vec<u8>) -> Case {
    Case::story(16, name, H2, move |world, _| {
        let mut peer = Peer::open(world);
        peer.send(&bytes);
        let over = |peer: &Peer| {
            peer.closed || peer.goaway.is_some_and(|code| code != 0) || peer.streams.values().any(|came| came.reset.is_some())
        };
        ensure!(peer.until(PATIENCE, over) || peer.closed, "nothing happens");
        ensure!(
            !peer.streams.values().any(|came| came.status == Some(200) && came.reset.is_none()) || peer.goaway.is_some() || peer.closed,
            "it is answered as if nothing were wrong"
        );
        goes_on(world)
    })
}

fn sizes() -> Vec<Case> {
    let open = |more: Vec<u8>| [frame(HEADERS, END_HEADERS, 1, &block(&post("/public/x"))), more].concat();
    vec![
        broken("a PING of seven bytes", frame(PING, 0, 0, &[0; 7])),
        broken("a PING of nine bytes", frame(PING, 0, 0, &[0; 9])),
        broken("a RST_STREAM of three bytes", open(frame(RST_STREAM, 0, 1, &[0; 3]))),
        broken("a RST_STREAM of five bytes", open(frame(RST_STREAM, 0, 1, &[0; 5]))),
        broken("a WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0])),
        broken("a WINDOW_UPDATE of five bytes", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0, 0])),
        broken("a SETTINGS of five bytes", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0])),
        broken(
            "a SETTINGS of acknowledgement that says something",
            frame(SETTINGS, ACK, 0, &setting(3, 1)),
        ),
        broken("a PRIORITY of four bytes", frame(PRIORITY, 0, 1, &[0; 4])),
        broken("a GOAWAY of seven bytes", frame(GOAWAY, 0, 0, &[0; 7])),
        broken("a DATA larger than was agreed on", open(frame(DATA, END_STREAM, 1, &[0; 16_385]))),
        broken("a HEADERS larger than was agreed on", frame(HEADERS, WHOLE, 1, &[0; 16_385])),
        broken(
            "a frame of 16 MiB that nobody knows",
            [0xff, 0xff, 0xff, 0xbe, 0, 0, 0, 0, 0].to_vec(),
        ),
        broken(
            "a DATA of padding longer than itself",
            open(frame(DATA, END_STREAM | PADDED, 1, &[9, 1, 2, 3])),
        ),
        broken("a padded DATA without a byte", open(frame(DATA, END_STREAM | PADDED, 1, &[]))),
        broken(
            "a HEADERS of padding longer than itself",
            frame(HEADERS, WHOLE | PADDED, 1, &[200, 0x82, 0x84, 0x87]),
        ),
        broken("a HEADERS with half a priority", frame(HEADERS, WHOLE | PRIORITISED, 1, &[0, 0, 0])),
    ]
}

fn streams() -> Vec<Case> {
    let request = |stream| frame(HEADERS, WHOLE, stream, &block(&get("/public/x")));
    let open = |more: &[Vec<u8>]| {
        [vec![frame(HEADERS, END_HEADERS, 1, &block(&post("/public/x")))], more.to_vec()]
            .concat()
            .concat()
    };
    let begun = frame(HEADERS, END_STREAM, 1, &block(&get("/public/x")));
    let end = frame(CONTINUATION, END_HEADERS, 1, &[]);
    vec![
        broken("DATA on the connection itself", frame(DATA, 0, 0, b"x")),
        broken(
            "HEADERS on the connection itself",
            frame(HEADERS, WHOLE, 0, &block(&get("/public/x"))),
        ),
        broken("RST_STREAM on the connection itself", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8])),
        broken("PRIORITY on the connection itself", frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 1])),
        broken("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
        broken("PING on a stream", frame(PING, 0, 1, &[0; 8])),
        broken("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        broken("HEADERS on a stream that only servers open", request(2)),
        broken("a stream below one that was opened", [request(5), request(3)].concat()),
        broken("a stream that was opened before", [request(1), request(1)].concat()),
        broken("DATA on a stream nobody opened", frame(DATA, 0, 7, b"x")),
        broken("RST_STREAM on a stream nobody opened", frame(RST_STREAM, 0, 7, &[0, 0, 0, 8])),
        broken("WINDOW_UPDATE on a stream nobody opened", frame(WINDOW_UPDATE, 0, 7, &[0, 0, 1, 0])),
        broken(
            "PUSH_PROMISE by a client",
            open(&[frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])]),
        ),
        broken(
            "CONTINUATION of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &block(&get("/public/x"))),
        ),
        broken(
            "CONTINUATION after the end of a block",
            [request(1), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
        ),
        broken(
            "CONTINUATION of another stream",
            [begun.clone(), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        ),
        broken(
            "DATA within a header block",
            [begun.clone(), frame(DATA, 0, 1, b"x"), end.clone()].concat(),
        ),
        broken(
            "PING within a header block",
            [begun.clone(), frame(PING, 0, 0, &[0; 8]), end.clone()].concat(),
        ),
        broken(
            "SETTINGS within a header block",
            [begun.clone(), frame(SETTINGS, 0, 0, &[]), end.clone()].concat(),
        ),
        broken(
            "a frame nobody knows within a header block",
            [begun.clone(), frame(0xbe, 0, 0, b"x"), end.clone()].concat(),
        ),
        broken("HEADERS of another stream within a header block", [begun, request(3), end].concat()),
        broken(
            "DATA after the end of a stream",
            [request(1), frame(DATA, END_STREAM, 1, b"x")].concat(),
        ),
        broken(
            "trailers that are no end",
            open(&[
                frame(DATA, 0, 1, b"x"),
                frame(HEADERS, END_HEADERS, 1, &block(&fields(&[("x-a", "b")]))),
            ]),
        ),
        broken("a WINDOW_UPDATE of nothing on the connection", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        broken(
            "a WINDOW_UPDATE of nothing on a stream",
            open(&[frame(WINDOW_UPDATE, 0, 1, &[0; 4])]),
        ),
        broken(
            "a window of the connection beyond the largest",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        broken(
            "a window of a stream beyond the largest",
            open(&[frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])]),
        ),
        broken("more DATA than the stream's window", {
            // So much at once that none of it can be read and its room given back in between, however slow the machine.
            let piece = frame(DATA, 0, 1, &[b'x'; 16_384]);
            open(&vec![piece; 40])
        }),
        broken(
            "a stream that depends on itself",
            frame(
                HEADERS,
                WHOLE | PRIORITISED,
                1,
                &[&[0, 0, 0, 1, 16][..], &block(&get("/public/x"))].concat(),
            ),
        ),
        broken(
            "a PRIORITY that depends on itself",
            open(&[frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16])]),
        ),
    ]
}

fn settings() -> Vec<Case> {
    let set = |name, value| frame(SETTINGS, 0, 0, &setting(name, value));
    let mut all = vec![
        broken("ENABLE_PUSH of two", set(2, 2)),
        broken("INITIAL_WINDOW_SIZE of 2^31", set(4, 1 << 31)),
        broken("MAX_FRAME_SIZE of a hundred", set(5, 100)),
        broken("MAX_FRAME_SIZE of 2^24", set(5, 1 << 24)),
        broken("an acknowledgement of what was not said", frame(SETTINGS, ACK, 0, &[]).repeat(3)),
    ];
    for (name, bytes) in [
        (
            "garbage instead of a preface",
            b"\x16\x03\x01\x02\x00garbage and more of it, longer than any preface".to_vec(),
        ),
        ("a preface with one byte changed", b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n".to_vec()),
        ("a preface and then a PING", [PREFACE.to_vec(), frame(PING, 0, 0, &[0; 8])].concat()),
        (
            "a preface and then a request",
            [PREFACE.to_vec(), frame(HEADERS, WHOLE, 1, &block(&get("/public/x")))].concat(),
        ),
    ] {
        all.push(Case::story(16, name, H2, move |world, _| {
            let mut peer = Peer::silent(world);
            peer.send(&bytes);
            // Settings that come late are an error, but not one that leaves a request without its one reading.
            let outcome = peer.end(PATIENCE);
            ensure!(matches!(outcome, Outcome::Gone(_)), "{outcome:?}");
            goes_on(world)
        }));
    }
    all
}

fn header_blocks() -> Vec<Case> {
    let whole = |coded: Vec<u8>| frame(HEADERS, WHOLE, 1, &coded);
    let mut all = vec![
        broken("a field of number zero", whole([block(&get("/public/x")), vec![0x80]].concat())),
        broken(
            "a field beyond the table",
            whole([block(&get("/public/x")), from_table(62)].concat()),
        ),
        broken(
            "a field far beyond the table",
            whole([block(&get("/public/x")), from_table(1 << 40)].concat()),
        ),
        broken("a number that does not end", whole([vec![0xff], vec![0xff; 40]].concat())),
        broken(
            "a name longer than the block",
            whole([vec![0], integer(0, 7, 4000), b"x".to_vec()].concat()),
        ),
        broken(
            "a table larger than was agreed on",
            whole([integer(0x20, 5, 1 << 20), block(&get("/public/x"))].concat()),
        ),
        broken(
            "a table resized behind a field",
            whole([block(&get("/public/x")), integer(0x20, 5, 0)].concat()),
        ),
        broken(
            "a code of Huffman that ends in the middle",
            whole([block(&get("/public/x")), vec![0, 0x81, 0x00, 0x01, b'x']].concat()),
        ),
        broken(
            "the end of Huffman's string spelled out",
            whole([block(&get("/public/x")), vec![0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]].concat()),
        ),
        broken("an empty block", whole(Vec::new())),
    ];
    let bomb = {
        let mut coded = block(&get("/public/x"));
        coded.extend(indexed(b"x-bomb", &[b'x'; 3900]));
        coded.extend(from_table(62).repeat(12_000));
        coded
    };
    all.push(Case::story(
        16,
        "a field of 4 KiB out of the table twelve thousand times",
        H2,
        move |world, _| {
            let mut peer = Peer::open(world);
            peer.send(&frame(HEADERS, WHOLE, 1, &bomb));
            let outcome = peer.outcome(1);
            ensure!(outcome.is_refusal(), "{outcome:?}");
            world.nothing_arrived()?;
            goes_on(world)
        },
    ));
    for (name, count, size) in [
        ("a list of 17 KiB in one field", 1, 17 * 1024),
        ("a list of 20 KiB in ten fields", 10, 2 * 1024),
        ("a list that is too large by its count", 200, 60),
    ] {
        all.push(Case::story(15, name, H2, move |world, _| {
            let mut peer = Peer::open(world);
            let mut request = get("/public/x");
            for number in 0..count {
                request.push((format!("x-{number}").into_bytes(), vec![b'x'; size]));
            }
            let coded = block(&request);
            peer.send(&head(1, &coded));
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(431), "{outcome:?}");
            world.nothing_arrived()?;
            // A person with too many cookies has other pages open on the same connection.
            peer.ask(3, &get("/public/y"));
            let outcome = peer.outcome(3);
            ensure!(outcome == Outcome::Answered(200), "afterwards {outcome:?}");
            Ok(())
        }));
    }
    all.push(Case::story(15, "a hundred and one fields", H2, |world, _| {
        let mut peer = Peer::open(world);
        let mut request = get("/public/x");
        for number in 0..101 {
            request.push((format!("x-{number}").into_bytes(), b"y".to_vec()));
        }
        peer.ask(1, &request);
        let outcome = peer.outcome(1);
        ensure!(outcome == Outcome::Answered(431), "{outcome:?}");
        world.nothing_arrived()
    }));
    all.push(Case::story(
        15,
        "a path of 15 KiB passes, one beyond the limit does not",
        H2,
        |world, _| {
            let mut peer = Peer::open(world);
            peer.ask(1, &get(&format!("/public/{}", "x".repeat(15_000))));
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            peer.send(&head(3, &block(&get(&format!("/public/{}", "x".repeat(16_383))))));
            let outcome = peer.outcome(3);
            ensure!(matches!(outcome, Outcome::Answered(414 | 431)), "{outcome:?}");
            Ok(())
        },
    ));
    all
}

/// What looks odd and must be let be (RFC 9113 sections 4.1, 5.5, 6.3, 6.5.2, 6.8).
fn let_be() -> Vec<Case> {
    let served = |name: &'static str, before: Vec<u8>, stream: u32| {
        Case::story(16, name, H2, move |world, _| {
            let mut peer = Peer::open(world);
            peer.send(&before);
            peer.ask(stream, &get("/public/x"));
            let outcome = peer.outcome(stream);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            Ok(())
        })
    };
    let reserved = {
        let mut bytes = frame(PING, 0, 0, &[0; 8]);
        bytes[5] |= 0x80;
        bytes
    };
    vec![
        served(
            "frames nobody knows are passed over",
            frame(0xbe, 0xff, 0, b"what is this").repeat(5),
            1,
        ),
        served(
            "settings nobody knows are passed over",
            frame(SETTINGS, 0, 0, &setting(0x0f0f, 7)),
            1,
        ),
        served("flags nobody knows are passed over", frame(PING, 0xfe, 0, &[0; 8]), 1),
        served("the reserved bit is passed over", reserved, 1),
        served("priorities are passed over", frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 200]), 1),
        served("streams may be left out", Vec::new(), 2001),
        served("a PING that answers none is passed over", frame(PING, ACK, 0, b"no ping!"), 1),
        Case::story(16, "a client that says goodbye gets what it asked for", H2, |world, _| {
            let mut peer = Peer::open(world);
            peer.ask(1, &get("/public/x"));
            peer.send(&frame(GOAWAY, 0, 0, &[0; 8]));
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            Ok(())
        }),
        Case::story(16, "padding and priority in HEADERS are taken off", H2, |world, _| {
            let mut peer = Peer::open(world);
            let payload = [&[3, 0, 0, 0, 0, 16][..], &block(&get("/public/x")), &[0; 3]].concat();
            peer.send(&frame(HEADERS, WHOLE | PADDED | PRIORITISED, 1, &payload));
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            Ok(())
        }),
        Case::story(16, "a head in eight frames is one head", H2, |world, _| {
            let mut peer = Peer::open(world);
            let coded = block(&with(get("/public/x"), &[("x-note", "one head")]));
            let mut pieces = coded.chunks(coded.len().div_ceil(4));
            let mut bytes = frame(HEADERS, END_STREAM, 1, pieces.next().unwrap_or_default());
            for piece in pieces {
                bytes.extend(frame(CONTINUATION, 0, 1, piece));
            }
            bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
            peer.send(&bytes);
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            let arrived = world.arrived_one()?;
            ensure!(arrived.field("x-note") == "one head", "{arrived:?}");
            Ok(())
        }),
        Case::story(16, "every byte by itself is still a request", H2, |world, _| {
            let mut peer = Peer::open(world);
            for byte in frame(HEADERS, WHOLE, 1, &block(&get("/public/x"))) {
                peer.send(&[byte]);
            }
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            Ok(())
        }),
        Case::story(
            16,
            "more streams than are allowed at once are refused, the others answered",
            H2,
            |world, _| {
                let mut peer = Peer::open(world);
                // Held open by a body that does not come.
                let open: Vec<u8> = (0..130)
                    .flat_map(|number| frame(HEADERS, END_HEADERS, number * 2 + 1, &block(&post("/public/x"))))
                    .collect();
                peer.send(&open);
                let refused = |peer: &Peer| peer.streams.values().filter(|came| came.reset == Some(7)).count();
                ensure!(peer.until(PATIENCE, |peer| refused(peer) == 30), "{} are refused", refused(&peer));
                ensure!(peer.settings.get(&3) == Some(&100), "announced {:?}", peer.settings.get(&3));
                let ends: Vec<u8> = (0..100).flat_map(|number| frame(DATA, END_STREAM, number * 2 + 1, b"x")).collect();
                peer.send(&ends);
                let answered = |peer: &Peer| peer.streams.values().filter(|came| came.status == Some(200) && came.ended).count();
                ensure!(
                    peer.until(PATIENCE, |peer| answered(peer) == 100),
                    "{} are answered",
                    answered(&peer)
                );
                Ok(())
            },
        ),
        Case::story(16, "it announces its limits", H2, |world, _| {
            let mut peer = Peer::open(world);
            ensure!(peer.until(PATIENCE, |peer| !peer.settings.is_empty()), "no settings came");
            let wanted = [(3, 100), (4, 65_536), (6, 16_384)];
            for (name, value) in wanted {
                ensure!(peer.settings.get(&name) == Some(&value), "{name} is {:?}", peer.settings.get(&name));
            }
            let reply = world.ask(Protocol::H2, &Asking::get("/public/x"))?;
            ensure!(reply.status == 200, "answered {}", reply.status);
            Ok(())
        }),
    ]
}
