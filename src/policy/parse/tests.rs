//! `[[test]]`: what a policy says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, Method};
use url::Url;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::document::{Entry, Value};
use crate::base::grammar::{Flaw, duration};
use crate::base::reader::{Reader, word};
use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::name::{ApplicationName, IpPatternName, ProviderName, RoleName, ServiceName, TeamName};
use crate::model::role::{Permission, SignInMethod};
use crate::model::team::Level;

use super::super::decision::Verdict;
use super::super::place::Place;
use super::scope::{Kind, Scope, line, listed};

/// One `[[test]]`.
#[derive(Clone, Debug)]
pub(in crate::policy) struct PolicyTest {
    /// Its name.
    pub(in crate::policy) name: String,
    /// Where it is written.
    pub(in crate::policy) at: Place,
    /// Who asks.
    pub(in crate::policy) subject: Subject,
    /// From where.
    pub(in crate::policy) from: IpAddr,
    /// When; `None`: now.
    pub(in crate::policy) moment: Option<Timestamp>,
    /// By which method.
    pub(in crate::policy) method: Method,
    /// `https` or `http`.
    pub(in crate::policy) secure: bool,
    /// At which host.
    pub(in crate::policy) host: String,
    /// Path as written, without query.
    pub(in crate::policy) path: String,
    /// What must come out.
    pub(in crate::policy) expect: Verdict,
    /// Why: a reason's code, or the name of a rule or guard.
    pub(in crate::policy) because: Option<String>,
    /// What the application must be told; empty is absent or empty.
    pub(in crate::policy) headers: Vec<(HeaderName, String)>,
    /// The request as written, for messages.
    pub(in crate::policy) request: String,
}

/// Who asks in a test.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Subject {
    /// Nobody.
    Anonymous,
    /// A service.
    Service(ServiceName),
    /// A made-up active person with a verified address.
    Person(Box<MadeUp>),
}

/// A made-up person.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct MadeUp {
    /// `u-…`
    pub(in crate::policy) id: Option<crate::model::id::UserId>,
    /// Verified address.
    pub(in crate::policy) email: Option<EmailAddress>,
    /// Username.
    pub(in crate::policy) login: Option<String>,
    /// Name to show.
    pub(in crate::policy) name: Option<String>,
    /// As in the store.
    pub(in crate::policy) memberships: Vec<MadeUpMembership>,
    /// Teams of memberships without pattern and provider.
    pub(in crate::policy) teams: Vec<TeamName>,
    /// Global roles, and team roles within `teams`.
    pub(in crate::policy) roles: Vec<RoleName>,
    /// Permissions within `teams`.
    pub(in crate::policy) permissions: Vec<Permission>,
    /// Applications within `teams`.
    pub(in crate::policy) apps: Vec<ApplicationName>,
    /// Where the session came from.
    pub(in crate::policy) provider: Option<ProviderName>,
    /// What that reported.
    pub(in crate::policy) groups: BTreeSet<String>,
    /// What that reported.
    pub(in crate::policy) attributes: BTreeMap<String, BTreeSet<String>>,
    /// How the session was made.
    pub(in crate::policy) signin: Option<SignInMethod>,
    /// Whether it came from a directory.
    pub(in crate::policy) from_directory: bool,
    /// Whether a second factor was shown.
    pub(in crate::policy) mfa: bool,
    /// How long ago.
    pub(in crate::policy) age: Duration,
}

/// One membership of a made-up person.
#[derive(Clone, Debug)]
pub(in crate::policy) struct MadeUpMembership {
    /// In which team.
    pub(in crate::policy) team: TeamName,
    /// Team roles.
    pub(in crate::policy) roles: Vec<RoleName>,
    /// Permissions.
    pub(in crate::policy) permissions: Vec<Permission>,
    /// Applications.
    pub(in crate::policy) apps: Vec<ApplicationName>,
    /// Levels in projects, by name.
    pub(in crate::policy) projects: Vec<(String, Level)>,
    /// The pattern it is bound to.
    pub(in crate::policy) ip_pattern: Option<IpPatternName>,
    /// The provider it is bound to.
    pub(in crate::policy) provider: Option<ProviderName>,
}

impl Scope<'_> {
    pub(super) fn test(&self, mut reader: Reader<'_>) -> Option<PolicyTest> {
        let span = reader.place().clone();
        for (key, help) in [
            ("name", "what the test promises"),
            ("request", "such as \"GET https://lab.example.org/\""),
            ("expect", "one of: allow deny sign-in step-up not-found bad-request"),
        ] {
            reader.need(key, help);
        }
        let name = reader.parsed("name", line);
        let request = reader.parsed("request", |text| request(text).map(|parts| (text.to_owned(), parts)));
        let subject = self.subject(&mut reader);
        let from = reader.parsed("from", |text| {
            text.parse::<IpAddr>()
                .map_err(|_| Flaw::new("E130", format!("\"{text}\" is no address")))
        });
        let moment = self.moment(&mut reader, "at");
        let expect = reader.word(
            "expect",
            &[
                ("allow", Verdict::Allow),
                ("deny", Verdict::Deny),
                ("sign-in", Verdict::SignIn),
                ("step-up", Verdict::StepUp),
                ("not-found", Verdict::NotFound),
                ("bad-request", Verdict::BadRequest),
            ],
        );
        let because = reader.parsed("because", line);
        if let Some(because) = &because {
            self.reasons.borrow_mut().push(because.clone());
        }
        let headers = self.expected_headers(&mut reader);
        reader.finish();
        let (text, (method, secure, host, path)) = request?.value;
        Some(PolicyTest {
            name: name?.value,
            at: self.place(&span),
            subject: subject?,
            from: from.map_or(IpAddr::from([192, 0, 2, 1]), |from| from.value),
            moment,
            method,
            secure,
            host,
            path,
            expect: expect?.value,
            because: because.map(|because| because.value),
            headers,
            request: text,
        })
    }

    fn expected_headers(&self, reader: &mut Reader<'_>) -> Vec<(HeaderName, String)> {
        let mut headers = Vec::new();
        let Some(table) = reader.free_table("headers") else {
            return headers;
        };
        for Entry { key, node } in &table.entries {
            match (HeaderName::from_bytes(key.value.as_bytes()), &node.value) {
                (Ok(name), Value::Text(text)) => headers.push((name, text.clone())),
                (Ok(_), _) => reader.wrong_type(&key.value, node, "a string"),
                (Err(_), _) => self.problem("E125", format!("\"{}\" is no header's name", key.value), &key.span),
            }
        }
        headers
    }

    fn subject(&self, reader: &mut Reader<'_>) -> Option<Subject> {
        let Some(entry) = reader.entry("as") else {
            return Some(Subject::Anonymous);
        };
        match &entry.node.value {
            Value::Text(text) if text == "anonymous" => Some(Subject::Anonymous),
            Value::Text(_) => {
                self.problems.push(
                    Diagnostic::error("E105", "`as` is \"anonymous\" or a table")
                        .at(entry.node.span.clone())
                        .help("such as { email = \"ada@lab.example\", roles = [\"lab-user\"] }"),
                );
                None
            }
            _ => {
                let inner = reader.table("as")?;
                self.person(inner)
            }
        }
    }

    fn person(&self, mut reader: Reader<'_>) -> Option<Subject> {
        let span = reader.place().clone();
        if let Some(name) = self.name::<ServiceName>(&mut reader, "service", Kind::Service) {
            reader.finish();
            return Some(Subject::Service(name));
        }
        let id = reader.parsed("id", |text| {
            text.parse().map_err(|_| Flaw::malformed(format!("\"{text}\" is no user's id")))
        });
        let email = reader.parsed("email", |text| {
            text.parse::<EmailAddress>()
                .map_err(|_| Flaw::malformed(format!("\"{text}\" is no mail address")))
        });
        let login = reader.parsed("login", |text| {
            text.parse::<crate::model::name::Username>()
                .map(|_| text.to_owned())
                .map_err(|bad| Flaw::malformed(bad.to_string()))
        });
        let mut person = MadeUp {
            id: id.map(|id| id.value),
            email: email.map(|email| email.value),
            login: login.map(|login| login.value),
            name: reader.parsed("name", line).map(|name| name.value),
            teams: self.names(&mut reader, "teams", Kind::Team),
            roles: self.names(&mut reader, "roles", Kind::Role),
            permissions: self.permissions(&mut reader, "permissions", None).unwrap_or_default(),
            apps: self.names(&mut reader, "apps", Kind::Application),
            signin: reader
                .parsed("signin", |text| word(text, listed!(SignInMethod)))
                .map(|method| method.value),
            mfa: reader.boolean("mfa").is_some_and(|yes| yes.value),
            age: reader.parsed("age", duration).map_or(Duration::ZERO, |age| age.value),
            ..MadeUp::default()
        };
        let idp = self.name::<ProviderName>(&mut reader, "idp", Kind::Idp);
        let directory = self.name::<ProviderName>(&mut reader, "directory", Kind::Directory);
        if idp.is_some() && directory.is_some() {
            self.problem("E122", "a session comes from one of `idp` and `directory`", &span);
        }
        person.from_directory = directory.is_some();
        person.provider = idp.or(directory);
        self.reported(&mut reader, &mut person);
        for inner in reader.tables("memberships") {
            person.memberships.extend(self.membership(inner));
        }
        reader.finish();
        Some(Subject::Person(Box::new(person)))
    }

    /// Groups, each with the session's source before it, and attributes.
    fn reported(&self, reader: &mut Reader<'_>, person: &mut MadeUp) {
        let source = person.provider.clone();
        let groups = reader.list("groups", |text| {
            let (named, group) = text
                .split_once(':')
                .ok_or_else(|| Flaw::malformed(format!("\"{text}\" does not say who reports the group")).help("write \"SOURCE:GROUP\""))?;
            match &source {
                Some(source) if source.as_str() == named => Ok(group.trim().to_owned()),
                Some(source) => Err(Flaw::new(
                    "E122",
                    format!("the session came from `{source}`, so `{named}` reported nothing"),
                )),
                None => Err(Flaw::new("E122", "the session came from nowhere that reports groups")
                    .help(format!("add idp = \"{named}\" or directory = \"{named}\""))),
            }
        });
        person.groups = super::condition::values(groups).into_iter().collect();
        let Some(table) = reader.free_table("attributes") else {
            return;
        };
        for Entry { key, node } in &table.entries {
            let texts: Option<BTreeSet<String>> = match &node.value {
                Value::Text(text) => Some(BTreeSet::from([text.clone()])),
                Value::List(items) => items
                    .iter()
                    .map(|item| match &item.value {
                        Value::Text(text) => Some(text.clone()),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            };
            match texts {
                Some(texts) => {
                    person.attributes.insert(key.value.clone(), texts);
                }
                None => reader.wrong_type(&key.value, node, "a list of strings"),
            }
        }
    }

    fn membership(&self, mut reader: Reader<'_>) -> Option<MadeUpMembership> {
        reader.need("team", "");
        let team = self.name::<TeamName>(&mut reader, "team", Kind::Team);
        let roles = self.names(&mut reader, "roles", Kind::Role);
        let permissions = self.permissions(&mut reader, "permissions", None).unwrap_or_default();
        let apps = self.names(&mut reader, "apps", Kind::Application);
        let projects = self.projects(&mut reader);
        let ip_pattern = self.name::<IpPatternName>(&mut reader, "ip_pattern", Kind::IpPattern);
        let provider = self.name::<ProviderName>(&mut reader, "idp", Kind::Provider);
        reader.finish();
        Some(MadeUpMembership {
            team: team?,
            roles,
            permissions,
            apps,
            projects,
            ip_pattern,
            provider,
        })
    }

    /// Levels by project: a table, or a list of `name:level`.
    fn projects(&self, reader: &mut Reader<'_>) -> Vec<(String, Level)> {
        let levels = [("none", Level::None), ("guest", Level::Guest), ("member", Level::Member)];
        let Some(entry) = reader.entry("projects") else {
            return Vec::new();
        };
        let one = |name: &str, level: &str, span: &Span| match word(level, &levels) {
            Ok(level) => Some((name.to_owned(), level)),
            Err(flaw) => {
                self.problems.flaw(flaw, span);
                None
            }
        };
        match &entry.node.value {
            Value::Table(inner) => inner
                .entries
                .iter()
                .filter_map(|Entry { key, node }| match &node.value {
                    Value::Text(level) => one(&key.value, level, &node.span),
                    _ => {
                        reader.wrong_type(&key.value, node, "a level");
                        None
                    }
                })
                .collect(),
            _ => super::condition::values(reader.list("projects", |text| {
                let (name, level) = text.rsplit_once(':').unwrap_or((text, "member"));
                word(level, &levels).map(|level| (name.to_owned(), level))
            })),
        }
    }
}

/// `METHOD https://host/path`, the query left out of account, the path as written.
fn request(text: &str) -> Result<(Method, bool, String, String), Flaw> {
    let wrong = || Flaw::malformed(format!("\"{text}\" is no request")).help("write \"GET https://lab.example.org/path\"");
    let (method, address) = text.split_once(' ').ok_or_else(wrong)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| wrong())?;
    // The address is cut by hand: a library would repair the very paths that are to be refused.
    let (scheme, rest) = address.trim().split_once("://").ok_or_else(wrong)?;
    let secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(wrong()),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).ok_or_else(wrong)?;
    let probe = Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| wrong())?;
    if probe.host().is_none() || !probe.username().is_empty() || probe.password().is_some() {
        return Err(wrong());
    }
    let path = target.split('?').next().unwrap_or("");
    let path = if path.is_empty() { "/" } else { path };
    Ok((method, secure, authority.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn requests_are_cut_without_repair() {
        let parts = |text: &str| {
            request(text)
                .ok()
                .map(|(method, secure, host, path)| format!("{method} {secure} {host} {path}"))
        };
        assert_eq!(
            parts("GET https://a.example/x/../y?q=1").as_deref(),
            Some("GET true a.example /x/../y")
        );
        assert_eq!(parts("GET https://a.example").as_deref(), Some("GET true a.example /"));
        assert_eq!(
            parts("POST http://a.example:8080/a%2fb").as_deref(),
            Some("POST false a.example:8080 /a%2fb")
        );
        assert_eq!(parts("GET https://a.example?x").as_deref(), Some("GET true a.example /"));
        for text in [
            "GET",
            "GET /x",
            "https://a.example/",
            "GET ftp://a.example/",
            "GET https:///x",
            "GET https://u:p@a.example/",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
