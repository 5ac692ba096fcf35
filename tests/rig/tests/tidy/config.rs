//! Every file in `config/` is accepted by the program that reads it.

use std::process::Command;

use crate::source::{Rule, Source, breach};

type Reader = fn(&Source) -> Result<(), String>;

/// A file, or a folder with its `/`, and the reader of it.
const READERS: [(&str, Reader); 5] = [
    ("config/nats.conf", |source| nats(&source.text)),
    ("config/thermowell.toml", |source| {
        thermowell::config::Config::parse(&source.text, &source.path).map(drop).map_err(|error| error.to_string())
    }),
    // What they are schemas of, a test of the gateway compares.
    ("config/schema/", |source| {
        serde_json::from_str::<serde_json::Value>(&source.text).map(drop).map_err(|error| error.to_string())
    }),
    ("config/scenarios/", |source| {
        firmware_sim::scenario::Scenario::parse(&source.path, &source.text).map(drop).map_err(|error| error.to_string())
    }),
    ("config/winter.toml", |source| {
        rig::winter::plan::Parameters::parse(&source.text).map(drop).map_err(|error| error.to_string())
    }),
];

pub(crate) const RULES: &[Rule] = &[Rule {
    name: "every file in config/ is accepted by its reader",
    breaches: |source| match READERS.iter().find(|(path, _)| source.path.starts_with(path)) {
        Some((_, read)) => read(source).err().map(|what| (0, what)).into_iter().collect(),
        None => breach(source.path.starts_with("config/"), "name its reader in tidy"),
    },
    samples: &[
        ("config/nats.conf", "jetstream { sink_interval: \"10s\" }", 1),
        ("config/thermowell.toml", "[bioler]\n", 1),
        ("config/scenarios/a.toml", "sead = 1\n", 1),
        ("config/winter.toml", "winters = 1\n", 1),
        ("config/notes.txt", "", 1),
    ],
}];

fn nats(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("nats.conf");
    std::fs::write(&path, text).expect("a temporary file can be written");
    let server = rig::nats::locate(&mut |_| {}).map_err(|error| format!("{error:#}"))?;
    let check = Command::new(server.path()).arg("-t").arg("-c").arg(&path).output();
    let check = check.expect("a server that was asked for its version can be started");
    if check.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&check.stderr).into_owned()) }
}
