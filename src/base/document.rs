//! A TOML text as a tree in which every key and value knows its place.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Span};

/// Something that was read, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// What was read.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> At<T> {
    /// The same place, with what `change` makes of the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At {
            value: change(self.value),
            span: self.span,
        }
    }

    /// A reference to the value, at the same place.
    pub fn as_ref(&self) -> At<&T> {
        At {
            value: &self.value,
            span: self.span.clone(),
        }
    }
}

/// A value and its place.
pub type Node = At<Value>;

/// A TOML value, or the text of an environment variable that takes the type it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer; `None` if it does not fit 64 bits.
    Integer(Option<i64>),
    /// A number with a fraction, as written.
    Float(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time or both, as written in normal form.
    Datetime(toml::value::Datetime),
    /// A list.
    List(Vec<Node>),
    /// A table, written with a header, inline or by dotted keys.
    Table(Table),
    /// From the environment: no type of its own.
    Loose(String),
}

impl Value {
    /// What it is, for messages: `a string`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Loose(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::Datetime(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// One key of a table with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: At<String>,
    /// Its value.
    pub node: Node,
}

/// A table: its entries in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The entries; one key occurs once.
    pub entries: Vec<Entry>,
}

impl Table {
    /// The entry of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    /// The entry of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key.value == key)
    }
}

/// Reads one file. What could be read is returned beside the problems, so that one slip does not hide the others.
///
/// Problems: `E100` not TOML, `E110` the same key twice.
#[must_use]
pub fn read(file: &Arc<str>, text: &str) -> (Table, Vec<Diagnostic>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Diagnostic> = Vec::new();
    let mut last_line = None;
    let mut errors: Vec<_> = errors
        .into_iter()
        .map(|error| (error.span().map_or(0, |span| span.start), error))
        .collect();
    errors.sort_by_key(|(start, _)| *start);
    for (start, error) in errors {
        let at = error.span().unwrap_or(0..0);
        let span = Span {
            file: Arc::clone(file),
            bytes: at.start..at.end.max(at.start),
        };
        if error.message() == "duplicate key" {
            let mut twice = Diagnostic::error("E110", "the same key is set twice").label("set before").at(span);
            if let Some(first) = text.get(at).and_then(|key| first_use(root.get_ref(), key, start)) {
                let first = Span {
                    file: Arc::clone(file),
                    bytes: first,
                };
                twice = twice.also(first, "also here");
            }
            problems.push(twice);
            continue;
        }
        // One slip makes many followers on its line; the first says it.
        let line = text.get(..start).unwrap_or("").matches('\n').count();
        if last_line == Some(line) {
            continue;
        }
        last_line = Some(line);
        problems.push(Diagnostic::error("E100", format!("not TOML: {}", error.message())).at(span));
    }
    problems.truncate(20);
    (table(file, root.get_ref()), problems)
}

/// Where a key of that spelling stood first, before `limit`: the nearest before it, which is the one in the same table in nearly every text.
fn first_use(table: &DeTable<'_>, key: &str, limit: usize) -> Option<std::ops::Range<usize>> {
    let mut best: Option<std::ops::Range<usize>> = None;
    let mut look = |found: Option<std::ops::Range<usize>>| {
        if let Some(found) = found
            && found.start < limit
            && best.as_ref().is_none_or(|best| best.start < found.start)
        {
            best = Some(found);
        }
    };
    for (name, value) in table {
        if name.get_ref().as_ref() == key.trim_matches(['"', '\'']) {
            look(Some(name.span()));
        }
        match value.get_ref() {
            DeValue::Table(inner) => look(first_use(inner, key, limit)),
            DeValue::Array(items) => {
                for item in items {
                    if let DeValue::Table(inner) = item.get_ref() {
                        look(first_use(inner, key, limit));
                    }
                }
            }
            _ => {}
        }
    }
    best
}

fn table(file: &Arc<str>, written: &DeTable<'_>) -> Table {
    let entries = written
        .iter()
        .map(|(key, value)| Entry {
            key: At {
                value: key.get_ref().to_string(),
                span: Span {
                    file: Arc::clone(file),
                    bytes: key.span(),
                },
            },
            node: node(file, value),
        })
        .collect();
    Table { entries }
}

fn node(file: &Arc<str>, written: &Spanned<DeValue<'_>>) -> Node {
    let value = match written.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Datetime(at) => Value::Datetime(*at),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(file, item)).collect()),
        DeValue::Table(inner) => Value::Table(table(file, inner)),
    };
    At {
        value,
        span: Span {
            file: Arc::clone(file),
            bytes: written.span(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<str> {
        "lab.toml".into()
    }

    #[test]
    fn headers_inline_tables_and_dotted_keys_mean_the_same() {
        fn shape(table: &Table) -> String {
            table
                .entries
                .iter()
                .map(|entry| match &entry.node.value {
                    Value::Table(inner) => format!("{}({})", entry.key.value, shape(inner)),
                    other => format!("{}={other:?};", entry.key.value),
                })
                .collect()
        }
        let (header, none) = read(&file(), "[role.a]\ntitle = \"x\"\n");
        assert!(none.is_empty());
        let (inline, _) = read(&file(), "role = { a = { title = \"x\" } }\n");
        let (dotted, _) = read(&file(), "role.a.title = \"x\"\n");
        assert_eq!(shape(&header), shape(&inline));
        assert_eq!(shape(&header), shape(&dotted));
    }

    #[test]
    fn one_slip_is_said_once_and_the_rest_is_still_read() {
        let (table, problems) = read(&file(), "a = 1\nb = [1 2 3\nc = 4\n[d]\ne = 5\n");
        assert_eq!(problems.first().map(|problem| problem.code), Some("E100"));
        assert!(table.get("a").is_some());
        let (_, twice) = read(&file(), "a = 1\na = 2\n");
        let [only] = twice.as_slice() else { panic!("{twice:?}") };
        assert_eq!(only.code, "E110");
        assert_eq!(only.also.first().map(|(span, _)| span.bytes.clone()), Some(0..1));
    }
}
