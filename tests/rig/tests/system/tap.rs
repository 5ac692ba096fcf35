//! `thermowell tap`: every reading once, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rig::clock::until;
use rig::house::{House, SOON};
use rustix::process::{Pid, Signal, kill_process};
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
fn readings_arrive_once_each_and_a_closed_pipe_is_no_error() {
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
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
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
    assert!(house.close().ok);
}
