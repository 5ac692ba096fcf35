//! Limits of nats-server that are too small for the gateway: what does not go in waits or is cut smaller.

use std::fs;

use super::Row;
use crate::faults::stage::{Setting, Stage};

/// Room for the smaller streams, not for SAMPLES.
const SMALL: (&str, &str) = ("max_file_store: 4GiB", "max_file_store: 900MiB");

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("storage-full", "nats-server's storage too small for the streams, for 6 to 10 s", |it| {
            Ok(storage_full(it))
        }),
        Row::new("max-payload", "max_payload of nats-server below a batch of 1,000", |it| Ok(max_payload(it))).quick(),
    ]
}

/// The streams cannot be made until the limit is raised: samples are held.
fn storage_full(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    stage.go_on_for_some(500..=1_500);
    stage.house.processes.broker.kill().expect("it runs");
    stage.house.processes.broker.configure(|text| text.replace(SMALL.0, SMALL.1)).expect("its folder is ours");
    fs::remove_dir_all(stage.store()).expect("no process uses it");
    stage.house.processes.broker.restart().expect("it makes a store");
    stage.injected(1);
    stage.go_on_for_some(6_000..=10_000);
    if !stage.said("agent", "max_file_store") {
        stage.finding("the agent does not name max_file_store");
    }
    if stage.house.boilers().iter().any(|boiler| stage.house.stored(boiler).is_some()) {
        stage.finding("the server made SAMPLES in spite of its limit");
    }
    stage.house.processes.broker.reload(|text| text.replace(SMALL.1, SMALL.0)).expect("it runs");
    stage.recover();
    stage
}

/// Readings that do not pack well, two bytes each: a full batch is larger than the server takes, its half is not.
fn max_payload(setting: &Setting) -> Stage {
    let noise = setting.folder.join("noise.toml");
    fs::write(&noise, "[sensor]\nnoise_counts = 100.0\n").expect("the folder is ours");
    let scenario = noise.to_str().expect("a path in UTF-8");
    let arguments = ["--speed", "20", "--boilers", "1", "--batch", "1000", "--scenario", scenario];
    let mut stage = Stage::start(setting, &arguments);
    stage.house.processes.broker.reload(|text| text + "max_payload: 1300\n").expect("it runs");
    stage.injected(1);
    stage.go_on_for_some(3_000..=5_000);
    stage.recover();
    if !stage.said("agent", "too large for the server") {
        stage.finding("no batch was too large");
    }
    stage
}
