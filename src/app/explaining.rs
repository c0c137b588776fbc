//! A decision told again: one of the log, or one that was never asked for.

mod house_steps;

use std::net::IpAddr;

use http::Method;
use url::Url;

use crate::accounts::{Accounts, Acting, Reach, Unavailable};
use crate::audit::decisions::{Found, find_in_files};
use crate::audit::record::LoggedRequest;
use crate::base::time::Timestamp;
use crate::model::principal::Principal;
use crate::model::user::User;
use crate::policy::PolicySet;
use crate::policy::explain::{Explanation, explain};
use crate::policy::facts::{House, RequestFacts, Scheme};

use super::App;

/// Why a decision cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum NotLooked {
    /// A file of the log cannot be read.
    #[error("the decision log cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A fault of portcullis.
    #[error("looking for the decision ended in a fault of portcullis; see the log")]
    Fault,
}

/// The text is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARequest {
    /// The method.
    #[error("`{0}` is no method")]
    Method(String),
    /// The address.
    #[error("`{0}` is no address ({1}); write https://host/path")]
    Address(String, String),
    /// An address of something else.
    #[error("`{0}` is no address of an application; write https://host/path")]
    Scheme(String),
}

/// The decision or request of that identifier: among the recent ones, else in the files of the log. On a thread that may wait for a disk.
///
/// # Errors
/// [`NotLooked`] if it cannot be looked for.
pub async fn look_up(app: &App, id: &str) -> Result<Option<Found>, NotLooked> {
    let decisions = app.decisions.clone();
    let file = app.live().settings.decision_log.file.clone();
    let wanted = id.trim().to_owned();
    let looked = tokio::task::spawn_blocking(move || match decisions.find(&wanted) {
        Some(found) => Ok(Some(found)),
        None => file.map_or(Ok(None), |file| find_in_files(&file, &wanted)),
    });
    Ok(looked.await.map_err(|_| NotLooked::Fault)??)
}

/// Who asked, as they were then.
#[must_use]
pub fn principal_of(found: &Found) -> Principal {
    found.facts.as_ref().map_or(Principal::Anonymous, |facts| facts.to_principal())
}

/// Who asked, as far as somebody who looks may know.
#[derive(Clone, Debug)]
pub enum Asker {
    /// A person within reach.
    Person(Box<User>),
    /// Anybody else, by a name.
    Other(String),
}

/// Who asked, if they are within reach; a decision about anybody else is *not found*, as one that was never made. Nobody and services
/// belong to no team.
///
/// # Errors
/// [`Unavailable`] if the store does not answer.
pub async fn asker(accounts: &Accounts, principal: &Principal, by: &Acting, now: Timestamp) -> Result<Option<Asker>, Unavailable> {
    let all = by.reach == Reach::All;
    Ok(match principal {
        Principal::User(identity) => match accounts.user(identity.user, by, now).await? {
            Some(listed) => Some(Asker::Person(Box::new(listed.user))),
            // A deleted account is nobody's any more, but the whole instance's.
            None => all.then(|| Asker::Other(identity.username.to_string())),
        },
        Principal::Service(service) => all.then(|| Asker::Other(format!("the service {}", service.name))),
        Principal::Anonymous => all.then(|| Asker::Other("Nobody signed in".to_owned())),
    })
}

/// What was asked; `None` where the log keeps no path of it.
#[must_use]
pub fn logged_facts(found: &Found) -> Option<RequestFacts> {
    let LoggedRequest {
        scheme,
        method,
        host,
        path,
        ip,
        ..
    } = &found.line.request;
    let path = path.as_deref().filter(|path| path.starts_with('/'))?;
    let at = Timestamp::parse_rfc3339(&found.line.ts).ok()?;
    let mut facts = RequestFacts::new(method.parse().ok()?, host, path, *ip, at);
    facts.scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    Some(facts)
}

/// How a decision that was found differs from what the rules now in force say, in a sentence; `None` if it does not.
#[must_use]
pub fn difference(found: &Found, now: &Explanation) -> Option<String> {
    let line = &found.line;
    if line.generation != now.generation {
        return Some(format!(
            "made by generation {} as {} {}; below by the rules now in force",
            line.generation, line.decision, line.reason
        ));
    }
    ((line.decision.as_str(), line.reason.as_str()) != (now.decision, now.reason)).then(|| {
        format!(
            "it was {} {}: a rate limit or the portal decided beside the rules",
            line.decision, line.reason
        )
    })
}

/// Decides and tells how. Our own pages have no application; they are judged by the same steps without one.
#[must_use]
pub fn explanation(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> Explanation {
    if facts.path.house() == House::Inside {
        house_steps::steps_of(policies, principal, facts)
    } else {
        explain(policies, principal, facts)
    }
}

/// `METHOD URL` as facts; an address alone is a GET of it. The query is left out: no rule can read one.
///
/// # Errors
/// [`NotARequest`] says what cannot be read.
pub fn asked(request: &str, from: Option<IpAddr>, at: Timestamp) -> Result<RequestFacts, NotARequest> {
    let (method, address) = request.trim().split_once(' ').unwrap_or(("GET", request.trim()));
    let method: Method = method.parse().map_err(|_| NotARequest::Method(method.to_owned()))?;
    let address = address.trim();
    let url: Url = address
        .parse()
        .map_err(|error: url::ParseError| NotARequest::Address(address.to_owned(), error.to_string()))?;
    let (Some(host), "http" | "https") = (url.host_str(), url.scheme()) else {
        return Err(NotARequest::Scheme(address.to_owned()));
    };
    // The URL library repairs paths (dots, backslashes); what is judged is what was typed.
    let path = address
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|start| rest.get(start..)))
        .unwrap_or("/");
    let path = path.split(['?', '#']).next().unwrap_or("/");
    let mut facts = RequestFacts::new(method, host, path, from, at);
    facts.scheme = if url.scheme() == "http" { Scheme::Http } else { Scheme::Https };
    Ok(facts)
}
