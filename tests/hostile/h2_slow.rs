//! Clients of HTTP/2 that begin and do not go on, or do not take what they asked for.

use std::time::{Duration, Instant};

use crate::h2_client::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PING, PREFACE, Peer, SETTINGS, WHOLE, WINDOW_UPDATE, block, frame, get, post, setting,
    with,
};
use crate::h2_floods::while_others_are_served;
use crate::h2_heads::goes_on;
use crate::support::case::Setup;
use crate::support::readers;
use crate::support::recorder::Answer;
use crate::support::wire::PATIENCE;
use crate::support::{Case, Protocol, ensure};

const H2: &[Protocol] = &[Protocol::H2];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = late();
    all.extend(slow_readers());
    all.push(answered_before_it_was_asked());
    all
}

/// The application answers before the body has come, and the client holds the rest of the body back: the connection upstream is still in
/// the middle of that request. Whoever asks next must not wait for it.
fn answered_before_it_was_asked() -> Case {
    Case::story(6, "nobody waits behind a body whose answer came early", H2, |world, _| {
        world
            .behind
            .answer(Answer::Early(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly".to_vec()));
        // One connection has one serving thread, and so one pool.
        let mut peer = Peer::open(world);
        peer.send(
            &[
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &block(&with(post("/public/early"), &[("content-length", "200")])),
                ),
                frame(DATA, 0, 1, b"0123456789"),
            ]
            .concat(),
        );
        let outcome = peer.outcome(1);
        ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
        let began = Instant::now();
        for stream in [3, 5, 7] {
            peer.ask(stream, &get("/public/other"));
            let outcome = peer.outcome(stream);
            ensure!(outcome == Outcome::Answered(200), "somebody else's: {outcome:?}");
        }
        ensure!(began.elapsed() < Duration::from_secs(10), "only after {:?}", began.elapsed());
        let others: usize = world
            .behind
            .arrived()
            .iter()
            .map(|bytes| readers::count(bytes, "/public/other"))
            .sum();
        ensure!(others == 3, "{others} of somebody else's three requests arrived as requests");
        Ok(())
    })
}

/// What is begun and not gone on with, on a server whose times are short.
fn late() -> Vec<Case> {
    let ended = |name: &'static str, bytes: Vec<u8>, silent: bool| {
        Case::story(14, name, H2, move |world, _| {
            let mut peer = if silent { Peer::silent(world) } else { Peer::open(world) };
            peer.polite = false;
            let began = Instant::now();
            peer.send(&bytes);
            ensure!(peer.until(PATIENCE, |peer| peer.closed) || peer.closed, "it stays open");
            ensure!(began.elapsed() < Duration::from_secs(8), "only after {:?}", began.elapsed());
            goes_on(world)
        })
        .on(Setup::Short)
    };
    let begun = block(&get("/public/x"));
    let mut all = vec![
        ended("TLS and not a byte of HTTP/2", Vec::new(), true),
        ended("half a preface", PREFACE[..10].to_vec(), true),
        ended("a preface and nothing more", PREFACE.to_vec(), true),
        ended("a preface, settings and no request", Vec::new(), false),
        ended("half a frame's head", vec![0, 0, 8, 6], false),
        ended("a header block that does not end", frame(HEADERS, END_STREAM, 1, &begun), false),
        ended(
            "a HEADERS that stops in the middle",
            frame(HEADERS, WHOLE, 1, &begun)[..20].to_vec(),
            false,
        ),
        ended(
            "a request, then half a frame",
            [frame(HEADERS, WHOLE, 1, &begun), frame(PING, 0, 0, &[0; 8])[..12].to_vec()].concat(),
            false,
        ),
        ended(
            "a request, then nothing for longer than idle",
            frame(HEADERS, WHOLE, 1, &begun),
            false,
        ),
    ];
    all.push(
        Case::story(14, "a header block that drips", H2, |world, _| {
            let mut peer = Peer::open(world);
            let bytes = frame(
                HEADERS,
                END_STREAM,
                1,
                &block(&with(get("/public/x"), &[("x-note", &"y".repeat(500))])),
            );
            let began = Instant::now();
            for byte in bytes {
                if !peer.push(&[byte]) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            ensure!(began.elapsed() < Duration::from_secs(8), "only after {:?}", began.elapsed());
            world.nothing_arrived()?;
            goes_on(world)
        })
        .on(Setup::Short),
    );
    all.push(
        Case::story(14, "a body that stops coming is ended, the connection is not", H2, |world, _| {
            let mut peer = Peer::open(world);
            let request = with(post("/public/x"), &[("content-length", "100")]);
            peer.send(&[frame(HEADERS, END_HEADERS, 1, &block(&request)), frame(DATA, 0, 1, b"some")].concat());
            let outcome = peer.outcome(1);
            ensure!(matches!(outcome, Outcome::Answered(400 | 408) | Outcome::Reset(_)), "{outcome:?}");
            peer.ask(3, &get("/public/y"));
            let outcome = peer.outcome(3);
            ensure!(outcome == Outcome::Answered(200), "afterwards {outcome:?}");
            Ok(())
        })
        .on(Setup::Short),
    );
    all.push(
        Case::story(14, "pings do not keep a connection that asks nothing", H2, |world, _| {
            let mut peer = Peer::open(world);
            peer.ask(1, &get("/public/x"));
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end && peer.push(&frame(PING, 0, 0, b"still I!")) {
                std::thread::sleep(Duration::from_millis(50));
            }
            ensure!(peer.closed || peer.goaway.is_some(), "it stays open");
            Ok(())
        })
        .on(Setup::Short),
    );
    all
}

fn large_answer(size: usize) -> Answer {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + size, b'a');
    Answer::Bytes(bytes)
}

/// Clients that do not take their answers, on a server whose times are short.
fn slow_readers() -> Vec<Case> {
    let unread = |name: &'static str, window: u32, after: Vec<u8>| {
        Case::story(14, name, H2, move |world, _| {
            world.behind.answer(large_answer(1 << 20));
            let mut peer = Peer::with(world, &[(4, window)]);
            peer.ask(1, &get("/public/x"));
            peer.send(&after);
            let outcome = peer.outcome(1);
            ensure!(matches!(outcome, Outcome::Reset(_) | Outcome::Gone(_)), "{outcome:?}");
            goes_on(world)
        })
        .on(Setup::Short)
    };
    vec![
        unread("a stream's window that is never opened", 0, Vec::new()),
        unread(
            "a stream's window that is opened once, by a byte",
            0,
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ),
        unread("a window that is shut under way", 65_535, frame(SETTINGS, 0, 0, &setting(4, 0))),
        unread("a connection's window that is never opened again", 1 << 20, Vec::new()),
        Case::story(14, "a stream that is not read does not hold up another", H2, |world, _| {
            world.behind.answer(large_answer(1 << 20));
            let mut peer = Peer::with(world, &[(4, 1000)]);
            peer.ask(1, &get("/public/x"));
            peer.until(PATIENCE, |peer| peer.streams.get(&1).is_some_and(|came| came.body.len() == 1000));
            peer.ask(3, &get("/public/y"));
            let outcome = peer.outcome(3);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            let outcome = peer.outcome(1);
            ensure!(matches!(outcome, Outcome::Reset(_)), "the one that is not read: {outcome:?}");
            ensure!(peer.lives(), "the connection went with it");
            Ok(())
        })
        .on(Setup::Short),
        Case::story(
            14,
            "a hundred streams that are not read cost little, and are ended",
            H2,
            |world, _| {
                while_others_are_served(world, || {
                    for _ in 0..100 {
                        world.behind.answer(large_answer(1 << 20));
                    }
                    let mut peer = Peer::with(world, &[(4, 0)]);
                    for number in 0..100 {
                        peer.ask(number * 2 + 1, &get("/public/x"));
                    }
                    let reset = |peer: &Peer| peer.streams.values().filter(|came| came.reset.is_some()).count();
                    peer.until(PATIENCE * 2, |peer| reset(peer) == 100);
                    // Some of those who look on may have been given one of the answers.
                    ensure!(peer.closed || reset(&peer) >= 90, "only {} are ended", reset(&peer));
                    Ok(())
                })
            },
        )
        .on(Setup::Short),
        Case::story(
            14,
            "a small answer that is left in the library ends with the connection",
            H2,
            |world, _| {
                let mut peer = Peer::with(world, &[(4, 1)]);
                peer.ask(1, &get("/public/x"));
                ensure!(peer.until(PATIENCE, |peer| peer.closed) || peer.closed, "it stays open");
                goes_on(world)
            },
        )
        .on(Setup::Short),
        Case::story(14, "a client that does not read its socket", H2, |world, _| {
            world.behind.answer(large_answer(64 << 20));
            let mut peer = Peer::with(world, &[(4, 0x7fff_ffff)]);
            peer.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
            peer.ask(1, &get("/public/x"));
            std::thread::sleep(Duration::from_secs(2));
            // What was under way comes, and the end of it: not all of it.
            peer.until(PATIENCE, |peer| peer.closed);
            let came = peer.streams.get(&1).map_or(0, |came| came.body.len());
            ensure!(peer.closed && came < 64 << 20, "{came} bytes came, closed: {}", peer.closed);
            goes_on(world)
        })
        .on(Setup::Short),
        Case::story(14, "a slow reader that goes on reading gets all of it", H2, |world, _| {
            world.behind.answer(large_answer(16 * 4096));
            let mut peer = Peer::with(world, &[(4, 4096)]);
            peer.ask(1, &get("/public/x"));
            for step in 1..=16 {
                let came = |peer: &Peer| peer.streams.get(&1).is_some_and(|came| came.body.len() == step * 4096);
                ensure!(
                    peer.until(PATIENCE, came),
                    "it stops at {:?}",
                    peer.streams.get(&1).map(|came| came.body.len())
                );
                std::thread::sleep(Duration::from_millis(60));
                peer.send(
                    &[
                        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 16, 0]),
                        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 16, 0]),
                    ]
                    .concat(),
                );
            }
            let outcome = peer.outcome(1);
            ensure!(outcome == Outcome::Answered(200), "{outcome:?}");
            Ok(())
        })
        .on(Setup::Short),
    ]
}
