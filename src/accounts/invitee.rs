//! Invitations, as those see them who were invited: a link, an account form, a token, and they are signed in. Or a link, a sign-in with
//! the account they have, and their word that they join.

use crate::base::encoding::{array_from_base64url, base64url};
use crate::base::secret::{Hashed, Secret};
use crate::base::time::Timestamp;
use crate::mail::letters::{Letter, TokenLetter};
use crate::model::email::EmailAddress;
use crate::model::event::{Action, Actor, Event};
use crate::model::invitation::{Invitation, Profile, Progress};
use crate::model::membership::Membership;
use crate::model::message::About;
use crate::model::name::{PersonName, ProviderName, Username};
use crate::model::password::{Password, WeakPassword};
use crate::model::principal::SignedIn;
use crate::model::token::{Confirmation, InvalidToken, Redemption, TokenPurpose, TokenStyle, TokenText};
use crate::model::user::{User, UserStatus};
use crate::policy::delegation::Delegation;
use crate::signin::local::NewPassword;
use crate::store::{Commit, InvitationUnique, StoreError, Unique, UserUnique, Versioned};

use super::admission::{Refused, Visit};
use super::memory::Caller;
use super::sessions::Opening;
use super::sign_in::NewSession;
use super::tokens::Way;
use super::{Accounts, Unavailable, again};

/// What somebody finds behind the link of an open invitation.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// The invitation.
    pub invitation: Invitation,
    /// How far it has come.
    pub progress: Progress,
    /// Who invited, as people call them.
    pub by: Option<String>,
    /// Whether the address has an account already: then they join with that one.
    pub has_account: bool,
    /// Whether that account still waits for its registration: nobody can sign in to it yet.
    pub waits: bool,
    /// Whether this browser filled the account form in.
    pub begun_here: bool,
    /// When the token that is on its way ends, and how it looks; told to that browser only.
    pub token: Option<(Timestamp, TokenStyle)>,
}

/// What was typed into the account form.
#[derive(Clone, Debug)]
pub struct AccountForm {
    /// Given name.
    pub given_name: PersonName,
    /// Family name.
    pub family_name: PersonName,
    /// Username.
    pub username: Username,
    /// The password to be.
    pub password: Password,
}

/// What came of the account form.
#[derive(Debug)]
pub enum BeginOutcome {
    /// A token is on its way, or waits to be handed over.
    TokenSent {
        /// What the browser shows beside it: the token is taken from that browser only.
        begun: Secret<String>,
    },
    /// There is no such invitation, or its time is over.
    Ended,
    /// The address has an account: they join with that one.
    HasAccount,
    /// The invitation names a provider, and only that one's word counts.
    Elsewhere(ProviderName),
    /// `signin.registration` is `closed`, or passwords are no way in.
    Closed,
    /// Somebody has that username.
    UsernameTaken,
    /// The password will not do.
    Weak(WeakPassword),
    /// Too many tries from this network.
    TooMany {
        /// When the next try is looked at.
        until: Timestamp,
    },
    /// The address was sent as many letters in this hour as anybody is.
    TooManyLetters {
        /// When it may be sent the next.
        until: Timestamp,
    },
    /// More passwords at once than the machine can hash; 503 with Retry-After.
    Busy,
}

/// What came of the token.
#[derive(Debug)]
pub enum ConfirmOutcome {
    /// It was right: the account is made and here is the session.
    SignedIn(Box<NewSession>),
    /// Not a token's text; no try was spent.
    Flawed(InvalidToken),
    /// Wrong; so many tries are left.
    Wrong {
        /// At least one.
        left: u32,
    },
    /// Too many wrong guesses: the link starts again.
    Locked,
    /// The token's time is over: the link starts again.
    Expired,
    /// There is no such invitation, its time is over, or its team is gone.
    Ended,
    /// Its account form is to be filled in, in this browser; or it is completed another way now.
    StartAgain,
    /// Somebody has made an account of that address meanwhile: they join with that one.
    HasAccount,
    /// Somebody has taken that username meanwhile: the form starts again.
    UsernameTaken,
    /// Every seat of the team is taken.
    Full,
    /// The token is right and still good; the person may not come in from here.
    Refused(Box<Refused>),
    /// Too many tries from this network.
    TooMany {
        /// When the next try is looked at.
        until: Timestamp,
    },
}

/// What came of joining with an account that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinOutcome {
    /// They are in the team.
    Joined,
    /// There is no such invitation, or its time is over.
    Ended,
    /// It is for another address than this account's.
    SomebodyElse,
    /// The invitation names a provider, and this session came another way.
    Elsewhere(ProviderName),
    /// Every seat of the team is taken.
    Full,
}

impl Accounts {
    /// What is behind a link; `None` if it never was one, was used, withdrawn or replaced, or its time is over. Nothing changes by it: mail
    /// scanners open links.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    ///
    /// `begun` is what the browser was given when it filled the form in; any other is not told of the token.
    pub async fn welcome(&self, secret: &str, begun: &str, now: Timestamp) -> Result<Option<Welcome>, Unavailable> {
        let Some(invitation) = self.open_invitation(secret, now).await? else {
            return Ok(None);
        };
        let invitation = invitation.record;
        let token = match has_begun(&invitation, begun) {
            true => self.token::<Confirmation>(invitation.user).await?,
            false => None,
        };
        let by = match invitation.by {
            Some(by) => self.store.get::<User>(&by).await?.map(|by| by.record.display_name()),
            None => None,
        };
        let account = self.user_by_email(invitation.email.clone()).await?;
        Ok(Some(Welcome {
            progress: invitation.progress(token.as_ref().map(|token| &token.record), now),
            token: token
                .filter(|token| token.record.is_live(now))
                .map(|token| (token.record.expires, token.record.style)),
            by,
            has_account: account.is_some(),
            waits: account.is_some_and(|account| account.record.status == UserStatus::Pending),
            begun_here: has_begun(&invitation, begun),
            invitation,
        }))
    }

    /// The account form was sent, and some of its fields are to be corrected.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn note_opened(&self, secret: &str, visit: &Visit<'_>) -> Result<(), Unavailable> {
        again(|| async {
            let Some(before) = self.open_invitation(secret, visit.now()).await? else {
                return Ok(());
            };
            if before.record.opened.is_some() {
                return Ok(());
            }
            let new = before.record.clone().opened(None, visit.now());
            self.store.commit(Commit::because(opened(&new, visit)).replace(&before, &new)).await
        })
        .await?;
        Ok(())
    }

    /// The account form: what was typed waits for a token that goes to the address. A token before it ends.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing was sent.
    pub async fn begin(&self, secret: &str, form: AccountForm, visit: &Visit<'_>) -> Result<BeginOutcome, Unavailable> {
        let rules = self.rules();
        let now = visit.now();
        let Some(invitation) = self.open_invitation(secret, now).await? else {
            return Ok(BeginOutcome::Ended);
        };
        let invitation = invitation.record;
        if let Some(provider) = invitation.offer.provider {
            return Ok(BeginOutcome::Elsewhere(provider));
        }
        if !(rules.registration && rules.passwords) {
            return Ok(BeginOutcome::Closed);
        }
        let Ok(seat) = self.passwords.seat() else {
            return Ok(BeginOutcome::Busy);
        };
        let tries = match self.count_token(visit).await? {
            Ok(tries) => tries,
            Err(until) => return Ok(BeginOutcome::TooMany { until }),
        };
        let new_password = NewPassword {
            text: form.password,
            at_least: rules.password_min,
            known: words_of(&invitation, &form.given_name, &form.family_name, &form.username),
        };
        let made = self.passwords.make(seat, new_password).await;
        // Whoever holds the link guesses nothing by filling the form in.
        self.take_back(&tries, now).await?;
        let password = match made {
            Ok(Ok(hash)) => hash,
            Ok(Err(weak)) => return Ok(BeginOutcome::Weak(weak)),
            Err(_) => return Ok(BeginOutcome::Busy),
        };
        let begun = self.random.bytes::<16>();
        let profile = Profile {
            begun: Hashed::sha256(&begun),
            given_name: form.given_name,
            family_name: form.family_name,
            username: form.username,
            password,
        };
        // Looked at before the letter is counted: what is refused anyway costs the address nothing.
        if let Some(refused) = self.may_begin(&invitation, &profile).await? {
            return Ok(refused);
        }
        if let Err(until) = self.may_send_token(&invitation.email, now).await? {
            return Ok(BeginOutcome::TooManyLetters { until });
        }
        let begun = Secret::new(base64url(&begun));
        Ok(again(|| self.begin_once(secret, &profile, &begun, visit)).await?)
    }

    async fn may_send_token(&self, to: &EmailAddress, now: Timestamp) -> Result<Result<(), Timestamp>, StoreError> {
        if !self.sends_mail() {
            return Ok(Ok(()));
        }
        self.may_write_to(to, now).await
    }

    /// Adds a new token for the address of an invitation: in a letter where mail is set up, else for whoever invited to hand over.
    async fn with_confirmation(&self, commit: Commit, invitation: &Invitation, visit: &Visit<'_>) -> Result<Commit, StoreError> {
        let now = visit.now();
        let way = if self.sends_mail() { Way::Mailed } else { Way::HandedOver };
        let before = self.token::<Confirmation>(invitation.user).await?;
        let (commit, shown) = self.with_token::<Confirmation>(commit, invitation.user, before, way, now).await?;
        let letter = Letter::EmailToken(TokenLetter {
            until: shown.expires,
            lasts: self.rules().reset_ttl,
            tries: shown.tries_left,
            token: Secret::new(shown.text),
            address: visit.address(),
        });
        let about = About::invitation(&invitation.id, invitation.offer.team.clone());
        self.with_letter(commit, &invitation.email, &letter, about, now)
    }

    async fn may_begin(&self, invitation: &Invitation, profile: &Profile) -> Result<Option<BeginOutcome>, StoreError> {
        if self.user_by_email(invitation.email.clone()).await?.is_some() {
            return Ok(Some(BeginOutcome::HasAccount));
        }
        let taken = UserUnique::Username(profile.username.clone());
        let taken = self.store.find::<User>(&taken).await?.is_some();
        Ok(taken.then_some(BeginOutcome::UsernameTaken))
    }

    async fn begin_once(
        &self,
        secret: &str,
        profile: &Profile,
        begun: &Secret<String>,
        visit: &Visit<'_>,
    ) -> Result<BeginOutcome, StoreError> {
        let now = visit.now();
        let Some(before) = self.open_invitation(secret, now).await? else {
            return Ok(BeginOutcome::Ended);
        };
        if let Some(refused) = self.may_begin(&before.record, profile).await? {
            return Ok(refused);
        }
        let new = before.record.clone().opened(Some(profile.clone()), now);
        let commit = Commit::because(opened(&new, visit).with("token", Confirmation::KIND)).replace(&before, &new);
        let commit = self.with_confirmation(commit, &new, visit).await?;
        self.store.commit(commit).await?;
        Ok(BeginOutcome::TokenSent { begun: begun.clone() })
    }

    /// Sends the token again: a new one, and the one before ends. False if there is nothing to confirm.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing was sent.
    pub async fn send_token_again(&self, secret: &str, begun: &str, visit: &Visit<'_>) -> Result<Result<bool, Timestamp>, Unavailable> {
        if let Err(until) = self.count_token(visit).await? {
            return Ok(Err(until));
        }
        let now = visit.now();
        let found = self.open_invitation(secret, now).await?;
        let Some(found) = found.filter(|one| self.takes_tokens(&one.record, begun)) else {
            return Ok(Ok(false));
        };
        if let Err(until) = self.may_send_token(&found.record.email, now).await? {
            return Ok(Err(until));
        }
        let sent = again(|| async {
            let found = self.open_invitation(secret, now).await?;
            let Some(invitation) = found.filter(|one| self.takes_tokens(&one.record, begun)) else {
                return Ok(false);
            };
            let event = opened(&invitation.record, visit).with("token", Confirmation::KIND);
            let commit = Commit::because(event).unchanged(&invitation);
            let commit = self.with_confirmation(commit, &invitation.record, visit).await?;
            self.store.commit(commit).await?;
            Ok(true)
        })
        .await?;
        Ok(Ok(sent))
    }

    /// The token: a right one makes the account with its membership, ends the invitation and signs in, all in one commit.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing was made.
    pub async fn confirm(
        &self,
        (secret, begun): (&str, &str),
        typed: &str,
        before: Option<&Caller>,
        visit: &Visit<'_>,
    ) -> Result<ConfirmOutcome, Unavailable> {
        let tries = match self.count_token(visit).await? {
            Ok(tries) => tries,
            Err(until) => return Ok(ConfirmOutcome::TooMany { until }),
        };
        let outcome = again(|| self.confirm_once((secret, begun), typed, before, visit)).await?;
        if matches!(outcome, ConfirmOutcome::SignedIn(_) | ConfirmOutcome::Flawed(_)) {
            self.take_back(&tries, visit.now()).await?;
        }
        Ok(outcome)
    }

    async fn confirm_once(
        &self,
        (secret, begun): (&str, &str),
        typed: &str,
        before: Option<&Caller>,
        visit: &Visit<'_>,
    ) -> Result<ConfirmOutcome, StoreError> {
        let now = visit.now();
        let Some(invitation) = self.open_invitation(secret, now).await? else {
            return Ok(ConfirmOutcome::Ended);
        };
        // What rules and invitation say now counts, not what they said when the form was filled in.
        let takes = self.takes_tokens(&invitation.record, begun);
        let Some(profile) = invitation.record.profile.clone().filter(|_| takes) else {
            return Ok(ConfirmOutcome::StartAgain);
        };
        let Some(offer) = Delegation::still(visit.policies, &invitation.record.offer) else {
            return Ok(ConfirmOutcome::Ended);
        };
        let Some(token) = self.token::<Confirmation>(invitation.record.user).await? else {
            return Ok(ConfirmOutcome::Expired);
        };
        let text = match TokenText::parse(typed, token.record.style) {
            Ok(text) => text,
            Err(flaw) => return Ok(ConfirmOutcome::Flawed(flaw)),
        };
        let presented = self
            .keyring
            .hash_like(&token.record.hash, Confirmation::HASHED_UNDER, text.expose().as_bytes());
        let Some(presented) = presented else {
            return Ok(ConfirmOutcome::Expired);
        };
        match token.record.clone().redeem(presented, now) {
            Redemption::Accept(_) => {}
            Redemption::Wrong(less) => {
                let action = if less.tries_left == 0 {
                    Action::TokenLocked
                } else {
                    Action::TokenWrong
                };
                let event = Event::new(action, Actor::Anonymous, now)
                    .to(invitation.record.id)
                    .from(visit.address())
                    .with("token", Confirmation::KIND);
                let guessed = Invitation {
                    wrong: invitation.record.wrong.saturating_add(1),
                    ..invitation.record.clone()
                };
                let commit = Commit::because(event).replace(&token, &less).replace(&invitation, &guessed);
                self.store.commit(commit).await?;
                return Ok(match less.tries_left {
                    0 => ConfirmOutcome::Locked,
                    left => ConfirmOutcome::Wrong { left },
                });
            }
            Redemption::Locked => return Ok(ConfirmOutcome::Locked),
            Redemption::Expired => return Ok(ConfirmOutcome::Expired),
        }
        let user = account(&invitation.record, profile, now);
        let membership = offer.to(user.id);
        let opening = Opening {
            signed_in: SignedIn::by_password(now),
            remember: false,
            before,
        };
        let (session, value) = match self.admit_with(&user, vec![membership.clone()], &opening, visit).await? {
            Ok(made) => made,
            Err(refused) => return Ok(ConfirmOutcome::Refused(refused)),
        };
        let event = Event::new(Action::InvitationAccepted, Actor::User(user.id), now)
            .to(user.id)
            .from(visit.address())
            .with("invitation", invitation.record.id)
            .with("team", &membership.team)
            .with("session", session.id);
        let commit = Commit::because(event).create(&user).create(&membership);
        let commit = self.without_invitation(commit, &invitation, visit.now()).await?;
        let Some(commit) = self.with_seat(commit, visit.policies.team(&membership.team)).await? else {
            return Ok(ConfirmOutcome::Full);
        };
        let commit = self.with_session(commit, &session, &value, user.gains, before, visit).await?;
        match self.store.commit(commit).await {
            Ok(()) => Ok(ConfirmOutcome::SignedIn(Box::new(NewSession { session, value }))),
            Err(StoreError::Taken(Unique::Username)) => Ok(ConfirmOutcome::UsernameTaken),
            Err(StoreError::Taken(Unique::UserEmail)) => Ok(ConfirmOutcome::HasAccount),
            // The same in the other tab, or the last seat: read again.
            Err(StoreError::Taken(Unique::Key(table))) => Err(StoreError::Conflict(table)),
            Err(error) => Err(error),
        }
    }

    /// Joins a team with the account that the address has, once its person has signed in and agreed. No second account, no second password.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn join(&self, secret: &str, caller: &Caller, visit: &Visit<'_>) -> Result<JoinOutcome, Unavailable> {
        Ok(again(|| self.join_once(secret, caller, visit)).await?)
    }

    async fn join_once(&self, secret: &str, caller: &Caller, visit: &Visit<'_>) -> Result<JoinOutcome, StoreError> {
        let Some(invitation) = self.open_invitation(secret, visit.now()).await? else {
            return Ok(JoinOutcome::Ended);
        };
        let found = self.user_by_email(invitation.record.email.clone()).await?;
        let Some(user) = found.filter(|user| user.record.id == caller.identity().user) else {
            return Ok(JoinOutcome::SomebodyElse);
        };
        let Some(offer) = Delegation::still(visit.policies, &invitation.record.offer) else {
            return Ok(JoinOutcome::Ended);
        };
        if let Some(provider) = &offer.provider
            && caller.session().signed_in.provider.as_ref() != Some(provider)
        {
            return Ok(JoinOutcome::Elsewhere(provider.clone()));
        }
        let event = Event::new(Action::InvitationAccepted, Actor::User(user.record.id), visit.now())
            .to(user.record.id)
            .from(visit.address())
            .with("invitation", invitation.record.id)
            .with("team", &offer.team);
        let commit = Commit::because(event);
        // A role that was gained brings a new cookie value with the next answer.
        let commit = if offer.roles.is_empty() {
            commit.unchanged(&user)
        } else {
            let mut new = user.record.clone();
            new.gains += 1;
            commit.replace(&user, &new)
        };
        let mut commit = self.without_invitation(commit, &invitation, visit.now()).await?;
        if self.membership_of(user.record.id, &offer.team).await?.is_none() {
            let membership: Membership = offer.to(user.record.id);
            let Some(seated) = self.with_seat(commit, visit.policies.team(&membership.team)).await? else {
                return Ok(JoinOutcome::Full);
            };
            commit = seated.create(&membership);
        }
        match self.store.commit(commit).await {
            Ok(()) => Ok(JoinOutcome::Joined),
            Err(StoreError::Taken(Unique::Key(table))) => Err(StoreError::Conflict(table)),
            Err(error) => Err(error),
        }
    }

    /// Whether a token completes an invitation, in the browser that has `begun` it.
    fn takes_tokens(&self, invitation: &Invitation, begun: &str) -> bool {
        let rules = self.rules();
        rules.registration && rules.passwords && invitation.offer.provider.is_none() && has_begun(invitation, begun)
    }

    async fn open_invitation(&self, secret: &str, now: Timestamp) -> Result<Option<Versioned<Invitation>>, StoreError> {
        let Some(secret) = array_from_base64url::<32>(secret) else {
            return Ok(None);
        };
        let unique = InvitationUnique::Secret(Hashed::sha256(&secret));
        let found = self.store.find::<Invitation>(&unique).await?;
        Ok(found.filter(|one| !one.record.is_over(now)))
    }
}

/// Whether this is what the browser was given that filled the account form in.
fn has_begun(invitation: &Invitation, begun: &str) -> bool {
    let digest = array_from_base64url::<16>(begun).map(|begun| Hashed::sha256(&begun));
    let kept = invitation.profile.as_ref().map(|profile| profile.begun);
    digest.is_some() && digest == kept
}

fn opened(invitation: &Invitation, visit: &Visit<'_>) -> Event {
    Event::new(Action::InvitationOpened, Actor::Anonymous, visit.now())
        .to(invitation.id)
        .from(visit.address())
}

fn account(invitation: &Invitation, profile: Profile, now: Timestamp) -> User {
    User {
        id: invitation.user,
        email: Some(invitation.email.clone()),
        username: profile.username,
        given_name: profile.given_name,
        family_name: profile.family_name,
        status: UserStatus::Active,
        roles: std::collections::BTreeSet::new(),
        password: Some(profile.password),
        external: std::collections::BTreeSet::new(),
        epoch: 0,
        gains: 0,
        created: now,
        last_sign_in: Some(now),
    }
}

/// Words about a person that their password should not be made of.
fn words_of(invitation: &Invitation, given: &PersonName, family: &PersonName, username: &Username) -> Vec<String> {
    let email = invitation.email.as_str();
    let mut words: Vec<String> = email.split(['@', '.']).map(str::to_owned).collect();
    words.extend([
        email.to_owned(),
        username.as_str().to_owned(),
        given.as_str().to_owned(),
        family.as_str().to_owned(),
    ]);
    words.retain(|word| !word.is_empty());
    words
}
