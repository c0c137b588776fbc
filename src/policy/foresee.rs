//! What a person-to-be will reach: every application, decided for them as if they stood at an address that all their patterns allow.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use crate::base::time::Timestamp;
use crate::model::ip_pattern::AddressSet;
use crate::model::name::IpPatternName;
use crate::model::principal::{Identity, Principal};

use super::application::{Application, HostPattern};
use super::decide::decide;
use super::decision::{Reason, Verdict};
use super::definitions::IpPattern;
use super::facts::RequestFacts;
use super::set::PolicySet;

/// One application, as it will answer them.
#[derive(Debug)]
pub struct Foreseen<'p> {
    /// The application.
    pub application: &'p Application,
    /// What its own start page will answer.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason<'p>,
    /// The address that was tried; `None` if the patterns have none in common.
    pub from: Option<IpAddr>,
    /// The patterns that bound it; none of them means any address.
    pub patterns: Vec<&'p IpPattern>,
}

/// What somebody will reach under these rules, at `now`. Applications that have only wildcard hosts are left out: there is no one address to try.
#[must_use]
pub fn foresee<'p>(policies: &'p PolicySet, identity: &Identity, now: Timestamp) -> Vec<Foreseen<'p>> {
    let principal = Principal::User(Arc::new(identity.clone()));
    let own: Vec<Vec<IpPatternName>> = identity
        .memberships
        .iter()
        .flat_map(|membership| {
            let team = policies.team(&membership.team).map(|team| team.ip_pattern.clone());
            let bound = membership.ip_pattern.iter().map(|name| vec![name.clone()]);
            bound.chain(team).collect::<Vec<_>>()
        })
        .collect();
    let tried = policies.applications().iter().filter_map(|application| {
        let host = application.hosts.iter().find_map(|host| match host {
            HostPattern::Exact(host) => Some(host),
            HostPattern::Under(_) => None,
        })?;
        let bounds = own.iter().chain([&application.ip_pattern]).filter(|names| !names.is_empty());
        let mut common = AddressSet::everything();
        let mut patterns: Vec<&IpPattern> = Vec::new();
        for names in bounds {
            let mut any = AddressSet::default();
            for pattern in names.iter().filter_map(|name| policies.ip_pattern(name)) {
                any = any.union(&pattern.addresses);
                if !patterns.iter().any(|known| known.name == pattern.name) {
                    patterns.push(pattern);
                }
            }
            common = common.intersection(&any);
        }
        let from = common.first();
        let path = if application.path == "/" {
            "/".to_owned()
        } else {
            format!("{}/", application.path)
        };
        let decision = decide(policies, &principal, &RequestFacts::new(Method::GET, host, &path, from, now));
        Some(Foreseen {
            application,
            verdict: decision.verdict,
            reason: decision.reason,
            from,
            patterns,
        })
    });
    tried.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::*;

    fn seen(pattern: Option<&str>, apps: &[&str]) -> (Verdict, Option<IpAddr>, usize) {
        let policies = compiled(company());
        let mut kim = kim();
        kim.memberships = vec![member("acme", &["team-user"], apps)];
        kim.memberships[0].ip_pattern = pattern.map(n);
        let all = foresee(&policies, &kim, now());
        let eln = all.into_iter().find(|one| one.application.name == n("eln")).unwrap();
        (eln.verdict, eln.from, eln.patterns.len())
    }

    #[test]
    fn an_application_is_foreseen_from_an_address_that_every_pattern_allows() {
        let (verdict, from, patterns) = seen(Some("acme-sites"), &["eln"]);
        assert_eq!((verdict, patterns), (Verdict::Allow, 1));
        let policies = compiled(company());
        let sites = policies.ip_pattern(&n("acme-sites")).unwrap();
        assert!(sites.addresses.contains(from.unwrap()));
        assert_eq!(seen(None, &[]).0, Verdict::Deny, "what is not given stays shut");
        assert_eq!(seen(Some("gone"), &["eln"]).0, Verdict::Deny, "a lost pattern contains nothing");
    }
}
