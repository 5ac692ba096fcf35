//! Control of burner and pump.

use thermowell_wire::line::{BoilerState, Demand, FaultKind, Setpoint, ToDevice};
use thermowell_wire::units::MINUTE_US;
use thermowell_wire::{CentiCelsius, Quality};

use super::{BOOT, Bench, SECOND_US};
use crate::{Actuators, Config, Diverter};

fn at(flow: i16) -> Bench {
    let mut bench = Bench::resumed(1_000);
    bench.board.outdoor = Some(CentiCelsius(0));
    bench.board.flow = Some((CentiCelsius(flow), Quality::Ok));
    bench
}

fn burns(bench: &Bench) -> bool {
    bench.device.actuators().burner_permille > 0
}

#[test]
fn first_start_waits_three_minutes_even_for_hot_water() {
    for hot_water in [false, true] {
        let mut bench = at(3_000);
        bench.board.hot_water = hot_water;
        bench.advance(3 * MINUTE_US - 200_000);
        assert!(!burns(&bench));
        assert_eq!(bench.status().state, BoilerState::Waiting, "purging");
        bench.advance(3_500_000);
        assert!(!burns(&bench), "still purging");
        assert_eq!(bench.status().state, BoilerState::Firing);
        let Actuators { burner_permille, pump, diverter, .. } = *bench.device.actuators();
        assert!((200..=1_000).contains(&burner_permille) && pump);
        assert_eq!(diverter == Diverter::HotWater, hot_water);
    }
}

#[test]
fn burner_holds_set_point_with_hysteresis_and_off_time() {
    let mut bench = at(3_000);
    bench.advance(4 * MINUTE_US);
    let target = bench.device.own_flow().0;
    let flow = |bench: &mut Bench, flow| bench.board.flow = Some((CentiCelsius(flow), Quality::Ok));
    flow(&mut bench, target + 490);
    bench.advance(2 * MINUTE_US);
    assert_eq!(bench.device.actuators().burner_permille, 200, "at minimum power, still firing");
    flow(&mut bench, target + 510);
    bench.advance(SECOND_US);
    assert_eq!(bench.status().state, BoilerState::Waiting);
    flow(&mut bench, target - 310);
    bench.advance(2 * MINUTE_US);
    assert!(!burns(&bench), "minimum off time of three minutes");
    bench.advance(MINUTE_US + 6 * SECOND_US);
    assert!(burns(&bench));
    assert_eq!(bench.status().burner_starts, 2);
}

#[test]
fn frost_and_hot_water_override_a_lease_without_demand() {
    let mut bench = at(3_000);
    bench.advance(4 * MINUTE_US);
    let mut n = 0;
    let mut none = |bench: &mut Bench| {
        n += 1;
        let flow = CentiCelsius(0);
        bench.send(&ToDevice::Setpoint(Setpoint { boot: BOOT, n, demand: Demand::None, flow, lease_s: 120 }));
        bench.advance(SECOND_US);
    };
    none(&mut bench);
    assert!(!burns(&bench));
    assert_eq!(bench.status().state, BoilerState::Overrun);
    bench.advance(100 * SECOND_US);
    none(&mut bench);
    bench.advance(90 * SECOND_US);
    assert_eq!(bench.status().state, BoilerState::Standby);

    none(&mut bench);
    bench.board.hot_water = true;
    bench.advance(6 * SECOND_US);
    assert!(burns(&bench) && bench.device.actuators().diverter == Diverter::HotWater);
    bench.board.hot_water = false;
    bench.advance(SECOND_US);
    assert!(!burns(&bench));

    bench.board.flow = Some((CentiCelsius(499), Quality::Ok));
    for _ in 0..2 {
        none(&mut bench);
        bench.advance(100 * SECOND_US);
    }
    assert!(burns(&bench) && bench.device.is_leased(), "frost");
    bench.board.flow = Some((CentiCelsius(1_501), Quality::Ok));
    none(&mut bench);
    assert!(!burns(&bench));
}

#[test]
fn overheat_or_sensor_fault_stops_burner() {
    for (flow, quality, fault) in [
        (8_800, Quality::Ok, None),
        (9_500, Quality::Ok, Some(FaultKind::Overheat)),
        (3_000, Quality::Open, Some(FaultKind::Sensor)),
    ] {
        // A configuration whose hot water is hotter than the limit allows.
        let config = Config { hot_water_flow: CentiCelsius(9_400), catch_up_slots: u64::MAX, ..Config::default() };
        let mut bench = Bench::with(1_000, config);
        bench.send(&ToDevice::Resume { boot: BOOT, from: 0 });
        bench.board.flow = Some((CentiCelsius(3_000), Quality::Ok));
        bench.board.hot_water = true;
        bench.advance(4 * MINUTE_US);
        assert!(burns(&bench));
        bench.board.flow = Some((CentiCelsius(flow), quality));
        bench.advance(200_000);
        assert!(!burns(&bench));
        let status = bench.status();
        assert_eq!(status.fault.map(|it| (it.kind, it.boot, it.counter)), fault.map(|kind| (kind, BOOT, 1)));
        assert_eq!(status.state == BoilerState::Blocked, fault.is_some());
        bench.board.flow = Some((CentiCelsius(5_000), Quality::Ok));
        bench.advance(SECOND_US);
        assert_eq!(bench.status().fault, None, "clears by itself");
    }
}
