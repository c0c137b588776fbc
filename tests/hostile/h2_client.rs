//! HTTP/2 by hand: frames and header blocks exactly as a case wants them, and what comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::case::{APP, World};
use crate::support::wire::PATIENCE;
use crate::support::{Line, Protocol};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITISED: u8 = 0x20;
/// A request without body in one frame.
pub(crate) const WHOLE: u8 = END_HEADERS | END_STREAM;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame, right or wrong.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One setting.
pub(crate) fn setting(name: u16, value: u32) -> Vec<u8> {
    let mut bytes = name.to_be_bytes().to_vec();
    bytes.extend(value.to_be_bytes());
    bytes
}

/// An integer of HPACK behind the bits of its representation (RFC 7541 section 5.1).
pub(crate) fn integer(bits: u8, prefix: u32, value: usize) -> Vec<u8> {
    let most = (1_usize << prefix) - 1;
    if value < most {
        return vec![bits | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![bits | u8::try_from(most).unwrap()];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let mut all = integer(0, 7, bytes.len());
    all.extend(bytes);
    all
}

/// A field that no table keeps, with its name spelled out.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// A field that must never be kept by any table.
pub(crate) fn never_indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0x10], text(name), text(value)].concat()
}

/// A field that goes into the dynamic table, where it is number 62 until the next one.
pub(crate) fn indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0x40], text(name), text(value)].concat()
}

/// A field that a table has.
pub(crate) fn from_table(number: usize) -> Vec<u8> {
    integer(0x80, 7, number)
}

/// Names and values.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Fields out of text.
pub(crate) fn fields(list: &[(&str, &str)]) -> Fields {
    list.iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

/// The four fields of any request to the application.
pub(crate) fn get(path: &str) -> Fields {
    fields(&[(":method", "GET"), (":scheme", "https"), (":authority", APP), (":path", path)])
}

/// The same of a POST.
pub(crate) fn post(path: &str) -> Fields {
    fields(&[(":method", "POST"), (":scheme", "https"), (":authority", APP), (":path", path)])
}

/// A request with more fields.
pub(crate) fn with(mut request: Fields, more: &[(&str, &str)]) -> Fields {
    request.extend(fields(more));
    request
}

/// A header block without tables.
pub(crate) fn block(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// A request without body, in as many frames as its block needs.
pub(crate) fn head(stream: u32, coded: &[u8]) -> Vec<u8> {
    let mut pieces = coded.chunks(16_384);
    let mut bytes = frame(HEADERS, END_STREAM, stream, pieces.next().unwrap_or_default());
    for piece in pieces {
        bytes.extend(frame(CONTINUATION, 0, stream, piece));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, stream, &[]));
    bytes
}

/// What came on one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Came {
    pub(crate) status: Option<u16>,
    pub(crate) body: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) reset: Option<u32>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered to the end.
    Answered(u16),
    /// Its stream was reset, with this code.
    Reset(u32),
    /// The connection ended, with the code of a GOAWAY if there was one.
    Gone(Option<u32>),
    /// Nothing happened for as long as anything is waited for.
    Silence,
}

impl Outcome {
    /// Whether it was stopped as something broken, in any of the ways there are.
    pub(crate) const fn is_refusal(self) -> bool {
        matches!(self, Self::Reset(_) | Self::Gone(_) | Self::Answered(400 | 413 | 421 | 431 | 501))
    }
}

/// A client that does what it is told.
pub(crate) struct Peer {
    line: Line,
    pub(crate) streams: BTreeMap<u32, Came>,
    pub(crate) goaway: Option<u32>,
    pub(crate) closed: bool,
    /// PING answered, and SETTINGS.
    pub(crate) acknowledged: usize,
    /// The settings of the server, by their number.
    pub(crate) settings: BTreeMap<u16, u32>,
    /// Whether what the server asks for (SETTINGS, PING) is acknowledged.
    pub(crate) polite: bool,
}

impl Peer {
    /// Connects and says nothing.
    pub(crate) fn silent(world: &World) -> Self {
        Self::over(world.line(Protocol::H2))
    }

    /// The same over any connection.
    pub(crate) fn over(line: Line) -> Self {
        Self {
            line,
            streams: BTreeMap::new(),
            goaway: None,
            closed: false,
            acknowledged: 0,
            settings: BTreeMap::new(),
            polite: true,
        }
    }

    /// Connects, and says the preface with these settings. The table for answers is none, so that a status can be read without one.
    pub(crate) fn with(world: &World, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent(world);
        let mut payload = setting(1, 0);
        for (name, value) in settings {
            payload.extend(setting(*name, *value));
        }
        peer.send(&[PREFACE.to_vec(), frame(SETTINGS, 0, 0, &payload)].concat());
        peer
    }

    /// Connects, and says the preface.
    pub(crate) fn open(world: &World) -> Self {
        Self::with(world, &[])
    }

    /// Sends bytes; `false` where the other end takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.line.send(bytes)
    }

    /// Sends a request without body on a stream.
    pub(crate) fn ask(&mut self, stream: u32, fields: &[(Vec<u8>, Vec<u8>)]) -> bool {
        self.send(&frame(HEADERS, WHOLE, stream, &block(fields)))
    }

    /// Sends and takes in what comes meanwhile; `false` once the connection is over.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let sent = self.send(bytes);
        self.hear(Duration::from_millis(1));
        sent && !self.closed
    }

    /// Takes in what comes within the time, at least one read of it.
    pub(crate) fn hear(&mut self, within: Duration) {
        if self.closed {
            return;
        }
        if self.line.hear(within) == Some(0) {
            self.closed = true;
        }
        self.read();
    }

    /// Takes in what comes until it fits; whether it ever did.
    pub(crate) fn until(&mut self, within: Duration, fits: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + within;
        loop {
            if fits(self) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.closed {
                return false;
            }
            self.hear(left);
        }
    }

    /// What becomes of a stream.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        self.outcome_within(stream, PATIENCE)
    }

    /// The same within a time.
    pub(crate) fn outcome_within(&mut self, stream: u32, within: Duration) -> Outcome {
        let over = |peer: &Self| {
            peer.goaway.is_some_and(|code| code != 0) || peer.streams.get(&stream).is_some_and(|came| came.ended || came.reset.is_some())
        };
        self.until(within, over);
        match self.streams.get(&stream) {
            Some(Came {
                status: Some(status),
                ended: true,
                ..
            }) => Outcome::Answered(*status),
            Some(Came { reset: Some(code), .. }) => Outcome::Reset(*code),
            _ if self.closed || self.goaway.is_some_and(|code| code != 0) => Outcome::Gone(self.goaway),
            _ => Outcome::Silence,
        }
    }

    /// Waits for the end of the connection; what its GOAWAY said, if there was one.
    pub(crate) fn end(&mut self, within: Duration) -> Outcome {
        let over = |peer: &Self| peer.closed || peer.goaway.is_some_and(|code| code != 0);
        if self.until(within, over) || self.closed {
            Outcome::Gone(self.goaway)
        } else {
            Outcome::Silence
        }
    }

    /// Whether it still answers: a PING is answered, on a connection nobody has said goodbye on.
    pub(crate) fn lives(&mut self) -> bool {
        let before = self.acknowledged;
        self.send(&frame(PING, 0, 0, b"anybody?"));
        self.until(PATIENCE, |peer| peer.acknowledged > before) && self.goaway.is_none_or(|code| code == 0)
    }

    fn read(&mut self) {
        let got = std::mem::take(&mut self.line.got);
        let mut rest = &got[..];
        while rest.len() >= 9 {
            let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
            if rest.len() < 9 + length {
                break;
            }
            let (kind, flags) = (rest[3], rest[4]);
            let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]) & 0x7fff_ffff;
            let payload = rest[9..9 + length].to_vec();
            rest = &rest[9 + length..];
            self.take(kind, flags, stream, &payload);
        }
        let left = rest.to_vec();
        self.line.got = [left, std::mem::take(&mut self.line.got)].concat();
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let number = |at: usize| u32::from_be_bytes([payload[at], payload[at + 1], payload[at + 2], payload[at + 3]]);
        match kind {
            DATA => {
                let came = self.streams.entry(stream).or_default();
                came.body.extend(payload);
                came.ended |= flags & END_STREAM != 0;
            }
            HEADERS => {
                let came = self.streams.entry(stream).or_default();
                if came.status.is_none_or(|status| status < 200) {
                    came.status = status(payload);
                }
                came.ended |= flags & END_STREAM != 0;
            }
            RST_STREAM => self.streams.entry(stream).or_default().reset = Some(number(0)),
            GOAWAY => self.goaway = Some(number(4)),
            SETTINGS | PING if flags & ACK != 0 => self.acknowledged += 1,
            SETTINGS => {
                for one in payload.chunks_exact(6) {
                    let value = u32::from_be_bytes([one[2], one[3], one[4], one[5]]);
                    self.settings.insert(u16::from_be_bytes([one[0], one[1]]), value);
                }
                if self.polite {
                    self.send(&frame(SETTINGS, ACK, 0, &[]));
                }
            }
            PING if self.polite => {
                self.send(&frame(PING, ACK, 0, payload));
            }
            _ => {}
        }
    }
}

/// The status at the front of an answer's header block, where tables are empty.
fn status(block: &[u8]) -> Option<u16> {
    let mut rest = block;
    while rest.first()? & 0xe0 == 0x20 {
        rest = &rest[1..];
    }
    let known = [200, 204, 206, 304, 400, 404, 500];
    match rest.first()? {
        first @ 0x88..=0x8e => Some(known[usize::from(first - 0x88)]),
        0x48 | 0x08 | 0x18 => {
            let length = rest.get(1)?;
            let value = rest.get(2..2 + usize::from(length & 0x7f))?;
            if length & 0x80 == 0 {
                return String::from_utf8_lossy(value).parse().ok();
            }
            Some(digits(value))
        }
        _ => None,
    }
}

/// Three digits in the code of RFC 7541 appendix B: 0, 1 and 2 have five bits, the others six.
fn digits(coded: &[u8]) -> u16 {
    let bits: Vec<u16> = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)))
        .collect();
    let mut at = 0;
    let mut number = 0;
    for _ in 0..3 {
        let five = bits[at..at + 5].iter().fold(0, |sum, bit| sum << 1 | bit);
        let digit = if five < 3 {
            at += 5;
            five
        } else {
            let six = bits[at..at + 6].iter().fold(0, |sum, bit| sum << 1 | bit);
            at += 6;
            six - 0x19 + 3
        };
        number = number * 10 + digit;
    }
    number
}

#[test]
fn statuses_are_read() {
    for (block, expected) in [
        (&[0x88][..], 200),
        (&[0x20, 0x8d], 404),
        (&[0x48, 0x03, b'4', b'2', b'1'], 421),
        (&[0x48, 0x82, 0x64, 0x02], 302),
        (&[0x20, 0x48, 0x83, 0x64, 0x0e, 0xff], 307),
        (&[0x08, 0x83, 0x69, 0x90, 0xff], 431),
        (&[0x48, 0x82, 0x6c, 0x01], 501),
    ] {
        assert_eq!(status(block), Some(expected), "{block:x?}");
    }
}

#[test]
fn integers_are_written_as_in_the_standard() {
    assert_eq!(integer(0, 5, 10), [10]);
    assert_eq!(integer(0, 5, 1337), [31, 154, 10]);
    assert_eq!(integer(0x80, 7, 62), [0xbe]);
}
