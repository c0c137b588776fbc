//! From the portal to another host, once: a ticket in an address becomes a session value there.

use std::time::Duration;

use crate::base::encoding::{array_from_base64url, base64url};
use crate::base::secret::{Hashed, Secret};
use crate::base::time::Timestamp;
use crate::model::event::{Action, Actor, Event};
use crate::model::id::SessionId;
use crate::model::session::{SessionValue, SessionValueRecord};
use crate::store::{Commit, StoreError};

use super::admission::Visit;
use super::login::{LoginDigest, LoginSecret};
use super::memory::Caller;
use super::once::Full;
use super::sign_in::NewSession;
use super::{Accounts, Unavailable, again};

/// How long a ticket is good.
pub const TICKET_LASTS: Duration = Duration::from_secs(30);

/// A session on its way to a host.
#[derive(Debug)]
pub(super) struct Ticket {
    session: SessionId,
    host: String,
    login: LoginDigest,
    go_on: String,
}

/// What came of a ticket.
#[derive(Debug)]
pub enum Arrival {
    /// The session is good on this host now.
    Arrived {
        /// The session, and its value for this host.
        session: Box<NewSession>,
        /// Where to go on, as it was asked for on the portal.
        go_on: String,
    },
    /// Used, too old, for another host, or begun by another browser. No redirect follows, so nothing loops.
    Stranger,
}

impl Accounts {
    /// A ticket that takes the caller's session to `host`, good for [`TICKET_LASTS`], once, and only in the browser whose login cookie
    /// on that host has this digest. The text goes into the address.
    ///
    /// # Errors
    /// [`Full`] if this session has many tickets under way already.
    pub fn ticket(&self, caller: &Caller, host: &str, login: LoginDigest, go_on: String, now: Timestamp) -> Result<Secret<String>, Full> {
        let secret = Secret::new(self.random.bytes::<32>());
        let ticket = Ticket {
            session: caller.session().id,
            host: host.to_ascii_lowercase(),
            login,
            go_on,
        };
        let holder = caller.session().id;
        let key = Hashed::sha256(secret.expose());
        self.tickets.keep(key, holder, ticket, now.after(TICKET_LASTS), now)?;
        Ok(Secret::new(base64url(secret.expose())))
    }

    /// Uses a ticket up on the host of the visit.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn redeem_ticket(&self, text: &str, login: Option<&LoginSecret>, visit: &Visit<'_>) -> Result<Arrival, Unavailable> {
        let now = visit.now();
        let taken = array_from_base64url::<32>(text).and_then(|secret| self.tickets.take(&Hashed::sha256(&secret), now));
        let Some(ticket) = taken else {
            return Ok(Arrival::Stranger);
        };
        if ticket.host != visit.host() || login.is_none_or(|login| login.digest() != ticket.login) {
            return Ok(Arrival::Stranger);
        }
        let session = again(|| self.add_host(&ticket, now, visit)).await?;
        Ok(session.map_or(Arrival::Stranger, |session| Arrival::Arrived {
            session: Box::new(session),
            go_on: ticket.go_on,
        }))
    }

    async fn add_host(&self, ticket: &Ticket, now: Timestamp, visit: &Visit<'_>) -> Result<Option<NewSession>, StoreError> {
        let Some((session, user)) = self.live_session(ticket.session, now).await? else {
            return Ok(None);
        };
        let value = SessionValue::generate(&self.random);
        let record = SessionValueRecord {
            digest: value.digest(),
            session: session.record.id,
            host: ticket.host.clone(),
            gains: user.record.gains,
            good_until: None,
        };
        let event = Event::new(Action::SessionHandedOver, Actor::User(user.record.id), now)
            .to(session.record.id)
            .from(visit.address())
            .with("host", &ticket.host);
        // The session may end while it travels: stated, so that the value is made for a live one or not at all.
        let commit = Commit::because(event).unchanged(&session).create(&record);
        self.store.commit(commit).await?;
        Ok(Some(NewSession {
            session: session.record,
            value,
        }))
    }
}
