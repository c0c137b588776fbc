//! Servers that do badly are left out for a while, longer each time, and come back slowly.
//!
//! | what is seen | how much of it | how many may be out for it |
//! | --- | --- | --- |
//! | no connection | `health.fail` in a row | any number: who cannot be reached serves nobody |
//! | no answer, a late one, one that cannot be passed on | `health.fail` in a row | half of them |
//! | statuses 500 and up, answers that break off | half of [`LEAST_SEEN`] or more, and twice the share of the others | half of them |
//!
//! An application that fails everywhere puts nobody out by its statuses: the others are no better. With nobody left, all are tried.
//! Time is monotonic throughout: a wall clock that is set moves nothing here.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use http::StatusCode;

use super::{Cluster, Noted, Server};

/// So many answers must have been seen before their share of bad ones says something.
const LEAST_SEEN: u32 = 5;
/// A server that is put out again and again stays out for at most so many times `health.every`.
const MOST_TIMES: u32 = 30;
/// The share of requests, of a hundred, that a server gets when it has just come back.
const FIRST_SHARE: u64 = 10;

/// Why a server is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection to it.
    Unreachable,
    /// A connection, and no answer, a late one, or one that cannot be passed on.
    NoAnswer,
    /// Too many of its answers are bad.
    Answers,
}

impl Cause {
    /// One word, for logs and figures.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no-answer",
            Self::Answers => "answers",
        }
    }
}

/// How one server is doing. Moments are milliseconds since its cluster was made.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Active checks say it is away.
    away: AtomicBool,
    /// Requests in a row that it did not answer.
    failures: AtomicU32,
    /// Answers of this span of `health.every` and the one before.
    good: AtomicU32,
    bad: AtomicU32,
    good_before: AtomicU32,
    bad_before: AtomicU32,
    /// It is left out until then.
    out_until: AtomicU64,
    /// It gets less than its share from `out_until` until then.
    returning_until: AtomicU64,
    /// How often it was put out lately.
    times: AtomicU32,
}

/// How far a server is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Like any other.
    Full,
    /// Back since a short while: it gets so many of a hundred of its requests.
    Returning(u64),
    /// Only if there is no other.
    Out,
}

impl Standing {
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    pub(super) fn at(&self, now: u64) -> Use {
        let out_until = self.out_until.load(Ordering::Relaxed);
        if self.is_away() || now < out_until {
            return Use::Out;
        }
        let full = self.returning_until.load(Ordering::Relaxed);
        if now >= full {
            return Use::Full;
        }
        let gone = now.saturating_sub(out_until).saturating_mul(100);
        let span = full.saturating_sub(out_until).max(1);
        Use::Returning((gone / span).clamp(FIRST_SHARE, 100))
    }

    /// Good and bad answers lately.
    fn seen(&self) -> (u64, u64) {
        let sum = |now: &AtomicU32, before: &AtomicU32| u64::from(now.load(Ordering::Relaxed)) + u64::from(before.load(Ordering::Relaxed));
        (sum(&self.good, &self.good_before), sum(&self.bad, &self.bad_before))
    }

    fn forget(&self) {
        for count in [&self.good, &self.bad, &self.good_before, &self.bad_before] {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn next_span(&self) {
        self.good_before.store(self.good.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.bad_before.store(self.bad.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Cluster {
    /// Whether there is another server that could take what one of them is left out of.
    const fn has_choice(&self) -> bool {
        self.servers.len() > 1
    }

    fn span(&self) -> u64 {
        u64::try_from(self.health.every.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// A request could not be brought to the server, or it gave no answer to it.
    pub(super) fn failed(&self, server: &Arc<Server>, cause: Cause) {
        if !self.has_choice() {
            return;
        }
        let failures = server.standing.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= self.health.fail {
            self.put_out(server, cause);
        }
    }

    /// The server answered, with this status.
    pub(super) fn answered(&self, server: &Arc<Server>, status: StatusCode) {
        if !self.has_choice() {
            return;
        }
        // Written only where it changes: every thread reads this line of memory.
        if server.standing.failures.load(Ordering::Relaxed) != 0 {
            server.standing.failures.store(0, Ordering::Relaxed);
        }
        // What says that a method or version is not known is about the request.
        let about_the_request = matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        if status.is_server_error() && !about_the_request {
            self.answered_badly(server);
        } else {
            server.standing.good.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The server gave a bad answer, or broke a good one off.
    pub(super) fn answered_badly(&self, server: &Arc<Server>) {
        if !self.has_choice() {
            return;
        }
        server.standing.bad.fetch_add(1, Ordering::Relaxed);
        let (good, bad) = server.standing.seen();
        let seen = good + bad;
        if seen < u64::from(LEAST_SEEN) || bad * 2 < seen {
            return;
        }
        let others = self.servers.iter().filter(|other| !Arc::ptr_eq(other, server));
        let (others_good, others_bad) = others.fold((0, 0), |(good, bad), other| {
            let (more_good, more_bad) = other.standing.seen();
            (good + more_good, bad + more_bad)
        });
        // Its share is at least twice theirs: bad / seen >= 2 * others_bad / others_seen, without division.
        if bad.saturating_mul(others_good + others_bad) >= seen.saturating_mul(others_bad).saturating_mul(2) {
            self.put_out(server, Cause::Answers);
        }
    }

    /// Leaves a server out for a while, if enough others are left.
    fn put_out(&self, server: &Arc<Server>, cause: Cause) {
        let _one = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.millis();
        if now < server.standing.out_until.load(Ordering::Relaxed) {
            return;
        }
        let out = self.servers.iter().filter(|other| other.standing.at(now) == Use::Out).count();
        if cause != Cause::Unreachable && out >= self.servers.len().div_ceil(2).min(self.servers.len() - 1) {
            return;
        }
        let standing = &server.standing;
        let times = standing.times.load(Ordering::Relaxed).saturating_add(1).min(MOST_TIMES);
        standing.times.store(times, Ordering::Relaxed);
        let until = now.saturating_add(self.span().saturating_mul(u64::from(times)));
        standing.returning_until.store(until.saturating_add(self.span()), Ordering::Relaxed);
        standing.out_until.store(until, Ordering::Relaxed);
        // Once back, the first failure is one too many.
        standing.failures.store(self.health.fail.saturating_sub(1), Ordering::Relaxed);
        standing.forget();
        self.disturbed.store(true, Ordering::Release);
        tracing::warn!(
            application = %self.name, server = %server.target, cause = cause.word(), seconds = (until - now) / 1000,
            "a server does badly and is left out"
        );
        self.tell(Noted::Ejected(cause));
        self.tell_out(now);
    }

    /// Active checks say that the server is away.
    pub(super) fn gone(&self, server: &Server) {
        let _one = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        server.standing.away.store(true, Ordering::Relaxed);
        self.disturbed.store(true, Ordering::Release);
        tracing::warn!(application = %self.name, server = %server.target, "a server fails its checks and is left out");
        self.tell_out(self.millis());
    }

    /// Active checks say that the server is there again. What was held against it before is forgotten.
    pub(super) fn back(&self, server: &Server) {
        let _one = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.millis();
        let standing = &server.standing;
        standing.failures.store(0, Ordering::Relaxed);
        standing.forget();
        standing.returning_until.store(now.saturating_add(self.span()), Ordering::Relaxed);
        standing.out_until.store(now, Ordering::Relaxed);
        standing.away.store(false, Ordering::Relaxed);
        tracing::info!(application = %self.name, server = %server.target, "a server passes its checks again");
        self.tell_out(now);
    }

    /// What time does: answers grow old, servers come back, old faults are forgiven. Called a few times a second.
    pub(super) fn tend(&self) {
        if !self.has_choice() {
            return;
        }
        let _one = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.millis();
        if now.saturating_sub(self.span_began.load(Ordering::Relaxed)) >= self.span() {
            self.span_began.store(now, Ordering::Relaxed);
            for server in &self.servers {
                server.standing.next_span();
                let times = server.standing.times.load(Ordering::Relaxed);
                if times > 0 && server.standing.at(now) == Use::Full {
                    server.standing.times.store(times - 1, Ordering::Relaxed);
                }
            }
        }
        if self.disturbed.load(Ordering::Relaxed) {
            let calm = self.servers.iter().all(|server| server.standing.at(now) == Use::Full);
            self.disturbed.store(!calm, Ordering::Release);
            self.tell_out(now);
        }
    }

    fn tell_out(&self, now: u64) {
        self.tell(Noted::Out(
            self.servers.iter().filter(|server| server.standing.at(now) == Use::Out).count(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::policy::application::Health;

    use super::super::fixture::{cluster, wait};
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn health() -> Health {
        Health {
            every: EVERY,
            fail: 3,
            ..Health::default()
        }
    }

    fn out(cluster: &Cluster) -> Vec<bool> {
        let now = cluster.millis();
        cluster.servers.iter().map(|server| server.standing.at(now) == Use::Out).collect()
    }

    #[test]
    fn failures_in_a_row_put_a_server_out_longer_each_time_and_it_comes_back_slowly() {
        let cluster = cluster(3, health());
        let server = &cluster.servers[0];
        cluster.failed(server, Cause::NoAnswer);
        cluster.failed(server, Cause::NoAnswer);
        cluster.answered(server, StatusCode::OK);
        cluster.failed(server, Cause::NoAnswer);
        assert_eq!(out(&cluster), [false; 3], "not in a row");
        cluster.failed(server, Cause::NoAnswer);
        cluster.failed(server, Cause::NoAnswer);
        assert_eq!(out(&cluster), [true, false, false]);

        wait(&cluster, EVERY);
        let Use::Returning(share) = server.standing.at(cluster.millis()) else {
            panic!("on its way back")
        };
        assert!((FIRST_SHARE..20).contains(&share), "{share}");
        wait(&cluster, EVERY / 2);
        let Use::Returning(share) = server.standing.at(cluster.millis()) else {
            panic!("on its way back")
        };
        assert!((50..60).contains(&share), "{share}");
        cluster.failed(server, Cause::NoAnswer);
        assert!(out(&cluster)[0], "once back, one failure is enough");
        wait(&cluster, EVERY);
        assert!(out(&cluster)[0], "twice as long");
        wait(&cluster, EVERY);
        assert!(!out(&cluster)[0]);
        wait(&cluster, EVERY);
        assert_eq!(server.standing.at(cluster.millis()), Use::Full);

        for _ in 0..3 {
            wait(&cluster, EVERY);
            cluster.tend();
        }
        assert_eq!(server.standing.times.load(Ordering::Relaxed), 0, "forgiven");
        assert!(!cluster.disturbed.load(Ordering::Relaxed));
    }

    #[test]
    fn half_may_be_out_for_what_they_answer_and_never_all() {
        for (servers, most) in [(2, 1), (3, 2), (4, 2), (5, 3)] {
            let cluster = cluster(servers, health());
            for server in &cluster.servers {
                for _ in 0..9 {
                    cluster.failed(server, Cause::NoAnswer);
                }
            }
            assert_eq!(out(&cluster).iter().filter(|out| **out).count(), most, "of {servers}");
            for server in &cluster.servers {
                cluster.failed(server, Cause::Unreachable);
            }
            assert_eq!(out(&cluster), vec![true; servers], "who cannot be reached serves nobody");
            assert!(cluster.choose(1, &[]).is_some(), "and yet they are tried");
        }
    }

    #[test]
    fn bad_answers_count_against_a_server_only_where_the_others_do_better() {
        let worse = cluster(3, health());
        for turn in 0..LEAST_SEEN {
            assert_eq!(out(&worse), [false; 3], "{turn} seen");
            worse.answered(&worse.servers[0], StatusCode::INTERNAL_SERVER_ERROR);
            worse.answered(&worse.servers[1], StatusCode::OK);
            worse.answered(&worse.servers[2], StatusCode::NOT_FOUND);
        }
        assert_eq!(out(&worse), [true, false, false]);

        let alike = cluster(3, health());
        for _ in 0..50 {
            for server in &alike.servers {
                alike.answered(server, StatusCode::INTERNAL_SERVER_ERROR);
            }
        }
        assert_eq!(out(&alike), [false; 3], "a fault of the application is no server's");

        let few = cluster(2, health());
        for _ in 0..100 {
            few.answered(&few.servers[0], StatusCode::INTERNAL_SERVER_ERROR);
            few.answered(&few.servers[0], StatusCode::OK);
            few.answered(&few.servers[0], StatusCode::OK);
            few.answered(&few.servers[0], StatusCode::NOT_IMPLEMENTED);
        }
        assert_eq!(out(&few), [false; 2], "a third is not half");
    }

    #[test]
    fn old_answers_are_forgotten() {
        let cluster = cluster(2, health());
        for _ in 0..LEAST_SEEN - 1 {
            cluster.answered(&cluster.servers[0], StatusCode::BAD_GATEWAY);
        }
        for _ in 0..2 {
            wait(&cluster, EVERY);
            cluster.tend();
        }
        cluster.answered(&cluster.servers[0], StatusCode::BAD_GATEWAY);
        assert_eq!(out(&cluster), [false; 2]);
    }

    #[test]
    fn the_only_server_is_never_out() {
        let cluster = cluster(1, health());
        for _ in 0..9 {
            cluster.failed(&cluster.servers[0], Cause::Unreachable);
            cluster.answered_badly(&cluster.servers[0]);
        }
        assert_eq!(out(&cluster), [false]);
    }

    #[test]
    fn checks_take_a_server_out_and_in_again() {
        let cluster = cluster(2, health());
        cluster.gone(&cluster.servers[1]);
        wait(&cluster, 100 * EVERY);
        assert_eq!(out(&cluster), [false, true], "until they say otherwise");
        for key in 0..20 {
            assert!(Arc::ptr_eq(&cluster.choose(key, &[]).unwrap(), &cluster.servers[0]));
        }
        cluster.back(&cluster.servers[1]);
        let share = (0..1000)
            .filter(|key| Arc::ptr_eq(&cluster.choose(*key, &[]).unwrap(), &cluster.servers[1]))
            .count();
        assert!((20..100).contains(&share), "a tenth of its half at first: {share}");
        wait(&cluster, EVERY);
        let share = (0..1000)
            .filter(|key| Arc::ptr_eq(&cluster.choose(*key, &[]).unwrap(), &cluster.servers[1]))
            .count();
        assert!((400..600).contains(&share), "{share}");
    }
}
