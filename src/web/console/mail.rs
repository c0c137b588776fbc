//! The mail outbox: what was sent, what waits, what failed and why; to be sent again or given up.

use askama::Template;
use http::StatusCode;

use crate::accounts::{Acting, LetterPage, Reach, SendOutcome};
use crate::base::time::Timestamp;
use crate::model::id::MessageId;
use crate::model::message::{Failure, Message, MessageStanding, MessageState};

use super::super::answer::{self, Answer};
use super::super::cx::{Cx, Outcome, Stop, minutes_until, retry_after};
use super::super::form::Form;
use super::super::relative::Moment;
use super::super::view::{BASE, Frame, Me, Tag};
use super::view::PagesView;

/// Where the page is, below `/.portcullis`.
pub const HERE: &str = "/admin/mail";
const LINES: usize = 50;

/// A letter in the list.
#[derive(Clone, Debug)]
pub struct LetterRow {
    /// Its identifier.
    pub id: String,
    /// To whom.
    pub to: String,
    /// What it is.
    pub title: String,
    /// Where it stands.
    pub status: Tag,
    /// What the mail server said, with a full stop; empty if it said nothing.
    pub said: String,
    /// When it is tried again.
    pub next: Option<Moment>,
    /// How often it was tried, in words.
    pub tries: String,
    /// Why it is not tried again, in words; empty if it is.
    pub why: &'static str,
    /// When it was written.
    pub made: Moment,
    /// Whether it can be tried now.
    pub again: bool,
    /// Whether it can be given up.
    pub waits: bool,
}

/// A choice of what is listed.
#[derive(Clone, Debug)]
pub struct LetterFilter {
    /// Where it leads.
    pub href: String,
    /// What it says.
    pub words: &'static str,
    /// Whether it is chosen now.
    pub chosen: bool,
}

/// The page.
#[derive(Template)]
#[template(path = "console/mail.html")]
pub struct MailPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What went wrong with what was asked for.
    pub form: Form,
    /// Whether mail is set up.
    pub set_up: bool,
    /// Whether whoever looks can have a test letter sent to themselves.
    pub test: bool,
    /// What may be listed; empty for who sees letters of their teams only.
    pub filters: Vec<LetterFilter>,
    /// The letters.
    pub rows: Vec<LetterRow>,
    /// What is said where there are none.
    pub nothing: &'static str,
    /// Previous and next.
    pub pages: PagesView,
    /// What was done just now.
    pub done: Option<&'static str>,
}

/// GET `/admin/mail`.
pub async fn show_list(cx: &mut Cx<'_>) -> Outcome {
    let page = mail_page(cx).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/mail/{letter}/again`.
pub async fn send_again(cx: &mut Cx<'_>) -> Outcome {
    let (letter, by) = (asked_letter(cx)?, cx.acting()?);
    let outcome = cx.app.accounts.send_letter_again(letter, &by, cx.facts.now).await?;
    after(cx, outcome, "again").await
}

/// POST `/admin/mail/{letter}/give-up`.
pub async fn give_up(cx: &mut Cx<'_>) -> Outcome {
    let (letter, by) = (asked_letter(cx)?, cx.acting()?);
    match cx.app.accounts.give_letter_up(letter, &by, cx.facts.now).await? {
        Some(true) => Ok(answer::see_other(&format!("{BASE}{HERE}?done=given-up"))),
        Some(false) => after(cx, SendOutcome::Gone, "given-up").await,
        None => Err(Stop::NotFound),
    }
}

/// POST `/admin/mail/test`.
pub async fn send_test(cx: &mut Cx<'_>) -> Outcome {
    let (me, by) = (cx.person()?.identity().user, cx.acting()?);
    let outcome = cx.app.accounts.send_test_letter(me, &by, cx.facts.now).await?;
    after(cx, outcome, "test").await
}

async fn after(cx: &mut Cx<'_>, outcome: SendOutcome, done: &str) -> Outcome {
    let now = cx.facts.now;
    let mut until: Option<Timestamp> = None;
    let status = match outcome {
        SendOutcome::Waits => return Ok(answer::see_other(&format!("{BASE}{HERE}?done={done}"))),
        SendOutcome::NotFound => return Err(Stop::NotFound),
        SendOutcome::Gone => {
            let words = "This message does not wait any more. If it was not sent, do again what it told of.";
            cx.form.fail("", "letter_gone", words);
            StatusCode::CONFLICT
        }
        SendOutcome::TooMany { until: at } => {
            until = Some(at);
            let minutes = minutes_until(at, now);
            let words = format!("5 messages went to this address within an hour. Wait {minutes} minutes.");
            cx.form.fail("", "mail_limit", words);
            StatusCode::TOO_MANY_REQUESTS
        }
        SendOutcome::Nowhere => {
            let words = "Nothing can be sent: no mail is set up, or your account has no email address.";
            cx.form.fail("", "no_mail", words);
            StatusCode::CONFLICT
        }
    };
    let page = mail_page(cx).await?;
    let answer: Answer = cx.not_taken(status, &page);
    Ok(match until {
        Some(until) => retry_after(answer, until, now),
        None => answer,
    })
}

fn asked_letter(cx: &Cx<'_>) -> Result<MessageId, Stop> {
    cx.param("letter").parse().map_err(|_| Stop::NotFound)
}

async fn mail_page(cx: &Cx<'_>) -> Result<MailPage, Stop> {
    let by = cx.acting()?;
    let now = cx.facts.now;
    let standing = read_standing(&by, cx.query.value("status"));
    let cursor = |name: &str| cx.query.value(name).parse::<MessageId>().ok();
    let page = match (cursor("after"), cursor("before")) {
        (Some(after), _) => LetterPage::After(after),
        (None, Some(before)) => LetterPage::Before(before),
        (None, None) => LetterPage::First,
    };
    let found = cx.app.accounts.list_letters(standing, page, LINES, &by).await?;
    let address = |direction: &str, letter: Option<&Message>| {
        let id = letter?.id;
        Some(match standing {
            Some(standing) => format!("{BASE}{HERE}?status={standing}&{direction}={id}"),
            None => format!("{BASE}{HERE}?{direction}={id}"),
        })
    };
    let count = found.letters.len();
    Ok(MailPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        set_up: cx.app.accounts.sends_mail(),
        test: cx.app.accounts.sends_mail() && cx.person()?.identity().email.is_some(),
        filters: filters(&by, standing),
        pages: PagesView {
            words: match count {
                _ if found.newer || found.older => format!("{count} on this page"),
                1 => "1 message".to_owned(),
                _ => format!("{count} messages"),
            },
            previous: address("before", found.letters.first().filter(|_| found.newer)),
            next: address("after", found.letters.last().filter(|_| found.older)),
        },
        rows: found.letters.iter().map(|letter| row(letter, now)).collect(),
        nothing: match standing {
            None => "No messages",
            Some(MessageStanding::Waiting) => "No message waits",
            Some(_) => "No message failed",
        },
        done: match cx.query.value("done") {
            "again" => Some("The message is tried now."),
            "given-up" => Some("The message is given up. What it said is wiped."),
            "test" => Some("A test message to you is on its way."),
            _ => None,
        },
    })
}

/// Sent letters are not asked for by themselves: they are the rest.
fn read_standing(by: &Acting, text: &str) -> Option<MessageStanding> {
    let standing: Option<MessageStanding> = text.parse().ok();
    standing.filter(|standing| by.reach == Reach::All && *standing != MessageStanding::Sent)
}

fn filters(by: &Acting, chosen: Option<MessageStanding>) -> Vec<LetterFilter> {
    if by.reach != Reach::All {
        return Vec::new();
    }
    let filter = |standing: Option<MessageStanding>, words| LetterFilter {
        href: standing.map_or_else(|| format!("{BASE}{HERE}"), |standing| format!("{BASE}{HERE}?status={standing}")),
        words,
        chosen: chosen == standing,
    };
    vec![
        filter(None, "All"),
        filter(Some(MessageStanding::Waiting), "Waiting"),
        filter(Some(MessageStanding::Failed), "Failed"),
    ]
}

fn row(letter: &Message, now: Timestamp) -> LetterRow {
    let (kind, words) = match &letter.state {
        MessageState::Waiting { .. } if letter.tries == 0 => ("acc", "Sending"),
        MessageState::Waiting { .. } => ("warn", "Waiting"),
        MessageState::Sent { .. } => ("ok", "Sent"),
        MessageState::Failed { .. } => ("bad", "Failed"),
    };
    let why = match letter.state {
        MessageState::Failed { why, .. } => match why {
            Failure::Bounced => "Not tried again.",
            Failure::TimedOut => "Tried for a day.",
            Failure::Outdated => "What it held has ended.",
            Failure::GivenUp => "Given up by an administrator.",
            Failure::Unreadable => "It cannot be read: its master key is gone.",
        },
        MessageState::Waiting { .. } | MessageState::Sent { .. } => "",
    };
    let said = letter.said();
    LetterRow {
        id: letter.id.to_string(),
        to: letter.to.to_string(),
        title: letter.title.clone(),
        status: Tag { kind, words },
        said: match said.chars().last() {
            None => String::new(),
            Some('.' | '!' | '?' | '…') => said.to_owned(),
            Some(_) => format!("{said}."),
        },
        next: letter.next_try().filter(|_| letter.tries > 0).map(|at| Moment::of(at, now)),
        tries: match letter.tries {
            1 => "tried once".to_owned(),
            tries => format!("tried {tries} times"),
        },
        why,
        made: Moment::of(letter.made, now),
        again: letter.may_go_again(now) && letter.tries > 0,
        waits: letter.standing() == MessageStanding::Waiting,
    }
}
