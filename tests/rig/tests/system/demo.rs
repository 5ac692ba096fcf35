//! `cargo demo` as people and programs start it: arguments, exit codes, JSON.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rig::house::{House, SOON, assert_whole};
use serde_json::Value;

fn demo(arguments: &[&str]) -> Output {
    Command::new(super::DEMO).args(arguments).output().unwrap()
}

#[test]
fn ten_minutes_of_json_are_the_documented_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let path = kept.to_str().expect("a path in UTF-8");
    // The hour that has begun is waited for.
    let output = demo(&["--speed", "120", "--for", "10m", "--boilers", "2", "--json", "--keep", path]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stderr}\n{report}");
    assert!(stderr.contains("verify: 2 published hours agree byte for byte"), "{stderr}");
    let ledger: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(ledger["ok"], true);
    let boilers = ledger["boilers"].as_array().expect("boilers");
    let names: Vec<&str> = boilers.iter().filter_map(|boiler| boiler["boiler"].as_str()).collect();
    assert_eq!(names, ["b1", "b2"]);
    for boiler in boilers {
        let hour = &boiler["hours"][0];
        assert_eq!(hour["hour"], "2026-01-07T00:00:00Z");
        assert_eq!(hour["partial"], true);
        assert_eq!(hour["counted"], hour["slots"]);
        assert!(hour["slots"].as_u64().is_some_and(|slots| slots.abs_diff(360_000) < 1_000), "{hour}");
        assert!(hour["snapshot"].is_f64() && hour["snapshot"] == hour["reference"], "{hour}");
        for reason in ["ring", "reboot", "missed", "invalid", "clock", "discarded", "unexplained"] {
            assert_eq!(hour["missing"][reason], 0, "{reason}");
        }
    }
    for name in ["thermowell.toml", "account", "logs/agent.log", "nats/store"] {
        assert!(kept.join(name).exists(), "{name} is not kept");
    }
    refuses_a_full_folder(&kept);
}

fn refuses_a_full_folder(kept: &Path) {
    let output = demo(&["--keep", kept.to_str().expect("a path in UTF-8")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the folder is not empty"), "{stderr}");
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    for (arguments, word) in [
        (["--speed", "0"].as_slice(), "'0' for '--speed <SPEED>': out of range, allowed are 1 to 1000"),
        (&["--speed", "fast"], "'fast' for '--speed <SPEED>': not a whole number, allowed are 1 to 1000"),
        (&["--boilers", "65"], "'65' for '--boilers <BOILERS>': out of range, allowed are 1 to 64"),
        (&["--for", "soon"], "expected a duration"),
        (&["--replay", "file.csv"], "--column"),
        (&["--spede", "1"], "--speed"),
    ] {
        let output = demo(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(word), "{arguments:?} without {word}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn subcommands_share_help_and_usage_errors() {
    for word in ["cuts", "faults", "figures", "winter"] {
        let help = demo(&[word, "--help"]);
        let text = String::from_utf8_lossy(&help.stdout);
        assert_eq!((help.status.code(), help.stderr.is_empty()), (Some(0), true), "{word}");
        assert!(text.contains(&format!("Usage: cargo {word} [OPTIONS]")), "{text}");
        let refusal = demo(&[word, "--spede", "1"]);
        let stderr = String::from_utf8_lossy(&refusal.stderr);
        assert_eq!((refusal.status.code(), refusal.stdout.is_empty()), (Some(2), true), "{word}: {stderr}");
        assert!(stderr.contains("unexpected argument '--spede'"), "{word}: {stderr}");
    }
}

/// Slots whose stamps are not after the previous ones are in no average, neither in STATE nor in the ledger.
#[test]
fn ledger_adds_up_after_the_clock_steps_back() {
    let folder = tempfile::tempdir().unwrap();
    let step = folder.path().join("step");
    let path = step.to_str().expect("a path in UTF-8");
    fs::write(&step, "0").unwrap();
    let mut house = House::start(super::DEMO, &["--speed", "1", "--boilers", "1", "--clock-step", path]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    let stored = |house: &House, from: u64| house.stored(&boiler).filter(|(_, next)| *next >= from);
    let (_, before) = house.until("samples", SOON, |house| stored(house, 300));
    fs::write(&step, "-2000000000").unwrap();
    house.until("five seconds more", SOON, |house| stored(house, before + 500));
    let ledger = house.close();
    assert_whole(&ledger);
    assert!((150..=400).contains(&ledger.boilers[0].samples.stamped_back), "{:?}", ledger.boilers[0].samples);
}
