//! The boiler's own control: when it heats, and when it does not.

use std::vec;
use std::vec::Vec;

use thermowell_wire::CentiCelsius;
use thermowell_wire::line::{BoilerState, Demand, Outcome, Setpoint, ToDevice};

use super::safety::{MINUTE, Rig};
use crate::{Diverter, Event, NoHeat, Panel};

const SECOND: u64 = 10;
const HOUR: u64 = 60 * MINUTE;

/// A rig with this outdoor temperature, after its first minute.
fn outdoors(celsius: Option<i16>) -> Rig {
    let mut rig = Rig::new();
    rig.board.inputs.outdoor = celsius.map(|it| CentiCelsius(it * 100));
    rig.steps(MINUTE);
    rig
}

fn reasons(rig: &mut Rig) -> Vec<Option<NoHeat>> {
    let events = core::iter::from_fn(|| rig.device.take_event());
    events.filter_map(|it| if let Event::OwnHeat { withheld, .. } = it { Some(withheld) } else { None }).collect()
}

#[test]
fn heating_limit_stops_burner_and_pump() {
    let mut rig = outdoors(Some(20));
    assert!(!rig.burns() && !rig.pumps());
    assert_eq!(rig.status().state, BoilerState::Standby);
    assert_eq!(rig.device.own_heat(), Err(NoHeat::HeatingLimit));
    assert_eq!(rig.device.own_flow(), CentiCelsius(2_500), "the lower limit, as with the panel at off");
    assert_eq!(rig.device.outdoor_day(), Some(CentiCelsius(2_000)));

    let mut cold = outdoors(Some(14));
    assert!(cold.burns() && cold.pumps(), "below the limit");
    cold.board.inputs.outdoor = Some(CentiCelsius(3_000));
    cold.steps(2 * HOUR);
    assert!(!cold.burns() && !cold.pumps(), "the mean since the start is above it");
    assert_eq!(
        (reasons(&mut rig), reasons(&mut cold)),
        (vec![Some(NoHeat::HeatingLimit)], vec![Some(NoHeat::HeatingLimit)])
    );
}

#[test]
fn heating_limit_does_not_hold_back_lease_panel_or_tap() {
    let mut rig = outdoors(Some(20));
    assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
    rig.steps(10 * SECOND);
    assert!(rig.burns(), "the gateway has its own limit");
    rig.steps(MINUTE);
    assert!(!rig.burns() && !rig.device.is_leased());

    rig.board.inputs.panel = Panel::Flow(CentiCelsius(4_500));
    rig.steps(10 * SECOND);
    assert!(rig.burns(), "a person asks");
    assert_eq!(rig.device.own_flow(), CentiCelsius(4_500));
    rig.board.inputs.panel = Panel::Automatic;
    rig.steps(SECOND);
    assert!(!rig.burns());

    rig.board.hot_water = true;
    rig.steps(10 * SECOND);
    assert!(rig.burns() && rig.device.actuators().diverter == Diverter::HotWater);
    rig.board.hot_water = false;
    rig.flow(400);
    rig.steps(20 * SECOND);
    assert!(rig.burns() && rig.pumps(), "frost");
}

#[test]
fn without_outdoor_temperature_heat_ends_after_72_hours() {
    type Attend = fn(&mut Rig);
    let attends: [Attend; 4] = [
        |rig| assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. })),
        |rig| rig.board.inputs.panel = Panel::Flow(CentiCelsius(4_000)),
        |rig| rig.press(),
        |rig| {
            rig.board.inputs.outdoor = Some(CentiCelsius(0));
            rig.steps(SECOND);
            rig.board.inputs.outdoor = None;
        },
    ];
    let mut rig = outdoors(None);
    assert_eq!(rig.device.own_heat(), Ok(CentiCelsius(5_000)));
    rig.steps(72 * HOUR - MINUTE - SECOND);
    assert!(rig.burns());
    for attend in attends {
        rig.steps(2 * SECOND);
        assert!(!rig.burns());
        assert_eq!(rig.device.own_heat(), Err(NoHeat::Unguided));
        rig.steps(MINUTE);
        assert!(!rig.pumps());
        rig.flow(400);
        rig.steps(10 * SECOND);
        assert!(rig.burns(), "frost");
        rig.flow(3_000);
        rig.steps(SECOND);

        attend(&mut rig);
        // The lease ends, and the panel is set back.
        rig.steps(2 * MINUTE);
        rig.board.inputs.panel = Panel::Automatic;
        rig.steps(10 * SECOND);
        assert!(rig.burns());
        rig.steps(72 * HOUR - 2 * MINUTE - 11 * SECOND);
        assert!(rig.burns(), "the time begins again");
        rig.steps(2 * MINUTE + 11 * SECOND);
    }
    let ends = reasons(&mut rig).into_iter().filter(|it| *it == Some(NoHeat::Unguided)).count();
    assert_eq!(ends, 5);
}

#[test]
fn repeated_leases_keep_own_control_guided() {
    let mut rig = outdoors(None);
    for _ in 0..80 {
        assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
        rig.steps(HOUR);
    }
    assert_eq!(rig.device.own_heat(), Ok(CentiCelsius(5_000)));
}

#[test]
fn day_is_measured_during_leases_too() {
    let mut rig = outdoors(Some(0));
    rig.board.inputs.outdoor = Some(CentiCelsius(3_000));
    for _ in 0..60 {
        assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
        rig.steps(MINUTE - 1);
        assert!(rig.device.is_leased() && rig.burns());
    }
    assert!(rig.device.outdoor_day().is_some_and(|day| day > CentiCelsius(2_500)));
    rig.steps(MINUTE);
    assert!(!rig.burns(), "as soon as the last one ends");
}

#[test]
fn room_contact_decides_on_own_control_alone() {
    let mut rig = outdoors(None);
    assert!(rig.burns());
    rig.board.inputs.room_contact = Some(false);
    rig.steps(SECOND);
    assert!(!rig.burns());
    assert_eq!(rig.device.own_heat(), Err(NoHeat::RoomContact));
    assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
    rig.steps(10 * SECOND);
    assert!(rig.burns() && rig.device.is_leased(), "a lease is not the contact's");
    rig.steps(2 * MINUTE);
    assert!(!rig.burns() && !rig.pumps());
    rig.board.inputs.panel = Panel::Flow(CentiCelsius(4_000));
    rig.steps(10 * SECOND);
    assert!(rig.burns(), "a person asks");
    rig.board.inputs.panel = Panel::Automatic;
    rig.board.inputs.room_contact = Some(true);
    rig.steps(100 * HOUR);
    assert!(rig.burns(), "with a contact there is no limit in time");
    rig.board.inputs.outdoor = Some(CentiCelsius(2_000));
    rig.steps(SECOND);
    assert_eq!(rig.device.own_heat(), Err(NoHeat::HeatingLimit), "which holds with a closed contact too");
}

#[test]
fn lease_without_demand_in_summer_keeps_the_boiler_off() {
    let mut rig = outdoors(Some(20));
    let setpoint = rig.setpoint(5_000);
    rig.request(&ToDevice::Setpoint(Setpoint { demand: Demand::None, ..setpoint }));
    rig.steps(30 * SECOND);
    assert!(!rig.burns() && !rig.pumps() && rig.device.is_leased());
}
