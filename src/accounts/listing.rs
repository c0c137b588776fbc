//! Lists of accounts: searched, filtered, a page at a time.

use std::collections::{BTreeMap, HashSet};

use crate::base::encoding::{base64url, from_base64url};
use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::model::name::{RoleName, fold_name};
use crate::model::token::Reset;
use crate::model::user::{User, UserStatus};
use crate::store::StoreError;

use super::acting::{Acting, Reach};
use super::users::{Filter, Page, StatusFilter, UserPage};
use super::{Accounts, Unavailable};

/// Where an account stands in a list: by the name that is shown, then by identifier.
type Place = (String, u128);

impl Accounts {
    /// A page of accounts that are within reach, sorted by name; `limit` lines at most.
    ///
    /// Every account is looked at once and only the page is kept, so memory does not grow with their number. A cursor names a place in
    /// the order, not a line, so a page is right although others come and go.
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
        let limit = limit.clamp(1, 1000);
        let within = self.within(filter, by).await?;
        let text = fold_name(&filter.text);
        let (after, before) = match page {
            Page::First => (None, None),
            Page::After(cursor) => (place_of_cursor(cursor), None),
            Page::Before(cursor) => (None, place_of_cursor(cursor)),
        };
        let mut kept: BTreeMap<Place, User> = BTreeMap::new();
        let (mut all, mut total, mut ahead, mut behind) = (0, 0, 0, 0);
        let mut from_key = None;
        loop {
            let users = self.users_after(from_key).await?;
            let Some(last) = users.last() else { break };
            from_key = Some(last.record.id);
            for user in users {
                let user = user.record;
                all += 1;
                if within.as_ref().is_some_and(|within| !within.contains(&user.id)) || !self.passes(&user, filter, &text, now).await? {
                    continue;
                }
                total += 1;
                let place = place_of(&user);
                if after.as_ref().is_some_and(|after| place <= *after) {
                    ahead += 1;
                    continue;
                }
                if before.as_ref().is_some_and(|before| place >= *before) {
                    behind += 1;
                    continue;
                }
                kept.insert(place, user);
                if kept.len() > limit {
                    if before.is_some() {
                        kept.pop_first();
                        ahead += 1;
                    } else {
                        kept.pop_last();
                        behind += 1;
                    }
                }
            }
        }
        let first = kept.first_key_value().map(|(place, _)| cursor_of(place));
        let last = kept.last_key_value().map(|(place, _)| cursor_of(place));
        let mut lines = Vec::with_capacity(kept.len());
        for user in kept.into_values() {
            lines.push(self.line(user, by, now).await?);
        }
        Ok(UserPage {
            from: if lines.is_empty() { 0 } else { ahead + 1 },
            lines,
            total,
            all,
            before: first.filter(|_| ahead > 0),
            after: last.filter(|_| behind > 0),
        })
    }

    /// The accounts that the filter's team and the reach leave; `None` is everybody.
    async fn within(&self, filter: &Filter, by: &Acting) -> Result<Option<HashSet<UserId>>, StoreError> {
        let mut within = None;
        if let Reach::Teams(teams) = &by.reach {
            let mut members = HashSet::new();
            for team in teams {
                members.extend(self.members_of(team).await?);
            }
            within = Some(members);
        }
        if let Some(team) = &filter.team {
            let members: HashSet<UserId> = self.members_of(team).await?.into_iter().collect();
            within = Some(match within {
                Some(within) => within.intersection(&members).copied().collect(),
                None => members,
            });
        }
        Ok(within)
    }

    async fn passes(&self, user: &User, filter: &Filter, text: &str, now: Timestamp) -> Result<bool, StoreError> {
        let email = user.email.as_ref().map(|email| email.canonical()).unwrap_or_default();
        let found = text.is_empty()
            || fold_name(&user.display_name()).contains(text)
            || user.username.canonical().contains(text)
            || email.contains(text);
        let role = filter.role.as_ref().is_none_or(|role| {
            if *role == RoleName::user() {
                user.roles.is_empty()
            } else {
                user.roles.contains(role)
            }
        });
        if !found || !role {
            return Ok(false);
        }
        match filter.status {
            None => Ok(true),
            Some(StatusFilter::Is(status)) => Ok(user.status == status),
            Some(StatusFilter::ResetAsked) if user.status == UserStatus::Active => {
                // One that was mailed asks nothing of an administrator.
                match self.token::<Reset>(user.id).await?.filter(|token| token.record.is_live(now)) {
                    Some(token) => Ok(self.sealed_token(token.record.id).await?.is_some()),
                    None => Ok(false),
                }
            }
            Some(StatusFilter::ResetAsked) => Ok(false),
        }
    }
}

fn place_of(user: &User) -> Place {
    (fold_name(&user.display_name()), user.id.number())
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
    Some((String::from_utf8(name.to_vec()).ok()?, u128::from_be_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_rubbish_is_none() {
        let place = ("ada lovelace".to_owned(), 7);
        assert_eq!(place_of_cursor(&cursor_of(&place)), Some(place));
        assert_eq!(place_of_cursor("x"), None);
        assert_eq!(place_of_cursor(""), None);
    }
}
