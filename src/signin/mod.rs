//! Proving who somebody is. A proof admits nobody by itself.

pub mod local;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::name::ProviderName;
use crate::model::password::Password;

/// What an identity provider or directory said of a person. An account is found by provider and subject; an e-mail alone never opens one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Who says so.
    pub provider: ProviderName,
    /// What the provider calls the person, for ever.
    pub subject: String,
    /// An address the provider may speak for, or none.
    pub email: Option<EmailAddress>,
    /// Groups it reported.
    pub groups: BTreeSet<String>,
    /// Attributes it reported.
    pub attributes: BTreeMap<String, BTreeSet<String>>,
    /// Whether a second factor was shown there.
    pub mfa: bool,
    /// When the person proved who they are.
    pub at: Timestamp,
    /// When the provider says the session must end.
    pub ends: Option<Timestamp>,
}

/// Why nobody was proved to be anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInFailure {
    /// Policies name it, and this version cannot speak to it.
    #[error("sign-in through `{provider}` is not available yet")]
    NotAvailableYet {
        /// The provider or directory.
        provider: ProviderName,
    },
    /// The threads that check passwords have more than enough to do.
    #[error(transparent)]
    Busy(#[from] local::Busy),
}

/// A way to prove who one is that is kept elsewhere. The local password is no provider of anything: see [`local::Passwords`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityProvider {
    /// `[directory.NAME]`, asked with a name and a password.
    Ldap(ProviderName),
    /// `[idp.NAME]`, asked by sending the browser there.
    Saml(ProviderName),
}

impl IdentityProvider {
    /// Its name in policy.
    #[must_use]
    pub const fn name(&self) -> &ProviderName {
        match self {
            Self::Ldap(name) | Self::Saml(name) => name,
        }
    }

    /// Asks a directory whether the password is that person's.
    ///
    /// # Errors
    /// [`SignInFailure::NotAvailableYet`] of every provider: neither LDAP nor SAML is spoken by this version.
    pub fn prove(&self, _login: &str, _password: &Password) -> Result<Proof, SignInFailure> {
        Err(SignInFailure::NotAvailableYet {
            provider: self.name().clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_answers_that_it_is_not_available_yet() {
        let corp: ProviderName = "corp".parse().unwrap();
        let failure = IdentityProvider::Ldap(corp)
            .prove("ada", &Password::new("x".to_owned()))
            .unwrap_err();
        assert_eq!(failure.to_string(), "sign-in through `corp` is not available yet");
    }
}
