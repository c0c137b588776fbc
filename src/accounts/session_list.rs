//! Everybody's sessions: searched, a page at a time, and ended by address.

use std::net::IpAddr;

use crate::base::encoding::{base64url, from_base64url};
use crate::base::time::Timestamp;
use crate::model::event::{Action, Event};
use crate::model::id::SessionId;
use crate::model::membership::Membership;
use crate::model::session::Session;
use crate::model::user::User;
use crate::store::StoreError;

use super::acting::Acting;
use super::sessions::SessionLine;
use super::users::{Filter, Page};
use super::{Accounts, Unavailable, again};

/// Rows that are looked at in one go.
const SLICE: usize = 500;
/// Slices that one page looks through at most: a search that finds little stays short, and says how far it came.
const SLICES: usize = 8;
/// People of one page of a search by name.
const PEOPLE: usize = 25;

/// Whose sessions are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SessionSearch {
    /// Everybody's.
    #[default]
    All,
    /// Those made from an address.
    Address(IpAddr),
    /// Those of people whose name, username or e-mail has this.
    Person(String),
}

impl SessionSearch {
    /// What somebody means who types this.
    #[must_use]
    pub fn read(text: &str) -> Self {
        match text.trim() {
            "" => Self::All,
            text => text.parse().map_or_else(|_| Self::Person(text.to_owned()), Self::Address),
        }
    }
}

/// A session in a list of everybody's.
#[derive(Clone, Debug)]
pub struct ListedSession {
    /// The session.
    pub line: SessionLine,
    /// Its person.
    pub user: User,
    /// Whether whoever looks may end it.
    pub changeable: bool,
}

/// A page of sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionPage {
    /// The sessions, the latest sign-in first; of a search by person the latest used first.
    pub lines: Vec<ListedSession>,
    /// Cursor of the page before, if there is one.
    pub before: Option<String>,
    /// Cursor of the page behind, if there is one.
    pub after: Option<String>,
    /// Whether the search stopped short of a full page, since it had looked at enough for one time.
    pub unfinished: bool,
    /// The person, where the search names exactly one within reach.
    pub person: Option<User>,
}

impl Accounts {
    /// A page of the live sessions of people within reach, the latest sign-in first; `limit` lines at most.
    ///
    /// However many there are, a page looks at so many rows of the store and no more. A search that has not filled a page by then gives
    /// what it found, and the cursor to go on.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn list_sessions(
        &self,
        search: &SessionSearch,
        page: &Page,
        limit: usize,
        by: &Acting,
        now: Timestamp,
    ) -> Result<SessionPage, Unavailable> {
        let address = match search {
            SessionSearch::Person(text) => return self.sessions_of_people(text, page, by, now).await,
            SessionSearch::Address(address) => Some(*address),
            SessionSearch::All => None,
        };
        let limit = limit.clamp(1, SLICE);
        let within = self.members_within(by, now).await?;
        let (from, upward) = match page {
            Page::First => (None, false),
            Page::After(cursor) => (from_base64url(cursor), false),
            Page::Before(cursor) => (from_base64url(cursor), true),
        };
        let paged = from.is_some();
        let mut from = from;
        let mut found: Vec<(Vec<u8>, ListedSession)> = Vec::new();
        let mut more = true;
        let mut slices = 0;
        while more && slices < SLICES && found.len() < limit {
            let looked = self.store.list_by_end::<Session>(from.as_deref(), upward, SLICE).await?;
            slices += 1;
            more = looked.reached.is_some();
            from = looked.reached.or(from);
            for (place, session) in looked.records {
                let session = session.into_record();
                let wanted = address.is_none_or(|address| session.address == Some(address))
                    && within.as_ref().is_none_or(|within| within.contains(&session.user));
                if !wanted {
                    continue;
                }
                let Some(line) = self.listed_session(session, by, now).await? else {
                    continue;
                };
                if found.len() == limit {
                    // One more than fits: there is another page.
                    more = true;
                    from = found.last().map(|(place, _)| place.clone());
                    break;
                }
                found.push((place, line));
            }
        }
        let unfinished = more && found.len() < limit;
        let furthest = from.filter(|_| more).map(|place| base64url(&place));
        if upward {
            found.reverse();
        }
        let edge = |pair: Option<&(Vec<u8>, ListedSession)>| pair.map(|(place, _)| base64url(place));
        let (first, last) = (edge(found.first()), edge(found.last()));
        let (before, after) = if upward {
            (furthest, last)
        } else {
            (first.filter(|_| paged), furthest)
        };
        Ok(SessionPage {
            lines: found.into_iter().map(|(_, line)| line).collect(),
            before,
            after,
            unfinished,
            person: None,
        })
    }

    /// The sessions of everybody whose name has a text in it, some people at a time.
    async fn sessions_of_people(&self, text: &str, page: &Page, by: &Acting, now: Timestamp) -> Result<SessionPage, Unavailable> {
        let named = match page {
            Page::First => self.user_named(text).await?,
            Page::After(_) | Page::Before(_) => None,
        };
        let named = match named {
            Some(user) => self.user(user.id, by, now).await?.map(|listed| listed.user),
            None => None,
        };
        let (people, before, after) = match &named {
            Some(user) => (vec![user.clone()], None, None),
            None => {
                let filter = Filter {
                    text: text.to_owned(),
                    ..Filter::default()
                };
                let found = self.list_users(&filter, page, PEOPLE, by, now).await?;
                let people: Vec<User> = found.lines.into_iter().map(|line| line.user).collect();
                (people, found.before, found.after)
            }
        };
        let mut lines = Vec::new();
        for user in &people {
            for line in self.sessions_of(user.id, now).await? {
                lines.extend(self.listed_session(line.session, by, now).await?);
            }
        }
        lines.sort_by_key(|listed| std::cmp::Reverse((listed.line.last_seen, listed.line.session.id)));
        let person = named.or_else(|| match (people.as_slice(), &before, &after) {
            ([one], None, None) => Some(one.clone()),
            _ => None,
        });
        Ok(SessionPage {
            unfinished: false,
            lines,
            before,
            after,
            person,
        })
    }

    /// A session as a line of the list; `None` if it is over or out of reach.
    async fn listed_session(&self, session: Session, by: &Acting, now: Timestamp) -> Result<Option<ListedSession>, StoreError> {
        let idle = self.rules().session.idle;
        let last_seen = self
            .memory
            .last_seen(session.id)
            .unwrap_or(session.last_seen)
            .max(session.last_seen);
        if session.is_over(last_seen, idle, now) {
            return Ok(None);
        }
        let Some(user) = self.store.get::<User>(&session.user).await? else {
            return Ok(None);
        };
        let user = user.into_record();
        if session.epoch != user.epoch {
            return Ok(None);
        }
        let memberships: Vec<Membership> = self.memberships_of(user.id).await?.into_iter().map(|one| one.record).collect();
        Ok(by.may_see(&memberships).then(|| ListedSession {
            changeable: by.may_change(&user, &memberships),
            line: SessionLine {
                idle_end: last_seen.after(idle).min(session.expires),
                last_seen,
                session,
                current: false,
            },
            user,
        }))
    }

    /// Ends the live sessions that were made from an address, of everybody who may be changed, but for one; says how many there were.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; some may have ended by then.
    pub async fn end_all_from(&self, address: IpAddr, keep: Option<SessionId>, by: &Acting, now: Timestamp) -> Result<usize, Unavailable> {
        let within = self.members_within(by, now).await?;
        let mut from = None;
        let mut ended = 0;
        loop {
            let looked = self.store.list_by_end::<Session>(from.as_deref(), false, SLICE).await?;
            for (_, session) in looked.records {
                let session = session.into_record();
                let wanted = session.address == Some(address)
                    && Some(session.id) != keep
                    && within.as_ref().is_none_or(|within| within.contains(&session.user));
                if !wanted {
                    continue;
                }
                let Some(listed) = self.listed_session(session, by, now).await?.filter(|listed| listed.changeable) else {
                    continue;
                };
                let id = listed.line.session.id;
                let event = Event::new(Action::SessionEnded, by.actor.clone(), now)
                    .to(id)
                    .from(by.address)
                    .with("of", listed.user.id)
                    .with("made-from", address);
                ended += usize::from(again(|| self.commit_end(event.clone(), id)).await?);
            }
            match looked.reached {
                Some(reached) => from = Some(reached),
                None => return Ok(ended),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_name() {
        for (text, expected) in [
            ("  ", SessionSearch::All),
            (" 203.0.113.7 ", SessionSearch::Address("203.0.113.7".parse().unwrap())),
            ("2001:db8::1", SessionSearch::Address("2001:db8::1".parse().unwrap())),
            ("ada", SessionSearch::Person("ada".to_owned())),
            ("203.0.113", SessionSearch::Person("203.0.113".to_owned())),
        ] {
            assert_eq!(SessionSearch::read(text), expected, "{text}");
        }
    }
}
