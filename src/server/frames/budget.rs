//! What an HTTP/2 client may send besides its requests: frames are counted as they pass, by their heads alone.
//!
//! A frame of nine bytes can cost a server an answer, a walk over all its streams, or a request that is begun and thrown away, and none of
//! that is held back by flow control. So everything that is neither a request nor its body is paid for, out of two purses:
//!
//! - *control frames*: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, GOAWAY, DATA that carries nothing, and frames nobody knows;
//! - *resets*: streams the client takes back (CVE-2023-44487), and streams it makes us reset by breaking the rules (CVE-2025-8671).
//!
//! A purse is filled by time, so and so many in so long, and by what makes such frames honest: each stream opened pays for a few, each DATA
//! frame of ours for the window it uses up and for a PING that measures it, each answer given to its end for one stream taken back. Hence the
//! busier an honest client is the more it may do, and one that only makes work has the allowance of time and nothing else.
//!
//! Nothing here waits, reads a clock or allocates: what bytes mean depends on them and on the time given, however they are split.

use std::time::Duration;

use crate::base::grammar::Rate;

/// What a client sends before its first frame (RFC 9113 section 3.4). Whether it is right is the library's to say.
const PREFACE_BYTES: u32 = 24;

/// How many control frames a stream pays for: PRIORITY or its successor, two WINDOW_UPDATE, the empty DATA at its end, trailers.
const OF_A_STREAM: u32 = 6;

/// How many a DATA frame of ours pays for: a WINDOW_UPDATE for its stream and one for the connection, a PING, and one to spare.
const OF_AN_ANSWER: u32 = 4;

/// A WINDOW_UPDATE of less asks for an answer in crumbs (CVE-2019-9511), so answers do not pay for it.
const LEAST_INCREMENT: u32 = 1024;

/// A purse holds at most so many times what time gives it, or an hour of good conduct would pay for a flood.
const MOST_SAVED: u32 = 10;

/// CONTINUATION frames of one header block. A client that fills its frames needs two.
const MOST_CONTINUATIONS: u32 = 8;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// What a connection may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Control frames.
    pub control_frames: Rate,
    /// Streams reset.
    pub resets: Rate,
    /// Bytes of one header block as it is sent, CONTINUATION included.
    pub block_bytes: u32,
}

/// What a connection sent too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Control frames.
    ControlFrames,
    /// Resets, its own or those it provoked.
    Resets,
    /// A header block in too many pieces, or too large.
    HeaderBlock,
    /// Something else before its settings, which are the other half of the preface.
    NoSettings,
}

impl Excess {
    /// One word, for figures and the log.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ControlFrames => "control-frames",
            Self::Resets => "resets",
            Self::HeaderBlock => "header-block",
            Self::NoSettings => "no-settings",
        }
    }
}

/// What the bytes so far leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The first request, or the rest of a header block.
    Head,
    /// The rest of a frame.
    Frame,
    /// Nothing.
    Nothing,
}

/// What one connection has spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    block_bytes: u32,
    control: Purse,
    resets: Purse,
    /// What our DATA frames have paid for.
    answers: u32,
    received: Cursor,
    sent: Cursor,
    block: Option<Block>,
    /// Whether its settings have come.
    greeted: bool,
    /// Whether a whole header block has come.
    asked: bool,
    last_stream: u32,
    data_sent: u64,
}

/// A header block that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    bytes: u32,
    continuations: u32,
}

impl Budget {
    /// The budget of a connection on which nothing has been said yet.
    #[must_use]
    pub const fn new(allowance: &Allowance) -> Self {
        Self {
            block_bytes: allowance.block_bytes,
            control: Purse::new(allowance.control_frames),
            resets: Purse::new(allowance.resets),
            answers: 0,
            received: Cursor::after(PREFACE_BYTES),
            sent: Cursor::after(0),
            block: None,
            greeted: false,
            asked: false,
            last_stream: 0,
            data_sent: 0,
        }
    }

    /// Counts bytes that came from the client, `at` so long after the connection began.
    ///
    /// # Errors
    /// [`Excess`] at the first frame that is too much. Nothing after it was looked at.
    pub fn received(&mut self, mut bytes: &[u8], at: Duration) -> Result<(), Excess> {
        while let Some(frame) = self.received.next(&mut bytes) {
            self.take(frame, at)?;
        }
        Ok(())
    }

    /// Counts bytes that go to the client.
    ///
    /// # Errors
    /// [`Excess`] if the client made us reset too many streams.
    pub fn sent(&mut self, mut bytes: &[u8], at: Duration) -> Result<(), Excess> {
        while let Some(frame) = self.sent.next(&mut bytes) {
            match frame.kind {
                DATA => {
                    self.data_sent = self.data_sent.saturating_add(1);
                    self.answers = self.answers.saturating_add(OF_AN_ANSWER).min(self.control.most());
                }
                RST_STREAM if is_of_the_client(frame.detail) && !self.resets.spend(at) => return Err(Excess::Resets),
                _ => {}
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                self.resets.earn(1);
            }
        }
        Ok(())
    }

    /// What the client has begun and not ended.
    #[must_use]
    pub const fn awaited(&self) -> Awaited {
        if !self.asked || self.block.is_some() {
            Awaited::Head
        } else if self.received.is_between() {
            Awaited::Nothing
        } else {
            Awaited::Frame
        }
    }

    /// Whether a frame of ours could be put in after what was sent.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        self.sent.is_between()
    }

    /// The highest stream the client has opened.
    #[must_use]
    pub const fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// How many DATA frames were sent.
    #[must_use]
    pub const fn data_sent(&self) -> u64 {
        self.data_sent
    }

    fn take(&mut self, frame: Frame, at: Duration) -> Result<(), Excess> {
        self.greeted |= frame.kind == SETTINGS && frame.flags & ACK == 0;
        if !self.greeted {
            return Err(Excess::NoSettings);
        }
        let paid = match frame.kind {
            DATA if frame.carried() > 0 => true,
            DATA if frame.flags & END_STREAM != 0 => self.control.pay(at),
            DATA => self.control.spend(at),
            HEADERS => {
                self.open_block(frame)?;
                let opens = frame.stream > self.last_stream;
                if opens {
                    self.last_stream = frame.stream;
                    self.control.earn(OF_A_STREAM);
                }
                opens || self.control.pay(at)
            }
            CONTINUATION => {
                self.go_on(frame)?;
                true
            }
            RST_STREAM => {
                if !self.resets.pay(at) {
                    return Err(Excess::Resets);
                }
                true
            }
            PING if frame.flags & ACK == 0 => self.answered() || self.control.pay(at),
            WINDOW_UPDATE if frame.detail & 0x7fff_ffff >= LEAST_INCREMENT => self.answered() || self.control.pay(at),
            SETTINGS | PUSH_PROMISE | PING | GOAWAY => self.control.spend(at),
            // PRIORITY, small WINDOW_UPDATE, PRIORITY_UPDATE and whatever else comes with streams.
            _ => self.control.pay(at),
        };
        if paid { Ok(()) } else { Err(Excess::ControlFrames) }
    }

    const fn answered(&mut self) -> bool {
        match self.answers.checked_sub(1) {
            Some(left) => {
                self.answers = left;
                true
            }
            None => false,
        }
    }

    const fn open_block(&mut self, frame: Frame) -> Result<(), Excess> {
        self.asked |= frame.flags & END_HEADERS != 0;
        self.block = if frame.flags & END_HEADERS == 0 {
            Some(Block {
                bytes: frame.length,
                continuations: 0,
            })
        } else {
            None
        };
        if frame.length > self.block_bytes {
            return Err(Excess::HeaderBlock);
        }
        Ok(())
    }

    const fn go_on(&mut self, frame: Frame) -> Result<(), Excess> {
        // One without a block is an error that the library answers.
        let Some(mut block) = self.block else {
            return Ok(());
        };
        block.bytes = block.bytes.saturating_add(frame.length);
        block.continuations += 1;
        if block.bytes > self.block_bytes || block.continuations > MOST_CONTINUATIONS {
            return Err(Excess::HeaderBlock);
        }
        let ends = frame.flags & END_HEADERS != 0;
        self.asked |= ends;
        self.block = if ends { None } else { Some(block) };
        Ok(())
    }
}

/// Whether a stream we reset with this code was reset for what the client did. Our own trouble is INTERNAL_ERROR, and NO_ERROR or CANCEL
/// where nobody needs the rest.
const fn is_of_the_client(code: u32) -> bool {
    // PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM.
    matches!(code, 1 | 3 | 5 | 6 | 7 | 11)
}

/// So many in so long, and what was earned besides.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Purse {
    allowed: Rate,
    began: Duration,
    spent: u32,
    earned: u32,
}

impl Purse {
    const fn new(allowed: Rate) -> Self {
        Self {
            allowed,
            began: Duration::ZERO,
            spent: 0,
            earned: 0,
        }
    }

    const fn most(&self) -> u32 {
        self.allowed.count.saturating_mul(MOST_SAVED)
    }

    fn earn(&mut self, count: u32) {
        self.earned = self.earned.saturating_add(count).min(self.most());
    }

    /// Pays with what was earned, else with the allowance of time. `false` if there is neither.
    fn pay(&mut self, at: Duration) -> bool {
        if let Some(left) = self.earned.checked_sub(1) {
            self.earned = left;
            return true;
        }
        self.spend(at)
    }

    /// Pays with the allowance of time alone.
    fn spend(&mut self, at: Duration) -> bool {
        if at.saturating_sub(self.began) >= self.allowed.per {
            self.began = at;
            self.spent = 0;
        }
        self.spent = self.spent.saturating_add(1);
        self.spent <= self.allowed.count
    }
}

/// The head of a frame, and the first bytes of what it carries where they matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    length: u32,
    stream: u32,
    /// The increment of a WINDOW_UPDATE, the code of a RST_STREAM, the length of padding.
    detail: u32,
}

impl Frame {
    /// Bytes of a DATA frame that are not padding.
    const fn carried(self) -> u32 {
        if self.flags & PADDED == 0 {
            self.length
        } else {
            self.length.saturating_sub(1).saturating_sub(self.detail)
        }
    }
}

const HEAD_BYTES: usize = 9;

/// Follows frames through bytes that come in any pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    /// Bytes to pass over before the next head.
    skip: u32,
    head: [u8; HEAD_BYTES + 4],
    have: usize,
}

impl Cursor {
    const fn after(skip: u32) -> Self {
        Self {
            skip,
            head: [0; HEAD_BYTES + 4],
            have: 0,
        }
    }

    const fn is_between(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    const fn length(&self) -> u32 {
        u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]])
    }

    /// How many bytes tell what a frame is. Those of its head come first.
    fn needed(&self) -> usize {
        if self.have < HEAD_BYTES {
            return HEAD_BYTES;
        }
        let more = match self.head[3] {
            WINDOW_UPDATE | RST_STREAM => 4,
            DATA if self.head[4] & PADDED != 0 => 1,
            _ => 0,
        };
        HEAD_BYTES + usize::try_from(self.length()).unwrap_or(more).min(more)
    }

    /// The next frame whose head is whole; takes from `bytes` what it has seen.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        loop {
            if self.skip > 0 {
                let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                *bytes = bytes.get(passed..).unwrap_or_default();
                self.skip -= u32::try_from(passed).unwrap_or(self.skip);
                if self.skip > 0 {
                    return None;
                }
            }
            let needed = self.needed();
            if self.have >= needed && self.have >= HEAD_BYTES {
                return Some(self.whole());
            }
            let space = self.head.get_mut(self.have..needed)?;
            let count = space.len().min(bytes.len());
            let (new, rest) = bytes.split_at_checked(count)?;
            space.get_mut(..count)?.copy_from_slice(new);
            *bytes = rest;
            self.have += count;
            if self.have < needed {
                return None;
            }
        }
    }

    fn whole(&mut self) -> Frame {
        let [.., kind, flags, a, b, c, d, e, f, g, h] = self.head;
        let length = self.length();
        let seen = u32::try_from(self.have - HEAD_BYTES).unwrap_or(0);
        let frame = Frame {
            kind,
            flags,
            length,
            stream: u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff,
            detail: match seen {
                4 => u32::from_be_bytes([e, f, g, h]),
                1 => u32::from(e),
                _ => 0,
            },
        };
        self.skip = length.saturating_sub(seen);
        self.have = 0;
        frame
    }
}

#[cfg(test)]
mod tests;
