//! What has an end: sessions with their cookie values, tokens.

use crate::base::secret::Hashed;
use crate::base::time::Timestamp;
use crate::model::id::{SessionId, TokenId, UserId};
use crate::model::session::{Session, SessionValueRecord};
use crate::model::token::{OneTimeToken, TokenKind, TokenPurpose};
use crate::store::record::{Never, Record};
use crate::store::rows::{Change, Index, IndexKey, Kind, Unique, UniqueKey};

use super::{in_no_group, keyed_by_number, nothing_else_unique};

/// Groups of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionIndex {
    /// Those of one user.
    OfUser(UserId),
}

impl Record for Session {
    type Index = SessionIndex;
    const KIND: Kind = Kind::Sessions;

    keyed_by_number!(SessionId);

    nothing_else_unique!();

    fn indexes(&self) -> Vec<SessionIndex> {
        vec![SessionIndex::OfUser(self.user)]
    }

    fn index_key(index: &SessionIndex) -> IndexKey {
        let SessionIndex::OfUser(user) = index;
        IndexKey::new(Index::SessionsByUser, user.number().to_be_bytes())
    }

    fn expires(&self) -> Option<Timestamp> {
        Some(self.signed_in.ends.map_or(self.expires, |ends| ends.min(self.expires)))
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Session(self.id))
    }
}

/// Groups of cookie values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionValueIndex {
    /// Those of one session.
    OfSession(SessionId),
}

impl Record for SessionValueRecord {
    type Key = Hashed;
    type Index = SessionValueIndex;
    const KIND: Kind = Kind::SessionValues;

    fn key(&self) -> Hashed {
        self.digest
    }

    fn key_bytes(key: &Hashed) -> Vec<u8> {
        key.as_bytes().to_vec()
    }

    nothing_else_unique!();

    fn indexes(&self) -> Vec<SessionValueIndex> {
        vec![SessionValueIndex::OfSession(self.session)]
    }

    fn index_key(index: &SessionValueIndex) -> IndexKey {
        let SessionValueIndex::OfSession(session) = index;
        IndexKey::new(Index::SessionValuesBySession, session.number().to_be_bytes())
    }

    fn expires(&self) -> Option<Timestamp> {
        self.good_until
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Session(self.session))
    }
}

/// What finds exactly one token of a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenUnique {
    /// The one that a person has.
    OfUser(UserId),
}

const fn token_byte(kind: TokenKind) -> u8 {
    match kind {
        TokenKind::Registration => b'r',
        TokenKind::Reset => b'p',
        TokenKind::Email => b'e',
    }
}

/// The purpose is the first byte of the key and of the unique value, so a token of one purpose is not found as another's.
impl<P: TokenPurpose> Record for OneTimeToken<P> {
    type Key = TokenId;
    type Unique = TokenUnique;
    const KIND: Kind = Kind::Tokens;
    const NEW_IS_A_CHANGE: bool = true;

    fn key(&self) -> TokenId {
        self.id
    }

    fn key_bytes(key: &TokenId) -> Vec<u8> {
        let mut bytes = vec![token_byte(P::KIND)];
        bytes.extend_from_slice(&key.number().to_be_bytes());
        bytes
    }

    fn uniques(&self) -> Vec<TokenUnique> {
        vec![TokenUnique::OfUser(self.user)]
    }

    fn unique_key(unique: &TokenUnique) -> UniqueKey {
        let TokenUnique::OfUser(user) = unique;
        let mut value = vec![token_byte(P::KIND)];
        value.extend_from_slice(&user.number().to_be_bytes());
        UniqueKey::new(Unique::LiveToken, value)
    }

    in_no_group!();

    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Token(self.user))
    }
}
