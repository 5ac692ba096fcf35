//! `thermowell verify`: it agrees with what was published, and names deviations.

use std::time::Duration;

use rig::house::{House, assert_whole};
use serde_json::Value;
use thermowell_flow::published::Snapshot;
use thermowell_flow::time::hour_text;
use thermowell_wire::subject::{self, stream};

use super::thermowell;

/// What two cores can do in a debug build, while other tests run.
const SPEED: &str = "240";
/// Two hours take half a minute, on a busy machine up to three.
const HOURS: Duration = Duration::from_secs(240);

/// The lines of a verification, with the sum as the last one, and its exit code.
fn verify(house: &House, arguments: &[&str]) -> (Vec<Value>, i32) {
    let (code, text, stderr) = thermowell(&house.config(), &[["verify", "--json"].as_slice(), arguments].concat());
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{stderr}"));
    (text.lines().map(line).collect(), code.unwrap())
}

fn with_verdict<'a>(lines: &'a [Value], verdict: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["verdict"] == verdict).collect()
}

#[test]
fn published_hours_agree_and_a_tampered_one_is_named() {
    let mut house = House::start(super::DEMO, &["--speed", SPEED, "--boilers", "2"]);
    let boilers = house.boilers();
    let begin = house.plan.epoch_utc_ns / 1_000_000_000;
    let newest =
        |house: &House, boiler| -> Option<Snapshot> { house.last_json(stream::SNAPSHOT, &subject::snapshot(boiler)) };
    for boiler in &boilers {
        house.until("two hours", HOURS, |house| {
            newest(house, boiler).filter(|snapshot| snapshot.created_at >= begin + 7_200)
        });
    }
    assert_whole(&house.close_as_it_is());

    let (lines, code) = verify(&house, &[]);
    let sum = lines.last().unwrap();
    assert_eq!((code, &sum["agrees"], &sum["different"]), (0, &true.into(), &0.into()), "{lines:#?}");
    let equal = with_verdict(&lines, "equal");
    assert!(equal.len() >= 4 && sum["moved"] == 0 && sum["no_snapshot"] == 0, "{lines:#?}");
    assert_eq!(with_verdict(&lines, "open").len(), 2);
    for line in &equal {
        let missing: u64 = line["missing"].as_object().unwrap().values().map(|slots| slots.as_u64().unwrap()).sum();
        assert_eq!(line["slots"].as_u64(), line["counted"].as_u64().map(|counted| counted + missing));
    }

    // One hour, one boiler: the second hour is recomputed from the first.
    let second = hour_text(begin / 3_600 + 1);
    let (lines, code) = verify(&house, &["--boiler", "b2", "--hour", &second]);
    assert_eq!(
        (code, lines.len(), &lines[0]["hour"], &lines[0]["verdict"]),
        (0, 2, &second.clone().into(), &"equal".into())
    );

    let (code, text, words) = thermowell(&house.config(), &["export", "snapshots", "--boiler", "b2"]);
    assert!(code == Some(0) && words.ends_with(": the books close\n"), "{words}");
    assert_eq!(text.lines().count() - 1, with_verdict(&verify(&house, &["--boiler", "b2"]).0, "equal").len(), "{text}");

    // The last hour is published again with a higher mean.
    let mut snapshot = newest(&house, &boilers[0]).unwrap();
    snapshot.temperature = snapshot.temperature.map(|celsius| celsius + 1.0);
    house.publish(subject::snapshot(&boilers[0]), serde_json::to_vec(&snapshot).unwrap());
    let (lines, code) = verify(&house, &[]);
    let [line] = with_verdict(&lines, "different").try_into().unwrap();
    assert_eq!((code, &line["boiler"], &line["hour"]), (1, &"b1".into(), &snapshot.hour.clone().into()));
    let differences = line["differences"].as_array().unwrap();
    assert_eq!((differences.len(), &differences[0]["field"]), (1, &"temperature".into()));
    assert_eq!(differences[0]["stored"].as_f64(), snapshot.temperature);
    assert_eq!(verify(&house, &["--boiler", "b2"]).1, 0, "the other boiler still agrees");
    let (_, text, _) = thermowell(&house.config(), &["verify"]);
    assert!(text.contains("DIFFERENT (temperature: stored ") && text.ends_with("NOT everything agrees\n"), "{text}");

    replaced_and_deleted(&house, &boilers[1]);
}

/// Rewrites the stream: the first hour has other bytes, the second one is deleted.
fn replaced_and_deleted(house: &House, boiler: &thermowell_wire::BoilerId) {
    let subject = subject::snapshot(boiler).to_string();
    let mut snapshots: Vec<Snapshot> = house.wait_for(async {
        let context = async_nats::jetstream::new(house.connect().await.unwrap());
        let stored = context.get_stream(stream::SNAPSHOT).await.unwrap();
        let mut snapshots = Vec::new();
        let mut from = 1;
        while let Ok(message) = stored.direct_get_next_for_subject(&subject, Some(from)).await {
            snapshots.push(serde_json::from_slice(&message.payload).unwrap());
            from = message.sequence + 1;
        }
        stored.purge().filter(&subject).await.unwrap();
        snapshots
    });
    let hours: Vec<String> = snapshots.iter().map(|snapshot| snapshot.hour.clone()).collect();
    snapshots[0].missing.ring += 5;
    snapshots.remove(1);
    for snapshot in &snapshots {
        house.publish(&subject, serde_json::to_vec(snapshot).unwrap());
    }
    house.publish(&subject, b"warm".to_vec());
    let (lines, code) = verify(house, &["--boiler", boiler.as_str()]);
    assert_eq!(code, 1);
    let different = with_verdict(&lines, "different");
    assert_eq!(different.len(), 2, "{lines:#?}");
    assert_eq!(
        (&different[0]["hour"], &different[0]["differences"][0]["field"]),
        (&hours[0].clone().into(), &"missing.ring".into())
    );
    assert!(different[1]["note"].as_str().unwrap().starts_with("no snapshot: "));
    let [lost] = with_verdict(&lines, "no_snapshot").try_into().unwrap();
    assert_eq!(lost["hour"], hours[1]);
    assert_eq!(with_verdict(&lines, "equal").len(), hours.len() - 2);

    // SAMPLES no longer has the samples of the hours.
    house.wait_for(async {
        let context = async_nats::jetstream::new(house.connect().await.unwrap());
        let samples = context.get_stream(stream::SAMPLES).await.unwrap();
        samples.purge().filter(subject::samples(boiler).to_string()).await.unwrap();
    });
    let (lines, code) = verify(house, &["--boiler", boiler.as_str(), "--hour", &hours[0]]);
    assert_eq!((code, &lines[0]["verdict"]), (0, &"no_samples".into()), "{lines:#?}");
}

#[test]
fn an_unreachable_server_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("t.toml");
    // Port 9 of this machine: no server answers there.
    let text = "nats.url = \"nats://127.0.0.1:9\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"";
    std::fs::write(&config, text).unwrap();
    let (code, _, stderr) = thermowell(&config, &["verify"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("no NATS server accepts the login at nats://127.0.0.1:9"), "{stderr}");
}
