//! Small random worlds: policies, people and requests that meet often enough to matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::base::time::HOUR;
use crate::model::id::{CredentialId, UserId};
use crate::model::ip_pattern::{AddressRange, AddressSet};
use crate::model::membership::Membership;
use crate::model::principal::{Identity, Principal, Service as Caller};
use crate::model::role::{Power, SignInMethod};
use crate::model::user::UserStatus;

use crate::policy::application::{Application, Effect, Guard, MfaRule, PermissionDefinition, PlacedPattern, Rule, Unlisted};
use crate::policy::condition::{Condition, GroupMatch, PersonMatch};
use crate::policy::definitions::{Definitions, Generation, Grant, IpPattern, ProviderKind, Role, Scope, Service, Team, Window};
use crate::policy::facts::RequestFacts;
use crate::policy::fixture::{kim, n, now, permission, provider};
use crate::policy::place::Place;

/// Makes choices from a seed (splitmix64), so that one number is a whole world.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    pub(super) fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }

    pub(super) fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        from.iter().filter(|_| self.one_in(3)).cloned().collect()
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.roll(last + 1));
        }
    }

    pub(super) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, from: &[&str]) -> T {
        n(self.pick(from))
    }

    pub(super) fn names<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, from: &[&str]) -> Vec<T> {
        self.some(from).into_iter().map(n).collect()
    }
}

pub(super) const ROLES: &[&str] = &["r0", "r1", "r2", "t-role", "s-role"];
pub(super) const TEAMS: &[&str] = &["t0", "t1", "main"];
pub(super) const PATTERNS: &[&str] = &["p0", "p1", "p2"];
pub(super) const PERMISSIONS: &[&str] = &["a0:read", "a0:write", "a1:read", "a1:write"];
pub(super) const PATHS: &[&str] = &[
    "/", "/**", "/a", "/a/**", "/a/*", "/*/b", "/a/b*", "/a/*b", "/A/**", "/x/**", "/a/b",
];
pub(super) const REQUESTED: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/bb",
    "/x/y",
    "/A/B",
    "/a//b",
    "/a%2fb",
    "/a;x/b",
    "/a/../b",
    "/.portcullis",
    "/x//.portcullis",
    "nothing",
];
/// Mostly plain ones, so that most questions get as far as the person.
pub(super) const PLAIN: &[&str] = &["/", "/a", "/a/", "/a/b", "/a/bb", "/a/c", "/x/y", "/q"];
pub(super) const HOSTS: &[&str] = &[
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "o.example",
    "h.other",
];
pub(super) const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];

pub(super) fn addresses(dice: &mut Dice) -> AddressSet {
    let ranges = (0..1 + dice.roll(3)).map(|_| {
        let (one, two) = (dice.roll(16) as u32, dice.roll(16) as u32);
        AddressRange::V4(0x0a00_0000 + one.min(two)..=0x0a00_0000 + one.max(two))
    });
    AddressSet::of(ranges.collect::<Vec<_>>())
}

/// `knows_roles`: grants read no roles (E129).
pub(super) fn condition(dice: &mut Dice, knows_roles: bool, depth: usize) -> Condition {
    let mut one = Condition::default();
    for _ in 0..=dice.roll(2) {
        match dice.roll(if knows_roles { 17 } else { 11 }) {
            0 => one.signed_in = true,
            1 => one.teams = vec![dice.name(TEAMS)],
            2 => one.ip_pattern = vec![dice.name(PATTERNS)],
            3 => one.window = vec![n("w0")],
            4 => one.mfa = true,
            5 => one.max_age = Some(HOUR * dice.pick(&[1, 3])),
            6 => one.email_domains = vec!["acme.example".to_owned()],
            7 => {
                one.groups = vec![GroupMatch {
                    source: n("i0"),
                    group: "ops".to_owned(),
                }];
            }
            8 => one.idps = vec![n("i0")],
            9 => one.signin = vec![dice.pick(&[SignInMethod::Password, SignInMethod::Saml])],
            10 if depth > 0 => one.any_of = vec![condition(dice, knows_roles, depth - 1), condition(dice, knows_roles, depth - 1)],
            10 => one.users = vec![PersonMatch::Email(n("kim@acme.example"))],
            11 | 12 => one.roles = vec![dice.name(ROLES)],
            13 => one.all_roles = vec![dice.name(ROLES), dice.name(ROLES)],
            14 => one.permissions = vec![permission(dice.pick(PERMISSIONS))],
            15 => one.assigned = true,
            _ => one.services = vec![n("s0")],
        }
    }
    if one.is_empty() {
        one.signed_in = true;
    }
    one
}

/// Who may enter at all: half of the time whoever is signed in.
pub(super) fn entry(dice: &mut Dice) -> Condition {
    if dice.one_in(2) {
        return condition(dice, true, 1);
    }
    Condition {
        signed_in: true,
        ..Condition::default()
    }
}

pub(super) fn rule(dice: &mut Dice, number: usize) -> Rule {
    let access = dice.pick(&[Effect::App, Effect::App, Effect::App, Effect::App, Effect::Public, Effect::Deny]);
    let mut paths = dice.some(PATHS);
    if paths.is_empty() {
        paths.push(dice.pick(PATHS));
    }
    Rule {
        name: format!("rule {number}").into(),
        paths: paths
            .into_iter()
            .map(|path| PlacedPattern {
                pattern: n(path),
                at: Place::default(),
            })
            .collect(),
        methods: if dice.one_in(4) { dice.some(METHODS) } else { Vec::new() },
        require: (access == Effect::App && dice.one_in(2)).then(|| condition(dice, true, 1)),
        identify: access == Effect::Public && dice.one_in(2),
        mfa: dice.one_in(6).then_some(MfaRule::Required),
        max_age: dice.one_in(6).then_some(2 * HOUR),
        ..Rule::plain(n("/"), access)
    }
}

pub(super) fn application(dice: &mut Dice, name: &str, path: &str) -> Application {
    let mut one = Application::plain(n(name), "h.example", entry(dice));
    one.path = path.to_owned();
    one.rules = (0..dice.roll(6)).map(|number| rule(dice, number)).collect();
    one.permissions = ["read", "write"]
        .map(|name| PermissionDefinition {
            name: n(name),
            at: Place::default(),
            title: name.to_owned(),
            help: String::new(),
            implies: if name == "write" { vec![n("read")] } else { Vec::new() },
            formerly: Vec::new(),
        })
        .to_vec();
    one.unlisted = dice.pick(&[Unlisted::App, Unlisted::App, Unlisted::App, Unlisted::Deny]);
    one.ip_pattern = if dice.one_in(6) { dice.names(PATTERNS) } else { Vec::new() };
    one.case_insensitive = dice.one_in(5);
    one.strip_prefix = dice.one_in(5);
    one.cors_preflight = dice.one_in(3);
    one.signin.methods = dice
        .some(&[SignInMethod::Password, SignInMethod::Password, SignInMethod::Ldap])
        .into_iter()
        .collect();
    one.signin.methods.insert(SignInMethod::Saml);
    one.signin.idps = if dice.one_in(4) { vec![n("i0")] } else { Vec::new() };
    one.signin.mfa = dice.pick(&[
        MfaRule::Optional,
        MfaRule::Optional,
        MfaRule::Optional,
        MfaRule::Optional,
        MfaRule::Required,
    ]);
    one.headers.max_bytes = dice.pick(&[3072, 3072, 3072, 260]);
    one
}

pub(super) fn role(dice: &mut Dice, name: &str) -> Role {
    Role {
        scope: match name {
            "t-role" => Scope::Team,
            "s-role" => Scope::Service,
            _ => Scope::Global,
        },
        includes: if dice.one_in(2) { dice.names(ROLES) } else { Vec::new() },
        permissions: dice.some(PERMISSIONS).into_iter().map(permission).collect(),
        admin: dice.some(Power::ALL).into_iter().collect(),
        require: dice.one_in(3).then(|| condition(dice, true, 1)),
        ..Role::plain(n(name))
    }
}

pub(super) fn grant(dice: &mut Dice) -> Grant {
    Grant {
        at: Place::default(),
        when: condition(dice, false, 1),
        roles: dice.names(ROLES),
        teams: if dice.one_in(3) { dice.names(TEAMS) } else { Vec::new() },
        permissions: dice.some(PERMISSIONS).into_iter().map(permission).collect(),
        apps: dice.names(&["a0", "a1"]),
    }
}

/// `with_when`: a `when` can turn a gift into a prohibition, so some laws leave it out (W244 tells administrators).
pub(super) fn guard(dice: &mut Dice, number: usize, with_when: bool) -> Guard {
    Guard {
        name: format!("guard {number}"),
        at: Place::default(),
        apps: if dice.one_in(2) { dice.names(&["a0", "a1"]) } else { Vec::new() },
        paths: dice
            .some(PATHS)
            .into_iter()
            .map(|path| PlacedPattern {
                pattern: n(path),
                at: Place::default(),
            })
            .collect(),
        methods: if dice.one_in(2) { dice.some(METHODS) } else { Vec::new() },
        when: (with_when && dice.one_in(2)).then(|| condition(dice, true, 1)),
        unless: (!dice.one_in(4)).then(|| condition(dice, true, 1)),
    }
}

pub(super) fn world(dice: &mut Dice, with_when: bool) -> Definitions {
    let mut applications = vec![application(dice, "a0", "/"), application(dice, "a1", "/x")];
    if dice.one_in(9) {
        applications.remove(0);
        let mut other = application(dice, "a0", "/");
        other.hosts = vec![crate::policy::application::HostPattern::Under("example".into())];
        applications.push(other);
    }
    let mut generation = [0; 32];
    generation[..8].copy_from_slice(&dice.0.to_le_bytes());
    Definitions {
        generation: Generation(generation),
        applications,
        roles: ROLES.iter().map(|name| role(dice, name)).collect(),
        teams: TEAMS
            .iter()
            .map(|name| Team {
                ip_pattern: if dice.one_in(3) { dice.names(PATTERNS) } else { Vec::new() },
                ..Team::plain(n(name))
            })
            .collect(),
        ip_patterns: PATTERNS.iter().map(|name| IpPattern::plain(n(name), addresses(dice))).collect(),
        windows: vec![Window {
            name: n("w0"),
            at: Place::default(),
            formerly: Vec::new(),
            days: dice.some(&[Weekday::Monday, Weekday::Tuesday, Weekday::Sunday]),
            from_minute: dice.roll(1440) as u16,
            to_minute: 1 + dice.roll(1440) as u16,
            timezone: dice.pick(&[TimeZone::UTC, TimeZone::get("Europe/Zurich").unwrap()]),
            dates: Vec::new(),
        }],
        services: vec![Service {
            roles: dice.names(ROLES),
            apps: dice.names(&["a0", "a1"]),
            ip_pattern: vec![dice.name(PATTERNS)],
            ..Service::plain(n("s0"))
        }],
        providers: vec![provider("i0", ProviderKind::Saml), provider("d0", ProviderKind::Ldap)],
        grants: (0..dice.roll(4)).map(|_| grant(dice)).collect(),
        guards: (0..dice.roll(3)).map(|number| guard(dice, number, with_when)).collect(),
        ..Definitions::default()
    }
}

pub(super) fn membership(dice: &mut Dice, team: &str) -> Membership {
    Membership {
        roles: dice.names::<crate::model::name::RoleName>(ROLES).into_iter().collect(),
        permissions: dice
            .names::<crate::model::name::ApplicationName>(&["a0", "a1", "gone"])
            .into_iter()
            .map(|app| {
                (
                    app,
                    dice.names::<crate::model::name::PermissionName>(&["read", "write", "gone"])
                        .into_iter()
                        .collect(),
                )
            })
            .collect::<BTreeMap<_, _>>(),
        ip_pattern: dice.one_in(4).then(|| dice.name(&["p0", "p0", "p1", "p1", "gone"])),
        provider: dice.one_in(6).then(|| dice.name(&["i0", "d0", "gone"])),
        ..Membership::plain(UserId::from_number(17), n(team))
    }
}

pub(super) fn identity(dice: &mut Dice) -> Identity {
    let mut one = kim();
    one.status = if dice.one_in(12) {
        UserStatus::Disabled
    } else {
        UserStatus::Active
    };
    one.roles = dice
        .names::<crate::model::name::RoleName>(&["r0", "r1", "t-role", "s-role", "gone", "admin"])
        .into_iter()
        .collect();
    let teams = dice
        .some(&["t0", "t0", "t1", "t1", "main", "gone"])
        .into_iter()
        .collect::<BTreeSet<_>>();
    one.memberships = teams.into_iter().map(|team| membership(dice, team)).collect();
    one.signed_in.mfa = dice.one_in(2);
    one.signed_in.at = now().before(HOUR * dice.roll(5) as u32);
    (one.signed_in.method, one.signed_in.provider) = dice.pick(&[
        (SignInMethod::Password, None),
        (SignInMethod::Saml, Some(n("i0"))),
        (SignInMethod::Saml, Some(n("i0"))),
        (SignInMethod::Ldap, Some(n("d0"))),
        (SignInMethod::Password, None),
        (SignInMethod::Password, None),
        (SignInMethod::Saml, Some(n("gone"))),
    ]);
    one.signed_in.groups = if dice.one_in(2) {
        BTreeSet::from(["OPS".to_owned()])
    } else {
        BTreeSet::new()
    };
    one
}

pub(super) fn principal(dice: &mut Dice) -> Principal {
    match dice.roll(12) {
        0 => Principal::Anonymous,
        1 => Principal::Service(Arc::new(Caller {
            name: dice.name(&["s0", "s0", "gone"]),
            credential: CredentialId::from_number(1),
            made: now().before(Duration::from_secs(86_400) * dice.roll(100) as u32),
        })),
        _ => Principal::User(Arc::new(identity(dice))),
    }
}

pub(super) fn request(dice: &mut Dice) -> RequestFacts {
    let ip = (!dice.one_in(8)).then(|| std::net::Ipv4Addr::from(0x0a00_0000 + dice.roll(18) as u32).into());
    let at = now().after(HOUR * dice.roll(30) as u32 / 7);
    let method = dice.pick(METHODS);
    let path = if dice.one_in(4) { dice.pick(REQUESTED) } else { dice.pick(PLAIN) };
    let mut facts = RequestFacts::new(method.clone(), dice.pick(HOSTS), path, ip, at);
    facts.preflight = (method == Method::OPTIONS && dice.one_in(2)).then(|| dice.pick(METHODS));
    facts
}
