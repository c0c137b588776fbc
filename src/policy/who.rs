//! The steps *who* to *F*, which applications and our own pages share: a session or credential in use, and what it holds.

use std::sync::Arc;

use crate::model::principal::{Identity, Principal, Service};

use super::addresses::AddressClass;
use super::decide::{Record, Silent};
use super::decision::{Reason, Verdict};
use super::explain::Step;
use super::facts::RequestFacts;
use super::headers::Asker;
use super::require::Presence;
use super::set::PolicySet;
use super::subject::{Held, Looked, Memo, look_at_service, presence, service_presence};

/// Somebody, with what they hold.
pub(super) struct Who<'r> {
    pub(super) held: Arc<Held>,
    pub(super) presence: Presence,
    pub(super) asker: Asker<'r>,
}

/// An answer before the application was reached.
pub(super) type Refused<'p> = (Verdict, Reason<'p>);

impl Who<'_> {
    pub(super) const fn is_service(&self) -> bool {
        matches!(self.asker, Asker::Service(..))
    }
}

/// The steps *who* to *F*, which applications and our own pages share.
pub(super) fn judge_who<'p, 'r, R: Record<'p>>(
    policies: &'p PolicySet,
    principal: &'r Principal,
    facts: &RequestFacts,
    memo: &Memo,
    class: AddressClass,
    record: &mut R,
) -> Result<Who<'r>, Refused<'p>> {
    record.step(|| Step::session(policies, principal, facts));
    match principal {
        Principal::Anonymous => Err((Verdict::SignIn, Reason::NoSession)),
        Principal::Service(service) => judge_service(policies, service, facts, class),
        Principal::User(identity) => judge_person(policies, identity, facts, memo, class, record),
    }
}

fn judge_service<'p, 'r>(
    policies: &'p PolicySet,
    service: &'r Service,
    facts: &RequestFacts,
    class: AddressClass,
) -> Result<Who<'r>, Refused<'p>> {
    let inside = policies.addresses.patterns(class);
    let compiled = policies
        .names
        .services
        .find(service.name.as_str())
        .and_then(|id| policies.services.get(id.index()));
    // A service that policy no longer names is nobody's.
    let (Some(written), Some(compiled)) = (policies.service(&service.name), compiled) else {
        return Err((Verdict::Deny, Reason::Account));
    };
    if !compiled.patterns.intersects(inside) {
        return Err((Verdict::Deny, Reason::IpService(service.name.clone())));
    }
    let expired = written.expires.is_some_and(|expires| facts.now >= expires)
        || facts.now >= service.made.after(written.max_ttl)
        // Made at a time that has not come yet: the clock was set back, and nobody can say how old it is.
        || service.made.is_out_of_time(facts.now);
    if expired {
        return Err((Verdict::Deny, Reason::Account));
    }
    let presence = service_presence();
    let held = look_at_service(policies, service, presence, inside, facts.now).ok_or((Verdict::Deny, Reason::Account))?;
    Ok(Who {
        held,
        presence,
        asker: Asker::Service(service),
    })
}

fn judge_person<'p, 'r, R: Record<'p>>(
    policies: &'p PolicySet,
    identity: &'r Identity,
    facts: &RequestFacts,
    memo: &Memo,
    class: AddressClass,
    record: &mut R,
) -> Result<Who<'r>, Refused<'p>> {
    if !identity.is_active() {
        return Err((Verdict::Deny, Reason::Account));
    }
    let looked = memo.look(policies, identity, class, facts.now);
    record.maybe(|| Step::memberships(policies, identity, &looked, facts));
    match looked {
        Looked::Holds(held) => Ok(Who {
            held,
            presence: presence(policies, &identity.signed_in),
            asker: Asker::Person(identity),
        }),
        Looked::WrongMethod(providers) => Err((
            Verdict::SignIn,
            Reason::Method {
                accepted: policies.methods_of(&providers),
            },
        )),
        Looked::ShutOut(patterns) => Err((Verdict::Deny, Reason::IpUser(patterns))),
    }
}

/// The same steps for [`super::house`].
pub(super) fn judge_for_house<'p>(
    policies: &'p PolicySet,
    principal: &Principal,
    facts: &RequestFacts,
    memo: &Memo,
) -> Result<(Arc<Held>, Presence), Refused<'p>> {
    let class = policies.addresses.class(facts.client_ip);
    judge_who(policies, principal, facts, memo, class, &mut Silent).map(|who| (who.held, who.presence))
}
