//! Many files, one document: named tables are united by name, lists of tables are added up, and nothing is said twice.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::document::{Entry, Table, Value};
use crate::base::reader::Problems;

/// Families of named tables, which files may add to.
const NAMED: &[&str] = &[
    "app",
    "role",
    "team",
    "ip_pattern",
    "window",
    "limit",
    "service",
    "idp",
    "directory",
];
/// Lists of tables at the top.
const LISTS: &[&str] = &["grant", "guard", "test"];

/// Unites the files, which come in the order of their names. Problems: `E110` with both places.
pub(super) fn unite(files: Vec<Table>, problems: &Problems) -> Table {
    let mut whole = Table::default();
    for file in files {
        for entry in file.entries {
            let key = entry.key.value.as_str();
            if NAMED.contains(&key) {
                family(&mut whole, entry, problems);
            } else if LISTS.contains(&key) {
                list(&mut whole, entry);
            } else if let Some(first) = whole.get(key) {
                twice(&format!("`{key}` is written in two files"), first, &entry, problems);
            } else {
                whole.entries.push(entry);
            }
        }
    }
    // In the order of the keys, so that what is found does not depend on which file came first.
    whole.entries.sort_by(|a, b| a.key.value.cmp(&b.key.value));
    whole
}

fn family(whole: &mut Table, entry: Entry, problems: &Problems) {
    let Some(known) = whole.get_mut(&entry.key.value) else {
        whole.entries.push(entry);
        return;
    };
    let family_name = entry.key.value.clone();
    match (&mut known.node.value, entry.node.value) {
        (Value::Table(all), Value::Table(more)) => {
            for member in more.entries {
                let name = format!("{family_name}.{}", member.key.value);
                let Some(first) = all.get_mut(&member.key.value) else {
                    all.entries.push(member);
                    continue;
                };
                member_of(first, member, &name, family_name == "app", problems);
            }
            all.entries.sort_by(|a, b| a.key.value.cmp(&b.key.value));
        }
        // One of them is no table, which reading says; it must see that one.
        (Value::Table(_), other) => known.node.value = other,
        _ => {}
    }
}

/// Adds what a second file says of a named table.
fn member_of(first: &mut Entry, more: Entry, name: &str, is_application: bool, problems: &Problems) {
    if let Some(seal) = sealed(first).or_else(|| sealed(&more)) {
        problems.push(
            Diagnostic::error("E110", format!("`{name}` is sealed: other files add nothing to it"))
                .at(if seal.file == first.key.span.file {
                    more.key.span
                } else {
                    first.key.span.clone()
                })
                .also(seal, "sealed here"),
        );
        return;
    }
    let (Value::Table(one), Value::Table(two)) = (&mut first.node.value, more.node.value) else {
        return;
    };
    // A table may be opened in one file only to hang lists on it; the plain keys all stand in the other.
    let plain_one = one.entries.iter().find(|entry| !may_be_added(entry, is_application));
    let plain_two = two.entries.iter().find(|entry| !may_be_added(entry, is_application));
    if let (Some(first_plain), Some(second_plain)) = (plain_one, plain_two) {
        problems.push(
            Diagnostic::error("E110", format!("the keys of `{name}` stand in two files"))
                .at(second_plain.key.span.clone())
                .label("one file keeps all plain keys of a table")
                .also(first_plain.key.span.clone(), "others stand here"),
        );
    }
    // The name is said to be where the plain keys are.
    if plain_one.is_none() && plain_two.is_some() {
        first.key = more.key;
    }
    for entry in two.entries {
        match one.get_mut(&entry.key.value) {
            None => one.entries.push(entry),
            Some(known) => match (&mut known.node.value, entry.node.value) {
                (Value::List(items), Value::List(more)) if is_application && entry.key.value == "rule" => items.extend(more),
                (Value::Table(known), Value::Table(more)) if is_application && entry.key.value == "permission" => {
                    for permission in more.entries {
                        let called = format!("{name}.permission.{}", permission.key.value);
                        match known.get_mut(&permission.key.value) {
                            Some(first) => member_of(first, permission, &called, false, problems),
                            None => known.entries.push(permission),
                        }
                    }
                }
                // Told above: both are plain keys.
                _ => {}
            },
        }
    }
    one.entries.sort_by(|a, b| a.key.value.cmp(&b.key.value));
}

/// Rules and permissions of an application may come from any file.
fn may_be_added(entry: &Entry, is_application: bool) -> bool {
    is_application
        && match entry.key.value.as_str() {
            "rule" => matches!(entry.node.value, Value::List(_)),
            "permission" => matches!(entry.node.value, Value::Table(_)),
            _ => false,
        }
}

fn sealed(entry: &Entry) -> Option<Span> {
    let Value::Table(table) = &entry.node.value else { return None };
    let seal = table.get("sealed")?;
    (seal.node.value == Value::Boolean(true)).then(|| seal.key.span.clone())
}

fn list(whole: &mut Table, entry: Entry) {
    match whole.get_mut(&entry.key.value) {
        None => whole.entries.push(entry),
        Some(known) => match (&mut known.node.value, entry.node.value) {
            (Value::List(items), Value::List(more)) => items.extend(more),
            (Value::List(_), other) => known.node.value = other,
            _ => {}
        },
    }
}

fn twice(message: &str, first: &Entry, second: &Entry, problems: &Problems) {
    problems.push(
        Diagnostic::error("E110", message)
            .at(second.key.span.clone())
            .also(first.key.span.clone(), "also here"),
    );
}

/// Puts the starting values of `[defaults]` under an application: what it says itself wins, rules add up.
pub(super) fn with_defaults(own: &Table, defaults: &Table) -> Table {
    let mut all = own.clone();
    for entry in &defaults.entries {
        match all.get_mut(&entry.key.value) {
            None => all.entries.push(entry.clone()),
            Some(known) => match (&mut known.node.value, &entry.node.value) {
                (Value::Table(one), Value::Table(two)) => *one = with_defaults(one, two),
                (Value::List(items), Value::List(more)) if entry.key.value == "rule" => items.extend(more.iter().cloned()),
                _ => {}
            },
        }
    }
    all
}
