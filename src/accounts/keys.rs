//! The keys of the assertion over time: made at first start, published ahead of use, rotated, retired.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::base::seal::SealError;
use crate::base::time::{HOUR, Timestamp};
use crate::model::event::{Action, Actor, Event};
use crate::model::id::KeyRecordId;
use crate::store::{Commit, SigningKeyRecord, StoreError};

use super::Accounts;
use super::rules::HouseRules;
use super::signing::{KeyFault, PublicKey, SigningAlgorithm, SigningKey};

/// How much longer than anything it signed a retired key stays published: clocks differ, and readers keep what they fetched.
const AFTERGLOW: Duration = HOUR;

/// The keys could not be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The store does not answer.
    #[error("the signing keys could not be read or kept")]
    Store(#[from] StoreError),
    /// A key could not be made or is damaged.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A key does not open under the master keys that are here.
    #[error("a signing key could not be opened")]
    Sealed(#[from] SealError),
}

/// A key with the time from which it signs.
#[derive(Debug)]
struct Held {
    signs_from: Timestamp,
    key: Arc<SigningKey>,
}

/// The keys in memory, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Keys {
    held: ArcSwap<Vec<Held>>,
}

/// What is to be done about the keys.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// A new key that signs from then on.
    make: Option<Timestamp>,
    /// Keys whose time is over, by place.
    retire: Vec<usize>,
}

/// Decides by the times from which the keys sign, the oldest first, and whether the newest has the algorithm of the rules.
fn plan(signs_from: &[Timestamp], newest_fits: bool, rules: &HouseRules, now: Timestamp) -> Plan {
    let make = match signs_from.last() {
        // With no key at all nobody can have fetched one: it signs at once.
        None => Some(now),
        Some(newest) => {
            let due = newest.after(rules.signing_rotate).before(rules.signing_publish_ahead);
            let soonest = now.after(rules.signing_publish_ahead);
            (*newest <= now && (now >= due || !newest_fits)).then_some(soonest)
        }
    };
    // A key is over when the one behind it has been signing for longer than anything of the old one is good.
    let over = |place: usize| {
        signs_from
            .get(place + 1)
            .is_some_and(|next| now >= next.after(rules.signing_ttl).after(AFTERGLOW))
    };
    Plan {
        make,
        retire: (0..signs_from.len()).filter(|place| over(*place)).collect(),
    }
}

impl Keys {
    fn current(&self, now: Timestamp) -> Option<Arc<SigningKey>> {
        let held = self.held.load();
        let signing = held.iter().rev().find(|held| held.signs_from <= now).or(held.first());
        signing.map(|held| Arc::clone(&held.key))
    }
}

impl Accounts {
    /// The key that signs now; `None` until [`Accounts::tend_keys`] was called once.
    #[must_use]
    pub fn signing_key(&self, now: Timestamp) -> Option<Arc<SigningKey>> {
        self.keys.current(now)
    }

    /// When the key that signs now makes way for the next one.
    #[must_use]
    pub fn signing_key_ends(&self, now: Timestamp) -> Option<Timestamp> {
        let held = self.keys.held.load();
        let signing = held.iter().rev().find(|held| held.signs_from <= now).or(held.first())?;
        Some(signing.signs_from.after(self.rules().signing_rotate))
    }

    /// What `/jwks.json` answers: the keys that sign, will sign soon, or signed what may still be good.
    #[must_use]
    pub fn jwks(&self) -> String {
        #[derive(serde::Serialize)]
        struct Jwks<'a> {
            keys: Vec<&'a PublicKey>,
        }
        let held = self.keys.held.load();
        let keys = held.iter().map(|held| held.key.public()).collect();
        serde_json::to_string(&Jwks { keys }).unwrap_or_else(|_| r#"{"keys":[]}"#.to_owned())
    }

    /// Reads the keys, makes the first or the next one when it is due, retires those that are over. For start and the chores, each hour
    /// or so.
    ///
    /// # Errors
    /// [`KeyError`] if a key can be neither read nor made; those in memory stay.
    pub async fn tend_keys(&self, now: Timestamp) -> Result<(), KeyError> {
        let rules = self.rules();
        let records = self.key_records().await?;
        let signs_from: Vec<Timestamp> = records.iter().map(|record| record.record.signs_from).collect();
        let newest_fits = records
            .last()
            .is_some_and(|record| record.record.algorithm == rules.signing_algorithm.name());
        let plan = plan(&signs_from, newest_fits, &rules, now);
        if plan.make.is_some() || !plan.retire.is_empty() {
            let event = Event::new(Action::SigningKeyChanged, Actor::System, now);
            let mut commit = Commit::because(event);
            for place in plan.retire {
                if let Some(record) = records.get(place) {
                    commit = commit.remove(record);
                }
            }
            if let Some(signs_from) = plan.make {
                commit = commit.create(&self.new_key(rules.signing_algorithm, signs_from, now)?);
            }
            match self.store.commit(commit).await {
                // Somebody else tended them: what is there now is read below.
                Ok(()) | Err(StoreError::Conflict(_) | StoreError::Taken(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut held = Vec::new();
        for record in self.key_records().await? {
            held.push(self.open_key(&record.record)?);
        }
        self.keys.held.store(Arc::new(held));
        Ok(())
    }

    fn new_key(&self, algorithm: SigningAlgorithm, signs_from: Timestamp, now: Timestamp) -> Result<SigningKeyRecord, KeyError> {
        let id = KeyRecordId::generate(&self.random);
        let private = SigningKey::generate(algorithm)?;
        let times = (now, signs_from);
        let record = SigningKeyRecord::seal(id, algorithm.name(), times, private.expose(), &self.keyring, &self.random)?;
        Ok(record)
    }

    fn open_key(&self, record: &SigningKeyRecord) -> Result<Held, KeyError> {
        let algorithm = SigningAlgorithm::named(&record.algorithm).ok_or(KeyFault)?;
        let private = record.open(&self.keyring)?;
        Ok(Held {
            signs_from: record.signs_from,
            key: Arc::new(SigningKey::from_pkcs8(algorithm, private.expose())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{DAY, MINUTE};

    #[test]
    fn a_key_is_published_before_it_signs_and_after_it_has() {
        let rules = HouseRules::default();
        let start = Timestamp::from_secs(1_900_000_000);
        let nothing = Plan {
            make: None,
            retire: Vec::new(),
        };
        assert_eq!(plan(&[], false, &rules, start).make, Some(start), "the first signs at once");
        assert_eq!(plan(&[start], true, &rules, start.after(28 * DAY)), nothing, "not yet");
        let ahead = start.after(29 * DAY);
        let next = start.after(30 * DAY);
        assert_eq!(plan(&[start], true, &rules, ahead).make, Some(next), "a day ahead of its turn");
        assert_eq!(plan(&[start, next], true, &rules, next), nothing, "the old one is still published");
        let glow = next.after(rules.signing_ttl).after(AFTERGLOW);
        assert_eq!(plan(&[start, next], true, &rules, glow.before(MINUTE)), nothing);
        assert_eq!(plan(&[start, next], true, &rules, glow).retire, vec![0], "the old one is over");
        let late = start.after(90 * DAY);
        assert_eq!(
            plan(&[start], true, &rules, late).make,
            Some(late.after(DAY)),
            "late, but still published before it signs"
        );
        assert_eq!(
            plan(&[start], false, &rules, start.after(HOUR)).make,
            Some(start.after(HOUR).after(DAY)),
            "another algorithm is asked for"
        );
        assert_eq!(plan(&[start, next], false, &rules, ahead), nothing, "one in waiting is enough");
    }
}
