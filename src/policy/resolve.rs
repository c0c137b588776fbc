//! What can only be told once every file is read: names that do not exist, cycles, addresses, hosts that are claimed twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::grammar::nearest;
use crate::model::ip_pattern::{AddressRange, AddressSet, MOST_RANGES};
use crate::model::name::{RoleName, TeamName};

use super::definitions::{Definitions, IpPattern, ProviderKind};
use super::parse::scope::{Kind, Reference, Scope};
use super::place::Place;

/// Every name there is of a kind, where it is written, and what was called so before.
#[derive(Debug, Default)]
struct Known {
    names: BTreeMap<String, Option<Place>>,
    formerly: BTreeMap<String, String>,
}

/// Looks names up, follows references and tells what contradicts itself.
pub(super) fn resolve(definitions: &mut Definitions, scope: &Scope<'_>) {
    let mut all: BTreeMap<Kind, Known> = BTreeMap::new();
    for reference in scope.references.borrow().iter() {
        let known = all.entry(reference.kind).or_insert_with(|| known(definitions, reference.kind));
        look_up(reference, known, scope);
    }
    names_are_unique(definitions, scope);
    cycles(definitions, scope);
    addresses(&mut definitions.ip_patterns, scope);
    hosts_are_unique(definitions, scope);
    aliases_are_unique(scope);
    reasons_exist(definitions, scope);
}

fn known(definitions: &Definitions, kind: Kind) -> Known {
    let mut known = Known::default();
    macro_rules! take {
        ($list:expr) => {
            for one in $list {
                known.names.insert(one.name.to_string(), Some(one.at.clone()));
                for old in &one.formerly {
                    known.formerly.insert(old.to_string(), one.name.to_string());
                }
            }
        };
    }
    match kind {
        Kind::Application => take!(&definitions.applications),
        Kind::Role => {
            known.names.insert(RoleName::admin().to_string(), None);
            known.names.insert(RoleName::user().to_string(), None);
            take!(&definitions.roles);
        }
        Kind::Team => {
            known.names.insert(TeamName::main().to_string(), None);
            take!(&definitions.teams);
        }
        Kind::IpPattern => take!(&definitions.ip_patterns),
        Kind::Window => take!(&definitions.windows),
        Kind::Limit => take!(&definitions.limits),
        Kind::Service => take!(&definitions.services),
        Kind::Idp => take!(definitions.providers.iter().filter(|one| one.kind == ProviderKind::Saml)),
        Kind::Directory => take!(definitions.providers.iter().filter(|one| one.kind == ProviderKind::Ldap)),
        Kind::Provider => take!(&definitions.providers),
        Kind::Permission => {
            for app in &definitions.applications {
                for permission in &app.permissions {
                    known
                        .names
                        .insert(format!("{}:{}", app.name, permission.name), Some(permission.at.clone()));
                    for old in &permission.formerly {
                        known
                            .formerly
                            .insert(format!("{}:{old}", app.name), format!("{}:{}", app.name, permission.name));
                    }
                }
            }
        }
    }
    known
}

fn look_up(reference: &Reference, known: &Known, scope: &Scope<'_>) {
    if known.names.contains_key(&reference.name) {
        return;
    }
    let word = reference.kind.word();
    let mut problem = Diagnostic::error("E111", format!("unknown {word} \"{}\"", reference.name)).at(reference.span.clone());
    if let Some(renamed) = known.formerly.get(&reference.name) {
        problem = problem.label(format!("it is called \"{renamed}\" now"));
    } else if let Some(near) = nearest(&reference.name, known.names.keys().map(String::as_str)) {
        let defined = match known.names.get(near) {
            Some(Some(place)) => format!("defined at {place}"),
            _ => "built in".to_owned(),
        };
        problem = problem.label(format!("did you mean \"{near}\"? ({defined})"));
    } else if reference.kind == Kind::Permission {
        problem = problem.help("an application defines its permissions: permission.NAME.title = \"...\"");
    } else {
        let table = match reference.kind {
            Kind::Application => "app",
            Kind::Role => "role",
            Kind::Team => "team",
            Kind::IpPattern => "ip_pattern",
            Kind::Window => "window",
            Kind::Limit => "limit",
            Kind::Service => "service",
            Kind::Idp | Kind::Provider | Kind::Permission => "idp",
            Kind::Directory => "directory",
        };
        problem = problem.help(format!("define it with [{table}.{}]", reference.name));
    }
    scope.problems.push(problem);
}

/// Providers and directories share one set of names, and what a thing was called before must not be another thing's name.
fn names_are_unique(definitions: &Definitions, scope: &Scope<'_>) {
    let mut providers: BTreeMap<&str, Span> = BTreeMap::new();
    for provider in &definitions.providers {
        if let Some(first) = providers.insert(provider.name.as_str(), provider.at.span()) {
            scope.problems.push(
                Diagnostic::error("E110", format!("`{}` is an identity provider and a directory", provider.name))
                    .at(provider.at.span())
                    .also(first, "also here"),
            );
        }
    }
    macro_rules! old_names {
        ($list:expr) => {{
            let mut taken: BTreeMap<String, Span> = BTreeMap::new();
            for one in $list {
                taken.insert(one.name.to_string(), one.at.span());
            }
            for one in $list {
                for old in &one.formerly {
                    if let Some(first) = taken.insert(old.to_string(), one.at.span()) {
                        scope.problems.push(
                            Diagnostic::error("E110", format!("`formerly` of `{}` names \"{old}\", which is taken", one.name))
                                .at(one.at.span())
                                .also(first, "by this"),
                        );
                    }
                }
            }
        }};
    }
    old_names!(&definitions.applications);
    old_names!(&definitions.roles);
    old_names!(&definitions.teams);
    old_names!(&definitions.ip_patterns);
    old_names!(&definitions.windows);
    old_names!(&definitions.limits);
    old_names!(&definitions.services);
    old_names!(&definitions.providers);
    for app in &definitions.applications {
        old_names!(&app.permissions);
    }
}

/// Roles that include themselves, permissions that imply themselves: `E112`.
fn cycles(definitions: &Definitions, scope: &Scope<'_>) {
    let roles = definitions
        .roles
        .iter()
        .map(|role| {
            (
                role.name.to_string(),
                (role.includes.iter().map(ToString::to_string).collect(), role.at.span()),
            )
        })
        .collect();
    tell_cycles(&roles, "role", "includes", scope);
    for app in &definitions.applications {
        let permissions = app
            .permissions
            .iter()
            .map(|one| {
                (
                    one.name.to_string(),
                    (one.implies.iter().map(ToString::to_string).collect(), one.at.span()),
                )
            })
            .collect();
        tell_cycles(&permissions, "permission", "implies", scope);
    }
    let patterns = definitions
        .ip_patterns
        .iter()
        .map(|pattern| {
            let others = pattern
                .include
                .iter()
                .chain(&pattern.exclude)
                .filter_map(|entry| entry.strip_prefix('@'))
                .map(str::to_owned)
                .collect();
            (pattern.name.to_string(), (others, pattern.at.span()))
        })
        .collect();
    tell_cycles(&patterns, "IP pattern", "refers to", scope);
}

type Arrows = BTreeMap<String, (Vec<String>, Span)>;

/// Tells each cycle once, at the member whose name comes first.
fn tell_cycles(arrows: &Arrows, what: &str, verb: &str, scope: &Scope<'_>) {
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (start, (_, span)) in arrows {
        if told.contains(start.as_str()) {
            continue;
        }
        let Some(chain) = chain_back(arrows, start) else { continue };
        told.extend(chain.iter().copied());
        scope.problems.push(
            Diagnostic::error("E112", format!("{what} `{start}` {verb} itself: {}", chain.join(" -> ")))
                .at(span.clone())
                .help("take one arrow out"),
        );
    }
}

/// The shortest way from a name back to itself.
fn chain_back<'a>(arrows: &'a Arrows, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in arrows.get(at).map_or(&[][..], |(next, _)| next.as_slice()) {
            if next == start {
                let mut chain = vec![start];
                let mut back = at;
                while back != start {
                    chain.push(back);
                    back = came_from.get(back)?;
                }
                chain.push(start);
                chain.reverse();
                return Some(chain);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

/// Include minus exclude, `@other` followed: `E132` over the bound.
fn addresses(patterns: &mut [IpPattern], scope: &Scope<'_>) {
    let written: BTreeMap<String, (Vec<String>, Vec<String>)> = patterns
        .iter()
        .map(|pattern| (pattern.name.to_string(), (pattern.include.clone(), pattern.exclude.clone())))
        .collect();
    let mut done: BTreeMap<String, AddressSet> = BTreeMap::new();
    for pattern in patterns {
        pattern.addresses = of(pattern.name.as_str(), &written, &mut done, &mut BTreeSet::new());
        let ranges = pattern.addresses.range_count();
        if ranges > MOST_RANGES {
            scope.problems.push(
                Diagnostic::error(
                    "E132",
                    format!("IP pattern `{}` comes to {ranges} ranges; {MOST_RANGES} is the most", pattern.name),
                )
                .at(pattern.at.span()),
            );
        }
    }
}

fn of(
    name: &str,
    written: &BTreeMap<String, (Vec<String>, Vec<String>)>,
    done: &mut BTreeMap<String, AddressSet>,
    under_way: &mut BTreeSet<String>,
) -> AddressSet {
    if let Some(known) = done.get(name) {
        return known.clone();
    }
    // A cycle, which is told elsewhere, or a name that does not exist: nothing.
    let Some((include, exclude)) = written.get(name) else {
        return AddressSet::default();
    };
    if under_way.len() > 256 || !under_way.insert(name.to_owned()) {
        return AddressSet::default();
    }
    let mut side = |entries: &[String]| {
        let plain = AddressSet::of(entries.iter().filter_map(|entry| AddressRange::parse(entry).ok()));
        entries
            .iter()
            .filter_map(|entry| entry.strip_prefix('@'))
            .fold(plain, |all, other| all.union(&of(other, written, done, under_way)))
    };
    let addresses = side(include).minus(&side(exclude));
    under_way.remove(name);
    done.insert(name.to_owned(), addresses.clone());
    addresses
}

/// One host and path belong to one application: `E120`.
fn hosts_are_unique(definitions: &Definitions, scope: &Scope<'_>) {
    let mut taken: BTreeMap<(String, String), (String, Span)> = BTreeMap::new();
    for app in &definitions.applications {
        let at = app.keys.get("host").unwrap_or(&app.at).span();
        for host in &app.hosts {
            let path = if app.case_insensitive {
                app.path.to_lowercase()
            } else {
                app.path.clone()
            };
            if let Some((other, first)) = taken.insert((host.to_string(), path.clone()), (app.name.to_string(), at.clone())) {
                let whose = if other == app.name.as_str() {
                    "twice by itself".to_owned()
                } else {
                    format!("by `{other}` too")
                };
                scope.problems.push(
                    Diagnostic::error("E120", format!("`{}` claims {host}{path}, claimed {whose}", app.name))
                        .at(at.clone())
                        .also(first, "also here")
                        .help("give one of them another host or `path`"),
                );
            }
        }
    }
}

fn aliases_are_unique(scope: &Scope<'_>) {
    let aliases = scope.aliases.borrow();
    let mut taken: BTreeMap<&str, &Span> = BTreeMap::new();
    for alias in aliases.iter() {
        if let Some(first) = taken.insert(&alias.value, &alias.span) {
            scope.problems.push(
                Diagnostic::error("E120", format!("\"{}\" is an alias twice", alias.value))
                    .at(alias.span.clone())
                    .also(first.clone(), "also here"),
            );
        }
    }
}

/// Every code a decision can have (the codes of a [`super::decision::Reason`], and those of front proxies' questions).
const REASON_CODES: &[&str] = &[
    "public-path",
    "requirement-met",
    "no-app",
    "path-ambiguous",
    "path-denied",
    "method-not-listed",
    "guard",
    "ip-user",
    "ip-app",
    "ip-rule",
    "ip-service",
    "no-session",
    "account",
    "method",
    "mfa-needed",
    "session-too-old",
    "not-assigned",
    "role-missing",
    "permission-missing",
    "team-missing",
    "group-missing",
    "service-missing",
    "condition-missing",
    "outside-window",
    "rate",
    "header-overflow",
    "peer-untrusted",
    "incomplete-subrequest",
];

/// What a test gives as its reason is a reason's code, or the name of a rule or guard.
fn reasons_exist(definitions: &Definitions, scope: &Scope<'_>) {
    let mut known: BTreeSet<&str> = REASON_CODES.iter().copied().collect();
    known.extend(definitions.guards.iter().map(|guard| guard.name.as_str()));
    for app in &definitions.applications {
        known.extend(app.rules.iter().map(|rule| &*rule.name));
    }
    for because in scope.reasons.borrow().iter() {
        if known.contains(because.value.as_str()) {
            continue;
        }
        let mut problem = Diagnostic::error(
            "E111",
            format!("\"{}\" is neither a reason's code nor the name of a rule or guard", because.value),
        )
        .at(because.span.clone());
        if let Some(near) = nearest(&because.value, known.iter().copied()) {
            problem = problem.label(format!("did you mean \"{near}\"?"));
        }
        scope.problems.push(problem);
    }
}
