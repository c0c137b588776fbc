//! What has to be done from time to time: expiry, keys, certificates, marks of the audit trail, letters that failed, reminders.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::control::chain;
use super::opening::Desk;
use super::tls::Resolver;

/// How often. All of it is cheap where there is nothing to do.
const MINUTE: Duration = Duration::from_secs(60);

/// Does all of it, each minute, until the future is dropped.
pub async fn each_in_its_time(desk: Arc<Desk>, certificates: Option<Arc<Resolver>>) {
    // At start everything is fresh.
    let mut ticks = interval_at(Instant::now() + MINUTE, MINUTE);
    // After a suspended machine wakes, once is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tell_expiries(&desk, certificates.as_deref());
    loop {
        ticks.tick().await;
        all(&desk).await;
        if let Some(certificates) = &certificates {
            renew(&desk, Arc::clone(certificates)).await;
        }
        tell_expiries(&desk, certificates.as_deref());
    }
}

/// Everything that is due now.
pub async fn all(desk: &Desk) {
    let now = desk.app.clock.now();
    desk.app.accounts.sweep(now);
    loop {
        match desk.store.sweep(now).await {
            Ok(swept) if swept.more => {}
            Ok(_) => break,
            Err(error) => {
                tracing::error!(error = %error, "what has expired could not be removed");
                break;
            }
        }
    }
    if let Err(error) = desk.app.accounts.tend_keys(now).await {
        tracing::error!(error = %error, "the keys of the assertion could not be looked after");
    }
    match desk.app.accounts.wipe_letters(now).await {
        Ok(failed) => desk.app.metrics.set_outbox("failed", failed),
        Err(error) => tracing::error!(error = %error, "letters that are of no use could not be wiped"),
    }
    match desk.store.mark_audit(now).await {
        // In the log, which may be kept elsewhere, a mark shows that the trail was not cut behind it.
        Ok(Some(mark)) => tracing::info!(entry = mark.entry, hash = %mark.hash, "audit trail marked"),
        Ok(None) => {}
        Err(error) => tracing::error!(error = %error, "the audit trail could not be marked"),
    }
    remind(desk);
}

/// An older policy in force must not be forgotten.
fn remind(desk: &Desk) {
    if let Some(stale) = &desk.app.live().stale {
        let first = stale.problems.first().map(String::as_str).unwrap_or_default();
        tracing::warn!(since = %stale.since, problems = stale.problems.len(), first, "the policy in force is not the one in the files");
    }
}

/// Reads the certificates again. Cheap, and certain: a renewal is seen whatever way the files were replaced.
async fn renew(desk: &Desk, certificates: Arc<Resolver>) {
    let Some(tls) = desk.app.live().settings.tls.clone() else { return };
    let renewed = tokio::task::spawn_blocking(move || certificates.replace(&tls)).await;
    if let Ok(Err(error)) = renewed {
        tracing::error!(error = %chain(&error), "the certificates cannot be read again; those in use stay");
    }
}

fn tell_expiries(desk: &Desk, certificates: Option<&Resolver>) {
    let metrics = &desk.app.metrics;
    for ending in certificates.map(Resolver::endings).unwrap_or_default() {
        metrics.set_expiry("certificate", &ending.name, ending.at);
    }
    if let Some(ends) = desk.app.accounts.signing_key_ends(desk.app.clock.now()) {
        metrics.set_expiry("assertion_key", "signing", ends);
    }
    for service in &desk.app.live().policies.definitions().services {
        if let Some(ends) = service.expires {
            metrics.set_expiry("service", service.name.as_str(), ends);
        }
    }
}
