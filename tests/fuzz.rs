//! The laws of `fuzz/` hold for every input of its corpora, and for a minute in all of random and mutated input.
//!
//! Here proptest makes the input, so that every run of the tests does a little of what `make fuzz` does at length.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop on the spot")]

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

#[path = "../fuzz/src/lib.rs"]
pub mod laws;

use laws::{TARGETS, Target};

/// For all targets together.
const RANDOM_TIME: Duration = Duration::from_secs(60);

fn folder(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(inside)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap()
}

fn corpus(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder("corpus").join(target.name)).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let known: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names(&folder("fuzz_targets")), known);
    assert_eq!(names(&folder("corpus")), known);
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for target in TARGETS {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{}.rs\"", target.name)),
            "{}",
            target.name
        );
        let corpus = corpus(*target);
        let bytes: usize = corpus.iter().map(|(_, input)| input.len()).sum();
        assert!(
            corpus.len() >= 10 && bytes < 300 * 1024,
            "{}: {} inputs of {bytes} bytes",
            target.name,
            corpus.len()
        );
    }
}

fn every_input_of_the_corpus(name: &str) {
    let target = target(name);
    for (file, input) in corpus(target) {
        // The name of the input is the last line before a broken law.
        println!("{}", file.display());
        (target.check)(&input);
    }
}

fn random_and_mutated_input(name: &str) {
    let target = target(name);
    let seeds: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, input)| input).collect();
    let words = words();
    let until = Instant::now() + RANDOM_TIME / u32::try_from(TARGETS.len()).unwrap();
    let strategy = (any::<Index>(), any::<bool>(), proptest::collection::vec(change(), 0..8)).prop_map(|(seed, blank, changes)| {
        let mut input = if blank { Vec::new() } else { seed.get(&seeds).clone() };
        for change in &changes {
            change.make(&mut input, &seeds, &words);
        }
        Input(input)
    });
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(64)
    });
    while Instant::now() < until {
        let result = runner.run(&strategy, |Input(input)| {
            (target.check)(&input);
            Ok(())
        });
        assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// An input, shown so that it can be written down as a seed.
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// What is done to an input.
#[derive(Clone, Debug)]
enum Change {
    Put(Index, Vec<u8>),
    Word(Index, Index),
    Flip(Index, u8),
    Cut(Index, usize),
    Double(Index, usize),
    Join(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        1 => (at(), "[ -~]{1,6}").prop_map(|(at, text)| Change::Put(at, text.into_bytes())),
        4 => (at(), at()).prop_map(|(at, word)| Change::Word(at, word)),
        2 => (at(), any::<u8>()).prop_map(|(at, mask)| Change::Flip(at, mask)),
        2 => (at(), 1..24_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        1 => (at(), 1..24_usize).prop_map(|(at, length)| Change::Double(at, length)),
        1 => (at(), at(), at()).prop_map(|(seed, from, to)| Change::Join(seed, from, to)),
    ]
}

impl Change {
    fn make(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>]) {
        let end = input.len();
        match self {
            Self::Put(at, bytes) => insert(input, at.index(end + 1), bytes),
            Self::Word(at, word) => insert(input, at.index(end + 1), &words[word.index(words.len())]),
            Self::Flip(at, mask) if end > 0 => input[at.index(end)] ^= mask,
            Self::Cut(at, length) if end > 0 => {
                let at = at.index(end);
                input.drain(at..end.min(at + length));
            }
            Self::Double(at, length) if end > 0 => {
                let at = at.index(end);
                let piece = input[at..end.min(at + length)].to_vec();
                insert(input, at, &piece);
            }
            Self::Join(seed, from, to) => {
                let other = seed.get(seeds);
                input.truncate(to.index(end + 1));
                input.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
            Self::Flip(..) | Self::Cut(..) | Self::Double(..) => {}
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// The dictionary that libFuzzer takes its words from too.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("words.dict")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescape).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        match rest.as_bytes()[at + 1] {
            b'x' => {
                out.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap());
                rest = &rest[at + 4..];
            }
            plain => {
                out.push(plain);
                rest = &rest[at + 2..];
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn holds_for_every_input_of_its_corpus() {
                super::every_input_of_the_corpus(stringify!($name));
            }

            #[test]
            fn holds_for_random_and_mutated_input() {
                super::random_and_mutated_input(stringify!($name));
            }
        })*

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|target| target.name).eq(tested));
        }
    };
}

targets!(admission cookies forwarded frames ip_patterns paths policies proxy_header return_addresses settings stream tokens);
