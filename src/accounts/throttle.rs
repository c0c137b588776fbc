//! How fast one may guess: counted in the store before anything is looked at, for a name from a network and for a network.
//!
//! Never for an account: a stranger elsewhere can lock nobody out, and a lock says nothing about whether the name exists.

use std::net::IpAddr;

use crate::base::seal::Purpose;
use crate::base::time::Timestamp;
use crate::model::attempts::{AttemptLimit, network_of};
use crate::model::event::{Action, Actor, Event};
use crate::model::id::UserId;
use crate::model::name::fold_name;
use crate::model::user::User;
use crate::store::{AttemptKey, AttemptRecord, AttemptScope, Commit, StoreError};

use super::acting::Acting;
use super::admission::Visit;
use super::{Accounts, Unavailable};

/// What a try was counted under, to be taken back when it was none.
#[derive(Clone, Debug)]
pub(super) struct Tries {
    name: Option<AttemptKey>,
    network: AttemptKey,
    /// Whether it was the first of a window.
    first: bool,
}

/// Why a try is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Throttled {
    /// Too many for this name from this network.
    Name { until: Timestamp },
    /// Too many from this network.
    Network { until: Timestamp },
}

impl Throttled {
    pub(super) const fn until(self) -> Timestamp {
        match self {
            Self::Name { until } | Self::Network { until } => until,
        }
    }
}

impl Accounts {
    /// Counts a try for a name and for its network. Whoever is over a limit is told until when, whatever the name.
    pub(super) async fn count_sign_in(&self, name: &str, visit: &Visit<'_>) -> Result<Result<Tries, Throttled>, StoreError> {
        let rules = self.rules();
        let network = self.network_key(visit.address());
        if let Err(until) = self.count(network, rules.network_limit, visit).await? {
            return Ok(Err(Throttled::Network { until }));
        }
        let name = self.name_key(name, visit.address());
        Ok(match self.count(name, rules.name_limit, visit).await? {
            Ok(count) => Ok(Tries {
                name: Some(name),
                network,
                first: count == 1,
            }),
            Err(until) => Err(Throttled::Name { until }),
        })
    }

    /// Counts a try with a token, or at asking for one, for its network. The token itself counts wrong guesses of its own.
    pub(super) async fn count_token(&self, visit: &Visit<'_>) -> Result<Result<Tries, Timestamp>, StoreError> {
        let network = self.network_key(visit.address());
        let counted = self.count(network, self.rules().network_limit, visit).await?;
        Ok(counted.map(|count| Tries {
            name: None,
            network,
            first: count == 1,
        }))
    }

    /// Counts under a key that nothing is ever refused by, so that an answer without a deed costs a write as one with a deed does.
    pub(super) async fn count_nothing(&self, visit: &Visit<'_>) -> Result<(), StoreError> {
        let rules = self.rules();
        let key = self.attempt_key(AttemptScope::Nothing, visit.address(), "");
        self.store.count(key, rules.network_limit, visit.now()).await.map(|_| ())
    }

    async fn count(&self, key: AttemptKey, limit: AttemptLimit, visit: &Visit<'_>) -> Result<Result<u32, Timestamp>, StoreError> {
        let now = visit.now();
        let counted = self.store.count(key, limit, now).await?;
        let Some(until) = counted.locked_until.filter(|_| counted.is_locked(now)) else {
            return Ok(Ok(counted.count));
        };
        // The lock itself is worth an entry in the audit trail; what knocks while it lasts is not.
        if until == now.after(limit.lock_for) {
            let event = Event::new(Action::SignInLocked, Actor::System, now)
                .to(key.scope)
                .from(visit.address())
                .with("until", until);
            self.store.commit(Commit::because(event)).await?;
        }
        Ok(Err(until))
    }

    /// A try that failed. The first of a window is an event, the others are only counted.
    pub(super) async fn note_failure(&self, tries: &Tries, user: Option<UserId>, visit: &Visit<'_>) -> Result<(), StoreError> {
        if !tries.first {
            return Ok(());
        }
        let mut event = Event::new(Action::SignInFailed, Actor::Anonymous, visit.now()).from(visit.address());
        if let Some(user) = user {
            event = event.to(user);
        }
        self.store.commit(Commit::because(event)).await
    }

    /// Takes a try back that was no guess.
    pub(super) async fn take_back(&self, tries: &Tries, now: Timestamp) -> Result<(), StoreError> {
        self.store.uncount(tries.network, now).await?;
        match tries.name {
            Some(name) => self.store.uncount(name, now).await,
            None => Ok(()),
        }
    }

    /// Forgets what was counted for a name from a network, after the right password; the network's own count keeps the others' guesses.
    pub(super) async fn clear_sign_in(&self, tries: &Tries, now: Timestamp) -> Result<(), StoreError> {
        self.store.uncount(tries.network, now).await?;
        match tries.name {
            Some(name) => self.store.clear_count(name).await,
            None => Ok(()),
        }
    }

    /// Forgets what was counted for a person's names from a network, after they set a new password.
    pub(super) async fn clear_names_of(&self, user: &User, visit: &Visit<'_>) -> Result<(), StoreError> {
        let email = user.email.as_ref().map(|email| fold_name(email.as_str()));
        for name in email.into_iter().chain([user.username.canonical()]) {
            self.store.clear_count(self.name_key(&name, visit.address())).await?;
        }
        Ok(())
    }

    /// What is locked now. There are no names in it: what was typed as one may be anything, a password too.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn locks(&self, now: Timestamp) -> Result<Vec<AttemptRecord>, Unavailable> {
        let counts = self.counts().await?;
        Ok(counts.into_iter().filter(|lock| lock.attempts.is_locked(now)).collect())
    }

    /// Forgets every count and every lock; says how many there were.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn clear_locks(&self, by: &Acting, now: Timestamp) -> Result<usize, Unavailable> {
        let counts = self.counts().await?;
        let event = Event::new(Action::LocksCleared, by.actor.clone(), now)
            .from(by.address)
            .with("count", counts.len());
        self.store.commit(Commit::because(event)).await?;
        for lock in &counts {
            self.store.clear_count(lock.key).await?;
        }
        Ok(counts.len())
    }

    /// Forgets one count or lock.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn clear_lock(&self, key: AttemptKey, by: &Acting, now: Timestamp) -> Result<(), Unavailable> {
        let event = Event::new(Action::LocksCleared, by.actor.clone(), now)
            .from(by.address)
            .with("count", 1);
        self.store.commit(Commit::because(event)).await?;
        Ok(self.store.clear_count(key).await?)
    }

    fn network_key(&self, address: Option<IpAddr>) -> AttemptKey {
        self.attempt_key(AttemptScope::Network, address, "")
    }

    fn name_key(&self, name: &str, address: Option<IpAddr>) -> AttemptKey {
        self.attempt_key(AttemptScope::Name, address, name)
    }

    /// Keyed, so that names cannot be read out of the store. Clients without a known address share one network.
    fn attempt_key(&self, scope: AttemptScope, address: Option<IpAddr>, name: &str) -> AttemptKey {
        let network = address.map(|address| network_of(address).to_string()).unwrap_or_default();
        let message = [network.as_bytes(), b"\0", name.as_bytes()].concat();
        let hash = self.keyring.hash(Purpose::Attempts, &message).hash;
        AttemptKey::new(scope, hash)
    }
}
