//! Tokens that people read off, type and use once.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::base::encoding::CROCKFORD;
use crate::base::random::Random;
use crate::base::seal::{KeyedHash, Purpose};
use crate::base::secret::{Hashed, Secret};
use crate::base::time::Timestamp;

use super::id::{TokenId, UserId};

/// How tokens look (`signin.token_style`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenStyle {
    /// Eight symbols of Crockford base 32, shown as `XXXX-XXXX`: seven random, the eighth a check symbol.
    Code,
    /// That many digits, 4 to 9, all random.
    Digits(u8),
}

impl TokenStyle {
    /// How many symbols a whole token has.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Code => 8,
            Self::Digits(count) => count as usize,
        }
    }
}

/// Why a typed text cannot be a token. None of these counts as a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// A symbol that tokens never have.
    #[error("Invalid characters found")]
    Characters,
    /// Too few or too many symbols; so many make a whole one.
    #[error("Enter all {0} letters and numbers of the token")]
    Length(usize),
    /// The check symbol does not fit: one character is wrong, or two have changed places.
    #[error("One character is wrong")]
    CheckSymbol,
}

/// A token in the form it is hashed in: no dash, letters in upper case, look-alikes folded.
#[derive(Clone, Debug)]
pub struct TokenText(Secret<String>);

impl TokenText {
    /// A new random one.
    #[must_use]
    pub fn generate(style: TokenStyle, random: &Random) -> Self {
        let mut text = String::with_capacity(style.length());
        match style {
            TokenStyle::Code => {
                let values: Vec<u8> = (0..7).map(|_| u8::try_from(random.below(32)).unwrap_or(0)).collect();
                text.extend(values.iter().map(|value| symbol(*value)));
                text.push(symbol(check_value(values.into_iter())));
            }
            TokenStyle::Digits(count) => {
                text.extend((0..count).map(|_| char::from_digit(random.below(10), 10).unwrap_or('0')));
            }
        }
        Self(Secret::new(text))
    }

    /// Reads what somebody typed. Case, blanks and dashes do not matter; `O` is 0, `I` and `L` are 1.
    ///
    /// # Errors
    /// [`InvalidToken`] if it cannot be a token of that style.
    pub fn parse(typed: &str, style: TokenStyle) -> Result<Self, InvalidToken> {
        let mut text = String::new();
        for c in typed.chars() {
            let folded = match c {
                '-' | '\u{2010}'..='\u{2015}' | '_' => continue,
                c if c.is_whitespace() => continue,
                'o' | 'O' => '0',
                'i' | 'I' | 'l' | 'L' => '1',
                c => c.to_ascii_uppercase(),
            };
            let known = match style {
                TokenStyle::Code => folded.is_ascii() && value_of(folded).is_some(),
                TokenStyle::Digits(_) => folded.is_ascii_digit(),
            };
            if !known {
                return Err(InvalidToken::Characters);
            }
            if text.len() <= style.length() {
                text.push(folded);
            }
        }
        if text.len() != style.length() {
            return Err(InvalidToken::Length(style.length()));
        }
        if style == TokenStyle::Code {
            let mut values = text.chars().filter_map(value_of);
            let random: Vec<u8> = values.by_ref().take(7).collect();
            if values.next() != Some(check_value(random.into_iter())) {
                return Err(InvalidToken::CheckSymbol);
            }
        }
        Ok(Self(Secret::new(text)))
    }

    /// Reads back what [`TokenText::expose`] gave, as it is kept sealed.
    #[must_use]
    pub fn from_sealed(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The folded text, for hashing and sealing.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// As it is shown to people: eight symbols as `XXXX-XXXX`, digits as they are.
    #[must_use]
    pub fn to_shown(&self) -> String {
        let text = self.expose();
        match text.split_at_checked(4) {
            Some((left, right)) if text.len() == 8 => format!("{left}-{right}"),
            _ => text.to_owned(),
        }
    }
}

fn symbol(value: u8) -> char {
    char::from(CROCKFORD.get(usize::from(value & 31)).copied().unwrap_or(b'0'))
}

fn value_of(symbol: char) -> Option<u8> {
    let byte = u8::try_from(symbol).ok()?;
    CROCKFORD
        .iter()
        .position(|known| *known == byte)
        .and_then(|value| u8::try_from(value).ok())
}

/// The check symbol: the sum of value times x^place in the field of 32 elements (modulus x^5 + x^2 + 1).
///
/// Every place has another weight and all are invertible, so one wrong symbol and two that changed places are always told.
fn check_value(values: impl Iterator<Item = u8>) -> u8 {
    // Horner's rule: each step multiplies what is there by x, then adds the next value.
    let times_x = |value: u8| if value & 16 == 0 { value << 1 } else { (value << 1) ^ 0b10_0101 } & 31;
    times_x(values.fold(0, |sum, value| times_x(sum) ^ value))
}

/// What a token is for. A token of one purpose never serves another: the purposes are types, and hashed under different keys.
pub trait TokenPurpose: Clone + fmt::Debug + PartialEq + Eq + Send + Sync + 'static {
    /// The word for it in the store, in events and on pages.
    const KIND: TokenKind;
    /// The key it is hashed under.
    const HASHED_UNDER: Purpose;
}

/// The purposes as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// Completes an account that an administrator made.
    Registration,
    /// Sets a new password.
    Reset,
    /// Confirms an e-mail address during an invitation.
    Email,
}

impl TokenKind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Reset => "reset",
            Self::Email => "email",
        }
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Purpose: completes an account that an administrator made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration;
/// Purpose: sets a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset;
/// Purpose: confirms an e-mail address during an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation;

impl TokenPurpose for Registration {
    const KIND: TokenKind = TokenKind::Registration;
    const HASHED_UNDER: Purpose = Purpose::RegistrationToken;
}

impl TokenPurpose for Reset {
    const KIND: TokenKind = TokenKind::Reset;
    const HASHED_UNDER: Purpose = Purpose::ResetToken;
}

impl TokenPurpose for Confirmation {
    const KIND: TokenKind = TokenKind::Email;
    const HASHED_UNDER: Purpose = Purpose::EmailToken;
}

/// A token that can be used once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct OneTimeToken<P: TokenPurpose> {
    /// Its identifier; no secret.
    pub id: TokenId,
    /// Whom it is for.
    pub user: UserId,
    /// Keyed hash of its text.
    pub hash: KeyedHash,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Wrong guesses that are left; none left means locked.
    pub tries_left: u32,
    /// How it looks, whatever the settings say now.
    pub style: TokenStyle,
    #[serde(skip)]
    purpose: PhantomData<P>,
}

/// A token that completes an account an administrator made.
pub type RegistrationToken = OneTimeToken<Registration>;
/// A token that sets a new password.
pub type ResetToken = OneTimeToken<Reset>;
/// A token that confirms an e-mail address.
pub type EmailToken = OneTimeToken<Confirmation>;

/// What came of presenting a token. A wrong guess cannot be dropped on the floor.
#[must_use = "a wrong guess has to be stored, or guessing is free"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redemption<P: TokenPurpose> {
    /// The right one, in time: the deed may be done, in the commit that removes it.
    Accept(OneTimeToken<P>),
    /// Wrong: the token with one try less, to be stored.
    Wrong(OneTimeToken<P>),
    /// Too many wrong guesses before: even the right one is refused.
    Locked,
    /// Too late.
    Expired,
}

/// What a new token is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewToken {
    /// Its identifier.
    pub id: TokenId,
    /// Whom it is for.
    pub user: UserId,
    /// Keyed hash of its text.
    pub hash: KeyedHash,
    /// When it is made.
    pub made: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// How many wrong guesses it takes.
    pub tries: u32,
    /// How it looks.
    pub style: TokenStyle,
}

impl<P: TokenPurpose> OneTimeToken<P> {
    /// A new token with all its tries.
    #[must_use]
    pub fn new(new: NewToken) -> Self {
        let NewToken {
            id,
            user,
            hash,
            made,
            expires,
            tries,
            style,
        } = new;
        Self {
            id,
            user,
            hash,
            made,
            expires,
            tries_left: tries,
            style,
            purpose: PhantomData,
        }
    }

    /// Presents a text, hashed under the key of this token's purpose.
    pub fn redeem(self, presented: Hashed, now: Timestamp) -> Redemption<P> {
        if self.is_over(now) {
            return Redemption::Expired;
        }
        if self.tries_left == 0 {
            return Redemption::Locked;
        }
        if self.hash.hash == presented {
            return Redemption::Accept(self);
        }
        Redemption::Wrong(Self {
            tries_left: self.tries_left - 1,
            ..self
        })
    }

    /// Whether it could still be used.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.is_over(now) && self.tries_left > 0
    }

    /// Past its end, or made at a time that has not come yet: then the clock was set back, and nobody can say how old it is.
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires || self.made.is_out_of_time(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seal::{Keyring, MasterKey};
    use std::time::Duration;

    #[test]
    fn a_token_reads_back_however_it_is_typed() {
        let random = Random::seeded(5);
        for _ in 0..200 {
            let token = TokenText::generate(TokenStyle::Code, &random);
            let shown = token.to_shown();
            assert_eq!(shown.len(), 9);
            for typed in [
                shown.clone(),
                shown.to_lowercase(),
                shown.replace('-', " "),
                shown.replace('0', "O").replace('1', "l"),
            ] {
                assert_eq!(
                    TokenText::parse(&typed, TokenStyle::Code).unwrap().expose(),
                    token.expose(),
                    "{typed}"
                );
            }
        }
    }

    #[test]
    fn one_wrong_symbol_and_two_swapped_ones_are_told() {
        let random = Random::seeded(6);
        for _ in 0..50 {
            let token = TokenText::generate(TokenStyle::Code, &random);
            let symbols: Vec<char> = token.expose().chars().collect();
            for place in 0..8 {
                for other in CROCKFORD {
                    let mut wrong = symbols.clone();
                    wrong[place] = char::from(*other);
                    let typed: String = wrong.iter().collect();
                    let expected = if wrong == symbols { None } else { Some(InvalidToken::CheckSymbol) };
                    assert_eq!(TokenText::parse(&typed, TokenStyle::Code).err(), expected);
                }
                for second in place + 1..8 {
                    let mut swapped = symbols.clone();
                    swapped.swap(place, second);
                    let typed: String = swapped.iter().collect();
                    assert_eq!(TokenText::parse(&typed, TokenStyle::Code).is_ok(), swapped == symbols);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_a_token_says_why() {
        for (name, typed, style, expected) in [
            ("exclamation mark", "AB!D-EFGH", TokenStyle::Code, InvalidToken::Characters),
            ("letter U", "UBCD-EFGH", TokenStyle::Code, InvalidToken::Characters),
            ("short", "ABCD", TokenStyle::Code, InvalidToken::Length(8)),
            ("empty", "", TokenStyle::Code, InvalidToken::Length(8)),
            ("long", "ABCD-EFGH-1", TokenStyle::Code, InvalidToken::Length(8)),
            ("very long", &"A".repeat(100_000), TokenStyle::Code, InvalidToken::Length(8)),
            ("letter among digits", "12A4", TokenStyle::Digits(4), InvalidToken::Characters),
            ("five digits", "12345", TokenStyle::Digits(4), InvalidToken::Length(4)),
            ("not ASCII", "١٢٣٤", TokenStyle::Digits(4), InvalidToken::Characters),
        ] {
            assert_eq!(TokenText::parse(typed, style).err(), Some(expected), "{name}");
        }
        assert_eq!(TokenText::parse("12 34", TokenStyle::Digits(4)).unwrap().to_shown(), "1234");
        let eight = TokenText::generate(TokenStyle::Digits(9), &Random::seeded(1));
        assert_eq!(eight.to_shown().len(), 9);
    }

    #[test]
    fn five_wrong_guesses_lock_a_token_even_for_the_right_one() {
        let ring = Keyring::new(MasterKey::from_bytes([1; 32]), Vec::new());
        let now = Timestamp::from_secs(0);
        let mut token: ResetToken = OneTimeToken::new(NewToken {
            id: TokenId::from_number(1),
            user: UserId::from_number(1),
            hash: ring.hash(Reset::HASHED_UNDER, b"1234"),
            made: now,
            expires: now.after(Duration::from_secs(60)),
            tries: 5,
            style: TokenStyle::Digits(4),
        });
        let right = token.hash.hash;
        let wrong = ring.hash(Reset::HASHED_UNDER, b"9999").hash;
        assert_eq!(token.clone().redeem(right, now), Redemption::Accept(token.clone()));
        assert_eq!(token.clone().redeem(right, token.expires), Redemption::Expired);
        let set_back = now.before(Duration::from_secs(3600));
        assert_eq!(token.clone().redeem(right, set_back), Redemption::Expired, "made at a time to come");
        assert!(!token.is_live(set_back));
        for left in (0..5).rev() {
            let Redemption::Wrong(next) = token.redeem(wrong, now) else {
                panic!("not wrong")
            };
            assert_eq!(next.tries_left, left);
            token = next;
        }
        assert_eq!(token.clone().redeem(right, now), Redemption::Locked);
        assert!(!token.is_live(now));
    }
}
