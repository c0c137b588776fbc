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

impl Membership {
    /// A membership that gives nothing and is bound to nothing.
    #[must_use]
    pub fn plain(user: UserId, team: TeamName) -> Self {
        Self {
            user,
            team,
            roles: BTreeSet::new(),
            permissions: BTreeMap::new(),
            projects: BTreeMap::new(),
            ip_pattern: None,
            provider: None,
        }
    }
}
