//! Checks every scenario of the firmware by the gateway's published data alone.

use std::fs;
use std::path::{Path, PathBuf};

use firmware_sim::scenario::Scenario;
use thermowell_flow::published::EventBody;
use thermowell_wire::line::{Fault, FaultKind};
use world::fault_events::{history, is_fault_event};
use world::scenes::{Played, play};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware-sim/scenarios");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files
}

/// Whether the event is about implausible readings of a sensor.
fn is_sensor_event(event: &EventBody) -> bool {
    matches!(event, EventBody::SensorImplausible { .. } | EventBody::SensorSound { .. })
}

/// The faults on EVENT; None unless EVENT has one boot, a consistent history of faults, sensor events and nothing else.
fn faults_of(events: &[EventBody]) -> Option<Vec<Fault>> {
    let [EventBody::BootSeen { .. }, rest @ ..] = events else { return None };
    if !rest.iter().all(|event| is_fault_event(event) || is_sensor_event(event)) {
        return None;
    }
    history(rest.iter().filter(|event| is_fault_event(event))).ok().map(|(_, begun)| begun)
}

/// Errors of a file, its faults on EVENT, and a summary of its assertions.
fn judge(file: &Path) -> (Vec<String>, Vec<Fault>, String) {
    let name = file.file_name().expect("it was listed").display().to_string();
    let scenario = Scenario::read(file).expect("it is a scenario");
    let played = play(&scenario, &"b1".parse().expect("an id"));
    let Played { judged, on_event, hidden, failures, steady, events, outcome } = played;
    let mut wrong: Vec<String> = failures.iter().map(|failure| format!("{name}: {failure}")).collect();
    if judged == 0 {
        wrong.push(format!("{name}: none of its assertions can be checked"));
    }
    let begun = faults_of(&events);
    if steady && begun.is_none() {
        wrong.push(format!("{name}: unexpected events {events:?}"));
    }
    wrong.extend(outcome.failure.map(|failure| format!("{name}: {failure}: {:#?}", outcome.history)));
    let begun = begun.unwrap_or_default();
    let summary = format!("{name}: {judged} checked, {on_event} on EVENT too ({begun:?}), not checkable: {hidden:?}");
    (wrong, begun, summary)
}

#[test]
fn implausible_and_sound_readings_are_reported_once() {
    let file = files().into_iter().find(|file| file.ends_with("sensor-room.toml")).expect("it is there");
    let played = play(&Scenario::read(&file).expect("it is a scenario"), &"b1".parse().expect("an id"));
    let mut named = Vec::new();
    for event in &played.events {
        if let EventBody::SensorImplausible { quantity, value, .. } = event {
            named.push((quantity.to_string(), Some(*value)));
        } else if let EventBody::SensorSound { quantity, .. } = event {
            named.push((quantity.to_string(), None));
        }
    }
    let of = |word: &str| named.iter().filter(|(of, _)| *of == word).map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(of("room"), [Some(85.0), None, Some(-127.0), None, Some(0.0), None], "{named:?}");
    assert_eq!(of("outdoor"), [Some(55.0), None], "{named:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "with --nocapture it prints the checked assertions")]
fn scenario_assertions_hold_on_published_data() {
    let files = files();
    assert!(files.len() >= 17, "{files:?}");
    let verdicts = std::thread::scope(|scope| {
        let players: Vec<_> = files.iter().map(|file| scope.spawn(|| judge(file))).collect();
        players.into_iter().map(|player| player.join().expect("a world does not panic")).collect::<Vec<_>>()
    });
    let (mut wrong, mut begun, mut summary) = (Vec::new(), Vec::new(), Vec::new());
    for (of_file, faults, line) in verdicts {
        wrong.extend(of_file);
        begun.extend(faults);
        summary.push(line);
    }
    println!("{}", summary.join("\n"));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), summary.join("\n"));
    for kind in [
        FaultKind::Sensor,
        FaultKind::Ignition,
        FaultKind::FlameLoss,
        FaultKind::LowPressure,
        FaultKind::Pump,
        FaultKind::SensorMismatch,
    ] {
        assert!(begun.iter().any(|fault| fault.kind == kind), "no {kind:?} in EVENT: {begun:?}");
    }
}
