//! When to ask an authority: early enough before a certificate ends, and ever more rarely where it refuses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::random::Random;
use crate::base::time::{DAY, HOUR, MINUTE, Timestamp};

/// Waits after the first, second, third... refusal: five orders on the first day, two on each day after.
const AFTER_REFUSALS: [Duration; 5] = [
    Duration::from_secs(15 * 60),
    HOUR,
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(8 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
];
/// The longest an authority that is not there is left alone.
const LONGEST_SILENCE: Duration = HOUR;
/// The longest that one host's refusal keeps an authority's others waiting.
const LONGEST_PAUSE: Duration = HOUR;
/// Whoever reloads has perhaps mended something: then a refused host is tried again this long after its last order.
const AFTER_RELOAD: Duration = Duration::from_secs(15 * 60);
/// The most orders for a host within a day at one authority, whatever is reloaded or restarted.
const MOST_ORDERS_A_DAY: usize = 8;
/// The longest that an authority's wish to be left alone is heard. The longest limit of Let's Encrypt is that of a week, and whoever waits
/// for years because of one wrong header loses the certificate in use.
const LONGEST_WISH: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What was tried for a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct History {
    /// Orders in the last day, whatever became of them.
    pub(super) orders: Vec<Timestamp>,
    /// Refusals in a row.
    pub(super) refusals: u32,
    /// No order before this.
    pub(super) not_before: Timestamp,
    /// The authority wants none before this.
    pub(super) wanted: Timestamp,
    /// What the last refusal said; empty after a success.
    pub(super) why: String,
    /// Of which authority all this is told; empty before the first order.
    pub(super) authority: String,
    /// Which one gave the certificate in use; empty where that is not known.
    pub(super) given_by: String,
}

impl History {
    /// When an order is due. `renewal` is that of the certificate in use; `None` if there is none.
    #[must_use]
    pub(super) fn due(&self, renewal: Option<Timestamp>) -> Timestamp {
        let due = match renewal {
            // A certificate that somebody removed is wanted at once, even if one was given just now.
            None if self.refusals == 0 => Timestamp::EPOCH,
            None => self.not_before.max(self.wanted),
            Some(renewal) => renewal.max(self.not_before).max(self.wanted),
        };
        due.max(self.rested())
    }

    /// When there has been a day with fewer orders than the most.
    fn rested(&self) -> Timestamp {
        let oldest = self.orders.iter().rev().nth(MOST_ORDERS_A_DAY - 1);
        oldest.map_or(Timestamp::EPOCH, |at| at.after(DAY))
    }

    /// Forgets what was noted at a time still to come: the clock was set back, and nobody can say how long ago it was.
    pub(super) fn believe(&mut self, now: Timestamp) {
        if self.orders.last().is_some_and(|at| at.is_out_of_time(now)) {
            self.forget();
        }
    }

    /// Forgets what another authority was asked and said.
    pub(super) fn turn_to(&mut self, authority: &str) {
        if self.authority != authority {
            self.forget();
            authority.clone_into(&mut self.authority);
        }
    }

    /// Whether the certificate in use is another authority's: the one that is asked now may be trusted where that one is not.
    #[must_use]
    pub(super) fn is_anothers(&self) -> bool {
        !self.given_by.is_empty() && self.given_by != self.authority
    }

    fn forget(&mut self) {
        *self = Self {
            authority: std::mem::take(&mut self.authority),
            given_by: std::mem::take(&mut self.given_by),
            ..Self::default()
        };
    }

    /// Notes that an order begins. It counts from here on, so that a server that dies in each of its orders does not ask without end.
    pub(super) fn ordered(&mut self, now: Timestamp) {
        self.orders.retain(|at| *at > now.before(DAY));
        self.orders.push(now);
    }

    /// Notes that the last order was none, because nobody could be asked.
    pub(super) fn unheard(&mut self, why: String) {
        self.orders.pop();
        self.why = why;
    }

    /// Notes a success. Even if the certificate seems to be old when it comes, which is a clock's fault, the next is not asked for soon.
    pub(super) fn given(&mut self, begins: Timestamp, ends: Timestamp, now: Timestamp) {
        self.refusals = 0;
        self.why = String::new();
        self.wanted = Timestamp::EPOCH;
        self.given_by.clone_from(&self.authority);
        self.not_before = now.after(ends.since(begins) / 3);
    }

    /// Notes a refusal.
    pub(super) fn refused(&mut self, why: String, wanted: Option<Timestamp>, now: Timestamp, random: &Random) {
        self.refusals = self.refusals.saturating_add(1);
        self.why = why;
        let wait = usize::try_from(self.refusals - 1).ok().and_then(|at| AFTER_REFUSALS.get(at));
        let wait = wait.or(AFTER_REFUSALS.last()).copied().unwrap_or(DAY);
        self.not_before = now.after(wait + spread(wait / 5, random));
        self.wanted = wanted.unwrap_or_default();
    }

    /// Lets a refused host be tried again, in moderation.
    pub(super) fn encourage(&mut self) {
        let last = self.orders.last().copied().unwrap_or_default();
        if self.refusals > 0 {
            self.not_before = self.not_before.min(last.after(AFTER_RELOAD));
        }
    }
}

/// When to renew: with a third of the lifetime left, or up to a thirtieth of it earlier, so that not all come at once.
#[must_use]
pub(super) fn renewal(begins: Timestamp, ends: Timestamp, random: &Random) -> Timestamp {
    let life = ends.since(begins);
    ends.before(life / 3 + spread(life / 30, random))
}

/// How long to leave an authority alone that did not answer `times` in a row.
#[must_use]
pub(super) fn silence(times: u32, random: &Random) -> Duration {
    let wait = MINUTE.saturating_mul(1 << times.saturating_sub(1).min(10)).min(LONGEST_SILENCE);
    wait + spread(wait / 5, random)
}

/// Until when an authority is left alone that wishes it `until` then.
#[must_use]
pub(super) fn heard(until: Timestamp, now: Timestamp) -> Timestamp {
    until.min(now.after(LONGEST_WISH))
}

/// How long all hosts wait where the authority said until when it wants no more.
#[must_use]
pub(super) fn pause(wanted: Timestamp, now: Timestamp) -> Timestamp {
    wanted.min(now.after(LONGEST_PAUSE))
}

fn spread(most: Duration, random: &Random) -> Duration {
    most.mul_f64(f64::from(random.below(1000)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_life_left() {
        let random = Random::seeded(7);
        let ends = NOW.after(90 * DAY);
        for _ in 0..100 {
            let at = renewal(NOW, ends, &random);
            assert!(at <= ends.before(30 * DAY) && at >= ends.before(33 * DAY), "{at}");
        }
        // One that lives for seconds too, as tests have them.
        let at = renewal(NOW, NOW.after(Duration::from_secs(30)), &random);
        assert!(at > NOW.after(Duration::from_secs(18)));
    }

    #[test]
    fn refusals_cost_five_orders_on_the_first_day_and_two_on_each_after() {
        let random = Random::seeded(7);
        let mut history = History::default();
        let mut now = NOW;
        let mut orders = Vec::new();
        while now < NOW.after(5 * DAY) {
            history.ordered(now);
            orders.push(now);
            history.refused("no".into(), None, now, &random);
            now = history.due(None);
        }
        let within = |from: u32, to: u32| {
            let (from, to) = (NOW.after(from * DAY), NOW.after(to * DAY));
            orders.iter().filter(|at| **at >= from && **at < to).count()
        };
        assert_eq!(within(0, 1), 5);
        assert!(within(1, 5) <= 8, "{orders:?}");
        assert!(history.orders.len() <= 3, "older orders are forgotten");
    }

    #[test]
    fn an_authority_that_names_a_time_is_left_alone_until_then() {
        let random = Random::seeded(7);
        let mut history = History::default();
        let wanted = NOW.after(50 * HOUR);
        history.refused("slow down".into(), Some(wanted), NOW, &random);
        assert_eq!(history.due(None), wanted);
        history.encourage();
        assert_eq!(history.due(None), wanted, "whoever reloads");
        assert_eq!(history.due(Some(NOW)), wanted, "with a certificate in use too");
        assert_eq!(pause(wanted, NOW), NOW.after(HOUR), "others need not wait as long");
        assert_eq!(heard(wanted, NOW), wanted);
        assert_eq!(heard(NOW.after(4000 * DAY), NOW), NOW.after(7 * DAY), "not for years");
        let waits: Vec<_> = (1..9).map(|times| silence(times, &random)).collect();
        assert!(
            waits.windows(2).take(6).all(|two| two[0] < two[1]) && waits.iter().all(|wait| *wait <= 72 * MINUTE),
            "{waits:?}"
        );
    }

    #[test]
    fn a_success_is_not_repeated_soon_even_where_the_clock_says_it_is_old() {
        let mut history = History::default();
        history.given(NOW, NOW.after(90 * DAY), NOW.after(80 * DAY));
        assert_eq!(history.due(Some(NOW.after(60 * DAY))), NOW.after(110 * DAY));
        assert_eq!(history.due(None), Timestamp::EPOCH, "unless its file was removed");
    }

    #[test]
    fn a_reload_tries_again_but_not_for_ever() {
        let random = Random::seeded(7);
        let mut history = History::default();
        let mut now = NOW;
        let mut orders = 0;
        while now < NOW.after(DAY) {
            if history.due(None) <= now {
                history.ordered(now);
                orders += 1;
                history.refused("no".into(), None, now, &random);
            }
            now = now.after(MINUTE);
            history.encourage();
        }
        assert_eq!(orders, MOST_ORDERS_A_DAY);
    }

    #[test]
    fn a_server_that_dies_in_each_order_does_not_ask_without_end() {
        let mut history = History::default();
        let mut now = NOW;
        let mut orders = 0;
        while now < NOW.after(DAY) {
            if history.due(None) <= now {
                history.ordered(now);
                orders += 1;
            }
            now = now.after(MINUTE);
        }
        assert_eq!(orders, MOST_ORDERS_A_DAY);
        assert_eq!(history.due(None), NOW.after(DAY));
        history.unheard("it is not there".into());
        assert_eq!(history.due(None), Timestamp::EPOCH, "whom nobody hears asks for nothing");
    }

    #[test]
    fn what_was_noted_at_a_time_still_to_come_is_forgotten() {
        let random = Random::seeded(7);
        let mut noted = History::default();
        noted.ordered(NOW);
        noted.refused("no".into(), Some(NOW.after(DAY)), NOW, &random);
        for (name, now, kept) in [
            ("later", NOW.after(HOUR), true),
            ("a clock that is corrected", NOW.before(MINUTE), true),
            ("a clock that was set back", NOW.before(HOUR), false),
        ] {
            let mut history = noted.clone();
            history.believe(now);
            assert_eq!(history, if kept { noted.clone() } else { History::default() }, "{name}");
        }
    }

    #[test]
    fn another_authority_is_asked_at_once_and_knows_nothing_of_the_first() {
        let random = Random::seeded(1);
        let mut history = History::default();
        history.turn_to("staging");
        history.ordered(NOW);
        history.given(NOW, NOW.after(90 * DAY), NOW);
        history.refused("no".into(), None, NOW, &random);
        assert!(!history.is_anothers());
        history.turn_to("staging");
        assert!(history.due(Some(NOW)) > NOW, "the same one");
        history.turn_to("production");
        assert!(history.is_anothers(), "the certificate is still that of the first");
        assert_eq!(
            (history.due(Some(Timestamp::EPOCH)), history.refusals, history.orders.len()),
            (Timestamp::EPOCH, 0, 0)
        );
        history.given(NOW, NOW.after(90 * DAY), NOW);
        assert!(!history.is_anothers());
    }
}
