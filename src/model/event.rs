//! Something that happened, by whom, to whom: what the audit trail keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;

use super::id::UserId;
use super::role::words;

words!(
    /// What happened. The words are stable: filters and alarms name them.
    Action {
        /// An account was made.
        UserCreated = "user-created",
        /// The first administrator was made.
        FirstAdminCreated = "first-admin-created",
        /// An account was completed by its owner with a registration token.
        UserRegistered = "user-registered",
        /// Names or address of an account were changed.
        UserChanged = "user-changed",
        /// An account was shut.
        UserDisabled = "user-disabled",
        /// An account was opened again.
        UserEnabled = "user-enabled",
        /// An account was removed.
        UserDeleted = "user-deleted",
        /// Instance-wide roles were changed.
        RolesChanged = "roles-changed",
        /// A membership was made, changed or removed.
        MembershipChanged = "membership-changed",
        /// A project of a team was made, renamed or removed.
        ProjectChanged = "project-changed",
        /// A group of a team was made, changed or removed.
        GroupChanged = "group-changed",
        /// Somebody was invited.
        InvitationSent = "invitation-sent",
        /// An invitation was sent again, under another link.
        InvitationSentAgain = "invitation-sent-again",
        /// An invitation was given more time.
        InvitationExtended = "invitation-extended",
        /// What an invitation promises was changed.
        InvitationChanged = "invitation-changed",
        /// An invitation was withdrawn.
        InvitationWithdrawn = "invitation-withdrawn",
        /// The account form of an invitation was sent.
        InvitationOpened = "invitation-opened",
        /// Somebody registered by an invitation, or joined a team with the account they had.
        InvitationAccepted = "invitation-accepted",
        /// A registration or reset token was made; one before it has ended.
        TokenMade = "token-made",
        /// A wrong token was presented.
        TokenWrong = "token-wrong",
        /// Too many wrong guesses: a token was locked.
        TokenLocked = "token-locked",
        /// Somebody asked for a reset.
        ResetAsked = "reset-asked",
        /// A password was set with a reset token.
        PasswordReset = "password-reset",
        /// A password was changed by its owner.
        PasswordChanged = "password-changed",
        /// Somebody signed in.
        SignedIn = "signed-in",
        /// Somebody proved again who they are, in a session that goes on.
        StepUp = "step-up",
        /// The first wrong try of a window.
        SignInFailed = "sign-in-failed",
        /// Too many wrong tries: a name from a network, or a network, has to wait.
        SignInLocked = "sign-in-locked",
        /// Locks and counts were cleared by an administrator.
        LocksCleared = "locks-cleared",
        /// Somebody signed out.
        SignedOut = "signed-out",
        /// A session was ended by its owner or an administrator.
        SessionEnded = "session-ended",
        /// A session was handed over to another host.
        SessionHandedOver = "session-handed-over",
        /// A session's cookie value was replaced.
        SessionRotated = "session-rotated",
        /// Sessions past their end were swept away.
        SessionsSwept = "sessions-swept",
        /// A letter was taken by the mail server.
        MailSent = "mail-sent",
        /// A letter was not taken this time.
        MailPutOff = "mail-put-off",
        /// A letter is not tried any more.
        MailFailed = "mail-failed",
        /// What a letter said was wiped, since it was of no use any more.
        MailWiped = "mail-wiped",
        /// An administrator had a letter sent again.
        MailAgain = "mail-again",
        /// An administrator had a test letter sent.
        MailTest = "mail-test",
        /// A policy tree went live.
        PolicyLoaded = "policy-loaded",
        /// A policy tree was refused; the old one stays.
        PolicyRefused = "policy-refused",
        /// A key that signs assertions was made or retired.
        SigningKeyChanged = "signing-key-changed",
        /// Secrets were sealed anew under another master key.
        Rewrapped = "rewrapped",
        /// The store was made or brought to a new form.
        StoreMigrated = "store-migrated",
        /// A backup was restored into this store.
        StoreRestored = "store-restored",
    }
);

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "kebab-case")]
pub enum Actor {
    /// A person.
    User(UserId),
    /// Somebody at the command line of the machine.
    CommandLine,
    /// portcullis itself.
    System,
    /// Somebody not signed in.
    Anonymous,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => fmt::Display::fmt(id, f),
            Self::CommandLine => f.write_str("command-line"),
            Self::System => f.write_str("system"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// Something that happened. It holds identifiers rather than names, so that erasing a user erases them here too; never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub action: Action,
    /// Who did it.
    pub actor: Actor,
    /// To whom or what: an identifier or a name from policy.
    pub target: Option<String>,
    /// From which address.
    pub address: Option<IpAddr>,
    /// When.
    pub at: Timestamp,
    /// What else is worth knowing, such as `role` = `admin`.
    pub details: BTreeMap<String, String>,
}

impl Event {
    /// Something that `actor` did at `at`.
    #[must_use]
    pub const fn new(action: Action, actor: Actor, at: Timestamp) -> Self {
        Self {
            action,
            actor,
            target: None,
            address: None,
            at,
            details: BTreeMap::new(),
        }
    }

    /// Says to whom or what.
    #[must_use]
    pub fn to(mut self, target: impl fmt::Display) -> Self {
        self.target = Some(target.to_string());
        self
    }

    /// Says from which address, where it is known.
    #[must_use]
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.details.insert(key.to_owned(), value.to_string());
        self
    }
}
