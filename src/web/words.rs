//! The messages of the pages that come with a code, in one place: the same words at the field, in the summary and in JSON.

use crate::base::time::Timestamp;
use crate::model::email::InvalidEmail;
use crate::model::name::{InvalidPersonName, InvalidUsername};
use crate::model::password::WeakPassword;
use crate::model::token::{InvalidToken, TokenStyle};

/// A message and its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Stable, for programs and logs.
    pub code: &'static str,
    /// For people.
    pub words: &'static str,
}

const fn message(code: &'static str, words: &'static str) -> Message {
    Message { code, words }
}

/// Unknown account, wrong password, disabled, not registered or the wrong store: one message.
pub const SIGN_IN_FAILED: Message = message("sign_in_failed", "Email, username or password is wrong. Check them and try again.");
/// Too many tries from a network.
pub const RATE_LIMITED: Message = message("rate_limited", "Too many tries from your network. Wait a minute and try again.");
/// Unknown e-mail, or a wrong, used, ended or locked token.
pub const TOKEN_WRONG: Message = message(
    "token_wrong",
    "The email and token do not match, or the token has ended. Check both, or ask for a new token.",
);
/// The password typed as the current one is not it.
pub const PASSWORD_CURRENT: Message = message("password_current", "Your current password is wrong");
/// A form whose `csrf` value is not that of this session or sign-in.
pub const CSRF: Message = message("csrf", "This page was open too long. Check what you typed and send it again.");
/// The same, where the browser sent no cookie of ours: it is forgotten by now, or the browser keeps none.
pub const NO_COOKIE: Message = message(
    "csrf",
    "This page was open too long. Check what you typed and send it again. If this comes back, allow cookies for this site.",
);
/// A username somebody has, or that nobody may have.
pub const USERNAME_TAKEN: Message = message("username_taken", "Choose another username. This one cannot be used.");
/// Nobody changes their own role.
pub const OWN_ROLE: Message = message("own_role", "You cannot change your own role");
/// Nobody changes what they have in a team themselves.
pub const OWN_MEMBERSHIP: Message = message("own_membership", "You cannot change what you have yourself");
/// Somebody else changed it while the form was open.
pub const CHANGED_MEANWHILE: Message = message(
    "changed_meanwhile",
    "Somebody changed this while the form was open. Compare it with what you ticked, and save again if it still holds.",
);
/// The last active administrator stays one.
pub const LAST_ADMIN: Message = message("last_admin", "At least one admin must remain");
/// More sign-ins than the machine can check at once.
pub const BUSY: Message = message(
    "busy",
    "Too many people are signing in at this moment. Wait a minute and try again.",
);
/// A way in that is configured and not built.
pub const NOT_AVAILABLE: Message = message("not_available", "This way to sign in is not available yet. Choose another.");

/// A token of an invitation that was typed wrong too often.
pub const TOKEN_LOCKED: Message = message("token_locked", "This token is locked. Open your invitation email to start again.");
/// A token of an invitation that came too late.
pub const TOKEN_EXPIRED: Message = message(
    "token_expired",
    "This token has expired. Use the link in your invitation email to start again.",
);
/// No seat is free in the team.
pub const TEAM_FULL: Message = message("team_full", "Every seat of this team is taken. Ask the person who invited you.");
/// Nobody registers with a password here.
pub const REGISTRATION_CLOSED: Message = message(
    "registration_closed",
    "Nobody can register with a password here. Ask the person who invited you.",
);

/// An address that was sent as many letters as anybody is within an hour.
#[must_use]
pub fn too_many_letters(until: Timestamp, now: Timestamp) -> String {
    let minutes = until.since(now).as_secs().div_ceil(60).max(1);
    format!("This address was sent five emails within an hour. Send it the next in {minutes} minutes.")
}

/// A wrong token on the token page, by how many tries are left.
#[must_use]
pub fn tries_left(left: u32) -> String {
    match left {
        1 => "That token is wrong. 1 try left.".to_owned(),
        left => format!("That token is wrong. {left} tries left."),
    }
}

/// Too many tries with one name from one network, by how long it has to wait.
#[must_use]
pub fn locked(minutes: u64) -> String {
    if minutes <= 1 {
        "Too many tries. Wait a minute, or reset your password.".to_owned()
    } else {
        format!("Too many tries. Wait {minutes} minutes, or reset your password.")
    }
}

/// Too many tries by somebody who is signed in, by how long they have to wait.
#[must_use]
pub fn wait(minutes: u64) -> String {
    if minutes <= 1 {
        "Too many tries. Wait a minute.".to_owned()
    } else {
        format!("Too many tries. Wait {minutes} minutes.")
    }
}

/// The code and words for an e-mail address that is none.
#[must_use]
pub fn email(error: InvalidEmail) -> (&'static str, String) {
    let code = match error {
        InvalidEmail::Empty => "email_missing",
        InvalidEmail::Format => "email_format",
    };
    (code, error.to_string())
}

/// The code and words for a text that cannot be a token.
#[must_use]
pub fn token(error: InvalidToken, style: TokenStyle) -> (&'static str, String) {
    match error {
        InvalidToken::Characters => ("invalid_characters", "Invalid characters found".to_owned()),
        InvalidToken::Length(count) => {
            let symbols = match style {
                TokenStyle::Code => "letters and numbers of the token",
                TokenStyle::Digits(_) => "digits",
            };
            ("token_length", format!("Enter all {count} {symbols}"))
        }
        InvalidToken::CheckSymbol => (
            "token_check",
            "One character is wrong. Compare it with the token you were given.".to_owned(),
        ),
    }
}

/// The code and words for a username that is none.
#[must_use]
pub fn username(error: InvalidUsername) -> (&'static str, String) {
    match error {
        InvalidUsername::Empty => ("username_missing", "Enter a username".to_owned()),
        InvalidUsername::TooLong => ("username_long", "Enter a username of 64 characters or fewer".to_owned()),
        InvalidUsername::Characters => ("invalid_characters", "Invalid characters found".to_owned()),
    }
}

/// The code and words for a given or family name that is none.
#[must_use]
pub fn person_name(error: InvalidPersonName) -> (&'static str, String) {
    match error {
        InvalidPersonName::TooLong => ("name_long", "Enter a name of 100 characters or fewer".to_owned()),
        InvalidPersonName::Characters => ("invalid_characters", "Invalid characters found".to_owned()),
    }
}

/// The code and words for a password that cannot become one.
#[must_use]
pub fn password(error: WeakPassword) -> (&'static str, String) {
    let code = match error {
        WeakPassword::Short(_) => "password_short",
        WeakPassword::Long => "password_long",
        WeakPassword::Common => "password_common",
    };
    (code, error.to_string())
}

/// How a token of a style is described beside its field.
#[derive(Clone, Copy, Debug)]
pub struct TokenHint(pub TokenStyle);

impl TokenHint {
    /// What one looks like.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.0 {
            TokenStyle::Code => "8 letters and numbers, like K7QF-2MXR.".to_owned(),
            TokenStyle::Digits(count) => format!("{count} digits."),
        }
    }

    /// What one looks like, and what does not matter when it is typed.
    #[must_use]
    pub fn hint_for_registration(&self) -> String {
        match self.0 {
            TokenStyle::Code => format!("{} The dash and the case do not matter.", self.hint()),
            TokenStyle::Digits(_) => self.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_length_that_is_set() {
        assert_eq!(
            token(InvalidToken::Length(8), TokenStyle::Code).1,
            "Enter all 8 letters and numbers of the token"
        );
        assert_eq!(token(InvalidToken::Length(4), TokenStyle::Digits(4)).1, "Enter all 4 digits");
        assert_eq!(TokenHint(TokenStyle::Digits(4)).hint(), "4 digits.");
        assert_eq!(password(WeakPassword::Short(14)).1, "Enter a password of 14 characters or more");
        assert_eq!(locked(15), "Too many tries. Wait 15 minutes, or reset your password.");
    }
}
