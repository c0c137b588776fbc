//! Stretches of time: some hours of some days, in a time zone.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::base::time::Timestamp;
use crate::model::name::WindowName;

use super::place::Place;

/// A stretch of the day on some days, or of some dates, in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Its name.
    pub name: WindowName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<WindowName>,
    /// Days of the week on which it begins; empty is every day.
    pub days: Vec<civil::Weekday>,
    /// Minute of the day at which it begins, 0 to 1439.
    pub from_minute: u16,
    /// Minute of the day before which it ends, 1 to 1440; less than `from_minute` crosses midnight.
    pub to_minute: u16,
    /// Whose midnight.
    pub timezone: TimeZone,
    /// Dates on which it begins, first and last included; empty is any date.
    pub dates: Vec<(civil::Date, civil::Date)>,
}

impl Window {
    /// Whether `now` is inside.
    ///
    /// The day that counts is the one on which the stretch began: Friday 22:00 to 06:00 holds on Saturday at five. Where clocks are
    /// put forward or back, the clock on the wall decides.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        let local = self.timezone.to_datetime(now.to_jiff());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let today = local.date();
        if self.from_minute < self.to_minute {
            return (self.from_minute..self.to_minute).contains(&minute) && self.begins_on(today);
        }
        (minute >= self.from_minute && self.begins_on(today))
            || (minute < self.to_minute && today.yesterday().is_ok_and(|yesterday| self.begins_on(yesterday)))
    }

    fn begins_on(&self, date: civil::Date) -> bool {
        let weekday = self.days.is_empty() || self.days.contains(&date.weekday());
        let dated = self.dates.is_empty() || self.dates.iter().any(|(first, last)| (*first..=*last).contains(&date));
        weekday && dated
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Weekday, date};

    use super::*;

    fn window(days: &[Weekday], from: u16, to: u16, zone: &str) -> Window {
        Window {
            name: "w".parse().unwrap(),
            at: Place::default(),
            formerly: Vec::new(),
            days: days.to_vec(),
            from_minute: from * 60,
            to_minute: to * 60,
            timezone: TimeZone::get(zone).unwrap(),
            dates: Vec::new(),
        }
    }

    #[test]
    fn a_window_opens_by_the_clock_on_its_own_wall() {
        use Weekday::{Friday, Saturday, Sunday};
        let office = window(&[Friday], 8, 18, "Europe/Zurich");
        let night = window(&[Friday], 22, 6, "UTC");
        let whole = window(&[Saturday, Sunday], 0, 24, "UTC");
        for (name, window, at, inside) in [
            ("before it opens", &office, "2026-03-06T06:59:59Z", false),
            ("as it opens", &office, "2026-03-06T07:00:00Z", true),
            ("as it closes", &office, "2026-03-06T17:00:00Z", false),
            ("summer time", &office, "2026-07-03T06:00:00Z", true),
            ("another day", &office, "2026-03-05T12:00:00Z", false),
            ("Friday night", &night, "2026-03-06T22:00:00Z", true),
            ("early on Saturday, begun on Friday", &night, "2026-03-07T05:59:59Z", true),
            ("it is over at six", &night, "2026-03-07T06:00:00Z", false),
            ("early on Friday was Thursday's", &night, "2026-03-06T05:00:00Z", false),
            ("Saturday's first minute", &whole, "2026-03-07T00:00:00Z", true),
            ("Sunday's last second", &whole, "2026-03-08T23:59:59Z", true),
            ("Monday", &whole, "2026-03-09T00:00:00Z", false),
        ] {
            assert_eq!(window.contains(Timestamp::parse_rfc3339(at).unwrap()), inside, "{name}");
        }
    }

    #[test]
    fn dates_are_first_and_last_included() {
        let mut holidays = window(&[], 0, 24, "UTC");
        holidays.dates = vec![(date(2026, 12, 24), date(2026, 12, 26))];
        for (at, inside) in [
            ("2026-12-23T23:59:59Z", false),
            ("2026-12-24T00:00:00Z", true),
            ("2026-12-26T23:59:59Z", true),
            ("2026-12-27T00:00:00Z", false),
        ] {
            assert_eq!(holidays.contains(Timestamp::parse_rfc3339(at).unwrap()), inside, "{at}");
        }
    }
}
