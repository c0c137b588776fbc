//! The life of a server: open, listen, serve until told to stop, drain, close.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::app::open::Kind;
use crate::audit::trace::CannotTrace;
use crate::base::random::Random;
use crate::base::time::Clock;
use crate::config::ListenAddress;

use super::acme::Missing;
use super::activation::{CannotInherit, Inherited, Socket};
use super::files::{Files, Unreadable};
use super::house::House;
use super::listener::{Bound, Serving};
use super::management::{self, Readiness, Tells};
use super::opening::{self, CannotOpen, Desk, Opener};
use super::reload::reload;
use super::tls::{TlsError, server_config};
use super::watch::{Watch, folders_of};
use super::{acme, backups, chores, control, listener, sender, supervisor};

/// How long requests that have begun may take to end once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long a letter that is on its way may take beyond that. One that is cut off may go out again after the next start.
const LAST_LETTER: Duration = Duration::from_secs(5);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// It cannot be opened.
    #[error(transparent)]
    CannotOpen(#[from] CannotOpen),
    /// Somebody has the address, or it is not ours.
    #[error("error[E106]: cannot listen on {address} ({name}): is another server running?")]
    Listen {
        /// Which listener.
        name: &'static str,
        /// Where.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What systemd handed over.
    #[error(transparent)]
    Inherit(#[from] CannotInherit),
    /// A socket in clear that other machines reach was handed over.
    #[error(
        "the socket {0} handed over as `http` would serve other machines in clear: \
         name the proxy in front in `trusted_proxies`, or set `listen.allow_plain = true`"
    )]
    InClear(ListenAddress),
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Traces.
    #[error(transparent)]
    Trace(#[from] CannotTrace),
    /// The system refuses.
    #[error("the {what} cannot be started")]
    System {
        /// What could not.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl From<Unreadable> for CannotRun {
    fn from(error: Unreadable) -> Self {
        Self::CannotOpen(error.into())
    }
}

/// Runs until a signal ends it. `say` gets the lines for standard output: listeners, then `ready`.
///
/// # Errors
/// [`CannotRun`] if it cannot begin; what happens later goes to the log.
pub fn run(files: &Files, say: &mut dyn FnMut(&str)) -> Result<(), CannotRun> {
    let inherited = Inherited::from_environment()?;
    take_all_descriptors();
    // Requests have threads of their own; here run the control socket, the management listener and the chores.
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CannotRun::System { what: "threads", source })?;
    runtime.block_on(async {
        let desk = opening::open(files.clone(), Opener::Server, Clock::System, Random::System).await?;
        let mut running = Running::start_on(desk, inherited, say).await?;
        running.attend()?;
        running.beside.spawn(supervisor::keep_alive());
        say("ready");
        supervisor::ready(&format!("policy generation {}", running.desk.app.live().generation()));
        running.until_told_to_stop().await;
        Ok(())
    })
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// What it works with.
    pub desk: Arc<Desk>,
    /// Where the gateway listens in clear.
    pub http: Vec<SocketAddr>,
    /// Where it listens with TLS.
    pub https: Vec<SocketAddr>,
    /// Where health and metrics are.
    pub management: Vec<SocketAddr>,
    drain: watch::Sender<bool>,
    serving: Serving,
    /// Sends letters.
    sender: JoinHandle<()>,
    beside: JoinSet<()>,
}

impl Running {
    /// Binds everything first, so that nothing is served by half a server, then serves.
    ///
    /// # Errors
    /// [`CannotRun::Listen`], [`CannotRun::Tls`].
    pub async fn start(desk: Desk, say: &mut dyn FnMut(&str)) -> Result<Self, CannotRun> {
        Self::start_on(desk, Inherited::default(), say).await
    }

    /// The same; a listener that sockets were handed over for serves on those, and on nothing else.
    ///
    /// # Errors
    /// As [`Running::start`], and [`CannotRun::InClear`].
    pub async fn start_on(desk: Desk, mut inherited: Inherited, say: &mut dyn FnMut(&str)) -> Result<Self, CannotRun> {
        let desk = Arc::new(desk);
        let settings = Arc::clone(&desk.app.live().settings);
        let threads = settings
            .threads
            .or_else(|| thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        let tls = match &settings.tls {
            Some(tls) if !settings.listen.https.is_empty() || inherited.has("https") => Some(server_config(tls)?),
            None if inherited.has("https") => return Err(TlsError::None.into()),
            _ => None,
        };
        let (tls, certificates) = tls.unzip();
        let http = bind_all("http", &settings.listen.http, inherited.take("http"), None, threads)?;
        let https = bind_all("https", &settings.listen.https, inherited.take("https"), tls.as_ref(), threads)?;
        let closed = settings.listen.allow_plain || !settings.trusted_proxies.is_empty();
        if let Some(open) = http.iter().map(Bound::address).find(|address| !closed && !address.is_local()) {
            return Err(CannotRun::InClear(open.clone()));
        }
        let bound_management = bind_management(&settings.listen.management, inherited.take("management")).await?;
        if let Some(traces) = &settings.traces {
            desk.app.tracer.start(traces, &desk.app.metrics)?;
        }
        let (drain, drained) = watch::channel(false);
        for (name, bound) in [("http", &http), ("https", &https)] {
            for one in bound {
                say(&format!("listening {name} {}", one.address()));
            }
        }
        let management: Vec<SocketAddr> = bound_management.iter().filter_map(|one| one.local_addr().ok()).collect();
        for address in &management {
            say(&format!("listening management {address}"));
        }
        let addresses = |bound: &[Bound]| bound.iter().filter_map(Bound::socket_address).collect::<Vec<_>>();
        let (http_at, https_at) = (addresses(&http), addresses(&https));
        let challenges = certificates.as_ref().map(|certificates| Arc::clone(&certificates.challenges));
        let house = House::with_challenges(Arc::clone(&desk.app), challenges.unwrap_or_default());
        let open = desk.app.open.clone();
        desk.store.subscribe(Box::new(move |changes| open.moved(changes)));
        let bound = http.into_iter().chain(https).collect();
        let serving = listener::serve(&house, bound, threads, &drained).map_err(|source| CannotRun::System {
            what: "threads that serve",
            source,
        })?;
        let mut running = Self {
            http: http_at,
            https: https_at,
            management,
            drain,
            serving,
            sender: tokio::spawn(sender::send_until_drained(Arc::clone(&desk), drained)),
            beside: JoinSet::new(),
            desk: Arc::clone(&desk),
        };
        running.beside.spawn(async move { house.attend().await });
        let missing = Arc::new(Missing::default());
        let told = Arc::new(Told(Arc::clone(&desk), Arc::clone(&missing)));
        for one in bound_management {
            running.beside.spawn(management::serve(one, Arc::clone(&told) as Arc<dyn Tells>));
        }
        if let Some(certificates) = certificates.clone() {
            running.beside.spawn(acme::keep(Arc::clone(&desk), certificates, missing));
        }
        running.beside.spawn(chores::each_in_its_time(Arc::clone(&desk), certificates));
        running.say_first_admin(say).await;
        Ok(running)
    }

    /// Opens the control socket, watches the files and makes backups on the timer. Apart from [`Running::start`] because a test or a demonstration may have none of it.
    ///
    /// # Errors
    /// [`CannotRun::System`] if another server has the socket.
    pub fn attend(&mut self) -> Result<(), CannotRun> {
        let desk = Arc::clone(&self.desk);
        let settings = Arc::clone(&desk.app.live().settings);
        let path = opening::socket_beside(&settings.store.path);
        let socket = control::listen(&path).map_err(|source| CannotRun::System {
            what: "control socket",
            source,
        })?;
        let at = Arc::clone(&desk);
        self.beside.spawn(socket.serve(move |request| {
            let desk = Arc::clone(&at);
            async move { control::execute(&desk, request).await }
        }));
        self.beside.spawn(backups::each_in_its_time(Arc::clone(&desk)));
        if settings.policy.watch {
            let policies = desk.files.policies.clone().unwrap_or_else(|| settings.policy.dir.clone());
            let folders = folders_of(&[&policies], &[&desk.files.settings]);
            match Watch::over(&folders) {
                Ok(watch) => drop(self.beside.spawn(reload_on_change(desk, watch))),
                Err(error) => tracing::warn!(error = %error, "files are not watched: reload with `portcullis reload` or HUP"),
            }
        }
        Ok(())
    }

    async fn say_first_admin(&self, say: &mut dyn FnMut(&str)) {
        match self.desk.app.accounts.first_admin_secret().await {
            Ok(Some(secret)) => {
                let live = self.desk.app.live();
                let origin = live.settings.public_url.origin();
                say(&format!("first-admin URL {origin}/.portcullis/first-admin/{}", secret.expose()));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(error = %error, "whether there is an admin could not be asked"),
        }
    }

    /// Serves until TERM or INT; HUP reloads.
    pub async fn until_told_to_stop(self) {
        let signals = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
        );
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
            tracing::error!("signals cannot be received; stopping");
            return self.stop().await;
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => { reload(&self.desk).await; }
            }
        }
        supervisor::stopping();
        tracing::info!("stopping: requests that have begun may end");
        // A second signal is from somebody who does not want to wait.
        tokio::select! {
            () = self.stop() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }

    /// Takes no more requests, lets those that have begun end, and closes the store.
    pub async fn stop(mut self) {
        self.drain.send_replace(true);
        if tokio::time::timeout(DRAIN, self.serving.ended()).await.is_err() {
            tracing::warn!("some requests did not end in time and are cut off");
        }
        if tokio::time::timeout(LAST_LETTER, &mut self.sender).await.is_err() {
            self.sender.abort();
        }
        self.beside.shutdown().await;
        let decisions = self.desk.app.decisions.clone();
        // Closing waits for the writer, which no async thread should.
        let _ = tokio::task::spawn_blocking(move || decisions.close()).await;
        let app = Arc::clone(&self.desk.app);
        // So does sending the last traces.
        let _ = tokio::task::spawn_blocking(move || app.tracer.stop()).await;
        self.desk.store.close().await;
    }
}

struct Told(Arc<Desk>, Arc<Missing>);

impl Tells for Told {
    fn started(&self) -> bool {
        // The listener is there only once everything has been opened.
        true
    }

    fn readiness(&self) -> Readiness {
        let live = self.0.app.live();
        let problems: Vec<String> = self.0.store.health().err().iter().map(ToString::to_string).collect();
        Readiness {
            ready: problems.is_empty(),
            generation: live.generation().to_string(),
            policy_stale: live.stale.as_ref().map(|stale| stale.problems.join("\n")),
            certificates: self.1.lines(),
            problems,
        }
    }

    fn metrics(&self) -> String {
        let app = &self.0.app;
        app.metrics.set_sessions(app.accounts.sessions_remembered());
        app.metrics
            .set_streams(app.open.count(Kind::Answer) + app.open.count(Kind::Request));
        self.0.app.metrics.to_text()
    }
}

fn bind_all(
    name: &'static str,
    addresses: &[ListenAddress],
    inherited: Vec<Socket>,
    tls: Option<&Arc<ServerConfig>>,
    threads: NonZeroUsize,
) -> Result<Vec<Bound>, CannotRun> {
    let refused = |address: String| move |source| CannotRun::Listen { name, address, source };
    if inherited.is_empty() {
        let bind = |address: &ListenAddress| Bound::open(address, tls.cloned(), threads).map_err(refused(address.to_string()));
        return addresses.iter().map(bind).collect();
    }
    let bind = |socket| Bound::inherited(socket, tls.cloned(), threads).map_err(refused("a socket that was handed over".to_owned()));
    inherited.into_iter().map(bind).collect()
}

async fn bind_management(addresses: &[ListenAddress], inherited: Vec<Socket>) -> Result<Vec<TcpListener>, CannotRun> {
    let mut bound = Vec::new();
    let addresses = if inherited.is_empty() { addresses } else { &[] };
    for socket in inherited {
        let Socket::Tcp(socket) = socket else {
            return Err(CannotOpen::NotYet("a management listener on a Unix socket").into());
        };
        let listener = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        bound.push(listener.map_err(|source| CannotRun::Listen {
            name: "management",
            address: "a socket that was handed over".to_owned(),
            source,
        })?);
    }
    for address in addresses {
        let refused = |source| CannotRun::Listen {
            name: "management",
            address: address.to_string(),
            source,
        };
        match address {
            ListenAddress::Tcp(address) => bound.push(TcpListener::bind(address).await.map_err(refused)?),
            ListenAddress::Unix(_) => return Err(CannotOpen::NotYet("a management listener on a Unix socket").into()),
        }
    }
    Ok(bound)
}

/// Takes as many file descriptors as the system gives. The lower limit is there for programs that use select(2), which this one does not.
fn take_all_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, all)
    {
        tracing::warn!(error = %error, "the limit of file descriptors could not be raised");
    }
}

async fn reload_on_change(desk: Arc<Desk>, mut watch: Watch) {
    loop {
        watch.changed().await;
        reload(&desk).await;
    }
}
