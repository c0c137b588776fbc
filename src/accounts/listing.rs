//! Lists of accounts: searched, filtered, a page at a time.

use std::collections::{HashSet, VecDeque};

use crate::base::encoding::{base64url, from_base64url};
use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::model::name::{RoleName, TeamName, fold_name};
use crate::model::principal::{Identity, SignedIn};
use crate::model::user::{User, UserStatus};
use crate::store::StoreError;

use super::acting::{Acting, Reach};
use super::roll::{People, Person, Place};
use super::users::{Filter, Page, StatusFilter, UserPage};
use super::{Accounts, Unavailable};

/// The places of a page, and how many there are around it.
#[derive(Debug, Default)]
struct Selected {
    kept: VecDeque<Place>,
    all: usize,
    total: usize,
    ahead: usize,
    behind: usize,
}

impl Accounts {
    /// A page of accounts that are within reach, sorted by name; `limit` lines at most.
    ///
    /// A cursor names a place in the order, not a line, so a page is right although others come and go.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn list_users(
        &self,
        filter: &Filter,
        page: &Page,
        limit: usize,
        by: &Acting,
        now: Timestamp,
    ) -> Result<UserPage, Unavailable> {
        self.call_roll(now).await?;
        let found = self
            .roll
            .people(|people| select(people, filter, page, limit.clamp(1, 1000), by, now));
        let found = found.unwrap_or_default();
        let mut lines = Vec::with_capacity(found.kept.len());
        for (_, id) in &found.kept {
            if let Some(user) = self.store.get::<User>(&UserId::from_number(*id)).await? {
                lines.push(self.line(user.record, by, now).await?);
            }
        }
        Ok(UserPage {
            from: if lines.is_empty() { 0 } else { found.ahead + 1 },
            lines,
            total: found.total,
            all: found.all,
            before: found.kept.front().map(cursor_of).filter(|_| found.ahead > 0),
            after: found.kept.back().map(cursor_of).filter(|_| found.behind > 0),
        })
    }

    /// Everybody whom rules may let in, those who have yet to register as what they will be, as if each had just signed in with a password;
    /// by name. `None` if there are more than `most`.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn everybody_to_judge(&self, most: usize, now: Timestamp) -> Result<Option<Vec<Identity>>, Unavailable> {
        self.call_roll(now).await?;
        let ids = self.roll.people(|people| {
            let open = people.lines.iter().filter(|(_, person)| person.status != UserStatus::Disabled);
            open.map(|((_, id), _)| UserId::from_number(*id)).collect::<Vec<UserId>>()
        });
        let ids = ids.unwrap_or_default();
        if ids.len() > most {
            return Ok(None);
        }
        let mut everybody = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(user) = self.store.get::<User>(&id).await? {
                let as_active = User {
                    status: UserStatus::Active,
                    ..user.into_record()
                };
                everybody.push(self.imagined(&as_active, SignedIn::by_password(now)).await?);
            }
        }
        Ok(Some(everybody))
    }

    /// Whom somebody reaches; `None` is everybody.
    pub(super) async fn members_within(&self, by: &Acting, now: Timestamp) -> Result<Option<HashSet<UserId>>, StoreError> {
        let Reach::Teams(teams) = &by.reach else {
            return Ok(None);
        };
        self.call_roll(now).await?;
        let within = self.roll.people(|people| {
            let reached = people.lines.iter().filter(|(_, person)| is_in(person, teams));
            reached.map(|((_, id), _)| UserId::from_number(*id)).collect()
        });
        Ok(Some(within.unwrap_or_default()))
    }
}

fn select(people: &People, filter: &Filter, page: &Page, limit: usize, by: &Acting, now: Timestamp) -> Selected {
    let text = fold_name(&filter.text);
    let (after, before) = match page {
        Page::First => (None, None),
        Page::After(cursor) => (place_of_cursor(cursor), None),
        Page::Before(cursor) => (None, place_of_cursor(cursor)),
    };
    let mut found = Selected {
        all: people.lines.len(),
        ..Selected::default()
    };
    for (place, person) in &people.lines {
        if !passes(place, person, filter, &text, by, now) {
            continue;
        }
        found.total += 1;
        if after.as_ref().is_some_and(|after| place <= after) {
            found.ahead += 1;
        } else if before.as_ref().is_some_and(|before| place >= before) {
            found.behind += 1;
        } else if found.kept.len() < limit {
            found.kept.push_back(place.clone());
        } else if before.is_some() {
            found.kept.pop_front();
            found.kept.push_back(place.clone());
            found.ahead += 1;
        } else {
            found.behind += 1;
        }
    }
    found
}

fn passes((name, _): &Place, person: &Person, filter: &Filter, text: &str, by: &Acting, now: Timestamp) -> bool {
    let reached = match &by.reach {
        Reach::All => true,
        Reach::Teams(teams) => is_in(person, teams),
    };
    let found = text.is_empty() || name.contains(text) || person.username.contains(text) || person.email.contains(text);
    // Of a team beyond reach nobody is told who is in it.
    let team = filter.team.as_ref().is_none_or(|team| by.reaches(team) && is_in(person, [team]));
    let role = filter.role.as_ref().is_none_or(|role| {
        if *role == RoleName::user() {
            person.roles.is_empty()
        } else {
            person.roles.contains(role)
        }
    });
    let status = match filter.status {
        None => true,
        Some(StatusFilter::Is(status)) => person.status == status,
        Some(StatusFilter::ResetAsked) => {
            let live = person.reset.as_ref().is_some_and(|token| token.is_live(now));
            live && person.status == UserStatus::Active
        }
    };
    reached && found && team && role && status
}

fn is_in<'t>(person: &Person, teams: impl IntoIterator<Item = &'t TeamName>) -> bool {
    teams.into_iter().any(|team| person.teams.iter().any(|held| held.team == *team))
}

fn cursor_of((name, id): &Place) -> String {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    base64url(&bytes)
}

/// Reads a cursor; one that we never made begins at the beginning.
fn place_of_cursor(cursor: &str) -> Option<Place> {
    let bytes = from_base64url(cursor)?;
    let (id, name) = bytes.split_first_chunk::<16>()?;
    Some((std::str::from_utf8(name).ok()?.into(), u128::from_be_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_rubbish_is_none() {
        let place = ("ada lovelace".into(), 7);
        assert_eq!(place_of_cursor(&cursor_of(&place)), Some(place));
        assert_eq!(place_of_cursor("x"), None);
        assert_eq!(place_of_cursor(""), None);
    }
}
