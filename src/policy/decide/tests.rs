use super::*;
use crate::base::time::{HOUR, Timestamp};
use crate::model::user::UserStatus;
use crate::policy::application::{BodyLimit, Guard, HostPattern};
use crate::policy::condition::Condition;
use crate::policy::definitions::Definitions;
use crate::policy::fixture::*;
use crate::policy::place::Place;

const INSIDE: &str = "203.0.113.9";
const OUTSIDE: &str = "203.0.113.251";

fn outcome(principal: &Principal, facts: &RequestFacts) -> (Verdict, &'static str) {
    let policies = compiled(company());
    let decision = decide(&policies, principal, facts);
    (decision.verdict, decision.reason.code())
}

#[test]
fn the_company_of_the_design_is_decided_as_it_says() {
    let member_of_acme = || person(kim_of_acme());
    let bound_to_pattern = || {
        let mut kim = kim_of_acme();
        kim.memberships[0].ip_pattern = Some(n("acme-sites"));
        person(kim)
    };
    let by_password = || {
        let mut kim = kim_of_acme();
        kim.memberships[0].provider = Some(n("acme-okta"));
        kim.signed_in = crate::model::principal::SignedIn::by_password(now());
        person(kim)
    };
    let manager = || {
        let mut lee = kim_of_acme();
        lee.signed_in.groups = ["DQ-Managers".to_owned()].into();
        person(lee)
    };
    for (name, principal, from, method, path, expected) in [
        (
            "a member may not change dictionaries",
            member_of_acme(),
            INSIDE,
            Method::POST,
            "/dictionaries/7",
            (Verdict::Deny, "permission-missing"),
        ),
        (
            "but may read them",
            member_of_acme(),
            INSIDE,
            Method::HEAD,
            "/dictionaries/7",
            (Verdict::Allow, "requirement-met"),
        ),
        (
            "the provider's group makes a manager",
            manager(),
            INSIDE,
            Method::GET,
            "/dq/board",
            (Verdict::Allow, "requirement-met"),
        ),
        (
            "outside its sites the team gives nothing",
            member_of_acme(),
            OUTSIDE,
            Method::GET,
            "/",
            (Verdict::Deny, "not-assigned"),
        ),
        (
            "outside her own pattern she is shut out",
            bound_to_pattern(),
            OUTSIDE,
            Method::GET,
            "/",
            (Verdict::Deny, "ip-user"),
        ),
        (
            "a password is not her provider",
            by_password(),
            INSIDE,
            Method::GET,
            "/",
            (Verdict::SignIn, "method"),
        ),
        (
            "the machine's door is not for people",
            member_of_acme(),
            INSIDE,
            Method::POST,
            "/api/results",
            (Verdict::Deny, "service-missing"),
        ),
        (
            "the machine uses it",
            plate_reader(),
            INSIDE,
            Method::POST,
            "/api/results",
            (Verdict::Allow, "requirement-met"),
        ),
        (
            "the machine comes from its sites only",
            plate_reader(),
            OUTSIDE,
            Method::POST,
            "/api/results",
            (Verdict::Deny, "ip-service"),
        ),
        (
            "an unlisted method never falls back",
            plate_reader(),
            INSIDE,
            Method::DELETE,
            "/api/results",
            (Verdict::Deny, "method-not-listed"),
        ),
        (
            "nobody needs no session for health",
            Principal::Anonymous,
            OUTSIDE,
            Method::GET,
            "/health",
            (Verdict::Allow, "public-path"),
        ),
        (
            "everything else needs one",
            Principal::Anonymous,
            INSIDE,
            Method::GET,
            "/",
            (Verdict::SignIn, "no-session"),
        ),
        (
            "closed is closed",
            member_of_acme(),
            INSIDE,
            Method::GET,
            "/closed/x",
            (Verdict::Deny, "path-denied"),
        ),
        (
            "our own pages are no application's",
            member_of_acme(),
            INSIDE,
            Method::GET,
            "/.portcullis/me",
            (Verdict::Deny, "path-denied"),
        ),
        (
            "half our own is nobody's",
            member_of_acme(),
            INSIDE,
            Method::GET,
            "//.portcullis/me",
            (Verdict::BadRequest, "path-ambiguous"),
        ),
        (
            "dots never help",
            Principal::Anonymous,
            INSIDE,
            Method::GET,
            "/health/../closed",
            (Verdict::BadRequest, "path-ambiguous"),
        ),
        (
            "every reading must be public",
            Principal::Anonymous,
            INSIDE,
            Method::GET,
            "/health;x",
            (Verdict::SignIn, "no-session"),
        ),
    ] {
        assert_eq!(outcome(&principal, &request(method, path, from)), expected, "{name}");
    }
}

#[test]
fn windows_close_at_night_and_on_sunday() {
    let policies = compiled(company());
    let mut kim = kim_of_acme();
    kim.signed_in.at = Timestamp::parse_rfc3339("2026-02-28T00:00:00Z").unwrap();
    for (name, at, expected) in [
        ("Sunday", "2026-03-01T12:00:00Z", (Verdict::Deny, "guard")),
        ("Monday at noon", "2026-03-02T12:00:00Z", (Verdict::Allow, "requirement-met")),
        ("Monday at five in Zurich", "2026-03-02T04:59:59Z", (Verdict::Deny, "guard")),
        (
            "Monday at six in Zurich",
            "2026-03-02T05:00:00Z",
            (Verdict::Allow, "requirement-met"),
        ),
        ("Monday at ten in the evening", "2026-03-02T21:00:00Z", (Verdict::Deny, "guard")),
    ] {
        let mut facts = request(Method::GET, "/export/all", INSIDE);
        facts.now = Timestamp::parse_rfc3339(at).unwrap();
        let mut kim = kim.clone();
        kim.signed_in.at = facts.now.before(HOUR);
        let decision = decide(&policies, &person(kim), &facts);
        assert_eq!((decision.verdict, decision.reason.code()), expected, "{name}");
    }
}

#[test]
fn a_step_up_is_asked_for_only_where_it_helps() {
    let operator = |mfa: bool, age: Duration| {
        let mut ada = kim_of_acme();
        ada.roles.insert(n("operator"));
        ada.signed_in.mfa = mfa;
        ada.signed_in.at = now().before(age);
        person(ada)
    };
    for (name, principal, expected) in [
        (
            "fresh and with a second factor",
            operator(true, HOUR / 2),
            (Verdict::Allow, "requirement-met"),
        ),
        (
            "without a second factor",
            operator(false, HOUR / 2),
            (Verdict::StepUp, "mfa-needed"),
        ),
        ("too old", operator(true, HOUR), (Verdict::StepUp, "session-too-old")),
        ("both", operator(false, 2 * HOUR), (Verdict::StepUp, "mfa-needed")),
        ("in vain", person(kim_of_acme()), (Verdict::Deny, "role-missing")),
    ] {
        assert_eq!(
            outcome(&principal, &request(Method::GET, "/settings/x", INSIDE)),
            expected,
            "{name}"
        );
    }
}

#[test]
fn an_account_out_of_use_gets_nowhere_but_public_paths() {
    for status in [UserStatus::Pending, UserStatus::Disabled] {
        let mut kim = kim_of_acme();
        kim.status = status;
        let kim = person(kim);
        assert_eq!(outcome(&kim, &request(Method::GET, "/", INSIDE)), (Verdict::Deny, "account"));
        assert_eq!(
            outcome(&kim, &request(Method::GET, "/health", INSIDE)),
            (Verdict::Allow, "public-path")
        );
    }
}

fn decided(change: impl FnOnce(&mut Definitions), principal: &Principal, facts: &RequestFacts) -> (Verdict, &'static str) {
    let mut company = company();
    change(&mut company);
    let policies = compiled(company);
    let decision = decide(&policies, principal, facts);
    (decision.verdict, decision.reason.code())
}

#[test]
fn hosts_and_prefixes_lead_to_one_application() {
    let policies = {
        let mut company = company();
        let open = Condition {
            signed_in: true,
            ..Condition::default()
        };
        let mut below = Application::plain(n("wiki"), "eln.example.com", open.clone());
        below.path = "/wiki".to_owned();
        let mut stripped = Application::plain(n("files"), "eln.example.com", open.clone());
        stripped.path = "/wiki/files".to_owned();
        stripped.strip_prefix = true;
        let mut wild = Application::plain(n("any"), "", open);
        wild.hosts = vec![HostPattern::Under("example.com".into())];
        wild.path = "/in".to_owned();
        company.applications.extend([below, stripped, wild]);
        compiled(company)
    };
    for (host, path, expected) in [
        ("eln.example.com", "/", Ok("eln")),
        ("ELN.example.com:443", "/x", Ok("eln")),
        ("eln.example.com", "/wiki", Ok("wiki")),
        ("eln.example.com", "/wiki/", Ok("wiki")),
        ("eln.example.com", "/wikis", Ok("eln")),
        ("eln.example.com", "/wiki/files/a", Ok("files")),
        ("eln.example.com", "/wiki/%66iles/a", Err("path-ambiguous")),
        ("eln.example.com", "/wiki%2ffiles/a", Err("path-ambiguous")),
        ("eln.example.com", "//wiki", Err("path-ambiguous")),
        ("x.example.com", "/in/x", Ok("any")),
        ("x.example.com", "/out", Err("no-app")),
        ("a.x.example.com", "/in/x", Err("no-app")),
        ("example.com", "/in/x", Err("no-app")),
        ("elsewhere.org", "/", Err("no-app")),
    ] {
        let facts = RequestFacts::new(Method::GET, host, path, None, now());
        let decision = decide(&policies, &person(kim()), &facts);
        let found = decision.application.map(|one| one.name.as_str()).ok_or(decision.reason.code());
        assert_eq!(found, expected, "{host}{path}");
    }
    for (host, known) in [("x.example.com", true), ("elsewhere.org", false)] {
        let decision = decide(
            &policies,
            &Principal::Anonymous,
            &RequestFacts::new(Method::GET, host, "/out", None, now()),
        );
        assert_eq!(decision.reason, Reason::NoApp { host_known: known }, "{host}");
    }
}

#[test]
fn patterns_that_tie_are_both_required() {
    let tie = |one: Effect, two: Effect| {
        decided(
            |company| company.applications[0].rules = vec![rule("/a*", one), rule("/*b", two)],
            &person(kim_of_acme()),
            &request(Method::GET, "/ab", INSIDE),
        )
    };
    assert_eq!(tie(Effect::App, Effect::Deny), (Verdict::Deny, "path-denied"));
    assert_eq!(tie(Effect::Public, Effect::App), (Verdict::Allow, "requirement-met"));
    assert_eq!(tie(Effect::Public, Effect::Public), (Verdict::Allow, "public-path"));
    let methods = decided(
        |company| company.applications[0].rules = vec![rule_for("/a*", &[Method::POST], Condition::default()), rule("/*b", Effect::App)],
        &person(kim_of_acme()),
        &request(Method::GET, "/ab", INSIDE),
    );
    assert_eq!(
        methods,
        (Verdict::Deny, "method-not-listed"),
        "each pattern must speak about the method"
    );
}

#[test]
fn paths_without_a_rule_are_what_the_application_says() {
    let unlisted = |unlisted: Unlisted| {
        decided(
            |company| company.applications[0].unlisted = unlisted,
            &person(kim_of_acme()),
            &request(Method::GET, "/other", INSIDE),
        )
    };
    assert_eq!(unlisted(Unlisted::App), (Verdict::Allow, "requirement-met"));
    assert_eq!(unlisted(Unlisted::Deny), (Verdict::Deny, "path-denied"));
}

#[test]
fn case_counts_unless_the_application_ignores_it() {
    for (case_insensitive, expected) in [(false, "requirement-met"), (true, "path-denied")] {
        let (_, code) = decided(
            |company| company.applications[0].case_insensitive = case_insensitive,
            &person(kim_of_acme()),
            &request(Method::GET, "/Closed/x", INSIDE),
        );
        assert_eq!(code, expected, "{case_insensitive}");
    }
}

#[test]
fn preflights_pass_without_identity_where_the_application_lets_them() {
    let preflight = |enabled: bool, path: &str, asked: Method| {
        let mut facts = request(Method::OPTIONS, path, INSIDE);
        facts.preflight = Some(asked);
        decided(
            |company| company.applications[0].cors_preflight = enabled,
            &Principal::Anonymous,
            &facts,
        )
    };
    assert_eq!(preflight(true, "/api/results", Method::POST), (Verdict::Allow, "public-path"));
    assert_eq!(preflight(true, "/api/results", Method::GET), (Verdict::Deny, "method-not-listed"));
    assert_eq!(preflight(true, "/closed/x", Method::GET), (Verdict::Deny, "path-denied"));
    assert_eq!(preflight(false, "/api/results", Method::POST), (Verdict::Deny, "method-not-listed"));
    assert_eq!(preflight(false, "/x", Method::GET), (Verdict::SignIn, "no-session"));
}

#[test]
fn an_application_bound_to_addresses_shuts_public_paths_too() {
    let from = |from: &str| {
        decided(
            |company| company.applications[0].ip_pattern = vec![n("acme-sites")],
            &Principal::Anonymous,
            &request(Method::GET, "/health", from),
        )
    };
    assert_eq!(from(INSIDE), (Verdict::Allow, "public-path"));
    assert_eq!(from(OUTSIDE), (Verdict::Deny, "ip-app"));
    assert_eq!(from("unknown"), (Verdict::Deny, "ip-app"), "no address is in no pattern");
    assert_eq!(from("::ffff:203.0.113.9"), (Verdict::Allow, "public-path"));
}

#[test]
fn guards_take_away_whatever_rules_say() {
    let guarded = |guard: Guard, principal: &Principal, path: &str| {
        decided(
            |company| company.guards = vec![guard],
            principal,
            &request(Method::HEAD, path, OUTSIDE),
        )
    };
    let guard = Guard {
        name: "inside only".to_owned(),
        at: Place::default(),
        apps: Vec::new(),
        paths: Vec::new(),
        methods: vec![Method::GET],
        when: None,
        unless: Some(Condition {
            ip_pattern: vec![n("acme-sites")],
            ..Condition::default()
        }),
    };
    assert_eq!(
        guarded(guard.clone(), &Principal::Anonymous, "/health"),
        (Verdict::Deny, "guard"),
        "public paths too, and GET covers HEAD"
    );
    let of_person = Guard {
        unless: Some(needs_role("operator")),
        ..guard
    };
    assert_eq!(
        guarded(of_person.clone(), &Principal::Anonymous, "/health"),
        (Verdict::Allow, "public-path"),
        "who asks is not known yet"
    );
    assert_eq!(guarded(of_person, &person(kim_of_acme()), "/"), (Verdict::Deny, "guard"));
}

#[test]
fn a_service_dies_with_its_date_and_its_credential() {
    let at = |at: &str, made: &str| {
        let mut facts = request(Method::POST, "/api/results", INSIDE);
        facts.now = Timestamp::parse_rfc3339(at).unwrap();
        let caller = crate::model::principal::Service {
            name: n("plate-reader"),
            credential: crate::model::id::CredentialId::from_number(1),
            made: Timestamp::parse_rfc3339(made).unwrap(),
        };
        decided(|_| {}, &Principal::Service(Arc::new(caller)), &facts).1
    };
    assert_eq!(at("2027-12-31T23:59:59Z", "2027-12-01T00:00:00Z"), "requirement-met");
    assert_eq!(at("2028-01-01T00:00:00Z", "2027-12-01T00:00:00Z"), "account");
    assert_eq!(
        at("2026-04-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        "account",
        "90 days after it was made"
    );
    let gone = decided(
        |company| {
            company.services.clear();
            company.applications[0].rules.clear();
        },
        &plate_reader(),
        &request(Method::GET, "/", INSIDE),
    );
    assert_eq!(gone, (Verdict::Deny, "account"), "a service that policy no longer names");
}

#[test]
fn what_a_rule_says_of_carrying_wins_over_the_application() {
    let mut company = company();
    let app = &mut company.applications[0];
    app.max_body = BodyLimit::Bytes(100);
    app.websocket = true;
    app.rules = vec![
        Rule {
            max_body: Some(BodyLimit::Bytes(500)),
            websocket: Some(false),
            ..rule("/big*", Effect::App)
        },
        Rule {
            max_body: Some(BodyLimit::Bytes(300)),
            ..rule("/*big", Effect::App)
        },
    ];
    let policies = compiled(company);
    let terms = |path: &str| {
        decide(&policies, &person(kim_of_acme()), &request(Method::GET, path, INSIDE))
            .terms
            .unwrap()
    };
    assert_eq!((terms("/x").max_body, terms("/x").websocket), (BodyLimit::Bytes(100), true));
    assert_eq!(
        (terms("/bigger").max_body, terms("/bigger").websocket),
        (BodyLimit::Bytes(500), false)
    );
    assert_eq!(
        (terms("/bigbig").max_body, terms("/bigbig").websocket),
        (BodyLimit::Bytes(300), false),
        "the stricter of a tie"
    );
}

/// How long one decision takes with 200 rules and 100,000 prefixes; `cargo test --release -- --ignored --nocapture` says it.
#[test]
#[ignore = "says a number, and checks nothing"]
fn a_decision_among_many_rules_and_prefixes_takes_so_long() {
    use crate::model::ip_pattern::{AddressRange, AddressSet};
    for (rules, prefixes) in [(2, 100), (200, 100), (200, 100_000)] {
        let mut company = company();
        for number in 0..prefixes / 100 {
            let start = 0x0b00_0000 + number * 1_000;
            let ranges = (0..100).map(|one| AddressRange::V4(start + one * 4..=start + one * 4 + 1));
            company.ip_patterns.push(crate::policy::definitions::IpPattern::plain(
                n(&format!("p{number}")),
                AddressSet::of(ranges),
            ));
        }
        for number in 0..rules {
            let require = needs_permission("eln:dq");
            company.applications[0]
                .rules
                .push(rule_for(&format!("/part-{number}/*/edit/**"), &[Method::GET], require));
        }
        let policies = compiled(company);
        let mut lee = kim_of_acme();
        lee.signed_in.groups = ["dq-managers".to_owned()].into();
        let (lee, memo) = (person(lee), Memo::new());
        let started = std::time::Instant::now();
        let facts = request(Method::GET, "/part-1/x/edit/y", INSIDE);
        for _ in 0..10_000 {
            assert_eq!(decide_remembering(&policies, &lee, &facts, &memo).verdict, Verdict::Allow);
        }
        println!("{rules} rules, {prefixes} prefixes: {:?} each", started.elapsed() / 10_000);
    }
}
