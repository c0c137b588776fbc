//! Exact questions about path patterns: is there a path that these match and those do not, and which one.
//!
//! A pattern is a sequence of tests on segments, perhaps with any rest. So the question is walked segment by segment; at each place the segments that
//! matter fall into finitely many classes (which tests they pass), and one segment of each class is tried.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::super::pattern::{PathPattern, Segment};

/// A path that all of some patterns match and none of others does, if there is one.
pub(super) fn find(all_of: &[&PathPattern], none_of: &[&PathPattern]) -> Option<String> {
    let mut walk = Walk {
        all_of,
        none_of,
        longest: all_of
            .iter()
            .chain(none_of)
            .map(|pattern| pattern.segments().len())
            .max()
            .unwrap_or(0),
        seen: HashSet::new(),
        path: Vec::new(),
    };
    // A path that is found matches all of `all_of`: what cannot meet one of them cannot match it, and need not be walked with.
    let can_match = |pattern: &PathPattern| all_of.iter().all(|needed| may_meet(needed, pattern));
    let alive: Vec<usize> = none_of
        .iter()
        .enumerate()
        .filter(|(_, pattern)| can_match(pattern))
        .map(|(at, _)| at)
        .collect();
    walk.search(0, &alive).then(|| format!("/{}", walk.path.join("/")))
}

/// False only if no path can match both: their lengths cannot fit, or two literals differ at one place.
fn may_meet(one: &PathPattern, other: &PathPattern) -> bool {
    let (a, b) = (one.segments(), other.segments());
    let fits = |shorter: &PathPattern, longer: usize| shorter.segments().len() >= longer || shorter.is_deep();
    let literals_agree = a.iter().zip(b).all(|pair| match pair {
        (Segment::Literal(left), Segment::Literal(right)) => left == right,
        _ => true,
    });
    fits(one, b.len()) && fits(other, a.len()) && literals_agree
}

/// A path that both match, if there is one.
pub(super) fn shared(one: &PathPattern, other: &PathPattern) -> Option<String> {
    find(&[one, other], &[])
}

/// Whether every path that `inner` matches is matched by `outer`.
pub(super) fn covers(outer: &PathPattern, inner: &PathPattern) -> bool {
    find(&[inner], &[outer]).is_none()
}

struct Walk<'p> {
    all_of: &'p [&'p PathPattern],
    none_of: &'p [&'p PathPattern],
    longest: usize,
    seen: HashSet<(usize, Vec<usize>)>,
    path: Vec<String>,
}

impl Walk<'_> {
    /// Goes on from a path of `length` segments, which the patterns `alive` of `none_of` could still match.
    fn search(&mut self, length: usize, alive: &[usize]) -> bool {
        if !self.seen.insert((length.min(self.longest + 1), alive.to_vec())) {
            return false;
        }
        let ends = |pattern: &PathPattern| pattern.segments().len() == length || pattern.is_deep() && pattern.segments().len() <= length;
        if length > 0
            && self.all_of.iter().all(|pattern| ends(pattern))
            && !alive.iter().any(|at| self.none_of.get(*at).is_some_and(|pattern| ends(pattern)))
        {
            return true;
        }
        if length > self.longest {
            return false;
        }
        let all_of = self.all_of;
        let none_of = self.none_of;
        let mut needed = Vec::new();
        for pattern in all_of {
            match pattern.segments().get(length) {
                Some(segment) => needed.push(segment),
                None if pattern.is_deep() => {}
                None => return false,
            }
        }
        let looked_at: Vec<Option<&Segment>> = alive
            .iter()
            .map(|at| none_of.get(*at).and_then(|pattern| pattern.segments().get(length)))
            .collect();
        for segment in representatives(needed.iter().copied().chain(looked_at.iter().copied().flatten())) {
            if !needed.iter().all(|test| test.matches(&segment)) {
                continue;
            }
            let next: Vec<usize> = alive
                .iter()
                .zip(&looked_at)
                .filter(|(at, test)| match test {
                    Some(test) => test.matches(&segment),
                    None => none_of.get(**at).is_some_and(|pattern| pattern.is_deep()),
                })
                .map(|(at, _)| *at)
                .collect();
            self.path.push(segment);
            if self.search(length + 1, &next) {
                return true;
            }
            self.path.pop();
        }
        false
    }
}

/// One segment of each class that the tests tell apart. Ordinary ones first, so that examples read well.
fn representatives<'s>(tests: impl Iterator<Item = &'s Segment>) -> Vec<String> {
    let mut literals: BTreeSet<&str> = BTreeSet::new();
    let mut parts: BTreeSet<&[String]> = BTreeSet::new();
    for test in tests {
        match test {
            Segment::Literal(text) => {
                literals.insert(text);
            }
            Segment::Part(pieces) => {
                parts.insert(pieces);
            }
            Segment::Any => {}
        }
    }
    let parts: Vec<&[String]> = parts.into_iter().collect();
    let mut found: Vec<String> = ["x", "y"].into_iter().map(str::to_owned).collect();
    found.extend(literals.iter().map(|text| (*text).to_owned()));
    found.extend(of_parts(&parts, &literals));
    found.push(String::new());
    found
}

/// For each set of tests that some text passes exactly, the shortest such text.
///
/// Runs all of them side by side over one text, letter by letter: their letters, and one that none of them has.
fn of_parts(parts: &[&[String]], literals: &BTreeSet<&str>) -> Vec<String> {
    let mut globs: Vec<Glob> = parts.iter().map(|pieces| Glob::of(pieces)).collect();
    // A literal that passes no wildcard is a class of its own already.
    let met = |text: &&&str| parts.iter().any(|pieces| Segment::Part(pieces.to_vec()).matches(text));
    globs.extend(literals.iter().filter(met).map(|text| Glob::literal(text)));
    let mut letters: Vec<char> = globs.iter().flat_map(|glob| glob.tokens.iter().copied().flatten()).collect();
    letters.sort_unstable();
    letters.dedup();
    let stranger = ('a'..='z')
        .rev()
        .chain('0'..='9')
        .chain('\u{e000}'..='\u{f8ff}')
        .find(|c| !letters.contains(c));
    letters.splice(0..0, stranger);
    let start: Vec<Vec<usize>> = globs.iter().map(Glob::start).collect();
    let mut queue = VecDeque::from([(start.clone(), String::new())]);
    let mut seen: HashSet<Vec<Vec<usize>>> = HashSet::from([start]);
    let mut classes: HashSet<Vec<bool>> = HashSet::new();
    let mut found = Vec::new();
    while let Some((states, text)) = queue.pop_front() {
        let class: Vec<bool> = globs.iter().zip(&states).map(|(glob, state)| glob.accepts(state)).collect();
        if !text.is_empty() && classes.insert(class) {
            found.push(text.clone());
        }
        for letter in &letters {
            let next: Vec<Vec<usize>> = globs.iter().zip(&states).map(|(glob, state)| glob.step(state, *letter)).collect();
            if seen.insert(next.clone()) {
                let mut longer = text.clone();
                longer.push(*letter);
                queue.push_back((next, longer));
            }
        }
    }
    found
}

/// A part-wildcard as a machine: `None` is a star.
struct Glob {
    tokens: Vec<Option<char>>,
}

impl Glob {
    fn of(pieces: &[String]) -> Self {
        let mut tokens = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            if number > 0 {
                tokens.push(None);
            }
            tokens.extend(piece.chars().map(Some));
        }
        Self { tokens }
    }

    fn literal(text: &str) -> Self {
        Self {
            tokens: text.chars().map(Some).collect(),
        }
    }

    fn start(&self) -> Vec<usize> {
        self.closed([0].into_iter().collect())
    }

    /// Standing before a star is standing after it too.
    fn closed(&self, states: BTreeSet<usize>) -> Vec<usize> {
        let mut all = states.clone();
        for mut state in states {
            while self.tokens.get(state) == Some(&None) {
                state += 1;
                all.insert(state);
            }
        }
        all.into_iter().collect()
    }

    fn step(&self, states: &[usize], letter: char) -> Vec<usize> {
        let next = states
            .iter()
            .filter_map(|state| match self.tokens.get(*state)? {
                None => Some(*state),
                Some(token) => (*token == letter).then_some(state + 1),
            })
            .collect();
        self.closed(next)
    }

    fn accepts(&self, states: &[usize]) -> bool {
        states.contains(&self.tokens.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn covering_is_told_exactly() {
        for (outer, inner, expected) in [
            ("/**", "/a", true),
            ("/**", "/a/**", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/b/**", true),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", false),
            ("/a/*", "/a/**", false),
            ("/*", "/*.css", true),
            ("/*.css", "/site.css", true),
            ("/*.css", "/a*.css", true),
            ("/a*.css", "/*.css", false),
            ("/a*b", "/aa*bb", true),
            ("/a*b*c", "/a*c", false),
            ("/a*c", "/a*b*c", true),
            ("/*", "/", false),
            ("/a", "/a", true),
            ("/a", "/b", false),
        ] {
            assert_eq!(covers(&pattern(outer), &pattern(inner)), expected, "{outer} covers {inner}");
        }
    }

    #[test]
    fn a_shared_path_is_shown() {
        for (one, other, expected) in [
            ("/api/**", "/*/users", Some("/api/users")),
            ("/a/*", "/a/b", Some("/a/b")),
            ("/a*", "/*b", Some("/ab")),
            ("/a*c", "/b*c", None),
            ("/a", "/b/**", None),
            ("/a/**", "/b/**", None),
            ("/*.css", "/*.js", None),
            ("/a/**", "/a", Some("/a")),
            ("/*/x", "/y/*", Some("/y/x")),
        ] {
            assert_eq!(shared(&pattern(one), &pattern(other)).as_deref(), expected, "{one} and {other}");
        }
    }

    #[test]
    fn several_patterns_can_cover_what_none_covers_alone() {
        let whole = pattern("/a/*");
        assert_eq!(find(&[&whole], &[&pattern("/a/x*"), &pattern("/a/*x")]).as_deref(), Some("/a/y"));
        assert_eq!(
            find(&[&pattern("/*a*")], &[&pattern("/a*"), &pattern("/*a"), &pattern("/*a*")]),
            None
        );
        // Everything below /a: itself, one segment (which is empty in `/a/`), and more.
        let rest = [&pattern("/a"), &pattern("/a/"), &pattern("/a/*"), &pattern("/a/*/**")];
        assert_eq!(find(&[&pattern("/a/**")], &rest).as_deref(), Some("/a//x"));
    }

    fn any_pattern() -> impl Strategy<Value = PathPattern> {
        let segment = prop_oneof![Just("a"), Just("b"), Just("*"), Just("a*"), Just("*b"), Just("a*b"), Just("*a*")];
        (proptest::collection::vec(segment, 1..3), any::<bool>()).prop_map(|(segments, deep)| {
            let text = format!("/{}{}", segments.join("/"), if deep { "/**" } else { "" });
            text.parse().unwrap()
        })
    }

    /// Every path of at most three segments over a few texts, which tells apart all patterns above.
    fn small_world() -> Vec<Vec<&'static str>> {
        let texts = [
            "a", "b", "c", "ab", "ac", "cb", "aa", "ba", "bb", "cac", "bab", "acb", "cabc", "aab", "",
        ];
        let mut paths: Vec<Vec<&str>> = texts.iter().map(|text| vec![*text]).collect();
        let mut longer = paths.clone();
        for _ in 0..2 {
            longer = longer
                .iter()
                .flat_map(|path| texts.iter().map(move |text| path.iter().copied().chain([*text]).collect()))
                .collect();
            paths.extend(longer.clone());
        }
        paths
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn what_is_found_is_so_and_what_is_not_found_is_not(one in any_pattern(), two in any_pattern(), three in any_pattern()) {
            let matches = |pattern: &PathPattern, path: &[&'static str]| pattern.matches(path.iter().copied());
            let holds = |path: &[&'static str]| matches(&one, path) && !matches(&two, path) && !matches(&three, path);
            match find(&[&one], &[&two, &three]) {
                Some(path) => {
                    let matches = |pattern: &PathPattern| pattern.matches(path.strip_prefix('/').unwrap().split('/'));
                    prop_assert!(matches(&one) && !matches(&two) && !matches(&three), "{}", path);
                }
                None => prop_assert!(!small_world().iter().any(|path| holds(path))),
            }
        }
    }
}
