//! HTTP/2 frames: they are counted alike however the bytes are cut, a modest client is never stopped, and a flood always is.
//!
//! Input: how the bytes are cut, then frames as they come over the wire, without the preface and the first
//! SETTINGS. One whose kind has the highest bit set is ours
//! to the client; kind 0xff lets as many seconds pass as its flags say.

use std::time::Duration;

use portcullis::base::grammar::Rate;
use portcullis::server::frames::budget::{Allowance, Awaited, Budget, Excess};

/// Small, so that they are met.
const ALLOWANCE: Allowance = Allowance {
    control_frames: Rate {
        count: 6,
        per: Duration::from_secs(10),
    },
    resets: Rate {
        count: 3,
        per: Duration::from_secs(10),
    },
    block_bytes: 64,
};

/// Counts the frames whole and cut, and compares with a list of them.
pub fn check(data: &[u8]) {
    let Some((how, sent)) = data.split_first() else { return };
    let events = events(sent);
    let (whole, outcome) = run(&events, usize::MAX);
    for piece in [usize::from(how % 23) + 1, 1] {
        let (cut, cut_outcome) = run(&events, piece);
        assert_eq!(cut_outcome, outcome, "in pieces of {piece}");
        if outcome.is_ok() {
            assert_eq!(cut, whole, "in pieces of {piece}");
        }
    }
    let said = Said::of(&events);
    match outcome {
        Ok(()) => {
            assert_eq!(whole.last_stream(), said.last_stream);
            assert_eq!(whole.data_sent(), said.our_data);
            let awaited = match (said.open_block || !said.asked, said.rest == 0) {
                (true, _) => Awaited::Head,
                (false, true) => Awaited::Nothing,
                (false, false) => Awaited::Frame,
            };
            assert_eq!(whole.awaited(), awaited);
            // A purse has its count for each span of time begun, and what good conduct earned.
            let spans = said.seconds / 10 + 1;
            assert!(
                said.pure_control <= spans * 6,
                "{} frames that nothing pays for in {spans} spans",
                said.pure_control
            );
            assert!(said.resets <= spans * 3 + said.our_ends, "{} resets", said.resets);
            assert!(said.largest_block <= 64 && said.most_pieces <= 8, "{said:?}");
        }
        // Whoever stays below the allowance is let be. The first SETTINGS had one of it.
        Err(Excess::ControlFrames) => assert!(said.besides_requests > 5, "{said:?}"),
        Err(Excess::Resets) => assert!(said.resets + said.our_resets > 3, "{said:?}"),
        Err(Excess::HeaderBlock) => assert!(said.largest_block > 64 || said.most_pieces > 8, "{said:?}"),
        Err(Excess::NoSettings) => panic!("settings came first"),
    }
}

/// Whether a DATA frame holds more than padding.
fn carries(frame: &[u8]) -> bool {
    let padding = if frame[4] & 8 == 0 {
        0
    } else {
        1 + usize::from(frame.get(9).copied().unwrap_or(0))
    };
    length(frame) > padding
}

enum Event {
    /// From the client, and whether it is a whole frame.
    Theirs(Vec<u8>),
    Ours(Vec<u8>),
    Seconds(u64),
}

fn length(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

fn events(mut sent: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !sent.is_empty() {
        let end = if sent.len() < 9 {
            sent.len()
        } else {
            sent.len().min(9 + length(sent))
        };
        let (frame, rest) = sent.split_at(end);
        let whole = frame.len() >= 9 && frame.len() == 9 + length(frame);
        match frame.get(3) {
            Some(0xff) if whole => events.push(Event::Seconds(frame[4].into())),
            Some(0x80..) if whole => {
                let mut frame = frame.to_vec();
                frame[3] &= 0x7f;
                events.push(Event::Ours(frame));
            }
            _ => events.push(Event::Theirs(frame.to_vec())),
        }
        sent = rest;
    }
    events
}

fn run(events: &[Event], piece: usize) -> (Budget, Result<(), Excess>) {
    let mut budget = Budget::new(&ALLOWANCE);
    let mut at = Duration::ZERO;
    budget
        .received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", at)
        .expect("one frame is within any allowance");
    for event in events {
        let counted = match event {
            Event::Seconds(seconds) => {
                at += Duration::from_secs(*seconds);
                Ok(())
            }
            Event::Theirs(bytes) => bytes.chunks(piece).try_for_each(|part| budget.received(part, at)),
            Event::Ours(bytes) => bytes.chunks(piece).try_for_each(|part| budget.sent(part, at)),
        };
        if counted.is_err() {
            return (budget, counted);
        }
    }
    (budget, Ok(()))
}

/// What was said, by a plain reader of frames.
#[derive(Debug, Default)]
struct Said {
    last_stream: u32,
    asked: bool,
    open_block: bool,
    /// Bytes of a frame of theirs that are not there yet, or those of a head.
    rest: usize,
    seconds: u64,
    /// SETTINGS, GOAWAY, PUSH_PROMISE and PING with ACK, which nothing but time pays for.
    pure_control: u64,
    /// Frames that neither open a stream, nor carry a body, nor take a stream back.
    besides_requests: u64,
    resets: u64,
    our_resets: u64,
    our_data: u64,
    our_ends: u64,
    largest_block: usize,
    most_pieces: u64,
}

impl Said {
    fn of(events: &[Event]) -> Self {
        let mut said = Self::default();
        let (mut block, mut pieces) = (0, 0);
        for event in events {
            match event {
                Event::Seconds(seconds) => said.seconds += seconds,
                Event::Ours(frame) => {
                    said.our_data += u64::from(frame[3] == 0);
                    said.our_resets += u64::from(frame[3] == 3);
                    said.our_ends += u64::from(matches!(frame[3], 0 | 1) && frame[4] & 1 != 0);
                }
                Event::Theirs(frame) if frame.len() < 9 => said.rest = 9 - frame.len(),
                Event::Theirs(frame) => {
                    said.rest = 9 + length(frame) - frame.len();
                    // What tells a frame's meaning beyond its head may not be there yet.
                    let (kind, flags, payload) = (frame[3], frame[4], &frame[9..]);
                    let needs = match kind {
                        3 | 8 => 4,
                        0 if flags & 8 != 0 => 1,
                        _ => 0,
                    };
                    if payload.len() < needs.min(length(frame)) {
                        said.rest = usize::MAX;
                        continue;
                    }
                    let stream = u32::from_be_bytes([frame[5] & 0x7f, frame[6], frame[7], frame[8]]);
                    let ends = flags & 4 != 0;
                    match kind {
                        1 => {
                            said.besides_requests += u64::from(stream <= said.last_stream);
                            said.last_stream = said.last_stream.max(stream);
                            (block, pieces) = (length(frame), 0);
                            said.open_block = !ends;
                            said.asked |= ends;
                        }
                        9 => {
                            if said.open_block {
                                (block, pieces) = (block + length(frame), pieces + 1);
                                said.open_block = !ends;
                                said.asked |= ends;
                            }
                        }
                        0 if carries(frame) => {}
                        3 => said.resets += 1,
                        _ => {
                            said.besides_requests += 1;
                            said.pure_control += u64::from(matches!(kind, 4 | 5 | 7) || kind == 6 && flags & 1 != 0);
                        }
                    }
                    said.largest_block = said.largest_block.max(block);
                    said.most_pieces = said.most_pieces.max(pieces);
                }
            }
        }
        said
    }
}
