//! Room and outdoor temperatures of sources outside of the boiler.

use super::*;
use crate::published::AmbientReading;

/// A bench whose room and outdoor temperatures come from `hall`; the device still reports 20.0 °C and 3.0 °C.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let sources = Ambient::ALL.map(|what| (what, "hall".parse().unwrap())).to_vec();
    bench.controller = Controller::new(Settings { sources, ..bench.controller.settings.clone() });
    bench
}

impl Bench {
    /// A reading that was measured `age_s` ago.
    fn read(&mut self, what: Ambient, source: &str, value: f64, age_s: f64) -> Vec<Effect> {
        let (stamp, source) = (self.now().utc.unix_seconds() - age_s, source.parse().unwrap());
        self.take(what, &AmbientReading { value, stamp, source, version: 1 }, true)
    }

    fn take(&mut self, what: Ambient, reading: &AmbientReading, is_new: bool) -> Vec<Effect> {
        self.input(Input::Ambient { what, reading, is_new });
        core::mem::take(&mut self.effects)
    }

    /// Both temperatures, each minute of `minutes`; returns the effects.
    fn minutes(&mut self, minutes: u32, room: impl Fn(u32) -> f64, outdoor: f64) -> Vec<Effect> {
        let minute = |minute| {
            let mut effects = self.seconds(60);
            effects.extend(self.read(Ambient::Room, "hall", room(minute), 0.0));
            effects.extend(self.read(Ambient::Outdoor, "hall", outdoor, 0.0));
            effects
        };
        (0..minutes).flat_map(minute).collect()
    }
}

fn last_decision(output: &[Effect]) -> &Decision {
    let Some(Effect::Decision(decision)) = output.iter().rfind(|effect| matches!(effect, Effect::Decision(_))) else {
        panic!("no decision in {output:?}");
    };
    decision
}

fn logs(output: &[Effect]) -> Vec<String> {
    let log = |effect: &Effect| if let Effect::Log(log) = effect { Some(alloc::format!("{log:?}")) } else { None };
    output.iter().filter_map(log).collect()
}

fn sensor_events(output: &[Effect]) -> Vec<serde_json::Value> {
    let event = |effect: &Effect| match effect {
        Effect::Event(EventKind::Sensor, body) => Some(serde_json::to_value(body).unwrap()),
        Effect::Event(..) | Effect::Lease(_) | Effect::Decision(_) | Effect::Log(_) => None,
    };
    output.iter().filter_map(event).collect()
}

#[test]
fn configured_source_counts_and_the_devices_own_sensor_does_not() {
    let mut bench = bench();
    assert_eq!(rules(&bench.seconds(5)), ["waiting", "no_outdoor"], "the device knows it, but does not count");
    let output = bench.minutes(6, |_| 18.5, -4.0);
    let decision = last_decision(&output);
    assert_eq!((decision.room, decision.outdoor), (Some(18.5), Some(-4.0)));
    let hall = Some("hall".parse().unwrap());
    assert_eq!((&decision.room_source, &decision.outdoor_source), (&hall, &hall));
    let json = serde_json::to_value(decision).unwrap();
    assert_eq!((&json["room_source"], &json["outdoor_source"]), (&"hall".into(), &"hall".into()));
    bench.read(Ambient::Room, "attic", 10.0, 0.0);
    assert_eq!(bench.controller.room.state(bench.now().monotonic).celsius(), Some(18.5), "another source");
}

#[test]
fn stored_readings_start_a_new_controller_at_once() {
    let mut bench = bench();
    bench.at_s = 3_600;
    for minutes in [44, 30, 20, 10, 0] {
        bench.read(Ambient::Room, "hall", 18.0, f64::from(minutes) * 60.0);
        bench.read(Ambient::Outdoor, "hall", 2.0, f64::from(minutes) * 60.0);
    }
    let room = |bench: &Bench| bench.controller.room.state(bench.now().monotonic).celsius();
    assert_eq!(room(&bench), None, "the first is too old to count: four are left");
    bench.read(Ambient::Room, "hall", 18.0, 0.0);
    assert_eq!(room(&bench), None, "the same one again");
    bench.seconds(2);
    bench.read(Ambient::Room, "hall", 18.2, 0.0);
    assert_eq!(room(&bench), Some(18.0), "the median of five");
    assert_eq!(bench.controller.outdoor.state(bench.now().monotonic).celsius(), Some(2.0));
}

#[test]
fn stored_readings_are_judged_and_not_reported() {
    let mut bench = bench();
    bench.at_s = 3_600;
    let stamp = bench.now().utc.unix_seconds();
    let reading =
        |value, age_s: f64| AmbientReading { value, stamp: stamp - age_s, source: "hall".parse().unwrap(), version: 1 };
    let mut output = bench.take(Ambient::Room, &reading(18.0, 2_000.0), false);
    for minutes in [25.0, 20.0, 15.0, 10.0, 5.0] {
        output.extend(bench.take(Ambient::Room, &reading(18.0, 60.0 * minutes), false));
    }
    output.extend(bench.take(Ambient::Room, &reading(85.0, 10.0), false));
    assert!(
        sensor_events(&output).is_empty() && logs(&output).iter().all(|log| !log.contains("Ambient")),
        "{output:?}"
    );
    assert_eq!(bench.controller.room.state(bench.now().monotonic).celsius(), Some(18.0));
}

/// A gateway without a battery for its clock begins with a wrong one, which MQTT readings are stamped with.
#[test]
fn source_counts_again_after_our_clock_has_gone_back() {
    let mut bench = bench();
    bench.minutes(6, |_| 18.0, 2.0);
    let room = |bench: &Bench| bench.controller.room.state(bench.now().monotonic).celsius();
    assert_eq!(room(&bench), Some(18.0));
    bench.utc_step_s = -7_200;
    bench.seconds(60);
    bench.read(Ambient::Room, "hall", 18.3, 0.0);
    assert_eq!(room(&bench), Some(18.3));
    // From before this machine started: its age cannot be counted on the monotonic axis.
    let mut young = self::bench();
    young.at_s = 60;
    (0..6).for_each(|n| drop(young.read(Ambient::Room, "hall", 18.0, 600.0 - f64::from(n) * 60.0)));
    assert_eq!(room(&young), None);
}

#[test]
fn reading_counts_from_its_stamp() {
    let mut bench = bench();
    bench.minutes(6, |_| 18.0, 2.0);
    bench.seconds(25 * 60);
    // Ten minutes on the way: it is 30 min old in 20 min.
    bench.read(Ambient::Room, "hall", 18.1, 600.0);
    assert_eq!(logs(&bench.seconds(20 * 60)), Vec::<String>::new());
    let output = bench.seconds(60);
    assert_eq!(output.iter().filter(|effect| **effect == Effect::Log(Log::RoomMissing)).count(), 1);
    let output = bench.seconds(3 * 3_600);
    assert_eq!(rules(&output).last(), Some(&"no_outdoor"), "the device's own 3 °C does not replace it");
}

#[test]
fn wrong_clock_of_a_source_is_reported_once() {
    let mut bench = bench();
    bench.minutes(6, |_| 18.0, 2.0);
    let reported: usize = (0..60)
        .map(|_| {
            bench.seconds(10);
            logs(&bench.read(Ambient::Room, "hall", 18.0, -3_600.0)).len()
        })
        .sum();
    assert_eq!(reported, 1);
    bench.read(Ambient::Room, "hall", 18.0, 0.0);
    assert_eq!(logs(&bench.read(Ambient::Room, "hall", 18.0, -61.0)).len(), 1, "after a good one, again");
    bench.seconds(60);
    assert_eq!(logs(&bench.read(Ambient::Room, "hall", 18.0, -59.0)), Vec::<String>::new(), "a minute is allowed");
}

#[test]
fn impossible_and_jumping_readings_are_reported_and_not_used() {
    let mut bench = bench();
    bench.minutes(6, |_| 18.0, 2.0);
    for (value, word) in [
        (85.0, "85.00 °C is outside of what is plausible: -10.00 °C to 50.00 °C are allowed"),
        (-1e300, "-21474836.47 °C is outside of what is plausible"),
        (26.0, "13.50 °C to 22.50 °C are allowed after 18.00 °C"),
    ] {
        let mut bench = self::bench();
        bench.minutes(6, |_| 18.0, 2.0);
        let mut output = bench.seconds(120);
        output.extend(bench.read(Ambient::Room, "hall", value, 0.0));
        let [event] = sensor_events(&output).try_into().expect("one event");
        assert_eq!((&event["quantity"], &event["source"]), (&"room".into(), &"hall".into()), "{event}");
        assert!(event["reason"].as_str().unwrap().contains(word), "{event}");
        assert_eq!(bench.controller.room.state(bench.now().monotonic).celsius(), Some(18.0), "{value}");
        bench.seconds(2);
        assert!(sensor_events(&bench.read(Ambient::Room, "hall", value, 0.0)).is_empty(), "reported once");
    }
    bench.seconds(2);
    bench.read(Ambient::Room, "hall", 85.0, 0.0);
    let output = bench.minutes(3, |_| 18.1, 2.0);
    let [sound] = sensor_events(&output).try_into().expect("one event");
    assert_eq!(sound["name"], "SensorSound");
    assert_eq!(bench.controller.room.state(bench.now().monotonic).celsius(), Some(18.1));
}

#[test]
fn frozen_source_is_detected_as_a_frozen_sensor_is() {
    let mut bench = bench();
    let output = bench.minutes(12 * 60 + 10, |_| 19.52, 2.0);
    assert_eq!(output.iter().filter(|effect| **effect == Effect::Log(Log::RoomFrozen)).count(), 1);
    let output = bench.minutes(2, |_| 19.6, 2.0);
    assert!(output.contains(&Effect::Log(Log::RoomBack)));
}

/// A source may send faster than a room changes; its stamps may go backwards.
#[test]
fn fast_source_counts_once_a_second() {
    let mut bench = bench();
    bench.minutes(6, |_| 18.0, 2.0);
    bench.seconds(1);
    for hundredth in 0..100 {
        bench.read(Ambient::Room, "hall", 18.0 + f64::from(hundredth) / 1_000.0, -f64::from(hundredth) / 100.0);
    }
    assert_eq!(bench.controller.room.state(bench.now().monotonic).celsius(), Some(18.0), "the first of them");
    for extreme in [f64::MIN, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        bench.seconds(2);
        bench.read(Ambient::Room, "hall", 18.0, extreme);
        bench.read(Ambient::Outdoor, "hall", extreme, 0.0);
    }
}
