//! nats-server down, rolled back or wiped; and the agent down for longer than the ring.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use thermowell::shutdown::is_ignored;
use tokio::signal::unix::SignalKind;

use super::{Row, SHORT_RING};
use crate::faults::report::{Lost, Predicted};
use crate::faults::stage::{Setting, Skipped, Stage};

/// Longer than the ring of 120 s.
const LONG: Duration = Duration::from_secs(180);

/// Capacity of the ring in rows with a longer outage, in real time.
const RING: Duration = Duration::from_secs(16);
/// Maximum age of the last sync of the spill file when the agent dies; with the restart still less than the ring.
const SYNC: Duration = Duration::from_secs(10);
/// The agent's log line when it has connected.
const CONNECTED: &str = "connected to NATS connection=";

pub(super) fn rows() -> Vec<Row> {
    // L1: the backlog of N minutes is gone within N/10 minutes; of 3 minutes within 18 s.
    vec![
        Row::new("down-10s", "nats-server down for 10 s", |it| Ok(down(it, Duration::from_secs(10)))).taking(35),
        Row::new("down-3min", "nats-server down for 3 min, in real time", |it| Ok(down(it, LONG)))
            .predicting(Predicted::nothing(18))
            .taking(195),
        Row::new("down-3min-kill", "the same, and the agent killed meanwhile", |it| Ok(down_and_kill(it)))
            .predicting(Predicted::nothing(18))
            .taking(200),
        Row::new("offline", "an agent that starts without nats-server", |it| Ok(offline(it))).taking(15).quick(),
        Row::new("outage-kill", "SIGKILL of the agent in an outage beyond the ring (16 s)", |it| {
            Ok(outage(it, RING, "3", |stage| stage.kill("agent")))
        })
        .taking(45),
        Row::new("outage-stop", "SIGTERM of the agent in an outage beyond the ring (8 s)", |it| {
            Ok(outage(it, RING / 2, "60", |stage| end_and_start(stage, Signal::TERM)))
        })
        .taking(25),
        Row::new("outage-hangup", "the same with SIGHUP", |it| {
            if is_ignored(SignalKind::hangup()) {
                return Err(Skipped("SIGHUP is ignored here, as under nohup".to_owned()));
            }
            Ok(outage(it, RING / 2, "60", |stage| end_and_start(stage, Signal::HUP)))
        })
        .taking(25),
        Row::new("rollback", "nats-server restarted, its last 1 to 9 s cut off", |it| Ok(rollback(it))).taking(60),
        Row::new("wipe", "nats-server's store wiped", |it| Ok(wipe(it))).quick(),
        Row::new("agent-away", "the agent away for longer than the ring (5 s)", |it| Ok(agent_away(it)))
            .predicting(Predicted { lost: Lost::Overwritten, ..Predicted::nothing(15) })
            .quick(),
    ]
}

fn down(setting: &Setting, length: Duration) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "1"]);
    let times = if length == LONG { 1 } else { setting.times(2) };
    for _ in 0..times {
        stage.go_on_for_some(500..=1_500);
        stage.house.processes.broker.kill().expect("it runs");
        stage.injected(1);
        let before = [stage.lines("agent", CONNECTED).len(), stage.lines("agent", " NATS").len()];
        stage.house.go_on(length);
        stage.house.processes.broker.restart().expect("its store is there");
        stage.until_logged("agent", CONNECTED, before[0]);
        stage.recover();
        judge_lines(&mut stage, before[1]);
    }
    for name in ["agent", "aggregator", "controller"] {
        if stage.logged(name, "stream updated") {
            stage.finding(format!("{name} changed a stream when it connected again"));
        }
    }
    stage
}

/// An outage has few log lines for many tries, each with address and cause, and one line at its end.
fn judge_lines(stage: &mut Stage, before: usize) {
    let url = stage.house.processes.broker.url();
    let lines = stage.lines("agent", " NATS").split_off(before);
    if lines.len() > 12 {
        stage.finding(format!("{} log lines about one outage:\n{}", lines.len(), lines.join("\n")));
    }
    for line in &lines {
        let words: &[&str] = if line.contains("no connection") {
            // A server that has not quite ended yet resets the connection.
            let cause = if line.contains("Connection reset") { "Connection reset" } else { "Connection refused" };
            &[&url, "tries=", cause]
        } else if line.contains(CONNECTED) {
            &[&url, "tries=", "away="]
        } else {
            &[]
        };
        if !words.iter().all(|word| line.contains(word)) {
            stage.finding(format!("a log line without address, tries, cause or duration: {line}"));
        }
    }
}

/// The agent holds what it reads, and publishes it when the server is up.
fn offline(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    stage.house.processes.agent.keep_down().expect("the signal is delivered");
    stage.house.processes.broker.kill().expect("it runs");
    stage.house.processes.agent.bring_up().expect("it starts again");
    stage.injected(1);
    stage.go_on_for_some(3_000..=5_000);
    stage.house.processes.broker.restart().expect("its store is there");
    stage.recover();
    if stage.house.processes.agent.deaths() > 0 {
        stage.finding("the agent ended");
    }
    stage
}

/// The agent ends in an outage that is longer than the ring: what it held is in the spill file,
/// written during the outage or at its end.
fn outage(setting: &Setting, ring: Duration, spill_after: &str, end: impl FnOnce(&mut Stage)) -> Stage {
    let slots = format!("--sim-arg={}", ring.as_secs() * 100);
    let mut stage = Stage::start(setting, &["--speed", "2", "--sim-arg=--ring", &slots, "--spill-after", spill_after]);
    stage.house.processes.broker.kill().expect("it runs");
    stage.injected(1);
    let spills = spill_after == "3";
    stage.house.go_on(if spills { ring + SYNC } else { ring + ring / 4 });
    let boilers = stage.house.boilers().len();
    must_have_spilled(&mut stage, if spills { boilers } else { 0 });
    end(&mut stage);
    must_have_spilled(&mut stage, boilers);
    stage.house.processes.broker.restart().expect("its store is there");
    stage.recover();
    stage
}

fn end_and_start(stage: &mut Stage, signal: Signal) {
    stage.end_agent(signal);
    stage.house.processes.agent.bring_up().expect("it starts again");
}

fn must_have_spilled(stage: &mut Stage, files: usize) {
    let entries = fs::read_dir(stage.house.plan.spool()).into_iter().flatten().flatten();
    let found = entries.filter(|file| file.path().extension().is_some_and(|it| it == "spill")).count();
    if found != files {
        stage.finding(format!("{found} spill files, expected {files}"));
    }
}

/// Before memory is spilled the ring has what the agent loses; after that the spill file has it.
fn down_and_kill(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "1"]);
    stage.house.processes.broker.kill().expect("it runs");
    for length in [20, 135] {
        stage.house.go_on(Duration::from_secs(length));
        stage.kill("agent");
        stage.injected(1);
    }
    stage.house.go_on(LONG - Duration::from_secs(20 + 135));
    stage.house.processes.broker.restart().expect("its store is there");
    stage.recover();
    stage
}

/// Restores the store of some seconds ago. Every other time the agent is killed as well, so that only the devices still
/// have what was cut off.
fn rollback(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    let before = setting.folder.join("store-before");
    for number in 0..setting.times(4) {
        stage.house.processes.broker.kill().expect("it runs");
        copy(&stage.store(), &before);
        stage.house.processes.broker.restart().expect("its store is there");
        stage.recover();
        stage.go_on_for_some(1_000..=9_000);
        let agent_dies = number % 2 == 0;
        let boilers = stage.house.boilers();
        let had: Vec<_> = boilers.iter().map(|boiler| stage.house.stored(boiler)).collect();
        if agent_dies {
            stage.house.processes.agent.keep_down().expect("the signal is delivered");
        }
        stage.house.processes.broker.kill().expect("it runs");
        fs::remove_dir_all(stage.store()).expect("no process uses it");
        copy(&before, &stage.store());
        fs::remove_dir_all(&before).expect("it is ours");
        stage.house.processes.broker.restart().expect("a store is there");
        stage.injected(1);
        if agent_dies {
            let has: Vec<_> = boilers.iter().map(|boiler| stage.house.stored(boiler)).collect();
            if has.iter().zip(&had).any(|(has, had)| has >= had) {
                stage.finding(format!("the store did not go back: {had:?}, then {has:?}"));
            }
            stage.house.processes.agent.bring_up().expect("it starts again");
        }
        stage.recover();
    }
    stage
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()), "cp -a {} {}", from.display(), to.display());
}

/// Everything is published again, from memory or, the second time, by the devices: the run is shorter than the ring.
fn wipe(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    for agent_dies in [false, true] {
        stage.go_on_for_some(1_000..=4_000);
        stage.house.processes.broker.kill().expect("it runs");
        fs::remove_dir_all(stage.store()).expect("no process uses it");
        if agent_dies {
            stage.kill("agent");
        }
        stage.house.processes.broker.restart().expect("it makes a store");
        stage.injected(1);
        stage.recover();
    }
    stage
}

fn agent_away(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2", SHORT_RING[0], SHORT_RING[1]]);
    for _ in 0..setting.times(3) {
        stage.go_on_for_some(500..=1_500);
        stage.house.processes.agent.keep_down().expect("the signal is delivered");
        stage.injected(1);
        stage.go_on_for_some(6_000..=8_000);
        stage.about_to_ask();
        stage.house.processes.agent.bring_up().expect("it starts again");
        stage.recover();
    }
    stage
}
