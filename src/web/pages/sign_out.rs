//! Signing out, and the page about privacy that every door links to.

use askama::Template;

use super::super::view::Frame;

/// The page that asks before it signs out.
#[derive(Template)]
#[template(path = "pages/sign-out.html")]
pub struct SignOutPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who is signed in.
    pub login: String,
}

/// The page after it.
#[derive(Template)]
#[template(path = "pages/signed-out.html")]
pub struct SignedOutPage {
    /// The outside of the page.
    pub frame: Frame,
}

/// What is kept about people.
#[derive(Template)]
#[template(path = "pages/privacy.html")]
pub struct PrivacyPage {
    /// The outside of the page.
    pub frame: Frame,
    /// How long the log of requests is kept.
    pub kept_for: String,
}
