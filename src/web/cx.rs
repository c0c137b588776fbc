//! What every handler is given: the request, who sends it, and how to draw and answer.

use askama::Template;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::accounts::login::{LASTS, LoginDigest, LoginSecret};
use crate::accounts::{Acting, Caller, Reach, Unavailable, Visit};
use crate::app::refusal::Asked;
use crate::app::{App, Live};
use crate::audit::record::{Decided, LoggedRequest};
use crate::base::time::Timestamp;
use crate::config::PublicUrl;
use crate::model::event::Actor;
use crate::model::id::DecisionId;
use crate::model::name::RoleName;
use crate::model::principal::Principal;
use crate::model::role::Power;
use crate::policy::RequestFacts;
use crate::policy::delegation::Giver;
use crate::policy::facts::Host;
use crate::policy::house::Standing;

use super::answer::{self, Answer, Problem};
use super::cookies::{Cookie, Keep};
use super::files;
use super::form::Form;
use super::refusal::Scene;
use super::relative;
use super::return_to::Destination;
use super::view::{BASE, Frame, Me, console_menu, initials};
use super::words;

/// Why a handler did not answer as asked.
#[derive(Debug)]
pub enum Stop {
    /// The store did not answer: 503, nobody gets in by it.
    Unavailable,
    /// There is no such thing, or none within reach: 404.
    NotFound,
    /// The address to go on to is not one of ours: 400.
    NotOurs,
    /// Another answer.
    Answer(Box<Answer>),
}

impl From<Unavailable> for Stop {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// What a handler gives back.
pub type Outcome = Result<Answer, Stop>;

/// A request for one of our own addresses, and everything around it.
pub struct Cx<'a> {
    /// What is shared.
    pub app: &'a App,
    /// What came from files.
    pub live: &'a Live,
    /// What is known of the request.
    pub facts: &'a RequestFacts,
    /// The same for a refusal: id, headers, the address as it was written.
    pub asked: &'a Asked,
    /// The parts of the address in braces.
    pub params: Vec<(String, String)>,
    /// The query.
    pub query: Form,
    /// What a form sent, and what is wrong with it.
    pub form: Form,
    /// Who is signed in on this host.
    pub caller: Option<Caller>,
    /// What our own pages say to them.
    pub standing: Option<Standing<'a>>,
    /// Which hop the address was read from, in words.
    pub hop: &'a str,
    /// The secret of the sign-ins in progress: the browser's, or a new one.
    pub login: LoginSecret,
}

impl<'a> Cx<'a> {
    /// The portal.
    #[must_use]
    pub fn portal(&self) -> &'a PublicUrl {
        &self.live.settings.public_url
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        &self.asked.headers
    }

    /// The request's id.
    #[must_use]
    pub fn request(&self) -> String {
        self.asked.id.to_string()
    }

    /// The same, to draw a refusal.
    #[must_use]
    pub fn scene(&self) -> Scene<'a> {
        Scene {
            live: self.live,
            asked: self.asked,
            decision: None,
            login: self.caller.as_ref().map(|caller| caller.identity().login_name().into()),
            now: self.facts.now,
        }
    }

    /// Somebody turned away from our own pages: a line in the decision log, and a page or problem that names it.
    #[must_use]
    pub fn turned_away(&self, principal: &Principal, standing: &Standing<'_>) -> Answer {
        let id = self.note_turned_away(principal, standing);
        let scene = Scene {
            decision: Some(id.to_string()),
            ..self.scene()
        };
        scene.denied_in_house(&standing.reason)
    }

    /// Somebody turned away: a line in the decision log, by its id.
    #[must_use]
    pub fn note_turned_away(&self, principal: &Principal, standing: &Standing<'_>) -> DecisionId {
        let id = DecisionId::generate(&self.app.random);
        self.app.decisions.note(Decided {
            id,
            request_id: self.asked.id,
            at: self.facts.now,
            generation: Arc::clone(self.live.generation()),
            decision: standing.verdict.word(),
            reason: standing.reason.code(),
            app: None,
            request: self.logged_request(),
            principal: principal.clone(),
            rule: None,
            checks: Vec::new(),
            us: 0,
        });
        id
    }

    /// What was asked, without a secret that stands in the address: the log is read by more people than a link.
    fn logged_request(&self) -> LoggedRequest {
        let mut request = LoggedRequest::of(self.facts);
        let secret = self.param("secret");
        if !secret.is_empty() {
            request.path = request.path.map(|path| Arc::from(path.replace(secret, "{secret}")));
        }
        request
    }

    /// The host that was asked.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.facts.host.as_str()
    }

    /// Whether it is the portal.
    #[must_use]
    pub fn on_portal(&self) -> bool {
        self.host() == self.portal().host()
    }

    /// A part of the address by its name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// From where and when the request came, for a use case.
    #[must_use]
    pub fn visit(&self) -> Visit<'a> {
        Visit {
            facts: self.facts,
            policies: &self.live.policies,
            agent: self.agent(),
            browser: Cookie::Browser.read(self.headers(), self.portal()).unwrap_or(""),
        }
    }

    /// What the browser calls itself.
    #[must_use]
    pub fn agent(&self) -> &'a str {
        let agent = self.headers().get(header::USER_AGENT);
        agent.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The person, in a row that only signed-in people reach.
    ///
    /// # Errors
    /// 404 in any other row.
    pub fn person(&self) -> Result<Caller, Stop> {
        self.caller.clone().ok_or(Stop::NotFound)
    }

    /// The name that the person signs in with, as pages show it.
    #[must_use]
    pub fn login_name(&self) -> String {
        self.caller
            .as_ref()
            .map_or_else(String::new, |caller| caller.identity().login_name().to_owned())
    }

    /// The person as one who acts on other people's accounts, with the reach of their power over users.
    ///
    /// # Errors
    /// 404 for who is not signed in.
    pub fn acting(&self) -> Result<Acting, Stop> {
        self.acting_by(Power::Users)
    }

    /// The person as one who acts or looks by a power, as far as that reaches: everywhere, or the teams it is held in.
    ///
    /// # Errors
    /// 404 for who is not signed in.
    pub fn acting_by(&self, power: Power) -> Result<Acting, Stop> {
        let caller = self.person()?;
        let standing = self.standing.as_ref().ok_or(Stop::NotFound)?;
        let held = standing.held.as_deref().ok_or(Stop::NotFound)?;
        let reach = if standing.may(power) {
            Reach::All
        } else {
            Reach::Teams(held.powers().teams_with(power).cloned().collect())
        };
        Ok(Acting {
            actor: Actor::User(caller.identity().user),
            address: self.facts.client_ip,
            reach,
            admin: held.roles().contains(&RoleName::admin()),
            giver: Giver::of(&self.live.policies, held),
        })
    }

    /// Whether the person may make somebody an admin: only an admin may.
    #[must_use]
    pub fn may_give_admin(&self) -> bool {
        self.acting().is_ok_and(|acting| acting.admin)
    }

    /// The digest of the login cookie of the host where a sign-in began, from the address or the form.
    #[must_use]
    pub fn login_digest(&self) -> Option<LoginDigest> {
        let text = if self.form.has("login") {
            self.form.value("login")
        } else {
            self.query.value("login")
        };
        LoginDigest::parse(text)
    }

    /// Reads an address to go on to; none if it is empty.
    ///
    /// # Errors
    /// [`Stop::NotOurs`] for one that could lead elsewhere.
    pub fn destination(&self, text: &str) -> Result<Option<Destination>, Stop> {
        if text.is_empty() {
            return Ok(None);
        }
        Destination::read(text, self.host(), self.portal(), |host| {
            self.live.policies.knows_host(&Host::of(host))
        })
        .map(Some)
        .map_err(|_| Stop::NotOurs)
    }

    /// The value of `csrf` in every form of this answer.
    #[must_use]
    pub fn csrf(&self) -> String {
        match &self.caller {
            Some(caller) => self.app.accounts.csrf_of_session(caller.session().id),
            None => self.app.accounts.csrf_of_login(&self.login),
        }
    }

    /// The outside of a page.
    #[must_use]
    pub fn frame(&self) -> Frame {
        Frame {
            csrf: if self.on_portal() { self.csrf() } else { String::new() },
            ..frame(self.live, self.on_portal(), self.facts.now)
        }
    }

    /// The person whom a page is for.
    #[must_use]
    pub fn me(&self) -> Me {
        let name = self
            .caller
            .as_ref()
            .map(|caller| caller.identity().display_name())
            .unwrap_or_default();
        Me {
            initials: initials(&name),
            name,
            menu: self.standing.as_ref().map(console_menu).unwrap_or_default(),
        }
    }

    /// A page, with what went wrong with its form if anything did.
    #[must_use]
    pub fn page(&self, page: &impl Template) -> Answer {
        answer::page(StatusCode::OK, page)
    }

    /// A form that was not taken: its page again for a person, problem details for a program.
    #[must_use]
    pub fn not_taken(&self, status: StatusCode, page: &impl Template) -> Answer {
        if answer::wants_page(self.headers()) {
            return answer::page(status, page);
        }
        let first = self.form.problems().first();
        Problem {
            status,
            reason: first.map_or("invalid", |problem| problem.code),
            detail: first.map_or("", |problem| problem.words.as_str()),
            request: &self.request(),
            decision: None,
            login_url: None,
        }
        .answer_to(&self.form)
    }

    /// Adds a cookie to an answer.
    pub fn add_cookie(&self, answer: &mut Answer, cookie: Cookie, value: &str, keep: Keep) {
        if let Some(value) = cookie.set(value, keep, self.portal()) {
            answer.headers_mut().append(header::SET_COOKIE, value);
        }
    }

    /// Sends the login cookie with an answer, its ten minutes begun anew.
    pub fn add_login_cookie(&self, answer: &mut Answer) {
        let value = self.login.renewed(self.facts.now).to_cookie_value();
        self.add_cookie(answer, Cookie::Login, value.expose(), Keep::For(LASTS));
    }

    /// What a new password must be, beside its field.
    #[must_use]
    pub fn password_hint(&self) -> String {
        format!(
            "{} characters or more. A few unrelated words work well.",
            self.app.accounts.rules().password_min
        )
    }

    /// An address of ours on this host.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        format!("{BASE}{path}")
    }
}

/// The outside of a page, without a form's value: for any host.
#[must_use]
pub fn frame(live: &Live, on_portal: bool, now: Timestamp) -> Frame {
    let site = &live.settings.site;
    let portal = if on_portal {
        String::new()
    } else {
        live.settings.public_url.origin().to_owned()
    };
    let base = format!("{portal}{BASE}");
    Frame {
        site: site.name.clone(),
        logo: files::logo_address(site),
        style: files::style_address(site),
        help: site.help_url.as_ref().map(ToString::to_string),
        privacy: site
            .privacy_url
            .as_ref()
            .map_or_else(|| format!("{base}/privacy"), ToString::to_string),
        now: relative::iso(now),
        csrf: String::new(),
        stale: live.stale.as_ref().map(|stale| Arc::clone(&stale.problems)),
        base,
    }
}

/// Says when to come again, in whole seconds (RFC 9110 section 10.2.3).
#[must_use]
pub fn retry_after(mut answer: Answer, until: Timestamp, now: Timestamp) -> Answer {
    let secs = until.since(now).as_millis().div_ceil(1000).max(1);
    if let Ok(value) = HeaderValue::from_str(&secs.to_string()) {
        answer.headers_mut().insert(header::RETRY_AFTER, value);
    }
    answer
}

/// How many minutes are left, rounded up.
#[must_use]
pub fn minutes_until(until: Timestamp, now: Timestamp) -> u64 {
    until.since(now).as_secs().div_ceil(60).max(1)
}

/// Notes a message beside a field.
pub fn fail(form: &mut Form, field: &'static str, message: words::Message) {
    form.fail(field, message.code, message.words);
}
