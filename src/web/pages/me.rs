//! What is one's own: applications, password, sessions.

use askama::Template;
use http::{Method, StatusCode};

use crate::accounts::{Caller, ChangeOutcome, SessionLine};
use crate::base::time::{MINUTE, Timestamp};
use crate::model::device::device;
use crate::model::id::SessionId;
use crate::model::role::SignInMethod;
use crate::policy::application::HostPattern;
use crate::policy::decide::decide;
use crate::policy::{Application, Reason, RequestFacts, Verdict};

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop, fail, minutes_until, retry_after};
use super::super::form::Form;
use super::super::relative::Moment;
use super::super::view::{BASE, Frame, Me, SessionRow, device_icon};
use super::super::words;

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

/// GET `/`: the applications the person may open, and those that only lack something they could get.
pub async fn home(cx: &mut Cx<'_>) -> Outcome {
    let caller = cx.person()?;
    let tiles = cx
        .live
        .policies
        .applications()
        .iter()
        .filter_map(|application| tile(cx, &caller, application))
        .collect();
    Ok(cx.page(&HomePage {
        frame: cx.frame(),
        me: cx.me(),
        here: "/",
        tiles,
    }))
}

/// An application as this person sees it: open, closed for a reason they can mend, or not there.
fn tile(cx: &Cx<'_>, caller: &Caller, application: &Application) -> Option<Tile> {
    // A wildcard names no one place to go to.
    let host = application.hosts.iter().find_map(|host| match host {
        HostPattern::Exact(host) => Some(host),
        HostPattern::Under(_) => None,
    })?;
    let path = if application.path == "/" {
        "/".to_owned()
    } else {
        format!("{}/", application.path)
    };
    let mut facts = RequestFacts::new(Method::GET, host, &path, cx.facts.client_ip, cx.facts.now);
    facts.scheme = cx.facts.scheme;
    facts.rested = cx.facts.rested;
    let decision = decide(&cx.live.policies, &caller.principal, &facts);
    let closed = match (decision.verdict, &decision.reason) {
        (Verdict::Allow | Verdict::SignIn, _) => None,
        (Verdict::StepUp, Reason::SessionTooOld { .. } | Reason::SessionUnused { .. }) => None,
        (Verdict::StepUp, _) => Some("Needs a second factor, which is not available yet.".to_owned()),
        (Verdict::Deny, _) if application.hide => return None,
        (Verdict::Deny, Reason::IpApp(_) | Reason::IpRule(_) | Reason::IpUser(_)) => {
            Some("Not open to the address you come from.".to_owned())
        }
        (Verdict::Deny, Reason::OutsideWindow(_)) => Some("Closed at this time.".to_owned()),
        _ => return None,
    };
    let place = if path == "/" {
        host.to_string()
    } else {
        format!("{host}{}", application.path)
    };
    Some(Tile {
        title: application.title.clone(),
        icon: icon(application.icon.as_deref()).to_owned(),
        href: format!("{}{path}", cx.portal().origin_of(host)),
        place,
        closed,
    })
}

/// The picture of an application: one of the sprite's, or the general one.
fn icon(named: Option<&str>) -> &'static str {
    const KNOWN: &[&str] = &[
        "apps", "book", "box", "chart", "device", "globe", "help", "key", "list", "mail", "pulse", "search", "shield", "tag", "team",
        "users",
    ];
    KNOWN.iter().copied().find(|known| Some(*known) == named).unwrap_or("apps")
}

/// GET `/me/security`.
pub async fn show_security(cx: &mut Cx<'_>) -> Outcome {
    let changed = cx.query.has("changed");
    Ok(cx.page(&security_page(cx, changed)?))
}

/// POST `/me/security`: a new password. All other sessions end.
pub async fn change_password(cx: &mut Cx<'_>) -> Outcome {
    let caller = cx.person()?;
    let (current, new) = (cx.form.take_password("current-password"), cx.form.take_password("new-password"));
    let now = cx.facts.now;
    let status = match cx.app.accounts.change_password(&caller, current, new, &cx.visit()).await? {
        ChangeOutcome::Changed => return Ok(answer::see_other(&format!("{BASE}/me/security?changed=1"))),
        ChangeOutcome::WrongCurrent => {
            fail(&mut cx.form, "current-password", words::PASSWORD_CURRENT);
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ChangeOutcome::Weak(flaw) => {
            let (code, told) = words::password(flaw);
            cx.form.fail("new-password", code, told);
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ChangeOutcome::None => StatusCode::CONFLICT,
        ChangeOutcome::Locked { until } => {
            cx.form.fail("", "locked", words::wait(minutes_until(until, now)));
            let answer = cx.not_taken(StatusCode::TOO_MANY_REQUESTS, &security_page(cx, false)?);
            return Ok(retry_after(answer, until, now));
        }
        ChangeOutcome::Busy => {
            fail(&mut cx.form, "", words::BUSY);
            let answer = cx.not_taken(StatusCode::SERVICE_UNAVAILABLE, &security_page(cx, false)?);
            return Ok(retry_after(answer, now.after(MINUTE), now));
        }
    };
    Ok(cx.not_taken(status, &security_page(cx, false)?))
}

fn security_page(cx: &Cx<'_>, changed: bool) -> Result<SecurityPage, Stop> {
    let caller = cx.person()?;
    Ok(SecurityPage {
        frame: cx.frame(),
        me: cx.me(),
        here: "/me/security",
        form: cx.form.clone(),
        login: cx.login_name(),
        has_password: caller.session().signed_in.method == SignInMethod::Password,
        password_hint: format!("{} characters or more.", cx.app.accounts.rules().password_min),
        changed,
    })
}

/// GET `/me/sessions`.
pub async fn show_sessions(cx: &mut Cx<'_>) -> Outcome {
    let caller = cx.person()?;
    let now = cx.facts.now;
    let lines = cx.app.accounts.own_sessions(&caller, now).await?;
    let mut sessions: Vec<SessionRow> = lines.iter().map(|line| session_row(cx, line, now)).collect();
    sessions.sort_by_key(|row| !row.this);
    let done = match cx.query.value("done") {
        "one" => Some("The session is ended.".to_owned()),
        "others" => Some("All other sessions are ended.".to_owned()),
        _ => None,
    };
    Ok(cx.page(&SessionsPage {
        frame: cx.frame(),
        me: cx.me(),
        here: "/me/sessions",
        others: sessions.iter().any(|row| !row.this),
        sessions,
        done,
    }))
}

/// POST `/me/sessions`: ends one of one's own, or all but this one.
pub async fn end_sessions(cx: &mut Cx<'_>) -> Outcome {
    let caller = cx.person()?;
    let which = cx.form.value("end");
    let done = if which == "others" {
        cx.app.accounts.end_all_others(&caller, &cx.visit()).await?;
        "others"
    } else {
        let id = which.parse::<SessionId>().map_err(|_| Stop::NotFound)?;
        if !cx.app.accounts.end_own_session(&caller, id, &cx.visit()).await? {
            return Err(Stop::NotFound);
        }
        if id == caller.session().id {
            return Ok(super::sign_out::goodbye(cx));
        }
        "one"
    };
    Ok(answer::see_other(&format!("{BASE}/me/sessions?done={done}")))
}

/// A session as lists show it.
pub fn session_row(cx: &Cx<'_>, line: &SessionLine, now: Timestamp) -> SessionRow {
    let session = &line.session;
    let way = match session.signed_in.provider.as_ref() {
        Some(name) => cx
            .live
            .policies
            .provider(name)
            .map_or_else(|| name.to_string(), |provider| provider.title.clone()),
        None => way_in(session.signed_in.method).to_owned(),
    };
    SessionRow {
        id: session.id.to_string(),
        icon: device_icon(&session.agent),
        device: device(&session.agent),
        address: session
            .address
            .map_or_else(|| "unknown address".to_owned(), |address| address.to_string()),
        way,
        seen: Moment::of(line.last_seen, now),
        ends: Moment::of(line.idle_end, now),
        this: line.current,
    }
}

const fn way_in(method: SignInMethod) -> &'static str {
    match method {
        SignInMethod::Password => "Password",
        SignInMethod::Saml => "Single sign-on",
        SignInMethod::Ldap => "Directory",
        SignInMethod::Passkey => "Passkey",
        SignInMethod::Service => "Service",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_picture_is_the_general_one() {
        assert_eq!(icon(Some("book")), "book");
        assert_eq!(icon(Some("\"><script>")), "apps");
        assert_eq!(icon(None), "apps");
    }
}
