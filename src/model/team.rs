//! What team administrators keep: projects, the level a member has in one, groups.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::{GroupId, ProjectId, UserId};
use super::name::{PersonName, TeamName};
use super::role::words;

words!(
    /// A member's level in a project. The higher includes the lower.
    Level {
        /// No access.
        None = "none",
        /// May look.
        Guest = "guest",
        /// May work.
        Member = "member",
    }
);

/// What the store knows of a team: its name comes from policy, its seats are counted here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Its name in policy.
    pub name: TeamName,
    /// How many memberships it has.
    pub seats_taken: u32,
}

/// A project of a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its identifier.
    pub id: ProjectId,
    /// The team it belongs to.
    pub team: TeamName,
    /// What people call it; upstreams are told this.
    pub name: PersonName,
}

/// A named set of a team's members that may carry project levels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its identifier.
    pub id: GroupId,
    /// The team it belongs to.
    pub team: TeamName,
    /// What people call it.
    pub name: PersonName,
    /// Who is in it.
    pub members: BTreeSet<UserId>,
    /// Levels its members have through it.
    pub projects: BTreeMap<ProjectId, Level>,
}

/// A level in a project by the project's name, as upstreams are told it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProjectLevel {
    /// The team the project belongs to: it counts only while the membership there does.
    pub team: TeamName,
    /// The project's name.
    pub project: String,
    /// The level, own and through groups, whichever is higher.
    pub level: Level,
}
