//! How quantities are written in files: durations, sizes, rates, times of day, and the flaws they can have.

use std::time::Duration;

/// What is wrong with a value, before its place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Stable code, such as `E103`.
    pub code: &'static str,
    /// What is wrong: small first letter, no full stop.
    pub message: String,
    /// How to put it right.
    pub help: Option<String>,
}

impl Flaw {
    /// A flaw without a hint.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
        }
    }

    /// The value is not written as it has to be (`E103`).
    #[must_use]
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new("E103", message)
    }

    /// The value lies outside what is allowed (`E104`).
    #[must_use]
    pub fn range(message: impl Into<String>) -> Self {
        Self::new("E104", message)
    }

    /// Says how to put it right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// Reads `250ms`, `30s`, `15m`, `8h`, `7d`, or `0`.
///
/// # Errors
/// `E103` for anything else.
pub fn duration(text: &str) -> Result<Duration, Flaw> {
    let wrong = || Flaw::malformed(format!("\"{text}\" is not a duration")).help("write a number and one of ms s m h d, such as 30s or 8h");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    if number == 0 && unit.is_empty() {
        return Ok(Duration::ZERO);
    }
    let unit_millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(wrong()),
    };
    // A hundred years: beyond it sums of times would leave what can be written.
    let most = 36_500 * 24 * 60 * 60 * 1000;
    match number.checked_mul(unit_millis) {
        Some(millis) if millis <= most => Ok(Duration::from_millis(millis)),
        _ => Err(Flaw::range(format!("\"{text}\" is longer than a hundred years"))),
    }
}

/// A duration as it would be written: `90s`, `8h`.
#[must_use]
pub fn show_duration(span: Duration) -> String {
    let millis = span.as_millis();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= length && millis.is_multiple_of(length) {
            return format!("{}{unit}", millis / length);
        }
    }
    if millis == 0 { "0".to_owned() } else { format!("{millis}ms") }
}

/// Reads `512B`, `64KiB`, `20MiB`, `2GiB`, or `0`; the answer is in bytes.
///
/// # Errors
/// `E103` for anything else.
pub fn size(text: &str) -> Result<u64, Flaw> {
    let wrong = || Flaw::malformed(format!("\"{text}\" is not a size")).help("write a number and one of B KiB MiB GiB, such as 64KiB");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let bytes: u64 = match unit {
        "" if number == 0 => 1,
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(bytes)
        .filter(|bytes| *bytes <= 1 << 50)
        .ok_or_else(|| Flaw::range(format!("\"{text}\" is too much")))
}

/// So many in so long: `120/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; at least one.
    pub count: u32,
    /// In how long; longer than zero.
    pub per: Duration,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.count, show_duration(self.per))
    }
}

/// Reads `120/1m`.
///
/// # Errors
/// `E103` for anything else, zero included.
pub fn rate(text: &str) -> Result<Rate, Flaw> {
    let wrong = || Flaw::malformed(format!("\"{text}\" is not a rate")).help("write a number and a duration, such as 120/1m");
    let (count, per) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.parse().map_err(|_| wrong())?;
    let per = duration(per).map_err(|_| wrong())?;
    if count == 0 || per.is_zero() {
        return Err(wrong());
    }
    Ok(Rate { count, per })
}

/// Reads a time of day, `00:00` to `24:00`, as minutes since midnight.
///
/// # Errors
/// `E103` for anything else.
pub fn time_of_day(text: &str) -> Result<u16, Flaw> {
    let wrong = || Flaw::malformed(format!("\"{text}\" is not a time of day")).help("write it as 07:00, between 00:00 and 24:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let two = |part: &str| -> Option<u16> {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse().ok())
            .flatten()
    };
    let (hour, minute) = (two(hour).ok_or_else(wrong)?, two(minute).ok_or_else(wrong)?);
    if minute > 59 || hour * 60 + minute > 24 * 60 {
        return Err(wrong());
    }
    Ok(hour * 60 + minute)
}

/// The one of `known` that was probably meant by `written`, if any is near enough.
#[must_use]
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let bound = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|name| *name != written)
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= bound || (written.len() >= 4 && name.starts_with(written)))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0", Some(0)),
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("15m", Some(900_000)),
            ("8h", Some(28_800_000)),
            ("7d", Some(604_800_000)),
            ("7", None),
            ("s", None),
            ("-1s", None),
            ("1.5h", None),
            ("1h30m", None),
            ("99999999999d", None),
            ("", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text:?}");
        }
        for text in ["250ms", "30s", "15m", "8h", "7d", "0", "90s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_and_rates_and_times() {
        for (text, expected) in [
            ("0", Some(0)),
            ("64KiB", Some(65_536)),
            ("20MiB", Some(20 << 20)),
            ("64KB", None),
            ("64", None),
            ("KiB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text:?}");
        }
        for (text, expected) in [
            ("120/1m", Some((120, 60))),
            ("0/1m", None),
            ("5/0s", None),
            ("5", None),
            ("5/m", None),
        ] {
            assert_eq!(rate(text).ok().map(|rate| (rate.count, rate.per.as_secs())), expected, "{text:?}");
        }
        for (text, expected) in [
            ("00:00", Some(0)),
            ("07:30", Some(450)),
            ("24:00", Some(1440)),
            ("24:01", None),
            ("7:30", None),
            ("07:60", None),
        ] {
            assert_eq!(time_of_day(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest("lab-admn", ["lab-user", "lab-admin"]), Some("lab-admin"));
        assert_eq!(nearest("titel", ["title", "require"]), Some("title"));
        assert_eq!(nearest("xyz", ["title", "require"]), None);
    }
}
