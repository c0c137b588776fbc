//! What an engine is told: rows of bytes, what must be unique about them, how they are found again and whom they concern.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::id::{InvitationId, SessionId, UserId};
use crate::model::name::TeamName;

/// A table of records. The name is stored; the order is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// People.
    Users,
    /// What one user has in one team.
    Memberships,
    /// Seats taken in a team.
    Teams,
    /// Projects of teams.
    Projects,
    /// Groups of a team's members.
    Groups,
    /// Credentials of services.
    Services,
    /// Second factors.
    Factors,
    /// Invitations that were mailed.
    Invitations,
    /// Server-side sessions.
    Sessions,
    /// Digests of the cookie values of sessions.
    SessionValues,
    /// Registration, reset and e-mailed tokens.
    Tokens,
    /// How often was guessed.
    Attempts,
    /// Values sealed under the master key.
    Secrets,
    /// Keys that sign the assertion.
    SigningKeys,
    /// Policy trees that went live.
    Trees,
    /// Mail that waits to be sent.
    Outbox,
    /// Rows of which there is one, such as `first`, made with the first user.
    Singles,
}

impl Kind {
    /// Every table, in the order in which a backup lists them.
    pub const ALL: [Self; 17] = [
        Self::Users,
        Self::Memberships,
        Self::Teams,
        Self::Projects,
        Self::Groups,
        Self::Services,
        Self::Factors,
        Self::Invitations,
        Self::Sessions,
        Self::SessionValues,
        Self::Tokens,
        Self::Attempts,
        Self::Secrets,
        Self::SigningKeys,
        Self::Trees,
        Self::Outbox,
        Self::Singles,
    ];

    /// The table's name, the same in every engine and in a backup.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Memberships => "memberships",
            Self::Teams => "teams",
            Self::Projects => "projects",
            Self::Groups => "groups",
            Self::Services => "services",
            Self::Factors => "factors",
            Self::Invitations => "invitations",
            Self::Sessions => "sessions",
            Self::SessionValues => "session_values",
            Self::Tokens => "tokens",
            Self::Attempts => "attempts",
            Self::Secrets => "secrets",
            Self::SigningKeys => "signing_keys",
            Self::Trees => "trees",
            Self::Outbox => "outbox",
            Self::Singles => "singles",
        }
    }

    /// The table of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.table() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table())
    }
}

/// What no two rows may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unique {
    /// The key of a row of that table.
    Key(Kind),
    /// The e-mail address of a user, in canonical form.
    UserEmail,
    /// The username, in canonical form.
    Username,
    /// The subject that an identity provider or directory knows a user by.
    ExternalIdentity,
    /// The one live token for a purpose and an address.
    LiveToken,
    /// The name of a project within its team.
    ProjectName,
    /// The secret in an invitation's link.
    InvitationSecret,
    /// The one open invitation of an address to a team.
    OpenInvitation,
}

impl Unique {
    /// The byte that its values are stored behind. It is in every store there is, so it stays.
    const fn tag(self) -> u8 {
        match self {
            // The keys of a table are unique of themselves, and in no other.
            Self::Key(_) => b'-',
            Self::UserEmail => b'm',
            Self::Username => b'n',
            Self::ExternalIdentity => b'x',
            Self::LiveToken => b't',
            Self::ProjectName => b'p',
            Self::InvitationSecret => b's',
            Self::OpenInvitation => b'i',
        }
    }

    /// What messages call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key(kind) => kind.table(),
            Self::UserEmail => "user_mail",
            Self::Username => "user_name",
            Self::ExternalIdentity => "user_ext",
            Self::LiveToken => "token_live",
            Self::ProjectName => "project_name",
            Self::InvitationSecret => "invitation_secret",
            Self::OpenInvitation => "invitation_open",
        }
    }
}

impl fmt::Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A unique key with its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UniqueKey {
    /// Which rule.
    pub rule: Unique,
    /// The value, in the one spelling in which two of them are compared.
    pub value: Vec<u8>,
}

impl UniqueKey {
    /// A value that no other row may have under this rule.
    #[must_use]
    pub fn new(rule: Unique, value: impl Into<Vec<u8>>) -> Self {
        Self { rule, value: value.into() }
    }

    /// The bytes an engine keeps it under.
    pub(super) fn stored(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.value.len() + 1);
        bytes.push(self.rule.tag());
        bytes.extend_from_slice(&self.value);
        bytes
    }
}

/// How rows are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Index {
    /// By how their own key begins: nothing needs to be kept for it.
    ByKey,
    /// Users by a role of theirs.
    UsersByRole,
    /// Memberships by their user.
    MembershipsByUser,
    /// Projects by their team.
    ProjectsByTeam,
    /// Groups by their team.
    GroupsByTeam,
    /// Invitations by their team.
    InvitationsByTeam,
    /// Sessions by their user.
    SessionsByUser,
    /// Cookie values by their session.
    SessionValuesBySession,
    /// Letters by how they stand.
    OutboxByStanding,
    /// Letters by the user they are about.
    OutboxByUser,
    /// Letters by the invitation they are about.
    OutboxByInvitation,
    /// Letters by team.
    OutboxByTeam,
}

impl Index {
    /// The byte that its entries are stored behind, if it has any. It is in every store there is, so it stays.
    const fn tag(self) -> Option<u8> {
        match self {
            Self::ByKey => None,
            Self::UsersByRole => Some(b'r'),
            Self::MembershipsByUser => Some(b'm'),
            Self::ProjectsByTeam => Some(b'p'),
            Self::GroupsByTeam => Some(b'g'),
            Self::InvitationsByTeam => Some(b'i'),
            Self::SessionsByUser => Some(b's'),
            Self::SessionValuesBySession => Some(b'v'),
            Self::OutboxByStanding => Some(b'O'),
            Self::OutboxByUser => Some(b'U'),
            Self::OutboxByInvitation => Some(b'I'),
            Self::OutboxByTeam => Some(b'T'),
        }
    }
}

/// A group of rows that are listed together, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexKey {
    /// Which index.
    pub index: Index,
    /// Which group: the user whose sessions these are, or how their keys begin.
    pub group: Vec<u8>,
}

impl IndexKey {
    /// The rows of that group.
    #[must_use]
    pub fn new(index: Index, group: impl Into<Vec<u8>>) -> Self {
        Self {
            index,
            group: group.into(),
        }
    }

    /// Whether entries are kept for it, as opposed to a group that the keys of the rows make.
    pub(super) fn is_kept(&self) -> bool {
        self.index.tag().is_some()
    }

    /// The bytes that the entries of the group begin with, or the keys of its rows.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let Some(tag) = self.index.tag() else {
            return self.group.clone();
        };
        let mut bytes = Vec::with_capacity(self.group.len() + 64);
        bytes.push(tag);
        push_measured(&mut bytes, &self.group);
        bytes
    }

    /// The bytes of the entry of one row, or its place among the keys of the group. A key of another group has a place at an end of it.
    pub(super) fn entry(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = self.prefix();
        if !self.is_kept() {
            if key.starts_with(&bytes) {
                return key.to_vec();
            }
            if key > bytes.as_slice() {
                bytes.extend_from_slice(&[0xFF; 64]);
            }
            return bytes;
        }
        bytes.extend_from_slice(key);
        bytes
    }
}

/// Appends `part` behind its length, so that no two rows of parts have the same bytes. The shorter sorts before the longer.
pub(super) fn push_measured(bytes: &mut Vec<u8>, part: &[u8]) {
    match u8::try_from(part.len()) {
        Ok(length @ ..0x80) => bytes.push(length),
        _ => {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX) | 1 << 31;
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(part);
}

/// Which write a row comes from. A row that was removed and made again never has an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub(super) u64);

/// The body of a record as it is kept: which shape it has, and JSON of that shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) shape: u8,
    pub(super) json: Vec<u8>,
}

/// A row: one byte below 128 for the shape, eight for the revision, then JSON. An engine may keep it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) revision: Revision,
    pub(super) body: Body,
}

impl Row {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.json.len() + 9);
        bytes.push(self.body.shape);
        bytes.extend_from_slice(&self.revision.0.to_be_bytes());
        bytes.extend_from_slice(&self.body.json);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (shape, rest) = bytes.split_first().filter(|(shape, _)| **shape < 0x80)?;
        let (revision, json) = rest.split_first_chunk::<8>()?;
        Some(Self {
            revision: Revision(u64::from_be_bytes(*revision)),
            body: Body {
                shape: *shape,
                json: json.to_vec(),
            },
        })
    }
}

/// What an engine keeps beside a row so that it is found, is unique and ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) uniques: Vec<UniqueKey>,
    pub(super) indexes: Vec<IndexKey>,
    /// Unix seconds from which on the row may be swept away.
    pub(super) expires: Option<u64>,
}

/// Somebody of whom something is not as it was: what is remembered of them has to be read again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// A user, or what they have in a team. Their sessions live on unless the user's epoch says otherwise.
    User(UserId),
    /// A session changed or ended, or one of its cookie values did.
    Session(SessionId),
    /// What many members of a team share.
    Team(TeamName),
    /// A token of a user. Nobody's rights are changed by it.
    Token(UserId),
    /// An invitation. Nobody's rights are changed by it.
    Invitation(InvitationId),
    /// Letters to be sent. Nobody's rights are changed by it.
    Outbox,
}

/// What a commit expects of a row, and what it makes of it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) key: Vec<u8>,
    pub(super) deed: Deed,
    /// Who has to be looked at again once it is done.
    pub(super) change: Option<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// The row must not exist, and then does.
    Create(Body, Marks),
    /// The row must be at that revision, and becomes this.
    Replace(Revision, Body, Marks),
    /// The row must be at that revision, and goes.
    Remove(Revision),
    /// The row must be at that revision.
    Unchanged(Revision),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_and_short_ones_do_not() {
        let row = Row {
            revision: Revision(7),
            body: Body {
                shape: 1,
                json: b"{}".to_vec(),
            },
        };
        assert_eq!(Row::decode(&row.encode()), Some(row));
        assert_eq!(Row::decode(&[1, 0, 0]), None);
        assert_eq!(Row::decode(&[0x81; 20]), None, "no shape of a row");
    }

    #[test]
    fn groups_of_an_index_never_run_into_each_other() {
        let entry = |group: &[u8], key: &[u8]| IndexKey::new(Index::UsersByRole, group).entry(key);
        assert_ne!(entry(b"a", b"bc"), entry(b"ab", b"c"));
        assert!(!entry(b"ab", b"c").starts_with(&IndexKey::new(Index::UsersByRole, b"a".as_slice()).prefix()));
    }

    #[test]
    fn a_key_of_another_group_has_its_place_at_an_end_of_this_one() {
        let group = IndexKey::new(Index::ByKey, b"mm".as_slice());
        assert_eq!(group.entry(b"mmx"), b"mmx");
        assert_eq!(group.entry(b"aax"), b"mm");
        assert!(
            group.entry(b"zzx").starts_with(b"mm") && group.entry(b"zzx").as_slice() > [b"mm".as_slice(), &[0xFF; 16]].concat().as_slice()
        );
    }

    #[test]
    fn no_two_uniques_and_no_two_indexes_are_kept_behind_the_same_byte() {
        use std::collections::BTreeSet;
        let rules = [
            Unique::UserEmail,
            Unique::Username,
            Unique::ExternalIdentity,
            Unique::LiveToken,
            Unique::ProjectName,
            Unique::InvitationSecret,
            Unique::OpenInvitation,
        ];
        assert_eq!(rules.map(Unique::tag).into_iter().collect::<BTreeSet<_>>().len(), rules.len());
        let indexes = [
            Index::UsersByRole,
            Index::MembershipsByUser,
            Index::ProjectsByTeam,
            Index::GroupsByTeam,
            Index::InvitationsByTeam,
            Index::SessionsByUser,
            Index::SessionValuesBySession,
            Index::OutboxByStanding,
            Index::OutboxByUser,
            Index::OutboxByInvitation,
            Index::OutboxByTeam,
        ];
        assert_eq!(
            indexes.map(Index::tag).into_iter().flatten().collect::<BTreeSet<_>>().len(),
            indexes.len()
        );
    }

    #[test]
    fn parts_of_any_length_sort_by_it_and_never_run_into_each_other() {
        let measured = |length: usize| {
            let mut bytes = Vec::new();
            push_measured(&mut bytes, &vec![b'a'; length]);
            bytes
        };
        let lengths = [0, 1, 127, 128, 129, 255, 256, 70_000];
        assert!(lengths.map(measured).is_sorted());
        assert_eq!(measured(127).len(), 128);
    }

    #[test]
    fn tables_have_names_of_their_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.table()), Some(kind));
        }
    }
}
