//! New Account and Reset Password: an address, a token and a new password, and the person is signed in.
//!
//! Both forms take the same steps at the same cost whether the address is known or not: count, hash the password, look, write once.

use std::str::FromStr;

use crate::base::secret::Hashed;
use crate::base::time::Timestamp;
use crate::model::email::{EmailAddress, InvalidEmail};
use crate::model::event::{Action, Actor, Event};
use crate::model::name::{InvalidPersonName, InvalidUsername, PersonName, Username};
use crate::model::password::{Password, PasswordHash, WeakPassword};
use crate::model::principal::SignedIn;
use crate::model::token::{InvalidToken, OneTimeToken, Redemption, Registration, Reset, TokenKind, TokenPurpose, TokenStyle, TokenText};
use crate::model::user::{User, UserStatus};
use crate::signin::local::NewPassword;
use crate::store::{Commit, StoreError, Unique};

use super::admission::{Refused, Visit};
use super::memory::Caller;
use super::rules::HouseRules;
use super::sessions::Opening;
use super::sign_in::NewSession;
use super::{Accounts, Unavailable, again};

/// What somebody typed on New Account or Reset Password.
#[derive(Clone, Debug)]
pub struct TokenForm {
    /// The address the token was made for.
    pub email: String,
    /// The token, in any spelling.
    pub token: String,
    /// The password to be.
    pub new_password: Password,
    /// Names, where the form asks for them; what is missing or empty stays as the administrator wrote it.
    pub names: TypedNames,
}

/// Names that a person types for themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedNames {
    /// Username.
    pub username: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
}

/// What is wrong with the fields themselves, all at once. None of it costs a try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// The address.
    pub email: Option<InvalidEmail>,
    /// The token.
    pub token: Option<InvalidToken>,
    /// The new password.
    pub password: Option<WeakPassword>,
    /// The username.
    pub username: Option<InvalidUsername>,
    /// The given or family name.
    pub name: Option<InvalidPersonName>,
}

/// What came of a token.
#[derive(Debug)]
pub enum TokenOutcome {
    /// It was right: the password is set and here is the session.
    SignedIn(Box<NewSession>),
    /// Fields to be corrected.
    Flawed(Flaws),
    /// Unknown address; wrong, used, ended or locked token: one answer.
    NoMatch,
    /// The token is right and still good; the username belongs to somebody else.
    UsernameTaken,
    /// Too many tries from this network.
    TooMany {
        /// When the next try is looked at.
        until: Timestamp,
    },
    /// More passwords at once than the machine can hash; 503 with Retry-After.
    Busy,
    /// `signin.registration` is `closed`.
    Closed,
    /// The token is right and still good; the person may not come in from here or in this way.
    Refused(Box<Refused>),
}

/// What a purpose does to an account, once its token was shown.
trait Deed: TokenPurpose {
    /// What is told to the audit trail.
    const ACTION: Action;
    /// The status that the account must have.
    const FROM: UserStatus;
}

impl Deed for Registration {
    const ACTION: Action = Action::UserRegistered;
    const FROM: UserStatus = UserStatus::Pending;
}

impl Deed for Reset {
    const ACTION: Action = Action::PasswordReset;
    const FROM: UserStatus = UserStatus::Active;
}

/// The fields as they are meant.
struct Typed {
    email: EmailAddress,
    /// The token in the style of the house; if it has none, why, and what it is in other styles: tokens that were made before the
    /// style was changed are still good.
    token: Result<TokenText, (InvalidToken, Vec<TokenText>)>,
    username: Option<Username>,
    given_name: Option<PersonName>,
    family_name: Option<PersonName>,
}

impl Accounts {
    /// New Account: a registration token completes the account that an administrator made, and signs in.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn register(&self, form: TokenForm, before: Option<&Caller>, visit: &Visit<'_>) -> Result<TokenOutcome, Unavailable> {
        if !self.rules().registration {
            return Ok(TokenOutcome::Closed);
        }
        self.redeem::<Registration>(form, before, visit).await
    }

    /// Reset Password: a reset token sets a new password, ends every session of the person and signs in.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn reset(&self, form: TokenForm, before: Option<&Caller>, visit: &Visit<'_>) -> Result<TokenOutcome, Unavailable> {
        self.redeem::<Reset>(form, before, visit).await
    }

    async fn redeem<P: Deed>(&self, form: TokenForm, before: Option<&Caller>, visit: &Visit<'_>) -> Result<TokenOutcome, Unavailable> {
        let rules = self.rules();
        let typed = match read(&form, &rules) {
            Ok(typed) => typed,
            Err(flaws) => return Ok(TokenOutcome::Flawed(flaws)),
        };
        let now = visit.now();
        let Ok(seat) = self.passwords.seat() else {
            return Ok(TokenOutcome::Busy);
        };
        let tries = match self.count_token(visit).await? {
            Ok(tries) => tries,
            Err(until) => return Ok(TokenOutcome::TooMany { until }),
        };
        // Hashed before anything is looked up: the work is the same for every address, and no hashing happens inside a commit.
        let hash = match self.passwords.make(seat, to_hash(form, &typed, rules.password_min)).await {
            Ok(Ok(hash)) => hash,
            Ok(Err(weak)) => {
                self.take_back(&tries, now).await?;
                return Ok(TokenOutcome::Flawed(Flaws {
                    password: Some(weak),
                    ..Flaws::default()
                }));
            }
            Err(_) => {
                self.take_back(&tries, now).await?;
                return Ok(TokenOutcome::Busy);
            }
        };
        let outcome = again(|| self.redeem_once::<P>(&typed, &hash, before, visit)).await?;
        if let TokenOutcome::SignedIn(new) = &outcome {
            self.take_back(&tries, now).await?;
            if let Some(user) = self.store.get::<User>(&new.session.user).await? {
                self.clear_names_of(&user.record, visit).await?;
            }
        }
        // A text that is no token of the house's style stays a mistake in the field, whatever else it was tried as.
        match (outcome, typed.token) {
            (TokenOutcome::NoMatch, Err((flaw, _))) => Ok(TokenOutcome::Flawed(Flaws {
                token: Some(flaw),
                ..Flaws::default()
            })),
            (outcome, _) => Ok(outcome),
        }
    }

    async fn redeem_once<P: Deed>(
        &self,
        typed: &Typed,
        hash: &PasswordHash,
        before: Option<&Caller>,
        visit: &Visit<'_>,
    ) -> Result<TokenOutcome, StoreError> {
        let now = visit.now();
        let found = match self.user_by_email(typed.email.clone()).await? {
            Some(user) if user.record.status == P::FROM => self.token::<P>(user.record.id).await?.map(|token| (user, token)),
            _ => None,
        };
        let Some((user, token)) = found else {
            return self.no_match(visit).await;
        };
        let Some(presented) = self.presented(typed, &token.record) else {
            return self.no_match(visit).await;
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
                    .to(user.record.id)
                    .from(visit.address())
                    .with("token", P::KIND);
                self.store.commit(Commit::because(event).replace(&token, &less)).await?;
                return Ok(TokenOutcome::NoMatch);
            }
            Redemption::Locked | Redemption::Expired => return self.no_match(visit).await,
        }
        let mut new = user.record.clone();
        new.password = Some(hash.clone());
        new.status = UserStatus::Active;
        // Sessions from before the password end; the one that is opened here is made under the new epoch.
        new.epoch += 1;
        new.last_sign_in = Some(now);
        if P::KIND == TokenKind::Registration {
            typed.apply_to(&mut new);
        }
        let opening = Opening {
            signed_in: SignedIn::by_password(now),
            remember: false,
            before,
        };
        let (session, value) = match self.admit(&new, &opening, visit).await? {
            Ok(made) => made,
            Err(refused) => return Ok(TokenOutcome::Refused(refused)),
        };
        let event = Event::new(P::ACTION, Actor::User(new.id), now)
            .to(new.id)
            .from(visit.address())
            .with("session", session.id);
        let commit = Commit::because(event).replace(&user, &new);
        let commit = self.with_session(commit, &session, &value, new.gains, before, visit).await?;
        let commit = self.without_token(commit, &token).await?;
        let commit = if P::KIND == TokenKind::Reset {
            self.with_password_notice(commit, &new, "With a reset token", visit).await?
        } else {
            commit
        };
        match self.store.commit(commit).await {
            Ok(()) => Ok(TokenOutcome::SignedIn(Box::new(NewSession { session, value }))),
            Err(StoreError::Taken(Unique::Username)) => Ok(TokenOutcome::UsernameTaken),
            Err(error) => Err(error),
        }
    }

    /// What was typed, hashed as the token is; `None` if it is no text of the token's style.
    fn presented<P: TokenPurpose>(&self, typed: &Typed, token: &OneTimeToken<P>) -> Option<Hashed> {
        let text = match &typed.token {
            Ok(text) => text,
            Err((_, others)) => others.iter().find(|other| other.expose().len() == token.style.length())?,
        };
        self.keyring.hash_like(&token.hash, P::HASHED_UNDER, text.expose().as_bytes())
    }

    /// The answer for an address that has no such token, which costs one write as a wrong guess does.
    async fn no_match(&self, visit: &Visit<'_>) -> Result<TokenOutcome, StoreError> {
        self.count_nothing(visit).await?;
        Ok(TokenOutcome::NoMatch)
    }
}

impl Typed {
    fn apply_to(&self, user: &mut User) {
        if let Some(username) = &self.username {
            user.username = username.clone();
        }
        if let Some(given_name) = &self.given_name {
            user.given_name = given_name.clone();
        }
        if let Some(family_name) = &self.family_name {
            user.family_name = family_name.clone();
        }
    }
}

fn read(form: &TokenForm, rules: &HouseRules) -> Result<Typed, Flaws> {
    fn optional<T: FromStr>(text: Option<&String>) -> Result<Option<T>, T::Err> {
        text.map(|text| text.trim())
            .filter(|text| !text.is_empty())
            .map(str::parse)
            .transpose()
    }
    let email = form.email.parse::<EmailAddress>();
    let token = TokenText::parse(&form.token, rules.token_style).map_err(|flaw| (flaw, in_other_styles(&form.token, rules.token_style)));
    let username = optional::<Username>(form.names.username.as_ref());
    let given_name = optional::<PersonName>(form.names.given_name.as_ref());
    let family_name = optional::<PersonName>(form.names.family_name.as_ref());
    let length = form.new_password.check_length(rules.password_min);
    let hopeless = match &token {
        Err((flaw, others)) if others.is_empty() => Some(*flaw),
        _ => None,
    };
    match (email, username, given_name, family_name, length, hopeless) {
        (Ok(email), Ok(username), Ok(given_name), Ok(family_name), Ok(()), None) => Ok(Typed {
            email,
            token,
            username,
            given_name,
            family_name,
        }),
        (email, username, given_name, family_name, length, _) => Err(Flaws {
            email: email.err(),
            token: token.err().map(|(flaw, _)| flaw),
            password: length.err(),
            username: username.err(),
            name: given_name.err().or(family_name.err()),
        }),
    }
}

/// What the text is as a token of the styles that the house does not have now.
fn in_other_styles(text: &str, style: TokenStyle) -> Vec<TokenText> {
    (4..=9)
        .map(TokenStyle::Digits)
        .chain([TokenStyle::Code])
        .filter(|other| *other != style)
        .filter_map(|other| TokenText::parse(text, other).ok())
        .collect()
}

fn to_hash(form: TokenForm, typed: &Typed, at_least: u32) -> NewPassword {
    let email = typed.email.as_str();
    let mut known: Vec<String> = email.split(['@', '.']).map(str::to_owned).collect();
    known.push(email.to_owned());
    known.extend(
        [form.names.username, form.names.given_name, form.names.family_name]
            .into_iter()
            .flatten(),
    );
    NewPassword {
        text: form.new_password,
        at_least,
        known,
    }
}
