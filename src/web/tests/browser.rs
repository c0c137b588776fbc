//! A house without a network, and a browser that keeps cookies and fills in forms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::Full;

use crate::accounts::{Accounts, Acting, AddOutcome, HouseRules, LetterPage, NewUser, Presented};
use crate::app::refusal::{Asked, Refusal, RefusalKind, ShownApplication};
use crate::app::{App, Live};
use crate::audit::decisions::{DecisionLog, Destination, LogSettings};
use crate::audit::metrics::Metrics;
use crate::base::random::Random;
use crate::base::seal::{Keyring, MasterKey};
use crate::base::time::{Clock, Timestamp};
use crate::config::{PolicyTexts, SourceText, Sources};
use crate::model::id::RequestId;
use crate::model::password::Password;
use crate::model::session::SessionValue;
use crate::policy::RequestFacts;
use crate::policy::facts::{Host, Scheme};
use crate::signin::local::Passwords;
use crate::store::Store;
use crate::web::cookies::Cookie;
use crate::web::{Visitor, Web, refusal};

pub(super) const PORTAL: &str = "sso.example";
pub(super) const ADA: &str = "ada@lab.example";
pub(super) const GOOD: &str = "correct horse battery staple";

const SETTINGS: &str = r#"
server.public_url = "https://sso.example"
site.name = "Northgate Lab"
"#;

const POLICY: &str = r#"
ip_pattern.office = { title = "Office", include = ["192.0.2.0/24"] }
role.operator = { title = "Operator", admin = ["users"], require = { mfa = true } }
role.lead = { title = "Lead", scope = "team", admin = ["users", "audit", "apps"], grantable_by = ["admin"] }
team.assay = { title = "Assay Development", roles = ["lead"], apps = ["eln"] }
team.other = { title = "Another Team", roles = ["lead"], apps = ["eln"] }

[app.eln]
title = "Notebook"
host = "eln.example"
upstream = "http://127.0.0.1:39000"
require = { signed_in = true }
rule = [
  { path = "/recent/**", require = { max_age = "10m" } },
  { path = "/strong/**", require = { mfa = true } },
]

[app.inventory]
title = "Inventory"
host = "inventory.example"
upstream = "http://127.0.0.1:39001"
require = { roles = ["operator"] }
"#;

/// A house with one application, `eln.example`, for whoever is signed in.
pub(super) struct House {
    pub(super) app: App,
    pub(super) live: Arc<Live>,
    address: std::sync::Mutex<&'static str>,
    web: Web,
    clock: Clock,
}

impl House {
    pub(super) fn new() -> Self {
        Self::under(&[("policies/lab.toml", POLICY)], SETTINGS)
    }

    /// Under other rules and settings than the other tests'.
    pub(super) fn under(policies: &[(&str, &str)], settings: &str) -> Self {
        let random = Random::System;
        let clock = Clock::fixed(Timestamp::from_secs(1_900_000_000));
        let keyring = Arc::new(Keyring::new(MasterKey::generate(&random), Vec::new()));
        let passwords = Passwords::start(2, 64, random.clone()).unwrap();
        let store = Store::in_memory(&keyring, &random, clock.now()).unwrap();
        let accounts = Accounts::new(store, keyring, passwords, HouseRules::default(), random);
        let sources = Sources {
            settings: Some(SourceText {
                name: "config/portcullis.toml".into(),
                text: settings.into(),
            }),
            policies: PolicyTexts {
                files: policies
                    .iter()
                    .map(|(name, text)| SourceText {
                        name: (*name).into(),
                        text: (*text).into(),
                    })
                    .collect(),
                ..PolicyTexts::default()
            },
            ..Sources::default()
        };
        let live = Live::parse(&sources, clock.now()).unwrap_or_else(|findings| panic!("{findings:?}"));
        accounts.adopt(live.house_rules());
        let metrics = Arc::new(Metrics::new());
        let log = LogSettings {
            destination: Destination::Memory,
            ..live.log_settings()
        };
        let decisions = DecisionLog::start(log, clock.clone(), Random::System, Arc::clone(&metrics)).unwrap();
        let app = App::new(live, accounts, decisions, metrics, clock.clone(), Random::System);
        Self {
            live: app.live(),
            app,
            web: Web::new(),
            clock,
            address: std::sync::Mutex::new("192.0.2.7"),
        }
    }

    /// What the clock says.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The letter that was written to somebody.
    pub(super) async fn letter_to(&self, email: &str) -> String {
        let by = Acting::command_line();
        let all = self.app.accounts.list_letters(None, LetterPage::First, 1000, &by).await.unwrap();
        let letter = all.letters.iter().find(|letter| letter.to.as_str() == email).unwrap();
        letter.id.to_string()
    }

    /// From now on everybody comes from this address.
    pub(super) fn come_from(&self, address: &'static str) {
        *self.address.lock().unwrap() = address;
    }

    /// Time passes.
    pub(super) fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// What a browser gets that asked a host for `/a?b=c` and was refused by the gateway.
    pub(super) fn refuse(&self, host: &str, kind: RefusalKind) -> Page {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("text/html"));
        let asked = Asked {
            id: RequestId::generate(&Random::System),
            method: Method::GET,
            scheme: Scheme::Https,
            host: Some(Host::of(host)),
            target: "/a?b=c".into(),
            client_ip: None,
            headers,
        };
        let application = Some(ShownApplication {
            name: "eln".parse().unwrap(),
            title: "Notebook".into(),
        });
        let refusal = Refusal {
            kind,
            asked,
            decision: None,
            application,
        };
        let (parts, body) = refusal::answer(&self.live, &refusal, self.clock.now()).into_parts();
        Page {
            status: parts.status,
            text: String::from_utf8(body.to_vec()).unwrap(),
            path: String::new(),
            headers: parts.headers,
        }
    }

    /// With the admin Ada, whose password is [`GOOD`].
    pub(super) async fn with_admin() -> Self {
        let house = Self::new();
        house.add("ada", "Ada", "Okafor").await;
        house
    }

    /// Adds somebody who is no admin; gives the identifier.
    pub(super) async fn person(&self, username: &str, password: &str) -> String {
        assert_eq!(password, GOOD);
        self.add(username, "Bo", "Diaz").await
    }

    /// Adds somebody whose membership is bound to the office.
    pub(super) async fn person_of_the_office(&self) -> String {
        self.add_bound("cy", "Cy", "Office", Some("office")).await
    }

    /// Adds a member of a team, with a role there or none; gives the identifier.
    pub(super) async fn member(&self, username: &str, team: &str, role: Option<&str>) -> String {
        let new = NewUser {
            team: Some(team.parse().unwrap()),
            team_role: role.map(|role| role.parse().unwrap()),
            ..Self::new_user(username, username, "Member", None)
        };
        self.add_new(new).await
    }

    /// Adds a member of a team who has yet to register, which is quick.
    pub(super) async fn awaited_in(&self, team: &str, username: &str) -> String {
        let new = NewUser {
            password: None,
            team: Some(team.parse().unwrap()),
            ..Self::new_user(username, username, "Awaited", None)
        };
        self.add_new(new).await
    }

    /// Adds somebody who has yet to register.
    pub(super) async fn awaited(&self, username: &str) -> String {
        let new = NewUser {
            password: None,
            ..Self::new_user(username, username, "Awaited", None)
        };
        self.add_new(new).await
    }

    pub(super) async fn add(&self, username: &str, given: &str, family: &str) -> String {
        self.add_bound(username, given, family, None).await
    }

    async fn add_bound(&self, username: &str, given: &str, family: &str, pattern: Option<&str>) -> String {
        self.add_new(Self::new_user(username, given, family, pattern)).await
    }

    fn new_user(username: &str, given: &str, family: &str, pattern: Option<&str>) -> NewUser {
        NewUser {
            email: format!("{username}@lab.example").parse().unwrap(),
            username: Some(username.parse().unwrap()),
            given_name: given.parse().unwrap(),
            family_name: family.parse().unwrap(),
            role: None,
            team: None,
            team_role: None,
            ip_pattern: pattern.map(|name| name.parse().unwrap()),
            provider: None,
            password: Some(Password::new(GOOD.to_owned())),
        }
    }

    async fn add_new(&self, new: NewUser) -> String {
        match self
            .app
            .accounts
            .add_user(new, &Acting::command_line(), self.clock.now())
            .await
            .unwrap()
        {
            AddOutcome::Added(added) => added.user.id.to_string(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn browser(&self) -> Browser<'_> {
        Browser {
            house: self,
            host: PORTAL.to_owned(),
            accept: "text/html,application/xhtml+xml",
            jars: BTreeMap::new(),
        }
    }

    /// A browser in which somebody has signed in.
    pub(super) async fn signed_in(&self, name: &str, password: &str) -> Browser<'_> {
        let mut browser = self.browser();
        let page = browser.get("/.portcullis/sign-in").await;
        let done = browser.submit(&page, &[("username", name), ("password", password)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
        browser
    }
}

/// What came back.
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) text: String,
    path: String,
    headers: HeaderMap,
}

impl Page {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn location(&self) -> &str {
        self.header("location")
    }

    pub(super) fn csrf(&self) -> String {
        self.between("name=\"csrf\" value=\"", "\"").to_owned()
    }

    /// The first text between two others.
    pub(super) fn between(&self, before: &str, after: &str) -> &str {
        let rest = self
            .text
            .split_once(before)
            .unwrap_or_else(|| panic!("no {before} in {}", self.text))
            .1;
        rest.split_once(after).unwrap().0
    }

    /// The page without some texts.
    pub(super) fn without(&self, texts: &[&str]) -> String {
        let kept = self.text.clone();
        texts
            .iter()
            .filter(|text| !text.is_empty())
            .fold(kept, |kept, text| kept.replace(text, ""))
    }

    /// The hidden fields of the first form that goes to an address.
    fn hidden(&self, action: &str) -> Vec<(String, String)> {
        let marker = format!("action=\"{action}\"");
        let form = self
            .text
            .split("<form")
            .find(|form| form.contains(&marker) && form.contains("method=\"post\""));
        let form = form.unwrap_or_else(|| panic!("no form to {action} in {}", self.text));
        let form = form.split("</form>").next().unwrap();
        form.split("<input type=\"hidden\"")
            .skip(1)
            .filter_map(|rest| {
                let tag = rest.split('>').next()?;
                let name = tag.split("name=\"").nth(1)?.split('"').next()?;
                let value = tag.split("value=\"").nth(1)?.split('"').next()?;
                Some((name.to_owned(), value.replace("&#38;", "&")))
            })
            .collect()
    }
}

/// A browser: a jar of cookies for each host.
pub(super) struct Browser<'h> {
    house: &'h House,
    host: String,
    accept: &'static str,
    jars: BTreeMap<String, BTreeMap<String, String>>,
}

impl Browser<'_> {
    /// Says what it wants.
    pub(super) fn accept(&mut self, kinds: &'static str) {
        self.accept = kinds;
    }

    /// The next request goes to another host.
    pub(super) fn on(&mut self, host: &str) -> &mut Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(super) fn cookie(&self, host: &str, name: &str) -> Option<&String> {
        self.jars.get(host).and_then(|jar| jar.get(name))
    }

    pub(super) async fn get(&mut self, address: &str) -> Page {
        let (host, target) = self.place(address);
        self.send(Method::GET, &host, &target, HeaderMap::new(), String::new()).await
    }

    /// Sends the form of a page that goes to the address it was shown at.
    pub(super) async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let action = page.path.split('?').next().unwrap().to_owned();
        self.submit_to(page, &action, fields).await
    }

    /// Sends the form of a page that goes to an address.
    pub(super) async fn submit_to(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in page.hidden(action) {
            if !fields.iter().any(|(known, _)| *known == name) {
                body.append_pair(&name, &value);
            }
        }
        body.extend_pairs(fields);
        let kind = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://sso.example"),
        ];
        self.post(action, &kind, body.finish()).await
    }

    pub(super) async fn post(&mut self, address: &str, fields: &[(&'static str, &'static str)], body: String) -> Page {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let (host, target) = self.place(address);
        self.send(Method::POST, &host, &target, headers, body).await
    }

    /// Any request, as a program sends it.
    pub(super) async fn request(&mut self, method: Method, address: &str, headers: HeaderMap, body: String) -> Page {
        let (host, target) = self.place(address);
        self.send(method, &host, &target, headers, body).await
    }

    fn place(&mut self, address: &str) -> (String, String) {
        let host = std::mem::replace(&mut self.host, PORTAL.to_owned());
        match address.strip_prefix("https://") {
            Some(rest) => {
                let (host, target) = rest.split_once('/').unwrap();
                (host.to_owned(), format!("/{target}"))
            }
            None => (host, address.to_owned()),
        }
    }

    async fn send(&mut self, method: Method, host: &str, target: &str, mut headers: HeaderMap, body: String) -> Page {
        let house = self.house;
        let now = house.clock.now();
        let jar = self.jars.entry(host.to_owned()).or_default();
        let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            headers.insert("cookie", HeaderValue::from_str(&cookies.join("; ")).unwrap());
        }
        if !headers.contains_key("accept") {
            headers.insert("accept", HeaderValue::from_static(self.accept));
        }
        let address = house.address.lock().unwrap().parse().unwrap();
        let path = target.split('?').next().unwrap();
        let facts = RequestFacts::new(method.clone(), host, path, Some(address), now);
        let asked = Asked {
            id: RequestId::generate(&Random::System),
            method,
            scheme: Scheme::Https,
            host: Some(facts.host.clone()),
            target: target.into(),
            client_ip: Some(address),
            headers,
        };
        let value = Cookie::Session
            .read(&asked.headers, &house.live.settings.public_url)
            .and_then(SessionValue::parse);
        let caller = match value {
            None => None,
            Some(value) => match house.app.accounts.caller(&value, host, now).await.unwrap() {
                Presented::Live(caller) => Some(caller),
                _ => None,
            },
        };
        let visitor = Visitor {
            facts: &facts,
            asked: &asked,
            hop: "connection",
            caller: Ok(caller),
        };
        let answer = house
            .web
            .serve(&house.app, &house.live, visitor, Full::new(Bytes::from(body)))
            .await;
        let (parts, body) = answer.into_parts();
        for cookie in parts.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0;") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        Page {
            status: parts.status,
            text: String::from_utf8(body.to_vec()).unwrap(),
            path: target.to_owned(),
            headers: parts.headers,
        }
    }
}
