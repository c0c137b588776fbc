//! What would have to change for a yes, in the words of the console.

use std::time::Duration;

use crate::model::name::{IpPatternName, RoleName};
use crate::model::principal::Principal;
use crate::model::user::UserStatus;

use crate::policy::decision::{Decision, Reason};
use crate::policy::facts::RequestFacts;
use crate::policy::set::PolicySet;
use crate::policy::subject::Held;

/// What would have to change. Says the thing to do, in the words of the console.
pub(super) fn to_allow(policies: &PolicySet, principal: &Principal, facts: &RequestFacts, decision: &Decision<'_>) -> Vec<String> {
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
        Reason::Account => match principal {
            Principal::User(identity) if identity.status == UserStatus::Pending => {
                format!("{who} has not registered yet: hand over the token")
            }
            Principal::User(_) => format!("enable the account of {who}"),
            Principal::Service(_) | Principal::Anonymous => {
                format!("{who} has expired or is no longer in policy: renew it there, or its credential in the console")
            }
        },
        Reason::Method { accepted } if accepted.is_empty() => "sign in through another provider".to_owned(),
        Reason::Method { accepted } => format!("sign in by {}", words(accepted)),
        Reason::MfaNeeded => "sign in with a second factor".to_owned(),
        Reason::SessionTooOld { max_age } => format!("sign in again: younger than {}", span(*max_age)),
        Reason::SessionUnused { idle } => format!("sign in again: the session was unused for {} or longer", span(*idle)),
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

pub(super) fn words<T: ToString>(names: &[T]) -> String {
    list(names).join(", ")
}

fn one_of(what: &str, names: &[String]) -> String {
    match names {
        [one] => format!("{what} {one}"),
        several => format!("{what} {}", several.join(" or ")),
    }
}

/// A span of time in its two largest units: `2h`, `1h 30m`, `45s`.
pub(super) fn span(span: Duration) -> String {
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
