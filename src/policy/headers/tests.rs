use std::collections::BTreeSet;

use http::Method;

use super::*;
use crate::model::principal::Identity;
use crate::model::team::ProjectLevel;
use crate::policy::application::{Choice, Effect, HeaderRules};
use crate::policy::decide::decide;
use crate::policy::decision::{Decision, Verdict};
use crate::policy::definitions::Definitions;
use crate::policy::fixture::*;

fn told(decision: &Decision<'_>, name: &str) -> Option<String> {
    let value = decision.told.as_ref()?.get(&name.parse().unwrap())?;
    Some(String::from_utf8(value.as_bytes().to_vec()).unwrap())
}

/// What the notebook is told of Kim, after its header rules were changed.
fn telling(kim: Identity, change: impl FnOnce(&mut HeaderRules), read: impl FnOnce(&Decision<'_>)) {
    let mut company = company();
    change(&mut company.applications[0].headers);
    let policies = compiled(company);
    read(&decide(&policies, &person(kim), &request(Method::GET, "/", "203.0.113.9")));
}

#[test]
fn an_application_is_told_who_asks() {
    let mut kim = kim_of_acme();
    kim.projects = vec![
        ProjectLevel {
            team: n("acme"),
            project: "A, b:member".to_owned(),
            level: Level::Guest,
        },
        ProjectLevel {
            team: n("beta"),
            project: "not of a team that counts".to_owned(),
            level: Level::Member,
        },
    ];
    kim.memberships[0]
        .permissions
        .insert(n("eln"), BTreeSet::from([n("dq"), n("gone")]));
    telling(
        kim,
        |_| {},
        |decision| {
            for (name, expected) in [
                ("x-portcullis-user", "u-0000000000000000000000000h"),
                ("x-portcullis-login", "kim"),
                ("x-portcullis-email", "kim@acme.example"),
                ("x-portcullis-name", "Kim M%C3%BCller"),
                ("x-portcullis-roles", "team-user,user"),
                ("x-portcullis-teams", "acme"),
                ("x-portcullis-permissions", "dq"),
                ("x-portcullis-projects", "A%2C b%3Amember:guest"),
                ("x-portcullis-app", "eln"),
            ] {
                assert_eq!(told(decision, name).as_deref(), Some(expected), "{name}");
            }
        },
    );
}

#[test]
fn templates_and_choices_are_filled_in() {
    telling(
        kim_of_acme(),
        |rules| {
            rules.preset = Preset::Jenkins;
            rules.set = vec![(
                "x-line".parse().unwrap(),
                "{user.login}/{team}/{app}/{ip} of {teams}".parse().unwrap(),
            )];
            rules.choose = vec![Choice {
                at: Default::default(),
                header: "x-level".parse().unwrap(),
                from: vec![
                    (Holder::Role(n("operator")), "op".to_owned()),
                    (Holder::Team(n("acme")), "acme".to_owned()),
                    (Holder::Role(n("team-user")), "member".to_owned()),
                ],
                otherwise: "none".to_owned(),
            }];
        },
        |decision| {
            assert_eq!(told(decision, "x-line").unwrap(), "kim/acme/eln/203.0.113.9 of acme");
            assert_eq!(told(decision, "x-level").unwrap(), "acme");
            assert_eq!(told(decision, "x-forwarded-groups").unwrap(), "team-user|user");
            assert_eq!(told(decision, "x-forwarded-mail").unwrap(), "kim@acme.example");
        },
    );
}

#[test]
fn what_is_not_ascii_goes_as_the_application_wants() {
    for (encoding, expected) in [
        (Encoding::Percent, Some("Kim M%C3%BCller")),
        (Encoding::Utf8, Some("Kim Müller")),
        (Encoding::AsciiOrDeny, None),
    ] {
        telling(
            kim_of_acme(),
            |rules| rules.encoding = encoding,
            |decision| {
                assert_eq!(told(decision, "x-portcullis-name").as_deref(), expected, "{encoding}");
                let verdict = if expected.is_some() { Verdict::Allow } else { Verdict::Deny };
                assert_eq!(decision.verdict, verdict, "{encoding}");
            },
        );
    }
}

#[test]
fn headers_that_do_not_fit_deny_and_are_never_cut() {
    let full = std::cell::Cell::new(0);
    telling(kim_of_acme(), |_| {}, |decision| full.set(decision.told.as_ref().unwrap().bytes()));
    for (limit, expected) in [(full.get(), "requirement-met"), (full.get() - 1, "header-overflow")] {
        telling(
            kim_of_acme(),
            |rules| rules.max_bytes = limit,
            |decision| assert_eq!(decision.reason.code(), expected, "{limit}"),
        );
    }
}

#[test]
fn a_public_path_tells_nothing_unless_it_identifies() {
    for (identify, login) in [(false, ""), (true, "kim")] {
        let mut company: Definitions = company();
        let rule = company.applications[0]
            .rules
            .iter_mut()
            .find(|rule| rule.access == Effect::Public)
            .unwrap();
        rule.identify = identify;
        let policies = compiled(company);
        let decision = decide(&policies, &person(kim_of_acme()), &request(Method::GET, "/health", "203.0.113.9"));
        assert_eq!(told(&decision, "x-portcullis-login").as_deref(), Some(login), "{identify}");
        // Whom the steps would not let through is nobody here.
        let mut bound = kim_of_acme();
        bound.memberships[0].ip_pattern = Some(n("acme-sites"));
        let decision = decide(&policies, &person(bound), &request(Method::GET, "/health", "192.0.2.1"));
        assert_eq!(
            (decision.verdict, told(&decision, "x-portcullis-login").as_deref()),
            (Verdict::Allow, Some(""))
        );
    }
}

#[test]
fn a_service_is_told_by_its_name() {
    let policies = compiled(company());
    let decision = decide(&policies, &plate_reader(), &request(Method::POST, "/api/results", "203.0.113.9"));
    assert_eq!(told(&decision, "x-portcullis-user").as_deref(), Some("service:plate-reader"));
    assert_eq!(told(&decision, "x-portcullis-email").as_deref(), Some(""));
    assert_eq!(told(&decision, "x-portcullis-roles").as_deref(), Some(""));
}

#[test]
fn every_preset_names_headers_that_exist() {
    for preset in Preset::ALL {
        assert_eq!(preset.header_names().count() == 0, *preset == Preset::None, "{preset}");
        telling(
            kim_of_acme(),
            |rules| {
                rules.preset = *preset;
                rules.identity = false;
            },
            |decision| {
                for name in preset.header_names() {
                    assert!(
                        told(decision, name.as_str()).is_some_and(|value| !value.is_empty()),
                        "{preset} {name}"
                    );
                }
                assert_eq!(told(decision, "x-portcullis-user"), None, "{preset}");
            },
        );
    }
}

#[test]
fn basic_carries_the_login_and_no_password() {
    telling(
        kim_of_acme(),
        |rules| rules.preset = Preset::Basic,
        // kim:-
        |decision| assert_eq!(told(decision, "authorization").unwrap(), "Basic a2ltOi0="),
    );
}

#[test]
fn templates_name_only_what_exists() {
    let template: Template = "{user.name} <{user.email}>".parse().unwrap();
    assert_eq!(template.to_string(), "{user.name} <{user.email}>");
    assert_eq!(template.variables().collect::<Vec<_>>(), [Variable::UserName, Variable::UserEmail]);
    for (text, expected) in [
        (
            "{user.age}",
            InvalidTemplate::Unknown {
                name: "user.age".to_owned(),
            },
        ),
        ("{user", InvalidTemplate::Unbalanced),
        ("user}", InvalidTemplate::Unbalanced),
        ("a\r\nb", InvalidTemplate::Characters),
        ("ä", InvalidTemplate::Characters),
    ] {
        assert_eq!(text.parse::<Template>(), Err(expected), "{text}");
    }
}
