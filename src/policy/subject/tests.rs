use http::Method;

use super::*;
use crate::model::principal::Principal;
use crate::model::role::{Power, SignInMethod};
use crate::policy::condition::{Condition, GroupMatch};
use crate::policy::decide::decide;
use crate::policy::decision::Verdict;
use crate::policy::definitions::{Definitions, Grant};
use crate::policy::facts::RequestFacts;
use crate::policy::fixture::*;
use crate::policy::house;
use crate::policy::place::Place;

const INSIDE: &str = "203.0.113.9";
const OUTSIDE: &str = "192.0.2.1";

fn held(definitions: Definitions, identity: &Identity, from: &str) -> Arc<Held> {
    let policies = compiled(definitions);
    let facts = request(Method::GET, "/", from);
    let class = policies.addresses.class(facts.client_ip);
    match Memo::new().look(&policies, identity, class, facts.now) {
        Looked::Holds(held) => held,
        other => panic!("{other:?}"),
    }
}

fn grant(when: Condition) -> Grant {
    Grant {
        at: Place::default(),
        when,
        roles: Vec::new(),
        teams: Vec::new(),
        permissions: Vec::new(),
        apps: Vec::new(),
    }
}

fn of_domain() -> Condition {
    Condition {
        email_domains: vec!["acme.example".to_owned()],
        ..Condition::default()
    }
}

#[test]
fn a_person_holds_what_memberships_give() {
    let mut kim = kim();
    kim.memberships = vec![
        member("acme", &["team-permission-admin", "operator", "gone"], &["eln", "gone"]),
        member("beta", &["team-data-quality"], &[]),
    ];
    let held = held(company(), &kim, INSIDE);
    assert_eq!(
        held.roles(),
        ["team-data-quality", "team-permission-admin", "team-user", "user"].map(n::<RoleName>),
        "no global role, no lost one"
    );
    assert_eq!(held.roles_in(&n("beta")), ["team-data-quality"].map(n::<RoleName>));
    assert_eq!(held.permissions(), ["eln:dq", "eln:projects-admin"].map(permission));
    assert_eq!(held.applications(), ["eln"].map(n::<ApplicationName>));
    assert!(held.powers().has_in(Power::Users, &n("acme")));
    assert!(
        !held.powers().has_in(Power::Users, &n("beta")),
        "powers of a team role stay in their team"
    );
    assert!(!held.powers().has(Power::Users));
    assert_eq!(
        held.powers().teams_with(Power::Groups).collect::<Vec<_>>(),
        [&n::<TeamName>("acme")]
    );
}

#[test]
fn a_team_gives_nothing_outside_its_pattern_but_remains_a_team() {
    let held = held(company(), &kim_of_acme(), OUTSIDE);
    assert_eq!(held.teams(), ["acme"].map(n::<TeamName>));
    assert_eq!(held.roles(), ["user"].map(n::<RoleName>));
    assert!(held.applications().is_empty() && held.permissions().is_empty());
}

#[test]
fn what_policy_no_longer_has_gives_nothing_and_restricts_everything() {
    let facts = request(Method::GET, "/", INSIDE);
    let policies = compiled(company());
    let mut by_pattern = kim_of_acme();
    by_pattern.memberships[0].ip_pattern = Some(n("gone"));
    let mut by_provider = kim_of_acme();
    by_provider.memberships[0].provider = Some(n("gone"));
    by_provider.signed_in.provider = Some(n("gone"));
    for (name, kim) in [("pattern", by_pattern), ("provider", by_provider)] {
        let decision = decide(&policies, &person(kim), &facts);
        assert_eq!((decision.verdict, decision.reason.code()), (Verdict::Deny, "ip-user"), "{name}");
    }
    let mut lost_team = kim();
    lost_team.memberships = vec![member("gone", &["team-user"], &["eln"])];
    let decision = decide(&policies, &person(lost_team), &facts);
    assert_eq!(decision.reason.code(), "not-assigned");
}

#[test]
fn one_membership_that_counts_is_enough() {
    let mut kim = kim_of_acme();
    kim.memberships[0].ip_pattern = Some(n("acme-sites"));
    kim.memberships.push(member("beta", &["team-data-quality"], &[]));
    let held = held(company(), &kim, OUTSIDE);
    assert_eq!(held.teams(), ["beta"].map(n::<TeamName>));
}

#[test]
fn grants_give_nothing_of_a_team_whose_membership_does_not_count() {
    let mut definitions = company();
    definitions.grants = vec![Grant {
        teams: vec![n("acme")],
        roles: vec![n("team-permission-admin")],
        apps: vec![n("eln")],
        ..grant(of_domain())
    }];
    let mut kim = kim();
    kim.memberships = vec![member("beta", &[], &[])];
    let free = held(definitions.clone(), &kim, INSIDE);
    assert!(
        free.powers().has_in(Power::Users, &n("acme")),
        "no membership there: the grant makes one"
    );
    assert_eq!(free.teams().len(), 2);
    let mut bound = member("acme", &[], &[]);
    bound.provider = Some(n("corp"));
    kim.memberships.push(bound);
    let shut = held(definitions, &kim, INSIDE);
    assert_eq!(shut.teams(), ["beta"].map(n::<TeamName>));
    assert!(shut.applications().is_empty() && shut.powers().in_team.is_empty());
}

#[test]
fn a_team_role_by_grant_is_held_where_the_grant_says() {
    let both = || {
        let mut kim = kim();
        kim.memberships = vec![member("acme", &[], &[]), member("beta", &[], &[])];
        kim
    };
    let granted = |when: Condition, teams: &[&str]| {
        let mut definitions = company();
        definitions.grants = vec![Grant {
            roles: vec![n("team-permission-admin")],
            teams: teams.iter().map(|name| n(name)).collect(),
            ..grant(when)
        }];
        let held = held(definitions, &both(), INSIDE);
        held.powers().teams_with(Power::Users).map(ToString::to_string).collect::<Vec<_>>()
    };
    let when_in_acme = Condition {
        teams: vec![n("acme")],
        ..of_domain()
    };
    assert_eq!(granted(of_domain(), &["beta"]), ["beta"], "teams listed");
    assert_eq!(granted(when_in_acme, &[]), ["acme"], "teams asked for");
    assert_eq!(granted(of_domain(), &[]), ["acme", "beta"], "every team");
}

#[test]
fn groups_count_only_from_the_source_they_are_written_with() {
    let mut definitions = company();
    definitions.grants = vec![Grant {
        roles: vec![n("operator")],
        ..grant(Condition {
            groups: vec![GroupMatch {
                source: n("corp"),
                group: "cn=portcullis-ops,ou=groups,dc=example,dc=com".to_owned(),
            }],
            ..Condition::default()
        })
    }];
    let with = |provider: &str| {
        let mut kim = kim();
        kim.signed_in.mfa = true;
        kim.signed_in.provider = Some(n(provider));
        kim.signed_in.groups = ["CN=portcullis-ops, OU=groups, DC=example, DC=com".to_owned()].into();
        held(definitions.clone(), &kim, INSIDE).powers().has(Power::Teams)
    };
    assert!(with("corp"));
    assert!(!with("acme-okta"));
}

#[test]
fn a_role_counts_only_while_its_requirement_holds() {
    let mut ada = kim();
    ada.roles.insert(n("operator"));
    assert!(!held(company(), &ada, INSIDE).powers().has(Power::Users));
    ada.signed_in.mfa = true;
    assert!(held(company(), &ada, INSIDE).powers().has(Power::Users));
}

#[test]
fn a_role_may_need_another_that_counts() {
    let roles = |given: &[&str]| {
        let mut definitions = company();
        for (name, needs) in [
            ("one", "two"),
            ("two", "three"),
            ("self-made", "self-made"),
            ("hen", "egg"),
            ("egg", "hen"),
        ] {
            definitions.roles.push(Role {
                require: Some(needs_role(needs)),
                ..Role::plain(n(name))
            });
        }
        definitions.roles.push(Role::plain(n("three")));
        let mut kim = kim();
        kim.roles = given.iter().map(|name| n(name)).collect();
        held(definitions, &kim, INSIDE)
            .roles()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(roles(&["one", "two", "three"]), ["one", "three", "two", "user"]);
    assert_eq!(roles(&["one", "three"]), ["three", "user"]);
    assert_eq!(roles(&["self-made", "hen", "egg"]), ["user"], "nothing holds itself up");
}

#[test]
fn former_names_keep_references_working() {
    let mut definitions = company();
    definitions.roles[0].formerly = vec![n("member")];
    definitions.teams[0].formerly = vec![n("acme-inc")];
    let mut kim = kim();
    kim.memberships = vec![member("acme-inc", &["member"], &[])];
    let held = held(definitions, &kim, INSIDE);
    assert_eq!(held.teams(), ["acme"].map(n::<TeamName>));
    assert_eq!(held.roles(), ["team-user", "user"].map(n::<RoleName>));
}

#[test]
fn an_administrator_has_every_power_and_no_application() {
    let mut ada = kim();
    ada.roles.insert(RoleName::admin());
    let mut definitions = company();
    // Policy cannot change it.
    definitions.roles.push(Role {
        permissions: vec![permission("eln:dq")],
        ..Role::plain(RoleName::admin())
    });
    let held = held(definitions, &ada, INSIDE);
    assert!(Power::ALL.iter().all(|power| held.powers().has(*power)));
    assert!(held.applications().is_empty() && held.permissions().is_empty());
}

#[test]
fn our_own_pages_ask_for_account_memberships_and_the_house_rules() {
    let mut definitions = company();
    definitions.signin.accepted.methods.insert(SignInMethod::Saml);
    let policies = compiled(definitions);
    let facts = |from: &str| RequestFacts::new(Method::GET, "sso.example.com", "/.portcullis/", from.parse().ok(), now());
    let judge = |identity: Identity, from: &'static str| {
        let standing = house::judge(&policies, &person(identity), &facts(from));
        (standing.verdict, standing.reason.code())
    };
    let mut bound = kim_of_acme();
    bound.memberships[0].ip_pattern = Some(n("acme-sites"));
    let mut old = kim_of_acme();
    old.signed_in.at = now().before(std::time::Duration::from_secs(12 * 60 * 60));
    let mut other = kim_of_acme();
    other.signed_in.method = SignInMethod::Ldap;
    let mut disabled = kim_of_acme();
    disabled.status = crate::model::user::UserStatus::Disabled;
    for (name, identity, from, expected) in [
        ("inside", bound.clone(), INSIDE, (Verdict::Allow, "requirement-met")),
        ("an IP pattern shuts the console too", bound, OUTSIDE, (Verdict::Deny, "ip-user")),
        ("an old sign-in", old, INSIDE, (Verdict::StepUp, "session-too-old")),
        ("a method the house does not accept", other, INSIDE, (Verdict::SignIn, "method")),
        ("disabled", disabled, INSIDE, (Verdict::Deny, "account")),
    ] {
        assert_eq!(judge(identity, from), expected, "{name}");
    }
    let nobody = house::judge(&policies, &Principal::Anonymous, &facts(INSIDE));
    assert_eq!((nobody.verdict, nobody.may_somewhere(Power::Users)), (Verdict::SignIn, false));
    let mut ada = kim_of_acme();
    ada.roles.insert(n("operator"));
    assert!(!house::judge(&policies, &person(ada.clone()), &facts(INSIDE)).may(Power::Users));
    for everywhere in [false, true] {
        assert!(house::step_up_helps(&policies, &ada, &facts(INSIDE), Power::Users, everywhere));
    }
    assert!(!house::step_up_helps(
        &policies,
        &kim_of_acme(),
        &facts(INSIDE),
        Power::Users,
        false
    ));
}
