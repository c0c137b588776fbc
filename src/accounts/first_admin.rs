//! The first administrator, made by whoever holds the address that the server printed.

use std::sync::{MutexGuard, PoisonError};

use crate::base::encoding::{array_from_base64url, base64url};
use crate::base::secret::{Hashed, Secret};
use crate::model::event::Actor;
use crate::policy::delegation::Giver;

use super::acting::{Acting, Reach};
use super::admission::Visit;
use super::sign_in::SignInOutcome;
use super::users::{AddOutcome, Added, NewUser};
use super::{Accounts, Unavailable};

/// What came of making the first administrator.
#[derive(Debug)]
pub enum FirstAdminOutcome {
    /// It is made, and signed in, or not if rules shut them out: then the account exists all the same.
    Made(Box<Added>, Box<SignInOutcome>),
    /// The account could not be made.
    Not(AddOutcome),
    /// There is an administrator already, or the address is not the one that was printed.
    Closed,
}

impl Accounts {
    /// Whether nobody has ever been made: then the server prints the first-admin address.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn needs_first_admin(&self) -> Result<bool, Unavailable> {
        Ok(!self.has_had_users().await?)
    }

    /// A new secret for the first-admin address, 43 symbols, if there is nobody yet. One before it is good no longer.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn first_admin_secret(&self) -> Result<Option<Secret<String>>, Unavailable> {
        if !self.needs_first_admin().await? {
            return Ok(None);
        }
        let secret = Secret::new(self.random.bytes::<32>());
        *self.printed_secret() = Some(Hashed::sha256(secret.expose()));
        Ok(Some(Secret::new(base64url(secret.expose()))))
    }

    /// Whether this is the secret that was printed, and there is still nobody.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn is_first_admin_secret(&self, text: &str) -> Result<bool, Unavailable> {
        let presented = array_from_base64url::<32>(text).map(|secret| Hashed::sha256(&secret));
        let fits = presented.is_some() && *self.printed_secret() == presented;
        Ok(fits && self.needs_first_admin().await?)
    }

    /// Makes the first administrator and signs them in. `new` has a password.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn make_first_admin(&self, secret: &str, new: NewUser, visit: &Visit<'_>) -> Result<FirstAdminOutcome, Unavailable> {
        if new.password.is_none() || !self.is_first_admin_secret(secret).await? {
            return Ok(FirstAdminOutcome::Closed);
        }
        let by = Acting {
            actor: Actor::Anonymous,
            address: visit.address(),
            reach: Reach::All,
            admin: true,
            giver: Giver::admin(),
        };
        let added = match self.add_first(new, &by, visit.now()).await? {
            Some(AddOutcome::Added(added)) => added,
            Some(outcome) => return Ok(FirstAdminOutcome::Not(outcome)),
            None => return Ok(FirstAdminOutcome::Closed),
        };
        *self.printed_secret() = None;
        let signed_in = self.sign_in_added(&added.user, visit).await?;
        Ok(FirstAdminOutcome::Made(added, Box::new(signed_in)))
    }

    fn printed_secret(&self) -> MutexGuard<'_, Option<Hashed>> {
        self.first_admin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
