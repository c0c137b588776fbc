//! The most specific patterns that match a path, found by walking its segments once.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::facts::Reading;
use super::pattern::{PathPattern, Segment};

/// Patterns by segment. Each distinct pattern has a number.
#[derive(Debug, Default)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize>,
    /// Most literal characters first.
    parts: Vec<(usize, Segment, usize)>,
    any: Option<usize>,
    /// The pattern that ends here.
    end: Option<usize>,
    /// The pattern that goes on with `**` here.
    deep: Option<usize>,
}

impl Trie {
    /// The patterns, numbered in their order; the same pattern twice keeps its first number.
    pub(super) fn of<'t>(patterns: impl IntoIterator<Item = &'t PathPattern>) -> Self {
        let mut trie = Self {
            nodes: vec![Node::default()],
        };
        for (number, pattern) in patterns.into_iter().enumerate() {
            trie.insert(pattern, number);
        }
        for node in &mut trie.nodes {
            node.parts.sort_by_key(|(literal, _, _)| Reverse(*literal));
        }
        trie
    }

    fn insert(&mut self, pattern: &PathPattern, number: usize) {
        let mut at = 0;
        for segment in pattern.segments() {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = match segment {
                Segment::Literal(text) => *node.literals.entry(text.as_str().into()).or_insert(fresh),
                Segment::Any => *node.any.get_or_insert(fresh),
                Segment::Part(_) => match node.parts.iter().find(|(_, known, _)| known == segment) {
                    Some((_, _, child)) => *child,
                    None => {
                        node.parts.push((segment.literal_characters(), segment.clone(), fresh));
                        fresh
                    }
                },
            };
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let slot = if pattern.is_deep() { &mut node.deep } else { &mut node.end };
            slot.get_or_insert(number);
        }
    }

    /// The numbers of the most specific patterns that match; several when they tie, none if none matches.
    pub(super) fn find(&self, reading: Reading<'_>) -> Vec<usize> {
        self.walk(&[0], reading.segments())
    }

    /// `at` are nodes that tie so far. Each node is entered at most once, since no two ways lead to the same.
    fn walk(&self, at: &[usize], mut rest: std::str::Split<'_, char>) -> Vec<usize> {
        let nodes = || at.iter().filter_map(|&number| self.nodes.get(number));
        let found = |slot: fn(&Node) -> Option<usize>| nodes().filter_map(slot).collect::<Vec<_>>();
        let Some(segment) = rest.next() else {
            let ends = found(|node| node.end);
            return if ends.is_empty() { found(|node| node.deep) } else { ends };
        };
        let below = |children: &[usize]| {
            if children.is_empty() {
                Vec::new()
            } else {
                self.walk(children, rest.clone())
            }
        };
        let literal = match at {
            // Nearly every step has one node and one child; it needs no list.
            [_] => nodes()
                .find_map(|node| node.literals.get(segment))
                .map_or_else(Vec::new, |&child| below(&[child])),
            _ => below(&nodes().filter_map(|node| node.literals.get(segment).copied()).collect::<Vec<_>>()),
        };
        if !literal.is_empty() {
            return literal;
        }
        if nodes().any(|node| !node.parts.is_empty()) {
            let mut parts: Vec<(usize, usize)> = nodes()
                .flat_map(|node| &node.parts)
                .filter(|(_, part, _)| part.matches(segment))
                .map(|(literal, _, child)| (*literal, *child))
                .collect();
            parts.sort_by_key(|(literal, _)| Reverse(*literal));
            for tied in parts.chunk_by(|one, two| one.0 == two.0) {
                let found = below(&tied.iter().map(|(_, child)| *child).collect::<Vec<_>>());
                if !found.is_empty() {
                    return found;
                }
            }
        }
        if !segment.is_empty() {
            let any = match at {
                [_] => nodes().find_map(|node| node.any).map_or_else(Vec::new, |child| below(&[child])),
                _ => below(&found(|node| node.any)),
            };
            if !any.is_empty() {
                return any;
            }
        }
        found(|node| node.deep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::facts::RequestPath;
    use proptest::prelude::*;

    fn find<'t>(patterns: &'t [&'t str], path: &str) -> Vec<&'t str> {
        let parsed: Vec<PathPattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
        let path = RequestPath::read(path);
        let mut found: Vec<&str> = Trie::of(&parsed)
            .find(path.readings().next().unwrap())
            .into_iter()
            .map(|number| patterns[number])
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let patterns = [
            "/**", "/a/**", "/a", "/a/*", "/a/b*", "/a/*b", "/*/c/d", "/a/*/x", "/s/*.css", "/s/**", "/",
        ];
        for (path, expected) in [
            ("/", vec!["/"]),
            ("/x", vec!["/**"]),
            ("/a", vec!["/a"]),
            ("/a/", vec!["/a/**"]),
            ("/a/c", vec!["/a/*"]),
            ("/a/bc", vec!["/a/b*"]),
            ("/a/bb", vec!["/a/*b", "/a/b*"]),
            ("/a/c/d", vec!["/a/**"]),
            ("/z/c/d", vec!["/*/c/d"]),
            ("/a/c/x", vec!["/a/*/x"]),
            ("/s/site.css", vec!["/s/*.css"]),
            ("/s/site.js", vec!["/s/**"]),
        ] {
            assert_eq!(find(&patterns, path), expected, "{path}");
        }
        assert!(find(&["/a"], "/b").is_empty());
    }

    fn any_pattern() -> impl Strategy<Value = PathPattern> {
        "(/(a|b|ab|\\*|a\\*|\\*b|\\*a\\*)){1,3}(/\\*\\*)?|/\\*\\*|/".prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        /// The walk finds what asking every pattern finds.
        #[test]
        fn the_walk_agrees_with_asking_each(patterns in proptest::collection::vec(any_pattern(), 1..12), path in "(/(a|b|ab|aab|x|)){1,4}") {
            let path = RequestPath::read(&path);
            let Some(reading) = path.readings().next() else { return Ok(()) };
            let matching = || patterns.iter().filter(|pattern| pattern.matches(reading.segments()));
            let mut best: Vec<&PathPattern> = matching().filter(|one| matching().all(|other| one.specificity(other).is_ge())).collect();
            best.sort();
            best.dedup();
            let mut found: Vec<&PathPattern> = Trie::of(&patterns).find(reading).into_iter().map(|number| &patterns[number]).collect();
            found.sort();
            prop_assert_eq!(found, best);
        }
    }
}
