//! What one user has in one team.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::{ProjectId, UserId};
use super::name::{ApplicationName, IpPatternName, PermissionName, ProviderName, RoleName, TeamName};
use super::team::Level;

/// One user in one team. Names point at policy: a lost role, permission or application gives nothing; a lost IP pattern or provider denies.
///
/// It counts only while its IP pattern contains the client address and, if it names a provider, the session came through that provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Whose it is.
    pub user: UserId,
    /// In which team.
    pub team: TeamName,
    /// Team roles held.
    pub roles: BTreeSet<RoleName>,
    /// Permissions per application; an application given without a tick has an empty set.
    pub permissions: BTreeMap<ApplicationName, BTreeSet<PermissionName>>,
    /// Level per project.
    pub projects: BTreeMap<ProjectId, Level>,
    /// The one IP pattern it is bound to; `None` was never bound. A name that policy no longer has contains nothing.
    pub ip_pattern: Option<IpPatternName>,
    /// The one identity provider it is bound to; `None` was never bound. A name that policy no longer has lets nobody through.
    pub provider: Option<ProviderName>,
}

/// What a membership gives and is bound to, before it is anybody's: what an invitation promises, and what a form about a membership says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// In which team.
    pub team: TeamName,
    /// Team roles.
    pub roles: BTreeSet<RoleName>,
    /// Permissions per application; an application given without a tick has an empty set.
    pub permissions: BTreeMap<ApplicationName, BTreeSet<PermissionName>>,
    /// Level per project; `none` is not written.
    pub projects: BTreeMap<ProjectId, Level>,
    /// The one IP pattern it is bound to.
    pub ip_pattern: Option<IpPatternName>,
    /// The one identity provider it is bound to.
    pub provider: Option<ProviderName>,
}

/// What "Copy from…" takes from another member: never roles, provider or IP pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Levels in projects.
    pub projects: bool,
    /// Permissions, with the applications.
    pub applications: bool,
}

impl Offer {
    /// One that gives nothing and is bound to nothing.
    #[must_use]
    pub const fn nothing(team: TeamName) -> Self {
        Self {
            team,
            roles: BTreeSet::new(),
            permissions: BTreeMap::new(),
            projects: BTreeMap::new(),
            ip_pattern: None,
            provider: None,
        }
    }

    /// The same as somebody's.
    #[must_use]
    pub fn to(self, user: UserId) -> Membership {
        let Self {
            team,
            roles,
            permissions,
            projects,
            ip_pattern,
            provider,
        } = self;
        Membership {
            user,
            team,
            roles,
            permissions,
            projects,
            ip_pattern,
            provider,
        }
    }

    /// The same with what is copied of another member in the place of its own.
    #[must_use]
    pub fn copying(mut self, from: &Self, what: Copied) -> Self {
        if what.projects {
            self.projects.clone_from(&from.projects);
        }
        if what.applications {
            self.permissions.clone_from(&from.permissions);
        }
        self
    }
}

impl Membership {
    /// What it gives and is bound to.
    #[must_use]
    pub fn offer(&self) -> Offer {
        Offer {
            team: self.team.clone(),
            roles: self.roles.clone(),
            permissions: self.permissions.clone(),
            projects: self.projects.clone(),
            ip_pattern: self.ip_pattern.clone(),
            provider: self.provider.clone(),
        }
    }

    /// A membership that gives nothing and is bound to nothing.
    #[must_use]
    pub fn plain(user: UserId, team: TeamName) -> Self {
        Offer::nothing(team).to(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_takes_what_was_asked_for_and_never_roles_provider_or_pattern() {
        let named = |text: &str| text.parse().unwrap();
        let mut from = Offer::nothing(TeamName::main());
        from.roles.insert("team-data-admin".parse().unwrap());
        from.ip_pattern = Some("office".parse().unwrap());
        from.provider = Some("acme-okta".parse().unwrap());
        from.permissions.insert(named("eln"), BTreeSet::from(["dq".parse().unwrap()]));
        from.projects.insert(ProjectId::from_number(1), Level::Member);
        let mut own = Offer::nothing(TeamName::main());
        own.permissions.insert(named("registry"), BTreeSet::new());
        for (projects, applications) in [(false, false), (true, false), (false, true), (true, true)] {
            let made = own.clone().copying(&from, Copied { projects, applications });
            assert_eq!((&made.roles, &made.ip_pattern, &made.provider), (&own.roles, &None, &None));
            assert_eq!(made.projects, if projects { from.projects.clone() } else { BTreeMap::new() });
            let expected = if applications { &from } else { &own };
            assert_eq!(made.permissions, expected.permissions);
        }
    }
}
