//! People: made, found, listed, given roles, shut out, removed.

use std::collections::BTreeSet;

use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::event::{Action, Event};
use crate::model::id::UserId;
use crate::model::membership::Membership;
use crate::model::name::{IpPatternName, PersonName, ProviderName, RoleName, TeamName, Username};
use crate::model::password::{Password, WeakPassword};
use crate::model::token::Registration;
use crate::model::user::{User, UserStatus};
use crate::signin::local::NewPassword;
use crate::store::{Commit, FirstUser, StoreError, Unique, Versioned};

use super::acting::{Acting, Reach};
use super::notices::Gained;
use super::passwords::known_words;
use super::tokens::{ShownToken, Way};
use super::{Accounts, Unavailable, again};

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Address; given by an administrator it counts as verified.
    pub email: EmailAddress,
    /// Username; derived from the address if not given.
    pub username: Option<Username>,
    /// Given name.
    pub given_name: PersonName,
    /// Family name.
    pub family_name: PersonName,
    /// Instance-wide role besides `user`. The first account ever made is `admin` whatever is said here.
    pub role: Option<RoleName>,
    /// Role held within the team.
    pub team_role: Option<RoleName>,
    /// Team; `main` if not given.
    pub team: Option<TeamName>,
    /// IP pattern of the membership.
    pub ip_pattern: Option<IpPatternName>,
    /// Provider of the membership.
    pub provider: Option<ProviderName>,
    /// Password; without one a registration token is made.
    pub password: Option<Password>,
}

/// An account that was made.
#[derive(Clone, Debug)]
pub struct Added {
    /// The account.
    pub user: User,
    /// Its registration token, unless it was made with a password.
    pub token: Option<ShownToken>,
}

/// What came of making an account.
#[derive(Clone, Debug)]
pub enum AddOutcome {
    /// It is made.
    Added(Box<Added>),
    /// Somebody has that address.
    EmailTaken,
    /// Somebody has that username.
    UsernameTaken,
    /// The password will not do.
    Weak(WeakPassword),
    /// Only an administrator of the instance may give that role, or put people into that team.
    NotAllowed,
    /// More passwords at once than the machine can hash.
    Busy,
}

/// What came of changing an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditOutcome {
    /// It is changed.
    Changed,
    /// It was so already.
    Unchanged,
    /// There is nobody of that name within reach.
    NotFound,
    /// Nobody changes their own role, shuts or removes their own account.
    Own,
    /// At least one active admin must remain.
    LastAdmin,
    /// Only an administrator of the instance may give or take that role.
    NotAllowed,
    /// An account that is not registered cannot be enabled; it waits for its person.
    Pending,
}

/// Which accounts to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In the name, the username or the address, in any case; empty is every one.
    pub text: String,
    /// Members of this team.
    pub team: Option<TeamName>,
    /// With this instance-wide role; `user` is those with no other.
    pub role: Option<RoleName>,
    /// With this status.
    pub status: Option<StatusFilter>,
}

/// Where an account stands, as lists know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// That status.
    Is(UserStatus),
    /// With a live reset token that an administrator hands over.
    ResetAsked,
}

/// Which page of a list. Lists are sorted by name, and a page begins behind or ends before somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// The first.
    First,
    /// The one behind this cursor.
    After(String),
    /// The one before this cursor.
    Before(String),
}

/// One line of a list of accounts.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The account.
    pub user: User,
    /// What it has in each team.
    pub memberships: Vec<Membership>,
    /// Its tokens that can still be used; none to whoever may not change the account, since a token opens it.
    pub tokens: Vec<ShownToken>,
    /// Whether whoever looks may change it.
    pub changeable: bool,
    /// The last request of any of its sessions.
    pub last_seen: Option<Timestamp>,
}

/// A page of accounts.
#[derive(Clone, Debug)]
pub struct UserPage {
    /// The lines.
    pub lines: Vec<Listed>,
    /// Place of the first line in the whole list, from 1; 0 if there is none.
    pub from: usize,
    /// How many the filter lets through.
    pub total: usize,
    /// How many accounts there are.
    pub all: usize,
    /// Cursor of the page before, if there is one.
    pub before: Option<String>,
    /// Cursor of the page behind, if there is one.
    pub after: Option<String>,
}

impl Accounts {
    /// Makes an account. The first one ever is an active or registering `admin`, and there is one first however many try at once.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing was made.
    pub async fn add_user(&self, new: NewUser, by: &Acting, now: Timestamp) -> Result<AddOutcome, Unavailable> {
        let outcome = self.add(new, Place::Any, by, now).await?;
        // Only who must be the first can come too late.
        Ok(outcome.unwrap_or(AddOutcome::NotAllowed))
    }

    /// Why an account could not be made now; `None` if it could. Nothing is made, and no password is looked at.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn foresee_user(&self, new: &NewUser, by: &Acting) -> Result<Option<AddOutcome>, Unavailable> {
        if !may_add(new, by) {
            return Ok(Some(AddOutcome::NotAllowed));
        }
        if self.user_by_email(new.email.clone()).await?.is_some() {
            return Ok(Some(AddOutcome::EmailTaken));
        }
        let taken = match &new.username {
            Some(username) => self.user_by_login(username.as_str()).await?.is_some(),
            None => derived_username(&new.email, 0).is_none(),
        };
        Ok(taken.then_some(AddOutcome::UsernameTaken))
    }

    /// Makes the first account; `None` if somebody was first.
    pub(super) async fn add_first(&self, new: NewUser, by: &Acting, now: Timestamp) -> Result<Option<AddOutcome>, Unavailable> {
        self.add(new, Place::First, by, now).await
    }

    async fn add(&self, new: NewUser, place: Place, by: &Acting, now: Timestamp) -> Result<Option<AddOutcome>, Unavailable> {
        if !may_add(&new, by) {
            return Ok(Some(AddOutcome::NotAllowed));
        }
        let id = UserId::generate(&self.random);
        let Some(username) = new.username.clone().or_else(|| derived_username(&new.email, 0)) else {
            return Ok(Some(AddOutcome::UsernameTaken));
        };
        let mut user = User {
            id,
            username,
            email: Some(new.email.clone()),
            given_name: new.given_name.clone(),
            family_name: new.family_name.clone(),
            status: UserStatus::Pending,
            roles: new.role.iter().filter(|role| **role != RoleName::user()).cloned().collect(),
            password: None,
            external: BTreeSet::new(),
            epoch: 0,
            gains: 0,
            created: now,
            last_sign_in: None,
        };
        if let Some(text) = new.password.clone() {
            let Ok(seat) = self.passwords.seat() else {
                return Ok(Some(AddOutcome::Busy));
            };
            let new_password = NewPassword {
                text,
                at_least: self.rules().password_min,
                known: known_words(&user),
            };
            let made = self.passwords.make(seat, new_password).await;
            user.password = match made {
                Ok(Ok(hash)) => Some(hash),
                Ok(Err(weak)) => return Ok(Some(AddOutcome::Weak(weak))),
                Err(_) => return Ok(Some(AddOutcome::Busy)),
            };
            user.status = UserStatus::Active;
        }
        let membership = Membership {
            ip_pattern: new.ip_pattern.clone(),
            provider: new.provider.clone(),
            roles: new.team_role.iter().cloned().collect(),
            ..Membership::plain(id, new.team.clone().unwrap_or_else(TeamName::main))
        };
        for taken in 0..DERIVED_TRIES {
            if new.username.is_none() {
                user.username = derived_username(&new.email, taken).unwrap_or(user.username);
            }
            match again(|| self.add_once(user.clone(), &membership, place, by, now)).await {
                Ok(added) => return Ok(added.map(|added| AddOutcome::Added(Box::new(added)))),
                Err(StoreError::Taken(Unique::UserEmail)) => return Ok(Some(AddOutcome::EmailTaken)),
                Err(StoreError::Taken(Unique::Username)) if new.username.is_some() => break,
                Err(StoreError::Taken(Unique::Username)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(AddOutcome::UsernameTaken))
    }

    async fn add_once(
        &self,
        mut user: User,
        membership: &Membership,
        place: Place,
        by: &Acting,
        now: Timestamp,
    ) -> Result<Option<Added>, StoreError> {
        let first = !self.has_had_users().await?;
        if place == Place::First && !first {
            return Ok(None);
        }
        let action = if first { Action::FirstAdminCreated } else { Action::UserCreated };
        if first {
            user.roles.insert(RoleName::admin());
        }
        let event = by.event(action, user.id, now).with("team", &membership.team);
        let mut commit = Commit::because(event).create(&user).create(membership);
        if first {
            commit = commit.create(&FirstUser { user: user.id });
        }
        let mut token = None;
        if user.status == UserStatus::Pending {
            let (with, shown) = self.with_token::<Registration>(commit, user.id, None, Way::HandedOver, now).await?;
            commit = with;
            token = Some(shown);
        }
        match self.store.commit(commit).await {
            // Somebody else was first in the same moment: read again, and be the second.
            Err(StoreError::Taken(Unique::Key(table))) => Err(StoreError::Conflict(table)),
            other => other.map(|()| Some(Added { user, token })),
        }
    }

    /// The account that an identifier, an address or a username names.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn user_named(&self, who: &str) -> Result<Option<User>, Unavailable> {
        let user = match who.trim().parse::<UserId>() {
            Ok(id) => self.store.get::<User>(&id).await?,
            Err(_) => self.user_by_login(who).await?,
        };
        Ok(user.map(|user| user.record))
    }

    /// An account with what belongs to it, if it is within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn user(&self, id: UserId, by: &Acting, now: Timestamp) -> Result<Option<Listed>, Unavailable> {
        let Some(user) = self.store.get::<User>(&id).await? else {
            return Ok(None);
        };
        let line = self.line(user.record, by, now).await?;
        Ok(by.may_see(&line.memberships).then_some(line))
    }

    /// Makes somebody an administrator of the instance, or no longer one; other roles stay. Nobody changes their own role.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn set_admin(&self, user: UserId, admin: bool, by: &Acting, now: Timestamp) -> Result<EditOutcome, Unavailable> {
        if admin {
            self.add_role(user, RoleName::admin(), by, now).await
        } else {
            self.remove_role(user, RoleName::admin(), by, now).await
        }
    }

    /// Gives somebody an instance-wide role. Sessions go on; the role counts from the next request, whose answer brings a new cookie value.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn add_role(&self, user: UserId, role: RoleName, by: &Acting, now: Timestamp) -> Result<EditOutcome, Unavailable> {
        let event = by.event(Action::RolesChanged, user, now).with("given", &role);
        self.edit(user, by, event, |user| {
            // Every active person holds `user` without its being written.
            let gained = role != RoleName::user() && user.roles.insert(role.clone());
            user.gains += u64::from(gained);
        })
        .await
    }

    /// Takes an instance-wide role from somebody. It counts from the next request.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn remove_role(&self, user: UserId, role: RoleName, by: &Acting, now: Timestamp) -> Result<EditOutcome, Unavailable> {
        let event = by.event(Action::RolesChanged, user, now).with("taken", &role);
        self.edit(user, by, event, |user| {
            user.roles.remove(&role);
        })
        .await
    }

    /// Shuts an account: every session ends, tokens end, nothing else is lost.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn disable(&self, user: UserId, by: &Acting, now: Timestamp) -> Result<EditOutcome, Unavailable> {
        let event = by.event(Action::UserDisabled, user, now);
        self.edit(user, by, event, |user| {
            if user.status != UserStatus::Disabled {
                user.status = UserStatus::Disabled;
                user.epoch += 1;
            }
        })
        .await
    }

    /// Opens an account again: active if the person had registered, else waiting for them.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn enable(&self, user: UserId, by: &Acting, now: Timestamp) -> Result<EditOutcome, Unavailable> {
        let event = by.event(Action::UserEnabled, user, now);
        self.edit(user, by, event, |user| {
            if user.status == UserStatus::Disabled {
                let registered = user.password.is_some() || !user.external.is_empty();
                user.status = if registered { UserStatus::Active } else { UserStatus::Pending };
            }
        })
        .await
    }

    /// Changes an account's instance-wide side under the rules that hold for every such change.
    async fn edit(&self, id: UserId, by: &Acting, event: Event, change: impl Fn(&mut User)) -> Result<EditOutcome, Unavailable> {
        let outcome = again(|| async {
            let Some(user) = self.changeable(id, by).await? else {
                return Ok(EditOutcome::NotFound);
            };
            let mut new = user.record.clone();
            change(&mut new);
            if new == user.record {
                return Ok(EditOutcome::Unchanged);
            }
            if by.is(id) {
                return Ok(EditOutcome::Own);
            }
            let roles_moved = new.roles != user.record.roles;
            if roles_moved && !by.may_give(new.roles.symmetric_difference(&user.record.roles)) {
                return Ok(EditOutcome::NotAllowed);
            }
            let mut commit = Commit::because(event.clone()).replace(&user, &new);
            if user.record.is_admin_in_waiting() && !new.is_admin_in_waiting() {
                // What the decision rests on is stated: two admins who demote each other meet Conflict.
                match self.another_admin(&user.record).await? {
                    Some(other) => commit = commit.unchanged(&other),
                    None => return Ok(EditOutcome::LastAdmin),
                }
            }
            if new.status == UserStatus::Disabled {
                commit = self.without_tokens(commit, id).await?;
            }
            let gained = Gained {
                roles: new.roles.difference(&user.record.roles).map(ToString::to_string).collect(),
                team: None,
            };
            commit = self.with_role_notice(commit, &new, gained, by, event.at).await?;
            self.store.commit(commit).await?;
            Ok(EditOutcome::Changed)
        })
        .await?;
        Ok(outcome)
    }

    /// Removes an account with its memberships, tokens and sessions. The audit trail keeps its identifier only.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn delete(&self, id: UserId, by: &Acting, now: Timestamp) -> Result<EditOutcome, Unavailable> {
        let outcome = again(|| async {
            let Some(user) = self.changeable(id, by).await? else {
                return Ok(EditOutcome::NotFound);
            };
            if by.is(id) {
                return Ok(EditOutcome::Own);
            }
            let mut commit = Commit::because(by.event(Action::UserDeleted, id, now)).remove(&user);
            if user.record.is_admin_in_waiting() {
                match self.another_admin(&user.record).await? {
                    Some(other) => commit = commit.unchanged(&other),
                    None => return Ok(EditOutcome::LastAdmin),
                }
            }
            for membership in self.memberships_of(id).await? {
                commit = self.without_places(commit, id, &membership.record.team).await?;
                commit = commit.remove(&membership);
            }
            for session in self.session_records(id).await? {
                commit = self.without_session(commit, session.record.id).await?;
            }
            commit = self.without_tokens(commit, id).await?;
            self.store.commit(commit).await?;
            Ok(EditOutcome::Changed)
        })
        .await?;
        Ok(outcome)
    }

    /// The account, if it may be changed by them. What they may not change is not found.
    pub(super) async fn changeable(&self, id: UserId, by: &Acting) -> Result<Option<Versioned<User>>, StoreError> {
        let Some(user) = self.store.get::<User>(&id).await? else {
            return Ok(None);
        };
        let memberships: Vec<Membership> = self.memberships_of(id).await?.into_iter().map(|one| one.record).collect();
        Ok((by.may_see(&memberships) && by.may_change(&user.record, &memberships)).then_some(user))
    }

    pub(super) async fn line(&self, user: User, by: &Acting, now: Timestamp) -> Result<Listed, Unavailable> {
        let memberships: Vec<Membership> = self.memberships_of(user.id).await?.into_iter().map(|one| one.record).collect();
        let changeable = by.may_change(&user, &memberships);
        let tokens = if changeable {
            self.live_tokens(user.id, now).await?
        } else {
            Vec::new()
        };
        let sessions = self.sessions_of(user.id, now).await?;
        let last_seen = sessions.iter().map(|line| line.last_seen).max().max(user.last_sign_in);
        Ok(Listed {
            user,
            memberships,
            tokens,
            changeable,
            last_seen,
        })
    }
}

/// Whoever adds somebody holds the token that makes the account, for an address that nobody has confirmed. So into a team of its own people are
/// invited, which keeps to its seats and domains and writes to the address, unless whoever adds them reaches everybody.
fn may_add(new: &NewUser, by: &Acting) -> bool {
    let role = new.role.as_ref().is_none_or(|role| by.may_give(std::iter::once(role)));
    let main = TeamName::main();
    let within = match &new.team {
        Some(team) if *team != main => by.reach == Reach::All,
        _ => by.reaches(&main),
    };
    role && within
}

/// Whether an account has to be the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Any,
}

/// How many usernames are derived from one address before it is given up.
const DERIVED_TRIES: u32 = 100;

/// A username made of the part of an address before the `@`; so many of them were taken.
fn derived_username(email: &EmailAddress, taken: u32) -> Option<Username> {
    let local = email.as_str().split('@').next().unwrap_or_default();
    let mut text: String = local
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .take(48)
        .collect();
    if text.is_empty() {
        text.push_str("user");
    }
    if taken > 0 {
        text = format!("{text}-{}", taken + 1);
    }
    text.parse().ok()
}
