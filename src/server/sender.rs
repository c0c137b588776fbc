//! Sends the letters that wait, one at a time: at once when one is written, and again when one that was put off is due.
//!
//! There is one sender, so no letter is sent by two at a time. What came of a letter is noted before the next one is looked at, and noted
//! until the store has it. Between the moment in which a mail server takes a letter and the one in which that is on the disk, a crash makes
//! it go out a second time after the restart, under the same Message-ID; none is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::accounts::Given;
use crate::base::time::{HOUR, MINUTE, Timestamp};
use crate::mail::envelope::Outgoing;
use crate::mail::{Mailer, Outcome};
use crate::model::id::MessageId;
use crate::model::message::MessageStanding;

use super::opening::Desk;

/// How long a mail server that did not answer, or takes nothing from us, is left alone.
const LEFT_ALONE: Duration = MINUTE;
/// How long to wait for a store that takes no writes.
const BREATH: Duration = Duration::from_secs(1);

/// Sends until the server stops; a letter that is on its way then is finished.
pub(super) async fn send_until_drained(desk: Arc<Desk>, mut drained: watch::Receiver<bool>) {
    let mut replaced = desk.app.replacements();
    let mut sender = Sender {
        desk,
        left_alone: None,
        was_away: false,
    };
    loop {
        if *drained.borrow_and_update() {
            return;
        }
        let wait = sender.round(&drained).await;
        tokio::select! {
            urgent = sender.desk.app.accounts.letter_written() => if urgent {
                sender.left_alone = None;
            },
            () = tokio::time::sleep(wait) => {}
            // Other settings may lead to another server.
            Ok(()) = replaced.changed() => sender.left_alone = None,
            _ = drained.changed() => {}
        }
    }
}

struct Sender {
    desk: Arc<Desk>,
    /// Until when nothing is sent, since no letter was taken.
    left_alone: Option<Timestamp>,
    /// Whether the mail server was away when it was asked last.
    was_away: bool,
}

/// How a letter went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// It does not wait any more.
    Away,
    /// It waits.
    Back,
    /// It waits, and so do all others: nobody takes any.
    Nobody,
}

impl Sender {
    /// Sends what is due, and says how long nothing will be.
    async fn round(&mut self, drained: &watch::Receiver<bool>) -> Duration {
        let live = self.desk.app.live();
        let now = self.desk.app.clock.now();
        let Some(mail) = &live.settings.mail else { return HOUR };
        if let Some(until) = self.left_alone.filter(|until| now < *until && !until.is_out_of_time(now)) {
            return until.since(now);
        }
        self.left_alone = None;
        // A letter that is sent while nobody can note it would be sent again and again.
        if self.desk.store.health().is_err() {
            return BREATH;
        }
        let mut mailer = Mailer::new(mail.clone(), live.settings.public_url.host());
        let mut sent = self.send(&mut mailer, false, drained).await;
        if sent.answered && self.was_away {
            // It is back: what was put off while it was away need not wait for its time.
            self.was_away = false;
            sent = self.send(&mut mailer, true, drained).await;
        }
        mailer.end().await;
        if sent.nobody {
            self.was_away = true;
            self.left_alone = Some(self.desk.app.clock.now().after(LEFT_ALONE));
            return LEFT_ALONE;
        }
        sent.next.unwrap_or(HOUR)
    }

    async fn send(&self, mailer: &mut Mailer, all: bool, drained: &watch::Receiver<bool>) -> Sent {
        let (accounts, clock, metrics) = (&self.desk.app.accounts, &self.desk.app.clock, &self.desk.app.metrics);
        let mut sent = Sent::default();
        let waiting = match accounts.waiting_letters(all, clock.now()).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(error = %error, "the letters that wait could not be read");
                sent.next = Some(MINUTE);
                return sent;
            }
        };
        let mut left = waiting.count;
        for id in waiting.due {
            metrics.set_outbox("waiting", left);
            if *drained.borrow() {
                break;
            }
            match self.send_one(mailer, id).await {
                Went::Away => {
                    left -= 1;
                    sent.answered = true;
                }
                // When it is due again is read anew.
                Went::Back => {
                    sent.answered = true;
                    sent.next = Some(MINUTE);
                }
                Went::Nobody => {
                    sent.nobody = true;
                    break;
                }
            }
        }
        metrics.set_outbox("waiting", left);
        let next = waiting.next.map(|at| at.since(clock.now()).min(MINUTE));
        sent.next = [sent.next, next].into_iter().flatten().min();
        sent
    }

    async fn send_one(&self, mailer: &mut Mailer, id: MessageId) -> Went {
        let (accounts, clock, metrics) = (&self.desk.app.accounts, &self.desk.app.clock, &self.desk.app.metrics);
        let (message, letter) = match accounts.letter_to_send(id, clock.now()).await {
            Ok(Some(found)) => found,
            Ok(None) => return Went::Away,
            Err(error) => {
                tracing::error!(error = %error, letter = %id, "a letter could not be read");
                return Went::Nobody;
            }
        };
        let outgoing = Outgoing {
            id,
            to: message.to,
            made: message.made,
            letter,
        };
        let outcome = mailer.send(&outgoing).await;
        let nobody = matches!(outcome, Outcome::Closed(_));
        let given = match outcome {
            Outcome::Taken(said) => Given::Taken(said),
            Outcome::NotNow(said) | Outcome::Closed(said) => Given::PutOff(said),
            Outcome::Never(said) => Given::Bounced(said),
        };
        let standing = self.note(id, &given).await;
        let kind = message.kind.word();
        match (&given, standing) {
            (Given::Taken(_), _) => {
                metrics.mailed("sent");
                tracing::info!(letter = %id, kind, "a letter was sent");
            }
            (Given::PutOff(said), Some(MessageStanding::Waiting)) => {
                metrics.mailed("put-off");
                tracing::warn!(letter = %id, kind, said = ?said, "a letter was not taken; it is tried again");
            }
            (Given::PutOff(said) | Given::Bounced(said), _) => {
                metrics.mailed("failed");
                tracing::error!(letter = %id, kind, said = ?said, "a letter is not tried any more");
            }
        }
        match standing {
            _ if nobody => Went::Nobody,
            Some(MessageStanding::Waiting) => Went::Back,
            _ => Went::Away,
        }
    }

    /// Notes what came of a letter, until the store has it.
    async fn note(&self, id: MessageId, given: &Given) -> Option<MessageStanding> {
        let mut told = false;
        loop {
            match self.desk.app.accounts.note_given(id, given, self.desk.app.clock.now()).await {
                Ok(standing) => return standing,
                Err(error) if !told => {
                    tracing::error!(error = %error, letter = %id, "what came of a letter cannot be noted; nothing is sent until it can");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}

/// What came of a round.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// Whether somebody was there who said something about a letter.
    answered: bool,
    /// Whether nobody takes letters.
    nobody: bool,
    /// When the next letter is due, from now.
    next: Option<Duration>,
}
