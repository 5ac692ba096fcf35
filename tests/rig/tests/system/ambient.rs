//! Room and outdoor temperatures of a source outside of the boiler: by the program in deploy/PROGRAMS.md.

use std::io::{Read as _, Write as _};

use rig::house::{House, SOON, assert_whole};
use serde_json::Value;
use thermowell_wire::subject::{self, EventKind, stream};

use super::control::decision;
use super::stranger::{KilledAtEnd, client, python};

const PAGE: &str = include_str!("../../../../deploy/PROGRAMS.md");

const SCHEMA: &str = include_str!("../../../../config/schema/ambient.json");

/// The program of the page, which publishes the numbers that it reads.
fn source(house: &House, arguments: [&str; 3]) -> KilledAtEnd {
    let (_, section) = PAGE.split_once("\n## A room or outdoor temperature").expect("the section");
    let (_, block) = section.split_once("```python\n").expect("its program");
    let program = block.split("```").next().unwrap();
    python(house, &client(), program, &arguments, &format!("source-{}", arguments[2]))
}

#[test]
fn source_with_a_key_of_its_own_gives_the_room_temperature() {
    let ambient = "[boiler.room]\nsource = \"hall\"\n";
    let mut house = House::start(super::DEMO, &["--boilers", "1", "--speed", "1", "--ambient", ambient]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    let first = house.until("a decision", SOON, |house| decision(house, &boiler).filter(|it| it.demand.is_some()));
    assert_eq!((first.room, first.room_source.as_ref().map(|source| source.as_str())), (None, Some("hall")));
    assert_eq!(first.outdoor_source, None);

    let mut child = source(&house, ["b1", "room", "hall"]);
    let mut stdin = child.0.stdin.take().unwrap();
    // It publishes once a second, as a sensor does. The first value counts after five.
    let mut value = 17.0;
    let decision = house.until("the room is in a decision", SOON, |house| {
        value += 0.01;
        writeln!(stdin, "{value:.2}").unwrap();
        house.go_on(std::time::Duration::from_millis(1_100));
        decision(house, &boiler).filter(|it| it.room.is_some())
    });
    assert!(decision.room.is_some_and(|room| (17.0..18.0).contains(&room)), "{decision:?}");
    assert!(decision.wish > first.wish, "a cold room: {first:?}, {decision:?}");

    let subject = subject::ambient(&boiler, subject::Ambient::Room, &"hall".parse().unwrap());
    let message: Value = house.last_json(stream::AMBIENT, &subject).expect("the reading");
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let required = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    assert!(required.clone().count() == 3 && required.clone().all(|name| message.get(name).is_some()), "{message}");

    writeln!(stdin, "85").unwrap();
    let event = house.until("the impossible reading is reported", SOON, |house| {
        house.last_json::<Value>(stream::EVENT, &subject::event(&boiler, EventKind::Sensor))
    });
    assert_eq!((&event["name"], &event["source"]), (&"SensorImplausible".into(), &"hall".into()), "{event}");
    house.go_on(std::time::Duration::from_millis(1_100));
    writeln!(stdin, "{value:.2}").unwrap();

    let config = house.config();
    house.until("status shows the source", SOON, |_| {
        let (_, text, _) = super::thermowell(&config, &["status"]);
        text.contains(&format!("  room       {value:.1} °C of hall, ")).then_some(())
    });
    let (code, text, _) = super::thermowell(&config, &["check", "-v", "--only", "control.sources"]);
    assert!(code == Some(0) && text.contains(&format!("room {value:.1} °C of hall, ")), "{text}");

    drop(stdin);
    let mut answers = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut answers).unwrap();
    assert!(child.0.wait().unwrap().success(), "{answers}");
    assert!(answers.lines().count() >= 6 && answers.lines().all(|line| line.contains("AMBIENT")), "{answers}");
    assert_whole(&house.close());
}
