//! Where a chunked body ends: counting only, the HTTP library judges the grammar.

/// How far into a chunked body we are (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a chunk's size, so far.
    Size(u64),
    /// Behind the size, up to the end of its line.
    Extension(u64),
    /// So many bytes of data are left.
    Data(u64),
    /// The line end behind the data.
    DataEnd,
    /// At the start of a trailer line.
    TrailerStart,
    /// Within a trailer line.
    Trailer,
    /// In the line end of the empty line.
    LastLine,
    /// The grammar is broken; the library refuses it, and nothing behind it is looked at.
    Broken,
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl Chunks {
    /// Takes bytes: how many belong to the body, and whether it is over with them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if let Self::Data(left) = self {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= taken as u64;
                at += taken;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                continue;
            }
            at += 1;
            if *self == Self::LastLine && byte == b'\n' {
                return (at, true);
            }
            *self = self.step(byte);
        }
        (bytes.len(), false)
    }

    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size(size), b'0'..=b'9') => Self::sized(size, byte - b'0'),
            (Self::Size(size), b'a'..=b'f') => Self::sized(size, byte - b'a' + 10),
            (Self::Size(size), b'A'..=b'F') => Self::sized(size, byte - b'A' + 10),
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::TrailerStart,
            (Self::Size(size) | Self::Extension(size), b'\n') => Self::Data(size),
            (Self::Size(size) | Self::Extension(size), _) => Self::Extension(size),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(0),
            (Self::TrailerStart, b'\r') => Self::LastLine,
            (Self::Trailer, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            (Self::Data(left), _) => Self::Data(left),
            (Self::DataEnd | Self::LastLine | Self::Broken, _) => Self::Broken,
        }
    }

    fn sized(size: u64, digit: u8) -> Self {
        size.checked_mul(16)
            .and_then(|size| size.checked_add(u64::from(digit)))
            .map_or(Self::Broken, Self::Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_ends_where_it_ends() {
        for (name, text, end) in [
            ("empty", "0\r\n\r\nGET", Some(5)),
            ("one", "3\r\nabc\r\n0\r\n\r\nGET", Some(13)),
            ("hexadecimal", "A\r\n0123456789\r\n0\r\n\r\n", Some(20)),
            ("extension", "1;a=b\r\nx\r\n0;z\r\n\r\nx", Some(17)),
            ("trailer", "0\r\nA: b\r\nC: d\r\n\r\nGET", Some(17)),
            ("not over", "3\r\nabc\r\n0\r\n", None),
            ("too large", "fffffffffffffffff\r\n", None),
            ("data too long", "1\r\nabc\r\n0\r\n\r\n", None),
        ] {
            let mut whole = Chunks::default();
            let (taken, over) = whole.advance(text.as_bytes());
            assert_eq!(over.then_some(taken), end, "{name}");
            let mut pieces = Chunks::default();
            let cut = text.bytes().position(|byte| pieces.advance(&[byte]).1).map(|at| at + 1);
            assert_eq!(cut, end, "{name} in pieces");
        }
    }
}
