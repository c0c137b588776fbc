//! `W232`: requirements that contradict themselves, so that nobody can meet them.
//!
//! A requirement is the conjunction of the application's and the rule's, with the roles' own requirements. It is multiplied out into cases without
//! "or", and a case is impossible as soon as two of its demands exclude each other. If every case is, nobody gets in.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::diagnostic::Diagnostic;
use crate::base::time::Timestamp;
use crate::model::ip_pattern::AddressSet;
use crate::model::name::{IpPatternName, ProviderName, TeamName};
use crate::model::role::SignInMethod;

use super::super::application::{Application, Effect};
use super::super::condition::{Condition, PersonMatch};
use super::super::definitions::{Definitions, ProviderKind, Window};
use super::finding;

/// More cases than this are not multiplied out; such a requirement counts as one that can be met.
const MOST_CASES: usize = 10_000;

pub(super) fn analyse(definitions: &Definitions, found: &mut Vec<Diagnostic>) {
    let judge = Judge { definitions };
    for app in &definitions.applications {
        let ground = judge.ground(app);
        if let Some(why) = judge.impossible(&[&app.require], ground.clone()) {
            found.push(finding("W232", format!("nobody can meet the requirement of `{}`: {why}", app.name)).at(app.require.at.span()));
            continue;
        }
        for rule in app.rules.iter().filter(|rule| rule.access == Effect::App) {
            if let Some(require) = &rule.require
                && let Some(why) = judge.impossible(&[&app.require, require], ground.clone())
            {
                found.push(
                    finding(
                        "W232",
                        format!("nobody can meet what rule \"{}\" of `{}` asks for: {why}", rule.name, app.name),
                    )
                    .at(require.at.span())
                    .also(app.require.at.span(), "the application's requirement holds too"),
                );
            }
        }
    }
    let mut alone = |condition: &Condition, what: String| {
        if let Some(why) = judge.impossible(&[condition], Case::default()) {
            found.push(finding("W232", format!("{what} can never hold: {why}")).at(condition.at.span()));
        }
    };
    for role in &definitions.roles {
        if let Some(require) = &role.require {
            alone(require, format!("the requirement of role `{}`", role.name));
        }
    }
    for grant in &definitions.grants {
        alone(&grant.when, "`when` of this grant".to_owned());
    }
    for guard in &definitions.guards {
        if let Some(when) = &guard.when {
            alone(when, format!("`when` of guard \"{}\"", guard.name));
        }
    }
}

/// What one case demands, each kind already narrowed by all that was said of it.
#[derive(Clone, Default)]
struct Case {
    /// A person or a service, if one of them is demanded.
    person: bool,
    services: Option<BTreeSet<String>>,
    users: Option<Vec<PersonMatch>>,
    domains: Option<BTreeSet<String>>,
    providers: Option<BTreeSet<ProviderName>>,
    methods: Option<BTreeSet<SignInMethod>>,
    addresses: Option<AddressSet>,
    windows: Vec<BTreeSet<String>>,
    teams: BTreeSet<TeamName>,
}

struct Judge<'a> {
    definitions: &'a Definitions,
}

impl Judge<'_> {
    /// What an application demands before any requirement: its patterns and ways in.
    fn ground(&self, app: &Application) -> Case {
        let mut methods = app.signin.methods.clone();
        // Services need no way in.
        methods.insert(SignInMethod::Service);
        let mut case = Case {
            methods: Some(methods),
            ..Case::default()
        };
        if !app.ip_pattern.is_empty() {
            case.addresses = Some(self.addresses(&app.ip_pattern));
        }
        case
    }

    fn addresses(&self, names: &[IpPatternName]) -> AddressSet {
        names
            .iter()
            .filter_map(|name| self.definitions.ip_patterns.iter().find(|pattern| pattern.name == *name))
            .fold(AddressSet::default(), |all, pattern| all.union(&pattern.addresses))
    }

    /// Why no case of the conjunction is possible; `None` if one is.
    fn impossible(&self, all: &[&Condition], ground: Case) -> Option<String> {
        let mut why = None;
        let mut budget = MOST_CASES;
        let possible = self.some_case(&mut all.to_vec(), ground, &mut why, &mut budget, 0);
        if possible || budget == 0 {
            return None;
        }
        Some(why.unwrap_or_else(|| "its parts exclude each other".to_owned()))
    }

    /// Whether the conditions still to be looked at leave a possible case.
    fn some_case(&self, rest: &mut Vec<&Condition>, mut case: Case, why: &mut Option<String>, budget: &mut usize, depth: usize) -> bool {
        if *budget == 0 || depth > 64 {
            return true;
        }
        *budget -= 1;
        let Some(condition) = rest.pop() else {
            return match self.contradiction(&case) {
                Some(reason) => {
                    why.get_or_insert(reason);
                    false
                }
                None => true,
            };
        };
        if let Err(reason) = self.narrow(&mut case, condition) {
            why.get_or_insert(reason);
            return false;
        }
        // Each role of `all_roles`, and one of `roles`, brings its own requirement.
        let mut with_roles = rest.clone();
        for name in &condition.all_roles {
            with_roles.extend(self.requirement_of(name));
        }
        let roles: Vec<Option<&Condition>> = condition.roles.iter().map(|name| self.requirement_of(name)).collect();
        let ways: Vec<Option<&Condition>> = if roles.is_empty() || roles.iter().any(Option::is_none) {
            vec![None]
        } else {
            roles
        };
        let alternatives: Vec<Option<&Condition>> = if condition.any_of.is_empty() {
            vec![None]
        } else {
            condition.any_of.iter().map(Some).collect()
        };
        ways.iter().any(|way| {
            alternatives.iter().any(|alternative| {
                let mut next = with_roles.clone();
                next.extend(way.iter().chain(alternative.iter()).copied());
                self.some_case(&mut next, case.clone(), why, budget, depth + 1)
            })
        })
    }

    fn requirement_of(&self, name: &crate::model::name::RoleName) -> Option<&Condition> {
        self.definitions.roles.iter().find(|role| role.name == *name)?.require.as_ref()
    }

    /// Adds what a condition demands by itself.
    fn narrow(&self, case: &mut Case, condition: &Condition) -> Result<(), String> {
        if !condition.services.is_empty() {
            narrow_set(
                &mut case.services,
                condition.services.iter().map(ToString::to_string).collect(),
                "no service is in both lists",
            )?;
        }
        let of_person = condition.assigned
            || condition.mfa
            || condition.max_age.is_some()
            || !(condition.users.is_empty()
                && condition.teams.is_empty()
                && condition.email_domains.is_empty()
                && condition.idps.is_empty()
                && condition.directories.is_empty()
                && condition.groups.is_empty()
                && condition.attributes.is_empty());
        // A service can be assigned an application; everything else here is about people.
        case.person |= of_person && !condition.assigned;
        if !condition.users.is_empty() {
            let both = match &case.users {
                None => condition.users.clone(),
                Some(known) => condition
                    .users
                    .iter()
                    .filter(|user| known.iter().any(|other| may_be_one(user, other)))
                    .cloned()
                    .collect(),
            };
            if both.is_empty() {
                return Err("no user is in both lists".to_owned());
            }
            case.users = Some(both);
        }
        if !condition.email_domains.is_empty() {
            narrow_set(
                &mut case.domains,
                condition.email_domains.iter().cloned().collect(),
                "no mail domain is in both lists",
            )?;
        }
        let reported: Vec<&ProviderName> = condition.groups.iter().map(|group| &group.source).collect();
        for names in [condition.idps.iter().collect(), condition.directories.iter().collect(), reported] {
            if !names.is_empty() {
                narrow_set(
                    &mut case.providers,
                    names.into_iter().cloned().collect(),
                    "a session is made through one provider or directory",
                )?;
            }
        }
        if !condition.signin.is_empty() {
            narrow_set(
                &mut case.methods,
                condition.signin.iter().copied().collect(),
                "no way to sign in is accepted by all",
            )?;
        }
        if !condition.ip_pattern.is_empty() {
            let here = self.addresses(&condition.ip_pattern);
            let both = case
                .addresses
                .as_ref()
                .map_or_else(|| here.clone(), |known| known.intersection(&here));
            if both.is_empty() {
                return Err("no address is inside all the IP patterns".to_owned());
            }
            case.addresses = Some(both);
        }
        if !condition.window.is_empty() {
            case.windows.push(condition.window.iter().map(ToString::to_string).collect());
        }
        if let [only] = condition.teams.as_slice() {
            case.teams.insert(only.clone());
        }
        // Of several teams one suffices: each must be possible by itself to say anything, so they are judged where they stand.
        if condition.teams.len() > 1 {
            let mut reason = None;
            let possible = condition.teams.iter().any(|team| match self.team_contradiction(case, team) {
                Some(why) => {
                    reason = Some(why);
                    false
                }
                None => true,
            });
            if !possible {
                return Err(reason.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// What excludes what, once everything is said.
    fn contradiction(&self, case: &Case) -> Option<String> {
        if let Some(services) = &case.services {
            if case.person {
                return Some("a service has no mail address, team, second factor or provider".to_owned());
            }
            if case
                .methods
                .as_ref()
                .is_some_and(|methods| !methods.contains(&SignInMethod::Service))
            {
                return Some("a service does not sign in".to_owned());
            }
            let reachable = |name: &String| {
                let Some(service) = self.definitions.services.iter().find(|service| service.name.as_str() == name) else {
                    return false;
                };
                let from = self.addresses(&service.ip_pattern);
                case.addresses
                    .as_ref()
                    .map_or(!from.is_empty(), |here| !here.intersection(&from).is_empty())
            };
            if !services.iter().any(reachable) {
                return Some("the service comes from no address that is let in".to_owned());
            }
        }
        if let (Some(users), Some(domains)) = (&case.users, &case.domains) {
            let inside = users.iter().any(|user| match user {
                PersonMatch::Email(email) => domains.contains(&email.domain()),
                PersonMatch::Id(_) => true,
            });
            if !inside {
                return Some("none of the users is of the mail domains".to_owned());
            }
        }
        if let (Some(providers), Some(methods)) = (&case.providers, &case.methods) {
            let fits = |name: &ProviderName| match self.definitions.providers.iter().find(|provider| provider.name == *name) {
                Some(provider) => methods.contains(match provider.kind {
                    ProviderKind::Saml => &SignInMethod::Saml,
                    ProviderKind::Ldap => &SignInMethod::Ldap,
                }),
                None => false,
            };
            if !providers.iter().any(fits) {
                return Some("the way to sign in that the provider needs is not accepted".to_owned());
            }
        }
        if let Some(why) = case.teams.iter().find_map(|team| self.team_contradiction(case, team)) {
            return Some(why);
        }
        (!self.some_moment(&case.windows)).then(|| "the windows never hold at the same time".to_owned())
    }

    /// Whether members of a team can be what else is demanded.
    fn team_contradiction(&self, case: &Case, name: &TeamName) -> Option<String> {
        let team = self.definitions.teams.iter().find(|team| team.name == *name)?;
        if let Some(providers) = &case.providers
            && !team.idps.is_empty()
            && !team.idps.iter().any(|idp| providers.contains(idp))
        {
            return Some(format!("members of `{name}` come through other providers"));
        }
        if let Some(domains) = &case.domains
            && !team.email_domains.is_empty()
            && !team.email_domains.iter().any(|domain| domains.contains(domain))
        {
            return Some(format!("members of `{name}` have other mail domains"));
        }
        if let Some(addresses) = &case.addresses
            && !team.ip_pattern.is_empty()
            && self.addresses(&team.ip_pattern).intersection(addresses).is_empty()
        {
            return Some(format!("the team `{name}` counts from other addresses only"));
        }
        None
    }

    /// Whether some moment lies in one window of each set. An overlap begins when one of the windows begins, so those moments are tried: every day
    /// of two years, and the dates that windows name.
    fn some_moment(&self, sets: &[BTreeSet<String>]) -> bool {
        if sets.is_empty() {
            return true;
        }
        let by_name: BTreeMap<&str, &Window> = self
            .definitions
            .windows
            .iter()
            .map(|window| (window.name.as_str(), window))
            .collect();
        let chosen: Vec<Vec<&Window>> = sets
            .iter()
            .map(|names| names.iter().filter_map(|name| by_name.get(name.as_str()).copied()).collect())
            .collect();
        let holds = |at: Timestamp| chosen.iter().all(|windows| windows.iter().any(|window| window.contains(at)));
        chosen.iter().flatten().any(|window| starts(window, &chosen).any(holds))
    }
}

/// Moments at which a window begins: on each day of two years, or of the dates that any of the windows names.
fn starts<'w>(window: &'w Window, all: &[Vec<&Window>]) -> impl Iterator<Item = Timestamp> + 'w {
    let mut stretches: Vec<(jiff::civil::Date, i64)> = all
        .iter()
        .flatten()
        .flat_map(|window| window.dates.iter())
        .filter_map(|(first, last)| {
            let days = (*last - *first).get_days();
            Some((first.yesterday().ok()?, i64::from(days.min(800)) + 2))
        })
        .collect();
    if stretches.is_empty() {
        stretches.push((jiff::civil::date(2026, 1, 1), 731));
    }
    stretches
        .into_iter()
        .flat_map(|(first, days)| (0..=days).filter_map(move |day| first.checked_add(jiff::Span::new().days(day)).ok()))
        .filter_map(move |date| {
            let minute = window.from_minute;
            let time = jiff::civil::time(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0);
            let at = window.timezone.to_timestamp(date.to_datetime(time)).ok()?;
            Some(Timestamp::from_millis(at.as_millisecond()))
        })
        .filter(|at| window.contains(*at))
}

fn narrow_set<T: Ord + Clone>(known: &mut Option<BTreeSet<T>>, more: BTreeSet<T>, why: &str) -> Result<(), String> {
    let both = match known {
        None => more,
        Some(known) => known.intersection(&more).cloned().collect(),
    };
    if both.is_empty() {
        return Err(why.to_owned());
    }
    *known = Some(both);
    Ok(())
}

/// Whether two entries may mean one person: an id can be anybody's.
fn may_be_one(one: &PersonMatch, other: &PersonMatch) -> bool {
    match (one, other) {
        (PersonMatch::Email(one), PersonMatch::Email(other)) => one == other,
        (PersonMatch::Id(one), PersonMatch::Id(other)) => one == other,
        _ => true,
    }
}
