use super::*;
use crate::control::{Plan, Step};
use crate::published::{Action, Forecast};

/// 16 °C, and 20 °C from `rise_h` hours after the start.
fn bench(rise_h: i64) -> Bench {
    let mut bench = Bench::new();
    let step = |at_s: i64, target| Step { from: Utc((START_S + at_s) * SECOND_NS), target };
    bench.controller.settings.law.plan = Plan::new(vec![step(-1, 16.0), step(rise_h * 3_600, 20.0)]);
    bench
}

fn decisions(output: &[Effect]) -> Vec<&Decision> {
    let mut decisions = vec![];
    for effect in output {
        if let Effect::Decision(decision) = effect {
            decisions.push(&**decision);
        }
    }
    decisions
}

fn hours(unix_seconds: f64) -> f64 {
    (unix_seconds - Utc(START_S * SECOND_NS).unix_seconds()) / 3_600.0
}

#[test]
fn heating_begins_in_time_for_the_next_target() {
    let mut bench = bench(6);
    bench.device().room = Some(17.2);
    // 2.5 K at the usual 1 K/h.
    let output = bench.seconds(3 * 3_600 + 1_790);
    let Forecast { target, at, heats_from } = decisions(&output).last().unwrap().forecast.unwrap();
    assert_eq!((target, hours(at)), (20.0, 6.0));
    assert!((hours(heats_from) - 3.5).abs() < 1e-6, "{}", hours(heats_from));
    assert!(!rules(&output).contains(&"preheat"), "{:?}", rules(&output));
    let output = bench.seconds(20);
    let early = decisions(&output).last().copied().unwrap();
    assert_eq!((early.rule.as_str(), early.target, early.demand), ("preheat", 20.0, Some(Demand::Heat)));
    // It is not taken back when the room is warm early, and the forecast says when it began.
    bench.device().room = Some(19.9);
    let output = bench.seconds(2 * 3_600);
    assert!(!rules(&output).contains(&"law"), "{:?}", rules(&output));
    let last = bench.seconds(2 * 3_600);
    assert_eq!(rules(&last), ["law"], "the time itself");
    assert!(decisions(&last)[0].forecast.is_none());
}

#[test]
fn no_room_or_a_warm_one_begins_at_the_time() {
    for room in [None, Some(19.8)] {
        let mut bench = bench(2);
        bench.device().room = room;
        let output = bench.seconds(2 * 3_600 - 10);
        assert!(!rules(&output).contains(&"preheat"), "{:?}", rules(&output));
        assert_eq!(decisions(&output).last().unwrap().forecast.is_some(), room.is_some());
    }
}

#[test]
fn lead_is_limited() {
    let mut bench = bench(20);
    bench.device().room = Some(5.0);
    let output = bench.seconds(60);
    let heats_from = decisions(&output).last().unwrap().forecast.unwrap().heats_from;
    assert!((hours(heats_from) - 8.0).abs() < 1e-6, "half a day");
}

/// Warms the room by `rate` K/h while the controller asks for heat; returns the rate that it has learned.
fn learned(rate: f64, change: impl Fn(&mut Bench, u32)) -> Option<f64> {
    let mut bench = bench(1);
    let mut room: f64 = 17.0;
    for minute in 0..10 * 60 {
        bench.device().room = Some(room);
        change(&mut bench, minute);
        let output = bench.seconds(60);
        let heats = bench.controller.heating_setpoint.is_some();
        if heats
            && (bench.at_s > 3_600 || rules(&output).contains(&"preheat") || bench.controller.warm_up.early().is_some())
        {
            room = (room + rate / 60.0).min(20.0);
        }
    }
    bench.controller.warm_up.rate()
}

#[test]
fn warm_up_is_learned_in_times() {
    // Half of the usual 1 K/h, half of what was seen: hours for each kelvin have the mean.
    let mean = learned(0.5, |_, _| {}).unwrap();
    assert!((1.0 / mean - 1.5).abs() < 0.05, "{mean}");
    assert_eq!(learned(0.5, |bench, _| bench.device().state = BoilerState::Lockout), None, "it does not heat");
    assert_eq!(
        learned(0.5, |bench, minute| {
            bench.device().room = bench.device().room.filter(|_| minute % 40 < 5);
        }),
        None,
        "a sensor that comes and goes"
    );
}

#[test]
fn unfinished_warm_up_of_hours_is_learned_too() {
    let mut bench = bench(1);
    bench.device().room = Some(15.0);
    bench.seconds(2 * 3_600);
    // 0.2 K/h: the rooms do not get warm until the plan ends it.
    for minute in 0..4 * 60 {
        bench.device().room = Some(15.0 + f64::from(minute) * 0.2 / 60.0);
        bench.seconds(60);
    }
    assert_eq!(bench.controller.warm_up.rate(), None);
    bench.input(Input::Plan(&Plan::constant(16.0)));
    bench.second();
    let rate = bench.controller.warm_up.rate().unwrap();
    assert!(rate < 0.4, "{rate}");
}

#[test]
fn absence_by_command_ends_in_a_warm_room() {
    for (hours, is_early) in [(13, true), (11, false)] {
        let mut bench = Bench::new();
        bench.device().room = Some(18.7);
        bench.second();
        let output = orders::order(&mut bench, 1, Action::SetBack { room: 16.0 }, f64::from(hours) * 60.0);
        assert!(!rules(&output).contains(&"preheat"));
        let output = bench.seconds(hours * 3_600 - 1_800);
        assert_eq!(rules(&output).contains(&"preheat"), is_early, "{:?}", rules(&output));
    }
}

#[test]
fn rate_of_a_predecessor_counts() {
    let mut first = bench(6);
    first.device().room = Some(17.2);
    let output = first.seconds(10);
    let mut decisions = restart::past_decisions(&first, &output);
    decisions.last_mut().unwrap().decision.warm_up = Some(0.5);
    let mut bench = restart::restarted(first);
    bench.input(Input::Past(&decisions));
    let output = bench.seconds(10);
    let heats_from = self::decisions(&output).last().unwrap().forecast.unwrap().heats_from;
    assert!((hours(heats_from) - 1.0).abs() < 1e-6, "2.5 K at 0.5 K/h before 6: {}", hours(heats_from));
}

#[test]
fn small_step_does_not_hide_a_large_one() {
    let mut bench = bench(6);
    let at = |hour: i64| Utc((START_S + hour * 3_600) * SECOND_NS);
    let step = |hour, target| Step { from: at(hour), target };
    bench.controller.settings.law.plan = Plan::new(vec![step(-1, 16.0), step(5, 17.5), step(6, 20.0)]);
    bench.device().room = Some(17.19);
    let output = bench.seconds(3 * 3_600 + 1_900);
    let early = decisions(&output).last().copied().unwrap();
    assert_eq!((early.rule.as_str(), early.target), ("preheat", 20.0), "{early:?}");
    // The small one alone would begin ten minutes early.
    bench.device().room = Some(19.71);
    assert!(bench.seconds(3_600).iter().all(|it| !matches!(it, Effect::Decision(it) if it.target < 20.0)));
}

#[test]
fn restart_and_silent_sensor_do_not_take_a_start_back() {
    let mut first = bench(6);
    first.device().room = Some(17.19);
    let output = first.seconds(3 * 3_600 + 2_000);
    let decisions = restart::past_decisions(&first, &output);
    assert_eq!(decisions.last().unwrap().decision.rule, "preheat");
    let mut bench = restart::restarted(first);
    bench.device().room = Some(19.11);
    bench.input(Input::Past(&decisions));
    let output = bench.seconds(10);
    assert_eq!(rules(&output).last(), Some(&"preheat"), "0.6 K would begin later");
    bench.device().room = None;
    bench.seconds(40 * 60);
    bench.device().room = Some(19.12);
    assert_eq!(rules(&bench.seconds(10)).last(), Some(&"preheat"));
}

#[test]
fn failed_warm_up_does_not_make_nights_long() {
    let mut bench = bench(1);
    for _ in 0..3 {
        bench.device().room = Some(18.71);
        bench.input(Input::Plan(&Plan::constant(20.0)));
        bench.seconds(4 * 3_600);
        bench.input(Input::Plan(&Plan::constant(16.0)));
        bench.seconds(60);
    }
    assert_eq!(bench.controller.warm_up.rate(), None, "open windows: the room does not warm up");
    let mut warm_up = bench.controller.warm_up;
    warm_up.continue_from(Some(0.001), None);
    assert_eq!(warm_up.rate(), Some(0.2), "a fifth of the usual one");
}

#[test]
fn summer_needs_no_start() {
    let mut bench = bench(6);
    (bench.device().room, bench.device().outdoor) = (Some(18.31), Some(19.0));
    let output = bench.seconds(5 * 3_600);
    assert!(decisions(&output).iter().skip(2).all(|it| it.forecast.is_none() && it.target < 17.0), "{output:?}");
}
