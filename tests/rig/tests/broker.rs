//! The real nats-server with the documented settings: start, crash, restart.

use std::process::Command;

use rig::house::server;
use rig::nats::{Broker, BrokerOptions, SAMPLE_CONFIG};
use rig::process::Programs;

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_demo"))
}

/// The monitor's `/varz`.
fn varz(broker: &Broker) -> serde_json::Value {
    let answer = broker.monitor("/varz").expect("a ready server has a monitor");
    serde_json::from_str(&answer).expect("the monitor answers in JSON")
}

#[test]
fn the_sample_configuration_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nats.conf");
    for (config, accepted) in [(SAMPLE_CONFIG.to_owned(), true), (broken_sample(), false)] {
        std::fs::write(&path, config).unwrap();
        let check = Command::new(server().path()).arg("-t").arg("-c").arg(&path).output().unwrap();
        let stderr = String::from_utf8_lossy(&check.stderr).into_owned();
        assert_eq!(check.status.success(), accepted, "{stderr}");
    }
}

fn broken_sample() -> String {
    SAMPLE_CONFIG.replace("sync_interval", "sink_interval")
}

#[test]
fn the_sample_configuration_is_what_the_server_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = BrokerOptions::in_folder(folder.path());
    let broker = Broker::start(&server(), &programs(), options).unwrap();
    let varz = varz(&broker);
    let jetstream = &varz["jetstream"]["config"];
    assert_eq!(jetstream["sync_interval"], 10_000_000_000_u64);
    assert_eq!(jetstream["sync_always"], serde_json::Value::Null);
    assert_eq!(jetstream["max_storage"], 4_u64 << 30);
    assert_eq!(jetstream["max_memory"], 64_u64 << 20);
    assert_eq!(varz["ping_interval"], 5_000_000_000_u64);
    assert_eq!(varz["ping_max"], 2);
    assert_eq!(varz["host"], "127.0.0.1");
    assert_eq!(varz["http_host"], "127.0.0.1");
    assert_eq!(varz["port"], broker.port());
    assert_eq!(varz["server_name"], "thermowell");
    let store = jetstream["store_dir"].as_str().unwrap();
    assert!(store.starts_with(folder.path().to_str().unwrap()), "{store}");
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_with_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let options = BrokerOptions::in_folder(folder.path());
    let mut broker = Broker::start(&server(), &programs(), options).unwrap();
    let (port, pid) = (broker.port(), broker.pid());
    let client = async_nats::connect(broker.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "KEPT".to_owned(),
        subjects: vec!["kept".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(config).await.unwrap();
    let ack = jetstream.publish("kept", "word".into()).await.unwrap();
    assert_eq!(ack.await.unwrap().sequence, 1);

    broker.kill().unwrap();
    assert_eq!(broker.pid(), None);
    assert!(broker.monitor("/healthz").is_err());
    broker.restart().unwrap();
    assert_eq!(broker.port(), port);
    assert_ne!(broker.pid(), pid);
    let client = async_nats::connect(broker.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("KEPT").await;
    assert_eq!(stream.unwrap().cached_info().state.messages, 1);
    broker.stop().unwrap();
    assert_eq!(broker.pid(), None);
}

#[test]
fn a_port_that_is_taken_is_an_error_when_it_was_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut options = BrokerOptions::in_folder(folder.path());
    options.port = Some(taken.local_addr().unwrap().port());
    let error = Broker::start(&server(), &programs(), options).unwrap_err();
    assert!(error.to_string().contains("address already in use"), "{error}");
}

#[test]
fn a_refused_setting_is_an_error_with_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = BrokerOptions::in_folder(folder.path());
    options.extra_config = "max_payload: \"a lot\"\n".to_owned();
    let error = Broker::start(&server(), &programs(), options).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("nats.conf") && message.contains("string, not int64"), "{message}");
}
