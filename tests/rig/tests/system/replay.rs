//! Real input: recorded series through device, line, agent, JetStream and aggregator, compared with the file itself.
//!
//! The reference is read from the file with separate code: neither the simulator's reader nor its account is used.

use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use firmware_sim::account::Account;
use rig::house::House;
use thermowell_flow::published::Snapshot;
use thermowell_wire::subject::{self, stream};

/// Slots of a row: a minute.
const ROW: u64 = 6_000;
/// Nanoseconds in a slot.
const SLOT_NS: i64 = 10_000_000;
/// What two cores can do in a debug build, while other tests run.
const SPEED: &str = "240";

/// The sensor's reading in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Centi(i64),
    Open,
    /// A pause of the recorder: no slots have readings.
    Silence,
}

/// The expected numbers of a snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    sum_centi: i64,
    counted: u64,
    invalid: u64,
    missed: u64,
}

fn sum(rows: &[Cell], slots: Range<u64>) -> Sum {
    let mut sum = Sum::default();
    for (row, cell) in (0_u64..).zip(rows) {
        let count = slots.end.min((row + 1) * ROW).saturating_sub(slots.start.max(row * ROW));
        match cell {
            Cell::Centi(centi) => {
                sum.sum_centi += centi * i64::try_from(count).unwrap();
                sum.counted += count;
            }
            Cell::Open => sum.invalid += count,
            Cell::Silence => sum.missed += count,
        }
    }
    sum
}

/// The path of a recording; `None`, with a line, if it is missing.
fn recording(name: &str) -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = data.join(name);
    if path.is_file() {
        return Some(path);
    }
    writeln!(std::io::stderr().lock(), "SKIPPED: there is no {}", path.display()).unwrap();
    None
}

/// Plays a recording for so many hours and compares each snapshot with `rows`.
fn compare(file: &Path, column: &str, hours: u64, simulator: &[&str], rows: &[Cell]) {
    assert!(u64::try_from(rows.len()).unwrap() > hours * 60, "the hour after the last one has to begin");
    let simulator: Vec<String> = simulator.iter().map(|argument| format!("--sim-arg={argument}")).collect();
    let mut arguments = vec!["--speed", SPEED, "--boilers", "1", "--column", column, "--replay"];
    arguments.push(file.to_str().expect("a path in UTF-8"));
    arguments.extend(simulator.iter().map(String::as_str));
    let mut house = House::start(super::DEMO, &arguments);
    let [boiler] = house.boilers().try_into().expect("one boiler");

    let mut snapshots = Vec::new();
    for hour in 1..=hours {
        let closes = house.plan.epoch_utc_ns / 1_000_000_000 + i64::try_from(hour * 3_600).unwrap();
        // Four hours take a minute, on a busy machine up to three.
        let snapshot: Snapshot = house.until(&format!("hour {hour}"), std::time::Duration::from_secs(180), |house| {
            house
                .last_json(stream::SNAPSHOT, &subject::snapshot(&boiler))
                .filter(|snapshot: &Snapshot| snapshot.created_at >= closes)
        });
        assert_eq!(snapshot.created_at, closes, "an hour was not seen");
        snapshots.push(snapshot);
    }
    assert!(house.close_as_it_is().ok);

    // On a busy machine the device starts late, after the beginning of the series.
    let account = Account::open(&house.plan.account()).unwrap();
    let late_ns = account.boiler(&boiler).unwrap().boots[0].utc_ns(0) - house.plan.boot().1;
    let late = u64::try_from(late_ns / SLOT_NS).unwrap();
    let mut end = 0;
    for (hour, snapshot) in (1..).zip(&snapshots) {
        let first = snapshot.first.expect("slots").seq;
        assert_eq!(first, end, "hour {hour} does not begin at the end of the previous one");
        end = snapshot.last.seq + 1;
        let missing = snapshot.missing;
        let found = Sum {
            sum_centi: snapshot.sum_centi,
            counted: snapshot.temperature_points,
            invalid: missing.invalid,
            missed: missing.missed,
        };
        let expected = sum(rows, late + first..late + end);
        assert_eq!(found, expected, "hour {hour}, slots {first}..{end}, {late} late");
        assert_eq!(missing.total(), missing.invalid + missing.missed);
        assert_eq!(snapshot.slots, end - first);
        let mean = (expected.counted > 0)
            .then(|| format!("{:.2}", expected.sum_centi as f64 / expected.counted as f64 / 100.0));
        let near = |celsius: f64| (celsius - mean.as_ref().unwrap().parse::<f64>().unwrap()).abs() < 0.010_1;
        assert_eq!(snapshot.temperature.is_some(), mean.is_some());
        assert!(snapshot.temperature.is_none_or(near), "{:?}, not {mean:?}", snapshot.temperature);
    }
}

/// The recording of a solar plant: tabs, ISO-8859-1, decimal commas, a row a minute, and numbers for "no sensor". For a
/// missing row the previous one holds.
fn solar(text: &[u8], column: usize, from: &str) -> Vec<Cell> {
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    let rows = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    let rows: Vec<_> = rows.skip_while(|cells| !cells[0].ends_with(from)).collect();
    let minute = |cells: &[&str]| {
        let (hour, minute) = cells[0][11..].split_once(':').unwrap();
        hour.parse::<usize>().unwrap() * 60 + minute.parse::<usize>().unwrap()
    };
    let mut played = Vec::new();
    for cells in &rows {
        let before = played.last().copied();
        played.resize_with(minute(cells) - minute(&rows[0]), || before.expect("a previous row"));
        played.push(match cells[column - 1] {
            "888,8" | "-88,8" | "-999,9" => Cell::Open,
            // One decimal: without the comma it is tenths.
            text => Cell::Centi(text.replace(',', "").parse::<i64>().unwrap() * 10),
        });
    }
    played
}

#[test]
#[ignore = "a minute of both cores"]
fn a_solar_plant_from_ten_to_two() {
    let Some(file) = recording("solar-thermal/20170101.csv") else { return };
    let rows = solar(&fs::read(&file).unwrap(), 4, "10:00");
    // The fourth hour closes with the first slot after it.
    compare(&file, "4", 4, &["--from", "10:00", "--until", "14:30"], &rows[..250]);
}

#[test]
fn a_machine_that_failed_across_a_gap_of_its_recording() {
    let Some(file) = recording("nab/ambient_temperature_system_failure.csv") else { return };
    let text = fs::read_to_string(&file).unwrap();
    let mut rows = Vec::new();
    // From 100 rows ahead of the gap of two days, which has 47 rows of silence.
    let (from, gap, end) = ("2013-08-23 08:00:00", "2013-08-29 11:00:00", "2013-09-02 11:00:00");
    let lines = text.lines().skip_while(|line| !line.starts_with(from)).take_while(|line| !line.starts_with(end));
    for line in lines {
        let (time, fahrenheit) = line.split_once(',').unwrap();
        if time == gap {
            rows.extend([Cell::Silence; 47]);
        }
        let celsius = (fahrenheit.parse::<f64>().unwrap() - 32.0) * 5.0 / 9.0;
        #[expect(clippy::cast_possible_truncation, reason = "a room's temperature in hundredths")]
        rows.push(Cell::Centi((celsius * 100.0).round() as i64));
    }
    assert!(rows.iter().position(|cell| *cell == Cell::Silence).is_some_and(|row| (60..120).contains(&row)));
    // A row an hour, played as one a minute.
    let window = ["--row", "1m", "--unit", "F", "--from", "2013-08-23T08:00", "--until", "2013-09-02T11:00"];
    compare(&file, "value", 3, &window, &rows);
}

#[test]
fn a_generated_recording_with_the_same_quirks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("generated.csv");
    let mut text = b"Datum & Uhrzeit\tSensor 1 [ \xb0C]\tSensor 2 [ \xb0C]\t\r\n".to_vec();
    let mut rows = Vec::new();
    let line = |minute: u64, cell: &str| {
        format!("02.01.2017 {:02}:{:02}\t888,8\t{cell}\t\r\n", 6 + minute / 60, minute % 60).into_bytes()
    };
    for minute in 0..150_u64 {
        // An hour and two minutes of readings below and above zero, an unconnected spell, then five silent minutes.
        let tenths = i64::try_from(minute * 7 % 613).unwrap() - 50;
        match minute {
            70..75 => rows.push(Cell::Silence),
            20..23 => {
                let unconnected = ["888,8", "-88,8", "-999,9"][usize::try_from(minute - 20).unwrap()];
                text.extend(line(minute, unconnected));
                rows.push(Cell::Open);
            }
            _ => {
                let sign = if tenths < 0 { "-" } else { "" };
                let cell = format!("{sign}{},{}", tenths.abs() / 10, tenths.abs() % 10);
                text.extend(line(minute, &cell));
                rows.push(Cell::Centi(tenths * 10));
            }
        }
    }
    fs::write(&file, text).unwrap();
    compare(&file, "3", 2, &[], &rows);
}
