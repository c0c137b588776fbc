//! What a team has, for those who administer it: its members, its projects.

use crate::model::id::UserId;
use crate::model::membership::Membership;
use crate::model::name::TeamName;
use crate::model::team::Project;
use crate::model::user::User;
use crate::store::{MembershipIndex, Page, Versioned};

use super::acting::Acting;
use super::{Accounts, Unavailable};

/// A member of a team, for a list to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: UserId,
    /// The name to show, with the address where there is one.
    pub name: String,
}

impl Accounts {
    /// The members of a team within reach, by name; `None` if there are more than `most`.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn members(&self, team: &TeamName, most: usize, by: &Acting) -> Result<Option<Vec<Member>>, Unavailable> {
        if !by.reaches(team) {
            return Ok(Some(Vec::new()));
        }
        let page = Page::<Membership>::of(&MembershipIndex::OfTeam(team.clone()), most + 1);
        let memberships = self.store.list(page).await?;
        if memberships.len() > most {
            return Ok(None);
        }
        let mut members = Vec::with_capacity(memberships.len());
        for membership in memberships {
            if let Some(user) = self.store.get::<User>(&membership.record.user).await? {
                let user = user.record;
                let name = user.display_name();
                let email = user.email.as_ref().map(|email| format!(" ({email})")).unwrap_or_default();
                members.push(Member {
                    id: user.id,
                    name: format!("{name}{email}"),
                });
            }
        }
        members.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(members))
    }

    /// What somebody has in a team, if both are within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn member(&self, user: UserId, team: &TeamName, by: &Acting) -> Result<Option<Membership>, Unavailable> {
        if !by.reaches(team) {
            return Ok(None);
        }
        Ok(self.membership_of(user, team).await?.map(Versioned::into_record))
    }

    /// The projects of a team within reach, by name.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn projects(&self, team: &TeamName, by: &Acting) -> Result<Vec<Project>, Unavailable> {
        if !by.reaches(team) {
            return Ok(Vec::new());
        }
        let mut projects: Vec<Project> = self.projects_of(team).await?.into_iter().map(Versioned::into_record).collect();
        projects.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()).then(one.id.cmp(&other.id)));
        Ok(projects)
    }
}
