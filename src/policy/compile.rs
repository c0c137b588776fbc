//! From names to tables: everything `decide` looks at, worked out once.

use std::collections::BTreeMap;

use http::Method;

use crate::model::name::{IpPatternName, LimitName, RoleName, TeamName};
use crate::model::role::Permission;

use super::addresses::AddressBook;
use super::application::{Application, Guard, HostPattern, MfaRule, Rule};
use super::condition::{Condition, GroupMatch, PersonMatch};
use super::definitions::{Definitions, Grant, IpPattern, Limit, Provider, Role, Service, Team, Window};
use super::pattern::PathPattern;
use super::place::Place;
use super::require::{Clause, Group, PermissionKey, Person, Requirement, UnknownName, attribute_key, fold_group};
use super::set::{CompiledApplication, CompiledGrant, CompiledGuard, CompiledRole, CompiledService, Gate, HostTable, Names, PolicySet};
use super::table::{Bits, Id, Numbers};
use super::trie::Trie;

impl PolicySet {
    /// Compiles what the files mean. The roles `admin` and `user` and the team `main` are added where they are not written.
    ///
    /// # Errors
    /// Every [`UnknownName`]: the loader reports those as E111 first, so this is the second lock on the same door.
    pub fn compile(definitions: Definitions) -> Result<Self, Vec<UnknownName>> {
        let definitions = definitions.with_built_ins();
        let mut compiler = Compiler {
            names: number(&definitions),
            unknown: Vec::new(),
        };
        let set = compiler.set(definitions);
        if compiler.unknown.is_empty() {
            Ok(set)
        } else {
            Err(compiler.unknown)
        }
    }
}

/// Gives every name its number.
fn number(definitions: &Definitions) -> Names {
    let mut names = Names {
        applications: Numbers::of(definitions.applications.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        roles: Numbers::of(definitions.roles.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        teams: Numbers::of(definitions.teams.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        patterns: Numbers::of(definitions.ip_patterns.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        windows: Numbers::of(definitions.windows.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        limits: Numbers::of(definitions.limits.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        services: Numbers::of(definitions.services.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        providers: Numbers::of(definitions.providers.iter().map(|one| (&one.name, one.formerly.as_slice()))),
        ..Names::default()
    };
    for (application, one) in definitions.applications.iter().enumerate() {
        for permission in &one.permissions {
            let id = Id::of(names.permission_list.len());
            names.permissions.entry((application, permission.name.clone())).or_insert(id);
            names.permission_list.push(Permission {
                application: one.name.clone(),
                name: permission.name.clone(),
            });
        }
        for permission in &one.permissions {
            let id = names.permissions.get(&(application, permission.name.clone())).copied();
            for former in &permission.formerly {
                if let Some(id) = id {
                    names.permissions.entry((application, former.clone())).or_insert(id);
                }
            }
        }
    }
    names
}

struct Compiler {
    names: Names,
    unknown: Vec<UnknownName>,
}

impl Compiler {
    fn set(&mut self, definitions: Definitions) -> PolicySet {
        let applications: Vec<CompiledApplication> = definitions
            .applications
            .iter()
            .enumerate()
            .map(|(number, one)| self.application(number, one, &definitions.guards))
            .collect();
        let guards = definitions.guards.iter().map(|guard| self.guard(guard)).collect();
        let roles = definitions.roles.iter().map(|role| self.role(role)).collect();
        let teams = definitions
            .teams
            .iter()
            .map(|team| {
                self.team(team);
                self.gate(&team.ip_pattern, &team.at)
            })
            .collect();
        let services = definitions.services.iter().map(|service| self.service(service)).collect();
        let grants: Vec<CompiledGrant> = definitions.grants.iter().map(|grant| self.grant(grant)).collect();
        let implied = self.implied(&definitions.applications);
        let (hosts, wild_hosts) = hosts(&definitions.applications);
        let held_conditions = || {
            let roles = definitions.roles.iter().filter_map(|role| role.require.as_ref());
            definitions.grants.iter().map(|grant| &grant.when).chain(roles)
        };
        let mut held_ages = Vec::new();
        for condition in held_conditions() {
            condition.walk(&mut |one| held_ages.extend(one.max_age));
        }
        held_ages.sort_unstable();
        held_ages.dedup();
        let roles_read_roles = definitions
            .roles
            .iter()
            .filter_map(|role| role.require.as_ref())
            .any(|require| require.reads().roles);
        let held_by_window = held_conditions().any(|condition| condition.reads().window);
        let user_role = self.names.roles.find("user").unwrap_or(Id::of(0));
        PolicySet {
            shown_generation: definitions.generation.short().into(),
            addresses: AddressBook::of(&definitions.ip_patterns),
            names: std::mem::take(&mut self.names),
            definitions,
            hosts,
            wild_hosts,
            applications,
            guards,
            roles,
            teams,
            services,
            grants,
            implied,
            held_ages,
            held_by_window,
            roles_read_roles,
            user_role,
        }
    }

    fn application(&mut self, number: usize, one: &Application, guards: &[Guard]) -> CompiledApplication {
        let mut numbers: BTreeMap<PathPattern, usize> = BTreeMap::new();
        let mut rules_of_pattern: Vec<Vec<usize>> = Vec::new();
        let mut patterns = Vec::new();
        for (rule, written) in one.rules.iter().enumerate() {
            for path in &written.paths {
                let pattern = if one.case_insensitive {
                    path.pattern.to_lowercase()
                } else {
                    path.pattern.clone()
                };
                let at = *numbers.entry(pattern.clone()).or_insert_with(|| {
                    rules_of_pattern.push(Vec::new());
                    patterns.push(pattern);
                    patterns.len() - 1
                });
                if let Some(rules) = rules_of_pattern.get_mut(at).filter(|rules| !rules.contains(&rule)) {
                    rules.push(rule);
                }
            }
            self.limits(written.limits.as_deref().unwrap_or(&[]), &written.at);
        }
        self.limits(&one.limits, &one.at);
        let mut by_name: Vec<usize> = (0..guards.len()).collect();
        // Which of several guards is told about must not hang on their order.
        by_name.sort_by_key(|&guard| guards.get(guard).map(|guard| guard.name.as_str()));
        let (early_guards, late_guards) = by_name
            .into_iter()
            .filter(|&guard| {
                guards.get(guard).is_some_and(|guard| {
                    guard.apps.is_empty()
                        || guard
                            .apps
                            .iter()
                            .any(|app| self.names.applications.find(app.as_str()) == Some(Id::of(number)))
                })
            })
            .partition(|&guard| {
                guards.get(guard).is_some_and(|guard| {
                    [&guard.when, &guard.unless]
                        .into_iter()
                        .flatten()
                        .all(|condition| condition.reads().only_network_and_time())
                })
            });
        let idps = self.ids("idp", &one.signin.idps, &one.at, |names, name| names.providers.find(name.as_str()));
        for choice in &one.headers.choose {
            for (holder, _) in &choice.from {
                self.holder(holder, &choice.at);
            }
        }
        CompiledApplication {
            require: self.requirement(&one.require),
            gate: self.gate(&one.ip_pattern, &one.at),
            trie: Trie::of(&patterns),
            rules_of_pattern,
            requires: one
                .rules
                .iter()
                .map(|rule| rule.require.as_ref().map(|require| self.requirement(require)))
                .collect(),
            idps,
            early_guards,
            late_guards,
            max_age: one.signin.max_age,
            idle: one.signin.idle,
            mfa: one.signin.mfa == MfaRule::Required,
        }
    }

    fn holder(&mut self, holder: &super::application::Holder, at: &Place) {
        use super::application::Holder;
        match holder {
            Holder::Role(role) => drop(self.role_bits(std::slice::from_ref(role), at)),
            Holder::Team(team) => drop(self.team_bits(std::slice::from_ref(team), at)),
            Holder::Permission(permission) => drop(self.permission_bits(std::slice::from_ref(permission), at)),
        }
    }

    fn limits(&mut self, limits: &[LimitName], at: &Place) {
        let _: Bits<Limit> = self.ids("limit", limits, at, |names, name| names.limits.find(name.as_str()));
    }

    fn guard(&mut self, guard: &Guard) -> CompiledGuard {
        let _: Bits<Application> = self.ids("app", &guard.apps, &guard.at, |names, name| names.applications.find(name.as_str()));
        CompiledGuard {
            paths: guard.paths.iter().map(|path| path.pattern.clone()).collect(),
            paths_folded: guard.paths.iter().map(|path| path.pattern.to_lowercase()).collect(),
            when: guard.when.as_ref().map(|when| self.requirement(when)),
            unless: guard.unless.as_ref().map(|unless| self.requirement(unless)),
        }
    }

    fn role(&mut self, role: &Role) -> CompiledRole {
        let _ = self.role_bits(&role.grantable_by, &role.at);
        CompiledRole {
            includes: self.role_bits(&role.includes, &role.at),
            permissions: self.permission_bits(&role.permissions, &role.at),
            require: role.require.as_ref().map(|require| self.requirement(require)),
        }
    }

    fn team(&mut self, team: &Team) {
        let _ = self.role_bits(&team.roles, &team.at);
        let _: Bits<Application> = self.ids("app", &team.apps, &team.at, |names, name| names.applications.find(name.as_str()));
        let _: Bits<Provider> = self.ids("idp", &team.idps, &team.at, |names, name| names.providers.find(name.as_str()));
    }

    fn service(&mut self, service: &Service) -> CompiledService {
        CompiledService {
            roles: self.role_bits(&service.roles, &service.at),
            permissions: self.permission_bits(&service.permissions, &service.at),
            apps: self.ids("app", &service.apps, &service.at, |names, name| {
                names.applications.find(name.as_str())
            }),
            patterns: self.pattern_bits(&service.ip_pattern, &service.at),
        }
    }

    fn grant(&mut self, grant: &Grant) -> CompiledGrant {
        CompiledGrant {
            when: self.requirement(&grant.when),
            roles: self.role_bits(&grant.roles, &grant.at),
            teams: self.team_bits(&grant.teams, &grant.at),
            teams_read: self.team_bits(&grant.when.teams, &grant.at),
            permissions: self.permission_bits(&grant.permissions, &grant.at),
            apps: self.ids("app", &grant.apps, &grant.at, |names, name| names.applications.find(name.as_str())),
        }
    }

    /// For each permission all that come with it. Cycles are harmless: what is there already is not looked at again.
    fn implied(&mut self, applications: &[Application]) -> Vec<Bits<PermissionKey>> {
        let mut direct: Vec<Bits<PermissionKey>> = Vec::new();
        for one in applications {
            for permission in &one.permissions {
                let implied: Vec<Permission> = permission
                    .implies
                    .iter()
                    .map(|name| Permission {
                        application: one.name.clone(),
                        name: name.clone(),
                    })
                    .collect();
                direct.push(self.permission_bits(&implied, &permission.at));
            }
        }
        (0..direct.len())
            .map(|start| {
                let mut all: Bits<PermissionKey> = Bits::default();
                let mut open = vec![Id::of(start)];
                while let Some(next) = open.pop() {
                    if !all.contains(next) {
                        all.insert(next);
                        open.extend(direct.get(next.index()).into_iter().flat_map(Bits::iter));
                    }
                }
                all
            })
            .collect()
    }

    fn gate(&mut self, patterns: &[IpPatternName], at: &Place) -> Gate {
        Gate(self.pattern_bits(patterns, at))
    }

    fn ids<N: ToString, T>(&mut self, kind: &'static str, names: &[N], at: &Place, find: impl Fn(&Names, &N) -> Option<Id<T>>) -> Bits<T> {
        let mut bits = Bits::default();
        for name in names {
            match find(&self.names, name) {
                Some(id) => bits.insert(id),
                None => self.unknown.push(UnknownName {
                    kind,
                    name: name.to_string(),
                    at: at.clone(),
                }),
            }
        }
        bits
    }

    fn pattern_bits(&mut self, patterns: &[IpPatternName], at: &Place) -> Bits<IpPattern> {
        self.ids("ip_pattern", patterns, at, |names, name| names.patterns.find(name.as_str()))
    }

    fn role_bits(&mut self, roles: &[RoleName], at: &Place) -> Bits<Role> {
        self.ids("role", roles, at, |names, name| names.roles.find(name.as_str()))
    }

    fn team_bits(&mut self, teams: &[TeamName], at: &Place) -> Bits<Team> {
        self.ids("team", teams, at, |names, name| names.teams.find(name.as_str()))
    }

    fn permission_bits(&mut self, permissions: &[Permission], at: &Place) -> Bits<PermissionKey> {
        self.ids("permission", permissions, at, |names, permission| {
            let application = names.applications.find(permission.application.as_str())?;
            names.permissions.get(&(application.index(), permission.name.clone())).copied()
        })
    }

    /// The clauses stand in the order of the documentation, which is the order in which what is missing is told.
    fn requirement(&mut self, one: &Condition) -> Requirement {
        let at = &one.at;
        let mut clauses = Vec::new();
        let mut add = |written: bool, clause: Clause| {
            if written {
                clauses.push(clause);
            }
        };
        add(one.signed_in, Clause::SignedIn);
        add(one.assigned, Clause::Assigned);
        add(!one.users.is_empty(), Clause::Users(self.persons(&one.users)));
        add(!one.teams.is_empty(), Clause::Teams(self.team_bits(&one.teams, at)));
        add(!one.roles.is_empty(), Clause::Roles(self.role_bits(&one.roles, at)));
        add(!one.services.is_empty(), {
            Clause::Services(self.ids("service", &one.services, at, |names, name| names.services.find(name.as_str())))
        });
        add(!one.permissions.is_empty(), {
            Clause::Permissions(self.permission_bits(&one.permissions, at))
        });
        add(!one.all_permissions.is_empty(), {
            Clause::AllPermissions(self.permission_bits(&one.all_permissions, at))
        });
        add(!one.all_roles.is_empty(), Clause::AllRoles(self.role_bits(&one.all_roles, at)));
        add(!one.idps.is_empty(), {
            Clause::Idps(self.ids("idp", &one.idps, at, |names, name| names.providers.find(name.as_str())))
        });
        add(!one.directories.is_empty(), {
            Clause::Directories(self.ids("directory", &one.directories, at, |names, name| names.providers.find(name.as_str())))
        });
        add(!one.email_domains.is_empty(), {
            let domains = one
                .email_domains
                .iter()
                .map(|domain| self.names.domains.intern(domain.to_ascii_lowercase()));
            Clause::EmailDomains(domains.collect())
        });
        add(!one.groups.is_empty(), Clause::Groups(self.groups(&one.groups, at)));
        for (name, values) in &one.attributes {
            let values = values.iter().map(|value| self.names.attributes.intern(attribute_key(name, value)));
            add(true, Clause::Attribute(values.collect()));
        }
        add(!one.signin.is_empty(), Clause::SignIn(one.signin.clone()));
        add(one.mfa, Clause::Mfa);
        if let Some(age) = one.max_age {
            add(true, Clause::MaxAge(age));
        }
        add(
            !one.ip_pattern.is_empty(),
            Clause::IpPattern(self.pattern_bits(&one.ip_pattern, at)),
        );
        add(!one.window.is_empty(), {
            let windows: Bits<Window> = self.ids("window", &one.window, at, |names, name| names.windows.find(name.as_str()));
            Clause::Window(windows.iter().collect())
        });
        add(!one.any_of.is_empty(), {
            Clause::AnyOf(one.any_of.iter().map(|alternative| self.requirement(alternative)).collect())
        });
        Requirement { clauses }
    }

    fn persons(&mut self, users: &[PersonMatch]) -> Bits<Person> {
        users
            .iter()
            .map(|user| match user {
                PersonMatch::Email(email) => self.names.persons_by_email.intern(email.canonical()),
                PersonMatch::Id(id) => {
                    // An address never looks like an identifier, so one set of numbers serves both.
                    let number = self.names.persons_by_email.intern(id.to_string());
                    self.names.persons_by_id.insert(*id, number);
                    number
                }
            })
            .collect()
    }

    fn groups(&mut self, groups: &[GroupMatch], at: &Place) -> Bits<Group> {
        let mut bits = Bits::default();
        for group in groups {
            let Some(source) = self.names.providers.find(group.source.as_str()) else {
                self.unknown.push(UnknownName {
                    kind: "idp or directory",
                    name: group.source.to_string(),
                    at: at.clone(),
                });
                continue;
            };
            let next = Id::of(self.names.group_list.len());
            let id = *self.names.groups.entry((source.index(), fold_group(&group.group))).or_insert(next);
            if id == next {
                self.names.group_list.push(group.clone());
            }
            bits.insert(id);
        }
        bits
    }
}

/// Applications by host, the longest prefix first.
fn hosts(applications: &[Application]) -> (HostTable, HostTable) {
    let mut exact = HostTable::new();
    let mut wild = HostTable::new();
    for (number, one) in applications.iter().enumerate() {
        let prefix: Vec<String> = one
            .path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(str::to_owned)
            .collect();
        for host in &one.hosts {
            let (table, name) = match host {
                HostPattern::Exact(name) => (&mut exact, name),
                HostPattern::Under(name) => (&mut wild, name),
            };
            let apps = table.entry(name.to_ascii_lowercase().into()).or_default();
            apps.push((prefix.clone(), Id::of(number)));
            apps.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
    }
    (exact, wild)
}

/// Adds the rules of one pattern that speak about a method: those naming it, else those naming none.
pub(super) fn speaking(application: &Application, rules: &[usize], method: &Method, out: &mut Vec<usize>) {
    let is = |rule: usize, fits: fn(&Rule, &Method) -> bool| application.rules.get(rule).is_some_and(|rule| fits(rule, method));
    let before = out.len();
    out.extend(rules.iter().filter(|&&rule| is(rule, Rule::names_method)));
    if out.len() == before {
        out.extend(rules.iter().filter(|&&rule| is(rule, |rule, _| rule.methods.is_empty())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::*;

    #[test]
    fn a_name_that_is_defined_nowhere_is_no_policy() {
        let mut company = company();
        company.ip_patterns.clear();
        company.guards.first_mut().unwrap().apps = vec![n("gone")];
        let unknown = PolicySet::compile(company).unwrap_err();
        let kinds: Vec<String> = unknown.iter().map(|one| format!("{} {}", one.kind, one.name)).collect();
        assert_eq!(kinds, ["app gone", "ip_pattern acme-sites", "ip_pattern acme-sites"]);
    }
}
