//! The same walk, told step by step: what was looked at, where it is written, and what would allow it.

use std::fmt::{self, Write};
use std::time::Duration;

use http::Method;
use serde::Serialize;

use crate::model::name::{IpPatternName, RoleName};
use crate::model::principal::{Identity, Principal};

use super::application::{Application, Guard};
use super::compile::{CompiledApplication, PolicySet, speaking};
use super::decide::{Need, Record, is_young, mfa_shown, walk};
use super::decision::{Decision, Reason, Verdict};
use super::facts::{Reading, RequestFacts};
use super::pattern::{PathPattern, Segment};
use super::place::Place;
use super::require::{Clause, Requirement, Scene};
use super::subject::{Held, Looked, Memo};

/// One thing that was asked of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Such as `app.require.assigned`.
    pub what: String,
    /// Whether it held.
    pub ok: bool,
    /// What would have been enough, in names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub need: Vec<String>,
}

/// One line of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which step: `path`, `address`, `app`, `rule`, `guards`, `session`, `facts`, `require`, …
    pub step: &'static str,
    /// What was found.
    pub found: String,
    /// Where it is written, file and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A decision with its steps, for people ([`fmt::Display`]) and for scripts (serde).
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The word of the verdict.
    pub decision: &'static str,
    /// The code of the reason.
    pub reason: &'static str,
    /// Which state of the policies decided.
    pub generation: String,
    /// The application, if one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The rules that spoke, as `name at file:line:column`.
    pub rules: Vec<Spoken>,
    /// The steps in their order.
    pub steps: Vec<Line>,
    /// What was asked of the person.
    pub checks: Vec<Check>,
    /// What would have to change for a yes; empty if it is one. Callers that know the store may add who could change it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to_allow: Vec<String>,
}

/// A rule that spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// Its name.
    pub name: String,
    /// `file:line:column`
    pub at: String,
}

/// Decides one request and tells how.
#[must_use]
pub fn explain(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> Explanation {
    let mut listener = Listener::default();
    let decision = walk(policies, principal, facts, &Memo::new(), &mut listener);
    let steps = listener.steps_of(&decision);
    let mut lines = vec![path_line(facts), address_line(facts)];
    lines.extend(guards_folded(steps.iter().map(Step::line)));
    let checks = steps.into_iter().flat_map(Step::into_checks).collect();
    Explanation {
        decision: decision.verdict.word(),
        reason: decision.reason.code(),
        generation: policies.generation().short(),
        app: decision.application.map(|application| application.name.to_string()),
        rules: decision
            .rules
            .iter()
            .map(|rule| Spoken {
                name: rule.name.clone(),
                at: rule.at.to_string(),
            })
            .collect(),
        steps: lines,
        checks,
        to_allow: to_allow(policies, principal, facts, &decision),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = format!("{} {}", self.decision.to_uppercase(), self.reason);
        writeln!(f, "{answer:<68} generation {}", self.generation)?;
        for (number, line) in self.steps.iter().enumerate() {
            let mut text = format!("{:>3} {:<9} ", number + 1, line.step);
            match &line.at {
                Some(at) => {
                    let _ = write!(text, "{:<42} {at}", line.found);
                }
                None => text.push_str(&line.found),
            }
            if let Some(note) = &line.note {
                let _ = write!(text, "   ({note})");
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        for (number, hint) in self.to_allow.iter().enumerate() {
            writeln!(f, "  {:<9} {hint}", if number == 0 { "to allow:" } else { "" })?;
        }
        Ok(())
    }
}

/// The steps of one reading, and how it was decided.
type Told<'p> = (Vec<Step<'p>>, Option<(Verdict, &'static str)>);

/// Keeps the steps of each reading.
#[derive(Default)]
struct Listener<'p> {
    readings: Vec<Told<'p>>,
}

impl<'p> Listener<'p> {
    /// The steps of the reading whose answer counted.
    fn steps_of(self, decision: &Decision<'_>) -> Vec<Step<'p>> {
        let counted = Some((decision.verdict, decision.reason.code()));
        self.readings
            .into_iter()
            .find(|(_, outcome)| *outcome == counted)
            .map_or_else(Vec::new, |(steps, _)| steps)
    }
}

impl<'p> Record<'p> for Listener<'p> {
    fn next_reading(&mut self) {
        self.readings.push((Vec::new(), None));
    }

    fn step(&mut self, make: impl FnOnce() -> Step<'p>) {
        if let Some((steps, _)) = self.readings.last_mut() {
            steps.push(make());
        }
    }

    fn maybe(&mut self, make: impl FnOnce() -> Option<Step<'p>>) {
        if let Some((steps, _)) = self.readings.last_mut() {
            steps.extend(make());
        }
    }

    fn decided(&mut self, decision: &Decision<'p>) {
        if let Some((_, outcome)) = self.readings.last_mut() {
            *outcome = Some((decision.verdict, decision.reason.code()));
        }
    }
}

/// One step of a decision.
#[derive(Clone, Debug)]
pub(super) enum Step<'p> {
    Line(Line),
    Guard { guard: &'p Guard, about: bool, hit: bool },
    Requirements(Vec<(String, Check)>),
}

impl<'p> Step<'p> {
    fn found(step: &'static str, found: impl Into<String>) -> Self {
        Self::Line(Line {
            step,
            found: found.into(),
            at: None,
            note: None,
        })
    }

    pub(super) fn application(application: &Application) -> Self {
        Self::Line(Line {
            step: "app",
            found: application.name.to_string(),
            at: Some(application.at.line()),
            note: None,
        })
    }

    /// Which patterns win, over which other, and what their rules say of the method.
    pub(super) fn rule(application: &Application, compiled: &CompiledApplication, reading: Reading<'_>, method: &Method) -> Self {
        let winners = compiled.trie.find(reading);
        if winners.is_empty() {
            return Self::found("rule", format!("none names this path: unlisted = \"{}\"", application.unlisted));
        }
        let mut found = Vec::new();
        let mut places = Vec::new();
        for winner in &winners {
            let numbers = compiled.rules_of_pattern.get(*winner).map_or(&[][..], Vec::as_slice);
            let mut spoken = Vec::new();
            speaking(application, numbers, method, &mut spoken);
            let silent = spoken.is_empty();
            let told = if silent { numbers } else { &spoken };
            for rule in told.iter().filter_map(|&number| application.rules.get(number)) {
                let path = rule
                    .paths
                    .iter()
                    .find(|path| path.pattern.matches(reading.segments()) || rule.paths.len() == 1);
                let pattern = path.map_or_else(|| rule.name.clone(), |path| path.pattern.to_string());
                let methods = if silent {
                    format!("lists {}, not {method}", words(&rule.methods))
                } else if rule.methods.is_empty() {
                    format!("any method, {}", rule.access)
                } else {
                    format!("{method}, {}", rule.access)
                };
                found.push(format!("\"{pattern}\" {methods}"));
                places.push(rule.at.line());
            }
        }
        Self::Line(Line {
            step: "rule",
            found: found.join(" and "),
            at: Some(places.join(", ")),
            note: runner_up(application, compiled, reading, &winners),
        })
    }

    pub(super) fn address(patterns: &[IpPatternName], ok: bool) -> Option<Self> {
        (!patterns.is_empty()).then(|| {
            Self::found(
                "from",
                format!("application open to {}: {}", words(patterns), if ok { "inside" } else { "OUTSIDE" }),
            )
        })
    }

    pub(super) fn session(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> Self {
        let found = match principal {
            Principal::Anonymous => "none".to_owned(),
            Principal::Service(service) => match policies.service(&service.name) {
                Some(written) => format!(
                    "service {} ({}), from {}",
                    service.name,
                    written.at.line(),
                    words(&written.ip_pattern)
                ),
                None => format!("service {}, which policy no longer has", service.name),
            },
            Principal::User(identity) => {
                let signed_in = &identity.signed_in;
                let through = signed_in
                    .provider
                    .as_ref()
                    .map(|provider| format!(" via {provider}"))
                    .unwrap_or_default();
                let active = if identity.is_active() {
                    String::new()
                } else {
                    format!(", account {}", identity.status)
                };
                format!(
                    "{}{through}, {} old, mfa {}{active}",
                    signed_in.method,
                    span(facts.now.since(signed_in.at)),
                    if signed_in.mfa { "yes" } else { "no" },
                )
            }
        };
        Self::found("session", found)
    }

    /// Which memberships count, and what the others are bound to.
    pub(super) fn memberships(policies: &PolicySet, identity: &Identity, looked: &Looked, facts: &RequestFacts) -> Option<Self> {
        let bound: Vec<String> = identity
            .memberships
            .iter()
            .filter_map(|one| {
                let inside = |name: &IpPatternName| {
                    let pattern = policies.ip_pattern(name)?;
                    Some(facts.client_ip.is_some_and(|ip| pattern.addresses.contains(ip)))
                };
                let pattern = one.ip_pattern.as_ref().map(|name| match inside(name) {
                    Some(true) => format!("inside its pattern {name}"),
                    Some(false) => format!("OUTSIDE its pattern {name}"),
                    None => format!("bound to pattern {name}, which policy no longer has"),
                });
                let provider = one.provider.as_ref().map(|name| {
                    if policies.provider(name).is_none() {
                        format!("bound to provider {name}, which policy no longer has")
                    } else if identity.signed_in.provider.as_ref() == Some(name) {
                        format!("came through its provider {name}")
                    } else {
                        format!("NOT through its provider {name}")
                    }
                });
                let bounds: Vec<String> = pattern.into_iter().chain(provider).collect();
                (!bounds.is_empty()).then(|| format!("{}: {}", one.team, bounds.join(", ")))
            })
            .collect();
        let none = if matches!(looked, Looked::Holds(_)) { "" } else { "none counts; " };
        (!bound.is_empty()).then(|| Self::found("member", format!("{none}{}", bound.join("; "))))
    }

    pub(super) fn held(policies: &PolicySet, held: &Held, facts: &RequestFacts) -> Self {
        let teams: Vec<String> = held
            .teams()
            .iter()
            .map(|name| match policies.team(name).filter(|team| !team.ip_pattern.is_empty()) {
                None => name.to_string(),
                Some(team) => {
                    let inside = |pattern: &IpPatternName| {
                        let pattern = policies.ip_pattern(pattern);
                        pattern
                            .zip(facts.client_ip)
                            .is_some_and(|(pattern, ip)| pattern.addresses.contains(ip))
                    };
                    let from = facts.client_ip.map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
                    let patterns = words(&team.ip_pattern);
                    if team.ip_pattern.iter().any(inside) {
                        format!("{name} ({from} is inside its pattern {patterns})")
                    } else {
                        format!("{name} ({from} is OUTSIDE its pattern {patterns}: it gives nothing)")
                    }
                }
            })
            .collect();
        let part = |what: &str, names: String| {
            if names.is_empty() {
                format!("no {what}")
            } else {
                format!("{what} {names}")
            }
        };
        let found = [
            part("teams", teams.join(", ")),
            part("roles", words(held.roles())),
            part("permissions", words(held.permissions())),
            part("apps", words(held.applications())),
        ];
        Self::found("facts", found.join("; "))
    }

    pub(super) fn sign_in(application: &Application, ok: bool) -> Self {
        let accepted: Vec<&str> = application.signin.methods.iter().map(|method| method.word()).collect();
        let idps = if application.signin.idps.is_empty() {
            String::new()
        } else {
            format!(" (saml through {})", words(&application.signin.idps))
        };
        let found = format!(
            "accepts {}{idps}: {}",
            accepted.join(" "),
            if ok { "ok" } else { "NOT this session" }
        );
        Self::found("sign-in", found)
    }

    pub(super) fn requirements(policies: &PolicySet, need: &Need<'_>, scene: &Scene<'_>) -> Self {
        let mut checks = Vec::new();
        asked(policies, "app", need.application, scene, &mut checks);
        for rule in &need.rules {
            asked(policies, "rule", rule, scene, &mut checks);
        }
        let mut session = |what: &str, text: String, ok: bool| {
            checks.push((
                format!("session: {text}"),
                Check {
                    what: format!("session.{what}"),
                    ok,
                    need: Vec::new(),
                },
            ));
        };
        if need.mfa {
            session("mfa", "mfa".to_owned(), mfa_shown(scene));
        }
        if let Some(max_age) = need.max_age {
            session("max_age", format!("younger than {}", span(max_age)), is_young(scene, max_age));
        }
        Self::Requirements(checks)
    }

    pub(super) fn step_up(helps: bool) -> Self {
        Self::found(
            "step-up",
            if helps {
                "a fresh sign-in with a second factor would be enough"
            } else {
                "a fresh sign-in with a second factor would not be enough"
            },
        )
    }

    pub(super) fn headers(bytes: Option<usize>, limit: usize) -> Self {
        Self::found(
            "headers",
            match bytes {
                Some(bytes) => format!("{bytes} of {limit} bytes"),
                None => format!("TOO LONG for {limit} bytes, or not to be written in the encoding chosen"),
            },
        )
    }

    fn line(&self) -> Line {
        match self {
            Self::Line(line) => line.clone(),
            Self::Guard { guard, about, hit } => Line {
                step: "guards",
                found: format!(
                    "\"{}\" {}",
                    guard.name,
                    if *hit {
                        "HIT"
                    } else if *about {
                        "does not apply"
                    } else {
                        "is about other requests"
                    }
                ),
                at: Some(guard.at.line()),
                note: None,
            },
            Self::Requirements(checks) => {
                let told: Vec<String> = checks
                    .iter()
                    .map(|(text, check)| format!("{text} {}", if check.ok { "ok" } else { "MISSING" }))
                    .collect();
                Line {
                    step: "require",
                    found: told.join(" | "),
                    at: None,
                    note: None,
                }
            }
        }
    }

    fn into_checks(self) -> Vec<Check> {
        match self {
            Self::Requirements(checks) => checks.into_iter().map(|(_, check)| check).collect(),
            Self::Guard { guard, hit, .. } => vec![Check {
                what: format!("guard.{}", guard.name),
                ok: !hit,
                need: Vec::new(),
            }],
            Self::Line(_) => Vec::new(),
        }
    }
}

/// Guards that were not hit are counted, not listed: a hundred of them hide the one line that matters.
fn guards_folded(lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    let mut looked_at = 0;
    for line in lines {
        if line.step != "guards" {
            out.push(line);
            continue;
        }
        looked_at += 1;
        let hit = line.found.ends_with("HIT");
        let summary = Line {
            step: "guards",
            found: format!("{looked_at} looked at, 0 hit"),
            at: None,
            note: None,
        };
        match out.iter_mut().find(|known| known.step == "guards") {
            Some(known) if hit => *known = line,
            Some(known) => *known = summary,
            None => out.push(if hit { line } else { summary }),
        }
    }
    out
}

fn asked(policies: &PolicySet, of: &str, requirement: &Requirement, scene: &Scene<'_>, checks: &mut Vec<(String, Check)>) {
    for clause in &requirement.clauses {
        let (key, need) = clause_words(policies, clause);
        let list = if need.is_empty() {
            String::new()
        } else {
            format!(" [{}]", need.join(", "))
        };
        checks.push((
            format!("{of}: {key}{list}"),
            Check {
                what: format!("{of}.require.{key}"),
                ok: clause.holds(scene),
                need,
            },
        ));
    }
}

/// The key of a clause, and the names it lists.
fn clause_words(policies: &PolicySet, clause: &Clause) -> (&'static str, Vec<String>) {
    fn names<T: ToString>(list: &[T]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }
    match clause {
        Clause::SignedIn => ("signed_in", Vec::new()),
        Clause::Assigned => ("assigned", Vec::new()),
        Clause::Users(_) => ("users", Vec::new()),
        Clause::Teams(teams) => ("teams", names(&policies.teams_of(teams))),
        Clause::Roles(roles) => ("roles", names(&policies.roles_of(roles))),
        Clause::AllRoles(roles) => ("all_roles", names(&policies.roles_of(roles))),
        Clause::Services(services) => ("services", names(&policies.services_of(services))),
        Clause::Permissions(permissions) => ("permissions", names(&policies.permissions_of(permissions))),
        Clause::AllPermissions(permissions) => ("all_permissions", names(&policies.permissions_of(permissions))),
        Clause::Idps(providers) => ("idps", names(&policies.providers_of(providers))),
        Clause::Directories(providers) => ("directories", names(&policies.providers_of(providers))),
        Clause::EmailDomains(_) => ("email_domains", Vec::new()),
        Clause::Groups(groups) => {
            let groups = policies.groups_of(groups);
            ("groups", groups.iter().map(|one| format!("{}:{}", one.source, one.group)).collect())
        }
        Clause::Attribute(_) => ("attributes", Vec::new()),
        Clause::SignIn(methods) => ("signin", names(methods)),
        Clause::Mfa => ("mfa", Vec::new()),
        Clause::MaxAge(age) => ("max_age", vec![span(*age)]),
        Clause::IpPattern(patterns) => ("ip_pattern", names(&policies.patterns_of(patterns))),
        Clause::Window(windows) => {
            let windows = windows.iter().filter_map(|&window| policies.window_name(window));
            ("window", windows.map(|name| name.to_string()).collect())
        }
        Clause::AnyOf(alternatives) => {
            let told = alternatives.iter().map(|one| {
                let clauses = one.clauses.iter().map(|clause| {
                    let (key, need) = clause_words(policies, clause);
                    if need.is_empty() {
                        key.to_owned()
                    } else {
                        format!("{key} [{}]", need.join(", "))
                    }
                });
                clauses.collect::<Vec<_>>().join(" and ")
            });
            ("any_of", told.collect())
        }
    }
}

/// The best of the patterns that match and did not win, and why not.
fn runner_up(application: &Application, compiled: &CompiledApplication, reading: Reading<'_>, winners: &[usize]) -> Option<String> {
    let fold = |pattern: &PathPattern| {
        if application.case_insensitive {
            pattern.to_lowercase()
        } else {
            pattern.clone()
        }
    };
    let mut matching: Vec<(PathPattern, &Place)> = Vec::new();
    let mut won: Vec<PathPattern> = Vec::new();
    for (number, rule) in application.rules.iter().enumerate() {
        let wins = winners
            .iter()
            .any(|&winner| compiled.rules_of_pattern.get(winner).is_some_and(|rules| rules.contains(&number)));
        for path in &rule.paths {
            let pattern = fold(&path.pattern);
            if pattern.matches(reading.segments()) {
                if wins {
                    won.push(pattern);
                } else {
                    matching.push((pattern, &rule.at));
                }
            }
        }
    }
    let best = won.iter().max_by(|one, two| one.specificity(two))?;
    let (second, at) = matching.iter().max_by(|one, two| one.0.specificity(&two.0))?;
    Some(format!("over \"{second}\" at {}: {}", at.line(), why_more_specific(best, second)))
}

fn why_more_specific(winner: &PathPattern, loser: &PathPattern) -> String {
    let kind = |pattern: &PathPattern, index: usize| match pattern.segments().get(index) {
        Some(Segment::Literal(_)) => "a literal",
        Some(Segment::Part(_)) => "part of a segment",
        Some(Segment::Any) => "`*`",
        None if pattern.is_deep() => "`**`",
        None => "the end",
    };
    (0..=winner.segments().len().max(loser.segments().len()))
        .map(|index| (kind(winner, index), kind(loser, index)))
        .find(|(one, two)| one != two)
        .map_or_else(|| "more literal characters".to_owned(), |(one, two)| format!("{one} beats {two}"))
}

fn path_line(facts: &RequestFacts) -> Line {
    let readings: Vec<String> = facts.path.readings().map(|reading| reading.to_string()).collect();
    let found = match (facts.path.flaw(), readings.as_slice()) {
        (Some(flaw), _) => format!("{}: {flaw}", facts.path.original()),
        (None, [one]) => format!("{one}, one reading"),
        (None, several) => format!("{}, {} readings: {}", facts.path.original(), several.len(), several.join("  ")),
    };
    Line {
        step: "path",
        found,
        at: None,
        note: None,
    }
}

fn address_line(facts: &RequestFacts) -> Line {
    Line {
        step: "address",
        found: facts
            .client_ip
            .map_or_else(|| "unknown: in no pattern".to_owned(), |ip| ip.to_string()),
        at: None,
        note: None,
    }
}

/// What would have to change. Says the thing to do, in the words of the console.
fn to_allow(policies: &PolicySet, principal: &Principal, facts: &RequestFacts, decision: &Decision<'_>) -> Vec<String> {
    let who = match principal {
        Principal::Anonymous => "the person".to_owned(),
        Principal::User(identity) => identity
            .email
            .as_ref()
            .map_or_else(|| identity.username.to_string(), ToString::to_string),
        Principal::Service(service) => format!("the service {}", service.name),
    };
    let come_from = |patterns: &[IpPatternName]| format!("come from an address in {}", words(patterns));
    let hint = match &decision.reason {
        Reason::PublicPath | Reason::RequirementMet => return Vec::new(),
        Reason::NoApp { host_known: false } => format!("give an application the host \"{}\"", facts.host),
        Reason::NoApp { host_known: true } => format!("give an application on \"{}\" a `path` that begins this one", facts.host),
        Reason::PathAmbiguous(_) => "ask for the path in its plain spelling".to_owned(),
        Reason::PathDenied => match decision.rules.first() {
            Some(rule) => format!("the rule at {} says nobody", rule.at.line()),
            None => "no rule names this path, and `unlisted = \"deny\"`".to_owned(),
        },
        Reason::MethodNotListed => format!("add {} to the rule's methods, or a rule of the same path for it", facts.method),
        Reason::Guard(guard) => match &guard.unless {
            Some(_) => format!("meet the `unless` of the guard at {}", guard.at.line()),
            None => format!("the guard at {} has no exception", guard.at.line()),
        },
        Reason::IpUser(patterns) if patterns.is_empty() => format!("bind {who} to a provider that policy has"),
        Reason::IpUser(patterns) => format!("{}, or change the IP pattern of {who}", come_from(patterns)),
        Reason::IpApp(patterns) => come_from(patterns),
        Reason::IpRule(patterns) => come_from(patterns),
        Reason::IpService(name) => come_from(policies.service(name).map_or(&[], |service| &service.ip_pattern)),
        Reason::NoSession => "sign in".to_owned(),
        Reason::Account => format!("{who} is not in use: enable the account, or renew the service"),
        Reason::Method { accepted } if accepted.is_empty() => "sign in through another provider".to_owned(),
        Reason::Method { accepted } => format!("sign in by {}", words(accepted)),
        Reason::MfaNeeded => "sign in with a second factor".to_owned(),
        Reason::SessionTooOld { max_age } => format!("sign in again: younger than {}", span(*max_age)),
        Reason::NotAssigned => not_assigned(policies, facts, decision, &who),
        Reason::RoleMissing(roles) => format!("give {who} {}", one_of("the role", &role_titles(policies, roles))),
        Reason::PermissionMissing(permissions) => {
            let titles: Vec<String> = permissions
                .iter()
                .map(
                    |one| match titles_of(policies, &Reason::PermissionMissing(vec![one.clone()])).pop() {
                        Some(title) => format!("\"{title}\" ({one})"),
                        None => one.to_string(),
                    },
                )
                .collect();
            format!("give {who} {}", one_of("the permission", &titles))
        }
        Reason::TeamMissing(teams) => format!("make {who} a member of {}", one_of("the team", &list(teams))),
        Reason::GroupMissing(groups) => {
            let groups: Vec<String> = groups.iter().map(|one| format!("{} at {}", one.group, one.source)).collect();
            format!("put {who} into {}", one_of("the group", &groups))
        }
        Reason::ServiceMissing(services) => format!("only for {}", one_of("the service", &list(services))),
        Reason::ConditionMissing => "see what is MISSING above".to_owned(),
        Reason::OutsideWindow(windows) => format!("ask inside {}", one_of("the window", &list(windows))),
        Reason::Rate => "wait".to_owned(),
        Reason::HeaderOverflow => "raise `headers.max`, or send less by `headers.identity` and `headers.set`".to_owned(),
    };
    vec![hint]
}

fn not_assigned(policies: &PolicySet, facts: &RequestFacts, decision: &Decision<'_>, who: &str) -> String {
    let Some(application) = decision.application else {
        return String::new();
    };
    let given = format!("give {who} the application \"{}\" ({})", application.title, application.name);
    let teams = decision.held.as_deref().map_or(&[][..], Held::teams);
    let shut = teams.iter().filter_map(|team| policies.team(team)).find(|team| {
        let inside = |name: &IpPatternName| {
            policies
                .ip_pattern(name)
                .zip(facts.client_ip)
                .is_some_and(|(one, ip)| one.addresses.contains(ip))
        };
        !team.ip_pattern.is_empty() && !team.ip_pattern.iter().any(inside)
    });
    match shut {
        Some(team) => format!(
            "{given}; or, if team {} gave it, come from an address in {}",
            team.name,
            words(&team.ip_pattern)
        ),
        None => given,
    }
}

/// The titles of what is missing, for the person it is missing to: never rule names.
#[must_use]
pub fn titles_of(policies: &PolicySet, reason: &Reason<'_>) -> Vec<String> {
    match reason {
        Reason::PermissionMissing(permissions) => permissions
            .iter()
            .filter_map(|one| {
                let application = policies.application(&one.application)?;
                let permission = application.permissions.iter().find(|known| known.name == one.name)?;
                Some(permission.title.clone())
            })
            .collect(),
        Reason::RoleMissing(roles) => roles
            .iter()
            .filter_map(|role| policies.role(role))
            .map(|role| role.title.clone())
            .collect(),
        Reason::TeamMissing(teams) => teams
            .iter()
            .filter_map(|team| policies.team(team))
            .map(|team| team.title.clone())
            .collect(),
        Reason::IpUser(patterns) | Reason::IpRule(patterns) => pattern_titles(policies, patterns),
        Reason::IpApp(patterns) => pattern_titles(policies, patterns),
        Reason::OutsideWindow(windows) => list(windows),
        _ => Vec::new(),
    }
}

fn pattern_titles(policies: &PolicySet, patterns: &[IpPatternName]) -> Vec<String> {
    let title = |name: &IpPatternName| {
        policies
            .ip_pattern(name)
            .map_or_else(|| name.to_string(), |pattern| pattern.title.clone())
    };
    patterns.iter().map(title).collect()
}

fn role_titles(policies: &PolicySet, roles: &[RoleName]) -> Vec<String> {
    roles
        .iter()
        .map(|name| {
            policies
                .role(name)
                .map_or_else(|| name.to_string(), |role| format!("\"{}\" ({name})", role.title))
        })
        .collect()
}

fn list<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn words<T: ToString>(names: &[T]) -> String {
    list(names).join(", ")
}

fn one_of(what: &str, names: &[String]) -> String {
    match names {
        [one] => format!("{what} {one}"),
        several => format!("{what} {}", several.join(" or ")),
    }
}

/// A span of time in its two largest units: `2h`, `1h 30m`, `45s`.
fn span(span: Duration) -> String {
    let secs = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = secs;
    let mut parts = Vec::new();
    for (size, unit) in units {
        if rest >= size && parts.len() < 2 {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests;
