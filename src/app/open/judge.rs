//! Judges what is open again: those whom a change concerns, those whose session may be over, and each from time to time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::accounts::{Stay, Unavailable};
use crate::base::time::Timestamp;
use crate::model::id::SessionId;
use crate::model::principal::Principal;
use crate::policy::house;
use crate::policy::{Memo, PolicySet, RequestFacts};

use super::super::{App, Live};
use super::{Entry, Open, Why, millis_between};

/// How often it is looked whose session is over.
const TICK: Duration = Duration::from_millis(250);

/// So many are judged before others get their turn.
const SLICE: usize = 64;

/// What a change ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Sessions that would no longer be let in from where they were opened, or have been idle for too long.
    pub sessions: usize,
    /// WebSockets, answers and requests under way.
    pub streams: usize,
}

/// Sessions as they were found in one go, each looked up once.
type Found = HashMap<SessionId, Option<Arc<Stay>>>;

impl Open {
    /// Judges again whatever must be, for ever. One task of the process does.
    pub async fn attend(&self, app: &App) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                () = self.0.bell.notified() => false,
                _ = tick.tick() => true,
            };
            loop {
                let (moved, round) = self.take_moved();
                if moved.is_empty() {
                    break;
                }
                let all = moved.all;
                let cut = self.judge_all(app, self.of(moved)).await;
                if all {
                    self.0.cut_in_rounds.fetch_add(cut, Ordering::SeqCst);
                    self.round_is_over(round);
                }
            }
            if due {
                self.judge_all(app, self.due(app)).await;
            }
        }
    }

    /// Streams that were cut so far because of a change of something that everybody shares.
    #[must_use]
    pub fn cut_in_rounds(&self) -> u64 {
        self.0.cut_in_rounds.load(Ordering::SeqCst)
    }

    /// Those whose session may be over, and those that were not looked at for long.
    fn due(&self, app: &App) -> Vec<Arc<Entry>> {
        let mut entries = self.everything();
        let idle = app.accounts.rules().session.idle;
        let now = app.clock.now();
        let at = millis_between(self.0.began, Instant::now());
        entries.retain(|entry| {
            let over = || entry.asked().stay.as_ref().is_some_and(|stay| stay.is_over(idle, now));
            entry.due.load(Ordering::Relaxed) <= at || over()
        });
        entries
    }

    /// Says how many were cut.
    async fn judge_all(&self, app: &App, entries: Vec<Arc<Entry>>) -> u64 {
        let mut cut = 0;
        for slice in entries.chunks(SLICE) {
            // Only what is read from here on is sure to be newer than what made it necessary.
            let mut found = Found::new();
            for entry in slice {
                if entry.why.get().is_some() {
                    continue;
                }
                if let Some(why) = self.look(app, entry, &mut found).await
                    && entry.cut(why)
                {
                    app.metrics.cut(entry.kind().word(), why.code());
                    cut += 1;
                }
            }
            tokio::task::yield_now().await;
        }
        cut
    }

    /// Why it must end now, if it must.
    async fn look(&self, app: &App, entry: &Entry, found: &mut Found) -> Option<Why> {
        let live = app.live();
        let now = app.clock.now();
        let recheck = live
            .policies
            .application(&entry.application)
            .map_or(Duration::from_secs(60), |application| application.recheck);
        let due = millis_between(self.0.began, Instant::now() + recheck);
        entry.due.store(due, Ordering::Relaxed);
        let Some((session, _)) = entry.session else {
            return entry.judge(&live.policies, None, &Memo::new(), now);
        };
        match current(app, entry, session, found, now).await {
            Ok(Some(stay)) => {
                entry.asked().stay = Some(Arc::clone(&stay));
                entry.judge(&live.policies, Some(&stay), stay.memo(), now)
            }
            Ok(None) => Some(Why::SessionEnded),
            // Who was let in stays in while the store is away; it is asked again.
            Err(_) => None,
        }
    }

    /// How many open streams other rules would cut, were they in force now.
    pub async fn streams_cut_by(&self, app: &App, after: &Live) -> usize {
        let now = app.clock.now();
        let idle = after.house_rules().session.idle;
        let mut cut = 0;
        for slice in self.everything().chunks(SLICE) {
            let mut found = Found::new();
            for entry in slice.iter().filter(|entry| entry.why.get().is_none()) {
                let memo = Memo::new();
                let ends = match entry.session {
                    None => entry.judge(&after.policies, None, &memo, now).is_some(),
                    Some((session, _)) => match current(app, entry, session, &mut found, now).await {
                        Ok(Some(stay)) => stay.is_over(idle, now) || entry.judge(&after.policies, Some(&stay), &memo, now).is_some(),
                        // It ends whatever the rules say.
                        Ok(None) => false,
                        Err(_) => false,
                    },
                };
                cut += usize::from(ends);
            }
            tokio::task::yield_now().await;
        }
        cut
    }
}

/// The session as it stands now.
async fn current(
    app: &App,
    entry: &Entry,
    session: SessionId,
    found: &mut Found,
    now: Timestamp,
) -> Result<Option<Arc<Stay>>, Unavailable> {
    if let Some(known) = found.get(&session) {
        return Ok(known.clone());
    }
    let seen = entry.asked().stay.as_ref().map_or(Timestamp::EPOCH, |stay| stay.last_seen());
    let stay = app.accounts.stay(session, seen, now).await?;
    found.insert(session, stay.clone());
    Ok(stay)
}

/// How many sessions in use lose their way in when the rules become others: their person would no longer be let in from where they signed
/// in, or they have been idle for longer than is allowed then.
pub async fn sessions_ended_by(app: &App, before: &Live, after: &Live) -> usize {
    let now = app.clock.now();
    let (idle_before, idle_after) = (before.house_rules().session.idle, after.house_rules().session.idle);
    if before.policies.generation() == after.policies.generation() && idle_before <= idle_after {
        return 0;
    }
    let host = after.settings.public_url.host();
    let mut ended = 0;
    for slice in app.accounts.stays().chunks(SLICE) {
        for stay in slice.iter().filter(|stay| !stay.is_over(idle_before, now)) {
            let facts = RequestFacts::new(http::Method::GET, host, "/", stay.session.address, now);
            // Most are let in by both, and then one question is enough.
            let loses = stay.is_over(idle_after, now) || !lets_in(&after.policies, stay, &facts) && lets_in(&before.policies, stay, &facts);
            ended += usize::from(loses);
        }
        tokio::task::yield_now().await;
    }
    ended
}

fn lets_in(policies: &PolicySet, stay: &Stay, facts: &RequestFacts) -> bool {
    use crate::policy::Verdict;
    let principal = Principal::User(Arc::clone(&stay.identity));
    matches!(house::judge(policies, &principal, facts).verdict, Verdict::Allow | Verdict::StepUp)
}
