//! Letters waiting to be sent, and what is remembered of them.

use crate::base::random::Random;
use crate::base::seal::{KeyId, Keyring, SealError};
use crate::base::time::Timestamp;
use crate::model::id::{MessageId, UserId};
use crate::model::message::{FAILED_KEPT, Message, MessageStanding, MessageState, SENT_KEPT, Sealing};
use crate::store::record::{Never, Record};
use crate::store::rows::{Change, IndexKey, Kind, UniqueKey};

use super::{Rewrap, keyed_by_number, nothing_else_unique};

/// Groups of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageIndex {
    /// Those that stand so. Those that were sent are in no such group: nobody asks for them.
    Standing(MessageStanding),
    /// Those about an account.
    AboutUser(UserId),
    /// Those about an invitation.
    AboutInvitation(String),
}

impl Record for Message {
    type Index = MessageIndex;
    const KIND: Kind = Kind::Outbox;
    /// Whoever sends mail is woken by it.
    const NEW_IS_A_CHANGE: bool = true;

    keyed_by_number!(MessageId);

    nothing_else_unique!();

    fn indexes(&self) -> Vec<MessageIndex> {
        let standing = self.standing();
        let standing = (standing != MessageStanding::Sent).then_some(MessageIndex::Standing(standing));
        let user = self.about.user.map(MessageIndex::AboutUser);
        let invitation = self.about.invitation.clone().map(MessageIndex::AboutInvitation);
        standing.into_iter().chain(user).chain(invitation).collect()
    }

    fn index_key(index: &MessageIndex) -> IndexKey {
        match index {
            MessageIndex::Standing(standing) => IndexKey::new("outbox_by_standing", standing.word()),
            MessageIndex::AboutUser(user) => IndexKey::new("outbox_by_user", user.number().to_be_bytes()),
            MessageIndex::AboutInvitation(invitation) => IndexKey::new("outbox_by_invitation", invitation.as_bytes()),
        }
    }

    fn expires(&self) -> Option<Timestamp> {
        match self.state {
            MessageState::Waiting { .. } => None,
            MessageState::Sent { at, .. } => Some(at.after(SENT_KEPT)),
            MessageState::Failed { at, .. } => Some(at.after(FAILED_KEPT)),
        }
    }

    fn change(&self) -> Option<Change> {
        Some(Change::Outbox)
    }
}

impl Rewrap for Message {
    fn sealed_under(&self) -> Option<KeyId> {
        self.sealed_under()
    }

    fn rewrapped(&self, keyring: &Keyring, random: &Random) -> Result<Self, SealError> {
        self.sealed_anew(Sealing { keyring, random })
    }
}
