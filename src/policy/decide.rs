//! The heart: may this person, from this address, do this to that application?
//!
//! The order is that of `POLICY.md` section 5, a function for each line; the first answer wins, and the last line of the happy path
//! allows. It cannot wait and cannot fail.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::model::principal::{Identity, Principal};
use crate::model::role::SignInMethod;

use super::addresses::AddressClass;
use super::application::{Application, Effect, MfaRule, Rule, Unlisted, names_method};
use super::compile::speaking;
use super::decision::{Decision, Reason, Verdict};
use super::definitions::{IpPattern, Limit};
use super::explain::Step;
use super::facts::{House, PathFlaw, Reading, RequestFacts};
use super::headers::{self, Asker, Told};
use super::need::{Need, terms};
use super::require::{Presence, Scene, Subject, Traits};
use super::set::{CompiledApplication, CompiledGuard, PolicySet};
use super::subject::{Held, Looked, Memo, look};
use super::table::{Bits, Id};
use super::who::{Refused, Who, judge_who};

/// Decides one request.
///
/// A path with several readings is decided for each, and the worst answer counts.
#[must_use]
pub fn decide<'p>(policies: &'p PolicySet, principal: &Principal, facts: &RequestFacts) -> Decision<'p> {
    decide_remembering(policies, principal, facts, &Memo::new())
}

/// Decides one request, remembering in `memo` what this session holds.
///
/// The memo must be of the session that asks. Nothing of a decision itself is remembered.
#[must_use]
pub fn decide_remembering<'p>(policies: &'p PolicySet, principal: &Principal, facts: &RequestFacts, memo: &Memo) -> Decision<'p> {
    walk(policies, principal, facts, memo, &mut Silent)
}

/// Who listens to the steps of a decision.
pub(super) trait Record<'p> {
    /// The steps that follow are of the next reading.
    fn next_reading(&mut self);
    /// A step was taken; `make` says which, and is not called when nobody listens.
    fn step(&mut self, make: impl FnOnce() -> Step<'p>);
    /// The reading was decided.
    fn decided(&mut self, decision: &Decision<'p>);

    /// A step that is not always worth telling.
    fn maybe(&mut self, make: impl FnOnce() -> Option<Step<'p>>);
}

/// Nobody listens.
pub(super) struct Silent;

impl<'p> Record<'p> for Silent {
    fn next_reading(&mut self) {}
    fn step(&mut self, _: impl FnOnce() -> Step<'p>) {}
    fn decided(&mut self, _: &Decision<'p>) {}
    fn maybe(&mut self, _: impl FnOnce() -> Option<Step<'p>>) {}
}

/// The walk behind [`decide`] and behind explanations.
pub(super) fn walk<'p, R: Record<'p>>(
    policies: &'p PolicySet,
    principal: &Principal,
    facts: &RequestFacts,
    memo: &Memo,
    record: &mut R,
) -> Decision<'p> {
    if let Some(flaw) = facts.path.flaw() {
        return Decision::without_application(Verdict::BadRequest, Reason::PathAmbiguous(flaw));
    }
    match facts.path.house() {
        House::Outside => {}
        // Our own pages are no application's, and not judged here.
        House::Inside => return Decision::without_application(Verdict::Deny, Reason::PathDenied),
        House::Mixed => return Decision::without_application(Verdict::BadRequest, Reason::PathAmbiguous(PathFlaw::Applications)),
    }
    let (id, application, compiled) = match find_application(policies, facts) {
        Ok(found) => found,
        Err((verdict, reason)) => return Decision::without_application(verdict, reason),
    };
    let class = policies.addresses.class(facts.client_ip);
    let walk = Walk {
        policies,
        principal,
        facts,
        memo,
        id,
        application,
        compiled,
        class,
        inside: policies.addresses.patterns(class),
    };
    let mut worst: Option<Decision<'p>> = None;
    for reading in facts.path.readings() {
        record.next_reading();
        let next = if application.case_insensitive {
            walk.decide(Reading::of_folded(&reading.folded()), record)
        } else {
            walk.decide(reading, record)
        };
        record.decided(&next);
        worst = Some(match worst {
            None => next,
            Some(known) => known.or_worse(next),
        });
    }
    worst.unwrap_or_else(|| Decision::without_application(Verdict::BadRequest, Reason::PathAmbiguous(PathFlaw::NoSlash)))
}

impl PolicySet {
    /// Whether some application owns the address, whoever may enter it.
    #[must_use]
    pub fn has_application_for(&self, facts: &RequestFacts) -> bool {
        find_application(self, facts).is_ok()
    }
}

type Found<'p> = (Id<Application>, &'p Application, &'p CompiledApplication);

/// The application in which all readings lie.
fn find_application<'p>(policies: &'p PolicySet, facts: &RequestFacts) -> Result<Found<'p>, Refused<'p>> {
    let ambiguous = |flaw| (Verdict::BadRequest, Reason::PathAmbiguous(flaw));
    let mut places = facts.path.readings().map(|reading| policies.find_application(&facts.host, reading));
    let first = places.next().flatten();
    if places.any(|other| other != first) {
        return Err(ambiguous(PathFlaw::Applications));
    }
    let found = first.and_then(|id| Some((id, policies.application_at(id)?, policies.applications.get(id.index())?)));
    let Some((id, application, compiled)) = found else {
        let host_known = policies.knows_host(&facts.host);
        return Err((Verdict::NotFound, Reason::NoApp { host_known }));
    };
    if application.strip_prefix && !has_prefix(facts.path.original(), &application.path) {
        return Err(ambiguous(PathFlaw::Prefix));
    }
    Ok((id, application, compiled))
}

/// Whether a path begins with a prefix, byte for byte, at a segment boundary.
fn has_prefix(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Everything one reading is decided with.
struct Walk<'p, 'r> {
    policies: &'p PolicySet,
    principal: &'r Principal,
    facts: &'r RequestFacts,
    memo: &'r Memo,
    id: Id<Application>,
    application: &'p Application,
    compiled: &'p CompiledApplication,
    class: AddressClass,
    inside: &'p Bits<IpPattern>,
}

impl<'p> Walk<'p, '_> {
    fn decide<R: Record<'p>>(&self, reading: Reading<'_>, record: &mut R) -> Decision<'p> {
        record.step(|| Step::application(self.application));
        let rules = match self.rules(reading, record) {
            Ok(rules) => rules,
            Err((reason, of_pattern)) => return self.refuse(Verdict::Deny, reason, &of_pattern),
        };
        match self.decide_by(&rules, reading, record) {
            Ok(allowed) => self.allow(allowed, &rules),
            Err((verdict, reason, held)) => Decision {
                held,
                ..self.refuse(verdict, reason, &rules)
            },
        }
    }

    /// The listing of `POLICY.md` section 5 from the guards on.
    fn decide_by<R: Record<'p>>(&self, rules: &[usize], reading: Reading<'_>, record: &mut R) -> Result<Allowed, Stopped<'p>> {
        let kind = self.kind(rules);
        self.guards(&self.compiled.early_guards, reading, None, record).map_err(bare)?;
        self.path_denied(kind).map_err(bare)?;
        self.application_address(record).map_err(bare)?;
        if kind == Effect::Public || self.is_preflight() {
            return Ok(self.public(kind, rules, record));
        }
        let who = self.who(record).map_err(bare)?;
        self.decide_for(&who, rules, reading, record)
            .map_err(|(verdict, reason)| (verdict, reason, Some(Arc::clone(&who.held))))
            .map(|told| Allowed {
                reason: Reason::RequirementMet,
                told,
                held: Some(who.held),
            })
    }

    fn decide_for<R: Record<'p>>(
        &self,
        who: &Who<'_>,
        rules: &[usize],
        reading: Reading<'_>,
        record: &mut R,
    ) -> Result<Arc<Told>, Refused<'p>> {
        record.step(|| Step::held(self.policies, &who.held, self.facts));
        self.guards(&self.compiled.late_guards, reading, Some(who), record)?;
        self.accepted_sign_in(who, record)?;
        self.requirements(who, rules, record)?;
        self.headers(who, record)
    }

    /// Rules of the most specific patterns, per pattern by method.
    fn rules<R: Record<'p>>(&self, reading: Reading<'_>, record: &mut R) -> Result<Vec<usize>, (Reason<'p>, Vec<usize>)> {
        let mut spoken: Vec<usize> = Vec::new();
        let patterns = self.compiled.trie.find(reading);
        record.step(|| Step::rule(self.application, self.compiled, reading, self.method()));
        for pattern in patterns {
            let of_pattern = self.compiled.rules_of_pattern.get(pattern).map_or(&[][..], Vec::as_slice);
            let before = spoken.len();
            speaking(self.application, of_pattern, self.method(), &mut spoken);
            if spoken.len() == before {
                return Err((Reason::MethodNotListed, of_pattern.to_vec()));
            }
        }
        if spoken.len() > 1 {
            // Which is told first must not hang on the order of files.
            spoken.sort_by_key(|&rule| (self.application.rules.get(rule).map(|rule| &*rule.name), rule));
            spoken.dedup();
        }
        Ok(spoken)
    }

    fn told_rules<'s>(&'s self, rules: &'s [usize]) -> impl Iterator<Item = &'p Rule> + 's {
        rules.iter().filter_map(|&rule| self.application.rules.get(rule))
    }

    /// The method rules are looked up by: of a preflight, the one it asks for.
    fn method(&self) -> &Method {
        match &self.facts.preflight {
            Some(asked) if self.application.cors_preflight => asked,
            _ => &self.facts.method,
        }
    }

    fn is_preflight(&self) -> bool {
        self.application.cors_preflight && self.facts.preflight.is_some()
    }

    /// The strictest: deny, then app, then public.
    fn kind(&self, rules: &[usize]) -> Effect {
        let unlisted = match self.application.unlisted {
            Unlisted::App => Effect::App,
            Unlisted::Deny => Effect::Deny,
        };
        self.told_rules(rules).map(|rule| rule.access).min().unwrap_or(unlisted)
    }

    fn guards<R: Record<'p>>(
        &self,
        guards: &'p [usize],
        reading: Reading<'_>,
        who: Option<&Who<'_>>,
        record: &mut R,
    ) -> Result<(), Refused<'p>> {
        for &number in guards {
            let Some((guard, compiled)) = self.policies.guard_at(number) else {
                continue;
            };
            let about = self.guard_is_about(&guard.methods, compiled, reading);
            let scene = self.scene(who);
            let applies = compiled.when.as_ref().is_none_or(|when| when.holds(&scene));
            let excepted = compiled.unless.as_ref().is_some_and(|unless| unless.holds(&scene));
            let hit = about && applies && !excepted;
            record.step(|| Step::Guard { guard, about, hit });
            if hit {
                return Err((Verdict::Deny, Reason::Guard(guard)));
            }
        }
        Ok(())
    }

    fn guard_is_about(&self, methods: &[Method], guard: &CompiledGuard, reading: Reading<'_>) -> bool {
        let paths = if self.application.case_insensitive {
            &guard.paths_folded
        } else {
            &guard.paths
        };
        // Of a preflight both methods count: a guard takes away.
        let method = methods.is_empty() || names_method(methods, &self.facts.method) || names_method(methods, self.method());
        method && (paths.is_empty() || paths.iter().any(|path| path.matches(reading.segments())))
    }

    fn path_denied(&self, kind: Effect) -> Result<(), Refused<'p>> {
        if kind == Effect::Deny {
            return Err((Verdict::Deny, Reason::PathDenied));
        }
        Ok(())
    }

    fn application_address<R: Record<'p>>(&self, record: &mut R) -> Result<(), Refused<'p>> {
        let ok = self.compiled.gate.lets_in(self.inside);
        record.maybe(|| Step::address(&self.application.ip_pattern, ok));
        if ok {
            Ok(())
        } else {
            Err((Verdict::Deny, Reason::IpApp(&self.application.ip_pattern)))
        }
    }

    fn public<R: Record<'p>>(&self, kind: Effect, rules: &[usize], record: &mut R) -> Allowed {
        // Where rules tie, all must want to identify.
        let identify = kind == Effect::Public && !self.is_preflight() && self.told_rules(rules).all(|rule| rule.identify);
        let who = if identify { self.who(record).ok() } else { None };
        let told = who
            .as_ref()
            .and_then(|who| headers::tell(self.policies, self.id, &who.asker, &who.held, self.facts.client_ip).ok());
        Allowed {
            reason: Reason::PublicPath,
            told: told.unwrap_or_else(|| Arc::new(headers::tell_nobody(self.application))),
            held: who.map(|who| who.held),
        }
    }

    /// From *who* to *F*: a session or credential in use, from where it may come, with what it holds.
    fn who<R: Record<'p>>(&self, record: &mut R) -> Result<Who<'_>, Refused<'p>> {
        judge_who(self.policies, self.principal, self.facts, self.memo, self.class, record)
    }

    fn accepted_sign_in<R: Record<'p>>(&self, who: &Who<'_>, record: &mut R) -> Result<(), Refused<'p>> {
        if who.is_service() {
            return Ok(());
        }
        let methods = &self.application.signin.methods;
        let accepted = methods.contains(&who.presence.method)
            && match who.presence.method {
                SignInMethod::Saml => who
                    .presence
                    .provider
                    .is_some_and(|provider| self.compiled.idps.is_empty() || self.compiled.idps.contains(provider)),
                // A directory that policy no longer has lets nobody through.
                SignInMethod::Ldap => who.presence.provider.is_some(),
                SignInMethod::Password | SignInMethod::Passkey | SignInMethod::Service => true,
            };
        record.step(|| Step::sign_in(self.application, accepted));
        if accepted {
            Ok(())
        } else {
            let accepted = methods.iter().copied().collect();
            Err((Verdict::SignIn, Reason::Method { accepted }))
        }
    }

    fn requirements<R: Record<'p>>(&self, who: &Who<'_>, rules: &[usize], record: &mut R) -> Result<(), Refused<'p>> {
        let need = self.need(rules, who.is_service());
        let scene = self.scene(Some(who));
        record.step(|| Step::requirements(self.policies, &need, &scene));
        let Some(unmet) = need.first_unmet(self.policies, &scene) else {
            return Ok(());
        };
        let Asker::Person(identity) = who.asker else {
            return Err((Verdict::Deny, unmet));
        };
        // Never ask for a factor in vain: what would still be missing after it is what the person is told.
        let afresh = |mfa: bool, fresh: bool| {
            let presence = Presence {
                mfa: who.presence.mfa || mfa,
                at: if fresh { Some(self.facts.now) } else { who.presence.at },
                ..who.presence
            };
            self.unmet_as(identity, presence, &need)
        };
        if let Some(reason) = afresh(true, true) {
            record.step(|| Step::step_up(false));
            return Err((Verdict::Deny, reason));
        }
        record.step(|| Step::step_up(true));
        let reason = if afresh(false, true).is_none() {
            match unmet {
                Reason::SessionTooOld { .. } | Reason::SessionUnused { .. } => unmet,
                // A role that counts only after a recent sign-in.
                _ => Reason::SessionTooOld {
                    max_age: need.max_age.unwrap_or_default(),
                },
            }
        } else {
            Reason::MfaNeeded
        };
        Err((Verdict::StepUp, reason))
    }

    /// What would be unmet if the person had come in like `presence`.
    fn unmet_as(&self, identity: &Identity, presence: Presence, need: &Need<'_>) -> Option<Reason<'p>> {
        match look(self.policies, identity, presence, self.inside, self.facts.now) {
            Looked::Holds(held) => need.first_unmet(self.policies, &self.scene_of(Some(&held.traits), Some(presence))),
            Looked::WrongMethod(_) | Looked::ShutOut(_) => Some(Reason::ConditionMissing),
        }
    }

    /// What is needed: of the application, of each rule, and how the session must have been made.
    fn need(&self, rules: &[usize], service: bool) -> Need<'p> {
        let of_rules = rules
            .iter()
            .filter_map(|&rule| self.compiled.requires.get(rule).and_then(Option::as_ref));
        let ages = self.told_rules(rules).filter_map(|rule| rule.max_age);
        Need {
            application: &self.compiled.require,
            rules: of_rules.collect(),
            mfa: !service && (self.compiled.mfa || self.told_rules(rules).any(|rule| rule.mfa == Some(MfaRule::Required))),
            max_age: (!service).then(|| ages.fold(self.compiled.max_age, Duration::min)),
            idle: (!service).then_some(self.compiled.idle),
        }
    }

    fn headers<R: Record<'p>>(&self, who: &Who<'_>, record: &mut R) -> Result<Arc<Told>, Refused<'p>> {
        let told = headers::tell(self.policies, self.id, &who.asker, &who.held, self.facts.client_ip);
        let limit = self.application.headers.max_bytes;
        record.step(|| Step::headers(told.as_ref().ok().map(|told| told.bytes()), limit));
        told.map_err(|_| (Verdict::Deny, Reason::HeaderOverflow))
    }

    fn scene<'s>(&'s self, who: Option<&'s Who<'_>>) -> Scene<'s> {
        self.scene_of(who.map(|who| &who.held.traits), who.map(|who| who.presence))
    }

    fn scene_of<'s>(&'s self, traits: Option<&'s Traits>, presence: Option<Presence>) -> Scene<'s> {
        Scene {
            policies: self.policies,
            inside: self.inside,
            now: self.facts.now,
            rested: self.facts.rested,
            application: Some(self.id),
            subject: traits.zip(presence).map(|(traits, presence)| Subject { traits, presence }),
        }
    }

    fn refuse(&self, verdict: Verdict, reason: Reason<'p>, rules: &[usize]) -> Decision<'p> {
        Decision {
            application: Some(self.application),
            rules: self.told_rules(rules).collect(),
            ..Decision::without_application(verdict, reason)
        }
    }

    fn allow(&self, allowed: Allowed, rules: &[usize]) -> Decision<'p> {
        Decision {
            verdict: Verdict::Allow,
            reason: allowed.reason,
            application: Some(self.application),
            limits: self.limits(rules),
            terms: Some(terms(self.application, self.told_rules(rules))),
            rules: self.told_rules(rules).collect(),
            held: allowed.held,
            told: Some(allowed.told),
        }
    }

    /// The rate limits of the rules, or of the application where a rule does not say.
    fn limits(&self, rules: &[usize]) -> Vec<&'p Limit> {
        let own = &self.application.limits;
        let mut limits: Vec<&'p Limit> = Vec::new();
        let mut add = |names: &[_]| {
            for limit in names.iter().filter_map(|name| self.policies.limit(name)) {
                if !limits.iter().any(|known| std::ptr::eq(*known, limit)) {
                    limits.push(limit);
                }
            }
        };
        if rules.is_empty() {
            add(own);
        }
        for rule in self.told_rules(rules) {
            add(rule.limits.as_ref().unwrap_or(own));
        }
        limits
    }
}

struct Allowed {
    reason: Reason<'static>,
    told: Arc<Told>,
    held: Option<Arc<Held>>,
}

/// An answer that is no allow, with what was looked up on the way.
type Stopped<'p> = (Verdict, Reason<'p>, Option<Arc<Held>>);

fn bare((verdict, reason): Refused<'_>) -> Stopped<'_> {
    (verdict, reason, None)
}

impl<'p> Decision<'p> {
    fn without_application(verdict: Verdict, reason: Reason<'p>) -> Self {
        Self {
            verdict,
            reason,
            application: None,
            rules: Vec::new(),
            limits: Vec::new(),
            terms: None,
            held: None,
            told: None,
        }
    }

    /// Of two readings of one path the worse answer counts; of two allows, the one that needed a session, under the terms of both.
    fn or_worse(self, other: Self) -> Self {
        if self.verdict != other.verdict {
            return if other.verdict < self.verdict { other } else { self };
        }
        if self.verdict != Verdict::Allow {
            return self;
        }
        let (mut kept, left) = if self.reason == Reason::PublicPath {
            (other, self)
        } else {
            (self, other)
        };
        kept.terms = match (kept.terms, left.terms) {
            (Some(one), Some(two)) => Some(one.stricter(two)),
            (one, two) => one.or(two),
        };
        for limit in left.limits {
            if !kept.limits.iter().any(|known| std::ptr::eq(*known, limit)) {
                kept.limits.push(limit);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests;
