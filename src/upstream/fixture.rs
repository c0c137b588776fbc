//! Clusters for the tests of this folder: servers that nobody asks anything.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::application::{Balance, Health, Target, UpstreamServer, UpstreamTls};

use super::{Cluster, Server, Tell};

fn written(weight: u32, port: u16) -> UpstreamServer {
    UpstreamServer {
        target: Target::Tcp {
            tls: false,
            host: "localhost".into(),
            port,
        },
        weight,
    }
}

/// Servers of these weights and of no cluster.
pub(super) fn servers(weights: &[u32]) -> Vec<Arc<Server>> {
    weights
        .iter()
        .zip(1..)
        .map(|(weight, port)| Arc::new(Server::new(&written(*weight, port), Weak::new())))
        .collect()
}

/// So many servers that take turns.
pub(super) fn cluster(count: usize, health: Health) -> Arc<Cluster> {
    Arc::new_cyclic(|cluster| Cluster {
        name: "lab".parse().unwrap(),
        servers: (1..)
            .take(count)
            .map(|port| Arc::new(Server::new(&written(1, port), Weak::clone(cluster))))
            .collect(),
        written: Vec::new(),
        balance: Balance::RoundRobin,
        health,
        tls_written: UpstreamTls::default(),
        tls: Ok(None),
        turn: 0.into(),
        made: Instant::now(),
        gone_by: 0.into(),
        disturbed: false.into(),
        judging: ().into(),
        span_began: 0.into(),
        resending: 0.into(),
        tell: Tell::default(),
    })
}

/// Lets time go by.
pub(super) fn wait(cluster: &Cluster, span: Duration) {
    let millis = u64::try_from(span.as_millis()).unwrap();
    cluster.gone_by.fetch_add(millis, Ordering::Relaxed);
}
