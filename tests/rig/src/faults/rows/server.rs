//! nats-server away, gone back, or empty; and the agent away for longer than the devices remember.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Row, SHORT_RING};
use crate::faults::report::{Lost, Predicted};
use crate::faults::stage::{Setting, Stage};

/// Longer than the 120 s that the devices remember.
const LONG: Duration = Duration::from_secs(180);

pub(super) fn rows() -> Vec<Row> {
    // L1: the backlog of N minutes is gone within N/10 minutes; of 3 minutes within 18 s.
    let nothing = |within_s| Predicted { lost: Lost::Nothing, within_s, hours: true };
    vec![
        Row::new("down-10s", "nats-server down for 10 s", |it| Ok(down(it, Duration::from_secs(10)))).taking(35),
        Row::new("down-3min", "nats-server down for 3 min, in real time", |it| Ok(down(it, LONG)))
            .predicting(nothing(18))
            .taking(195),
        Row::new("down-3min-kill", "the same, and the agent killed meanwhile", |it| Ok(down_and_kill(it)))
            .predicting(nothing(18))
            .taking(200),
        Row::new("rollback", "nats-server restarted, its last 1 to 9 s cut off", |it| Ok(rollback(it))).taking(60),
        Row::new("wipe", "nats-server's store wiped", |it| Ok(wipe(it))).quick(),
        Row::new("agent-away", "the agent away for longer than the ring (5 s)", |it| Ok(agent_away(it)))
            .predicting(Predicted { lost: Lost::Overwritten, ..nothing(15) })
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
        stage.house.go_on(length);
        stage.house.processes.broker.restart().expect("its store is there");
        stage.recover();
    }
    stage
}

/// Before memory is spilled the ring holds what dies with the agent; behind it the spill file does.
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

/// The store as it was some seconds ago takes the place of the store. Every other time the agent dies as well, so that
/// only the devices know what was cut off.
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
            stage.house.processes.agent.keep_down().expect("the kernel lets us");
        }
        stage.house.processes.broker.kill().expect("it runs");
        fs::remove_dir_all(stage.store()).expect("nobody uses it");
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

/// All that was there comes again, from memory or, the second time, from the devices: the run is shorter than the ring.
fn wipe(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    for agent_dies in [false, true] {
        stage.go_on_for_some(1_000..=4_000);
        stage.house.processes.broker.kill().expect("it runs");
        fs::remove_dir_all(stage.store()).expect("nobody uses it");
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
        stage.house.processes.agent.keep_down().expect("the kernel lets us");
        stage.injected(1);
        stage.go_on_for_some(6_000..=8_000);
        stage.about_to_ask();
        stage.house.processes.agent.bring_up().expect("it starts again");
        stage.recover();
    }
    stage
}
