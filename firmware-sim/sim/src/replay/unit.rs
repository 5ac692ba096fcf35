//! The temperature unit of a column.

use std::fmt;
use std::str::FromStr;

use super::{ReplayError, foreign};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Celsius,
    Fahrenheit,
    Kelvin,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Celsius => "°C",
            Self::Fahrenheit => "°F",
            Self::Kelvin => "K",
        })
    }
}

impl FromStr for Unit {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        parse(text).ok_or_else(|| ReplayError::UnitText(text.to_owned()))
    }
}

/// Characters used as a degree sign, including those of a wrong encoding.
const DEGREES: [char; 6] = ['°', 'º', '˚', '∘', 'â', char::REPLACEMENT_CHARACTER];

/// The unit in a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heading {
    /// No unit.
    Silent,
    Unit(Unit),
    /// Something other than one unit of temperature.
    Unknown(String),
}

pub(super) fn parse(text: &str) -> Option<Unit> {
    let text = text.trim().to_lowercase();
    let signless = text.trim_start_matches(DEGREES).trim_start();
    let words = ["degrees", "degree", "deg"];
    let bare = words.iter().find_map(|word| signless.strip_prefix(word)).unwrap_or(signless);
    match bare.trim_start_matches([' ', '_', '.']) {
        "c" | "celsius" | "℃" => Some(Unit::Celsius),
        "f" | "fahrenheit" | "℉" => Some(Unit::Fahrenheit),
        "k" | "kelvin" => Some(Unit::Kelvin),
        _ => None,
    }
}

/// The unit in `heading`. `others` are the headings of the other columns: with `Sensor E`, `Sensor F` is the sixth
/// sensor, not one in °F.
pub(super) fn of_heading<'a>(heading: &str, others: impl Iterator<Item = &'a str>) -> Heading {
    let (plain, brackets) = split_brackets(heading);
    if let (true, Some(text)) = (brackets.is_empty(), foreign::not_a_degree(&plain)) {
        return Heading::Unknown(text);
    }
    let others: Vec<&str> = others.collect();
    let mut found: Vec<Unit> = brackets.iter().filter_map(|text| parse(text)).collect();
    found.extend(signs(&plain));
    let is_word = |c: char| c.is_alphanumeric();
    let words: Vec<&str> = plain.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
    found.extend(words.iter().filter(|word| word.chars().count() > 1).filter_map(|word| parse(word)));
    if let (true, [.., last]) = (found.is_empty(), &words[..]) {
        let letter = last.to_lowercase();
        let letter = letter.strip_prefix("temperature").or_else(|| letter.strip_prefix("temp")).unwrap_or(&letter);
        if let Some(unit) = parse(letter) {
            if unit != Unit::Celsius && last.len() == 1 && is_series(&plain, others.iter().copied()) {
                return Heading::Unknown((*last).to_owned());
            }
            found.push(unit);
        }
    }
    found.dedup();
    match (found.as_slice(), brackets.last()) {
        ([unit], _) => Heading::Unit(*unit),
        ([], None) => foreign::at_end(&plain, &others).map_or(Heading::Silent, Heading::Unknown),
        ([], Some(text)) => Heading::Unknown(text.clone()),
        _ => Heading::Unknown(heading.to_owned()),
    }
}

/// Whether another heading differs only in its last letter.
pub(super) fn is_series<'a>(heading: &str, mut others: impl Iterator<Item = &'a str>) -> bool {
    let stem = |text: &str| {
        let text = text.trim();
        text.char_indices().next_back().map(|(place, _)| text[..place].to_owned())
    };
    let own = stem(heading);
    others.any(|other| other.trim() != heading.trim() && stem(other) == own)
}

/// Units with a degree sign, which need no brackets around them.
fn signs(text: &str) -> impl Iterator<Item = Unit> {
    let characters: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut found: Vec<Unit> = characters
        .windows(2)
        .filter(|pair| DEGREES[..4].contains(&pair[0]))
        .filter_map(|pair| parse(&pair[1].to_string()))
        .collect();
    found.extend(characters.iter().filter(|c| matches!(c, '℃' | '℉')).filter_map(|c| parse(&c.to_string())));
    found.into_iter()
}

/// The text outside of brackets, and the text in each pair of them.
fn split_brackets(heading: &str) -> (String, Vec<String>) {
    let (mut plain, mut inside, mut open) = (String::new(), Vec::new(), false);
    for character in heading.chars() {
        match character {
            '[' | '(' | '{' => {
                inside.push(String::new());
                open = true;
            }
            ']' | ')' | '}' => open = false,
            _ => match inside.last_mut() {
                Some(text) if open => text.push(character),
                Some(_) | None => plain.push(character),
            },
        }
    }
    let inside = inside.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    (plain, inside.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(heading: &str) -> Heading {
        of_heading(heading, ["time", "Sensor E"].into_iter())
    }

    #[test]
    fn units_are_found_in_headings() {
        let celsius = ["T [ °C]", "flow (degC)", "flow ºC", "flow_c", "Vorlauf in ° C", "t ℃", "flow [Â°C]", "Celsius"];
        let fahrenheit = [
            "flow (degF)",
            "flow [F]",
            "flow ºF",
            "flow ℉",
            "flow F",
            "tempf",
            "flow_degF",
            "Vorlauf °F",
            "Temp, deg F",
            "flow fahrenheit",
            "temp_f",
            "[°F] cellar",
            "flow (cellar) [˚F]",
            "flow {F}",
        ];
        let kelvin = ["flow [K]", "flow (K)", "flow K", "flow_K", "Kelvin", "flow degK", "flow \u{212a}"];
        let rows = [(&celsius[..], Unit::Celsius), (&fahrenheit, Unit::Fahrenheit), (&kelvin, Unit::Kelvin)];
        for (headings, unit) in rows {
            for heading in headings {
                assert_eq!(of(heading), Heading::Unit(unit), "{heading}");
            }
        }
    }

    #[test]
    fn unknown_units_are_reported() {
        for (heading, text) in [
            ("p [ Bar]", "Bar"),
            ("flow [1/10 °C]", "1/10 °C"),
            ("flow (degR)", "degR"),
            ("flow °C (°F)", "flow °C (°F)"),
            ("Sensor F", "F"),
        ] {
            assert_eq!(of(heading), Heading::Unknown(text.to_owned()), "{heading}");
        }
        for heading in ["flow", "", "value", "Sensor 3", "F1", "Kessel", "flow []", "nibe_bt2_supply_temp_s1"] {
            assert_eq!(of(heading), Heading::Silent, "{heading}");
        }
    }

    #[test]
    fn foreign_units_at_the_end_are_reported() {
        for (heading, text) in [
            ("pressure bar", "bar"),
            ("humidity %", "%"),
            ("humidity%", "%"),
            ("power_kW", "kW"),
            ("power_w", "w"),
            ("power, W", "W"),
            ("flow_mC", "mC"),
            ("flow l/h", "l/h"),
            ("flow m3/h", "m3/h"),
            ("flow_l_min", "min"),
            ("flow K/min", "K/min"),
            ("flow °C/h", "°C/h"),
            ("flow in 0.1K", "0.1K"),
            ("flow 0.1 °C", "0.1 °C"),
            ("flow 1/10 K", "1/10 K"),
            ("flow m°C", "m°C"),
            ("flow °R", "°R"),
            ("flow °", "°"),
            ("water h", "h"),
            ("p/mbar", "mbar"),
            ("bar", "bar"),
        ] {
            assert_eq!(of(heading), Heading::Unknown(text.to_owned()), "{heading}");
        }
        for heading in [
            "Temperatur Sensor 3",
            "hot_water",
            "flow_h",
            "T_V",
            "T_A",
            "temp s",
            "Temp RH",
            "flow_ma",
            "supply_dc",
            "Vorlauf/Heizung",
            "hp_current_flow_rate",
        ] {
            assert_eq!(of(heading), Heading::Silent, "{heading}");
        }
        for (heading, other) in [("Sensor A", "Sensor B"), ("flow_min", "flow_max")] {
            assert_eq!(of_heading(heading, ["time", other].into_iter()), Heading::Silent, "{heading}");
        }
        assert_eq!(of("Sensor 1 °C"), Heading::Unit(Unit::Celsius));
    }

    #[test]
    fn unit_arguments_are_parsed_or_refused() {
        for (text, unit) in
            [("C", Unit::Celsius), ("°f", Unit::Fahrenheit), ("degF", Unit::Fahrenheit), ("K", Unit::Kelvin)]
        {
            assert_eq!(text.parse::<Unit>().unwrap(), unit, "{text}");
        }
        assert_eq!("R".parse::<Unit>().unwrap_err().to_string(), "`R` is not C, F or K");
    }
}
