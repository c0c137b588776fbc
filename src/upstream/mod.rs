//! The servers behind the gateway: which one takes a request, the connections to it, and the bytes both ways.

mod balance;
mod body;
mod connect;
mod health;
mod pool;
mod send;
mod tls;
pub mod tunnel;

pub use body::{AnswerBody, AnswerFault, Fault, Patience, RequestBody, Upload};
pub use connect::ConnectError;
pub use pool::sweep;
pub use send::{SendError, Sending, Wanted, send};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::model::name::ApplicationName;
use crate::policy::application::{Application, Balance, Health, Target, UpstreamServer, UpstreamTls};

/// One server of an application, as it is doing.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub target: Target,
    weight: u32,
    /// Requests it is working on, over all threads.
    in_flight: AtomicUsize,
    /// Active checks say it is away.
    away: AtomicBool,
    /// Failures in a row of real requests.
    failures: AtomicU32,
    /// Until then it is not tried if there are others, in milliseconds since the cluster was made.
    rests_until: AtomicU64,
    /// How active checks went lately: a run of equal outcomes.
    checked: Mutex<health::Run>,
}

/// The servers of one application.
#[derive(Debug)]
pub struct Cluster {
    /// The application.
    pub name: ApplicationName,
    servers: Vec<Arc<Server>>,
    written: Vec<UpstreamServer>,
    balance: Balance,
    health: Health,
    tls_written: UpstreamTls,
    tls: Result<Option<tls::Clients>, tls::TlsFault>,
    turn: AtomicUsize,
    made: Instant,
}

impl Cluster {
    fn new(application: &Application) -> Self {
        let needs_tls = application
            .upstreams
            .iter()
            .any(|server| matches!(server.target, Target::Tcp { tls: true, .. }));
        Self {
            name: application.name.clone(),
            servers: application.upstreams.iter().map(|server| Arc::new(Server::new(server))).collect(),
            written: application.upstreams.clone(),
            balance: application.balance,
            health: application.health.clone(),
            tls_written: application.tls.clone(),
            tls: if needs_tls {
                tls::Clients::new(&application.tls).map(Some)
            } else {
                Ok(None)
            },
            turn: AtomicUsize::new(0),
            made: Instant::now(),
        }
    }

    /// Whether the files still say the same of it.
    fn is_as_written(&self, application: &Application) -> bool {
        self.written == application.upstreams
            && self.balance == application.balance
            && self.health == application.health
            && self.tls_written == application.tls
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_up(&self, server: &Server) -> bool {
        !server.away.load(Ordering::Relaxed) && server.rests_until.load(Ordering::Relaxed) <= self.millis()
    }

    /// A request could not be brought to the server, or it gave no answer.
    fn failed(&self, server: &Server) {
        let failures = server.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= self.health.fail {
            let rest = u64::try_from(self.health.every.as_millis()).unwrap_or(u64::MAX);
            server.rests_until.store(self.millis().saturating_add(rest), Ordering::Relaxed);
        }
    }

    fn answered(server: &Server) {
        // Written only where it changes: every thread reads this line of memory.
        if server.failures.load(Ordering::Relaxed) != 0 {
            server.failures.store(0, Ordering::Relaxed);
            server.rests_until.store(0, Ordering::Relaxed);
        }
    }

    fn client_config(&self, wanted: Wanted) -> Result<Option<&Arc<ClientConfig>>, &tls::TlsFault> {
        self.tls
            .as_ref()
            .map(|clients| clients.as_ref().map(|clients| clients.for_request(wanted)))
    }
}

impl Server {
    fn new(written: &UpstreamServer) -> Self {
        Self {
            target: written.target.clone(),
            weight: written.weight.max(1),
            in_flight: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
            checked: Mutex::default(),
        }
    }
}

/// The servers of all applications.
#[derive(Debug, Default)]
pub struct Upstreams {
    clusters: ArcSwap<HashMap<ApplicationName, Arc<Cluster>>>,
    adopting: Mutex<()>,
}

impl Upstreams {
    /// Goes by what the files say now. An application whose servers are written as before keeps its connections and what is known of them.
    pub fn adopt<'a>(&self, applications: impl Iterator<Item = &'a Application>) {
        let _one = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.clusters.load();
        let now = applications
            .filter(|application| !application.upstreams.is_empty())
            .map(|application| {
                let kept = before.get(&application.name).filter(|cluster| cluster.is_as_written(application));
                let cluster = kept.map_or_else(|| Arc::new(Cluster::new(application)), Arc::clone);
                if let Err(fault) = &cluster.tls {
                    tracing::error!(application = %cluster.name, error = %fault, "tls to the upstream cannot be set up");
                }
                (application.name.clone(), cluster)
            })
            .collect();
        self.clusters.store(Arc::new(now));
    }

    /// The servers of one application.
    #[must_use]
    pub fn cluster(&self, application: &ApplicationName) -> Option<Arc<Cluster>> {
        self.clusters.load().get(application).map(Arc::clone)
    }

    /// Runs the active checks, for ever. One thread of the process does.
    pub async fn watch(&self) {
        health::watch(self).await;
    }
}
