//! The servers behind the gateway: which one takes a request, the connections to it, and the bytes both ways.

mod balance;
mod body;
mod connect;
pub mod frames;
mod health;
mod pool;
pub mod probe;
mod send;
mod standing;
mod tls;
pub mod tunnel;

pub use body::{AnswerBody, AnswerFault, Fault, LASTS, Patience, RequestBody, Upload};
pub use connect::ConnectError;
pub use pool::sweep;
pub use send::{Attempts, Lasting, SendError, Sending, Wanted, send};
pub use standing::Cause;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::model::name::ApplicationName;
use crate::policy::application::{Application, Balance, Health, Target, UpstreamServer, UpstreamTls};

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// A server is left out, and why.
    Ejected(Cause),
    /// So many servers are left out now.
    Out(usize),
    /// A request was sent again.
    Resent,
}

type Told = dyn Fn(&ApplicationName, Noted) + Send + Sync;

/// Is told what is counted.
#[derive(Clone)]
pub struct Tell(Arc<Told>);

impl Tell {
    /// Tells `to`.
    pub fn new(to: impl Fn(&ApplicationName, Noted) + Send + Sync + 'static) -> Self {
        Self(Arc::new(to))
    }
}

impl Default for Tell {
    fn default() -> Self {
        Self::new(|_, _| {})
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tell")
    }
}

/// One server of an application, as it is doing.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub target: Target,
    weight: u32,
    /// Requests it is working on, over all threads.
    in_flight: AtomicUsize,
    standing: standing::Standing,
    /// How active checks went lately: a run of equal outcomes.
    checked: Mutex<health::Run>,
    /// Its siblings.
    cluster: Weak<Cluster>,
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
    /// Milliseconds that a test lets go by.
    #[cfg(test)]
    gone_by: AtomicU64,
    /// Whether some server may be out or on its way back. While none is, nobody looks at the time.
    disturbed: AtomicBool,
    /// Held while a server is put out or taken in: rare, and never while a request waits for something.
    judging: Mutex<()>,
    /// When the present span of `health.every` began, in milliseconds since the cluster was made.
    span_began: AtomicU64,
    /// Requests that are being sent again.
    resending: AtomicUsize,
    tell: Tell,
}

impl Cluster {
    fn new(application: &Application, tell: Tell) -> Arc<Self> {
        let needs_tls = application
            .upstreams
            .iter()
            .any(|server| matches!(server.target, Target::Tcp { tls: true, .. }));
        Arc::new_cyclic(|cluster| Self {
            name: application.name.clone(),
            servers: application
                .upstreams
                .iter()
                .map(|server| Arc::new(Server::new(server, Weak::clone(cluster))))
                .collect(),
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
            #[cfg(test)]
            gone_by: AtomicU64::new(0),
            disturbed: AtomicBool::new(false),
            judging: Mutex::default(),
            span_began: AtomicU64::new(0),
            resending: AtomicUsize::new(0),
            tell,
        })
    }

    /// Whether the files still say the same of it.
    fn is_as_written(&self, application: &Application) -> bool {
        self.written == application.upstreams
            && self.balance == application.balance
            && self.health == application.health
            && self.tls_written == application.tls
    }

    fn millis(&self) -> u64 {
        let millis = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        #[cfg(test)]
        let millis = millis + self.gone_by.load(std::sync::atomic::Ordering::Relaxed);
        millis
    }

    fn tell(&self, noted: Noted) {
        (self.tell.0)(&self.name, noted);
    }

    fn client_config(&self, wanted: Wanted) -> Result<Option<&Arc<ClientConfig>>, &tls::TlsFault> {
        self.tls
            .as_ref()
            .map(|clients| clients.as_ref().map(|clients| clients.for_request(wanted)))
    }
}

impl Server {
    fn new(written: &UpstreamServer, cluster: Weak<Cluster>) -> Self {
        Self {
            target: written.target.clone(),
            weight: written.weight.max(1),
            in_flight: AtomicUsize::new(0),
            standing: standing::Standing::default(),
            checked: Mutex::default(),
            cluster,
        }
    }
}

/// The servers of all applications.
#[derive(Debug, Default)]
pub struct Upstreams {
    clusters: ArcSwap<HashMap<ApplicationName, Arc<Cluster>>>,
    adopting: Mutex<()>,
    tell: Tell,
}

impl Upstreams {
    /// None yet; `tell` is told what is counted of those to come.
    #[must_use]
    pub fn new(tell: Tell) -> Self {
        Self { tell, ..Self::default() }
    }

    /// Goes by what the files say now. An application whose servers are written as before keeps its connections and what is known of them.
    pub fn adopt<'a>(&self, applications: impl Iterator<Item = &'a Application>) {
        let _one = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.clusters.load();
        let now = applications
            .filter(|application| !application.upstreams.is_empty())
            .map(|application| {
                let kept = before.get(&application.name).filter(|cluster| cluster.is_as_written(application));
                let cluster = kept.map_or_else(|| Cluster::new(application, self.tell.clone()), Arc::clone);
                if kept.is_none() {
                    cluster.tell(Noted::Out(0));
                }
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

    /// Runs the active checks and what time does to the standing of servers, for ever. One thread of the process does.
    pub async fn watch(&self) {
        health::watch(self).await;
    }
}

#[cfg(test)]
mod fixture;
