//! Letters waiting to be sent, and what is remembered of them.

use crate::base::random::Random;
use crate::base::seal::{KeyId, Keyring, SealError};
use crate::base::time::Timestamp;
use crate::model::id::{MessageId, UserId};
use crate::model::message::{FAILED_KEPT, Message, MessageStanding, MessageState, SENT_KEPT, Sealing};
use crate::model::name::TeamName;
use crate::store::record::{Never, Record};
use crate::store::rows::{Change, Index, IndexKey, Kind, UniqueKey};

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
    /// Those that the administrators of a team may see.
    OfTeam(TeamName),
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
        let team = self.about.team.clone().map(MessageIndex::OfTeam);
        standing.into_iter().chain(user).chain(invitation).chain(team).collect()
    }

    fn index_key(index: &MessageIndex) -> IndexKey {
        match index {
            MessageIndex::Standing(standing) => IndexKey::new(Index::OutboxByStanding, standing.word()),
            MessageIndex::AboutUser(user) => IndexKey::new(Index::OutboxByUser, user.number().to_be_bytes()),
            MessageIndex::AboutInvitation(invitation) => IndexKey::new(Index::OutboxByInvitation, invitation.as_bytes()),
            MessageIndex::OfTeam(team) => IndexKey::new(Index::OutboxByTeam, team.as_str()),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::seal::MasterKey;
    use crate::model::event::{Action, Actor, Event};
    use crate::model::message::{About, LetterText, MessageKind, NewMessage};
    use crate::store::{Commit, Store};

    #[tokio::test]
    async fn a_letter_that_waits_is_sealed_anew_under_another_master_key() {
        let random = Random::System;
        let now = Timestamp::from_secs(1_900_000_000);
        let (old, new) = (MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([2; 32]));
        let ring = Arc::new(Keyring::new(old.clone(), Vec::new()));
        let store = Store::in_memory(&ring, &random, now).unwrap();
        let event = || Event::new(Action::MailTest, Actor::System, now);
        let letter = LetterText {
            subject: "Hello".to_owned(),
            text: "K7QF-2MXR".to_owned(),
            html: String::new(),
        };
        let mut commit = Commit::because(event());
        let mut ids = Vec::new();
        for sent in [false, true] {
            let new = NewMessage {
                to: "ada@lab.example".parse().unwrap(),
                kind: MessageKind::Test,
                title: "Test".to_owned(),
                about: About::default(),
                made: now,
                good_until: None,
            };
            let sealing = Sealing {
                keyring: &ring,
                random: &random,
            };
            let message = Message::new(new, &letter, sealing).unwrap();
            let message = if sent { message.sent("250", now) } else { message };
            ids.push(message.id);
            commit = commit.create(&message);
        }
        store.commit(commit).await.unwrap();
        let both = Keyring::new(new.clone(), vec![old]);
        assert_eq!(store.rewrap(&both, &random, event()).await, Ok(1), "what was sent holds nothing");
        let alone = Keyring::new(new, Vec::new());
        let waiting = store.get::<Message>(&ids[0]).await.unwrap().unwrap();
        assert_eq!(waiting.record.open(&alone), Ok(Some(letter)));
        assert_eq!(store.rewrap(&both, &random, event()).await, Ok(0));
    }
}
