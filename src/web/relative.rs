//! Times as people say them: "5 minutes ago". The script says them the same way.

use crate::base::time::Timestamp;

/// A moment as a page shows it: for machines, for people, and in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339 in UTC, to the second.
    pub iso: String,
    /// How far it is from now, in words.
    pub words: String,
    /// In full: `12 March 2026, 14:29 UTC`.
    pub full: String,
}

impl Moment {
    /// `at`, seen from `now`.
    #[must_use]
    pub fn of(at: Timestamp, now: Timestamp) -> Self {
        Self {
            iso: iso(at),
            words: words(at, now),
            full: full(at),
        }
    }

    /// The date alone: `12 March 2026`.
    #[must_use]
    pub fn date(&self) -> &str {
        self.full.split(',').next().unwrap_or("")
    }
}

/// RFC 3339 in UTC, to the second: `2026-03-12T14:29:41Z`.
#[must_use]
pub fn iso(at: Timestamp) -> String {
    at.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment in full: `12 March 2026, 14:29 UTC`.
#[must_use]
pub fn full(at: Timestamp) -> String {
    at.to_jiff().strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// The time of day: `15:24 UTC`.
#[must_use]
pub fn time_of_day(at: Timestamp) -> String {
    at.to_jiff().strftime("%H:%M UTC").to_string()
}

/// How far `at` is from `now`. `relative` in `assets/portcullis.js` is the same table; a test holds them together.
#[must_use]
pub fn words(at: Timestamp, now: Timestamp) -> String {
    let distance = at.as_millis().saturating_sub(now.as_millis());
    let span = span(distance.unsigned_abs());
    if distance > 0 {
        format!("in {span}")
    } else {
        format!("{span} ago")
    }
}

fn span(millis: u64) -> String {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let rounded = |unit: u64| (millis + unit / 2) / unit;
    match millis {
        m if m < 45 * SECOND => "seconds".to_owned(),
        m if m < 90 * SECOND => "a minute".to_owned(),
        m if m < 45 * MINUTE => format!("{} minutes", rounded(MINUTE)),
        m if m < 90 * MINUTE => "an hour".to_owned(),
        m if m < 22 * HOUR => format!("{} hours", rounded(HOUR)),
        m if m < 36 * HOUR => "a day".to_owned(),
        _ => format!("{} days", rounded(DAY)),
    }
}

/// A length of time in the largest unit that says it without a fraction: `12 hours`, `30 minutes`, `a day`.
#[must_use]
pub fn length(span: std::time::Duration) -> String {
    let secs = span.as_secs();
    let (count, unit) = match secs {
        s if s >= 172_800 && s % 86_400 == 0 => (s / 86_400, "day"),
        s if s >= 3_600 && s % 3_600 == 0 => (s / 3_600, "hour"),
        s if s >= 60 && s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    if count == 1 {
        format!("1 {unit}")
    } else {
        format!("{count} {unit}s")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    /// Every row of the table and both sides of every edge: distance in milliseconds, words without direction.
    const ROWS: &[(i64, &str)] = &[
        (0, "seconds"),
        (SECOND, "seconds"),
        (45 * SECOND - 1, "seconds"),
        (45 * SECOND, "a minute"),
        (89 * SECOND, "a minute"),
        (90 * SECOND - 1, "a minute"),
        (90 * SECOND, "2 minutes"),
        (2 * MINUTE + 29 * SECOND, "2 minutes"),
        (2 * MINUTE + 30 * SECOND, "3 minutes"),
        (44 * MINUTE, "44 minutes"),
        (45 * MINUTE, "an hour"),
        (89 * MINUTE, "an hour"),
        (90 * MINUTE, "2 hours"),
        (21 * HOUR, "21 hours"),
        (22 * HOUR - 1, "22 hours"),
        (22 * HOUR, "a day"),
        (35 * HOUR, "a day"),
        (36 * HOUR - 1, "a day"),
        (36 * HOUR, "2 days"),
        (60 * HOUR - 1, "2 days"),
        (60 * HOUR, "3 days"),
        (112 * DAY, "112 days"),
    ];

    #[test]
    fn the_server_says_every_row_of_the_table() {
        let now = Timestamp::from_secs(1_773_325_800);
        for (distance, expected) in ROWS {
            let past = Timestamp::from_millis(now.as_millis() - distance);
            assert_eq!(words(past, now), format!("{expected} ago"), "{distance} ms ago");
            if *distance > 0 {
                let future = Timestamp::from_millis(now.as_millis() + distance);
                assert_eq!(words(future, now), format!("in {expected}"), "in {distance} ms");
            }
        }
    }

    #[test]
    fn the_script_says_every_row_of_the_table_too() {
        let script = include_str!("assets/portcullis.js");
        let start = script.find("function relative(ms)").unwrap();
        let end = start + script[start..].find("function tick()").unwrap();
        let distances: Vec<i64> = ROWS.iter().flat_map(|(distance, _)| [-distance, *distance]).collect();
        let program = format!(
            "{}\nfor (const ms of {distances:?}) console.log(relative(ms));",
            &script[start..end]
        );
        let Ok(run) = std::process::Command::new("node").arg("-e").arg(&program).output() else {
            eprintln!("node is not installed: the script's times were not tried");
            return;
        };
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let expected: Vec<String> = ROWS
            .iter()
            .flat_map(|(distance, words)| {
                let ahead = if *distance > 0 {
                    format!("in {words}")
                } else {
                    format!("{words} ago")
                };
                [format!("{words} ago"), ahead]
            })
            .collect();
        let said: Vec<String> = String::from_utf8(run.stdout).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn a_moment_is_told_three_ways() {
        let at = Timestamp::parse_rfc3339("2026-03-12T14:29:41.900Z").unwrap();
        let moment = Moment::of(at, at.after(Duration::from_secs(300)));
        assert_eq!(moment.iso, "2026-03-12T14:29:41Z");
        assert_eq!(moment.words, "5 minutes ago");
        assert_eq!(moment.full, "12 March 2026, 14:29 UTC");
        assert_eq!(moment.date(), "12 March 2026");
    }

    #[test]
    fn a_length_is_told_in_its_largest_whole_unit() {
        for (secs, expected) in [
            (43_200, "12 hours"),
            (86_400, "24 hours"),
            (172_800, "2 days"),
            (1_800, "30 minutes"),
            (60, "1 minute"),
            (90, "90 seconds"),
        ] {
            assert_eq!(length(Duration::from_secs(secs)), expected, "{secs}");
        }
    }
}
