//! `thermowell boiler` on a house: what is refused, what is done, and what stays.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rig::house::{House, SOON};
use serde_json::Value;
use thermowell_wire::subject::{self, EventKind, stream};

/// Exit code, stdout and stderr.
fn boiler(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(super::DEMO);
    let output = command.args(["thermowell", "boiler"]).args(arguments).arg("--config").arg(config).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn refused(config: &Path, arguments: &[&str], why: &str) {
    let (code, done, said) = boiler(config, arguments);
    assert!(code == Some(1) && done.is_empty() && said.contains(why), "{arguments:?} without {why:?}: {said}");
}

fn subjects(house: &House) -> Vec<String> {
    house.wait_for(async {
        let context = async_nats::jetstream::new(house.connect().await.unwrap());
        context.get_stream(stream::SAMPLES).await.unwrap().cached_info().config.subjects.clone()
    })
}

#[test]
fn a_boiler_is_retired_only_when_nobody_writes_it_and_its_history_stays() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "2"]);
    let [_, second] = house.boilers().try_into().expect("two boilers");
    house.until("some samples", SOON, |house| (house.stored(&second)?.1 >= 300).then_some(()));
    let config = house.folder().join("thermowell.toml");
    refused(&config, &["retire", "b7", "--yes"], "SAMPLES has no boiler b7; it has b1, b2");
    refused(&config, &["retire", "b2", "--yes"], "b2 is still in this configuration");
    refused(&config, &["rename", "b2", "b1"], "there is a boiler b1 already");
    let (code, steps, _) = boiler(&config, &["rename", "b2", "cellar"]);
    assert_eq!((code, steps.matches("to do").count()), (Some(0), 3), "{steps}");

    // The configuration of a gateway on which the second boiler goes on under another name.
    let renamed = house.folder().join("renamed.toml");
    fs::write(&renamed, fs::read_to_string(&config).unwrap().replace("id = \"b2\"", "id = \"cellar\"")).unwrap();
    let (code, steps, _) = boiler(&renamed, &["rename", "b2", "cellar"]);
    assert!(code == Some(0) && steps.contains("done   in [[boiler]], write id = \"cellar\""), "{steps}");
    refused(&renamed, &["retire", "b2", "--yes"], "an agent still runs with it");

    assert!(house.close().ok);
    let end = house.stored(&second).expect("its history");
    house.until("nobody has written for a while", Duration::from_secs(60), |_| {
        boiler(&renamed, &["retire", "b2"]).2.contains("add --yes to do it").then_some(())
    });
    assert_eq!(subjects(&house).len(), 2, "without --yes nothing is done");
    let (code, done, said) = boiler(&renamed, &["retire", "b2", "--yes"]);
    assert!(code == Some(0) && done.starts_with("boiler b2 is retired"), "{said}");
    assert_eq!(subjects(&house), ["boiler.b1.samples.v1"]);
    assert_eq!(house.stored(&second), Some(end), "what is stored stays");
    let event: Value = house.last_json(stream::EVENT, &subject::event(&second, EventKind::Boiler)).expect("an event");
    assert_eq!((&event["name"], &event["boiler"]), (&"Retired".into(), &"b2".into()));

    let (code, rows, _) = boiler(&config, &["list", "--json"]);
    let rows: Value = serde_json::from_str(&rows).unwrap();
    assert_eq!((code, &rows[0]["in_samples"], &rows[1]["in_samples"]), (Some(0), &true.into(), &false.into()));
    assert!(rows[1]["last_slot"].is_string(), "{rows}");
    fs::write(&renamed, fs::read_to_string(&renamed).unwrap().replace("id = \"b1\"", "id = \"attic\"")).unwrap();
    refused(&renamed, &["retire", "b1", "--yes"], "b1 is the only one in SAMPLES");
}
