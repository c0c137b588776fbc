//! How many a team has, and who leads it.

use std::collections::BTreeSet;

use crate::base::time::Timestamp;
use crate::model::id::UserId;
use crate::model::name::{RoleName, TeamName};
use crate::model::user::User;

use super::acting::Acting;
use super::{Accounts, Unavailable};

/// Names of leaders that are told.
const TOLD: usize = 3;

/// A team in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamFigures {
    /// Its members.
    pub members: usize,
    /// Its open invitations.
    pub invited: usize,
    /// Names of some who lead it.
    pub leaders: Vec<String>,
    /// How many more do.
    pub more_leaders: usize,
}

impl Accounts {
    /// A team within reach in figures; `leading` are the roles whose holders lead it.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn team_figures(
        &self,
        team: &TeamName,
        leading: &BTreeSet<RoleName>,
        by: &Acting,
        now: Timestamp,
    ) -> Result<TeamFigures, Unavailable> {
        if !by.reaches(team) {
            return Ok(TeamFigures::default());
        }
        self.call_roll(now).await?;
        let mut figures = TeamFigures::default();
        let leaders = self.roll.people(|people| {
            let mut leaders = Vec::new();
            for ((_, id), person) in &people.lines {
                if let Some(held) = person.teams.iter().find(|held| held.team == *team) {
                    figures.members += 1;
                    if held.roles.iter().any(|role| leading.contains(role)) {
                        leaders.push(UserId::from_number(*id));
                    }
                }
            }
            leaders
        });
        let leaders = leaders.unwrap_or_default();
        figures.more_leaders = leaders.len().saturating_sub(TOLD);
        for id in leaders.iter().take(TOLD) {
            if let Some(user) = self.store.get::<User>(id).await? {
                figures.leaders.push(user.record.display_name());
            }
        }
        let invited = self.roll.invited(|invited| {
            let to_team = invited.values().filter(|one| one.offer.team == *team && !one.is_over(now));
            to_team.count()
        });
        figures.invited = invited.unwrap_or_default();
        Ok(figures)
    }
}
