//! Letters, as commands see and handle them: the same use cases as the console's.

use crate::accounts::acting::Acting;
use crate::accounts::{LetterPage, SendOutcome};
use crate::base::time::Timestamp;
use crate::model::id::MessageId;
use crate::model::message::MessageStanding;
use crate::server::opening::Desk;

use super::answer::{Answer, LetterLine};
use super::deeds::{No, found, named, no};

/// Letters on one page of a list.
const PAGE: usize = 500;

pub(super) async fn list(desk: &Desk, status: Option<&str>, after: Option<&str>) -> Result<Answer, No> {
    let standing = status.map(|word| named::<MessageStanding>("the status", word)).transpose()?;
    if standing == Some(MessageStanding::Sent) {
        return Err(no(
            "not-told",
            "those that were sent are not listed apart; ask for `waiting` or `failed`",
        ));
    }
    let page = match after {
        Some(after) => LetterPage::After(named("the page", after)?),
        None => LetterPage::First,
    };
    let found = desk
        .app
        .accounts
        .list_letters(standing, page, PAGE, &Acting::command_line())
        .await?;
    let next = found.letters.last().filter(|_| found.older).map(|letter| letter.id.to_string());
    let letters = found.letters.iter().map(|letter| LetterLine {
        id: letter.id.to_string(),
        to: letter.to.to_string(),
        title: letter.title.clone(),
        status: letter.standing().word().to_owned(),
        made: letter.made.to_string(),
        tries: letter.tries,
        said: letter.said().to_owned(),
    });
    Ok(Answer::Letters {
        letters: letters.collect(),
        next,
    })
}

pub(super) async fn again(desk: &Desk, id: &str, now: Timestamp) -> Result<Answer, No> {
    let id: MessageId = named("the letter", id)?;
    let by = Acting::command_line();
    sent(desk.app.accounts.send_letter_again(id, &by, now).await?, now)
}

pub(super) async fn give_up(desk: &Desk, id: &str, now: Timestamp) -> Result<Answer, No> {
    let id: MessageId = named("the letter", id)?;
    match desk.app.accounts.give_letter_up(id, &Acting::command_line(), now).await? {
        Some(true) => Ok(Answer::Done(format!("{id} is given up; what it said is wiped"))),
        Some(false) => sent(SendOutcome::Gone, now),
        None => Err(no("no-such-letter", format!("there is no letter `{id}`"))),
    }
}

pub(super) async fn test(desk: &Desk, who: &str, now: Timestamp) -> Result<Answer, No> {
    let user = found(desk, who).await?;
    let by = Acting::command_line();
    sent(desk.app.accounts.send_test_letter(user.id, &by, now).await?, now)
}

fn sent(outcome: SendOutcome, now: Timestamp) -> Result<Answer, No> {
    match outcome {
        SendOutcome::Waits => Ok(Answer::Done("it is tried now".to_owned())),
        SendOutcome::NotFound => Err(no("no-such-letter", "there is no such letter")),
        SendOutcome::Gone => Err(no(
            "letter-gone",
            "it does not wait any more; if it was not sent, do again what it told of",
        )),
        SendOutcome::TooMany { until } => {
            let minutes = until.since(now).as_secs().div_ceil(60).max(1);
            Err(no(
                "mail-limit",
                format!("five letters went to that address within an hour; the next may go in {minutes} minutes"),
            ))
        }
        SendOutcome::Nowhere => Err(no("no-mail", "no mail is set up, or the account has no address")),
    }
}
