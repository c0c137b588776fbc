//! Moments and the one clock that tells them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// One hour.
pub const HOUR: Duration = Duration::from_secs(60 * 60);
/// One day of 24 hours; leap seconds and daylight saving do not count.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How far ahead of now a moment may lie that was now when it was noted. Clocks that are being corrected go back by less; one that was set
/// back further makes such moments unbelievable, and what counts from them is taken to be over.
pub const CORRECTION: Duration = Duration::from_secs(5 * 60);

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Kept between the years -9999 and 9999, so that every one can be written as RFC 3339; arithmetic stops at the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    const MIN_MILLIS: i64 = -377_705_023_201_000;
    const MAX_MILLIS: i64 = 253_402_207_200_000;

    /// The moment that many milliseconds after 1970, or the nearest one that can be written.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < Self::MIN_MILLIS {
            Self(Self::MIN_MILLIS)
        } else if millis > Self::MAX_MILLIS {
            Self(Self::MAX_MILLIS)
        } else {
            Self(millis)
        }
    }

    /// The moment that many seconds after 1970.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// Reads an RFC 3339 instant, such as `2026-03-01T12:00:00Z`.
    ///
    /// # Errors
    /// [`NotAnInstant`] if the text is anything else, a local time without an offset included.
    pub fn parse_rfc3339(text: &str) -> Result<Self, NotAnInstant> {
        text.parse::<jiff::Timestamp>()
            .map(|at| Self::from_millis(at.as_millisecond()))
            .map_err(|_| NotAnInstant)
    }

    /// Reads a `Date` of HTTP, such as `Sun, 06 Nov 1994 08:49:37 GMT`. Source: RFC 9110 section 5.6.7, the form that is sent today.
    ///
    /// # Errors
    /// [`NotAnInstant`] if the text is anything else.
    pub fn parse_http_date(text: &str) -> Result<Self, NotAnInstant> {
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(text)
            .map(|at| Self::from_millis(at.as_millisecond()))
            .map_err(|_| NotAnInstant)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The moment `span` earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_millis)
    }

    /// Whether this moment, which was now when it was noted, lies so far ahead of `now` that the clock must have been set back since.
    ///
    /// How old such a thing is, nobody can say. Without this, setting the clock back by a day would give everything a day more to live.
    #[must_use]
    pub fn is_out_of_time(self, now: Self) -> bool {
        self > now.after(CORRECTION)
    }

    /// The same moment for `jiff`, which knows time zones.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-03-02T10:00:00.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

/// The text is not an RFC 3339 instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an instant; write one as 2026-03-01T12:00:00Z")]
pub struct NotAnInstant;

/// What tells the time: the system's clock, or one that a test moves.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The wall clock of the machine.
    #[default]
    System,
    /// A clock that stands still until it is moved; clones move together.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at` until it is moved.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.as_millis())))
    }

    /// The moment it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
            Self::System => Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()),
            Self::Fixed(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a fixed clock on; the system's clock cannot be moved and is left alone.
    pub fn advance(&self, span: Duration) {
        if let Self::Fixed(millis) = self {
            millis.store(self.now().after(span).as_millis(), Ordering::SeqCst);
        }
    }

    /// Sets a fixed clock, forwards or back; the system's clock is left alone.
    pub fn set(&self, at: Timestamp) {
        if let Self::Fixed(millis) = self {
            millis.store(at.as_millis(), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_reads_back_as_it_was_written() {
        let at = Timestamp::parse_rfc3339("2026-03-02T10:00:00.123Z").unwrap();
        assert_eq!(at.to_string(), "2026-03-02T10:00:00.123Z");
        assert_eq!(Timestamp::from_secs(0).to_string(), "1970-01-01T00:00:00.000Z");
        for text in ["2026-03-02", "2026-03-02T10:00:00", "now", ""] {
            assert_eq!(Timestamp::parse_rfc3339(text), Err(NotAnInstant), "{text}");
        }
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        let at = Timestamp::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at, Ok(Timestamp::from_secs(784_111_777)));
        assert_eq!(Timestamp::parse_http_date("yesterday"), Err(NotAnInstant));
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_time() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.after(DAY), end);
        assert!(end.to_string().starts_with("9999"), "{end}");
        let start = Timestamp::from_millis(i64::MIN);
        assert_eq!(start.before(DAY), start);
        assert_eq!(start.since(end), Duration::ZERO);
        assert!(!start.to_string().is_empty());
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told_and_its_clones_with_it() {
        let clock = Clock::fixed(Timestamp::from_secs(100));
        let other = clock.clone();
        clock.advance(MINUTE);
        assert_eq!(other.now(), Timestamp::from_secs(160));
    }
}
