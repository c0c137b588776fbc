//! What holds for every policy, every person and every request: small random worlds, asked again after a change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::base::time::{HOUR, Timestamp};
use crate::model::id::{CredentialId, UserId};
use crate::model::ip_pattern::{AddressRange, AddressSet};
use crate::model::membership::Membership;
use crate::model::principal::{Identity, Principal, Service as Caller};
use crate::model::role::{Power, SignInMethod};
use crate::model::user::UserStatus;

use super::application::{Application, Effect, Guard, MfaRule, PermissionDefinition, PlacedPattern, Rule, Unlisted};
use super::compile::PolicySet;
use super::condition::{Condition, GroupMatch, PersonMatch};
use super::decide::{decide, decide_remembering};
use super::decision::Verdict;
use super::definitions::{Definitions, Generation, Grant, IpPattern, ProviderKind, Role, Scope, Service, Team, Window};
use super::explain::explain;
use super::facts::RequestFacts;
use super::fixture::{kim, n, now, permission, provider};
use super::house;
use super::place::Place;
use super::subject::Memo;

/// Makes choices from a seed (splitmix64), so that one number is a whole world.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }

    fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        from.iter().filter(|_| self.one_in(3)).cloned().collect()
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.roll(last + 1));
        }
    }

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, from: &[&str]) -> T {
        n(self.pick(from))
    }

    fn names<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self, from: &[&str]) -> Vec<T> {
        self.some(from).into_iter().map(n).collect()
    }
}

const ROLES: &[&str] = &["r0", "r1", "r2", "t-role", "s-role"];
const TEAMS: &[&str] = &["t0", "t1", "main"];
const PATTERNS: &[&str] = &["p0", "p1", "p2"];
const PERMISSIONS: &[&str] = &["a0:read", "a0:write", "a1:read", "a1:write"];
const PATHS: &[&str] = &[
    "/", "/**", "/a", "/a/**", "/a/*", "/*/b", "/a/b*", "/a/*b", "/A/**", "/x/**", "/a/b",
];
const REQUESTED: &[&str] = &[
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
const PLAIN: &[&str] = &["/", "/a", "/a/", "/a/b", "/a/bb", "/a/c", "/x/y", "/q"];
const HOSTS: &[&str] = &[
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
const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];

fn addresses(dice: &mut Dice) -> AddressSet {
    let ranges = (0..1 + dice.roll(3)).map(|_| {
        let (one, two) = (dice.roll(16) as u32, dice.roll(16) as u32);
        AddressRange::V4(0x0a00_0000 + one.min(two)..=0x0a00_0000 + one.max(two))
    });
    AddressSet::of(ranges.collect::<Vec<_>>())
}

/// `knows_roles`: grants, and what a role needs, read no roles (E129).
fn condition(dice: &mut Dice, knows_roles: bool, depth: usize) -> Condition {
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
fn entry(dice: &mut Dice) -> Condition {
    if dice.one_in(2) {
        return condition(dice, true, 1);
    }
    Condition {
        signed_in: true,
        ..Condition::default()
    }
}

fn rule(dice: &mut Dice, number: usize) -> Rule {
    let access = dice.pick(&[Effect::App, Effect::App, Effect::App, Effect::App, Effect::Public, Effect::Deny]);
    let mut paths = dice.some(PATHS);
    if paths.is_empty() {
        paths.push(dice.pick(PATHS));
    }
    Rule {
        name: format!("rule {number}"),
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

fn application(dice: &mut Dice, name: &str, path: &str) -> Application {
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

fn role(dice: &mut Dice, name: &str) -> Role {
    Role {
        scope: match name {
            "t-role" => Scope::Team,
            "s-role" => Scope::Service,
            _ => Scope::Global,
        },
        includes: if dice.one_in(2) { dice.names(ROLES) } else { Vec::new() },
        permissions: dice.some(PERMISSIONS).into_iter().map(permission).collect(),
        admin: dice.some(Power::ALL).into_iter().collect(),
        require: dice.one_in(4).then(|| condition(dice, false, 1)),
        ..Role::plain(n(name))
    }
}

fn grant(dice: &mut Dice) -> Grant {
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
fn guard(dice: &mut Dice, number: usize, with_when: bool) -> Guard {
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

fn world(dice: &mut Dice, with_when: bool) -> Definitions {
    let mut applications = vec![application(dice, "a0", "/"), application(dice, "a1", "/x")];
    if dice.one_in(9) {
        applications.remove(0);
        let mut other = application(dice, "a0", "/");
        other.hosts = vec![super::application::HostPattern::Under("example".into())];
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

fn membership(dice: &mut Dice, team: &str) -> Membership {
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

fn identity(dice: &mut Dice) -> Identity {
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

fn principal(dice: &mut Dice) -> Principal {
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

fn request(dice: &mut Dice) -> RequestFacts {
    let ip = (!dice.one_in(8)).then(|| std::net::Ipv4Addr::from(0x0a00_0000 + dice.roll(18) as u32).into());
    let at = now().after(HOUR * dice.roll(30) as u32 / 7);
    let method = dice.pick(METHODS);
    let path = if dice.one_in(4) { dice.pick(REQUESTED) } else { dice.pick(PLAIN) };
    let mut facts = RequestFacts::new(method.clone(), dice.pick(HOSTS), path, ip, at);
    facts.preflight = (method == Method::OPTIONS && dice.one_in(2)).then(|| dice.pick(METHODS));
    facts
}

fn compiled(definitions: &Definitions) -> PolicySet {
    PolicySet::compile(definitions.clone()).unwrap()
}

/// The answer, in what must not change.
fn answer(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> (Verdict, &'static str, Option<String>) {
    let decision = decide(policies, principal, facts);
    (
        decision.verdict,
        decision.reason.code(),
        decision.application.map(|one| one.name.to_string()),
    )
}

/// Asks both worlds many things: where the second allows, the first must allow too.
fn never_allows_more(dice: &mut Dice, before: &Definitions, after: &Definitions) -> Result<(), TestCaseError> {
    let (before, after) = (compiled(before), compiled(after));
    for _ in 0..20 {
        let (who, facts) = (principal(dice), request(dice));
        if decide(&after, &who, &facts).verdict == Verdict::Allow {
            let was = decide(&before, &who, &facts);
            prop_assert_eq!(was.verdict, Verdict::Allow, "{:?} was {} for {:?}", facts, was.reason.code(), who);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_guard_added_never_allows_more(seed: u64) {
        let dice = &mut Dice(seed);
        let before = world(dice, true);
        let mut after = before.clone();
        after.guards.push(guard(dice, 9, true));
        never_allows_more(dice, &before, &after)?;
    }

    #[test]
    fn a_grant_removed_never_allows_more(seed: u64) {
        let dice = &mut Dice(seed);
        let mut before = world(dice, false);
        before.guards.retain(|guard| guard.when.is_none());
        before.grants.push(grant(dice));
        let mut after = before.clone();
        after.grants.pop();
        never_allows_more(dice, &before, &after)?;
    }

    #[test]
    fn a_pattern_made_smaller_never_allows_more(seed: u64) {
        let dice = &mut Dice(seed);
        let before = world(dice, false);
        let mut after = before.clone();
        let cut = addresses(dice);
        for pattern in &mut after.ip_patterns {
            if dice.one_in(2) {
                pattern.addresses = pattern.addresses.minus(&cut);
            }
        }
        never_allows_more(dice, &before, &after)?;
    }

    #[test]
    fn a_requirement_added_never_allows_more(seed: u64) {
        let dice = &mut Dice(seed);
        let before = world(dice, true);
        let mut after = before.clone();
        for one in &mut after.applications {
            one.require.any_of = vec![condition(dice, true, 1)];
            for rule in one.rules.iter_mut().filter(|rule| rule.access == Effect::App && rule.require.is_none()) {
                rule.require = Some(condition(dice, true, 1));
            }
        }
        for one in &mut after.applications {
            if one.require.any_of.is_empty() {
                one.require.mfa = true;
            }
        }
        let mut before = before;
        for one in &mut before.applications {
            one.require.any_of = Vec::new();
            if one.require.is_empty() {
                one.require.signed_in = true;
            }
        }
        never_allows_more(dice, &before, &after)?;
    }

    #[test]
    fn a_person_who_holds_less_is_never_allowed_more(seed: u64) {
        let dice = &mut Dice(seed);
        let policies = compiled(&world(dice, false));
        for _ in 0..20 {
            let more = identity(dice);
            let mut less = more.clone();
            less.roles.clear();
            less.signed_in.groups.clear();
            less.signed_in.mfa = false;
            for membership in &mut less.memberships {
                membership.roles.clear();
                membership.permissions.values_mut().for_each(BTreeSet::clear);
            }
            let facts = request(dice);
            if decide(&policies, &Principal::User(Arc::new(less)), &facts).verdict == Verdict::Allow {
                let more = Principal::User(Arc::new(more));
                let was = decide(&policies, &more, &facts);
                // More names can be more than the headers hold.
                prop_assert!(was.verdict == Verdict::Allow || was.reason.code() == "header-overflow", "{}", was.reason.code());
            }
        }
    }

    #[test]
    fn order_never_matters(seed: u64) {
        let dice = &mut Dice(seed);
        let before = world(dice, true);
        let mut after = before.clone();
        dice.shuffle(&mut after.applications);
        dice.shuffle(&mut after.roles);
        dice.shuffle(&mut after.teams);
        dice.shuffle(&mut after.ip_patterns);
        dice.shuffle(&mut after.providers);
        dice.shuffle(&mut after.grants);
        dice.shuffle(&mut after.guards);
        for one in &mut after.applications {
            dice.shuffle(&mut one.rules);
            dice.shuffle(&mut one.permissions);
            for rule in &mut one.rules {
                dice.shuffle(&mut rule.paths);
                dice.shuffle(&mut rule.methods);
            }
        }
        for role in &mut after.roles {
            dice.shuffle(&mut role.includes);
            dice.shuffle(&mut role.permissions);
        }
        let (before, after) = (compiled(&before), compiled(&after));
        for _ in 0..20 {
            let (who, facts) = (principal(dice), request(dice));
            prop_assert_eq!(answer(&before, &who, &facts), answer(&after, &who, &facts));
            let (one, two) = (decide(&before, &who, &facts), decide(&after, &who, &facts));
            prop_assert_eq!(one.told, two.told);
            prop_assert_eq!(one.held.map(|held| held.powers().clone()), two.held.map(|held| held.powers().clone()));
        }
    }

    #[test]
    fn explain_and_decide_agree(seed: u64) {
        let dice = &mut Dice(seed);
        let policies = compiled(&world(dice, true));
        for _ in 0..20 {
            let (who, facts) = (principal(dice), request(dice));
            let decision = decide(&policies, &who, &facts);
            let told = explain(&policies, &who, &facts);
            prop_assert_eq!((told.decision, told.reason), (decision.verdict.word(), decision.reason.code()));
            prop_assert_eq!(told.to_allow.is_empty(), decision.verdict == Verdict::Allow);
            if decision.verdict == Verdict::Allow {
                prop_assert!(told.checks.iter().all(|check| check.ok), "{}", told);
            }
            prop_assert!(!told.to_string().is_empty());
        }
    }

    #[test]
    fn nobody_passes_public_paths_only(seed: u64) {
        let dice = &mut Dice(seed);
        let policies = compiled(&world(dice, true));
        for _ in 0..20 {
            let facts = request(dice);
            let decision = decide(&policies, &Principal::Anonymous, &facts);
            if decision.verdict == Verdict::Allow {
                prop_assert_eq!(decision.reason.code(), "public-path");
                let public = !decision.rules.is_empty() && decision.rules.iter().all(|rule| rule.access == Effect::Public);
                let preflight = facts.preflight.is_some() && decision.application.is_some_and(|one| one.cors_preflight);
                prop_assert!(public || preflight);
                // Nobody is told of nobody.
                let told = decision.told.unwrap();
                prop_assert!(told.headers().all(|(name, value)| value.is_empty() || name == "x-portcullis-app"));
            }
        }
    }

    #[test]
    fn what_is_remembered_changes_nothing(seed: u64) {
        let dice = &mut Dice(seed);
        let worlds = [compiled(&world(dice, true)), compiled(&world(dice, true))];
        let who = Principal::User(Arc::new(identity(dice)));
        let memo = Memo::new();
        for _ in 0..30 {
            let facts = request(dice);
            let policies = &worlds[dice.roll(2)];
            let (one, two) = (decide(policies, &who, &facts), decide_remembering(policies, &who, &facts, &memo));
            prop_assert_eq!((one.verdict, one.reason), (two.verdict, two.reason));
            prop_assert_eq!(one.told, two.told);
            prop_assert_eq!(house::judge(policies, &who, &facts).verdict, house::judge_remembering(policies, &who, &facts, &memo).verdict);
        }
    }

    #[test]
    fn deciding_never_fails(seed: u64, host in "\\PC{0,12}", path in "/?[\\x00-\\x7f]{0,20}|\\PC{0,20}", millis: i64, v6: u128) {
        let dice = &mut Dice(seed);
        let policies = compiled(&world(dice, true));
        let facts = RequestFacts::new(Method::GET, &host, &path, Some(std::net::Ipv6Addr::from(v6).into()), Timestamp::from_millis(millis));
        for host in [&host, "h.example"] {
            let facts = RequestFacts { host: super::facts::Host::of(host), ..facts.clone() };
            let told = explain(&policies, &principal(dice), &facts);
            prop_assert!(!told.to_string().is_empty());
        }
    }
}
