//! Conditions compiled to sets of bits, and what of one is unmet.

use std::time::Duration;

use crate::base::time::Timestamp;
use crate::model::role::SignInMethod;

use super::application::Application;
use super::decision::Reason;
use super::definitions::{IpPattern, Provider, Role, Service, Team, Window};
use super::set::PolicySet;
use super::table::{Bits, Id};

/// Stands for a [`super::condition::PersonMatch`] that some condition names.
#[derive(Debug)]
pub(super) struct Person;
/// Stands for a mail domain that some condition names.
#[derive(Debug)]
pub(super) struct Domain;
/// Stands for a group of a source that some condition names.
#[derive(Debug)]
pub(super) struct Group;
/// Stands for an attribute with a value that some condition names.
#[derive(Debug)]
pub(super) struct Attribute;
/// Stands for a permission of an application.
#[derive(Debug)]
pub(super) struct PermissionKey;

/// A condition, compiled. All clauses must hold; they stand in the order of the documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct Requirement {
    pub(super) clauses: Vec<Clause>,
}

#[derive(Clone, Debug)]
pub(super) enum Clause {
    SignedIn,
    Assigned,
    Users(Bits<Person>),
    Teams(Bits<Team>),
    Roles(Bits<Role>),
    AllRoles(Bits<Role>),
    Services(Bits<Service>),
    Permissions(Bits<PermissionKey>),
    AllPermissions(Bits<PermissionKey>),
    Idps(Bits<Provider>),
    Directories(Bits<Provider>),
    EmailDomains(Bits<Domain>),
    Groups(Bits<Group>),
    /// One attribute's values.
    Attribute(Bits<Attribute>),
    SignIn(Vec<SignInMethod>),
    Mfa,
    MaxAge(Duration),
    IpPattern(Bits<IpPattern>),
    Window(Vec<Id<Window>>),
    AnyOf(Vec<Requirement>),
}

/// How and when whoever asks came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    pub(super) method: SignInMethod,
    pub(super) provider: Option<Id<Provider>>,
    /// Last full sign-in; a service has none.
    pub(super) at: Option<Timestamp>,
    pub(super) mfa: bool,
}

/// What conditions look at of whoever asks, as bits.
#[derive(Debug, Default)]
pub(super) struct Traits {
    pub(super) persons: Bits<Person>,
    pub(super) domains: Bits<Domain>,
    pub(super) groups: Bits<Group>,
    pub(super) attributes: Bits<Attribute>,
    pub(super) service: Option<Id<Service>>,
    pub(super) teams: Bits<Team>,
    pub(super) roles: Bits<Role>,
    pub(super) permissions: Bits<PermissionKey>,
    pub(super) apps: Bits<Application>,
}

/// Whoever asks, for a condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) traits: &'a Traits,
    pub(super) presence: Presence,
}

/// Everything a condition can look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) policies: &'a PolicySet,
    pub(super) inside: &'a Bits<IpPattern>,
    pub(super) now: Timestamp,
    pub(super) rested: Duration,
    pub(super) application: Option<Id<Application>>,
    /// `None`: it is not known who asks.
    pub(super) subject: Option<Subject<'a>>,
}

impl Requirement {
    pub(super) fn holds(&self, scene: &Scene<'_>) -> bool {
        self.clauses.iter().all(|clause| clause.holds(scene))
    }

    pub(super) fn first_unmet(&self, scene: &Scene<'_>) -> Option<&Clause> {
        self.clauses.iter().find(|clause| !clause.holds(scene))
    }
}

impl Clause {
    /// Its place in the documentation.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::SignedIn => 0,
            Self::Assigned => 1,
            Self::Users(_) => 2,
            Self::Teams(_) => 3,
            Self::Roles(_) => 4,
            Self::Services(_) => 5,
            Self::Permissions(_) => 6,
            Self::AllPermissions(_) => 7,
            Self::AllRoles(_) => 8,
            Self::Idps(_) => 9,
            Self::Directories(_) => 10,
            Self::EmailDomains(_) => 11,
            Self::Groups(_) => 12,
            Self::Attribute(_) => 13,
            Self::SignIn(_) => 14,
            Self::Mfa => 15,
            Self::MaxAge(_) => 16,
            Self::IpPattern(_) => 17,
            Self::Window(_) => 18,
            Self::AnyOf(_) => 19,
        }
    }

    pub(super) fn holds(&self, scene: &Scene<'_>) -> bool {
        match self {
            Self::IpPattern(patterns) => scene.inside.intersects(patterns),
            Self::Window(windows) => windows.iter().any(|&window| scene.policies.window_contains(window, scene.now)),
            Self::AnyOf(alternatives) => alternatives.iter().any(|one| one.holds(scene)),
            _ => scene.subject.is_some_and(|subject| self.holds_of(scene, subject)),
        }
    }

    fn holds_of(&self, scene: &Scene<'_>, Subject { traits, presence }: Subject<'_>) -> bool {
        let provider_in = |providers: &Bits<Provider>| presence.provider.is_some_and(|provider| providers.contains(provider));
        match self {
            Self::SignedIn => true,
            Self::Assigned => scene.application.is_some_and(|application| traits.apps.contains(application)),
            Self::Users(persons) => traits.persons.intersects(persons),
            Self::Teams(teams) => traits.teams.intersects(teams),
            Self::Roles(roles) => traits.roles.intersects(roles),
            Self::AllRoles(roles) => traits.roles.contains_all(roles),
            Self::Services(services) => traits.service.is_some_and(|service| services.contains(service)),
            Self::Permissions(permissions) => traits.permissions.intersects(permissions),
            Self::AllPermissions(permissions) => traits.permissions.contains_all(permissions),
            Self::Idps(providers) | Self::Directories(providers) => provider_in(providers),
            Self::EmailDomains(domains) => traits.domains.intersects(domains),
            Self::Groups(groups) => traits.groups.intersects(groups),
            Self::Attribute(values) => traits.attributes.intersects(values),
            Self::SignIn(methods) => methods.contains(&presence.method),
            Self::Mfa => presence.mfa,
            Self::MaxAge(age) => presence.at.is_some_and(|at| scene.now.since(at) < *age),
            Self::IpPattern(_) | Self::Window(_) | Self::AnyOf(_) => self.holds(scene),
        }
    }

    /// Why a request is denied for want of this.
    pub(super) fn reason(&self, policies: &PolicySet, scene: &Scene<'_>) -> Reason<'static> {
        match self {
            Self::SignedIn => Reason::NoSession,
            Self::Assigned => Reason::NotAssigned,
            Self::Users(_) | Self::EmailDomains(_) | Self::Attribute(_) => Reason::ConditionMissing,
            Self::Teams(teams) => Reason::TeamMissing(policies.teams_of(teams)),
            Self::Roles(roles) => Reason::RoleMissing(policies.roles_of(roles)),
            Self::AllRoles(roles) => {
                let held = scene.subject.map(|subject| &subject.traits.roles);
                let lacking = roles.iter().filter(|&role| !held.is_some_and(|held| held.contains(role))).collect();
                Reason::RoleMissing(policies.roles_of(&lacking))
            }
            Self::Services(services) => Reason::ServiceMissing(policies.services_of(services)),
            Self::Permissions(permissions) => Reason::PermissionMissing(policies.permissions_of(permissions)),
            Self::AllPermissions(permissions) => {
                let held = scene.subject.map(|subject| &subject.traits.permissions);
                let lacking = permissions
                    .iter()
                    .filter(|&one| !held.is_some_and(|held| held.contains(one)))
                    .collect();
                Reason::PermissionMissing(policies.permissions_of(&lacking))
            }
            Self::Idps(_) | Self::Directories(_) => Reason::Method { accepted: Vec::new() },
            Self::SignIn(methods) => Reason::Method { accepted: methods.clone() },
            Self::Groups(groups) => Reason::GroupMissing(policies.groups_of(groups)),
            Self::Mfa => Reason::MfaNeeded,
            Self::MaxAge(max_age) => Reason::SessionTooOld { max_age: *max_age },
            Self::IpPattern(patterns) => Reason::IpRule(policies.patterns_of(patterns)),
            Self::Window(windows) => Reason::OutsideWindow(windows.iter().filter_map(|&window| policies.window_name(window)).collect()),
            Self::AnyOf(alternatives) => {
                // One code for all alternatives says more than "some condition".
                let mut reasons = alternatives
                    .iter()
                    .filter_map(|one| one.first_unmet(scene))
                    .map(|clause| clause.reason(policies, scene));
                match reasons.next() {
                    Some(first) if reasons.all(|other| other == first) => first,
                    _ => Reason::ConditionMissing,
                }
            }
        }
    }
}

/// A name that the loader should have refused: nothing is defined under it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: there is no {kind} `{name}`")]
pub struct UnknownName {
    /// What it should be.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// Where it is used.
    pub at: super::place::Place,
}

/// How one group compares with another: without case, and distinguished names (`cn=ops,ou=groups`) without blanks around their parts.
pub(super) fn fold_group(group: &str) -> String {
    let folded = group.trim().to_lowercase();
    if !folded.contains('=') {
        return folded;
    }
    // RFC 4514: parts are parted by `,`, which `\` escapes, and quotes (RFC 2253) enclose.
    let mut out = String::with_capacity(folded.len());
    let mut part = String::new();
    let mut characters = folded.chars();
    let mut quoted = false;
    let finish = |part: &mut String, out: &mut String| {
        let (name, value) = part.split_once('=').unwrap_or(("", part.as_str()));
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name.trim());
        out.push('=');
        out.push_str(value.trim());
        part.clear();
    };
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                part.push(c);
                part.extend(characters.next());
            }
            '"' => quoted = !quoted,
            ',' | ';' if !quoted => finish(&mut part, &mut out),
            _ => part.push(c),
        }
    }
    finish(&mut part, &mut out);
    out
}

/// Attributes compare exactly; the separator cannot be in either, since neither TOML nor SAML carries it.
pub(super) fn attribute_key(name: &str, value: &str) -> String {
    format!("{name}\0{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_compare_as_directories_do() {
        for (name, one, two, same) in [
            ("case", "DQ-Managers", "dq-managers", true),
            (
                "blanks",
                "CN=Ops, OU=Groups,DC=example,DC=com",
                "cn=ops,ou=groups,dc=example,dc=com",
                true,
            ),
            ("blanks about equals", "cn = ops , ou = groups", "cn=ops,ou=groups", true),
            ("escaped comma", "cn=a\\,b,ou=x", "cn=a,b,ou=x", false),
            ("escaped comma alike", "cn=a\\,b, ou=x", "cn=a\\,b,ou=x", true),
            ("another order is another name", "ou=x,cn=a", "cn=a,ou=x", false),
            ("blank inside", "cn=a b", "cn=ab", false),
        ] {
            assert_eq!(fold_group(one) == fold_group(two), same, "{name}");
        }
    }
}
