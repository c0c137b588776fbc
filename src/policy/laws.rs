//! What holds for every policy, every person and every request: small random worlds, asked again after a change.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use proptest::prelude::*;

use crate::base::time::Timestamp;
use crate::model::principal::Principal;

use super::application::Effect;
use super::decide::{decide, decide_remembering};
use super::decision::Verdict;
use super::definitions::Definitions;
use super::explain::explain;
use super::facts::RequestFacts;
use super::house;
use super::set::PolicySet;
use super::subject::Memo;

mod world;

use world::{Dice, addresses, condition, grant, guard, identity, principal, request, world};

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
