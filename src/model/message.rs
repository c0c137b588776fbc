//! A letter waiting to be sent, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::random::Random;
use crate::base::seal::{KeyId, Keyring, Place, SealError, Sealed};
use crate::base::time::{DAY, HOUR, MINUTE, Timestamp};

use super::email::EmailAddress;
use super::id::{MessageId, UserId};
use super::name::{TeamName, is_unprintable};
use super::role::words;

/// How long a letter that was sent is remembered.
pub const SENT_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a letter that could not be sent is remembered.
pub const FAILED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long it is tried.
pub const TRIED_FOR: Duration = DAY;
/// What of a mail server's words is kept, in characters.
const SAID_LENGTH: usize = 300;

words!(
    /// What a letter is about. The words are stable: filters and figures name them.
    MessageKind {
        /// An invitation, with its link.
        Invitation = "invitation",
        /// A token that confirms an address during an invitation.
        EmailToken = "email-token",
        /// A token that sets a new password, for whoever asked for it.
        ResetToken = "reset-token",
        /// A notice: the password was changed or set anew.
        PasswordChanged = "password-changed",
        /// A notice: a sign-in from a browser that was not seen before.
        NewBrowser = "new-browser",
        /// A notice: a role was given.
        RoleGained = "role-gained",
        /// A letter that only shows that mail arrives.
        Test = "test",
    }
);

words!(
    /// Why a letter is not tried any more.
    Failure {
        /// The mail server refused it for good.
        Bounced = "bounced",
        /// It was tried for a day.
        TimedOut = "timed-out",
        /// The link or token in it has ended.
        Outdated = "outdated",
        /// Somebody gave it up.
        GivenUp = "given-up",
        /// It cannot be read any more: its master key is gone.
        Unreadable = "unreadable",
    }
);

words!(
    /// Where a letter stands, in one word.
    MessageStanding {
        /// It is to be sent.
        Waiting = "waiting",
        /// The mail server took it.
        Sent = "sent",
        /// It is not tried any more.
        Failed = "failed",
    }
);

/// Where a letter stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum MessageState {
    /// It is to be sent.
    Waiting {
        /// Not before then.
        next_try: Timestamp,
        /// What the mail server said the last time, made harmless; empty before the first try.
        said: String,
    },
    /// The mail server took it.
    Sent {
        /// When.
        at: Timestamp,
        /// What it said, made harmless.
        said: String,
    },
    /// It is not tried any more.
    Failed {
        /// Since when.
        at: Timestamp,
        /// Why.
        why: Failure,
        /// What the mail server said the last time, made harmless; empty if it was never asked.
        said: String,
    },
}

/// Whom or what a letter is about, so that it is found again from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The account.
    pub user: Option<UserId>,
    /// The invitation, by its identifier.
    pub invitation: Option<String>,
    /// The team whose administrators may see that it was sent; none: those of the instance only.
    pub team: Option<TeamName>,
}

impl About {
    /// About an account.
    #[must_use]
    pub fn user(user: UserId) -> Self {
        Self {
            user: Some(user),
            ..Self::default()
        }
    }

    /// About an invitation to a team.
    #[must_use]
    pub fn invitation(invitation: &impl ToString, team: TeamName) -> Self {
        Self {
            invitation: Some(invitation.to_string()),
            team: Some(team),
            ..Self::default()
        }
    }
}

/// What a letter says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterText {
    /// Subject, in one line.
    pub subject: String,
    /// For programs that show text.
    pub text: String,
    /// For programs that show HTML.
    pub html: String,
}

impl std::fmt::Debug for LetterText {
    /// It may hold a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LetterText(..)")
    }
}

/// What a new letter is made of.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// To whom.
    pub to: EmailAddress,
    /// What it is.
    pub kind: MessageKind,
    /// What lists say of it: no secret.
    pub title: String,
    /// Whom it is about.
    pub about: About,
    /// When it is made.
    pub made: Timestamp,
    /// From when on what it says is of no use; none: it always is.
    pub good_until: Option<Timestamp>,
}

/// A letter waiting to be sent, or what is remembered of it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its identifier, the newest first; also the first part of its Message-ID, so that a letter that arrives twice is seen to be one.
    pub id: MessageId,
    /// To whom.
    pub to: EmailAddress,
    /// What it is.
    pub kind: MessageKind,
    /// What lists say of it: no secret.
    pub title: String,
    /// Whom it is about.
    pub about: About,
    /// When it was made.
    pub made: Timestamp,
    /// Since when it is tried: when it was made, or when somebody had it sent again.
    pub since: Timestamp,
    /// From when on what it says is of no use.
    pub good_until: Option<Timestamp>,
    /// How often it was tried since then.
    pub tries: u32,
    /// Where it stands.
    pub state: MessageState,
    /// What it says, until it is sent or is of no use any more.
    letter: Option<Sealed>,
}

/// How a letter is to be sealed: it may hold a link or a token.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The keys.
    pub keyring: &'a Keyring,
    /// Where nonces come from.
    pub random: &'a Random,
}

impl Message {
    /// A letter to be sent at once.
    ///
    /// # Errors
    /// [`SealError`] if the cipher refuses, as it does for texts of 64 GiB.
    pub fn new(new: NewMessage, letter: &LetterText, sealing: Sealing<'_>) -> Result<Self, SealError> {
        let id = MessageId::generate_at(new.made, sealing.random);
        let NewMessage {
            to,
            kind,
            title,
            about,
            made,
            good_until,
        } = new;
        Ok(Self {
            id,
            to,
            kind,
            title,
            about,
            made,
            since: made,
            good_until,
            tries: 0,
            state: MessageState::Waiting {
                next_try: made,
                said: String::new(),
            },
            letter: Some(seal(id, letter, sealing)?),
        })
    }

    /// What it says; none once that was wiped.
    ///
    /// # Errors
    /// [`SealError`] if its key is not in the ring, or it was changed or moved.
    pub fn open(&self, keyring: &Keyring) -> Result<Option<LetterText>, SealError> {
        let Some(sealed) = &self.letter else { return Ok(None) };
        let plain = keyring.open(place(&self.id.number().to_be_bytes()), sealed)?;
        serde_json::from_slice(plain.expose()).map(Some).map_err(|_| SealError::Broken)
    }

    /// The master key that it is sealed under; none once it was wiped.
    #[must_use]
    pub fn sealed_under(&self) -> Option<KeyId> {
        self.letter.as_ref().map(|sealed| sealed.key)
    }

    /// The same, sealed under the key in use.
    ///
    /// # Errors
    /// [`SealError`], as [`Message::open`].
    pub fn sealed_anew(&self, sealing: Sealing<'_>) -> Result<Self, SealError> {
        let letter = match self.open(sealing.keyring)? {
            Some(letter) => Some(seal(self.id, &letter, sealing)?),
            None => None,
        };
        Ok(Self { letter, ..self.clone() })
    }

    /// Where it stands, in one word.
    #[must_use]
    pub const fn standing(&self) -> MessageStanding {
        match self.state {
            MessageState::Waiting { .. } => MessageStanding::Waiting,
            MessageState::Sent { .. } => MessageStanding::Sent,
            MessageState::Failed { .. } => MessageStanding::Failed,
        }
    }

    /// Whether whom it is to never gets it by itself, although it would be of use to them.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        match self.state {
            MessageState::Failed { why, .. } => !matches!(why, Failure::Outdated),
            MessageState::Waiting { .. } | MessageState::Sent { .. } => false,
        }
    }

    /// When it is to be tried; none if it is not.
    #[must_use]
    pub const fn next_try(&self) -> Option<Timestamp> {
        match self.state {
            MessageState::Waiting { next_try, .. } => Some(next_try),
            MessageState::Sent { .. } | MessageState::Failed { .. } => None,
        }
    }

    /// What the mail server said the last time, made harmless.
    #[must_use]
    pub fn said(&self) -> &str {
        match &self.state {
            MessageState::Waiting { said, .. } | MessageState::Sent { said, .. } | MessageState::Failed { said, .. } => said,
        }
    }

    /// Whether it is to be tried now. One whose next try is further away than any wait is due too: the clock was set back.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_try().is_some_and(|at| at <= now || at > now.after(HOUR))
    }

    /// Whether what it says is of no use any more.
    #[must_use]
    pub fn is_outdated(&self, now: Timestamp) -> bool {
        self.good_until.is_some_and(|until| now >= until)
    }

    /// Whether it can be sent again: it was not sent, and what it says is still there and of use.
    #[must_use]
    pub fn may_go_again(&self, now: Timestamp) -> bool {
        self.letter.is_some() && self.standing() != MessageStanding::Sent && !self.is_outdated(now)
    }

    /// The mail server took it. What it said is wiped.
    #[must_use]
    pub fn sent(&self, said: &str, now: Timestamp) -> Self {
        Self {
            tries: self.tries.saturating_add(1),
            state: MessageState::Sent {
                at: now,
                said: harmless(said),
            },
            letter: None,
            ..self.clone()
        }
    }

    /// It was not taken this time: it is tried again after a minute, then two, four and so on up to an hour, for a day in all.
    #[must_use]
    pub fn put_off(&self, said: &str, now: Timestamp) -> Self {
        let tries = self.tries.saturating_add(1);
        let wait = MINUTE.saturating_mul(1 << (tries - 1).min(6)).min(HOUR);
        let next_try = now.after(wait);
        if next_try >= self.since.after(TRIED_FOR) {
            return Self {
                tries,
                ..self.failed(Failure::TimedOut, said, now)
            };
        }
        Self {
            tries,
            state: MessageState::Waiting {
                next_try,
                said: harmless(said),
            },
            ..self.clone()
        }
    }

    /// The mail server refused it for good. It stays readable, so that it can be sent again once the reason is put right.
    #[must_use]
    pub fn bounced(&self, said: &str, now: Timestamp) -> Self {
        Self {
            tries: self.tries.saturating_add(1),
            ..self.failed(Failure::Bounced, said, now)
        }
    }

    /// Not tried any more. What cannot be sent again is wiped.
    #[must_use]
    pub fn failed(&self, why: Failure, said: &str, now: Timestamp) -> Self {
        let again = matches!(why, Failure::Bounced | Failure::TimedOut) && !self.is_outdated(now);
        Self {
            state: MessageState::Failed {
                at: now,
                why,
                said: harmless(said),
            },
            letter: if again { self.letter.clone() } else { None },
            ..self.clone()
        }
    }

    /// To be sent again from now on, as if it were new.
    #[must_use]
    pub fn again(&self, now: Timestamp) -> Self {
        Self {
            since: now,
            tries: 0,
            state: MessageState::Waiting {
                next_try: now,
                said: self.said().to_owned(),
            },
            ..self.clone()
        }
    }

    /// The same without what it says, once that is of no use any more; none if there is nothing to wipe.
    #[must_use]
    pub fn wiped(&self, now: Timestamp) -> Option<Self> {
        (self.letter.is_some() && self.standing() == MessageStanding::Failed && self.is_outdated(now)).then(|| Self {
            letter: None,
            ..self.clone()
        })
    }
}

fn seal(id: MessageId, letter: &LetterText, sealing: Sealing<'_>) -> Result<Sealed, SealError> {
    let plain = serde_json::to_vec(letter).map_err(|_| SealError::Broken)?;
    sealing.keyring.seal(place(&id.number().to_be_bytes()), &plain, sealing.random)
}

const fn place(key: &[u8]) -> Place<'_> {
    Place {
        table: "outbox",
        key,
        column: "letter",
    }
}

/// Words of a mail server, which may be anything: one line of printable characters, and not too long a one.
#[must_use]
pub fn harmless(said: &str) -> String {
    let mut words = String::new();
    for word in said
        .split(|c: char| c.is_whitespace() || is_unprintable(c))
        .filter(|word| !word.is_empty())
    {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    if words.chars().count() > SAID_LENGTH {
        words = words.chars().take(SAID_LENGTH).chain(['…']).collect();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seal::MasterKey;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn ring(byte: u8) -> Keyring {
        Keyring::new(MasterKey::from_bytes([byte; 32]), Vec::new())
    }

    fn letter() -> LetterText {
        LetterText {
            subject: "Your token".to_owned(),
            text: "K7QF-2MXR".to_owned(),
            html: "<p>K7QF-2MXR</p>".to_owned(),
        }
    }

    fn message(good_until: Option<Timestamp>) -> Message {
        let new = NewMessage {
            to: "ada@lab.example".parse().unwrap(),
            kind: MessageKind::ResetToken,
            title: "Reset token".to_owned(),
            about: About::default(),
            made: NOW,
            good_until,
        };
        let sealing = Sealing {
            keyring: &ring(1),
            random: &Random::seeded(1),
        };
        Message::new(new, &letter(), sealing).unwrap()
    }

    #[test]
    fn a_letter_is_sealed_and_wiped_once_it_is_sent() {
        let new = message(None);
        assert!(!serde_json::to_string(&new).unwrap().contains("K7QF"));
        assert_eq!(new.open(&ring(1)).unwrap(), Some(letter()));
        assert!(new.open(&ring(2)).is_err(), "another master key");
        let mut moved = new.clone();
        moved.id = MessageId::from_number(1);
        assert!(moved.open(&ring(1)).is_err(), "the letter of another row");
        let sent = new.sent("250 ok", NOW);
        assert_eq!((sent.open(&ring(1)), sent.standing()), (Ok(None), MessageStanding::Sent));
        assert!(!sent.may_go_again(NOW));
    }

    #[test]
    fn waits_double_up_to_an_hour_and_end_after_a_day() {
        let mut message = message(None);
        let mut now = NOW;
        let mut waits = Vec::new();
        while let Some(next) = message.next_try() {
            if next > now {
                waits.push(next.since(now).as_secs() / 60);
                now = next;
            }
            assert!(message.is_due(now));
            message = message.put_off("451 later", now);
        }
        assert_eq!(waits.iter().take(8).copied().collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(
            message.state,
            MessageState::Failed {
                at: now,
                why: Failure::TimedOut,
                said: "451 later".to_owned()
            }
        );
        assert!(now.since(NOW) < DAY && now.since(NOW) > DAY - 2 * HOUR);
        let again = message.again(now);
        assert!(again.is_due(now) && again.tries == 0 && again.open(&ring(1)).unwrap().is_some());
    }

    #[test]
    fn what_is_of_no_use_is_wiped_and_not_sent_again() {
        let until = NOW.after(HOUR);
        let bounced = message(Some(until)).bounced("550 no such user", NOW);
        assert!(bounced.may_go_again(NOW) && bounced.wiped(NOW).is_none());
        assert!(!bounced.may_go_again(until));
        let wiped = bounced.wiped(until).unwrap();
        assert_eq!(wiped.open(&ring(1)), Ok(None));
        assert!(wiped.wiped(until).is_none());
        for why in [Failure::GivenUp, Failure::Outdated, Failure::Unreadable] {
            assert_eq!(message(None).failed(why, "", NOW).open(&ring(1)), Ok(None), "{why}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_letter_waiting() {
        let waiting = message(None).put_off("", NOW);
        assert!(!waiting.is_due(NOW));
        assert!(waiting.is_due(NOW.before(DAY)));
    }

    #[test]
    fn a_servers_words_are_one_harmless_line() {
        for (name, said, kept) in [
            ("plain", "550 no such user", "550 no such user"),
            ("lines", "550-no\r\n550 such", "550-no 550 such"),
            ("escape", "a\u{1b}[31mb", "a [31mb"),
            ("direction", "a\u{202e}b", "a b"),
        ] {
            assert_eq!(harmless(said), kept, "{name}");
        }
        assert_eq!(harmless(&"x".repeat(5000)).chars().count(), SAID_LENGTH + 1);
    }

    #[test]
    fn identifiers_sort_the_newest_first() {
        let random = Random::seeded(3);
        let older = MessageId::generate_at(NOW, &random);
        let newer = MessageId::generate_at(NOW.after(Duration::from_millis(1)), &random);
        assert!(newer.number() < older.number());
    }
}
