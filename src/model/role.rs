//! What may be done: roles and permissions are names from policy; powers are what our own console knows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{ApplicationName, PermissionName};

/// A permission together with its application, written `app:permission`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Permission {
    /// The application it belongs to.
    pub application: ApplicationName,
    /// Its name within that application.
    pub name: PermissionName,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.application, self.name)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every one there is, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in TOML, pages and logs.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::model::role::NotAListedWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|one| one.word() == text).ok_or($crate::model::role::NotAListedWord)
            }
        }
    };
}
pub(crate) use words;

/// The text is none of the words that are allowed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of the listed words")]
pub struct NotAListedWord;

words!(
    /// What may be done in portcullis's own console (`role.N.admin`).
    Power {
        /// See and change users, their tokens and status.
        Users = "users",
        /// See and change groups.
        Groups = "groups",
        /// See and change projects.
        Projects = "projects",
        /// See and change teams.
        Teams = "teams",
        /// Invite people and withdraw invitations.
        Invitations = "invitations",
        /// Give and take roles.
        Roles = "roles",
        /// See applications and services.
        Apps = "apps",
        /// Read the audit trail and explain decisions.
        Audit = "audit",
        /// See and reload policies.
        Policies = "policies",
    }
);

words!(
    /// How a session was made.
    SignInMethod {
        /// With a local password; a completed registration or reset counts as one.
        Password = "password",
        /// Through a SAML identity provider.
        Saml = "saml",
        /// Against an LDAP directory.
        Ldap = "ldap",
        /// With a passkey.
        Passkey = "passkey",
        /// Not by a person: with a service's credential.
        Service = "service",
    }
);
