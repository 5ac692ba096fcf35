use serde_json::Value;
use thermowell_wire::BoilerId;
use thermowell_wire::line::GapReason;

use super::testing::{BOOT, NOON_NS, batch, gap, invalid, reading};
use super::*;

fn lines(form: Form, unpacked: &Unpacked<'_>) -> Vec<String> {
    let boiler: BoilerId = "b1".parse().unwrap();
    let holes = unpacked.holes.iter().map(|hole| Row::Hole(*hole));
    let line = |row: Row| {
        let mut out = String::new();
        row.write(form, &boiler, &mut out);
        out
    };
    holes.chain(unpacked.readings()).map(line).collect()
}

#[test]
fn each_form_has_readings_gaps_and_no_invented_value() {
    let mut unpack = Unpack::default();
    let first = batch(BOOT, 1_000, NOON_NS, ClockQuality::Synced, &[reading(61_37), invalid()]);
    let first = unpack.observe(1, &first).unwrap();
    assert_eq!(
        lines(Form::Text, &first),
        [
            "2026-01-07T12:00:00.000Z   61.37 °C  ok           flame pump",
            "2026-01-07T12:00:00.010Z    unknown  open         hot water",
        ]
    );
    assert_eq!(
        lines(Form::Csv, &first),
        [
            "2026-01-07T12:00:00.000Z,0000000100000002,1000,61.37,ok,1,1,0,,",
            "2026-01-07T12:00:00.010Z,0000000100000002,1001,,open,0,0,1,,",
        ]
    );
    let json: Vec<Value> = lines(Form::Json, &first).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&json[0]["celsius"], &json[1]["celsius"]), (&Value::from(61.37), &Value::Null));
    assert_eq!(
        lines(Form::Senml, &first),
        [r#"{"n":"flow","t":1767787200,"u":"Cel","v":61.37}"#, r#"{"n":"quality","t":1767787200.01,"vs":"open"}"#]
    );
    let gap = gap(BOOT, 1_002..2_002, GapReason::Ring, NOON_NS + 20_000_000);
    let gap = unpack.observe(2, &gap).unwrap();
    assert_eq!(lines(Form::Text, &gap), ["# gap 1000 ring"]);
    assert_eq!(lines(Form::Csv, &gap), ["2026-01-07T12:00:00.020Z,0000000100000002,1002,,,,,,1000,ring"]);
    let next =
        batch(Boot(0x0000_0002_0000_0009), 0, NOON_NS + 430_010_020_000_000, ClockQuality::Synced, &[reading(1)]);
    let next = unpack.observe(3, &next).unwrap();
    let columns = |line: &str| line.split(',').count();
    let all = [lines(Form::Csv, &first), lines(Form::Csv, &gap), lines(Form::Csv, &next)].concat();
    assert!(all.iter().all(|line| columns(line) == columns(CSV_HEADER)), "{all:?}");
    assert_eq!(lines(Form::Text, &next)[0], "# gap 43000000 reboot");
}

#[test]
fn skipped_slots_are_named_and_seen_ones_left_out() {
    let mut unpack = Unpack::default();
    let message = |seq, at_ms: i64| {
        batch(BOOT, seq, NOON_NS + at_ms * 1_000_000, ClockQuality::Synced, &[reading(1), reading(2), reading(3)])
    };
    assert!(unpack.observe(1, &message(0, 0)).is_some());
    let overlap = message(2, 20);
    assert_eq!(lines(Form::Csv, &unpack.observe(2, &overlap).unwrap()).len(), 2);
    let later = message(10, 100);
    let later = unpack.observe(3, &later).unwrap();
    assert_eq!(lines(Form::Text, &later)[0], "# gap 5 unexplained");
    assert!(unpack.observe(4, &message(10, 100)).is_none() && unpack.observe(5, b"junk").is_none());
}
