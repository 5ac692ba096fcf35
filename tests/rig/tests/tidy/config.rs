//! Every file in `config/` is accepted by the program that reads it.

use std::process::Command;

use crate::source::{Finding, Source, Tree};

const ACCEPTED: &str = "every file in config/ is accepted by those who read it";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.sources.iter().filter(|source| source.path.starts_with("config/"));
    files.filter_map(|source| refusal(source).map(|what| source.finding(0, ACCEPTED, what))).collect()
}

/// Why the reader of this file would refuse it.
fn refusal(source: &Source) -> Option<String> {
    let (path, text) = (source.path.as_str(), source.text.as_str());
    if path == "config/nats.conf" {
        nats_refusal(text)
    } else if path == "config/thermowell.toml" {
        thermowell::config::Config::parse(text, path).err().map(|error| error.to_string())
    } else if path.starts_with("config/scenarios/") && path.ends_with(".toml") {
        firmware_sim::scenario::Scenario::parse(path, text).err().map(|error| error.to_string())
    } else if path == "config/winter.toml" {
        rig::winter::plan::Parameters::parse(text).err().map(|error| error.to_string())
    } else {
        Some("nobody reads this file: say in tidy who does".to_owned())
    }
}

fn nats_refusal(text: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("nats.conf");
    std::fs::write(&path, text).expect("a temporary file can be written");
    let server = match rig::nats::locate(&mut |_| {}) {
        Ok(server) => server,
        Err(error) => return Some(format!("{error}: {:?}", std::error::Error::source(&error))),
    };
    let check = Command::new(server.path()).arg("-t").arg("-c").arg(&path).output();
    let check = check.expect("a server that was asked for its version can be started");
    (!check.status.success()).then(|| String::from_utf8_lossy(&check.stderr).into_owned())
}

#[test]
fn files_that_nobody_accepts_are_found() {
    for (path, text) in [
        ("config/nats.conf", "jetstream { sink_interval: \"10s\" }"),
        ("config/thermowell.toml", "[bioler]\n"),
        ("config/scenarios/a.toml", "sead = 1\n"),
        ("config/notes.txt", ""),
    ] {
        assert!(refusal(&Source::new(path, text)).is_some(), "{path}");
    }
}
