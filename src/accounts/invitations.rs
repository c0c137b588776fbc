//! Invitations, as those see them who invite: made, listed, changed, sent again, extended, withdrawn.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::encoding::base64url;
use crate::base::secret::{Hashed, Secret};
use crate::base::time::Timestamp;
use crate::mail::letters::{InvitationLetter, Letter};
use crate::model::email::EmailAddress;
use crate::model::event::Action;
use crate::model::id::{InvitationId, UserId};
use crate::model::invitation::{Invitation, Progress};
use crate::model::membership::{Membership, Offer};
use crate::model::message::About;
use crate::model::name::{TeamName, fold_name};
use crate::model::team::{Project, Team};
use crate::model::token::Confirmation;
use crate::model::user::User;
use crate::policy::PolicySet;
use crate::policy::definitions;
use crate::policy::delegation::{Delegation, NotGiven};
use crate::store::{Commit, InvitationUnique, Kind, SecretKind, SecretRecord, StoreError, Unique, Versioned};

use super::acting::Acting;
use super::tokens::ShownToken;
use super::{Accounts, Unavailable, again, changes};

/// Somebody to be invited.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// Whose address.
    pub email: EmailAddress,
    /// What they will have.
    pub offer: Offer,
}

/// An invitation as those see it who may act on it.
#[derive(Clone, Debug)]
pub struct Invited {
    /// The invitation.
    pub invitation: Invitation,
    /// How far it has come.
    pub progress: Progress,
    /// The last part of its link, to be handed over; `None` where it was mailed, or has ended.
    pub link: Option<Secret<String>>,
    /// The token that confirms its address, to be handed over; `None` where it was mailed, or there is none.
    pub token: Option<ShownToken>,
    /// Who invited.
    pub by: Option<User>,
}

/// What came of inviting somebody, or of changing an invitation.
#[derive(Clone, Debug)]
pub enum InviteOutcome {
    /// Here it is.
    Invited(Box<Invited>),
    /// Somebody in the team has that address.
    EmailInTeam,
    /// That address has an invitation to the team which is still open.
    EmailInvited(InvitationId),
    /// Something that may not be given.
    NotGiven(Vec<NotGiven>),
    /// Every seat of the team is taken or promised.
    Full {
        /// How many there are.
        seats: u32,
    },
    /// The address was sent as many letters in this hour as anybody is.
    TooManyLetters {
        /// When it may be sent the next.
        until: Timestamp,
    },
    /// Somebody changed it since it was shown: nothing is overwritten.
    Moved,
    /// There is no such invitation, or none within reach.
    NotFound,
    /// It has ended: send it again.
    Ended,
}

/// Which invitations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvitationFilter {
    /// In the address, in any case; empty is every one.
    pub text: String,
    /// To this team.
    pub team: Option<TeamName>,
    /// That have come so far.
    pub progress: Option<Progress>,
}

/// A page of invitations, the newest first.
#[derive(Clone, Debug)]
pub struct InvitationPage {
    /// The lines.
    pub lines: Vec<Invited>,
    /// Place of the first line in the whole list, from 1; 0 if there is none.
    pub from: usize,
    /// How many the filter lets through.
    pub total: usize,
    /// The line before which the page before ends, if there is one.
    pub before: Option<InvitationId>,
    /// The line behind which the next page begins, if there is one.
    pub after: Option<InvitationId>,
}

/// Where a page of invitations is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvitationsFrom {
    /// At the beginning.
    #[default]
    First,
    /// Behind that one.
    After(InvitationId),
    /// Before that one.
    Before(InvitationId),
}

impl Accounts {
    /// Invites somebody into a team. An invitation of that address that has ended is replaced.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nobody was invited.
    pub async fn invite(
        &self,
        new: &NewInvitation,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<InviteOutcome, Unavailable> {
        // Looked at before the letter is counted: what is refused anyway costs the address nothing.
        if let Err(refused) = self.may_invite(new, policies, by, now).await? {
            return Ok(refused);
        }
        if let Some(until) = self.letters_gone(&new.email, now).await? {
            return Ok(InviteOutcome::TooManyLetters { until });
        }
        Ok(again(|| self.invite_once(new, policies, by, now)).await?)
    }

    /// Why an invitation could not be made now; `None` if it could. Nothing is made, and no letter is counted.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn foresee_invite(
        &self,
        new: &NewInvitation,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<Option<InviteOutcome>, Unavailable> {
        Ok(self.may_invite(new, policies, by, now).await?.err())
    }

    /// What may be given in the invitation's team, or why it cannot be made; with the ended one that it replaces.
    async fn may_invite<'p>(
        &self,
        new: &NewInvitation,
        policies: &'p PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<Result<(Delegation<'p>, Option<Versioned<Invitation>>), InviteOutcome>, StoreError> {
        let team = &new.offer.team;
        let delegation = match self.may_offer(&new.offer, None, policies, by).await? {
            Ok(delegation) => delegation,
            Err(refused) => return Ok(Err(InviteOutcome::NotGiven(refused))),
        };
        let domains = &delegation.team.email_domains;
        if !by.admin && !domains.is_empty() && !domains.iter().any(|domain| new.email.domain() == **domain) {
            return Ok(Err(InviteOutcome::NotGiven(vec![NotGiven::Domain(domains.clone())])));
        }
        if let Some(account) = self.user_by_email(new.email.clone()).await? {
            if by.is(account.record.id) {
                return Ok(Err(InviteOutcome::NotGiven(vec![NotGiven::Oneself])));
            }
            if self.membership_of(account.record.id, team).await?.is_some() {
                return Ok(Err(InviteOutcome::EmailInTeam));
            }
        }
        let ended = self.invitation_of_address(team, &new.email).await?;
        if let Some(open) = ended.as_ref().filter(|open| !open.record.is_over(now)) {
            return Ok(Err(InviteOutcome::EmailInvited(open.record.id)));
        }
        if let Some(seats) = self.seats_gone(delegation.team, now).await? {
            return Ok(Err(InviteOutcome::Full { seats }));
        }
        Ok(Ok((delegation, ended)))
    }

    /// Counts a letter to an address, where letters are sent; says from when on there may be another one, if not now.
    async fn letters_gone(&self, to: &EmailAddress, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        if !self.sends_mail() {
            return Ok(None);
        }
        Ok(self.may_write_to(to, now).await?.err())
    }

    async fn invite_once(
        &self,
        new: &NewInvitation,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<InviteOutcome, StoreError> {
        let (_, ended) = match self.may_invite(new, policies, by, now).await? {
            Ok(found) => found,
            Err(refused) => return Ok(refused),
        };
        let (secret, digest) = self.link_secret();
        let invitation = Invitation {
            id: Invitation::new_id(&self.random, now),
            email: new.email.clone(),
            user: UserId::generate(&self.random),
            offer: new.offer.clone(),
            by: by.user(),
            secret: digest,
            sent: now,
            expires: now.after(self.rules().registration_ttl),
            opened: None,
            profile: None,
            bounced: false,
            wrong: 0,
        };
        let event = by
            .event(Action::InvitationSent, invitation.id, now)
            .with("team", &invitation.offer.team);
        let event = changes::noted(event, &Offer::nothing(invitation.offer.team.clone()), &invitation.offer);
        let mut commit = Commit::because(event).create(&invitation);
        if let Some(ended) = ended {
            commit = self.without_invitation(commit, &ended, now).await?;
        }
        let commit = self.with_link(commit, &invitation, secret, policies).await?;
        match self.store.commit(commit).await {
            // Somebody else invited the same address in the same moment: read again.
            Err(StoreError::Taken(Unique::OpenInvitation)) => return Err(StoreError::Conflict(Kind::Invitations)),
            done => done?,
        }
        Ok(InviteOutcome::Invited(Box::new(self.invited(invitation, now).await?)))
    }

    /// Sends an invitation again: under a new link, good as long as a new one. The link before ends, and so does what was typed under it.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn invite_again(
        &self,
        id: InvitationId,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<InviteOutcome, Unavailable> {
        let Some(found) = self.invitation_within(id, by).await? else {
            return Ok(InviteOutcome::NotFound);
        };
        if let Err(refused) = self.may_offer(&found.record.offer, None, policies, by).await? {
            return Ok(InviteOutcome::NotGiven(refused));
        }
        if let Some(until) = self.letters_gone(&found.record.email, now).await? {
            return Ok(InviteOutcome::TooManyLetters { until });
        }
        let outcome = again(|| async {
            let Some(before) = self.invitation_within(id, by).await? else {
                return Ok(InviteOutcome::NotFound);
            };
            // Nobody sends on, under their own name, what they may not give.
            if let Err(refused) = self.may_offer(&before.record.offer, None, policies, by).await? {
                return Ok(InviteOutcome::NotGiven(refused));
            }
            // One that has ended holds no seat any more.
            let team = policies.team(&before.record.offer.team).filter(|_| before.record.is_over(now));
            if let Some(team) = team
                && let Some(seats) = self.seats_gone(team, now).await?
            {
                return Ok(InviteOutcome::Full { seats });
            }
            let (secret, digest) = self.link_secret();
            let lasts = self.rules().registration_ttl;
            let new = Invitation {
                by: by.user(),
                ..before.record.clone().sent_again(digest, lasts, now)
            };
            let event = by.event(Action::InvitationSentAgain, id, now).with("team", &new.offer.team);
            let commit = Commit::because(event).replace(&before, &new);
            let commit = self.without_confirmation(commit, new.user).await?;
            let commit = self.without_letters_of(commit, id, now).await?;
            let commit = self.with_link(commit, &new, secret, policies).await?;
            self.store.commit(commit).await?;
            Ok(InviteOutcome::Invited(Box::new(self.invited(new, now).await?)))
        })
        .await?;
        Ok(outcome)
    }

    /// Gives an open invitation more time: as long from now on as a new one has. Its link stays.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn extend_invitation(
        &self,
        id: InvitationId,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<InviteOutcome, Unavailable> {
        let event = by.event(Action::InvitationExtended, id, now);
        let lasts = self.rules().registration_ttl;
        let outcome = again(|| async {
            let Some(before) = self.invitation_within(id, by).await? else {
                return Ok(InviteOutcome::NotFound);
            };
            if before.record.is_over(now) {
                return Ok(InviteOutcome::Ended);
            }
            if let Err(refused) = self.may_offer(&before.record.offer, None, policies, by).await? {
                return Ok(InviteOutcome::NotGiven(refused));
            }
            let new = Invitation {
                expires: now.after(lasts),
                ..before.record.clone()
            };
            self.store.commit(Commit::because(event.clone()).replace(&before, &new)).await?;
            Ok(InviteOutcome::Invited(Box::new(self.invited(new, now).await?)))
        })
        .await?;
        Ok(outcome)
    }

    /// Changes what an invitation promises, within what this person may give. The team stays; so does the link. `seen` is what whoever changes
    /// it was shown: what was changed since by somebody else is not overwritten.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn change_invitation(
        &self,
        id: InvitationId,
        (seen, offer): (&Offer, &Offer),
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<InviteOutcome, Unavailable> {
        let outcome = again(|| async {
            let Some(before) = self.invitation_within(id, by).await? else {
                return Ok(InviteOutcome::NotFound);
            };
            let offer = Offer {
                team: before.record.offer.team.clone(),
                ..offer.clone()
            };
            if before.record.offer != *seen && before.record.offer != offer {
                return Ok(InviteOutcome::Moved);
            }
            if let Err(refused) = self.may_offer(&offer, Some(&before.record.offer), policies, by).await? {
                return Ok(InviteOutcome::NotGiven(refused));
            }
            let new = Invitation {
                offer,
                ..before.record.clone()
            };
            if new != before.record {
                let event = by.event(Action::InvitationChanged, id, now).with("team", &new.offer.team);
                let event = changes::noted(event, &before.record.offer, &new.offer);
                self.store.commit(Commit::because(event).replace(&before, &new)).await?;
            }
            Ok(InviteOutcome::Invited(Box::new(self.seen_by(new, policies, by, now).await?)))
        })
        .await?;
        Ok(outcome)
    }

    /// Withdraws an invitation: its link and its token end. False if there is none within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then nothing has changed.
    pub async fn withdraw_invitation(&self, id: InvitationId, by: &Acting, now: Timestamp) -> Result<bool, Unavailable> {
        let withdrawn = again(|| async {
            let Some(before) = self.invitation_within(id, by).await? else {
                return Ok(false);
            };
            let event = by
                .event(Action::InvitationWithdrawn, id, now)
                .with("team", &before.record.offer.team);
            let commit = self.without_invitation(Commit::because(event), &before, now).await?;
            self.store.commit(commit).await?;
            Ok(true)
        })
        .await?;
        Ok(withdrawn)
    }

    /// An invitation within reach.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn invitation(
        &self,
        id: InvitationId,
        policies: &PolicySet,
        by: &Acting,
        now: Timestamp,
    ) -> Result<Option<Invited>, Unavailable> {
        match self.invitation_within(id, by).await? {
            Some(invitation) => Ok(Some(self.seen_by(invitation.record, policies, by, now).await?)),
            None => Ok(None),
        }
    }

    /// An invitation as somebody sees it. Link and token make the account: who may not give what it promises is not handed them.
    async fn seen_by(&self, invitation: Invitation, policies: &PolicySet, by: &Acting, now: Timestamp) -> Result<Invited, StoreError> {
        let given = self.may_offer(&invitation.offer, None, policies, by).await?.is_ok();
        let mut invited = self.invited(invitation, now).await?;
        if !given {
            invited.link = None;
            invited.token = None;
        }
        Ok(invited)
    }

    /// A page of the invitations within reach, the newest first; `limit` lines at most.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn list_invitations(
        &self,
        filter: &InvitationFilter,
        from: InvitationsFrom,
        limit: usize,
        (policies, by): (&PolicySet, &Acting),
        now: Timestamp,
    ) -> Result<InvitationPage, Unavailable> {
        let limit = limit.clamp(1, 1000);
        let text = fold_name(&filter.text);
        self.call_roll(now).await?;
        let wanted = |invitation: &Invitation| {
            by.reaches(&invitation.offer.team)
                && filter.team.as_ref().is_none_or(|team| *team == invitation.offer.team)
                && (text.is_empty() || invitation.email.canonical().contains(&text))
        };
        let found = self.roll.invited(|invited| {
            let found = invited.values().filter(|invitation| wanted(invitation));
            found.cloned().collect::<Vec<Arc<Invitation>>>()
        });
        let mut kept: VecDeque<InvitationId> = VecDeque::new();
        let (mut total, mut ahead, mut behind) = (0, 0, 0);
        for invitation in found.unwrap_or_default() {
            if !self.has_come(&invitation, filter.progress, now).await? {
                continue;
            }
            total += 1;
            match from {
                InvitationsFrom::After(id) if invitation.id <= id => ahead += 1,
                InvitationsFrom::Before(id) if invitation.id >= id => behind += 1,
                _ if kept.len() < limit => kept.push_back(invitation.id),
                InvitationsFrom::Before(_) => {
                    kept.pop_front();
                    kept.push_back(invitation.id);
                    ahead += 1;
                }
                _ => behind += 1,
            }
        }
        let first = kept.front().copied();
        let last = kept.back().copied();
        let mut lines = Vec::with_capacity(kept.len());
        for id in kept {
            if let Some(invitation) = self.store.get::<Invitation>(&id).await? {
                lines.push(self.seen_by(invitation.record, policies, by, now).await?);
            }
        }
        Ok(InvitationPage {
            from: if lines.is_empty() { 0 } else { ahead + 1 },
            lines,
            total,
            before: first.filter(|_| ahead > 0),
            after: last.filter(|_| behind > 0),
        })
    }

    async fn has_come(&self, invitation: &Invitation, progress: Option<Progress>, now: Timestamp) -> Result<bool, StoreError> {
        let Some(wanted) = progress else { return Ok(true) };
        // Only what was begun has a token to look at.
        let token = match invitation.profile {
            Some(_) => self.token::<Confirmation>(invitation.user).await?,
            None => None,
        };
        Ok(invitation.progress(token.as_ref().map(|token| &token.record), now) == wanted)
    }

    /// What of an offer may not be made: by this person, in this team, or at all.
    pub(super) async fn may_offer<'p>(
        &self,
        offer: &Offer,
        before: Option<&Offer>,
        policies: &'p PolicySet,
        by: &Acting,
    ) -> Result<Result<Delegation<'p>, Vec<NotGiven>>, StoreError> {
        let delegation = Delegation::of(policies, &by.giver, &offer.team).filter(|_| by.reaches(&offer.team));
        let Some(delegation) = delegation else {
            return Ok(Err(vec![NotGiven::Team(offer.team.clone())]));
        };
        let mut refused = delegation.refuses(offer, before);
        for project in offer.projects.keys() {
            let had = before.is_some_and(|before| before.projects.contains_key(project));
            let known = self.store.get::<Project>(project).await?;
            if !had && known.is_none_or(|known| known.record.team != offer.team) {
                refused.push(NotGiven::Project);
                break;
            }
        }
        Ok(if refused.is_empty() { Ok(delegation) } else { Err(refused) })
    }

    /// How many seats a team has, if each is taken or promised in an open invitation.
    async fn seats_gone(&self, team: &definitions::Team, now: Timestamp) -> Result<Option<u32>, StoreError> {
        let Some(seats) = team.max_users else { return Ok(None) };
        let members = self.members_of(&team.name).await?.len();
        let promised = self.invitations_to(&team.name).await?;
        let promised = promised.iter().filter(|one| !one.record.is_over(now)).count();
        Ok((members + promised >= usize::try_from(seats).unwrap_or(usize::MAX)).then_some(seats))
    }

    /// States in a commit that one more seat of a team is taken; `None` if none is free. Two who take the last one meet Conflict.
    pub(super) async fn with_seat(&self, commit: Commit, team: Option<&definitions::Team>) -> Result<Option<Commit>, StoreError> {
        let Some((team, seats)) = team.and_then(|team| team.max_users.map(|seats| (team, seats))) else {
            return Ok(Some(commit));
        };
        // Read before the members are counted: who takes a seat meanwhile moves this row.
        let row = self.store.get::<Team>(&team.name).await?;
        let taken = u32::try_from(self.members_of(&team.name).await?.len()).unwrap_or(u32::MAX);
        if taken >= seats {
            return Ok(None);
        }
        let new = Team {
            name: team.name.clone(),
            seats_taken: taken + 1,
        };
        Ok(Some(match row {
            Some(row) => commit.replace(&row, &new),
            None => commit.create(&new),
        }))
    }

    /// Adds the end of an invitation to a commit, with its link, its token and what letters of it still wait.
    pub(super) async fn without_invitation(
        &self,
        commit: Commit,
        invitation: &Versioned<Invitation>,
        now: Timestamp,
    ) -> Result<Commit, StoreError> {
        let commit = commit.remove(invitation);
        let commit = self.without_confirmation(commit, invitation.record.user).await?;
        let commit = self.without_letters_of(commit, invitation.record.id, now).await?;
        self.without_link(commit, invitation.record.id).await
    }

    /// Adds the end of the token that confirms an address.
    pub(super) async fn without_confirmation(&self, commit: Commit, user: UserId) -> Result<Commit, StoreError> {
        match self.token::<Confirmation>(user).await? {
            Some(token) => self.without_token(commit, &token).await,
            None => Ok(commit),
        }
    }

    fn link_secret(&self) -> (Secret<String>, Hashed) {
        let secret = Secret::new(self.random.bytes::<32>());
        (Secret::new(base64url(secret.expose())), Hashed::sha256(secret.expose()))
    }

    /// Adds the way a link goes to its person: a letter where mail is set up, else its sealed secret, for whoever hands it over.
    async fn with_link(
        &self,
        commit: Commit,
        invitation: &Invitation,
        secret: Secret<String>,
        policies: &PolicySet,
    ) -> Result<Commit, StoreError> {
        let before = self.sealed_link(invitation.id).await?;
        if self.sends_mail() {
            let commit = match before {
                Some(before) => commit.remove(&before),
                None => commit,
            };
            let letter = self.letter_of(invitation, secret, policies).await?;
            let about = About::invitation(&invitation.id, invitation.offer.team.clone());
            return self.with_letter(commit, &invitation.email, &letter, about, invitation.sent);
        }
        let owner = invitation.id.to_string();
        let text = secret.expose().as_bytes();
        // The cipher refuses only texts of 64 GiB; were it to refuse this one, nobody is invited by a link that nobody could hand over.
        let sealed = SecretRecord::seal(SecretKind::InvitationLink, &owner, text, &self.keyring, &self.random)
            .map_err(|_| StoreError::Unreadable(Kind::Secrets))?;
        Ok(match before {
            Some(before) => commit.replace(&before, &sealed),
            None => commit.create(&sealed),
        })
    }

    async fn letter_of(&self, invitation: &Invitation, secret: Secret<String>, policies: &PolicySet) -> Result<Letter, StoreError> {
        let by = match invitation.by {
            Some(by) => self.store.get::<User>(&by).await?.map(|by| by.record.display_name()),
            None => None,
        };
        let team = policies.team(&invitation.offer.team);
        let applications = invitation.offer.permissions.keys().filter_map(|name| policies.application(name));
        Ok(Letter::Invitation(InvitationLetter {
            inviter: by.unwrap_or_default(),
            team: team.map_or_else(|| invitation.offer.team.to_string(), |team| team.title.clone()),
            applications: applications.map(|application| application.title.clone()).collect(),
            secret,
            until: invitation.expires,
            lasts: self.rules().registration_ttl,
            joins: self.user_by_email(invitation.email.clone()).await?.is_some(),
        }))
    }

    async fn without_link(&self, commit: Commit, id: InvitationId) -> Result<Commit, StoreError> {
        Ok(match self.sealed_link(id).await? {
            Some(sealed) => commit.remove(&sealed),
            None => commit,
        })
    }

    async fn invited(&self, invitation: Invitation, now: Timestamp) -> Result<Invited, StoreError> {
        let token = match invitation.profile {
            Some(_) => self.token::<Confirmation>(invitation.user).await?,
            None => None,
        };
        let progress = invitation.progress(token.as_ref().map(|token| &token.record), now);
        let link = match progress {
            Progress::Ended => None,
            _ => self.open_link(invitation.id).await?,
        };
        let by = match invitation.by {
            Some(by) => self.store.get::<User>(&by).await?.map(Versioned::into_record),
            None => None,
        };
        let token = match (progress, &token) {
            (Progress::TokenSent | Progress::Locked, Some(token)) => self.shown(&token.record).await?,
            _ => None,
        };
        Ok(Invited {
            invitation,
            progress,
            link,
            token,
            by,
        })
    }

    async fn open_link(&self, id: InvitationId) -> Result<Option<Secret<String>>, StoreError> {
        let Some(sealed) = self.sealed_link(id).await? else {
            return Ok(None);
        };
        let opened = sealed.record.open(&self.keyring).ok();
        Ok(opened
            .and_then(|text| String::from_utf8(text.expose().clone()).ok())
            .map(Secret::new))
    }

    async fn invitation_within(&self, id: InvitationId, by: &Acting) -> Result<Option<Versioned<Invitation>>, StoreError> {
        let found = self.store.get::<Invitation>(&id).await?;
        Ok(found.filter(|one| by.reaches(&one.record.offer.team)))
    }

    async fn invitation_of_address(&self, team: &TeamName, email: &EmailAddress) -> Result<Option<Versioned<Invitation>>, StoreError> {
        let open = InvitationUnique::Open(team.clone(), email.clone());
        self.store.find::<Invitation>(&open).await
    }

    pub(super) async fn membership_of(&self, user: UserId, team: &TeamName) -> Result<Option<Versioned<Membership>>, StoreError> {
        self.store.get::<Membership>(&(team.clone(), user)).await
    }
}
