//! Certificates from an authority, by ACME (RFC 8555): had for every host, renewed in time, shown without a restart.

pub mod challenges;
mod order;
mod schedule;
mod shelf;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::app::Live;
use crate::base::time::{MINUTE, Timestamp};
use crate::config::Acme;
use crate::config::Settings;
use crate::policy::Application;
use crate::policy::application::HostPattern;
use crate::policy::application::Mode;

use super::control::chain;
use super::opening::Desk;
use super::tls::{Loaded, Resolver, TlsError};
use order::{NotGiven, Orders};
use schedule::History;
use shelf::{CannotKeep, Shelf};
use transport::Transport;

/// The longest one order may take, so that one host cannot keep the others waiting.
const LONGEST_ORDER: Duration = Duration::from_secs(5 * 60);

/// What stands in the way of certificates, one line for each host.
#[derive(Debug, Default)]
pub struct Missing(Mutex<Vec<String>>);

impl Missing {
    /// The lines, as an operator reads them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, lines: Vec<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lines;
    }
}

/// Has certificates and renews them, for ever, on the chores' threads.
pub async fn keep(desk: Arc<Desk>, resolver: Arc<Resolver>, missing: Arc<Missing>) {
    let mut replaced = desk.app.replacements();
    let mut keeper = Keeper {
        desk,
        resolver,
        missing,
        standing: None,
        known: BTreeMap::new(),
        passed_over: BTreeSet::new(),
    };
    loop {
        keeper.attend().await;
        let reloaded = tokio::select! {
            () = tokio::time::sleep(MINUTE) => false,
            changed = replaced.changed() => changed.is_ok(),
        };
        if reloaded {
            keeper.encourage();
        }
    }
}

/// How we stand with one authority.
struct Standing {
    settings: Acme,
    shelf: Shelf,
    history: BTreeMap<String, History>,
    /// Times in a row that it did not answer.
    unheard: u32,
    /// It is left alone until then.
    silent_until: Timestamp,
}

struct Keeper {
    desk: Arc<Desk>,
    resolver: Arc<Resolver>,
    missing: Arc<Missing>,
    standing: Option<Standing>,
    /// When the certificate of a host is to be renewed; none while there is none.
    known: BTreeMap<String, Option<Timestamp>>,
    /// Hosts that no certificate can be had for, to tell each once.
    passed_over: BTreeSet<String>,
}

impl Keeper {
    fn now(&self) -> Timestamp {
        self.desk.app.clock.now()
    }

    /// Does all that is due.
    async fn attend(&mut self) {
        let live = self.desk.app.live();
        let Some(settings) = live.settings.tls.as_ref().and_then(|tls| tls.acme.clone()) else {
            if self.standing.take().is_some() {
                self.known.clear();
                self.resolver.ask_for(BTreeSet::new());
                self.missing.set(Vec::new());
            }
            return;
        };
        self.turn_to(settings).await;
        self.look_at(&live).await;
        for host in self.by_urgency() {
            self.see_to(&host).await;
        }
        self.tell();
    }

    /// Begins anew where the settings have changed.
    async fn turn_to(&mut self, settings: Acme) {
        if self.standing.as_ref().is_some_and(|standing| standing.settings == settings) {
            return;
        }
        let shelf = Shelf::new(&settings.dir, &settings.directory);
        let read = shelf.clone();
        let mut history = tokio::task::spawn_blocking(move || read.history()).await.unwrap_or_default();
        for tried in history.values_mut() {
            tried.turn_to(&shelf.authority);
        }
        self.known.clear();
        self.standing = Some(Standing {
            settings,
            shelf,
            history,
            unheard: 0,
            silent_until: Timestamp::EPOCH,
        });
    }

    /// Reads the certificates of hosts that are new here, and forgets those that are gone.
    async fn look_at(&mut self, live: &Live) {
        let Some(standing) = &self.standing else { return };
        let (hosts, impossible) = hosts(&live.settings, &standing.settings, live.policies.applications());
        let hosts: BTreeSet<String> = hosts.into_iter().filter(|host| !self.resolver.has_file_for(host)).collect();
        for host in impossible {
            if !self.resolver.has_file_for(&host) && self.passed_over.insert(host.clone()) {
                tracing::warn!(
                    host,
                    "no certificate can be had for this host by tls-alpn-01 or http-01: give one with tls.cert_file"
                );
            }
        }
        self.known.retain(|host, _| hosts.contains(host));
        self.resolver.ask_for(hosts.clone());
        for host in hosts {
            if self.known.contains_key(&host) {
                continue;
            }
            let renewal = self.read(&host).await.map(|renewal| {
                // It stays until the new authority's is there, which is asked for at once.
                let anothers = self
                    .standing
                    .as_ref()
                    .and_then(|standing| standing.history.get(&host))
                    .is_some_and(History::is_anothers);
                if anothers { Timestamp::EPOCH } else { renewal }
            });
            if renewal.is_none() {
                tracing::warn!(
                    host,
                    "no certificate yet: handshakes for this host fail until the authority gives one"
                );
            }
            self.known.insert(host, renewal);
        }
    }

    /// Shows the certificate that is kept for a host, and says when it is to be renewed.
    async fn read(&self, host: &str) -> Option<Timestamp> {
        let file = self.standing.as_ref()?.shelf.certificate(host);
        let provider = Arc::clone(self.resolver.provider());
        let read = tokio::task::spawn_blocking(move || Loaded::read(&file, &file, &provider))
            .await
            .ok()?;
        match read {
            Ok(loaded) if loaded.names.iter().any(|name| name == host) => Some(self.show(host, loaded)),
            Ok(_) => None,
            Err(TlsError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(host, error = %chain(&error), "the certificate that was kept cannot be used; another is asked for");
                None
            }
        }
    }

    fn show(&self, host: &str, loaded: Loaded) -> Timestamp {
        self.desk.app.metrics.set_expiry("certificate", host, loaded.ends);
        let renewal = schedule::renewal(loaded.begins, loaded.ends, &self.desk.app.random);
        self.resolver.issued(host, loaded);
        renewal
    }

    /// Hosts without a certificate first, then those whose is to be renewed first.
    fn by_urgency(&self) -> Vec<String> {
        let mut hosts: Vec<_> = self.known.iter().map(|(host, renewal)| (*renewal, host.clone())).collect();
        hosts.sort();
        hosts.into_iter().map(|(_, host)| host).collect()
    }

    /// Has the certificate of a host if it is due.
    async fn see_to(&mut self, host: &str) {
        let now = self.now();
        let Some(standing) = &mut self.standing else { return };
        let renewal = self.known.get(host).copied().flatten();
        let history = standing.history.entry(host.to_owned()).or_default();
        history.turn_to(&standing.shelf.authority);
        history.believe(now);
        if standing.silent_until > schedule::heard(standing.silent_until, now) {
            // The clock was set back since.
            standing.silent_until = Timestamp::EPOCH;
        }
        if now < schedule::heard(standing.silent_until, now) || now < history.due(renewal) {
            return;
        }
        history.ordered(now);
        // Where nothing can be kept no certificate can, so none is asked for.
        let (given, wanted) = match self.remember().await {
            Ok(()) => self.order(host).await,
            Err(error) => (Err(error.into()), None),
        };
        match given {
            Ok(loaded) => self.given(host, loaded),
            Err(why) => self.refused(host, &why, wanted),
        }
        if let Err(error) = self.remember().await {
            tracing::error!(error = %chain(&error), "what was tried with the authority cannot be kept");
        }
    }

    /// What comes of an order for a host, and until when the authority wishes to be left alone.
    async fn order(&self, host: &str) -> (Result<Loaded, NotGiven>, Option<Timestamp>) {
        let Some(standing) = &self.standing else {
            return (Err(NotGiven::Slow), None);
        };
        let (file, clock) = (standing.settings.ca_file.clone(), self.desk.app.clock.clone());
        let transport = match tokio::task::spawn_blocking(move || Transport::open(file.as_deref(), clock)).await {
            Ok(Ok(transport)) => transport,
            Ok(Err(unusable)) => return (Err(unusable.into()), None),
            Err(_) => return (Err(NotGiven::Slow), None),
        };
        let orders = Orders {
            settings: standing.settings.clone(),
            shelf: standing.shelf.clone(),
            transport: transport.clone(),
            resolver: Arc::clone(&self.resolver),
        };
        let given = tokio::time::timeout(LONGEST_ORDER, orders.have(host)).await;
        (given.unwrap_or(Err(NotGiven::Slow)), transport.take_wanted())
    }

    fn given(&mut self, host: &str, loaded: Loaded) {
        let now = self.now();
        if let Some(standing) = &mut self.standing {
            standing.unheard = 0;
            let history = standing.history.entry(host.to_owned()).or_default();
            history.given(loaded.begins, loaded.ends, now);
        }
        tracing::info!(host, ends = %loaded.ends, "the authority gave a certificate");
        let renewal = self.show(host, loaded);
        self.known.insert(host.to_owned(), Some(renewal));
    }

    fn refused(&mut self, host: &str, why: &NotGiven, wanted: Option<Timestamp>) {
        let now = self.now();
        let random = &self.desk.app.random;
        let Some(standing) = &mut self.standing else { return };
        let history = standing.history.entry(host.to_owned()).or_default();
        let said = chain(why);
        let next = if let NotGiven::Unheard(_) = why {
            // Nobody can be asked for any host: that is no order, and no refusal of this one.
            history.unheard(said.clone());
            standing.unheard = standing.unheard.saturating_add(1);
            let until = now.after(schedule::silence(standing.unheard, random));
            standing.silent_until = until.max(wanted.unwrap_or_default());
            standing.silent_until
        } else {
            standing.unheard = 0;
            history.refused(said.clone(), wanted, now, random);
            if matches!(why, NotGiven::Refused { limited: true, .. }) {
                standing.silent_until = schedule::pause(history.due(None), now);
            }
            history.due(None)
        };
        let in_use = self.known.get(host).copied().flatten().is_some();
        let then = if in_use {
            "the certificate in use stays"
        } else {
            "this host has no certificate"
        };
        tracing::error!(host, error = said, next = %next, "no certificate from the authority; {then}");
    }

    async fn remember(&self) -> Result<(), CannotKeep> {
        let Some(standing) = &self.standing else { return Ok(()) };
        let (shelf, history) = (standing.shelf.clone(), standing.history.clone());
        let kept = tokio::task::spawn_blocking(move || shelf.keep_history(&history)).await;
        kept.unwrap_or(Ok(()))
    }

    /// Whoever reloads has perhaps mended something.
    fn encourage(&mut self) {
        if let Some(standing) = &mut self.standing {
            standing.history.values_mut().for_each(History::encourage);
        }
    }

    fn tell(&self) {
        let Some(standing) = &self.standing else { return };
        let line = |(host, renewal): (&String, &Option<Timestamp>)| {
            let history = standing.history.get(host)?;
            let what = match renewal {
                None => "no certificate",
                Some(_) if history.why.is_empty() => return None,
                Some(_) => "not renewed",
            };
            let next = history.due(*renewal).max(standing.silent_until);
            Some(format!("{host}: {what}: {}; next order {next}", history.why))
        };
        self.missing.set(self.known.iter().filter_map(line).collect());
    }
}

/// The hosts to have certificates for, and those that none can be had for.
fn hosts(settings: &Settings, authority: &Acme, applications: &[Application]) -> (BTreeSet<String>, Vec<String>) {
    let written = match &authority.names {
        Some(names) => names.clone(),
        // Under a portal in clear, applications are in clear too.
        None if !settings.public_url.is_secure() => Vec::new(),
        None => {
            // Where another proxy stands in front, that one shows the certificate.
            let hosts = applications
                .iter()
                .filter(|application| application.mode == Mode::Proxy)
                .flat_map(|application| &application.hosts)
                .map(HostPattern::to_string);
            hosts.chain([settings.public_url.host().to_owned()]).collect()
        }
    };
    let (possible, impossible): (Vec<_>, Vec<_>) = written.into_iter().partition(|host| is_possible(host));
    (possible.into_iter().collect(), impossible)
}

/// What the folder says of a host's certificate, for whoever examines an installation. Its file need not be there.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) host: String,
    pub(super) file: PathBuf,
    /// What the authority said when it last refused; empty if it did not.
    pub(super) why: String,
}

/// What is kept of each host that the authority is asked for. Reads files.
pub(super) fn kept(settings: &Settings, authority: &Acme, applications: &[Application]) -> Vec<Kept> {
    let shelf = Shelf::new(&authority.dir, &authority.directory);
    let mut history = shelf.history();
    let of = |host: String| Kept {
        file: shelf.certificate(&host),
        why: history.remove(&host).map(|tried| tried.why).unwrap_or_default(),
        host,
    };
    hosts(settings, authority, applications).0.into_iter().map(of).collect()
}

/// Whether a public authority can look at a host by the two challenges: it has a name, and one that leads here from elsewhere.
fn is_possible(host: &str) -> bool {
    let is_local = host == "localhost" || host.ends_with(".localhost");
    let is_name = url::Host::parse(host).is_ok_and(|parsed| matches!(parsed, url::Host::Domain(_)));
    is_name && !is_local && !host.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_wildcards_and_this_machines_names_are_passed_over() {
        for (host, possible) in [
            ("eln.example.org", true),
            ("intranet", true),
            ("*.example.org", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]", false),
            ("2001:db8::1", false),
            ("localhost", false),
            ("app.localhost", false),
        ] {
            assert_eq!(is_possible(host), possible, "{host}");
        }
    }
}
