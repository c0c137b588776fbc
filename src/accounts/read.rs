//! What the use cases ask the store for, in their own words.

use crate::model::email::EmailAddress;
use crate::model::id::{InvitationId, SessionId, TokenId, UserId};
use crate::model::invitation::Invitation;
use crate::model::membership::Membership;
use crate::model::name::{RoleName, TeamName};
use crate::model::session::{Session, SessionValueRecord};
use crate::model::team::{Group, Project};
use crate::model::token::{OneTimeToken, TokenPurpose};
use crate::model::user::User;
use crate::store::{
    AttemptRecord, FirstUser, MembershipIndex, Page, Record, SecretKind, SecretRecord, SessionIndex, SessionValueIndex, SigningKeyRecord,
    StoreError, TeamIndex, TheFirst, TokenUnique, UserIndex, UserUnique, Versioned,
};

use super::Accounts;

/// Records that are read at a time: the store is asked often rather than long.
const AT_ONCE: usize = 500;

impl Accounts {
    /// The user that somebody means who types a username or an address.
    pub(super) async fn user_by_login(&self, typed: &str) -> Result<Option<Versioned<User>>, StoreError> {
        if let Ok(email) = typed.parse::<EmailAddress>() {
            return self.user_by_email(email).await;
        }
        // No username has an `@`, so the two never compete.
        match typed.trim().parse() {
            Ok(username) => self.store.find::<User>(&UserUnique::Username(username)).await,
            Err(_) => Ok(None),
        }
    }

    pub(super) async fn user_by_email(&self, email: EmailAddress) -> Result<Option<Versioned<User>>, StoreError> {
        self.store.find::<User>(&UserUnique::Email(email)).await
    }

    pub(super) async fn memberships_of(&self, user: UserId) -> Result<Vec<Versioned<Membership>>, StoreError> {
        self.all_of(&MembershipIndex::OfUser(user)).await
    }

    pub(super) async fn members_of(&self, team: &TeamName) -> Result<Vec<UserId>, StoreError> {
        let members = self.all_of::<Membership>(&MembershipIndex::OfTeam(team.clone())).await?;
        Ok(members.into_iter().map(|one| one.record.user).collect())
    }

    pub(super) async fn session_records(&self, user: UserId) -> Result<Vec<Versioned<Session>>, StoreError> {
        self.all_of(&SessionIndex::OfUser(user)).await
    }

    pub(super) async fn values_of(&self, session: SessionId) -> Result<Vec<Versioned<SessionValueRecord>>, StoreError> {
        self.all_of(&SessionValueIndex::OfSession(session)).await
    }

    pub(super) async fn token<P: TokenPurpose>(&self, user: UserId) -> Result<Option<Versioned<OneTimeToken<P>>>, StoreError> {
        self.store.find::<OneTimeToken<P>>(&TokenUnique::OfUser(user)).await
    }

    pub(super) async fn sealed_token(&self, token: TokenId) -> Result<Option<Versioned<SecretRecord>>, StoreError> {
        self.store.get::<SecretRecord>(&(SecretKind::Token, token.to_string())).await
    }

    pub(super) async fn sealed_link(&self, invitation: InvitationId) -> Result<Option<Versioned<SecretRecord>>, StoreError> {
        let key = (SecretKind::InvitationLink, invitation.to_string());
        self.store.get::<SecretRecord>(&key).await
    }

    pub(super) async fn invitations_to(&self, team: &TeamName) -> Result<Vec<Versioned<Invitation>>, StoreError> {
        self.all_of(&TeamIndex::OfTeam(team.clone())).await
    }

    pub(super) async fn groups_of(&self, team: &TeamName) -> Result<Vec<Versioned<Group>>, StoreError> {
        self.all_of(&TeamIndex::OfTeam(team.clone())).await
    }

    pub(super) async fn projects_of(&self, team: &TeamName) -> Result<Vec<Versioned<Project>>, StoreError> {
        self.all_of(&TeamIndex::OfTeam(team.clone())).await
    }

    /// The signing keys, the one that signs first at the front.
    pub(super) async fn key_records(&self) -> Result<Vec<Versioned<SigningKeyRecord>>, StoreError> {
        let mut records = self.store.list(Page::<SigningKeyRecord>::first(AT_ONCE)).await?;
        records.sort_by_key(|record| (record.record.signs_from, record.record.id));
        Ok(records)
    }

    /// Another administrator who can take this one's place, as the store has it now: an active one, or for one who has yet to register,
    /// one who has too.
    pub(super) async fn another_admin(&self, than: &User) -> Result<Option<Versioned<User>>, StoreError> {
        let admins = self.all_of::<User>(&UserIndex::Role(RoleName::admin())).await?;
        let replaces = |other: &User| other.is_active_admin() || (!than.is_active_admin() && other.is_admin_in_waiting());
        Ok(admins.into_iter().find(|user| user.record.id != than.id && replaces(&user.record)))
    }

    /// Whether the first account was ever made.
    pub(super) async fn has_had_users(&self) -> Result<bool, StoreError> {
        Ok(self.store.get::<FirstUser>(&TheFirst).await?.is_some())
    }

    pub(super) async fn counts(&self) -> Result<Vec<AttemptRecord>, StoreError> {
        self.every(None).await
    }

    pub(super) async fn all_of<R: Record>(&self, index: &R::Index) -> Result<Vec<Versioned<R>>, StoreError> {
        let mut all: Vec<Versioned<R>> = Vec::new();
        loop {
            let page = Page::of(index, AT_ONCE);
            let page = match all.last() {
                Some(last) => page.after(&last.record.key()),
                None => page,
            };
            let mut more = self.store.list(page).await?;
            let full = more.len() == AT_ONCE;
            all.append(&mut more);
            if !full {
                return Ok(all);
            }
        }
    }

    async fn every<R: Record>(&self, mut after: Option<R::Key>) -> Result<Vec<R>, StoreError> {
        let mut all = Vec::new();
        loop {
            let page = Page::<R>::first(AT_ONCE);
            let page = match &after {
                Some(after) => page.after(after),
                None => page,
            };
            let more = self.store.list(page).await?;
            let Some(last) = more.last() else { return Ok(all) };
            after = Some(last.record.key());
            all.extend(more.into_iter().map(Versioned::into_record));
        }
    }
}
