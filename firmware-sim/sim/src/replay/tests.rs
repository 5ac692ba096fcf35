//! Series with the quirks of recorded ones, and recorded ones where they are at hand.

use std::fmt::Write;

use super::*;

const MINUTE_SLOTS: u64 = 6_000;

fn options(column: &str) -> Options {
    let Ok(column) = column.parse();
    Options::new(column)
}

fn play(text: &[u8], options: &Options) -> Vec<Option<(i16, Quality)>> {
    let replay = Replay::parse("test.csv", text, options).unwrap();
    replay.rows().iter().map(|row| row.map(|(temperature, quality)| (temperature.0, quality))).collect()
}

fn ok(centi: i16) -> Option<(i16, Quality)> {
    Some((centi, Quality::Ok))
}

const OPEN_ROW: Option<(i16, Quality)> = Some((-6_000, Quality::Open));

/// Tab separated, ISO-8859-1, decimal comma, a tab at the end of each row, one minute (10:02) lost.
const HEATING: &[u8] = b"Datum & Uhrzeit\tSensor 1 [ \xb0C]\tSensor 2 [ \xb0C]\tW\xe4rme [ Wh]\r\n\
    01.01.2017 09:59\t-3,0\t888,8\t1\t\r\n\
    01.01.2017 10:00\t-2,9\t-88,8\t2\t\r\n\
    01.01.2017 10:01\t61,375\t-999,9\t3\t\r\n\
    01.01.2017 10:03\t-25,01\t\t4\t\r\n\
    01.01.2017 10:04\t125,01\tNaN\t5\t\r\n";

#[test]
fn a_recorder_of_a_heating_system_is_understood() {
    let expected = [ok(-300), ok(-290), ok(6_138), Some((-2_501, Quality::Open)), Some((12_501, Quality::Short))];
    assert_eq!(play(HEATING, &options("Sensor 1 [ °C]")), expected);
    assert_eq!(play(HEATING, &options("sensor 1")), expected, "a part of the name that only one column has");
    assert_eq!(play(HEATING, &options("2")), expected, "by number");
    assert_eq!(play(HEATING, &options("Sensor 2")), [OPEN_ROW; 5], "an input without a sensor");
}

#[test]
fn a_lost_row_is_silence_only_where_it_is_asked_for() {
    let every_row = Options { gaps: Gaps { silent_from: 2, ..Gaps::default() }, ..options("Sensor 1") };
    let played = play(HEATING, &every_row);
    assert_eq!((played.len(), played[3]), (6, None));
}

#[test]
fn rows_are_chosen_by_time_or_by_number() {
    let between = |from: &str, until: &str| {
        let rows = Rows::Between { from: from.parse().unwrap(), until: until.parse().unwrap() };
        play(HEATING, &Options { rows, ..options("2") }).len()
    };
    assert_eq!(between("10:00", "10:04"), 3);
    assert_eq!(between("10:02", "14:00"), 2);
    assert_eq!(between("01.01.2017 09:00", "2017-01-01 10:01:00"), 2);
    let rows = Rows::Numbers { first: 1, end: 3 };
    assert_eq!(play(HEATING, &Options { rows, ..options("2") }), [ok(-290), ok(6_138)]);
    let none = Options { rows: Rows::Numbers { first: 9, end: 12 }, ..options("2") };
    let error = Replay::parse("test.csv", HEATING, &none).unwrap_err();
    assert_eq!(error.to_string(), "test.csv: no row is left to play");
}

#[test]
fn a_time_of_day_ends_with_its_day() {
    let text = b"t,v\n2020-01-01 23:00:00,1\n2020-01-01 23:30:00,2\n2020-01-02 00:00:00,3\n2020-01-02 23:30:00,4\n";
    let rows = Rows::Between { from: "23:00".parse().unwrap(), until: "23:45".parse().unwrap() };
    assert_eq!(play(text, &Options { rows, ..options("v") }), [ok(100), ok(200)]);
}

/// Comma separated, hourly, in °F, without a header that says so; 00:00 to 04:00, then 3 rows are missing.
const ROOM: &[u8] = b"timestamp,value\n2013-07-04 00:00:00,69.88083514\n2013-07-04 01:00:00,71.6\n\
    2013-07-04 02:00:00,32\n2013-07-04 03:00:00,-40\n2013-07-04 04:00:00,212\n2013-07-04 08:00:00,50\n";

#[test]
fn a_gap_is_silence_of_so_many_rows() {
    let fahrenheit = Options { unit: Some(Unit::Fahrenheit), ..options("value") };
    let measured = [ok(2_104), ok(2_200), ok(0), Some((-4_000, Quality::Open)), ok(10_000)];
    let played = play(ROOM, &fahrenheit);
    assert_eq!(played[..5], measured);
    assert_eq!(played[5..], [None, None, None, ok(1_000)]);
    let short = Options { gaps: Gaps { most_rows: 1, ..Gaps::default() }, ..fahrenheit.clone() };
    assert_eq!(play(ROOM, &short)[5..], [None, ok(1_000)]);
    let never = Options { gaps: Gaps { silent_from: u32::MAX, ..Gaps::default() }, ..fahrenheit };
    assert_eq!(play(ROOM, &never)[5..], [ok(1_000)]);
}

#[test]
fn a_value_holds_for_its_minute() {
    let replay = Replay::parse("test.csv", ROOM, &options("2")).unwrap();
    let at = |slot| replay.value_at(slot, 10_000);
    assert_eq!(at(0), Played::Reading(CentiCelsius(6_988), Quality::Ok));
    assert_eq!(at(MINUTE_SLOTS - 1), at(0));
    assert_eq!(at(MINUTE_SLOTS), Played::Reading(CentiCelsius(7_160), Quality::Ok));
    assert_eq!(at(5 * MINUTE_SLOTS), Played::Silent);
    assert_eq!(at(8 * MINUTE_SLOTS - 1), Played::Silent);
    assert_eq!(at(8 * MINUTE_SLOTS), Played::Reading(CentiCelsius(5_000), Quality::Ok));
    assert_eq!(at(9 * MINUTE_SLOTS - 1), at(8 * MINUTE_SLOTS));
    assert_eq!(at(9 * MINUTE_SLOTS), Played::End);
    assert_eq!(at(u64::MAX), Played::End);
}

#[test]
fn a_file_may_be_as_plain_as_numbers() {
    assert_eq!(play(b"20.5\n\n21.5\n", &options("1")), [ok(2_050), ok(2_150)]);
    assert_eq!(play("\u{feff}Vorlauf °F\n212,0\n".as_bytes(), &options("vorlauf")), [ok(10_000)]);
    assert_eq!(play(b"a;b\n1,5;2,5\n3,5\n", &options("b")), [ok(250), OPEN_ROW], "a row that ends early");
}

#[test]
fn what_cannot_be_played_is_refused_with_its_place() {
    let refused = |text: &[u8], options: &Options| Replay::parse("t.csv", text, options).unwrap_err().to_string();
    assert_eq!(refused(b"a,b\n1,x\n", &options("b")), "t.csv:2: `x` is not a temperature");
    assert_eq!(refused(b"a,b\n1,2\n", &options("c")), "t.csv: 0 columns fit `c`; the columns are a | b");
    assert_eq!(refused(b"a1,a2\n1,2\n", &options("a")), "t.csv: 2 columns fit `a`; the columns are a1 | a2");
    assert_eq!(refused(b"a,b\n1,2\n", &options("3")), "t.csv: 0 columns fit `3`; the columns are a | b");
    assert_eq!(refused(b"a,b\n1,2\n", &options("0")), "t.csv: 0 columns fit `0`; the columns are a | b");
    assert_eq!(refused(b" \n", &options("1")), "t.csv: no row is left to play");
    let rows = Rows::Between { from: "10:00".parse().unwrap(), until: "11:00".parse().unwrap() };
    let by_time = Options { rows, ..options("b") };
    let message = "t.csv:2: the first column is not a time, and the rows were to be chosen by time";
    assert_eq!(refused(b"a,b\n1,2\n", &by_time), message);
    let still = Options { row: Duration::ZERO, ..options("b") };
    assert_eq!(refused(b"a,b\n1,2\n", &still), "a row lasts from 1 ms to 24 h, not 0ns");
    assert!("noon".parse::<Mark>().is_err() && "K".parse::<Unit>().is_err());
}

#[test]
fn a_long_generated_series_equals_what_it_was_made_of() {
    let centi: Vec<i16> = (0..1_440_i16).map(|k| (k % 240 * 37) - 1_000).collect();
    let mut text = String::from("Zeit;Rücklauf;Vorlauf\n");
    for (k, value) in centi.iter().enumerate() {
        let sign = if *value < 0 { "-" } else { "" };
        let (whole, part) = (value.abs() / 100, value.abs() % 100);
        writeln!(text, "02.03.2020 {:02}:{:02};0;{sign}{whole},{part:02}", k / 60, k % 60).unwrap();
    }
    let played = play(text.as_bytes(), &options("vorlauf"));
    assert_eq!(played, centi.into_iter().map(ok).collect::<Vec<_>>());
}

/// A file of the recorded series beside the workspace, or None where they are not at hand.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn recorded(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(file);
    if !path.exists() {
        eprintln!("skipping: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// The mean in centi-degrees of a column, by floats, as a stranger would compute it.
fn strangers_mean(path: &Path, separator: char, column: usize, pick: impl Fn(&str) -> bool) -> (f64, usize) {
    let bytes = fs::read(path).unwrap();
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let picked = text.lines().skip(1).filter(|line| pick(line));
    let values: Vec<f64> =
        picked.map(|line| line.split(separator).nth(column).unwrap().replace(',', ".").parse().unwrap()).collect();
    (values.iter().sum::<f64>() / values.len() as f64 * 100.0, values.len())
}

#[test]
fn the_solar_plant_of_2017_is_played_to_the_row() {
    let Some(path) = recorded("solar-thermal/20170101.csv") else { return };
    let rows = Rows::Between { from: "10:00".parse().unwrap(), until: "14:00".parse().unwrap() };
    let hot_water = Options { rows, ..options("Temperatur Sensor 3") };
    let replay = Replay::open(&path, &hot_water).unwrap();
    let (mean, count) = strangers_mean(&path, '\t', 3, |line| ("10:00".."14:00").contains(&&line[11..16]));
    assert_eq!(replay.rows().len(), count);
    let sum: i64 = replay.rows().iter().map(|row| i64::from(row.unwrap().0.0)).sum();
    assert!((sum as f64 / count as f64 - mean).abs() < 1e-6, "{sum} in {count} rows, a mean of {mean}");
    assert!(replay.rows().iter().all(|row| row.is_some_and(|(_, quality)| quality == Quality::Ok)));
    for unconnected in ["Sensor 5", "Sensor 6", "Sensor 8"] {
        let replay = Replay::open(&path, &options(unconnected)).unwrap();
        assert!(replay.rows().iter().all(|row| *row == Some(OPEN)), "{unconnected}");
    }
}

#[test]
fn the_office_of_2013_is_silent_in_its_gaps() {
    let Some(path) = recorded("nab/ambient_temperature_system_failure.csv") else { return };
    let fahrenheit = Options { unit: Some(Unit::Fahrenheit), ..options("value") };
    let replay = Replay::open(&path, &fahrenheit).unwrap();
    let (mean, count) = strangers_mean(&path, ',', 1, |_| true);
    let readings: Vec<i64> = replay.rows().iter().flatten().map(|(centi, _)| i64::from(centi.0)).collect();
    assert_eq!(readings.len(), count);
    let celsius = (mean - 3_200.0) * 5.0 / 9.0;
    let played = readings.iter().sum::<i64>() as f64 / count as f64;
    assert!((played - celsius).abs() < 0.05, "{played} and {celsius}");
    // From 2013-07-28 04:00 to 2013-07-29 12:00 there are 31 hours without a row.
    let rows = Rows::Between { from: "2013-07-28 03:00".parse().unwrap(), until: "2013-07-29 14:00".parse().unwrap() };
    let around = Replay::open(&path, &Options { rows, ..fahrenheit }).unwrap();
    let silent: Vec<bool> = around.rows().iter().map(Option::is_none).collect();
    assert_eq!(silent, [&[false; 2][..], &[true; 31], &[false; 2]].concat());
}
