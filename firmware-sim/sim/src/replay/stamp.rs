//! A time as written in a file, and the instant that it means.
//!
//! ```text
//! text ─▶ Stamp (as written) ─▶ order of day and month ─▶ zone ─▶ Moment (an instant, and the local time)
//! ```
//! A text is parsed as a whole or not at all. `24:00` is the next day's midnight, and a leap second is the first second
//! after it, as in UTC.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use thermowell_wire::units;

use super::ReplayError;
use super::decimal::Decimal;

// Signed: wall clocks and offsets from UTC go both ways.
const SECOND_US: i64 = units::SECOND_US.cast_signed();
pub(super) const DAY_US: i64 = units::DAY_US.cast_signed();

/// Order of the parts of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
    /// Year, month, day.
    Ymd,
}

impl Order {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Dmy => "day-month-year",
            Self::Mdy => "month-day-year",
            Self::Ymd => "year-month-day",
        }
    }
}

/// Format of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Dates in this order, unless they start with a year of four digits.
    Date(Order),
    /// Time since 1970, in this many units per second.
    Unix(i64),
    /// A `strptime` pattern.
    Pattern(String),
}

impl FromStr for TimeFormat {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        Ok(match text {
            "dmy" => Self::Date(Order::Dmy),
            "mdy" => Self::Date(Order::Mdy),
            "ymd" => Self::Date(Order::Ymd),
            "s" => Self::Unix(1),
            "ms" => Self::Unix(1_000),
            "us" => Self::Unix(1_000_000),
            "ns" => Self::Unix(1_000_000_000),
            pattern if pattern.contains('%') => Self::Pattern(pattern.to_owned()),
            _ => return Err(ReplayError::TimeFormat(text.to_owned())),
        })
    }
}

/// The zone of local times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    text: String,
    zone: TimeZone,
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Zone {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        let fixed = || Some(TimeZone::fixed(Offset::from_seconds(offset_s(text)?).ok()?));
        let zone = fixed().or_else(|| TimeZone::get(text).ok());
        let zone = zone.ok_or_else(|| ReplayError::Zone(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), zone })
    }
}

/// A date as written; its order may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Known(Date),
    /// Three numbers; `dotted` if separated by points, `short` if the last one is no year of four digits.
    Open {
        parts: [i16; 3],
        dotted: bool,
        short: bool,
    },
}

impl Written {
    fn date(self, order: Order) -> Option<Date> {
        match self {
            Self::Known(date) => Some(date),
            Self::Open { parts: [first, second, third], short, .. } => {
                let century = if short { 2_000 } else { 0 };
                let (year, month, day) = match order {
                    Order::Dmy => (third, second, first),
                    Order::Mdy => (third, first, second),
                    Order::Ymd => (first, second, third),
                };
                Date::new(year + century, month.try_into().ok()?, day.try_into().ok()?).ok()
            }
        }
    }
}

/// A time as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Time since 1970.
    Unix { us: i64 },
    /// A local time, with its UTC offset if written.
    Clock { date: Written, time_us: i64, offset_s: Option<i32> },
}

/// A resolved time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since 1970.
    pub(super) at_us: i64,
    /// Local time, counted as if it were UTC.
    pub(super) wall_us: i64,
    /// If this local time occurs twice that day: the other instant.
    pub(super) again_us: Option<i64>,
}

impl Stamp {
    /// Parses `2013-07-04 00:00:00`, `2017-01-01T10:00:00.250+01:00`, `01.01.2017 00:00`, `1/31/2024, 1:05 PM`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let place = text.find(|c: char| c.is_whitespace() || matches!(c, 'T' | 't'))?;
        let (day, rest) = text.split_at(place);
        let mut rest = rest.chars();
        rest.next();
        let (time_us, offset_s) = clock(rest.as_str())?;
        Some(Self::Clock { date: date(day.trim_end_matches(','))?, time_us, offset_s })
    }

    /// Parses a text in `format`.
    pub(super) fn parse_as(text: &str, format: Option<&TimeFormat>) -> Option<Self> {
        match format {
            None | Some(TimeFormat::Date(_)) => Self::parse(text),
            Some(TimeFormat::Unix(per_second)) => {
                Decimal::parse(text)?.microseconds(*per_second).map(|us| Self::Unix { us })
            }
            Some(TimeFormat::Pattern(pattern)) => {
                let read = BrokenDownTime::parse(pattern, text.trim()).ok()?;
                if let Some(instant) = read.timestamp() {
                    return Some(Self::Unix { us: instant.as_microsecond() });
                }
                let time_us = read.to_time().map_or(0, time_us);
                let offset_s = read.offset().map(Offset::seconds);
                Some(Self::Clock { date: Written::Known(read.to_date().ok()?), time_us, offset_s })
            }
        }
    }

    /// Whether it names an instant without a zone.
    pub(super) fn has_offset(self) -> bool {
        matches!(self, Self::Unix { .. } | Self::Clock { offset_s: Some(_), .. })
    }

    /// Whether the order of the date's parts is unknown.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Clock { date: Written::Open { .. }, .. })
    }

    /// The instant, with dates in this order; `zone` applies to times without an offset. None if there is no such time.
    pub(super) fn moment(self, order: Order, zone: Option<&Zone>) -> Option<Moment> {
        match self {
            Self::Unix { us } => {
                let instant = Timestamp::from_microsecond(us).ok()?;
                let ahead = zone.map_or(0, |zone| zone.zone.to_offset(instant).seconds());
                Some(Moment { at_us: us, wall_us: us + i64::from(ahead) * SECOND_US, again_us: None })
            }
            Self::Clock { date, time_us, offset_s } => {
                let wall_us = days(date.date(order)?) * DAY_US + time_us;
                let at = |offset_s: i32| wall_us - i64::from(offset_s) * SECOND_US;
                let plain = |offset_s: i32| Moment { at_us: at(offset_s), wall_us, again_us: None };
                match (offset_s, zone) {
                    (Some(offset_s), _) => Some(plain(offset_s)),
                    (None, None) => Some(plain(0)),
                    (None, Some(zone)) => match zone.zone.to_ambiguous_timestamp(wall(wall_us)?).offset() {
                        AmbiguousOffset::Unambiguous { offset } => Some(plain(offset.seconds())),
                        AmbiguousOffset::Fold { before, after } => {
                            Some(Moment { again_us: Some(at(after.seconds())), ..plain(before.seconds()) })
                        }
                        // The clocks were put forward across this time.
                        AmbiguousOffset::Gap { .. } => None,
                    },
                }
            }
        }
    }
}

/// `wall_us` as a date and time.
pub(super) fn wall(wall_us: i64) -> Option<DateTime> {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    epoch.checked_add(SignedDuration::from_micros(wall_us)).ok()
}

fn days(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24
}

fn time_us(time: Time) -> i64 {
    i64::try_from(time.duration_since(Time::midnight()).as_micros()).unwrap_or(0)
}

/// Parses three numbers with the same separator between them.
pub(super) fn date(text: &str) -> Option<Written> {
    let text = text.trim();
    let separator = text.chars().find(|c| !c.is_ascii_digit()).filter(|c| matches!(c, '-' | '.' | '/'))?;
    let texts: Vec<&str> = text.split(separator).collect();
    let [first, second, third] = texts[..] else { return None };
    let number = |text: &str, most: usize| {
        let digits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i16>().ok()).flatten()
    };
    if first.len() == 4 {
        let (year, month, day) = (number(first, 4)?, number(second, 2)?, number(third, 2)?);
        return Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok().map(Written::Known);
    }
    if !matches!(third.len(), 1 | 2 | 4) {
        return None;
    }
    let parts = [number(first, 2)?, number(second, 2)?, number(third, 4)?];
    Some(Written::Open { parts, dotted: separator == '.', short: third.len() < 4 })
}

/// Parses `10:00`, `1:05:30.250 PM`, `24:00`, `23:59:60Z`, `10:00+01:00` into microseconds since midnight and seconds
/// ahead of UTC.
pub(super) fn clock(text: &str) -> Option<(i64, Option<i32>)> {
    let text = text.trim();
    let place = text.find(['+', '-', '\u{2212}', 'Z', 'z', 'U', 'G']);
    let (time, offset) = text.split_at(place.unwrap_or(text.len()));
    let offset_s = if offset.is_empty() { None } else { Some(offset_s(offset)?) };
    let time = time.trim();
    let digits = time.find(|c: char| !matches!(c, '0'..='9' | ':' | '.' | ',')).unwrap_or(time.len());
    let (time, half) = time.split_at(digits);
    let half = half.trim().to_ascii_lowercase().replace('.', "");
    let mut parts = time.split(':');
    let hour = two(parts.next()?)?;
    let minute = two(parts.next()?).filter(|minute| *minute < 60)?;
    let second_us = parts.next().map_or(Some(0), seconds)?;
    if parts.next().is_some() {
        return None;
    }
    let hour = match (half.as_str(), hour) {
        ("", 0..=24) => hour,
        ("am", 1..=12) => hour % 12,
        ("pm", 1..=12) => hour % 12 + 12,
        _ => return None,
    };
    if second_us >= 60 * SECOND_US && minute != 59 {
        return None;
    }
    let us = (hour * 60 + minute) * 60 * SECOND_US + second_us;
    (hour < 24 || us == DAY_US).then_some((us, offset_s))
}

fn two(text: &str) -> Option<i64> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Parses `30`, `30.25`, `60` into microseconds.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain(std::iter::repeat('0')).take(6).collect();
    Some(two(whole).filter(|second| *second <= 60)? * SECOND_US + padded.parse::<i64>().ok()?)
}

/// Parses `Z`, `UTC`, `+01:00`, `-0530`, `+1` into seconds ahead of UTC.
fn offset_s(text: &str) -> Option<i32> {
    let text = text.trim();
    if matches!(text, "Z" | "z" | "UTC" | "GMT") {
        return Some(0);
    }
    let sign = if text.starts_with('+') { 1 } else { -1 };
    let digits = text.strip_prefix(['+', '-', '\u{2212}'])?;
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some(parts), _) => parts,
        (None, 3..) => digits.split_at_checked(digits.len() - 2)?,
        (None, _) => (digits, "00"),
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let range = hours <= 14 && minutes < 60 && (minutes == 0 || hours < 14);
    range.then(|| i32::try_from(sign * (hours * 60 + minutes) * 60).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, order: Order) -> Option<String> {
        let at = Stamp::parse(text)?.moment(order, None)?.at_us;
        Some(Timestamp::from_microsecond(at).unwrap().to_string())
    }

    #[test]
    fn usual_notations_are_parsed() {
        for (text, expected) in [
            ("2017-01-02 10:30:00", "2017-01-02T10:30:00Z"),
            ("2017-01-02T10:30:00.250Z", "2017-01-02T10:30:00.25Z"),
            ("2017-01-02T10:30:00,1234567+01:00", "2017-01-02T09:30:00.123456Z"),
            ("2017-01-02 10:30 -0530", "2017-01-02T16:00:00Z"),
            ("2017-01-02 10:30:00 UTC", "2017-01-02T10:30:00Z"),
            ("2017/1/2 1:05 PM", "2017-01-02T13:05:00Z"),
            ("2017-01-02 12:05:09 a.m.", "2017-01-02T00:05:09Z"),
            ("2.1.2017 9:05", "2017-01-02T09:05:00Z"),
            ("2/1/2017, 12:00:00\u{202f}PM", "2017-01-02T12:00:00Z"),
            ("02-01-17 24:00", "2017-01-03T00:00:00Z"),
            ("2016-12-31 23:59:60", "2017-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(at(text, Order::Dmy).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(at("1/31/2024 0:00", Order::Mdy).as_deref(), Some("2024-01-31T00:00:00Z"));
        assert_eq!(at("24/01/31 0:00", Order::Ymd).as_deref(), Some("2024-01-31T00:00:00Z"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "10:30",
            "2017-01-02",
            "2017-13-02 10:30",
            "02.01.2017 24:30",
            "1.5",
            "a b",
            "2017-01-02 10",
            "ÄÖ\u{e9} T",
            "2017-01-02 10:60",
            "2017-01-02 10:30:61",
            "2017-01-02 10:30:60",
            "2017-01-02 13:00 PM",
            "2017-01-02 0:30 am",
            "2017-01-02 10:30 CET",
            "2017-01-02 10:30+25",
            "2017-01-02 10:30:00:00",
            "1/2.2017 10:00",
            "99-1-2017 10:00",
            "2017-01-02 10:30 -",
            "2017-01-02T10:30:00.1234567891",
            "20170102 10:30",
            "T10:30",
        ] {
            assert_eq!(at(text, Order::Dmy), None, "{text}");
        }
    }

    #[test]
    fn unix_times_and_patterns_follow_the_format() {
        let read = |text: &str, format: &str| {
            let stamp = Stamp::parse_as(text, Some(&format.parse().unwrap()))?;
            Some(stamp.moment(Order::Ymd, None)?.at_us)
        };
        assert_eq!(read("1704103200", "s"), Some(1_704_103_200_000_000));
        assert_eq!(read("1704103200.25", "s"), Some(1_704_103_200_250_000));
        assert_eq!(read("1.7041032e9", "s"), Some(1_704_103_200_000_000));
        assert_eq!(read("1704103200250", "ms"), Some(1_704_103_200_250_000));
        assert_eq!(read("1704103200250000999", "ns"), Some(1_704_103_200_250_000));
        assert_eq!(read("01-Jan-2024 10:00", "%d-%b-%Y %H:%M"), Some(1_704_103_200_000_000));
        assert_eq!(read("20240101100000+0100", "%Y%m%d%H%M%S%z"), Some(1_704_099_600_000_000));
        assert_eq!(read("x", "s").or(read("1e30", "ns")).or(read("1704103260000", "s")).or(read("x", "%Y")), None);
        assert!("iso".parse::<TimeFormat>().is_err());
    }

    #[test]
    fn zone_resolves_repeated_and_skipped_hours() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let moment = |text: &str| Stamp::parse(text).unwrap().moment(Order::Ymd, Some(&berlin));
        let hour = 3_600 * SECOND_US;
        let twice = moment("2024-10-27 02:30").unwrap();
        assert_eq!(twice.again_us, Some(twice.at_us + hour));
        assert_eq!(moment("2024-03-31 02:30"), None);
        let (before, after) = (moment("2024-03-31 01:59").unwrap(), moment("2024-03-31 03:00").unwrap());
        assert_eq!(after.at_us - before.at_us, 60 * SECOND_US);
        assert_eq!(moment("2024-03-31 02:30Z").unwrap().again_us, None, "an offset overrides the zone");
        for text in ["+01:00", "UTC", "-0530"] {
            assert!(text.parse::<Zone>().is_ok(), "{text}");
        }
        assert!("Mars/North".parse::<Zone>().is_err() && "+99".parse::<Zone>().is_err());
    }
}
