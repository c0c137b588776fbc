//! What a change of the rules means for people: who may go where they could not before, and who no longer may.
//!
//! Every place that a rule of either tree names, and whatever no rule names, is decided by both for everybody, from every kind of address:
//! addresses that are in the same patterns of both trees are of one kind. The rules themselves say it; nothing is guessed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::Method;

use crate::base::time::Timestamp;
use crate::model::name::ApplicationName;
use crate::model::principal::{Identity, Principal};

use super::application::Application;
use super::decide::decide;
use super::decision::Verdict;
use super::facts::RequestFacts;
use super::set::PolicySet;

/// A path segment that no rule names.
const UNLISTED: &str = "any-other-path-0";

/// A place that means something else to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The application.
    pub application: ApplicationName,
    /// Its title: the new one, where it has one.
    pub title: String,
    /// Methods and path as the rule names them, such as `POST /export/**`.
    pub place: String,
    /// Who may go there and could not before, as places in the list of people.
    pub gain: BTreeSet<usize>,
    /// Who could go there and no longer may.
    pub lose: BTreeSet<usize>,
}

/// What two trees of rules mean differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The places, by application; none where everybody may do what they could.
    pub moved: Vec<Moved>,
}

impl Difference {
    /// Who may go anywhere they could not before.
    #[must_use]
    pub fn gain(&self) -> BTreeSet<usize> {
        self.moved.iter().flat_map(|moved| moved.gain.iter().copied()).collect()
    }

    /// Who no longer may go somewhere they could.
    #[must_use]
    pub fn lose(&self) -> BTreeSet<usize> {
        self.moved.iter().flat_map(|moved| moved.lose.iter().copied()).collect()
    }
}

/// Who gains and who loses.
type Sides = (BTreeSet<usize>, BTreeSet<usize>);

/// Where a place is tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    application: ApplicationName,
    place: String,
    host: String,
    method: String,
    path: String,
}

/// What becomes different for `people` by `after` in the place of `before`, at `now`. Whoever is asked to sign in another way, or anew, may go
/// there: a sign-in away is not shut out.
#[must_use]
pub fn difference(before: &PolicySet, after: &PolicySet, people: &[Identity], now: Timestamp) -> Difference {
    let spots: BTreeSet<Spot> = [before, after].into_iter().flat_map(spots_of).collect();
    let addresses = addresses_of(before, after);
    let asked: Vec<(&Spot, Vec<RequestFacts>)> = spots
        .iter()
        .filter_map(|spot| {
            let method: Method = spot.method.parse().ok()?;
            let from = addresses.iter();
            let facts = from.map(|from| RequestFacts::new(method.clone(), &spot.host, &spot.path, *from, now));
            Some((spot, facts.collect()))
        })
        .collect();
    let mut moved: BTreeMap<(&ApplicationName, &str), Sides> = BTreeMap::new();
    for (number, identity) in people.iter().enumerate() {
        let principal = Principal::User(Arc::new(identity.clone()));
        for (spot, facts) in &asked {
            for facts in facts {
                let (could, can) = (open(before, &principal, facts), open(after, &principal, facts));
                if could == can {
                    continue;
                }
                let (gain, lose) = moved.entry((&spot.application, spot.place.as_str())).or_default();
                let side = if can { gain } else { lose };
                side.insert(number);
            }
        }
    }
    let title = |name: &ApplicationName| {
        let application = after.application(name).or_else(|| before.application(name));
        application.map_or_else(|| name.to_string(), |application| application.title.clone())
    };
    Difference {
        moved: moved
            .into_iter()
            .map(|((application, place), (gain, lose))| Moved {
                application: application.clone(),
                title: title(application),
                place: place.to_owned(),
                gain,
                lose,
            })
            .collect(),
    }
}

fn open(policies: &PolicySet, principal: &Principal, facts: &RequestFacts) -> bool {
    let verdict = decide(policies, principal, facts).verdict;
    matches!(verdict, Verdict::Allow | Verdict::StepUp | Verdict::SignIn)
}

fn spots_of(policies: &PolicySet) -> Vec<Spot> {
    policies.applications().iter().flat_map(spots_in).collect()
}

fn spots_in(application: &Application) -> Vec<Spot> {
    let mut spots = Vec::new();
    for host in &application.hosts {
        let host = host.to_string().replacen('*', "any", 1);
        let mut try_at = |methods: &str, method: &Method, path: String, pattern: &str| {
            spots.push(Spot {
                application: application.name.clone(),
                place: format!("{methods}{pattern}"),
                host: host.clone(),
                method: method.to_string(),
                path,
            });
        };
        for rule in &application.rules {
            for placed in &rule.paths {
                let (path, pattern) = (placed.pattern.example(), placed.pattern.to_string());
                if rule.methods.is_empty() {
                    try_at("", &Method::GET, path.clone(), &pattern);
                    try_at("", &Method::POST, path, &pattern);
                    continue;
                }
                for method in &rule.methods {
                    try_at(&format!("{method} "), method, path.clone(), &pattern);
                }
            }
        }
        let below = application.path.trim_end_matches('/');
        for method in [Method::GET, Method::POST] {
            try_at("", &method, format!("{below}/{UNLISTED}"), "everything else");
        }
        try_at("", &Method::GET, format!("{below}/"), "the start page");
    }
    spots
}

/// An address of each kind.
fn addresses_of(before: &PolicySet, after: &PolicySet) -> Vec<Option<IpAddr>> {
    let (old, new) = (&before.addresses, &after.addresses);
    let first = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let mut known = HashSet::new();
    let all = first.into_iter().chain(old.starts()).chain(new.starts());
    let kinds = all.filter(|address| known.insert((old.class(Some(*address)), new.class(Some(*address)))));
    kinds.map(Some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::application::Effect;
    use crate::policy::fixture::*;

    #[test]
    fn the_same_rules_change_nothing_for_anybody() {
        let (before, after) = (compiled(company()), compiled(company()));
        assert_eq!(difference(&before, &after, &[kim()], now()), Difference::default());
    }

    #[test]
    fn who_loses_a_place_is_named_and_gains_it_the_other_way_round() {
        let before = compiled(company());
        let mut shut = company();
        shut.applications[0].rules.push(rule("/open/**", Effect::Deny));
        let after = compiled(shut);
        let people = [kim(), kim_of_acme()];
        let lost = difference(&before, &after, &people, now());
        let place = ("/open/**", BTreeSet::new(), BTreeSet::from([1]));
        let told: Vec<_> = lost
            .moved
            .iter()
            .map(|moved| (moved.place.as_str(), moved.gain.clone(), moved.lose.clone()))
            .collect();
        assert_eq!(told, [place]);
        assert_eq!((lost.gain().len(), lost.lose().len()), (0, 1));
        let gained = difference(&after, &before, &people, now());
        assert_eq!((gained.gain(), gained.lose()), (BTreeSet::from([1]), BTreeSet::new()));
    }
}
