//! Signing in, and proving again who one is.

use askama::Template;

use super::super::form::Form;
use super::super::view::{Frame, Onward};

/// A provider that people can go to instead of typing a password.
#[derive(Clone, Debug)]
pub struct ProviderButton {
    /// Its name in policy.
    pub name: String,
    /// What its button says.
    pub title: String,
}

/// One of several places that keep passwords.
#[derive(Clone, Debug)]
pub struct RealmChoice {
    /// `local`, or a directory's name.
    pub name: String,
    /// What the choice says.
    pub title: String,
    /// Whether it was the last way in.
    pub chosen: bool,
}

/// The page that asks for name and password.
#[derive(Template)]
#[template(path = "pages/sign-in.html")]
pub struct SignInPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// The title of the application it goes on to.
    pub going_to: Option<String>,
    /// Single sign-on.
    pub providers: Vec<ProviderButton>,
    /// Whether passwords are a way in.
    pub passwords: bool,
    /// The places that keep passwords, where there are several.
    pub realms: Vec<RealmChoice>,
    /// How long a remembered session lasts.
    pub remembered_for: String,
    /// Whether registration tokens are taken.
    pub registration: bool,
}

/// The page that asks for the password again, in a session that goes on.
#[derive(Template)]
#[template(path = "pages/step-up.html")]
pub struct StepUpPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What is wrong with what was typed.
    pub form: Form,
    /// Where it goes on to.
    pub onward: Onward,
    /// The title of the application that asks.
    pub going_to: Option<String>,
    /// Who is signed in.
    pub login: String,
}

/// The page that says a second factor is needed and cannot be shown yet.
#[derive(Template)]
#[template(path = "pages/mfa-missing.html")]
pub struct MfaMissingPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The title of the application that asks.
    pub going_to: Option<String>,
    /// Who is signed in.
    pub login: String,
}
