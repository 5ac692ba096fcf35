//! `thermowell check --only mqtt` on this broker: over TLS, without a login, and with rights by topic.

use std::fs;

use rig::house::House;
use serde_json::Value;

use super::Broker;
use super::authority::NAME;

/// The findings of the two checks with these lines in `[mqtt]`.
fn checked(house: &House, lines: &str) -> [Value; 2] {
    let text = fs::read_to_string(house.config()).unwrap();
    let changed = text.lines().map(|line| if line.starts_with("url = \"mqtt://") { lines } else { line });
    let config = house.folder().join("doctor.toml");
    fs::write(&config, changed.collect::<Vec<_>>().join("\n")).unwrap();
    let (_, text, errors) = super::super::thermowell(&config, &["check", "--only", "mqtt", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{errors}"));
    let findings: Vec<Value> = report["checks"].as_array().unwrap().clone();
    findings.try_into().unwrap()
}

/// The status of both checks, and a text in one of them.
pub(super) fn finds(house: &House, lines: &str, statuses: [&str; 2], text: &str) {
    let found = checked(house, lines);
    let are = found.each_ref().map(|it| it["status"].as_str().unwrap());
    assert!(are == statuses && found.iter().any(|it| it.to_string().contains(text)), "{lines}: {found:#?}");
}

/// While no other client listens.
pub(super) fn check(house: &House, broker: &Broker) {
    let discovery = "warning";
    let [open, locked, narrow] = [broker.port, broker.locked, broker.narrow];
    let plain = |port: u16| format!("url = \"mqtt://127.0.0.1:{port}\"");
    finds(house, &plain(open), ["ok", discovery], "accepts the login");
    finds(house, &plain(locked), ["error", "unknown"], "set user and password_file in [mqtt]");
    finds(house, &plain(narrow), ["ok", "error"], "topic write homeassistant/device/+/config");
    let Some(tls) = broker.tls else { return };
    let ca = |name: &str| broker.folder.path().join(name).display().to_string();
    let encrypted =
        |host: &str, port: u16, name: &str| format!("url = \"mqtts://{host}:{port}\"\nca = \"{}\"", ca(name));
    finds(house, &encrypted(NAME, tls, "ca.pem"), ["ok", discovery], "accepts the login");
    finds(house, &encrypted(NAME, tls, "other.pem"), ["error", "unknown"], "signed by another CA; set ca in [mqtt]");
    let mismatch = "its certificate is for localhost, not for 127.0.0.1; write a name of the certificate in url";
    finds(house, &encrypted("127.0.0.1", tls, "ca.pem"), ["error", "unknown"], mismatch);
    finds(house, &encrypted(NAME, open, "ca.pem"), ["error", "unknown"], "write mqtt:// in url");
    finds(house, &plain(tls), ["error", "unknown"], "write mqtts:// in url");
}
