//! Whether somebody who is who they say may come in from here.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::time::Timestamp;
use crate::model::name::ProviderName;
use crate::model::principal::{Identity, Principal};
use crate::policy::definitions::ProviderKind;
use crate::policy::house::judge;
use crate::policy::{PolicySet, RequestFacts, Verdict};
use crate::signin::IdentityProvider;

/// From where and when a form came, and the rules in force then.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The rules.
    pub policies: &'a PolicySet,
    /// What is known of the request.
    pub facts: &'a RequestFacts,
    /// What the browser calls itself.
    pub agent: &'a str,
    /// The cookie by which a browser is known to have been used to sign in before.
    pub browser: &'a str,
}

/// Somebody who is who they say and may not come in: [`judge`] tells why, for this principal and the facts of the visit.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who, as they would have been signed in.
    pub principal: Principal,
}

impl Visit<'_> {
    pub(super) const fn now(&self) -> Timestamp {
        self.facts.now
    }

    pub(super) const fn address(&self) -> Option<IpAddr> {
        self.facts.client_ip
    }

    pub(super) fn host(&self) -> &str {
        self.facts.host.as_str()
    }

    pub(super) const fn agent(&self) -> &str {
        self.agent
    }

    /// The directory of that name, if policy has one.
    pub(super) fn directory(&self, name: &str) -> Option<IdentityProvider> {
        let name: ProviderName = name.parse().ok()?;
        let provider = self.policies.provider(&name)?;
        (provider.kind == ProviderKind::Ldap).then_some(IdentityProvider::Ldap(name))
    }

    /// Lets in who stands well in the house, or lacks only a second factor: that is asked for inside, before anything is shown.
    pub(super) fn admit(&self, identity: Identity) -> Result<(), Box<Refused>> {
        let principal = Principal::User(Arc::new(identity));
        match judge(self.policies, &principal, self.facts).verdict {
            Verdict::Allow | Verdict::StepUp => Ok(()),
            _ => Err(Box::new(Refused { principal })),
        }
    }
}
