//! Groups of a team's members: made, renamed, filled, given levels in projects, removed.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Timestamp;
use crate::model::event::Action;
use crate::model::id::{GroupId, ProjectId, UserId};
use crate::model::name::{PersonName, TeamName, fold_name};
use crate::model::team::{Group, Level, Project};
use crate::model::user::User;
use crate::store::{Commit, StoreError, Versioned};

use super::acting::Acting;
use super::teams::{Member, MembershipOutcome};
use super::{Accounts, Unavailable, again};

/// People in one group at most: the group is one row, and one form.
pub const MOST_MEMBERS: usize = 500;
/// Groups of one team at most: each is read when one of its members is known anew.
const MOST_GROUPS: usize = 200;

/// What came of making or changing a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupOutcome {
    /// Here it is.
    Done(Box<Group>),
    /// The team has a group of that name.
    Taken,
    /// It has no name.
    Nameless,
    /// Somebody who is to be put in or taken out is no member of the team within reach.
    NoMember,
    /// Nobody changes what they have themselves.
    Own,
    /// A level in a project that the team does not have.
    NoProject,
    /// [`MOST_MEMBERS`], or as many groups as a team may have, are there already.
    Full,
    /// It was changed by somebody else since the form was opened.
    Moved,
    /// There is no such group, or no such team, within reach.
    NotFound,
}

/// What a group is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// What people call it.
    pub name: PersonName,
    /// Who is in it.
    pub members: BTreeSet<UserId>,
    /// Levels its members have through it.
    pub projects: BTreeMap<ProjectId, Level>,
}

impl Accounts {
    /// The groups of a team within reach, by name.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn groups(&self, team: &TeamName, by: &Acting) -> Result<Vec<Group>, Unavailable> {
        if !by.reaches(team) {
            return Ok(Vec::new());
        }
        let mut groups: Vec<Group> = self.groups_of(team).await?.into_iter().map(Versioned::into_record).collect();
        groups.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()).then(one.id.cmp(&other.id)));
        Ok(groups)
    }

    /// A group within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn group(&self, id: GroupId, by: &Acting) -> Result<Option<Group>, Unavailable> {
        Ok(self.group_within(id, by).await?.map(Versioned::into_record))
    }

    /// Those in a group who are members of its team, by name; who left the team is in it no more, whatever the row says.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn members_of_group(&self, group: &Group) -> Result<Vec<Member>, Unavailable> {
        let mut members = Vec::with_capacity(group.members.len());
        for id in &group.members {
            if self.membership_of(*id, &group.team).await?.is_none() {
                continue;
            }
            if let Some(user) = self.store.get::<User>(id).await? {
                members.push(Member::of(&user.record));
            }
        }
        members.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(members)
    }

    /// Makes a group in a team, with nobody in it.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing was made.
    pub async fn add_group(&self, team: &TeamName, name: &PersonName, by: &Acting, now: Timestamp) -> Result<GroupOutcome, Unavailable> {
        if !by.reaches(team) {
            return Ok(GroupOutcome::NotFound);
        }
        let group = Group {
            id: GroupId::generate(&self.random),
            team: team.clone(),
            name: name.clone(),
            members: BTreeSet::new(),
            projects: BTreeMap::new(),
        };
        let outcome = again(|| async {
            let others = self.groups_of(team).await?;
            if let Some(refused) = name_refused(&group, &others) {
                return Ok(refused);
            }
            if others.len() >= MOST_GROUPS {
                return Ok(GroupOutcome::Full);
            }
            let event = by.event(Action::GroupChanged, group.id, now).with("team", team).with("made", name);
            self.store.commit(Commit::because(event).create(&group)).await?;
            Ok(GroupOutcome::Done(Box::new(group.clone())))
        })
        .await?;
        Ok(outcome)
    }

    /// Changes a group. `seen` is what whoever changes it was shown: what was changed since by somebody else is not overwritten. Levels
    /// count, and stop to count, from the next request on.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn change_group(&self, seen: &Group, change: &GroupChange, by: &Acting, now: Timestamp) -> Result<GroupOutcome, Unavailable> {
        let outcome = again(|| async {
            let Some(before) = self.group_within(seen.id, by).await? else {
                return Ok(GroupOutcome::NotFound);
            };
            if before.record != *seen {
                return Ok(GroupOutcome::Moved);
            }
            let mut new = Group {
                name: change.name.clone(),
                members: change.members.clone(),
                projects: change.projects.clone(),
                ..before.record.clone()
            };
            new.projects.retain(|_, level| *level != Level::None);
            if let Some(refused) = self.group_refused(&before.record, &new, by).await? {
                return Ok(refused);
            }
            if new == before.record {
                return Ok(GroupOutcome::Done(Box::new(new)));
            }
            let event = by.event(Action::GroupChanged, new.id, now).with("team", &new.team);
            let event = match &before.record.name {
                name if *name == new.name => event.with("name", name),
                name => event.with("before", name).with("after", &new.name),
            };
            let put_in = ids(new.members.difference(&before.record.members));
            let taken_out = ids(before.record.members.difference(&new.members));
            let event = [
                ("put-in", put_in),
                ("taken-out", taken_out),
                ("levels", levels(&before.record, &new)),
            ]
            .into_iter()
            .filter(|(_, what)| !what.is_empty())
            .fold(event, |event, (name, what)| event.with(name, what));
            self.store.commit(Commit::because(event).replace(&before, &new)).await?;
            Ok(GroupOutcome::Done(Box::new(new)))
        })
        .await?;
        Ok(outcome)
    }

    /// Removes a group. What its members had through it they have no more.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn remove_group(&self, id: GroupId, by: &Acting, now: Timestamp) -> Result<GroupOutcome, Unavailable> {
        let outcome = again(|| async {
            let Some(before) = self.group_within(id, by).await? else {
                return Ok(GroupOutcome::NotFound);
            };
            let event = by
                .event(Action::GroupChanged, id, now)
                .with("team", &before.record.team)
                .with("removed", &before.record.name);
            self.store.commit(Commit::because(event).remove(&before)).await?;
            Ok(GroupOutcome::Done(Box::new(before.into_record())))
        })
        .await?;
        Ok(outcome)
    }

    /// Why a group may not become this; none if it may.
    async fn group_refused(&self, before: &Group, new: &Group, by: &Acting) -> Result<Option<GroupOutcome>, StoreError> {
        let others = self.groups_of(&new.team).await?;
        if let Some(refused) = name_refused(new, &others) {
            return Ok(Some(refused));
        }
        if new.members.len() > MOST_MEMBERS && new.members.len() > before.members.len() {
            return Ok(Some(GroupOutcome::Full));
        }
        // Other levels are other rights of everybody who is in it.
        let moved: BTreeSet<UserId> = if new.projects == before.projects {
            new.members.symmetric_difference(&before.members).copied().collect()
        } else {
            new.members.union(&before.members).copied().collect()
        };
        for id in moved {
            let gone = before.members.contains(&id) && self.membership_of(id, &new.team).await?.is_none();
            if gone {
                continue;
            }
            match self.changeable_member(id, &new.team, by).await? {
                Ok(_) => {}
                Err(MembershipOutcome::Own) => return Ok(Some(GroupOutcome::Own)),
                Err(_) => return Ok(Some(GroupOutcome::NoMember)),
            }
        }
        let one_is_in = by.user().is_some_and(|me| new.members.contains(&me));
        if one_is_in && new.projects != before.projects {
            return Ok(Some(GroupOutcome::Own));
        }
        for project in new.projects.keys().filter(|project| !before.projects.contains_key(project)) {
            let known = self.store.get::<Project>(project).await?;
            if known.is_none_or(|known| known.record.team != new.team) {
                return Ok(Some(GroupOutcome::NoProject));
            }
        }
        Ok(None)
    }

    /// Adds that somebody is in no group of a team any more: who comes back begins without what groups gave them.
    pub(super) async fn without_places(&self, mut commit: Commit, user: UserId, team: &TeamName) -> Result<Commit, StoreError> {
        for group in self.groups_of(team).await? {
            if group.record.members.contains(&user) {
                let mut new = group.record.clone();
                new.members.remove(&user);
                commit = commit.replace(&group, &new);
            }
        }
        Ok(commit)
    }

    async fn group_within(&self, id: GroupId, by: &Acting) -> Result<Option<Versioned<Group>>, StoreError> {
        let found = self.store.get::<Group>(&id).await?;
        Ok(found.filter(|group| by.reaches(&group.record.team)))
    }
}

/// Two of one name could not be told apart in a list. Nothing breaks where two are made in the same moment, so no row stands for it.
fn name_refused(group: &Group, others: &[Versioned<Group>]) -> Option<GroupOutcome> {
    let name = fold_name(group.name.as_str());
    if name.is_empty() {
        return Some(GroupOutcome::Nameless);
    }
    let taken = others
        .iter()
        .any(|other| other.record.id != group.id && fold_name(other.record.name.as_str()) == name);
    taken.then_some(GroupOutcome::Taken)
}

/// Identifiers for the audit trail: some, and how many more.
fn ids<'a>(all: impl Iterator<Item = &'a UserId>) -> String {
    const TOLD: usize = 20;
    let all: Vec<String> = all.map(ToString::to_string).collect();
    let (told, more) = all.split_at_checked(TOLD).unwrap_or((all.as_slice(), &[] as &[String]));
    match more.len() {
        0 => told.join(" "),
        more => format!("{} and {more} more", told.join(" ")),
    }
}

fn levels(before: &Group, new: &Group) -> String {
    let projects: BTreeSet<&ProjectId> = before.projects.keys().chain(new.projects.keys()).collect();
    let level = |group: &Group, project: &ProjectId| group.projects.get(project).copied().unwrap_or(Level::None);
    let changed = projects.into_iter().filter(|project| level(before, project) != level(new, project));
    let told: Vec<String> = changed.map(|project| format!("{project}={}", level(new, project))).collect();
    told.join(" ")
}
