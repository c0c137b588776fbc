//! Paths: every way in which a server behind might read one is judged, and patterns match what they say.
//!
//! Input: a path, then patterns, one a line.

use std::cmp::Ordering;

use portcullis::policy::facts::{House, RequestPath};
use portcullis::policy::pattern::PathPattern;

/// Reads the path in many ways and matches it with the patterns.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let written = lines.next().unwrap_or("");
    let path = RequestPath::read(written);
    readings_are_sound(&path, written);
    if path.flaw().is_none() {
        every_server_is_foreseen(&path, written);
    }
    let patterns: Vec<(&str, PathPattern)> = lines.take(4).filter_map(|line| Some((line, line.parse().ok()?))).collect();
    for (text, pattern) in &patterns {
        assert_eq!(pattern.to_string(), *text, "a pattern is written as it was read");
        for reading in path.readings() {
            let segments: Vec<&str> = reading.segments().collect();
            assert_eq!(
                pattern.matches(segments.iter().copied()),
                matches(text, &segments),
                "{text:?} on {segments:?}"
            );
            assert!(PathPattern::everything().matches(segments.iter().copied()), "{segments:?}");
        }
    }
    order_is_total(&patterns);
}

fn readings_are_sound(path: &RequestPath, written: &str) {
    assert_eq!(path.original(), written, "nothing is repaired");
    assert_eq!(path.flaw().is_none(), path.reading_count() > 0);
    assert_eq!(path.reading_count(), path.readings().count());
    for reading in path.readings() {
        for segment in reading.segments() {
            assert!(segment != "." && segment != "..", "dots in {written:?}");
            assert!(
                !segment.contains('\\') && !segment.chars().any(|c| c.is_ascii_control()),
                "{segment:?} in {written:?}"
            );
        }
    }
    if path.reading_count() == 1 {
        // A path with one reading is a fixed point: spelled out and read again, it says the same.
        let segments: Vec<&str> = path.readings().flat_map(|reading| reading.segments()).collect();
        let spelled: String = segments.iter().map(|segment| format!("/{}", escape(segment))).collect();
        let again = RequestPath::read(&spelled);
        assert_eq!(again.reading_count(), 1, "{written:?} as {spelled:?}");
        assert_eq!(
            again.readings().flat_map(|reading| reading.segments()).collect::<Vec<_>>(),
            segments,
            "{written:?} as {spelled:?}"
        );
    }
}

/// What a server does to a path.
#[derive(Clone, Copy, Debug)]
struct Server {
    decodings: usize,
    encoded_slash_divides: bool,
    merges_slashes: bool,
    parameters: Parameters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameters {
    Kept,
    CutBeforeDecoding,
    CutAfterDecoding,
}

fn every_server_is_foreseen(path: &RequestPath, written: &str) {
    let judged: Vec<Vec<&str>> = path.readings().map(|reading| reading.segments().collect()).collect();
    let (mut inside, mut outside) = (false, false);
    for decodings in [1, 2] {
        for encoded_slash_divides in [false, true] {
            for merges_slashes in [false, true] {
                for parameters in [Parameters::Kept, Parameters::CutBeforeDecoding, Parameters::CutAfterDecoding] {
                    let server = Server {
                        decodings,
                        encoded_slash_divides,
                        merges_slashes,
                        parameters,
                    };
                    let seen = server.read(written);
                    assert!(
                        judged.iter().any(|reading| *reading == seen),
                        "{server:?} reads {written:?} as {seen:?}"
                    );
                    let house = seen.first().is_some_and(|first| first == ".portcullis");
                    inside |= house;
                    outside |= !house;
                }
            }
        }
    }
    match path.house() {
        House::Inside => assert!(!outside, "{written:?} is not always ours"),
        House::Outside => assert!(!inside, "{written:?} may be ours"),
        House::Mixed => {}
    }
}

impl Server {
    fn read(self, written: &str) -> Vec<String> {
        // Each byte with whether it came encoded.
        let mut bytes: Vec<(u8, bool)> = written.bytes().skip(1).map(|byte| (byte, false)).collect();
        if self.parameters == Parameters::CutBeforeDecoding {
            let mut cut = false;
            bytes.retain(|(byte, _)| {
                cut = *byte == b';' || cut && *byte != b'/';
                !cut
            });
        }
        for _ in 0..self.decodings {
            bytes = decoded(&bytes);
        }
        let divides = |(byte, encoded): &(u8, bool)| *byte == b'/' && (self.encoded_slash_divides || !encoded);
        let mut segments: Vec<Vec<u8>> = bytes
            .split(divides)
            .map(|segment| segment.iter().map(|(byte, _)| *byte).collect())
            .collect();
        if self.parameters == Parameters::CutAfterDecoding {
            for segment in &mut segments {
                let end = segment.iter().position(|byte| *byte == b';').unwrap_or(segment.len());
                segment.truncate(end);
            }
        }
        if self.merges_slashes {
            let last = segments.pop().unwrap_or_default();
            segments.retain(|segment| !segment.is_empty());
            segments.push(last);
        }
        segments
            .into_iter()
            .map(|segment| String::from_utf8(segment).expect("paths that are not UTF-8 are refused"))
            .collect()
    }
}

fn decoded(bytes: &[(u8, bool)]) -> Vec<(u8, bool)> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|(byte, _)| char::from(*byte).to_digit(16));
        match (bytes[at].0, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((u8::try_from(high * 16 + low).unwrap(), true));
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

fn escape(segment: &str) -> String {
    segment
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect()
}

/// Whether a pattern, as it is written, matches these segments.
fn matches(pattern: &str, path: &[&str]) -> bool {
    let mut pieces: Vec<&str> = pattern.split('/').skip(1).collect();
    let deep = pieces.last() == Some(&"**");
    if deep {
        pieces.pop();
    }
    let enough = if deep {
        path.len() >= pieces.len()
    } else {
        path.len() == pieces.len()
    };
    enough
        && pieces.iter().zip(path).all(|(piece, segment)| match *piece {
            "*" => !segment.is_empty(),
            piece => is_like(piece.as_bytes(), segment.as_bytes()),
        })
}

/// Stars stand for any text: which beginnings of the text do the beginnings of the pattern match?
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for byte in pattern {
        if *byte == b'*' {
            for at in 1..=text.len() {
                reached[at] |= reached[at - 1];
            }
        } else {
            for at in (1..=text.len()).rev() {
                reached[at] = reached[at - 1] && text[at - 1] == *byte;
            }
            reached[0] = false;
        }
    }
    reached[text.len()]
}

/// Being more specific is an order.
fn order_is_total(patterns: &[(&str, PathPattern)]) {
    for (_, one) in patterns {
        assert_eq!(one.specificity(one), Ordering::Equal);
        for (_, two) in patterns {
            assert_eq!(one.specificity(two), two.specificity(one).reverse(), "{one} and {two}");
            for (_, three) in patterns {
                if one.specificity(two).is_ge() && two.specificity(three).is_ge() {
                    assert!(one.specificity(three).is_ge(), "{one}, {two}, {three}");
                }
            }
        }
    }
}
