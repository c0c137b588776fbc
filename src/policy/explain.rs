//! The same walk, told step by step.

use std::sync::Arc;

use crate::model::name::IpPatternName;
use crate::model::principal::{Identity, Principal};

use super::application::{Application, Guard};
use super::compile::PolicySet;
use super::decide::Need;
use super::facts::RequestFacts;
use super::require::Scene;
use super::subject::{Held, Looked};
use http::Method;

/// One step of a decision.
#[derive(Clone, Debug)]
pub(super) enum Step<'p> {
    Application(&'p Application),
    Patterns {
        application: &'p Application,
        reading: String,
        method: Method,
    },
    Guard {
        guard: &'p Guard,
        about: bool,
        hit: bool,
    },
    Address {
        patterns: &'p [IpPatternName],
        ok: bool,
    },
    Session(String),
    Memberships(String),
    Held(Arc<Held>),
    SignIn {
        application: &'p Application,
        ok: bool,
    },
    Requirements(Vec<String>),
    StepUp {
        helps: bool,
    },
    Headers {
        bytes: Option<usize>,
        limit: usize,
    },
}

impl<'p> Step<'p> {
    pub(super) fn session(_policies: &'p PolicySet, _principal: &Principal, _facts: &RequestFacts) -> Self {
        Self::Session(String::new())
    }
    pub(super) fn memberships(_policies: &'p PolicySet, _identity: &Identity, _looked: &Looked) -> Self {
        Self::Memberships(String::new())
    }
    pub(super) fn requirements(_policies: &'p PolicySet, _need: &Need<'_>, _scene: &Scene<'_>) -> Self {
        Self::Requirements(Vec::new())
    }
}
