//! Values with their units as people write and read them: `"5 s"`, `"1h30m"`, `"64 MiB"`, `"21.5 °C"`.
//!
//! Numbers are parsed as decimals and scaled as integers: `"0.1 s"` is exactly 100 ms.

use std::time::Duration;

use jiff::Timestamp;
use thermowell_flow::time::Utc;

/// A kind of quantity.
pub(crate) struct Kind {
    /// The units in ascending order, each with its factor; of two names for one unit the second is printed.
    units: &'static [(&'static str, i128)],
    /// The units' names for messages.
    names: &'static str,
    /// The quantity's name for messages.
    what: &'static str,
}

/// Durations, in nanoseconds.
pub(crate) const TIME: Kind = Kind {
    units: &[
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("min", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
    ],
    names: "ms, s, min, h, d",
    what: "a duration",
};
/// Sizes, in bytes.
pub(crate) const SIZE: Kind = Kind {
    units: &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)],
    names: "B, KiB, MiB, GiB, TiB",
    what: "a size",
};
/// Temperatures, in hundredths of a degree Celsius.
pub(crate) const TEMPERATURE: Kind =
    Kind { units: &[("C", 100), ("°C", 100)], names: "°C (or C)", what: "a temperature" };

/// Differences of temperatures, in hundredths of a kelvin.
pub(crate) const DIFFERENCE: Kind = Kind { units: &[("K", 100)], names: "K", what: "a difference of temperatures" };

impl Kind {
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// The amount in the smallest unit: one number and its unit, or several in descending units, as in `1h30m`.
    /// An error shows `example`.
    pub(crate) fn parse(&self, text: &str, example: &str) -> Result<i128, String> {
        let Self { units, names, what } = self;
        let (mut rest, mut total, mut last) = (text.trim(), 0, i128::MAX);
        if rest.starts_with(['−', '–', '‐', '‑']) {
            return Err("a dash that is not a minus sign; write -, as in \"-5\"".to_owned());
        }
        while !rest.is_empty() || last == i128::MAX {
            let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+')).unwrap_or(rest.len());
            let (digits, unit) = (&rest[..end], rest[end..].trim_start());
            if unit.strip_prefix(',').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
                return Err("a decimal comma; write a decimal point, as in \"1.5\"".to_owned());
            }
            let (unit, more) = unit.split_at(unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len()));
            let Some((mantissa, scale)) = decimal(digits) else {
                return Err(format!("not {what}, such as \"{example}\""));
            };
            let unit = unit.trim();
            let units_are = format!("units of {what} are {names}, as in \"{example}\"");
            if unit.is_empty() {
                return Err(format!("no unit; {units_are}"));
            }
            let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
                return Err(format!("unknown unit \"{unit}\"; {units_are}"));
            };
            if *factor >= last {
                return Err(format!("not {what}, such as \"{example}\""));
            }
            let scaled = mantissa * factor;
            if scaled % scale != 0 {
                return Err("too many decimals".to_owned());
            }
            (rest, total, last) = (more, total + scaled / scale, *factor);
        }
        Ok(total)
    }

    /// The amount in its largest whole unit.
    pub(crate) fn show(&self, amount: i128) -> String {
        let whole = self.units.iter().rev().find(|(_, factor)| amount % factor == 0 && amount.abs() >= *factor);
        let (name, factor) = whole.unwrap_or(&self.units[0]);
        format!("{} {name}", amount / factor)
    }
}

/// A decimal as its digits and the power of ten to divide them by. At most 18 digits, so that no product with a unit
/// overflows.
fn decimal(text: &str) -> Option<(i128, i128)> {
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || magnitude.ends_with('.') {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    if digits.len() > 18 {
        return None;
    }
    let exponent = u32::try_from(fraction.len()).ok()?;
    Some((sign * digits.parse::<i128>().ok()?, 10_i128.pow(exponent)))
}

/// A duration above 0 as an argument: `30m`, `1h30m`, `90 s`.
///
/// # Errors
/// What is wrong with the text, and examples.
pub fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = TIME.parse(text, "1h30m").map(u64::try_from);
    match nanoseconds {
        Ok(Ok(nanoseconds)) if nanoseconds > 0 => Ok(Duration::from_nanos(nanoseconds)),
        Ok(_) => Err("expected a duration above 0, such as 30m, 1h30m or 3d".to_owned()),
        Err(wrong) => Err(format!("{wrong}; expected a duration such as 30m, 1h30m or 3d")),
    }
}

/// The full hour of an RFC 3339 time, in hours since 1970.
#[must_use]
pub fn full_hour(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    (time.as_second() % 3_600 == 0 && time.subsec_nanosecond() == 0).then(|| time.as_second() / 3_600)
}

/// A day, which begins at midnight UTC, or an RFC 3339 time, in UTC nanoseconds: `2026-01-07`, `2026-01-07T02:00:00Z`.
///
/// # Errors
/// It is neither, or outside of the years that nanoseconds can count.
pub(crate) fn instant(text: &str) -> Result<i64, String> {
    let day = || format!("{text}T00:00:00Z").parse::<Timestamp>();
    let time = text.parse::<Timestamp>().or_else(|_| day()).ok();
    let nanoseconds = time.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    nanoseconds.ok_or_else(|| "expected a day as 2026-01-07, or a time as 2026-01-07T02:00:00Z".to_owned())
}

/// An RFC 3339 time in Unix seconds: also one that nanoseconds cannot count, as in certificates without an end.
pub(crate) fn second(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// Whole Unix seconds as a number.
#[expect(clippy::cast_precision_loss, reason = "seconds of any date stay far below 2^53")]
pub(crate) fn unix(seconds: i64) -> f64 {
    seconds as f64
}

/// Unix seconds as a date and time, rounded to a second; empty if they are out of range.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and jiff refuses times out of range")]
pub(crate) fn moment(unix_seconds: f64) -> String {
    Timestamp::from_second(unix_seconds.round() as i64).map(|at| at.to_string()).unwrap_or_default()
}

/// Unix seconds in nanoseconds.
pub(crate) fn nanos(unix_seconds: f64) -> i64 {
    Utc::from_unix_seconds(unix_seconds).0
}

/// A duration in its largest whole unit, as the configuration takes it.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    TIME.show(i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX))
}

/// A size in its largest whole unit, as the configuration takes it.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    SIZE.show(i128::from(bytes))
}

/// A measured duration, rounded: `0.2 s`, `20.4 s`, `3 min 20 s`, `2 h 1 min`.
#[must_use]
pub fn show_measured(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    let seconds = tenths / 10;
    match seconds {
        0..60 => format!("{seconds}.{} s", tenths % 10),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600.. => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// Digits with a separator between the thousands.
#[must_use]
pub fn grouped(digits: &str, separator: char) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        assert_eq!(decimal("0.1"), Some((1, 10)));
        assert_eq!(decimal("-12.50"), Some((-1250, 100)));
        assert_eq!(decimal("+7"), Some((7, 1)));
        for wrong in ["", ".", "1.", ".5", "-", "1-2", "1.2.3", "--1", "1234567890123456789"] {
            assert_eq!(decimal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn amounts_are_shown_in_their_largest_whole_unit() {
        assert_eq!(show_duration(Duration::from_secs(120)), "2 min");
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500 ms");
        assert_eq!(show_duration(Duration::ZERO), "0 ns");
        assert_eq!(show_bytes(64 << 20), "64 MiB");
        assert_eq!(show_bytes(1000), "1000 B");
        assert_eq!(TEMPERATURE.show(-50_00), "-50 °C");
    }

    #[test]
    fn measured_duration_has_at_most_two_units() {
        let shown = [0, 999, 20_449, 59_999, 200_000, 7_260_000].map(|ms| show_measured(Duration::from_millis(ms)));
        assert_eq!(shown, ["0.0 s", "1.0 s", "20.4 s", "1 min 0 s", "3 min 20 s", "2 h 1 min"]);
    }

    #[test]
    fn arguments_parse_in_usual_forms_and_must_be_positive() {
        for (text, seconds) in [
            ("30m", 1_800),
            ("1h30m", 5_400),
            ("90 s", 90),
            ("45 min", 2_700),
            ("3d", 259_200),
            ("1.5 h", 5_400),
            ("1 h 30 min 5 s", 5_405),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        let wrong = [
            "",
            "30",
            "h",
            "-5m",
            "5m ago",
            "0s",
            "a while",
            "1 month",
            "1h-",
            "1h 1h",
            "5s 1h",
            "1h -5m",
            "99999999999999999999h",
            "99999999999999999h",
        ];
        for wrong in wrong {
            assert!(duration(wrong).unwrap_err().contains("30m"), "{wrong}");
        }
    }

    #[test]
    fn instants_are_days_or_times_with_an_offset() {
        let noon = 1_767_787_200_000_000_000;
        assert_eq!(instant("2026-01-07T12:00:00Z"), Ok(noon));
        assert_eq!(instant("2026-01-07T13:00:00+01:00"), Ok(noon));
        assert_eq!(instant("2026-01-07"), Ok(noon - 43_200_000_000_000));
        for wrong in ["", "yesterday", "2026-01-32", "2026-01-07T12:00:00", "9999-01-01", "12:00"] {
            assert!(instant(wrong).unwrap_err().contains("2026-01-07"), "{wrong}");
        }
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(moment(1_767_232_799.4), "2026-01-01T01:59:59Z");
        assert_eq!(moment(f64::INFINITY), "");
        assert_eq!(full_hour("1970-01-02T01:00:00Z"), Some(25));
    }
}
