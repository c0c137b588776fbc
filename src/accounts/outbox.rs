//! Letters: written with the deed they tell of, in one commit; then sent one after the other, until they are taken or given up.
//!
//! Whoever wants to write one asks [`Accounts::may_write_to`] first, once, outside any [`again`](super::again): that counts. Then
//! [`Accounts::with_letter`] adds it to the commit, as often as that is tried. Where no mail is set up it adds nothing.

use crate::base::seal::Purpose;
use crate::base::time::{HOUR, Timestamp};
use crate::mail::letters::Letter;
use crate::model::attempts::AttemptLimit;
use crate::model::email::EmailAddress;
use crate::model::id::UserId;
use crate::model::message::{About, Message, NewMessage, Sealing};
use crate::store::{AttemptKey, AttemptScope, Commit, Kind, MessageIndex, StoreError};

use super::{Accounts, Unavailable};

/// Letters to one address in one span of time (SECURITY, row 22). Neither a stranger who asks again and again nor an administrator who
/// invites again and again fills anybody's inbox.
const MOST: AttemptLimit = AttemptLimit {
    attempts: 5,
    lock_for: HOUR,
};

impl Accounts {
    /// Whether letters are sent; where they are not, links and tokens are shown to be handed over.
    #[must_use]
    pub fn sends_mail(&self) -> bool {
        self.rules().mail
    }

    /// Counts a letter to that address, whether anybody has it or not; past the limit it says when there may be another one.
    ///
    /// Costs one write, the same whatever the answer.
    pub(super) async fn may_write_to(&self, to: &EmailAddress, now: Timestamp) -> Result<Result<(), Timestamp>, StoreError> {
        let hash = self.keyring.hash(Purpose::Attempts, to.canonical().as_bytes()).hash;
        let key = AttemptKey::new(AttemptScope::Mail, hash);
        let counted = self.store.count(key, MOST, now).await?;
        Ok(match counted.locked_until.filter(|_| counted.is_locked(now)) {
            Some(until) => Err(until),
            None => Ok(()),
        })
    }

    /// Adds a letter to a commit: it is sent if, and only if, the deed is done. Without mail set up the commit stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if it cannot be written or sealed, for which there is no reason.
    pub(super) fn with_letter(
        &self,
        commit: Commit,
        to: &EmailAddress,
        letter: &Letter,
        about: About,
        now: Timestamp,
    ) -> Result<Commit, StoreError> {
        let rules = self.rules();
        if !rules.mail {
            return Ok(commit);
        }
        let new = NewMessage {
            to: to.clone(),
            kind: letter.kind(),
            title: letter.title(),
            about,
            made: now,
            good_until: letter.good_until(),
        };
        let text = letter.write(&rules.letterhead).map_err(|_| StoreError::Unreadable(Kind::Outbox))?;
        let sealing = Sealing {
            keyring: &self.keyring,
            random: &self.random,
        };
        let message = Message::new(new, &text, sealing).map_err(|_| StoreError::Unreadable(Kind::Outbox))?;
        Ok(commit.create(&message))
    }

    /// The letters about an invitation, the newest first.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn letters_about_invitation(&self, invitation: &str) -> Result<Vec<Message>, Unavailable> {
        Ok(self.letters(&MessageIndex::AboutInvitation(invitation.to_owned())).await?)
    }

    /// The letters about an account, the newest first.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn letters_about(&self, user: UserId) -> Result<Vec<Message>, Unavailable> {
        Ok(self.letters(&MessageIndex::AboutUser(user)).await?)
    }

    async fn letters(&self, index: &MessageIndex) -> Result<Vec<Message>, StoreError> {
        let letters = self.all_of::<Message>(index).await?;
        Ok(letters.into_iter().map(|letter| letter.record).collect())
    }
}
