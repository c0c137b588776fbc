//! What somebody holds: teams, roles, permissions, applications, projects, and powers in our own console.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::model::name::{ApplicationName, RoleName, TeamName};
use crate::model::role::{Permission, Power};
use crate::model::team::ProjectLevel;

use super::application::Application;
use super::headers::Told;
use super::require::Traits;
use super::table::Id;

/// What somebody may do in our own console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// In the whole instance.
    pub everywhere: BTreeSet<Power>,
    /// Within one team, by team roles.
    pub in_team: BTreeMap<TeamName, BTreeSet<Power>>,
}

impl Powers {
    /// Whether it may be done in the whole instance.
    #[must_use]
    pub fn has(&self, power: Power) -> bool {
        self.everywhere.contains(&power)
    }

    /// Whether it may be done in that team, by a role held there or in the whole instance.
    #[must_use]
    pub fn has_in(&self, power: Power, team: &TeamName) -> bool {
        self.has(power) || self.in_team.get(team).is_some_and(|powers| powers.contains(&power))
    }

    /// Whether it may be done anywhere at all: in the whole instance, or in some team.
    #[must_use]
    pub fn has_somewhere(&self, power: Power) -> bool {
        self.has(power) || self.in_team.values().any(|powers| powers.contains(&power))
    }

    /// The teams in which it may be done by a role held there.
    pub fn teams_with(&self, power: Power) -> impl Iterator<Item = &TeamName> {
        self.in_team
            .iter()
            .filter(move |(_, powers)| powers.contains(&power))
            .map(|(team, _)| team)
    }
}

/// What somebody holds under one state of the policies, from one class of addresses, at one time.
#[derive(Debug)]
pub struct Held {
    pub(super) traits: Traits,
    pub(super) roles: Vec<RoleName>,
    pub(super) roles_everywhere: Vec<RoleName>,
    pub(super) roles_in: BTreeMap<TeamName, Vec<RoleName>>,
    pub(super) teams: Vec<TeamName>,
    pub(super) permissions: Vec<Permission>,
    pub(super) applications: Vec<ApplicationName>,
    pub(super) projects: Vec<ProjectLevel>,
    pub(super) powers: Powers,
    pub(super) giving: Vec<(Id<Application>, Option<TeamName>)>,
    /// Headers already made, by application: the same person asks the same application again and again.
    pub(super) told: Mutex<Vec<(Id<Application>, Arc<Told>)>>,
}

impl Held {
    /// Roles held, anywhere, by name in alphabetical order.
    #[must_use]
    pub fn roles(&self) -> &[RoleName] {
        &self.roles
    }

    /// Roles held in the whole instance, by name in alphabetical order.
    #[must_use]
    pub fn roles_everywhere(&self) -> &[RoleName] {
        &self.roles_everywhere
    }

    /// Roles held within a team.
    #[must_use]
    pub fn roles_in(&self, team: &TeamName) -> &[RoleName] {
        self.roles_in.get(team).map_or(&[], Vec::as_slice)
    }

    /// Teams whose membership counts, and those given by policy.
    #[must_use]
    pub fn teams(&self) -> &[TeamName] {
        &self.teams
    }

    /// Permissions held, of all applications.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// Applications given.
    #[must_use]
    pub fn applications(&self) -> &[ApplicationName] {
        &self.applications
    }

    /// Levels in the projects of teams that count.
    #[must_use]
    pub fn projects(&self) -> &[ProjectLevel] {
        &self.projects
    }

    /// What may be done in the console.
    #[must_use]
    pub const fn powers(&self) -> &Powers {
        &self.powers
    }

    /// The team that gives the application, if it is exactly one.
    pub(super) fn giving(&self, application: Id<Application>) -> Option<&TeamName> {
        self.giving
            .iter()
            .find(|(one, _)| *one == application)
            .and_then(|(_, team)| team.as_ref())
    }
}
