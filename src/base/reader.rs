//! Walks a table key by key: says what is missing, of the wrong type or unknown, and goes on.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Span};
use super::document::{At, Entry, Node, Table, Value};
use super::grammar::{Flaw, nearest};

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Diagnostic>>);

impl Problems {
    /// Adds a finding.
    pub fn push(&self, problem: Diagnostic) {
        self.0.borrow_mut().push(problem);
    }

    /// Adds a flaw found at a place.
    pub fn flaw(&self, flaw: Flaw, span: &Span) {
        let mut problem = Diagnostic::error(flaw.code, flaw.message).at(span.clone());
        problem.help = flaw.help;
        self.push(problem);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// The findings, to be told.
    #[must_use]
    pub fn into_inner(self) -> Vec<Diagnostic> {
        self.0.into_inner()
    }
}

/// Reads a table: every key that is asked for is known; what was not asked for is an error in [`Reader::finish`].
#[derive(Debug)]
pub struct Reader<'t> {
    table: &'t Table,
    problems: &'t Problems,
    place: Span,
    name: String,
    asked: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// A reader of `table`, called `name` in messages; `place` is where it says that a key is missing.
    #[must_use]
    pub fn new(table: &'t Table, name: impl Into<String>, place: Span, problems: &'t Problems) -> Self {
        Self {
            table,
            problems,
            place,
            name: name.into(),
            asked: Vec::new(),
        }
    }

    /// Where problems go.
    #[must_use]
    pub const fn problems(&self) -> &'t Problems {
        self.problems
    }

    /// Where the table stands.
    #[must_use]
    pub const fn place(&self) -> &Span {
        &self.place
    }

    /// What the table is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The entry of a key, whatever its type.
    pub fn entry(&mut self, key: &'static str) -> Option<&'t Entry> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Says that a key is needed if it is not there.
    pub fn need(&self, key: &str, help: &str) {
        if self.table.get(key).is_none() {
            let mut problem = Diagnostic::error("E103", format!("{} needs `{key}`", self.name)).at(self.place.clone());
            if !help.is_empty() {
                problem = problem.help(help);
            }
            self.problems.push(problem);
        }
    }

    /// A key with text.
    pub fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let entry = self.entry(key)?;
        text_of(&entry.node, key, self.problems)
    }

    /// A key with text that has a grammar.
    pub fn parsed<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, Flaw>) -> Option<At<T>> {
        let text = self.text(key)?;
        self.check(&text, parse)
    }

    fn check<T>(&self, text: &At<String>, parse: impl Fn(&str) -> Result<T, Flaw>) -> Option<At<T>> {
        match parse(&text.value) {
            Ok(value) => Some(At {
                value,
                span: text.span.clone(),
            }),
            Err(flaw) => {
                self.problems.flaw(flaw, &text.span);
                None
            }
        }
    }

    /// A key with one of some words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<At<T>> {
        self.parsed(key, |text| word(text, words))
    }

    /// A key with `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<At<bool>> {
        let entry = self.entry(key)?;
        let value = match &entry.node.value {
            Value::Boolean(yes) => *yes,
            Value::Loose(text) if text == "true" || text == "1" => true,
            Value::Loose(text) if text == "false" || text == "0" => false,
            _ => {
                self.wrong_type(key, &entry.node, "true or false");
                return None;
            }
        };
        Some(At {
            value,
            span: entry.node.span.clone(),
        })
    }

    /// A key with a whole number within a range.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<At<i64>> {
        let entry = self.entry(key)?;
        let number = match &entry.node.value {
            Value::Integer(number) => *number,
            Value::Loose(text) if text.parse::<i64>().is_ok() => text.parse().ok(),
            _ => {
                self.wrong_type(key, &entry.node, "a whole number");
                return None;
            }
        };
        match number.filter(|number| range.contains(number)) {
            Some(value) => Some(At {
                value,
                span: entry.node.span.clone(),
            }),
            None => {
                let flaw = if *range.end() == i64::MAX {
                    Flaw::range(format!("`{key}` must be at least {}", range.start()))
                } else {
                    Flaw::range(format!("`{key}` must be between {} and {}", range.start(), range.end()))
                };
                self.problems.flaw(flaw, &entry.node.span);
                None
            }
        }
    }

    /// A key with a share between 0 and 1.
    pub fn share(&mut self, key: &'static str) -> Option<At<f64>> {
        let entry = self.entry(key)?;
        let number = match &entry.node.value {
            Value::Integer(Some(0)) => Some(0.0),
            Value::Integer(Some(1)) => Some(1.0),
            Value::Float(text) | Value::Loose(text) => text.parse::<f64>().ok(),
            Value::Integer(_) => Some(f64::NAN),
            _ => {
                self.wrong_type(key, &entry.node, "a number between 0 and 1");
                return None;
            }
        };
        match number.filter(|number| (0.0..=1.0).contains(number)) {
            Some(value) => Some(At {
                value,
                span: entry.node.span.clone(),
            }),
            None => {
                self.problems
                    .flaw(Flaw::range(format!("`{key}` must be between 0 and 1")), &entry.node.span);
                None
            }
        }
    }

    /// A key with a list of texts.
    pub fn texts(&mut self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let entry = self.entry(key)?;
        match &entry.node.value {
            Value::List(items) => Some(At {
                value: items.iter().filter_map(|item| text_of(item, key, self.problems)).collect(),
                span: entry.node.span.clone(),
            }),
            Value::Loose(text) => Some(At {
                value: loose_list(text)
                    .into_iter()
                    .map(|value| At {
                        value,
                        span: entry.node.span.clone(),
                    })
                    .collect(),
                span: entry.node.span.clone(),
            }),
            other => {
                let mut problem =
                    Diagnostic::error("E102", format!("`{key}` must be a list, not {}", other.kind())).at(entry.node.span.clone());
                if let Value::Text(text) = other {
                    problem = problem.help(format!("write {key} = [{text:?}]"));
                }
                self.problems.push(problem);
                None
            }
        }
    }

    /// A key with a list of texts that have a grammar. Entries with a flaw are told and left out.
    pub fn list<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, Flaw>) -> Option<At<Vec<At<T>>>> {
        let texts = self.texts(key)?;
        Some(texts.map(|items| items.iter().filter_map(|item| self.check(item, &parse)).collect()))
    }

    /// A key with one text or a list of them.
    pub fn one_or_more<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, Flaw>) -> Option<At<Vec<At<T>>>> {
        if let Some(Entry {
            node: At {
                value: Value::Text(text),
                span,
            },
            ..
        }) = self.table.get(key)
        {
            self.asked.push(key);
            let text = At {
                value: text.clone(),
                span: span.clone(),
            };
            return Some(At {
                value: self.check(&text, parse).into_iter().collect(),
                span: span.clone(),
            });
        }
        self.list(key, parse)
    }

    /// A key with a table, to be read in turn.
    pub fn table(&mut self, key: &'static str) -> Option<Reader<'t>> {
        let entry = self.entry(key)?;
        match &entry.node.value {
            Value::Table(inner) => Some(Reader::new(
                inner,
                format!("{}{key}", self.prefix()),
                entry.key.span.clone(),
                self.problems,
            )),
            _ => {
                self.wrong_type(key, &entry.node, "a table");
                None
            }
        }
    }

    /// A key with a list of tables, each to be read in turn.
    pub fn tables(&mut self, key: &'static str) -> Vec<Reader<'t>> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let Value::List(items) = &entry.node.value else {
            self.wrong_type(key, &entry.node, "a list of tables");
            return Vec::new();
        };
        let mut readers = Vec::new();
        for item in items {
            if let Value::Table(inner) = &item.value {
                let name = format!("{}{key}", self.prefix());
                readers.push(Reader::new(inner, name, item.span.clone(), self.problems));
            } else {
                self.wrong_type(key, item, "a table");
            }
        }
        readers
    }

    /// A key with a table whose keys are names: each entry with its own table.
    pub fn named(&mut self, key: &'static str) -> Vec<(At<String>, Reader<'t>)> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let Value::Table(inner) = &entry.node.value else {
            self.wrong_type(key, &entry.node, "a table of named tables");
            return Vec::new();
        };
        let mut readers = Vec::new();
        for Entry { key: name, node } in &inner.entries {
            if let Value::Table(table) = &node.value {
                let called = format!("{}{key}.{}", self.prefix(), name.value);
                readers.push((name.clone(), Reader::new(table, called, name.span.clone(), self.problems)));
            } else {
                self.problems.push(
                    Diagnostic::error("E102", format!("`{key}.{}` must be a table, not {}", name.value, node.value.kind()))
                        .at(node.span.clone()),
                );
            }
        }
        readers
    }

    /// A key with a table of texts under names that are free.
    pub fn free_table(&mut self, key: &'static str) -> Option<&'t Table> {
        let entry = self.entry(key)?;
        if let Value::Table(inner) = &entry.node.value {
            return Some(inner);
        }
        self.wrong_type(key, &entry.node, "a table");
        None
    }

    /// Refuses a key that would hold a secret: secrets come from a file or the environment.
    pub fn no_secret(&mut self, key: &'static str, instead: &str) {
        if let Some(entry) = self.entry(key) {
            self.problems.push(
                Diagnostic::error("E113", format!("`{key}` would be a secret in a file that is shared"))
                    .at(entry.key.span.clone())
                    .help(instead),
            );
        }
    }

    /// Refuses what was not asked for, offering the nearest key.
    pub fn finish(self) {
        for entry in &self.table.entries {
            let written = entry.key.value.as_str();
            if self.asked.contains(&written) {
                continue;
            }
            let place = if self.name.is_empty() {
                "at the top".to_owned()
            } else {
                format!("in `{}`", self.name)
            };
            let mut problem = Diagnostic::error("E101", format!("unknown key `{written}` {place}")).at(entry.key.span.clone());
            if let Some(near) = nearest(written, self.asked.iter().copied()) {
                problem = problem.label(format!("did you mean `{near}`?"));
            } else if !self.asked.is_empty() {
                let mut known: Vec<&str> = self.asked.clone();
                known.sort_unstable();
                known.dedup();
                problem = problem.help(format!("known here: {}", known.join(" ")));
            }
            self.problems.push(problem);
        }
    }

    fn prefix(&self) -> String {
        if self.name.is_empty() {
            String::new()
        } else {
            format!("{}.", self.name)
        }
    }

    /// Says that a value has the wrong type.
    pub fn wrong_type(&self, key: &str, node: &Node, wanted: &str) {
        self.problems
            .push(Diagnostic::error("E102", format!("`{key}` must be {wanted}, not {}", node.value.kind())).at(node.span.clone()));
    }
}

/// One of some words.
///
/// # Errors
/// `E105` for any other, with the nearest one.
pub fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Flaw> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let listed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let flaw = Flaw::new("E105", format!("\"{text}\" is none of the words that are allowed here"));
    Err(match nearest(text, listed.iter().copied()) {
        Some(near) => flaw.help(format!("did you mean \"{near}\"?")),
        None => flaw.help(format!("one of: {}", listed.join(" "))),
    })
}

fn text_of(node: &Node, key: &str, problems: &Problems) -> Option<At<String>> {
    if let Value::Text(text) | Value::Loose(text) = &node.value {
        return Some(At {
            value: text.clone(),
            span: node.span.clone(),
        });
    }
    let mut problem = Diagnostic::error("E102", format!("`{key}` must be a string, not {}", node.value.kind())).at(node.span.clone());
    if matches!(node.value, Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) {
        problem = problem.help("put it in quotes");
    }
    problems.push(problem);
    None
}

/// A list from an environment variable: a TOML list, or entries between commas.
fn loose_list(text: &str) -> Vec<String> {
    if text.trim_start().starts_with('[') {
        let file: Arc<str> = "environment".into();
        let (table, problems) = super::document::read(&file, &format!("list = {text}\n"));
        if let (true, Some(Value::List(items))) = (problems.is_empty(), table.get("list").map(|entry| &entry.node.value)) {
            return items
                .iter()
                .filter_map(|item| match &item.value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect();
        }
    }
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::document;

    fn read_all(text: &str) -> Vec<(String, String)> {
        let file: Arc<str> = "f.toml".into();
        let (table, _) = document::read(&file, text);
        let problems = Problems::default();
        let top = Span { file, bytes: 0..0 };
        let mut reader = Reader::new(&table, "", top, &problems);
        let _ = reader.text("title");
        let _ = reader.boolean("hide");
        let _ = reader.integer("burst", 1..=10);
        let _ = reader.texts("roles");
        let _ = reader.word("mode", &[("proxy", 1), ("authorize", 2)]);
        if let Some(mut inner) = reader.table("timeout") {
            let _ = inner.parsed("idle", super::super::grammar::duration);
            inner.finish();
        }
        reader.finish();
        problems
            .into_inner()
            .into_iter()
            .map(|problem| {
                (
                    problem.code.to_owned(),
                    format!("{}{}{}", problem.message, problem.label, problem.help.unwrap_or_default()),
                )
            })
            .collect()
    }

    #[test]
    fn every_slip_is_told_in_one_pass() {
        let found = read_all(
            "titel = \"x\"\nhide = 1\nburst = 11\nroles = \"a\"\nmode = \"prox\"\n[timeout]\nidle = \"5 s\"\ntotl = 1\nidlee = 2\n",
        );
        let codes: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(codes, ["E102", "E104", "E102", "E105", "E103", "E101", "E101", "E101"], "{found:?}");
        assert!(found.iter().any(|(_, text)| text.contains("did you mean `title`?")));
        assert!(found.iter().any(|(_, text)| text.contains("did you mean `idle`?")));
        assert!(found.iter().any(|(_, text)| text.contains("did you mean \"proxy\"?")));
        assert!(found.iter().any(|(_, text)| text.contains("in `timeout`")));
    }

    #[test]
    fn lists_in_the_environment_have_two_spellings() {
        assert_eq!(loose_list("a, b"), ["a", "b"]);
        assert_eq!(loose_list("[\"a\", \"b,c\"]"), ["a", "b,c"]);
        assert!(loose_list("").is_empty());
    }
}
