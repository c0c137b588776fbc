//! Row 14: clients that take their time, and too many of them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::support::case::{Case, Setup, World};
use crate::support::recorder::Answer;
use crate::support::{Asking, Line, Protocol, Verdict, ensure};

/// Longer than any limit of these set-ups by far, on a machine that has much to do.
const LATE: Duration = Duration::from_secs(8);

pub(crate) fn cases() -> Vec<Case> {
    let mut all = slow();
    all.extend(crowds());
    all
}

/// It ends by itself, not at once and not never.
fn ends(line: &mut Line, began: Instant, least: Duration) -> Verdict {
    ensure!(line.until_closed(LATE), "it is open after {:?}", began.elapsed());
    ensure!(began.elapsed() >= least, "it ended after {:?}", began.elapsed());
    Ok(())
}

/// Sends a byte now and then until it is told to stop; whether it was.
fn drip(line: &mut Line, text: &[u8], pause: Duration) -> bool {
    let end = Instant::now() + LATE;
    for byte in text.iter().cycle() {
        if !line.send(&[*byte]) || line.hear(pause) == Some(0) {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
    }
    false
}

fn slow() -> Vec<Case> {
    let head = "GET /public/a HTTP/1.1\r\nHost: eln.localhost\r\n";
    let short = Duration::from_millis(400);
    let pause = Duration::from_millis(50);
    let cases = vec![
        Case::story(14, "silence from the start", Protocol::ALL, move |world, protocol| {
            let began = Instant::now();
            ends(&mut world.line(protocol), began, short)
        }),
        Case::story(14, "silence instead of TLS", &[Protocol::Tls], move |world, _| {
            let began = Instant::now();
            ends(&mut Line::clear(world.server.https), began, short)
        }),
        Case::story(14, "half a handshake of TLS", &[Protocol::Tls], move |world, _| {
            let began = Instant::now();
            let mut line = Line::clear(world.server.https);
            line.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            ends(&mut line, began, short)
        }),
        Case::story(14, "one byte, then silence", Protocol::HTTP1, move |world, protocol| {
            let began = Instant::now();
            let mut line = world.line(protocol);
            line.send(b"G");
            ends(&mut line, began, short)?;
            let statuses: Vec<u16> = line.answers().iter().map(|reply| reply.status).collect();
            ensure!(statuses == [408], "answered {statuses:?}");
            Ok(())
        }),
        Case::story(14, "a head in drops", Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(head.as_bytes());
            ensure!(drip(&mut line, b"X: y\r\n", pause), "it goes on for ever");
            world.nothing_arrived()
        }),
        Case::story(14, "empty lines in drops", Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            ensure!(drip(&mut line, b"\r\n", pause), "it goes on for ever");
            Ok(())
        }),
        Case::story(14, "a second head in drops", Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(format!("{head}\r\n").as_bytes());
            ensure!(line.answer().is_some_and(|reply| reply.status == 200), "no answer");
            line.send(head.as_bytes());
            ensure!(drip(&mut line, b"X: y\r\n", pause), "it goes on for ever");
            Ok(())
        }),
        Case::story(14, "a body that stops", Protocol::HTTP1, move |world, protocol| {
            let began = Instant::now();
            let mut line = world.line(protocol);
            line.send(b"POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: 100\r\n\r\nhello");
            ends(&mut line, began, short)?;
            let statuses: Vec<u16> = line.answers().iter().map(|reply| reply.status).collect();
            ensure!(statuses == [408], "answered {statuses:?}");
            Ok(())
        }),
        Case::story(14, "a body that never begins", Protocol::HTTP1, move |world, protocol| {
            let began = Instant::now();
            let mut line = world.line(protocol);
            line.send(b"POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: 100\r\n\r\n");
            ends(&mut line, began, short)
        }),
        Case::story(14, "chunks that stop within a size", Protocol::HTTP1, move |world, protocol| {
            let began = Instant::now();
            let mut line = world.line(protocol);
            line.send(b"POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3");
            ends(&mut line, began, short)
        }),
        Case::story(14, "a body in drops", Protocol::HTTP1, move |world, protocol| {
            let mut line = world.line(protocol);
            line.send(b"POST /public/a HTTP/1.1\r\nHost: eln.localhost\r\nContent-Length: 100000\r\n\r\n");
            ensure!(drip(&mut line, b"x", pause), "it goes on for ever");
            Ok(())
        }),
        Case::story(14, "a form that stops", Protocol::HTTP1, move |world, protocol| {
            let began = Instant::now();
            let mut line = world.line(protocol);
            line.send(b"POST /.portcullis/sign-in HTTP/1.1\r\nHost: sso.localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ncsrf=");
            ends(&mut line, began, short)
        }),
        Case::story(
            14,
            "a connection that is kept for nothing",
            Protocol::HTTP1,
            move |world, protocol| {
                let mut line = world.line(protocol);
                line.send(format!("{head}\r\n").as_bytes());
                ensure!(line.answer().is_some_and(|reply| reply.status == 200), "no answer");
                ends(&mut line, Instant::now(), short)
            },
        ),
        Case::story(14, "an answer that nobody takes", Protocol::HTTP1, move |world, protocol| {
            let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n".to_vec();
            answer.resize(answer.len() + 40_000_000, b'x');
            world.behind.answer(Answer::Last(answer));
            let mut line = world.line(protocol);
            line.send(format!("{head}\r\n").as_bytes());
            std::thread::sleep(Duration::from_millis(2500));
            // What lies in buffers can still be read, then it is over.
            ensure!(line.until_closed(LATE), "it waits for ever");
            ensure!(line.got.len() < 40_000_000, "all of it was kept");
            Ok(())
        }),
    ];
    cases.into_iter().map(|case| case.on(Setup::Short)).collect()
}

/// A connection that is taken: its request is answered.
fn is_served(world: &World, protocol: Protocol, from: &str) -> bool {
    world
        .ask(protocol, &Asking::get("/public/a").from(from))
        .is_ok_and(|reply| reply.status == 200)
}

/// TLS takes a round trip to say no, and says it by not answering.
fn open(world: &World, protocol: Protocol, from: &str) -> Line {
    let from: IpAddr = from.parse().unwrap();
    match protocol {
        Protocol::Clear => world.line_from(protocol, Some(from)),
        Protocol::Tls | Protocol::H2 => Line::clear_from(world.server.https, Some(from)),
    }
}

fn crowds() -> Vec<Case> {
    let cases = vec![
        Case::story(14, "too many connections from an address", Protocol::ALL, |world, protocol| {
            let mut held: Vec<Line> = (0..8).map(|_| open(world, protocol, "127.0.0.21")).collect();
            std::thread::sleep(Duration::from_millis(100));
            let mut ninth = open(world, protocol, "127.0.0.21");
            ensure!(ninth.until_closed(LATE), "the ninth is taken");
            ensure!(
                held.iter_mut().all(|line| line.hear(Duration::from_millis(5)) != Some(0)),
                "one that was taken is cut"
            );
            ensure!(is_served(world, protocol, "127.0.0.22"), "another address is shut out");
            drop(held);
            let end = Instant::now() + LATE;
            while !std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| is_served(world, protocol, "127.0.0.21"))).unwrap_or(false) {
                ensure!(Instant::now() < end, "places are not given back");
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }),
        Case::story(14, "too many connections in all", Protocol::ALL, |world, protocol| {
            let held: Vec<Line> = (0..12)
                .map(|number| open(world, protocol, &format!("127.0.0.{}", 31 + number / 6)))
                .collect();
            std::thread::sleep(Duration::from_millis(100));
            let mut one_more = open(world, protocol, "127.0.0.41");
            ensure!(one_more.until_closed(LATE), "the thirteenth is taken");
            drop(held);
            let end = Instant::now() + LATE;
            while !std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| is_served(world, protocol, "127.0.0.41"))).unwrap_or(false) {
                ensure!(Instant::now() < end, "places are not given back");
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }),
    ];
    cases.into_iter().map(|case| case.on(Setup::Crowded)).collect()
}
