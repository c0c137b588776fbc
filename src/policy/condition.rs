//! Conditions as written, in names: what must hold of a person, an address and a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::email::EmailAddress;
use crate::model::id::UserId;
use crate::model::name::{IpPatternName, ProviderName, RoleName, ServiceName, TeamName, WindowName};
use crate::model::role::{Permission, SignInMethod};

use super::place::Place;

/// One person, by verified address or by identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonMatch {
    /// `ada@lab.example`
    Email(EmailAddress),
    /// `id:u-…`
    Id(UserId),
}

/// A group that an identity provider or directory reported, written `source:group`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupMatch {
    /// The provider or directory.
    pub source: ProviderName,
    /// The group as that source calls it. Compared without case; distinguished names after parsing.
    pub group: String,
}

/// A condition. Keys that are set are ANDed, entries of a list are ORed; an empty list is a key that was not written.
///
/// There is no `not`: a condition that holds goes on holding when the person is given more. The laws rest on that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Where it is written.
    pub at: Place,
    /// There is a valid session or service credential.
    pub signed_in: bool,
    /// The person has been given this application.
    pub assigned: bool,
    /// One of these people.
    pub users: Vec<PersonMatch>,
    /// Member of one of these teams.
    pub teams: Vec<TeamName>,
    /// Holds one of these roles.
    pub roles: Vec<RoleName>,
    /// Holds all of these roles.
    pub all_roles: Vec<RoleName>,
    /// Is one of these services.
    pub services: Vec<ServiceName>,
    /// Holds one of these permissions.
    pub permissions: Vec<Permission>,
    /// Holds all of these permissions.
    pub all_permissions: Vec<Permission>,
    /// The session was made through one of these identity providers.
    pub idps: Vec<ProviderName>,
    /// The session was made against one of these directories.
    pub directories: Vec<ProviderName>,
    /// The verified address ends in one of these whole domains (lower case).
    pub email_domains: Vec<String>,
    /// One of these groups was reported.
    pub groups: Vec<GroupMatch>,
    /// Each attribute was reported with one of its values.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// How the session was made.
    pub signin: Vec<SignInMethod>,
    /// A second factor was shown.
    pub mfa: bool,
    /// The last full sign-in is younger than this.
    pub max_age: Option<Duration>,
    /// The client's address is in one of these patterns.
    pub ip_pattern: Vec<IpPatternName>,
    /// Now is inside one of these windows.
    pub window: Vec<WindowName>,
    /// One of these conditions holds.
    pub any_of: Vec<Condition>,
}

/// What a condition looks at, alternatives included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The client's address.
    pub address: bool,
    /// The time of day.
    pub window: bool,
    /// How old the sign-in is.
    pub age: bool,
    /// Whether a second factor was shown.
    pub mfa: bool,
    /// Roles or permissions.
    pub roles: bool,
    /// Anything else about who asks.
    pub subject: bool,
}

impl Reads {
    /// Whether it can be told without knowing who asks.
    #[must_use]
    pub const fn only_network_and_time(self) -> bool {
        !(self.age || self.mfa || self.roles || self.subject)
    }

    /// Either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            address: self.address || other.address,
            window: self.window || other.window,
            age: self.age || other.age,
            mfa: self.mfa || other.mfa,
            roles: self.roles || other.roles,
            subject: self.subject || other.subject,
        }
    }
}

impl Condition {
    /// Whether no key is set. The loader refuses such a one (E123); it would hold for everyone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                at: self.at.clone(),
                ..Self::default()
            }
    }

    /// Visits this condition and every alternative below it.
    pub fn walk<'c>(&'c self, visit: &mut impl FnMut(&'c Self)) {
        visit(self);
        for one in &self.any_of {
            one.walk(visit);
        }
    }

    /// What it looks at.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        self.walk(&mut |one| {
            reads = reads.and(Reads {
                address: !one.ip_pattern.is_empty(),
                window: !one.window.is_empty(),
                age: one.max_age.is_some(),
                mfa: one.mfa,
                roles: !(one.roles.is_empty() && one.all_roles.is_empty() && one.permissions.is_empty() && one.all_permissions.is_empty()),
                subject: one.signed_in
                    || one.assigned
                    || !(one.users.is_empty()
                        && one.teams.is_empty()
                        && one.services.is_empty()
                        && one.idps.is_empty()
                        && one.directories.is_empty()
                        && one.email_domains.is_empty()
                        && one.groups.is_empty()
                        && one.attributes.is_empty()
                        && one.signin.is_empty()),
            });
        });
        reads
    }
}
