//! From texts to definitions: every file is read, every problem is told.

mod application;
mod condition;
mod headers;
mod house;
pub(in crate::policy) mod scope;
mod sources;
mod tests;
mod upstream;
mod who;

use std::sync::Arc;

use crate::base::diagnostic::Span;
use crate::base::document::{self, At, Entry, Table, Value};
use crate::base::reader::{Problems, Reader};
use crate::base::sources::{PolicyTexts, SourceText};

use super::application::AcceptedSignIn;
use super::definitions::Definitions;
use super::merge;

use application::Reading;
pub(in crate::policy) use house::CHECKS;
pub(in crate::policy) use house::Levels;
use scope::Scope;
pub(in crate::policy) use tests::{MadeUp, PolicyTest, Subject};

/// What the files say, before names are looked up.
#[derive(Debug, Default)]
pub(in crate::policy) struct Parsed {
    pub(in crate::policy) definitions: Definitions,
    pub(in crate::policy) tests: Vec<PolicyTest>,
    pub(in crate::policy) levels: Levels,
}

/// Reads the files. `bounds` is the ceiling that the server's settings put on signing in.
///
/// `None` if a text is not TOML: names that were lost with it would read like other mistakes.
pub(in crate::policy) fn parse(texts: &PolicyTexts, scope: &Scope<'_>, bounds: &AcceptedSignIn) -> Option<Parsed> {
    let whole = read_files(texts, scope.problems)?;
    let top = Span {
        file: Arc::from("policies"),
        bytes: 0..0,
    };
    let mut reader = Reader::new(&whole, "", top, scope.problems);
    let mut parsed = Parsed {
        levels: scope.checks(reader.entry("checks")),
        ..Parsed::default()
    };
    let definitions = &mut parsed.definitions;
    definitions.signin = scope.signin(reader.entry("signin"), bounds);
    let house = definitions.signin.accepted.clone();
    let defaults = defaults(&mut reader, scope, &house);
    if let Some(apps) = applications(&mut reader, &defaults) {
        for (name, table) in &apps {
            definitions
                .applications
                .extend(scope.application(name, table, &house, Reading::Application));
        }
    }
    definitions.roles = named(&mut reader, "role", |name, inner| scope.role(name, inner));
    definitions.teams = named(&mut reader, "team", |name, inner| scope.team(name, inner));
    definitions.ip_patterns = named(&mut reader, "ip_pattern", |name, inner| scope.ip_pattern(name, inner));
    definitions.windows = named(&mut reader, "window", |name, inner| scope.window(name, inner));
    definitions.limits = named(&mut reader, "limit", |name, inner| scope.limit(name, inner));
    definitions.services = named(&mut reader, "service", |name, inner| scope.service(name, inner));
    definitions.providers = named(&mut reader, "idp", |name, inner| scope.idp(name, inner));
    definitions
        .providers
        .extend(named(&mut reader, "directory", |name, inner| scope.directory(name, inner)));
    definitions.grants = reader.tables("grant").into_iter().filter_map(|inner| scope.grant(inner)).collect();
    definitions.guards = reader.tables("guard").into_iter().filter_map(|inner| scope.guard(inner)).collect();
    parsed.tests = reader.tables("test").into_iter().filter_map(|inner| scope.test(inner)).collect();
    reader.finish();
    Some(parsed)
}

/// The files in the order of their names, united.
fn read_files(texts: &PolicyTexts, problems: &Problems) -> Option<Table> {
    let mut files: Vec<&SourceText> = texts.files.iter().collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut tables = Vec::new();
    let mut sound = true;
    for SourceText { name, text } in files {
        let (table, slips) = document::read(name, text);
        sound &= slips.is_empty();
        slips.into_iter().for_each(|slip| problems.push(slip));
        tables.push(table);
    }
    sound.then(|| merge::unite(tables, problems))
}

fn named<T>(reader: &mut Reader<'_>, key: &'static str, mut read: impl FnMut(&At<String>, Reader<'_>) -> Option<T>) -> Vec<T> {
    reader
        .named(key)
        .into_iter()
        .filter_map(|(name, inner)| read(&name, inner))
        .collect()
}

/// `[defaults]`, read once for its own sake, so that a slip in it is told even where no application takes it up.
fn defaults(reader: &mut Reader<'_>, scope: &Scope<'_>, house: &AcceptedSignIn) -> Table {
    let Some(entry) = reader.entry("defaults") else {
        return Table::default();
    };
    let Value::Table(inner) = &entry.node.value else {
        reader.wrong_type("defaults", &entry.node, "a table");
        return Table::default();
    };
    let nobody = At {
        value: "defaults".to_owned(),
        span: entry.key.span.clone(),
    };
    let _ = scope.application(&nobody, inner, house, Reading::Defaults);
    inner.clone()
}

/// The applications, each over the starting values.
fn applications(reader: &mut Reader<'_>, defaults: &Table) -> Option<Vec<(At<String>, Table)>> {
    let entry = reader.entry("app")?;
    let Value::Table(family) = &entry.node.value else {
        reader.wrong_type("app", &entry.node, "a table of named tables");
        return None;
    };
    let mut found = Vec::new();
    for Entry { key, node } in &family.entries {
        match &node.value {
            Value::Table(own) => found.push((key.clone(), merge::with_defaults(own, defaults))),
            _ => reader.wrong_type(&format!("app.{}", key.value), node, "a table"),
        }
    }
    Some(found)
}
