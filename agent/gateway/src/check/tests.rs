//! The report as a whole: what is checked, and in which order.

use super::*;
use crate::output::Report as _;

async fn check_only(text: &str, words: &[&str]) -> Checks {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, text).unwrap();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    check(&path, &Selection::of(&words).unwrap(), &Root::of(folder.path())).await
}

async fn check_text(text: &str) -> Checks {
    check_only(text, &[]).await
}

fn statuses(report: &Checks, id: &str) -> Vec<Status> {
    report.checks.iter().filter(|check| check.id == id).map(|check| check.status).collect()
}

#[tokio::test]
async fn invalid_value_leaves_relations_unknown() {
    let report = check_text("batch.samples = 0").await;
    assert_eq!(statuses(&report, "config.parse"), [Status::Error; 2], "the value, and the missing boiler");
    assert_eq!(statuses(&report, "config.relations"), [Status::Unknown]);
    assert_eq!(report.verdict(), Verdict::Configuration);
}

#[tokio::test]
async fn broken_relation_fails_its_own_check() {
    let boiler = "[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"";
    let report = check_text(&format!("control.renew = \"40 s\"\n{boiler}")).await;
    assert_eq!(statuses(&report, "config.parse"), [Status::Ok]);
    assert_eq!(statuses(&report, "config.relations"), [Status::Error]);
    assert_eq!(report.verdict(), Verdict::Configuration);
}

// Port 9 of this machine (discard) is closed.
const ABSENT: &str = "nats.url = \"nats://127.0.0.1:9\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/absent\"";

#[tokio::test]
async fn missing_things_are_errors_and_unchecked_ones_unknown() {
    let report = check_text(ABSENT).await;
    assert_eq!(statuses(&report, "port.present"), [Status::Error]);
    assert_eq!(statuses(&report, "port.free"), [Status::Unknown]);
    assert_eq!(statuses(&report, "nats.reachable"), [Status::Error]);
    for id in [
        "nats.version",
        "nats.jetstream",
        "nats.login",
        "nats.max-payload",
        "nats.storage",
        "nats.permissions",
        "nats.sync-interval",
    ] {
        assert_eq!(statuses(&report, id), [Status::Unknown], "{id}");
    }
    assert_eq!(report.verdict(), Verdict::Failed);
    let keyless = check_text(&format!("nats.keys = \"/absent\"\n{ABSENT}")).await;
    assert_eq!(statuses(&keyless, "nats.login"), [Status::Error]);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["ok"], false);
    let port = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "port.present").unwrap();
    assert_eq!((&port["subject"], &port["status"], &port["section"]), (&"b1".into(), &"error".into(), &"ports".into()));
    assert!(port["took_ms"].is_u64(), "{port}");
}

/// Without a server, too: what was not checked is named.
#[tokio::test]
async fn report_has_every_check_in_the_order_of_the_catalogue() {
    let report = check_text(ABSENT).await;
    let mut ids: Vec<&str> = report.checks.iter().map(|check| check.id).collect();
    ids.dedup();
    assert_eq!(ids, catalogue::CATALOGUE.iter().map(|check| check.id).collect::<Vec<_>>());
    let missed = report.checks.iter().find(|check| check.message.contains("no answer within 5 s"));
    assert_eq!(missed, None, "it has no reason of its own");
}

#[tokio::test]
async fn only_what_is_selected_is_checked() {
    let report = check_only(ABSENT, &["port.present", "config"]).await;
    assert!(report.checks.iter().all(|check| check.id == "port.present" || check.id.starts_with("config.")));
    assert_eq!(statuses(&report, "port.present"), [Status::Error]);
}

/// A server and a broker that take the connection and send nothing.
#[tokio::test]
async fn hanging_server_and_broker_cost_no_more_than_their_limit() {
    let listeners = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [server, monitor, broker] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let began_ns = boottime_ns();
    let text = format!(
        "[nats]\nurl = \"nats://{server}\"\nmonitor = \"http://{monitor}\"\n\
         [[boiler]]\nid = \"b1\"\nport = \"/dev/absent\"\n[mqtt]\nurl = \"mqtt://{broker}\""
    );
    let report = check_text(&text).await;
    let took = Duration::from_nanos(boottime_ns() - began_ns);
    assert!(took < SERVER + Duration::from_secs(5), "{took:?}");
    assert_eq!(statuses(&report, "nats.reachable"), [Status::Error]);
    assert_eq!(statuses(&report, "nats.health"), [Status::Unknown]);
    let silent = report.checks.iter().find(|check| check.id == "mqtt.broker").unwrap();
    assert!(silent.status == Status::Error && silent.message.contains("does not answer within 5 s"), "{silent:?}");
}
