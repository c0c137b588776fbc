//! `[app.NAME]`: an application with its rules, over the starting values of `[defaults]`.

use std::collections::BTreeMap;

use http::Method;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::document::{At, Table};
use crate::base::grammar::{Flaw, nearest, size};
use crate::base::reader::Reader;
use crate::base::time::DAY;
use crate::model::name::ApplicationName;

use super::super::application::{
    AcceptedSignIn, Application, Balance, BodyLimit, Effect, HostPattern, MfaRule, Mode, PermissionDefinition, PlacedPattern, Rule,
    Timeouts, Unlisted,
};
use super::super::condition::Condition;
use super::super::pattern::PathPattern;
use super::scope::{Kind, Scope, between, is_domain, line, listed};

/// Methods that rules can name (RFC 9110 section 9, RFC 5789, RFC 4918, RFC 3253, RFC 5323).
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MKCALENDAR",
    "VERSION-CONTROL",
    "CHECKOUT",
    "CHECKIN",
    "UNCHECKOUT",
    "MERGE",
    "LABEL",
    "BIND",
    "REBIND",
    "UNBIND",
    "ACL",
    "QUERY",
];

/// Keys that findings of the analyses point at.
const PLACED: &[&str] = &[
    "host",
    "path",
    "upstream",
    "require",
    "ip_pattern",
    "limits",
    "headers",
    "unlisted",
    "signin",
    "audience",
    "mode",
];

/// Whether an application is read, or the starting values of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Application,
    Defaults,
}

impl Scope<'_> {
    /// Reads one application. `house` are the house rules of signing in; `portal_scheme` begins the audience that is not written.
    pub(super) fn application(&self, written: &At<String>, table: &Table, house: &AcceptedSignIn, reading: Reading) -> Option<Application> {
        let name: ApplicationName = self.own_name(written)?;
        let called = match reading {
            Reading::Application => format!("app.{name}"),
            Reading::Defaults => "defaults".to_owned(),
        };
        let mut reader = Reader::new(table, called, written.span.clone(), self.problems);
        let keys = self.placed(table);
        let mut app = Application {
            at: self.place(&written.span),
            keys,
            ..Application::plain(name.clone(), "unknown.invalid", Condition::default())
        };
        let mut complete = true;
        if reading == Reading::Application {
            complete = self.whereabouts(&mut reader, &mut app);
            app.formerly = self.formerly(&mut reader);
            let _ = reader.boolean("sealed");
            if let Some(title) = reader.parsed("title", line) {
                app.title = title.value;
            }
        }
        app.icon = reader.parsed("icon", line).map(|icon| icon.value);
        if let Some(mode) = reader.word("mode", listed!(Mode)) {
            app.mode = mode.value;
        }
        if let Some(balance) = reader.word("balance", listed!(Balance)) {
            app.balance = balance.value;
        }
        flag(&mut reader, "strip_prefix", &mut app.strip_prefix);
        flag(&mut reader, "preserve_host", &mut app.preserve_host);
        flag(&mut reader, "websocket", &mut app.websocket);
        flag(&mut reader, "case_insensitive", &mut app.case_insensitive);
        flag(&mut reader, "hide", &mut app.hide);
        flag(&mut reader, "cors_preflight", &mut app.cors_preflight);
        if let Some(recheck) = reader.parsed("recheck", between("recheck", std::time::Duration::from_secs(5), DAY)) {
            app.recheck = recheck.value;
        }
        if let Some(limit) = reader.parsed("max_body", body_limit) {
            app.max_body = limit.value;
        }
        if let Some(unlisted) = reader.word("unlisted", listed!(Unlisted)) {
            app.unlisted = unlisted.value;
        }
        app.ip_pattern = self.names(&mut reader, "ip_pattern", Kind::IpPattern);
        app.limits = self.names(&mut reader, "limits", Kind::Limit);
        if let Some(audience) = reader.parsed("audience", line) {
            app.audience = audience.value;
        }
        app.timeouts = self.timeouts(&mut reader, Timeouts::default());
        app.health = self.health(&mut reader);
        app.tls = self.upstream_tls(&mut reader);
        app.signin = self.app_signin(&mut reader, house);
        app.permissions = self.permission_definitions(&mut reader);
        app.headers = self.headers(&mut reader, &name);
        if reading == Reading::Application {
            complete &= self.upstreams(&mut reader, &mut app);
            match self.condition(&mut reader, "require", Some(&name)) {
                Some(require) => app.require = require,
                None => {
                    if reader.entry("require").is_none() {
                        self.problems.push(
                            Diagnostic::error("E123", format!("`app.{name}` does not say who may enter"))
                                .at(written.span.clone())
                                .help("add a condition, such as require = { signed_in = true }"),
                        );
                    }
                    complete = false;
                }
            }
        }
        let rules = reader.tables("rule");
        app.rules = rules.into_iter().filter_map(|rule| self.rule(rule, &app)).collect();
        reader.finish();
        complete.then_some(app)
    }

    fn placed(&self, table: &Table) -> BTreeMap<&'static str, super::super::place::Place> {
        PLACED
            .iter()
            .filter_map(|key| table.get(key).map(|entry| (*key, self.place(&entry.node.span))))
            .collect()
    }

    fn whereabouts(&self, reader: &mut Reader<'_>, app: &mut Application) -> bool {
        reader.need("host", "the public host, such as \"lab.example.org\" or \"*.example.org\"");
        let hosts = reader.one_or_more("host", host);
        if let Some(path) = reader.parsed("path", app_path) {
            app.path = path.value;
        }
        let Some(hosts) = hosts else { return false };
        if hosts.value.is_empty() {
            if reader.problems().count() == 0 {
                self.problem("E103", "an application needs at least one host", &hosts.span);
            }
            return false;
        }
        app.hosts = hosts.value.into_iter().map(|host| host.value).collect();
        if let Some(first) = app.hosts.first() {
            let shown = first.to_string();
            let shown = if shown.contains(':') { format!("[{shown}]") } else { shown };
            app.audience = format!("https://{shown}{}", app.path);
        }
        true
    }

    fn app_signin(&self, reader: &mut Reader<'_>, house: &AcceptedSignIn) -> AcceptedSignIn {
        let Some(mut written) = reader.table("signin") else {
            return house.clone();
        };
        let accepted = self.accepted(&mut written, house, "the house rules in [signin]", true);
        written.finish();
        accepted
    }

    /// Ways in: each key may be stricter than its ceiling, never laxer (`E128`).
    pub(super) fn accepted(&self, written: &mut Reader<'_>, ceiling: &AcceptedSignIn, whose: &str, bound: bool) -> AcceptedSignIn {
        let mut accepted = ceiling.clone();
        let laxer = |what: &str, span: &Span| {
            if bound {
                self.problems.push(
                    Diagnostic::error("E128", format!("{what} than {whose} allow"))
                        .at(span.clone())
                        .help("make it stricter here, or laxer there"),
                );
            }
        };
        if let Some(methods) = written.list("methods", |text| {
            crate::base::reader::word(text, listed!(crate::model::role::SignInMethod))
        }) {
            if methods.value.is_empty() {
                self.problem("E123", "`methods` is an empty list: nobody could sign in", &methods.span);
            }
            for method in &methods.value {
                if !ceiling.methods.contains(&method.value) {
                    laxer(&format!("`{}` is one way in more", method.value), &method.span);
                }
            }
            accepted.methods = methods.value.into_iter().map(|method| method.value).collect();
        }
        if let Some(place) = written.entry("idps").map(|entry| entry.node.span.clone())
            && let Some(idps) = self.names_if_written::<crate::model::name::ProviderName>(written, "idps", Kind::Idp)
        {
            let wider = !ceiling.idps.is_empty() && (idps.is_empty() || idps.iter().any(|idp| !ceiling.idps.contains(idp)));
            if wider {
                laxer("more identity providers", &place);
            }
            accepted.idps = idps;
        }
        if let Some(mfa) = written.word("mfa", listed!(MfaRule)) {
            if mfa.value < ceiling.mfa {
                laxer("a second factor is asked for less", &mfa.span);
            }
            accepted.mfa = mfa.value;
        }
        let age = between("max_age", std::time::Duration::from_secs(1), super::who::LONGEST);
        if let Some(max_age) = written.parsed("max_age", age) {
            if max_age.value > ceiling.max_age {
                laxer("an older sign-in is accepted", &max_age.span);
            }
            accepted.max_age = max_age.value;
        }
        let idle = between("idle", std::time::Duration::from_secs(1), super::who::LONGEST);
        if let Some(idle) = written.parsed("idle", idle) {
            if idle.value > ceiling.idle {
                laxer("a longer silence is accepted", &idle.span);
            }
            accepted.idle = idle.value;
        }
        accepted
    }

    fn permission_definitions(&self, reader: &mut Reader<'_>) -> Vec<PermissionDefinition> {
        let mut found: Vec<PermissionDefinition> = Vec::new();
        let mut implied = Vec::new();
        for (written, mut inner) in reader.named("permission") {
            let Some(name) = self.own_name::<crate::model::name::PermissionName>(&written) else {
                continue;
            };
            let title = inner.parsed("title", line).map_or_else(|| name.to_string(), |title| title.value);
            let help = inner.parsed("help", line).map_or_else(String::new, |help| help.value);
            let implies = inner
                .list("implies", super::scope::name::<crate::model::name::PermissionName>)
                .map_or_else(Vec::new, |list| list.value);
            let formerly = self.formerly(&mut inner);
            let _ = inner.boolean("sealed");
            inner.finish();
            implied.extend(implies.iter().cloned());
            found.push(PermissionDefinition {
                name,
                at: self.place(&written.span),
                title,
                help,
                implies: implies.into_iter().map(|one| one.value).collect(),
                formerly,
            });
        }
        for one in implied {
            if !found.iter().any(|permission| permission.name == one.value) {
                let mut problem = Diagnostic::error("E111", format!("unknown permission \"{}\"", one.value)).at(one.span);
                if let Some(near) = nearest(one.value.as_str(), found.iter().map(|permission| permission.name.as_str())) {
                    problem = problem.label(format!("did you mean \"{near}\"?"));
                }
                self.problems.push(problem);
            }
        }
        found
    }

    fn rule(&self, mut reader: Reader<'_>, app: &Application) -> Option<Rule> {
        let span = reader.place().clone();
        reader.need("path", "the paths it is about, such as \"/admin/**\"");
        let paths = self.patterns(&mut reader, "path");
        let methods = self.methods(&mut reader);
        let access = reader.word("access", listed!(Effect));
        let require = self.condition(&mut reader, "require", Some(&app.name));
        let title = reader.parsed("name", line);
        let identify = reader.boolean("identify");
        let mfa = reader.word("mfa", listed!(MfaRule));
        let max_age = reader.parsed(
            "max_age",
            between("max_age", std::time::Duration::from_secs(1), super::who::LONGEST),
        );
        let limits = self.names_if_written(&mut reader, "limits", Kind::Limit);
        let timeouts = reader.entry("timeout").is_some().then(|| self.timeouts(&mut reader, app.timeouts));
        let max_body = reader.parsed("max_body", body_limit).map(|limit| limit.value);
        let websocket = reader.boolean("websocket").map(|yes| yes.value);
        let access_value = access.as_ref().map_or(Effect::App, |access| access.value);
        for (key, present) in [
            ("require", require.as_ref().map(|condition| condition.at.span())),
            ("mfa", mfa.as_ref().map(|mfa| mfa.span.clone())),
            ("max_age", max_age.as_ref().map(|age| age.span.clone())),
        ] {
            if let (Effect::Public | Effect::Deny, Some(at)) = (access_value, present) {
                self.problems.push(
                    Diagnostic::error("E122", format!("a rule with access = \"{access_value}\" asks nobody for `{key}`"))
                        .at(at)
                        .help(format!("take `{key}` away, or write access = \"app\"")),
                );
            }
        }
        if let Some(identify) = &identify
            && identify.value
            && access_value != Effect::Public
        {
            self.problem(
                "E122",
                "`identify` belongs to access = \"public\"; elsewhere identity is sent anyway",
                &identify.span,
            );
        }
        if let Some(mfa) = &mfa
            && mfa.value < app.signin.mfa
        {
            self.problem("E128", "the rule asks less for a second factor than its application", &mfa.span);
        }
        if let Some(age) = &max_age
            && age.value > app.signin.max_age
        {
            self.problem("E128", "the rule accepts an older sign-in than its application", &age.span);
        }
        reader.finish();
        let paths = paths?;
        let first = paths.first()?.pattern.to_string();
        Some(Rule {
            name: title.map_or(first, |title| title.value).into(),
            at: self.place(&span),
            paths,
            methods,
            access: access_value,
            require,
            identify: identify.is_some_and(|yes| yes.value),
            mfa: mfa.map(|mfa| mfa.value),
            max_age: max_age.map(|age| age.value),
            limits,
            timeouts,
            max_body,
            websocket,
        })
    }

    /// Path patterns, one or a list.
    pub(super) fn patterns(&self, reader: &mut Reader<'_>, key: &'static str) -> Option<Vec<PlacedPattern>> {
        let list = reader.one_or_more(key, |text| {
            text.parse::<PathPattern>().map_err(|bad| Flaw::new("E121", bad.to_string()))
        })?;
        if list.value.is_empty() && self.problems.count() == 0 {
            self.problem("E121", format!("`{key}` is an empty list"), &list.span);
        }
        Some(
            list.value
                .into_iter()
                .map(|one| PlacedPattern {
                    at: self.place(&one.span),
                    pattern: one.value,
                })
                .collect(),
        )
    }

    /// Methods; none written: every one.
    pub(super) fn methods(&self, reader: &mut Reader<'_>) -> Vec<Method> {
        let Some(list) = reader.list("methods", method) else {
            return Vec::new();
        };
        if list.value.is_empty() && self.problems.count() == 0 {
            self.problems.push(
                Diagnostic::error("E105", "`methods` is an empty list")
                    .at(list.span)
                    .help("leave the key out for every method"),
            );
        }
        list.value.into_iter().map(|one| one.value).collect()
    }
}

fn flag(reader: &mut Reader<'_>, key: &'static str, value: &mut bool) {
    if let Some(yes) = reader.boolean(key) {
        *value = yes.value;
    }
}

fn method(text: &str) -> Result<Method, Flaw> {
    if METHODS.contains(&text) {
        return Method::from_bytes(text.as_bytes()).map_err(|_| Flaw::new("E105", "not a method"));
    }
    let flaw = Flaw::new("E105", format!("\"{text}\" is no method that rules can name"));
    let upper = text.to_ascii_uppercase();
    if METHODS.contains(&upper.as_str()) {
        return Err(flaw.help(format!("methods are written in capitals: \"{upper}\"")));
    }
    Err(match nearest(&upper, METHODS.iter().copied()) {
        Some(near) => flaw.help(format!("did you mean \"{near}\"?")),
        None => flaw.help(format!("one of: {}", METHODS.join(" "))),
    })
}

fn body_limit(text: &str) -> Result<BodyLimit, Flaw> {
    Ok(match size(text)? {
        0 => BodyLimit::Unlimited,
        bytes => BodyLimit::Bytes(bytes),
    })
}

/// A public host: exact, an address literal, or one label in front of a domain.
fn host(text: &str) -> Result<HostPattern, Flaw> {
    let wrong = || {
        Flaw::malformed(format!("\"{text}\" is no host"))
            .help("write lab.example.org, *.example.org or an address; no scheme, no port, no path")
    };
    let folded = text.to_ascii_lowercase();
    let bare = folded.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&folded);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(HostPattern::Exact(address.to_string().into()));
    }
    if let Some(parent) = folded.strip_prefix("*.") {
        return if is_domain(parent) {
            Ok(HostPattern::Under(parent.into()))
        } else {
            Err(wrong())
        };
    }
    // A last label of digits would be read as an address by browsers (WHATWG URL, "ends in a number").
    let number_like = folded
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if is_domain(&folded) && !number_like {
        Ok(HostPattern::Exact(folded.into()))
    } else {
        Err(wrong())
    }
}

/// The path an application lies below: no wildcard, no slash at the end.
fn app_path(text: &str) -> Result<String, Flaw> {
    if text == "/" {
        return Ok(text.to_owned());
    }
    let pattern: PathPattern = text
        .parse()
        .map_err(|bad: super::super::pattern::InvalidPattern| Flaw::new("E121", bad.to_string()))?;
    if text.contains('*') || pattern.is_deep() {
        return Err(Flaw::new("E121", "an application's `path` is a plain prefix, without `*`"));
    }
    if let Some(shorter) = text.strip_suffix('/') {
        return Err(Flaw::new("E121", "an application's `path` ends at the end of a segment").help(format!("write \"{shorter}\"")));
    }
    if text == "/.portcullis" || text.starts_with("/.portcullis/") {
        return Err(Flaw::new("E121", "`/.portcullis` is ours on every host"));
    }
    Ok(text.to_owned())
}
