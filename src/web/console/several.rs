//! Acts on several lines of a list at once. A page first says what will happen to how many; nothing is done before that is agreed to.

use askama::Template;
use http::StatusCode;

use crate::accounts::{Acting, EditOutcome, InviteOutcome};
use crate::model::id::{InvitationId, UserId};
use crate::model::invitation::Progress;
use crate::model::role::Power;
use crate::model::user::UserStatus;

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::view::{BASE, Frame, Link, Me};
use super::user::listed;
use super::{invitations, users};

/// The field before the identifier of a line that is ticked.
const PICK: &str = "pick-";
/// Lines at a time.
const MOST: usize = 200;

/// A line that was ticked.
#[derive(Clone, Debug)]
pub struct Picked {
    /// Its field.
    pub field: String,
    /// Whom or what it names.
    pub name: String,
    /// What will happen to it, or why nothing will.
    pub words: String,
    /// Whether anything will.
    pub touched: bool,
}

/// The page that asks.
#[derive(Template)]
#[template(path = "console/several.html")]
pub struct SeveralPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// The list.
    pub list: Link,
    /// What is asked, such as `Disable 3 people?`.
    pub question: String,
    /// What comes of it.
    pub words: &'static str,
    /// Which act, as the form sends it.
    pub act: &'static str,
    /// What the button says.
    pub verb: &'static str,
    /// The lines.
    pub picked: Vec<Picked>,
    /// Whether anything will happen to any of them.
    pub touched: bool,
}

/// An act on several people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserAct {
    EndSessions,
    Disable,
    Enable,
}

/// An act on several invitations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvitationAct {
    SendAgain,
    Extend,
    Delete,
}

/// What the pages say of an act.
struct Words {
    act: &'static str,
    verb: &'static str,
    /// Of whom: `the sessions of` or nothing.
    of: &'static str,
    words: &'static str,
}

const fn of_users(act: UserAct) -> Words {
    match act {
        UserAct::EndSessions => Words {
            act: "sessions",
            verb: "End",
            of: "the sessions of ",
            words: "They are signed out everywhere at once, and what they have open is cut. They can sign in again.",
        },
        UserAct::Disable => Words {
            act: "disable",
            verb: "Disable",
            of: "",
            words: "Their sessions and tokens end at once, and they cannot sign in until they are enabled. Nothing else is lost.",
        },
        UserAct::Enable => Words {
            act: "enable",
            verb: "Enable",
            of: "",
            words: "They can sign in again with what they had.",
        },
    }
}

const fn of_invitations(act: InvitationAct) -> Words {
    match act {
        InvitationAct::SendAgain => Words {
            act: "resend",
            verb: "Send again",
            of: "",
            words: "Each gets a new link. The links before end, and what was typed under them is forgotten.",
        },
        InvitationAct::Extend => Words {
            act: "extend",
            verb: "Extend",
            of: "",
            words: "Their links stay as they are and last as long as new ones from now on.",
        },
        InvitationAct::Delete => Words {
            act: "delete",
            verb: "Delete",
            of: "",
            words: "Their links and tokens end at once. This cannot be undone.",
        },
    }
}

/// POST `/admin/users/several`.
pub async fn on_users(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting()?;
    let act = match cx.form.value("do") {
        "sessions" => UserAct::EndSessions,
        "disable" => UserAct::Disable,
        "enable" => UserAct::Enable,
        _ => return Err(Stop::NotFound),
    };
    let words = of_users(act);
    let picked: Vec<UserId> = picked(cx);
    if picked.is_empty() {
        cx.form.fail("", "none_ticked", "Tick at least one user first");
        return users::refused(cx, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    if cx.form.has("sure") {
        let mut done = 0;
        for user in &picked {
            if act_on_user(cx, act, *user, &by).await? {
                done += 1;
            }
        }
        return Ok(back(users::HERE, words.act, done, picked.len()));
    }
    let mut lines = Vec::new();
    for user in picked {
        lines.push(foresee_user(cx, act, user).await?);
    }
    let list = link(users::HERE, "Users");
    Ok(cx.page(&asking(cx, users::HERE, list, &words, lines, "person", "people")))
}

/// POST `/admin/invitations/several`.
pub async fn on_invitations(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Invitations)?;
    let act = match cx.form.value("do") {
        "resend" => InvitationAct::SendAgain,
        "extend" => InvitationAct::Extend,
        "delete" => InvitationAct::Delete,
        _ => return Err(Stop::NotFound),
    };
    let words = of_invitations(act);
    let picked: Vec<InvitationId> = picked(cx);
    if picked.is_empty() {
        cx.form.fail("", "none_ticked", "Tick at least one invitation first");
        return invitations::refused(cx, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    if cx.form.has("sure") {
        let mut done = 0;
        for invitation in &picked {
            if act_on_invitation(cx, act, *invitation, &by).await? {
                done += 1;
            }
        }
        return Ok(back(invitations::HERE, words.act, done, picked.len()));
    }
    let mut lines = Vec::new();
    for invitation in picked {
        lines.push(foresee_invitation(cx, act, invitation, &by).await?);
    }
    let list = link(invitations::HERE, "Invitations");
    Ok(cx.page(&asking(cx, invitations::HERE, list, &words, lines, "invitation", "invitations")))
}

/// What the list says after several were acted on; none if nothing was.
#[must_use]
pub(super) fn done_words(query: &Form) -> Option<String> {
    let deed = match query.value("several") {
        "sessions" => "signed out",
        "disable" => "disabled",
        "enable" => "enabled",
        "resend" => "sent again",
        "extend" => "extended",
        "delete" => "deleted",
        "import" => "made",
        _ => return None,
    };
    let number = |name: &str| query.value(name).parse::<u32>().unwrap_or(0);
    let (done, left) = (number("of"), number("left"));
    let is = |count: u32| if count == 1 { "is" } else { "are" };
    Some(match left {
        0 => format!("{done} {} {deed}.", is(done)),
        _ => format!("{done} {} {deed}, {left} left as before.", is(done)),
    })
}

fn picked<I: std::str::FromStr>(cx: &Cx<'_>) -> Vec<I> {
    let ticked = cx.form.beginning(PICK).filter_map(|(id, _)| id.parse().ok());
    ticked.take(MOST).collect()
}

async fn act_on_user(cx: &Cx<'_>, act: UserAct, user: UserId, by: &Acting) -> Result<bool, Stop> {
    let (accounts, now) = (&cx.app.accounts, cx.facts.now);
    let outcome = match act {
        // One's own end elsewhere: the session that asks for it goes on.
        UserAct::EndSessions if by_oneself(cx, user) => return Ok(false),
        UserAct::EndSessions => return Ok(accounts.end_all_of(user, by, now).await?.is_some_and(|ended| ended > 0)),
        UserAct::Disable => accounts.disable(user, by, now).await?,
        UserAct::Enable => accounts.enable(user, by, now).await?,
    };
    Ok(outcome == EditOutcome::Changed)
}

async fn act_on_invitation(cx: &Cx<'_>, act: InvitationAct, id: InvitationId, by: &Acting) -> Result<bool, Stop> {
    let (accounts, policies, now) = (&cx.app.accounts, &cx.live.policies, cx.facts.now);
    let outcome = match act {
        InvitationAct::SendAgain => accounts.invite_again(id, policies, by, now).await?,
        InvitationAct::Extend => accounts.extend_invitation(id, policies, by, now).await?,
        InvitationAct::Delete => return Ok(accounts.withdraw_invitation(id, by, now).await?),
    };
    Ok(matches!(outcome, InviteOutcome::Invited(_)))
}

async fn foresee_user(cx: &Cx<'_>, act: UserAct, user: UserId) -> Result<Picked, Stop> {
    let line = match listed(cx, user).await {
        Ok(line) => line,
        Err(Stop::NotFound) => return Ok(gone(user.to_string())),
        Err(stop) => return Err(stop),
    };
    let status = line.user.status;
    let (touched, words) = if by_oneself(cx, user) {
        (false, "You yourself: left as it is".to_owned())
    } else if !line.changeable {
        (false, "Beyond what you may change: left as it is".to_owned())
    } else {
        match act {
            UserAct::Disable if status == UserStatus::Disabled => (false, "Disabled already".to_owned()),
            UserAct::Enable if status != UserStatus::Disabled => (false, "Not disabled".to_owned()),
            UserAct::Enable => (true, "Can sign in again".to_owned()),
            UserAct::Disable | UserAct::EndSessions => {
                let count = cx.app.accounts.sessions_of(user, cx.facts.now).await?.len();
                let words = match count {
                    0 => "No session".to_owned(),
                    1 => "1 session ends".to_owned(),
                    many => format!("{many} sessions end"),
                };
                (act == UserAct::Disable || count > 0, words)
            }
        }
    };
    let email = line.user.email.as_ref().map(|email| format!(" ({email})")).unwrap_or_default();
    Ok(Picked {
        field: format!("{PICK}{user}"),
        name: format!("{}{email}", line.user.display_name()),
        words,
        touched,
    })
}

async fn foresee_invitation(cx: &Cx<'_>, act: InvitationAct, id: InvitationId, by: &Acting) -> Result<Picked, Stop> {
    let found = cx.app.accounts.invitation(id, &cx.live.policies, by, cx.facts.now).await?;
    let Some(found) = found else {
        return Ok(gone(id.to_string()));
    };
    let ended = found.progress == Progress::Ended;
    let (touched, words) = match act {
        InvitationAct::SendAgain if found.progress == Progress::TokenSent => (true, "Somebody is filling it in: they start again"),
        InvitationAct::SendAgain => (true, "Gets a new link"),
        InvitationAct::Extend if ended => (false, "Has ended: send it again instead"),
        InvitationAct::Extend => (true, "Lasts longer"),
        InvitationAct::Delete => (true, "Ends"),
    };
    Ok(Picked {
        field: format!("{PICK}{id}"),
        name: found.invitation.email.to_string(),
        words: words.to_owned(),
        touched,
    })
}

fn by_oneself(cx: &Cx<'_>, user: UserId) -> bool {
    cx.caller.as_ref().is_some_and(|caller| caller.identity().user == user)
}

fn gone(id: String) -> Picked {
    Picked {
        field: format!("{PICK}{id}"),
        name: id,
        words: "Not there any more".to_owned(),
        touched: false,
    }
}

fn link(path: &str, name: &str) -> Link {
    Link {
        path: format!("{BASE}{path}"),
        name: name.to_owned(),
    }
}

fn asking(cx: &Cx<'_>, here: &'static str, list: Link, words: &Words, picked: Vec<Picked>, one: &str, many: &str) -> SeveralPage {
    let count = picked.iter().filter(|line| line.touched).count();
    let what = if count == 1 { one } else { many };
    SeveralPage {
        frame: cx.frame(),
        me: cx.me(),
        here,
        list,
        question: format!("{} {}{count} {what}?", words.verb, words.of),
        words: words.words,
        act: words.act,
        verb: words.verb,
        touched: count > 0,
        picked,
    }
}

fn back(here: &str, act: &str, done: usize, asked: usize) -> answer::Answer {
    answer::see_other(&format!("{BASE}{here}?several={act}&of={done}&left={}", asked - done))
}
