use http::Method;

use super::*;
use crate::base::diagnostic::Location;
use crate::policy::definitions::Definitions;
use crate::policy::fixture::*;
use crate::policy::place::Place;

fn place(line: usize) -> Place {
    Place {
        location: Location {
            file: "policies/eln.toml".into(),
            line,
            column: 1,
        },
        bytes: 0..1,
    }
}

fn written() -> Definitions {
    let mut company = company();
    company.applications[0].at = place(3);
    for (number, rule) in company.applications[0].rules.iter_mut().enumerate() {
        rule.at = place(20 + number);
    }
    company.applications[0].permissions[1].title = "Dictionaries and Assays Admin".to_owned();
    company.guards[0].at = place(40);
    company
}

fn lines(identity: crate::model::principal::Identity, method: Method, path: &str, from: &str) -> String {
    let policies = compiled(written());
    explain(&policies, &person(identity), &request(method, path, from)).to_string()
}

#[test]
fn a_denial_is_told_step_by_step_with_file_and_line() {
    let told = lines(kim_of_acme(), Method::POST, "/dictionaries/7", "203.0.113.9");
    for expected in [
        "DENY permission-missing",
        "generation 00000000",
        "  1 path      /dictionaries/7, one reading",
        "  2 address   203.0.113.9",
        "  3 app       eln                                        policies/eln.toml:3",
        "  4 rule      \"/dictionaries/**\" any method, app",
        "policies/eln.toml:23",
        "  5 guards    1 looked at, 0 hit",
        "  6 session   saml via acme-okta, 2h old, mfa no",
        "facts     teams acme (203.0.113.9 is inside its pattern acme-sites); roles team-user, user; no permissions; apps eln",
        "require   app: assigned ok | rule: permissions [eln:dictionaries-admin] MISSING | session: younger than 12h ok",
        "to allow: give kim@acme.example the permission \"Dictionaries and Assays Admin\" (eln:dictionaries-admin)",
    ] {
        assert!(told.contains(expected), "{expected}\n--- in\n{told}");
    }
}

#[test]
fn each_turn_of_the_walk_is_told() {
    let mut bound = kim_of_acme();
    bound.memberships[0].ip_pattern = Some(n("acme-sites"));
    let mut wrong_provider = kim_of_acme();
    wrong_provider.memberships[0].provider = Some(n("corp"));
    for (name, identity, method, path, from, expected) in [
        (
            "why it wins",
            kim_of_acme(),
            Method::GET,
            "/api/results",
            "203.0.113.9",
            "lists POST, not GET",
        ),
        (
            "readings",
            kim_of_acme(),
            Method::GET,
            "/a%2fb",
            "203.0.113.9",
            "2 readings: /a%2Fb  /a/b",
        ),
        (
            "no reading",
            kim_of_acme(),
            Method::GET,
            "/a/../b",
            "203.0.113.9",
            "the path has a `.` or `..` segment",
        ),
        (
            "own pattern",
            bound,
            Method::GET,
            "/",
            "192.0.2.1",
            "none counts; acme: OUTSIDE its pattern acme-sites",
        ),
        (
            "own provider",
            wrong_provider,
            Method::GET,
            "/",
            "203.0.113.9",
            "NOT through its provider corp",
        ),
        (
            "team outside",
            kim_of_acme(),
            Method::GET,
            "/",
            "192.0.2.1",
            "or, if team acme gave it, come from an address in acme-sites",
        ),
        (
            "no rule",
            kim_of_acme(),
            Method::GET,
            "/",
            "203.0.113.9",
            "none names this path: unlisted = \"app\"",
        ),
        (
            "closed",
            kim_of_acme(),
            Method::GET,
            "/closed/x",
            "203.0.113.9",
            "the rule at policies/eln.toml:27 says nobody",
        ),
    ] {
        let told = lines(identity, method, path, from);
        assert!(told.contains(expected), "{name}: {expected}\n--- in\n{told}");
    }
}

#[test]
fn the_runner_up_is_named_with_the_reason_it_lost() {
    let mut company = written();
    company.applications[0]
        .rules
        .push(rule("/**", crate::policy::application::Effect::App));
    let policies = compiled(company);
    let told = explain(&policies, &person(kim_of_acme()), &request(Method::GET, "/dq/x", "203.0.113.9")).to_string();
    assert!(told.contains("(over \"/**\" at built in: a literal beats `**`)"), "{told}");
}

#[test]
fn scripts_read_the_same() {
    let policies = compiled(written());
    let told = explain(
        &policies,
        &person(kim_of_acme()),
        &request(Method::POST, "/dictionaries/7", "203.0.113.9"),
    );
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["decision"], "deny");
    assert_eq!(json["reason"], "permission-missing");
    assert_eq!(json["app"], "eln");
    assert_eq!(json["rules"][0]["at"], "policies/eln.toml:23:1");
    let failed: Vec<&serde_json::Value> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .collect();
    assert_eq!(
        failed,
        [&serde_json::json!({"what": "rule.require.permissions", "ok": false, "need": ["eln:dictionaries-admin"]})]
    );
}

#[test]
fn a_guard_that_was_hit_is_shown_with_its_place() {
    let policies = compiled(written());
    let mut facts = request(Method::GET, "/export/all", "203.0.113.9");
    facts.now = crate::base::time::Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
    let told = explain(&policies, &person(kim_of_acme()), &facts).to_string();
    assert!(
        told.contains("\"no bulk export at night\" HIT") && told.contains("policies/eln.toml:40"),
        "{told}"
    );
}
