//! What teams have besides members: seats, projects, groups, invitations.

use crate::base::secret::Hashed;
use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::id::{GroupId, InvitationId, ProjectId};
use crate::model::invitation::{Invitation, KEPT};
use crate::model::name::{PersonName, TeamName, fold_name};
use crate::model::team::{Group, Project, Team};
use crate::store::record::{Never, Record};
use crate::store::rows::{Change, Index, IndexKey, Kind, Unique, UniqueKey, push_measured};

use super::{in_no_group, keyed_by_number, nothing_else_unique};

/// What belongs to one team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeamIndex {
    /// All of it.
    OfTeam(TeamName),
}

macro_rules! in_one_team {
    ($index:expr) => {
        type Index = TeamIndex;

        fn index_key(index: &TeamIndex) -> IndexKey {
            let TeamIndex::OfTeam(team) = index;
            IndexKey::new($index, team.as_str())
        }
    };
}

/// A seat that is taken is no news to the sessions of those who have one.
impl Record for Team {
    type Key = TeamName;
    const KIND: Kind = Kind::Teams;

    fn key(&self) -> TeamName {
        self.name.clone()
    }

    fn key_bytes(key: &TeamName) -> Vec<u8> {
        key.as_str().as_bytes().to_vec()
    }

    nothing_else_unique!();

    in_no_group!();
}

/// What finds exactly one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectUnique {
    /// By team and name, in any case: upstreams are told the name.
    Named(TeamName, PersonName),
}

impl Record for Project {
    type Unique = ProjectUnique;
    const KIND: Kind = Kind::Projects;

    keyed_by_number!(ProjectId);

    fn uniques(&self) -> Vec<ProjectUnique> {
        vec![ProjectUnique::Named(self.team.clone(), self.name.clone())]
    }

    fn unique_key(unique: &ProjectUnique) -> UniqueKey {
        let ProjectUnique::Named(team, name) = unique;
        let mut value = Vec::new();
        push_measured(&mut value, team.as_str().as_bytes());
        push_measured(&mut value, fold_name(name.as_str()).as_bytes());
        UniqueKey::new(Unique::ProjectName, value)
    }

    in_one_team!(Index::ProjectsByTeam);

    fn indexes(&self) -> Vec<TeamIndex> {
        vec![TeamIndex::OfTeam(self.team.clone())]
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Team(self.team.clone()))
    }
}

impl Record for Group {
    const KIND: Kind = Kind::Groups;
    const NEW_IS_A_CHANGE: bool = true;

    keyed_by_number!(GroupId);

    nothing_else_unique!();

    in_one_team!(Index::GroupsByTeam);

    fn indexes(&self) -> Vec<TeamIndex> {
        vec![TeamIndex::OfTeam(self.team.clone())]
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Team(self.team.clone()))
    }
}

/// What finds exactly one invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvitationUnique {
    /// By the digest of the secret in its link.
    Secret(Hashed),
    /// By team and address: there is one at a time.
    Open(TeamName, EmailAddress),
}

impl Record for Invitation {
    type Unique = InvitationUnique;
    const KIND: Kind = Kind::Invitations;
    const NEW_IS_A_CHANGE: bool = true;

    keyed_by_number!(InvitationId);

    in_one_team!(Index::InvitationsByTeam);

    fn uniques(&self) -> Vec<InvitationUnique> {
        vec![
            InvitationUnique::Secret(self.secret),
            InvitationUnique::Open(self.offer.team.clone(), self.email.clone()),
        ]
    }

    fn unique_key(unique: &InvitationUnique) -> UniqueKey {
        match unique {
            InvitationUnique::Secret(digest) => UniqueKey::new(Unique::InvitationSecret, digest.as_bytes().as_slice()),
            InvitationUnique::Open(team, email) => {
                let mut value = Vec::new();
                push_measured(&mut value, team.as_str().as_bytes());
                push_measured(&mut value, email.canonical().as_bytes());
                UniqueKey::new(Unique::OpenInvitation, value)
            }
        }
    }

    fn indexes(&self) -> Vec<TeamIndex> {
        vec![TeamIndex::OfTeam(self.offer.team.clone())]
    }

    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires.after(KEPT))
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Invitation(self.id))
    }
}
