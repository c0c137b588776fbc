//! A path as it came, and everything a server behind us might take it for.

use std::fmt;
use std::sync::Arc;

/// Why a path has no safe reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFlaw {
    /// It does not begin with a slash.
    #[error("the path does not begin with `/`")]
    NoSlash,
    /// A control byte, plain or encoded.
    #[error("the path has a control character")]
    Control,
    /// `\`, plain or encoded: some servers read it as `/`.
    #[error("the path has a backslash")]
    Backslash,
    /// `#` or `?`, not encoded.
    #[error("the path has a raw `#` or `?`")]
    Fragment,
    /// `%` without two hexadecimal digits, or three layers of encoding.
    #[error("the path has a bad percent escape")]
    Percent,
    /// Bytes that are not UTF-8 once decoded.
    #[error("the path is not UTF-8 once decoded")]
    Utf8,
    /// A `.` or `..` segment in any spelling.
    #[error("the path has a `.` or `..` segment")]
    Dots,
    /// Its readings belong to different applications.
    #[error("the path can be read as belonging to different applications")]
    Applications,
    /// The prefix to be stripped is not there byte for byte.
    #[error("the application's prefix is spelled in another way")]
    Prefix,
}

/// Separates the segments of a decoded reading: no path may hold it, encoded or not.
const SEPARATOR: char = '\0';
/// Stands for a `/` that came encoded, until it is decided how to read it. No path may hold it either.
const ENCODED_SLASH: char = '\u{1}';

/// The first segment of the addresses that are ours on every host.
const HOUSE: &str = ".portcullis";

/// Whether a path is one of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum House {
    /// Below `/.portcullis` in every reading.
    Inside,
    /// In no reading.
    Outside,
    /// In some: there is no safe reading.
    Mixed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Readings {
    Refused(PathFlaw),
    /// One reading, the path as it came.
    Plain,
    /// Each with its segments joined by [`SEPARATOR`]; at least one.
    Decoded(Vec<String>),
}

/// A path as it came, and everything a server behind us might take it for.
///
/// Nothing is repaired, since another server in the chain would repair it differently. Refused outright: control bytes, `\`, bad percent
/// or UTF-8, `.` and `..` segments in any spelling. For `//`, `%2f`, `;params` and doubled encoding (`%252e`) there are several readings, and each is judged.
/// nginx and haproxy let anonymous `/public/..;/admin` and `/public/..\admin` through to what is behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath {
    original: Arc<str>,
    readings: Readings,
}

impl RequestPath {
    /// Reads a path, without query. What has no safe reading becomes a refused path, which every decision denies.
    #[must_use]
    pub fn read(original: &str) -> Self {
        let readings = match readings_of(original) {
            Ok(None) => Readings::Plain,
            Ok(Some(readings)) => Readings::Decoded(readings),
            Err(flaw) => Readings::Refused(flaw),
        };
        Self {
            original: original.into(),
            readings,
        }
    }

    /// The path as it came; these bytes go upstream.
    #[must_use]
    pub fn original(&self) -> &str {
        &self.original
    }

    /// The same, to be kept.
    #[must_use]
    pub const fn shared(&self) -> &Arc<str> {
        &self.original
    }

    /// Why it has no safe reading, if it has none.
    #[must_use]
    pub const fn flaw(&self) -> Option<PathFlaw> {
        match self.readings {
            Readings::Refused(flaw) => Some(flaw),
            Readings::Plain | Readings::Decoded(_) => None,
        }
    }

    /// Every reading; none of a refused path.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let (plain, decoded) = match &self.readings {
            Readings::Refused(_) => (None, [].as_slice()),
            Readings::Plain => (Some(&*self.original), [].as_slice()),
            Readings::Decoded(readings) => (None, readings.as_slice()),
        };
        plain
            .into_iter()
            .map(|text| Reading {
                text: text.strip_prefix('/').unwrap_or(text),
                separator: '/',
            })
            .chain(decoded.iter().map(|text| Reading {
                text,
                separator: SEPARATOR,
            }))
    }

    /// How many readings it has.
    #[must_use]
    pub const fn reading_count(&self) -> usize {
        match &self.readings {
            Readings::Refused(_) => 0,
            Readings::Plain => 1,
            Readings::Decoded(readings) => readings.len(),
        }
    }

    /// Whether it is one of our own addresses. A refused path is outside.
    #[must_use]
    pub fn house(&self) -> House {
        let inside = self.readings().filter(Reading::is_house).count();
        if inside == 0 {
            House::Outside
        } else if inside == self.reading_count() {
            House::Inside
        } else {
            House::Mixed
        }
    }
}

/// One way to read a path: its decoded segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    text: &'a str,
    separator: char,
}

impl<'a> Reading<'a> {
    /// The segments: `/` is one empty segment, `/a/` is `a` and an empty one.
    #[must_use]
    pub fn segments(self) -> std::str::Split<'a, char> {
        self.text.split(self.separator)
    }

    fn is_house(&self) -> bool {
        self.segments().next() == Some(HOUSE)
    }

    /// The same in lower case: the text to give to [`Reading::of_folded`].
    pub(super) fn folded(self) -> String {
        self.segments().map(str::to_lowercase).collect::<Vec<_>>().join("\0")
    }

    pub(super) const fn of_folded(text: &'a str) -> Self {
        Self {
            text,
            separator: SEPARATOR,
        }
    }
}

impl fmt::Display for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in self.segments() {
            // A slash inside a segment came encoded and is shown so.
            write!(f, "/{}", segment.replace('/', "%2F"))?;
        }
        Ok(())
    }
}

/// Every way to read a path; `None` if the only one is the path as it stands.
fn readings_of(path: &str) -> Result<Option<Vec<String>>, PathFlaw> {
    if !path.starts_with('/') {
        return Err(PathFlaw::NoSlash);
    }
    let mut ambiguous = path.contains("//");
    for byte in path.bytes() {
        match byte {
            0..=31 | 127 => return Err(PathFlaw::Control),
            b'\\' => return Err(PathFlaw::Backslash),
            b'#' | b'?' => return Err(PathFlaw::Fragment),
            b'%' | b';' => ambiguous = true,
            _ => {}
        }
    }
    if !ambiguous {
        return if path.split('/').any(is_dots) {
            Err(PathFlaw::Dots)
        } else {
            Ok(None)
        };
    }
    let mut readings = Vec::new();
    spell_out_decoded(path, &mut readings)?;
    // Servlet containers drop parameters before they decode: `/a%3bb;c` is `/a;b` to them.
    if path.contains(';') && path.contains('%') {
        spell_out_decoded(&without_parameters(path), &mut readings)?;
    }
    Ok(Some(readings))
}

/// Adds the readings of those who decode once, and of those who decode twice.
fn spell_out_decoded(path: &str, readings: &mut Vec<String>) -> Result<(), PathFlaw> {
    let once = decode(path, true)?;
    spell_out(&once, readings)?;
    // One that decodes three times is not imagined, and its paths are refused.
    if has_escape(&once) {
        let twice = decode(&once, false)?;
        if has_escape(&twice) {
            return Err(PathFlaw::Percent);
        }
        spell_out(&twice, readings)?;
    }
    Ok(())
}

fn without_parameters(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect();
    segments.join("/")
}

/// Adds the readings of a decoded path: encoded slashes as slashes and not, parameters kept and not, empty segments kept and not.
fn spell_out(decoded: &str, readings: &mut Vec<String>) -> Result<(), PathFlaw> {
    let decoded = decoded.strip_prefix('/').unwrap_or(decoded);
    for split_encoded in [false, true] {
        for keep_parameters in [true, false] {
            for keep_empty in [true, false] {
                let mut segments: Vec<&str> = decoded
                    .split(|c| c == '/' || split_encoded && c == ENCODED_SLASH)
                    .map(|segment| {
                        if keep_parameters {
                            segment
                        } else {
                            segment.split(';').next().unwrap_or("")
                        }
                    })
                    .collect();
                if !keep_empty {
                    let last = segments.len().saturating_sub(1);
                    let mut index = 0;
                    segments.retain(|segment| {
                        index += 1;
                        !segment.is_empty() || index > last
                    });
                }
                if segments.iter().any(|segment| is_dots(segment)) {
                    return Err(PathFlaw::Dots);
                }
                let reading = segments.join("\0").replace(ENCODED_SLASH, "/");
                if !readings.contains(&reading) {
                    readings.push(reading);
                }
            }
        }
    }
    Ok(())
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// Whether it has a `%` with two hexadecimal digits.
fn has_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .windows(3)
        .any(|three| matches!(three, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// Undoes one layer of percent encoding, marking slashes that come out of it. `strict`: every `%` must begin an escape.
fn decode(path: &str, strict: bool) -> Result<String, PathFlaw> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let decoded = match (byte, after) {
            (b'%', [a, b, tail @ ..]) => hex_value(*a).zip(hex_value(*b)).map(|(high, low)| {
                rest = tail;
                high << 4 | low
            }),
            _ => None,
        };
        match (byte, decoded) {
            (_, Some(b'/')) => out.push(ENCODED_SLASH as u8),
            (_, Some(b'\\')) => return Err(PathFlaw::Backslash),
            (_, Some(0..=31 | 127)) => return Err(PathFlaw::Control),
            (_, Some(decoded)) => out.push(decoded),
            (b'%', None) if strict => return Err(PathFlaw::Percent),
            (byte, None) => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| PathFlaw::Utf8)
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readings(path: &str) -> Result<Vec<String>, PathFlaw> {
        let path = RequestPath::read(path);
        match path.flaw() {
            Some(flaw) => Err(flaw),
            None => Ok(path.readings().map(|reading| reading.to_string()).collect()),
        }
    }

    #[test]
    fn what_has_no_safe_reading_is_refused() {
        for (name, path, flaw) in [
            ("dots", "/a/../b", PathFlaw::Dots),
            ("one dot", "/a/./b", PathFlaw::Dots),
            ("dots at the end", "/a/..", PathFlaw::Dots),
            ("encoded dots", "/a/%2e%2e/b", PathFlaw::Dots),
            ("half encoded dots", "/a/.%2E/b", PathFlaw::Dots),
            ("dots behind an encoded slash", "/a/..%2fb", PathFlaw::Dots),
            ("dots with parameters", "/public/..;/admin", PathFlaw::Dots),
            ("dots with encoded parameters", "/public/..%3bx=1/admin", PathFlaw::Dots),
            ("one dot with parameters", "/public/.;x/admin", PathFlaw::Dots),
            ("dots encoded twice", "/a/%252e%252e/b", PathFlaw::Dots),
            ("dots and a slash encoded twice", "/a/..%252fb", PathFlaw::Dots),
            ("encoded thrice", "/a/%25252e", PathFlaw::Percent),
            ("backslash", "/public/..\\admin", PathFlaw::Backslash),
            ("encoded backslash", "/a%5cb", PathFlaw::Backslash),
            ("backslash encoded twice", "/a%255cb", PathFlaw::Backslash),
            ("NUL", "/a%00b", PathFlaw::Control),
            ("line break", "/a%0d%0ab", PathFlaw::Control),
            ("raw control", "/a\tb", PathFlaw::Control),
            ("DEL", "/a%7fb", PathFlaw::Control),
            ("short escape", "/a%2", PathFlaw::Percent),
            ("no escape", "/a%zz", PathFlaw::Percent),
            ("lone percent", "/100%", PathFlaw::Percent),
            ("overlong slash", "/a%c0%afb", PathFlaw::Utf8),
            ("surrogate", "/a%ed%a0%80", PathFlaw::Utf8),
            ("fragment", "/a#b", PathFlaw::Fragment),
            ("query", "/a?b", PathFlaw::Fragment),
            ("no slash", "a", PathFlaw::NoSlash),
            ("star", "*", PathFlaw::NoSlash),
            ("empty", "", PathFlaw::NoSlash),
        ] {
            assert_eq!(readings(path), Err(flaw), "{name}");
        }
    }

    #[test]
    fn every_reading_is_told() {
        for (name, path, expected) in [
            ("root", "/", vec!["/"]),
            ("plain", "/a/b", vec!["/a/b"]),
            ("trailing slash", "/a/", vec!["/a/"]),
            ("encoded letter", "/%61", vec!["/a"]),
            ("umlaut", "/%c3%a4", vec!["/ä"]),
            ("encoded percent", "/100%25", vec!["/100%"]),
            ("three dots are a name", "/a/...", vec!["/a/..."]),
            ("a dot in front is a name", "/.well-known/x", vec!["/.well-known/x"]),
            ("double slash", "/a//b", vec!["/a//b", "/a/b"]),
            ("leading double slash", "//a", vec!["//a", "/a"]),
            ("only slashes", "//", vec!["//", "/"]),
            ("encoded slash", "/a%2fb", vec!["/a%2Fb", "/a/b"]),
            ("parameters", "/a;x=1/b", vec!["/a;x=1/b", "/a/b"]),
            ("letter encoded twice", "/%2561", vec!["/%61", "/a"]),
            ("encoded slash beside a slash", "/a%2f/b", vec!["/a%2F/b", "/a//b", "/a/b"]),
            ("only parameters", "/;x/b", vec!["/;x/b", "//b", "/b"]),
            ("parameters behind an encoded semicolon", "/a%3bb;c", vec!["/a;b;c", "/a", "/a;b"]),
        ] {
            assert_eq!(readings(path), Ok(expected.iter().map(|&path| path.to_owned()).collect()), "{name}");
        }
    }

    #[test]
    fn our_own_pages_are_told_apart_in_every_reading() {
        for (path, house) in [
            ("/.portcullis", House::Inside),
            ("/.portcullis/", House::Inside),
            ("/.portcullis/sign-in", House::Inside),
            ("/%2eportcullis/sign-in", House::Inside),
            ("/.portcullisx", House::Outside),
            ("/a/.portcullis", House::Outside),
            ("//.portcullis", House::Mixed),
            ("/.portcullis%2fsign-in", House::Mixed),
            ("/.portcullis;x/sign-in", House::Mixed),
            ("/%252eportcullis", House::Mixed),
        ] {
            assert_eq!(RequestPath::read(path).house(), house, "{path}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_path_never_fails_and_readings_are_sound(path in "/?[a-c./;%\\\\2fFeE5?#]{0,12}|\\PC{0,8}") {
            let path = RequestPath::read(&path);
            for reading in path.readings() {
                prop_assert!(!reading.segments().any(|segment| is_dots(segment) || segment.contains('\\') || segment.contains('\0')));
            }
            prop_assert_eq!(path.flaw().is_none(), path.reading_count() > 0);
        }

        /// A canonical path is a fixed point: writing its one reading down and reading that again changes nothing.
        #[test]
        fn canonical_paths_are_fixed_points(path in "(/[a-c.%0-9A-F~ä-]{0,4}){1,4}") {
            let path = RequestPath::read(&path);
            if path.reading_count() == 1 {
                let reading = path.readings().next().unwrap();
                let written: String = reading
                    .segments()
                    .map(|segment| format!("/{}", percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC)))
                    .collect();
                let again = RequestPath::read(&written);
                prop_assert_eq!(again.reading_count(), 1);
                let segments: Vec<&str> = again.readings().next().unwrap().segments().collect();
                prop_assert_eq!(segments, reading.segments().collect::<Vec<_>>());
            }
        }
    }
}
