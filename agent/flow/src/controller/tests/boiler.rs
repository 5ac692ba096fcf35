//! A boiler that refuses requests, and failed sensors.

use thermowell_wire::line::Refusal;

use super::*;

#[test]
fn lockout_is_logged_and_ends_requests() {
    let mut bench = Bench::new();
    bench.seconds(20);
    bench.device().state = BoilerState::Lockout;
    bench.disobeys = true;
    let output = bench.seconds(300);
    assert_eq!(rules(&output), ["lockout"]);
    assert!(leases(&output).is_empty());
    assert_eq!(output.iter().filter(|effect| **effect == Effect::Log(Log::Lockout { fault: None })).count(), 1);
    bench.device().state = BoilerState::Waiting;
    bench.disobeys = false;
    assert_eq!(leases(&bench.seconds(2)).len(), 1);
}

#[test]
fn override_at_the_panel_is_probed_once_a_minute() {
    let mut bench = Bench::new();
    bench.seconds(20);
    bench.disobeys = true;
    bench.input(Input::Answer(&Outcome::Refused(Refusal::Panel)));
    let output = core::mem::take(&mut bench.effects);
    assert_eq!(rules(&output), ["refused"]);
    assert!(output.contains(&Effect::Log(Log::Refused)));
    let output = bench.seconds(600);
    assert_eq!(rules(&output), Vec::<&str>::new());
    assert_eq!(leases(&output).len(), 10, "once a minute");
    // The override has ended: the next probe succeeds, and the law continues.
    bench.disobeys = false;
    let output = bench.seconds(62);
    assert_eq!(rules(&output), ["law"]);
    assert!(leases(&output).len() <= 2);
    assert_eq!(leases(&bench.seconds(60)).len(), 4);
}

#[test]
fn boiler_that_ignores_a_lease_counts_as_refusing() {
    let mut bench = Bench::new();
    bench.disobeys = true;
    let output = bench.seconds(60);
    assert_eq!((rules(&output), leases(&output).len()), (vec!["waiting", "law"], 4));
    let output = bench.seconds(600);
    assert_eq!((rules(&output), leases(&output).len()), (vec!["refused"], 10));
    // Not obeying for less than a lease is not a refusal.
    let mut bench = Bench::new();
    bench.seconds(10);
    bench.disobeys = true;
    bench.seconds(50);
    bench.disobeys = false;
    assert_eq!(rules(&bench.seconds(300)), Vec::<&str>::new());
    // Other refusals end with the next renewal.
    bench.input(Input::Answer(&Outcome::Refused(Refusal::Order)));
    assert_eq!(bench.effects, []);
}

fn alarms(output: &[Effect]) -> usize {
    let is_alarm =
        |effect: &&Effect| matches!(effect, Effect::Event(_, body) if matches!(**body, EventBody::BurnerCycles { .. }));
    output.iter().filter(is_alarm).count()
}

#[test]
fn more_than_three_starts_in_an_hour_raise_an_alarm() {
    let mut bench = Bench::new();
    let mut alarmed = 0;
    for quarter in 0..16 {
        bench.device().burner_starts += 1;
        let output = bench.seconds(15 * 60 + 30);
        alarmed += alarms(&output);
        assert!(alarmed <= usize::from(quarter >= 3), "a start each 15.5 min is one too many in the hour");
    }
    assert_eq!(alarmed, 1, "reported when it begins");
    assert_eq!(alarms(&bench.seconds(3_700)), 0);
    bench.device().burner_starts += 4;
    assert_eq!(alarms(&bench.second()), 1, "and when it begins again");
}

#[test]
fn hot_water_rare_or_other_boots_starts_raise_no_alarm() {
    let mut bench = Bench::new();
    let mut output = bench.second();
    for _ in 0..5 {
        bench.device().hot_water = true;
        bench.device().burner_starts += 1;
        output.extend(bench.seconds(60));
        bench.device().hot_water = false;
        output.extend(bench.seconds(60));
    }
    (bench.device().boot, bench.device().burner_starts) = (Boot::new(2, 2), 9);
    output.extend(bench.seconds(60));
    for _ in 0..4 {
        bench.device().burner_starts += 1;
        output.extend(bench.seconds(1_300));
    }
    assert_eq!(alarms(&output), 0);
}

#[test]
fn constant_room_is_ignored_after_12_h_of_heating() {
    let mut bench = Bench::new();
    bench.device().room = Some(19.01);
    let output = bench.seconds(12 * 3_600 - 1);
    assert!(!output.contains(&Effect::Log(Log::RoomFrozen)));
    let heating_setpoint = bench.controller.heating_setpoint.unwrap();
    assert!((5_580..=5_650).contains(&heating_setpoint), "{heating_setpoint}: 7.9 K, and 6 K of the integral");
    let output = bench.seconds(300);
    assert_eq!(output.iter().filter(|effect| **effect == Effect::Log(Log::RoomFrozen)).count(), 1);
    let output = bench.seconds(1_200);
    assert!(output.iter().all(|effect| *effect != Effect::Log(Log::RoomFrozen)));
    let heating_setpoint = bench.controller.heating_setpoint.unwrap();
    assert!((4_200..=4_300).contains(&heating_setpoint), "{heating_setpoint}: its term is 0, and what it has added");
    bench.device().room = Some(19.1);
    assert!(bench.second().contains(&Effect::Log(Log::RoomBack)));
}

/// The integral after an hour in which the room is 0.2 K too cold.
fn integral_after(change: impl FnOnce(&mut Bench)) -> f64 {
    let mut bench = Bench::new();
    bench.device().room = Some(19.8);
    change(&mut bench);
    bench.seconds(3_601);
    bench.controller.integral
}

#[test]
fn integral_grows_only_while_the_law_heats_the_rooms() {
    let heated = integral_after(|_| {});
    assert!((heated - 0.2).abs() < 0.001, "{heated}");
    let frozen: [fn(&mut Bench); 8] = [
        |bench| bench.device().hot_water = true,
        |bench| bench.device().state = BoilerState::Blocked,
        |bench| bench.device().state = BoilerState::Lockout,
        |bench| bench.device().room = None,
        |bench| bench.device().outdoor = Some(20.0),
        |bench| bench.disobeys = true,
        |bench| bench.controller.settings.law.flow_max = 40.0,
        |bench| bench.obeys_at_most = 40.0,
    ];
    for (index, change) in frozen.into_iter().enumerate() {
        let integral = integral_after(change);
        assert!(integral.abs() < 0.02, "case {index}: {integral}");
    }
}

fn bodies(output: &[Effect]) -> Vec<&EventBody> {
    let mut bodies = vec![];
    for effect in output {
        if let Effect::Event(EventKind::Decision, body) = effect {
            bodies.push(&**body);
        }
    }
    bodies
}

/// Nothing would undo a wrong one.
#[test]
fn integral_does_not_count_without_a_room() {
    let mut bench = Bench::new();
    bench.device().room = None;
    let curve = leases(&bench.seconds(60)).last().unwrap().flow;
    bench.controller.integral = 3.0;
    assert!(leases(&bench.seconds(60)).iter().all(|lease| (lease.flow - curve).abs() < 1e-9), "{curve}");
}

#[test]
fn deficit_is_reported_once_and_travels_in_the_decisions() {
    let mut bench = Bench::new();
    // 46 °C are requested, 40 °C delivered.
    bench.device().outdoor = Some(0.0);
    bench.state.heating_share = 0.9;
    let mut output = bench.seconds(3 * 3_600);
    let [EventBody::DeliversLess(deficit)] = bodies(&output)[..] else { panic!("{:?}", bodies(&output)) };
    assert!((5.5..10.0).contains(&deficit.kelvin) && (deficit.hours - 2.0).abs() < 0.01, "{deficit:?}");
    let mut decisions = restart::past_decisions(&bench, &output);
    let last = decisions.pop().unwrap();
    assert!(last.decision.deficit.is_some(), "{last:?}");
    let mut bench = restart::restarted(bench);
    bench.input(Input::Past(&[last]));
    output = bench.seconds(3 * 3_600);
    assert!(bodies(&output).is_empty(), "its predecessor has reported it: {:?}", bodies(&output));
    bench.state.average_heating = Some(49.0);
    output = bench.seconds(60);
    assert!(matches!(bodies(&output)[..], [EventBody::DeliversAgain(_)]), "{:?}", bodies(&output));
}

#[test]
fn no_heat_is_requested_above_the_heating_limit() {
    let mut bench = Bench::new();
    (bench.device().outdoor, bench.device().room) = (Some(12.0), None);
    assert_eq!(rules(&bench.seconds(600)), ["waiting", "law"]);
    bench.device().outdoor = Some(18.1);
    let mut output = bench.seconds(14 * 3_600);
    assert_eq!(rules(&output).last(), Some(&"heating_limit"));
    assert_eq!(leases(&output).last().unwrap().demand, Demand::None);
    // In the first day there is no hysteresis: one afternoon must not hold the heating down to 13 °C.
    bench.device().outdoor = Some(8.0);
    assert_eq!(rules(&bench.seconds(8 * 3_600)).last(), Some(&"law"), "{:?}", bench.controller.outdoor.day());
    bench.device().outdoor = Some(20.0);
    output = bench.seconds(24 * 3_600);
    assert_eq!(rules(&output).last(), Some(&"heating_limit"));
    // A cool day does not begin the heating season again, two cold days do.
    bench.device().outdoor = Some(13.5);
    output = bench.seconds(24 * 3_600);
    assert!(!rules(&output).contains(&"law"), "{:?}", rules(&output));
    bench.device().outdoor = Some(8.0);
    output = bench.seconds(36 * 3_600);
    assert!(rules(&output).contains(&"law"), "{:?}", rules(&output));
}

/// The boiler's own control does not know that it is summer.
#[test]
fn silent_outdoor_sensor_does_not_begin_to_heat_in_summer() {
    let mut bench = Bench::new();
    (bench.device().outdoor, bench.device().room) = (Some(20.0), Some(18.1));
    bench.seconds(24 * 3_600);
    bench.device().outdoor = None;
    let mut output = vec![];
    for minute in 0..48 * 60 {
        // A sensor that hangs would not count.
        bench.device().room = Some(18.1 + f64::from(minute % 5) / 10.0);
        output.extend(bench.seconds(60));
    }
    assert!(!rules(&output).contains(&"no_outdoor"), "{:?}", rules(&output));
    assert_eq!(leases(&output).last().unwrap().demand, Demand::None);
    bench.device().room = Some(17.9);
    assert_eq!(rules(&bench.seconds(10)), ["no_outdoor"], "the room needs heat");
    bench.device().room = Some(18.9);
    assert_eq!(rules(&bench.seconds(10)), Vec::<&str>::new(), "until it is 1 K below its target");
    bench.device().room = Some(19.1);
    assert_eq!(rules(&bench.seconds(10)), ["heating_limit"]);
    bench.device().room = None;
    assert!(!rules(&bench.seconds(3_600)).contains(&"heating_limit"), "nor without a room");
}

#[test]
fn silent_outdoor_sensor_is_replaced_by_its_day_mean() {
    let mut bench = Bench::new();
    for hour in 0..24 {
        bench.device().outdoor = Some(if hour < 12 { -2.0 } else { 8.0 });
        bench.seconds(3_600);
    }
    bench.device().outdoor = None;
    let output = bench.seconds(3 * 3_600 + 600);
    let mut means = vec![];
    for effect in &output {
        if let Effect::Log(Log::OutdoorMissing { mean }) = effect {
            means.push(*mean);
        }
    }
    // The newest hour has just begun, and has replaced the oldest.
    assert!(means.len() == 1 && (means[0] - 3.0).abs() < 0.5, "{means:?}");
    let heating_setpoint = bench.controller.heating_setpoint.unwrap();
    assert!(
        (4_140..=4_360).contains(&heating_setpoint),
        "{heating_setpoint}: the mean within 0.6 K, and the minimum change"
    );
    let output = bench.seconds(22 * 3_600);
    assert_eq!(rules(&output).last(), Some(&"no_outdoor"), "for a day only");
}

/// Seconds whose newest slot is in a gap: STATE has no reading.
fn gap(bench: &mut Bench, seconds: u32, quality: SlotQuality) -> Vec<Effect> {
    let before = (bench.state.current.take(), core::mem::replace(&mut bench.state.quality, quality));
    let output = bench.seconds(seconds);
    (bench.state.current, bench.state.quality) = before;
    output
}

#[test]
fn short_gap_changes_nothing() {
    // An aggregator of an older version reports a gap as `ok`.
    for quality in [SlotQuality::Missing, SlotQuality::Ok] {
        let mut bench = Bench::new();
        bench.seconds(20);
        for seconds in [1, 3, 4] {
            let output = gap(&mut bench, seconds, quality);
            assert_eq!(rules(&output), Vec::<&str>::new(), "{seconds} s");
            assert_eq!(rules(&bench.seconds(20)), Vec::<&str>::new(), "{seconds} s");
        }
        let output = gap(&mut bench, 30, quality);
        assert_eq!(rules(&output), ["sensor"], "the reading is too old");
        assert!(leases(&output).len() <= 1, "{output:?}");
        assert_eq!(rules(&bench.seconds(5)), ["law"]);
    }
}

#[test]
fn gap_after_a_sensor_fault_does_not_hide_it() {
    let mut bench = Bench::new();
    bench.seconds(20);
    (bench.state.current, bench.state.quality) = (None, SlotQuality::Open);
    assert_eq!(rules(&bench.second()), ["sensor"], "at once");
    assert_eq!(rules(&gap(&mut bench, 3, SlotQuality::Missing)), Vec::<&str>::new());
    // The same without an earlier reading.
    let mut bench = Bench::new();
    assert_eq!(rules(&gap(&mut bench, 3, SlotQuality::Missing)), ["waiting", "sensor"]);
}

#[test]
fn reading_becomes_stale_without_another_message() {
    let mut bench = Bench::new();
    bench.seconds(20);
    assert_eq!(rules(&gap(&mut bench, 3, SlotQuality::Missing)), Vec::<&str>::new());
    let output = bench.silence(3);
    assert_eq!(rules(&output), ["sensor"], "the state is 3 s old, its reading 6 s");
}

/// Values that an agent of an older version may publish.
#[test]
fn implausible_readings_are_ignored() {
    for (room, outdoor) in [(85.0, 85.0), (-127.0, -127.0), (-327.68, -327.68), (1e308, f64::MIN)] {
        let mut bench = Bench::new();
        (bench.device().room, bench.device().outdoor) = (Some(room), Some(outdoor));
        assert_eq!(rules(&bench.seconds(20)), ["waiting", "no_outdoor"], "{outdoor}");
        (bench.device().room, bench.device().outdoor) = (Some(20.0), Some(3.0));
        let output = bench.second();
        assert!((leases(&output)[0].flow - 42.5).abs() < 1e-9, "the first plausible reading counts: {output:?}");
        (bench.device().room, bench.device().outdoor) = (Some(room), Some(outdoor));
        assert_eq!(rules(&bench.seconds(60)), Vec::<&str>::new(), "{room}");
    }
}
