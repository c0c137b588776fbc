//! Sessions: opened, found again, listed, given a new value, ended.

use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::base::encoding::base64url;
use crate::base::seal::Purpose;
use crate::base::time::Timestamp;
use crate::model::event::{Action, Actor, Event};
use crate::model::id::{SessionId, UserId};
use crate::model::membership::Membership;
use crate::model::principal::SignedIn;
use crate::model::session::{Session, SessionValue, SessionValueRecord};
use crate::model::user::User;
use crate::store::{Commit, StoreError, Versioned};

use super::acting::Acting;
use super::admission::{Refused, Visit};
use super::login::LoginSecret;
use super::memory::{Caller, Stay};
use super::{Accounts, Unavailable, again};

/// How long a value that was replaced is still good: requests that were under way carry it.
pub const REPLACED_LASTS: Duration = Duration::from_secs(30);

/// The longest a browser's name for itself is kept, in characters.
const AGENT_LENGTH: usize = 256;

/// What a cookie's value turned out to be.
#[derive(Clone, Debug)]
pub enum Presented {
    /// Somebody with a live session.
    Live(Caller),
    /// A value that opens nothing any more, or never did: the two cannot be told apart.
    Ended,
}

/// How a session is to be opened.
pub(super) struct Opening<'a> {
    pub(super) signed_in: SignedIn,
    pub(super) remember: bool,
    /// The session that the browser had; it ends with this one.
    pub(super) before: Option<&'a Caller>,
}

/// One line of somebody's list of sessions.
#[derive(Clone, Debug)]
pub struct SessionLine {
    /// The session.
    pub session: Session,
    /// The last request, to the second where this process saw it.
    pub last_seen: Timestamp,
    /// When it ends if it is not used again.
    pub idle_end: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl Accounts {
    /// The live session behind a value on a host, if it is in memory. No waiting and no look into the store: this is the path of every
    /// request. `None` says nothing; then ask [`Accounts::caller`].
    #[must_use]
    pub fn remembered(&self, value: &SessionValue, host: &str, now: Timestamp) -> Option<Caller> {
        let rules = self.rules.load();
        if !self.loss.goes_on(|| self.store.health(), rules.on_loss, now) {
            return None;
        }
        let caller = self.memory.find(&value.digest(), host, rules.session.idle, now)?;
        self.see(&caller, now);
        Some(caller)
    }

    /// The live session behind a value on a host.
    ///
    /// # Errors
    /// [`Unavailable`] if the store has to be asked and does not answer.
    pub async fn caller(&self, value: &SessionValue, host: &str, now: Timestamp) -> Result<Presented, Unavailable> {
        if let Some(caller) = self.remembered(value, host, now) {
            return Ok(Presented::Live(caller));
        }
        // What could still be read of a store that is out of order may be out of date.
        self.health()?;
        let digest = value.digest();
        let mark = self.memory.mark();
        let Some(record) = self.store.get::<SessionValueRecord>(&digest).await? else {
            return Ok(Presented::Ended);
        };
        let record = record.record;
        if record.host != host || record.good_until.is_some_and(|until| now >= until) {
            return Ok(Presented::Ended);
        }
        let Some((session, user)) = self.live_session(record.session, now).await? else {
            return Ok(Presented::Ended);
        };
        let identity = self.identity(&user.record, &session.record).await?;
        let stay = Stay::new(session.record, Arc::new(identity), user.record.gains);
        let caller = self.memory.remember(mark, &record, stay);
        self.see(&caller, now);
        Ok(Presented::Live(caller))
    }

    fn see(&self, caller: &Caller, now: Timestamp) {
        if caller.stay.see(now) {
            self.store.touch(caller.session().id, now);
        }
    }

    /// A session as it stands now, for whoever holds something open by it; `None` once it is over. To be asked is no use of a session: it
    /// goes idle all the same. `seen` is a moment of use that the caller knows of.
    ///
    /// # Errors
    /// [`Unavailable`] if the store has to be asked and does not answer.
    pub async fn stay(&self, id: SessionId, seen: Timestamp, now: Timestamp) -> Result<Option<Arc<Stay>>, Unavailable> {
        let rules = self.rules();
        let idle = rules.session.idle;
        if self.loss.goes_on(|| self.store.health(), rules.on_loss, now)
            && let Some(stay) = self.memory.stay(id)
        {
            return Ok(Some(stay).filter(|stay| !stay.is_over(idle, now)));
        }
        self.health()?;
        let Some(session) = self.store.get::<Session>(&id).await? else {
            return Ok(None);
        };
        let Some(user) = self.store.get::<User>(&session.record.user).await? else {
            return Ok(None);
        };
        let seen = session.record.last_seen.max(seen);
        if session.record.epoch != user.record.epoch || session.record.is_over(seen, idle, now) {
            return Ok(None);
        }
        let identity = self.identity(&user.record, &session.record).await?;
        Ok(Some(Arc::new(Stay::new(session.record, Arc::new(identity), user.record.gains))))
    }

    /// The sessions that are in memory, which are those that were used since the server began or their person changed; some may be over.
    #[must_use]
    pub fn stays(&self) -> Vec<Arc<Stay>> {
        self.memory.stays()
    }

    /// The session and its user, if the session is not over.
    pub(super) async fn live_session(
        &self,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<(Versioned<Session>, Versioned<User>)>, StoreError> {
        let Some(session) = self.store.get::<Session>(&id).await? else {
            return Ok(None);
        };
        let Some(user) = self.store.get::<User>(&session.record.user).await? else {
            return Ok(None);
        };
        let last_seen = self
            .memory
            .last_seen(id)
            .unwrap_or(session.record.last_seen)
            .max(session.record.last_seen);
        let over = session.record.is_over(last_seen, self.rules().session.idle, now) || session.record.epoch != user.record.epoch;
        Ok((!over).then_some((session, user)))
    }

    /// A session for `user`, as it will stand in the store, if they may come in from here; nothing is written.
    pub(super) async fn admit(
        &self,
        user: &User,
        opening: &Opening<'_>,
        visit: &Visit<'_>,
    ) -> Result<Result<(Session, SessionValue), Box<Refused>>, StoreError> {
        let memberships = self
            .memberships_of(user.id)
            .await?
            .into_iter()
            .map(Versioned::into_record)
            .collect();
        self.admit_with(user, memberships, opening, visit).await
    }

    /// The same for somebody whose memberships are about to be made.
    pub(super) async fn admit_with(
        &self,
        user: &User,
        memberships: Vec<Membership>,
        opening: &Opening<'_>,
        visit: &Visit<'_>,
    ) -> Result<Result<(Session, SessionValue), Box<Refused>>, StoreError> {
        let now = visit.now();
        let session = Session {
            id: SessionId::generate(&self.random),
            user: user.id,
            epoch: user.epoch,
            created: now,
            expires: now.after(self.rules().session.absolute),
            last_seen: now,
            rested: Duration::ZERO,
            signed_in: opening.signed_in.clone(),
            remember: opening.remember,
            address: visit.address(),
            agent: visit.agent().chars().take(AGENT_LENGTH).collect(),
        };
        let identity = self.identity_with(user, memberships, session.id, session.signed_in.clone()).await?;
        Ok(visit.admit(identity).map(|()| (session, SessionValue::generate(&self.random))))
    }

    /// Adds to a commit: the new session with its value for this host, and the end of the one before.
    pub(super) async fn with_session(
        &self,
        commit: Commit,
        session: &Session,
        value: &SessionValue,
        gains: u64,
        before: Option<&Caller>,
        visit: &Visit<'_>,
    ) -> Result<Commit, StoreError> {
        let record = SessionValueRecord {
            digest: value.digest(),
            session: session.id,
            host: visit.host().to_owned(),
            gains,
            good_until: None,
        };
        let commit = commit.create(session).create(&record);
        match before {
            Some(before) => self.without_session(commit, before.session().id).await,
            None => Ok(commit),
        }
    }

    /// Adds the end of a session to a commit, if it is still there.
    pub(super) async fn without_session(&self, commit: Commit, id: SessionId) -> Result<Commit, StoreError> {
        let Some(session) = self.store.get::<Session>(&id).await? else {
            return Ok(commit);
        };
        let mut commit = commit.remove(&session);
        for value in self.values_of(id).await? {
            commit = commit.remove(&value);
        }
        Ok(commit)
    }

    /// Gives a caller a new value for the host of the visit, after a role was gained. The old one is good for [`REPLACED_LASTS`], there
    /// only. `None` if another request was first, or the session has ended.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn rotate(&self, caller: &Caller, now: Timestamp) -> Result<Option<SessionValue>, Unavailable> {
        let Some(old) = self.store.get::<SessionValueRecord>(&caller.value).await? else {
            return Ok(None);
        };
        let Some((session, user)) = self.live_session(old.record.session, now).await? else {
            return Ok(None);
        };
        if old.record.good_until.is_some() || old.record.gains >= user.record.gains {
            return Ok(None);
        }
        let value = SessionValue::generate(&self.random);
        let new = SessionValueRecord {
            digest: value.digest(),
            gains: user.record.gains,
            ..old.record.clone()
        };
        let replaced = SessionValueRecord {
            good_until: Some(now.after(REPLACED_LASTS)),
            ..old.record.clone()
        };
        let event = Event::new(Action::SessionRotated, Actor::System, now)
            .to(session.record.id)
            .with("host", &new.host);
        let commit = Commit::because(event).unchanged(&session).replace(&old, &replaced).create(&new);
        match self.store.commit(commit).await {
            Ok(()) => Ok(Some(value)),
            // Somebody was first: their answer brings the new value, and the old one lasts until then.
            Err(StoreError::Conflict(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Signs the caller out: the session and its values on every host end.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then the session has not ended.
    pub async fn sign_out(&self, caller: &Caller, visit: &Visit<'_>) -> Result<(), Unavailable> {
        let id = caller.session().id;
        again(|| async {
            let event = Event::new(Action::SignedOut, Actor::User(caller.identity().user), visit.now())
                .to(id)
                .from(visit.address());
            self.commit_end(event, id).await
        })
        .await?;
        Ok(())
    }

    /// The caller's sessions that are not over, the latest used first.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn own_sessions(&self, caller: &Caller, now: Timestamp) -> Result<Vec<SessionLine>, Unavailable> {
        let mut lines = self.sessions_of(caller.identity().user, now).await?;
        for line in &mut lines {
            line.current = line.session.id == caller.session().id;
        }
        Ok(lines)
    }

    /// Somebody's sessions that are not over, the latest used first.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn sessions_of(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionLine>, Unavailable> {
        let Some(user) = self.store.get::<User>(&user).await? else {
            return Ok(Vec::new());
        };
        let idle = self.rules().session.idle;
        let mut lines: Vec<SessionLine> = self
            .session_records(user.record.id)
            .await?
            .into_iter()
            .map(|session| {
                let session = session.record;
                let last_seen = self
                    .memory
                    .last_seen(session.id)
                    .unwrap_or(session.last_seen)
                    .max(session.last_seen);
                SessionLine {
                    idle_end: last_seen.after(idle).min(session.expires),
                    last_seen,
                    session,
                    current: false,
                }
            })
            .filter(|line| line.session.epoch == user.record.epoch && !line.session.is_over(line.last_seen, idle, now))
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse((line.last_seen, line.session.id)));
        Ok(lines)
    }

    /// Ends one of the caller's own sessions; false if there is no such session of theirs.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then the session has not ended.
    pub async fn end_own_session(&self, caller: &Caller, id: SessionId, visit: &Visit<'_>) -> Result<bool, Unavailable> {
        let user = caller.identity().user;
        let ended = again(|| async {
            let theirs = self
                .store
                .get::<Session>(&id)
                .await?
                .is_some_and(|session| session.record.user == user);
            if !theirs {
                return Ok(false);
            }
            let event = Event::new(Action::SessionEnded, Actor::User(user), visit.now())
                .to(id)
                .from(visit.address());
            self.commit_end(event, id).await
        })
        .await?;
        Ok(ended)
    }

    /// Ends all of the caller's sessions but this one; says how many there were.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then none has ended.
    pub async fn end_all_others(&self, caller: &Caller, visit: &Visit<'_>) -> Result<usize, Unavailable> {
        let user = caller.identity().user;
        let event = Event::new(Action::SessionEnded, Actor::User(user), visit.now())
            .to(user)
            .from(visit.address());
        let ended = again(|| self.raise_epoch(user, Some(caller.session().id), event.clone(), visit.now())).await?;
        Ok(ended.unwrap_or(0))
    }

    /// Ends every session of somebody; says how many there were, or `None` if there is nobody of that name within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then none has ended.
    pub async fn end_all_of(&self, user: UserId, by: &Acting, now: Timestamp) -> Result<Option<usize>, Unavailable> {
        if self.changeable(user, by).await?.is_none() {
            return Ok(None);
        }
        let event = by.event(Action::SessionEnded, user, now);
        Ok(again(|| self.raise_epoch(user, None, event.clone(), now)).await?)
    }

    /// The session of that name, whoever's, if it has not been swept away: for explaining.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, Unavailable> {
        Ok(self.store.get::<Session>(&id).await?.map(|session| session.record))
    }

    /// Ends one session of anybody; false if there is none of that name within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then the session has not ended.
    pub async fn end_session(&self, id: SessionId, by: &Acting, now: Timestamp) -> Result<bool, Unavailable> {
        let Some(session) = self.store.get::<Session>(&id).await? else {
            return Ok(false);
        };
        if self.changeable(session.record.user, by).await?.is_none() {
            return Ok(false);
        }
        // The session is gone afterwards, so the trail says whose it was.
        let event = Event::new(Action::SessionEnded, by.actor.clone(), now)
            .to(id)
            .from(by.address)
            .with("of", session.record.user);
        Ok(again(|| self.commit_end(event.clone(), id)).await?)
    }

    /// One commit that ends a session; false if it had ended.
    pub(super) async fn commit_end(&self, event: Event, id: SessionId) -> Result<bool, StoreError> {
        let Some(session) = self.store.get::<Session>(&id).await? else {
            return Ok(false);
        };
        let mut commit = Commit::because(event).remove(&session);
        for value in self.values_of(id).await? {
            commit = commit.remove(&value);
        }
        self.store.commit(commit).await?;
        Ok(true)
    }

    /// One commit that ends every session of a user but one, by their epoch: a single row, however many there are.
    async fn raise_epoch(&self, user: UserId, keep: Option<SessionId>, event: Event, now: Timestamp) -> Result<Option<usize>, StoreError> {
        let Some(user) = self.store.get::<User>(&user).await? else {
            return Ok(None);
        };
        let live = self.live_sessions(&user.record, now).await?;
        let mut new = user.record.clone();
        new.epoch += 1;
        let mut commit = Commit::because(event).replace(&user, &new);
        let mut ended = live.len();
        if let Some(kept) = live.iter().find(|session| Some(session.record.id) == keep) {
            commit = commit.replace(
                kept,
                &Session {
                    epoch: new.epoch,
                    ..kept.record.clone()
                },
            );
            ended -= 1;
        }
        self.store.commit(commit).await?;
        Ok(Some(ended))
    }

    /// Sessions of a user that are not over.
    pub(super) async fn live_sessions(&self, user: &User, now: Timestamp) -> Result<Vec<Versioned<Session>>, StoreError> {
        let idle = self.rules().session.idle;
        let mut live = self.session_records(user.id).await?;
        live.retain(|session| {
            let last_seen = self.memory.last_seen(session.record.id).unwrap_or(session.record.last_seen);
            session.record.epoch == user.epoch && !session.record.is_over(last_seen.max(session.record.last_seen), idle, now)
        });
        Ok(live)
    }

    /// The value that ties a form to a session: the same for every form and every tab, and after a new cookie value too.
    #[must_use]
    pub fn csrf_of_session(&self, session: SessionId) -> String {
        self.csrf(b"session", &session.number().to_be_bytes())
    }

    /// The value that ties a form before sign-in to the browser that asked for it.
    #[must_use]
    pub fn csrf_of_login(&self, login: &LoginSecret) -> String {
        self.csrf(b"login", login.secret())
    }

    fn csrf(&self, what: &[u8], of: &[u8]) -> String {
        let message = [what, b"\0", of].concat();
        base64url(self.keyring.hash(Purpose::Csrf, &message).hash.as_bytes())
    }

    /// A new secret for a sign-in in progress.
    #[must_use]
    pub fn begin_login(&self, now: Timestamp) -> LoginSecret {
        LoginSecret::new(&self.random, now)
    }
}

/// Whether a form carries the value it should, compared in constant time.
#[must_use]
pub fn csrf_fits(expected: &str, presented: &str) -> bool {
    bool::from(expected.as_bytes().ct_eq(presented.as_bytes()))
}
