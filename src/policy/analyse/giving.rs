//! Who can ever hold what: `W230` roles and permissions that nothing gives and requirements nobody meets, `W231` names that nothing uses.

use std::collections::BTreeSet;

use crate::base::diagnostic::Diagnostic;
use crate::model::name::{RoleName, TeamName};
use crate::model::role::Permission;

use super::super::application::Holder;
use super::super::condition::Condition;
use super::super::definitions::{Definitions, Scope};
use super::finding;

pub(super) fn analyse(definitions: &Definitions, found: &mut Vec<Diagnostic>) {
    let givable = Givable::of(definitions);
    givable.never_given(definitions, found);
    givable.admit_nobody(definitions, found);
    never_used(definitions, found);
}

/// Roles and permissions that somebody can come to hold.
struct Givable {
    roles: BTreeSet<RoleName>,
    permissions: BTreeSet<Permission>,
}

impl Givable {
    fn of(definitions: &Definitions) -> Self {
        let main_is_written = definitions.teams.iter().any(|team| team.name == TeamName::main());
        let mut roles = BTreeSet::from([RoleName::admin(), RoleName::user()]);
        for grant in &definitions.grants {
            roles.extend(grant.roles.iter().cloned());
        }
        for team in &definitions.teams {
            roles.extend(team.roles.iter().cloned());
        }
        for service in &definitions.services {
            roles.extend(service.roles.iter().cloned());
        }
        // While it is not written, the team `main` gives every team role.
        if !main_is_written {
            roles.extend(
                definitions
                    .roles
                    .iter()
                    .filter(|role| role.scope == Scope::Team)
                    .map(|role| role.name.clone()),
            );
        }
        loop {
            let before = roles.len();
            for role in &definitions.roles {
                if role.grantable_by.iter().any(|giver| roles.contains(giver)) {
                    roles.insert(role.name.clone());
                }
                if roles.contains(&role.name) {
                    roles.extend(role.includes.iter().cloned());
                }
            }
            if roles.len() == before {
                break;
            }
        }
        let mut permissions: BTreeSet<Permission> = BTreeSet::new();
        for role in definitions.roles.iter().filter(|role| roles.contains(&role.name)) {
            permissions.extend(role.permissions.iter().cloned());
        }
        for grant in &definitions.grants {
            permissions.extend(grant.permissions.iter().cloned());
        }
        for service in &definitions.services {
            permissions.extend(service.permissions.iter().cloned());
        }
        for app in &definitions.applications {
            // The checkboxes of an application that some team can assign.
            let assignable = !main_is_written || definitions.teams.iter().any(|team| team.apps.contains(&app.name));
            let of = |name: &crate::model::name::PermissionName| Permission {
                application: app.name.clone(),
                name: name.clone(),
            };
            if assignable {
                permissions.extend(app.permissions.iter().map(|permission| of(&permission.name)));
            }
            loop {
                let before = permissions.len();
                for permission in &app.permissions {
                    if permissions.contains(&of(&permission.name)) {
                        permissions.extend(permission.implies.iter().map(of));
                    }
                }
                if permissions.len() == before {
                    break;
                }
            }
        }
        Self { roles, permissions }
    }

    fn never_given(&self, definitions: &Definitions, found: &mut Vec<Diagnostic>) {
        for role in definitions.roles.iter().filter(|role| !self.roles.contains(&role.name)) {
            found.push(
                finding("W230", format!("nothing ever gives the role `{}`", role.name))
                    .at(role.at.span())
                    .help("name who may hand it out in `grantable_by`, list it in a team's `roles`, or give it by a [[grant]]"),
            );
        }
        for app in &definitions.applications {
            for permission in &app.permissions {
                let whole = Permission {
                    application: app.name.clone(),
                    name: permission.name.clone(),
                };
                if !self.permissions.contains(&whole) {
                    found.push(
                        finding("W230", format!("nothing ever gives the permission `{whole}`"))
                            .at(permission.at.span())
                            .help("let a role carry it, or a team assign the application"),
                    );
                }
            }
        }
    }

    fn admit_nobody(&self, definitions: &Definitions, found: &mut Vec<Diagnostic>) {
        for app in &definitions.applications {
            let mut told = |condition: &Condition, what: String| {
                if !self.can_hold(condition) {
                    found.push(finding("W230", format!("{what} admits nobody: what it asks for is never given")).at(condition.at.span()));
                }
            };
            told(&app.require, format!("the requirement of `{}`", app.name));
            for rule in &app.rules {
                if let Some(require) = &rule.require {
                    told(require, format!("rule \"{}\" of `{}`", rule.name, app.name));
                }
            }
        }
    }

    /// Whether roles and permissions leave anybody to meet the condition.
    fn can_hold(&self, condition: &Condition) -> bool {
        let some_role = condition.roles.is_empty() || condition.roles.iter().any(|role| self.roles.contains(role));
        let some_permission =
            condition.permissions.is_empty() || condition.permissions.iter().any(|permission| self.permissions.contains(permission));
        let some_way = condition.any_of.is_empty() || condition.any_of.iter().any(|one| self.can_hold(one));
        some_role
            && some_permission
            && some_way
            && condition.all_roles.iter().all(|role| self.roles.contains(role))
            && condition
                .all_permissions
                .iter()
                .all(|permission| self.permissions.contains(permission))
    }
}

/// Every condition there is.
pub(super) fn conditions(definitions: &Definitions) -> Vec<&Condition> {
    let mut all: Vec<&Condition> = Vec::new();
    for app in &definitions.applications {
        all.push(&app.require);
        all.extend(app.rules.iter().filter_map(|rule| rule.require.as_ref()));
    }
    all.extend(definitions.roles.iter().filter_map(|role| role.require.as_ref()));
    all.extend(definitions.grants.iter().map(|grant| &grant.when));
    for guard in &definitions.guards {
        all.extend(guard.when.iter().chain(&guard.unless));
    }
    all
}

/// Roles, windows and limits that nothing names. Patterns, teams and providers may be chosen in the console, so only the store can tell.
fn never_used(definitions: &Definitions, found: &mut Vec<Diagnostic>) {
    let mut roles: BTreeSet<&RoleName> = BTreeSet::new();
    let mut windows = BTreeSet::new();
    for condition in conditions(definitions) {
        condition.walk(&mut |one| {
            roles.extend(one.roles.iter().chain(&one.all_roles));
            windows.extend(&one.window);
        });
    }
    for role in &definitions.roles {
        roles.extend(&role.includes);
        roles.extend(role.grantable_by.iter().filter(|giver| **giver != role.name));
        // Whoever holds it can do something with it.
        if !role.permissions.is_empty() || !role.admin.is_empty() {
            roles.insert(&role.name);
        }
    }
    for grant in &definitions.grants {
        roles.extend(&grant.roles);
    }
    for team in &definitions.teams {
        roles.extend(&team.roles);
    }
    for service in &definitions.services {
        roles.extend(&service.roles);
    }
    let mut limits = BTreeSet::new();
    for app in &definitions.applications {
        limits.extend(&app.limits);
        limits.extend(app.rules.iter().filter_map(|rule| rule.limits.as_ref()).flatten());
        for (holder, _) in app.headers.choose.iter().flat_map(|choice| &choice.from) {
            if let Holder::Role(role) = holder {
                roles.insert(role);
            }
        }
    }
    let mut unused = |what: &str, name: &str, at: &super::super::place::Place| {
        if at.is_written() {
            found.push(
                finding("W231", format!("{what} `{name}` is defined, but nothing uses it"))
                    .at(at.span())
                    .help("take it away, or use it"),
            );
        }
    };
    for role in &definitions.roles {
        if !roles.contains(&role.name) && role.name != RoleName::user() && role.name != RoleName::admin() {
            unused("role", role.name.as_str(), &role.at);
        }
    }
    for window in &definitions.windows {
        if !windows.contains(&window.name) {
            unused("window", window.name.as_str(), &window.at);
        }
    }
    for limit in &definitions.limits {
        if !limits.contains(&limit.name) {
            unused("limit", limit.name.as_str(), &limit.at);
        }
    }
}
