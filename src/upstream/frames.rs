//! Where the frames of a WebSocket end (RFC 6455 section 5.2), followed as the bytes pass, and the frame that closes one.

/// The longest header: two bytes, eight of length, four of mask.
const LONGEST_HEADER: usize = 14;

/// What is sent when a WebSocket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code, such as 4401.
    pub code: u16,
    /// For people, 123 bytes at most.
    pub reason: &'static str,
}

impl Close {
    /// The frame, masked where it goes to a server.
    #[must_use]
    pub fn to_frame(self, mask: Option<[u8; 4]>) -> Vec<u8> {
        const CLOSE: u8 = 0x88;
        let mut payload = self.code.to_be_bytes().to_vec();
        payload.extend(self.reason.bytes().take(123));
        let length = u8::try_from(payload.len()).unwrap_or(125);
        match mask {
            None => [&[CLOSE, length][..], &payload].concat(),
            Some(mask) => {
                for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
                    *byte ^= mask;
                }
                [&[CLOSE, 0x80 | length][..], &mask, &payload].concat()
            }
        }
    }
}

/// How far the bytes of one direction have come.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    header: [u8; LONGEST_HEADER],
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            header: [0; LONGEST_HEADER],
            have: 0,
            left: 0,
        }
    }
}

impl Frames {
    /// Whether the last byte ended a frame.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// These bytes passed.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.pass_one(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }

    /// How many of these bytes belong to the frame that is under way.
    #[must_use]
    pub fn rest_in(&self, bytes: &[u8]) -> usize {
        let mut ahead = *self;
        let mut count = 0;
        while !ahead.is_between() && count < bytes.len() {
            count += ahead.pass_one(bytes.get(count..).unwrap_or_default());
        }
        count
    }

    /// Takes some of the bytes, at least one and none beyond the frame's end; says how many.
    fn pass_one(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= count as u64;
            return count;
        }
        let (Some(byte), Some(place)) = (bytes.first(), self.header.get_mut(self.have)) else {
            self.have = 0;
            return 1;
        };
        *place = *byte;
        self.have += 1;
        if let Some(length) = self.length() {
            self.have = 0;
            self.left = length;
        }
        1
    }

    /// The payload's length, once the header is whole.
    fn length(&self) -> Option<u64> {
        let header = self.header.get(..self.have)?;
        let second = *header.get(1)?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (wide, length) = match second & 0x7f {
            126 => (2, None),
            127 => (8, None),
            length => (0, Some(u64::from(length))),
        };
        if self.have < 2 + wide + mask {
            return None;
        }
        let written = header.get(2..2 + wide)?;
        Some(length.unwrap_or_else(|| written.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match u16::try_from(length) {
            Ok(short) if short < 126 => bytes.push(mask | short as u8),
            Ok(middle) => {
                bytes.push(mask | 126);
                bytes.extend(middle.to_be_bytes());
            }
            Err(_) => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(std::iter::repeat_n(0x88, length));
        bytes
    }

    #[test]
    fn every_frame_ends_where_it_ends_however_it_is_cut_up() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
                let one = frame(masked, length);
                let two = [one.clone(), frame(masked, 3)].concat();
                for step in [1, 2, 3, 7, 4096, usize::MAX] {
                    let mut frames = Frames::default();
                    let mut passed = 0;
                    while passed < two.len() {
                        let piece = &two[passed..two.len().min(passed.saturating_add(step))];
                        frames.pass(piece);
                        passed += piece.len();
                        let at_end = passed == one.len() || passed == two.len();
                        assert_eq!(frames.is_between(), at_end, "{masked} {length} by {step} after {passed}");
                    }
                }
                let mut begun = Frames::default();
                assert_eq!(begun.rest_in(&one), 0, "none is under way");
                begun.pass(&two[..1]);
                assert_eq!(begun.rest_in(&two[1..]), one.len() - 1, "{masked} {length}");
            }
        }
    }

    #[test]
    fn a_close_reads_back() {
        let close = Close {
            code: 4401,
            reason: "signed out",
        };
        let plain = close.to_frame(None);
        assert_eq!(plain, [&[0x88, 12, 0x11, 0x31][..], b"signed out"].concat());
        let masked = close.to_frame(Some([9, 8, 7, 6]));
        assert_eq!(masked[..6], [0x88, 0x8c, 9, 8, 7, 6]);
        let opened: Vec<u8> = masked[6..]
            .iter()
            .zip([9, 8, 7, 6].iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        assert_eq!(opened, plain[2..]);
        for bytes in [plain, masked] {
            let mut frames = Frames::default();
            frames.pass(&bytes);
            assert!(frames.is_between());
        }
    }
}
