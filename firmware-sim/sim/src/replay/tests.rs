//! Series with the quirks of real recorders, and real recordings if they are available.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use clap::Parser;

use super::*;

mod doubt;
mod meaning;
mod times;

/// The series as start times in seconds and readings in hundredths of a degree; None is silence.
type Timeline = Vec<(f64, Option<(i16, Quality)>)>;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    replay: ReplayArgs,
}

/// Plays `text` with these command-line arguments.
fn read(text: &[u8], arguments: &[&str]) -> Result<Replay, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    fs::write(&path, text).unwrap();
    let file = ["program", "--replay", path.to_str().unwrap()];
    let arguments = Program::try_parse_from(file.iter().chain(arguments)).unwrap();
    let plain = |text: &str| text.replace(path.to_str().unwrap(), "t.csv");
    match arguments.replay.open() {
        Ok(replay) => {
            let mut replay = replay.unwrap();
            replay.summary = plain(&replay.summary);
            replay.notes = replay.notes.iter().map(|note| plain(note)).collect();
            Ok(replay)
        }
        Err(error) => Err(plain(&error.to_string())),
    }
}

fn timeline(replay: &Replay) -> Timeline {
    let one = |span: &Span| (span.from_us as f64 / 1e6, span.reading.map(|(centi, quality)| (centi.0, quality)));
    replay.spans().iter().map(one).collect()
}

/// The series and its length in seconds.
fn play(text: impl AsRef<[u8]>, arguments: &[&str]) -> (Timeline, f64) {
    let replay = read(text.as_ref(), arguments).unwrap();
    (timeline(&replay), replay.end_us() as f64 / 1e6)
}

fn refused(text: impl AsRef<[u8]>, arguments: &[&str]) -> String {
    read(text.as_ref(), arguments).unwrap_err()
}

fn notes(text: impl AsRef<[u8]>, arguments: &[&str]) -> Vec<String> {
    read(text.as_ref(), arguments).unwrap().notes().to_vec()
}

fn ok(centi: i16) -> Option<(i16, Quality)> {
    Some((centi, Quality::Ok))
}

const OPEN_ROW: Option<(i16, Quality)> = Some((-6_000, Quality::Open));

/// Rows of a minute each, from 10:00 on.
fn table(cells: &[&str]) -> String {
    let mut text = String::from("time,flow\n");
    for (minute, cell) in cells.iter().enumerate() {
        writeln!(text, "2024-01-01 10:{minute:02},{cell}").unwrap();
    }
    text
}

/// The path of a real recording; None, with a line that the harness does not capture, if it is missing.
fn recorded(file: &str) -> Option<PathBuf> {
    use std::io::Write as _;

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(file);
    if !path.exists() {
        writeln!(std::io::stderr().lock(), "SKIPPED: there is no {}", path.display()).unwrap();
        return None;
    }
    Some(path)
}

fn open(path: &Path, arguments: &[&str]) -> Replay {
    let file = ["program", "--replay", path.to_str().unwrap()];
    let arguments = Program::try_parse_from(file.iter().chain(arguments)).unwrap();
    arguments.replay.open().unwrap().unwrap()
}

/// The mean of a column in centi-degrees by independent float arithmetic, and the number of rows.
fn reference_mean(path: &Path, separator: char, column: usize, pick: impl Fn(&str) -> bool) -> (f64, usize) {
    let bytes = fs::read(path).unwrap();
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let picked = text.lines().skip(1).filter(|line| pick(line));
    let values: Vec<f64> =
        picked.map(|line| line.split(separator).nth(column).unwrap().replace(',', ".").parse().unwrap()).collect();
    (values.iter().sum::<f64>() / values.len() as f64 * 100.0, values.len())
}

/// The sum of all readings, and their number.
fn sum(replay: &Replay) -> (f64, usize) {
    let readings: Vec<i64> = replay.spans().iter().filter_map(|span| span.reading).map(|(c, _)| c.0.into()).collect();
    (readings.iter().sum::<i64>() as f64, readings.len())
}

#[test]
fn solar_plant_recording_is_played_row_by_row() {
    let Some(path) = recorded("data/solar-thermal/20170101.csv") else { return };
    let hot_water = ["--column", "Temperatur Sensor 3", "--from", "10:00", "--until", "14:00"];
    let (mean, count) = reference_mean(&path, '\t', 3, |line| ("10:00".."14:00").contains(&&line[11..16]));
    for replay in [open(&path, &hot_water), open(&path, &[&hot_water[..], &["--row", "1m"]].concat())] {
        let (sum, played) = sum(&replay);
        assert_eq!(played, count);
        assert!((sum / count as f64 - mean).abs() < 1e-6, "{sum} in {count} rows, a mean of {mean}");
        assert!(replay.spans().iter().all(|span| span.reading.is_some_and(|(_, quality)| quality == Quality::Ok)));
        assert_eq!(replay.notes(), [""; 0]);
    }
    // A row is missing at 12:02: with times, the rows after it keep their place.
    assert_eq!(open(&path, &hot_water).end_us(), 240 * 60_000_000);
    for unconnected in ["Sensor 5", "Sensor 6", "Sensor 8"] {
        let replay = open(&path, &["--column", unconnected]);
        assert!(replay.spans().iter().all(|span| span.reading == Some(OPEN)), "{unconnected}");
    }
}

#[test]
fn office_recording_is_silent_in_its_gaps() {
    let Some(path) = recorded("data/nab/ambient_temperature_system_failure.csv") else { return };
    let value = ["--column", "value", "--unit", "F"];
    let (mean, count) = reference_mean(&path, ',', 1, |_| true);
    let (sum, played) = sum(&open(&path, &value));
    assert_eq!(played, count);
    let celsius = (mean - 3_200.0) * 5.0 / 9.0;
    assert!((sum / count as f64 - celsius).abs() < 0.05, "{sum} in {count} rows and {celsius}");
    // From 2013-07-28 04:00 to 2013-07-29 12:00 there are 31 hours without a row.
    let around = [&value[..], &["--from", "2013-07-28 03:00", "--until", "2013-07-29 14:00"]].concat();
    for (row, hour) in [(&[][..], 3_600.0), (&["--row", "1m"], 60.0)] {
        let replay = open(&path, &[&around[..], row].concat());
        let steps: Vec<(f64, bool)> = timeline(&replay).iter().map(|(at, it)| (at / hour, it.is_none())).collect();
        assert_eq!(steps, [(0.0, false), (1.0, false), (2.0, true), (33.0, false), (34.0, false)]);
    }
}

#[test]
fn heat_pump_recording_has_times_in_column_five() {
    let Some(path) = recorded("data/heat-pump/influx_heatpump_720.csv") else { return };
    let (mean, count) = reference_mean(&path, ',', 12, |_| true);
    let replay = open(&path, &["--column", "nibe_bt2_supply_temp_s1"]);
    let (sum, played) = sum(&replay);
    assert_eq!((played, replay.end_us()), (count, 300_000_000 * count as u64));
    assert!((sum / count as f64 - mean).abs() < 0.1, "{sum} in {count} rows, a mean of {mean}");
    assert!(replay.summary().contains("5 \"_time\"") && replay.summary().contains("no gap"), "{}", replay.summary());
}

#[test]
fn room_recording_steps_by_59_and_61_seconds() {
    let Some(path) = recorded("data/occupancy/uci_occupancy_datatraining.txt") else { return };
    let replay = open(&path, &["--column", "Temperature"]);
    let (mean, count) = reference_mean(&path, ',', 2, |_| true);
    let (sum, played) = sum(&replay);
    assert_eq!(played, count);
    assert!((sum / count as f64 - mean).abs() < 0.5, "{sum} in {count} rows, a mean of {mean}");
    let seconds: Vec<f64> = timeline(&replay).iter().take(4).map(|(at, _)| *at).collect();
    assert_eq!(seconds, [0.0, 59.0, 120.0, 180.0]);
    assert_eq!(replay.notes(), [""; 0]);
}
