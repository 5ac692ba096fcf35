//! Rows, columns, cells and units.

use super::*;

/// Tab separated, ISO-8859-1, decimal comma, a tab at the end of each row, one minute (10:02) lost.
const HEATING: &[u8] = b"Datum & Uhrzeit\tSensor 1 [ \xb0C]\tSensor 2 [ \xb0C]\tW\xe4rme [ Wh]\r\n\
    01.01.2017 09:59\t-3,0\t888,8\t1\t\r\n\
    01.01.2017 10:00\t-2,9\t-88,8\t2\t\r\n\
    01.01.2017 10:01\t61,375\t-999,9\t3\t\r\n\
    01.01.2017 10:03\t-25,01\t\t4\t\r\n\
    01.01.2017 10:04\t125,01\tNaN\t5\t\r\n";

#[test]
fn heating_recorder_format_is_parsed() {
    let cells = [ok(-300), ok(-290), ok(6_138), Some((-2_501, Quality::Open)), Some((12_501, Quality::Short))];
    let expected: Timeline = [0.0, 60.0, 120.0, 240.0, 300.0].into_iter().zip(cells).collect();
    for column in ["Sensor 1 [ °C]", "sensor 1", "2"] {
        assert_eq!(play(HEATING, &["--column", column]), (expected.clone(), 360.0), "{column}");
    }
    let (unconnected, _) = play(HEATING, &["--column", "Sensor 2"]);
    assert!(unconnected.iter().all(|(_, it)| *it == OPEN_ROW) && unconnected.len() == 5);
}

#[test]
fn lost_row_is_silence_only_if_configured() {
    let (timeline, end) = play(HEATING, &["--column", "2", "--silent-from", "2"]);
    assert_eq!((timeline[2].0, timeline[3], timeline[4].0, end), (120.0, (180.0, None), 240.0, 360.0));
    let (timeline, end) = play(HEATING, &["--column", "2", "--silent-from", "2", "--row", "1s"]);
    assert_eq!((timeline[3], timeline.len(), end), ((3.0, None), 6, 6.0));
    let (timeline, end) = play(HEATING, &["--column", "2", "--row", "1s"]);
    assert_eq!((timeline[3].0, timeline.len(), end), (3.0, 5, 5.0), "no silence by default");
}

#[test]
fn row_lasts_until_the_next_one() {
    let text = "t;v\n2024-01-01 10:00;20\n2024-01-01 10:05;21\n2024-01-01 10:10;22\n2024-01-01 10:30;23\n";
    let replay = read(text.as_bytes(), &["--column", "v"]).unwrap();
    let at = |second: u64| replay.at(second * 1_000_000);
    let played = |centi| Played::Reading(CentiCelsius(centi), Quality::Ok);
    assert_eq!((at(0), at(299), at(300), at(899)), (played(2_000), played(2_000), played(2_100), played(2_200)));
    assert_eq!((at(900), at(1_799), at(1_800)), (Played::Silent, Played::Silent, played(2_300)));
    assert_eq!((at(2_099), at(2_100), replay.at(u64::MAX)), (played(2_300), Played::End, Played::End));
    let expected = "t.csv: 4 rows, of column 2 \"v\" in °C (the header names no unit), time in column 1 \"t\", \
        year-month-day without an offset; usual step 5m, each row lasts until the next one, \
        1 gap of 15m before line 5, 35m in all";
    assert_eq!(replay.summary(), expected);
    let never = play(text, &["--column", "v", "--silent-from", "never"]);
    assert_eq!(never.0.last(), Some(&(1_800.0, ok(2_300))));
    let short = play(text, &["--column", "v", "--gap-rows", "1"]);
    assert_eq!((short.0[3], short.0[4], short.1), ((900.0, None), (1_200.0, ok(2_300)), 1_500.0));
}

#[test]
fn change_log_holds_values_without_gaps() {
    let text = "last_changed,state\n2024-01-01 10:00:00,60.0\n2024-01-01 10:01:00,20.0\n2024-01-01 10:02:00,21\n\
        2024-01-01 10:57:00,60.0\n2024-01-01 10:58:00,unavailable\n";
    let (timeline, end) = play(text, &["--column", "state"]);
    assert_eq!(timeline[2..], [(120.0, ok(2_100)), (3_420.0, ok(6_000)), (3_480.0, OPEN_ROW)]);
    assert_eq!(end, 3_540.0);
    assert_eq!(play(text, &["--column", "state", "--silent-from", "3"]).0[3], (180.0, None));
}

#[test]
fn row_with_wrong_width_is_reported_and_not_played() {
    let text = "time,cellar,flow\n2024-01-01 10:00,9.0,40.0\n2024-01-01 10:01,9.0,41.0\n\
        2024-01-01 10:02,9.02024-01-01 10:03,11.4,46.2\n2024-01-01 10:04,9.0,44.0\n2024-01-01 10:05\n\
        2024-01-01 10:06,9.0,46.0,\n2024-01-01 10:07,9.0,\"47.0\n2024-01-01 10:08,9.0,48.0\n";
    let timeline = [
        (0.0, ok(4_000)),
        (60.0, ok(4_100)),
        (120.0, None),
        (240.0, ok(4_400)),
        (300.0, None),
        (360.0, ok(4_600)),
        (420.0, None),
        (480.0, ok(4_800)),
    ];
    assert_eq!(play(text, &["--column", "flow"]), (timeline.to_vec(), 540.0));
    let width = |line: u64, text: &str, width: u32| {
        format!("t.csv:{line}: `{text}` has {width} fields, the first line has 3; not played")
    };
    let named = [
        width(4, "2024-01-01 10:02,9.02024-01-01 10:03,11.4,46.2", 4),
        width(6, "2024-01-01 10:05", 1),
        "t.csv:8: `2024-01-01 10:07,9.0,\"47.0` has an unclosed quote; not played".to_owned(),
    ];
    assert_eq!(notes(text, &["--column", "flow"]), named);
    let (timeline, end) = play(text, &["--column", "flow", "--row", "1s"]);
    assert_eq!((timeline[2], timeline.len(), end), ((2.0, None), 8, 9.0));
}

#[test]
fn joined_rows_are_reported() {
    let text = table(&["40", "41,x", "42", "43"]).replace(",x\n", "");
    let expected = ["t.csv:3: `2024-01-01 10:01,412024-01-01 10:02,42` has 3 fields, the first line has 2; not played"];
    assert_eq!(notes(&text, &["--column", "flow"]), expected);
    let text = "flow,time\n40,2024-01-01 10:00\n41,2024-01-01 10:0142\n43,2024-01-01 10:02\n";
    assert_eq!(notes(text, &["--column", "flow"]), ["t.csv:3: `2024-01-01 10:0142` is not a time; not played"]);
}

#[test]
fn decimal_comma_in_comma_file_is_refused() {
    let expected = "t.csv: 2 of 2 rows cannot be parsed; the first is line 2, \
        `2024-01-01 10:00,40,7` has 3 fields, the first line has 2";
    assert_eq!(refused(table(&["40,7", "41,9"]), &["--column", "flow"]), expected);
    let ended = "time,flow,\n2024-01-01 10:00,40,7,\n2024-01-01 10:01,41,9,\n";
    assert_eq!(refused(ended, &["--column", "flow"]), expected.replace(",40,7`", ",40,7,`"));
    let quoted = table(&["\"40,7\"", "\"41,9\""]);
    assert_eq!(play(quoted, &["--column", "flow"]).0, [(0.0, ok(4_070)), (60.0, ok(4_190))]);
}

#[test]
fn cell_without_temperature_is_reported() {
    let text = table(&["40", "4o", "42", "4.3e1", "-", "None", "#N/A", "NA", "unavailable", "unknown", ""]);
    let (timeline, _) = play(&text, &["--column", "flow"]);
    assert_eq!(timeline[..4], [(0.0, ok(4_000)), (60.0, None), (120.0, ok(4_200)), (180.0, ok(4_300))]);
    assert!(timeline[4..].iter().all(|(_, it)| *it == OPEN_ROW) && timeline.len() == 11);
    assert_eq!(notes(&text, &["--column", "flow"]), ["t.csv:3: `4o` is not a temperature; not played"]);
    let many: Vec<&str> = (0..60).map(|n| if n % 2 == 0 { "1" } else { "x" }).collect();
    let named = notes(table(&many), &["--column", "flow"]);
    assert_eq!((named.len(), &*named[20]), (21, "t.csv: 10 more rows cannot be parsed; not played"));
}

#[test]
fn unit_comes_from_header_second_line_or_cells() {
    let first = |text: &str, arguments: &[&str]| {
        let replay = read(text.as_bytes(), arguments).unwrap();
        (timeline(&replay)[0].1, replay.notes().len())
    };
    let row = "2024-01-01 10:00,122.0\n2024-01-01 10:01,122.0\n";
    for heading in ["flow (degF)", "flow ºF", "flow ℉", "flow F", "flow [F]"] {
        let text = format!("time,{heading}\n{row}");
        assert_eq!(first(&text, &["--column", "2"]), (ok(5_000), 0), "{heading}");
        assert_eq!(first(&text, &["--column", "2", "--unit", "C"]), (ok(12_200), 0), "{heading}");
    }
    let kelvin = "time;flow K\n2024-01-01 10:00;313,15\n2024-01-01 10:01;313,15\n";
    assert_eq!(first(kelvin, &["--column", "flow"]), (ok(4_000), 0));
    assert_eq!(first(&format!("time,flow\n,°F\n{row}"), &["--column", "flow"]), (ok(5_000), 0));
    assert_eq!(first(&format!("time,flow\n[s],[°F]\n{row}"), &["--column", "flow"]), (ok(5_000), 0));
    let lines = format!("time,flow\n[s],[bar]\n{row}");
    let expected = "t.csv: column 2 \"flow\" names the unit `bar`, not °C, °F or K: set --unit";
    assert_eq!(refused(lines, &["--column", "flow"]), expected);
    let cells = format!("time,flow\n{}", row.replace(".0\n", " °F\n"));
    assert_eq!(first(&cells, &["--column", "flow"]), (ok(5_000), 0));
    let mixed = format!("{cells}2024-01-01 10:02,50 °C\n");
    assert_eq!(notes(&mixed, &["--column", "flow"]), ["t.csv:4: `50 °C` is not a temperature; not played"]);
    let expected = "t.csv: column 2 \"flow [bar]\" names the unit `bar`, not °C, °F or K: set --unit";
    assert_eq!(refused(format!("time,flow [bar]\n{row}"), &["--column", "flow"]), expected);
}

#[test]
fn columns_are_found_by_name_or_number() {
    let text = "time,a1,a2,b,b\n2024-01-01 10:00,1,2,3,4\n2024-01-01 10:01,1,2,3,4\n";
    let columns = "the columns are 1 `time`, 2 `a1`, 3 `a2`, 4 `b`, 5 `b`";
    for (column, found) in [("c", 0), ("a", 2), ("b", 2), ("6", 0), ("0", 0)] {
        let expected =
            format!("t.csv: {found} columns match `{column}`; {columns} (use --skip for lines before the header)");
        assert_eq!(refused(text, &["--column", column]), expected);
    }
    assert_eq!(play(text, &["--column", "5"]).0[0], (0.0, ok(400)));
}

#[test]
fn plain_list_of_numbers_is_played() {
    let row = ["--column", "1", "--row", "1m"];
    assert_eq!(play("20.5\n\n21.5\n", &row), (vec![(0.0, ok(2_050)), (60.0, ok(2_150))], 120.0));
    assert_eq!(play("\u{feff}Vorlauf °F\n212,0\n", &["--column", "vorlauf", "--row", "1m"]).0, [(0.0, ok(10_000))]);
    let (timeline, end) = play("20\nx\n22\n23\n", &row);
    assert_eq!(timeline, [(0.0, ok(2_000)), (60.0, None), (120.0, ok(2_200)), (180.0, ok(2_300))]);
    assert_eq!(end, 240.0);
    let headless = "2024-01-01 10:00;1,5\n2024-01-01 10:01;2,5\n";
    assert_eq!(play(headless, &["--column", "2"]).0, [(0.0, ok(150)), (60.0, ok(250))]);
}

#[test]
fn comments_and_other_sensors_are_skipped() {
    let text = "# exported, with commas\n#\nentity,time,state\nflow,2024-01-01 10:00,40\ncellar,2024-01-01 10:00,9\n\
        flow,2024-01-01 10:01,41\ncellar,2024-01-01 10:01,unknown\nflow,2024-01-01 10:02,42\n";
    let skip = ["--column", "state", "--skip", "2"];
    let flow = [&skip[..], &["--where", "entity=flow"]].concat();
    assert_eq!(play(text, &flow).0, [(0.0, ok(4_000)), (60.0, ok(4_100)), (120.0, ok(4_200))]);
    let expected = "t.csv:5: 2 of 5 rows repeat the time of another row with another temperature: \
        use --where COLUMN=VALUE for one sensor, or --row for rows of equal length";
    assert_eq!(refused(text, &skip), expected);
    let none = [&skip[..], &["--where", "1=attic"]].concat();
    assert_eq!(refused(text, &none), "t.csv: no row has `attic` in column 1 \"entity\"; it has flow, cellar");
}

#[test]
fn damage_of_a_power_cut_is_reported() {
    let mut text = table(&["40", "41", "42"]).into_bytes();
    text.extend([0; 64]);
    text.extend(b"2024-01-01 10:30,50\n2024-01-01 10:31,51\n");
    let replay = read(&text, &["--column", "flow"]).unwrap();
    assert_eq!(replay.notes(), ["t.csv:5: 64 NUL bytes removed, the first in this line (power cut?)"]);
    assert_eq!(timeline(&replay)[2..5], [(120.0, ok(4_200)), (180.0, None), (1_800.0, ok(5_000))]);
    let half = table(&["40", "41", "4", "43"]).replace(",4\n", ",4\0\0\0\0\n");
    let expected = [
        "t.csv:4: `4\u{fffd}` is not a temperature; not played",
        "t.csv:4: 4 NUL bytes removed, the first in this line (power cut?)",
    ];
    assert_eq!(notes(half, &["--column", "flow"]), expected);
    let blanks = "\"time\", \"flow\"\r\n\"2024-01-01 10:00\", \"40\"\r\n\"2024-01-01 10:01\", \"41\"\r\n\x1a";
    assert_eq!(play(blanks, &["--column", "flow"]).0, [(0.0, ok(4_000)), (60.0, ok(4_100))]);
    assert_eq!(notes(blanks, &["--column", "flow"]), [""; 0]);
}

#[test]
fn byte_order_mark_determines_the_encoding() {
    let text = "time\tflow °F\r\n2024-01-01 10:00\t122\r\n2024-01-01 10:01\t122\r\n";
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&[0xff, 0xfe][..], &wide].concat();
    assert_eq!(play(marked, &["--column", "flow °F"]).0[0], (0.0, ok(5_000)));
    let kind = |bytes: &[u8]| refused(bytes, &["--column", "1"]);
    let what = |what: &str| format!("t.csv is {what}: a series is text with tabs, semicolons or commas");
    assert_eq!(kind(&wide), what("UTF-16 without a byte-order mark"));
    assert_eq!(kind(b"\x7fELF\x02\x01\x01\x03\x04\x05"), what("not text"));
}

#[test]
fn file_without_a_series_is_refused() {
    let column = ["--column", "flow"];
    for text in ["", "\n \n", "time,flow\n", "\u{feff}"] {
        assert_eq!(refused(text, &column), "t.csv: no row is left to play", "{text:?}");
    }
    assert_eq!(
        refused(table(&["40"]), &column),
        "t.csv: 1 rows in all, no two with different times: set --row to the length of a row"
    );
    assert_eq!(play(table(&["40"]), &["--column", "flow", "--row", "1h"]), (vec![(0.0, ok(4_000))], 3_600.0));
    let folder = tempfile::tempdir().unwrap();
    let error = Replay::open(folder.path(), &Options::new(Column::Number(1))).unwrap_err();
    assert!(matches!(error, ReplayError::Read { .. }), "{error}");
    let still = Options { row: Some(Duration::ZERO), ..Options::new(Column::Number(1)) };
    let error = Replay::parse("t.csv", b"1\n", &still).unwrap_err();
    assert_eq!(error.to_string(), "a row lasts from 1 ms to 24 h, not 0ns");
}

#[test]
fn long_generated_series_plays_its_source_values() {
    let centi: Vec<i16> = (0..1_440_i16).map(|k| (k % 240 * 37) - 1_000).collect();
    let mut text = String::from("Zeit;Rücklauf;Vorlauf\n");
    for (k, value) in centi.iter().enumerate() {
        let sign = if *value < 0 { "-" } else { "" };
        let (whole, part) = (value.abs() / 100, value.abs() % 100);
        writeln!(text, "02.03.2020 {:02}:{:02};0;{sign}{whole},{part:02}", k / 60, k % 60).unwrap();
    }
    let (timeline, end) = play(text, &["--column", "vorlauf"]);
    let expected: Timeline = (0..1_440).map(|k| f64::from(k) * 60.0).zip(centi.into_iter().map(ok)).collect();
    assert_eq!((timeline, end), (expected, 86_400.0));
}
