//! Times: formats, zones, order, and the choice of rows.

use super::*;

/// Rows of a column `flow` at these times: 10, 11, 12, … degrees.
fn at(times: &[&str]) -> String {
    let rows = times.iter().zip(10..).map(|(time, flow)| format!("{time},{flow}\n"));
    std::iter::once("time,flow\n".to_owned()).chain(rows).collect()
}

const FLOW: [&str; 2] = ["--column", "flow"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FLOW[..], more].concat()
}

/// Start of each span in seconds, and whether it has a reading.
fn starts(text: &str, more: &[&str]) -> Vec<(f64, bool)> {
    play(text, &with(more)).0.iter().map(|(at, reading)| (*at, reading.is_some())).collect()
}

fn steady(step: f64, count: u32) -> Vec<(f64, bool)> {
    (0..count).map(|n| (f64::from(n) * step, true)).collect()
}

#[test]
fn offsets_are_used() {
    let spring = at(&["2024-03-31T01:40+01:00", "2024-03-31T01:50+01:00", "2024-03-31T03:00+02:00"]);
    assert_eq!(starts(&spring, &[]), steady(600.0, 3), "no gap");
    let autumn = at(&[
        "2024-10-27T02:40:00+02:00",
        "2024-10-27T02:50:00+02:00",
        "2024-10-27T03:00:00+01:00",
        "2024-10-27T03:10:00+01:00",
    ]);
    assert_eq!(starts(&autumn, &[])[1..4], [(600.0, true), (1_200.0, false), (4_800.0, true)], "an hour of silence");
    let mixed = at(&["2024-01-01T10:00Z", "2024-01-01T10:01Z", "2024-01-01T10:02", "2024-01-01T10:03Z"]);
    let expected = ["t.csv:4: `2024-01-01T10:02,12` has no UTC offset, unlike other rows; not played"];
    assert_eq!(notes(&mixed, &FLOW), expected);
    assert_eq!(starts(&mixed, &["--time-zone", "UTC"]), steady(60.0, 4));
}

#[test]
fn zone_resolves_local_times() {
    let autumn =
        ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00", "03:30"].map(|time| format!("2024-10-27 {time}"));
    let autumn = at(&autumn.each_ref().map(String::as_str));
    let expected = "t.csv:5: the time goes back at night, in `2024-10-27 02:00,13`: \
        set --time-zone (UTC if clocks never change)";
    assert_eq!(refused(&autumn, &FLOW), expected);
    assert_eq!(starts(&autumn, &["--time-zone", "Europe/Berlin"]), steady(1_800.0, 7));
    let hourly = [0, 1, 2, 2, 3, 4].map(|hour| format!("2024-10-27 {hour:02}:00"));
    let hourly = at(&hourly.each_ref().map(String::as_str));
    assert!(refused(&hourly, &FLOW).starts_with("t.csv:5: the time goes back at night"), "{}", refused(&hourly, &FLOW));
    assert_eq!(starts(&hourly, &["--time-zone", "Europe/Berlin"]), steady(3_600.0, 6));
    let spring = at(&["2024-03-31 01:30", "2024-03-31 01:45", "2024-03-31 03:00", "2024-03-31 03:15"]);
    assert_eq!(starts(&spring, &["--time-zone", "Europe/Berlin"]), steady(900.0, 4));
    assert_eq!(starts(&spring, &["--time-zone", "UTC"])[2], (1_800.0, false));
    let expected = "t.csv:4: the time leaps an hour at night, in `2024-03-31 03:00,12`: \
        set --time-zone (UTC if clocks never change)";
    assert_eq!(refused(&spring, &FLOW), expected);
    let monday = spring.replace("2024-03-31", "2024-04-01");
    assert_eq!(starts(&monday, &[])[2], (1_800.0, false), "clocks change on Sundays");
    let wrong = at(&["2024-03-31 01:30", "2024-03-31 01:45", "2024-03-31 02:00", "2024-03-31 03:15"]);
    let never = "t.csv:4: `2024-03-31 02:00,12` does not exist in this time zone; not played";
    assert_eq!(notes(&wrong, &with(&["--time-zone", "Europe/Berlin"])), [never]);
    let once = at(&["2024-10-27 01:30", "2024-10-27 02:00", "2024-10-27 02:30", "2024-10-27 03:00"]);
    let expected = "t.csv:3: this hour occurs twice in the time zone and once in the file: taken as the first";
    assert_eq!(notes(&once, &with(&["--time-zone", "Europe/Berlin"])), [expected]);
}

#[test]
fn date_order_is_resolved_or_refused() {
    let open = at(&["1/1/2024 23:58", "1/1/2024 23:59", "1/2/2024 0:00", "1/2/2024 0:01"]);
    let expected = "t.csv:2: the order of day, month and year is ambiguous in `1/1/2024 23:58,10`: \
        set --time-format to dmy, mdy or ymd";
    assert_eq!(refused(&open, &FLOW), expected);
    assert_eq!(starts(&open, &["--time-format", "mdy"]), steady(60.0, 4));
    let american = at(&["1/12/2024 11:58 PM", "1/12/2024 11:59 PM", "1/13/2024 12:00 AM", "1/13/2024 12:01 AM"]);
    assert_eq!(starts(&american, &[]), steady(60.0, 4));
    let british = at(&["12/01/2024 23:58", "12/01/2024 23:59", "13/01/2024 00:00"]);
    assert_eq!(starts(&british, &[]), steady(60.0, 3));
    let german = at(&["01.02.2024 23:58", "01.02.2024 23:59", "02.02.2024 00:00"]);
    assert_eq!(starts(&german, &[]), steady(60.0, 3));
    let both = at(&["13/01/2024 23:58", "01/13/2024 23:59"]);
    assert!(refused(&both, &FLOW).starts_with("t.csv:3: the order of day, month and year is ambiguous"));
    let short = at(&["24/02/01 10:00", "24/02/01 10:01"]);
    assert!(refused(&short, &FLOW).starts_with("t.csv:2: the order of day, month and year is ambiguous"));
    assert_eq!(starts(&short, &["--time-format", "ymd"]), steady(60.0, 2));
}

#[test]
fn unix_units_are_detected_by_magnitude() {
    let seconds = [1_704_103_200_u64, 1_704_103_260, 1_704_103_320, 1_704_103_920];
    let expected = [(0.0, true), (60.0, true), (120.0, true), (180.0, false), (720.0, true)];
    for (factor, name) in [(1, "seconds"), (1_000, "milliseconds"), (1_000_000, "microseconds")] {
        let times = seconds.map(|second| (second * factor).to_string());
        let text = at(&times.each_ref().map(String::as_str));
        assert_eq!(starts(&text, &[]), expected, "{name}");
        assert!(read(text.as_bytes(), &FLOW).unwrap().summary().contains(&format!("Unix {name};")));
    }
    let fractions = at(&["1704103200.0", "1704103200.5", "1.7041032010e9"]);
    assert_eq!(starts(&fractions, &[]), steady(0.5, 3));
    let elapsed = at(&["0", "60", "120"]);
    assert!(refused(&elapsed, &FLOW).contains("no column holds dates with times or Unix times"));
    assert_eq!(starts(&elapsed, &["--time-format", "s", "--time-column", "time"]), steady(60.0, 3));
}

#[test]
fn fractions_midnight_and_leap_seconds_are_exact() {
    let tenths =
        at(&["2024-01-01 10:00:00.0", "2024-01-01 10:00:00.1", "2024-01-01 10:00:00.2", "2024-01-01 10:01:00.2"]);
    assert_eq!(starts(&tenths, &[])[1..4], [(0.1, true), (0.2, true), (0.3, false)]);
    let midnight = at(&["31.12.2023 23:58", "31.12.2023 23:59", "31.12.2023 24:00", "01.01.2024 00:01"]);
    assert_eq!(starts(&midnight, &[]), steady(60.0, 4));
    let leap = at(&["2016-12-31 23:59:58", "2016-12-31 23:59:59", "2016-12-31 23:59:60", "2017-01-01 00:00:01"]);
    assert_eq!(starts(&leap, &[]), steady(1.0, 4));
    assert_eq!(notes(&midnight, &FLOW), [""; 0]);
}

#[test]
fn time_columns_are_found() {
    let apart =
        "Date,Time,flow\n2024-1-1,10:00:00,40\n2024-1-1,10:01:00,41\n2024-1-1,10:30:00,50\n2024-1-1,10:31:00,51\n";
    assert_eq!(starts(apart, &[])[2..4], [(120.0, false), (1_800.0, true)]);
    let asked = ["--time-column", "date", "--time-column", "2"];
    assert_eq!(starts(apart, &asked), starts(apart, &[]));
    let influx =
        ",_start,_time,flow\n0,2024-01-01T00:00Z,2024-01-02T10:00Z,1\n0,2024-01-01T00:00Z,2024-01-02T10:01Z,2\n";
    assert_eq!(starts(influx, &[]), steady(60.0, 2), "a constant column is no time column");
    let two = "a,b,flow\n2024-01-01 10:00,2024-01-01 10:05,1\n2024-01-01 10:01,2024-01-01 10:07,2\n";
    assert_eq!(refused(two, &FLOW), "t.csv: several columns hold times, 1 \"a\", 2 \"b\": set --time-column");
    assert_eq!(starts(two, &["--time-column", "b"]), steady(120.0, 2));
    let days = at(&["2024-01-01", "2024-01-02", "2024-01-03"]);
    assert_eq!(starts(&days, &[]), steady(86_400.0, 3));
    let clock_only = at(&["10:00", "10:01", "10:02"]);
    assert!(refused(&clock_only, &FLOW).ends_with("or --row"), "{}", refused(&clock_only, &FLOW));
    assert_eq!(starts(&clock_only, &["--row", "1m"]), steady(60.0, 3));
    let months = at(&["01-Jan-2024 10:00", "01-Jan-2024 10:01"]);
    assert_eq!(starts(&months, &["--time-format", "%d-%b-%Y %H:%M"]), steady(60.0, 2));
}

#[test]
fn late_rows_are_played_in_order_and_reported() {
    let late = at(&["2024-01-01 10:00", "2024-01-01 10:02", "2024-01-01 10:01", "2024-01-01 10:03"]);
    let (timeline, _) = play(&late, &FLOW);
    assert_eq!(timeline, [(0.0, ok(1_000)), (60.0, ok(1_200)), (120.0, ok(1_100)), (180.0, ok(1_300))]);
    let expected = "t.csv:4: 1 rows out of order, the first in this line; played at their own time";
    assert_eq!(notes(&late, &FLOW), [expected]);
    let mut twice = at(&["2024-01-01 10:00", "2024-01-01 10:01"]);
    for minute in 2..20 {
        writeln!(twice, "2024-01-01 10:{minute:02},20").unwrap();
    }
    twice += "2024-01-01 10:19,20\n2024-01-01 10:19,21\n";
    let expected = [
        "t.csv:23: another temperature at the time of line 21; not played",
        "t.csv:22: 1 repeated rows, the first in this line; played once",
    ];
    assert_eq!(notes(&twice, &FLOW), expected);
    assert_eq!(starts(&twice, &[]), steady(60.0, 20));
}

#[test]
fn unset_clock_is_refused_without_allocating() {
    let unset = at(&["1970-01-01 00:00:10", "1970-01-01 00:00:11", "2024-01-01 12:00:10", "2024-01-01 12:00:11"]);
    let expected = "t.csv:4: 19723 days without a row end here (a clock that was not set?): \
        use --from 2024-01-01T12:00:10 to begin here, --until 2024-01-01T12:00:10 to end before it, \
        or --gap-rows to shorten it";
    assert_eq!(refused(&unset, &FLOW), expected);
    assert_eq!(starts(&unset, &["--from", "2024-01-01T12:00:10"]), steady(1.0, 2));
    assert_eq!(starts(&unset, &["--until", "2024-01-01T12:00:10"]), steady(1.0, 2));
    assert_eq!(starts(&unset, &["--gap-rows", "2"])[2..4], [(2.0, false), (4.0, true)]);
    let year = at(&["2023-01-01 00:00:10", "2023-01-01 00:00:11", "2024-01-01 00:00:11"]);
    assert_eq!(starts(&year, &[]).len(), 4, "a year in one span");
}

#[test]
fn rows_are_chosen_by_time() {
    let hours: Vec<String> = (0..48).map(|hour| format!("2020-01-{:02} {:02}:00", 1 + hour / 24, hour % 24)).collect();
    let text = at(&hours.iter().map(String::as_str).collect::<Vec<_>>());
    let between = |more: &[&str]| {
        let (timeline, end) = play(&text, &with(more));
        (timeline[0].1.unwrap().0 / 100 - 10, end / 3_600.0)
    };
    assert_eq!(between(&["--from", "10:00", "--until", "14:00"]), (10, 4.0));
    assert_eq!(between(&["--from", "10:00", "--until", "13:30"]), (10, 3.5), "the last row ends at --until");
    assert_eq!(between(&["--from", "22:00", "--until", "06:00"]), (22, 8.0), "across midnight");
    assert_eq!(between(&["--until", "02.01.2020 01:00"]), (0, 25.0));
    assert_eq!(between(&["--from", "2020-01-02"]), (24, 24.0));
    assert_eq!(between(&["--from", "2020-01-01T23:30:00", "--until", "2020-01-02T01:00"]), (24, 1.0));
    assert_eq!(refused(&text, &with(&["--from", "2021-01-01"])), "t.csv: no row is left to play");
    let instant = with(&["--from", "2020-01-01T10:00+01:00"]);
    let expected = "t.csv: `2020-01-01T09:00:00Z` is an instant, but the file has local times: set --time-zone";
    assert_eq!(refused(&text, &instant), expected);
    assert_eq!(between(&["--from", "2020-01-01T10:00+01:00", "--time-zone", "UTC"]), (9, 39.0));
    let expected = "t.csv: no column holds dates with times or Unix times: set --time-column and --time-format";
    assert_eq!(refused("flow\n1\n2\n", &with(&["--row", "1m", "--from", "10:00"])), expected);
}

#[test]
fn recorded_cases_play_or_name_the_argument() {
    let case = |name: &str| recorded(&format!("cases/series/{name}.csv"));
    let played: [(&str, &[&str], u64, usize); 8] = [
        ("cell-exp", &["--column", "flow"], 180, 3),
        ("date-and-time-apart", &["--column", "flow"], 34 * 60, 9),
        ("dst-autumn-outage-hidden", &["--column", "flow"], 180 * 60, 13),
        ("epoch-seconds-gap", &["--column", "flow"], 1_200, 11),
        ("ha-on-change", &["--column", "state"], 61 * 60, 8),
        ("nul-block", &["--column", "flow"], 32 * 60, 4),
        ("unit-degF", &["--column", "2"], 120, 2),
        ("us-dates", &["--column", "flow", "--time-format", "mdy"], 240, 4),
    ];
    for (name, arguments, seconds, spans) in played {
        let Some(path) = case(name) else { return };
        let replay = open(&path, arguments);
        assert_eq!((replay.end_us(), replay.spans().len()), (seconds * 1_000_000, spans), "{name}");
    }
    let flagged = [
        ("us-dates", "--time-format"),
        ("rtc-1970", "--from"),
        ("unquoted-decimal-comma", "2 of 2 rows cannot be parsed"),
    ];
    for (name, flag) in flagged {
        let text = fs::read(case(name).unwrap()).unwrap();
        assert!(refused(&text, &FLOW).contains(flag), "{name}: {}", refused(&text, &FLOW));
    }
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    /// Fragments of series, and damage.
    const PIECES: [&str; 40] = [
        "time",
        "flow",
        "flow [°F]",
        ",",
        ",",
        ",",
        ";",
        "\t",
        "|",
        "\n",
        "\n",
        "\r\n",
        "\"",
        "\0",
        "-",
        "2024-01-01 10:00",
        "2024-01-01 10:01",
        "2024-10-27 02:30",
        "2024-03-31 02:30",
        "9999-12-31 24:00",
        "-9999-01-01 00:00",
        "1/2/2024 1:00 PM",
        "13/1/24 0:00",
        "2016-12-31T23:59:60Z",
        "1970-01-01 00:00:00+14:00",
        "1704103200",
        "1704103200000",
        "99999999999999999",
        "1e300",
        "-1e-300",
        "40.5",
        "40,5",
        "888,8",
        "NaN",
        "K",
        "°",
        "ä",
        "10:00",
        "2024-01-02",
        "x",
    ];

    proptest! {
        #[test]
        fn any_text_is_played_or_refused(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60),
            header in any::<bool>(),
            shorter in any::<bool>(),
        ) {
            let text = if header { "time,flow\n" } else { "" }.to_owned() + &pieces.concat();
            for more in [
                &[][..],
                &["--row", "1s"],
                &["--time-zone", "Europe/Berlin", "--from", "10:00", "--until", "06:00"],
                &["--time-column", "1", "--time-format", "ns", "--silent-from", "never"],
                &["--gap-rows", "4000000000", "--time-format", "mdy"],
                &["--where", "2=40.5", "--skip", "1"],
            ] {
                let column = ["--column", if shorter { "2" } else { "flow" }];
                if let Ok(replay) = read(text.as_bytes(), &[&column[..], more].concat()) {
                    prop_assert!(replay.spans().len() <= 2 * text.lines().count() + 2);
                    prop_assert!(replay.spans().is_sorted_by_key(|span| span.from_us));
                    prop_assert_eq!(replay.at(replay.end_us()), Played::End);
                }
            }
        }
    }
}
