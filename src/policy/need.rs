//! Everything that must hold for one request, and the terms it is then carried on.

use std::time::Duration;

use super::application::{Application, BodyLimit, Rule};
use super::decision::{Reason, Terms};
use super::require::{Requirement, Scene};
use super::set::PolicySet;

/// Everything that must hold, to be asked of the person as they came and as they might come.
pub(super) struct Need<'p> {
    pub(super) application: &'p Requirement,
    pub(super) rules: Vec<&'p Requirement>,
    pub(super) mfa: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) idle: Option<Duration>,
}

impl Need<'_> {
    pub(super) fn first_unmet<'p>(&self, policies: &'p PolicySet, scene: &Scene<'_>) -> Option<Reason<'p>> {
        let of_rules = || {
            // Which of several tied rules is told about must not hang on their order.
            let unmet = self.rules.iter().filter_map(|rule| rule.first_unmet(scene));
            unmet.min_by_key(|clause| clause.rank())
        };
        if let Some(clause) = self.application.first_unmet(scene).or_else(of_rules) {
            return Some(clause.reason(policies, scene));
        }
        if self.mfa && !mfa_shown(scene) {
            return Some(Reason::MfaNeeded);
        }
        if let Some(max_age) = self.max_age.filter(|max_age| !is_young(scene, *max_age)) {
            return Some(Reason::SessionTooOld { max_age });
        }
        // Nobody can have been away for longer than since they signed in.
        self.idle
            .filter(|idle| scene.rested >= *idle && !is_young(scene, *idle))
            .map(|idle| Reason::SessionUnused { idle })
    }
}

pub(super) fn mfa_shown(scene: &Scene<'_>) -> bool {
    scene.subject.is_some_and(|subject| subject.presence.mfa)
}

pub(super) fn is_young(scene: &Scene<'_>, max_age: Duration) -> bool {
    scene
        .subject
        .and_then(|subject| subject.presence.at)
        .is_some_and(|at| scene.now.since(at) < max_age)
}

/// How to carry the request: what the rules say, else what the application says; of several the stricter.
pub(super) fn terms<'p>(application: &Application, rules: impl Iterator<Item = &'p Rule>) -> Terms {
    let own = Terms {
        timeouts: application.timeouts,
        max_body: application.max_body,
        websocket: application.websocket,
    };
    rules
        .map(|rule| Terms {
            timeouts: rule.timeouts.unwrap_or(own.timeouts),
            max_body: rule.max_body.unwrap_or(own.max_body),
            websocket: rule.websocket.unwrap_or(own.websocket),
        })
        .reduce(Terms::stricter)
        .unwrap_or(own)
}

impl Terms {
    /// The stricter of each.
    pub(super) fn stricter(self, other: Self) -> Self {
        Self {
            timeouts: self.timeouts.shorter(&other.timeouts),
            max_body: BodyLimit::smaller(self.max_body, other.max_body),
            websocket: self.websocket && other.websocket,
        }
    }
}
