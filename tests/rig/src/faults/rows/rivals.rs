//! Somebody who does the same work: a second agent on the port, a second aggregator on the stream.

use std::fs;
use std::time::Duration;

use thermowell_flow::published::{Snapshot, State};
use thermowell_wire::subject::{self, stream};

use super::Row;
use crate::faults::stage::{Setting, Skipped, Stage};
use crate::house::SOON;
use crate::process::{Child, describe};

/// What the second aggregator calls itself.
const SECOND: &str = "second";
/// What the devices remember where an outage must be longer, in real time.
const RING: Duration = Duration::from_secs(16);
/// How old what is synced of a spill file may be: less than the ring.
const SYNC: Duration = Duration::from_secs(10);
/// An hour takes 30 s at speed 120.
const HOUR: Duration = Duration::from_secs(60);

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("second-agent", "a second agent on the port", second_agent).taking(15).quick(),
        Row::new("second-agent-outage", "the same in an outage beyond the ring (16 s); then a kill", second_in_outage)
            .taking(40),
        Row::new("second-aggregator", "a second aggregator; then the first one killed", second_aggregator).taking(60),
    ]
}

/// It stands by, names the process that holds the port, and changes nothing.
fn second_agent(setting: &Setting) -> Result<Stage, Skipped> {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    for _ in 0..setting.times(3) {
        stage.go_on_for_some(100..=1_000);
        let second = start_second(&mut stage);
        stage.recover();
        stop_second(second, &mut stage);
    }
    Ok(stage)
}

fn start_second(stage: &mut Stage) -> Child {
    let launch = stage.house.another("agent", &stage.house.config(), "another-agent");
    let holder = format!("is in use by process {} (", stage.house.role("agent").pid().expect("it runs"));
    let said = || crate::house::log(&launch.log).matches(&holder).count();
    let before = said();
    let second = Child::spawn(&launch).expect("the guard starts it");
    stage.injected(1);
    stage.house.until("the second agent names the first", SOON, |_| (said() > before).then_some(()));
    second
}

fn stop_second(mut second: Child, stage: &mut Stage) {
    let status = second.stop(SOON).expect("the kernel knows our children");
    if !status.success() {
        stage.finding(format!("the second agent: {}, not exit code 0", describe(status)));
    }
}

/// It leaves the spill file of the first one as it is: what the devices have overwritten is nowhere else when the first
/// one dies. Then one of the two has port and file, and the other one stands by.
fn second_in_outage(setting: &Setting) -> Result<Stage, Skipped> {
    let slots = format!("--sim-arg={}", RING.as_secs() * 100);
    let mut stage = Stage::start(setting, &["--speed", "2", "--sim-arg=--ring", &slots, "--spill-after", "2"]);
    stage.house.processes.broker.kill().expect("it runs");
    stage.house.go_on(RING + SYNC);
    let second = start_second(&mut stage);
    stage.kill("agent");
    stage.house.processes.broker.restart().expect("its store is there");
    stage.recover();
    stop_second(second, &mut stage);
    stage.recover();
    Ok(stage)
}

/// It stands by, takes over when the first one dies, and each hour is published once all the same.
fn second_aggregator(setting: &Setting) -> Result<Stage, Skipped> {
    let mut stage = Stage::start(setting, &["--speed", "120", "--batch", "100"]);
    let config = stage.house.folder().join("second.toml");
    let text = fs::read_to_string(stage.house.config()).expect("the demo has written it");
    let renamed = text.replace("gateway = \"demo\"", &format!("gateway = \"{SECOND}\""));
    assert_ne!(renamed, text, "the demo's gateway has a name");
    fs::write(&config, renamed).expect("the folder is ours");
    let launch = stage.house.another("aggregator", &config, "another-aggregator");
    let mut second = Child::spawn(&launch).expect("the guard starts it");
    stage.injected(1);
    stage.go_on_for_some(3_000..=5_000);
    let [boiler, ..] = &stage.house.boilers()[..] else { unreachable!("the demo has boilers") };
    let (state, snapshot) = (subject::state(boiler), subject::snapshot(boiler));
    let speaker = |house: &mut crate::house::House| Some(house.last_json::<State>(stream::STATE, &state)?.instance);
    if let Some(other) = speaker(&mut stage.house).filter(|instance| instance == SECOND) {
        stage.finding(format!("{other} speaks while the first one lives"));
    }
    stage.house.role("aggregator").keep_down().expect("the kernel lets us");
    stage.injected(1);
    stage.house.until("the second one speaks", SOON, |house| speaker(house).filter(|instance| instance == SECOND));
    stage.recover();
    stage.house.role("aggregator").bring_up().expect("it starts again");
    stage.house.until("an hour is published", HOUR, |house| house.last_json::<Snapshot>(stream::SNAPSHOT, &snapshot));
    second.kill().expect("the kernel lets us");
    stage.house.until("the first one speaks again", SOON, |house| speaker(house).filter(|it| it != SECOND));
    stage.recover();
    Ok(stage)
}
