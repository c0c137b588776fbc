//! Letters as administrators see and handle them: listed, sent again, given up. What a letter says is shown to nobody.

use crate::base::time::Timestamp;
use crate::mail::letters::Letter;
use crate::model::event::{Action, Event};
use crate::model::id::{MessageId, UserId};
use crate::model::message::{About, Failure, Message, MessageStanding};
use crate::model::user::User;
use crate::store::{Commit, MessageIndex, Page, StoreError};

use super::acting::{Acting, Reach};
use super::{Accounts, Unavailable, again};

/// Which page of the letters, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterPage {
    /// The first.
    First,
    /// Those written before this one.
    After(MessageId),
    /// The last of those written after this one.
    Before(MessageId),
}

/// A page of letters.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    /// The letters.
    pub letters: Vec<Message>,
    /// Whether there are newer ones.
    pub newer: bool,
    /// Whether there are older ones.
    pub older: bool,
}

/// What came of wanting a letter sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// It waits to be sent, now.
    Waits,
    /// There is no such letter within reach.
    NotFound,
    /// It was sent, or what it said is wiped: what it told of has to be done again.
    Gone,
    /// Too many letters to that address in the last hour.
    TooMany {
        /// When there may be another one.
        until: Timestamp,
    },
    /// No mail is set up, or the account has no address.
    Nowhere,
}

impl Accounts {
    /// A page of the letters that are within reach; with `standing`, those that stand so, which only who reaches everybody may ask.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn list_letters(
        &self,
        standing: Option<MessageStanding>,
        page: LetterPage,
        limit: usize,
        by: &Acting,
    ) -> Result<Letters, Unavailable> {
        // One more than is shown says whether there is more.
        let wanted = limit.saturating_add(1);
        let mut found = Vec::new();
        match (&by.reach, standing) {
            (Reach::All, None) => found = self.letters_from(None, page, wanted).await?,
            (Reach::All, Some(standing)) => {
                let index = MessageIndex::Standing(standing);
                found = self.letters_from(Some(&index), page, wanted).await?;
            }
            (Reach::Teams(teams), _) => {
                for team in teams {
                    let index = MessageIndex::OfTeam(team.clone());
                    found.extend(self.letters_from(Some(&index), page, wanted).await?);
                }
                found.sort_by_key(|letter| letter.id.number());
            }
        }
        let more = found.len() > limit;
        let back = matches!(page, LetterPage::Before(_));
        if more && back {
            found.drain(..found.len() - limit);
        } else {
            found.truncate(limit);
        }
        Ok(Letters {
            letters: found,
            newer: if back { more } else { page != LetterPage::First },
            older: back || more,
        })
    }

    async fn letters_from(&self, index: Option<&MessageIndex>, page: LetterPage, limit: usize) -> Result<Vec<Message>, StoreError> {
        let all = index.map_or_else(|| Page::<Message>::first(limit), |index| Page::of(index, limit));
        let letters = self
            .store
            .list(match page {
                LetterPage::First => all,
                LetterPage::After(id) => all.after(&id),
                LetterPage::Before(id) => all.before(&id),
            })
            .await?;
        Ok(letters.into_iter().map(|letter| letter.record).collect())
    }

    /// Has a letter that waits or failed tried now, as if it were new.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn send_letter_again(&self, id: MessageId, by: &Acting, now: Timestamp) -> Result<SendOutcome, Unavailable> {
        let Some(letter) = self.letter_within(id, by).await? else {
            return Ok(SendOutcome::NotFound);
        };
        if !letter.may_go_again(now) {
            return Ok(SendOutcome::Gone);
        }
        // One that waits was counted when it was written.
        if letter.standing() == MessageStanding::Failed
            && let Err(until) = self.may_write_to(&letter.to, now).await?
        {
            return Ok(SendOutcome::TooMany { until });
        }
        let standing = self
            .change_letter(id, by, now, |letter| {
                letter.may_go_again(now).then(|| (Action::MailAgain, letter.again(now)))
            })
            .await?;
        self.hurry_letters();
        Ok(match standing {
            Some(MessageStanding::Waiting) => SendOutcome::Waits,
            Some(MessageStanding::Sent | MessageStanding::Failed) => SendOutcome::Gone,
            None => SendOutcome::NotFound,
        })
    }

    /// Has a letter that waits not tried any more; what it says is wiped. False if it does not wait, `None` if there is none within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn give_letter_up(&self, id: MessageId, by: &Acting, now: Timestamp) -> Result<Option<bool>, Unavailable> {
        if self.letter_within(id, by).await?.is_none() {
            return Ok(None);
        }
        let standing = self
            .change_letter(id, by, now, |letter| {
                let waits = letter.standing() == MessageStanding::Waiting;
                waits.then(|| (Action::MailFailed, letter.failed(Failure::GivenUp, letter.said(), now)))
            })
            .await?;
        Ok(standing.map(|standing| standing == MessageStanding::Failed))
    }

    /// Writes a letter to somebody's own address that only shows that mail arrives.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then none was written.
    pub async fn send_test_letter(&self, to: UserId, by: &Acting, now: Timestamp) -> Result<SendOutcome, Unavailable> {
        let user = self.store.get::<User>(&to).await?;
        let Some(email) = user.and_then(|user| user.record.email).filter(|_| self.sends_mail()) else {
            return Ok(SendOutcome::Nowhere);
        };
        if let Err(until) = self.may_write_to(&email, now).await? {
            return Ok(SendOutcome::TooMany { until });
        }
        again(|| async {
            let event = Event::new(Action::MailTest, by.actor.clone(), now).to(to).from(by.address);
            let letter = Letter::Test { at: now };
            let commit = self.with_letter(Commit::because(event), &email, &letter, About::user(to), now)?;
            self.store.commit(commit).await
        })
        .await?;
        self.hurry_letters();
        Ok(SendOutcome::Waits)
    }

    async fn letter_within(&self, id: MessageId, by: &Acting) -> Result<Option<Message>, StoreError> {
        let letter = self.store.get::<Message>(&id).await?.map(|letter| letter.record);
        Ok(letter.filter(|letter| match &by.reach {
            Reach::All => true,
            Reach::Teams(teams) => letter.about.team.as_ref().is_some_and(|team| teams.contains(team)),
        }))
    }
}
