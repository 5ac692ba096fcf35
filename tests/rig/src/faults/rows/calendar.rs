//! The wall clock steps: through the fault input of the gateway's `clock.rs`, never the machine's own.
//!
//! Only stamps are affected; no sample is lost, stored twice or out of order. The account has only the true
//! time, so hours and averages are not compared with it here: `flow` has tests of them with clocks that step.

use thermowell_wire::units::SECOND_NS;

use super::Row;
use crate::demo::setup::SIMULATED_START_NS;
use crate::faults::report::{Lost, Predicted};
use crate::faults::stage::{Setting, Stage, put};

pub(super) fn rows() -> Vec<Row> {
    let steps: [(&str, &str, i64); 5] = [
        ("clock-forward", "+1 s", SECOND_NS),
        ("clock-back", "−1 s", -SECOND_NS),
        ("clock-hour", "−1 h", -3_600 * SECOND_NS),
        ("clock-day", "+1 day", 86_400 * SECOND_NS),
        ("clock-1970", "to 1970", -SIMULATED_START_NS),
    ];
    let row = |(name, words, step_ns): (&str, &str, i64)| {
        // A calendar outside 2020 to 2099, or one that has stepped forward by more than an hour, is not trusted. In the
        // first minute after its start an agent holds what it reads until the calendar is; then it stamps all the same.
        let is_trusted = step_ns.abs() <= 3_600 * SECOND_NS;
        let within_s = if is_trusted { 15 } else { 65 };
        let predicted = Predicted { lost: Lost::Nothing, within_s, hours: false };
        let row = Row::new(name, &format!("wall clock stepped {words}, and back"), move |it| Ok(step(it, step_ns)));
        let row = row.predicting(predicted).taking(if is_trusted { 20 } else { 75 });
        if name == "clock-hour" { row.quick() } else { row }
    };
    steps.map(row).into()
}

fn step(setting: &Setting, step_ns: i64) -> Stage {
    let file = setting.folder.join("clock-step");
    put(&file, "0");
    let path = file.to_str().expect("temporary folders have plain names");
    let mut stage = Stage::start(setting, &["--speed", "5", "--clock-step", path]);
    stage.averaged = false;
    for step_ns in [step_ns, 0] {
        stage.go_on_for_some(1_000..=3_000);
        put(&file, &step_ns.to_string());
        stage.injected(1);
        stage.go_on_for_some(1_000..=3_000);
        stage.recover();
    }
    stage
}
