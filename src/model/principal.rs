//! Who is asking, and how they came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;

use super::email::EmailAddress;
use super::id::{CredentialId, SessionId, UserId};
use super::membership::Membership;
use super::name::{PersonName, ProviderName, RoleName, ServiceName, Username};
use super::role::SignInMethod;
use super::team::ProjectLevel;
use super::user::{UserStatus, display_name};

/// Whoever sends a request.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Nobody we know.
    Anonymous,
    /// A person with a live session.
    User(Arc<Identity>),
    /// A caller that is no person, by its credential.
    Service(Arc<Service>),
}

/// How and when a session was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// By which method.
    pub method: SignInMethod,
    /// Through which provider or directory.
    pub provider: Option<ProviderName>,
    /// When the person last proved who they are, in full.
    pub at: Timestamp,
    /// Whether a second factor was shown, ours or the provider's.
    pub mfa: bool,
    /// Groups that provider or directory reported.
    pub groups: BTreeSet<String>,
    /// Attributes it reported.
    pub attributes: BTreeMap<String, BTreeSet<String>>,
    /// When the provider says the session must end.
    pub ends: Option<Timestamp>,
}

impl SignedIn {
    /// A sign-in by local password at `at`, without a second factor.
    #[must_use]
    pub const fn by_password(at: Timestamp) -> Self {
        Self {
            method: SignInMethod::Password,
            provider: None,
            at,
            mfa: false,
            groups: BTreeSet::new(),
            attributes: BTreeMap::new(),
            ends: None,
        }
    }

    /// Whether the person proved who they are within so long, as sensitive acts want it: those that give, take or hand over rights.
    #[must_use]
    pub fn is_fresh(&self, within: Duration, now: Timestamp) -> bool {
        now.since(self.at) < within && !self.at.is_out_of_time(now)
    }
}

/// What the store knows of a person with a session, in names; the same for every address and every policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// Their username.
    pub username: Username,
    /// Their verified address, or none.
    pub email: Option<EmailAddress>,
    /// Given name.
    pub given_name: PersonName,
    /// Family name.
    pub family_name: PersonName,
    /// Where the account stands.
    pub status: UserStatus,
    /// Instance-wide roles as given in the console; `user` and grants are added by policy.
    pub roles: BTreeSet<RoleName>,
    /// What they have in each team.
    pub memberships: Vec<Membership>,
    /// Levels in projects by name, own and through groups.
    pub projects: Vec<ProjectLevel>,
    /// The session they came with.
    pub session: SessionId,
    /// How and when they signed in.
    pub signed_in: SignedIn,
    /// Changes whenever any of the above does, so that what was computed from an older one is not used again.
    pub revision: u64,
}

impl Identity {
    /// Whether the account is in use.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// The name they sign in with, as pages show it: the address, or the username where there is none.
    #[must_use]
    pub fn login_name(&self) -> &str {
        self.email.as_ref().map_or_else(|| self.username.as_str(), EmailAddress::as_str)
    }

    /// The name to show.
    #[must_use]
    pub fn display_name(&self) -> String {
        display_name(&self.given_name, &self.family_name, &self.username)
    }
}

/// A service as its credential shows it; what it may do is in policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name in policy.
    pub name: ServiceName,
    /// The credential it came with.
    pub credential: CredentialId,
    /// When that credential was made.
    pub made: Timestamp,
}
