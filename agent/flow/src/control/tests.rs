use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::testing;

fn law() -> Law {
    testing::law()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn hour() -> LastHour {
    LastHour { average: 50.0, asked: 50.0, share: 1.0 }
}

#[test]
fn curve_is_linear_between_its_points_and_constant_outside() {
    let curve = law().curve;
    for (outdoor, flow) in [(-30.0, 60.0), (-12.0, 60.0), (3.0, 42.5), (18.0, 25.0), (30.0, 25.0)] {
        assert!(near(curve.flow(outdoor), flow), "{outdoor}");
    }
}

#[test]
fn room_term_is_limited_and_zero_without_a_room() {
    let law = law();
    for (room, flow) in [(Some(20.0), 42.5 + 8.0), (Some(10.0), 42.5 + 15.0), (Some(25.0), 32.5), (None, 42.5)] {
        assert!(near(law.wish(3.0, room, 0.1, 21.0, 0.0).flow, flow), "{room:?}");
    }
    assert!(near(law.wish(3.0, Some(20.0), 0.1, 21.0, -2.0).flow, 42.5 + 8.0 - 2.0));
    let quick = Law { kp: 20.0, ..law.clone() };
    for (step, flow) in [(0.01, 42.5 + 10.0), (0.1, 42.5 + 10.0), (0.5, 42.5 + 5.0)] {
        assert!(near(quick.wish(3.0, Some(20.5), step, 21.0, 0.0).flow, flow), "{step}");
    }
    let warm = law.wish(18.0, Some(30.0), 0.1, 21.0, 0.0);
    assert!(near(warm.flow, 25.0) && near(warm.free, 15.0));
}

#[test]
fn correction_compensates_a_deficit_only() {
    let law = law();
    assert!(near(law.correction(None), 0.0));
    assert!(near(law.correction(Some(&hour())), 0.0));
    assert!(near(law.correction(Some(&LastHour { asked: 54.0, ..hour() })), 1.0));
    assert!(near(law.correction(Some(&LastHour { asked: 51.9, ..hour() })), 0.0), "its burner pauses");
    assert!(near(law.correction(Some(&LastHour { asked: 90.0, ..hour() })), 5.0));
    assert!(near(law.correction(Some(&LastHour { asked: 90.0, share: 0.5, ..hour() })), 2.5));
    assert!(near(law.correction(Some(&LastHour { asked: 10.0, ..hour() })), 0.0), "it delivers more than asked");
}

#[test]
fn heat_demand_has_hysteresis() {
    let law = law();
    let wish = |free| Wish { free, flow: free };
    let room = Some(20.0);
    for (free, was, wanted) in [(23.9, true, false), (24.1, true, true), (25.9, false, false), (26.1, false, true)] {
        assert_eq!(law.is_heat_wanted(&wish(free), room, 20.0, was), wanted, "{free} {was}");
    }
    for (room, was, wanted) in [(20.6, true, true), (20.8, true, false), (20.5, false, false), (20.3, false, true)] {
        assert_eq!(law.is_heat_wanted(&wish(60.0), Some(room), 20.0, was), wanted, "{room} {was}");
    }
    assert!(law.is_heat_wanted(&wish(10.0), None, 20.0, true), "without a room there is nothing to compare with");
    let floor = Law { emitter: Emitter::Floor, ..law };
    assert!(
        floor.is_heat_wanted(&wish(22.1), room, 20.0, false) && floor.is_heat_wanted(&wish(21.1), room, 20.0, true)
    );
}

#[test]
fn heating_ends_at_its_limit_and_begins_2_k_below() {
    let law = law();
    for (day, was, is) in [(14.9, true, true), (15.0, true, false), (13.1, false, false), (12.9, false, true)] {
        assert_eq!(law.is_heating_season(day, was), is, "{day} {was}");
    }
}

#[test]
fn integral_takes_a_limited_error_and_stops_at_limits() {
    let law = law();
    let wish = |free: f64| Wish { free, flow: free.clamp(25.0, 65.0) };
    let hour = Duration::from_secs(3_600);
    let after = |integral, free, room| law.integrate(integral, &wish(free), room, 20.0, hour);
    assert!(near(after(0.0, 40.0, 19.8), 0.2) && near(after(1.0, 40.0, 20.3), 0.7));
    assert!(near(after(0.0, 40.0, 12.0), 0.5) && near(after(0.0, 40.0, 30.0), -0.5), "far from the target");
    assert!(near(after(2.0, 65.0, 19.8), 2.0) && near(after(2.0, 65.0, 20.2), 1.8), "at the upper limit");
    assert!(near(after(2.0, 25.0, 20.2), 2.0) && near(after(2.0, 25.0, 19.8), 2.2), "at the lower limit");
    assert!(near(after(9.9, 40.0, 12.0), 10.0) && near(after(-10.0, 40.0, 30.0), -10.0));
    assert!(near(law.bound_integral(f64::NAN), 0.0));
}

#[test]
fn low_pass_that_begins_with_a_mean_forgets_its_first_input() {
    let hour = Duration::from_secs(3_600);
    let mut day = LowPass::beginning_with_a_mean(hour * 24);
    assert_eq!(day.value(), None);
    day.add(0.0, Duration::ZERO);
    for value in [10.0, 20.0, 30.0] {
        day.add(value, hour);
    }
    assert!(day.value().is_some_and(|value| near(value, 20.0)), "{day:?}");
    day.continue_from(15.0, hour * 24);
    day.add(40.0, hour);
    assert!(day.value().is_some_and(|value| near(value, 16.0)), "{day:?}");
}

#[test]
fn ramp_moves_half_a_kelvin_in_15_seconds() {
    let at = |seconds: u64| Monotonic(seconds * 1_000_000_000);
    let mut ramp = Ramp::begin(5_000, at(0));
    ramp.follow(5_049, 50, at(600));
    assert_eq!(ramp.centi(), 5_000, "too small a change");
    ramp.follow(6_000, 50, at(600));
    assert_eq!(ramp.centi(), 5_050, "a constant set-point accumulates one change");
    ramp.follow(6_000, 50, at(614));
    assert_eq!(ramp.centi(), 5_050, "too early");
    ramp.follow(4_000, 50, at(615));
    assert_eq!(ramp.centi(), 5_000);
}

proptest! {
    /// S7: for any inputs, the set-point stays within its limits and its rate.
    #[test]
    fn set_point_stays_within_its_limits_and_rate(
        steps in prop::collection::vec(
            (
                0u64..120_000,
                -40.0f64..40.0,
                prop::option::of(-10.0f64..40.0),
                0.0f64..100.0,
                0.0f64..100.0,
                0.0f64..1.0,
            ),
            1..60,
        ),
    ) {
        let law = law();
        let mut now = Monotonic(0);
        let mut ramp: Option<Ramp> = None;
        let mut history = vec![];
        let mut integral = 0.0;
        for (passed_ms, outdoor, room, average, asked, share) in steps {
            now = now.after(Duration::from_millis(passed_ms));
            let wish = law.wish(outdoor, room, 0.1, 20.0, integral);
            let hour = LastHour { average, asked, share };
            if let Some(room) = room {
                integral = law.integrate(integral, &wish, room, 20.0, Duration::from_millis(passed_ms * 60));
                prop_assert!((-10.0..=10.0).contains(&integral));
            }
            let aim = law.aim(&wish, law.correction(Some(&hour)));
            let ramp = ramp.get_or_insert(Ramp::begin(aim, now));
            ramp.follow(aim, 50, now);
            prop_assert!((2_500..=6_500).contains(&ramp.centi()));
            history.push((now, ramp.centi()));
        }
        for (index, (then, before)) in history.iter().enumerate() {
            for (at, after) in &history[index..] {
                // 2 K/min, plus the one accumulated change.
                let allowed = i64::try_from(at.since(*then).as_millis()).unwrap() * 200 / 60_000 + 51;
                prop_assert!((after - before).abs() <= allowed, "{before} to {after}");
            }
        }
    }
}

/// A house and a boiler, each of first order: the law neither oscillates nor diverges.
#[test]
fn simple_house_reaches_and_keeps_its_target() {
    const STEP_S: u32 = 15;
    let law = law();
    let (mut room, mut flow) = (16.0, 30.0);
    let outdoor = 0.0;
    let mut ramp: Option<Ramp> = None;
    let mut integral = 0.0;
    let (mut flows, mut asks, mut rooms) = (vec![], vec![], vec![]);
    for step in 0..3 * 86_400 / STEP_S {
        let now = Monotonic(u64::from(step) * u64::from(STEP_S) * 1_000_000_000);
        let wish = law.wish(outdoor, Some(room), 0.1, 20.0, integral);
        integral = law.integrate(integral, &wish, room, 20.0, Duration::from_secs(STEP_S.into()));
        let last = |values: &[f64]| {
            let tail = &values[values.len().saturating_sub(240)..];
            tail.iter().sum::<f64>() / f64::from(u32::try_from(tail.len()).unwrap())
        };
        let hour = (step > 0).then(|| LastHour { average: last(&flows), asked: last(&asks), share: 1.0 });
        let aim = law.aim(&wish, law.correction(hour.as_ref()));
        let ramp = ramp.get_or_insert(Ramp::begin(aim, now));
        ramp.follow(aim, 50, now);
        // The boiler delivers 2 K less than asked; 0.5 kW/K of radiator, 0.3 kW/K of loss, 8 kWh/K of house.
        let asked = celsius(ramp.centi());
        flow += (asked - 2.0 - flow) * f64::from(STEP_S) / 300.0;
        room += (0.5 * (flow - room) - 0.3 * (room - outdoor) * 2.0) * f64::from(STEP_S) / (8.0 * 3_600.0);
        flows.push(flow);
        asks.push(asked);
        rooms.push(room);
    }
    let day = &rooms[rooms.len() - 5_760..];
    let (low, high) = day.iter().fold((f64::MAX, f64::MIN), |(low, high), room| (room.min(low), room.max(high)));
    assert!((low - 20.0).abs() < 0.2 && (high - 20.0).abs() < 0.2, "{low} to {high}");
    assert!(high - low < 0.1, "it oscillates: {low} to {high}");
}

fn celsius(centi: i64) -> f64 {
    crate::published::celsius(centi)
}
