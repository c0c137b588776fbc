//! Live sessions in memory, so that a request costs no look into the store.
//!
//! A cookie's digest leads to its session and to what the store knew of its person. Whatever changes in the store about either drops the
//! entry before whoever changed it is answered; the next request reads it again. Nothing here is ever changed in place but the moment of
//! the last request.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::base::secret::Hashed;
use crate::base::time::{MINUTE, Timestamp};
use crate::model::id::{SessionId, UserId};
use crate::model::principal::{Identity, Principal};
use crate::model::session::{Session, SessionValueRecord};
use crate::policy::subject::Memo;

const SHARDS: usize = 64;

type Shard = RwLock<HashMap<Hashed, Value>>;

/// A session and its person as they were read from the store.
#[derive(Debug)]
pub struct Stay {
    /// The session.
    pub session: Session,
    /// Its person.
    pub identity: Arc<Identity>,
    /// How often the person had gained a role when this was read.
    gains: u64,
    memo: Memo,
    last_seen: AtomicI64,
    /// The longest it was unused, in milliseconds.
    rested: AtomicU64,
    /// The last moment the store was told of.
    told: AtomicI64,
}

impl Stay {
    /// What was read from the store.
    #[must_use]
    pub(super) fn new(session: Session, identity: Arc<Identity>, gains: u64) -> Self {
        let seen = session.last_seen.as_millis();
        let rested = session.rested;
        Self {
            session,
            identity,
            gains,
            memo: Memo::new(),
            last_seen: AtomicI64::new(seen),
            rested: AtomicU64::new(millis(rested)),
            told: AtomicI64::new(seen),
        }
    }

    /// The last request.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        Timestamp::from_millis(self.last_seen.load(Ordering::Relaxed))
    }

    /// The longest it was unused since the person signed in.
    #[must_use]
    pub fn rested(&self) -> Duration {
        Duration::from_millis(self.rested.load(Ordering::Relaxed))
    }

    /// What was worked out of what the person holds, to be handed to whoever decides about them.
    #[must_use]
    pub const fn memo(&self) -> &Memo {
        &self.memo
    }

    /// Whether the session is over at `now`.
    #[must_use]
    pub fn is_over(&self, idle: Duration, now: Timestamp) -> bool {
        self.session.is_over(self.last_seen(), idle, now)
    }

    /// Notes a request; true where the store should be told, which is once a minute.
    pub(super) fn see(&self, now: Timestamp) -> bool {
        let now_millis = now.as_millis();
        let before = self.last_seen.fetch_max(now_millis, Ordering::Relaxed);
        let unused = millis(now.since(Timestamp::from_millis(before)));
        // Written only where it changes: every thread reads this line of memory.
        if unused > self.rested.load(Ordering::Relaxed) {
            self.rested.fetch_max(unused, Ordering::Relaxed);
        }
        let told = self.told.load(Ordering::Relaxed);
        now >= Timestamp::from_millis(told).after(MINUTE)
            && self
                .told
                .compare_exchange(told, now_millis, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Somebody with a live session, as a request on one host finds them.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is, as rules are asked about them.
    pub principal: Principal,
    /// The session and its person.
    pub stay: Arc<Stay>,
    /// The digest of the value that was shown.
    pub value: Hashed,
    /// The request before this one.
    pub seen_before: Timestamp,
    /// Whether the person has gained a role since the value was made: the next answer on this host brings a new one.
    pub rotate: bool,
}

impl Caller {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.stay.session
    }

    /// What was worked out of what the person holds, to be handed to whoever decides about them.
    #[must_use]
    pub fn memo(&self) -> &Memo {
        &self.stay.memo
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.stay.identity
    }
}

#[derive(Debug)]
struct Value {
    stay: Arc<Stay>,
    host: Box<str>,
    gains: u64,
    good_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Known {
    stay: Arc<Stay>,
    values: Vec<Hashed>,
}

/// What is remembered, by whom and by which session, and how often something was forgotten.
#[derive(Debug, Default)]
struct Index {
    sessions: HashMap<SessionId, Known>,
    users: HashMap<UserId, HashSet<SessionId>>,
}

/// The live sessions that are remembered.
#[derive(Debug)]
pub(super) struct Memory {
    first: Shard,
    others: Vec<Shard>,
    index: Mutex<Index>,
    forgotten: AtomicU64,
}

/// A moment before something was read from the store. What was forgotten since then must not be remembered from what was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

impl Default for Memory {
    fn default() -> Self {
        Self {
            first: RwLock::default(),
            others: (1..SHARDS).map(|_| RwLock::default()).collect(),
            index: Mutex::default(),
            forgotten: AtomicU64::new(0),
        }
    }
}

impl Memory {
    /// The live session behind a value on a host; `None` if it is not remembered, stands for another host, or is over.
    pub(super) fn find(&self, digest: &Hashed, host: &str, idle: Duration, now: Timestamp) -> Option<Caller> {
        let shard = self.shard(digest);
        let value = shard.get(digest)?;
        if *value.host != *host || value.good_until.is_some_and(|until| now >= until) || value.stay.is_over(idle, now) {
            return None;
        }
        Some(value.to_caller(*digest))
    }

    /// To be taken before anything is read that is to be remembered.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.forgotten.load(Ordering::SeqCst))
    }

    /// Remembers what was read since `mark`, unless something was forgotten in between: then it may be out of date, and is only answered.
    /// A session that is remembered already keeps its moment of the last request.
    pub(super) fn remember(&self, mark: Mark, value: &SessionValueRecord, stay: Stay) -> Caller {
        let mut index = self.index();
        let known = index.sessions.get(&value.session).map(|known| Arc::clone(&known.stay));
        let stay = known.unwrap_or_else(|| Arc::new(stay));
        let entry = Value {
            stay: Arc::clone(&stay),
            host: value.host.as_str().into(),
            gains: value.gains,
            good_until: value.good_until,
        };
        let caller = entry.to_caller(value.digest);
        if self.forgotten.load(Ordering::SeqCst) == mark.0 {
            index.users.entry(stay.session.user).or_default().insert(value.session);
            let known = index
                .sessions
                .entry(value.session)
                .or_insert_with(|| Known { stay, values: Vec::new() });
            if !known.values.contains(&value.digest) {
                known.values.push(value.digest);
            }
            self.shard_mut(&value.digest).insert(value.digest, entry);
        }
        caller
    }

    /// Forgets all that is remembered of a person.
    pub(super) fn forget_user(&self, user: UserId) {
        let mut index = self.index();
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        for session in index.users.remove(&user).unwrap_or_default() {
            self.drop_session(&mut index, session);
        }
    }

    /// Forgets a session.
    pub(super) fn forget_session(&self, session: SessionId) {
        let mut index = self.index();
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        if let Some(user) = self.drop_session(&mut index, session)
            && let Some(sessions) = index.users.get_mut(&user)
        {
            sessions.remove(&session);
            if sessions.is_empty() {
                index.users.remove(&user);
            }
        }
    }

    /// Forgets everything, as after a change of something that many share.
    pub(super) fn forget_all(&self) {
        let mut index = self.index();
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        *index = Index::default();
        for shard in self.others.iter().chain([&self.first]) {
            shard.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Forgets the sessions that are over.
    pub(super) fn sweep(&self, idle: Duration, now: Timestamp) {
        let over: Vec<SessionId> = self
            .index()
            .sessions
            .iter()
            .filter(|(_, known)| known.stay.is_over(idle, now))
            .map(|(session, _)| *session)
            .collect();
        for session in over {
            self.forget_session(session);
        }
    }

    /// When a session was last used, if it is remembered.
    pub(super) fn last_seen(&self, session: SessionId) -> Option<Timestamp> {
        self.index().sessions.get(&session).map(|known| known.stay.last_seen())
    }

    /// A session, if it is remembered.
    pub(super) fn stay(&self, session: SessionId) -> Option<Arc<Stay>> {
        self.index().sessions.get(&session).map(|known| Arc::clone(&known.stay))
    }

    /// Every session that is remembered. Nobody who looks one up waits for it.
    pub(super) fn stays(&self) -> Vec<Arc<Stay>> {
        let mut seen = HashSet::new();
        let mut stays = Vec::new();
        for shard in self.others.iter().chain([&self.first]) {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            // A session has a value on each host.
            let new = shard.values().filter(|value| seen.insert(value.stay.session.id));
            stays.extend(new.map(|value| Arc::clone(&value.stay)));
        }
        stays
    }

    /// How many sessions are remembered.
    pub(super) fn len(&self) -> usize {
        self.index().sessions.len()
    }

    fn drop_session(&self, index: &mut Index, session: SessionId) -> Option<UserId> {
        let known = index.sessions.remove(&session)?;
        for digest in &known.values {
            self.shard_mut(digest).remove(digest);
        }
        Some(known.stay.session.user)
    }

    // The lock of the index is always taken before that of a shard, and `find` takes only the latter.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_of(&self, digest: &Hashed) -> &Shard {
        let [byte, ..] = digest.as_bytes();
        self.others.get(usize::from(*byte) % SHARDS).unwrap_or(&self.first)
    }

    fn shard(&self, digest: &Hashed) -> RwLockReadGuard<'_, HashMap<Hashed, Value>> {
        self.lock_of(digest).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_mut(&self, digest: &Hashed) -> RwLockWriteGuard<'_, HashMap<Hashed, Value>> {
        self.lock_of(digest).write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Value {
    fn to_caller(&self, digest: Hashed) -> Caller {
        Caller {
            principal: Principal::User(Arc::clone(&self.stay.identity)),
            value: digest,
            seen_before: self.stay.last_seen(),
            // A value that was replaced already is not replaced again.
            rotate: self.gains < self.stay.gains && self.good_until.is_none(),
            stay: Arc::clone(&self.stay),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::time::HOUR;
    use crate::model::principal::SignedIn;
    use crate::model::user::UserStatus;

    const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);

    fn stay(user: u128, session: u128, gains: u64) -> Stay {
        let signed_in = SignedIn::by_password(NOW);
        let identity = Identity {
            user: UserId::from_number(user),
            username: "ada".parse().unwrap(),
            email: None,
            given_name: "Ada".parse().unwrap(),
            family_name: "Lovelace".parse().unwrap(),
            status: UserStatus::Active,
            roles: BTreeSet::new(),
            memberships: Vec::new(),
            projects: Vec::new(),
            session: SessionId::from_number(session),
            signed_in: signed_in.clone(),
            revision: 1,
        };
        let session = Session {
            id: SessionId::from_number(session),
            user: UserId::from_number(user),
            epoch: 0,
            created: NOW,
            expires: NOW.after(24 * HOUR),
            last_seen: NOW,
            rested: Duration::ZERO,
            signed_in,
            remember: false,
            address: None,
            agent: String::new(),
        };
        Stay::new(session, Arc::new(identity), gains)
    }

    fn value(session: u128, name: &str, gains: u64, good_until: Option<Timestamp>) -> SessionValueRecord {
        SessionValueRecord {
            digest: Hashed::sha256(name.as_bytes()),
            session: SessionId::from_number(session),
            host: "portal.example".to_owned(),
            gains,
            good_until,
        }
    }

    fn find(memory: &Memory, name: &str, host: &str, now: Timestamp) -> Option<Caller> {
        memory.find(&Hashed::sha256(name.as_bytes()), host, 2 * HOUR, now)
    }

    #[test]
    fn a_value_opens_its_session_on_its_host_and_in_its_time() {
        let memory = Memory::default();
        memory.remember(memory.mark(), &value(1, "one", 0, None), stay(7, 1, 0));
        memory.remember(memory.mark(), &value(1, "old", 0, Some(NOW.after(MINUTE / 2))), stay(7, 1, 1));
        for (name, shown, host, at, expected) in [
            ("as made", "one", "portal.example", NOW, true),
            ("another host", "one", "app.example", NOW, false),
            ("never made", "two", "portal.example", NOW, false),
            ("idle for too long", "one", "portal.example", NOW.after(2 * HOUR), false),
            ("replaced a moment ago", "old", "portal.example", NOW.after(MINUTE / 3), true),
            ("replaced before that", "old", "portal.example", NOW.after(MINUTE / 2), false),
        ] {
            assert_eq!(find(&memory, shown, host, at).is_some(), expected, "{name}");
        }
        find(&memory, "one", "portal.example", NOW).unwrap().stay.see(NOW.after(HOUR));
        assert!(
            find(&memory, "one", "portal.example", NOW.after(2 * HOUR)).is_some(),
            "it was used in between"
        );
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_remembered() {
        let memory = Memory::default();
        let mark = memory.mark();
        memory.forget_user(UserId::from_number(7));
        let caller = memory.remember(mark, &value(1, "one", 0, None), stay(7, 1, 0));
        assert_eq!(caller.session().id, SessionId::from_number(1), "it is answered all the same");
        assert!(find(&memory, "one", "portal.example", NOW).is_none());
    }

    #[test]
    fn forgetting_takes_what_is_meant_and_nothing_else() {
        let memory = Memory::default();
        for (user, session, name) in [(7, 1, "a"), (7, 2, "b"), (8, 3, "c"), (8, 4, "d")] {
            memory.remember(memory.mark(), &value(session, name, 0, None), stay(user, session, 0));
        }
        let left = |memory: &Memory| ["a", "b", "c", "d"].map(|name| find(memory, name, "portal.example", NOW).is_some());
        memory.forget_session(SessionId::from_number(3));
        assert_eq!(left(&memory), [true, true, false, true]);
        memory.forget_user(UserId::from_number(7));
        assert_eq!(left(&memory), [false, false, false, true]);
        memory.sweep(2 * HOUR, NOW.after(3 * HOUR));
        assert_eq!(memory.len(), 0);
        assert!(memory.index().users.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_gained_role_asks_for_a_new_value_once() {
        let memory = Memory::default();
        let before = memory.remember(memory.mark(), &value(1, "one", 0, None), stay(7, 1, 1));
        assert!(before.rotate);
        let replaced = memory.remember(memory.mark(), &value(1, "two", 0, Some(NOW.after(MINUTE))), stay(7, 1, 1));
        assert!(!replaced.rotate);
        let new = memory.remember(memory.mark(), &value(1, "three", 1, None), stay(7, 1, 1));
        assert!(!new.rotate);
    }

    #[test]
    fn the_store_is_told_of_use_once_a_minute() {
        let stay = stay(7, 1, 0);
        assert!(!stay.see(NOW.after(MINUTE / 2)));
        assert!(stay.see(NOW.after(MINUTE)));
        assert!(!stay.see(NOW.after(MINUTE)));
        assert!(!stay.see(NOW), "a clock that went back tells nothing");
        assert_eq!(stay.last_seen(), NOW.after(MINUTE));
    }
}
