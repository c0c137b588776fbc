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
