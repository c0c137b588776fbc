//! Our own pages: signing in, what is one's own, the console.
//!
//! [`Web::serve`] is the one place that finds the row for a request and checks what its table says: the host, who asks, where a form comes
//! from, its type, its size and its `csrf` value. Handlers find all that checked.

pub mod answer;
pub mod api;
pub mod assets;
pub mod console;
pub mod cookies;
pub mod cx;
pub mod files;
pub mod form;
pub mod machine;
pub mod pace;
pub mod pages;
pub mod refusal;
pub mod relative;
pub mod return_to;
pub mod routes;
#[cfg(test)]
mod samples;
pub mod step_up;
#[cfg(test)]
mod tests;
pub mod view;
pub mod words;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::accounts::login::LoginSecret;
use crate::accounts::{Caller, Unavailable, csrf_fits};
use crate::app::refusal::Asked;
use crate::app::{App, Live};
use crate::model::principal::Principal;
use crate::model::role::Power;
use crate::policy::house;
use crate::policy::house::Standing;
use crate::policy::{RequestFacts, Verdict};

use answer::Answer;
use api::Api;
use cookies::{Cookie, Keep};
use cx::{Cx, Outcome, Stop, retry_after};
use form::{Form, UnreadableForm};
use pace::Pace;
use refusal::Scene;
use routes::{Access, Found, NotFound, Place, Route, Site};
use step_up::Proved;
use view::BASE;

/// A request for one of our own addresses, as far as it is known before its row is found.
pub struct Visitor<'a> {
    /// What is known of the request.
    pub facts: &'a RequestFacts,
    /// The same for a refusal.
    pub asked: &'a Asked,
    /// Which hop the client's address was read from, in words.
    pub hop: &'a str,
    /// Who is signed in on this host. An error is answered 503 in every row that needs to know.
    pub caller: Result<Option<Caller>, Unavailable>,
}

/// Our own pages.
pub struct Web {
    site: Site,
    api: Api,
    pace: Pace,
}

impl Default for Web {
    fn default() -> Self {
        Self::new()
    }
}

impl Web {
    /// Compiles the table.
    #[must_use]
    pub fn new() -> Self {
        Self {
            site: Site::new(),
            api: Api::new(),
            pace: Pace::default(),
        }
    }

    /// The address in the table for a request, such as `/admin/users/{user}`: it may be told where what stands in its place may not.
    #[must_use]
    pub fn page(&self, facts: &RequestFacts) -> Option<&'static str> {
        let path = path_of(facts)?;
        if let Some(below) = path.strip_prefix(api::BELOW) {
            return self.api.page(below);
        }
        let found = self.site.find(&facts.method, &path).ok()?;
        Some(found.route.path)
    }

    /// Answers a request below `/.portcullis`.
    pub async fn serve<B>(&self, app: &App, live: &Live, visitor: Visitor<'_>, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let method = visitor.facts.method.clone();
        let asked = visitor.asked;
        let mut answer = self.answer(app, live, visitor, body).await;
        if let Ok(id) = asked.id.to_string().parse() {
            answer.headers_mut().insert(answer::X_REQUEST_ID, id);
        }
        answer::for_method(&method, answer)
    }

    async fn answer<B>(&self, app: &App, live: &Live, visitor: Visitor<'_>, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let of_api = path_of(visitor.facts).filter(|_| visitor.facts.host.as_str() == live.settings.public_url.host());
        if let Some(below) = of_api.as_deref().and_then(|path| path.strip_prefix(api::BELOW)) {
            return self.api.serve(app, live, visitor, below, &self.pace, body).await;
        }
        let Visitor { facts, asked, hop, caller } = visitor;
        let scene = Scene {
            live,
            asked,
            decision: None,
            login: None,
            now: facts.now,
        };
        let found = match self.find(live, facts, &scene) {
            Ok(found) => found,
            Err(answer) => return *answer,
        };
        let Ok(query) = query_of(&asked.target) else {
            return scene.error(
                StatusCode::BAD_REQUEST,
                "bad-request",
                "This address cannot be read",
                "Its query has no one meaning.",
            );
        };
        let caller = match (caller, found.route.access) {
            (Ok(caller), _) => caller,
            // Pages that anybody may see are drawn as for a stranger.
            (Err(_), Access::Public) => None,
            (Err(_), _) => return scene.unavailable(),
        };
        let standing = caller
            .as_ref()
            .map(|caller| house::judge_remembering(&live.policies, &caller.principal, facts, caller.memo()));
        let presented = Cookie::Login
            .read(&asked.headers, &live.settings.public_url)
            .and_then(|text| LoginSecret::parse(text, facts.now));
        let known_login = presented.is_some();
        let mut cx = Cx {
            app,
            live,
            facts,
            asked,
            hop,
            params: found.params,
            query,
            form: Form::default(),
            caller,
            standing,
            login: presented.unwrap_or_else(|| app.accounts.begin_login(facts.now)),
        };
        let outcome = match admit(&cx, found.route) {
            Err(answer) => return *answer,
            Ok(()) if found.route.method == Method::POST => self.submit(&mut cx, found.route, known_login, body).await,
            Ok(()) => (found.route.handler)(&mut cx).await,
        };
        let mut answer = finish(&cx, outcome);
        decorate(&cx, &mut answer).await;
        answer
    }

    /// The row, if the host and the method have it.
    fn find(&self, live: &Live, facts: &RequestFacts, scene: &Scene<'_>) -> Result<Found, Box<Answer>> {
        let on_portal = facts.host.as_str() == live.settings.public_url.host();
        let path = path_of(facts);
        let repeatable = facts.method == Method::GET || facts.method == Method::HEAD;
        let found = match path.as_deref() {
            Some("") if on_portal && repeatable => return Err(Box::new(answer::found(&format!("{BASE}/")))),
            Some(path) => self.site.find(&facts.method, path),
            None => Err(NotFound::Path),
        };
        match found {
            Ok(found) if on_portal || found.route.place == Place::Everywhere => Ok(found),
            _ if !on_portal && repeatable => {
                // What an application's scripts must not reach is on the portal only.
                let to = format!("{}{}", live.settings.public_url.origin(), scene.asked.target);
                Err(Box::new(answer::found(&to)))
            }
            Err(NotFound::Method(allowed)) if on_portal => Err(Box::new(scene.method(&allowed))),
            _ => Err(Box::new(scene.not_found())),
        }
    }

    /// A form: where it comes from, what it is, whether it belongs to this session or sign-in, and then its handler.
    async fn submit<B>(&self, cx: &mut Cx<'_>, route: &Route, known_login: bool, body: B) -> Outcome
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let scene = cx.scene();
        let refuse = |answer: Answer| Err(Stop::Answer(Box::new(answer)));
        if !comes_from_us(cx.headers(), cx.portal().origin()) {
            return refuse(scene.error(
                StatusCode::FORBIDDEN,
                "origin",
                "This form came from another site",
                "Nothing was changed. Open the page here and send it again.",
            ));
        }
        if !is_form(cx.headers()) {
            return refuse(scene.error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "This is not a form",
                "Forms are sent as application/x-www-form-urlencoded.",
            ));
        }
        if let Err(wait) = self.pace.count(cx.live.settings.limits.forms, cx.facts.client_ip) {
            let message = words::RATE_LIMITED;
            let answer = scene.error(StatusCode::TOO_MANY_REQUESTS, message.code, "Too many tries", message.words);
            return refuse(retry_after(answer, cx.facts.now.after(wait), cx.facts.now));
        }
        let stall = cx.live.settings.limits.body_stall;
        let read = tokio::time::timeout(stall, Limited::new(body, form::FORM_BYTES).collect()).await;
        let bytes = match read {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return refuse(too_large(&scene)),
            Ok(Err(_)) | Err(_) => {
                return refuse(scene.error(
                    StatusCode::BAD_REQUEST,
                    "bad-request",
                    "This form cannot be read",
                    "It stopped half way. Send it again.",
                ));
            }
        };
        cx.form = match Form::parse(&bytes) {
            Ok(form) => form,
            Err(UnreadableForm::TooLarge) => return refuse(too_large(&scene)),
            Err(UnreadableForm::Malformed) => {
                return refuse(scene.error(
                    StatusCode::BAD_REQUEST,
                    "bad-request",
                    "This form cannot be read",
                    "It has no one meaning. Open the page again and send it from there.",
                ));
            }
        };
        let presented = cx.form.value("csrf");
        let of_session = cx
            .caller
            .as_ref()
            .is_some_and(|caller| csrf_fits(&cx.app.accounts.csrf_of_session(caller.session().id), presented));
        let of_login = route.access == Access::Public && known_login && csrf_fits(&cx.app.accounts.csrf_of_login(&cx.login), presented);
        if !of_session && !of_login {
            return self.too_old(cx, route).await;
        }
        if !route.sensitive {
            return (route.handler)(cx).await;
        }
        let back = self
            .site
            .form_of(route)
            .and_then(|_| path_of(cx.facts))
            .map(|path| cx.address(&path));
        match step_up::prove(cx, back).await? {
            Proved::Recently => (route.handler)(cx).await,
            Proved::Now(session) => {
                // Roles are held by how and when somebody signed in.
                let outcome = match admit(cx, route) {
                    Ok(()) => (route.handler)(cx).await,
                    Err(answer) => Ok(*answer),
                };
                Ok(step_up::with_session(cx, finish(cx, outcome), &session))
            }
        }
    }

    /// A form whose `csrf` value is not of this session or sign-in: the page again with what was typed, and nothing done.
    async fn too_old(&self, cx: &mut Cx<'_>, route: &Route) -> Outcome {
        let has_cookie = [Cookie::Session, Cookie::Login]
            .iter()
            .any(|cookie| cookie.read(cx.headers(), cx.portal()).is_some());
        let message = if has_cookie { words::CSRF } else { words::NO_COOKIE };
        drop(cx.form.take_password("password"));
        drop(cx.form.take_password("new-password"));
        drop(cx.form.take_password("current-password"));
        drop(cx.form.take_password(step_up::PASSWORD));
        cx.form.fail("", message.code, message.words);
        if answer::wants_page(cx.headers())
            && let Some(form_page) = self.site.form_of(route)
        {
            let mut answer = (form_page.handler)(cx).await?;
            if answer.status() == StatusCode::OK {
                *answer.status_mut() = StatusCode::FORBIDDEN;
            }
            return Ok(answer);
        }
        Ok(cx
            .scene()
            .error(StatusCode::FORBIDDEN, message.code, "This page was open too long", message.words))
    }
}

/// Whether the row's access lets this person in; otherwise what they are told.
fn admit(cx: &Cx<'_>, route: &Route) -> Result<(), Box<Answer>> {
    if route.access == Access::Public {
        return Ok(());
    }
    let scene = cx.scene();
    let (Some(caller), Some(standing)) = (&cx.caller, &cx.standing) else {
        let ended = Cookie::Session.read(cx.headers(), cx.portal()).is_some();
        return Err(Box::new(scene.sign_in("no-session", ended, None)));
    };
    match standing.verdict {
        Verdict::Allow => {}
        Verdict::SignIn | Verdict::StepUp => return Err(Box::new(scene.sign_in(standing.reason.code(), false, None))),
        _ => return Err(Box::new(cx.turned_away(&caller.principal, standing))),
    }
    match lacking(cx, standing, route.access) {
        Some((power, everywhere)) => Err(Box::new(without_power(cx, caller, power, everywhere))),
        None => Ok(()),
    }
}

/// The power that a row asks for and somebody does not hold, and whether it has to be held in the whole instance.
fn lacking(cx: &Cx<'_>, standing: &Standing<'_>, access: Access) -> Option<(Power, bool)> {
    match access {
        Access::Public | Access::SignedIn => None,
        Access::Can(power) => Some((power, false)).filter(|_| !standing.may_somewhere(power)),
        Access::CanEverywhere(power) => Some((power, true)).filter(|_| !standing.may(power)),
        Access::Console => Some((Power::Users, false)).filter(|_| cx.me().menu.is_empty()),
    }
}

/// What somebody who lacks a power could do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Sign in again: a role of theirs asks for a fresh sign-in.
    SignIn,
    /// Show a second factor: a role of theirs asks for one.
    SecondFactor,
    /// Nothing.
    None,
}

fn remedy(cx: &Cx<'_>, caller: &Caller, power: Power, everywhere: bool) -> Remedy {
    let mut fresh = caller.identity().as_ref().clone();
    fresh.signed_in.at = cx.facts.now;
    let fresh = Principal::User(Arc::new(fresh));
    let then = house::judge(&cx.live.policies, &fresh, cx.facts);
    let fresh_is_enough = if everywhere { then.may(power) } else { then.may_somewhere(power) };
    if fresh_is_enough {
        return Remedy::SignIn;
    }
    if house::step_up_helps(&cx.live.policies, caller.identity(), cx.facts, power, everywhere) {
        return Remedy::SecondFactor;
    }
    Remedy::None
}

/// Who lacks a power: some would have it after a second factor, and that is said; others are turned away.
fn without_power(cx: &Cx<'_>, caller: &Caller, power: Power, everywhere: bool) -> Answer {
    let remedy = remedy(cx, caller, power, everywhere);
    if remedy == Remedy::SignIn {
        return cx.scene().sign_in("session-too-old", false, None);
    }
    if remedy == Remedy::SecondFactor && answer::wants_page(cx.headers()) {
        return answer::page(
            StatusCode::FORBIDDEN,
            &pages::sign_in::MfaMissingPage {
                frame: cx.frame(),
                going_to: None,
                login: cx.login_name(),
            },
        );
    }
    let denied = crate::app::refusal::Denied {
        reason: "role-missing",
        pattern: None,
        missing: Vec::new(),
        login: Some(caller.identity().login_name().into()),
    };
    cx.scene().denied(None, &denied)
}

fn finish(cx: &Cx<'_>, outcome: Outcome) -> Answer {
    match outcome {
        Ok(answer) => answer,
        Err(Stop::Answer(answer)) => *answer,
        Err(Stop::Unavailable) => cx.scene().unavailable(),
        Err(Stop::NotFound) => cx.scene().not_found(),
        Err(Stop::NotOurs) => cx.scene().error(
            StatusCode::BAD_REQUEST,
            "return-to",
            "This link leads somewhere else",
            "The address to go on to after signing in is not one of ours. Start from your applications.",
        ),
    }
}

/// The cookies that go with an answer: the login cookie with every page that may hold a form of a stranger's, and a new value of a session
/// whose person gained a role.
async fn decorate(cx: &Cx<'_>, answer: &mut Answer) {
    let is_page = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    match &cx.caller {
        None if cx.on_portal() && is_page => cx.add_login_cookie(answer),
        Some(caller) if caller.rotate && !sets_session(cx, answer) => {
            if let Ok(Some(value)) = cx.app.accounts.rotate(caller, cx.facts.now).await {
                let session = caller.session();
                let keep = if session.remember {
                    Keep::For(session.expires.since(cx.facts.now))
                } else {
                    Keep::Browser
                };
                cx.add_cookie(answer, Cookie::Session, &value.to_cookie_text(), keep);
            }
        }
        _ => {}
    }
}

fn sets_session(cx: &Cx<'_>, answer: &Answer) -> bool {
    let name = format!("{}=", Cookie::Session.name(cx.portal()));
    answer
        .headers()
        .get_all(header::SET_COOKIE)
        .into_iter()
        .any(|cookie| cookie.as_bytes().starts_with(name.as_bytes()))
}

fn too_large(scene: &Scene<'_>) -> Answer {
    scene.error(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body-too-large",
        "This is too large to send",
        "A field of a form holds 16 KiB at most.",
    )
}

/// The address below `/.portcullis`, if it has one reading.
fn path_of(facts: &RequestFacts) -> Option<String> {
    let mut readings = facts.path.readings();
    let only = readings.next().filter(|_| facts.path.reading_count() == 1)?;
    only.to_string().strip_prefix(BASE).map(str::to_owned)
}

fn query_of(target: &str) -> Result<Form, UnreadableForm> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    Form::parse(query.as_bytes())
}

/// Whether a form was sent by a page of this origin, as far as the browser says: neither header may name another.
fn comes_from_us(headers: &HeaderMap, origin: &str) -> bool {
    let all = |name: &str, expected: &[&str]| {
        headers
            .get_all(name)
            .into_iter()
            .all(|value| value.to_str().is_ok_and(|value| expected.contains(&value)))
    };
    all("origin", &[origin]) && all("sec-fetch-site", &["same-origin"])
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).into_iter();
    let kind = kinds.next().and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && kinds.next().is_none()
}

#[cfg(test)]
mod unit {
    use super::*;
    use http::HeaderValue;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_form_comes_from_our_own_origin_where_the_browser_says_so() {
        for (name, fields, expected) in [
            ("says nothing", &[][..], true),
            (
                "ours",
                &[("origin", "https://sso.example"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            ("another origin", &[("origin", "https://evil.example")], false),
            ("no origin to speak of", &[("origin", "null")], false),
            ("an application's", &[("sec-fetch-site", "same-site")], false),
            (
                "another site",
                &[("origin", "https://sso.example"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            ("another port", &[("origin", "https://sso.example:8443")], false),
            (
                "two origins",
                &[("origin", "https://sso.example"), ("origin", "https://evil.example")],
                false,
            ),
        ] {
            assert_eq!(comes_from_us(&headers(fields), "https://sso.example"), expected, "{name}");
        }
    }

    #[test]
    fn only_one_content_type_is_a_form() {
        for (kind, expected) in [
            ("application/x-www-form-urlencoded", true),
            ("application/x-www-form-urlencoded; charset=UTF-8", true),
            ("text/plain", false),
            ("multipart/form-data; boundary=x", false),
            ("application/json", false),
        ] {
            assert_eq!(is_form(&headers(&[("content-type", kind)])), expected, "{kind}");
        }
        assert!(!is_form(&HeaderMap::new()));
    }

    #[test]
    fn an_address_with_several_readings_is_none_of_ours() {
        use crate::base::time::Timestamp;
        for (path, expected) in [
            ("/.portcullis/sign-in", Some("/sign-in")),
            ("/.portcullis", Some("")),
            ("/.portcullis/", Some("/")),
            ("/.portcullis//sign-in", None),
            ("/.portcullis/sign-in;x=1", None),
            ("/.portcullis/../x", None),
        ] {
            let facts = RequestFacts::new(Method::GET, "sso.example", path, None, Timestamp::EPOCH);
            assert_eq!(path_of(&facts).as_deref(), expected, "{path}");
        }
    }
}
