//! Tells systemd how the server is doing: ready, reloading, stopping, alive. Says nothing where nobody listens.
//!
//! Source: sd_notify(3), sd_watchdog_enabled(3).

use sd_notify::NotifyState;

/// Requests are answered.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Files are being read again; [`ready`] ends it.
pub fn reloading() {
    // Without the moment newer versions of systemd take the reload for failed.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// No more requests are taken.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Says that the server is alive, twice as often as is asked for, until the future is dropped. Ends at once where nobody asks.
pub async fn keep_alive() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(within / 2);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = %error, "systemd could not be told");
    }
}
