//! Leases: which requests are accepted, and for how long.

use proptest::prelude::*;
use thermowell_wire::line::{Demand, Outcome, Refusal, Setpoint, ToDevice, ToGateway};
use thermowell_wire::{Boot, CentiCelsius};

use super::{BOOT, Bench, SECOND_US};
use crate::Event;

fn setpoint(n: u32, flow: i16, lease_s: u16) -> Setpoint {
    Setpoint { boot: BOOT, n, demand: Demand::Heat, flow: CentiCelsius(flow), lease_s }
}

fn ask(bench: &mut Bench, message: &ToDevice) -> Outcome {
    bench.send(message);
    let received = bench.run(50_000);
    received.into_iter().find_map(|it| if let ToGateway::Answer(it) = it { Some(it.outcome) } else { None }).unwrap()
}

#[test]
fn lease_is_clamped_to_limits_and_expires() {
    let mut bench = Bench::resumed(1_000);
    bench.board.outdoor = Some(CentiCelsius(0));
    bench.run(SECOND_US);
    let own_flow = bench.device.own_flow();
    for (n, asked, given) in [(1, 5_500, 5_500), (2, 30_000, 7_500), (3, -300, 2_500)] {
        let outcome = ask(&mut bench, &ToDevice::Setpoint(setpoint(n, asked, 60)));
        assert_eq!(outcome, Outcome::Accepted { flow: CentiCelsius(given), lease_s: 60 });
        assert_eq!(bench.status().setpoint.unwrap().flow, CentiCelsius(given));
    }
    let outcome = ask(&mut bench, &ToDevice::Setpoint(setpoint(4, 5_000, 50_000)));
    assert_eq!(outcome, Outcome::Accepted { flow: CentiCelsius(5_000), lease_s: 120 });
    let given_us = bench.now_us;
    while bench.device.take_event().is_some() {}

    bench.run(119 * SECOND_US);
    assert!(bench.device.is_leased());
    bench.run(SECOND_US);
    assert!(!bench.device.is_leased(), "expired after 120 s");
    let Some(Event::OwnControl { n: 4, device_us }) = bench.device.take_event() else { panic!("the end is reported") };
    assert!(device_us.abs_diff(given_us + 120 * SECOND_US) <= 150_000);
    assert_eq!(bench.status().setpoint, None);
    assert_eq!(bench.device.own_flow(), own_flow);
}

#[test]
fn lease_ends_on_time_despite_a_late_poll() {
    let mut bench = Bench::resumed(1_000);
    bench.run(SECOND_US);
    ask(&mut bench, &ToDevice::Setpoint(setpoint(1, 5_000, 60)));
    let given_us = bench.now_us;
    bench.device.take_event();
    bench.advance(3_600 * SECOND_US);
    let Some(Event::OwnControl { device_us, .. }) = bench.device.take_event() else { panic!("the end is reported") };
    assert!(device_us.abs_diff(given_us + 60 * SECOND_US) <= 150_000);
}

#[test]
fn foreign_boot_or_old_number_is_refused() {
    let mut bench = Bench::resumed(1_000);
    let refused = |bench: &mut Bench, message: ToDevice, refusal| {
        assert_eq!(ask(bench, &message), Outcome::Refused(refusal), "{message:?}");
    };
    let stale = Setpoint { boot: Boot(BOOT.0 ^ (1 << 40)), ..setpoint(9, 5_000, 60) };
    refused(&mut bench, ToDevice::Setpoint(stale), Refusal::Boot);
    ask(&mut bench, &ToDevice::Setpoint(setpoint(5, 5_000, 60)));
    refused(&mut bench, ToDevice::Setpoint(setpoint(5, 6_000, 60)), Refusal::Order);
    refused(&mut bench, ToDevice::Release { boot: BOOT, n: 4 }, Refusal::Order);
    refused(&mut bench, ToDevice::Release { boot: stale.boot, n: 6 }, Refusal::Boot);
    refused(&mut bench, ToDevice::Setpoint(setpoint(6, 6_000, 0)), Refusal::Lease);
    refused(&mut bench, ToDevice::Reset { boot: BOOT, n: 7, fault: 1 }, Refusal::NoSuchFault);
    assert_eq!(bench.status().setpoint.unwrap().n, 5, "refusals leave the lease unchanged");
    assert!(matches!(ask(&mut bench, &ToDevice::Release { boot: BOOT, n: 8 }), Outcome::Accepted { lease_s: 0, .. }));
    assert!(!bench.device.is_leased());
}

proptest! {
    #[test]
    fn accepted_leases_stay_within_limits(requests in prop::collection::vec(
        (any::<u32>(), any::<bool>(), any::<i16>(), any::<u16>(), 0..40_u64), 1..30))
    {
        let mut bench = Bench::resumed(100);
        bench.board.flow = Some((CentiCelsius(4_000), thermowell_wire::Quality::Ok));
        let mut newest = None;
        for (n, ours, flow, lease_s, wait_s) in requests {
            let boot = if ours { BOOT } else { Boot(1) };
            let rises = newest.is_none_or(|newest| n > newest);
            let outcome = ask(&mut bench, &ToDevice::Setpoint(Setpoint { boot, ..setpoint(n, flow, lease_s) }));
            match outcome {
                Outcome::Accepted { flow, lease_s } => {
                    prop_assert!(ours && rises && (1..=120).contains(&lease_s));
                    prop_assert!((2_500..=7_500).contains(&flow.0));
                }
                Outcome::Refused(_) => prop_assert!(!ours || !rises || lease_s == 0),
            }
            if ours && rises {
                newest = Some(n);
            }
            bench.advance(wait_s * SECOND_US);
        }
        bench.advance(121 * SECOND_US);
        prop_assert!(!bench.device.is_leased());
    }
}
