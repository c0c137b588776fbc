//! What a person holds, from this address, now: memberships that count, grants, roles with what they include.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::Timestamp;
use crate::model::id::SessionId;
use crate::model::membership::Membership;
use crate::model::name::{ApplicationName, IpPatternName, ProviderName, RoleName, TeamName};
use crate::model::principal::{Identity, Service, SignedIn};
use crate::model::role::SignInMethod;
use crate::model::team::ProjectLevel;

use super::addresses::AddressClass;
use super::application::Application;
use super::definitions::{Generation, IpPattern, Provider, Role, Scope, Team};
use super::require::{PermissionKey, Presence, Scene, Subject, Traits, attribute_key, fold_group};
use super::set::PolicySet;
use super::table::{Bits, Id};

pub use super::held::{Held, Powers};

/// What came of looking at a person.
#[derive(Clone, Debug)]
pub(super) enum Looked {
    Holds(Arc<Held>),
    /// None of the memberships counts, but one would after signing in through one of these.
    WrongMethod(Vec<ProviderName>),
    /// None of the memberships counts from here.
    ShutOut(Vec<IpPatternName>),
}

/// Remembers what one session holds, until anything it rests on changes: session, user, policies, matching patterns, windows, ages.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Option<(Key, Looked)>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    generation: Generation,
    session: SessionId,
    revision: u64,
    class: AddressClass,
    /// Windows begin and end on the minute. Zero where none is read.
    minute: i64,
    /// How many of the ages that matter have passed.
    ages: usize,
}

impl Memo {
    /// Remembers nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(super) fn look(&self, policies: &PolicySet, identity: &Identity, class: AddressClass, now: Timestamp) -> Looked {
        let age = now.since(identity.signed_in.at);
        let key = Key {
            generation: policies.generation(),
            session: identity.session,
            revision: identity.revision,
            class,
            minute: if policies.held_by_window { now.as_secs().div_euclid(60) } else { 0 },
            ages: policies.held_ages.partition_point(|limit| *limit <= age),
        };
        let mut memo = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, looked)) = memo.as_ref().filter(|(known, _)| *known == key) {
            return looked.clone();
        }
        let looked = look(
            policies,
            identity,
            presence(policies, &identity.signed_in),
            policies.addresses.patterns(class),
            now,
        );
        *memo = Some((key, looked.clone()));
        looked
    }
}

/// How and when a person came in, in numbers.
pub(super) fn presence(policies: &PolicySet, signed_in: &SignedIn) -> Presence {
    Presence {
        method: signed_in.method,
        provider: signed_in
            .provider
            .as_ref()
            .and_then(|name| policies.names.providers.find(name.as_str())),
        at: Some(signed_in.at),
        mfa: signed_in.mfa,
    }
}

/// What a person holds who came in like `presence`.
pub(super) fn look(policies: &PolicySet, identity: &Identity, presence: Presence, inside: &Bits<IpPattern>, now: Timestamp) -> Looked {
    let (counting, shut): (Vec<&Membership>, Vec<&Membership>) = identity
        .memberships
        .iter()
        .partition(|one| pattern_holds(policies, one, inside) && provider_fits(policies, one, presence.provider));
    if counting.is_empty() && !shut.is_empty() {
        return none_counts(policies, &shut, inside);
    }
    let mut builder = Builder::new(policies, inside, now, presence);
    builder.shut = shut.iter().filter_map(|one| policies.names.teams.find(one.team.as_str())).collect();
    builder.identify(identity);
    builder.give_global_roles(&identity.roles);
    builder.give_role(policies.user_role, None);
    for membership in counting {
        builder.give_membership(membership, &identity.projects);
    }
    builder.give_grants();
    Looked::Holds(Arc::new(builder.build()))
}

/// What a service holds.
pub(super) fn look_at_service(
    policies: &PolicySet,
    service: &Service,
    presence: Presence,
    inside: &Bits<IpPattern>,
    now: Timestamp,
) -> Option<Arc<Held>> {
    let id = policies.names.services.find(service.name.as_str())?;
    let compiled = policies.services.get(id.index())?;
    let mut builder = Builder::new(policies, inside, now, presence);
    builder.traits.service = Some(id);
    for role in compiled.roles.iter() {
        if policies.role_at(role).is_some_and(|role| role.scope != Scope::Team) {
            builder.give_role(role, None);
        }
    }
    builder.permissions.insert_all(&compiled.permissions);
    builder.traits.apps.insert_all(&compiled.apps);
    builder.give_grants();
    Some(Arc::new(builder.build()))
}

/// How a service came in.
pub(super) const fn service_presence() -> Presence {
    Presence {
        method: SignInMethod::Service,
        provider: None,
        at: None,
        mfa: false,
    }
}

/// A pattern that policy no longer has contains nothing: losing a restriction must not widen.
fn pattern_holds(policies: &PolicySet, membership: &Membership, inside: &Bits<IpPattern>) -> bool {
    membership.ip_pattern.as_ref().is_none_or(|name| {
        policies
            .names
            .patterns
            .find(name.as_str())
            .is_some_and(|pattern| inside.contains(pattern))
    })
}

/// A provider that policy no longer has lets nobody through.
fn provider_fits(policies: &PolicySet, membership: &Membership, came_through: Option<Id<Provider>>) -> bool {
    membership.provider.as_ref().is_none_or(|name| {
        let bound = policies.names.providers.find(name.as_str());
        bound.is_some() && bound == came_through
    })
}

fn none_counts(policies: &PolicySet, shut: &[&Membership], inside: &Bits<IpPattern>) -> Looked {
    let providers: Vec<ProviderName> = shut
        .iter()
        .filter(|one| pattern_holds(policies, one, inside))
        .filter_map(|one| one.provider.clone())
        .filter(|name| policies.names.providers.find(name.as_str()).is_some())
        .collect();
    if providers.is_empty() {
        let patterns: BTreeSet<IpPatternName> = shut.iter().filter_map(|one| one.ip_pattern.clone()).collect();
        Looked::ShutOut(patterns.into_iter().collect())
    } else {
        Looked::WrongMethod(providers)
    }
}

struct Builder<'p> {
    policies: &'p PolicySet,
    inside: &'p Bits<IpPattern>,
    now: Timestamp,
    presence: Presence,
    /// What conditions see. Grants see it before any role is there, so their order cannot matter.
    traits: Traits,
    /// Teams in which there is a membership that does not count.
    shut: Bits<Team>,
    granted_teams: Bits<Team>,
    permissions: Bits<PermissionKey>,
    /// Roles given, and the team within which.
    given: Vec<(Id<Role>, Option<Id<Team>>)>,
    giving: Vec<(Id<Application>, Option<TeamName>)>,
    projects: Vec<ProjectLevel>,
}

impl<'p> Builder<'p> {
    fn new(policies: &'p PolicySet, inside: &'p Bits<IpPattern>, now: Timestamp, presence: Presence) -> Self {
        Self {
            policies,
            inside,
            now,
            presence,
            traits: Traits::default(),
            shut: Bits::default(),
            granted_teams: Bits::default(),
            permissions: Bits::default(),
            given: Vec::new(),
            giving: Vec::new(),
            projects: Vec::new(),
        }
    }

    fn identify(&mut self, identity: &Identity) {
        let names = &self.policies.names;
        self.traits.persons.extend(names.persons_by_id.get(&identity.user).copied());
        if let Some(email) = &identity.email {
            self.traits.persons.extend(names.persons_by_email.find(email.canonical().as_str()));
            self.traits.domains.extend(names.domains.find(email.domain().as_str()));
        }
        if let Some(source) = self.presence.provider {
            if !names.groups.is_empty() {
                let groups = identity.signed_in.groups.iter().map(|group| fold_group(group));
                let known = groups.filter_map(|group| names.groups.get(&(source.index(), group)).copied());
                self.traits.groups.extend(known);
            }
            if !names.attributes.is_empty() {
                for (name, values) in &identity.signed_in.attributes {
                    let known = values
                        .iter()
                        .filter_map(|value| names.attributes.find(attribute_key(name, value).as_str()));
                    self.traits.attributes.extend(known);
                }
            }
        }
    }

    fn team_is_open(&self, team: Id<Team>) -> bool {
        self.policies.teams.get(team.index()).is_some_and(|gate| gate.lets_in(self.inside))
    }

    fn scope(&self, role: Id<Role>) -> Option<Scope> {
        self.policies.role_at(role).map(|role| role.scope)
    }

    fn give_role(&mut self, role: Id<Role>, team: Option<Id<Team>>) {
        self.given.push((role, team));
    }

    /// Instance-wide roles of the console. A role that policy has made a team's or a service's since is inert.
    fn give_global_roles(&mut self, roles: &BTreeSet<RoleName>) {
        for name in roles {
            if let Some(role) = self.policies.names.roles.find(name.as_str())
                && self.scope(role) == Some(Scope::Global)
            {
                self.give_role(role, None);
            }
        }
    }

    fn give_membership(&mut self, membership: &Membership, projects: &[ProjectLevel]) {
        let Some(team) = self.policies.names.teams.find(membership.team.as_str()) else {
            return;
        };
        self.traits.teams.insert(team);
        if !self.team_is_open(team) {
            return;
        }
        for name in &membership.roles {
            if let Some(role) = self.policies.names.roles.find(name.as_str())
                && self.scope(role) == Some(Scope::Team)
            {
                self.give_role(role, Some(team));
            }
        }
        for (application, permissions) in &membership.permissions {
            if let Some(id) = self.policies.names.applications.find(application.as_str()) {
                self.give_application(id, Some(team));
                let known = permissions.iter().filter_map(|name| self.policies.permission_id(application, name));
                self.permissions.extend(known);
            }
        }
        self.projects
            .extend(projects.iter().filter(|one| one.team == membership.team).cloned());
    }

    fn give_application(&mut self, application: Id<Application>, team: Option<Id<Team>>) {
        self.traits.apps.insert(application);
        let team = team.and_then(|team| self.policies.team_at(team)).map(|team| team.name.clone());
        match self.giving.iter_mut().find(|(one, _)| *one == application) {
            None => self.giving.push((application, team)),
            // Several give it, so none is *the* team.
            Some((_, known)) if *known != team => *known = None,
            Some(_) => {}
        }
    }

    fn give_grants(&mut self) {
        // Grants see what memberships say, and not what other grants give.
        let mut apps = std::mem::take(&mut self.traits.apps);
        for grant in &self.policies.grants {
            if !grant.when.holds(&self.scene()) {
                continue;
            }
            let usable: Bits<Team> = grant.teams.iter().filter(|&team| !self.shut.contains(team)).collect();
            let names_teams = !grant.teams.is_empty();
            // Nothing of a team in which the person's own membership does not count.
            if names_teams && usable.is_empty() {
                continue;
            }
            self.granted_teams.insert_all(&usable);
            let open: Vec<Id<Team>> = if names_teams {
                usable.iter().filter(|&team| self.team_is_open(team)).collect()
            } else {
                let own = self.traits.teams.iter();
                own.filter(|&team| grant.teams_read.is_empty() || grant.teams_read.contains(team))
                    .filter(|&team| self.team_is_open(team))
                    .collect()
            };
            if names_teams && open.is_empty() {
                continue;
            }
            for role in grant.roles.iter() {
                match self.scope(role) {
                    Some(Scope::Global) => self.give_role(role, None),
                    Some(Scope::Team) => {
                        for &team in &open {
                            self.give_role(role, Some(team));
                        }
                    }
                    Some(Scope::Service) if self.traits.service.is_some() => self.give_role(role, None),
                    Some(Scope::Service) | None => {}
                }
            }
            self.permissions.insert_all(&grant.permissions);
            apps.insert_all(&grant.apps);
        }
        self.traits.apps = apps;
        self.traits.teams.insert_all(&self.granted_teams);
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            policies: self.policies,
            inside: self.inside,
            now: self.now,
            // What somebody holds does not hang on it.
            rested: Duration::ZERO,
            application: None,
            subject: Some(Subject {
                traits: &self.traits,
                presence: self.presence,
            }),
        }
    }

    fn build(mut self) -> Held {
        let policies = self.policies;
        let apps = std::mem::take(&mut self.traits.apps);
        let closed = loop {
            let mut closed = self.close_roles();
            let permissions = self.permissions_with(&closed.all);
            let grown = !(self.traits.roles.contains_all(&closed.all) && self.traits.permissions.contains_all(&permissions));
            self.traits.roles = std::mem::take(&mut closed.all);
            self.traits.permissions = permissions;
            // What a role needs may name other roles. To hold more never unmeets a condition, so this ends, and always in the same place.
            if !(grown && policies.roles_read_roles) {
                break closed;
            }
        };
        let mut applications: Vec<ApplicationName> = apps
            .iter()
            .filter_map(|id| policies.application_at(id))
            .map(|one| one.name.clone())
            .collect();
        applications.sort();
        let mut role_names = policies.roles_of(&self.traits.roles);
        role_names.sort();
        let mut teams = policies.teams_of(&self.traits.teams);
        teams.sort();
        let mut permission_names = policies.permissions_of(&self.traits.permissions);
        permission_names.sort();
        self.projects.sort();
        self.traits.apps = apps;
        Held {
            traits: self.traits,
            roles: role_names,
            roles_everywhere: closed.everywhere,
            roles_in: closed.in_team,
            teams,
            permissions: permission_names,
            applications,
            projects: self.projects,
            powers: closed.powers,
            giving: self.giving,
            told: Mutex::new(Vec::new()),
        }
    }

    /// Permissions given, those that roles carry, and all that come with either.
    fn permissions_with(&self, roles: &Bits<Role>) -> Bits<PermissionKey> {
        let mut direct = self.permissions.clone();
        for role in roles.iter() {
            if let Some(compiled) = self.policies.roles.get(role.index()) {
                direct.insert_all(&compiled.permissions);
            }
        }
        let mut all = Bits::default();
        for permission in direct.iter() {
            all.insert(permission);
            if let Some(implied) = self.policies.implied.get(permission.index()) {
                all.insert_all(implied);
            }
        }
        all
    }

    /// Roles given, with all they include; one whose `require` is unmet does not count, nor does what only it includes.
    fn close_roles(&self) -> Closed {
        let policies = self.policies;
        let scene = self.scene();
        let Closed {
            mut all,
            mut powers,
            mut everywhere,
            mut in_team,
        } = Closed::default();
        let mut places: Vec<Option<Id<Team>>> = Vec::new();
        for (_, place) in &self.given {
            if !places.contains(place) {
                places.push(*place);
            }
        }
        for place in places {
            let team = place.and_then(|team| policies.team_at(team));
            let mut held: Bits<Role> = Bits::default();
            let mut open: Vec<Id<Role>> = self.given.iter().filter(|(_, at)| *at == place).map(|(role, _)| *role).collect();
            while let Some(role) = open.pop() {
                let Some((written, compiled)) = policies.role_at(role).zip(policies.roles.get(role.index())) else {
                    continue;
                };
                let counts = compiled.require.as_ref().is_none_or(|require| require.holds(&scene))
                    && (written.scope != Scope::Service || self.traits.service.is_some());
                if held.contains(role) || !counts {
                    continue;
                }
                held.insert(role);
                open.extend(compiled.includes.iter());
                match team {
                    None => powers.everywhere.extend(written.admin.iter().copied()),
                    Some(team) => powers
                        .in_team
                        .entry(team.name.clone())
                        .or_default()
                        .extend(written.admin.iter().copied()),
                }
            }
            let mut names = policies.roles_of(&held);
            names.sort();
            match team {
                None => everywhere = names,
                Some(team) => {
                    in_team.insert(team.name.clone(), names);
                }
            }
            all.insert_all(&held);
        }
        Closed {
            all,
            powers,
            everywhere,
            in_team,
        }
    }
}

/// The roles that count, with what they include, and where they are held.
#[derive(Default)]
struct Closed {
    all: Bits<Role>,
    powers: Powers,
    everywhere: Vec<RoleName>,
    in_team: BTreeMap<TeamName, Vec<RoleName>>,
}

#[cfg(test)]
mod tests;
