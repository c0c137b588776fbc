//! Signing in: count the try, check the password, look whether the person may come in from here, open the session.

use crate::base::time::Timestamp;
use crate::model::event::{Action, Actor, Event};
use crate::model::name::fold_name;
use crate::model::password::Password;
use crate::model::principal::SignedIn;
use crate::model::session::{Session, SessionValue};
use crate::model::user::{User, UserStatus};
use crate::signin::SignInFailure;
use crate::store::{Commit, StoreError, Versioned};

use super::admission::{Refused, Visit};
use super::memory::Caller;
use super::sessions::Opening;
use super::throttle::Throttled;
use super::{Accounts, Unavailable, again};

/// Which kind of account somebody means (the field `realm`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Realm {
    /// Not said: a local account of that name, else the directories.
    #[default]
    Unsaid,
    /// `local`.
    Local,
    /// Anything else: the name of a directory, if policy has it.
    Named(String),
}

impl Realm {
    /// Reads the field.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" => Self::Unsaid,
            "local" => Self::Local,
            other => Self::Named(other.to_owned()),
        }
    }
}

/// What somebody typed to sign in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Username or e-mail address.
    pub name: String,
    /// Password.
    pub password: Password,
    /// Which kind of account.
    pub realm: Realm,
    /// "Keep me signed in".
    pub remember: bool,
}

/// A session that was just opened, with the value for the host it was opened on. The value exists nowhere else.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// The value for the cookie.
    pub value: SessionValue,
}

/// What came of an attempt to sign in.
#[derive(Debug)]
pub enum SignInOutcome {
    /// Here is the session.
    SignedIn(Box<NewSession>),
    /// Unknown, wrong, disabled, not registered, wrong kind of account: one answer.
    Wrong,
    /// Too many tries for this name from this network; said of names that exist and names that do not.
    Locked {
        /// When the next try is looked at.
        until: Timestamp,
    },
    /// Too many tries from this network.
    TooMany {
        /// When the next try is looked at.
        until: Timestamp,
    },
    /// More sign-ins at once than the machine can do; 503 with Retry-After.
    Busy,
    /// The directory that was chosen cannot be asked by this version.
    NotAvailable(SignInFailure),
    /// The person is who they say, and may not come in from here or in this way.
    Refused(Box<Refused>),
}

impl Accounts {
    /// Signs somebody in with name and password. A session that the browser had is ended: its values are never worth more than before.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer: nobody gets in by it.
    pub async fn sign_in(&self, typed: Credentials, before: Option<&Caller>, visit: &Visit<'_>) -> Result<SignInOutcome, Unavailable> {
        let now = visit.now();
        // A place in the queue first: who finds none is sent away before anything is written.
        let Ok(seat) = self.passwords.seat() else {
            return Ok(SignInOutcome::Busy);
        };
        // Counted before anything is looked at, so that a storm of guesses cannot slip through between a look and a count.
        let tries = match self.count_sign_in(&fold_name(&typed.name), visit).await? {
            Ok(tries) => tries,
            Err(Throttled::Name { until }) => return Ok(SignInOutcome::Locked { until }),
            Err(Throttled::Network { until }) => return Ok(SignInOutcome::TooMany { until }),
        };
        if let Realm::Named(name) = &typed.realm {
            return match visit.directory(name).map(|directory| directory.prove(&typed.name, &typed.password)) {
                Some(Err(failure)) => Ok(SignInOutcome::NotAvailable(failure)),
                // No directory can prove anybody yet; a name that policy does not have is a form that was tampered with.
                Some(Ok(_)) | None => Ok(SignInOutcome::Wrong),
            };
        }
        let user = self.user_by_login(&typed.name).await?;
        let password = user.as_ref().and_then(|user| user.record.password.clone());
        let Ok(matches) = self.passwords.check(seat, typed.password, password).await else {
            self.take_back(&tries, now).await?;
            return Ok(SignInOutcome::Busy);
        };
        let user = match user {
            Some(user) if matches && user.record.status == UserStatus::Active => user,
            user => {
                let id = user.map(|user| user.record.id);
                self.note_failure(&tries, id, visit).await?;
                return Ok(SignInOutcome::Wrong);
            }
        };
        let opening = Opening {
            signed_in: SignedIn::by_password(now),
            remember: typed.remember,
            before,
        };
        let outcome = again(|| self.open_for(&user, &opening, visit)).await?;
        // Who was proved and then refused has not guessed either.
        if !matches!(outcome, SignInOutcome::Wrong) {
            self.clear_sign_in(&tries, now).await?;
        }
        Ok(outcome)
    }

    /// Opens a session for somebody who was proved to be `proved`, unless the account has moved since in what the proof rested on.
    async fn open_for(&self, proved: &Versioned<User>, opening: &Opening<'_>, visit: &Visit<'_>) -> Result<SignInOutcome, StoreError> {
        let Some(user) = self.store.get::<User>(&proved.record.id).await? else {
            return Ok(SignInOutcome::Wrong);
        };
        if user.record.status != UserStatus::Active || user.record.password != proved.record.password {
            return Ok(SignInOutcome::Wrong);
        }
        let (session, value) = match self.admit(&user.record, opening, visit).await? {
            Ok(made) => made,
            Err(refused) => return Ok(SignInOutcome::Refused(refused)),
        };
        let mut new = user.record.clone();
        new.last_sign_in = Some(visit.now());
        let event = Event::new(Action::SignedIn, Actor::User(new.id), visit.now())
            .to(new.id)
            .from(visit.address())
            .with("method", session.signed_in.method)
            .with("session", session.id);
        let commit = Commit::because(event).replace(&user, &new);
        let commit = self
            .with_session(commit, &session, &value, new.gains, opening.before, visit)
            .await?;
        let commit = self.with_browser_notice(commit, &user.record, visit).await?;
        self.store.commit(commit).await?;
        Ok(SignInOutcome::SignedIn(Box::new(NewSession { session, value })))
    }

    /// Signs in somebody who has just made their account here.
    pub(super) async fn sign_in_added(&self, added: &User, visit: &Visit<'_>) -> Result<SignInOutcome, Unavailable> {
        let Some(user) = self.store.get::<User>(&added.id).await? else {
            return Ok(SignInOutcome::Wrong);
        };
        let opening = Opening {
            signed_in: SignedIn::by_password(visit.now()),
            remember: false,
            before: None,
        };
        Ok(again(|| self.open_for(&user, &opening, visit)).await?)
    }
}
