//! `thermowell conformance`: our controller passes, an unsafe one does not.

use std::path::Path;

use futures_util::StreamExt as _;
use rig::demo::setup::make_keys;
use rig::house;
use rig::nats::{Broker, BrokerOptions};
use rig::process::{Child, HTTP_OFF, Launch, Programs};
use serde_json::Value;
use thermowell_flow::conformance::Check;
use thermowell_flow::published::{Lease, State};
use thermowell_wire::line::Demand;
use thermowell_wire::subject;

/// At this speed a lease is renewed each 0.75 s, and the whole run takes half a minute.
const SPEED: u32 = 20;
const BOILER: &str = "toy-1";

/// A server, with or without users, and a configuration with a virtual boiler.
fn stage(folder: &Path, has_users: bool) -> Broker {
    let (nats, keys) = (folder.join("nats"), folder.join("keys"));
    let (options, keys) = if has_users {
        make_keys(&keys).unwrap();
        (BrokerOptions::with_keys(nats, &keys), format!("keys = \"{}\"\n", keys.display()))
    } else {
        (BrokerOptions::in_folder(nats), String::new())
    };
    let broker = Broker::start(&house::server(), &Programs::at(super::DEMO), options).unwrap();
    let (url, epoch, spool) = (broker.url(), thermowell::clock::boottime_ns(), folder.join("spool"));
    let text = format!(
        "gateway = \"test\"\n\n[nats]\nurl = \"{url}\"\n{keys}\n[clock]\nassume_synced = true\nspeed = {SPEED}\n\n\
         [clock.epoch]\nmonotonic_ns = {epoch}\nutc = \"2026-01-07T00:00:00Z\"\n\n\
         [control]\nenabled = true\nemitter = \"radiators\"\n\n\
         [spool]\ndirectory = \"{}\"\n\n[[boiler]]\nid = \"{BOILER}\"\nport = \"{}\"\n{HTTP_OFF}",
        spool.display(),
        folder.join("port").display()
    );
    std::fs::write(folder.join("thermowell.toml"), text).unwrap();
    broker
}

/// The kit's verdicts, its report, and its exit code.
fn conformance(folder: &Path) -> (Vec<(String, String)>, Value, Option<i32>) {
    let arguments = ["conformance", "--json", "--boiler", BOILER];
    let (code, report, stderr) = super::thermowell(&folder.join("thermowell.toml"), &arguments);
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let checks = report["checks"].as_array().expect("checks").iter();
    let verdicts = checks.map(|check| (word(&check["check"]), word(&check["verdict"]))).collect();
    (verdicts, report, code)
}

#[test]
fn our_controller_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let _broker = stage(folder.path(), true);
    let (config, log) = (folder.path().join("thermowell.toml"), folder.path().join("controller.log"));
    let launch = Launch::run(&Programs::at(super::DEMO), "controller", &config, log);
    let _controller = Child::spawn(&launch).unwrap();
    let (verdicts, report, code) = conformance(folder.path());
    let left: Vec<&(String, String)> = verdicts.iter().filter(|(_, verdict)| verdict != "passed").collect();
    let log = house::log(&folder.path().join("controller.log"));
    assert_eq!(left, [&("frozen".to_owned(), "not_seen".to_owned())], "{report:#}\n{log}");
    assert_eq!((code, &report["conforms"]), (Some(0), &Value::Bool(true)));
}

/// An unsafe controller: it answers each state at once, without an expected sequence, and requests 0 °C.
async fn toy(url: String) {
    let client = async_nats::connect(url).await.expect("the server runs");
    let boiler = BOILER.parse().expect("an id");
    let mut states = client.subscribe(subject::state(&boiler).to_string()).await.expect("a subscription");
    while let Some(message) = states.next().await {
        let state: State = serde_json::from_slice(&message.payload).expect("a state");
        let lease = Lease {
            demand: Demand::Heat,
            flow: if state.current.is_some() { 45.0 } else { 0.0 },
            lease_s: 60,
            based_on: state.slot,
            instance: "toy".to_owned(),
            created_at: state.stamp,
            version: 1,
        };
        let sent = client.publish(subject::setpoint(&boiler).to_string(), thermowell::nats::json(&lease).into()).await;
        sent.expect("an open connection");
    }
}

#[expect(dead_code, reason = "its main, which takes arguments")]
#[path = "../../../../agent/gateway/examples/controller.rs"]
mod example;

/// Runs a controller in this process, and the kit against it.
fn conformance_of<F>(folder: &Path, controller: F) -> (Vec<(String, String)>, Value, Option<i32>)
where
    F: AsyncFnOnce() + Send + 'static,
{
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        house::runtime().block_on(async {
            tokio::select! { () = controller() => {}, _ = stopped => {} }
        });
    });
    let outcome = conformance(folder);
    drop(stop);
    thread.join().unwrap();
    outcome
}

#[test]
fn example_controller_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let _broker = stage(folder.path(), true);
    let config = folder.path().join("thermowell.toml");
    let controller = async move || example::control(&config, &BOILER.parse().unwrap()).await.unwrap();
    let (_, report, code) = conformance_of(folder.path(), controller);
    assert_eq!((code, &report["conforms"]), (Some(0), &Value::Bool(true)), "{report:#}");
}

#[test]
fn a_controller_that_asks_whatever_it_hears_does_not_conform() {
    let folder = tempfile::tempdir().unwrap();
    let broker = stage(folder.path(), false);
    let url = broker.url();
    let (verdicts, report, code) = conformance_of(folder.path(), async move || toy(url).await);
    for (check, expected) in [
        ("asks", "passed"),
        ("ancient", "failed"),
        ("stale", "failed"),
        ("sensor", "failed"),
        ("mixed", "failed"),
        ("lockout", "failed"),
        ("limits", "failed"),
        ("no-zero", "failed"),
        ("order", "failed"),
        ("silence", "passed"),
    ] {
        let found = verdicts.iter().find(|(name, _)| name == check).map(|(_, verdict)| verdict.as_str());
        assert_eq!(found, Some(expected), "{check}: {report:#}");
    }
    assert_eq!((code, &report["conforms"]), (Some(1), &Value::Bool(false)));
}

#[test]
fn page_for_programs_names_each_check() {
    let page = include_str!("../../../../deploy/PROGRAMS.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let named: Vec<&str> = rows.map(|(name, _)| name).collect();
    let checks: Vec<String> = Check::ALL.iter().map(thermowell::output::word).collect();
    assert_eq!(named, checks);
}
