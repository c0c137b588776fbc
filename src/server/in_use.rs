//! What only the store can tell of policies: names in use that are gone, and administrators who would be locked out.

use crate::accounts::{Accounts, Acting, Filter, Listed, Page, Unavailable};
use crate::base::diagnostic::Diagnostic;
use crate::base::time::Timestamp;
use crate::model::principal::{Identity, SignedIn};
use crate::policy::{NamesInUse, PolicySet, administrators, orphans, unused};

/// People read at a time.
const PAGE: usize = 500;

/// Everybody there is, page by page.
///
/// # Errors
/// [`Unavailable`] if the store does not answer.
pub async fn everybody(accounts: &Accounts, now: Timestamp) -> Result<Vec<Listed>, Unavailable> {
    let mut people = Vec::new();
    let mut page = Page::First;
    loop {
        let found = accounts
            .list_users(&Filter::default(), &page, PAGE, &Acting::command_line(), now)
            .await?;
        people.extend(found.lines);
        match found.after {
            Some(after) => page = Page::After(after),
            None => return Ok(people),
        }
    }
}

/// Everybody as the rules would see them, and the names their records point at.
#[derive(Debug, Default)]
pub struct People {
    identities: Vec<Identity>,
    names: NamesInUse,
}

impl People {
    /// Reads everybody.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn read(accounts: &Accounts, now: Timestamp) -> Result<Self, Unavailable> {
        let mut people = Self::default();
        for listed in everybody(accounts, now).await? {
            people
                .names
                .add(listed.user.username.as_str(), &listed.user.roles, &listed.memberships);
            people
                .identities
                .push(accounts.imagined(&listed.user, SignedIn::by_password(now)).await?);
        }
        Ok(people)
    }

    /// W250 and W251: who could still administer by these policies.
    #[must_use]
    pub fn administrators(&self, policies: &PolicySet, now: Timestamp) -> Vec<Diagnostic> {
        administrators(policies, &self.identities, None, now)
    }

    /// W270: names the store uses and these policies have not.
    #[must_use]
    pub fn orphans(&self, policies: &PolicySet) -> Vec<Diagnostic> {
        orphans(policies, &self.names)
    }

    /// W231: names these policies have and neither they nor the store use.
    #[must_use]
    pub fn unused(&self, policies: &PolicySet) -> Vec<Diagnostic> {
        unused(policies, &self.names)
    }
}
