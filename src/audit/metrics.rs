//! What portcullis counts, in the form that Prometheus reads.
//!
//! No user, path or address is ever a label: figures are kept for long and shown to many.

use std::fmt::Write;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::base::time::Timestamp;
use crate::model::name::ApplicationName;

/// An application as a label; `-` for requests that belong to none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AppLabel(Option<ApplicationName>);

impl EncodeLabelValue for AppLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0.as_ref().map_or("-", ApplicationName::as_str))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    app: AppLabel,
    method: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AppOnly {
    app: AppLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EjectionLabels {
    app: AppLabel,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    app: AppLabel,
    decision: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuthnLabels {
    method: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExpiryLabels {
    kind: &'static str,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CutLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutboxLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MailLabels {
    outcome: &'static str,
}

type Histograms = Family<AppOnly, Histogram, fn() -> Histogram>;

/// All counters, gauges and histograms, and the registry that writes them out.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Histograms,
    upstream_duration: Histograms,
    upstream_ejections: Family<EjectionLabels, Counter>,
    upstream_out: Family<AppOnly, Gauge>,
    upstream_resent: Family<AppOnly, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    authn: Family<AuthnLabels, Counter>,
    sessions: Gauge,
    tunnels: Gauge,
    streams: Gauge,
    cuts: Family<EndedLabels, Counter>,
    connections: Gauge,
    resting: Gauge,
    http2_cut: Family<CutLabels, Counter>,
    policy_stale: Gauge,
    last_reload_success: Gauge,
    expiry: Family<ExpiryLabels, Gauge>,
    decisions_dropped: Counter,
    #[cfg(feature = "otel")]
    spans_dropped: Counter,
    panics: Counter,
    last_backup: Gauge,
    backup_failures: Counter,
    outbox: Family<OutboxLabels, Gauge>,
    mail: Family<MailLabels, Counter>,
}

/// A quarter of a millisecond to half a minute, each bound about two and a half times the one before.
fn durations() -> Histogram {
    Histogram::new([
        0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let request_duration = Histograms::new_with_constructor(durations);
        registry.register(
            "http_request_duration_seconds",
            "From the end of a request's head to the head of its answer",
            request_duration.clone(),
        );
        let upstream_duration = Histograms::new_with_constructor(durations);
        registry.register(
            "upstream_duration_seconds",
            "From the choice of an upstream to the head of its answer",
            upstream_duration.clone(),
        );
        let upstream_ejections = Family::default();
        registry.register(
            "upstream_ejections",
            "Servers of applications that were left out for a while, by cause",
            upstream_ejections.clone(),
        );
        let upstream_out = Family::default();
        registry.register(
            "upstream_servers_out",
            "Servers of applications that are left out now",
            upstream_out.clone(),
        );
        let upstream_resent = Family::default();
        registry.register(
            "upstream_resent",
            "Requests that were sent to an application a second time, all of them safe ones",
            upstream_resent.clone(),
        );
        let decisions = Family::default();
        registry.register("decisions", "Decisions by outcome and reason", decisions.clone());
        let authn = Family::default();
        registry.register("authn", "Sign-ins by method and outcome", authn.clone());
        let sessions = Gauge::default();
        registry.register("sessions", "Live sessions known to this process", sessions.clone());
        let tunnels = Gauge::default();
        registry.register("tunnels", "Open WebSockets", tunnels.clone());
        let streams = Gauge::default();
        registry.register("streams", "Answers and requests that last", streams.clone());
        let cuts = Family::default();
        registry.register("cut", "What was open and was ended because its right had ended", cuts.clone());
        let connections = Gauge::default();
        registry.register("connections", "Open connections from clients", connections.clone());
        let resting = Gauge::default();
        registry.register(
            "connections_resting",
            "Open connections from clients on which nothing is under way, held in little memory",
            resting.clone(),
        );
        let http2_cut = Family::default();
        registry.register(
            "http2_cut",
            "HTTP/2 connections that were ended for what they sent, did not send or did not take",
            http2_cut.clone(),
        );
        let policy_stale = Gauge::default();
        registry.register(
            "policy_stale",
            "1 while the files on disk are not what is in force",
            policy_stale.clone(),
        );
        let last_reload_success = Gauge::default();
        registry.register(
            "config_last_reload_success",
            "1 if the last reload went live",
            last_reload_success.clone(),
        );
        let expiry = Family::default();
        registry.register(
            "expiry_timestamp_seconds",
            "When a certificate, key or service ends, in seconds since 1970",
            expiry.clone(),
        );
        let decisions_dropped = Counter::default();
        registry.register(
            "decision_log_dropped",
            "Lines of the decision log that were lost because it could not keep up",
            decisions_dropped.clone(),
        );
        #[cfg(feature = "otel")]
        let spans_dropped = Counter::default();
        #[cfg(feature = "otel")]
        registry.register(
            "spans_dropped",
            "Spans of traces that were lost because their collector could not keep up or did not take them",
            spans_dropped.clone(),
        );
        let panics = Counter::default();
        registry.register("panics", "Requests that ended in a panic, each a fault of ours", panics.clone());
        let last_backup = Gauge::default();
        registry.register(
            "backup_last_success_timestamp_seconds",
            "When the newest backup of the timer was made, in seconds since 1970; 0 if there is none",
            last_backup.clone(),
        );
        let backup_failures = Counter::default();
        registry.register(
            "backup_failures",
            "Backups of the timer that were not made",
            backup_failures.clone(),
        );
        let outbox = Family::default();
        registry.register("outbox", "Letters that wait to be sent, or failed", outbox.clone());
        let mail = Family::default();
        registry.register("mail", "Letters that were tried, by what came of it", mail.clone());
        registry.register(
            "build",
            "The version that runs",
            Info::new(BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            }),
        );
        let metrics = Self {
            registry,
            requests,
            request_duration,
            upstream_duration,
            upstream_ejections,
            upstream_out,
            upstream_resent,
            decisions,
            authn,
            sessions,
            tunnels,
            streams,
            cuts,
            connections,
            resting,
            http2_cut,
            policy_stale,
            last_reload_success,
            expiry,
            decisions_dropped,
            #[cfg(feature = "otel")]
            spans_dropped,
            panics,
            last_backup,
            backup_failures,
            outbox,
            mail,
        };
        metrics.start_at_zero();
        metrics
    }

    /// Families show nothing until a label was used; alarms want to see a zero from the start.
    fn start_at_zero(&self) {
        let app = || AppLabel(None);
        let _ = self.requests.get_or_create(&RequestLabels {
            app: app(),
            method: "GET",
            code: 200,
        });
        let _ = self.request_duration.get_or_create(&AppOnly { app: app() });
        let _ = self.upstream_duration.get_or_create(&AppOnly { app: app() });
        let _ = self.upstream_resent.get_or_create(&AppOnly { app: app() });
        for cause in ["unreachable", "no-answer", "answers"] {
            let _ = self.upstream_ejections.get_or_create(&EjectionLabels { app: app(), cause });
        }
        let _ = self.decisions.get_or_create(&DecisionLabels {
            app: app(),
            decision: "not-found",
            reason: "no-app",
        });
        for reason in ["control-frames", "resets", "header-block", "no-settings", "late", "unread"] {
            let _ = self.http2_cut.get_or_create(&CutLabels { reason });
        }
        for kind in ["request", "answer", "websocket"] {
            let _ = self.cuts.get_or_create(&EndedLabels {
                kind,
                reason: "session-ended",
            });
        }
        for state in ["waiting", "failed"] {
            let _ = self.outbox.get_or_create(&OutboxLabels { state });
        }
        for outcome in ["sent", "put-off", "failed"] {
            let _ = self.mail.get_or_create(&MailLabels { outcome });
        }
        for outcome in ["success", "failure", "locked"] {
            let _ = self.authn.get_or_create(&AuthnLabels {
                method: "password",
                outcome,
            });
        }
    }

    /// Counts an answer and how long it took.
    pub fn answered(&self, app: Option<&ApplicationName>, method: &str, code: u16, took: Duration) {
        let app = AppLabel(app.cloned());
        self.requests
            .get_or_create(&RequestLabels {
                app: app.clone(),
                method: known_method(method),
                code,
            })
            .inc();
        self.request_duration.get_or_create(&AppOnly { app }).observe(took.as_secs_f64());
    }

    /// Counts the time an upstream took to begin its answer.
    pub fn upstream_answered(&self, app: &ApplicationName, took: Duration) {
        self.upstream_duration
            .get_or_create(&AppOnly {
                app: AppLabel(Some(app.clone())),
            })
            .observe(took.as_secs_f64());
    }

    /// Counts a server of an application that is left out, by a word for the cause.
    pub fn upstream_ejected(&self, app: &ApplicationName, cause: &'static str) {
        let app = AppLabel(Some(app.clone()));
        self.upstream_ejections.get_or_create(&EjectionLabels { app, cause }).inc();
    }

    /// How many servers of an application are left out.
    #[must_use]
    pub fn upstream_out(&self, app: &ApplicationName) -> usize {
        let app = AppLabel(Some(app.clone()));
        let out = self.upstream_out.get(&AppOnly { app }).map_or(0, |gauge| gauge.get());
        usize::try_from(out).unwrap_or(0)
    }

    /// Says how many servers of an application are left out.
    pub fn set_upstream_out(&self, app: &ApplicationName, count: usize) {
        self.upstream_out
            .get_or_create(&AppOnly {
                app: AppLabel(Some(app.clone())),
            })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a request that was sent again.
    pub fn upstream_resent(&self, app: &ApplicationName) {
        self.upstream_resent
            .get_or_create(&AppOnly {
                app: AppLabel(Some(app.clone())),
            })
            .inc();
    }

    /// Counts a decision, by the words of its verdict and reason.
    pub fn decided(&self, app: Option<&ApplicationName>, decision: &'static str, reason: &'static str) {
        self.decisions
            .get_or_create(&DecisionLabels {
                app: AppLabel(app.cloned()),
                decision,
                reason,
            })
            .inc();
    }

    /// Counts a sign-in, by method (`password`, `saml`, …) and outcome (`success`, `failure`, `locked`, …).
    pub fn signed_in(&self, method: &'static str, outcome: &'static str) {
        self.authn.get_or_create(&AuthnLabels { method, outcome }).inc();
    }

    /// Says how many sessions are live.
    pub fn set_sessions(&self, count: usize) {
        self.sessions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Says how many answers and requests last.
    pub fn set_streams(&self, count: usize) {
        self.streams.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts what was cut: `request`, `answer` or `websocket`, and the code of the reason.
    pub fn cut(&self, kind: &'static str, reason: &'static str) {
        self.cuts.get_or_create(&EndedLabels { kind, reason }).inc();
    }

    /// Counts a tunnel for as long as the guard lives.
    #[must_use]
    pub fn tunnel(&self) -> Counted {
        Counted::of(&self.tunnels)
    }

    /// Counts a client's connection for as long as the guard lives.
    #[must_use]
    pub fn connection(&self) -> Counted {
        Counted::of(&self.connections)
    }

    /// Counts a connection at rest for as long as the guard lives.
    #[must_use]
    pub fn resting(&self) -> Counted {
        Counted::of(&self.resting)
    }

    /// Counts an HTTP/2 connection that was ended from here, by one word for why.
    pub fn http2_cut(&self, reason: &'static str) {
        self.http2_cut.get_or_create(&CutLabels { reason }).inc();
    }

    /// Says whether the files on disk are other than what is in force.
    pub fn set_policy_stale(&self, stale: bool) {
        self.policy_stale.set(i64::from(stale));
    }

    /// Says whether the last reload went live.
    pub fn set_last_reload(&self, success: bool) {
        self.last_reload_success.set(i64::from(success));
    }

    /// Says when something ends: `kind` such as `certificate`, `name` from the configuration.
    pub fn set_expiry(&self, kind: &'static str, name: &str, at: Timestamp) {
        self.expiry
            .get_or_create(&ExpiryLabels {
                kind,
                name: name.to_owned(),
            })
            .set(at.as_secs());
    }

    /// Counts a line that the decision log could not take.
    pub fn decision_dropped(&self) {
        self.decisions_dropped.inc();
    }

    /// How many lines the decision log could not take.
    #[must_use]
    pub fn decisions_dropped(&self) -> u64 {
        self.decisions_dropped.get()
    }

    /// What counts spans of traces that were lost.
    #[cfg(feature = "otel")]
    #[must_use]
    pub fn spans_dropped(&self) -> Counter {
        self.spans_dropped.clone()
    }

    /// Says when the newest backup of the timer was made.
    pub fn backed_up(&self, at: Timestamp) {
        self.last_backup.set(at.as_secs());
    }

    /// Counts a backup of the timer that was not made.
    pub fn backup_failed(&self) {
        self.backup_failures.inc();
    }

    /// Says how many letters stand so: `waiting` or `failed`.
    pub fn set_outbox(&self, state: &'static str, count: usize) {
        let gauge = self.outbox.get_or_create(&OutboxLabels { state });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a letter that was tried: `sent`, `put-off` or `failed`.
    pub fn mailed(&self, outcome: &'static str) {
        self.mail.get_or_create(&MailLabels { outcome }).inc();
    }

    /// Counts a request that panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Everything in the text format of OpenMetrics 1.0.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails only if a label cannot be written, and all of ours can.
        if encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# the figures could not be written");
        }
        text
    }
}

/// Clients may send any method they can spell; a label must not grow with that.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

/// Something that is counted while it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_documented_name_from_the_start() {
        let metrics = Metrics::new();
        metrics.set_expiry("certificate", "lab.example", Timestamp::from_secs(1_800_000_000));
        let text = metrics.to_text();
        for name in [
            "portcullis_http_requests_total{",
            "portcullis_http_request_duration_seconds_bucket{",
            "portcullis_upstream_duration_seconds_bucket{",
            "portcullis_decisions_total{",
            "portcullis_authn_total{method=\"password\",outcome=\"success\"} 0",
            "portcullis_sessions 0",
            "portcullis_tunnels 0",
            "portcullis_http2_cut_total{reason=\"resets\"} 0",
            "portcullis_streams 0",
            "portcullis_cut_total{kind=\"websocket\",reason=\"session-ended\"} 0",
            "portcullis_policy_stale 0",
            "portcullis_backup_last_success_timestamp_seconds 0",
            "portcullis_backup_failures_total 0",
            "portcullis_outbox{state=\"waiting\"} 0",
            "portcullis_mail_total{outcome=\"sent\"} 0",
            "portcullis_config_last_reload_success 0",
            "portcullis_expiry_timestamp_seconds{kind=\"certificate\",name=\"lab.example\"} 1800000000",
            "portcullis_build_info{version=\"",
        ] {
            assert!(text.contains(name), "{name} is missing in\n{text}");
        }
    }

    #[test]
    fn strangers_cannot_make_labels() {
        let metrics = Metrics::new();
        metrics.answered(None, "BREW-1", 400, Duration::from_millis(1));
        metrics.answered(None, "BREW-2", 400, Duration::from_millis(1));
        assert!(
            metrics
                .to_text()
                .contains("portcullis_http_requests_total{app=\"-\",method=\"other\",code=\"400\"} 2")
        );
    }

    #[test]
    fn a_tunnel_counts_while_it_lives() {
        let metrics = Metrics::new();
        let one = metrics.tunnel();
        assert!(metrics.to_text().contains("portcullis_tunnels 1"));
        drop(one);
        assert!(metrics.to_text().contains("portcullis_tunnels 0"));
    }
}
