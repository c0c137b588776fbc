//! What the store knows of a person, gathered once and remembered until something changes.

use std::sync::atomic::Ordering;

use crate::model::id::{SessionId, UserId};
use crate::model::membership::Membership;
use crate::model::principal::{Identity, SignedIn};
use crate::model::session::Session;
use crate::model::team::{Level, Project, ProjectLevel};
use crate::model::user::User;
use crate::store::{Change, StoreError};

use super::memory::Memory;
use super::{Accounts, Unavailable};

/// Forgets what a commit has changed. Called on the writer's thread before whoever committed is answered.
pub(super) fn forget(memory: &Memory, changes: &[Change]) {
    for change in changes {
        match change {
            Change::User(user) => memory.forget_user(*user),
            Change::Session(session) => memory.forget_session(*session),
            Change::Team(_) => memory.forget_all(),
            Change::Token(_) | Change::Invitation(_) | Change::Outbox => {}
        }
    }
}

impl Accounts {
    /// Who somebody is who came by this session.
    pub(super) async fn identity(&self, user: &User, session: &Session) -> Result<Identity, StoreError> {
        self.identity_signed_in(user, session.id, session.signed_in.clone()).await
    }

    /// Who a person would be to the rules if they had signed in like this: for explaining, without a session.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn imagined(&self, user: &User, signed_in: SignedIn) -> Result<Identity, Unavailable> {
        Ok(self.identity_signed_in(user, SessionId::from_number(0), signed_in).await?)
    }

    /// Levels in projects by name: own ones and those of groups, whichever is higher. Levels that point at no project of the team give nothing.
    async fn project_levels(&self, user: UserId, memberships: &[Membership]) -> Result<Vec<ProjectLevel>, StoreError> {
        let mut all = Vec::new();
        for membership in memberships {
            let mut levels = membership.projects.clone();
            for group in self.groups_of(&membership.team).await? {
                if group.record.members.contains(&user) {
                    for (project, level) in group.record.projects {
                        let known = levels.entry(project).or_insert(level);
                        *known = (*known).max(level);
                    }
                }
            }
            levels.retain(|_, level| *level != Level::None);
            for (id, level) in levels {
                if let Some(project) = self.store.get::<Project>(&id).await?
                    && project.record.team == membership.team
                {
                    all.push(ProjectLevel {
                        team: membership.team.clone(),
                        project: project.record.name.to_string(),
                        level,
                    });
                }
            }
        }
        Ok(all)
    }

    async fn identity_signed_in(&self, user: &User, session: SessionId, signed_in: SignedIn) -> Result<Identity, StoreError> {
        let memberships: Vec<Membership> = self.memberships_of(user.id).await?.into_iter().map(|one| one.record).collect();
        self.identity_with(user, memberships, session, signed_in).await
    }

    /// Who somebody is with these memberships, whatever the store has.
    pub(super) async fn identity_with(
        &self,
        user: &User,
        memberships: Vec<Membership>,
        session: SessionId,
        signed_in: SignedIn,
    ) -> Result<Identity, StoreError> {
        Ok(Identity {
            user: user.id,
            username: user.username.clone(),
            email: user.email.clone(),
            given_name: user.given_name.clone(),
            family_name: user.family_name.clone(),
            status: user.status,
            roles: user.roles.clone(),
            projects: self.project_levels(user.id, &memberships).await?,
            memberships,
            session,
            signed_in,
            revision: self.revisions.fetch_add(1, Ordering::Relaxed),
        })
    }
}
