//! The sequence of fan, gas and pump, and the turns of tap and heating.

use std::vec::Vec;

use thermowell_wire::line::{BoilerState, FaultKind, Outcome};

use super::safety::{MINUTE, Rig, config};
use crate::{Diverter, Panel};

const SECOND: u64 = 10;
const HOUR: u64 = 60 * MINUTE;

#[test]
fn idle_pump_is_exercised_for_a_minute_a_day() {
    let mut rig = Rig::new();
    rig.board.inputs.panel = Panel::Off;
    let mut ran = Vec::new();
    for step in 0..50 * HOUR {
        rig.steps(1);
        if rig.pumps() {
            ran.push(step);
            assert_eq!((rig.status().state, rig.burns()), (BoilerState::Overrun, false));
        }
    }
    assert_eq!(ran.len(), 2 * 600, "two exercises");
    assert!(ran[599] - ran[0] == 599 && ran[600] - ran[599] == 24 * HOUR, "{} {}", ran[599], ran[600]);
    rig.board.inputs.pressure_mbar = 100;
    for _ in 0..26 * HOUR {
        rig.steps(1);
        assert!(!rig.pumps(), "without water");
    }
    rig.board.inputs.pressure_mbar = 1_500;
    rig.steps(2);
    assert!(rig.pumps(), "as soon as there is water");
    rig.board.inputs.pressure_mbar = 100;
    rig.steps(2);
    assert!(!rig.pumps(), "not even to the end of the exercise");
}

#[test]
fn endless_draw_alternates_with_heating() {
    let mut rig = Rig::burning();
    rig.board.hot_water = true;
    let mut turns = Vec::new();
    for _ in 0..2 * HOUR {
        rig.steps(1);
        let diverter = rig.device.actuators().diverter;
        match turns.last_mut() {
            Some((last, steps)) if *last == diverter => *steps += 1,
            None | Some(_) => turns.push((diverter, 1_u64)),
        }
    }
    let half = 30 * MINUTE;
    assert_eq!(turns[0].0, Diverter::Heating, "the reading is used one step later");
    assert_eq!(turns[1..4], [(Diverter::HotWater, half), (Diverter::Heating, half), (Diverter::HotWater, half)]);
    rig.steps(35 * MINUTE);
    assert_eq!(rig.device.actuators().diverter, Diverter::Heating);
    rig.board.hot_water = false;
    rig.steps(2);
    rig.board.hot_water = true;
    rig.steps(20 * MINUTE);
    assert_eq!(rig.device.actuators().diverter, Diverter::HotWater, "the next draw has a full turn");
    // Without a demand of heating hot water keeps its turn.
    rig.board.inputs.panel = Panel::Off;
    rig.steps(SECOND);
    for _ in 0..2 * HOUR {
        rig.steps(1);
        assert_eq!(rig.device.actuators().diverter, Diverter::HotWater);
    }
}

#[test]
fn flame_begins_at_the_start_load() {
    let mut rig = Rig::new();
    let mut powers = Vec::new();
    while powers.len() < 100 {
        rig.steps(1);
        let power = rig.device.actuators().burner_permille;
        if power > 0 || !powers.is_empty() {
            powers.push(power);
        }
        assert!(rig.device.actuators().fan || power == 0, "gas without the fan");
    }
    let start = powers.iter().take_while(|power| **power == 500).count();
    assert_eq!(start, 51, "until five seconds after the flame");
    assert!(powers[start..].iter().all(|power| *power != 500), "then it modulates: {powers:?}");
    assert_eq!(config().start_permille, 500);
}

#[test]
fn missing_air_is_a_failed_ignition() {
    let mut rig = Rig::new();
    rig.board.inputs.air_proof = Some(false);
    for _ in 0..MINUTE {
        rig.steps(1);
        assert!(!rig.burns());
    }
    let fault = rig.status().fault.unwrap();
    assert_eq!((fault.kind, fault.lockout), (FaultKind::Ignition, true));
    rig.board.inputs.air_proof = Some(true);
    assert!(matches!(rig.reset(fault.counter), Outcome::Accepted { .. }));
    rig.steps(10 * SECOND);
    assert!(rig.burns());
    rig.board.inputs.air_proof = Some(false);
    rig.steps(6);
    assert!(!rig.burns(), "air lost");
}
