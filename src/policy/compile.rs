//! The compiled tables: what `decide` asks instead of names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::base::time::Timestamp;
use crate::model::name::{
    ApplicationName, IpPatternName, LimitName, PermissionName, ProviderName, RoleName, ServiceName, TeamName, WindowName,
};
use crate::model::role::{Permission, SignInMethod};

use super::addresses::AddressBook;
use super::application::{Application, Guard, HostPattern, MfaRule, Rule};
use super::condition::{Condition, GroupMatch, PersonMatch};
use super::definitions::{
    Definitions, Generation, Grant, IpPattern, Limit, Provider, ProviderKind, Role, Service, SignInRules, Team, Window,
};
use super::facts::{Host, Reading};
use super::pattern::PathPattern;
use super::place::Place;
use super::require::{Attribute, Clause, Domain, Group, PermissionKey, Person, Requirement, UnknownName, attribute_key, fold_group};
use super::table::{Bits, Id, Numbers};
use super::trie::Trie;

/// The immutable whole: definitions, and the tables made of them. Swapped as one piece.
#[derive(Debug)]
pub struct PolicySet {
    definitions: Definitions,
    pub(super) names: Names,
    pub(super) addresses: AddressBook,
    hosts: HostTable,
    wild_hosts: HostTable,
    pub(super) applications: Vec<CompiledApplication>,
    pub(super) guards: Vec<CompiledGuard>,
    pub(super) roles: Vec<CompiledRole>,
    pub(super) teams: Vec<Gate>,
    pub(super) services: Vec<CompiledService>,
    pub(super) grants: Vec<CompiledGrant>,
    /// For each permission, those that come with it, itself included.
    pub(super) implied: Vec<Bits<PermissionKey>>,
    /// Ages at which what somebody holds may change, ascending: the `max_age` of grants and roles.
    pub(super) held_ages: Vec<Duration>,
    /// Whether what somebody holds depends on the time of day.
    pub(super) held_by_window: bool,
    pub(super) user_role: Id<Role>,
}

/// Every name and its number.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) applications: Numbers<ApplicationName, Application>,
    pub(super) roles: Numbers<RoleName, Role>,
    pub(super) teams: Numbers<TeamName, Team>,
    pub(super) patterns: Numbers<IpPatternName, IpPattern>,
    pub(super) windows: Numbers<WindowName, Window>,
    pub(super) limits: Numbers<LimitName, Limit>,
    pub(super) services: Numbers<ServiceName, Service>,
    pub(super) providers: Numbers<ProviderName, Provider>,
    pub(super) permissions: HashMap<(usize, PermissionName), Id<PermissionKey>>,
    pub(super) permission_list: Vec<Permission>,
    pub(super) persons_by_email: Numbers<String, Person>,
    pub(super) persons_by_id: HashMap<crate::model::id::UserId, Id<Person>>,
    pub(super) domains: Numbers<String, Domain>,
    pub(super) groups: HashMap<(usize, String), Id<Group>>,
    pub(super) group_list: Vec<GroupMatch>,
    pub(super) attributes: Numbers<String, Attribute>,
}

/// Patterns that an address must be in one of; none named is no bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Bits<IpPattern>);

impl Gate {
    pub(super) fn lets_in(&self, inside: &Bits<IpPattern>) -> bool {
        self.0.is_empty() || inside.intersects(&self.0)
    }
}

#[derive(Debug)]
pub(super) struct CompiledApplication {
    pub(super) require: Requirement,
    pub(super) gate: Gate,
    pub(super) trie: Trie,
    /// Rules by number of the pattern in the trie.
    pub(super) rules_of_pattern: Vec<Vec<usize>>,
    /// For each rule, what it needs in addition.
    pub(super) requires: Vec<Option<Requirement>>,
    pub(super) idps: Bits<Provider>,
    pub(super) early_guards: Vec<usize>,
    pub(super) late_guards: Vec<usize>,
    pub(super) max_age: Duration,
    pub(super) mfa: bool,
}

#[derive(Debug)]
pub(super) struct CompiledGuard {
    pub(super) paths: Vec<PathPattern>,
    pub(super) paths_folded: Vec<PathPattern>,
    pub(super) when: Option<Requirement>,
    pub(super) unless: Option<Requirement>,
}

#[derive(Debug)]
pub(super) struct CompiledRole {
    pub(super) includes: Bits<Role>,
    pub(super) permissions: Bits<PermissionKey>,
    pub(super) require: Option<Requirement>,
}

#[derive(Debug)]
pub(super) struct CompiledService {
    pub(super) roles: Bits<Role>,
    pub(super) permissions: Bits<PermissionKey>,
    pub(super) apps: Bits<Application>,
    /// From nowhere if empty, unlike a [`Gate`].
    pub(super) patterns: Bits<IpPattern>,
}

#[derive(Debug)]
pub(super) struct CompiledGrant {
    pub(super) when: Requirement,
    pub(super) roles: Bits<Role>,
    pub(super) teams: Bits<Team>,
    /// Teams that the condition itself names, at its top.
    pub(super) teams_read: Bits<Team>,
    pub(super) permissions: Bits<PermissionKey>,
    pub(super) apps: Bits<Application>,
}

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

    /// What the files mean, in names.
    #[must_use]
    pub const fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Which state of the files this is.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.definitions.generation
    }

    /// The house rules of signing in.
    #[must_use]
    pub const fn signin(&self) -> &SignInRules {
        &self.definitions.signin
    }

    /// Every application.
    #[must_use]
    pub fn applications(&self) -> &[Application] {
        &self.definitions.applications
    }

    /// The application of that name, present or former.
    #[must_use]
    pub fn application(&self, name: &ApplicationName) -> Option<&Application> {
        self.names.applications.find(name.as_str()).and_then(|id| self.application_at(id))
    }

    /// The role of that name, present or former.
    #[must_use]
    pub fn role(&self, name: &RoleName) -> Option<&Role> {
        self.names.roles.find(name.as_str()).and_then(|id| self.role_at(id))
    }

    /// The team of that name, present or former.
    #[must_use]
    pub fn team(&self, name: &TeamName) -> Option<&Team> {
        self.names
            .teams
            .find(name.as_str())
            .and_then(|id| self.definitions.teams.get(id.index()))
    }

    /// The IP pattern of that name, present or former.
    #[must_use]
    pub fn ip_pattern(&self, name: &IpPatternName) -> Option<&IpPattern> {
        self.names
            .patterns
            .find(name.as_str())
            .and_then(|id| self.definitions.ip_patterns.get(id.index()))
    }

    /// The service of that name, present or former.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.names
            .services
            .find(name.as_str())
            .and_then(|id| self.definitions.services.get(id.index()))
    }

    /// The provider or directory of that name, present or former.
    #[must_use]
    pub fn provider(&self, name: &ProviderName) -> Option<&Provider> {
        self.names
            .providers
            .find(name.as_str())
            .and_then(|id| self.definitions.providers.get(id.index()))
    }

    /// The rate limit of that name, present or former.
    #[must_use]
    pub fn limit(&self, name: &LimitName) -> Option<&Limit> {
        self.names
            .limits
            .find(name.as_str())
            .and_then(|id| self.definitions.limits.get(id.index()))
    }

    /// Whether any application has this host.
    #[must_use]
    pub fn knows_host(&self, host: &Host) -> bool {
        self.apps_on(host).is_some()
    }

    /// The application that lies at that place of a host, by the longest prefix.
    pub(super) fn find_application(&self, host: &Host, reading: Reading<'_>) -> Option<Id<Application>> {
        self.apps_on(host)?
            .iter()
            .find(|(prefix, application)| {
                let folded = self.application_at(*application).is_some_and(|one| one.case_insensitive);
                let mut segments = reading.segments();
                prefix.iter().all(|part| {
                    segments.next().is_some_and(|segment| {
                        if folded {
                            segment.to_lowercase() == part.to_lowercase()
                        } else {
                            segment == part
                        }
                    })
                })
            })
            .map(|(_, application)| *application)
    }

    fn apps_on(&self, host: &Host) -> Option<&Vec<(Vec<String>, Id<Application>)>> {
        self.hosts
            .get(host.as_str())
            .or_else(|| host.parent().and_then(|parent| self.wild_hosts.get(parent)))
    }

    pub(super) fn application_at(&self, id: Id<Application>) -> Option<&Application> {
        self.definitions.applications.get(id.index())
    }

    pub(super) fn role_at(&self, id: Id<Role>) -> Option<&Role> {
        self.definitions.roles.get(id.index())
    }

    pub(super) fn team_at(&self, id: Id<Team>) -> Option<&Team> {
        self.definitions.teams.get(id.index())
    }

    pub(super) fn guard_at(&self, number: usize) -> Option<(&Guard, &CompiledGuard)> {
        self.definitions.guards.get(number).zip(self.guards.get(number))
    }

    pub(super) fn window_contains(&self, id: Id<Window>, now: Timestamp) -> bool {
        self.definitions.windows.get(id.index()).is_some_and(|window| window.contains(now))
    }

    pub(super) fn window_name(&self, id: Id<Window>) -> Option<WindowName> {
        self.definitions.windows.get(id.index()).map(|window| window.name.clone())
    }

    pub(super) fn roles_of(&self, bits: &Bits<Role>) -> Vec<RoleName> {
        bits.iter()
            .filter_map(|id| self.role_at(id))
            .map(|role| role.name.clone())
            .collect()
    }

    pub(super) fn teams_of(&self, bits: &Bits<Team>) -> Vec<TeamName> {
        bits.iter()
            .filter_map(|id| self.team_at(id))
            .map(|team| team.name.clone())
            .collect()
    }

    pub(super) fn services_of(&self, bits: &Bits<Service>) -> Vec<ServiceName> {
        bits.iter()
            .filter_map(|id| self.definitions.services.get(id.index()))
            .map(|service| service.name.clone())
            .collect()
    }

    pub(super) fn providers_of(&self, bits: &Bits<Provider>) -> Vec<ProviderName> {
        bits.iter()
            .filter_map(|id| self.definitions.providers.get(id.index()))
            .map(|provider| provider.name.clone())
            .collect()
    }

    pub(super) fn patterns_of(&self, bits: &Bits<IpPattern>) -> Vec<IpPatternName> {
        bits.iter()
            .filter_map(|id| self.definitions.ip_patterns.get(id.index()))
            .map(|pattern| pattern.name.clone())
            .collect()
    }

    pub(super) fn permissions_of(&self, bits: &Bits<PermissionKey>) -> Vec<Permission> {
        bits.iter()
            .filter_map(|id| self.names.permission_list.get(id.index()))
            .cloned()
            .collect()
    }

    pub(super) fn groups_of(&self, bits: &Bits<Group>) -> Vec<GroupMatch> {
        bits.iter()
            .filter_map(|id| self.names.group_list.get(id.index()))
            .cloned()
            .collect()
    }

    /// The methods by which one comes in through these providers.
    pub(super) fn methods_of(&self, providers: &[ProviderName]) -> Vec<SignInMethod> {
        let methods: BTreeSet<SignInMethod> = providers
            .iter()
            .filter_map(|name| self.provider(name))
            .map(|provider| match provider.kind {
                ProviderKind::Saml => SignInMethod::Saml,
                ProviderKind::Ldap => SignInMethod::Ldap,
            })
            .collect();
        methods.into_iter().collect()
    }

    pub(super) fn permission_id(&self, application: &ApplicationName, name: &PermissionName) -> Option<Id<PermissionKey>> {
        let application = self.names.applications.find(application.as_str())?;
        self.names.permissions.get(&(application.index(), name.clone())).copied()
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
        let held_by_window = held_conditions().any(|condition| condition.reads().window);
        let user_role = self.names.roles.find("user").unwrap_or(Id::of(0));
        PolicySet {
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

type HostTable = HashMap<Arc<str>, Vec<(Vec<String>, Id<Application>)>>;

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
