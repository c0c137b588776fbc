//! Where a chunked body ends, and whether it keeps to the grammar to the letter: the HTTP library lets lines end with a bare line feed, and
//! takes what it likes in extensions. A reader behind us may find other edges in such a body than we do.

/// The longest line of a chunk's size with its extensions, in bytes. Extensions mean nothing to anybody.
const LONGEST_LINE: u16 = 1024;

/// The most that trailers may be in all, in bytes. They go no further.
const MOST_TRAILERS: u16 = 16 * 1024;

/// How far into a chunked body we are (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a chunk's size.
    Start,
    /// In it, so far.
    Size(u64),
    /// Behind the size, up to the end of its line.
    Extension(u64),
    /// In the end of that line.
    SizeEnd(u64),
    /// So many bytes of data are left.
    Data(u64),
    /// Before the line end behind the data.
    DataEnd,
    /// In it.
    DataEndFeed,
    /// At the start of a trailer line.
    TrailerStart,
    /// In a trailer's name.
    TrailerName,
    /// In its value.
    Trailer,
    /// In the end of its line.
    TrailerEnd,
    /// In the line end of the empty line.
    LastLine,
    /// The grammar is broken, and nothing behind that has a meaning.
    Broken,
}

/// A chunked body as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    place: Place,
    /// Bytes of this line, or of all trailers.
    length: u16,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            place: Place::Start,
            length: 0,
        }
    }
}

impl Chunks {
    /// Takes bytes: how many belong to the body, and whether it is over with them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if let Place::Data(left) = &mut self.place {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= taken as u64;
                at += taken;
                if *left == 0 {
                    self.place = Place::DataEnd;
                }
                continue;
            }
            if self.is_broken() {
                break;
            }
            at += 1;
            if self.place == Place::LastLine && byte == b'\n' {
                return (at, true);
            }
            self.step(byte);
        }
        (bytes.len(), false)
    }

    /// Whether the grammar is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.place == Place::Broken
    }

    fn step(&mut self, byte: u8) {
        self.length = self.length.saturating_add(1);
        let most = match self.place {
            Place::TrailerStart | Place::TrailerName | Place::Trailer | Place::TrailerEnd | Place::LastLine => MOST_TRAILERS,
            _ => LONGEST_LINE,
        };
        self.place = match (self.place, byte) {
            _ if self.length > most => Place::Broken,
            (Place::Start, _) if byte.is_ascii_hexdigit() => sized(0, byte),
            (Place::Size(size), _) if byte.is_ascii_hexdigit() => sized(size, byte),
            (Place::Size(size) | Place::Extension(size), b'\r') => Place::SizeEnd(size),
            (Place::Size(size), b';') => Place::Extension(size),
            (Place::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => Place::Extension(size),
            (Place::SizeEnd(size), b'\n') => {
                self.length = 0;
                if size == 0 { Place::TrailerStart } else { Place::Data(size) }
            }
            (Place::DataEnd, b'\r') => Place::DataEndFeed,
            (Place::DataEndFeed, b'\n') => {
                self.length = 0;
                Place::Start
            }
            (Place::TrailerStart, b'\r') => Place::LastLine,
            (Place::TrailerStart | Place::TrailerName, b'!'..=b'9' | b';'..=b'~') => Place::TrailerName,
            (Place::TrailerName, b':') => Place::Trailer,
            (Place::Trailer, b'\t' | b' '..=b'~' | 0x80..) => Place::Trailer,
            (Place::Trailer, b'\r') => Place::TrailerEnd,
            (Place::TrailerEnd, b'\n') => Place::TrailerStart,
            _ => Place::Broken,
        };
    }
}

/// One more digit. No body is as large as 60 bits can say, but readers' arithmetic has wrapped there.
fn sized(size: u64, digit: u8) -> Place {
    let digit = char::from(digit).to_digit(16).map_or(0, u64::from);
    if size >> 56 == 0 {
        Place::Size(size << 4 | digit)
    } else {
        Place::Broken
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

    #[test]
    fn nothing_but_the_grammar_is_let_through() {
        let long = "a".repeat(2000);
        for (name, text, broken) in [
            ("good", "3;a=\"b\"\r\nabc\r\n0\r\nX-Sum: \u{e9} 1\r\n\r\n".to_owned(), false),
            ("no size", "\r\n".to_owned(), true),
            ("a sign", "+3\r\n".to_owned(), true),
            ("a blank in front", " 3\r\n".to_owned(), true),
            ("a blank behind", "3 \r\n".to_owned(), true),
            ("a prefix", "0x3\r\n".to_owned(), true),
            ("an extension alone", ";a\r\n".to_owned(), true),
            ("a bare line feed", "3\nabc".to_owned(), true),
            ("a bare carriage return", "3\rabc".to_owned(), true),
            ("a line feed in an extension", "3;a\nb\r\n".to_owned(), true),
            ("a NUL in an extension", "3;a\0b\r\n".to_owned(), true),
            ("a long extension", format!("3;{long}\r\n"), true),
            ("many zeros", format!("{}3\r\n", "0".repeat(2000)), true),
            ("a large size", "fffffffffffffff\r\n".to_owned(), false),
            ("too large a size", "1000000000000000\r\n".to_owned(), true),
            ("data too long", "3\r\nabcd".to_owned(), true),
            ("a bare line feed behind data", "3\r\nabc\n".to_owned(), true),
            ("other bytes behind data", "3\r\nabcXX".to_owned(), true),
            ("a bare line feed at the end", "0\r\n\n".to_owned(), true),
            ("a bare line feed behind a trailer", "0\r\nX: y\n".to_owned(), true),
            ("a trailer without colon", "0\r\nX\r\n".to_owned(), true),
            ("a trailer without name", "0\r\n: x\r\n".to_owned(), true),
            ("a folded trailer", "0\r\nX: y\r\n z\r\n".to_owned(), true),
            ("long trailers", format!("0\r\n{}", "X: y\r\n".repeat(4000)), true),
        ] {
            let mut whole = Chunks::default();
            whole.advance(text.as_bytes());
            assert_eq!(whole.is_broken(), broken, "{name}");
            let mut pieces = Chunks::default();
            let _ = text.bytes().any(|byte| pieces.advance(&[byte]).1);
            assert_eq!(pieces.is_broken(), broken, "{name} in pieces");
        }
    }
}
