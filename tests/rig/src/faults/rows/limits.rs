//! Limits of nats-server that are too small for the gateway: what does not fit waits or is split.

use std::fs;

use async_nats::jetstream;
use thermowell_wire::subject::stream;

use super::Row;
use crate::faults::stage::{Setting, Stage};
use crate::house::{House, SOON};

/// Room for the smaller streams, but not for SAMPLES.
const SMALL: (&str, &str) = ("max_file_store: 4GiB", "max_file_store: 900MiB");

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("storage-full", "nats-server's storage too small for the streams, for 6 to 10 s", |it| {
            Ok(storage_full(it))
        }),
        Row::new("max-payload", "max_payload of nats-server below a batch of 1,000", |it| Ok(max_payload(it))).quick(),
        Row::new("max-msg-size", "max_msg_size of SAMPLES below a batch", |it| Ok(max_msg_size(it))).taking(20),
    ]
}

/// The streams cannot be created until the limit is raised: samples are held in memory.
fn storage_full(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    stage.go_on_for_some(500..=1_500);
    stage.house.processes.broker.kill().expect("it runs");
    stage.house.processes.broker.configure(|text| text.replace(SMALL.0, SMALL.1)).expect("its folder is writable");
    fs::remove_dir_all(stage.store()).expect("no process uses it");
    stage.house.processes.broker.restart().expect("it makes a store");
    stage.injected(1);
    stage.go_on_for_some(6_000..=10_000);
    let pid = stage.house.processes.agent.pid();
    if !stage.lines("agent", "max_file_store").iter().any(|line| line.contains("SAMPLES") && line.contains("1 GiB")) {
        stage.finding("the agent does not name max_file_store and what SAMPLES needs");
    }
    stage.check("nats.storage", "error", "max_file_store is 900 MiB");
    if stage.house.boilers().iter().any(|boiler| stage.house.stored(boiler).is_some()) {
        stage.finding("the server made SAMPLES despite its limit");
    }
    stage.house.processes.broker.reload(|text| text.replace(SMALL.1, SMALL.0)).expect("it runs");
    stage.recover();
    stage.check("nats.storage", "ok", "");
    stage.check("spool.folder", "ok", "");
    if stage.house.processes.agent.pid() != pid {
        stage.finding("the agent ended");
    }
    stage
}

/// Readings that do not compress well, two bytes each: a full batch is larger than the server's limit, its half is not.
fn max_payload(setting: &Setting) -> Stage {
    let noise = setting.folder.join("noise.toml");
    fs::write(&noise, "[sensor]\nnoise_counts = 100.0\n").expect("the folder is writable");
    let scenario = noise.to_str().expect("a path in UTF-8");
    let arguments = ["--speed", "20", "--boilers", "1", "--batch", "1000", "--scenario", scenario];
    let mut stage = Stage::start(setting, &arguments);
    let [boiler] = stage.house.boilers().try_into().expect("one boiler");
    stage.house.until("a full batch", SOON, |house| house.stored(&boiler).filter(|(_, next)| *next >= 1_000));
    stage.house.processes.broker.reload(|text| text + "max_payload: 1300\n").expect("it runs");
    stage.injected(1);
    stage.go_on_for_some(3_000..=5_000);
    stage.recover();
    if !stage.logged("agent", "too large for the server") {
        stage.finding("no batch was too large");
    }
    stage.check("nats.max-payload", "error", "1300 bytes");
    let sizes = Stage::sizes(&stage.house);
    if !sizes.iter().any(|(_, bytes)| *bytes > 1_350) || !sizes.iter().any(|(slots, _)| *slots == 500) {
        stage.finding(format!("no full batch above the limit, or no half: {sizes:?}"));
    }
    stage
}

/// The server refuses, with 10054, what is larger than the stream's limit. A stream's limit changes without a
/// reconnect.
fn max_msg_size(setting: &Setting) -> Stage {
    let mut stage = Stage::start(setting, &["--speed", "5", "--boilers", "1", "--batch", "100"]);
    let [boiler] = stage.house.boilers().try_into().expect("one boiler");
    // On a busy machine most batches wait and are joined to larger messages.
    let largest = stage.house.until("a batch by itself", SOON, |house| {
        Stage::sizes(house).into_iter().filter(|(slots, _)| *slots == 100).map(|(_, bytes)| bytes).max()
    });
    let limit = |stage: &Stage, bytes: i32| {
        stage.house.wait_for(async {
            let context = jetstream::new(stage.house.connect().await.expect("the server runs"));
            let samples = context.get_stream(stream::SAMPLES).await.expect("SAMPLES is there");
            let config = jetstream::stream::Config { max_message_size: bytes, ..samples.cached_info().config.clone() };
            context.update_stream(config).await.expect("the rig may");
        });
    };
    // The headers count, and take some 60 bytes. How small a batch packs depends on its temperatures.
    limit(&stage, i32::try_from(largest / 2 + 60).expect("a batch is small"));
    stage.injected(1);
    let (_, before) = stage.house.stored(&boiler).expect("samples arrived");
    stage.house.until("samples go on", SOON, |house| house.stored(&boiler).filter(|end| end.1 >= before + 2_000));
    if Stage::sizes(&stage.house).last().is_some_and(|(slots, _)| *slots >= 100) {
        stage.finding("a whole batch is below the limit");
    }
    limit(&stage, -1);
    stage.recover();
    stage.go_on_for_some(1_000..=2_000);
    // On a busy machine a batch may also be cut by its age.
    let is_whole = |house: &House| Stage::sizes(house).last().is_some_and(|(slots, _)| *slots >= 100);
    stage.house.until("a whole batch again", SOON, |house| is_whole(house).then_some(()));
    if !stage.logged("agent", "too large for the server") {
        stage.finding("no batch was too large");
    }
    stage
}
