//! Active checks: a server that does not answer as expected is left out until it does again.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Request, StatusCode, header};
use tokio::time::Instant;

use crate::policy::application::{Health, Target};

use super::body::RequestBody;
use super::connect::{Sender, connect};
use super::{Cluster, Server, Upstreams, Wanted};

/// How often it is looked whose check is due.
const TICK: Duration = Duration::from_millis(250);

/// The outcomes of the latest checks.
#[derive(Debug, Default)]
pub(super) struct Run {
    last: Option<Instant>,
    good: u32,
    bad: u32,
}

pub(super) async fn watch(upstreams: &Upstreams) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Some(()) = running.next(), if !running.is_empty() => continue,
        }
        let clusters: Vec<Arc<Cluster>> = upstreams.clusters.load().values().map(Arc::clone).collect();
        for cluster in clusters {
            cluster.tend();
            for server in cluster.servers.iter().filter(|server| is_due(&cluster.health, server)) {
                running.push(check(Arc::clone(&cluster), Arc::clone(server)));
            }
        }
    }
}

/// Whether a server is to be checked now; notes that it is.
fn is_due(health: &Health, server: &Server) -> bool {
    if health.path.is_none() {
        return false;
    }
    let mut run = server.checked.lock().unwrap_or_else(PoisonError::into_inner);
    let due = run.last.is_none_or(|last| last.elapsed() >= health.every);
    if due {
        run.last = Some(Instant::now());
    }
    due
}

async fn check(cluster: Arc<Cluster>, server: Arc<Server>) {
    let health = &cluster.health;
    let good = tokio::time::timeout(health.timeout, ask(&cluster, &server))
        .await
        .ok()
        .flatten()
        .is_some_and(|status| health.expect.iter().any(|range| range.contains(&status.as_u16())));
    let mut run = server.checked.lock().unwrap_or_else(PoisonError::into_inner);
    (run.good, run.bad) = if good {
        (run.good.saturating_add(1), 0)
    } else {
        (0, run.bad.saturating_add(1))
    };
    let away = server.standing.is_away();
    if !away && run.bad >= health.fail {
        cluster.gone(&server);
    } else if away && run.good >= health.pass {
        cluster.back(&server);
    }
}

async fn ask(cluster: &Cluster, server: &Server) -> Option<StatusCode> {
    let host = match &server.target {
        Target::Tcp { host, .. } if host.contains(':') => format!("[{host}]"),
        Target::Tcp { host, .. } => host.to_string(),
        Target::Unix { .. } => "localhost".to_owned(),
    };
    let request = Request::get(cluster.health.path.as_deref()?)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "portcullis-health")
        .header(header::CONNECTION, "close")
        .body(RequestBody::Empty)
        .ok()?;
    let Sender::Http1(mut sender) = connect(cluster, server, Wanted::Http1, cluster.health.timeout).await.ok()? else {
        return None;
    };
    sender.send_request(request).await.ok().map(|answer| answer.status())
}
