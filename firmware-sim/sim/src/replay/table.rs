//! A table of text: encoding, separator, header, and timestamps in the first column.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime, Time};

/// UTF-8 where it is valid, else ISO-8859-1, in which every byte is a character.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// What separates the fields, by the first line: a tab if there is one, else a semicolon, else a comma. A line with
/// none of them is one field, in which a comma further down is a decimal one.
pub(super) fn separator(first_line: &str) -> char {
    ['\t', ';', ','].into_iter().find(|separator| first_line.contains(*separator)).unwrap_or('\t')
}

/// The fields of a line, trimmed. A field in double quotes may contain the separator; two quotes in it are one.
pub(super) fn fields(line: &str, separator: char) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '"' && quoted && characters.peek() == Some(&'"') {
            characters.next();
            field.push('"');
        } else if character == '"' {
            quoted = !quoted;
        } else if character == separator && !quoted {
            fields.push(field.trim().to_owned());
            field.clear();
        } else {
            field.push(character);
        }
    }
    fields.push(field.trim().to_owned());
    fields
}

/// Reads `2013-07-04 00:00:00`, `2017-01-01T10:00Z` or `01.01.2017 00:00`: the local time as it is written. Fractions
/// of a second and zones are left aside, because only differences count.
pub(super) fn timestamp(text: &str) -> Option<DateTime> {
    let (date, time) = text.trim().split_once([' ', 'T'])?;
    let mut parts = date.split(['-', '.', '/']);
    let (first, month, last) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (year, day) = if first.len() == 4 { (first, last) } else { (last, first) };
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some(date.to_datetime(time_of_day(time)?))
}

/// Reads `10:00` or `10:00:30`.
pub(super) fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.trim().splitn(3, ':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let second = match parts.next() {
        Some(second) => second.get(..2)?,
        None => "0",
    };
    let minute = minute.trim_end_matches('Z');
    Time::new(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, 0).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    #[test]
    fn both_encodings_are_read() {
        assert_eq!(decode("\u{feff}Wärme [°C]".as_bytes()), "Wärme [°C]");
        assert_eq!(decode(b"W\xe4rme [\xb0C]"), "Wärme [°C]");
    }

    #[test]
    fn the_first_line_names_the_separator() {
        assert_eq!(separator("a\tb,c;d"), '\t');
        assert_eq!(separator("a;b,c"), ';');
        assert_eq!(separator("a,b"), ',');
        assert_eq!(fields("21,5", separator("temperature")), ["21,5"]);
    }

    #[test]
    fn quotes_hold_a_field_together() {
        assert_eq!(fields("a, \"b, \"\"c\"\"\" ,", ','), ["a", "b, \"c\"", ""]);
        assert_eq!(fields("", ','), [""]);
    }

    #[test]
    fn timestamps_of_both_orders_are_read() {
        let expected = date(2017, 1, 2).at(10, 30, 0, 0);
        for text in ["02.01.2017 10:30", "2017-01-02 10:30:00", "2017-01-02T10:30:00.250Z", "2017-01-02T10:30Z"] {
            assert_eq!(timestamp(text), Some(expected), "{text}");
        }
        for text in ["", "10:30", "2017-01-02", "2017-13-02 10:30", "02.01.2017 24:30", "1.5", "a b"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
        assert_eq!(time_of_day("10:00"), Some(time(10, 0, 0, 0)));
        assert_eq!(time_of_day("10:00:59"), Some(time(10, 0, 59, 0)));
        assert_eq!(time_of_day("noon"), None);
    }
}
