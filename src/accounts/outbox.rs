//! Letters: written with the deed they tell of, in one commit; then sent one after the other, until they are taken or given up.
//!
//! Whoever wants to write one asks [`Accounts::may_write_to`] first, once, outside any [`again`]: that counts. Then
//! [`Accounts::with_letter`] adds it to the commit, as often as that is tried. Where no mail is set up it adds nothing.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::base::seal::Purpose;
use crate::base::time::{HOUR, Timestamp};
use crate::mail::letters::Letter;
use crate::model::attempts::AttemptLimit;
use crate::model::email::EmailAddress;
use crate::model::event::{Action, Event};
use crate::model::id::{InvitationId, MessageId, UserId};
use crate::model::invitation::Invitation;
use crate::model::message::{About, Failure, LetterText, Message, MessageKind, MessageStanding, NewMessage, Sealing};
use crate::store::{AttemptKey, AttemptScope, Commit, Kind, MessageIndex, Page, StoreError, Versioned};

use super::acting::Acting;
use super::{Accounts, Unavailable, again};

/// Letters to one address in one span of time (SECURITY, row 22). Neither a stranger who asks again and again nor an administrator who
/// invites again and again fills anybody's inbox.
const MOST: AttemptLimit = AttemptLimit {
    attempts: 5,
    lock_for: HOUR,
};

/// Letters read at a time: the store is asked often rather than long.
const AT_ONCE: usize = 200;

/// The letters that wait.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Those to be tried now, the oldest first.
    pub due: Vec<MessageId>,
    /// When the first of the others is to be tried.
    pub next: Option<Timestamp>,
    /// How many wait in all.
    pub count: usize,
}

/// What came of giving a letter away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It was taken, with these words.
    Taken(String),
    /// Not this time.
    PutOff(String),
    /// It never will be.
    Bounced(String),
}

/// The last letter that was tried since the server began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTry {
    /// When.
    pub at: Timestamp,
    /// What came of it; the words as the mail server said them.
    pub given: Given,
}

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

    /// Adds that the letters of an invitation that still wait are not tried any more: where they lead to has ended.
    pub(super) async fn without_letters_of(&self, mut commit: Commit, id: InvitationId, now: Timestamp) -> Result<Commit, StoreError> {
        for letter in self.all_of::<Message>(&MessageIndex::AboutInvitation(id.to_string())).await? {
            if letter.record.standing() == MessageStanding::Waiting {
                let given_up = letter.record.failed(Failure::GivenUp, letter.record.said(), now);
                commit = commit.replace(&letter, &given_up);
            }
        }
        Ok(commit)
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

    /// Ends when a letter was written since this was asked last. True if somebody wants one sent whatever became of it before.
    pub async fn letter_written(&self) -> bool {
        self.written.notified().await;
        self.urgent.swap(false, Ordering::SeqCst)
    }

    /// Has letters sent at once, even to a mail server that was away a moment ago.
    pub fn hurry_letters(&self) {
        self.urgent.store(true, Ordering::SeqCst);
        self.written.notify_one();
    }

    /// The letters that wait. With `all`, every one of them is due: as when a mail server is back that was away.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn waiting_letters(&self, all: bool, now: Timestamp) -> Result<Waiting, Unavailable> {
        let mut waiting = Waiting::default();
        let mut due = Vec::new();
        let mut after = None;
        loop {
            let page = Page::<Message>::of(&MessageIndex::Standing(MessageStanding::Waiting), AT_ONCE);
            let page = match &after {
                Some(after) => page.after(after),
                None => page,
            };
            let letters = self.store.list(page).await?;
            let Some(last) = letters.last() else { break };
            after = Some(last.record.id);
            waiting.count += letters.len();
            for letter in letters {
                let letter = letter.record;
                if all || letter.is_due(now) {
                    due.push((letter.made, letter.id));
                } else if let Some(next) = letter.next_try() {
                    waiting.next = Some(waiting.next.map_or(next, |other| other.min(next)));
                }
            }
        }
        due.sort_unstable();
        waiting.due = due.into_iter().map(|(_, id)| id).collect();
        Ok(waiting)
    }

    /// A letter with what it says, if it still waits. One that is of no use any more, or cannot be read, is failed instead.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn letter_to_send(&self, id: MessageId, now: Timestamp) -> Result<Option<(Message, LetterText)>, Unavailable> {
        let Some(message) = self.store.get::<Message>(&id).await?.map(|message| message.record) else {
            return Ok(None);
        };
        if message.standing() != MessageStanding::Waiting {
            return Ok(None);
        }
        let why = if message.is_outdated(now) {
            Failure::Outdated
        } else {
            match message.open(&self.keyring) {
                Ok(Some(letter)) => return Ok(Some((message, letter))),
                Ok(None) | Err(_) => Failure::Unreadable,
            }
        };
        self.change_letter(id, &Acting::system(), now, |message| {
            let waits = message.standing() == MessageStanding::Waiting;
            waits.then(|| (Action::MailFailed, message.failed(why, message.said(), now)))
        })
        .await?;
        Ok(None)
    }

    /// Notes what came of giving a letter away, whatever became of it meanwhile: what was sent was sent. Says how it stands then; none if
    /// it is gone.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then it has to be noted again, or the letter goes out twice.
    pub async fn note_given(&self, id: MessageId, given: &Given, now: Timestamp) -> Result<Option<MessageStanding>, Unavailable> {
        *self.last_try.lock().unwrap_or_else(PoisonError::into_inner) = Some(LastTry {
            at: now,
            given: given.clone(),
        });
        self.change_letter(id, &Acting::system(), now, |message| {
            let waits = message.standing() == MessageStanding::Waiting;
            let new = match given {
                Given::Taken(said) => message.sent(said, now),
                Given::PutOff(said) if waits => message.put_off(said, now),
                Given::Bounced(said) if waits => message.bounced(said, now),
                Given::PutOff(_) | Given::Bounced(_) => return None,
            };
            let action = match new.standing() {
                MessageStanding::Sent => Action::MailSent,
                MessageStanding::Waiting => Action::MailPutOff,
                MessageStanding::Failed => Action::MailFailed,
            };
            Some((action, new))
        })
        .await
    }

    /// The last letter that was tried since the server began.
    #[must_use]
    pub fn last_letter_tried(&self) -> Option<LastTry> {
        self.last_try.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Wipes what letters say that is of no use any more, sent or not: those that wait fail by it. For the chores. Says how many failed letters
    /// there are.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn wipe_letters(&self, now: Timestamp) -> Result<usize, Unavailable> {
        let mut failed = 0;
        for standing in [MessageStanding::Waiting, MessageStanding::Failed] {
            let mut after = None;
            loop {
                let page = Page::<Message>::of(&MessageIndex::Standing(standing), AT_ONCE);
                let page = match &after {
                    Some(after) => page.after(after),
                    None => page,
                };
                let letters = self.store.list(page).await?;
                let Some(last) = letters.last() else { break };
                after = Some(last.record.id);
                for letter in &letters {
                    if letter.record.is_outdated(now) {
                        self.change_letter(letter.record.id, &Acting::system(), now, |message| outdated(message, now))
                            .await?;
                    }
                }
                // Those that fail here are listed among the failed afterwards.
                if standing == MessageStanding::Failed {
                    failed += letters.len();
                }
            }
        }
        Ok(failed)
    }

    /// Changes a letter, reading again while it moves. Says how it stands; none if it is not there.
    pub(super) async fn change_letter(
        &self,
        id: MessageId,
        by: &Acting,
        now: Timestamp,
        change: impl Fn(&Message) -> Option<(Action, Message)>,
    ) -> Result<Option<MessageStanding>, Unavailable> {
        let standing = again(|| async {
            let Some(message) = self.store.get::<Message>(&id).await? else {
                return Ok(None);
            };
            let Some((action, new)) = change(&message.record) else {
                return Ok(Some(message.record.standing()));
            };
            let mut event = Event::new(action, by.actor.clone(), now)
                .to(id)
                .from(by.address)
                .with("kind", new.kind);
            if let Some(user) = new.about.user {
                event = event.with("user", user);
            }
            if let Some(invitation) = &new.about.invitation {
                event = event.with("invitation", invitation);
            }
            let standing = new.standing();
            let mut commit = Commit::because(event).replace(&message, &new);
            if let Some((before, after)) = self.invitation_brought_by(&new).await? {
                commit = commit.replace(&before, &after);
            }
            self.store.commit(commit).await?;
            Ok(Some(standing))
        })
        .await?;
        Ok(standing)
    }

    /// The invitation whose link a letter brings, and what it then says of the letter; none if it says that already, or was sent again since.
    async fn invitation_brought_by(&self, letter: &Message) -> Result<Option<(Versioned<Invitation>, Invitation)>, StoreError> {
        let id = letter.about.invitation.as_deref().and_then(|id| id.parse::<InvitationId>().ok());
        let Some(id) = id.filter(|_| letter.kind == MessageKind::Invitation) else {
            return Ok(None);
        };
        let bounced = letter.is_lost();
        let found = self.store.get::<Invitation>(&id).await?;
        Ok(found
            .filter(|found| found.record.sent == letter.made && found.record.bounced != bounced)
            .map(|before| {
                let after = Invitation {
                    bounced,
                    ..before.record.clone()
                };
                (before, after)
            }))
    }
}

/// What becomes of a letter that is of no use any more; none if nothing does.
fn outdated(message: &Message, now: Timestamp) -> Option<(Action, Message)> {
    let waits = message.standing() == MessageStanding::Waiting && message.is_outdated(now);
    if waits {
        return Some((Action::MailFailed, message.failed(Failure::Outdated, message.said(), now)));
    }
    message.wiped(now).map(|new| (Action::MailWiped, new))
}
