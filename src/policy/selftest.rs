//! A policy's own tests: each is one made-up request, decided as a real one would be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::base::diagnostic::Diagnostic;
use crate::base::time::{DAY, Timestamp};
use crate::model::id::{CredentialId, ProjectId, SessionId, UserId};
use crate::model::membership::Membership;
use crate::model::name::{ApplicationName, PersonName, RoleName, TeamName, Username};
use crate::model::principal::{Identity, Principal, Service, SignedIn};
use crate::model::role::{Permission, SignInMethod};
use crate::model::team::ProjectLevel;
use crate::model::user::UserStatus;

use super::PolicySet;
use super::decide::decide;
use super::decision::{Decision, Reason, Verdict};
use super::definitions::Scope;
use super::facts::{RequestFacts, Scheme};
use super::load::TEST_FAILED;
use super::parse::{MadeUp, PolicyTest, Subject};
use super::place::Place;

/// How one test went.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub at: Place,
    /// The application that was reached.
    pub application: Option<ApplicationName>,
    /// What was expected.
    pub expected: Verdict,
    /// What was wrong: one sentence; none if it held.
    pub failure: Option<String>,
    /// Whether another time would have given another answer, while the test does not say when it happens.
    pub depends_on_clock: bool,
}

impl TestOutcome {
    /// Whether the test held.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.failure.is_none()
    }

    /// The finding that a failed test is.
    pub(super) fn finding(&self) -> Option<Diagnostic> {
        let failure = self.failure.as_ref()?;
        Some(Diagnostic::error(TEST_FAILED, format!("test {:?} failed: {failure}", self.name)).at(self.at.span()))
    }
}

/// Runs the tests, those that do not say when at `now`.
pub(super) fn run(policies: &PolicySet, tests: &[PolicyTest], now: Timestamp) -> Vec<TestOutcome> {
    let moments = telling_moments(policies, now);
    tests.iter().map(|test| outcome(policies, test, now, &moments)).collect()
}

fn outcome(policies: &PolicySet, test: &PolicyTest, now: Timestamp, moments: &BTreeSet<Timestamp>) -> TestOutcome {
    let at = test.moment.unwrap_or(now);
    let decision = decided(policies, test, at);
    let answer = |decision: &Decision<'_>| (decision.verdict, decision.reason.code(), decision.told.clone());
    let first = answer(&decision);
    let depends_on_clock = test.moment.is_none() && moments.iter().any(|moment| answer(&decided(policies, test, *moment)) != first);
    TestOutcome {
        name: test.name.clone(),
        at: test.at.clone(),
        application: decision.application.map(|app| app.name.clone()),
        expected: test.expect,
        failure: failure(test, &decision),
        depends_on_clock,
    }
}

fn decided<'p>(policies: &'p PolicySet, test: &PolicyTest, now: Timestamp) -> Decision<'p> {
    let mut facts = RequestFacts::new(test.method.clone(), &test.host, &test.path, Some(test.from), now);
    facts.scheme = if test.secure { Scheme::Https } else { Scheme::Http };
    decide(policies, &principal(policies, &test.subject, now), &facts)
}

/// What differs from what was expected.
fn failure(test: &PolicyTest, decision: &Decision<'_>) -> Option<String> {
    let mut wrong = String::new();
    if decision.verdict != test.expect {
        let _ = write!(
            wrong,
            "expected {}, got {} ({}",
            test.expect,
            decision.verdict,
            decision.reason.code()
        );
        if let Some(rule) = decision.rules.first() {
            let _ = write!(wrong, ", {}", rule.at.line());
        }
        wrong.push(')');
    } else if let Some(because) = &test.because
        && !is_because(because, decision)
    {
        let _ = write!(wrong, "expected because {because}, got {}", decision.reason.code());
        if let Reason::Guard(guard) = &decision.reason {
            let _ = write!(wrong, " {:?}", guard.name);
        }
    }
    for (name, expected) in &test.headers {
        let told = decision
            .told
            .as_ref()
            .and_then(|told| told.get(name))
            .map_or(&b""[..], |value| value.as_bytes());
        if told != expected.as_bytes() {
            if !wrong.is_empty() {
                wrong.push_str("; ");
            }
            let _ = write!(wrong, "expected {name}: {expected:?}, got {:?}", String::from_utf8_lossy(told));
        }
    }
    if wrong.is_empty() {
        return None;
    }
    Some(format!("{} from {} as {}: {wrong}", test.request, test.from, who(&test.subject)))
}

fn is_because(because: &str, decision: &Decision<'_>) -> bool {
    decision.reason.code() == because
        || matches!(&decision.reason, Reason::Guard(guard) if guard.name == because)
        || decision.rules.iter().any(|rule| *rule.name == *because)
}

fn who(subject: &Subject) -> String {
    match subject {
        Subject::Anonymous => "anonymous".to_owned(),
        Subject::Service(name) => format!("service {name}"),
        Subject::Person(person) => match (&person.email, &person.login, &person.id) {
            (Some(email), _, _) => email.to_string(),
            (None, Some(login), _) => login.clone(),
            (None, None, Some(id)) => id.to_string(),
            (None, None, None) => "somebody".to_owned(),
        },
    }
}

fn principal(policies: &PolicySet, subject: &Subject, now: Timestamp) -> Principal {
    match subject {
        Subject::Anonymous => Principal::Anonymous,
        Subject::Service(name) => Principal::Service(Arc::new(Service {
            name: name.clone(),
            credential: CredentialId::from_number(1),
            made: now,
        })),
        // Somebody without a name is nobody; a name is always found.
        Subject::Person(person) => {
            identity(policies, person, now).map_or(Principal::Anonymous, |identity| Principal::User(Arc::new(identity)))
        }
    }
}

fn identity(policies: &PolicySet, person: &MadeUp, now: Timestamp) -> Option<Identity> {
    let user = person.id.unwrap_or_else(|| UserId::from_number(1));
    let (roles, memberships) = memberships(policies, person, user);
    let local_part = person.email.as_ref().and_then(|email| email.as_str().split('@').next());
    let username = [person.login.as_deref(), local_part, Some("somebody")]
        .into_iter()
        .flatten()
        .find_map(|text| text.parse::<Username>().ok())?;
    let method = person.signin.unwrap_or(match (&person.provider, person.from_directory) {
        (Some(_), true) => SignInMethod::Ldap,
        (Some(_), false) => SignInMethod::Saml,
        (None, _) => SignInMethod::Password,
    });
    Some(Identity {
        user,
        username,
        email: person.email.clone(),
        given_name: person.name.as_deref().and_then(|name| name.parse().ok()).unwrap_or_default(),
        family_name: PersonName::default(),
        status: UserStatus::Active,
        roles,
        projects: projects(person),
        memberships,
        session: SessionId::from_number(1),
        signed_in: SignedIn {
            method,
            provider: person.provider.clone(),
            at: now.before(person.age),
            mfa: person.mfa,
            groups: person.groups.clone(),
            attributes: person.attributes.clone(),
            ends: None,
        },
        revision: 1,
    })
}

/// Instance-wide roles, and what the person has in each team. Who is given no team is in `main`, like anybody made without one.
fn memberships(policies: &PolicySet, person: &MadeUp, user: UserId) -> (BTreeSet<RoleName>, Vec<Membership>) {
    let is_team_role = |name: &RoleName| policies.role(name).is_some_and(|role| role.scope == Scope::Team);
    let (team_roles, roles): (BTreeSet<RoleName>, BTreeSet<RoleName>) = person.roles.iter().cloned().partition(is_team_role);
    let mut all: Vec<Membership> = person
        .memberships
        .iter()
        .map(|written| Membership {
            roles: written.roles.iter().cloned().collect(),
            permissions: ticks(&written.permissions, &written.apps),
            projects: written
                .projects
                .iter()
                .enumerate()
                .map(|(number, (_, level))| (ProjectId::from_number(number as u128 + 1), *level))
                .collect(),
            ip_pattern: written.ip_pattern.clone(),
            provider: written.provider.clone(),
            ..Membership::plain(user, written.team.clone())
        })
        .collect();
    let mut teams: BTreeSet<TeamName> = person.teams.iter().cloned().collect();
    let gives = !(team_roles.is_empty() && person.permissions.is_empty() && person.apps.is_empty());
    if teams.is_empty() && (all.is_empty() || gives) {
        teams.insert(TeamName::main());
    }
    all.extend(teams.into_iter().map(|team| Membership {
        roles: team_roles.clone(),
        permissions: ticks(&person.permissions, &person.apps),
        ..Membership::plain(user, team)
    }));
    (roles, all)
}

fn ticks(permissions: &[Permission], apps: &[ApplicationName]) -> BTreeMap<ApplicationName, BTreeSet<crate::model::name::PermissionName>> {
    let mut ticks: BTreeMap<_, BTreeSet<_>> = apps.iter().map(|app| (app.clone(), BTreeSet::new())).collect();
    for permission in permissions {
        ticks
            .entry(permission.application.clone())
            .or_default()
            .insert(permission.name.clone());
    }
    ticks
}

fn projects(person: &MadeUp) -> Vec<ProjectLevel> {
    person
        .memberships
        .iter()
        .flat_map(|membership| {
            membership.projects.iter().map(|(project, level)| ProjectLevel {
                team: membership.team.clone(),
                project: project.clone(),
                level: *level,
            })
        })
        .collect()
}

/// Moments at which some window opens or closes or a service expires, so that an answer that depends on the time differs at one of them.
///
/// Weekly windows show all they do within eight days; those with dates at the ends of their dates.
pub(super) fn telling_moments(policies: &PolicySet, now: Timestamp) -> BTreeSet<Timestamp> {
    let mut moments = BTreeSet::new();
    for window in &policies.definitions().windows {
        let today = window.timezone.to_datetime(now.to_jiff()).date();
        let mut dates: Vec<jiff::civil::Date> = (0..8)
            .filter_map(|days| today.checked_add(jiff::Span::new().days(days)).ok())
            .collect();
        for (first, last) in &window.dates {
            for date in [*first, *last] {
                dates.extend([date.yesterday().ok(), Some(date), date.tomorrow().ok()].into_iter().flatten());
            }
        }
        for date in dates {
            for minute in [window.from_minute, window.to_minute % (24 * 60)] {
                let time = jiff::civil::time(i8::try_from(minute / 60).unwrap_or(0), i8::try_from(minute % 60).unwrap_or(0), 0, 0);
                if let Ok(at) = window.timezone.to_timestamp(date.to_datetime(time)) {
                    let at = Timestamp::from_millis(at.as_millisecond());
                    moments.extend([at, at.before(std::time::Duration::from_millis(1))]);
                }
            }
        }
    }
    for service in &policies.definitions().services {
        moments.extend(service.expires.iter().flat_map(|end| [end.before(DAY), *end]));
    }
    moments
}
