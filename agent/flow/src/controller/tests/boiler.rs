//! A boiler that does not do what it is asked, and sensors that say nothing.

use thermowell_wire::line::Refusal;

use super::*;

#[test]
fn a_boiler_that_is_locked_out_is_asked_nothing_and_people_hear_of_it() {
    let mut bench = Bench::new();
    bench.seconds(20);
    bench.device().state = BoilerState::Lockout;
    bench.deaf = true;
    let said = bench.seconds(300);
    assert_eq!(rules(&said), ["lockout"]);
    assert!(leases(&said).is_empty());
    assert_eq!(said.iter().filter(|effect| **effect == Effect::Log(Log::Lockout { fault: None })).count(), 1);
    bench.device().state = BoilerState::Waiting;
    bench.deaf = false;
    assert_eq!(leases(&bench.seconds(2)).len(), 1);
}

#[test]
fn a_hand_at_the_panel_is_not_fought() {
    let mut bench = Bench::new();
    bench.seconds(20);
    bench.deaf = true;
    bench.tell(Input::Answer(&Outcome::Refused(Refusal::Panel)));
    let said = core::mem::take(&mut bench.effects);
    assert_eq!(rules(&said), ["refused"]);
    assert!(said.contains(&Effect::Log(Log::Refused)));
    let said = bench.seconds(600);
    assert_eq!(rules(&said), Vec::<&str>::new());
    assert_eq!(leases(&said).len(), 10, "once a minute");
    // The hand has gone: the next knock is heard, and the law goes on from there.
    bench.deaf = false;
    let said = bench.seconds(62);
    assert_eq!(rules(&said), ["law"]);
    assert!(leases(&said).len() <= 2);
    assert_eq!(leases(&bench.seconds(60)).len(), 4);
}

#[test]
fn a_boiler_that_does_not_answer_is_refusing_after_a_lease() {
    let mut bench = Bench::new();
    bench.deaf = true;
    let said = bench.seconds(60);
    assert_eq!((rules(&said), leases(&said).len()), (vec!["waiting", "law"], 4));
    let said = bench.seconds(600);
    assert_eq!((rules(&said), leases(&said).len()), (vec!["refused"], 10));
    // One that was busy for a moment is not.
    let mut bench = Bench::new();
    bench.seconds(10);
    bench.deaf = true;
    bench.seconds(50);
    bench.deaf = false;
    assert_eq!(rules(&bench.seconds(300)), Vec::<&str>::new());
    // What else it refuses passes with the next renewal.
    bench.tell(Input::Answer(&Outcome::Refused(Refusal::Order)));
    assert_eq!(bench.effects, []);
}

fn alarms(said: &[Effect]) -> usize {
    let is_alarm =
        |effect: &&Effect| matches!(effect, Effect::Event(body) if matches!(**body, EventBody::BurnerCycles { .. }));
    said.iter().filter(is_alarm).count()
}

#[test]
fn more_than_three_starts_in_an_hour_are_an_alarm() {
    let mut bench = Bench::new();
    let mut alarmed = 0;
    for quarter in 0..16 {
        bench.device().burner_starts += 1;
        let said = bench.seconds(15 * 60 + 30);
        alarmed += alarms(&said);
        assert!(alarmed <= usize::from(quarter >= 3), "a start each 15.5 min is one too many in the hour");
    }
    assert_eq!(alarmed, 1, "told when it begins");
    assert_eq!(alarms(&bench.seconds(3_700)), 0);
    bench.device().burner_starts += 4;
    assert_eq!(alarms(&bench.second()), 1, "and when it begins again");
}

#[test]
fn starts_for_the_tap_of_another_boot_or_rare_ones_are_no_alarm() {
    let mut bench = Bench::new();
    let mut said = bench.second();
    for _ in 0..5 {
        bench.device().hot_water = true;
        bench.device().burner_starts += 1;
        said.extend(bench.seconds(60));
        bench.device().hot_water = false;
        said.extend(bench.seconds(60));
    }
    (bench.device().boot, bench.device().burner_starts) = (Boot::new(2, 2), 9);
    said.extend(bench.seconds(60));
    for _ in 0..4 {
        bench.device().burner_starts += 1;
        said.extend(bench.seconds(1_300));
    }
    assert_eq!(alarms(&said), 0);
}

#[test]
fn a_room_that_never_moves_while_it_is_heated_is_none() {
    let mut bench = Bench::new();
    bench.device().room = Some(19.0);
    let said = bench.seconds(12 * 3_600 - 1);
    assert!(!said.contains(&Effect::Log(Log::RoomFrozen)));
    assert_eq!(bench.controller.asks, Some(5_050));
    let said = bench.seconds(300);
    assert_eq!(said.iter().filter(|effect| **effect == Effect::Log(Log::RoomFrozen)).count(), 1);
    assert_eq!(bench.controller.asks, Some(4_250), "its term is 0");
    bench.device().room = Some(19.1);
    assert!(bench.second().contains(&Effect::Log(Log::RoomBack)));
}

#[test]
fn a_silent_outdoor_sensor_is_stood_in_for_by_its_last_day() {
    let mut bench = Bench::new();
    for hour in 0..24 {
        bench.device().outdoor = Some(if hour < 12 { -2.0 } else { 8.0 });
        bench.seconds(3_600);
    }
    bench.device().outdoor = None;
    let said = bench.seconds(3 * 3_600 + 600);
    let mut means = vec![];
    for effect in &said {
        if let Effect::Log(Log::OutdoorMissing { mean }) = effect {
            means.push(*mean);
        }
    }
    // The newest hour has just begun, and has taken the place of the oldest.
    assert!(means.len() == 1 && (means[0] - 3.0).abs() < 0.5, "{means:?}");
    let asks = bench.controller.asks.unwrap();
    assert!((4_140..=4_360).contains(&asks), "{asks}: the mean within 0.6 K, and what is not worth a change");
    let said = bench.seconds(22 * 3_600);
    assert_eq!(rules(&said).last(), Some(&"no_outdoor"), "not for ever");
}

/// The newest slots of a second lie in a gap: STATE has no reading, and says why.
fn gap(bench: &mut Bench, seconds: u32, quality: SlotQuality) -> Vec<Effect> {
    let before = (bench.state.current.take(), core::mem::replace(&mut bench.state.quality, quality));
    let said = bench.seconds(seconds);
    (bench.state.current, bench.state.quality) = before;
    said
}

#[test]
fn a_short_gap_changes_nothing() {
    // An aggregator of an older version calls a gap `ok`.
    for quality in [SlotQuality::Missing, SlotQuality::Ok] {
        let mut bench = Bench::new();
        bench.seconds(20);
        for seconds in [1, 3, 4] {
            let said = gap(&mut bench, seconds, quality);
            assert_eq!(rules(&said), Vec::<&str>::new(), "{seconds} s");
            assert_eq!(rules(&bench.seconds(20)), Vec::<&str>::new(), "{seconds} s");
        }
        let said = gap(&mut bench, 30, quality);
        assert_eq!(rules(&said), ["sensor"], "the reading is too old");
        assert!(leases(&said).len() <= 1, "{said:?}");
        assert_eq!(rules(&bench.seconds(5)), ["law"]);
    }
}

#[test]
fn a_gap_behind_a_broken_sensor_does_not_hide_it() {
    let mut bench = Bench::new();
    bench.seconds(20);
    (bench.state.current, bench.state.quality) = (None, SlotQuality::Open);
    assert_eq!(rules(&bench.second()), ["sensor"], "at once");
    assert_eq!(rules(&gap(&mut bench, 3, SlotQuality::Missing)), Vec::<&str>::new());
    // The same without a reading before.
    let mut bench = Bench::new();
    assert_eq!(rules(&gap(&mut bench, 3, SlotQuality::Missing)), ["waiting", "sensor"]);
}

#[test]
fn a_reading_grows_old_without_another_message() {
    let mut bench = Bench::new();
    bench.seconds(20);
    assert_eq!(rules(&gap(&mut bench, 3, SlotQuality::Missing)), Vec::<&str>::new());
    let said = bench.silence(3);
    assert_eq!(rules(&said), ["sensor"], "the state is 3 s old, its reading 6 s");
}

/// What an agent of an older version may publish.
#[test]
fn readings_that_cannot_be_are_not_believed() {
    for (room, outdoor) in [(85.0, 85.0), (-127.0, -127.0), (-327.68, -327.68), (1e308, f64::MIN)] {
        let mut bench = Bench::new();
        (bench.device().room, bench.device().outdoor) = (Some(room), Some(outdoor));
        assert_eq!(rules(&bench.seconds(20)), ["waiting", "no_outdoor"], "{outdoor}");
        (bench.device().room, bench.device().outdoor) = (Some(20.0), Some(3.0));
        let said = bench.second();
        assert!((leases(&said)[0].flow - 42.5).abs() < 1e-9, "the first sound reading counts: {said:?}");
        (bench.device().room, bench.device().outdoor) = (Some(room), Some(outdoor));
        assert_eq!(rules(&bench.seconds(60)), Vec::<&str>::new(), "{room}");
    }
}
