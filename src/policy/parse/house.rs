//! The house rules of signing in, what policy gives and forbids, and how strict its own checks are.

use std::collections::BTreeMap;

use crate::base::diagnostic::{Diagnostic, Level};
use crate::base::document::{Entry, Table, Value};
use crate::base::reader::{Reader, word};

use super::super::application::{AcceptedSignIn, Guard};
use super::super::definitions::{Grant, Registration, SignInRules, TokenStyle};
use super::scope::{Kind, Scope, between, line, listed};
use super::sources::{LONGEST_FRESH, LONGEST_LOCK, LONGEST_TTL, SHORTEST_TTL};

/// The findings of the analyses, with the level each has when nothing is said.
pub(in crate::policy) const CHECKS: &[(&str, Level)] = &[
    ("W220", Level::Warning),
    ("W221", Level::Error),
    ("W222", Level::Warning),
    ("W223", Level::Warning),
    ("W230", Level::Warning),
    ("W231", Level::Warning),
    ("W232", Level::Error),
    ("W240", Level::Error),
    ("W241", Level::Error),
    ("W242", Level::Info),
    ("W243", Level::Warning),
    ("W244", Level::Info),
    ("W250", Level::Error),
    ("W251", Level::Warning),
    ("W252", Level::Warning),
    ("W253", Level::Warning),
    ("W254", Level::Warning),
    ("W260", Level::Warning),
    ("W261", Level::Warning),
    ("W266", Level::Warning),
    ("W267", Level::Warning),
    ("W268", Level::Warning),
    ("W270", Level::Warning),
];

/// Levels that `[checks]` changes; `None` is off.
pub(in crate::policy) type Levels = BTreeMap<&'static str, Option<Level>>;

impl Scope<'_> {
    /// `[signin]`. The session bounds of the server's settings are the ceiling of ages.
    pub(super) fn signin(&self, table: Option<&Entry>, bounds: &AcceptedSignIn) -> SignInRules {
        let mut rules = SignInRules::default();
        rules.accepted.max_age = rules.accepted.max_age.min(bounds.max_age);
        rules.accepted.idle = rules.accepted.idle.min(bounds.idle);
        let Some(entry) = table else { return rules };
        let Value::Table(inner) = &entry.node.value else {
            self.problem("E102", "`signin` must be a table", &entry.node.span);
            return rules;
        };
        let mut reader = Reader::new(inner, "signin", entry.key.span.clone(), self.problems);
        rules.at = self.place(&entry.key.span);
        let defaults = rules.accepted.clone();
        rules.accepted = self.accepted(
            &mut reader,
            &AcceptedSignIn { ..bounds.clone() },
            "the bounds of [session] in the server's settings",
            true,
        );
        // What is not written is the default, not the ceiling.
        if inner.get("methods").is_none() {
            rules.accepted.methods = defaults.methods;
        }
        if inner.get("mfa").is_none() {
            rules.accepted.mfa = defaults.mfa;
        }
        if inner.get("max_age").is_none() {
            rules.accepted.max_age = defaults.max_age;
        }
        if inner.get("idle").is_none() {
            rules.accepted.idle = defaults.idle;
        }
        if let Some(registration) = reader.word("registration", listed!(Registration)) {
            rules.registration = registration.value;
        }
        let ttl = |reader: &mut Reader<'_>, key, value: &mut std::time::Duration, least, most| {
            if let Some(found) = reader.parsed(key, between(key, least, most)) {
                *value = found.value;
            }
        };
        ttl(&mut reader, "invitation_ttl", &mut rules.invitation_ttl, SHORTEST_TTL, LONGEST_TTL);
        ttl(&mut reader, "token_ttl", &mut rules.token_ttl, SHORTEST_TTL, LONGEST_TTL);
        ttl(&mut reader, "lock_for", &mut rules.lock_for, SHORTEST_TTL, LONGEST_LOCK);
        ttl(&mut reader, "fresh_for", &mut rules.fresh_for, SHORTEST_TTL, LONGEST_FRESH);
        let number = |reader: &mut Reader<'_>, key, range| reader.integer(key, range).map(|number| number.value);
        if let Some(attempts) = number(&mut reader, "token_attempts", 1..=20).and_then(|number| u32::try_from(number).ok()) {
            rules.token_attempts = attempts;
        }
        if let Some(attempts) = number(&mut reader, "attempts", 1..=1000).and_then(|number| u32::try_from(number).ok()) {
            rules.attempts = attempts;
        }
        if let Some(style) = reader.word("token_style", listed!(TokenStyle)) {
            rules.token_style = style.value;
        }
        if let Some(digits) = number(&mut reader, "token_digits", 4..=9).and_then(|number| u8::try_from(number).ok()) {
            rules.token_digits = digits;
        }
        if let Some(fewest) = number(&mut reader, "password_min", 8..=256).and_then(|number| usize::try_from(number).ok()) {
            rules.password_min = fewest;
        }
        reader.finish();
        rules
    }

    pub(super) fn grant(&self, mut reader: Reader<'_>) -> Option<Grant> {
        let span = reader.place().clone();
        if reader.entry("when").is_none() {
            self.problems.push(
                Diagnostic::error("E123", "a grant needs `when`: to whom it gives")
                    .at(span.clone())
                    .help("such as when = { users = [\"ada@lab.example\"] }"),
            );
        }
        let when = self.condition(&mut reader, "when", None);
        if let Some(when) = &when
            && when.reads().roles
        {
            self.problems.push(
                Diagnostic::error("E129", "a grant that reads roles or permissions could give them to itself")
                    .at(when.at.span())
                    .help("let one role include the other instead"),
            );
        }
        let grant = Grant {
            at: self.place(&span),
            when: when.clone().unwrap_or_default(),
            roles: self.names(&mut reader, "roles", Kind::Role),
            teams: self.names(&mut reader, "teams", Kind::Team),
            permissions: self.permissions(&mut reader, "permissions", None).unwrap_or_default(),
            apps: self.names(&mut reader, "apps", Kind::Application),
        };
        let gives = ["roles", "teams", "permissions", "apps"]
            .into_iter()
            .any(|key| reader.entry(key).is_some());
        if !gives {
            self.problem("E103", "a grant gives something: `roles`, `teams`, `permissions` or `apps`", &span);
        }
        reader.finish();
        when.map(|_| grant)
    }

    pub(super) fn guard(&self, mut reader: Reader<'_>) -> Option<Guard> {
        let span = reader.place().clone();
        reader.need("name", "explanations and tests refer to it");
        let name = reader.parsed("name", line);
        let guard = Guard {
            name: name.as_ref().map_or_else(String::new, |name| name.value.clone()),
            at: self.place(&span),
            apps: self.names(&mut reader, "apps", Kind::Application),
            paths: self.patterns(&mut reader, "paths").unwrap_or_default(),
            methods: self.methods(&mut reader),
            when: self.condition(&mut reader, "when", None),
            unless: self.condition(&mut reader, "unless", None),
        };
        for key in ["apps", "paths"] {
            if let Some(entry) = reader.entry(key)
                && matches!(&entry.node.value, Value::List(items) if items.is_empty())
            {
                self.problems.push(
                    Diagnostic::error("E123", format!("`{key}` is an empty list, and would mean all"))
                        .at(entry.node.span.clone())
                        .help("leave the key out if all are meant"),
                );
            }
        }
        reader.finish();
        name.map(|_| guard)
    }

    /// `[checks]`: `W230 = "error"`, or `{ level = "off", reason = "…" }`.
    pub(super) fn checks(&self, entry: Option<&Entry>) -> Levels {
        let mut levels = Levels::new();
        let Some(entry) = entry else { return levels };
        let Value::Table(inner) = &entry.node.value else {
            self.problem("E102", "`checks` must be a table", &entry.node.span);
            return levels;
        };
        for Entry { key, node } in &inner.entries {
            let Some((code, _)) = CHECKS.iter().find(|(code, _)| *code == key.value) else {
                let mut problem = Diagnostic::error("E101", format!("there is no check `{}`", key.value)).at(key.span.clone());
                if let Some(near) = crate::base::grammar::nearest(&key.value, CHECKS.iter().map(|(code, _)| *code)) {
                    problem = problem.label(format!("did you mean `{near}`?"));
                }
                self.problems.push(problem);
                continue;
            };
            let words = [("error", Some(Level::Error)), ("warn", Some(Level::Warning)), ("off", None)];
            let wrapped = Table {
                entries: match &node.value {
                    Value::Table(table) => table.entries.clone(),
                    _ => vec![Entry {
                        key: crate::base::document::At {
                            value: "level".to_owned(),
                            span: key.span.clone(),
                        },
                        node: node.clone(),
                    }],
                },
            };
            let mut reader = Reader::new(&wrapped, format!("checks.{code}"), key.span.clone(), self.problems);
            reader.need("level", "one of: error warn off");
            let level = reader.parsed("level", |text| word(text, &words));
            let reason = reader.parsed("reason", line).filter(|reason| !reason.value.trim().is_empty());
            reader.finish();
            let Some(level) = level else { continue };
            if level.value.is_none() && reason.is_none() {
                self.problems.push(
                    Diagnostic::error("E105", "a check is turned off with a reason")
                        .at(level.span)
                        .help(format!("write {code} = {{ level = \"off\", reason = \"...\" }}")),
                );
                continue;
            }
            levels.insert(code, level.value);
        }
        levels
    }
}
