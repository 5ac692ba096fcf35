//! The parsers of single values. Every error message has the allowed values.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use thermowell_wire::CentiCelsius;

use super::document::{Node, Value};
use crate::calendar;
use crate::quantity::{DIFFERENCE, Kind, SIZE, TEMPERATURE, TIME};

type Parsed<T> = Result<T, String>;

/// A duration within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Parsed<Duration> {
    let nanos = |duration: &Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    amount(&TIME, nanos(range.start())..=nanos(range.end()), |ns| u64::try_from(ns).ok().map(Duration::from_nanos))
}

/// A size in bytes within `range`.
pub(super) fn bytes(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Parsed<u64> {
    amount(&SIZE, i128::from(*range.start())..=i128::from(*range.end()), |bytes| u64::try_from(bytes).ok())
}

/// A temperature within `range`, in whole degrees Celsius.
pub(super) fn temperature(range: RangeInclusive<i8>) -> impl Fn(&Node) -> Parsed<CentiCelsius> {
    let centi = |degrees: i8| i128::from(degrees) * 100;
    let value = |centi| i16::try_from(centi).ok().map(CentiCelsius);
    amount(&TEMPERATURE, centi(*range.start())..=centi(*range.end()), value)
}

/// A difference of temperatures within `range`, in hundredths of a kelvin.
pub(super) fn difference(range: RangeInclusive<i16>) -> impl Fn(&Node) -> Parsed<CentiCelsius> {
    let range = i128::from(*range.start())..=i128::from(*range.end());
    amount(&DIFFERENCE, range, |centi| i16::try_from(centi).ok().map(CentiCelsius))
}

fn amount<T>(
    kind: &'static Kind,
    range: RangeInclusive<i128>,
    value: impl Fn(i128) -> Option<T>,
) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let example = kind.show(*range.start());
        let allowed = format!("{example} to {}", kind.show(*range.end()));
        let parsed = if let Value::Text(text) = &node.value {
            kind.parse(text, &example)
        } else {
            Err(format!("not {} with its unit in quotes, such as \"{example}\"", kind.what()))
        };
        let amount = parsed.map_err(|wrong| format!("{wrong}; allowed are {allowed}"))?;
        Some(amount).filter(|amount| range.contains(amount)).and_then(&value).ok_or_else(|| out_of_range(&allowed))
    }
}

/// A whole number within `range`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&Node) -> Parsed<T>
where
    T: TryFrom<i64> + PartialOrd + Display,
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
        let value = if let Value::Float(number) = node.value {
            number
        } else if let Value::Integer(number) = node.value {
            // An integer beyond 32 bits is out of every range here.
            i32::try_from(number).map_or(f64::INFINITY, f64::from)
        } else {
            let wrong = unquoted(node, "a number", |text| text.parse::<f64>().is_ok());
            return Err(format!("{wrong}; allowed are {allowed}"));
        };
        Some(value).filter(|value| range.contains(value)).ok_or_else(|| out_of_range(&allowed))
    }
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Parsed<bool> {
    let Value::Boolean(flag) = node.value else {
        let wrong = unquoted(node, "a boolean", |text| matches!(text, "true" | "false"));
        return Err(format!("{wrong}; allowed are true and false"));
    };
    Ok(flag)
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

/// A name with rules of its own; its error says what is allowed.
pub(super) fn named<T: FromStr<Err: Display>>(node: &Node) -> Parsed<T> {
    text(node)?.parse().map_err(|error: T::Err| error.to_string())
}

/// An absolute path, such as `example`: a service's working directory is never the intended base.
pub(super) fn path(example: &'static str) -> impl Fn(&Node) -> Parsed<PathBuf> {
    move |node| {
        let path = PathBuf::from(text(node).map_err(|_| format!("not a path in quotes, such as \"{example}\""))?);
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(format!("a path with the byte 0; expected one such as \"{example}\""));
        }
        if path.is_absolute() {
            return Ok(path);
        }
        Err(format!("not an absolute path, such as \"{example}\""))
    }
}

/// The error for a value of the wrong type, with a hint if only the quotes are wrong.
pub(super) fn unquoted(node: &Node, wanted: &str, is_fine: impl Fn(&str) -> bool) -> String {
    if let Value::Text(text) = &node.value
        && is_fine(text)
    {
        return format!("a text, expected {wanted}; write {text} without quotes");
    }
    format!("not {wanted}")
}

/// A time of day as minutes since midnight.
pub(super) fn time_of_day(node: &Node) -> Parsed<u16> {
    let minutes = text(node).ok().and_then(|text| hours_and_minutes(&text));
    let inside = minutes.filter(|minutes| *minutes < 24 * 60);
    inside.ok_or_else(|| "not a time of day, allowed are \"00:00\" to \"23:59\"".to_owned())
}

/// A time zone by its name in the IANA database.
pub(super) fn timezone(node: &Node) -> Parsed<TimeZone> {
    let zone = text(node).ok().and_then(|name| TimeZone::get(&name).ok());
    zone.ok_or_else(|| "not a time zone, expected a name of the IANA database, such as \"Europe/Berlin\"".to_owned())
}

/// A list of dates.
pub(super) fn dates(node: &Node) -> Parsed<Vec<Date>> {
    const EXPECTED: &str = "expected dates, such as [\"2026-12-25\", \"2027-01-01\"]";
    let Value::List(items) = &node.value else { return Err(EXPECTED.to_owned()) };
    let date = |item: &Node| {
        let date = text(item).ok().and_then(|date| Date::strptime("%Y-%m-%d", date).ok());
        date.ok_or_else(|| format!("{} is not a date, {EXPECTED}", item.text))
    };
    items.iter().map(date).collect()
}

/// A date and a time of day.
pub(super) fn local_time(node: &Node) -> Parsed<DateTime> {
    let time = text(node).ok().and_then(|time| calendar::local_time(&time));
    time.ok_or_else(|| "not a date and time, such as \"2026-12-20T16:00\"".to_owned())
}

/// `HH:MM` in minutes.
fn hours_and_minutes(text: &str) -> Option<u16> {
    let [h, o, b':', m, i] = *text.as_bytes() else { return None };
    let number = |ten: u8, one: u8| {
        let is_number = ten.is_ascii_digit() && one.is_ascii_digit();
        is_number.then(|| u16::from(ten - b'0') * 10 + u16::from(one - b'0'))
    };
    let (hours, minutes) = (number(h, o)?, number(m, i)?);
    (minutes < 60).then_some(hours * 60 + minutes)
}

fn out_of_range(allowed: &str) -> String {
    format!("out of range, allowed are {allowed}")
}
