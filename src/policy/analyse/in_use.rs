//! `W270` and the rest of `W231`: names that the store uses and the files have not, and the other way round.

use std::collections::BTreeMap;

use crate::base::diagnostic::Diagnostic;
use crate::model::membership::Membership;
use crate::model::name::{RoleName, TeamName};

use super::super::PolicySet;
use super::super::definitions::ProviderKind;
use super::finding;

/// Names that records of the store point at, each with the people it is about.
#[derive(Clone, Debug, Default)]
pub struct NamesInUse(BTreeMap<(&'static str, String), Vec<String>>);

/// People named in one finding; the rest are counted.
const NAMED: usize = 5;

impl NamesInUse {
    /// Adds what one person has.
    pub fn add<'r>(&mut self, who: &str, roles: impl IntoIterator<Item = &'r RoleName>, memberships: &[Membership]) {
        for role in roles {
            self.note("role", role.as_str(), who);
        }
        for membership in memberships {
            self.note("team", membership.team.as_str(), who);
            for role in &membership.roles {
                self.note("role", role.as_str(), who);
            }
            for (application, permissions) in &membership.permissions {
                self.note("application", application.as_str(), who);
                for permission in permissions {
                    self.note("permission", &format!("{application}:{permission}"), who);
                }
            }
            if let Some(pattern) = &membership.ip_pattern {
                self.note("IP pattern", pattern.as_str(), who);
            }
            if let Some(provider) = &membership.provider {
                self.note("provider", provider.as_str(), who);
            }
        }
    }

    fn note(&mut self, kind: &'static str, name: &str, who: &str) {
        let people = self.0.entry((kind, name.to_owned())).or_default();
        if people.last().is_none_or(|last| last != who) {
            people.push(who.to_owned());
        }
    }

    fn has(&self, kind: &'static str, name: &str) -> bool {
        self.0.contains_key(&(kind, name.to_owned()))
    }
}

/// `W270`: what the store uses and these rules do not have, by no present or former name.
#[must_use]
pub fn orphans(policies: &PolicySet, used: &NamesInUse) -> Vec<Diagnostic> {
    let known = |kind: &str, name: &str| match kind {
        "role" => name.parse().is_ok_and(|name| policies.role(&name).is_some()),
        "team" => name.parse().is_ok_and(|name| policies.team(&name).is_some()),
        "application" => name.parse().is_ok_and(|name| policies.application(&name).is_some()),
        "IP pattern" => name.parse().is_ok_and(|name| policies.ip_pattern(&name).is_some()),
        "provider" => name.parse().is_ok_and(|name| policies.provider(&name).is_some()),
        _ => {
            let Some((application, permission)) = name.split_once(':') else {
                return true;
            };
            // Of an application that is gone itself, only that is told.
            let Some(application) = application.parse().ok().and_then(|name| policies.application(&name)) else {
                return true;
            };
            application
                .permissions
                .iter()
                .any(|one| one.name.as_str() == permission || one.formerly.iter().any(|old| old.as_str() == permission))
        }
    };
    used.0
        .iter()
        .filter(|((kind, name), _)| !known(kind, name))
        .map(|((kind, name), people)| {
            let shown = people.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = people.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let effect = match *kind {
                "IP pattern" | "provider" => "memberships bound to it do not count",
                _ => "it gives nothing",
            };
            finding(
                "W270",
                format!("{kind} `{name}` is used in the store and not in the policies: {effect} ({shown}{more})"),
            )
            .help("define it again, or `formerly = [...]` where it was renamed")
        })
        .collect()
}

/// `W231` for what may be chosen in the console: patterns, teams and providers that neither the files nor the store use.
#[must_use]
pub fn unused(policies: &PolicySet, used: &NamesInUse) -> Vec<Diagnostic> {
    let definitions = policies.definitions();
    let mut found = Vec::new();
    let mut tell = |what: &str, name: &str, at: &super::super::place::Place| {
        if at.is_written() {
            found.push(
                finding(
                    "W231",
                    format!("{what} `{name}` is defined, but neither the policies nor anybody uses it"),
                )
                .at(at.span()),
            );
        }
    };
    let conditions = super::giving::conditions(definitions);
    let read = |test: &dyn Fn(&super::super::condition::Condition) -> bool| {
        conditions.iter().any(|condition| {
            let mut hit = false;
            condition.walk(&mut |one| hit |= test(one));
            hit
        })
    };
    for pattern in &definitions.ip_patterns {
        let name = &pattern.name;
        let refers = |entry: &String| entry.strip_prefix('@') == Some(name.as_str());
        let by_files = read(&|one| one.ip_pattern.contains(name))
            || definitions.applications.iter().any(|app| app.ip_pattern.contains(name))
            || definitions.teams.iter().any(|team| team.ip_pattern.contains(name))
            || definitions.services.iter().any(|service| service.ip_pattern.contains(name))
            || definitions
                .ip_patterns
                .iter()
                .any(|other| other.include.iter().chain(&other.exclude).any(refers));
        if !by_files && !used.has("IP pattern", name.as_str()) {
            tell("IP pattern", name.as_str(), &pattern.at);
        }
    }
    for team in &definitions.teams {
        let name = &team.name;
        let by_files = *name == TeamName::main()
            || read(&|one| one.teams.contains(name))
            || definitions.grants.iter().any(|grant| grant.teams.contains(name))
            || definitions.providers.iter().any(|provider| provider.team.as_ref() == Some(name));
        if !by_files && !used.has("team", name.as_str()) {
            tell("team", name.as_str(), &team.at);
        }
    }
    for provider in &definitions.providers {
        let name = &provider.name;
        // While no list narrows them, every provider is a way in.
        let accepted = definitions.signin.accepted.methods.contains(&match provider.kind {
            ProviderKind::Saml => crate::model::role::SignInMethod::Saml,
            ProviderKind::Ldap => crate::model::role::SignInMethod::Ldap,
        }) && (definitions.signin.accepted.idps.is_empty() || definitions.signin.accepted.idps.contains(name));
        if !accepted && !used.has("provider", name.as_str()) {
            tell("identity provider or directory", name.as_str(), &provider.at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sources::{PolicyTexts, SourceText};
    use crate::base::time::Timestamp;
    use crate::model::id::UserId;
    use crate::policy::{Context, load};

    fn policies() -> PolicySet {
        let text = r#"
            app.lab = { host = "lab.example", upstream = "http://127.0.0.1:1", require = { assigned = true }, permission.view = {} }
            role.chemist = { formerly = ["lab-user"], admin = ["audit"], grantable_by = ["admin"] }
            ip_pattern.office.include = ["10.1.2.3"]
            ip_pattern.attic.include = ["10.1.2.4"]
            team.acme = {}
        "#;
        let texts = PolicyTexts {
            files: vec![SourceText {
                name: "t.toml".into(),
                text: text.into(),
            }],
            ..PolicyTexts::default()
        };
        let now = Timestamp::parse_rfc3339("2026-11-24T12:00:00Z").unwrap();
        load(&texts, &Context::plain("portal.example", now))
            .unwrap_or_else(|found| panic!("{found:?}"))
            .0
    }

    fn used() -> NamesInUse {
        let mut used = NamesInUse::default();
        let user = UserId::from_number(1);
        let mut membership = Membership::plain(user, "acme".parse().unwrap());
        membership.ip_pattern = "office".parse().ok();
        membership
            .permissions
            .insert("lab".parse().unwrap(), ["view".parse().unwrap(), "edit".parse().unwrap()].into());
        used.add(
            "ada",
            &["lab-user".parse().unwrap(), "gone".parse().unwrap()],
            &[membership.clone()],
        );
        membership.ip_pattern = "cellar".parse().ok();
        used.add("bo", &[], &[membership]);
        used
    }

    #[test]
    fn w270_names_that_are_gone_are_told_with_the_people_they_hit() {
        let said: Vec<String> = orphans(&policies(), &used()).into_iter().map(|finding| finding.message).collect();
        assert_eq!(
            said,
            [
                "IP pattern `cellar` is used in the store and not in the policies: memberships bound to it do not count (bo)",
                "permission `lab:edit` is used in the store and not in the policies: it gives nothing (ada, bo)",
                "role `gone` is used in the store and not in the policies: it gives nothing (ada)",
            ]
        );
    }

    #[test]
    fn w231_with_the_store_tells_what_nobody_chose() {
        let said: Vec<String> = unused(&policies(), &used()).into_iter().map(|finding| finding.message).collect();
        let [only] = said.as_slice() else { panic!("{said:?}") };
        assert!(only.starts_with("IP pattern `attic`"), "{only}");
    }
}
