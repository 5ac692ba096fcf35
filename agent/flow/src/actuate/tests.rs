use alloc::vec::Vec;

use proptest::prelude::*;
use thermowell_wire::line::{ActiveSetpoint, Demand, Refusal, Status};
use thermowell_wire::{Boot, CentiCelsius};

use super::*;
use crate::testing;

const BOOT: Boot = Boot(0x0000_0007_1234_5678);
const OTHER: Boot = Boot(0x0000_0008_1234_5678);
const LIMIT: Duration = Duration::from_secs(5);

fn session(boot: Boot, next: u64) -> Session {
    Session { hello: testing::hello(boot, next), next, status: None }
}

fn clock(next: u64) -> DeviceTime {
    DeviceTime(next * 10_000)
}

fn lease(boot: Boot, seq: u64, lease_s: u16) -> Lease {
    Lease {
        demand: Demand::Heat,
        flow: 52.25,
        lease_s,
        based_on: Slot::new(boot, seq),
        instance: "c1".into(),
        created_at: 0.0,
        version: 1,
    }
}

fn number(message: ToDevice) -> u32 {
    match message {
        ToDevice::Setpoint(Setpoint { n, .. }) | ToDevice::Release { n, .. } | ToDevice::Reset { n, .. } => n,
        ToDevice::Identify | ToDevice::Resume { .. } | ToDevice::Ping { .. } => panic!("{message:?} has no number"),
    }
}

fn ask(actuator: &mut Actuator, boot: Boot, next: u64, lease: &Lease) -> Result<ToDevice, Declined> {
    actuator.request(lease, Some(&session(boot, next)), Some(clock(next)))
}

#[test]
fn lease_is_sent_unchanged_and_a_release_as_release() {
    let mut actuator = Actuator::new(true, LIMIT);
    let asked = ask(&mut actuator, BOOT, 1_000, &lease(BOOT, 1_000, 60));
    let flow = CentiCelsius(5_225);
    assert_eq!(asked, Ok(ToDevice::Setpoint(Setpoint { boot: BOOT, n: 100, demand: Demand::Heat, flow, lease_s: 60 })));
    let released = ask(&mut actuator, BOOT, 1_000, &lease(BOOT, 1_000, 0));
    assert_eq!(released, Ok(ToDevice::Release { boot: BOOT, n: 101 }));
}

#[test]
fn stale_foreign_or_disabled_leases_are_declined() {
    let mut off = Actuator::new(false, LIMIT);
    assert_eq!(ask(&mut off, BOOT, 1_000, &lease(BOOT, 1_000, 60)), Err(Declined::ControlOff));
    let mut actuator = Actuator::new(true, LIMIT);
    let good = lease(BOOT, 1_000, 60);
    assert_eq!(actuator.request(&good, None, Some(clock(1_000))), Err(Declined::NoDevice));
    assert_eq!(actuator.request(&good, Some(&session(BOOT, 1_000)), None), Err(Declined::NoDevice));
    let based_on = Slot::new(OTHER, 1_000);
    assert_eq!(ask(&mut actuator, BOOT, 1_000, &lease(OTHER, 1_000, 60)), Err(Declined::OtherBoot { based_on }));
    for (seq, is_fresh) in [(499, false), (500, true), (1_000, true), (1_500, true), (1_501, false)] {
        let asked = ask(&mut Actuator::new(true, LIMIT), BOOT, 1_000, &lease(BOOT, seq, 60));
        let based_on = Slot::new(BOOT, seq);
        assert_eq!(asked.err(), (!is_fresh).then_some(Declined::Stale { based_on, newest: 1_000 }));
    }
    // The device's clock advances while its status is under way.
    let late = actuator.request(&lease(BOOT, 1_000, 60), Some(&session(BOOT, 1_000)), Some(clock(1_501)));
    assert!(matches!(late, Err(Declined::Stale { newest: 1_501, .. })), "{late:?}");
}

#[test]
fn replayed_or_overtaken_lease_is_declined() {
    let mut actuator = Actuator::new(true, LIMIT);
    ask(&mut actuator, BOOT, 1_000, &lease(BOOT, 900, 60)).unwrap();
    ask(&mut actuator, BOOT, 1_000, &lease(BOOT, 950, 0)).unwrap();
    let based_on = Slot::new(BOOT, 900);
    let again = ask(&mut actuator, BOOT, 1_000, &lease(BOOT, 900, 60));
    assert_eq!(again, Err(Declined::Overtaken { based_on, sent: 950 }));
    ask(&mut actuator, BOOT, 1_000, &lease(BOOT, 950, 60)).expect("two decisions on one state are in order");
    ask(&mut actuator, OTHER, 20, &lease(OTHER, 10, 60)).expect("another boot starts from zero");
}

#[test]
fn numbers_exceed_all_seen_in_this_boot() {
    let mut actuator = Actuator::new(true, LIMIT);
    let mut active = session(BOOT, 1_000);
    let setpoint = ActiveSetpoint { n: 700, demand: Demand::Heat, flow: CentiCelsius(5_000), lease_left_ms: 9 };
    active.status = Some(Status { setpoint: Some(setpoint), ..testing::line_status(BOOT, 1_000) });
    let asked = actuator.request(&lease(BOOT, 1_000, 60), Some(&active), Some(clock(1_000)));
    assert_eq!(asked.map(number), Ok(701));
    let outcome = Outcome::Refused(Refusal::Order);
    assert!(actuator.answer(&Answer { boot: BOOT, n: 900, outcome }, Some(&active)).is_some());
    let asked = actuator.request(&lease(BOOT, 1_000, 60), Some(&active), Some(clock(1_000)));
    assert_eq!(asked.map(number), Ok(901));
    assert_eq!(ask(&mut actuator, OTHER, 20, &lease(OTHER, 20, 60)).map(number), Ok(2), "numbers are per boot");
}

#[test]
fn answer_is_reported_on_change_and_for_this_boot_only() {
    let mut actuator = Actuator::new(true, LIMIT);
    let session = session(BOOT, 1_000);
    let accepted = Outcome::Accepted { flow: CentiCelsius(5_000), lease_s: 60 };
    let refused = Outcome::Refused(Refusal::Panel);
    let mut reported = Vec::new();
    for (n, outcome) in [(1, accepted), (2, accepted), (3, refused), (4, refused), (5, accepted)] {
        reported.extend(actuator.answer(&Answer { boot: BOOT, n, outcome }, Some(&session)).map(|answer| answer.n));
    }
    assert_eq!(reported, [1, 3, 5]);
    assert_eq!(actuator.answer(&Answer { boot: OTHER, n: 9, outcome: refused }, Some(&session)), None);
    assert_eq!(actuator.answer(&Answer { boot: BOOT, n: 9, outcome: refused }, None), None);
}

#[derive(Clone, Debug)]
enum Step {
    /// Slots pass.
    Pass(u64),
    /// The device restarts.
    Reboot,
    /// The agent restarts and knows the device's status.
    Restart,
    /// A lease on a slot this far behind the newest (negative: ahead); true for the previous boot.
    Ask(i64, bool),
    /// An earlier lease is delivered again.
    Replay(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u64..2_000).prop_map(Step::Pass),
        1 => Just(Step::Reboot),
        1 => Just(Step::Restart),
        6 => ((-700_i64..700), prop::bool::weighted(0.1)).prop_map(|(behind, old)| Step::Ask(behind, old)),
        3 => any::<prop::sample::Index>().prop_map(Step::Replay),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// S7 at the agent: requests on the line are for the device's boot, fresh, in the order of the slots on which they
    /// are based, and have numbers that the device has not seen.
    #[test]
    fn only_fresh_and_new_leases_reach_the_line(steps in steps()) {
        let mut actuator = Actuator::new(true, LIMIT);
        let (mut boot, mut next) = (1_u32, 1_000_u64);
        let (mut asked, mut newest_n, mut newest_slot) = (Vec::new(), 0_u32, 0_u64);
        for step in steps {
            let name = Boot::new(boot, 7);
            let lease = match step {
                Step::Pass(slots) => {
                    next += slots;
                    continue;
                }
                Step::Reboot => {
                    (boot, next) = (boot + 1, 10);
                    (newest_n, newest_slot) = (0, 0);
                    continue;
                }
                Step::Restart => {
                    // The device's clock replaces the lost state: a while later its numbers are higher.
                    actuator = Actuator::new(true, LIMIT);
                    (next, newest_slot) = (next + 1_000, 0);
                    continue;
                }
                Step::Ask(behind, old) => {
                    let seq = next.saturating_add_signed(-behind);
                    lease(if old { Boot::new(boot - 1, 7) } else { name }, seq, 60)
                }
                Step::Replay(index) if asked.is_empty() => { let _: prop::sample::Index = index; continue }
                Step::Replay(index) => Lease::clone(index.get(&asked)),
            };
            let based_on = lease.based_on;
            let result = ask(&mut actuator, name, next, &lease);
            let may = based_on.boot == name && based_on.seq.abs_diff(next) <= 500 && based_on.seq >= newest_slot;
            prop_assert_eq!(result.is_ok(), may, "{:?} at {} of {:?}: {:?}", based_on, next, name, result);
            if let Ok(message) = result {
                let n = number(message);
                prop_assert!(n > newest_n, "{} after {}", n, newest_n);
                (newest_n, newest_slot) = (n, based_on.seq);
            }
            asked.push(lease);
        }
    }
}
