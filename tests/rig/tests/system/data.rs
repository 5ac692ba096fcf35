//! `thermowell tap` and `thermowell export`: every slot once, and how they end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rig::clock::until;
use rig::demo::samples::SamplesBook;
use rig::house::{House, SOON};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use thermowell_flow::published::State;
use thermowell_wire::subject::{self, stream};

use super::thermowell;

/// A tap whose first line has been read.
fn flowing(config: &Path) -> (Child, String) {
    let mut command = Command::new(super::DEMO);
    command.args(["thermowell", "tap", "b1", "--csv", "--config"]).arg(config);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn code(mut child: Child) -> Option<i32> {
    let status = until(SOON, || child.try_wait().unwrap());
    if status.is_none() {
        child.kill().unwrap();
    }
    status.and_then(|status| status.code())
}

#[test]
fn every_slot_is_tapped_and_exported_once() {
    let mut house = House::start(super::DEMO, &["--speed", "60", "--boilers", "1"]);
    let config = house.config();
    house.until("a sample", SOON, |house| house.stored(&house.boilers()[0]));
    let (exit, text, words) = thermowell(&config, &["tap", "b1", "--csv", "--count", "9000"]);
    assert_eq!((exit, words.as_str()), (Some(0), ""));
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("time,boot,slot,celsius,"), "{text}");
    let slots: Vec<u64> = lines.map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(slots.len(), 9_000);
    assert!(slots.windows(2).all(|pair| pair[1] == pair[0] + 1), "each slot once, in order");

    for what in ["state", "status", "events"] {
        let (exit, text, words) = thermowell(&config, &["tap", "b1", "--what", what, "--once", "--json"]);
        assert_eq!((exit, text.lines().count()), (Some(0), 1), "{what}: {text}{words}");
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["boiler"], "b1");
    }
    let (exit, _, words) = thermowell(&config, &["tap", "b1", "--every", "10s", "--count", "3"]);
    assert!(exit == Some(0) && words.starts_with("3 lines shown, ") && words.contains(" left out"), "{words}");
    let (exit, _, words) = thermowell(&config, &["tap", "b9", "--once"]);
    assert!(exit == Some(1) && words.contains("b9") && words.contains("b1"), "{words}");

    let (mut child, line) = flowing(&config);
    drop(child.stdout.take());
    assert_eq!((code(child), line.starts_with("time,")), (Some(0), true));
    let (child, _) = flowing(&config);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(code(child), Some(130));

    // It goes on after a restart of the server, although STATE begins again.
    let mut command = Command::new(super::DEMO);
    command.args(["thermowell", "tap", "b1", "--what", "state", "--json", "--config"]).arg(&config);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stamps = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<State>(&line.unwrap()).unwrap().stamp);
    stamps.next().unwrap();
    house.processes.broker.kill().unwrap();
    house.processes.broker.restart().unwrap();
    let newest = house.until("a new STATE", SOON, |house| {
        house.last_json::<State>(stream::STATE, &subject::state(&house.boilers()[0]))
    });
    assert!(stamps.any(|stamp| stamp >= newest.stamp));
    drop(stamps);
    assert_eq!(code(child), Some(0));

    assert_eq!(house.order("reboot b1 2s"), "off");
    house.until("the next boot is stored", SOON, |house| {
        let boot = house.place(&house.boilers()[0])?.boot;
        (house.stored(&house.boilers()[0])?.0 == boot).then_some(())
    });
    let ledger = house.close();
    exported(&house, &ledger.boilers[0].samples);
}

/// The whole history as JSON and as means, and ranges that are not stored.
fn exported(house: &House, book: &SamplesBook) {
    let export = |arguments: &[&str]| {
        let (exit, text, words) =
            thermowell(&house.config(), &[&["export", "samples", "--boiler", "b1"], arguments].concat());
        (exit, text, words.lines().last().unwrap_or_default().to_owned())
    };
    let (exit, text, sum) = export(&["--format", "jsonl"]);
    assert!(exit == Some(0) && sum.ends_with("): the books close"), "{sum}");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (holes, readings): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| row.get("missing").is_some());
    assert_eq!(u64::try_from(readings.len()).unwrap(), book.slots - book.stamped_back);
    assert!(holes.iter().any(|hole| hole["reason"] == "reboot" && hole["slot"].is_null()), "{holes:?}");
    let missing: u64 = holes.iter().map(|hole| hole["missing"].as_u64().unwrap()).sum();
    let slots: String = sum.split(' ').next().unwrap().replace(',', "");
    assert_eq!(slots.parse(), Ok(book.slots - book.stamped_back + missing));

    let file = house.plan.folder.join("b1.csv");
    let (exit, text, again) = export(&["--per", "1m", "--local", "--out", file.to_str().unwrap()]);
    assert_eq!((exit, text.as_str(), again), (Some(0), "", sum));
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("time,celsius,minimum,maximum,points,missing,reasons,local\n2026-"), "{text}");
    let slots_of = |row: &str| row.split(',').skip(4).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!(slots.parse(), Ok(text.lines().skip(1).map(slots_of).sum::<u64>()));

    let (exit, _, why) = export(&["--from", "2026-01-01", "--to", "2027-01-01", "--per", "1d", "--format", "senml"]);
    assert!(exit == Some(1) && why.contains("do NOT close: nothing is stored before 2026-01-0"), "{why}");
    let (exit, text, why) = export(&["--from", "2025-01-01", "--to", "2025-01-02"]);
    assert!(exit == Some(1) && text.lines().count() <= 1 && why.contains("SAMPLES has nothing of b1"), "{why}");
    assert_eq!(export(&["--from", "2026-01-02", "--to", "2026-01-01"]).0, Some(2));
}
