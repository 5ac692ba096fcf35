use alloc::vec;

use thermowell_wire::Slot;
use thermowell_wire::batch::ClockQuality;

use super::*;
use crate::controller::{self, Controller, Input};
use crate::testing;

const SECOND: u64 = 1_000_000_000;

fn settings() -> Settings {
    Settings { boiler: "c1".parse().unwrap(), flow: (25.0, 65.0), speed: 1, frozen: true }
}

fn now(second: u64) -> Now {
    let utc = Utc(i64::try_from((1_767_754_800 + second) * SECOND).unwrap());
    Now { monotonic: Monotonic((second + 5) * SECOND), utc, clock: ClockQuality::Synced }
}

/// Runs all phases; `controller` gets the published messages and returns its leases.
fn play(mut controller: impl FnMut(Now, &[Effect]) -> Vec<Lease>) -> Kit {
    let mut kit = Kit::new(settings());
    for second in 0..2_000 {
        let (now, mut effects) = (now(second), vec![]);
        if !kit.step(now, &mut effects) {
            return kit;
        }
        for lease in controller(now, &effects) {
            kit.receive(now.monotonic, Received { lease: Ok(&lease), has_expectation: true });
        }
    }
    panic!("the kit does not end");
}

fn failed(kit: &Kit) -> Vec<Check> {
    kit.findings()
        .into_iter()
        .filter(|finding| finding.verdict != Verdict::Passed)
        .map(|finding| finding.check)
        .collect()
}

fn ours() -> Controller {
    let law = testing::law();
    let freshness = FreshnessLimits::at_speed(1);
    let (boiler, sources) = (settings().boiler, vec![]);
    Controller::new(controller::Settings { boiler, instance: "ours".into(), law, freshness, sources })
}

#[test]
fn our_controller_conforms() {
    let mut controller = ours();
    let kit = play(|now, published| {
        let mut effects_of_ours = vec![];
        for effect in published {
            match effect {
                Effect::State(state) => controller.step(now, Input::State(state), &mut effects_of_ours),
                Effect::Status(status) => controller.step(now, Input::Status(status), &mut effects_of_ours),
            }
        }
        if controller.wake_at().is_some_and(|at| at <= now.monotonic) {
            controller.step(now, Input::Wake, &mut effects_of_ours);
        }
        let mut leases = vec![];
        for effect in effects_of_ours {
            if let controller::Effect::Lease(lease) = effect {
                leases.push(*lease);
            }
        }
        leases
    });
    assert_eq!(failed(&kit), [], "{:#?}", kit.findings());
    assert!(kit.conforms());
}

fn lease(slot: Slot, flow: f64) -> Lease {
    let (demand, instance) = (Demand::Heat, String::from("toy"));
    Lease { demand, flow, lease_s: 60, based_on: slot, instance, created_at: 0.0, version: 1 }
}

/// The newest published state.
fn newest(published: &[Effect]) -> Option<State> {
    published.iter().find_map(|effect| match effect {
        Effect::State(state) => Some((**state).clone()),
        Effect::Status(_) => None,
    })
}

#[test]
fn controller_that_always_asks_fails() {
    let mut slot = Slot::new(BOOT, 0);
    let kit = play(|_, published| {
        slot = newest(published).map_or(slot, |state| state.slot);
        vec![lease(slot, 40.0)]
    });
    let expected =
        [Check::Ancient, Check::Stale, Check::Sensor, Check::Mixed, Check::Lockout, Check::Silence, Check::Frozen];
    assert_eq!(failed(&kit), expected);
    assert!(!kit.conforms());
}

#[test]
fn silent_controller_or_expired_leases_fail() {
    assert_eq!(failed(&play(|_, _| vec![])).first(), Some(&Check::Asks));
    let mut asked = 0;
    let kit = play(|now, published| {
        let fresh = newest(published).filter(|state| now.utc.unix_seconds() - state.stamp < 1.0);
        let due = fresh.filter(|_| asked == 0);
        asked += u32::from(due.is_some());
        due.map(|state| lease(state.slot, 40.0)).into_iter().collect()
    });
    assert!([Check::Renews, Check::ComesBack].iter().all(|check| failed(&kit).contains(check)));
    assert!(!failed(&kit).contains(&Check::Asks));
}

#[test]
fn invalid_leases_fail_their_check() {
    let good = lease(Slot::new(BOOT, 100_000), 40.0);
    let of = |lease: Lease| Ok::<_, &str>(lease);
    for (received, has_expectation, check) in [
        (of(Lease { flow: 65.1, ..good.clone() }), true, Check::Limits),
        (of(Lease { flow: f64::NAN, ..good.clone() }), true, Check::Limits),
        (of(Lease { lease_s: 121, ..good.clone() }), true, Check::Limits),
        (of(Lease { flow: 0.0, ..good.clone() }), true, Check::NoZero),
        (of(Lease { based_on: Slot::new(Boot(7), 100_000), ..good.clone() }), true, Check::BasedOn),
        (of(Lease { based_on: Slot::new(BOOT, 200_000), ..good.clone() }), true, Check::BasedOn),
        (of(Lease { based_on: Slot::new(BOOT, 99_399), ..good.clone() }), true, Check::BasedOn),
        (of(good.clone()), false, Check::Order),
        (Err("no lease"), true, Check::Readable),
        (of(Lease { instance: "another".into(), ..good.clone() }), true, Check::OneAuthor),
    ] {
        let mut kit = Kit::new(settings());
        kit.receive(Monotonic(1), Received { lease: Ok(&good), has_expectation: true });
        assert!(kit.findings().iter().all(|finding| finding.verdict != Verdict::Failed));
        kit.receive(Monotonic(2), Received { lease: received.as_ref().map_err(|error| *error), has_expectation });
        let found = kit.findings().into_iter().find(|finding| finding.check == check).unwrap();
        assert_eq!((found.verdict, found.breaches), (Verdict::Failed, 1), "{received:?}");
    }
    let mut kit = Kit::new(settings());
    kit.receive(
        Monotonic(1),
        Received { lease: Ok(&Lease { demand: Demand::None, flow: 0.0, ..good }), has_expectation: true },
    );
    assert!(kit.findings().iter().all(|finding| finding.verdict != Verdict::Failed), "no heat needs no flow");
}

#[test]
fn release_is_always_allowed() {
    let release = Lease { lease_s: 0, ..lease(Slot::new(BOOT, 0), 40.0) };
    let kit = play(|_, _| vec![release.clone()]);
    assert!(!failed(&kit).contains(&Check::Ancient) && !failed(&kit).contains(&Check::Frozen));
}
