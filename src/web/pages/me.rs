//! What is one's own: applications, password, sessions.

use askama::Template;

use super::super::form::Form;
use super::super::view::{Frame, Me, SessionRow};

/// An application on the start page.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Its title.
    pub title: String,
    /// Its picture in the sprite.
    pub icon: String,
    /// Where it is.
    pub href: String,
    /// The same, for people.
    pub place: String,
    /// Why it cannot be opened now.
    pub closed: Option<String>,
}

/// "My applications".
#[derive(Template)]
#[template(path = "pages/home.html")]
pub struct HomePage {
    /// The outside of the page.
    pub frame: Frame,
    /// Whose it is.
    pub me: Me,
    /// Which of one's own pages this is.
    pub here: &'static str,
    /// The applications.
    pub tiles: Vec<Tile>,
}

/// "Password and security".
#[derive(Template)]
#[template(path = "pages/security.html")]
pub struct SecurityPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Whose it is.
    pub me: Me,
    /// Which of one's own pages this is.
    pub here: &'static str,
    /// What is wrong with what was typed.
    pub form: Form,
    /// The name a password manager keeps the new password under.
    pub login: String,
    /// Whether there is a password to change.
    pub has_password: bool,
    /// What a password must be.
    pub password_hint: String,
    /// Whether it was changed just now.
    pub changed: bool,
}

/// "My sessions".
#[derive(Template)]
#[template(path = "pages/my-sessions.html")]
pub struct SessionsPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Whose it is.
    pub me: Me,
    /// Which of one's own pages this is.
    pub here: &'static str,
    /// The sessions, this one first.
    pub sessions: Vec<SessionRow>,
    /// Whether there are others than this one.
    pub others: bool,
    /// What was done just now.
    pub done: Option<String>,
}
