//! What the policy files on disk, or others, would change for people, were they in force.

use std::sync::Arc;

use crate::accounts::{Accounts, Unavailable};
use crate::base::sources::Sources;
use crate::base::time::Timestamp;
use crate::policy::PolicySet;
use crate::policy::difference::{Moved, difference};

use super::{App, Live};

/// Reads settings and policies from disk; the error is for people.
pub type ReadFiles = Arc<dyn Fn() -> Result<Sources, String> + Send + Sync>;

/// A person whom a change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// The identifier.
    pub id: String,
    /// The name to show.
    pub name: String,
    /// Username.
    pub username: String,
    /// Titles of the applications, each once.
    pub applications: Vec<String>,
}

/// A place that means something else to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedPlace {
    /// The application's title.
    pub application: String,
    /// Methods and path as the rule names them.
    pub place: String,
    /// How many may go there and could not.
    pub gain: usize,
    /// How many could go there and no longer may.
    pub lose: usize,
}

/// What a change of the rules means for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consequences {
    /// The generation that it makes, as logs show it.
    pub generation: String,
    /// How many people were looked at.
    pub people: usize,
    /// Who may go where they could not.
    pub gain: Vec<Concerned>,
    /// Who no longer may go where they could.
    pub lose: Vec<Concerned>,
    /// The places.
    pub places: Vec<MovedPlace>,
}

/// Why consequences are not told.
#[derive(Debug, thiserror::Error)]
pub enum NotReckoned {
    /// The store.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// More people than was asked for.
    #[error("there are more than {0} people")]
    TooMany(usize),
    /// A fault of portcullis.
    #[error("reckoning ended in a fault of portcullis; see the log")]
    Fault,
}

/// What stands on disk.
#[derive(Debug)]
pub enum OnDisk {
    /// Nobody said where the files are.
    Unknown,
    /// What is in force.
    Same,
    /// Something that cannot be used, with what is wrong, a line each.
    Unusable(Vec<String>),
    /// Other rules, which could be in force.
    Other(Box<Live>),
}

/// Reads and judges what stands on disk, on a thread that may wait for it.
///
/// # Errors
/// [`NotReckoned::Fault`].
pub async fn on_disk(app: &App, now: Timestamp) -> Result<OnDisk, NotReckoned> {
    let Some(read) = app.files.get().map(Arc::clone) else {
        return Ok(OnDisk::Unknown);
    };
    let generation = app.live().policies.generation().to_string();
    let judged = tokio::task::spawn_blocking(move || {
        let sources = match read() {
            Ok(sources) => sources,
            Err(error) => return OnDisk::Unusable(vec![error]),
        };
        match Live::parse(&sources, now) {
            Ok(live) if live.policies.generation().to_string() == generation => OnDisk::Same,
            Ok(live) => OnDisk::Other(Box::new(live)),
            Err(problems) => {
                let texts = sources.texts();
                OnDisk::Unusable(problems.iter().map(|problem| problem.one_line(&texts)).collect())
            }
        }
    });
    judged.await.map_err(|_| NotReckoned::Fault)
}

/// What `after` in the place of `before` would mean for the people of the store, those who have yet to register with them, as if each had just
/// signed in with a password. Reckoned on a thread of its own; with more than `most` people it is not.
///
/// # Errors
/// [`NotReckoned`].
pub async fn consequences(
    accounts: &Accounts,
    before: &Arc<PolicySet>,
    after: &Live,
    most: usize,
    now: Timestamp,
) -> Result<Consequences, NotReckoned> {
    let Some(people) = accounts.everybody_to_judge(most, now).await? else {
        return Err(NotReckoned::TooMany(most));
    };
    let (before, new) = (Arc::clone(before), Arc::clone(&after.policies));
    let generation = after.generation().to_string();
    let reckoned = tokio::task::spawn_blocking(move || {
        let found = difference(&before, &new, &people, now);
        let concerned = |number: usize, of: &dyn Fn(&Moved) -> bool| {
            let person = people.get(number)?;
            let mut applications: Vec<String> = found
                .moved
                .iter()
                .filter(|moved| of(moved))
                .map(|moved| moved.title.clone())
                .collect();
            applications.dedup();
            Some(Concerned {
                id: person.user.to_string(),
                name: person.display_name(),
                username: person.username.to_string(),
                applications,
            })
        };
        let gain = found.gain().into_iter();
        let lose = found.lose().into_iter();
        Consequences {
            generation,
            people: people.len(),
            gain: gain
                .filter_map(|number| concerned(number, &|moved| moved.gain.contains(&number)))
                .collect(),
            lose: lose
                .filter_map(|number| concerned(number, &|moved| moved.lose.contains(&number)))
                .collect(),
            places: found
                .moved
                .iter()
                .map(|moved| MovedPlace {
                    application: moved.title.clone(),
                    place: moved.place.clone(),
                    gain: moved.gain.len(),
                    lose: moved.lose.len(),
                })
                .collect(),
        }
    });
    reckoned.await.map_err(|_| NotReckoned::Fault)
}
