//! Streams and sockets are decided again while they are open: from time to time, and whenever something has changed.

use std::sync::Arc;
use std::time::Duration;

use crate::accounts;
use crate::app::App;
use crate::model::name::ApplicationName;
use crate::model::principal::Principal;
use crate::model::session::SessionValue;
use crate::policy;
use crate::policy::{Memo, RequestFacts, Verdict};

use super::{Ask, Gateway};

/// The question that was answered when the stream was opened, to be asked again.
#[derive(Debug)]
pub(super) struct Recheck {
    app: Arc<App>,
    gateway: Arc<Gateway>,
    facts: RequestFacts,
    value: Option<SessionValue>,
    application: ApplicationName,
    every: Duration,
}

impl Recheck {
    pub(super) fn new(app: &Arc<App>, gateway: &Arc<Gateway>, ask: &Ask<'_>, application: &policy::Application) -> Self {
        Self {
            app: Arc::clone(app),
            gateway: Arc::clone(gateway),
            facts: ask.read.facts.clone(),
            value: ask.presented.value.clone(),
            application: application.name.clone(),
            every: application.recheck,
        }
    }

    /// Waits until it is no longer allowed.
    pub(super) async fn until_refused(mut self) {
        let mut changes = self.gateway.tunnels().watch();
        loop {
            // Either way it is asked again; who would tell of changes is there as long as the gateway is.
            let _ = tokio::time::timeout(self.every, changes.changed()).await;
            if !self.still_holds().await {
                return;
            }
        }
    }

    async fn still_holds(&mut self) -> bool {
        let live = self.app.live();
        self.facts.now = self.app.clock.now();
        let fresh = Memo::new();
        let mut caller = None;
        if let Some(value) = &self.value {
            match self.app.accounts.caller(value, self.facts.host.as_str(), self.facts.now).await {
                Ok(accounts::Presented::Live(found)) => caller = Some(found),
                Ok(accounts::Presented::Ended) => {}
                // Who was let in stays in while the store is away; it is asked again.
                Err(_) => return true,
            }
        }
        self.facts.rested = caller.as_ref().map(|caller| caller.stay.rested()).unwrap_or_default();
        let principal = caller.as_ref().map_or(Principal::Anonymous, |caller| caller.principal.clone());
        let memo = caller.as_ref().map_or(&fresh, |caller| caller.memo());
        let decision = policy::decide_remembering(&live.policies, &principal, &self.facts, memo);
        let same = decision.application.is_some_and(|application| application.name == self.application);
        decision.verdict == Verdict::Allow && same
    }
}
