//! The steps of a decision about one of our own pages, which belong to no application.

use crate::model::principal::Principal;
use crate::policy::PolicySet;
use crate::policy::explain::{Explanation, Line, titles_of};
use crate::policy::facts::RequestFacts;
use crate::policy::house;

/// Judges as the portal does and tells how: the account, each membership with its pattern and provider, what is held.
pub(super) fn steps_of(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> Explanation {
    let standing = house::judge(policies, principal, facts);
    let mut steps = vec![
        line("path", format!("{}, one of our own pages", facts.path.original())),
        line(
            "address",
            facts
                .client_ip
                .map_or_else(|| "unknown: in no pattern".to_owned(), |ip| ip.to_string()),
        ),
    ];
    match principal {
        Principal::Anonymous => steps.push(line("session", "none".to_owned())),
        Principal::Service(service) => steps.push(line("service", service.name.to_string())),
        Principal::User(identity) => {
            steps.push(line("account", format!("{}, {}", identity.username, identity.status.word())));
            steps.push(line(
                "session",
                format!("by {} at {}", identity.signed_in.method.word(), identity.signed_in.at),
            ));
            for membership in &identity.memberships {
                let mut found = format!("team {}", membership.team);
                let mut at = policies
                    .team(&membership.team)
                    .filter(|team| team.at.is_written())
                    .map(|team| team.at.to_string());
                if let Some(name) = &membership.ip_pattern {
                    let pattern = policies.ip_pattern(name);
                    let inside = pattern
                        .zip(facts.client_ip)
                        .is_some_and(|(pattern, ip)| pattern.addresses.contains(ip));
                    found.push_str(&match (pattern, inside) {
                        (None, _) => format!(", IP pattern {name}: no longer in the policies, so it contains nothing"),
                        (Some(_), true) => format!(", inside its IP pattern {name}"),
                        (Some(_), false) => format!(", OUTSIDE its IP pattern {name}: does not count"),
                    });
                    at = pattern.map(|pattern| pattern.at.to_string()).or(at);
                }
                if let Some(name) = &membership.provider {
                    let fits = identity.signed_in.provider.as_ref() == Some(name);
                    found.push_str(&if fits {
                        format!(", through {name}")
                    } else {
                        format!(", only through {name}: does not count")
                    });
                }
                steps.push(Line {
                    step: "membership",
                    found,
                    at,
                    note: None,
                });
            }
            if let Some(held) = &standing.held {
                let roles: Vec<String> = held.roles().iter().map(ToString::to_string).collect();
                steps.push(line("facts", format!("roles {}", roles.join(" "))));
            }
        }
    }
    let to_allow = if standing.is_allowed() {
        Vec::new()
    } else {
        titles_of(policies, &standing.reason)
    };
    Explanation {
        decision: standing.verdict.word(),
        reason: standing.reason.code(),
        generation: policies.generation().short(),
        app: None,
        rules: Vec::new(),
        steps,
        checks: Vec::new(),
        to_allow,
    }
}

const fn line(step: &'static str, found: String) -> Line {
    Line {
        step,
        found,
        at: None,
        note: None,
    }
}
