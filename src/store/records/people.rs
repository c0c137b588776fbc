//! Users and what they have in teams.

use crate::model::email::EmailAddress;
use crate::model::id::UserId;
use crate::model::membership::Membership;
use crate::model::name::{RoleName, TeamName, Username};
use crate::model::user::{ExternalIdentity, User};
use crate::store::record::{Never, Record};
use crate::store::rows::{Change, Index, IndexKey, Kind, Unique, UniqueKey, push_measured};

use super::{keyed_by_number, nothing_else_unique};

/// What finds exactly one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserUnique {
    /// By address; two spellings of one address are the same.
    Email(EmailAddress),
    /// By username; two spellings of one name are the same.
    Username(Username),
    /// By what a provider or directory calls them.
    External(ExternalIdentity),
}

/// Groups of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserIndex {
    /// Those who were given an instance-wide role.
    Role(RoleName),
}

impl Record for User {
    type Unique = UserUnique;
    type Index = UserIndex;
    const KIND: Kind = Kind::Users;
    const NEW_IS_A_CHANGE: bool = true;

    keyed_by_number!(UserId);

    fn uniques(&self) -> Vec<UserUnique> {
        let email = self.email.clone().map(UserUnique::Email);
        let external = self.external.iter().cloned().map(UserUnique::External);
        let username = UserUnique::Username(self.username.clone());
        email.into_iter().chain([username]).chain(external).collect()
    }

    fn unique_key(unique: &UserUnique) -> UniqueKey {
        match unique {
            UserUnique::Email(email) => UniqueKey::new(Unique::UserEmail, email.canonical()),
            UserUnique::Username(username) => UniqueKey::new(Unique::Username, username.canonical()),
            UserUnique::External(external) => {
                let mut value = Vec::new();
                push_measured(&mut value, external.provider.as_str().as_bytes());
                push_measured(&mut value, external.subject.as_bytes());
                UniqueKey::new(Unique::ExternalIdentity, value)
            }
        }
    }

    fn indexes(&self) -> Vec<UserIndex> {
        self.roles.iter().cloned().map(UserIndex::Role).collect()
    }

    fn index_key(index: &UserIndex) -> IndexKey {
        let UserIndex::Role(role) = index;
        IndexKey::new(Index::UsersByRole, role.as_str())
    }

    fn change(&self) -> Option<Change> {
        Some(Change::User(self.id))
    }
}

/// Groups of memberships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipIndex {
    /// Those of one user.
    OfUser(UserId),
    /// Those in one team.
    OfTeam(TeamName),
}

/// What the keys of a team's memberships begin with.
fn team_prefix(team: &TeamName) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(team.as_str().len() + 20);
    push_measured(&mut bytes, team.as_str().as_bytes());
    bytes
}

impl Record for Membership {
    type Key = (TeamName, UserId);
    type Index = MembershipIndex;
    const KIND: Kind = Kind::Memberships;
    const NEW_IS_A_CHANGE: bool = true;

    fn key(&self) -> Self::Key {
        (self.team.clone(), self.user)
    }

    fn key_bytes((team, user): &Self::Key) -> Vec<u8> {
        let mut bytes = team_prefix(team);
        bytes.extend_from_slice(&user.number().to_be_bytes());
        bytes
    }

    nothing_else_unique!();

    fn indexes(&self) -> Vec<MembershipIndex> {
        vec![MembershipIndex::OfUser(self.user), MembershipIndex::OfTeam(self.team.clone())]
    }

    fn index_key(index: &MembershipIndex) -> IndexKey {
        match index {
            MembershipIndex::OfUser(user) => IndexKey::new(Index::MembershipsByUser, user.number().to_be_bytes()),
            MembershipIndex::OfTeam(team) => IndexKey::new(Index::ByKey, team_prefix(team)),
        }
    }

    fn change(&self) -> Option<Change> {
        Some(Change::User(self.user))
    }
}
