//! A person's account.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;

use super::email::EmailAddress;
use super::id::UserId;
use super::name::{PersonName, ProviderName, RoleName, Username};
use super::password::PasswordHash;
use super::role::words;

words!(
    /// Where an account stands.
    UserStatus {
        /// Made, and waiting for the person to register.
        Pending = "pending",
        /// In use.
        Active = "active",
        /// Shut by an administrator; nothing is lost.
        Disabled = "disabled",
    }
);

/// An account at an identity provider or directory that is linked to a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExternalIdentity {
    /// The provider or directory.
    pub provider: ProviderName,
    /// What that provider calls the person, for ever.
    pub subject: String,
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its identifier.
    pub id: UserId,
    /// Verified address, unique in the instance; missing only if a directory gives none.
    pub email: Option<EmailAddress>,
    /// Unique in the instance. Chosen at registration; until then derived from the address.
    pub username: Username,
    /// Given name.
    pub given_name: PersonName,
    /// Family name.
    pub family_name: PersonName,
    /// Where the account stands.
    pub status: UserStatus,
    /// Instance-wide roles given in the console; `user` is held by every active person without being here.
    pub roles: BTreeSet<RoleName>,
    /// The one local password, if there is one.
    pub password: Option<PasswordHash>,
    /// Linked external accounts.
    pub external: BTreeSet<ExternalIdentity>,
    /// Sessions made under an older epoch are over: raised by disable, delete, password change and reset.
    pub epoch: u64,
    /// How often a role was gained: a cookie value made before the last time is replaced with the next answer.
    #[serde(default)]
    pub gains: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Last full sign-in.
    pub last_sign_in: Option<Timestamp>,
}

impl User {
    /// The name to show: given and family name, or the username where both are empty.
    #[must_use]
    pub fn display_name(&self) -> String {
        display_name(&self.given_name, &self.family_name, &self.username)
    }

    /// Whether this is an active administrator of the instance.
    #[must_use]
    pub fn is_active_admin(&self) -> bool {
        self.status == UserStatus::Active && self.roles.contains(&RoleName::admin())
    }

    /// Whether this is an administrator of the instance, or will be once they have registered.
    #[must_use]
    pub fn is_admin_in_waiting(&self) -> bool {
        self.status != UserStatus::Disabled && self.roles.contains(&RoleName::admin())
    }
}

/// Given and family name with a blank between, or the username where both are empty.
#[must_use]
pub fn display_name(given: &PersonName, family: &PersonName, username: &Username) -> String {
    let name = format!("{given} {family}");
    let name = name.trim();
    if name.is_empty() {
        username.as_str().to_owned()
    } else {
        name.to_owned()
    }
}
