//! Ambiguous series, and values that cannot be temperatures: refused, or reported and not played.

use super::*;

const FLOW: [&str; 2] = ["--column", "flow"];

const ROWS: &str = "2024-01-01 10:00,122.0\n2024-01-01 10:01,122.0\n";

#[test]
fn foreign_unit_without_brackets_is_refused() {
    for (heading, unit) in [("pressure bar", "bar"), ("flow_mC", "mC"), ("flow °R", "°R"), ("flow in 0.1K", "0.1K")] {
        let text = format!("time,{heading}\n{ROWS}");
        let expected = format!("t.csv: column 2 \"{heading}\" names the unit `{unit}`, not °C, °F or K: set --unit");
        assert_eq!(refused(&text, &["--column", "2"]), expected);
        assert_eq!(play(&text, &["--column", "2", "--unit", "F"]).0[0].1, ok(5_000), "{heading}");
    }
    let cells = table(&["2.0 bar", "2.1 bar"]);
    let expected = "t.csv: column 2 \"flow\" names the unit `bar`, not °C, °F or K: set --unit";
    assert_eq!(refused(&cells, &FLOW), expected);
}

#[test]
fn possibly_cut_last_line_is_not_played() {
    let cut = |cells: &[&str]| table(cells).trim_end().to_owned();
    for (cells, text) in [
        (&["48.0", "49.0", "4"][..], "4"),
        (&["48.0", "49.0", "49."], "49."),
        (&["48.00", "49.05", "49.1"], "49.1"),
        (&["48", "49", "4"], "4"),
        (&["48.0", "49.0", ""], ""),
    ] {
        let replay = read(cut(cells).as_bytes(), &FLOW).unwrap();
        let expected = format!("t.csv:4: `{text}` may be cut off: the file ends without a line end; not played");
        assert_eq!(replay.notes(), [expected]);
        assert_eq!((timeline(&replay).len(), replay.end_us()), (2, 120_000_000), "{text}");
        assert_eq!(notes(table(cells), &FLOW), [""; 0], "a line with an end is whole: {text}");
    }
    for cells in
        [&["48.0", "49.0", "9.5"][..], &["48", "49", "50"], &["48.0", "\"49.0\"", "\"4\""], &["1", "2.5", "NaN"]]
    {
        assert_eq!(notes(cut(cells), &FLOW), [""; 0], "{cells:?}");
        assert_eq!(play(cut(cells), &FLOW).0.len(), 3, "{cells:?}");
    }
    let closed = "time,flow,valve\n2024-01-01 10:00,40.0,open\n2024-01-01 10:01,41,op";
    assert_eq!(play(closed, &FLOW).0[1], (60.0, ok(4_100)), "a cut in another column does not matter");
    let time = "flow,time\n40.0,2024-01-01 10:00\n41.0,2024-01-01 10:01\n42.0,2024-01-01 10:1";
    assert_eq!(play(time, &FLOW).0.len(), 2);
}

#[test]
fn impossible_temperatures_are_reported() {
    let text = table(&["40", "-300", "1000.5", "41", "-9999", "1000", "-273.15"]);
    let expected = [
        "t.csv:3: `-300` is below absolute zero; not played",
        "t.csv:4: `1000.5` is above 1,000 °C; not played",
        "t.csv:6: `-9999` is below absolute zero; not played",
    ];
    assert_eq!(notes(&text, &FLOW), expected);
    let (timeline, _) = play(&text, &FLOW);
    assert_eq!((timeline[1].1, timeline[2].1, timeline[5].1.unwrap().1), (None, None, Quality::Short));
    assert_eq!(notes(table(&["313", "-1", "314"]), &["--column", "flow", "--unit", "K"]).len(), 1);
}

#[test]
fn comma_is_resolved_or_refused() {
    let first = |cells: &[&str], more: &[&str]| play(table(cells), &[&FLOW[..], more].concat()).0[0].1;
    let open = table(&["\"1,041\"", "\"1,052\"", "998"]);
    let expected = "t.csv:2: the comma in `1,041` may separate decimals or thousands: set --decimal to comma or point";
    assert_eq!(refused(&open, &FLOW), expected);
    let open = ["\"1,041\"", "998"];
    assert_eq!(first(&open, &["--decimal", "comma"]), ok(104));
    let fahrenheit = first(&open, &["--decimal", "point", "--unit", "F"]);
    assert_eq!(fahrenheit.unwrap().0, 32_767, "561 °C is clamped to the range of the line protocol");
    assert_eq!(first(&["\"1,041\"", "\"42,5\""], &[]), ok(104));
    assert_eq!(first(&["\"1,041\"", "\"21,375\""], &[]), ok(104), "21,375 degrees are no temperature");
    assert_eq!(first(&["\"1,041\"", "998.5"], &["--unit", "F"]).unwrap().0, 32_767);
    assert_eq!(first(&["\"1,000.5\"", "90"], &["--unit", "K"]).unwrap().0, 32_767);
    assert_eq!(first(&["\"1.041\"", "\"42,5\""], &[]), ok(104), "a point is a decimal one by default");
    assert_eq!(notes(table(&["40.5", "41.5", "42", "43"]), &["--column", "flow", "--decimal", "comma"]).len(), 2);
}

#[test]
fn column_of_units_is_used() {
    let rows = |units: [&str; 3]| {
        let rows = units.iter().enumerate().map(|(n, unit)| format!("2024-01-01 10:0{n},122,{unit}\n"));
        format!("time,flow,Unit\n{}", rows.collect::<String>())
    };
    assert_eq!(play(rows(["°F", "degF", "F"]), &FLOW).0[0].1, ok(5_000));
    let expected = "t.csv:4: the unit in column 3 \"Unit\" changes from `C` to `F`: use --where for rows of one unit, \
        or set --unit";
    assert_eq!(refused(rows(["C", "C", "F"]), &FLOW), expected);
    let expected = "t.csv: column 3 \"Unit\" names the unit `bar`, not °C, °F or K: set --unit";
    assert_eq!(refused(rows(["bar"; 3]), &FLOW), expected);
    assert_eq!(play(rows(["C", "F", "F"]), &["--column", "flow", "--unit", "C"]).0[0].1, ok(12_200));
    assert_eq!(play(rows(["C", "F", "F"]), &["--column", "flow", "--where", "Unit=F"]).0[0].1, ok(5_000));
    for heading in ["uom", "EINHEIT", "unit_of_measurement"] {
        assert_eq!(play(rows(["F"; 3]).replace("Unit", heading), &FLOW).0[0].1, ok(5_000), "{heading}");
    }
}

#[test]
fn until_beyond_the_file_is_reported() {
    let text = table(&["40", "41", "42", "43", "44", "45", "46"]);
    let with = |more: &[&'static str]| [&FLOW[..], more].concat();
    let expected = "t.csv:8: the file ends here, before --until 2024-01-02T10:02:00; played to its end";
    assert_eq!(notes(&text, &with(&["--from", "10:05", "--until", "10:02"])), [expected]);
    assert_eq!(notes(&text, &with(&["--until", "10:07"])), [""; 0], "the last row ends there");
    let before = with(&["--from", "2024-01-01 10:05", "--until", "2024-01-01 10:02"]);
    let expected = "t.csv: --until 2024-01-01T10:02:00 is not after --from 2024-01-01T10:05:00";
    assert_eq!(refused(&text, &before), expected);
}
