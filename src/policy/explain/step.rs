//! What each step of a decision found, in words.

use http::Method;

use crate::model::name::IpPatternName;
use crate::model::principal::{Identity, Principal};

use super::hints::{span, words};
use super::{Check, Line};
use crate::policy::application::{Application, Guard};
use crate::policy::compile::speaking;
use crate::policy::facts::{Reading, RequestFacts};
use crate::policy::need::{Need, is_young, mfa_shown};
use crate::policy::pattern::{PathPattern, Segment};
use crate::policy::place::Place;
use crate::policy::require::{Clause, Requirement, Scene};
use crate::policy::set::{CompiledApplication, PolicySet};
use crate::policy::subject::{Held, Looked};

/// One step of a decision.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Step<'p> {
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

    pub(in crate::policy) fn application(application: &Application) -> Self {
        Self::Line(Line {
            step: "app",
            found: application.name.to_string(),
            at: Some(application.at.line()),
            note: None,
        })
    }

    /// Which patterns win, over which other, and what their rules say of the method.
    pub(in crate::policy) fn rule(
        application: &Application,
        compiled: &CompiledApplication,
        reading: Reading<'_>,
        method: &Method,
    ) -> Self {
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
                let pattern = path.map_or_else(|| rule.name.to_string(), |path| path.pattern.to_string());
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

    pub(in crate::policy) fn address(patterns: &[IpPatternName], ok: bool) -> Option<Self> {
        (!patterns.is_empty()).then(|| {
            Self::found(
                "from",
                format!("application open to {}: {}", words(patterns), if ok { "inside" } else { "OUTSIDE" }),
            )
        })
    }

    pub(in crate::policy) fn session(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> Self {
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
    pub(in crate::policy) fn memberships(policies: &PolicySet, identity: &Identity, looked: &Looked, facts: &RequestFacts) -> Option<Self> {
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

    pub(in crate::policy) fn held(policies: &PolicySet, held: &Held, facts: &RequestFacts) -> Self {
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

    pub(in crate::policy) fn sign_in(application: &Application, ok: bool) -> Self {
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

    pub(in crate::policy) fn requirements(policies: &PolicySet, need: &Need<'_>, scene: &Scene<'_>) -> Self {
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

    pub(in crate::policy) fn step_up(helps: bool) -> Self {
        Self::found(
            "step-up",
            if helps {
                "a fresh sign-in with a second factor would be enough"
            } else {
                "a fresh sign-in with a second factor would not be enough"
            },
        )
    }

    pub(in crate::policy) fn headers(bytes: Option<usize>, limit: usize) -> Self {
        Self::found(
            "headers",
            match bytes {
                Some(bytes) => format!("{bytes} of {limit} bytes"),
                None => format!("TOO LONG for {limit} bytes, or not to be written in the encoding chosen"),
            },
        )
    }

    pub(super) fn line(&self) -> Line {
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

    pub(super) fn into_checks(self) -> Vec<Check> {
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
