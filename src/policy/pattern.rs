//! Path patterns: `/a/b`, `*` for one segment or part of one, a final `**` for any rest.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Why a text is no path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It does not begin with `/`.
    #[error("a path pattern begins with `/`")]
    NoSlash,
    /// `**` anywhere but as the last segment.
    #[error("`**` stands alone, as the last segment; `*` is one segment or part of one")]
    DeepInside,
    /// An empty segment in the middle: `//`.
    #[error("a path pattern has no empty segment; requests with `//` are matched both with and without it")]
    Empty,
    /// `.` or `..`
    #[error("a path pattern has no `.` or `..` segment; such requests are refused anyway")]
    Dots,
    /// `%`, `?`, `#`, `;`, `\` or a control character.
    #[error("a path pattern is the decoded path without query: no `?`, `#`, `;`, `\\`, no `%41` for `A`, no control character")]
    Characters,
    /// More than 1024 bytes or 64 segments.
    #[error("a path pattern has at most 1024 bytes and 64 segments")]
    TooLong,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Exactly this. Empty only as the last one: a trailing slash.
    Literal(String),
    /// Literal parts with any text in between: `*.css` is `["", ".css"]`. At least two parts, not all empty.
    Part(Vec<String>),
    /// Any one segment that is not empty: `*`.
    Any,
}

impl Segment {
    /// Whether a segment of a path is like this.
    #[must_use]
    pub fn matches(&self, segment: &str) -> bool {
        match self {
            Self::Literal(text) => text == segment,
            Self::Part(parts) => part_matches(parts, segment),
            Self::Any => !segment.is_empty(),
        }
    }

    /// How many characters are fixed.
    #[must_use]
    pub fn literal_characters(&self) -> usize {
        match self {
            Self::Literal(text) => text.chars().count(),
            Self::Part(parts) => parts.iter().map(|part| part.chars().count()).sum(),
            Self::Any => 0,
        }
    }

    /// Greater is more specific; equal is a tie. Literals are all alike here: two different ones never match the same path.
    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Literal(_) => (5, 0),
            Self::Part(_) => (4, self.literal_characters()),
            Self::Any => (3, 0),
        }
    }
}

fn part_matches(parts: &[String], segment: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return false;
    };
    let Some(rest) = segment.strip_prefix(first.as_str()) else {
        return false;
    };
    let Some(mut rest) = rest.strip_suffix(last.as_str()) else {
        return false;
    };
    // The leftmost place for each part leaves the most room for those after it.
    for part in middle {
        let Some(found) = rest.find(part.as_str()) else {
            return false;
        };
        rest = rest.get(found + part.len()..).unwrap_or("");
    }
    true
}

/// A pattern that paths are matched with, segment by segment, after decoding.
///
/// It never matches a part of a path only. `/a` and `/a/` are two paths; `/a/**` matches both and all below.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    segments: Vec<Segment>,
    deep: bool,
}

impl PathPattern {
    /// The pattern of every path: `/**`.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            segments: Vec::new(),
            deep: true,
        }
    }

    /// The segments, a final `**` apart.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `**`: zero or more segments.
    #[must_use]
    pub const fn is_deep(&self) -> bool {
        self.deep
    }

    /// A path that it matches and that a more specific one hardly does.
    #[must_use]
    pub fn example(&self) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(text) => path.push_str(text),
                Segment::Part(parts) => path.push_str(&parts.join("any")),
                Segment::Any => path.push_str("any"),
            }
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// The same in lower case, for applications that do not look at case.
    #[must_use]
    pub fn to_lowercase(&self) -> Self {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => Segment::Literal(text.to_lowercase()),
            Segment::Part(parts) => Segment::Part(parts.iter().map(|part| part.to_lowercase()).collect()),
            Segment::Any => Segment::Any,
        });
        Self {
            segments: segments.collect(),
            deep: self.deep,
        }
    }

    /// Whether it matches a path given as its segments: `/` is one empty segment, `/a/` is `a` and an empty one.
    #[must_use]
    pub fn matches<'s>(&self, path: impl IntoIterator<Item = &'s str>) -> bool {
        let mut path = path.into_iter();
        for segment in &self.segments {
            if !path.next().is_some_and(|written| segment.matches(written)) {
                return false;
            }
        }
        self.deep || path.next().is_none()
    }

    /// Which of two is more specific: `Greater` if this one, `Equal` for a tie.
    ///
    /// Segment by segment from the left: literal, then part-wildcards with more literal characters, then `*`, then the end of the
    /// pattern, then `**`.
    #[must_use]
    pub fn specificity(&self, other: &Self) -> Ordering {
        let at = |pattern: &Self, index: usize| match pattern.segments.get(index) {
            Some(segment) => segment.rank(),
            None if pattern.deep => (1, 0),
            None => (2, 0),
        };
        (0..=self.segments.len().max(other.segments.len()))
            .map(|index| at(self, index).cmp(&at(other, index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl FromStr for PathPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let rest = text.strip_prefix('/').ok_or(InvalidPattern::NoSlash)?;
        if text.len() > 1024 || rest.split('/').count() > 64 {
            return Err(InvalidPattern::TooLong);
        }
        if text.chars().any(|c| matches!(c, '?' | '#' | ';' | '\\') || c.is_control()) || has_escape(text) {
            return Err(InvalidPattern::Characters);
        }
        let mut segments = Vec::new();
        let mut pieces = rest.split('/').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            match piece {
                "**" if last => return Ok(Self { segments, deep: true }),
                "." | ".." => return Err(InvalidPattern::Dots),
                "" if !last => return Err(InvalidPattern::Empty),
                "*" => segments.push(Segment::Any),
                _ if piece.contains("**") => return Err(InvalidPattern::DeepInside),
                _ if piece.contains('*') => segments.push(Segment::Part(piece.split('*').map(str::to_owned).collect())),
                _ => segments.push(Segment::Literal(piece.to_owned())),
            }
        }
        Ok(Self { segments, deep: false })
    }
}

/// Whether a `%` is followed by two hexadecimal digits: paths are compared after decoding, so it would never match what its writer means.
fn has_escape(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|three| matches!(three, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Part(parts) => write!(f, "/{}", parts.join("*"))?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        if self.deep {
            f.write_str("/**")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    fn segments(path: &str) -> Vec<&str> {
        path.strip_prefix('/').unwrap().split('/').collect()
    }

    #[test]
    fn patterns_match_whole_paths() {
        for (text, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/**", "/", true),
            ("/**", "/a/b/c", true),
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/b/", false),
            ("/a/b", "/a/bc", false),
            ("/a/b", "/a", false),
            ("/a/**", "/a", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", false),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", false),
            ("/*/b", "/x/b", true),
            ("/*.css", "/site.css", true),
            ("/*.css", "/.css", true),
            ("/*.css", "/site.css/x", false),
            ("/a*b*c", "/abc", true),
            ("/a*b*c", "/axxbxxbc", true),
            ("/a*b*c", "/acb", false),
            ("/ab*ba", "/aba", false),
            ("/a/", "/a/", true),
            ("/A", "/a", false),
        ] {
            assert_eq!(pattern(text).matches(segments(path)), expected, "{text} on {path}");
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, expected) in [
            ("a", InvalidPattern::NoSlash),
            ("", InvalidPattern::NoSlash),
            ("/a/**/b", InvalidPattern::DeepInside),
            ("/a/x**", InvalidPattern::DeepInside),
            ("/a//b", InvalidPattern::Empty),
            ("/a/../b", InvalidPattern::Dots),
            ("/.", InvalidPattern::Dots),
            ("/a?b", InvalidPattern::Characters),
            ("/a;b", InvalidPattern::Characters),
            ("/a%2fb", InvalidPattern::Characters),
            ("/a\\b", InvalidPattern::Characters),
            ("/a\nb", InvalidPattern::Characters),
        ] {
            assert_eq!(text.parse::<PathPattern>(), Err(expected), "{text:?}");
        }
        assert!("/100%".parse::<PathPattern>().is_ok());
        assert_eq!(format!("/{}", "a/".repeat(64)).parse::<PathPattern>(), Err(InvalidPattern::TooLong));
    }

    #[test]
    fn the_more_specific_pattern_is_the_one_with_more_said_on_the_left() {
        for (more, less) in [
            ("/a", "/*"),
            ("/a", "/a*"),
            ("/ab*", "/a*"),
            ("/a*", "/*"),
            ("/*", "/**"),
            ("/a", "/a/**"),
            ("/a/*", "/a/**"),
            ("/a/**", "/**"),
            ("/a/*/c", "/*/b/c"),
            ("/api/**", "/*/users"),
            ("/", "/**"),
        ] {
            assert_eq!(pattern(more).specificity(&pattern(less)), Ordering::Greater, "{more} > {less}");
            assert_eq!(pattern(less).specificity(&pattern(more)), Ordering::Less, "{less} < {more}");
        }
        assert_eq!(pattern("/a*").specificity(&pattern("/*b")), Ordering::Equal);
    }
}
