//! Invitations, as commands make and end them: the same use cases as the console's.

use crate::accounts::acting::Acting;
use crate::accounts::{InvitationFilter, InvitationsFrom, InviteOutcome, Invited, NewInvitation};
use crate::base::time::Timestamp;
use crate::model::email::EmailAddress;
use crate::model::id::InvitationId;
use crate::model::invitation::Progress;
use crate::model::membership::Offer;
use crate::model::name::{ApplicationName, IpPatternName, PermissionName, ProviderName, RoleName, TeamName};
use crate::model::team::Level;
use crate::server::opening::Desk;

use super::answer::{Answer, InvitationLine};
use super::deeds::{No, named, no};
use super::{Gifts, NewInvitee};

/// Invitations on one page of a list.
const PAGE: usize = 500;

/// Which invitations to list, as they are asked for.
pub(super) struct Asked {
    pub(super) search: Option<String>,
    pub(super) team: Option<String>,
    pub(super) status: Option<String>,
    pub(super) after: Option<String>,
}

pub(super) async fn create(desk: &Desk, new: &NewInvitee, now: Timestamp) -> Result<Answer, No> {
    let by = Acting::command_line();
    let email: EmailAddress = named("the e-mail address", &new.email)?;
    let team = match &new.team {
        Some(name) => named::<TeamName>("the team", name)?,
        None => TeamName::main(),
    };
    let gifts = Gifts {
        roles: new.roles.clone(),
        apps: new.apps.clone(),
        permissions: new.permissions.clone(),
        projects: new.projects.clone(),
        ip_pattern: new.ip_pattern.clone(),
        idp: new.idp.clone(),
    };
    let offer = offer_of(desk, team, &gifts).await?;
    let live = desk.app.live();
    let new = NewInvitation { email, offer };
    told(desk, desk.app.accounts.invite(&new, &live.policies, &by, now).await?, now)
}

/// What is given in a team, as it was written on the command line.
pub(super) async fn offer_of(desk: &Desk, team: TeamName, gifts: &Gifts) -> Result<Offer, No> {
    let mut offer = Offer::nothing(team);
    for name in &gifts.roles {
        offer.roles.insert(named::<RoleName>("the role", name)?);
    }
    for name in &gifts.apps {
        offer
            .permissions
            .entry(named::<ApplicationName>("the application", name)?)
            .or_default();
    }
    for permission in &gifts.permissions {
        let Some((app, name)) = permission.split_once(':') else {
            return Err(no(
                "malformed",
                format!("the permission `{permission}` is not written as app:permission"),
            ));
        };
        let app = named::<ApplicationName>("the application", app)?;
        let name = named::<PermissionName>("the permission", name)?;
        offer.permissions.entry(app).or_default().insert(name);
    }
    let projects = if gifts.projects.is_empty() {
        Vec::new()
    } else {
        desk.app.accounts.projects(&offer.team, &Acting::command_line()).await?
    };
    for project in &gifts.projects {
        let (name, level) = project.rsplit_once('=').unwrap_or((project, Level::Member.word()));
        let level: Level = named("the level", level)?;
        let known = projects.iter().find(|one| one.name.as_str() == name || one.id.to_string() == name);
        let Some(known) = known else {
            return Err(no("no-such-project", format!("the team {} has no project `{name}`", offer.team)));
        };
        if level != Level::None {
            offer.projects.insert(known.id, level);
        }
    }
    let ip_pattern = gifts.ip_pattern.as_deref();
    offer.ip_pattern = ip_pattern.map(|name| named::<IpPatternName>("the IP pattern", name)).transpose()?;
    let idp = gifts.idp.as_deref();
    offer.provider = idp.map(|name| named::<ProviderName>("the identity provider", name)).transpose()?;
    Ok(offer)
}

pub(super) async fn change(desk: &Desk, which: &str, gifts: &Gifts, now: Timestamp) -> Result<Answer, No> {
    let id = found(desk, which, now).await?;
    let by = Acting::command_line();
    let live = desk.app.live();
    let before = desk.app.accounts.invitation(id, &live.policies, &by, now).await?;
    let before = before.ok_or_else(|| no_such(which))?;
    let seen = before.invitation.offer;
    let offer = offer_of(desk, seen.team.clone(), gifts).await?;
    told(
        desk,
        desk.app
            .accounts
            .change_invitation(id, (&seen, &offer), &live.policies, &by, now)
            .await?,
        now,
    )
}

pub(super) async fn list(desk: &Desk, asked: Asked, now: Timestamp) -> Result<Answer, No> {
    let filter = InvitationFilter {
        text: asked.search.unwrap_or_default(),
        team: asked.team.as_deref().map(|name| named::<TeamName>("the team", name)).transpose()?,
        progress: asked
            .status
            .as_deref()
            .map(|word| named::<Progress>("the status", word))
            .transpose()?,
    };
    let from = match asked.after {
        Some(after) => InvitationsFrom::After(named("the page", &after)?),
        None => InvitationsFrom::First,
    };
    let by = Acting::command_line();
    let live = desk.app.live();
    let page = desk
        .app
        .accounts
        .list_invitations(&filter, from, PAGE, (&live.policies, &by), now)
        .await?;
    Ok(Answer::Invitations {
        invitations: page.lines.iter().map(|one| line(desk, one)).collect(),
        next: page.after.map(|id| id.to_string()),
    })
}

pub(super) async fn resend(desk: &Desk, which: &str, now: Timestamp) -> Result<Answer, No> {
    let id = found(desk, which, now).await?;
    let live = desk.app.live();
    let by = Acting::command_line();
    told(desk, desk.app.accounts.invite_again(id, &live.policies, &by, now).await?, now)
}

pub(super) async fn extend(desk: &Desk, which: &str, now: Timestamp) -> Result<Answer, No> {
    let id = found(desk, which, now).await?;
    let by = Acting::command_line();
    told(
        desk,
        desk.app.accounts.extend_invitation(id, &desk.app.live().policies, &by, now).await?,
        now,
    )
}

pub(super) async fn withdraw(desk: &Desk, which: &str, now: Timestamp) -> Result<Answer, No> {
    let id = found(desk, which, now).await?;
    if !desk.app.accounts.withdraw_invitation(id, &Acting::command_line(), now).await? {
        return Err(no_such(which));
    }
    Ok(Answer::Done(format!("{which}: withdrawn; its link opens nothing any more")))
}

fn no_such(which: &str) -> No {
    no(
        "no-such-invitation",
        format!("there is no invitation `{which}`; give its id, or the address it is for"),
    )
}

/// The invitation that an id names, or an address with one only.
async fn found(desk: &Desk, which: &str, now: Timestamp) -> Result<InvitationId, No> {
    if let Ok(id) = which.parse::<InvitationId>() {
        return Ok(id);
    }
    let email: EmailAddress = which.parse().map_err(|_| no_such(which))?;
    let filter = InvitationFilter {
        text: email.canonical(),
        ..InvitationFilter::default()
    };
    let by = Acting::command_line();
    let live = desk.app.live();
    let page = desk
        .app
        .accounts
        .list_invitations(&filter, InvitationsFrom::First, PAGE, (&live.policies, &by), now)
        .await?;
    let mut of_address = page
        .lines
        .iter()
        .filter(|one| one.invitation.email.canonical() == email.canonical());
    match (of_address.next(), of_address.next()) {
        (Some(one), None) => Ok(one.invitation.id),
        (None, _) => Err(no_such(which)),
        (Some(_), Some(_)) => Err(no(
            "several-invitations",
            format!("{which} is invited to several teams; give the id that `invite list` prints"),
        )),
    }
}

fn told(desk: &Desk, outcome: InviteOutcome, now: Timestamp) -> Result<Answer, No> {
    match outcome {
        InviteOutcome::Invited(invited) => Ok(Answer::Invitation(line(desk, &invited))),
        InviteOutcome::EmailInTeam => Err(no("email-in-team", "somebody in the team has that address already")),
        InviteOutcome::EmailInvited(id) => Err(no(
            "email-invited",
            format!("that address is invited to the team already; `invite resend {id}` sends it again"),
        )),
        InviteOutcome::NotGiven(refused) => {
            let words: Vec<String> = refused.iter().map(ToString::to_string).collect();
            Err(no("not-given", words.join("; ")))
        }
        InviteOutcome::Full { seats } => Err(no("team-full", format!("all {seats} seats of the team are taken or promised"))),
        InviteOutcome::TooManyLetters { until } => {
            let minutes = until.since(now).as_secs().div_ceil(60).max(1);
            Err(no(
                "too-many-letters",
                format!("the address was sent five letters within an hour; the next may go in {minutes} minutes"),
            ))
        }
        InviteOutcome::NotFound => Err(no("no-such-invitation", "the invitation is gone")),
        InviteOutcome::Moved => Err(no("moved", "somebody else changed the invitation meanwhile; look at it again")),
        InviteOutcome::Ended => Err(no("ended", "the invitation has ended; `invite resend` makes a new link")),
    }
}

fn line(desk: &Desk, invited: &Invited) -> InvitationLine {
    let invitation = &invited.invitation;
    let origin = desk.app.live().settings.public_url.origin().to_owned();
    InvitationLine {
        id: invitation.id.to_string(),
        email: invitation.email.to_string(),
        team: invitation.offer.team.to_string(),
        status: invited.progress.word().to_owned(),
        sent: invitation.sent.to_string(),
        expires: invitation.expires.to_string(),
        by: invited.by.as_ref().map(|by| by.username.to_string()),
        link: invited
            .link
            .as_ref()
            .map(|secret| format!("{origin}/.portcullis/invite/{}", secret.expose())),
        token: invited.token.as_ref().map(|token| token.text.clone()),
    }
}
