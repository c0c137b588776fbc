//! Setting up the first administrator, at the address that `serve` prints while there is none.

use askama::Template;

use super::super::form::Form;
use super::super::view::{BASE, Frame};

/// The address to print: good once, while nobody is an administrator.
#[must_use]
pub fn address(public_url: &str, secret: &str) -> String {
    format!("{}{BASE}/first-admin/{secret}", public_url.trim_end_matches('/'))
}

/// The page that makes the first administrator.
#[derive(Template)]
#[template(path = "pages/first-admin.html")]
pub struct FirstAdminPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What was typed, and what is wrong with it.
    pub form: Form,
    /// The secret of the address, where the form goes again.
    pub secret: String,
    /// What a password must be.
    pub password_hint: String,
}

/// The page behind an address that works no longer.
#[derive(Template)]
#[template(path = "pages/first-admin-ended.html")]
pub struct FirstAdminEndedPage {
    /// The outside of the page.
    pub frame: Frame,
}
