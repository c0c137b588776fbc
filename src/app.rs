//! The shared state of a running portcullis: what came from files, what talks to the outside, and nothing else.

pub mod explaining;
pub mod live;
pub mod open;
pub mod refusal;
pub mod waiting;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::accounts::Accounts;
use crate::audit::decisions::DecisionLog;
use crate::audit::metrics::Metrics;
use crate::audit::trace::Tracer;
use crate::base::random::Random;
use crate::base::time::{Clock, Timestamp};

pub use live::{Live, Stale};
use open::Open;

/// Everything shared. Built once at start and handed down by reference; nothing else is global.
pub struct App {
    /// What came from files, replaced as one piece.
    live: ArcSwap<Live>,
    /// People, sessions, tokens, keys.
    pub accounts: Accounts,
    /// One line for each decision.
    pub decisions: DecisionLog,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Traces of requests, once they are asked for.
    pub tracer: Tracer,
    /// What is open and must end when its right does.
    pub open: Open,
    /// What time it is.
    pub clock: Clock,
    /// When this process began.
    pub began: Timestamp,
    /// Where random bytes come from.
    pub random: Random,
    /// Reads the files on disk; set once, by whoever knows where they are.
    pub files: OnceLock<waiting::ReadFiles>,
    /// Moves on when other rules are in force.
    replaced: watch::Sender<u64>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("accounts", &self.accounts)
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}

impl App {
    /// The state of a gateway that goes by `live`.
    #[must_use]
    pub fn new(live: Live, accounts: Accounts, decisions: DecisionLog, metrics: Arc<Metrics>, clock: Clock, random: Random) -> Self {
        Self {
            live: ArcSwap::from_pointee(live),
            accounts,
            decisions,
            metrics,
            tracer: Tracer::default(),
            open: Open::default(),
            began: clock.now(),
            clock,
            random,
            files: OnceLock::new(),
            replaced: watch::Sender::new(0),
        }
    }

    /// What came from files. A request takes it once and hands it down, so that a reload cannot change the rules half way.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Goes by other files from the next request on, and has what is open judged again; [`Open::settled`] tells when that round is over.
    pub fn replace(&self, live: Live) -> u64 {
        self.accounts.adopt(live.house_rules());
        self.decisions.change(live.log_settings());
        self.metrics.set_policy_stale(live.stale.is_some());
        self.live.store(Arc::new(live));
        self.replaced.send_modify(|count| *count += 1);
        self.open.all_moved()
    }

    /// Keeps the rules in force and says that the files mean something else, or nothing.
    pub fn mark_stale(&self, stale: Stale) {
        self.metrics.set_policy_stale(true);
        let live = Live {
            stale: Some(stale),
            ..Live::clone(&self.live())
        };
        self.live.store(Arc::new(live));
    }

    /// Wakes whoever holds something open when the rules are replaced.
    #[must_use]
    pub fn replacements(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }
}
