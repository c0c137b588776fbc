//! The use cases: read, apply a rule of the model, commit.

pub mod acting;
mod admission;
mod audit_list;
mod bound;
mod changes;
mod first_admin;
mod groups;
mod hand_over;
mod invitations;
mod invitee;
mod keys;
mod letters;
mod listing;
pub mod login;
mod loss;
mod memory;
mod notices;
mod once;
mod outbox;
mod passwords;
mod principals;
mod read;
mod redeem;
mod roll;
mod rules;
mod session_ends;
mod session_list;
mod sessions;
mod sign_in;
mod signing;
mod team_figures;
mod teams;
#[cfg(test)]
mod tests;
mod throttle;
mod tokens;
mod users;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::base::random::Random;
use crate::base::seal::Keyring;
use crate::base::secret::Hashed;
use crate::base::time::Timestamp;
use crate::model::id::SessionId;
use crate::signin::local::Passwords;
use crate::store::{Change, PolicyTree, Store, StoreError, WhichTree};

pub use acting::{Acting, Reach};
pub use admission::{Refused, Visit};
pub use audit_list::{AuditCheck, AuditLine, AuditPage, AuditSearch, Named, Went, details_of};
pub use bound::Held;
pub use first_admin::FirstAdminOutcome;
pub use groups::{GroupChange, GroupOutcome, MOST_MEMBERS};
pub use hand_over::{Arrival, TICKET_LASTS};
pub use invitations::{InvitationFilter, InvitationPage, InvitationsFrom, InviteOutcome, Invited, NewInvitation};
pub use invitee::{AccountForm, BeginOutcome, ConfirmOutcome, JoinOutcome, Welcome};
pub use keys::KeyError;
pub use letters::{LetterPage, Letters, SendOutcome};
pub use memory::{Caller, Stay};
pub use once::Full;
pub use outbox::{Given, LastTry, Waiting};
pub use passwords::{AskOutcome, ChangeOutcome};
pub use redeem::{Flaws, TokenForm, TokenOutcome, TypedNames};
pub use rules::{HouseRules, network_limit};
pub use session_ends::SessionsToEnd;
pub use session_list::{ListedSession, SessionPage, SessionSearch};
pub use sessions::{Presented, REPLACED_LASTS, SessionLine, csrf_fits};
pub use sign_in::{Credentials, NewSession, Realm, SignInOutcome};
pub use signing::{KeyFault, PublicKey, SigningAlgorithm, SigningKey};
pub use team_figures::TeamFigures;
pub use teams::{Member, MembershipOutcome, ProjectOutcome};
pub use tokens::{ShownToken, TokenFor};
pub use users::{AddOutcome, Added, EditOutcome, Filter, Listed, NewUser, Page, StatusFilter, UserPage};

use hand_over::Ticket;
use keys::Keys;
use loss::Loss;
use memory::Memory;
use once::Once;
use roll::Roll;

/// Tickets under way in all, and of one session.
const TICKETS: (usize, usize) = (10_000, 50);

/// How often a use case reads and decides again when what it rested on has moved.
const TRIES: usize = 16;

/// The store did not do what was asked. Nobody is let in by it, and nothing has changed that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store did not answer as it should")]
pub struct Unavailable(#[from] pub StoreError);

/// Everything that is done with people's accounts.
pub struct Accounts {
    store: Store,
    keyring: Arc<Keyring>,
    passwords: Passwords,
    random: Random,
    rules: ArcSwap<HouseRules>,
    memory: Arc<Memory>,
    /// Who there is and who is invited, for lists.
    roll: Arc<Roll>,
    /// Told when a letter was written.
    written: Arc<Notify>,
    /// Whether one of them is to be sent whatever became of it before.
    urgent: AtomicBool,
    /// The last letter that was tried.
    last_try: Mutex<Option<LastTry>>,
    tickets: Once<SessionId, Ticket>,
    keys: Keys,
    loss: Loss,
    /// The last revision given to an identity: none is given twice.
    revisions: AtomicU64,
    /// The digest of the secret in the first-admin address, while one is out.
    first_admin: Mutex<Option<Hashed>>,
    /// What the last check of the audit trail found.
    last_check: audit_list::LastCheck,
    /// How many memberships hold what, as counted last.
    counting: Arc<Mutex<bound::Counting>>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("sessions", &self.memory.len())
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// The accounts in a store. From here on, what the store changes is forgotten in memory before whoever changed it is answered.
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>, passwords: Passwords, rules: HouseRules, random: Random) -> Self {
        let memory = Arc::new(Memory::default());
        let told = Arc::clone(&memory);
        let written = Arc::new(Notify::new());
        let posted = Arc::clone(&written);
        let roll = Arc::new(Roll::default());
        let called = Arc::clone(&roll);
        store.subscribe(Box::new(move |changes| {
            principals::forget(&told, changes);
            called.note(changes);
            if changes.contains(&Change::Outbox) {
                posted.notify_one();
            }
        }));
        Self {
            store,
            keyring,
            passwords,
            random,
            rules: ArcSwap::from_pointee(rules),
            memory,
            roll,
            written,
            urgent: AtomicBool::new(false),
            last_try: Mutex::new(None),
            tickets: Once::new(TICKETS.0, TICKETS.1),
            keys: Keys::default(),
            loss: Loss::default(),
            revisions: AtomicU64::new(1),
            first_admin: Mutex::new(None),
            last_check: audit_list::LastCheck::default(),
            counting: Arc::default(),
        }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<HouseRules> {
        self.rules.load_full()
    }

    /// Goes by other rules from now on, as after a reload.
    pub fn adopt(&self, rules: HouseRules) {
        self.rules.store(Arc::new(rules));
    }

    /// Whether the store can be read. Pages of our own ask it: they are never shown by what is in memory alone, whatever `store.on_loss`
    /// says. A full disk can be read.
    ///
    /// # Errors
    /// [`Unavailable`] if the store is out of order.
    pub fn health(&self) -> Result<(), Unavailable> {
        match self.store.health() {
            Err(error @ StoreError::Unavailable(_)) => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// How the store is, a full disk told too.
    ///
    /// # Errors
    /// [`StoreError`] as [`Store::health`].
    pub fn store_state(&self) -> Result<(), StoreError> {
        self.store.health()
    }

    /// Since when the policy of a generation is in force, if it is the last that the store was told of.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn policy_since(&self, generation: &str) -> Result<Option<Timestamp>, Unavailable> {
        let kept = self.store.get::<PolicyTree>(&WhichTree::LastLive).await?;
        Ok(kept
            .filter(|kept| kept.record.digest == generation)
            .map(|kept| kept.record.live_since))
    }

    /// How many sessions are in memory.
    #[must_use]
    pub fn sessions_remembered(&self) -> usize {
        self.memory.len()
    }

    /// Throws out of memory what is over. For the chores, each minute or so.
    pub fn sweep(&self, now: Timestamp) {
        self.memory.sweep(self.rules().session.idle, now);
        self.tickets.sweep(now);
        self.roll.sweep(now);
    }
}

/// Does it again from the start while something that was read has moved before it was committed.
async fn again<T, F: Future<Output = Result<T, StoreError>>>(mut once: impl FnMut() -> F) -> Result<T, StoreError> {
    for _ in 1..TRIES {
        match once().await {
            Err(StoreError::Conflict(_)) => {}
            outcome => return outcome,
        }
    }
    once().await
}
