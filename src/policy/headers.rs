//! What an application is told of whoever asks: presets, templates, choices, and the budget for all of it.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::principal::{Identity, Service};
use crate::model::role::words;
use crate::model::team::Level;

use super::application::{Application, Holder};
use super::set::PolicySet;
use super::subject::Held;
use super::table::Id;

mod preset;
mod template;

pub use preset::Preset;
pub use template::{InvalidTemplate, Template, TemplatePiece, Variable};

words!(
    /// What becomes of characters beyond visible ASCII in a value.
    Encoding {
        /// Percent-encoded UTF-8.
        Percent = "percent",
        /// Sent as UTF-8 bytes.
        Utf8 = "utf8",
        /// The request is denied.
        AsciiOrDeny = "ascii-or-deny",
    }
);

/// The identity headers of one answer, measured against the budget. The gateway adds the decision's own header and the assertion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// As a map, so that a request's head begins as a copy of it: much cheaper than setting each.
    headers: HeaderMap,
}

impl Told {
    /// Each header to set. An empty value is sent too: nobody's forged one may stay in place.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter()
    }

    /// All of them, to begin a head with.
    #[must_use]
    pub const fn fields(&self) -> &HeaderMap {
        &self.headers
    }

    /// The value of one header, if it is among them.
    #[must_use]
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers.get(name)
    }

    /// How much of the budget it takes: names, values, and the four bytes that part them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }
}

/// The headers do not fit their budget, or would hold what they may not. They are never cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity headers do not fit")]
pub struct Overflow;

/// Who an application is told of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker<'a> {
    Person(&'a Identity),
    Service(&'a Service),
}

/// What each identity header carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Variable(Variable),
    Projects,
    /// `Basic user:-`
    Basic,
}

/// Ours. All are always sent, and removed from what a client sends.
const OURS: &[(&str, Content)] = &[
    ("x-portcullis-user", Content::Variable(Variable::UserId)),
    ("x-portcullis-login", Content::Variable(Variable::UserLogin)),
    ("x-portcullis-email", Content::Variable(Variable::UserEmail)),
    ("x-portcullis-name", Content::Variable(Variable::UserName)),
    ("x-portcullis-roles", Content::Variable(Variable::Roles)),
    ("x-portcullis-teams", Content::Variable(Variable::Teams)),
    ("x-portcullis-permissions", Content::Variable(Variable::Permissions)),
    ("x-portcullis-projects", Content::Projects),
    ("x-portcullis-app", Content::Variable(Variable::App)),
];

/// Every identity header an application may be sent, by name: ours, its preset's, `headers.set` and `headers.choose`.
///
/// Whatever a client sends under one of these names, in any spelling, is to be removed; so is what `headers.strip` names.
#[must_use]
pub fn names(application: &Application) -> Vec<HeaderName> {
    let rules = &application.headers;
    let ours = OURS.iter().map(|(name, _)| HeaderName::from_static(name));
    let set = rules.set.iter().map(|(name, _)| name.clone());
    let chosen = rules.choose.iter().map(|choice| choice.header.clone());
    let mut names: Vec<HeaderName> = ours
        .chain(["x-portcullis-decision", "x-portcullis-jwt-assertion"].map(HeaderName::from_static))
        .chain(rules.preset.header_names())
        .chain(set)
        .chain(chosen)
        .collect();
    names.sort_by(|one, two| one.as_str().cmp(two.as_str()));
    names.dedup();
    names
}

/// Makes the headers of one person for one application, or finds them made already.
pub(super) fn tell(
    policies: &PolicySet,
    id: Id<Application>,
    asker: &Asker<'_>,
    held: &Held,
    ip: Option<IpAddr>,
) -> Result<Arc<Told>, Overflow> {
    let application = policies.application_at(id).ok_or(Overflow)?;
    let same_from_everywhere = application
        .headers
        .set
        .iter()
        .all(|(_, template)| template.variables().all(|variable| variable != Variable::Ip));
    if !same_from_everywhere {
        return make(policies, id, application, asker, held, ip).map(Arc::new);
    }
    let mut known = held.told.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, told)) = known.iter().find(|(one, _)| *one == id) {
        return Ok(Arc::clone(told));
    }
    let told = Arc::new(make(policies, id, application, asker, held, ip)?);
    known.push((id, Arc::clone(&told)));
    Ok(told)
}

/// The same names with nothing in them, but for the application's own.
pub(super) fn tell_nobody(application: &Application) -> Told {
    let mut told = Told::default();
    let rules = &application.headers;
    if rules.identity {
        for (name, content) in OURS {
            let value = match content {
                Content::Variable(Variable::App) => HeaderValue::from_str(application.name.as_str()).ok(),
                _ => None,
            };
            told.set(HeaderName::from_static(name), value.unwrap_or(HeaderValue::from_static("")));
        }
    }
    let set = rules.set.iter().map(|(name, _)| name.clone());
    let chosen = rules.choose.iter().map(|choice| choice.header.clone());
    // An empty `Authorization` says nothing to anybody, and the client's own has been removed.
    let preset = rules.preset.header_names().filter(|name| *name != http::header::AUTHORIZATION);
    for name in preset.chain(set).chain(chosen) {
        told.set(name, HeaderValue::from_static(""));
    }
    told
}

fn make(
    policies: &PolicySet,
    id: Id<Application>,
    application: &Application,
    asker: &Asker<'_>,
    held: &Held,
    ip: Option<IpAddr>,
) -> Result<Told, Overflow> {
    let rules = &application.headers;
    let writer = Writer {
        policies,
        id,
        application,
        asker,
        held,
        ip,
        separator: rules.separator.as_deref().unwrap_or(rules.preset.separator()),
        encoding: rules.encoding,
    };
    let mut told = Told::default();
    if rules.identity {
        for (name, content) in OURS {
            told.set(HeaderName::from_static(name), writer.value(&writer.content(*content)?)?);
        }
    }
    for (name, content) in rules.preset.names() {
        told.set(HeaderName::from_static(name), writer.value(&writer.content(*content)?)?);
    }
    for (name, template) in &rules.set {
        let mut text = String::new();
        for piece in &template.0 {
            match piece {
                TemplatePiece::Text(piece) => text.push_str(piece),
                TemplatePiece::Variable(variable) => text.push_str(&writer.content(Content::Variable(*variable))?),
            }
        }
        told.set(name.clone(), writer.value(&text)?);
    }
    for choice in &rules.choose {
        let chosen = choice.from.iter().find(|(holder, _)| writer.holds(holder)).map(|(_, value)| value);
        told.set(choice.header.clone(), writer.value(chosen.unwrap_or(&choice.otherwise))?);
    }
    if told.bytes() > rules.max_bytes {
        return Err(Overflow);
    }
    Ok(told)
}

struct Writer<'a> {
    policies: &'a PolicySet,
    id: Id<Application>,
    application: &'a Application,
    asker: &'a Asker<'a>,
    held: &'a Held,
    ip: Option<IpAddr>,
    separator: &'a str,
    encoding: Encoding,
}

impl Writer<'_> {
    /// The text of one variable, already encoded.
    fn content(&self, content: Content) -> Result<String, Overflow> {
        let variable = match content {
            Content::Variable(variable) => variable,
            Content::Projects => {
                let projects = self.held.projects().iter().filter(|one| one.level != Level::None);
                return self.list(projects.map(|one| (one.project.as_str(), Some(one.level.word()))));
            }
            Content::Basic => {
                let login = self.content(Content::Variable(Variable::UserLogin))?;
                return Ok(format!("Basic {}", STANDARD.encode(format!("{login}:-"))));
            }
        };
        let held = self.held;
        match (variable, self.asker) {
            (Variable::UserId, Asker::Person(identity)) => self.text(&identity.user.to_string()),
            (Variable::UserId, Asker::Service(service)) => self.text(&format!("service:{}", service.name)),
            (Variable::UserLogin, Asker::Person(identity)) => self.text(identity.username.as_str()),
            (Variable::UserLogin, Asker::Service(service)) => self.text(service.name.as_str()),
            (Variable::UserEmail, Asker::Person(identity)) => self.text(identity.email.as_ref().map_or("", |email| email.as_str())),
            (Variable::UserName, Asker::Person(identity)) => self.text(&identity.display_name()),
            (Variable::UserName, Asker::Service(service)) => {
                self.text(self.policies.service(&service.name).map_or("", |service| service.title.as_str()))
            }
            (Variable::Sid, Asker::Person(identity)) => self.text(&identity.session.to_string()),
            (Variable::UserEmail | Variable::Sid, Asker::Service(_)) => Ok(String::new()),
            (Variable::Roles, _) => self.list(held.roles().iter().map(|role| (role.as_str(), None))),
            (Variable::Teams, _) => self.list(held.teams().iter().map(|team| (team.as_str(), None))),
            (Variable::Permissions, _) => {
                let of_application = held.permissions().iter().filter(|one| one.application == self.application.name);
                self.list(of_application.map(|one| (one.name.as_str(), None)))
            }
            (Variable::Team, _) => self.text(held.giving(self.id).map_or("", |team| team.as_str())),
            (Variable::Ip, _) => Ok(self.ip.map(|ip| ip.to_string()).unwrap_or_default()),
            (Variable::App, _) => self.text(self.application.name.as_str()),
        }
    }

    fn holds(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Role(role) => {
                self.held.roles().contains(role) || self.policies.role(role).is_some_and(|role| self.held.roles().contains(&role.name))
            }
            Holder::Team(team) => self.policies.team(team).is_some_and(|team| self.held.teams().contains(&team.name)),
            Holder::Permission(permission) => self.held.permissions().contains(permission),
        }
    }

    /// Entries with the separator in between. What parts entries is always encoded inside one, so that a project called `a,b:member` stays one.
    fn list<'t>(&self, entries: impl Iterator<Item = (&'t str, Option<&'t str>)>) -> Result<String, Overflow> {
        let mut out = String::new();
        for (number, (name, level)) in entries.enumerate() {
            if number > 0 {
                out.push_str(self.separator);
            }
            self.encode(name, true, &mut out)?;
            if let Some(level) = level {
                out.push(':');
                out.push_str(level);
            }
        }
        Ok(out)
    }

    fn text(&self, text: &str) -> Result<String, Overflow> {
        let mut out = String::new();
        self.encode(text, false, &mut out)?;
        Ok(out)
    }

    fn encode(&self, text: &str, entry: bool, out: &mut String) -> Result<(), Overflow> {
        for c in text.chars() {
            let parts = entry && (self.separator.contains(c) || c == ':');
            let plain = match self.encoding {
                // What is encoded must be told from what is not.
                Encoding::Percent => (c == ' ' || c.is_ascii_graphic()) && c != '%',
                Encoding::Utf8 => !(c.is_control() || entry && c == '%'),
                Encoding::AsciiOrDeny => c == ' ' || c.is_ascii_graphic(),
            };
            if plain && !parts {
                out.push(c);
                continue;
            }
            if self.encoding == Encoding::AsciiOrDeny {
                return Err(Overflow);
            }
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        Ok(())
    }

    fn value(&self, text: &str) -> Result<HeaderValue, Overflow> {
        HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Overflow)
    }
}

#[cfg(test)]
mod tests;
