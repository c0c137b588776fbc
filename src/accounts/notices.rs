//! What people are told by mail of what happens to their account.
//!
//! Each notice is in the commit of what it tells. Who has no address, has not registered yet or is shut out is told nothing.

use crate::base::encoding::{array_from_base64url, base64url};
use crate::base::seal::Purpose;
use crate::base::secret::Hashed;
use crate::base::time::Timestamp;
use crate::mail::letters::{Circumstances, Letter};
use crate::model::device::device;
use crate::model::email::EmailAddress;
use crate::model::event::Actor;
use crate::model::id::UserId;
use crate::model::message::About;
use crate::model::name::TeamName;
use crate::model::user::{User, UserStatus};
use crate::store::{Commit, StoreError};

use super::Accounts;
use super::acting::Acting;
use super::admission::Visit;

/// How many people one browser remembers.
const BROWSER_MARKS: usize = 8;

/// Roles that somebody was given.
pub(super) struct Gained {
    /// Their titles.
    pub(super) roles: Vec<String>,
    /// The team they are held in, with its title; none: they are of the instance.
    pub(super) team: Option<(TeamName, String)>,
}

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

    /// Roles were given: of the instance, or held in a team.
    pub(super) async fn with_role_notice(
        &self,
        commit: Commit,
        user: &User,
        gained: Gained,
        by: &Acting,
        now: Timestamp,
    ) -> Result<Commit, StoreError> {
        let Some(to) = self.told(user).filter(|_| !gained.roles.is_empty()) else {
            return Ok(commit);
        };
        if self.may_write_to(to, now).await?.is_err() {
            return Ok(commit);
        }
        let by = match &by.actor {
            Actor::User(id) => self.store.get::<User>(id).await?.map(|user| user.record.display_name()),
            Actor::CommandLine | Actor::System | Actor::Anonymous => None,
        };
        let (team, title) = gained.team.unzip();
        let letter = Letter::RoleGained {
            at: now,
            roles: gained.roles,
            team: title,
            by: by.unwrap_or_default(),
        };
        let about = About {
            team,
            ..About::user(user.id)
        };
        self.with_letter(commit, to, &letter, about, now)
    }

    /// Somebody signed in with a browser that does not know them yet. Not told of the first sign-in of all.
    pub(super) async fn with_browser_notice(&self, commit: Commit, before: &User, visit: &Visit<'_>) -> Result<Commit, StoreError> {
        let Some(to) = self.told(before) else { return Ok(commit) };
        if before.last_sign_in.is_none() || self.is_marked(visit.browser, before.id) {
            return Ok(commit);
        }
        if self.may_write_to(to, visit.now()).await?.is_err() {
            return Ok(commit);
        }
        let letter = Letter::NewBrowser(circumstances("With a password", visit));
        self.with_letter(commit, to, &letter, About::user(before.id), visit.now())
    }

    /// What a browser keeps once somebody has signed in with it: a mark for each of the last people, the latest first. Nobody can be read
    /// from it, and nobody else can make it, so who steals a password cannot steal past the notice.
    #[must_use]
    pub fn mark_browser(&self, marks: &str, user: UserId) -> String {
        let mine: Vec<Hashed> = self.marks_of(user).collect();
        let others = marks.split('.').filter_map(array_from_base64url).map(Hashed::from_bytes);
        let others = others.filter(|mark| !mine.contains(mark));
        let kept = mine.iter().take(1).copied().chain(others).take(BROWSER_MARKS);
        kept.map(|mark| base64url(mark.as_bytes())).collect::<Vec<_>>().join(".")
    }

    fn is_marked(&self, marks: &str, user: UserId) -> bool {
        let known: Vec<Hashed> = marks
            .split('.')
            .take(BROWSER_MARKS)
            .filter_map(array_from_base64url)
            .map(Hashed::from_bytes)
            .collect();
        self.marks_of(user).any(|mark| known.contains(&mark))
    }

    /// Under the master keys before too, so that a new one does not make every browser a stranger.
    fn marks_of(&self, user: UserId) -> impl Iterator<Item = Hashed> {
        let number = user.number().to_be_bytes();
        self.keyring.hashes(Purpose::Browser, &number).collect::<Vec<_>>().into_iter()
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
