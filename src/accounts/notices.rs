//! What people are told by mail of what happens to their account.
//!
//! Each notice is in the commit of what it tells. Who has no address, has not registered yet or is shut out is told nothing.

use crate::base::time::Timestamp;
use crate::mail::letters::{Circumstances, Letter};
use crate::model::device::device;
use crate::model::email::EmailAddress;
use crate::model::event::Actor;
use crate::model::message::About;
use crate::model::user::{User, UserStatus};
use crate::store::{Commit, StoreError};

use super::Accounts;
use super::acting::Acting;
use super::admission::Visit;

impl Accounts {
    /// The password was changed or set anew. Told however many letters there were in the last hour: it takes the password or a token to
    /// cause it, and whoever has stolen one must not be able to use the limit up before.
    pub(super) async fn with_password_notice(
        &self,
        commit: Commit,
        user: &User,
        how: &str,
        visit: &Visit<'_>,
    ) -> Result<Commit, StoreError> {
        let Some(to) = self.told(user) else { return Ok(commit) };
        let _counted = self.may_write_to(to, visit.now()).await?;
        let letter = Letter::PasswordChanged(circumstances(how, visit));
        self.with_letter(commit, to, &letter, About::user(user.id), visit.now())
    }

    /// Roles of the instance were given.
    pub(super) async fn with_role_notice(
        &self,
        commit: Commit,
        before: &User,
        after: &User,
        by: &Acting,
        now: Timestamp,
    ) -> Result<Commit, StoreError> {
        let roles: Vec<String> = after.roles.difference(&before.roles).map(ToString::to_string).collect();
        let Some(to) = self.told(after).filter(|_| !roles.is_empty()) else {
            return Ok(commit);
        };
        if self.may_write_to(to, now).await?.is_err() {
            return Ok(commit);
        }
        let by = match &by.actor {
            Actor::User(id) => self.store.get::<User>(id).await?.map(|user| user.record.display_name()),
            Actor::CommandLine | Actor::System | Actor::Anonymous => None,
        };
        let letter = Letter::RoleGained {
            at: now,
            roles,
            team: None,
            by: by.unwrap_or_default(),
        };
        self.with_letter(commit, to, &letter, About::user(after.id), now)
    }

    fn told<'a>(&self, user: &'a User) -> Option<&'a EmailAddress> {
        let active = user.status == UserStatus::Active && self.sends_mail();
        user.email.as_ref().filter(|_| active)
    }
}

fn circumstances(how: &str, visit: &Visit<'_>) -> Circumstances {
    Circumstances {
        at: visit.now(),
        address: visit.address(),
        device: device(visit.agent()),
        how: how.to_owned(),
    }
}
