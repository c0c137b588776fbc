//! The audit trail for people: searched, a page at a time from the newest, and checked beside everything else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::time::Timestamp;
use crate::model::event::{Action, Actor, Event};
use crate::model::id::UserId;
use crate::model::name::fold_name;
use crate::model::user::User;
use crate::store::{AuditEntry, AuditReport};

use super::acting::{Acting, Reach};
use super::users::{Filter, Page};
use super::{Accounts, Unavailable};

/// Entries that are read in one go.
const SLICE: usize = 500;
/// Slices that one page looks through at most: a search that finds little stays short, and says how far it came.
const SLICES: usize = 20;
/// People that a part of a name may stand for in a search.
const PEOPLE: usize = 100;

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It was done.
    Done,
    /// It was tried and failed.
    Failed,
    /// It was refused or stopped.
    Refused,
}

impl Went {
    /// Every one there is.
    pub const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Refused];

    /// How an event went, which its action says.
    #[must_use]
    pub const fn of(action: Action) -> Self {
        match action {
            Action::SignInFailed | Action::TokenWrong => Self::Failed,
            Action::SignInLocked | Action::TokenLocked | Action::PolicyRefused => Self::Refused,
            _ => Self::Done,
        }
    }

    /// The word for it in addresses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditSearch {
    /// A person, an address, an identifier, or part of what an entry says; empty is every one.
    pub text: String,
    /// What happened.
    pub action: Option<Action>,
    /// How it went.
    pub went: Option<Went>,
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
}

/// Whom an entry names, as far as whoever looks may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A person who has an account.
    Person(UserId, String),
    /// Anything else, as the entry has it.
    Other(String),
    /// Somebody out of reach.
    Hidden,
}

/// An entry as a line of the list.
#[derive(Clone, Debug)]
pub struct AuditLine {
    /// The entry.
    pub entry: AuditEntry,
    /// Who did it.
    pub actor: Named,
    /// To whom or what.
    pub target: Option<Named>,
    /// From where, if that may be known.
    pub address: Option<IpAddr>,
}

/// A page of the trail.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// The lines, the newest first.
    pub lines: Vec<AuditLine>,
    /// The number that the next page begins below, if there is one.
    pub next: Option<u64>,
    /// Whether the search stopped short of a full page, since it had looked at enough for one time.
    pub unfinished: bool,
}

/// What is known of the last check of the chain.
#[derive(Clone, Debug, Default)]
pub enum AuditCheck {
    /// It was not checked since the start.
    #[default]
    None,
    /// It is being checked.
    Since(Timestamp),
    /// It was checked.
    Done {
        /// When that was begun.
        at: Timestamp,
        /// What was found; none if the store did not answer.
        report: Option<AuditReport>,
    },
}

/// The last check, shared with the one that is under way.
pub(super) type LastCheck = Arc<Mutex<AuditCheck>>;

/// A search made ready: whom its text means.
struct Wanted<'a> {
    search: &'a AuditSearch,
    text: String,
    address: Option<IpAddr>,
    people: HashSet<String>,
    within: Option<HashSet<UserId>>,
    teams: HashSet<String>,
}

impl Wanted<'_> {
    fn takes(&self, event: &Event) -> bool {
        let search = self.search;
        search.action.is_none_or(|action| action == event.action)
            && search.went.is_none_or(|went| went == Went::of(event.action))
            && search.from.is_none_or(|from| event.at >= from)
            && search.until.is_none_or(|until| event.at < until)
            && self.concerns_them(event)
            && self.says(event)
    }

    /// Whether it concerns people within reach: one of them did it, it was done to one of them, or to their team.
    fn concerns_them(&self, event: &Event) -> bool {
        let Some(within) = &self.within else { return true };
        let is_theirs = |text: &str| text.parse().is_ok_and(|user: UserId| within.contains(&user));
        matches!(&event.actor, Actor::User(user) if within.contains(user))
            || event.target.as_deref().is_some_and(is_theirs)
            || event.details.values().any(|value| is_theirs(value))
            || event.details.get("team").is_some_and(|team| self.teams.contains(team))
    }

    fn says(&self, event: &Event) -> bool {
        if self.text.is_empty() {
            return true;
        }
        if let Some(address) = self.address {
            let text = address.to_string();
            return event.address == Some(address) || event.details.values().any(|value| *value == text);
        }
        let mut said = event.target.iter().chain(event.details.values());
        let names_one = |text: &str| self.people.contains(text);
        names_one(&event.actor.to_string()) || said.clone().any(|text| names_one(text)) || said.any(|text| self.is_said_by(text))
    }
}

impl Wanted<'_> {
    /// Whether a part of an entry has the text in it. Identifiers are random, so they count only as a whole.
    fn is_said_by(&self, part: &str) -> bool {
        let part = fold_name(part);
        if is_identifier(&part) {
            part == self.text
        } else {
            part.contains(&self.text)
        }
    }
}

/// Whether a text is made like an identifier of ours: a letter, a dash, 26 symbols.
fn is_identifier(text: &str) -> bool {
    matches!(text.as_bytes(), [kind, b'-', symbols @ ..]
        if kind.is_ascii_lowercase() && symbols.len() == 26 && symbols.iter().all(u8::is_ascii_alphanumeric))
}

impl Accounts {
    /// A page of the audit trail, the newest entries first, below number `below`. Who is an administrator of teams sees what concerns
    /// their people, and of others who had a hand in it that it was somebody else.
    ///
    /// However long the trail is, a page looks at so many entries and no more. A search that has not filled a page by then gives what it
    /// found, and where to go on.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn audit_page(
        &self,
        search: &AuditSearch,
        below: Option<u64>,
        limit: usize,
        by: &Acting,
        now: Timestamp,
    ) -> Result<AuditPage, Unavailable> {
        let wanted = self.wanted(search, by, now).await?;
        let (entries, next) = self.entries(&wanted, below, limit, SLICES).await?;
        let unfinished = next.is_some() && entries.len() < limit;
        let mut names = HashMap::new();
        let mut lines = Vec::with_capacity(entries.len());
        for entry in entries {
            lines.push(self.audit_line(entry, wanted.within.as_ref(), &mut names).await?);
        }
        Ok(AuditPage { lines, next, unfinished })
    }

    /// The entries of a search as they are, the newest first, `limit` at most; and where to go on, if there are more.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn audit_entries(
        &self,
        search: &AuditSearch,
        below: Option<u64>,
        limit: usize,
        by: &Acting,
        now: Timestamp,
    ) -> Result<(Vec<AuditEntry>, Option<u64>), Unavailable> {
        let wanted = self.wanted(search, by, now).await?;
        self.entries(&wanted, below, limit, usize::MAX).await
    }

    async fn wanted<'a>(&self, search: &'a AuditSearch, by: &Acting, now: Timestamp) -> Result<Wanted<'a>, Unavailable> {
        let text = search.text.trim();
        let address = text.parse().ok();
        let within = self.members_within(by, now).await?;
        let mut people = HashSet::new();
        if !text.is_empty() && address.is_none() {
            match self.user_named(text).await? {
                // Somebody out of reach is no person to whoever searches.
                Some(user) => {
                    let known = within.as_ref().is_none_or(|within| within.contains(&user.id));
                    people.extend(known.then(|| user.id.to_string()));
                }
                None => {
                    let filter = Filter {
                        text: text.to_owned(),
                        ..Filter::default()
                    };
                    let found = self.list_users(&filter, &Page::First, PEOPLE, by, now).await?;
                    people.extend(found.lines.iter().map(|line| line.user.id.to_string()));
                }
            }
        }
        let teams = match &by.reach {
            Reach::All => HashSet::new(),
            Reach::Teams(teams) => teams.iter().map(ToString::to_string).collect(),
        };
        Ok(Wanted {
            search,
            text: fold_name(text),
            address,
            people,
            within,
            teams,
        })
    }

    async fn entries(
        &self,
        wanted: &Wanted<'_>,
        below: Option<u64>,
        limit: usize,
        slices: usize,
    ) -> Result<(Vec<AuditEntry>, Option<u64>), Unavailable> {
        let mut below = match (below, wanted.search.until) {
            (None, Some(until)) => Some(self.first_entry_at(until).await?),
            (below, _) => below,
        };
        let mut found = Vec::new();
        for _ in 0..slices {
            let slice = self.store.audit_before(below, SLICE).await?;
            let Some(last) = slice.last() else { return Ok((found, None)) };
            let (lowest, oldest) = (last.number, last.event.at);
            for entry in slice {
                if !wanted.takes(&entry.event) {
                    continue;
                }
                if found.len() == limit {
                    let next = found.last().map(|entry: &AuditEntry| entry.number);
                    return Ok((found, next));
                }
                found.push(entry);
            }
            below = Some(lowest);
            if lowest == 1 || wanted.search.from.is_some_and(|from| oldest < from) {
                return Ok((found, None));
            }
        }
        Ok((found, below))
    }

    /// The number of the first entry that is not before a moment, one behind the last if there is none. Where the clock was set back some
    /// entries stand out of order, and this is one of the places where the moment could stand.
    async fn first_entry_at(&self, moment: Timestamp) -> Result<u64, Unavailable> {
        let last = self.store.audit_before(None, 1).await?.first().map_or(0, |entry| entry.number);
        let (mut low, mut high) = (1, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.store.audit(middle - 1, 1).await?;
            if entry.first().is_some_and(|entry| entry.event.at < moment) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    async fn audit_line(
        &self,
        entry: AuditEntry,
        within: Option<&HashSet<UserId>>,
        names: &mut HashMap<UserId, Option<String>>,
    ) -> Result<AuditLine, Unavailable> {
        let hidden = |user: &UserId| within.is_some_and(|within| !within.contains(user));
        let (actor, address) = match &entry.event.actor {
            Actor::User(user) if hidden(user) => (Named::Hidden, None),
            Actor::User(user) => (self.named(*user, names).await?, entry.event.address),
            other => (Named::Other(other.to_string()), entry.event.address),
        };
        let target = match &entry.event.target {
            None => None,
            Some(text) => Some(match text.parse() {
                Ok(user) if hidden(&user) => Named::Hidden,
                Ok(user) => self.named(user, names).await?,
                Err(_) => Named::Other(text.clone()),
            }),
        };
        Ok(AuditLine {
            entry,
            actor,
            target,
            address,
        })
    }

    async fn named(&self, user: UserId, names: &mut HashMap<UserId, Option<String>>) -> Result<Named, Unavailable> {
        let name = match names.get(&user) {
            Some(known) => known.clone(),
            None => {
                let name = self.store.get::<User>(&user).await?.map(|user| user.record.display_name());
                names.insert(user, name.clone());
                name
            }
        };
        Ok(match name {
            Some(name) => Named::Person(user, name),
            None => Named::Other(user.to_string()),
        })
    }

    /// What the last check of the chain found.
    #[must_use]
    pub fn audit_check(&self) -> AuditCheck {
        self.last_check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to check the chain, unless that is under way. It goes on by itself, slice by slice on a thread of its own, and
    /// [`Accounts::audit_check`] tells what came of it.
    pub fn begin_audit_check(&self, now: Timestamp) {
        {
            let mut last = self.last_check.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*last, AuditCheck::Since(_)) {
                return;
            }
            *last = AuditCheck::Since(now);
        }
        let (store, keyring, last) = (self.store.clone(), Arc::clone(&self.keyring), Arc::clone(&self.last_check));
        tokio::spawn(async move {
            let report = store.verify_audit(&keyring, None).await;
            if let Err(error) = &report {
                tracing::error!(%error, "the audit trail could not be checked");
            }
            let report = report.ok();
            *last.lock().unwrap_or_else(PoisonError::into_inner) = AuditCheck::Done { at: now, report };
        });
    }
}

/// What else an entry says, in one line; identifiers of people out of reach are left out.
#[must_use]
pub fn details_of(details: &BTreeMap<String, String>, all: bool) -> String {
    let told = details
        .iter()
        .filter(|(_, value)| all || value.split(' ').all(|word| word.parse::<UserId>().is_err()))
        .map(|(key, value)| format!("{key} {value}"));
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_identifier_says_nothing() {
        let session = crate::model::id::SessionId::from_number(u128::MAX).to_string();
        let search = AuditSearch::default();
        let wanted = |text: &str| Wanted {
            search: &search,
            text: fold_name(text),
            address: None,
            people: HashSet::new(),
            within: None,
            teams: HashSet::new(),
        };
        for (text, part, expected) in [
            (session.as_str(), session.as_str(), true),
            ("zz", session.as_str(), false),
            ("assay", "Assay-Development", true),
            ("beta", "assay", false),
        ] {
            assert_eq!(wanted(text).is_said_by(part), expected, "{text} in {part}");
        }
    }
}
