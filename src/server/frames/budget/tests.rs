use std::time::Duration;

use proptest::prelude::*;

use super::*;

const PRIORITY: u8 = 2;

const ALLOWANCE: Allowance = Allowance {
    control_frames: Rate {
        count: 100,
        per: Duration::from_secs(10),
    },
    resets: Rate {
        count: 20,
        per: Duration::from_secs(10),
    },
    block_bytes: 32 * 1024,
};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A budget after the preface.
fn budget() -> Budget {
    let mut budget = Budget::new(&ALLOWANCE);
    budget.received(&greeting(), Duration::ZERO).unwrap();
    // The settings were the first frame of the first window of time, in which nothing is to be tried.
    budget.control.spent = 0;
    budget
}

/// What a client says first.
fn greeting() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

fn headers(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x82\x84\x87")
}

/// How many of these frames are let through at once, of at most `most`.
fn taken(budget: &mut Budget, frame: &[u8], most: u32) -> u32 {
    (0..most).find(|_| budget.received(frame, Duration::ZERO).is_err()).unwrap_or(most)
}

#[test]
fn what_no_request_calls_for_has_the_allowance_of_time_and_no_more() {
    for (name, bytes) in [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING that answers none", frame(PING, ACK, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS with a window", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE of one byte", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0])),
        ("empty DATA", frame(DATA, 0, 1, &[])),
        ("DATA of padding", frame(DATA, PADDED, 1, &[3, 0, 0, 0])),
        ("GOAWAY", frame(GOAWAY, 0, 0, &[0; 8])),
        ("a frame nobody knows", frame(0xbe, 0, 0, b"what is this")),
        ("trailers over again", frame(HEADERS, END_HEADERS | END_STREAM, 0, &[])),
    ] {
        assert_eq!(taken(&mut budget(), &bytes, 1000), 100, "{name}");
        let mut later = budget();
        taken(&mut later, &bytes, 100);
        assert_eq!(
            later.clone().received(&bytes, Duration::from_secs(9)),
            Err(Excess::ControlFrames),
            "{name}"
        );
        assert_eq!(later.received(&bytes, Duration::from_secs(10)), Ok(()), "{name}");
    }
}

#[test]
fn resets_have_the_allowance_and_one_for_each_answer_taken_to_its_end() {
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    assert_eq!(taken(&mut budget(), &reset, 1000), 20);
    let mut busy = budget();
    for _ in 0..50 {
        busy.sent(&frame(DATA, END_STREAM, 1, b"answer"), Duration::ZERO).unwrap();
    }
    assert_eq!(taken(&mut busy, &reset, 1000), 70);
}

#[test]
fn resets_that_the_client_provokes_count_and_ours_do_not() {
    for (name, code, counts) in [
        ("no error", 0, false),
        ("protocol error", 1, true),
        ("internal error", 2, false),
        ("flow control", 3, true),
        ("stream closed", 5, true),
        ("frame size", 6, true),
        ("refused", 7, true),
        ("cancel", 8, false),
    ] {
        let mut budget = budget();
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, code]);
        let sent = (0..500).all(|_| budget.sent(&reset, Duration::ZERO).is_ok());
        assert_eq!(sent, !counts, "{name}");
    }
}

#[test]
fn a_header_block_has_an_end() {
    let first = frame(HEADERS, 0, 1, b"");
    let more = frame(CONTINUATION, 0, 1, b"");
    let mut pieces = budget();
    pieces.received(&first, Duration::ZERO).unwrap();
    assert_eq!(taken(&mut pieces, &more, 100), MOST_CONTINUATIONS);

    let mut large = budget();
    large.received(&frame(HEADERS, 0, 1, &[0; 16_384]), Duration::ZERO).unwrap();
    large.received(&frame(CONTINUATION, 0, 1, &[0; 16_384]), Duration::ZERO).unwrap();
    assert_eq!(
        large.received(&frame(CONTINUATION, 0, 1, &[0]), Duration::ZERO),
        Err(Excess::HeaderBlock)
    );

    let mut ended = budget();
    for stream in 0..100 {
        ended.received(&frame(HEADERS, 0, stream * 2 + 1, b""), Duration::ZERO).unwrap();
        ended
            .received(&frame(CONTINUATION, END_HEADERS, stream * 2 + 1, b""), Duration::ZERO)
            .unwrap();
    }
    assert_eq!(ended.awaited(), Awaited::Nothing);
}

#[test]
fn a_busy_browser_never_meets_it() {
    let mut budget = budget();
    let at = Duration::ZERO;
    budget.received(&frame(SETTINGS, 0, 0, &[0, 4, 0, 96, 0, 0]), at).unwrap();
    budget.received(&frame(WINDOW_UPDATE, 0, 0, &[0, 239, 0, 1]), at).unwrap();
    budget.received(&frame(SETTINGS, ACK, 0, &[]), at).unwrap();
    for request in 0..10_000 {
        let stream = request * 2 + 1;
        budget.received(&headers(stream), at).unwrap();
        budget.received(&frame(0x10, 0, 0, b"\0\0\0\x01u=1, i"), at).unwrap();
        budget.received(&frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]), at).unwrap();
        budget.sent(&frame(HEADERS, END_HEADERS, stream, b"\x88"), at).unwrap();
        for _ in 0..4 {
            budget.sent(&frame(DATA, 0, stream, &[0; 8192]), at).unwrap();
            budget.received(&frame(WINDOW_UPDATE, 0, stream, &[0, 0, 32, 0]), at).unwrap();
            budget.received(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 32, 0]), at).unwrap();
            budget.received(&frame(PING, 0, 0, b"measure!"), at).unwrap();
        }
        // Every other one is taken back half way.
        if request % 2 == 0 {
            budget.sent(&frame(DATA, END_STREAM, stream, &[]), at).unwrap();
        } else {
            budget.received(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]), at).unwrap();
        }
    }
}

#[test]
fn keepalive_pings_of_a_client_that_asks_nothing_go_on_for_ever() {
    let mut budget = budget();
    budget.received(&headers(1), Duration::ZERO).unwrap();
    for second in 0..100_000 {
        budget
            .received(&frame(PING, 0, 0, b"are you?"), Duration::from_secs(second))
            .unwrap();
    }
}

#[test]
fn small_answers_do_not_pay_for_windows_opened_in_crumbs() {
    let mut budget = budget();
    let crumb = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    let went = (0..1000).take_while(|_| {
        budget.sent(&frame(DATA, 0, 1, b"x"), Duration::ZERO).unwrap();
        budget.received(&crumb, Duration::ZERO).is_ok()
    });
    assert_eq!(went.count(), 100);
}

#[test]
fn what_is_earned_is_not_saved_for_a_flood() {
    let mut budget = budget();
    for stream in 0..100_000 {
        budget.received(&headers(stream * 2 + 1), Duration::ZERO).unwrap();
        budget.sent(&frame(DATA, END_STREAM, 1, b"answer"), Duration::ZERO).unwrap();
    }
    assert_eq!(
        taken(&mut budget.clone(), &frame(PING, 0, 0, &[0; 8]), 1_000_000),
        1000 + 1000 + 100
    );
    assert_eq!(taken(&mut budget, &frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), 1_000_000), 200 + 20);
}

#[test]
fn it_knows_what_is_begun() {
    let mut budget = Budget::new(&ALLOWANCE);
    let at = Duration::ZERO;
    assert_eq!(budget.awaited(), Awaited::Head);
    budget.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", at).unwrap();
    budget.received(&frame(SETTINGS, 0, 0, &[]), at).unwrap();
    assert_eq!(budget.awaited(), Awaited::Head);
    budget.received(&headers(1), at).unwrap();
    assert_eq!(budget.awaited(), Awaited::Nothing);
    let data = frame(DATA, 0, 1, b"four");
    for (piece, awaited) in [
        (&data[..1], Awaited::Frame),
        (&data[1..9], Awaited::Frame),
        (&data[9..12], Awaited::Frame),
        (&data[12..], Awaited::Nothing),
    ] {
        budget.received(piece, at).unwrap();
        assert_eq!(budget.awaited(), awaited);
    }
    budget.received(&frame(HEADERS, 0, 3, b"\x82"), at).unwrap();
    assert_eq!(budget.awaited(), Awaited::Head);
    assert_eq!(budget.last_stream(), 3);
    assert!(budget.is_between_frames());
    budget.sent(&data[..9], at).unwrap();
    assert!(!budget.is_between_frames());
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    (
        prop_oneof![0_u8..12, any::<u8>()],
        any::<u8>(),
        0_u32..64,
        proptest::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload))
}

proptest! {
    #[test]
    fn it_counts_the_same_however_the_bytes_are_split(
        frames in proptest::collection::vec(any_frame(), 0..60),
        cuts in proptest::collection::vec(1_usize..50, 1..200),
    ) {
        let mut bytes = greeting();
        bytes.extend(frames.concat());
        let at = Duration::from_secs(1);
        let whole = |feed: fn(&mut Budget, &[u8], Duration) -> Result<(), Excess>| {
            let mut at_once = Budget::new(&ALLOWANCE);
            let one = feed(&mut at_once, &bytes, at);
            let mut split = Budget::new(&ALLOWANCE);
            let mut rest = &bytes[..];
            let mut two = Ok(());
            for cut in cuts.iter().copied().chain(std::iter::repeat(1)) {
                if rest.is_empty() || two.is_err() {
                    break;
                }
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                two = feed(&mut split, piece, at);
                rest = after;
            }
            (one, at_once, two, split)
        };
        for feed in [Budget::received, Budget::sent] as [fn(&mut Budget, &[u8], Duration) -> Result<(), Excess>; 2] {
            let (one, at_once, two, split) = whole(feed);
            prop_assert_eq!(one, two);
            prop_assert_eq!(at_once, split);
        }
    }

    #[test]
    fn any_bytes_are_followed(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut budget = Budget::new(&ALLOWANCE);
        let _ = budget.received(&bytes, Duration::ZERO);
        let _ = budget.sent(&bytes, Duration::ZERO);
        let _ = budget.awaited();
    }
}

#[test]
fn it_counts_the_same_when_split_at_every_byte() {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for part in [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        headers(1),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 32, 0]),
        frame(DATA, PADDED, 1, &[2, b'x', 0, 0]),
        frame(DATA, PADDED, 1, &[]),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        frame(HEADERS, 0, 3, b"\x82"),
        frame(CONTINUATION, END_HEADERS, 3, b"\x84"),
        frame(WINDOW_UPDATE, 0, 1, &[0]),
        frame(PING, 0, 0, &[0; 8]),
    ] {
        bytes.extend(part);
    }
    let mut at_once = Budget::new(&ALLOWANCE);
    at_once.received(&bytes, Duration::ZERO).unwrap();
    for cut in 0..=bytes.len() {
        let mut split = Budget::new(&ALLOWANCE);
        split.received(&bytes[..cut], Duration::ZERO).unwrap();
        split.received(&bytes[cut..], Duration::ZERO).unwrap();
        assert_eq!(split, at_once, "cut at {cut}");
    }
}

#[test]
fn settings_come_first() {
    for first in [
        headers(1),
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(0xbe, 0, 0, b"?"),
    ] {
        let mut budget = Budget::new(&ALLOWANCE);
        budget.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Duration::ZERO).unwrap();
        assert_eq!(budget.received(&first, Duration::ZERO), Err(Excess::NoSettings));
    }
}
