//! Whether this machine's clock can be right: by the calendar, by the store, and by what applications say.

use std::time::Duration;

use crate::base::time::{MINUTE, Timestamp};

use super::fault::{Area, Fault};

/// Nobody ran this program before.
const FIRST: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01
/// Nor will anybody in a later century.
const LAST: Timestamp = Timestamp::from_secs(4_102_444_800); // 2100-01-01
/// How far the store may be ahead: leap seconds and small corrections.
const SLACK: Duration = MINUTE;
/// From here on a difference is worth a look, and from there on assertions are refused on the other side.
const SKEWED: Duration = Duration::from_secs(30);
const FAR: Duration = Duration::from_secs(120);

const SET_IT: &str = "set the clock, and have chrony or systemd-timesyncd keep it";

/// A year in which this program cannot run.
pub(super) fn year(now: Timestamp) -> Option<Fault> {
    let what = if now < FIRST {
        "this machine's clock stands before the program was written"
    } else if now >= LAST {
        "this machine's clock is in a later century"
    } else {
        return None;
    };
    Some(Fault::error(Area::Clock, "clock-year", now.to_string(), what, SET_IT))
}

/// The store remembers something later than now.
pub(super) fn behind(now: Timestamp, last_event: Timestamp) -> Option<Fault> {
    let ahead = last_event.since(now);
    (ahead > SLACK).then(|| {
        Fault::error(
            Area::Clock,
            "clock-stepped-back",
            now.to_string(),
            format!(
                "the last event in the store is of {last_event}, {} s ahead of the clock",
                ahead.as_secs()
            ),
            "set the clock; if it was ahead when that event was written, sessions and tokens made then last longer by so much",
        )
    })
}

/// An application's `Date` says another time. It was asked between `before` and `after`.
pub(super) fn skew(at: &str, date: Timestamp, before: Timestamp, after: Timestamp) -> Option<Fault> {
    // The field counts whole seconds.
    let ahead = date.since(after);
    let behind = before.since(date.after(Duration::from_secs(1)));
    let apart = ahead.max(behind);
    if apart <= SKEWED {
        return None;
    }
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    let what = format!("its clock is {} s {direction} this machine's", apart.as_secs());
    let help = "set both clocks from the same source: an application that checks the assertion refuses one from the future or the past";
    Some(if apart > FAR {
        Fault::error(Area::Clock, "clock-skew", at, what, help)
    } else {
        Fault::warning(Area::Clock, "clock-skew", at, what, help)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fault::Severity;
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_told() {
        for (name, now, wrong) in [
            ("a battery is empty", "1970-01-01T00:03:00Z", true),
            ("just before", "2025-12-31T23:59:59Z", true),
            ("today", "2026-11-30T12:00:00Z", false),
            ("next century", "2100-01-01T00:00:00Z", true),
        ] {
            assert_eq!(year(at(now)).is_some(), wrong, "{name}");
        }
        let noon = at("2026-11-30T12:00:00Z");
        for (name, last, wrong) in [
            ("an event just now", noon, false),
            ("a small correction", noon.after(SLACK), false),
            ("a step back", noon.after(2 * SLACK), true),
            ("long ago", noon.before(365 * 24 * 60 * MINUTE), false),
        ] {
            assert_eq!(behind(noon, last).is_some(), wrong, "{name}");
        }
    }

    #[test]
    fn an_application_with_another_time_is_told_either_way() {
        let noon = at("2026-11-30T12:00:00Z");
        let later = noon.after(Duration::from_secs(5));
        for (name, date, expected) in [
            ("the same", noon, None),
            ("answered slowly", later, None),
            ("within whole seconds", noon.before(Duration::from_secs(31)), None),
            ("a little behind", noon.before(Duration::from_secs(60)), Some(Severity::Warning)),
            ("far behind", noon.before(Duration::from_secs(600)), Some(Severity::Error)),
            ("far ahead", later.after(Duration::from_secs(600)), Some(Severity::Error)),
        ] {
            assert_eq!(skew("app", date, noon, later).map(|fault| fault.severity), expected, "{name}");
        }
    }
}
