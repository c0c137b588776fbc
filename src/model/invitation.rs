//! An invitation: what somebody will have in a team once they have registered, and how far they have come.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::random::Random;
use crate::base::secret::Hashed;
use crate::base::time::{DAY, Timestamp};

use super::email::EmailAddress;
use super::id::{InvitationId, UserId};
use super::membership::Offer;
use super::name::{PersonName, Username};
use super::password::PasswordHash;
use super::role::words;
use super::token::EmailToken;

/// How long an invitation stays in the lists after its end, so that it can be sent again.
pub const KEPT: Duration = Duration::from_secs(30 * DAY.as_secs());

words!(
    /// How far an invitation has come.
    Progress {
        /// Sent, or ready to be handed over; nobody has answered.
        Sent = "sent",
        /// The account form was sent at least once, with something to correct.
        Opened = "opened",
        /// The account form is filled in, and a token is on its way.
        TokenSent = "token-sent",
        /// The token was typed wrong too often; the link starts again.
        Locked = "locked",
        /// The letter could not be delivered.
        Bounced = "bounced",
        /// Its time is over.
        Ended = "ended",
    }
);

/// The account that waits for its address to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Digest of what the browser was given that filled the form in: only there is the token taken. Otherwise whoever has the link, and not
    /// the mailbox, could put their own name and password in front of a token that somebody else types.
    pub begun: Hashed,
    /// Given name.
    pub given_name: PersonName,
    /// Family name.
    pub family_name: PersonName,
    /// Username.
    pub username: Username,
    /// The password to be.
    pub password: PasswordHash,
}

/// An invitation. It ends when registration completes, not when it is opened; sending it again gives it another secret and another end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Its identifier. The first 48 bits fall with time, so that lists begin with the newest.
    pub id: InvitationId,
    /// Whom it is for.
    pub email: EmailAddress,
    /// The account that will be made; an address that has an account already keeps that one.
    pub user: UserId,
    /// What they will have.
    pub offer: Offer,
    /// Who invited; nobody in particular at the command line.
    pub by: Option<UserId>,
    /// Digest of the secret in the link.
    pub secret: Hashed,
    /// When it was sent, the last time.
    pub sent: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When the account form was first sent.
    pub opened: Option<Timestamp>,
    /// What was typed into it, once nothing was wrong with it.
    pub profile: Option<Profile>,
    /// Whether the letter with its link was refused or given up.
    pub bounced: bool,
    /// Wrong guesses at its tokens, whichever they were: the link starts again only so often.
    #[serde(default)]
    pub wrong: u32,
}

/// Wrong guesses that an invitation takes under one link, with all its tokens; then it has to be sent again.
pub const MOST_WRONG: u32 = 25;

impl Invitation {
    /// A new identifier, before all that were made earlier.
    #[must_use]
    pub fn new_id(random: &Random, now: Timestamp) -> InvitationId {
        let millis = u128::try_from(now.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
        InvitationId::from_number(((0xffff_ffff_ffff - millis) << 80) | (random.number() >> 48))
    }

    /// Past its end, guessed at too often, or sent at a time that has not come yet: then the clock was set back, and nobody can say how old it is.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires || self.sent.is_out_of_time(now) || self.wrong >= MOST_WRONG
    }

    /// How far it has come. `token` is the one that confirms its address, if there is one.
    #[must_use]
    pub fn progress(&self, token: Option<&EmailToken>, now: Timestamp) -> Progress {
        if self.is_over(now) {
            return Progress::Ended;
        }
        match token {
            Some(token) if self.profile.is_some() && token.tries_left == 0 => Progress::Locked,
            Some(token) if self.profile.is_some() && token.is_live(now) => Progress::TokenSent,
            _ if self.bounced => Progress::Bounced,
            _ if self.opened.is_some() => Progress::Opened,
            _ => Progress::Sent,
        }
    }

    /// The same under another secret, good for `lasts` from now on: what was typed so far is forgotten.
    #[must_use]
    pub fn sent_again(self, secret: Hashed, lasts: Duration, now: Timestamp) -> Self {
        Self {
            secret,
            sent: now,
            expires: now.after(lasts),
            opened: None,
            profile: None,
            bounced: false,
            wrong: 0,
            ..self
        }
    }

    /// The account form was sent. One with something to correct leaves what was typed well before.
    #[must_use]
    pub fn opened(self, profile: Option<Profile>, now: Timestamp) -> Self {
        Self {
            opened: self.opened.or(Some(now)),
            profile: profile.or(self.profile),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seal::{Keyring, MasterKey};
    use crate::base::time::{HOUR, MINUTE};
    use crate::model::id::TokenId;
    use crate::model::name::TeamName;
    use crate::model::token::{Confirmation, NewToken, OneTimeToken, TokenPurpose, TokenStyle};

    fn invitation(now: Timestamp) -> Invitation {
        Invitation {
            id: Invitation::new_id(&Random::seeded(1), now),
            email: "sam@northgate.example".parse().unwrap(),
            user: UserId::from_number(1),
            offer: Offer::nothing(TeamName::main()),
            by: None,
            secret: Hashed::sha256(b"secret"),
            sent: now,
            expires: now.after(48 * HOUR),
            opened: None,
            profile: None,
            bounced: false,
            wrong: 0,
        }
    }

    fn token(now: Timestamp, tries: u32) -> EmailToken {
        let ring = Keyring::new(MasterKey::from_bytes([1; 32]), Vec::new());
        OneTimeToken::new(NewToken {
            id: TokenId::from_number(1),
            user: UserId::from_number(1),
            hash: ring.hash(Confirmation::HASHED_UNDER, b"1234"),
            made: now,
            expires: now.after(60 * MINUTE),
            tries,
            style: TokenStyle::Digits(4),
        })
    }

    #[test]
    fn the_newest_stands_first() {
        let random = Random::seeded(1);
        let now = Timestamp::from_secs(1_700_000_000);
        let older = Invitation::new_id(&random, now);
        let newer = Invitation::new_id(&random, now.after(Duration::from_millis(1)));
        assert!(newer < older);
        assert_ne!(Invitation::new_id(&random, now), older, "two of one moment");
    }

    #[test]
    fn an_invitation_tells_how_far_it_has_come() {
        let now = Timestamp::from_secs(1_700_000_000);
        let sent = invitation(now);
        let profile = Profile {
            begun: Hashed::sha256(b"begun"),
            given_name: "Sam".parse().unwrap(),
            family_name: "Osei".parse().unwrap(),
            username: "sam".parse().unwrap(),
            password: PasswordHash::from_phc("x".to_owned()),
        };
        let opened = sent.clone().opened(None, now);
        let begun = opened.clone().opened(Some(profile), now);
        let bounced = Invitation {
            bounced: true,
            ..sent.clone()
        };
        let guessed = Invitation {
            wrong: MOST_WRONG,
            ..begun.clone()
        };
        let live = token(now, 5);
        let locked = token(now, 0);
        for (name, invitation, token, at, expected) in [
            ("sent", &sent, None, now, Progress::Sent),
            ("opened", &opened, None, now, Progress::Opened),
            ("begun", &begun, Some(&live), now, Progress::TokenSent),
            ("locked", &begun, Some(&locked), now, Progress::Locked),
            ("its token over", &begun, Some(&live), now.after(2 * HOUR), Progress::Opened),
            ("bounced", &bounced, None, now, Progress::Bounced),
            (
                "a minute before its end",
                &sent,
                None,
                now.after(48 * HOUR - MINUTE),
                Progress::Sent,
            ),
            ("at its end", &sent, None, now.after(48 * HOUR), Progress::Ended),
            ("with the clock set back", &sent, None, now.before(HOUR), Progress::Ended),
            ("guessed at too often", &guessed, Some(&live), now, Progress::Ended),
        ] {
            assert_eq!(invitation.progress(token, at), expected, "{name}");
        }
        let again = begun.sent_again(Hashed::sha256(b"other"), 48 * HOUR, now.after(HOUR));
        assert_eq!(again.progress(Some(&live), now.after(HOUR)), Progress::Sent);
        assert_eq!(again.expires, now.after(49 * HOUR));
    }
}
