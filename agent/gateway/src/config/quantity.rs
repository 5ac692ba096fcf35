//! Values with their units: `"5 s"`, `"64 MiB"`, `"21.5 °C"`.
//!
//! Numbers are parsed as decimals and scaled as integers: `"0.1 s"` is exactly 100 ms. Every error message has the
//! allowed values.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use thermowell_wire::CentiCelsius;

use super::document::{Node, Value};

type Parsed<T> = Result<T, String>;

const TIMES: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const SIZES: &[(&str, i128)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
const TEMPERATURES: &[(&str, i128)] = &[("°C", 100), ("C", 100)];

/// A duration within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Parsed<Duration> {
    move |node| {
        let allowed = format!("{} to {}", show_duration(*range.start()), show_duration(*range.end()));
        let kind = Kind { units: TIMES, names: "ms, s, min, h", what: "a duration" };
        let nanoseconds = kind.read(node, &show_duration(*range.start()), &allowed)?;
        let value = u64::try_from(nanoseconds).map(Duration::from_nanos);
        value.ok().filter(|value| range.contains(value)).ok_or_else(|| out_of_range(&allowed))
    }
}

/// A size in bytes within `range`.
pub(super) fn bytes(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Parsed<u64> {
    move |node| {
        let allowed = format!("{} to {}", show_bytes(*range.start()), show_bytes(*range.end()));
        let kind = Kind { units: SIZES, names: "B, KiB, MiB, GiB, TiB", what: "a size" };
        let count = kind.read(node, &show_bytes(*range.start()), &allowed)?;
        let value = u64::try_from(count);
        value.ok().filter(|value| range.contains(value)).ok_or_else(|| out_of_range(&allowed))
    }
}

/// A temperature within `range`, in whole degrees Celsius.
pub(super) fn temperature(range: RangeInclusive<i8>) -> impl Fn(&Node) -> Parsed<CentiCelsius> {
    move |node| {
        let allowed = format!("{} °C to {} °C", range.start(), range.end());
        let kind = Kind { units: TEMPERATURES, names: "°C (or C)", what: "a temperature" };
        let centi = kind.read(node, &format!("{} °C", range.start()), &allowed)?;
        let inside = (i128::from(*range.start()) * 100..=i128::from(*range.end()) * 100).contains(&centi);
        let value = i16::try_from(centi).map(CentiCelsius);
        value.ok().filter(|_| inside).ok_or_else(|| out_of_range(&allowed))
    }
}

/// A whole number within `range`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&Node) -> Parsed<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |node| {
        let allowed = format!("{} to {}", range.start(), range.end());
        let Value::Integer(number) = node.value else {
            let wrong = unquoted(node, "a whole number", |text| text.parse::<i64>().is_ok());
            return Err(format!("{wrong}; allowed are {allowed}"));
        };
        T::try_from(number).ok().filter(|value| range.contains(value)).ok_or_else(|| out_of_range(&allowed))
    }
}

/// A number within `range`.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&Node) -> Parsed<f64> {
    move |node| {
        let allowed = format!("{} to {}", range.start(), range.end());
        let value = match node.value {
            Value::Float(number) => number,
            // An integer beyond 32 bits is out of every range here.
            Value::Integer(number) => i32::try_from(number).map_or(f64::INFINITY, f64::from),
            Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) => {
                let wrong = unquoted(node, "a number", |text| text.parse::<f64>().is_ok());
                return Err(format!("{wrong}; allowed are {allowed}"));
            }
        };
        Some(value).filter(|value| range.contains(value)).ok_or_else(|| out_of_range(&allowed))
    }
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Parsed<bool> {
    match node.value {
        Value::Boolean(flag) => Ok(flag),
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Table(_) => {
            let wrong = unquoted(node, "a boolean", |text| matches!(text, "true" | "false"));
            Err(format!("{wrong}; allowed are true and false"))
        }
    }
}

/// Any text that is not empty.
pub(super) fn text(node: &Node) -> Parsed<String> {
    match &node.value {
        Value::Text(text) if text.is_empty() => Err("empty".to_owned()),
        Value::Text(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) => {
            Err(format!("{}, expected a text; write it in quotes, \"{}\"", node.value.what(), node.text))
        }
        Value::Boolean(_) | Value::List(_) | Value::Table(_) => {
            Err(format!("{}, expected one text in quotes", node.value.what()))
        }
    }
}

/// An absolute path, such as `example`: a service's working directory is never the intended base.
pub(super) fn path(example: &'static str) -> impl Fn(&Node) -> Parsed<PathBuf> {
    move |node| {
        let path = PathBuf::from(text(node).map_err(|_| format!("not a path in quotes, such as \"{example}\""))?);
        if path.is_absolute() {
            return Ok(path);
        }
        Err(format!("not an absolute path, such as \"{example}\""))
    }
}

/// The error for a value of the wrong type, with a hint if only the quotes are wrong.
pub(super) fn unquoted(node: &Node, wanted: &str, is_fine: impl Fn(&str) -> bool) -> String {
    match &node.value {
        Value::Text(text) if is_fine(text) => format!("a text, expected {wanted}; write {text} without quotes"),
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) => {
            format!("not {wanted}")
        }
    }
}

/// A time of day as minutes since midnight.
pub(super) fn time_of_day(node: &Node) -> Parsed<u16> {
    let complaint = || "not a time of day, allowed are \"00:00\" to \"23:59\"".to_owned();
    let text = text(node).map_err(|_| complaint())?;
    let well_formed = text.len() == 5 && text.bytes().enumerate().all(|(i, b)| (i == 2) || b.is_ascii_digit());
    let (hour, minute) = text.split_once(':').filter(|_| well_formed).ok_or_else(complaint)?;
    let (hour, minute) =
        (hour.parse::<u16>().map_err(|_| complaint())?, minute.parse::<u16>().map_err(|_| complaint())?);
    if hour < 24 && minute < 60 { Ok(hour * 60 + minute) } else { Err(complaint()) }
}

fn out_of_range(allowed: &str) -> String {
    format!("out of range, allowed are {allowed}")
}

/// A kind of quantity: its units with their factors, the units' names, and the quantity's name.
struct Kind {
    units: &'static [(&'static str, i128)],
    names: &'static str,
    what: &'static str,
}

impl Kind {
    /// The amount in the smallest unit.
    fn read(&self, node: &Node, example: &str, allowed: &str) -> Parsed<i128> {
        let Self { units, names, what } = self;
        let Value::Text(text) = &node.value else {
            return Err(format!("not {what} with its unit in quotes, such as \"{example}\"; allowed are {allowed}"));
        };
        let text = text.trim();
        if text.starts_with(['−', '–', '‐', '‑']) {
            return Err(format!("a dash that is not a minus sign; write -, as in \"-5\"; allowed are {allowed}"));
        }
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+')).unwrap_or(text.len());
        let (digits, unit) = (&text[..end], text[end..].trim());
        if unit.strip_prefix(',').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            return Err(format!("a decimal comma; write a decimal point, as in \"1.5\"; allowed are {allowed}"));
        }
        let Some((mantissa, scale)) = decimal(digits) else {
            return Err(format!("not {what}, such as \"{example}\"; allowed are {allowed}"));
        };
        let units_are = format!("units of {what} are {names}, as in \"{example}\"; allowed are {allowed}");
        if unit.is_empty() {
            return Err(format!("no unit; {units_are}"));
        }
        let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit \"{unit}\"; {units_are}"));
        };
        let scaled = mantissa * factor;
        if scaled % scale != 0 {
            return Err(format!("too many decimals; allowed are {allowed}"));
        }
        Ok(scaled / scale)
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

/// A duration in its largest whole unit.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    show(i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX), TIMES)
}

/// A size in its largest whole unit.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    show(i128::from(bytes), SIZES)
}

fn show(amount: i128, units: &[(&str, i128)]) -> String {
    let whole = units.iter().rev().find(|(_, factor)| amount % factor == 0 && amount >= *factor);
    let (name, factor) = whole.unwrap_or(&units[0]);
    format!("{} {name}", amount / factor)
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
    }
}
