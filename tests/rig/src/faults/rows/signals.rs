//! SIGKILL and SIGSTOP of each process of the gateway, at moments that are drawn.

use rustix::process::Signal;

use super::Row;
use crate::faults::stage::{Setting, Skipped, Stage};

/// How often each process gets each signal: eight rows, 56 times.
pub(super) const TIMES: u32 = 7;
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
    kill.into_iter().chain(stop).collect()
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
