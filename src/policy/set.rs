//! The immutable whole that decides: definitions, and the tables made of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Timestamp;
use crate::model::name::{
    ApplicationName, IpPatternName, LimitName, PermissionName, ProviderName, RoleName, ServiceName, TeamName, WindowName,
};
use crate::model::role::{Permission, SignInMethod};

use super::addresses::AddressBook;
use super::application::{Application, Guard};
use super::condition::GroupMatch;
use super::definitions::{Definitions, Generation, IpPattern, Limit, Provider, ProviderKind, Role, Service, SignInRules, Team, Window};
use super::facts::{Host, Reading};
use super::pattern::PathPattern;
use super::require::{Attribute, Domain, Group, PermissionKey, Person, Requirement};
use super::table::{Bits, Id, Numbers};
use super::trie::Trie;

/// The immutable whole: definitions, and the tables made of them. Swapped as one piece.
#[derive(Debug)]
pub struct PolicySet {
    pub(super) definitions: Definitions,
    /// The generation as logs and headers show it: every request does.
    pub(super) shown_generation: Arc<str>,
    pub(super) names: Names,
    pub(super) addresses: AddressBook,
    pub(super) hosts: HostTable,
    pub(super) wild_hosts: HostTable,
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
    /// Whether what some role needs names roles or permissions.
    pub(super) roles_read_roles: bool,
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
pub(super) struct Gate(pub(super) Bits<IpPattern>);

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
    pub(super) idle: Duration,
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

    /// The same, as logs and headers show it.
    #[must_use]
    pub const fn shown_generation(&self) -> &Arc<str> {
        &self.shown_generation
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

/// Applications of a host, the longest prefix first.
pub(super) type HostTable = HashMap<Arc<str>, Vec<(Vec<String>, Id<Application>)>>;
