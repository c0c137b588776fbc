//! The pages for a request that did not go through.

use askama::Template;

use super::super::view::{Denial, Frame, Link};

/// Outside an IP pattern.
#[derive(Template)]
#[template(path = "pages/denied-ip.html")]
pub struct DeniedIpPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What happened.
    pub denial: Denial,
}

/// Something else is missing.
#[derive(Template)]
#[template(path = "pages/denied-role.html")]
pub struct DeniedPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What happened.
    pub denial: Denial,
}

/// A request that needs a session and cannot be sent again by a redirect.
#[derive(Template)]
#[template(path = "pages/expired.html")]
pub struct ExpiredPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What the page is called.
    pub title: &'static str,
    /// Whether there was a session before.
    pub ended: bool,
    /// Whether something was sent that is lost now.
    pub unsent: bool,
    /// The title of the application it was meant for.
    pub application: Option<String>,
    /// Where to sign in.
    pub login_url: String,
}

/// The application behind the gate does not answer.
#[derive(Template)]
#[template(path = "pages/error-upstream.html")]
pub struct UpstreamPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Its title.
    pub application: String,
    /// What it failed at.
    pub words: String,
    /// Where "try again" goes, if trying again is harmless.
    pub again: Option<String>,
    /// The request's id.
    pub request: String,
}

/// Any other refusal.
#[derive(Template)]
#[template(path = "pages/error.html")]
pub struct ErrorPage {
    /// The outside of the page.
    pub frame: Frame,
    /// What is wrong, in a few words.
    pub title: String,
    /// What is wrong and what to do, in a sentence or two.
    pub words: String,
    /// Where to go on.
    pub link: Option<Link>,
    /// The request's id.
    pub request: String,
}

/// A refusal on a host that is none of ours: it names nothing of the house, and asks that host for no asset.
#[derive(Template)]
#[template(path = "pages/bare.html")]
pub struct BarePage {
    /// What is wrong, in a few words.
    pub title: String,
    /// What is wrong and what to do, in a sentence or two.
    pub words: String,
    /// The request's id.
    pub request: String,
}
