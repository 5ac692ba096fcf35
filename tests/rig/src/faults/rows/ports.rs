//! Ports that the agent cannot open: another process uses the port, as ModemManager does after each plug, or the cable
//! is out while leases and statuses are sent.

use std::fs::File;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use thermowell_flow::published::{Link, Status};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use super::Row;
use crate::faults::report::Predicted;
use crate::faults::stage::{Setting, Stage};
use crate::house::SOON;

/// How long the port is held: as long as ModemManager probes a new one, and at speed 2 less than the ring.
const HELD: Duration = Duration::from_secs(10);
const PULLED: Duration = Duration::from_secs(8);
/// The plug is repeated if the agent opened the port first.
const PLUGS: u32 = 20;
/// Slots that the other boiler must have got while the port is held: half of what it samples.
const ALIVE: u64 = HELD.as_secs() * 100;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("port-held-start", "a port that another process holds for 10 s, at the start of the agent", |it| {
            Ok(held_at_start(it))
        })
        .predicting(Predicted::nothing(5))
        .taking(30),
        Row::new("port-held-replug", "the same after a plug", |it| Ok(held_at_replug(it)))
            .predicting(Predicted::nothing(5))
            .taking(30),
        // A try each second; the rest is for a busy machine.
        Row::new("replug-traffic", "a cable back after 8 s, with leases and statuses several times a second", |it| {
            Ok(replug_under_traffic(it))
        })
        .predicting(Predicted::nothing(4))
        .taking(40)
        .quick(),
    ]
}

/// Locks the port, unless the agent has it.
fn hold(stage: &Stage, boiler: &BoilerId) -> Option<File> {
    let path = stage.house.folder().join("ports").join(boiler.as_str());
    let port = File::open(path).ok()?;
    flock(&port, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(port)
}

/// The link is down, the log names the holder, and the other boiler's samples arrive.
fn while_it_is_held(stage: &mut Stage, held: &BoilerId, other: &BoilerId) {
    stage.injected(1);
    let before = stage.house.stored(other).map_or(0, |(_, next)| next);
    stage.house.until("the link is down", SOON, |house| {
        let status: Status = house.last_json(stream::STATUS, &subject::status(held))?;
        (status.link == Link::Down).then_some(())
    });
    stage.house.go_on(HELD);
    let after = stage.house.stored(other).map_or(0, |(_, next)| next);
    if after < before + ALIVE {
        stage.finding(format!("{other} got {} slots while the port of {held} was held", after - before));
    }
    let named = stage.lines("agent", &format!("is in use by process {} (", std::process::id()));
    let of_it = format!("boiler={held} ");
    if !named.iter().any(|line| line.contains("WARN") && line.contains(&of_it)) {
        stage.finding("the agent does not log the process that holds the port");
    }
    let tries = |line: &String| line.split_once("tries=")?.1.split(' ').next()?.parse::<u32>().ok();
    let tries = stage.lines("agent", "serial port not open").iter().filter_map(tries).max().unwrap_or(1);
    if named.len() > tries.ilog2() as usize + 1 {
        stage.finding(format!("{} log lines for {tries} tries", named.len()));
    }
    if stage.house.processes.agent.deaths() > 0 {
        stage.finding("the agent ended");
    }
}

fn held_at_start(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    let [other, held] = &stage.house.boilers()[..] else { unreachable!("the demo has two boilers") };
    stage.house.role("agent").keep_down().expect("the signal is delivered");
    let holder = hold(&stage, held).expect("no agent runs");
    stage.house.role("agent").bring_up().expect("it starts again");
    while_it_is_held(&mut stage, held, other);
    drop(holder);
    stage.recover();
    stage
}

fn held_at_replug(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    let [other, held] = &stage.house.boilers()[..] else { unreachable!("the demo has two boilers") };
    let holder = (0..PLUGS).find_map(|_| {
        assert_eq!(stage.house.order(&format!("unplug {held}")), "unplugged");
        // Long enough for the pause between two tries to reach its maximum.
        stage.house.go_on(Duration::from_secs(2));
        assert_eq!(stage.house.order(&format!("plug {held}")), "plugged");
        hold(&stage, held)
    });
    let holder = holder.expect("won the port from the agent in 20 tries");
    while_it_is_held(&mut stage, held, other);
    drop(holder);
    stage.recover();
    stage
}

/// At speed 60 a lease is renewed every 250 ms, and a status is sent 60 times a second; in the short run a third of it.
fn replug_under_traffic(setting: &Setting) -> Stage {
    let speed = if setting.quick { 20 } else { 60 };
    let mut stage = Stage::start(setting, &["--speed", &speed.to_string(), "--batch", "100"]);
    let [_, pulled] = &stage.house.boilers()[..] else { unreachable!("the demo has two boilers") };
    for _ in 0..setting.times(3) {
        stage.go_on_for_some(500..=1_500);
        assert_eq!(stage.house.order(&format!("unplug {pulled}")), "unplugged");
        stage.injected(1);
        stage.house.go_on(PULLED);
        let place = stage.house.place(pulled).expect("the boiler runs");
        let missing = PULLED.as_secs() * speed * 100 * 3 / 4;
        if stage.house.stored(pulled).is_some_and(|(_, next)| next + missing > place.next) {
            stage.finding("samples came without a cable");
        }
        assert_eq!(stage.house.order(&format!("plug {pulled}")), "plugged");
        stage.recover();
    }
    stage
}
