//! Conditions: one shape for `require`, `when` and `unless`.

use crate::base::diagnostic::Diagnostic;
use crate::base::document::{Entry, Value};
use crate::base::grammar::{Flaw, duration};
use crate::base::reader::{Reader, word};
use crate::model::email::EmailAddress;
use crate::model::id::UserId;
use crate::model::name::ApplicationName;
use crate::model::role::SignInMethod;

use super::super::condition::{Condition, GroupMatch, PersonMatch};
use super::scope::{Kind, Scope, domain, listed, name};

/// How deep `any_of` may lie within `any_of`.
const DEEPEST: usize = 8;

impl Scope<'_> {
    /// A condition under a key. `inside` is the application it stands in.
    pub(super) fn condition(&self, reader: &mut Reader<'_>, key: &'static str, inside: Option<&ApplicationName>) -> Option<Condition> {
        let span = reader.entry(key)?.node.span.clone();
        let mut inner = reader.table(key)?;
        let before = self.problems.count();
        let mut condition = self.condition_of(&mut inner, inside, 0);
        inner.finish();
        condition.at = self.place(&span);
        if condition.is_empty() && self.problems.count() == before {
            self.empty(&span);
        }
        Some(condition)
    }

    fn empty(&self, span: &crate::base::diagnostic::Span) {
        self.problems.push(
            Diagnostic::error("E123", "an empty condition says nothing, and never means \"everyone\"")
                .at(span.clone())
                .help("write signed_in = true for everyone who is signed in"),
        );
    }

    fn condition_of(&self, reader: &mut Reader<'_>, inside: Option<&ApplicationName>, depth: usize) -> Condition {
        for key in [
            "users",
            "teams",
            "roles",
            "services",
            "permissions",
            "all_permissions",
            "all_roles",
            "idps",
            "directories",
            "email_domains",
            "groups",
            "signin",
            "ip_pattern",
            "window",
            "any_of",
        ] {
            self.refuse_empty_list(reader, key);
        }
        let mut condition = Condition {
            at: self.place(reader.place()),
            signed_in: self.holds(reader, "signed_in"),
            mfa: self.holds(reader, "mfa"),
            ..Condition::default()
        };
        if let Some(entry) = reader.entry("assigned").cloned() {
            condition.assigned = self.holds(reader, "assigned");
            if inside.is_none() {
                self.problems.push(
                    Diagnostic::error("E127", "`assigned` means the application it stands in, and here is none")
                        .at(entry.key.span)
                        .help("use it in the `require` of an application or of its rules"),
                );
            }
        }
        condition.users = values(reader.list("users", person));
        condition.teams = self.names(reader, "teams", Kind::Team);
        condition.roles = self.names(reader, "roles", Kind::Role);
        condition.all_roles = self.names(reader, "all_roles", Kind::Role);
        condition.services = self.names(reader, "services", Kind::Service);
        condition.permissions = self.permissions(reader, "permissions", inside).unwrap_or_default();
        condition.all_permissions = self.permissions(reader, "all_permissions", inside).unwrap_or_default();
        condition.idps = self.names(reader, "idps", Kind::Idp);
        condition.directories = self.names(reader, "directories", Kind::Directory);
        condition.email_domains = values(reader.list("email_domains", domain));
        if let Some(groups) = reader.list("groups", group) {
            for one in groups.value {
                self.refers(Kind::Provider, one.value.source.as_str(), &one.span);
                condition.groups.push(one.value);
            }
        }
        self.attributes(reader, &mut condition);
        condition.signin = values(reader.list("signin", |text| word(text, listed!(SignInMethod))));
        condition.max_age = reader.parsed("max_age", positive).map(|age| age.value);
        condition.ip_pattern = self.names(reader, "ip_pattern", Kind::IpPattern);
        condition.window = self.names(reader, "window", Kind::Window);
        if depth >= DEEPEST {
            if let Some(entry) = reader.entry("any_of") {
                self.problem("E104", format!("`any_of` lies more than {DEEPEST} deep"), &entry.key.span);
            }
            return condition;
        }
        for mut inner in reader.tables("any_of") {
            let before = self.problems.count();
            let alternative = self.condition_of(&mut inner, inside, depth + 1);
            let span = inner.place().clone();
            inner.finish();
            if alternative.is_empty() && self.problems.count() == before {
                self.empty(&span);
            }
            condition.any_of.push(alternative);
        }
        condition
    }

    /// A key that can only be `true`: there is no `not`.
    fn holds(&self, reader: &mut Reader<'_>, key: &'static str) -> bool {
        let Some(yes) = reader.boolean(key) else { return false };
        if !yes.value {
            self.problems.push(
                Diagnostic::error("E103", format!("`{key} = false` would be a \"not\", which conditions do not have"))
                    .at(yes.span.clone())
                    .help("leave the key out; exceptions are written in `unless` of a guard and `exclude` of an IP pattern"),
            );
        }
        yes.value
    }

    fn refuse_empty_list(&self, reader: &mut Reader<'_>, key: &'static str) {
        if let Some(entry) = reader.entry(key)
            && matches!(&entry.node.value, Value::List(items) if items.is_empty())
        {
            self.problems.push(
                Diagnostic::error("E123", format!("`{key}` is an empty list, which nobody meets"))
                    .at(entry.node.span.clone())
                    .help("leave the key out, or deny with access = \"deny\""),
            );
        }
    }

    fn attributes(&self, reader: &mut Reader<'_>, condition: &mut Condition) {
        let Some(table) = reader.free_table("attributes") else {
            return;
        };
        for Entry { key, node } in &table.entries {
            let wrong = || Diagnostic::error("E102", format!("attribute `{}` must be a list of strings", key.value)).at(node.span.clone());
            let Value::List(items) = &node.value else {
                self.problems.push(wrong());
                continue;
            };
            if items.is_empty() {
                self.problem(
                    "E123",
                    format!("attribute `{}` has an empty list, which nobody meets", key.value),
                    &node.span,
                );
            }
            let mut texts = Vec::new();
            for item in items {
                match &item.value {
                    Value::Text(text) => texts.push(text.clone()),
                    _ => self.problems.push(wrong().at(item.span.clone())),
                }
            }
            texts.sort();
            texts.dedup();
            condition.attributes.insert(key.value.clone(), texts);
        }
    }
}

pub(super) fn values<T>(list: Option<crate::base::document::At<Vec<crate::base::document::At<T>>>>) -> Vec<T> {
    list.map_or_else(Vec::new, |list| list.value.into_iter().map(|one| one.value).collect())
}

fn positive(text: &str) -> Result<std::time::Duration, Flaw> {
    let span = duration(text)?;
    if span.is_zero() {
        return Err(Flaw::malformed("`max_age` of 0 is younger than any sign-in"));
    }
    Ok(span)
}

fn person(text: &str) -> Result<PersonMatch, Flaw> {
    if let Some(id) = text.strip_prefix("id:") {
        return id
            .parse::<UserId>()
            .map(PersonMatch::Id)
            .map_err(|_| Flaw::malformed(format!("\"{id}\" is no user's id")).help("`portcullis user show` tells it"));
    }
    text.parse::<EmailAddress>()
        .map(PersonMatch::Email)
        .map_err(|_| Flaw::malformed(format!("\"{text}\" is neither a mail address nor \"id:...\"")))
}

fn group(text: &str) -> Result<GroupMatch, Flaw> {
    let (source, group) = text
        .split_once(':')
        .filter(|(_, group)| !group.trim().is_empty())
        .ok_or_else(|| Flaw::malformed(format!("\"{text}\" does not say who reports the group")).help("write \"SOURCE:GROUP\""))?;
    Ok(GroupMatch {
        source: name(source)?,
        group: group.trim().to_owned(),
    })
}
