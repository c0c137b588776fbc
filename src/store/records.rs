//! How each noun is keyed, what must be unique about it, and how it is found again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::random::Random;
use crate::base::seal::{KeyId, Keyring, Place, SealError, Sealed};
use crate::base::secret::{Hashed, Secret};
use crate::base::time::Timestamp;
use crate::model::attempts::Attempts;
use crate::model::email::EmailAddress;
use crate::model::id::{KeyRecordId, SessionId, TokenId, UserId};
use crate::model::membership::Membership;
use crate::model::name::{RoleName, TeamName, Username};
use crate::model::session::{Session, SessionValueRecord};
use crate::model::token::{Confirmation, OneTimeToken, Registration, Reset, TokenKind, TokenPurpose};
use crate::model::user::{ExternalIdentity, User};

use super::error::StoreError;
use super::record::{Never, Record, decode, encode, marks_of};
use super::rows::{Body, Change, IndexKey, Kind, Marks, Unique, UniqueKey, push_measured};

/// What finds exactly one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserUnique {
    /// By address; two spellings of one address are the same.
    Email(EmailAddress),
    /// By username; two spellings of one name are the same.
    Username(Username),
    /// By what a provider or directory calls them.
    External(ExternalIdentity),
}

/// Groups of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserIndex {
    /// Those who were given an instance-wide role.
    Role(RoleName),
}

impl Record for User {
    type Key = UserId;
    type Unique = UserUnique;
    type Index = UserIndex;
    const KIND: Kind = Kind::Users;

    fn key(&self) -> UserId {
        self.id
    }

    fn key_bytes(key: &UserId) -> Vec<u8> {
        key.number().to_be_bytes().to_vec()
    }

    fn uniques(&self) -> Vec<UserUnique> {
        let email = self.email.clone().map(UserUnique::Email);
        let external = self.external.iter().cloned().map(UserUnique::External);
        let username = UserUnique::Username(self.username.clone());
        email.into_iter().chain([username]).chain(external).collect()
    }

    fn unique_key(unique: &UserUnique) -> UniqueKey {
        match unique {
            UserUnique::Email(email) => UniqueKey::new(Unique::UserEmail, email.canonical()),
            UserUnique::Username(username) => UniqueKey::new(Unique::Username, username.canonical()),
            UserUnique::External(external) => {
                let mut value = Vec::new();
                push_measured(&mut value, external.provider.as_str().as_bytes());
                push_measured(&mut value, external.subject.as_bytes());
                UniqueKey::new(Unique::ExternalIdentity, value)
            }
        }
    }

    fn indexes(&self) -> Vec<UserIndex> {
        self.roles.iter().cloned().map(UserIndex::Role).collect()
    }

    fn index_key(index: &UserIndex) -> IndexKey {
        let UserIndex::Role(role) = index;
        IndexKey::new("users_by_role", role.as_str())
    }

    fn change(&self) -> Option<Change> {
        Some(Change::User(self.id))
    }
}

/// Groups of memberships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipIndex {
    /// Those of one user.
    OfUser(UserId),
    /// Those in one team.
    OfTeam(TeamName),
}

impl Record for Membership {
    type Key = (TeamName, UserId);
    type Unique = Never;
    type Index = MembershipIndex;
    const KIND: Kind = Kind::Memberships;
    const NEW_IS_A_CHANGE: bool = true;

    fn key(&self) -> Self::Key {
        (self.team.clone(), self.user)
    }

    fn key_bytes((team, user): &Self::Key) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_measured(&mut bytes, team.as_str().as_bytes());
        bytes.extend_from_slice(&user.number().to_be_bytes());
        bytes
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn indexes(&self) -> Vec<MembershipIndex> {
        vec![MembershipIndex::OfUser(self.user), MembershipIndex::OfTeam(self.team.clone())]
    }

    fn index_key(index: &MembershipIndex) -> IndexKey {
        match index {
            MembershipIndex::OfUser(user) => IndexKey::new("memberships_by_user", user.number().to_be_bytes()),
            MembershipIndex::OfTeam(team) => IndexKey::new("memberships_by_team", team.as_str()),
        }
    }

    fn change(&self) -> Option<Change> {
        Some(Change::User(self.user))
    }
}

/// Groups of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionIndex {
    /// Those of one user.
    OfUser(UserId),
}

impl Record for Session {
    type Key = SessionId;
    type Unique = Never;
    type Index = SessionIndex;
    const KIND: Kind = Kind::Sessions;

    fn key(&self) -> SessionId {
        self.id
    }

    fn key_bytes(key: &SessionId) -> Vec<u8> {
        key.number().to_be_bytes().to_vec()
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn indexes(&self) -> Vec<SessionIndex> {
        vec![SessionIndex::OfUser(self.user)]
    }

    fn index_key(index: &SessionIndex) -> IndexKey {
        let SessionIndex::OfUser(user) = index;
        IndexKey::new("sessions_by_user", user.number().to_be_bytes())
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
    type Unique = Never;
    type Index = SessionValueIndex;
    const KIND: Kind = Kind::SessionValues;

    fn key(&self) -> Hashed {
        self.digest
    }

    fn key_bytes(key: &Hashed) -> Vec<u8> {
        key.as_bytes().to_vec()
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn indexes(&self) -> Vec<SessionValueIndex> {
        vec![SessionValueIndex::OfSession(self.session)]
    }

    fn index_key(index: &SessionValueIndex) -> IndexKey {
        let SessionValueIndex::OfSession(session) = index;
        IndexKey::new("session_values_by_session", session.number().to_be_bytes())
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
    type Index = Never;
    const KIND: Kind = Kind::Tokens;

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

    fn index_key(index: &Never) -> IndexKey {
        match *index {}
    }

    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }
}

/// What tries are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptScope {
    /// A name from a network.
    Name,
    /// A network.
    Network,
    /// Nothing: counted so that an answer without a deed costs as much as one with it.
    Nothing,
}

impl std::fmt::Display for AttemptScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Network => "network",
            Self::Nothing => "nothing",
        })
    }
}

/// What tries are counted under: a scope and half of a keyed digest, from which no name can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// What is counted.
    pub scope: AttemptScope,
    digest: [u8; 16],
}

impl AttemptKey {
    /// The key for what was hashed to `digest`.
    #[must_use]
    pub fn new(scope: AttemptScope, digest: Hashed) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        Self { scope, digest: half }
    }

    /// What it is counted under besides the scope, to name it by.
    #[must_use]
    pub const fn digest(&self) -> [u8; 16] {
        self.digest
    }
}

/// Tries that were counted, as they are listed. Changed by [`super::Store::count`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// What is counted.
    pub key: AttemptKey,
    /// How often.
    pub attempts: Attempts,
    /// When the count means nothing any more.
    pub until: Timestamp,
}

impl Record for AttemptRecord {
    type Key = AttemptKey;
    type Unique = Never;
    type Index = Never;
    const KIND: Kind = Kind::Attempts;

    fn key(&self) -> AttemptKey {
        self.key
    }

    fn key_bytes(key: &AttemptKey) -> Vec<u8> {
        let scope = match key.scope {
            AttemptScope::Name => b'n',
            AttemptScope::Network => b'w',
            AttemptScope::Nothing => b'-',
        };
        let mut bytes = vec![scope];
        bytes.extend_from_slice(&key.digest);
        bytes
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn index_key(index: &Never) -> IndexKey {
        match *index {}
    }

    fn expires(&self) -> Option<Timestamp> {
        Some(self.until)
    }
}

/// What a sealed value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretKind {
    /// The text of a token that an administrator hands over, until it is used. Its owner is the token.
    Token,
}

/// A value sealed under the master key. Where it stands is authenticated with it, so it cannot be moved to another owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// What it is.
    pub kind: SecretKind,
    /// Whose it is.
    pub owner: String,
    sealed: Sealed,
}

impl SecretRecord {
    /// Seals `plain` for its owner.
    ///
    /// # Errors
    /// [`SealError`] if the cipher refuses.
    pub fn seal(kind: SecretKind, owner: &str, plain: &[u8], keyring: &Keyring, random: &Random) -> Result<Self, SealError> {
        let key = secret_key(kind, owner);
        let sealed = keyring.seal(secret_place(&key), plain, random)?;
        Ok(Self {
            kind,
            owner: owner.to_owned(),
            sealed,
        })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`SealError`] if its key is not in the ring, or it was changed or moved.
    pub fn open(&self, keyring: &Keyring) -> Result<Secret<Vec<u8>>, SealError> {
        keyring.open(secret_place(&secret_key(self.kind, &self.owner)), &self.sealed)
    }
}

fn secret_key(kind: SecretKind, owner: &str) -> Vec<u8> {
    let mut key = match kind {
        SecretKind::Token => b"token".to_vec(),
    };
    key.push(0);
    key.extend_from_slice(owner.as_bytes());
    key
}

const fn secret_place(key: &[u8]) -> Place<'_> {
    Place {
        table: "secrets",
        key,
        column: "sealed",
    }
}

impl Record for SecretRecord {
    type Key = (SecretKind, String);
    type Unique = Never;
    type Index = Never;
    const KIND: Kind = Kind::Secrets;

    fn key(&self) -> Self::Key {
        (self.kind, self.owner.clone())
    }

    fn key_bytes((kind, owner): &Self::Key) -> Vec<u8> {
        secret_key(*kind, owner)
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn index_key(index: &Never) -> IndexKey {
        match *index {}
    }
}

/// A key that signs assertions, its private half sealed under the master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyRecord {
    /// Its identifier in the store.
    pub id: KeyRecordId,
    /// Name of the algorithm, such as `ES256`.
    pub algorithm: String,
    /// When it was made.
    pub made: Timestamp,
    /// From when on it signs; it is published before.
    pub signs_from: Timestamp,
    sealed: Sealed,
}

impl SigningKeyRecord {
    /// Seals the private half.
    ///
    /// # Errors
    /// [`SealError`] if the cipher refuses.
    pub fn seal(
        id: KeyRecordId,
        algorithm: &str,
        (made, signs_from): (Timestamp, Timestamp),
        private: &[u8],
        keyring: &Keyring,
        random: &Random,
    ) -> Result<Self, SealError> {
        let key = Self::key_bytes(&id);
        Ok(Self {
            id,
            algorithm: algorithm.to_owned(),
            made,
            signs_from,
            sealed: keyring.seal(signing_place(&key), private, random)?,
        })
    }

    /// Opens the private half.
    ///
    /// # Errors
    /// [`SealError`] if its master key is not in the ring, or it was changed or moved.
    pub fn open(&self, keyring: &Keyring) -> Result<Secret<Vec<u8>>, SealError> {
        keyring.open(signing_place(&Self::key_bytes(&self.id)), &self.sealed)
    }
}

const fn signing_place(key: &[u8]) -> Place<'_> {
    Place {
        table: "signing_keys",
        key,
        column: "private",
    }
}

impl Record for SigningKeyRecord {
    type Key = KeyRecordId;
    type Unique = Never;
    type Index = Never;
    const KIND: Kind = Kind::SigningKeys;

    fn key(&self) -> KeyRecordId {
        self.id
    }

    fn key_bytes(key: &KeyRecordId) -> Vec<u8> {
        key.number().to_be_bytes().to_vec()
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn index_key(index: &Never) -> IndexKey {
        match *index {}
    }
}

/// A record that holds something sealed, to be sealed anew under another master key.
pub(super) trait Rewrap: Record {
    fn sealed_under(&self) -> KeyId;
    fn rewrapped(&self, keyring: &Keyring, random: &Random) -> Result<Self, SealError>;
}

impl Rewrap for SecretRecord {
    fn sealed_under(&self) -> KeyId {
        self.sealed.key
    }

    fn rewrapped(&self, keyring: &Keyring, random: &Random) -> Result<Self, SealError> {
        Self::seal(self.kind, &self.owner, self.open(keyring)?.expose(), keyring, random)
    }
}

impl Rewrap for SigningKeyRecord {
    fn sealed_under(&self) -> KeyId {
        self.sealed.key
    }

    fn rewrapped(&self, keyring: &Keyring, random: &Random) -> Result<Self, SealError> {
        let sealed = keyring.seal(signing_place(&Self::key_bytes(&self.id)), self.open(keyring)?.expose(), random)?;
        Ok(Self { sealed, ..self.clone() })
    }
}

/// The last policy tree that went live, kept for a start with a broken one. Secrets that it names are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTree {
    /// The generation that it made.
    pub digest: String,
    /// When it went live.
    pub live_since: Timestamp,
    /// The texts, by file name.
    pub texts: BTreeMap<String, String>,
    /// Files that the texts name, base64url, by path as written.
    pub named: BTreeMap<String, String>,
}

/// The one that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichTree {
    /// The last that went live.
    LastLive,
}

impl Record for PolicyTree {
    type Key = WhichTree;
    type Unique = Never;
    type Index = Never;
    const KIND: Kind = Kind::Trees;

    fn key(&self) -> WhichTree {
        WhichTree::LastLive
    }

    fn key_bytes(_key: &WhichTree) -> Vec<u8> {
        b"live".to_vec()
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn index_key(index: &Never) -> IndexKey {
        match *index {}
    }
}

/// Says that there has been a first user. It is made once and stays, so there is one first however many try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUser {
    /// Who it was.
    pub user: UserId,
}

/// The one key of [`FirstUser`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TheFirst;

impl Record for FirstUser {
    type Key = TheFirst;
    type Unique = Never;
    type Index = Never;
    const KIND: Kind = Kind::Singles;

    fn key(&self) -> TheFirst {
        TheFirst
    }

    fn key_bytes(_key: &TheFirst) -> Vec<u8> {
        b"first".to_vec()
    }

    fn unique_key(unique: &Never) -> UniqueKey {
        match *unique {}
    }

    fn index_key(index: &Never) -> IndexKey {
        match *index {}
    }
}

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
        Kind::Singles => of::<FirstUser>(body),
        Kind::Teams | Kind::Projects | Kind::Groups | Kind::Services | Kind::Factors | Kind::Invitations | Kind::Outbox => {
            Err(StoreError::Unreadable(kind))
        }
    }
}

/// What is of no use without a row that is swept away.
pub(super) enum Dependent {
    Row(Kind, Vec<u8>),
    Group(Kind, IndexKey),
}

/// The dependents of a row that is swept away: the cookie values of a session, the sealed text of a token.
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
        _ => None,
    }
}

/// The body of a session with a later last use; `None` if it is no later.
pub(super) fn touched(body: &Body, at: Timestamp) -> Result<Option<Body>, StoreError> {
    let mut session: Session = decode(body)?;
    if session.last_seen >= at {
        return Ok(None);
    }
    session.last_seen = at;
    encode(&session).map(Some)
}
