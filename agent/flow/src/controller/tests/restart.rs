//! A controller that continues after another one.

use super::*;

pub(super) fn past_decisions(bench: &Bench, output: &[Effect]) -> Vec<PastDecision> {
    let at = bench.now().utc.unix_seconds();
    let mut past_decisions = vec![];
    for effect in output {
        if let Effect::Decision(decision) = effect {
            past_decisions.push(PastDecision { at, decision: (**decision).clone() });
        }
    }
    past_decisions
}

/// Two hours with a drifting room and a draw; returns every decision with its time.
fn two_hours(bench: &mut Bench) -> Vec<PastDecision> {
    let mut decisions = vec![];
    for second in 0..7_200_u32 {
        let drawn = (5_000..5_300).contains(&second);
        bench.device().hot_water = drawn;
        bench.state.heating = !(5_000..5_420).contains(&second);
        bench.device().room = Some(20.0 - f64::from(second) / 3_600.0);
        bench.state.heating_share = if second < 5_000 { f64::from(second.min(3_600)) / 3_600.0 } else { 0.88 };
        let output = bench.second();
        decisions.extend(past_decisions(bench, &output));
    }
    decisions
}

/// The same boiler, a new controller.
pub(super) fn restarted(mut bench: Bench) -> Bench {
    bench.controller = Controller::new(bench.controller.settings.clone());
    bench.effects.clear();
    bench
}

#[test]
fn asked_mean_is_rebuilt_from_past_decisions() {
    let mut bench = Bench::new();
    let decisions = two_hours(&mut bench);
    let known = bench.controller.known.unwrap();
    let asked = bench.controller.asked_mean(&known).unwrap();
    let mut bench = restarted(bench);
    bench.input(Input::Past(&decisions));
    bench.second();
    let known = bench.controller.known.unwrap();
    let rebuilt = bench.controller.asked_mean(&known).unwrap();
    assert!((57.0..60.0).contains(&asked) && (rebuilt - asked).abs() < 0.05, "{asked} {rebuilt}");
    assert!(bench.controller.last_hour(&known).is_some(), "the correction continues at once");
    // Reading it again in another session changes nothing.
    bench.input(Input::Past(&decisions[..1]));
    bench.second();
    assert!((bench.controller.asked_mean(&bench.controller.known.unwrap()).unwrap() - rebuilt).abs() < 0.1);
}

#[test]
fn last_decision_counts_for_a_lease_without_a_controller() {
    let mut bench = Bench::new();
    let decisions = two_hours(&mut bench);
    let mut bench = restarted(bench);
    // Half an hour without a controller: the boiler is on its own control.
    bench.at_s += 1_800;
    bench.obeys_until_s = 0;
    bench.input(Input::Past(&decisions));
    bench.second();
    let known = bench.controller.known.unwrap();
    assert_eq!(bench.controller.asked_mean(&known), None, "less than nine tenths of the hour are known");
    let second = whole(bench.state.stamp);
    let minutes = replay(&decisions, second - 1, 60).valid().points / 60;
    assert!((15..=30).contains(&minutes), "{minutes} min");
}

#[test]
fn seconds_without_heat_or_with_a_draw_do_not_count() {
    let decision = |at: i64, rule: &str, demand, flow| {
        let mut bench = Bench::new();
        let output = bench.second();
        let mut past_decisions = past_decisions(&bench, &output).pop().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "seconds of these years are exact")]
        let stamp = at as f64;
        past_decisions.at = stamp;
        (past_decisions.decision.rule, past_decisions.decision.demand, past_decisions.decision.flow) =
            (String::from(rule), demand, flow);
        past_decisions
    };
    let heat = Some(Demand::Heat);
    let decisions = [
        decision(1_000, "law", heat, Some(40.0)),
        decision(6_000, "hot_water", heat, Some(40.0)),
        decision(7_000, "law", heat, Some(50.0)),
        decision(7_500, "no_heat_wanted", Some(Demand::None), Some(30.0)),
        decision(8_000, "law", heat, Some(60.0)),
    ];
    // The hour of 4,401 to 8,000: 1,599 s of 40, 500 s of 50, one of 60.
    let asked = replay(&decisions, 8_000, 60).valid();
    assert_eq!((asked.points, asked.centi), (2_100, 1_599 * 4_000 + 500 * 5_000 + 6_000));
    assert_eq!(replay(&decisions, 8_200, 60).valid().points, 1_399 + 500 + 60, "the last one lasts for a lease");
    assert_eq!(replay(&[], 8_000, 60).valid().points, 0);
    let wild = [decision(i64::MAX, "law", heat, Some(1e300)), decision(i64::MIN, "law", heat, Some(f64::NAN))];
    assert_eq!(replay(&wild, 8_000, i64::MAX).valid().points, 0);
}

#[test]
fn ramp_begins_at_the_active_set_point_within_limits() {
    for (obeyed, first) in [(50.0, 50.0), (90.0, 65.0)] {
        let mut bench = Bench::new();
        let demand = Demand::Heat;
        bench.device().setpoint = Some(AcceptedSetpoint { n: 9, demand, flow: obeyed, lease_left_s: 30.0 });
        bench.obeys_until_s = 30;
        let output = bench.seconds(60);
        let flows: Vec<f64> = leases(&output).iter().map(|lease| lease.flow).collect();
        assert!((flows[0] - first).abs() < 1e-9, "{flows:?}");
        assert!(flows.windows(2).all(|pair| (0.0..=0.51).contains(&(pair[0] - pair[1]))), "{flows:?}");
    }
}

#[test]
fn heat_demand_hysteresis_survives_a_restart() {
    // 20.5 °C is within the hysteresis: too warm to begin, not warm enough to end.
    for was_warm in [false, true] {
        let mut bench = Bench::new();
        bench.device().room = Some(if was_warm { 20.9 } else { 20.0 });
        let output = bench.seconds(10);
        let decisions = past_decisions(&bench, &output);
        bench.device().room = Some(20.5);
        let mut bench = restarted(bench);
        bench.input(Input::Past(&decisions));
        assert_eq!(rules(&bench.second()).last(), Some(if was_warm { &"no_heat_wanted" } else { &"law" }));
    }
}

#[test]
fn integral_and_day_of_a_predecessor_count_for_a_day() {
    for (later_s, counts) in [(20 * 3_600, true), (25 * 3_600, false)] {
        let mut bench = Bench::new();
        (bench.device().outdoor, bench.device().room) = (Some(16.0), Some(20.0));
        let output = bench.seconds(10);
        let mut decisions = past_decisions(&bench, &output);
        assert_eq!(decisions.last().map(|past| past.decision.outdoor_day), Some(Some(16.0)));
        let mut waiting = decisions[0].clone();
        let last = decisions.last_mut().unwrap();
        assert_eq!((waiting.decision.rule.as_str(), last.decision.heating_season), ("waiting", Some(false)));
        (last.decision.integral, last.decision.outdoor_day_hours) = (2.5, 24.0);
        // Within the hysteresis: the season has not begun again. A restart that saw no state knows nothing.
        last.decision.outdoor_day = Some(14.5);
        waiting.at = last.at;
        decisions.push(waiting);
        bench.at_s += later_s;
        bench.device().outdoor = Some(14.0);
        let mut bench = restarted(bench);
        bench.input(Input::Past(&decisions));
        let output = bench.second();
        assert_eq!(rules(&output).last(), Some(if counts { &"heating_limit" } else { &"law" }));
        assert!((bench.controller.integral - if counts { 2.5 } else { 0.0 }).abs() < 1e-9);
    }
}

#[test]
fn day_of_a_sensor_that_died_in_summer_does_not_count_in_winter() {
    let mut bench = Bench::new();
    (bench.device().outdoor, bench.device().room) = (Some(20.0), Some(20.02));
    bench.seconds(24 * 3_600);
    bench.device().outdoor = None;
    let output = bench.seconds(30 * 3_600);
    let decisions = past_decisions(&bench, &output);
    let last = &decisions.last().unwrap().decision;
    assert_eq!((last.outdoor_day, last.heating_season), (None, Some(false)), "{last:?}");
    let mut bench = restarted(bench);
    bench.device().outdoor = Some(2.0);
    bench.input(Input::Past(&decisions));
    assert_eq!(rules(&bench.seconds(10)).last(), Some(&"law"), "the sensor is replaced");
}
