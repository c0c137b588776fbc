//! Registration with a token, and the two forms of a password reset.

use askama::Template;

use super::super::form::Form;
use super::super::view::{Frame, Onward};
use super::super::words::TokenHint;

/// The page that completes an account an administrator made.
#[derive(Template)]
#[template(path = "pages/new-account.html")]
pub struct NewAccountPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// What a token looks like.
    pub token: TokenHint,
    /// What a password must be.
    pub password_hint: String,
}

/// The page that says registration tokens are not taken.
#[derive(Template)]
#[template(path = "pages/registration-closed.html")]
pub struct RegistrationClosedPage {
    /// The outside of the page.
    pub frame: Frame,
}

/// "I need a reset token".
#[derive(Template)]
#[template(path = "pages/reset.html")]
pub struct ResetPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Whether there are ways in whose password is kept elsewhere.
    pub others: bool,
}

/// The answer to a request for a reset token: the same for every address.
#[derive(Template)]
#[template(path = "pages/reset-sent.html")]
pub struct ResetSentPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The address that was typed; empty if the page was opened by itself.
    pub email: String,
}

/// "I have a reset token".
#[derive(Template)]
#[template(path = "pages/reset-token.html")]
pub struct ResetTokenPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// What a token looks like.
    pub token: TokenHint,
    /// What a password must be.
    pub password_hint: String,
}
