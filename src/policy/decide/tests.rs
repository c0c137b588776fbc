use super::*;
use crate::base::time::{HOUR, Timestamp};
use crate::model::user::UserStatus;
use crate::policy::fixture::*;

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
