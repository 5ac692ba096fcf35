//! SIGKILL and SIGSTOP of each process of the gateway, at random moments.

use std::collections::BTreeMap;

use rustix::process::Signal;

use super::Row;
use crate::faults::stage::{Setting, Skipped, Stage};
use crate::house::SOON;

/// How often each process gets each signal: eight rows, 56 times.
pub(super) const TIMES: u32 = 7;
/// How often each process is killed in `kill-any`.
const KILLS: usize = 5;
/// The processes of the gateway.
const PROCESSES: [&str; 4] = ["agent", "aggregator", "controller", "nats-server"];

pub(super) fn rows() -> Vec<Row> {
    let kill = PROCESSES.map(|name| {
        let row = Row::new(&format!("kill-{name}"), &format!("SIGKILL of {name}"), move |it| Ok(kill(it, name)));
        if name == "controller" { row } else { row.quick() }
    });
    let stop = PROCESSES.map(|name| {
        let fault = format!("SIGSTOP of {name} for 0.2 to 4 s");
        let row = Row::new(&format!("stop-{name}"), &fault, move |it| hang(it, name)).taking(40);
        if name == "agent" { row.quick() } else { row }
    });
    let any = Row::new("kill-any", "SIGKILL of all four in turn, with the feed", |it| Ok(kill_any(it))).taking(40);
    kill.into_iter().chain(stop).chain([any]).collect()
}

fn kill(setting: &Setting, name: &str) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    for _ in 0..setting.times(TIMES) {
        stage.go_on_for_some(100..=1_500);
        stage.kill(name);
        stage.injected(1);
        stage.recover();
    }
    stage
}

/// In random order, some while others are down; the last one restarts while the streams are being audited.
fn kill_any(setting: &Setting) -> Stage {
    // Fifty publishes a second and boiler, any of which may be interrupted.
    let mut stage = Stage::start(setting, &["--speed", "1", "--feed", "--batch", "2"]);
    let mut victims = PROCESSES.repeat(KILLS);
    stage.shuffle(&mut victims);
    victims.push("aggregator");
    let mut killed = BTreeMap::new();
    for (number, victim) in victims.iter().enumerate() {
        if number + 1 == victims.len() {
            stage.recover();
        }
        stage.go_on_for_some(100..=1_500);
        // After several deaths its restart is delayed; a dying process still has its pid.
        let last = killed.get(victim).copied();
        let pid = stage
            .house
            .until("the process is back", SOON, |house| house.role(victim).pid().filter(|pid| Some(*pid) != last));
        stage.signal(victim, Signal::KILL);
        killed.insert(*victim, pid);
        stage.injected(1);
    }
    stage
}

fn hang(setting: &Setting, name: &str) -> Result<Stage, Skipped> {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    for _ in 0..setting.times(TIMES) {
        stage.go_on_for_some(100..=1_500);
        stage.signal(name, Signal::STOP);
        stage.injected(1);
        stage.go_on_for_some(200..=4_000);
        stage.signal(name, Signal::CONT);
        stage.recover();
    }
    Ok(stage)
}
