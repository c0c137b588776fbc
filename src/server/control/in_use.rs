//! Findings about policies that only the store can tell: names in use that are gone, and administrators who would be locked out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::accounts::Listed;
use crate::app::Live;
use crate::model::membership::Membership;
use crate::model::name::RoleName;
use crate::model::user::UserStatus;
use crate::policy::PolicySet;
use crate::server::opening::Desk;

use super::answer::Finding;
use super::deeds::{No, everybody, no};

/// People named in one finding; the rest are counted.
const NAMED: usize = 5;

/// What the store has to say about the policies in `folder`, or those in force.
pub(super) async fn findings(desk: &Desk, folder: Option<PathBuf>) -> Result<Vec<Finding>, No> {
    let now = desk.app.clock.now();
    let people = everybody(desk, now).await?;
    let Some(folder) = folder else {
        return Ok(about(&desk.app.live().policies, &people));
    };
    let files = crate::server::files::Files {
        policies: Some(folder),
        ..desk.files.clone()
    };
    let sources = files.read().map_err(|error| no("unreadable", error.to_string()))?;
    // What is wrong with the tree itself is told by whoever asks; nothing can be said about the store then.
    Ok(Live::parse(&sources, now)
        .map(|live| about(&live.policies, &people))
        .unwrap_or_default())
}

/// W250, W251 and W270 (POLICY section 6).
pub(crate) fn about(policies: &PolicySet, people: &[Listed]) -> Vec<Finding> {
    let mut findings = lost_names(policies, people);
    let able: Vec<&Listed> = people.iter().filter(|one| could_administer(policies, one)).collect();
    match able.len() {
        0 if people.is_empty() => findings.push(finding("W250", "warning", "nobody administers yet: there is no user".to_owned())),
        0 => findings.push(finding(
            "W250",
            "error",
            "no active user could reach the admin console from any address".to_owned(),
        )),
        1 => findings.push(finding("W251", "warning", "only one person could administer".to_owned())),
        _ => {}
    }
    findings
}

fn finding(code: &str, level: &str, message: String) -> Finding {
    let help = match code {
        "W250" => {
            Some("give somebody the role admin, and a membership that counts from somewhere: portcullis user role WHO admin".to_owned())
        }
        "W251" => Some("make a second administrator: portcullis user role WHO admin".to_owned()),
        _ => Some("add the name again, or `formerly = [...]` where it was renamed".to_owned()),
    };
    Finding {
        code: code.to_owned(),
        level: level.to_owned(),
        message,
        help,
    }
}

/// Whether somebody could reach the console from somewhere: active, a membership that can count, and a role with a power.
fn could_administer(policies: &PolicySet, listed: &Listed) -> bool {
    let counts = |one: &Membership| {
        one.ip_pattern
            .as_ref()
            .is_none_or(|name| policies.ip_pattern(name).is_some_and(|pattern| !pattern.addresses.is_empty()))
            && one.provider.as_ref().is_none_or(|name| policies.provider(name).is_some())
    };
    let powerful = |role: &RoleName| {
        *role == RoleName::admin()
            || policies
                .role(role)
                .is_some_and(|role| role.admin.contains(&crate::model::role::Power::Users))
    };
    listed.user.status == UserStatus::Active
        && (listed.memberships.is_empty() || listed.memberships.iter().any(counts))
        && listed.user.roles.iter().any(powerful)
}

fn lost_names(policies: &PolicySet, people: &[Listed]) -> Vec<Finding> {
    let mut lost: BTreeMap<(&'static str, String), Vec<String>> = BTreeMap::new();
    for listed in people {
        let user = listed.user.username.to_string();
        let mut note = |what: &'static str, name: String| {
            let users = lost.entry((what, name)).or_default();
            if users.last() != Some(&user) {
                users.push(user.clone());
            }
        };
        for role in listed.user.roles.iter().filter(|role| policies.role(role).is_none()) {
            note("role", role.to_string());
        }
        for one in &listed.memberships {
            if policies.team(&one.team).is_none() {
                note("team", one.team.to_string());
            }
            for role in one.roles.iter().filter(|role| policies.role(role).is_none()) {
                note("role", role.to_string());
            }
            if let Some(name) = one.ip_pattern.as_ref().filter(|name| policies.ip_pattern(name).is_none()) {
                note("IP pattern", name.to_string());
            }
            if let Some(name) = one.provider.as_ref().filter(|name| policies.provider(name).is_none()) {
                note("identity provider", name.to_string());
            }
            for application in one.permissions.keys().filter(|name| policies.application(name).is_none()) {
                note("application", application.to_string());
            }
        }
    }
    lost.into_iter()
        .map(|((what, name), users)| {
            let shown = users.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = users.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let effect = if matches!(what, "IP pattern" | "identity provider") {
                "their memberships do not count"
            } else {
                "it gives nothing"
            };
            finding(
                "W270",
                "warning",
                format!("{what} `{name}` is used in the store and not in the policies: {effect} ({shown}{more})"),
            )
        })
        .collect()
}
