//! The list of invitations, and what is done to one: sent again, given more time, deleted.

use http::StatusCode;

use crate::accounts::{InvitationFilter, InvitationsFrom, InviteOutcome, Invited};
use crate::model::id::InvitationId;
use crate::model::invitation::Progress;
use crate::model::role::Power;

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop, retry_after};
use super::super::form::Form;
use super::super::pages::invitation::lasting;
use super::super::relative::{Moment, iso};
use super::super::view::{BASE, Tag};
use super::super::words;
use super::invite_view::{InvitationRow, InvitationsPage};
use super::several::done_words;
use super::users;
use super::view::{Choice, Choices, FilterView, PagesView};

/// Where the list is, below `/.portcullis`.
pub const HERE: &str = "/admin/invitations";
const LINES: usize = 50;

/// GET `/admin/invitations`.
pub async fn show_list(cx: &mut Cx<'_>) -> Outcome {
    let page = list_page(cx).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/invitations/{invitation}/do`: what the buttons beside a line say.
pub async fn act(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Invitations)?;
    let id = invitation_of(cx)?;
    let now = cx.facts.now;
    let done = match cx.form.value("do") {
        "resend" => cx.app.accounts.invite_again(id, &cx.live.policies, &by, now).await?,
        "extend" => cx.app.accounts.extend_invitation(id, &cx.live.policies, &by, now).await?,
        "delete" => {
            if !cx.app.accounts.withdraw_invitation(id, &by, now).await? {
                return Err(Stop::NotFound);
            }
            return Ok(answer::see_other(&format!("{BASE}{HERE}?done=deleted")));
        }
        _ => return Err(Stop::NotFound),
    };
    let word = if cx.form.value("do") == "resend" { "sent" } else { "extended" };
    match done {
        InviteOutcome::Invited(_) => Ok(answer::see_other(&format!("{BASE}{HERE}?done={word}&which={id}"))),
        InviteOutcome::NotGiven(refused) => {
            for one in refused {
                cx.form.fail("", "not_given", one.to_string());
            }
            let page = list_page(cx).await?;
            Ok(cx.not_taken(StatusCode::FORBIDDEN, &page))
        }
        InviteOutcome::TooManyLetters { until } => {
            cx.form.fail("", "too_many_letters", words::too_many_letters(until, now));
            let page = list_page(cx).await?;
            Ok(retry_after(cx.not_taken(StatusCode::TOO_MANY_REQUESTS, &page), until, now))
        }
        InviteOutcome::Ended => {
            cx.form.fail("", "invite_ended", "This invitation has ended. Send it again.");
            let page = list_page(cx).await?;
            Ok(cx.not_taken(StatusCode::CONFLICT, &page))
        }
        _ => Err(Stop::NotFound),
    }
}

/// Invitations read at a time for a download.
const AT_ONCE: usize = 500;

/// GET `/admin/invitations/export`: what a search finds, as comma-separated values, the newest first.
pub async fn export(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Invitations)?;
    let filter = read_filter(&cx.query);
    let mut text = "id,email,team,status,sent,ends\r\n".to_owned();
    let mut from = InvitationsFrom::First;
    for _ in 0..users::DOWNLOADED / AT_ONCE {
        let found = cx
            .app
            .accounts
            .list_invitations(&filter, from, AT_ONCE, (&cx.live.policies, &by), cx.facts.now)
            .await?;
        for line in &found.lines {
            let invitation = &line.invitation;
            text.push_str(&users::csv_line(&[
                invitation.id.to_string(),
                invitation.email.to_string(),
                invitation.offer.team.to_string(),
                line.progress.word().to_owned(),
                iso(invitation.sent),
                iso(invitation.expires),
            ]));
        }
        match found.after {
            Some(after) => from = InvitationsFrom::After(after),
            None => break,
        }
    }
    Ok(answer::download("text/csv; charset=utf-8", "invitations.csv", text))
}

fn read_filter(query: &Form) -> InvitationFilter {
    InvitationFilter {
        text: query.trimmed("q").to_owned(),
        team: query.value("team").parse().ok(),
        progress: query.value("status").parse().ok(),
    }
}

/// The list again, with what was wrong with what was asked of it.
///
/// # Errors
/// As the list.
pub(super) async fn refused(cx: &Cx<'_>, status: StatusCode) -> Outcome {
    let page = list_page(cx).await?;
    Ok(cx.not_taken(status, &page))
}

/// The invitation that the address names.
///
/// # Errors
/// 404 for a name that is none.
pub fn invitation_of(cx: &Cx<'_>) -> Result<InvitationId, Stop> {
    cx.param("invitation").parse().map_err(|_| Stop::NotFound)
}

async fn list_page(cx: &Cx<'_>) -> Result<InvitationsPage, Stop> {
    let by = cx.acting_by(Power::Invitations)?;
    let now = cx.facts.now;
    let filter = read_filter(&cx.query);
    let from = match (cx.query.value("after").parse(), cx.query.value("before").parse()) {
        (Ok(after), _) => InvitationsFrom::After(after),
        (_, Ok(before)) => InvitationsFrom::Before(before),
        _ => InvitationsFrom::First,
    };
    let found = cx
        .app
        .accounts
        .list_invitations(&filter, from, LINES, (&cx.live.policies, &by), now)
        .await?;
    let rows: Vec<InvitationRow> = found.lines.iter().map(|line| row(cx, line)).collect();
    let done = match cx.query.value("done") {
        "" => done_words(&cx.query),
        "deleted" => Some("The invitation is deleted. Its link opens nothing any more.".to_owned()),
        word => match cx.query.value("which").parse::<InvitationId>() {
            Ok(id) => cx
                .app
                .accounts
                .invitation(id, &cx.live.policies, &by, now)
                .await?
                .map(|one| said(cx, word, &one)),
            Err(_) => None,
        },
    };
    Ok(InvitationsPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        lasts: lasting(cx.app.accounts.rules().registration_ttl),
        filter: filter_view(cx, &filter),
        download: users::search_of(&cx.query, &["q", "team", "status"]),
        searched: filter != InvitationFilter::default(),
        pages: PagesView {
            words: format!(
                "{}–{} of {} invitations",
                found.from,
                found.from + rows.len().saturating_sub(1),
                found.total
            ),
            previous: found.before.map(|id| page_address(&cx.query, "before", id)),
            next: found.after.map(|id| page_address(&cx.query, "after", id)),
        },
        rows,
        done,
    })
}

fn said(cx: &Cx<'_>, word: &str, one: &Invited) -> String {
    let email = &one.invitation.email;
    match word {
        "extended" => format!("The invitation of {email} has more time."),
        "changed" => format!("The invitation of {email} is changed."),
        _ if cx.live.settings.mail.is_some() => format!("Invitation sent to {email}."),
        _ => format!("{email} is invited. Pass the link on by a channel you trust."),
    }
}

fn row(cx: &Cx<'_>, line: &Invited) -> InvitationRow {
    let now = cx.facts.now;
    let invitation = &line.invitation;
    let team = cx.live.policies.team(&invitation.offer.team);
    InvitationRow {
        id: invitation.id.to_string(),
        email: invitation.email.to_string(),
        team: team.map_or_else(|| invitation.offer.team.to_string(), |team| team.title.clone()),
        sent: Moment::of(invitation.sent, now),
        ends: Moment::of(invitation.expires, now),
        status: tag(line.progress),
        by: line.by.as_ref().map(crate::model::user::User::display_name).unwrap_or_default(),
        link: line
            .link
            .as_ref()
            .map(|secret| format!("{}{BASE}/invite/{}", cx.portal().origin(), secret.expose())),
        token: line.token.as_ref().map(|token| token.text.clone()),
        ended: line.progress == Progress::Ended,
    }
}

const fn tag(progress: Progress) -> Tag {
    let (kind, words) = match progress {
        Progress::Sent => ("acc", "Sent"),
        Progress::Opened => ("ok", "Opened"),
        Progress::TokenSent => ("ok", "Token sent"),
        Progress::Locked => ("warn", "Token locked"),
        Progress::Bounced => ("bad", "Email bounced"),
        Progress::Ended => ("", "Ended"),
    };
    Tag { kind, words }
}

fn filter_view(cx: &Cx<'_>, filter: &InvitationFilter) -> FilterView {
    let choice = |value: &str, words: &str, chosen: bool| Choice {
        value: value.to_owned(),
        words: words.to_owned(),
        chosen,
    };
    let mut teams = vec![choice("", "All teams", filter.team.is_none())];
    teams.extend(
        cx.live
            .policies
            .definitions()
            .teams
            .iter()
            .filter(|team| {
                cx.standing
                    .as_ref()
                    .is_some_and(|standing| standing.may_in(Power::Invitations, &team.name))
            })
            .map(|team| choice(team.name.as_str(), &team.title, filter.team.as_ref() == Some(&team.name))),
    );
    let mut statuses = vec![choice("", "Any status", filter.progress.is_none())];
    statuses.extend(
        Progress::ALL
            .iter()
            .map(|progress| choice(progress.word(), tag(*progress).words, filter.progress == Some(*progress))),
    );
    FilterView {
        q: filter.text.clone(),
        choices: vec![
            Choices {
                name: "team",
                label: "Team",
                options: teams,
            },
            Choices {
                name: "status",
                label: "Status",
                options: statuses,
            },
        ],
    }
}

/// The address of another page of the same search.
fn page_address(query: &Form, direction: &str, id: InvitationId) -> String {
    let mut address = url::form_urlencoded::Serializer::new(String::new());
    for name in ["q", "team", "status"] {
        if query.has(name) {
            address.append_pair(name, query.value(name));
        }
    }
    address.append_pair(direction, &id.to_string());
    format!("{BASE}{HERE}?{}", address.finish())
}
