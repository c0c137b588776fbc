//! What a person-to-be will reach: every application, decided for them as if they stood at an address that all their patterns allow.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::id::{ProjectId, SessionId, UserId};
use crate::model::ip_pattern::AddressSet;
use crate::model::membership::Offer;
use crate::model::name::{IpPatternName, PersonName};
use crate::model::principal::{Identity, Principal, SignedIn};
use crate::model::role::SignInMethod;
use crate::model::team::ProjectLevel;
use crate::model::user::UserStatus;

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

/// Somebody who has taken an offer up and signed in just now, by the way that it is bound to. `projects` are the names of the team's projects.
///
/// They are in no other team: what somebody has elsewhere is not for whoever makes the offer to see.
#[must_use]
pub fn person_to_be(
    offer: &Offer,
    projects: &BTreeMap<ProjectId, String>,
    email: Option<EmailAddress>,
    now: Timestamp,
) -> Option<Identity> {
    let user = UserId::from_number(0);
    let mut signed_in = SignedIn::by_password(now);
    if let Some(provider) = &offer.provider {
        signed_in.method = SignInMethod::Saml;
        signed_in.provider = Some(provider.clone());
    }
    let level = |(id, level): (&ProjectId, &_)| {
        Some(ProjectLevel {
            team: offer.team.clone(),
            project: projects.get(id)?.clone(),
            level: *level,
        })
    };
    Some(Identity {
        user,
        // No rule reads it.
        username: "invitee".parse().ok()?,
        email,
        given_name: PersonName::default(),
        family_name: PersonName::default(),
        status: UserStatus::Active,
        roles: BTreeSet::new(),
        projects: offer.projects.iter().filter_map(level).collect(),
        memberships: vec![offer.clone().to(user)],
        session: SessionId::from_number(0),
        signed_in,
        revision: 0,
    })
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
