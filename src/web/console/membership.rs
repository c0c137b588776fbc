//! What somebody has in a team: changed by the same form that an invitation has, or ended.

use http::StatusCode;

use crate::accounts::{Listed, MembershipOutcome};
use crate::base::encoding::hex;
use crate::base::secret::sha256;
use crate::model::id::UserId;
use crate::model::membership::Offer;
use crate::model::name::TeamName;

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop, fail};
use super::super::view::{BASE, Link};
use super::super::words;
use super::invite::{Desk, new_page, note_refused, read_offer, seen};
use super::invite_view::{InviteFormPage, OfferView};
use super::user::{asked_user, listed, open_words};
use super::users::HERE;
use super::view::{ConfirmPage, Deed};

/// Taking somebody out of a team.
const TAKE_OUT: Deed = Deed {
    path: "end",
    verb: "Take out",
    words: "Ends what this team gives them, at once. Their account and what other teams give stay.",
};

/// GET `/admin/users/{user}/teams/{team}`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let (desk, member) = found(cx).await?;
    let had = member.offer.clone();
    let view = desk.view(cx, &had);
    Ok(cx.page(&page(cx, view, &member).await?))
}

/// POST `/admin/users/{user}/teams/{team}`.
pub async fn submit(cx: &mut Cx<'_>) -> Outcome {
    let (desk, member) = found(cx).await?;
    let mut offer = desk.keeping(read_offer(cx, member.offer.team.clone()), &member.offer);
    let wish = cx.form.value("do").to_owned();
    if wish != "send" {
        let view = desk.wished(cx, &wish, &mut offer).await?;
        let drawn = page(cx, view, &member).await?;
        return Ok(if cx.form.failed() {
            cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &drawn)
        } else {
            cx.page(&drawn)
        });
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if !cx.form.failed() && cx.form.value("seen") != digest(&member.offer) {
        // Shown is what stands there now, with what was typed in the boxes: saving again is a decision.
        fail(&mut cx.form, "", words::CHANGED_MEANWHILE);
        status = StatusCode::CONFLICT;
    }
    if !cx.form.failed() {
        let outcome = cx
            .app
            .accounts
            .change_membership(member.user, (&member.offer, &offer), &cx.live.policies, &desk.by, cx.facts.now)
            .await?;
        match told(cx, outcome)? {
            None => return Ok(answer::see_other(&format!("{BASE}{HERE}/{}?done=membership", member.user))),
            Some(refused) => status = refused,
        }
    }
    let view = desk.compared(cx, &member.offer, &offer, status);
    let drawn = page(cx, view, &member).await?;
    Ok(cx.not_taken(status, &drawn))
}

/// GET `/admin/users/{user}/teams/{team}/end`: asks before somebody is taken out.
pub async fn ask_end(cx: &mut Cx<'_>) -> Outcome {
    let (_, member) = found(cx).await?;
    let drawn = end_page(cx, &member).await?;
    Ok(cx.page(&drawn))
}

/// POST `/admin/users/{user}/teams/{team}/end`.
pub async fn end(cx: &mut Cx<'_>) -> Outcome {
    let (desk, member) = found(cx).await?;
    let outcome = cx
        .app
        .accounts
        .end_membership(member.user, &member.offer.team, &cx.live.policies, &desk.by, cx.facts.now)
        .await?;
    match told(cx, outcome)? {
        // Who is in no team of theirs any more is out of their reach.
        None => Ok(answer::see_other(&format!("{BASE}{HERE}?done=membership"))),
        Some(status) => {
            let drawn = end_page(cx, &member).await?;
            Ok(cx.not_taken(status, &drawn))
        }
    }
}

/// Somebody in a team.
struct InTeam {
    user: UserId,
    name: String,
    offer: Offer,
}

async fn found<'p>(cx: &Cx<'p>) -> Result<(Desk<'p>, InTeam), Stop> {
    let by = cx.acting()?;
    let team: TeamName = cx.param("team").parse().map_err(|_| Stop::NotFound)?;
    let user = asked_user(cx)?;
    let Listed { user: account, .. } = listed(cx, user).await?;
    let membership = cx.app.accounts.member(user, &team, &by).await?.ok_or(Stop::NotFound)?;
    let desk = Desk::of(cx, by, &team).await?;
    let member = InTeam {
        user,
        name: account.display_name(),
        offer: membership.offer(),
    };
    Ok((desk, member))
}

/// What went wrong is noted in the form, with the status to answer; none if it is done.
fn told(cx: &mut Cx<'_>, outcome: MembershipOutcome) -> Result<Option<StatusCode>, Stop> {
    Ok(match outcome {
        MembershipOutcome::Changed | MembershipOutcome::Unchanged => None,
        MembershipOutcome::NotFound => return Err(Stop::NotFound),
        MembershipOutcome::Own => {
            fail(&mut cx.form, "", words::OWN_MEMBERSHIP);
            Some(StatusCode::CONFLICT)
        }
        MembershipOutcome::Moved => {
            fail(&mut cx.form, "", words::CHANGED_MEANWHILE);
            Some(StatusCode::CONFLICT)
        }
        MembershipOutcome::NotGiven(refused) => {
            note_refused(cx, &refused);
            Some(StatusCode::FORBIDDEN)
        }
    })
}

async fn page(cx: &Cx<'_>, view: OfferView, member: &InTeam) -> Result<InviteFormPage, Stop> {
    let team = cx.live.policies.team(&member.offer.team);
    let title = team.map_or_else(|| member.offer.team.to_string(), |team| team.title.clone());
    let here = address(member);
    let by = cx.acting()?;
    let groups = cx.app.accounts.groups(&member.offer.team, &by).await?;
    Ok(InviteFormPage {
        groups: groups
            .into_iter()
            .filter(|group| group.members.contains(&member.user))
            .map(|group| Link {
                path: format!("{BASE}{}/{}", super::groups::HERE, group.id),
                name: group.name.to_string(),
            })
            .collect(),
        here: HERE,
        heading: format!("{} in {title}", member.name),
        above: Link {
            path: format!("{BASE}{HERE}/{}", member.user),
            name: member.name.clone(),
        },
        fresh: false,
        seen: seen(cx, &member.offer),
        open_now: open_words(cx, member.user).await?,
        end: Some(format!("{here}/end")),
        action: here,
        ..new_page(cx, view)
    })
}

async fn end_page(cx: &Cx<'_>, member: &InTeam) -> Result<ConfirmPage, Stop> {
    Ok(ConfirmPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        href: address(member),
        name: member.name.clone(),
        open: open_words(cx, member.user).await?,
        deed: TAKE_OUT,
    })
}

fn address(member: &InTeam) -> String {
    format!("{BASE}{HERE}/{}/teams/{}", member.user, member.offer.team)
}

/// What somebody has, in short: the form carries it, so that a change by somebody else in between is noticed.
/// Tells whether what was shown is what stands there now.
pub(super) fn digest(offer: &Offer) -> String {
    let text = serde_json::to_vec(offer).unwrap_or_default();
    let mut digest = hex(&sha256(&text));
    digest.truncate(16);
    digest
}
