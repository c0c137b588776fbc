//! Why somebody may or may not: a decision of the log by its id, or any request of anybody, step by step.

use askama::Template;
use http::StatusCode;

use crate::accounts::Acting;
use crate::app::explaining::{self, Asker, NotLooked};
use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::model::principal::{Principal, SignedIn};
use crate::model::role::Power;
use crate::policy::explain::{Explanation, Line};
use crate::policy::facts::RequestFacts;

use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::relative::Moment;
use super::super::view::{BASE, Frame, Link, Me, Tag};
use super::view::Choice;

const HERE: &str = "/admin/explain";

/// A step, as the page shows it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its place in the walk, from 1.
    pub number: usize,
    /// `ok`, `bad` or nothing.
    pub kind: &'static str,
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Where it is written, file and line; empty if nowhere.
    pub at: String,
    /// What else is worth knowing; may be empty.
    pub note: String,
}

/// A decision that was made, beside its explanation.
#[derive(Clone, Debug)]
pub struct Made {
    /// The decision's id.
    pub decision: String,
    /// The request's id.
    pub request: String,
    /// When it was made.
    pub at: Option<Moment>,
    /// The generation of the policy it was made by.
    pub generation: String,
    /// How long judging took, in microseconds.
    pub micros: u64,
    /// How it differs from what the rules now in force say.
    pub differs: Option<String>,
}

/// What the page tells.
#[derive(Clone, Debug)]
pub struct Told {
    /// The answer, such as "Denied".
    pub answer: Tag,
    /// The code of the reason.
    pub reason: &'static str,
    /// What was asked, `METHOD https://host/path`.
    pub request: String,
    /// Who asked: their page, or a name without one.
    pub who: Link,
    /// The steps.
    pub steps: Vec<Step>,
    /// What would have to change.
    pub to_allow: Vec<String>,
    /// The generation of the policy that explains.
    pub generation: String,
    /// The decision, where one was made.
    pub made: Option<Made>,
}

/// The page.
#[derive(Template)]
#[template(path = "console/explain.html")]
pub struct ExplainPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What was asked for, and what is wrong with it.
    pub form: Form,
    /// The applications.
    pub applications: Vec<Choice>,
    /// The methods.
    pub methods: Vec<Choice>,
    /// The explanation.
    pub told: Option<Told>,
}

/// GET `/admin/explain`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Audit)?;
    let told = if cx.query.has("rid") {
        let id = cx.query.trimmed("rid").to_owned();
        by_id(cx, &by, &id).await?
    } else if ["user", "path", "ip"].iter().any(|field| cx.query.has(field)) {
        by_request(cx, &by).await?
    } else {
        None
    };
    let page = page(cx, told);
    if page.form.failed() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        cx.form = page.form.clone();
        return Ok(cx.not_taken(status, &page));
    }
    Ok(cx.page(&page))
}

fn page(cx: &Cx<'_>, told: Option<Told>) -> ExplainPage {
    let asked = cx.query.value("app");
    let applications = cx.live.policies.applications().iter().map(|one| Choice {
        value: one.name.to_string(),
        words: one.title.clone(),
        chosen: one.name.as_str() == asked,
    });
    let method = cx.query.value("method");
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].map(|one| Choice {
        value: one.to_owned(),
        words: one.to_owned(),
        chosen: one == method,
    });
    ExplainPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.query.clone(),
        applications: applications.collect(),
        methods: methods.to_vec(),
        told,
    }
}

/// A decision of the log. One about somebody out of reach is not found, as one that was never made.
async fn by_id(cx: &mut Cx<'_>, by: &Acting, id: &str) -> Result<Option<Told>, Stop> {
    let found = match explaining::look_up(cx.app, id).await {
        Ok(found) => found,
        Err(error @ (NotLooked::Unreadable(_) | NotLooked::Fault)) => {
            tracing::error!(%error, "a decision could not be looked up");
            cx.query.fail("rid", "unreadable", error.to_string());
            return Ok(None);
        }
    };
    let principal = found.as_ref().map(explaining::principal_of);
    let who = match &principal {
        Some(principal) => explaining::asker(&cx.app.accounts, principal, by, cx.facts.now).await?,
        None => None,
    };
    let who = who.map(|asker| match asker {
        Asker::Person(user) => person(user.id, user.display_name()),
        Asker::Other(name) => Link { path: String::new(), name },
    });
    let (Some(found), Some(principal), Some(who)) = (found, principal, who) else {
        let words = if cx.live.settings.decision_log.file.is_some() {
            "No decision or request of this ID is in the decision log"
        } else {
            "No decision or request of this ID is remembered. With decision_log.file set, older ones are found too."
        };
        cx.query.fail("rid", "no_such_decision", words);
        return Ok(None);
    };
    let Some(facts) = explaining::logged_facts(&found) else {
        let line = &found.line;
        let words = format!(
            "The log keeps no path of it (decision_log.path): it was {} {}",
            line.decision, line.reason
        );
        cx.query.fail("rid", "incomplete", words);
        return Ok(None);
    };
    let explanation = explaining::explanation(&cx.live.policies, &principal, &facts);
    let made = Made {
        decision: found.line.id.to_string(),
        request: found.line.request_id.to_string(),
        at: Timestamp::parse_rfc3339(&found.line.ts).ok().map(|at| Moment::of(at, cx.facts.now)),
        generation: found.line.generation.clone(),
        micros: found.line.us,
        differs: explaining::difference(&found, &explanation).map(|words| capital(&words)),
    };
    Ok(Some(told(&explanation, &facts, who, Some(made))))
}

fn person(user: UserId, name: String) -> Link {
    Link {
        path: format!("{BASE}/admin/users/{user}"),
        name,
    }
}

/// Any request of anybody within reach, as if they had signed in with a password just now.
async fn by_request(cx: &mut Cx<'_>, by: &Acting) -> Result<Option<Told>, Stop> {
    let now = cx.facts.now;
    let (who, typed) = (cx.query.trimmed("user").to_owned(), cx.query.trimmed("path").to_owned());
    let subject = if who.is_empty() {
        Some((
            Principal::Anonymous,
            Link {
                path: String::new(),
                name: "Nobody signed in".to_owned(),
            },
        ))
    } else {
        let known = match cx.app.accounts.user_named(&who).await? {
            Some(user) => cx.app.accounts.user(user.id, by, now).await?,
            None => None,
        };
        match known {
            Some(listed) => {
                let identity = cx.app.accounts.imagined(&listed.user, SignedIn::by_password(now)).await?;
                let link = person(listed.user.id, listed.user.display_name());
                Some((Principal::User(identity.into()), link))
            }
            None => {
                cx.query.fail(
                    "user",
                    "no_such_user",
                    "There is nobody of this name. Enter a username or an email address.",
                );
                None
            }
        }
    };
    let from = match cx.query.trimmed("ip") {
        "" => None,
        text => match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                cx.query
                    .fail("ip", "invalid_characters", "Enter an address like 203.0.113.7 or 2001:db8::7");
                None
            }
        },
    };
    let method = match cx.query.trimmed("method") {
        "" => "GET",
        method => method,
    };
    let request = format!("{method} {}", address_of(cx, &typed));
    let facts = match explaining::asked(&request, from, now) {
        Ok(facts) => Some(facts),
        Err(error) => {
            cx.query.fail("path", "path", error.to_string());
            None
        }
    };
    let (Some((principal, who)), Some(facts)) = (subject, facts) else {
        return Ok(None);
    };
    if cx.query.failed() {
        return Ok(None);
    }
    let explanation = explaining::explanation(&cx.live.policies, &principal, &facts);
    Ok(Some(told(&explanation, &facts, who, None)))
}

/// A whole address as it was typed, or a path of the application that was chosen.
fn address_of(cx: &Cx<'_>, typed: &str) -> String {
    if typed.contains("://") {
        return typed.to_owned();
    }
    let slash = if typed.starts_with('/') { "" } else { "/" };
    let chosen = cx.query.value("app");
    let application = cx.live.policies.applications().iter().find(|one| one.name.as_str() == chosen);
    match application.and_then(|application| application.hosts.first()) {
        Some(host) => format!("https://{}{slash}{typed}", host.to_string().replacen('*', "any", 1)),
        None => format!("{}{slash}{typed}", cx.portal().origin()),
    }
}

fn told(explanation: &Explanation, facts: &RequestFacts, who: Link, made: Option<Made>) -> Told {
    let allowed = explanation.decision == "allow";
    let last = explanation.steps.len();
    let steps = explanation.steps.iter().enumerate().map(|(index, line)| Step {
        number: index + 1,
        kind: if allowed || index + 1 < last { "ok" } else { "bad" },
        ..step(line)
    });
    Told {
        answer: answer(explanation.decision),
        reason: explanation.reason,
        request: format!(
            "{} {}://{}{}",
            facts.method,
            facts.scheme.as_str(),
            facts.host.as_str(),
            facts.path.original()
        ),
        who,
        steps: steps.collect(),
        to_allow: explanation.to_allow.clone(),
        generation: explanation.generation.clone(),
        made,
    }
}

/// With its first letter in upper case.
fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A verdict in a word.
fn answer(decision: &str) -> Tag {
    match decision {
        "allow" => Tag {
            kind: "ok",
            words: "Allowed",
        },
        "sign-in" => Tag {
            kind: "warn",
            words: "Sign-in needed",
        },
        "step-up" => Tag {
            kind: "warn",
            words: "Fresh sign-in needed",
        },
        "not-found" => Tag {
            kind: "bad",
            words: "Nothing there",
        },
        "bad-request" => Tag {
            kind: "bad",
            words: "Refused as unreadable",
        },
        _ => Tag {
            kind: "bad",
            words: "Denied",
        },
    }
}

fn step(line: &Line) -> Step {
    let name = match line.step {
        "path" => "Path",
        "address" => "Address of the caller",
        "app" => "Application",
        "from" => "Where the application is open",
        "rule" => "Rule",
        "guards" => "Guards",
        "account" => "Account",
        "session" => "Session",
        "service" => "Service",
        "member" | "membership" => "Membership",
        "facts" => "What the person holds",
        "sign-in" => "Ways to sign in",
        "require" => "Requirements",
        "step-up" => "A fresh sign-in",
        "headers" => "Headers for the application",
        "window" => "Time",
        other => other,
    };
    Step {
        number: 0,
        kind: "",
        name: name.to_owned(),
        found: line.found.clone(),
        at: line.at.clone().unwrap_or_default(),
        note: line.note.clone().unwrap_or_default(),
    }
}
