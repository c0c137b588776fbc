//! Forgotten and changed passwords.

use crate::base::secret::Secret;
use crate::base::time::{MINUTE, Timestamp};
use crate::mail::letters::{Letter, TokenLetter};
use crate::model::email::{EmailAddress, InvalidEmail};
use crate::model::event::{Action, Actor, Event};
use crate::model::message::About;
use crate::model::password::{Password, WeakPassword};
use crate::model::session::Session;
use crate::model::token::Reset;
use crate::model::user::{User, UserStatus};
use crate::signin::local::NewPassword;
use crate::store::{Commit, StoreError};

use super::admission::Visit;
use super::memory::Caller;
use super::tokens::{ShownToken, Way};
use super::{Accounts, Unavailable, again};

/// What came of asking for a reset token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskOutcome {
    /// The one answer, whoever the address belongs to.
    Asked(EmailAddress),
    /// Not an address.
    Flawed(InvalidEmail),
    /// Too many tries from this network.
    TooMany {
        /// When the next try is looked at.
        until: Timestamp,
    },
}

/// What came of changing one's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// It is changed; all other sessions have ended.
    Changed,
    /// The current password is wrong.
    WrongCurrent,
    /// The new one will not do.
    Weak(WeakPassword),
    /// There is no local password to change: the person signs in elsewhere.
    None,
    /// Too many wrong tries.
    Locked {
        /// When the next try is looked at.
        until: Timestamp,
    },
    /// More passwords at once than the machine can do; 503 with Retry-After.
    Busy,
}

/// What asking for a reset token leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    /// A letter.
    Mail,
    /// A token for administrators to see.
    Show,
    /// Nothing: there were too many letters to that address.
    Nothing,
}

impl Accounts {
    /// Somebody needs a reset token. Where the address belongs to an active person with a password here, one is mailed to them, or made for
    /// administrators to see where no mail is set up.
    ///
    /// One that an administrator has, to be handed over, stays as it is and is what is mailed, so that asking takes nothing from who was just
    /// given it; so does one that was mailed within the last minute, as by a second click.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn ask_reset(&self, email: &str, visit: &Visit<'_>) -> Result<AskOutcome, Unavailable> {
        let email = match email.parse::<EmailAddress>() {
            Ok(email) => email,
            Err(flaw) => return Ok(AskOutcome::Flawed(flaw)),
        };
        if let Err(until) = self.count_token(visit).await? {
            return Ok(AskOutcome::TooMany { until });
        }
        // Counted for the address as it was typed, so that it costs the same whoever has it.
        let may = if self.sends_mail() && self.may_write_to(&email, visit.now()).await?.is_err() {
            May::Nothing
        } else if self.sends_mail() {
            May::Mail
        } else {
            May::Show
        };
        again(|| self.make_asked(&email, may, visit)).await?;
        Ok(AskOutcome::Asked(email))
    }

    /// Writes once, whether there is such a person or not.
    async fn make_asked(&self, email: &EmailAddress, may: May, visit: &Visit<'_>) -> Result<(), StoreError> {
        let now = visit.now();
        let user = self
            .user_by_email(email.clone())
            .await?
            .filter(|user| user.record.status == UserStatus::Active && user.record.password.is_some() && self.rules().passwords);
        let Some(user) = user.filter(|_| may != May::Nothing) else {
            return self.count_nothing(visit).await;
        };
        // As it is kept, not as it was typed: the case of the part before the `@` may make another mailbox of it.
        let to = user.record.email.as_ref().unwrap_or(email);
        let token = self.token::<Reset>(user.record.id).await?;
        let (live, handed_over) = match token.as_ref().filter(|token| token.record.is_live(now)) {
            Some(token) => (Some(token), self.shown(&token.record).await?),
            None => (None, None),
        };
        let event = Event::new(Action::ResetAsked, Actor::Anonymous, now)
            .to(user.record.id)
            .from(visit.address());
        let commit = Commit::because(event).unchanged(&user);
        let commit = match (may, live, handed_over) {
            (May::Mail, Some(token), Some(shown)) => {
                let letter = Self::reset_letter(&shown, token.record.made, visit);
                self.with_letter(commit.unchanged(token), to, &letter, About::user(user.record.id), now)?
            }
            (May::Mail, Some(token), None) if now.since(token.record.made) < MINUTE => return self.count_nothing(visit).await,
            (May::Mail, ..) => {
                let (commit, shown) = self.with_token::<Reset>(commit, user.record.id, token, Way::Mailed, now).await?;
                let letter = Self::reset_letter(&shown, now, visit);
                self.with_letter(commit, to, &letter, About::user(user.record.id), now)?
            }
            (_, Some(_), Some(_)) => return self.count_nothing(visit).await,
            // Also in the place of one that was mailed before mail was switched off.
            _ => {
                self.with_token::<Reset>(commit, user.record.id, token, Way::HandedOver, now)
                    .await?
                    .0
            }
        };
        self.store.commit(commit).await
    }

    fn reset_letter(token: &ShownToken, made: Timestamp, visit: &Visit<'_>) -> Letter {
        Letter::ResetToken(TokenLetter {
            token: Secret::new(token.text.clone()),
            until: token.expires,
            lasts: token.expires.since(made),
            tries: token.tries_left,
            address: visit.address(),
        })
    }

    /// Changes the caller's password. Every other session of theirs ends; this one goes on.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn change_password(
        &self,
        caller: &Caller,
        current: Password,
        new: Password,
        visit: &Visit<'_>,
    ) -> Result<ChangeOutcome, Unavailable> {
        let rules = self.rules();
        if let Err(weak) = new.check_length(rules.password_min) {
            return Ok(ChangeOutcome::Weak(weak));
        }
        let identity = caller.identity();
        let Some(user) = self.store.get::<User>(&identity.user).await? else {
            return Ok(ChangeOutcome::None);
        };
        let Some(hash) = user.record.password.clone() else {
            return Ok(ChangeOutcome::None);
        };
        let (Ok(seat), Ok(next_seat)) = (self.passwords.seat(), self.passwords.seat()) else {
            return Ok(ChangeOutcome::Busy);
        };
        // Who found an open browser must not be able to guess on: counted like a sign-in, for the person rather than for what is typed.
        let tries = match self.count_sign_in(&format!("\0{}", identity.user), visit).await? {
            Ok(tries) => tries,
            Err(throttled) => return Ok(ChangeOutcome::Locked { until: throttled.until() }),
        };
        match self.passwords.check(seat, current, Some(hash.clone())).await {
            Ok(true) => {}
            Ok(false) => return Ok(ChangeOutcome::WrongCurrent),
            Err(_) => {
                self.take_back(&tries, visit.now()).await?;
                return Ok(ChangeOutcome::Busy);
            }
        }
        self.clear_sign_in(&tries, visit.now()).await?;
        let made = self
            .passwords
            .make(
                next_seat,
                NewPassword {
                    text: new,
                    at_least: rules.password_min,
                    known: known_words(&user.record),
                },
            )
            .await;
        let new_hash = match made {
            Ok(Ok(hash)) => hash,
            Ok(Err(weak)) => return Ok(ChangeOutcome::Weak(weak)),
            Err(_) => return Ok(ChangeOutcome::Busy),
        };
        let outcome = again(|| async {
            let Some(user) = self.store.get::<User>(&identity.user).await? else {
                return Ok(ChangeOutcome::None);
            };
            // Changed by somebody else in between: then what was typed as the current one no longer is.
            if user.record.password.as_ref() != Some(&hash) {
                return Ok(ChangeOutcome::WrongCurrent);
            }
            // A session that was ended in between stays ended.
            let session = self.store.get::<Session>(&caller.session().id).await?;
            let Some(session) = session.filter(|session| session.record.epoch == user.record.epoch) else {
                return Ok(ChangeOutcome::None);
            };
            let mut changed = user.record.clone();
            changed.password = Some(new_hash.clone());
            changed.epoch += 1;
            let kept = Session {
                epoch: changed.epoch,
                ..session.record.clone()
            };
            let event = Event::new(Action::PasswordChanged, Actor::User(identity.user), visit.now())
                .to(identity.user)
                .from(visit.address());
            let commit = Commit::because(event).replace(&user, &changed).replace(&session, &kept);
            // A reset token that somebody asked for would undo the change.
            let commit = match self.token::<Reset>(identity.user).await? {
                Some(token) => self.without_token(commit, &token).await?,
                None => commit,
            };
            let commit = self
                .with_password_notice(commit, &changed, "With the password before it", visit)
                .await?;
            self.store.commit(commit).await?;
            Ok(ChangeOutcome::Changed)
        })
        .await?;
        Ok(outcome)
    }
}

/// Words about a person that their password should not be made of.
pub(super) fn known_words(user: &User) -> Vec<String> {
    let email = user.email.as_ref().map(EmailAddress::as_str).unwrap_or_default();
    let mut words: Vec<String> = email.split(['@', '.']).map(str::to_owned).collect();
    words.extend([
        email.to_owned(),
        user.username.as_str().to_owned(),
        user.given_name.as_str().to_owned(),
        user.family_name.as_str().to_owned(),
    ]);
    words.retain(|word| !word.is_empty());
    words
}
