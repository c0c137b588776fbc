//! What a team has, for those who administer it: its members and what they have, its projects.

use std::collections::BTreeSet;

use crate::base::time::Timestamp;
use crate::model::event::Action;
use crate::model::id::{ProjectId, UserId};
use crate::model::membership::{Membership, Offer};
use crate::model::name::{PersonName, RoleName, TeamName};
use crate::model::team::Project;
use crate::model::user::User;
use crate::policy::PolicySet;
use crate::policy::delegation::{Delegation, NotGiven};
use crate::store::{Commit, MembershipIndex, Page, StoreError, Unique, Versioned};

use super::acting::{Acting, Reach};
use super::notices::Gained;
use super::{Accounts, Unavailable, again, changes};

/// What came of changing what somebody has in a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipOutcome {
    /// It is changed; what they have open is judged again.
    Changed,
    /// It was so already.
    Unchanged,
    /// There is no such member within reach.
    NotFound,
    /// Nobody changes what they have themselves.
    Own,
    /// Something that may not be given or taken.
    NotGiven(Vec<NotGiven>),
    /// It was changed by somebody else since the form was opened.
    Moved,
}

/// What came of making or changing a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectOutcome {
    /// Here it is.
    Done(Project),
    /// The team has a project of that name.
    Taken,
    /// It has no name.
    Nameless,
    /// There is no such project, or no such team, within reach.
    NotFound,
}

/// A member of a team, for a list to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: UserId,
    /// The name to show, with the address where there is one.
    pub name: String,
}

impl Member {
    pub(super) fn of(user: &User) -> Self {
        let email = user.email.as_ref().map(|email| format!(" ({email})")).unwrap_or_default();
        Self {
            id: user.id,
            name: format!("{}{email}", user.display_name()),
        }
    }
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
                members.push(Member::of(&user.record));
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

    /// What of somebody's membership this person may give to others: applications with permissions, and levels in projects. `None` if
    /// there is no such member within reach, or the team lets nobody copy.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn copyable(&self, user: UserId, team: &TeamName, policies: &PolicySet, by: &Acting) -> Result<Option<Offer>, Unavailable> {
        let Some(delegation) = Delegation::of(policies, &by.giver, team).filter(|may| may.team.copy_from) else {
            return Ok(None);
        };
        let Some(member) = self.member(user, team, by).await? else {
            return Ok(None);
        };
        let known: BTreeSet<ProjectId> = self.projects(team, by).await?.iter().map(|project| project.id).collect();
        let mut offer = delegation.within(member.offer());
        offer.projects.retain(|project, _| known.contains(project));
        Ok(Some(offer))
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

    /// Changes what somebody has in a team. `seen` is what whoever changes it was shown: what was changed since by somebody else is not
    /// overwritten. Sessions go on, and what is no longer allowed in them ends.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn change_membership(
        &self,
        user: UserId,
        (seen, offer): (&Offer, &Offer),
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<MembershipOutcome, Unavailable> {
        let outcome = again(|| async {
            let (member, membership) = match self.changeable_member(user, &offer.team, by).await? {
                Ok(found) => found,
                Err(refused) => return Ok(refused),
            };
            let before = membership.record.offer();
            if before == *offer {
                return Ok(MembershipOutcome::Unchanged);
            }
            if before != *seen {
                return Ok(MembershipOutcome::Moved);
            }
            if let Err(refused) = self.may_offer(offer, Some(&before), policies, by).await? {
                return Ok(MembershipOutcome::NotGiven(refused));
            }
            let event = by.event(Action::MembershipChanged, user, now).with("team", &offer.team);
            let event = changes::noted(event, &before, offer);
            let told = gained_in_team(offer, &before, policies);
            let gains = !offer.roles.is_subset(&before.roles);
            let mut commit = Commit::because(event).replace(&membership, &offer.clone().to(user));
            if !gains {
                commit = commit.unchanged(&member);
            } else {
                // A role that was gained brings a new cookie value with the next answer.
                let mut new = member.record.clone();
                new.gains += 1;
                commit = commit.replace(&member, &new);
            }
            let commit = self.with_role_notice(commit, &member.record, told, by, now).await?;
            self.store.commit(commit).await?;
            Ok(MembershipOutcome::Changed)
        })
        .await?;
        Ok(outcome)
    }

    /// Takes somebody out of a team. Their account and what they have elsewhere stay.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn end_membership(
        &self,
        user: UserId,
        team: &TeamName,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<MembershipOutcome, Unavailable> {
        let outcome = again(|| async {
            let (_, membership) = match self.changeable_member(user, team, by).await? {
                Ok(found) => found,
                Err(refused) => return Ok(refused),
            };
            // Whose roles may not be taken may not be taken out either.
            let before = membership.record.offer();
            let nothing = Offer {
                provider: before.provider.clone(),
                ip_pattern: before.ip_pattern.clone(),
                ..Offer::nothing(team.clone())
            };
            // A team that policy has lost has nobody else to clear it up.
            let lost = policies.team(team).is_none() && by.reach == Reach::All;
            if !lost && let Err(refused) = self.may_offer(&nothing, Some(&before), policies, by).await? {
                return Ok(MembershipOutcome::NotGiven(refused));
            }
            let event = by
                .event(Action::MembershipChanged, user, now)
                .with("team", team)
                .with("ended", "yes");
            let event = changes::noted(event, &before, &Offer::nothing(team.clone()));
            let commit = Commit::because(event).remove(&membership);
            let commit = self.without_places(commit, user, team).await?;
            self.store.commit(commit).await?;
            Ok(MembershipOutcome::Changed)
        })
        .await?;
        Ok(outcome)
    }

    /// Somebody's account and membership, if this person may change what they have in that team. An admin's is an admin's to change.
    pub(super) async fn changeable_member(
        &self,
        user: UserId,
        team: &TeamName,
        by: &Acting,
    ) -> Result<Result<(Versioned<User>, Versioned<Membership>), MembershipOutcome>, StoreError> {
        if !by.reaches(team) {
            return Ok(Err(MembershipOutcome::NotFound));
        }
        let (Some(member), Some(membership)) = (self.store.get::<User>(&user).await?, self.membership_of(user, team).await?) else {
            return Ok(Err(MembershipOutcome::NotFound));
        };
        if by.is(user) {
            return Ok(Err(MembershipOutcome::Own));
        }
        let of_the_instance = member.record.roles.iter().any(|role| *role != RoleName::user());
        let beyond = matches!(by.reach, Reach::Teams(_)) && of_the_instance;
        if beyond || (!by.admin && member.record.roles.contains(&RoleName::admin())) {
            return Ok(Err(MembershipOutcome::NotFound));
        }
        Ok(Ok((member, membership)))
    }

    /// Makes a project in a team.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing was made.
    pub async fn add_project(
        &self,
        team: &TeamName,
        name: &PersonName,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<ProjectOutcome, Unavailable> {
        if !by.reaches(team) || policies.team(team).is_none() {
            return Ok(ProjectOutcome::NotFound);
        }
        if name.as_str().is_empty() {
            return Ok(ProjectOutcome::Nameless);
        }
        let project = Project {
            id: ProjectId::generate(&self.random),
            team: team.clone(),
            name: name.clone(),
        };
        let event = by
            .event(Action::ProjectChanged, project.id, now)
            .with("team", team)
            .with("made", name);
        let made = self.store.commit(Commit::because(event).create(&project)).await;
        Ok(project_done(project, made)?)
    }

    /// Gives a project another name. Upstreams are told the new one from the next request on.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn rename_project(
        &self,
        id: ProjectId,
        name: &PersonName,
        by: &Acting,
        now: Timestamp,
    ) -> Result<ProjectOutcome, Unavailable> {
        if name.as_str().is_empty() {
            return Ok(ProjectOutcome::Nameless);
        }
        let outcome = again(|| async {
            let Some(before) = self.project_within(id, by).await? else {
                return Ok(ProjectOutcome::NotFound);
            };
            let new = Project {
                name: name.clone(),
                ..before.record.clone()
            };
            let event = by
                .event(Action::ProjectChanged, id, now)
                .with("team", &new.team)
                .with("before", &before.record.name)
                .with("after", name);
            let done = self.store.commit(Commit::because(event).replace(&before, &new)).await;
            project_done(new, done)
        })
        .await?;
        Ok(outcome)
    }

    /// Removes a project. The levels that members and groups have in it give nothing any more.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn remove_project(&self, id: ProjectId, by: &Acting, now: Timestamp) -> Result<ProjectOutcome, Unavailable> {
        let outcome = again(|| async {
            let Some(before) = self.project_within(id, by).await? else {
                return Ok(ProjectOutcome::NotFound);
            };
            let event = by
                .event(Action::ProjectChanged, id, now)
                .with("team", &before.record.team)
                .with("removed", &before.record.name);
            self.store.commit(Commit::because(event).remove(&before)).await?;
            Ok(ProjectOutcome::Done(before.into_record()))
        })
        .await?;
        Ok(outcome)
    }

    /// A project within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn project(&self, id: ProjectId, by: &Acting) -> Result<Option<Project>, Unavailable> {
        Ok(self.project_within(id, by).await?.map(Versioned::into_record))
    }

    async fn project_within(&self, id: ProjectId, by: &Acting) -> Result<Option<Versioned<Project>>, StoreError> {
        let found = self.store.get::<Project>(&id).await?;
        Ok(found.filter(|project| by.reaches(&project.record.team)))
    }
}

fn project_done(project: Project, done: Result<(), StoreError>) -> Result<ProjectOutcome, StoreError> {
    match done {
        Ok(()) => Ok(ProjectOutcome::Done(project)),
        Err(StoreError::Taken(Unique::ProjectName)) => Ok(ProjectOutcome::Taken),
        Err(error) => Err(error),
    }
}

/// The roles that an offer adds, by the titles that their person reads.
fn gained_in_team(offer: &Offer, before: &Offer, policies: &PolicySet) -> Gained {
    let title = |role: &RoleName| policies.role(role).map_or_else(|| role.to_string(), |role| role.title.clone());
    let team = policies
        .team(&offer.team)
        .map_or_else(|| offer.team.to_string(), |team| team.title.clone());
    Gained {
        roles: offer.roles.difference(&before.roles).map(title).collect(),
        team: Some((offer.team.clone(), team)),
    }
}
