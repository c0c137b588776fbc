//! From the portal to another host: the page that goes on by itself, and what is said when the hand-over cannot be finished.

use askama::Template;

use super::super::view::Frame;

/// The page that goes on to another host by itself.
///
/// A redirect would not do: browsers hold `form-action` against every redirect that answers a form.
#[derive(Template)]
#[template(path = "pages/hop.html")]
pub struct HopPage {
    /// The outside of the page.
    pub frame: Frame,
    /// The address it goes on to.
    pub to: String,
    /// What that is called.
    pub place: String,
}

/// The page that says why a hand-over ended here. It never redirects, so nothing loops.
#[derive(Template)]
#[template(path = "pages/no-cookie.html")]
pub struct UnfinishedPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What is wrong.
    pub words: String,
    /// This host.
    pub host: String,
    /// Where to start again.
    pub again: String,
    /// The request's id.
    pub request: String,
}
