//! The boiler's side: devices that start again, and a line that breaks bytes.

use std::fs;
use std::time::Duration;

use thermowell_flow::published::{Event, EventBody, Status};
use thermowell_wire::subject::{self, EventKind, stream};

use super::{Row, SHORT_RING};
use crate::faults::report::{Lost, Predicted};
use crate::faults::stage::{Setting, Stage};
use crate::house::SOON;

/// Slots in a frame of the line: what a device may have sampled and not yet sent.
const FRAME: u64 = 32;
/// 200 of a million bytes are broken when 25 of a million bits are.
const BROKEN: &str = "[[line.bit_errors]]\nppm = 25\n";

/// The room sensor reads 85 °C (it has just got its power) from the start, then −127 °C (it does not answer); the
/// outdoor sensor what the firmware lets through and no weather has.
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
    let unsaid = Predicted { lost: Lost::Unsaid { each: FRAME }, within_s: 15, hours: true };
    vec![
        Row::new("cable-out", "the cable out for longer than the ring (5 s)", |it| Ok(cable_out(it)))
            .predicting(overwritten),
        Row::new("reboot", "device reboot, off for 2 s", |it| Ok(reboot(it))).predicting(unsaid).quick(),
        Row::new("sensors", "a board whose sensors read 85 and -127 °C", |it| Ok(sensors(it))).quick(),
        Row::new("bit-errors", "200 ppm byte errors on the line", |it| Ok(bit_errors(it))).quick(),
    ]
}

fn cable_out(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2", SHORT_RING[0], SHORT_RING[1]]);
    for _ in 0..setting.times(3) {
        stage.go_on_for_some(500..=1_500);
        let boilers = stage.house.boilers();
        let all = |stage: &Stage, order: &str, done: &str| {
            for boiler in &boilers {
                assert_eq!(stage.house.order(&format!("{order} {boiler}")), done);
            }
        };
        all(&stage, "unplug", "unplugged");
        stage.injected(1);
        stage.go_on_for_some(6_000..=8_000);
        all(&stage, "plug", "plugged");
        stage.recover();
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

/// Nothing is lost; STATUS has no such reading, and EVENT names each sensor once. Times are the sensors with
/// faulty readings.
fn sensors(setting: &Setting) -> Stage {
    let scenario = setting.folder.join("faulty-readings.toml");
    fs::write(&scenario, FAULTY_READINGS).expect("the folder is ours");
    let path = scenario.to_str().expect("temporary folders have plain names");
    let mut stage = Stage::start(setting, &["--speed", "20", "--scenario", path]);
    // More than a minute of the boiler: one faulty reading follows the other.
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
            stage.finding(format!("{boiler}: EVENT does not end with a sensor that reads what cannot be"));
        }
    }
    stage
}

/// Times are bytes that were broken, as the simulator counted them.
fn bit_errors(setting: &Setting) -> Stage {
    let scenario = setting.folder.join("broken.toml");
    fs::write(&scenario, BROKEN).expect("the folder is ours");
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
