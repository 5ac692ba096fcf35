//! Headings without brackets that end in a unit other than temperature, or in a fraction of a degree.
//!
//! A column of `pressure bar` or of `flow_mC` must not pass for one in °C. Words of two letters and more are units
//! wherever a heading ends in them; a single letter is one only after a blank, or after a quantity as in `power_w`:
//! `flow_h` and `T_V` name places.

use super::unit::{is_series, parse};

const SIGNS: [char; 4] = ['°', 'º', '˚', '∘'];
/// Units in any case.
const UNITS: [&str; 60] = [
    "bar",
    "mbar",
    "pa",
    "hpa",
    "kpa",
    "mpa",
    "psi",
    "inhg",
    "mmhg",
    "%",
    "‰",
    "percent",
    "prozent",
    "watt",
    "watts",
    "kw",
    "wh",
    "kwh",
    "mwh",
    "volt",
    "volts",
    "hz",
    "khz",
    "mhz",
    "ohm",
    "kj",
    "mj",
    "gj",
    "l/h",
    "l/min",
    "l/s",
    "lpm",
    "lph",
    "gpm",
    "cfm",
    "m3",
    "m³",
    "m3/h",
    "m³/h",
    "liter",
    "litre",
    "liters",
    "litres",
    "ppm",
    "ppb",
    "rpm",
    "lux",
    "dbm",
    "dbi",
    "kva",
    "kvar",
    "sec",
    "secs",
    "seconds",
    "minutes",
    "hours",
    "stunden",
    "millicelsius",
    "millidegrees",
    "rankine",
];
/// Units that are other words in another case: `flow_ma` is a moving average.
const CASED: [&str; 11] = ["mA", "mV", "mW", "MW", "VA", "mC", "dC", "cC", "mK", "ms", "kV"];
/// Units that are other words in a temperature's heading.
const SHORT: [&str; 9] = ["W", "V", "A", "R", "s", "h", "l", "rh", "min"];
/// Denominators of rates.
const PER: [&str; 9] = ["h", "min", "s", "d", "m2", "m²", "m3", "m³", "kg"];
const QUANTITIES: [&str; 8] = ["power", "leistung", "voltage", "spannung", "current", "strom", "duration", "laufzeit"];
const SCALES: [&str; 6] = ["x10", "x100", "*10", "*100", "×10", "×100"];

/// A unit at the end of `heading` that cannot be one degree: a rate, a tenth, a percentage.
pub(super) fn not_a_degree(heading: &str) -> Option<String> {
    let heading = heading.trim();
    let last = heading.rsplit(is_between).next()?;
    if last.ends_with('%') {
        return Some("%".to_owned());
    }
    let before_sign = last.split(SIGNS).next().unwrap_or_default();
    let signed = before_sign.len() < last.len();
    if signed && (matches!(before_sign, "m" | "d" | "c") || before_sign.is_empty() && parse(last).is_none()) {
        return Some(last.to_owned());
    }
    if let Some((above, below)) = last.split_once('/') {
        let is_unit = parse(above).is_some() || is_known(above) || SHORT.contains(&above);
        if is_unit && (PER.contains(&below) || parse(below).is_some()) {
            return Some(last.to_owned());
        }
    }
    let packed: String = heading.chars().filter(|c| !c.is_whitespace()).collect();
    let scaled = SCALES.iter().find_map(|scale| packed.strip_suffix(scale));
    if scaled.is_some_and(|rest| rest.ends_with(['C', 'F', 'K'])) {
        return Some(heading.to_owned());
    }
    part_of_degree(heading)
}

/// Finds `0.1 K` or `1/10 °C` at the end.
fn part_of_degree(heading: &str) -> Option<String> {
    let rest = heading.trim_end_matches(|c: char| c.is_alphabetic() || SIGNS.contains(&c));
    let number = rest.trim_end();
    let start = number.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '/')).len();
    let digits = &number[start..];
    let part = ["0.", "0,", "1/"].iter().any(|start| digits.starts_with(start));
    (part && parse(&heading[rest.len()..]).is_some()).then(|| heading[start..].to_owned())
}

/// The unit other than temperature at the end of `heading`, if it names no unit of temperature.
pub(super) fn at_end(heading: &str, others: &[&str]) -> Option<String> {
    let heading = heading.trim();
    let last = heading.rsplit(is_between).next()?;
    let before = heading[..heading.len() - last.len()].to_lowercase();
    let found = || Some(last.to_owned());
    if is_known(last) {
        return found();
    }
    if let Some((_, below)) = last.split_once('/').filter(|(_, below)| is_known(below)) {
        return Some(below.to_owned());
    }
    let words: Vec<&str> = before.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let lower = last.to_lowercase();
    if words.iter().any(|word| QUANTITIES.contains(word)) && SHORT.iter().any(|unit| unit.to_lowercase() == lower) {
        return found();
    }
    if matches!(words.last(), Some(&("l" | "m3" | "m³" | "kg"))) && PER.contains(&lower.as_str()) {
        return found();
    }
    let of_temperature = words.iter().any(|word| *word == "t" || word.starts_with("temp"));
    if words.is_empty() || of_temperature {
        return None;
    }
    match lower.as_str() {
        "rh" => found(),
        // A minimum, if there is a maximum column too.
        "min" => {
            let beside = |other: &&str| {
                let other = other.trim().to_lowercase();
                let end = other.strip_prefix(&before);
                end.is_some_and(|end| matches!(end, "max" | "mean" | "avg" | "average" | "mittel" | "last"))
            };
            if others.iter().any(beside) { None } else { found() }
        }
        _ => {
            let apart = before.ends_with([' ', ',', '\t']);
            let known = SHORT.contains(&last) && apart;
            if known && !is_series(heading, others.iter().copied()) { found() } else { None }
        }
    }
}

fn is_known(word: &str) -> bool {
    UNITS.contains(&word.to_lowercase().as_str()) || CASED.contains(&word)
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || matches!(c, '_' | ',' | ';' | ':')
}
