//! What may mean two things, and what cannot be a temperature: refused, or named and not played.

use super::*;

const FLOW: [&str; 2] = ["--column", "flow"];

const ROWS: &str = "2024-01-01 10:00,122.0\n2024-01-01 10:01,122.0\n";

#[test]
fn another_unit_without_brackets_is_refused() {
    for (heading, unit) in [("pressure bar", "bar"), ("flow_mC", "mC"), ("flow °R", "°R"), ("flow in 0.1K", "0.1K")] {
        let text = format!("time,{heading}\n{ROWS}");
        let expected =
            format!("t.csv: column 2 \"{heading}\" names the unit `{unit}`, not °C, °F or K: --unit decides");
        assert_eq!(refused(&text, &["--column", "2"]), expected);
        assert_eq!(play(&text, &["--column", "2", "--unit", "F"]).0[0].1, ok(5_000), "{heading}");
    }
    let cells = table(&["2.0 bar", "2.1 bar"]);
    let expected = "t.csv: column 2 \"flow\" names the unit `bar`, not °C, °F or K: --unit decides";
    assert_eq!(refused(&cells, &FLOW), expected);
}

#[test]
fn what_cannot_be_a_temperature_is_named() {
    let text = table(&["40", "-300", "1000.5", "41", "-9999", "1000", "-273.15"]);
    let expected = [
        "t.csv:3: `-300` is below absolute zero; not played",
        "t.csv:4: `1000.5` is above 1,000 °C; not played",
        "t.csv:6: `-9999` is below absolute zero; not played",
    ];
    assert_eq!(notes(&text, &FLOW), expected);
    let (heard, _) = play(&text, &FLOW);
    assert_eq!((heard[1].1, heard[2].1, heard[5].1.unwrap().1), (None, None, Quality::Short));
    assert_eq!(notes(table(&["313", "-1", "314"]), &["--column", "flow", "--unit", "K"]).len(), 1);
}
