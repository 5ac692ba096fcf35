//! Range-checked quantities of a scenario file.
//!
//! The range of a value is checked while it is parsed, so that the TOML parser refuses a wrong one with its line and
//! column.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de::Error};

/// Longest time in a scenario: longer than any run, short enough for microseconds in a `u64`.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Range of a device's ring: a slot takes 4 bytes, so 12 MB at most.
const MEMORY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8 * 3_600));

/// Parses a number from `LOW` to `HIGH`, both included.
pub(crate) fn within<'de, D, const LOW: i32, const HIGH: i32>(deserializer: D) -> Result<f64, D::Error>
where
    D: Deserializer<'de>,
{
    let value = f64::deserialize(deserializer)?;
    // NaN is in no range.
    if (f64::from(LOW)..=f64::from(HIGH)).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format_args!("{value} is not from {LOW} to {HIGH}")))
    }
}

/// Parses an optional number.
pub(crate) fn perhaps<'de, D, const LOW: i32, const HIGH: i32>(deserializer: D) -> Result<Option<f64>, D::Error>
where
    D: Deserializer<'de>,
{
    within::<D, LOW, HIGH>(deserializer).map(Some)
}

/// Parses a point in time, or a length that may be zero: `"1h30m"`, `"45 s"`, `"0 s"`.
pub(crate) fn offset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map_err(D::Error::custom)
}

/// Parses a length above zero: `"30 s"`, `"500 ms"`.
pub(crate) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match duration(&text) {
        Ok(Duration::ZERO) => Err(D::Error::custom("the time must be longer than 0 s")),
        Ok(length) => Ok(length),
        Err(message) => Err(D::Error::custom(message)),
    }
}

/// Parses the length of a device's ring: from one second to 8 hours.
pub(crate) fn perhaps_memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let length = span(deserializer)?;
    if (MEMORY.0..=MEMORY.1).contains(&length) {
        return Ok(Some(length));
    }
    Err(D::Error::custom("a device remembers from 1 s to 8 h"))
}

/// Parses an argument that is a whole number within `allowed`.
///
/// # Errors
/// What is wrong, and what is allowed.
pub fn whole<T: TryFrom<i64> + PartialOrd + Display>(text: &str, allowed: RangeInclusive<T>) -> Result<T, String> {
    let (low, high) = (allowed.start(), allowed.end());
    let number: i64 = text.parse().map_err(|_| format!("not a whole number, allowed are {low} to {high}"))?;
    let value = T::try_from(number).ok().filter(|value| allowed.contains(value));
    value.ok_or_else(|| format!("out of range, allowed are {low} to {high}"))
}

/// Microseconds, the unit of simulated time.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Begin and end of a time in µs, the end excluded.
pub(crate) fn window_us(at: Duration, length: Duration) -> (u64, u64) {
    let from_us = micros(at);
    (from_us, from_us.saturating_add(micros(length)))
}

/// Parses a time: `"1h30m"`, `"45 s"`, `"500 ms"`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let length: SignedDuration =
        text.trim().parse().map_err(|_| format!("`{text}` is not a time such as \"45 s\" or \"1h30m\""))?;
    match Duration::try_from(length) {
        Ok(length) if length <= LONGEST => Ok(length),
        Ok(_) | Err(_) => Err(format!("`{text}` is not from 0 s to 366 days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_in_usual_notations() {
        for (text, seconds) in [("45 s", 45), ("1h30m", 5400), ("2 min", 120), ("0 s", 0), ("1 hour 5 minutes", 3900)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500 ms"), Ok(Duration::from_millis(500)));
        for text in ["", "5", "-3 s", "soon", "9999999 h"] {
            assert!(duration(text).is_err(), "{text} must be refused");
        }
    }
}
