//! `PORTCULLIS__TABLE__KEY`: settings from the environment, laid over the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::diagnostic::Span;
use crate::base::document::{At, Entry, Node, Table, Value};

/// What a variable must begin with to be a setting.
pub(super) const PREFIX: &str = "PORTCULLIS__";

/// Lays the variables over the table; each replaces what the file says.
///
/// Names are in capitals with `__` between table and key. A list of tables with names, such as `[[peer]]`, is reached by the name with `_` for `-`:
/// `PORTCULLIS__PEER__EDGE_1__SECRET`.
pub(super) fn lay_over(table: &mut Table, variables: &BTreeMap<String, String>) {
    for (variable, value) in variables {
        let Some(path) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let span = Span {
            file: format!("environment variable {variable}").into(),
            bytes: 0..0,
        };
        let keys: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        set(table, &keys, value, &span);
    }
}

fn set(table: &mut Table, keys: &[String], value: &str, span: &Span) {
    let [first, rest @ ..] = keys else { return };
    let at = if let Some(at) = table.entries.iter().position(|entry| entry.key.value == *first) {
        at
    } else {
        table.entries.push(Entry {
            key: here(first.clone(), span),
            node: here(Value::Table(Table::default()), span),
        });
        table.entries.len() - 1
    };
    let Some(entry) = table.entries.get_mut(at) else { return };
    if rest.is_empty() {
        entry.key.span = span.clone();
        entry.node = here(Value::Loose(value.to_owned()), span);
        return;
    }
    match &mut entry.node.value {
        Value::List(items) => {
            let [name, rest @ ..] = rest else { return };
            if let Some(item) = items.iter_mut().find_map(|item| named(item, name)) {
                set(item, rest, value, span);
            } else {
                // Kept as a table of its own, so that reading it says what is wrong with the name.
                let mut made = Table::default();
                set(&mut made, rest, value, span);
                items.push(here(Value::Table(made), span));
            }
        }
        Value::Table(inner) => set(inner, rest, value, span),
        other => {
            let mut made = Table::default();
            set(&mut made, rest, value, span);
            *other = Value::Table(made);
        }
    }
}

fn named<'n>(item: &'n mut Node, name: &str) -> Option<&'n mut Table> {
    let Value::Table(inner) = &mut item.value else {
        return None;
    };
    let is_it = matches!(inner.get("name").map(|entry| &entry.node.value), Some(Value::Text(text)) if text.replace('-', "_") == name);
    is_it.then_some(inner)
}

fn here<T>(value: T, span: &Span) -> At<T> {
    At { value, span: span.clone() }
}

/// Whether a value came from the environment, where secrets may stand.
pub(super) fn is_from_environment(file: &Arc<str>) -> bool {
    file.starts_with("environment variable ")
}
