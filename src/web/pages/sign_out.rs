//! Signing out, and the page about privacy that every door links to.

use askama::Template;

use super::super::answer::{self, Answer};
use super::super::cookies::{Cookie, Keep};
use super::super::cx::{Cx, Outcome};
use super::super::relative;
use super::super::view::{BASE, Frame};

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

/// GET `/sign-out`: asks. On an application's host it goes to the portal, which knows the session.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    if !cx.on_portal() {
        return Ok(answer::found(&format!("{}{BASE}/sign-out", cx.portal().origin())));
    }
    if cx.caller.is_none() {
        return Ok(answer::found(&format!("{BASE}/signed-out")));
    }
    Ok(cx.page(&SignOutPage {
        frame: cx.frame(),
        login: cx.login_name(),
    }))
}

/// POST `/sign-out`: the session and its values on every host end.
pub async fn submit(cx: &mut Cx<'_>) -> Outcome {
    if let Some(caller) = &cx.caller {
        cx.app.accounts.sign_out(caller, &cx.visit()).await?;
    }
    Ok(goodbye(cx))
}

/// Takes the session's cookie back and goes to the page that says so.
pub fn goodbye(cx: &Cx<'_>) -> Answer {
    let mut answer = answer::see_other(&format!("{BASE}/signed-out"));
    cx.add_cookie(&mut answer, Cookie::Session, "", Keep::Never);
    answer
}

/// GET `/signed-out`.
pub async fn done(cx: &mut Cx<'_>) -> Outcome {
    Ok(cx.page(&SignedOutPage { frame: cx.frame() }))
}

/// GET `/privacy`.
pub async fn privacy(cx: &mut Cx<'_>) -> Outcome {
    Ok(cx.page(&PrivacyPage {
        frame: cx.frame(),
        kept_for: relative::length(cx.live.settings.decision_log.keep),
    }))
}
