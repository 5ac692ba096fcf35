//! A server with limits that are too small: what it does not take waits, and goes in when the limit is raised.

use std::fs;
use std::process::Command;

use async_nats::jetstream;
use rig::house::{House, SOON, assert_whole, log};
use thermowell_wire::batch;
use thermowell_wire::subject::stream;

/// Restarts the server with its configuration changed; what it stores stays or goes.
fn reconfigure(house: &mut House, change: impl FnOnce(String) -> String, forget: bool) {
    house.processes.broker.stop().unwrap();
    house.processes.broker.configure(change).unwrap();
    if forget {
        fs::remove_dir_all(house.folder().join("nats/store")).unwrap();
    }
    house.processes.broker.restart().unwrap();
}

/// How `thermowell check` finds this to stand, and what it shows.
fn check(house: &House, id: &str) -> (String, String) {
    let mut command = Command::new(super::DEMO);
    let config = house.config();
    let out = command.args(["thermowell", "check", "--json", "--config"]).arg(config).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {report}"));
    (found["status"].as_str().unwrap().to_owned(), format!("{} -> {}", found["message"], found["advice"]))
}

/// The slots of each message in SAMPLES, and the bytes of its payload.
fn sizes(house: &House) -> Vec<(u64, usize)> {
    house.wait_for(async {
        let context = jetstream::new(house.connect().await.unwrap());
        let last = thermowell::nats::stream_state(&context, stream::SAMPLES).await.unwrap().last_sequence;
        let mut sizes = Vec::new();
        for sequence in 1..=last {
            let message = thermowell::nats::at(&context, stream::SAMPLES, sequence).await.unwrap().unwrap();
            let packed = batch::decode(&message.payload).unwrap();
            sizes.push((packed.end().seq - packed.first().seq, message.payload.len()));
        }
        sizes
    })
}

#[test]
fn batches_above_max_payload_are_cut_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let noise = folder.path().join("noise.toml");
    // Readings that do not pack well: two bytes each.
    fs::write(&noise, "[sensor]\nnoise_counts = 100.0\n").unwrap();
    let scenario = noise.to_str().unwrap();
    let arguments = ["--speed", "20", "--boilers", "1", "--batch", "1000", "--scenario", scenario];
    let mut house = House::start(super::DEMO, &arguments);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("two full batches", SOON, |house| (house.stored(&boiler)?.1 >= 2_000).then_some(()));
    let largest = sizes(&house).into_iter().map(|(_, bytes)| bytes).max().unwrap();
    assert!(largest > 1_350, "{:?}", sizes(&house));
    let (_, stored) = house.stored(&boiler).unwrap();
    // A full batch does not fit, its half does, and so does what else the roles say.
    house.processes.broker.reload(|conf| conf + "max_payload: 1300\n").unwrap();
    house.until("four batches more", SOON, |house| (house.stored(&boiler)?.1 >= stored + 4_000).then_some(()));
    let said = log(house.processes.agent.log());
    assert!(said.contains("too large for the server"), "{said}");
    let (status, message) = check(&house, "nats.max-payload");
    assert!(status == "error" && message.contains("1300 bytes"), "{message}");
    assert!(sizes(&house).iter().any(|(slots, _)| *slots == 500), "{:?}", sizes(&house));
    assert_whole(&house.close());
}

/// The server itself refuses, with 10054, what is larger than its stream takes. A stream changes without a reconnect.
#[test]
fn batches_above_the_limit_of_their_stream_are_cut_until_it_is_raised() {
    let mut house = House::start(super::DEMO, &["--speed", "20", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("samples arrive", SOON, |house| house.stored(&boiler));
    let largest = sizes(&house).into_iter().map(|(_, bytes)| bytes).max().unwrap();
    let limit = |house: &House, bytes: i32| {
        house.wait_for(async {
            let context = jetstream::new(house.connect().await.unwrap());
            let mut samples = context.get_stream(stream::SAMPLES).await.unwrap().cached_info().config.clone();
            samples.max_message_size = bytes;
            context.update_stream(samples).await.unwrap();
        });
    };
    // The headers count, and have some 60 bytes.
    limit(&house, i32::try_from(largest + 30).unwrap());
    let (_, stored) = house.stored(&boiler).unwrap();
    house.until("samples go on", SOON, |house| (house.stored(&boiler)?.1 >= stored + 2_000).then_some(()));
    assert!(sizes(&house).last().is_some_and(|(slots, _)| *slots < 100), "{:?}", sizes(&house));
    limit(&house, -1);
    house.until("whole batches again", SOON, |house| sizes(house).last().filter(|(slots, _)| *slots == 100).copied());
    assert!(log(house.processes.agent.log()).contains("too large for the server"));
    assert_whole(&house.close());
}

#[test]
fn another_connect_changes_no_stream() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    house.catch_up(SOON);
    let before = log(house.processes.agent.log()).matches("connected to NATS").count();
    reconfigure(&mut house, |conf| conf, false);
    house.until("the agent is back", SOON, |house| {
        let said = log(house.processes.agent.log());
        (said.matches("connected to NATS").count() > before).then_some(())
    });
    house.catch_up(SOON);
    for role in [&house.processes.agent, &house.processes.aggregator, &house.processes.controller] {
        let said = log(role.log());
        assert!(!said.contains("stream updated"), "{said}");
    }
    assert_whole(&house.close());
}

#[test]
fn streams_that_do_not_fit_are_waited_for() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("samples arrive", SOON, |house| house.stored(&boiler));
    for role in [&mut house.processes.agent, &mut house.processes.aggregator, &mut house.processes.controller] {
        role.keep_down().unwrap();
    }
    reconfigure(&mut house, |conf| conf.replace("max_file_store: 4GiB", "max_file_store: 900MiB"), true);
    for role in [&mut house.processes.agent, &mut house.processes.aggregator, &mut house.processes.controller] {
        fs::write(role.log(), "").unwrap();
        role.bring_up().unwrap();
    }
    let pid = house.processes.agent.pid();
    house.until("the agent names the limit", SOON, |house| {
        let said = log(house.processes.agent.log());
        let line = said.lines().find(|line| line.contains("SAMPLES") && line.contains("max_file_store"))?;
        line.contains("1 GiB").then_some(())
    });
    assert_eq!(house.stored(&boiler), None);
    let (status, message) = check(&house, "nats.storage");
    assert!(status == "error" && message.contains("max_file_store is 900 MiB"), "{message}");
    house.processes.broker.reload(|conf| conf.replace("max_file_store: 900MiB", "max_file_store: 4GiB")).unwrap();
    house.until("samples arrive again", SOON, |house| house.stored(&boiler));
    assert_eq!(house.processes.agent.pid(), pid, "the agent lives on");
    house.until("the streams are there", SOON, |house| (check(house, "nats.storage").0 == "ok").then_some(()));
    assert_eq!(check(&house, "spool.folder").0, "ok");
    assert_whole(&house.close());
}
