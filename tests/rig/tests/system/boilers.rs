//! `thermowell boiler`: what is refused, what is done, and what is kept.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rig::house::{House, SOON};
use rig::process::{Child, Launch, Programs, Role};
use rustix::process::Signal;
use serde_json::Value;
use thermowell_flow::published::{Link, State, Status};
use thermowell_wire::BoilerId;
use thermowell_wire::batch::{Packed, decode};
use thermowell_wire::subject::{self, EventKind, stream};

/// Exit code, stdout and stderr.
fn boiler(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    super::thermowell(config, &[&["boiler"], arguments].concat())
}

fn refused(config: &Path, arguments: &[&str], why: &str) {
    let (code, done, stderr) = boiler(config, arguments);
    assert!(code == Some(1) && done.is_empty() && stderr.contains(why), "{arguments:?} without {why:?}: {stderr}");
}

fn subjects(house: &House) -> Vec<String> {
    house.wait_for(async {
        let context = async_nats::jetstream::new(house.connect().await.unwrap());
        context.get_stream(stream::SAMPLES).await.unwrap().cached_info().config.subjects.clone()
    })
}

#[test]
fn a_boiler_is_retired_when_it_is_not_written_and_history_stays() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "2"]);
    let [_, second] = house.boilers().try_into().expect("two boilers");
    house.until("some samples", SOON, |house| (house.stored(&second)?.1 >= 300).then_some(()));
    let config = house.config();
    refused(&config, &["retire", "b7", "--yes"], "SAMPLES has no boiler b7; it has b1, b2");
    refused(&config, &["retire", "b2", "--yes"], "b2 is still in this configuration");

    // The configuration of a gateway that has the second boiler under another name.
    let renamed = house.folder().join("renamed.toml");
    fs::write(&renamed, fs::read_to_string(&config).unwrap().replace("id = \"b2\"", "id = \"cellar\"")).unwrap();
    refused(&renamed, &["retire", "b2", "--yes"], "an agent still runs with it");

    assert!(house.close().ok);
    let end = house.stored(&second).expect("its history");
    house.until("nothing has been written for a while", Duration::from_secs(60), |_| {
        boiler(&renamed, &["retire", "b2"]).2.contains("add --yes to do it").then_some(())
    });
    assert_eq!(subjects(&house).len(), 2, "without --yes nothing is done");
    let (code, done, stderr) = boiler(&renamed, &["retire", "b2", "--yes"]);
    assert!(code == Some(0) && done.starts_with("boiler b2 is retired"), "{stderr}");
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

/// The same boilers with new boards: other serial numbers, and boots counted from one.
fn replaced_boards(house: &House) -> Child {
    let folder = house.folder();
    let plan = &house.plan;
    let (monotonic_ns, utc_ns) = plan.boot();
    let pairs = [
        ("--boilers", "1".to_owned()),
        ("--speed", plan.speed.to_string()),
        ("--epoch-monotonic-ns", monotonic_ns.to_string()),
        ("--epoch-utc", utc_ns.to_string()),
        ("--port-dir", folder.join("ports").display().to_string()),
        ("--account", folder.join("account-of-the-new").display().to_string()),
        ("--control", plan.console().display().to_string()),
        ("--scenario", folder.join("quiet.toml").display().to_string()),
        ("--seed", "7".to_owned()),
        ("--serial-number", "b1=NEW-7".to_owned()),
    ];
    fs::create_dir(folder.join("account-of-the-new")).unwrap();
    let args = pairs.into_iter().flat_map(|(name, value)| [name.into(), value.into()]).collect();
    let (programs, log) = (Programs::at(super::DEMO), folder.join("logs/new-board.log"));
    Child::spawn(&Launch { name: "new board".to_owned(), programs, role: Role::FirmwareSim, args, log }).unwrap()
}

fn link(house: &House, id: &BoilerId) -> Option<Link> {
    house.last_json(stream::STATUS, &subject::status(id)).map(|status: Status| status.link)
}

#[test]
fn a_replaced_board_is_refused_until_it_is_accepted() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    let [id] = house.boilers().try_into().expect("one boiler");
    house.until("some samples", SOON, |house| (house.stored(&id)?.1 >= 300).then_some(()));
    house.processes.simulator.keep_down().unwrap();
    house.until("all of the first board is stored", SOON, |house| {
        let status: Status = house.last_json(stream::STATUS, &subject::status(&id))?;
        (status.link == Link::Down && status.backlog == 0).then_some(())
    });
    let end = house.stored(&id).expect("its history");
    let _new = replaced_boards(&house);
    house.until("the new board is refused", SOON, |house| (link(house, &id)? == Link::Refused).then_some(()));
    house.until("an event names the command", SOON, |house| {
        let event: Value = house.last_json(stream::EVENT, &subject::event(&id, EventKind::Boot))?;
        event["reason"].as_str()?.contains("thermowell boiler accept b1 NEW-7 --yes").then_some(())
    });
    let config = house.config();
    refused(&config, &["accept", "b1", "SIM-b1", "--yes"], "the history of boiler b1 is already from the board SIM-b1");
    refused(&config, &["accept", "b2", "NEW-7", "--yes"], "SAMPLES has no boiler b2; it has b1");
    refused(&config, &["accept", "b1", "NEW-7"], "add --yes to do it");
    let bound = house.folder().join("bound.toml");
    let text = fs::read_to_string(&config).unwrap().replace("id = \"b1\"", "id = \"b1\"\nserial_number = \"SIM-b1\"");
    fs::write(&bound, text).unwrap();
    refused(&bound, &["accept", "b1", "NEW-7", "--yes"], "the configuration binds boiler b1 to the board SIM-b1");
    assert_eq!((house.stored(&id), link(&house, &id)), (Some(end), Some(Link::Refused)), "nothing was done");

    let (code, done, stderr) = boiler(&config, &["accept", "b1", "NEW-7", "--yes"]);
    assert!(code == Some(0) && done.starts_with("board NEW-7 is accepted as boiler b1"), "{stderr}");
    let event: Value = house.last_json(stream::EVENT, &subject::event(&id, EventKind::Boiler)).expect("an event");
    let last = event["last"].as_u64().expect("a sequence");
    house.until("the new board's slots", SOON, |house| {
        house.stored(&id).filter(|(boot, next)| *boot != end.0 && *next >= 300)
    });
    house.processes.agent.signal(Signal::KILL).unwrap();
    let before = house.stored(&id).expect("the new board's");
    house.until("the next agent goes on", SOON, |house| {
        house.stored(&id).filter(|(boot, next)| *boot == before.0 && *next >= before.1 + 300)
    });
    let next = house.wait_for(async {
        let context = async_nats::jetstream::new(house.connect().await.unwrap());
        context.get_stream(stream::SAMPLES).await.unwrap().get_raw_message(last + 1).await.unwrap().payload
    });
    let Packed::Batch(first) = decode(&next).unwrap() else { panic!("the ring had its first slot") };
    assert_eq!((first.header.boot, first.header.seq), (before.0, 0));
    house.until("the average goes on", SOON, |house| {
        let state: State = house.last_json(stream::STATE, &subject::state(&id))?;
        (state.slot.boot == before.0 && state.average.is_some()).then_some(())
    });
}
