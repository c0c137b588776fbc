//! How each noun is keyed, what must be unique about it, and how it is found again.

mod attempts;
mod outbox;
mod people;
mod sealed;
mod single;
mod stays;
mod teams;

use crate::base::time::{MINUTE, Timestamp};
use crate::model::id::{InvitationId, SessionId, TokenId};
use crate::model::invitation::Invitation;
use crate::model::membership::Membership;
use crate::model::message::Message;
use crate::model::session::{Session, SessionValueRecord};
use crate::model::team::{Group, Project, Team};
use crate::model::token::{Confirmation, OneTimeToken, Registration, Reset};
use crate::model::user::User;

use super::error::StoreError;
use super::record::{Record, decode, encode, marks_of};
use super::rows::{Body, Change, IndexKey, Kind, Marks};

pub use attempts::{AttemptKey, AttemptRecord, AttemptScope};
pub use outbox::MessageIndex;
pub use people::{MembershipIndex, UserIndex, UserUnique};
pub(super) use sealed::Rewrap;
pub use sealed::{SecretKind, SecretRecord, SigningKeyRecord};
pub use single::{FirstUser, PolicyTree, TheFirst, WhichTree};
pub use stays::{SessionIndex, SessionValueIndex, TokenUnique};
pub use teams::{InvitationUnique, TeamIndex};

use sealed::secret_key;

/// For records that only their key finds.
macro_rules! nothing_else_unique {
    () => {
        type Unique = Never;

        fn unique_key(unique: &Never) -> UniqueKey {
            match *unique {}
        }
    };
}

/// For records that are listed all together only.
macro_rules! in_no_group {
    () => {
        type Index = Never;

        fn index_key(index: &Never) -> IndexKey {
            match *index {}
        }
    };
}

/// For records whose key is an identifier of 128 bits.
macro_rules! keyed_by_number {
    ($id:ty) => {
        type Key = $id;

        fn key(&self) -> $id {
            self.id
        }

        fn key_bytes(key: &$id) -> Vec<u8> {
            key.number().to_be_bytes().to_vec()
        }
    };
}

use {in_no_group, keyed_by_number, nothing_else_unique};

/// What an engine has to know of a row that it meets without its type: what is kept beside it, and whom it concerns.
pub(super) fn describe(kind: Kind, key: &[u8], body: &Body) -> Result<(Marks, Option<Change>), StoreError> {
    fn of<R: Record>(body: &Body) -> Result<(Marks, Option<Change>), StoreError> {
        let record: R = decode(body)?;
        Ok((marks_of(&record), record.change()))
    }
    match kind {
        Kind::Users => of::<User>(body),
        Kind::Memberships => of::<Membership>(body),
        Kind::Sessions => of::<Session>(body),
        Kind::SessionValues => of::<SessionValueRecord>(body),
        Kind::Tokens if key.first() == Some(&b'r') => of::<OneTimeToken<Registration>>(body),
        Kind::Tokens if key.first() == Some(&b'p') => of::<OneTimeToken<Reset>>(body),
        Kind::Tokens => of::<OneTimeToken<Confirmation>>(body),
        Kind::Attempts => of::<AttemptRecord>(body),
        Kind::Secrets => of::<SecretRecord>(body),
        Kind::SigningKeys => of::<SigningKeyRecord>(body),
        Kind::Trees => of::<PolicyTree>(body),
        Kind::Outbox => of::<Message>(body),
        Kind::Singles => of::<FirstUser>(body),
        Kind::Teams => of::<Team>(body),
        Kind::Projects => of::<Project>(body),
        Kind::Groups => of::<Group>(body),
        Kind::Invitations => of::<Invitation>(body),
        Kind::Services | Kind::Factors => Err(StoreError::Unreadable(kind)),
    }
}

/// What is of no use without a row that is swept away.
pub(super) enum Dependent {
    Row(Kind, Vec<u8>),
    Group(Kind, IndexKey),
}

/// The dependents of a row that is swept away: the cookie values of a session, the sealed text of a token or a link.
pub(super) fn dependent(kind: Kind, key: &[u8]) -> Option<Dependent> {
    let number = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).ok().map(u128::from_be_bytes);
    match kind {
        Kind::Sessions => {
            let session = SessionId::from_number(number(key)?);
            let index = SessionValueRecord::index_key(&SessionValueIndex::OfSession(session));
            Some(Dependent::Group(Kind::SessionValues, index))
        }
        Kind::Tokens => {
            let (_, id) = key.split_first()?;
            let token = TokenId::from_number(number(id)?);
            Some(Dependent::Row(Kind::Secrets, secret_key(SecretKind::Token, &token.to_string())))
        }
        Kind::Invitations => {
            let invitation = InvitationId::from_number(number(key)?);
            let link = secret_key(SecretKind::InvitationLink, &invitation.to_string());
            Some(Dependent::Row(Kind::Secrets, link))
        }
        _ => None,
    }
}

/// The body of a session with a later last use; `None` if it is no later.
pub(super) fn touched(body: &Body, at: Timestamp) -> Result<Option<Body>, StoreError> {
    let mut session: Session = decode(body)?;
    if session.last_seen >= at {
        return Ok(None);
    }
    // What is written was the last use or up to a minute before it.
    let unused = at.since(session.last_seen).saturating_sub(MINUTE);
    session.rested = session.rested.max(unused);
    session.last_seen = at;
    encode(&session).map(Some)
}
