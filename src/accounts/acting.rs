//! Who carries out a use case, and over whom.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::model::event::{Action, Actor, Event};
use crate::model::membership::Membership;
use crate::model::name::ApplicationName;
use crate::model::name::TeamName;
use crate::model::user::User;
use crate::policy::PolicySet;
use crate::policy::delegation::Giver;

use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::model::name::RoleName;

/// Over whom somebody may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    All,
    /// The members of these teams. Whoever is in another team too, or holds a role of the instance, is out of reach for every change:
    /// otherwise a team's administrator could make a reset token for one of the instance.
    Teams(BTreeSet<TeamName>),
}

/// Somebody who acts on other people's accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    /// Who, for the audit trail.
    pub actor: Actor,
    /// From which address.
    pub address: Option<IpAddr>,
    /// Over whom.
    pub reach: Reach,
    /// Whether they hold the role `admin`; without it an admin's account is out of reach for every change.
    pub admin: bool,
    /// By which roles they give others.
    pub giver: Giver,
}

impl Acting {
    /// Somebody at the command line of the machine, who may do everything.
    #[must_use]
    pub fn command_line() -> Self {
        Self {
            actor: Actor::CommandLine,
            address: None,
            reach: Reach::All,
            admin: true,
            giver: Giver::admin(),
        }
    }

    /// portcullis itself.
    #[must_use]
    pub fn system() -> Self {
        Self {
            actor: Actor::System,
            address: None,
            reach: Reach::All,
            admin: true,
            giver: Giver::admin(),
        }
    }

    pub(super) fn event(&self, action: Action, target: impl fmt::Display, now: Timestamp) -> Event {
        Event::new(action, self.actor.clone(), now).to(target).from(self.address)
    }

    /// Who acts, if it is a person.
    pub(super) fn user(&self) -> Option<UserId> {
        match self.actor {
            Actor::User(user) => Some(user),
            Actor::CommandLine | Actor::System | Actor::Anonymous => None,
        }
    }

    pub(super) fn is(&self, user: UserId) -> bool {
        self.actor == Actor::User(user)
    }

    /// Whether they may know of this account. One that they may not is *not found*.
    pub(super) fn may_see(&self, memberships: &[Membership]) -> bool {
        match &self.reach {
            Reach::All => true,
            Reach::Teams(teams) => memberships.iter().any(|one| teams.contains(&one.team)),
        }
    }

    /// Whether they may change this account. Who holds a role of a team that they may not give has more power than they have.
    pub(super) fn may_change(&self, user: &User, memberships: &[Membership]) -> bool {
        let within = match &self.reach {
            Reach::All => true,
            Reach::Teams(teams) => {
                user.roles.iter().all(|role| *role == RoleName::user())
                    && memberships
                        .iter()
                        .all(|one| teams.contains(&one.team) && self.giver.is_over(&one.team, &one.roles))
            }
        };
        within && (self.admin || !user.roles.contains(&RoleName::admin()))
    }

    /// Whether they may put people into this team.
    #[must_use]
    pub fn reaches(&self, team: &TeamName) -> bool {
        match &self.reach {
            Reach::All => true,
            Reach::Teams(teams) => teams.contains(team),
        }
    }

    /// Whether they may look at an application: whoever has the power in teams sees what those may give.
    #[must_use]
    pub fn may_see_application(&self, policies: &PolicySet, name: &ApplicationName) -> bool {
        match &self.reach {
            Reach::All => true,
            Reach::Teams(teams) => teams
                .iter()
                .filter_map(|team| policies.team(team))
                .any(|team| team.apps.contains(name)),
        }
    }

    /// Whether they may give and take these instance-wide roles: `admin` only an admin, and none at all a team's administrator.
    pub(super) fn may_give<'a>(&self, mut roles: impl Iterator<Item = &'a RoleName>) -> bool {
        roles.all(|role| self.reach == Reach::All && (self.admin || *role != RoleName::admin()))
    }
}
