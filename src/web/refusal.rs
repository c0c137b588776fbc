//! A request that does not go through: the page that says so, or problem details for a program.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::accounts::Refused;
use crate::app::Live;
use crate::app::refusal::{Asked, Denied, Refusal, RefusalKind};
use crate::base::time::{MINUTE, Timestamp};
use crate::model::name::IpPatternName;
use crate::policy::Reason;
use crate::policy::facts::Host;
use crate::policy::house::judge;

use super::answer::{self, Answer, Problem};
use super::cx::{Cx, frame, retry_after};
use super::pages::refused::{BarePage, DeniedIpPage, DeniedPage, ErrorPage, ExpiredPage, UpstreamPage};
use super::relative::Moment;
use super::return_to::Destination;
use super::view::{BASE, Denial, Frame, Link, Onward};

/// What is known around a refusal.
pub struct Scene<'a> {
    /// What came from files.
    pub live: &'a Live,
    /// The request.
    pub asked: &'a Asked,
    /// The decision's id, where there is one.
    pub decision: Option<String>,
    /// Who is signed in, where it is known.
    pub login: Option<Arc<str>>,
    /// When.
    pub now: Timestamp,
}

/// The answer to a request that the gateway refused, with the request's id.
#[must_use]
pub fn answer(live: &Live, refusal: &Refusal, now: Timestamp) -> Answer {
    let scene = Scene {
        live,
        asked: &refusal.asked,
        decision: refusal.decision.as_ref().map(ToString::to_string),
        login: None,
        now,
    };
    let title = refusal.application.as_ref().map(|application| application.title.to_string());
    let mut answer = scene.draw(&refusal.kind, title);
    if let Ok(id) = scene.request().parse() {
        answer.headers_mut().insert(answer::X_REQUEST_ID, id);
    }
    answer::for_method(&refusal.asked.method, answer)
}

/// Somebody who is who they say, and may not come in from where they are or in this way. No session was opened.
#[must_use]
pub fn at_the_door(cx: &Cx<'_>, refused: &Refused) -> Answer {
    let standing = judge(&cx.live.policies, &refused.principal, cx.facts);
    cx.turned_away(&refused.principal, &standing)
}

impl Scene<'_> {
    fn draw(&self, kind: &RefusalKind, application: Option<String>) -> Answer {
        match kind {
            RefusalKind::Malformed { what } => self.error(
                StatusCode::BAD_REQUEST,
                "bad-request",
                "This request cannot be read",
                &format!("Nothing was passed on, because {what}."),
            ),
            RefusalKind::HeadTooLarge { target: true } => self.error(
                StatusCode::URI_TOO_LONG,
                "too-long",
                "This address is too long",
                "Nothing was passed on.",
            ),
            RefusalKind::HeadTooLarge { target: false } => self.error(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "too-long",
                "The head of this request is too large",
                "Often it is too many cookies. Remove those of this site and try again.",
            ),
            RefusalKind::NotImplemented { what } => self.error(
                StatusCode::NOT_IMPLEMENTED,
                "not-implemented",
                "This is not understood here",
                &format!("portcullis does not know {what} that the request uses."),
            ),
            RefusalKind::UnknownHost => self.bare(
                StatusCode::MISDIRECTED_REQUEST,
                "no-app",
                "No application has this name",
                "Check the address. If it is right, an administrator has to name it in the policy.",
            ),
            RefusalKind::NotFound => self.not_found(),
            RefusalKind::InClear => self.over_tls(),
            RefusalKind::SignIn { reason, ended } => self.sign_in(reason, *ended, application),
            RefusalKind::StepUp { reason, .. } => self.sign_in(reason, false, application),
            RefusalKind::Denied(denied) => self.denied(application, denied),
            RefusalKind::TooMany { retry_after: span } => {
                let until = self.now.after(*span);
                let wait = super::relative::words(until, self.now);
                retry_after(
                    self.error(
                        StatusCode::TOO_MANY_REQUESTS,
                        "rate",
                        "Too many requests",
                        &format!("Try again {wait}."),
                    ),
                    until,
                    self.now,
                )
            }
            RefusalKind::BodyTooLarge => self.error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "This is too large to send",
                "Nothing was kept of it. Send less at a time.",
            ),
            RefusalKind::BodyBroken { stalled: true } => self.error(
                StatusCode::REQUEST_TIMEOUT,
                "body-stalled",
                "The request stopped half way",
                "Nothing more arrived for too long. Check the connection and send it again.",
            ),
            RefusalKind::BodyBroken { stalled: false } => self.error(
                StatusCode::BAD_REQUEST,
                "bad-request",
                "This request cannot be read",
                "Its body is not what its head says.",
            ),
            RefusalKind::UpstreamDown => self.upstream(
                StatusCode::BAD_GATEWAY,
                "upstream_down",
                application,
                "The application behind the gate cannot be reached.",
            ),
            RefusalKind::UpstreamLate { limit } => {
                let words = match *limit {
                    "connect" => "The application behind the gate did not take the connection in time.",
                    "first_byte" => "The application behind the gate did not reply in time.",
                    "idle" => "The application behind the gate stopped in the middle of its reply.",
                    _ => "The application behind the gate took too long.",
                };
                self.upstream(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", application, words)
            }
            RefusalKind::Unavailable { retry_after: span } => retry_after(self.unavailable(), self.now.after(*span), self.now),
        }
    }

    fn headers(&self) -> &HeaderMap {
        &self.asked.headers
    }

    fn host(&self) -> &str {
        self.asked.host.as_ref().map_or("", |host| host.as_str())
    }

    fn on_portal(&self) -> bool {
        self.host() == self.live.settings.public_url.host()
    }

    fn frame(&self) -> Frame {
        frame(self.live, self.on_portal(), self.now)
    }

    fn request(&self) -> String {
        self.asked.id.to_string()
    }

    fn repeatable(&self) -> bool {
        self.asked.method == Method::GET || self.asked.method == Method::HEAD
    }

    /// The page for a person, problem details for a program.
    fn choose(&self, status: StatusCode, reason: &str, detail: &str, login_url: Option<&str>, page: &impl Template) -> Answer {
        if answer::wants_page(self.headers()) {
            return answer::page(status, page);
        }
        Problem {
            status,
            reason,
            detail,
            request: &self.request(),
            decision: self.decision.as_deref(),
            login_url,
        }
        .answer()
    }

    /// Any refusal that has no page of its own.
    #[must_use]
    pub fn error(&self, status: StatusCode, reason: &str, title: &str, words: &str) -> Answer {
        let ours = |host: &Host| host.as_str() == self.live.settings.public_url.host() || self.live.policies.knows_host(host);
        if !self.asked.host.as_ref().is_some_and(ours) {
            return self.bare(status, reason, title, words);
        }
        let page = ErrorPage {
            frame: self.frame(),
            title: title.to_owned(),
            words: words.to_owned(),
            link: Some(Link {
                path: format!("{}/", self.frame().base),
                name: "My applications".to_owned(),
            }),
            request: self.request(),
        };
        self.choose(status, reason, words, None, &page)
    }

    /// A refusal to a host that is none of ours.
    fn bare(&self, status: StatusCode, reason: &str, title: &str, words: &str) -> Answer {
        let page = BarePage {
            title: title.to_owned(),
            words: words.to_owned(),
            request: self.request(),
        };
        self.choose(status, reason, words, None, &page)
    }

    /// Nothing is there. The portal's root leads to the start page when no application owns it.
    #[must_use]
    pub fn not_found(&self) -> Answer {
        let path = self.asked.target.split('?').next().unwrap_or("");
        if self.on_portal() && self.repeatable() && path == "/" {
            return answer::found(&format!("{BASE}/"));
        }
        self.error(
            StatusCode::NOT_FOUND,
            "no-app",
            "Nothing is here",
            "Check the address, or start from your applications.",
        )
    }

    /// Something of ours does not answer.
    #[must_use]
    pub fn unavailable(&self) -> Answer {
        let answer = self.error(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "This does not work at the moment",
            "portcullis cannot look up what it needs to know, so it lets nobody in. Try again in a minute.",
        );
        retry_after(answer, self.now.after(MINUTE), self.now)
    }

    fn over_tls(&self) -> Answer {
        let mut answer = answer::found(&format!(
            "{}{}",
            self.live.settings.public_url.origin_of(self.host()),
            self.asked.target
        ));
        *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
        answer
    }

    fn upstream(&self, status: StatusCode, reason: &str, application: Option<String>, words: &str) -> Answer {
        let application = application.unwrap_or_else(|| "The application".to_owned());
        let detail = format!("{application} is not answering");
        let page = UpstreamPage {
            frame: self.frame(),
            application,
            words: words.to_owned(),
            again: self.repeatable().then(|| self.asked.target.to_string()),
            request: self.request(),
        };
        self.choose(status, reason, &detail, None, &page)
    }

    /// A session is needed, or a better one: a person is taken to where they get it, unless something they sent would be lost without a word.
    #[must_use]
    pub fn sign_in(&self, reason: &str, ended: bool, application: Option<String>) -> Answer {
        let login_url = self.login_url();
        if self.repeatable() && answer::wants_page(self.headers()) {
            return answer::found(&login_url);
        }
        let title = if ended { "Your session has ended" } else { "Sign in to go on" };
        let page = ExpiredPage {
            frame: self.frame(),
            title,
            ended,
            unsent: !self.repeatable(),
            application,
            login_url: login_url.clone(),
        };
        self.choose(StatusCode::UNAUTHORIZED, reason, title, Some(&login_url), &page)
    }

    /// Where to sign in and come back from: on the same host, which knows its own login cookie.
    fn login_url(&self) -> String {
        let portal = &self.live.settings.public_url;
        let back = if self.repeatable() { &*self.asked.target } else { "/" };
        let safe = Destination::read(back, self.host(), portal, |_| false).is_ok();
        let onward = Onward {
            to: if safe { back.to_owned() } else { String::new() },
            login: String::new(),
        };
        format!("{}{BASE}/sign-in{}", portal.origin_of(self.host()), onward.query())
    }

    /// Turned away: the reason, the pattern or what is missing as far as it may be told, and the ids to ask with.
    #[must_use]
    pub fn denied(&self, application: Option<String>, denied: &Denied) -> Answer {
        let what = application.clone().unwrap_or_else(|| "this page".to_owned());
        let by_address = denied.reason.starts_with("ip-");
        let address = self.asked.client_ip.map(|ip: IpAddr| ip.to_string()).unwrap_or_default();
        let missing: Vec<&str> = denied.missing.iter().map(|title| &**title).collect();
        let words = if by_address {
            match &denied.pattern {
                Some(pattern) => format!("Your address {address} is outside the pattern \"{pattern}\""),
                None => format!("Your address {address} is not one your account may use."),
            }
        } else {
            words_for(denied.reason, &what)
        };
        let again = if self.repeatable() {
            self.asked.target.to_string()
        } else {
            format!("{}/", self.frame().base)
        };
        let denial = Denial {
            application,
            words: words.clone(),
            missing: (!missing.is_empty()).then(|| missing.join(", ")),
            address,
            pattern: denied.pattern.as_ref().map(ToString::to_string),
            of_account: denied.reason == "ip-user",
            again,
            request: self.request(),
            decision: self.decision.clone(),
            login: denied.login.as_ref().map(ToString::to_string),
            at: Moment::of(self.now, self.now),
        };
        let frame = self.frame();
        let detail = match &denial.missing {
            Some(missing) => format!("{words} Missing: {missing}"),
            None => words,
        };
        if by_address {
            self.choose(StatusCode::FORBIDDEN, denied.reason, &detail, None, &DeniedIpPage { frame, denial })
        } else {
            self.choose(StatusCode::FORBIDDEN, denied.reason, &detail, None, &DeniedPage { frame, denial })
        }
    }

    /// Turned away from our own pages, for a reason of the rules.
    #[must_use]
    pub fn denied_in_house(&self, reason: &Reason<'_>) -> Answer {
        let settings = &self.live.settings;
        let policies = &self.live.policies;
        let title = |name: &IpPatternName| {
            policies
                .ip_pattern(name)
                .map_or_else(|| name.to_string(), |pattern| pattern.title.clone())
        };
        let pattern = match reason {
            Reason::IpUser(names) | Reason::IpRule(names) => names.first().map(title),
            Reason::IpApp(names) => names.first().map(title),
            _ => None,
        };
        let denied = Denied {
            reason: reason.code(),
            pattern: pattern.filter(|_| settings.show_pattern_name).map(Arc::from),
            missing: Vec::new(),
            login: self.login.clone(),
        };
        self.denied(None, &denied)
    }

    /// The address is known and takes other methods.
    #[must_use]
    pub fn method(&self, allowed: &str) -> Answer {
        let mut answer = self.error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "This address is not for that",
            "It takes other kinds of requests.",
        );
        if let Ok(value) = HeaderValue::from_str(allowed) {
            answer.headers_mut().insert(header::ALLOW, value);
        }
        answer
    }
}

/// What somebody is told who may not go on, by the reason's code. Never the name of a rule.
pub(super) fn words_for(reason: &str, what: &str) -> String {
    match reason {
        "account" => "This account is not in use.".to_owned(),
        "role-missing" => format!("Your account works, but it has no role in {what}."),
        "not-assigned" => format!("Your account works, but {what} was not given to it."),
        "permission-missing" => format!("Your account works, but it lacks a permission in {what}."),
        "team-missing" | "group-missing" => format!("Your account works, but {what} is for another team or group."),
        "service-missing" => format!("This part of {what} is for programs, not for people."),
        "outside-window" => format!("{what} is closed at this time."),
        "path-denied" => format!("This part of {what} is closed to everybody."),
        "method-not-listed" => format!("This part of {what} does not take this kind of request."),
        "header-overflow" => format!("What {what} would be told about your account does not fit. An administrator has to shorten it."),
        _ => format!("Your account works, but the rules of {what} do not let it do this."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told_in_words_that_name_what_it_is_about() {
        for reason in [
            "role-missing",
            "not-assigned",
            "permission-missing",
            "team-missing",
            "guard",
            "path-denied",
            "outside-window",
        ] {
            assert!(words_for(reason, "Notebook").contains("Notebook"), "{reason}");
        }
        assert_eq!(
            words_for("role-missing", "Registry"),
            "Your account works, but it has no role in Registry."
        );
    }
}
