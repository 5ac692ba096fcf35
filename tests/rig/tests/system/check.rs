//! `thermowell check` on a running system: quiet in good order, and planted faults are found by their ids.

use std::fs;
use std::path::Path;

use async_nats::jetstream;
use rig::house::{House, SOON};
use rig::nats::free_port;
use serde_json::{Value, json};
use thermowell_wire::subject::{self, stream};

/// Each hour of the calendar is a minute.
const SPEED: &str = "60";

/// The findings of `check`, by its JSON.
fn checked(config: &Path, arguments: &[&str]) -> Vec<Value> {
    let (_, text, errors) = super::thermowell(config, &[&["check", "--json"], arguments].concat());
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{errors}"));
    report["checks"].as_array().unwrap().clone()
}

/// Waits until check `id` has this status, with this text in its message, advice or command.
fn until_found(house: &mut House, id: &str, status: &str, text: &str) {
    let config = house.config();
    let mut last = Vec::new();
    let found = house.try_until(&format!("{id} is {status}"), SOON, |_| {
        last = checked(&config, &["--only", id]);
        last.iter().any(|it| it["status"] == status && it.to_string().contains(text)).then_some(())
    });
    assert!(found.is_ok(), "{id} is not {status} with {text}: {last:?}");
}

/// Without what this machine, the simulated weather and a moment's stall cause: at this speed a second is a minute.
fn not_fine(findings: &[Value]) -> Vec<String> {
    let may_be = ["control.cycles", "clock.", "device.clock", "data.coverage", "disk.", "host.", "unit."];
    let is_excused = |it: &Value| may_be.iter().any(|id| it["id"].as_str().unwrap().starts_with(id));
    let is_fine = |it: &&Value| it["status"] == "ok" || it["status"] == "skipped" || is_excused(it);
    findings.iter().filter(|it| !is_fine(it)).map(ToString::to_string).collect()
}

#[test]
fn check_is_quiet_in_good_order_and_finds_planted_faults() {
    let ports = [(); 3].map(|()| free_port().unwrap().to_string()).join(",");
    let mut house = House::start(super::DEMO, &["--speed", SPEED, "--boilers", "1", "--http", &ports]);
    let config = house.config();
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("a closed hour", SOON * 4, |house| house.last(stream::SNAPSHOT, &subject::snapshot(&boiler)));
    let mut last = Vec::new();
    let quiet = house.try_until("everything is fine", SOON, |_| {
        last = not_fine(&checked(&config, &[]));
        last.is_empty().then_some(())
    });
    assert!(quiet.is_ok(), "{last:#?}");
    let (code, text, _) = super::thermowell(&config, &["check", "--strict", "--only", "port", "--only", "nats.login"]);
    assert_eq!((code, text.as_str()), (Some(0), "6 checks fine, 1 left out (-v shows why)\n"));
    let answers = checked(&config, &["--only", "port.free"]);
    assert!(answers[0]["message"].as_str().unwrap().starts_with("our own agent has it, process "), "{answers:?}");

    assert_eq!(house.order("unplug b1"), "unplugged");
    until_found(&mut house, "device.answers", "error", "journalctl");
    until_found(&mut house, "data.fresh", "warning", "the link is the first that is silent");
    assert_eq!(house.order("plug b1"), "plugged");
    until_found(&mut house, "device.answers", "ok", "");

    // An hour that does not add up, and a second controller.
    let mut snapshot: Value = house.last_json(stream::SNAPSHOT, &subject::snapshot(&boiler)).unwrap();
    snapshot["slots"] = json!(snapshot["slots"].as_u64().unwrap() + 7);
    house.publish(subject::snapshot(&boiler), snapshot.to_string().into());
    until_found(&mut house, "data.books", "error", "thermowell");
    house.processes.controller.keep_down().unwrap();
    let mut lease: Value = house.last_json(stream::LEASE, &subject::setpoint(&boiler)).unwrap();
    lease["instance"] = json!("attic-9-2a");
    house.publish(subject::setpoint(&boiler), lease.to_string().into());
    until_found(&mut house, "control.lease", "warning", "attic-9-2a");
    house.processes.controller.bring_up().unwrap();

    a_changed_stream_is_found_and_repaired(&mut house, &config);
    a_bundle_has_no_secret(&house, &config);

    house.processes.broker.kill().unwrap();
    let (code, text, _) = super::thermowell(&config, &["check"]);
    assert!(code == Some(1) && text.contains("nats.reachable") && text.contains("not checked: no server"), "{text}");
    // The second snapshot of an hour is one that no ledger closes with.
    drop(house);
}

fn a_changed_stream_is_found_and_repaired(house: &mut House, config: &Path) {
    house.wait_for(async {
        let context = jetstream::new(house.connect().await.unwrap());
        let mut event = context.get_stream(stream::EVENT).await.unwrap().cached_info().config.clone();
        event.max_bytes = 100 << 20;
        context.update_stream(event).await.unwrap();
    });
    let only = ["check", "--only", "nats.streams"];
    let check = |more: &[&str]| super::thermowell(config, &[&only, more].concat());
    until_found(house, "nats.streams", "warning", "EVENT: its size is 100 MiB, not 256 MiB");
    assert_eq!((check(&[]).0, check(&["--strict"]).0), (Some(0), Some(1)), "a warning fails only if strict");
    let (code, text, _) = check(&["--repair"]);
    assert!(code == Some(0) && text.ends_with("nothing was done: add --yes to do it\n"), "{text}");
    let (code, text, _) = check(&["--repair", "--yes"]);
    assert!(code == Some(0) && text.starts_with("done ") && text.ends_with("\n1 check fine\n"), "{text}");
}

fn a_bundle_has_no_secret(house: &House, config: &Path) {
    let archive = house.folder().join("diagnosis.tar");
    let bundle = || super::thermowell(config, &["check", "--only", "config", "--bundle", archive.to_str().unwrap()]);
    let (code, text, errors) = bundle();
    assert_eq!(code, Some(0), "{text}{errors}");
    let content = String::from_utf8_lossy(&fs::read(&archive).unwrap()).into_owned();
    assert!(content.contains("thermowell-diagnosis/check.txt") && content.contains("gateway = \"demo\""));
    for entry in fs::read_dir(house.plan.keys()).unwrap() {
        let secret = fs::read_to_string(entry.unwrap().path()).unwrap();
        if secret.starts_with("SU") {
            assert!(!content.contains(secret.trim()));
        }
    }
    assert_eq!(bundle().0, Some(1), "it is not replaced");
}
