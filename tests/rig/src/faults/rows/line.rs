//! The boiler's side: devices that reboot, and a line that corrupts bytes.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use firmware_sim::account::Account;
use thermowell_flow::published::{Event, EventBody, Status};
use thermowell_wire::subject::{self, EventKind, stream};

use super::Row;
use crate::faults::report::{Lost, Predicted};
use crate::faults::stage::{Setting, Stage};
use crate::house::{Place, SOON};

/// A ring that overwrites slots within seconds.
const SHORT_RING_S: u64 = 5;
/// Slots that may be in transit or late on a busy machine: four real seconds at speed 2.
const SLACK: u64 = 800;
/// Slots in a frame of the line: what a device may have sampled and not yet sent.
const FRAME: u64 = 32;
/// Corrupts 25 of a million bits, that is 200 of a million bytes.
const BROKEN: &str = "[[line.bit_errors]]\nppm = 25\n";

/// The room sensor reads 85 °C (its value after power-on) from the start, then −127 °C (it does not answer); the
/// outdoor sensor reads what the firmware accepts, but no weather has.
const FAULTY_READINGS: &str = "[[senses.room]]
at = \"0 s\"
for = \"1 min\"
celsius = 85
[[senses.room]]
at = \"1 min\"
for = \"10 h\"
celsius = -127
[[senses.outdoor]]
at = \"0 s\"
for = \"10 h\"
celsius = 55
";

pub(super) fn rows() -> Vec<Row> {
    let overwritten = Predicted { lost: Lost::Overwritten, within_s: 15, hours: true };
    let unsent = Predicted { lost: Lost::Unsent { each: FRAME }, within_s: 15, hours: true };
    vec![
        Row::new("cable-out", "the cable out for longer than the ring (5 s)", |it| {
            Ok(cable_out(it, SHORT_RING_S, it.times(3), 6_500))
        })
        .predicting(overwritten),
        Row::new("cable-ring", "the cable out for longer than the whole ring (120 s)", |it| {
            Ok(cable_out(it, 120, 1, 150_000))
        })
        .predicting(overwritten)
        .taking(170),
        Row::new("reboot", "device reboot, off for 2 s", |it| Ok(reboot(it))).predicting(unsent).quick(),
        Row::new("sensors", "a board whose sensors read 85 and -127 °C", |it| Ok(sensors(it))).quick(),
        Row::new("bit-errors", "200 ppm byte errors on the line", |it| Ok(bit_errors(it))).quick(),
    ]
}

/// The missing slots are those that the ring had overwritten when the cable came back: from the pull to its oldest
/// slot.
fn cable_out(setting: &Setting, ring_s: u64, times: u32, length_ms: u64) -> Stage {
    let slots = format!("--sim-arg={}", ring_s * 100);
    let mut stage = Stage::start(setting, &["--speed", "2", "--sim-arg=--ring", &slots]);
    let boilers = stage.house.boilers();
    let all = |stage: &Stage, order: &str, done: &str| -> Vec<Place> {
        let each = |boiler| {
            let place = stage.house.place(boiler).expect("the boiler runs");
            assert_eq!(stage.house.order(&format!("{order} {boiler}")), done);
            place
        };
        boilers.iter().map(each).collect()
    };
    let mut expected = vec![Vec::new(); boilers.len()];
    for _ in 0..times {
        stage.go_on_for_some(500..=1_500);
        let pulled = all(&stage, "unplug", "unplugged");
        stage.injected(1);
        stage.go_on_for_some(length_ms - 500..=length_ms + 1_500);
        let plugged = all(&stage, "plug", "plugged");
        for (gaps, (pulled, plugged)) in expected.iter_mut().zip(pulled.iter().zip(&plugged)) {
            gaps.push(pulled.next..plugged.oldest);
        }
        stage.recover();
    }
    let account = Account::open(&stage.house.plan.account()).expect("the simulator writes it");
    for (boiler, expected) in boilers.iter().zip(&expected) {
        let boots = account.boiler(boiler).map_or(&[][..], |account| &account.boots);
        let gaps: Vec<_> = boots.iter().flat_map(|boot| &boot.ring_gaps).collect();
        let near = |gap: &Range<u64>, wanted: &Range<u64>| {
            gap.start.abs_diff(wanted.start) <= SLACK && gap.end.abs_diff(wanted.end) <= SLACK
        };
        if gaps.len() != expected.len() || !gaps.iter().zip(expected).all(|(gap, wanted)| near(gap, wanted)) {
            stage.finding(format!("{boiler}: the ring lost {gaps:?}, expected about {expected:?}"));
        }
    }
    stage
}

fn reboot(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    for _ in 0..setting.times(5) {
        stage.go_on_for_some(500..=2_000);
        for boiler in stage.house.boilers() {
            let before = stage.house.place(&boiler).expect("it is on").boot;
            assert_eq!(stage.house.order(&format!("reboot {boiler} 2s")), "off");
            stage.injected(1);
            stage
                .house
                .until("it is on again", SOON, |house| house.place(&boiler).filter(|place| place.boot != before));
        }
        stage.recover();
    }
    stage
}

/// Nothing is lost; STATUS has no such reading, and EVENT has one event for each sensor. The table's number of times is
/// the number of sensors with faulty readings.
fn sensors(setting: &Setting) -> Stage {
    let scenario = setting.folder.join("faulty-readings.toml");
    fs::write(&scenario, FAULTY_READINGS).expect("the folder is writable");
    let path = scenario.to_str().expect("temporary folders have plain names");
    let mut stage = Stage::start(setting, &["--speed", "20", "--scenario", path]);
    // More than a minute of the boiler's time: the second faulty reading follows the first.
    stage.house.go_on(Duration::from_secs(6));
    stage.recover();
    for boiler in stage.house.boilers() {
        stage.injected(2);
        let status: Status = stage.house.until("a status", SOON, |house| {
            let status: Status = house.last_json(stream::STATUS, &subject::status(&boiler))?;
            status.device.is_some().then_some(status)
        });
        let device = status.device.expect("it was waited for");
        if device.room.is_some() || device.outdoor.is_some() {
            stage.finding(format!("{boiler}: STATUS has room {:?}, outdoor {:?}", device.room, device.outdoor));
        }
        let subject = subject::event(&boiler, EventKind::Sensor);
        let named: Option<Event> = stage.house.last_json(stream::EVENT, &subject);
        if !named.is_some_and(|event| matches!(event.body, EventBody::SensorImplausible { .. })) {
            stage.finding(format!("{boiler}: the last event is not about an implausible reading"));
        }
    }
    stage
}

/// The table's number of times is the number of corrupted bytes, as counted by the simulator.
fn bit_errors(setting: &Setting) -> Stage {
    let scenario = setting.folder.join("broken.toml");
    fs::write(&scenario, BROKEN).expect("the folder is writable");
    let path = scenario.to_str().expect("temporary folders have plain names");
    let mut stage = Stage::start(setting, &["--speed", "5", "--scenario", path]);
    stage.house.go_on(Duration::from_secs(if setting.quick { 6 } else { 25 }));
    stage.recover();
    for boiler in stage.house.boilers() {
        let status = stage.house.order(&format!("status {boiler}"));
        let broken = status.split(' ').find_map(|word| word.strip_prefix("broken=")?.parse().ok());
        stage.injected(broken.expect("the simulator counts them"));
    }
    stage
}
