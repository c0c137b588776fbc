//! Sessions ended by administrators, whichever way they are named.

use std::net::IpAddr;

use crate::model::id::{SessionId, UserId};

use super::acting::Acting;
use super::admission::Visit;
use super::memory::Caller;
use super::{Accounts, Unavailable};

/// Sessions that somebody wants ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionsToEnd {
    /// One.
    One(SessionId),
    /// All of a person.
    Of(UserId),
    /// All that were made from an address.
    From(IpAddr),
}

impl Accounts {
    /// Ends sessions of people who may be changed, but never the one it is asked for in; says how many there were, `None` if nothing of
    /// that name is within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; some may have ended by then.
    pub async fn end_sessions(
        &self,
        which: SessionsToEnd,
        own: Option<&Caller>,
        by: &Acting,
        visit: &Visit<'_>,
    ) -> Result<Option<usize>, Unavailable> {
        let kept = own.map(|own| own.session().id);
        match which {
            SessionsToEnd::One(id) if kept == Some(id) => Ok(None),
            SessionsToEnd::One(id) => Ok(self.end_session(id, by, visit.now()).await?.then_some(1)),
            SessionsToEnd::Of(user) => match own.filter(|own| own.identity().user == user) {
                Some(own) => Ok(Some(self.end_all_others(own, visit).await?)),
                None => self.end_all_of(user, by, visit.now()).await,
            },
            SessionsToEnd::From(address) => Ok(Some(self.end_all_from(address, kept, by, visit.now()).await?)),
        }
    }
}
