//! From the portal to another host: what a session still lacks, the ticket, and what is said when the hand-over cannot be finished.

use askama::Template;
use http::{Method, StatusCode};

use crate::accounts::login::{LoginDigest, LoginSecret};
use crate::accounts::{Arrival, Caller, NewSession, Presented};
use crate::model::principal::Principal;
use crate::policy::decide::decide;
use crate::policy::house;
use crate::policy::{Reason, RequestFacts, Verdict};
use std::sync::Arc;
use std::time::Duration;

use super::super::answer::{self, Answer};
use super::super::cookies::{Cookie, Keep};
use super::super::cx::{Cx, Outcome, Stop};
use super::super::return_to::Destination;
use super::super::view::{BASE, Frame, Onward};

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

/// What a session lacks for where it wants to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing that signing in could give.
    Nothing,
    /// A sign-in in another way.
    AnotherWay,
    /// A more recent sign-in.
    Recent,
    /// A second factor.
    SecondFactor,
}

/// Where a sign-in goes on to, and for which browser.
#[derive(Clone, Debug)]
pub struct Going {
    to: Option<Destination>,
    login: Option<LoginDigest>,
}

impl Going {
    /// Reads where to go on to.
    ///
    /// # Errors
    /// [`Stop::NotOurs`] for an address that is not ours.
    pub fn read(cx: &Cx<'_>, text: &str) -> Result<Self, Stop> {
        Ok(Self {
            to: cx.destination(text)?,
            login: cx.login_digest(),
        })
    }

    /// The same for the hidden fields of a form.
    #[must_use]
    pub fn onward(&self, cx: &Cx<'_>) -> Onward {
        let to = match &self.to {
            None => String::new(),
            Some(Destination::Here(target)) => target.clone(),
            Some(elsewhere) => elsewhere.to_address(cx.host(), cx.portal()),
        };
        let login = self.login.filter(|_| self.is_elsewhere()).map(LoginDigest::to_text);
        Onward {
            to,
            login: login.unwrap_or_default(),
        }
    }

    const fn is_elsewhere(&self) -> bool {
        matches!(self.to, Some(Destination::Elsewhere { .. }))
    }

    /// The title of the application it goes on to.
    #[must_use]
    pub fn title(&self, cx: &Cx<'_>) -> Option<String> {
        let facts = self.facts(cx)?;
        let decision = decide(&cx.live.policies, &Principal::Anonymous, &facts);
        let shown = decision.application.filter(|application| !application.hide);
        shown.map(|application| application.title.clone())
    }

    /// What the request would be that follows.
    fn facts(&self, cx: &Cx<'_>) -> Option<RequestFacts> {
        let (host, target) = match self.to.as_ref()? {
            Destination::Here(target) => (cx.host(), target),
            Destination::Elsewhere { host, target } => (host.as_str(), target),
        };
        let path = target.split(['?', '#']).next().unwrap_or("/");
        let mut facts = RequestFacts::new(Method::GET, host, path, cx.facts.client_ip, cx.facts.now);
        facts.scheme = cx.facts.scheme;
        facts.rested = cx.facts.rested;
        Some(facts)
    }

    /// The address on the host where the sign-in should have begun, if this is the portal, the place is elsewhere and no digest came:
    /// that host has to set its login cookie first.
    #[must_use]
    pub fn to_where_it_begins(&self, cx: &Cx<'_>) -> Option<String> {
        if self.login.is_some() {
            return None;
        }
        let Some(Destination::Elsewhere { host, .. }) = &self.to else {
            return None;
        };
        let onward = Onward {
            to: self.onward(cx).to,
            login: String::new(),
        };
        Some(format!("{}{BASE}/sign-in{}", cx.portal().origin_of(host), onward.query()))
    }

    /// What the session lacks: for the house, then for the place it goes to. What signing in again cannot mend is shown there.
    #[must_use]
    pub fn missing(&self, cx: &Cx<'_>, caller: &Caller) -> Missing {
        let in_house = missing(caller, cx, |principal| {
            let standing = house::judge(&cx.live.policies, principal, cx.facts);
            (standing.verdict, matches!(standing.reason, Reason::Account))
        });
        if in_house != Missing::Nothing {
            return in_house;
        }
        let Some(facts) = self.facts(cx) else {
            return Missing::Nothing;
        };
        missing(caller, cx, |principal| {
            let decision = decide(&cx.live.policies, principal, &facts);
            (decision.verdict, false)
        })
    }

    /// On at once from a GET, for who has all it takes.
    ///
    /// # Errors
    /// As the store's.
    pub fn redirect(&self, cx: &Cx<'_>, caller: &Caller) -> Outcome {
        Ok(match &self.to {
            None => answer::found(&format!("{BASE}/")),
            Some(Destination::Here(target)) => answer::found(target),
            Some(Destination::Elsewhere { host, .. }) => answer::found(&self.ticket(cx, caller, host)?),
        })
    }

    /// On from a form: 303 on this host, a page that goes on by itself to another.
    ///
    /// # Errors
    /// As the store's.
    pub fn after_form(&self, cx: &Cx<'_>, caller: &Caller) -> Outcome {
        if self.missing(cx, caller) != Missing::Nothing {
            return Ok(answer::see_other(&format!("{BASE}/sign-in{}", self.onward(cx).query())));
        }
        let to = match &self.to {
            None => return Ok(answer::see_other(&format!("{BASE}/"))),
            Some(Destination::Here(target)) => return Ok(answer::see_other(target)),
            Some(Destination::Elsewhere { host, .. }) => match self.to_where_it_begins(cx) {
                Some(begin) => begin,
                None => self.ticket(cx, caller, host)?,
            },
        };
        Ok(cx.page(&HopPage {
            frame: cx.frame(),
            to,
            place: self.title(cx).unwrap_or_else(|| "the application".to_owned()),
        }))
    }

    /// The address that hands the session over to a host.
    fn ticket(&self, cx: &Cx<'_>, caller: &Caller, host: &str) -> Result<String, Stop> {
        let login = self.login.ok_or(Stop::NotFound)?;
        let go_on = self.onward(cx).to;
        let ticket = cx.app.accounts.ticket(caller, host, login, go_on, cx.facts.now);
        let ticket = ticket.map_err(|_| Stop::Unavailable)?;
        Ok(format!("{}{BASE}/callback?ticket={}", cx.portal().origin_of(host), ticket.expose()))
    }
}

/// What somebody lacks, by asking the rules: as they are, and as they would be had they signed in just now.
fn missing(caller: &Caller, cx: &Cx<'_>, judge: impl Fn(&Principal) -> (Verdict, bool)) -> Missing {
    match judge(&caller.principal) {
        (Verdict::SignIn, _) => Missing::AnotherWay,
        (Verdict::StepUp, _) => {
            let mut fresh = caller.identity().as_ref().clone();
            fresh.signed_in.at = cx.facts.now;
            match judge(&Principal::User(Arc::new(fresh))) {
                (Verdict::StepUp, _) => Missing::SecondFactor,
                _ => Missing::Recent,
            }
        }
        _ => Missing::Nothing,
    }
}

/// The cookie of a new session, and on to where the person was going.
///
/// # Errors
/// As the store's.
pub async fn welcome(cx: &mut Cx<'_>, session: &NewSession, going: &Going) -> Outcome {
    let presented = cx.app.accounts.caller(&session.value, cx.host(), cx.facts.now).await?;
    let Presented::Live(caller) = presented else {
        return Err(Stop::NotFound);
    };
    let mut answer = going.after_form(cx, &caller)?;
    add_session_cookies(cx, &mut answer, session);
    Ok(answer)
}

/// Sends the cookie of a session that was opened here, and the mark that this browser is known.
pub fn add_session_cookies(cx: &Cx<'_>, answer: &mut Answer, session: &NewSession) {
    add_session_cookie(cx, answer, session);
    let accounts = &cx.app.accounts;
    if accounts.sends_mail() {
        let marks = accounts.mark_browser(cx.visit().browser, session.session.user);
        cx.add_cookie(answer, Cookie::Browser, &marks, Keep::For(BROWSER_KNOWN));
    }
}

/// How long a browser is known: as long as browsers keep a cookie at most (RFC 6265bis section 5.5).
const BROWSER_KNOWN: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Sends the cookie of a session on this host.
pub fn add_session_cookie(cx: &Cx<'_>, answer: &mut Answer, session: &NewSession) {
    let keep = if session.session.remember {
        Keep::For(session.session.expires.since(cx.facts.now))
    } else {
        Keep::Browser
    };
    cx.add_cookie(answer, Cookie::Session, &session.value.to_cookie_text(), keep);
}

/// GET `/sign-in` on an application's host: sets that host's login cookie and goes to the portal with its digest.
///
/// # Errors
/// [`Stop::NotOurs`] for an address to go on to that is not ours.
pub fn begin(cx: &Cx<'_>) -> Outcome {
    let to = cx.destination(cx.query.value("rd"))?.unwrap_or(Destination::Here("/".to_owned()));
    if let Destination::Elsewhere { host, .. } = &to {
        // A cookie of this host would be of no use there.
        let onward = Onward {
            to: to.to_address(cx.host(), cx.portal()),
            login: String::new(),
        };
        return Ok(answer::found(&format!(
            "{}{BASE}/sign-in{}",
            cx.portal().origin_of(host),
            onward.query()
        )));
    }
    let onward = Onward {
        to: to.to_address(cx.host(), cx.portal()),
        login: cx.login.digest().to_text(),
    };
    let mut answer = answer::found(&format!("{}{BASE}/sign-in{}", cx.portal().origin(), onward.query()));
    cx.add_login_cookie(&mut answer);
    Ok(answer)
}

/// GET `/callback?ticket=`: the session becomes good on this host, once, in the browser that began.
pub async fn arrive(cx: &mut Cx<'_>) -> Outcome {
    let presented = Cookie::Login
        .read(cx.headers(), cx.portal())
        .and_then(|text| LoginSecret::parse(text, cx.facts.now));
    let visit = cx.visit();
    let arrival = cx
        .app
        .accounts
        .redeem_ticket(cx.query.value("ticket"), presented.as_ref(), &visit)
        .await?;
    let words = match arrival {
        Arrival::Arrived { session, go_on } => return arrived(cx, &session, &go_on),
        Arrival::Stranger if presented.is_none() => "Your browser did not send the cookie that this sign-in began with.",
        Arrival::Stranger => "This step of the sign-in was used already, has ended, or was begun in another browser.",
    };
    let page = UnfinishedPage {
        frame: cx.frame(),
        words: words.to_owned(),
        host: cx.host().to_owned(),
        again: "/".to_owned(),
        request: cx.request(),
    };
    let problem = answer::Problem {
        status: StatusCode::BAD_REQUEST,
        reason: "ticket",
        detail: words,
        request: &cx.request(),
        decision: None,
        login_url: None,
    };
    Ok(if answer::wants_page(cx.headers()) {
        answer::page(StatusCode::BAD_REQUEST, &page)
    } else {
        problem.answer()
    })
}

fn arrived(cx: &Cx<'_>, session: &NewSession, go_on: &str) -> Outcome {
    let mut answer = match cx.destination(go_on)? {
        Some(Destination::Here(target)) => answer::found(&target),
        // The portal wrote it for this host; rules may have changed on the way.
        _ => answer::found("/"),
    };
    add_session_cookie(cx, &mut answer, session);
    Ok(answer)
}
