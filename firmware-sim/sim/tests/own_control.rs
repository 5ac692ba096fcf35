//! The boiler's own control, which heats when the gateway is gone: what it burns in summer, in mild weather, without an
//! outdoor sensor, and with a room thermostat's contact.

use std::thread;

use firmware_sim::bench::Bench;
use firmware_sim::plant::Plant;
use firmware_sim::scenario::{BoilerScenario, Scenario};
use thermowell_device::{Actuators, NoHeat};
use thermowell_wire::CentiCelsius;
use thermowell_wire::line::{BoilerState, Demand, Outcome};
use thermowell_wire::units::{DAY_US, HOUR_US, MINUTE_US};

const NO_SENSOR: &str = "[[senses.outdoor]]\nat = \"0 s\"\nfor = \"400h\"\ncelsius = -127\n";

/// A house without hot water, whose simulation begins at `hour`.
fn house(hour: u32, mean_c: i32, more: &str) -> BoilerScenario {
    let text = format!("starts_at = \"{hour}h\"\n[weather]\nmean_c = {mean_c}\n[hot_water]\ndraws_per_day = 0\n{more}");
    Scenario::parse("own control", &text).expect("a scenario").boiler(&"b1".parse().expect("an id"))
}

/// A week on own control, beside the same house without heating.
#[derive(Debug, Default)]
struct Week {
    /// Gas of each day.
    gas_j: Vec<f64>,
    /// Largest difference of the room to the unheated house on each day, in K.
    warmer_k: Vec<f64>,
    /// Minutes with the pump running, after the second day.
    pumped_min: u32,
    states: Vec<BoilerState>,
}

fn week(scenario: &BoilerScenario) -> Week {
    let mut bench = Bench::new(scenario);
    let mut free = Plant::new(&scenario.plant, scenario.seed_of("plant"));
    let (mut week, mut before_j) = (Week::default(), 0.0);
    for day in 0..7 {
        let mut warmer_k = 0.0_f64;
        for minute in 1..=24 * 60 {
            let now_us = day * DAY_US + minute * MINUTE_US;
            bench.run_to(now_us);
            free.step_to(now_us, &Actuators::default());
            warmer_k = warmer_k.max((bench.signals().room_c - free.signals().room_c).abs());
            week.pumped_min += u32::from(day >= 2 && bench.device().actuators().pump);
            let state = bench.status().state;
            if day >= 2 && !week.states.contains(&state) {
                week.states.push(state);
            }
        }
        let gas_j = bench.account().gas_j;
        week.gas_j.push(gas_j - before_j);
        week.warmer_k.push(warmer_k);
        before_j = gas_j;
    }
    week
}

/// Weeks at several mean outdoor temperatures.
fn weeks<const N: usize>(hour: u32, means: [i32; N]) -> Vec<(i32, Week)> {
    thread::scope(|scope| {
        let runs = means.map(|mean_c| (mean_c, scope.spawn(move || week(&house(hour, mean_c, "")))));
        runs.into_iter().map(|(mean_c, run)| (mean_c, run.join().expect("a bench does not panic"))).collect()
    })
}

#[test]
fn summer_week_burns_nothing_and_the_house_runs_free() {
    for (mean_c, week) in weeks(12, [15, 18, 20, 22]) {
        assert!(week.gas_j.iter().all(|gas_j| *gas_j == 0.0), "{mean_c} °C: {week:?}");
        assert!(week.warmer_k.iter().all(|warmer_k| *warmer_k < 0.1), "{mean_c} °C: {week:?}");
        assert!((4..=6).contains(&week.pumped_min), "{mean_c} °C: a minute a day: {week:?}");
        let idle = [BoilerState::Standby, BoilerState::Overrun];
        assert!(week.states.iter().all(|state| idle.contains(state)), "{mean_c} °C: {week:?}");
    }
}

/// The mean since the start is that of the cold hours at first, so the boiler heats in the first morning.
#[test]
fn start_on_a_cold_summer_morning_is_forgotten_in_two_days() {
    let [(_, week)] = <[_; 1]>::try_from(weeks(6, [15])).unwrap();
    assert!(week.gas_j[0] > 1e6, "{week:?}");
    assert!(week.gas_j[2..].iter().all(|gas_j| *gas_j == 0.0), "{week:?}");
    assert!(week.warmer_k[6] < 0.1 && week.warmer_k[2] > week.warmer_k[4], "{week:?}");
}

#[test]
fn mild_week_is_heated() {
    for (mean_c, week) in weeks(12, [5, 12]) {
        let least_j = if mean_c == 5 { 1e8 } else { 2e7 };
        assert!(week.gas_j[1..].iter().all(|gas_j| *gas_j > least_j), "{mean_c} °C: {week:?}");
        assert!(week.warmer_k[6] > 2.0, "{mean_c} °C: {week:?}");
    }
}

#[test]
fn without_a_sensor_heat_ends_after_three_days_until_a_lease() {
    let mut bench = Bench::new(&house(6, 20, NO_SENSOR));
    bench.run_to(3 * DAY_US - MINUTE_US);
    let three_days_j = bench.account().gas_j;
    assert!(three_days_j > 1e8, "{three_days_j}");
    assert!(bench.device().own_heat().is_ok());
    bench.run_to(3 * DAY_US + MINUTE_US);
    let ended_j = bench.account().gas_j;
    assert_eq!(bench.device().own_heat(), Err(NoHeat::Unguided));
    bench.run_to(4 * DAY_US);
    assert_eq!(bench.account().gas_j, ended_j);
    assert_eq!(bench.status().state, BoilerState::Standby);
    let given = bench.ask(Demand::None, CentiCelsius(3_000), 60);
    assert!(matches!(given, Outcome::Accepted { .. }));
    bench.run_to(4 * DAY_US + 2 * HOUR_US);
    assert!(bench.account().gas_j > ended_j, "the lease has ended, and the time begins again");
}

#[test]
fn room_contact_opens_and_closes() {
    let mut bench = Bench::new(&house(6, 5, "[device]\nroom_contact_c = 20\n"));
    let (mut closed, mut opened_c, mut closed_c) = (false, Vec::new(), Vec::new());
    for minute in 1..=3 * 24 * 60 {
        bench.run_to(minute * MINUTE_US);
        let (heat, room_c) = (bench.device().own_heat(), bench.signals().room_c);
        assert!(heat.is_ok() || heat == Err(NoHeat::RoomContact));
        match (closed, heat.is_ok()) {
            (false, true) => closed_c.push(room_c),
            (true, false) => opened_c.push(room_c),
            (false, false) | (true, true) => {}
        }
        closed = heat.is_ok();
    }
    assert!(opened_c.len() > 3 && closed_c.len() > 3, "{opened_c:?} {closed_c:?}");
    // Within a minute the room moves by less than 0.2 K.
    assert!(opened_c.iter().all(|room_c| (20.5..20.7).contains(room_c)), "{opened_c:?}");
    assert!(closed_c.iter().all(|room_c| (19.3..19.5).contains(room_c)), "{closed_c:?}");
}
