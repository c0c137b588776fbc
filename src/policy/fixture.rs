//! A small company to decide about, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::base::time::{HOUR, Timestamp};
use crate::model::id::{CredentialId, SessionId, UserId};
use crate::model::ip_pattern::{AddressRange, AddressSet};
use crate::model::membership::Membership;
use crate::model::principal::{Identity, Principal, Service as Caller, SignedIn};
use crate::model::role::{Permission, Power, SignInMethod};
use crate::model::user::UserStatus;

use super::application::{Application, Effect, Guard, PermissionDefinition, PlacedPattern, Rule};
use super::condition::{Condition, GroupMatch};
use super::definitions::{Definitions, Grant, IpPattern, Jit, Provider, ProviderKind, Role, Scope, Service, Team, Window};
use super::facts::RequestFacts;
use super::place::Place;
use super::set::PolicySet;

/// Monday, 2026-03-02, noon in UTC.
pub(super) fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-02T12:00:00Z").unwrap()
}

/// Parses any name.
pub(super) fn n<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

pub(super) fn permission(text: &str) -> Permission {
    let (application, name) = text.split_once(':').unwrap();
    Permission {
        application: n(application),
        name: n(name),
    }
}

pub(super) fn addresses(entries: &[&str]) -> AddressSet {
    AddressSet::of(entries.iter().map(|entry| AddressRange::parse(entry).unwrap()))
}

pub(super) fn rule(path: &str, access: Effect) -> Rule {
    Rule::plain(n(path), access)
}

pub(super) fn rule_for(path: &str, methods: &[Method], require: Condition) -> Rule {
    Rule {
        methods: methods.to_vec(),
        require: (!require.is_empty()).then_some(require),
        ..rule(path, Effect::App)
    }
}

pub(super) fn needs_permission(name: &str) -> Condition {
    Condition {
        permissions: vec![permission(name)],
        ..Condition::default()
    }
}

pub(super) fn needs_role(name: &str) -> Condition {
    Condition {
        roles: vec![n(name)],
        ..Condition::default()
    }
}

/// Example B of the design, in definitions.
pub(super) fn company() -> Definitions {
    let mut eln = Application::plain(
        n("eln"),
        "eln.example.com",
        Condition {
            assigned: true,
            ..Condition::default()
        },
    );
    eln.signin.methods = BTreeSet::from([SignInMethod::Password, SignInMethod::Saml, SignInMethod::Ldap]);
    eln.signin.idps = vec![n("acme-okta")];
    eln.permissions = ["projects-admin", "dictionaries-admin", "dq"]
        .map(|name| PermissionDefinition {
            name: n(name),
            at: Place::default(),
            title: name.to_owned(),
            help: String::new(),
            implies: Vec::new(),
            formerly: Vec::new(),
        })
        .to_vec();
    eln.rules = vec![
        rule_for("/groups/**", &[], needs_permission("eln:projects-admin")),
        rule_for("/users/**", &[], needs_permission("eln:projects-admin")),
        rule_for("/dictionaries/**", &[Method::GET], Condition::default()),
        rule_for("/dictionaries/**", &[], needs_permission("eln:dictionaries-admin")),
        rule_for("/dq/**", &[], needs_permission("eln:dq")),
        rule_for(
            "/api/results",
            &[Method::POST],
            Condition {
                services: vec![n("plate-reader")],
                ..Condition::default()
            },
        ),
        rule("/health", Effect::Public),
        rule("/closed/**", Effect::Deny),
        Rule {
            max_age: Some(HOUR),
            ..rule_for("/settings/**", &[], needs_role("operator"))
        },
    ];
    let team_role = |name: &str, carried: &[&str], admin: &[Power]| Role {
        scope: Scope::Team,
        permissions: carried.iter().map(|name| permission(name)).collect(),
        admin: admin.iter().copied().collect(),
        ..Role::plain(n(name))
    };
    Definitions {
        roles: vec![
            team_role("team-user", &[], &[]),
            Role {
                includes: vec![n("team-user")],
                ..team_role("team-permission-admin", &["eln:projects-admin"], &[Power::Users, Power::Groups])
            },
            team_role("team-data-quality", &["eln:dq"], &[]),
            Role {
                admin: BTreeSet::from([Power::Users, Power::Teams]),
                require: Some(Condition {
                    mfa: true,
                    ..Condition::default()
                }),
                ..Role::plain(n("operator"))
            },
        ],
        applications: vec![eln],
        teams: vec![
            Team {
                apps: vec![n("eln")],
                ip_pattern: vec![n("acme-sites")],
                idps: vec![n("acme-okta")],
                ..Team::plain(n("acme"))
            },
            Team::plain(n("beta")),
        ],
        ip_patterns: vec![IpPattern::plain(
            n("acme-sites"),
            addresses(&["203.0.113.0/24", "10.9.3.7"]).minus(&addresses(&["203.0.113.250-203.0.113.255"])),
        )],
        windows: vec![Window {
            name: n("weekdays"),
            at: Place::default(),
            formerly: Vec::new(),
            days: vec![
                Weekday::Monday,
                Weekday::Tuesday,
                Weekday::Wednesday,
                Weekday::Thursday,
                Weekday::Friday,
            ],
            from_minute: 6 * 60,
            to_minute: 22 * 60,
            timezone: TimeZone::get("Europe/Zurich").unwrap(),
            dates: Vec::new(),
        }],
        services: vec![Service {
            apps: vec![n("eln")],
            ip_pattern: vec![n("acme-sites")],
            expires: Some(Timestamp::parse_rfc3339("2028-01-01T00:00:00Z").unwrap()),
            max_ttl: Duration::from_secs(90 * 24 * 60 * 60),
            ..Service::plain(n("plate-reader"))
        }],
        providers: vec![provider("acme-okta", ProviderKind::Saml), provider("corp", ProviderKind::Ldap)],
        grants: vec![Grant {
            at: Place::default(),
            when: Condition {
                groups: vec![GroupMatch {
                    source: n("acme-okta"),
                    group: "dq-managers".to_owned(),
                }],
                teams: vec![n("acme")],
                ..Condition::default()
            },
            roles: vec![n("team-data-quality")],
            teams: Vec::new(),
            permissions: Vec::new(),
            apps: Vec::new(),
        }],
        guards: vec![Guard {
            name: "no bulk export at night".to_owned(),
            at: Place::default(),
            apps: vec![n("eln")],
            paths: vec![PlacedPattern {
                pattern: n("/export/**"),
                at: Place::default(),
            }],
            methods: Vec::new(),
            when: None,
            unless: Some(Condition {
                window: vec![n("weekdays")],
                ..Condition::default()
            }),
        }],
        ..Definitions::default()
    }
}

pub(super) fn provider(name: &str, kind: ProviderKind) -> Provider {
    Provider {
        name: n(name),
        at: Place::default(),
        formerly: Vec::new(),
        kind,
        title: name.to_owned(),
        rank: 0,
        team: None,
        email_domains: Vec::new(),
        jit: Jit::Invited,
    }
}

pub(super) fn compiled(definitions: Definitions) -> PolicySet {
    PolicySet::compile(definitions).unwrap()
}

/// Kim, an hour after signing in through acme-okta, with no membership yet.
pub(super) fn kim() -> Identity {
    Identity {
        user: UserId::from_number(17),
        username: n("kim"),
        email: Some(n("kim@acme.example")),
        given_name: n("Kim"),
        family_name: n("Müller"),
        status: UserStatus::Active,
        roles: BTreeSet::new(),
        memberships: Vec::new(),
        projects: Vec::new(),
        session: SessionId::from_number(9),
        signed_in: SignedIn {
            method: SignInMethod::Saml,
            provider: Some(n("acme-okta")),
            ..SignedIn::by_password(now().before(2 * HOUR))
        },
        revision: 1,
    }
}

/// A membership with roles and applications.
pub(super) fn member(team: &str, roles: &[&str], apps: &[&str]) -> Membership {
    Membership {
        roles: roles.iter().map(|name| n(name)).collect(),
        permissions: apps.iter().map(|name| (n(name), BTreeSet::new())).collect::<BTreeMap<_, _>>(),
        ..Membership::plain(UserId::from_number(17), n(team))
    }
}

/// Kim as a plain member of acme.
pub(super) fn kim_of_acme() -> Identity {
    Identity {
        memberships: vec![member("acme", &["team-user"], &["eln"])],
        ..kim()
    }
}

pub(super) fn person(identity: Identity) -> Principal {
    Principal::User(Arc::new(identity))
}

pub(super) fn plate_reader() -> Principal {
    Principal::Service(Arc::new(Caller {
        name: n("plate-reader"),
        credential: CredentialId::from_number(1),
        made: now().before(HOUR),
    }))
}

/// A request to `eln.example.com`.
pub(super) fn request(method: Method, path: &str, from: &str) -> RequestFacts {
    RequestFacts::new(method, "eln.example.com", path, from.parse().ok(), now())
}
