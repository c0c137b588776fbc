//! One-time tokens as the store keeps them: one live one for a purpose and a person, with a sealed copy for administrators to read.

use crate::base::time::Timestamp;
use crate::model::event::Action;
use crate::model::id::{TokenId, UserId};
use crate::model::token::{NewToken, OneTimeToken, Registration, Reset, TokenKind, TokenPurpose, TokenText};
use crate::model::user::{User, UserStatus};
use crate::store::{Commit, Kind, Page, SecretKind, SecretRecord, StoreError, Versioned};

use super::acting::Acting;
use super::{Accounts, Unavailable, again};

/// A token as administrators see it, to be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownToken {
    /// What it is for.
    pub kind: TokenKind,
    /// As it is shown: `XXXX-XXXX`, or digits.
    pub text: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Wrong guesses that are left.
    pub tries_left: u32,
}

/// How a new token reaches its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// An administrator reads it off and hands it over: a sealed copy is kept until it is used.
    HandedOver,
    /// It is mailed, and nobody here sees it.
    Mailed,
}

/// What came of asking for somebody's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFor {
    /// Here it is.
    Token(ShownToken),
    /// There is nobody of that name within reach.
    NotFound,
    /// The account is disabled: enable it first.
    Disabled,
}

/// Tokens that are looked at for [`Accounts::tokens_waiting`].
const LOOKED_AT: usize = 500;

impl Accounts {
    /// Whose tokens wait to be used and when they end, the first to end first; `limit` at most, of the first hundreds that there are.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn tokens_waiting(&self, limit: usize, now: Timestamp) -> Result<Vec<(String, Timestamp)>, Unavailable> {
        // The body of a token is the same whatever it is for.
        let tokens = self.store.list(Page::<OneTimeToken<Registration>>::first(LOOKED_AT)).await?;
        let mut ends: Vec<(Timestamp, UserId)> = tokens
            .iter()
            .filter(|token| token.record.is_live(now))
            .map(|token| (token.record.expires, token.record.user))
            .collect();
        ends.sort_unstable();
        ends.truncate(limit);
        let mut waiting = Vec::with_capacity(ends.len());
        for (at, user) in ends {
            if let Some(user) = self.store.get::<User>(&user).await? {
                waiting.push((user.record.display_name(), at));
            }
        }
        Ok(waiting)
    }

    /// The live registration token of a pending account, or the live reset token of an active one. Makes one where there is none, or
    /// where `anew` asks for it; the one before ends.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn token_for(&self, user: UserId, anew: bool, by: &Acting, now: Timestamp) -> Result<TokenFor, Unavailable> {
        let outcome = again(|| async {
            let Some(user) = self.changeable(user, by).await? else {
                return Ok(TokenFor::NotFound);
            };
            match user.record.status {
                UserStatus::Pending => self.shown_or_made::<Registration>(&user, anew, by, now).await,
                UserStatus::Active => self.shown_or_made::<Reset>(&user, anew, by, now).await,
                UserStatus::Disabled => Ok(TokenFor::Disabled),
            }
        })
        .await?;
        Ok(outcome)
    }

    async fn shown_or_made<P: TokenPurpose>(
        &self,
        user: &Versioned<User>,
        anew: bool,
        by: &Acting,
        now: Timestamp,
    ) -> Result<TokenFor, StoreError> {
        let before = self.token::<P>(user.record.id).await?;
        if let Some(token) = before.as_ref().filter(|token| !anew && token.record.is_live(now))
            && let Some(shown) = self.shown(&token.record).await?
        {
            return Ok(TokenFor::Token(shown));
        }
        let event = by.event(Action::TokenMade, user.record.id, now).with("token", P::KIND);
        let commit = Commit::because(event).unchanged(user);
        let (commit, shown) = self.with_token::<P>(commit, user.record.id, before, Way::HandedOver, now).await?;
        self.store.commit(commit).await?;
        Ok(TokenFor::Token(shown))
    }

    /// Ends the live token of an account; false if there is none, or nobody of that name within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then it has not ended.
    pub async fn cancel_token(&self, user: UserId, by: &Acting, now: Timestamp) -> Result<bool, Unavailable> {
        let cancelled = again(|| async {
            let Some(user) = self.changeable(user, by).await? else {
                return Ok(false);
            };
            let event = by.event(Action::TokenMade, user.record.id, now).with("token", "cancelled");
            let registration = self.token::<Registration>(user.record.id).await?;
            let reset = self.token::<Reset>(user.record.id).await?;
            if registration.is_none() && reset.is_none() {
                return Ok(false);
            }
            let commit = self.without_tokens(Commit::because(event), user.record.id).await?;
            self.store.commit(commit).await?;
            Ok(true)
        })
        .await?;
        Ok(cancelled)
    }

    /// The tokens of somebody that can still be used, to be shown to administrators.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn live_tokens(&self, user: UserId, now: Timestamp) -> Result<Vec<ShownToken>, Unavailable> {
        let mut shown = Vec::new();
        if let Some(token) = self.token::<Registration>(user).await?.filter(|token| token.record.is_live(now)) {
            shown.extend(self.shown(&token.record).await?);
        }
        if let Some(token) = self.token::<Reset>(user).await?.filter(|token| token.record.is_live(now)) {
            shown.extend(self.shown(&token.record).await?);
        }
        Ok(shown)
    }

    /// Adds a new token to a commit, with a sealed copy if it is handed over; the one before ends by it.
    pub(super) async fn with_token<P: TokenPurpose>(
        &self,
        mut commit: Commit,
        user: UserId,
        before: Option<Versioned<OneTimeToken<P>>>,
        way: Way,
        now: Timestamp,
    ) -> Result<(Commit, ShownToken), StoreError> {
        if let Some(before) = &before {
            commit = self.without_token(commit, before).await?;
        }
        let rules = self.rules();
        let ttl = match P::KIND {
            TokenKind::Registration => rules.registration_ttl,
            TokenKind::Reset | TokenKind::Email => rules.reset_ttl,
        };
        let text = TokenText::generate(rules.token_style, &self.random);
        let token = OneTimeToken::<P>::new(NewToken {
            id: TokenId::generate(&self.random),
            user,
            hash: self.keyring.hash(P::HASHED_UNDER, text.expose().as_bytes()),
            made: now,
            expires: now.after(ttl),
            tries: rules.token_tries,
            style: rules.token_style,
        });
        let shown = ShownToken {
            kind: P::KIND,
            text: text.to_shown(),
            expires: token.expires,
            tries_left: token.tries_left,
        };
        let commit = commit.create(&token);
        Ok(match way {
            Way::HandedOver => (commit.create(&self.seal_token(&token, &text)?), shown),
            Way::Mailed => (commit, shown),
        })
    }

    /// Adds the end of a token and of its sealed copy to a commit.
    pub(super) async fn without_token<P: TokenPurpose>(
        &self,
        commit: Commit,
        token: &Versioned<OneTimeToken<P>>,
    ) -> Result<Commit, StoreError> {
        let commit = commit.remove(token);
        Ok(match self.sealed_token(token.record.id).await? {
            Some(sealed) => commit.remove(&sealed),
            None => commit,
        })
    }

    /// Adds the end of every token of somebody to a commit.
    pub(super) async fn without_tokens(&self, mut commit: Commit, user: UserId) -> Result<Commit, StoreError> {
        if let Some(token) = self.token::<Registration>(user).await? {
            commit = self.without_token(commit, &token).await?;
        }
        if let Some(token) = self.token::<Reset>(user).await? {
            commit = self.without_token(commit, &token).await?;
        }
        Ok(commit)
    }

    pub(super) async fn shown<P: TokenPurpose>(&self, token: &OneTimeToken<P>) -> Result<Option<ShownToken>, StoreError> {
        let text = self.open_token(token).await?;
        Ok(text.map(|text| ShownToken {
            kind: P::KIND,
            text: text.to_shown(),
            expires: token.expires,
            tries_left: token.tries_left,
        }))
    }

    fn seal_token<P: TokenPurpose>(&self, token: &OneTimeToken<P>, text: &TokenText) -> Result<SecretRecord, StoreError> {
        let owner = token.id.to_string();
        // The cipher refuses only texts of 64 GiB; were it to refuse this one, no token is made that nobody could hand over.
        SecretRecord::seal(SecretKind::Token, &owner, text.expose().as_bytes(), &self.keyring, &self.random)
            .map_err(|_| StoreError::Unreadable(Kind::Secrets))
    }

    /// The text of a token from its sealed copy; `None` if there is none, or it was sealed under a key that is gone.
    async fn open_token<P: TokenPurpose>(&self, token: &OneTimeToken<P>) -> Result<Option<TokenText>, StoreError> {
        let Some(sealed) = self.sealed_token(token.id).await? else {
            return Ok(None);
        };
        let opened = sealed.record.open(&self.keyring).ok();
        Ok(opened
            .and_then(|text| String::from_utf8(text.expose().clone()).ok())
            .map(TokenText::from_sealed))
    }
}
