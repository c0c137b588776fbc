//! The same steps for our own pages: account, memberships that count, roles now, the house's own sign-in rules, console powers.

use std::sync::Arc;

use crate::model::name::TeamName;
use crate::model::principal::{Identity, Principal};
use crate::model::role::{Power, SignInMethod};

use super::application::MfaRule;
use super::decision::{Reason, Verdict};
use super::facts::RequestFacts;
use super::require::Presence;
use super::set::PolicySet;
use super::subject::{Held, Looked, Memo, look};
use super::who::judge_for_house;

/// How somebody stands in our own house, from this address, now.
#[derive(Clone, Debug)]
pub struct Standing<'p> {
    /// [`Verdict::Allow`]: an active person whose membership counts, signed in as the house wants.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason<'p>,
    /// What is held; there where the verdict is allow or step-up.
    pub held: Option<Arc<Held>>,
}

impl Standing<'_> {
    /// Whether the person may be here at all.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    /// Whether they may do this in the whole instance.
    #[must_use]
    pub fn may(&self, power: Power) -> bool {
        self.allowed().is_some_and(|held| held.powers().has(power))
    }

    /// Whether they may do this in that team.
    #[must_use]
    pub fn may_in(&self, power: Power, team: &TeamName) -> bool {
        self.allowed().is_some_and(|held| held.powers().has_in(power, team))
    }

    /// Whether they may do this anywhere: decides what the menu offers.
    #[must_use]
    pub fn may_somewhere(&self, power: Power) -> bool {
        self.allowed().is_some_and(|held| held.powers().has_somewhere(power))
    }

    fn allowed(&self) -> Option<&Held> {
        self.held.as_deref().filter(|_| self.is_allowed())
    }
}

/// Judges somebody for our own pages.
#[must_use]
pub fn judge<'p>(policies: &'p PolicySet, principal: &Principal, facts: &RequestFacts) -> Standing<'p> {
    judge_remembering(policies, principal, facts, &Memo::new())
}

/// Judges somebody for our own pages, remembering in `memo` what this session holds.
#[must_use]
pub fn judge_remembering<'p>(policies: &'p PolicySet, principal: &Principal, facts: &RequestFacts, memo: &Memo) -> Standing<'p> {
    let (held, presence) = match judge_for_house(policies, principal, facts, memo) {
        Ok(found) => found,
        Err((verdict, reason)) => {
            return Standing {
                verdict,
                reason,
                held: None,
            };
        }
    };
    let (verdict, reason) = match principal {
        Principal::User(_) => house_rules(policies, facts, presence),
        Principal::Anonymous | Principal::Service(_) => (Verdict::Allow, Reason::RequirementMet),
    };
    Standing {
        verdict,
        reason,
        held: Some(held).filter(|_| verdict >= Verdict::StepUp),
    }
}

/// Whether a fresh sign-in with a second factor would give this person a power they lack now, because a role of theirs asks for one;
/// anywhere, or in the whole instance.
#[must_use]
pub fn step_up_helps(policies: &PolicySet, identity: &Identity, facts: &RequestFacts, power: Power, everywhere: bool) -> bool {
    let inside = policies.addresses.patterns(policies.addresses.class(facts.client_ip));
    let presence = Presence {
        mfa: true,
        at: Some(facts.now),
        ..super::subject::presence(policies, &identity.signed_in)
    };
    match look(policies, identity, presence, inside, facts.now) {
        Looked::Holds(held) if everywhere => held.powers().has(power),
        Looked::Holds(held) => held.powers().has_somewhere(power),
        Looked::WrongMethod(_) | Looked::ShutOut(_) => false,
    }
}

/// What `[signin]` asks of every session.
fn house_rules<'p>(policies: &PolicySet, facts: &RequestFacts, presence: Presence) -> (Verdict, Reason<'p>) {
    let accepted = &policies.signin().accepted;
    let provider_is_fine = match presence.method {
        SignInMethod::Saml => {
            let listed = |name| policies.names.providers.find(name) == presence.provider;
            presence.provider.is_some() && (accepted.idps.is_empty() || accepted.idps.iter().any(|name| listed(name.as_str())))
        }
        SignInMethod::Ldap => presence.provider.is_some(),
        SignInMethod::Password | SignInMethod::Passkey | SignInMethod::Service => true,
    };
    if !accepted.methods.contains(&presence.method) || !provider_is_fine {
        let accepted = accepted.methods.iter().copied().collect();
        return (Verdict::SignIn, Reason::Method { accepted });
    }
    if accepted.mfa == MfaRule::Required && !presence.mfa {
        return (Verdict::StepUp, Reason::MfaNeeded);
    }
    if presence.at.is_none_or(|at| facts.now.since(at) >= accepted.max_age) {
        let max_age = accepted.max_age;
        return (Verdict::StepUp, Reason::SessionTooOld { max_age });
    }
    (Verdict::Allow, Reason::RequirementMet)
}
