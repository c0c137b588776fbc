//! How many memberships hold what policy names: counted beside everything else, and remembered for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::{MINUTE, Timestamp};
use crate::model::membership::Membership;
use crate::model::name::{ApplicationName, IpPatternName, ProviderName, TeamName};
use crate::store::{Page, Record, Store, StoreError};

use super::Accounts;
use super::acting::{Acting, Reach};

/// Memberships that are read at a time.
const SLICE: usize = 500;
/// Whoever asks waits for a count no longer than that; what comes later is there the next time.
const PATIENCE: Duration = Duration::from_millis(40);
/// A count is good for so long.
const GOOD_FOR: Duration = MINUTE;

/// What the memberships of a team hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holding {
    patterns: HashMap<IpPatternName, usize>,
    providers: HashMap<ProviderName, usize>,
    applications: HashMap<ApplicationName, usize>,
}

/// A count of what all memberships hold.
#[derive(Clone, Debug, Default)]
pub struct Held {
    teams: Arc<HashMap<TeamName, Holding>>,
    /// When it was counted; none if it has not been yet.
    pub at: Option<Timestamp>,
}

impl Held {
    fn sum(&self, by: &Acting, of: impl Fn(&Holding) -> usize) -> Option<usize> {
        self.at?;
        let within = |team: &TeamName| match &by.reach {
            Reach::All => true,
            Reach::Teams(teams) => teams.contains(team),
        };
        Some(
            self.teams
                .iter()
                .filter(|(team, _)| within(team))
                .map(|(_, holding)| of(holding))
                .sum(),
        )
    }

    /// How many memberships within reach are bound to an IP pattern; none if that was not counted yet.
    #[must_use]
    pub fn with_pattern(&self, name: &IpPatternName, by: &Acting) -> Option<usize> {
        self.sum(by, |holding| holding.patterns.get(name).copied().unwrap_or(0))
    }

    /// How many memberships within reach are bound to a provider; none if that was not counted yet.
    #[must_use]
    pub fn with_provider(&self, name: &ProviderName, by: &Acting) -> Option<usize> {
        self.sum(by, |holding| holding.providers.get(name).copied().unwrap_or(0))
    }

    /// How many memberships within reach were given an application; none if that was not counted yet.
    #[must_use]
    pub fn with_application(&self, name: &ApplicationName, by: &Acting) -> Option<usize> {
        self.sum(by, |holding| holding.applications.get(name).copied().unwrap_or(0))
    }
}

/// The last count, and whether another is under way.
#[derive(Debug, Default)]
pub(super) struct Counting {
    last: Held,
    busy: bool,
}

impl Accounts {
    /// How many memberships hold what policy names, counted within the last minute or so. Where counting takes long, this is what was
    /// counted before, and the new count is there the next time.
    pub async fn held(&self, now: Timestamp) -> Held {
        let state = |counting: &Arc<Mutex<Counting>>| {
            let counting = counting.lock().unwrap_or_else(PoisonError::into_inner);
            counting.last.clone()
        };
        let begin = {
            let mut counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
            let old = counting.last.at.is_none_or(|at| now.since(at) >= GOOD_FOR);
            let begin = old && !counting.busy;
            counting.busy |= begin;
            begin
        };
        if begin {
            let (store, counting) = (self.store.clone(), Arc::clone(&self.counting));
            let count = tokio::spawn(async move {
                let counted = count(&store).await;
                let mut counting = counting.lock().unwrap_or_else(PoisonError::into_inner);
                counting.busy = false;
                match counted {
                    Ok(teams) => {
                        counting.last = Held {
                            teams: Arc::new(teams),
                            at: Some(now),
                        };
                    }
                    Err(error) => tracing::error!(%error, "the memberships could not be counted"),
                }
            });
            // It goes on by itself where this is too short.
            let _ = tokio::time::timeout(PATIENCE, count).await;
        }
        state(&self.counting)
    }
}

async fn count(store: &Store) -> Result<HashMap<TeamName, Holding>, StoreError> {
    let mut teams: HashMap<TeamName, Holding> = HashMap::new();
    let mut after = None;
    loop {
        let page = Page::<Membership>::first(SLICE);
        let page = match &after {
            Some(after) => page.after(after),
            None => page,
        };
        let memberships = store.list(page).await?;
        let Some(last) = memberships.last() else { return Ok(teams) };
        after = Some(last.record.key());
        for membership in memberships {
            let membership = membership.into_record();
            let holding = teams.entry(membership.team).or_default();
            if let Some(pattern) = membership.ip_pattern {
                *holding.patterns.entry(pattern).or_default() += 1;
            }
            if let Some(provider) = membership.provider {
                *holding.providers.entry(provider).or_default() += 1;
            }
            for application in membership.permissions.into_keys() {
                *holding.applications.entry(application).or_default() += 1;
            }
        }
    }
}
