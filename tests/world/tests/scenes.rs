//! Every scenario of the firmware, judged downstream: by what the gateway publishes, and by nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use firmware_sim::scenario::Scenario;
use thermowell_flow::published::EventBody;
use thermowell_wire::line::{Fault, FaultKind};
use world::scenes::{Played, play};
use world::told::{history, is_of_fault};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware-sim/scenarios");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files
}

/// Whether this is about a sensor that reads what cannot be.
fn is_of_sensor(event: &EventBody) -> bool {
    matches!(event, EventBody::SensorImplausible { .. } | EventBody::SensorSound { .. })
}

/// The faults that EVENT tells, where it tells the start of the device, a history of faults, sensors and nothing else.
fn told(events: &[EventBody]) -> Option<Vec<Fault>> {
    let [EventBody::BootSeen { .. }, rest @ ..] = events else { return None };
    if !rest.iter().all(|event| is_of_fault(event) || is_of_sensor(event)) {
        return None;
    }
    history(rest.iter().filter(|event| is_of_fault(event))).ok().map(|(_, begun)| begun)
}

/// What is wrong with a file, the faults that EVENT tells of it, and how many of its assertions were judged.
fn judge(file: &Path) -> (Vec<String>, Vec<Fault>, String) {
    let name = file.file_name().expect("it was listed").display().to_string();
    let scenario = Scenario::read(file).expect("it is a scenario");
    let played = play(&scenario, &"b1".parse().expect("an id"));
    let Played { judged, told: on_event, hidden, failures, steady, events, outcome } = played;
    let mut wrong: Vec<String> = failures.iter().map(|failure| format!("{name}: {failure}")).collect();
    if judged == 0 {
        wrong.push(format!("{name}: nothing of what it says is published"));
    }
    let begun = told(&events);
    if steady && begun.is_none() {
        wrong.push(format!("{name}: EVENT says {events:?}"));
    }
    wrong.extend(outcome.failure.map(|failure| format!("{name}: {failure}: {:#?}", outcome.history)));
    let begun = begun.unwrap_or_default();
    let said = format!("{name}: {judged} judged, {on_event} on EVENT too ({begun:?}), not published: {hidden:?}");
    (wrong, begun, said)
}

#[test]
fn a_faulty_reading_is_named_once_and_a_sound_one_once() {
    let file = files().into_iter().find(|file| file.ends_with("sensor-room.toml")).expect("it is there");
    let played = play(&Scenario::read(&file).expect("it is a scenario"), &"b1".parse().expect("an id"));
    let mut named = Vec::new();
    for event in &played.events {
        if let EventBody::SensorImplausible { quantity, value, .. } = event {
            named.push((quantity.word(), Some(*value)));
        } else if let EventBody::SensorSound { quantity } = event {
            named.push((quantity.word(), None));
        }
    }
    let of = |word: &str| named.iter().filter(|(of, _)| *of == word).map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(of("room"), [Some(85.0), None, Some(-127.0), None, Some(0.0), None], "{named:?}");
    assert_eq!(of("outdoor"), [Some(55.0), None], "{named:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "with --nocapture it says what was judged of each file")]
fn what_a_scenario_says_is_seen_downstream() {
    let files = files();
    assert!(files.len() >= 17, "{files:?}");
    let verdicts = std::thread::scope(|scope| {
        let players: Vec<_> = files.iter().map(|file| scope.spawn(|| judge(file))).collect();
        players.into_iter().map(|player| player.join().expect("a world does not panic")).collect::<Vec<_>>()
    });
    let (mut wrong, mut begun, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for (of_file, faults, line) in verdicts {
        wrong.extend(of_file);
        begun.extend(faults);
        said.push(line);
    }
    println!("{}", said.join("\n"));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), said.join("\n"));
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
