//! Who there is and who is invited, in memory, so that lists are searched, sorted and counted without reading the store through.
//!
//! It is made when a list is first asked for, and thrown away when none was for a while. From then on the store tells who has moved, before
//! whoever moved them is answered; a list reads those again first, so it is never older than what was acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::base::time::{HOUR, Timestamp};
use crate::model::id::{InvitationId, UserId};
use crate::model::invitation::{Invitation, Profile};
use crate::model::membership::Membership;
use crate::model::name::{RoleName, TeamName, fold_name};
use crate::model::password::PasswordHash;
use crate::model::token::{OneTimeToken, Registration, Reset};
use crate::model::user::{User, UserStatus};
use crate::store::{Change, Page, Record, StoreError, Versioned};

use super::Accounts;

/// How long it is kept after it was last of use: it costs some hundreds of bytes for each person.
const KEPT_FOR: Duration = HOUR;
/// Records that are read at a time: the store is asked often rather than long.
const AT_ONCE: usize = 500;

/// Where somebody stands in a list: by the name that is shown, folded, then by identifier.
pub(super) type Place = (Arc<str>, u128);

/// What lists are searched and filtered by.
#[derive(Debug)]
pub(super) struct Person {
    /// Username, in canonical form.
    pub(super) username: Box<str>,
    /// Address, in canonical form; empty if there is none.
    pub(super) email: Box<str>,
    /// Where the account stands.
    pub(super) status: UserStatus,
    /// Instance-wide roles as given.
    pub(super) roles: Box<[RoleName]>,
    /// Their teams.
    pub(super) teams: Box<[InTeam]>,
    /// A reset token that is to be handed over.
    pub(super) reset: Option<Box<OneTimeToken<Reset>>>,
}

/// A team that somebody is in.
#[derive(Debug)]
pub(super) struct InTeam {
    pub(super) team: TeamName,
    /// The roles they hold there.
    pub(super) roles: Box<[RoleName]>,
}

impl From<Membership> for InTeam {
    fn from(membership: Membership) -> Self {
        Self {
            team: membership.team,
            roles: membership.roles.into_iter().collect(),
        }
    }
}

/// Everybody, in the order of lists.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) lines: BTreeMap<Place, Person>,
    names: HashMap<UserId, Arc<str>>,
}

impl People {
    fn put(&mut self, user: UserId, line: Option<(Arc<str>, Person)>) {
        if let Some(name) = self.names.remove(&user) {
            self.lines.remove(&(name, user.number()));
        }
        if let Some((name, person)) = line {
            self.names.insert(user, Arc::clone(&name));
            self.lines.insert((name, user.number()), person);
        }
    }
}

/// Every invitation, the newest first.
pub(super) type Invited = BTreeMap<InvitationId, Arc<Invitation>>;

#[derive(Debug, Default)]
struct Kept {
    people: People,
    invited: Invited,
}

/// Who has moved, each with the number of the move.
type Counted<K> = Vec<(K, u64)>;

/// Who has moved since they were read, each with the number of the move: one that comes while they are read again is not missed.
#[derive(Debug, Default)]
struct Moved {
    count: u64,
    people: HashMap<UserId, u64>,
    invited: HashMap<InvitationId, u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Roll {
    kept: RwLock<Option<Kept>>,
    moved: Mutex<Moved>,
    /// Whether moves are noted.
    watched: AtomicBool,
    /// Held by whoever reads.
    reading: tokio::sync::Mutex<()>,
    used: Mutex<Option<Timestamp>>,
}

impl Roll {
    /// Notes who has moved. Called on the writer's thread before whoever committed is answered.
    pub(super) fn note(&self, changes: &[Change]) {
        if !self.watched.load(Ordering::SeqCst) {
            return;
        }
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            moved.count += 1;
            let count = moved.count;
            match change {
                Change::User(user) | Change::Token(user) => {
                    moved.people.insert(*user, count);
                }
                Change::Invitation(invitation) => {
                    moved.invited.insert(*invitation, count);
                }
                Change::Session(_) | Change::Team(_) | Change::Outbox => {}
            }
        }
    }

    /// Forgets everything if no list was asked for in a while.
    pub(super) fn sweep(&self, now: Timestamp) {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = used.is_some_and(|used| now.since(used) >= KEPT_FOR || used.is_out_of_time(now));
        // Whoever reads just now has use for it.
        if idle && let Ok(_reading) = self.reading.try_lock() {
            self.watched.store(false, Ordering::SeqCst);
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Moved::default();
            *self.kept.write().unwrap_or_else(PoisonError::into_inner) = None;
            *self.used.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Looks at everybody; none if nothing is kept.
    pub(super) fn people<T>(&self, look: impl FnOnce(&People) -> T) -> Option<T> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|kept| look(&kept.people))
    }

    /// Looks at all invitations; none if nothing is kept.
    pub(super) fn invited<T>(&self, look: impl FnOnce(&Invited) -> T) -> Option<T> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|kept| look(&kept.invited))
    }

    fn is_made(&self) -> bool {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        if let Some(kept) = self.kept.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(kept);
        }
    }

    fn moved_now(&self) -> (Counted<UserId>, Counted<InvitationId>) {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let people = moved.people.iter().map(|(id, count)| (*id, *count)).collect();
        (people, moved.invited.iter().map(|(id, count)| (*id, *count)).collect())
    }
}

/// Whoever has not moved again since is as they were read.
fn settle<K: Eq + Hash>(moved: &mut HashMap<K, u64>, id: &K, count: u64) {
    if moved.get(id) == Some(&count) {
        moved.remove(id);
    }
}

impl Accounts {
    /// Brings the roll up to date.
    pub(super) async fn call_roll(&self, now: Timestamp) -> Result<(), StoreError> {
        *self.roll.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        let _reading = self.roll.reading.lock().await;
        if !self.roll.is_made() {
            self.roll.watched.store(true, Ordering::SeqCst);
            let kept = self.read_all().await?;
            *self.roll.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        let (people, invited) = self.roll.moved_now();
        for (user, count) in people {
            let line = match self.store.get::<User>(&user).await? {
                Some(found) => Some(self.read_person(&found.record).await?),
                None => None,
            };
            self.roll.change(|kept| kept.people.put(user, line));
            settle(
                &mut self.roll.moved.lock().unwrap_or_else(PoisonError::into_inner).people,
                &user,
                count,
            );
        }
        for (id, count) in invited {
            let found = self.store.get::<Invitation>(&id).await?;
            self.roll.change(|kept| {
                match found {
                    Some(found) => kept.invited.insert(id, Arc::new(without_password(found.record))),
                    None => kept.invited.remove(&id),
                };
            });
            settle(
                &mut self.roll.moved.lock().unwrap_or_else(PoisonError::into_inner).invited,
                &id,
                count,
            );
        }
        Ok(())
    }

    async fn read_person(&self, user: &User) -> Result<(Arc<str>, Person), StoreError> {
        let memberships = self.memberships_of(user.id).await?;
        let teams = memberships.into_iter().map(|one| one.into_record().into()).collect();
        let reset = self.reset_to_hand_over(user).await?;
        Ok(line(user, teams, reset))
    }

    /// The reset token of an active account that was not mailed: one that was asks nothing of an administrator.
    async fn reset_to_hand_over(&self, user: &User) -> Result<Option<Box<OneTimeToken<Reset>>>, StoreError> {
        if user.status != UserStatus::Active {
            return Ok(None);
        }
        let Some(token) = self.token::<Reset>(user.id).await? else {
            return Ok(None);
        };
        let sealed = self.sealed_token(token.record.id).await?.is_some();
        Ok(sealed.then(|| Box::new(token.record)))
    }

    async fn read_all(&self) -> Result<Kept, StoreError> {
        let mut teams: HashMap<UserId, Vec<InTeam>> = HashMap::new();
        self.read_each(|membership: Membership| teams.entry(membership.user).or_default().push(membership.into()))
            .await?;
        // The body of a token is the same whatever it is for.
        let mut with_token: HashSet<UserId> = HashSet::new();
        self.read_each(|token: OneTimeToken<Registration>| {
            with_token.insert(token.user);
        })
        .await?;
        let mut people = People::default();
        let mut resets = Vec::new();
        self.read_each(|user: User| {
            let teams = teams.remove(&user.id).unwrap_or_default();
            let (name, person) = line(&user, teams.into(), None);
            if with_token.contains(&user.id) && user.status == UserStatus::Active {
                resets.push(user.clone());
            }
            people.put(user.id, Some((name, person)));
        })
        .await?;
        for user in resets {
            let line = self.read_person(&user).await?;
            people.put(user.id, Some(line));
        }
        let mut invited = Invited::new();
        self.read_each(|invitation: Invitation| {
            invited.insert(invitation.id, Arc::new(without_password(invitation)));
        })
        .await?;
        Ok(Kept { people, invited })
    }

    async fn read_each<R: Record>(&self, mut each: impl FnMut(R)) -> Result<(), StoreError> {
        let mut after: Option<R::Key> = None;
        loop {
            let page = Page::<R>::first(AT_ONCE);
            let found = self
                .store
                .list(match &after {
                    Some(after) => page.after(after),
                    None => page,
                })
                .await?;
            let Some(last) = found.last() else { return Ok(()) };
            after = Some(last.record.key());
            found.into_iter().map(Versioned::into_record).for_each(&mut each);
        }
    }
}

fn line(user: &User, teams: Box<[InTeam]>, reset: Option<Box<OneTimeToken<Reset>>>) -> (Arc<str>, Person) {
    let email = user.email.as_ref().map(|email| email.canonical()).unwrap_or_default();
    let person = Person {
        username: user.username.canonical().into(),
        email: email.into(),
        status: user.status,
        roles: user.roles.iter().cloned().collect(),
        teams,
        reset,
    };
    (fold_name(&user.display_name()).into(), person)
}

/// Lists have no use for it.
fn without_password(invitation: Invitation) -> Invitation {
    let profile = invitation.profile.map(|profile| Profile {
        password: PasswordHash::from_phc(String::new()),
        ..profile
    });
    Invitation { profile, ..invitation }
}
