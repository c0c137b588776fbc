//! Floods over HTTP/2, and clients that hold what they have: each is ended, and meanwhile others are served and memory stays what it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::h2_client::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PADDED, PING, PRIORITY, Peer, RST_STREAM, SETTINGS, WHOLE,
    WINDOW_UPDATE, block, fields, frame, from_table, get, indexed, post, setting, with,
};
use crate::h2_heads::goes_on;
use crate::support::case::{APP, NAME, Verdict, World};
use crate::support::recorder::Answer;
use crate::support::wire::{PATIENCE, client_config};
use crate::support::{Asking, Case, Protocol, ensure};

const H2: &[Protocol] = &[Protocol::H2];

/// How much more memory a flood may leave behind, in KiB. What is measured is a whole process, its allocator's habits included.
const MOST_GROWN: u64 = 48 * 1024;

/// What others may wait for at the worst but for one in twenty, while a flood goes on, on a machine that has other things to do.
const OTHERS_WAIT: Duration = Duration::from_secs(2);

pub(crate) fn cases() -> Vec<Case> {
    let mut all = of_frames();
    all.extend(resets());
    all.extend(of_header_blocks());
    all.extend(of_bodies());
    all.push(Case::story(
        16,
        "an honest client that is very busy meets no limit",
        H2,
        |world, _| busy(world),
    ));
    all
}

/// Memory of the server, in KiB.
fn memory(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Does something hostile while somebody else is served, and looks at what that one had to wait for and what it cost.
pub(crate) fn while_others_are_served(world: &World, attack: impl FnOnce() -> Verdict) -> Verdict {
    goes_on(world)?;
    let before = memory(world);
    let over = AtomicBool::new(false);
    let (verdict, mut waited) = std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut waited = Vec::new();
            while !over.load(Ordering::Relaxed) || waited.len() < 5 {
                let began = Instant::now();
                let reply = world.ask(Protocol::Tls, &Asking::get("/public/others"));
                if !reply.is_ok_and(|reply| reply.status == 200) {
                    waited.push(PATIENCE);
                }
                waited.push(began.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
            waited
        });
        let verdict = attack();
        over.store(true, Ordering::Relaxed);
        (verdict, others.join().unwrap())
    });
    verdict?;
    waited.sort();
    let p95 = waited[waited.len() * 95 / 100];
    ensure!(p95 < OTHERS_WAIT, "others wait for {p95:?}");
    let grown = memory(world).saturating_sub(before);
    ensure!(grown < MOST_GROWN, "memory grew by {grown} KiB");
    Ok(())
}

/// Sends the same over and over until the connection is ended, which it must be before `most` of them went; three connections in a row.
fn floods(world: &World, most: usize, first: &[u8], next: impl Fn(usize) -> Vec<u8>) -> Verdict {
    for _ in 0..3 {
        let mut peer = Peer::open(world);
        peer.send(first);
        let mut sent = 0;
        while sent < most {
            let batch: Vec<u8> = (sent..sent + 200).flat_map(&next).collect();
            sent += 200;
            if !peer.push(&batch) || peer.goaway.is_some() {
                break;
            }
        }
        let outcome = peer.end(PATIENCE);
        ensure!(matches!(outcome, Outcome::Gone(_)), "after {sent} of them {outcome:?}");
    }
    Ok(())
}

fn flood(name: &str, first: Vec<u8>, next: impl Fn(usize) -> Vec<u8> + 'static) -> Case {
    Case::story(16, name, H2, move |world, _| {
        while_others_are_served(world, || floods(world, 20_000, &first, &next))
    })
}

fn of_frames() -> Vec<Case> {
    let opened = || frame(HEADERS, END_HEADERS, 1, &block(&post("/public/x")));
    let mut all = vec![
        flood("a flood of PING", Vec::new(), |_| frame(PING, 0, 0, b"and now?")),
        flood("a flood of answers to no PING", Vec::new(), |_| frame(PING, ACK, 0, b"I heard!")),
        flood("a flood of SETTINGS", Vec::new(), |_| frame(SETTINGS, 0, 0, &[])),
        flood("a flood of SETTINGS that move all windows", opened(), |at| {
            frame(SETTINGS, 0, 0, &setting(4, if at % 2 == 0 { 0 } else { 65_535 }))
        }),
        flood("a flood of SETTINGS with many entries", Vec::new(), |_| {
            frame(SETTINGS, 0, 0, &setting(0x0f0f, 1).repeat(300))
        }),
        flood("a flood of SETTINGS that resize the table", Vec::new(), |at| {
            frame(SETTINGS, 0, 0, &setting(1, if at % 2 == 0 { 0 } else { 4096 }))
        }),
        flood("a flood of PRIORITY", Vec::new(), |at| {
            frame(PRIORITY, 0, u32::try_from(at * 2 + 1).unwrap(), &[0, 0, 0, 0, 16])
        }),
        flood("a flood of WINDOW_UPDATE on the connection", Vec::new(), |_| {
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
        }),
        flood("a flood of large WINDOW_UPDATE on the connection", Vec::new(), |_| {
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 8, 0])
        }),
        flood("a flood of WINDOW_UPDATE on a stream", opened(), |_| {
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])
        }),
        flood("a flood of frames nobody knows", Vec::new(), |_| frame(0xbe, 0, 0, b"?")),
        flood("a flood of GOAWAY", Vec::new(), |_| frame(GOAWAY, 0, 0, &[0; 8])),
        flood("a flood of RST_STREAM on one stream", opened(), |_| {
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])
        }),
    ];
    all.push(Case::story(16, "a flood of PING whose answers are not read", H2, |world, _| {
        while_others_are_served(world, || {
            let mut peer = Peer::open(world);
            let batch = frame(PING, 0, 0, b"and now?").repeat(500);
            let sent = (0..4000).take_while(|_| peer.send(&batch)).count();
            ensure!(sent < 4000, "two million PING were taken");
            Ok(())
        })
    }));
    all
}

fn resets() -> Vec<Case> {
    let request = block(&get("/public/x"));
    let opening = block(&post("/public/x"));
    let id = |at: usize| u32::try_from(at * 2 + 1).unwrap();
    let taken_back = {
        let request = request.clone();
        move |at| [frame(HEADERS, WHOLE, id(at), &request), frame(RST_STREAM, 0, id(at), &[0, 0, 0, 8])].concat()
    };
    let spelled = {
        let opening = opening.clone();
        move |at: usize, more: Vec<u8>| [frame(HEADERS, END_HEADERS, id(at), &opening), more].concat()
    };
    let of_nothing = spelled.clone();
    let overflow = spelled.clone();
    let itself = spelled.clone();
    let later = spelled;
    let malformed = block(&with(get("/public/x"), &[("X-Capital", "y")]));
    let longer = block(&with(post("/public/x"), &[("content-length", "1")]));
    vec![
        flood("rapid reset", Vec::new(), taken_back),
        flood("rapid reset of uploads", Vec::new(), move |at| {
            [
                frame(HEADERS, END_HEADERS, id(at), &opening),
                frame(DATA, 0, id(at), b"x"),
                frame(RST_STREAM, 0, id(at), &[0, 0, 0, 8]),
            ]
            .concat()
        }),
        flood("made to reset: windows of nothing", Vec::new(), move |at| {
            of_nothing(at, frame(WINDOW_UPDATE, 0, id(at), &[0; 4]))
        }),
        flood("made to reset: windows beyond the largest", Vec::new(), move |at| {
            overflow(at, frame(WINDOW_UPDATE, 0, id(at), &[0x7f, 0xff, 0xff, 0xff]))
        }),
        flood("made to reset: streams that depend on themselves", Vec::new(), move |at| {
            itself(at, frame(PRIORITY, 0, id(at), &[&id(at).to_be_bytes()[..], &[16]].concat()))
        }),
        flood("made to reset: trailers that are no end", Vec::new(), move |at| {
            later(at, frame(HEADERS, END_HEADERS, id(at), &block(&fields(&[("x-a", "b")]))))
        }),
        flood("made to reset: DATA after the end", Vec::new(), move |at| {
            [frame(HEADERS, WHOLE, id(at), &request), frame(DATA, END_STREAM, id(at), b"x")].concat()
        }),
        flood("made to reset: heads that cannot be read", Vec::new(), move |at| {
            frame(HEADERS, WHOLE, id(at), &malformed)
        }),
        flood("made to reset: bodies longer than they say", Vec::new(), move |at| {
            [
                frame(HEADERS, END_HEADERS, id(at), &longer),
                frame(DATA, END_STREAM, id(at), b"more"),
            ]
            .concat()
        }),
        flood("made to reset: more streams than are allowed", Vec::new(), move |at| {
            frame(HEADERS, END_HEADERS, id(at), &block(&post("/public/x")))
        }),
    ]
}

fn of_header_blocks() -> Vec<Case> {
    let begun = || frame(HEADERS, END_STREAM, 1, &block(&get("/public/x")));
    vec![
        flood("a flood of CONTINUATION with a field each", begun(), |at| {
            frame(CONTINUATION, 0, 1, &block(&fields(&[(&format!("x-{at}"), "y")])))
        }),
        flood("a flood of CONTINUATION with nothing", begun(), |_| frame(CONTINUATION, 0, 1, &[])),
        flood("a flood of CONTINUATION with a byte each", begun(), |_| {
            frame(CONTINUATION, 0, 1, &[0])
        }),
        flood("a flood of CONTINUATION as large as they may be", begun(), |_| {
            frame(CONTINUATION, 0, 1, &[0; 16_384])
        }),
        Case::story(16, "bombs of HPACK on a hundred streams", H2, |world, _| {
            while_others_are_served(world, || {
                let mut peer = Peer::open(world);
                let seed = [block(&get("/public/x")), indexed(b"x-bomb", &[b'x'; 3900])].concat();
                peer.send(&frame(HEADERS, WHOLE, 1, &seed));
                let bomb = [block(&get("/public/x")), from_table(62).repeat(15_000)].concat();
                for number in 1..100 {
                    if !peer.push(&frame(HEADERS, WHOLE, number * 2 + 1, &bomb)) {
                        break;
                    }
                }
                peer.until(Duration::from_secs(2), |peer| peer.goaway.is_some());
                let served = peer
                    .streams
                    .iter()
                    .filter(|(stream, came)| **stream > 1 && came.status == Some(200))
                    .count();
                ensure!(served == 0, "{served} bombs were served");
                Ok(())
            })
        }),
    ]
}

fn of_bodies() -> Vec<Case> {
    let opened = || frame(HEADERS, END_HEADERS, 1, &block(&post("/public/x")));
    vec![
        flood("a flood of empty DATA", opened(), |_| frame(DATA, 0, 1, &[])),
        flood("a flood of DATA that is only padding", opened(), |_| {
            frame(DATA, PADDED, 1, &[3, 0, 0, 0])
        }),
        flood(
            "a flood of ends of streams that have ended",
            [opened(), frame(DATA, END_STREAM, 1, &[])].concat(),
            |_| frame(DATA, END_STREAM, 1, &[]),
        ),
        Case::story(16, "small DATA that nobody reads is bounded", H2, |world, _| {
            while_others_are_served(world, || {
                // The upstream answers at once and reads no further.
                world
                    .behind
                    .answer(Answer::Early(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()));
                let mut peer = Peer::open(world);
                peer.send(&frame(HEADERS, END_HEADERS, 1, &block(&post("/public/x"))));
                for _ in 0..40 {
                    if !peer.push(&frame(DATA, 0, 1, b"x").repeat(500)) {
                        break;
                    }
                }
                Ok(())
            })
        }),
    ]
}

/// Ten thousand requests over one connection, many at once, by a client that measures the line and asks whether we live.
fn busy(world: &World) -> Verdict {
    const ALL: usize = 10_000;
    const AT_ONCE: usize = 50;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(world.server.https).await.unwrap();
        let name = ServerName::try_from(NAME.to_owned()).unwrap();
        let tls = TlsConnector::from(client_config(&world.server.certificate, b"h2"))
            .connect(name, tcp)
            .await
            .map_err(|error| error.to_string())?;
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .keep_alive_interval(Duration::from_secs(1))
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let mut asking = tokio::task::JoinSet::new();
        for first in 0..AT_ONCE {
            let mut sender = sender.clone();
            asking.spawn(async move {
                for (turn, number) in (first..ALL).step_by(AT_ONCE).enumerate() {
                    let request = http::Request::builder()
                        .uri(format!("https://{APP}/public/busy/{number}"))
                        .body(http_body_util::Empty::<bytes::Bytes>::new())
                        .unwrap();
                    let answer = sender.send_request(request);
                    // Every tenth is taken back, as when somebody has clicked on.
                    if turn % 10 == 9 {
                        let _ = tokio::time::timeout(Duration::from_millis(1), answer).await;
                        continue;
                    }
                    let answer = answer.await.map_err(|error| format!("request {number}: {error:?}"))?;
                    ensure!(answer.status() == 200, "request {number} is answered {}", answer.status());
                    let body = answer
                        .into_body()
                        .collect()
                        .await
                        .map_err(|error| format!("answer {number}: {error}"))?;
                    ensure!(body.to_bytes() == "recorded", "answer {number} is another");
                }
                Ok(())
            });
        }
        while let Some(done) = asking.join_next().await {
            done.map_err(|error| error.to_string())??;
        }
        Ok(())
    })
}
