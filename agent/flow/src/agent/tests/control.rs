//! Leases and the status.

use thermowell_wire::Occurrence;
use thermowell_wire::line::{Fault, FaultKind, Refusal};

use super::*;
use crate::published;

fn lease(based_on: u64, lease_s: u16) -> Lease {
    Lease {
        demand: Demand::Heat,
        flow: 52.25,
        lease_s,
        based_on: Slot::new(BOOT, based_on),
        instance: String::from("c1"),
        created_at: 0.0,
        version: 1,
    }
}

#[test]
fn leases_reach_the_device_with_rising_numbers() {
    let mut bench = Bench::running(settings(), 1_000, None);
    bench.status(status(1_005));
    bench.effects.clear();
    bench.feed(Input::Setpoint(&lease(1_000, 60)));
    bench.feed(Input::Setpoint(&lease(1_000, 60)));
    bench.feed(Input::Setpoint(&lease(1_000, 0)));
    let written = bench.written();
    let [ToDevice::Setpoint(a), ToDevice::Setpoint(b), ToDevice::Release { n, .. }] = written[..] else {
        panic!("{written:?}");
    };
    assert!(a.n >= 10 && a.n < b.n && b.n < n, "from the device's clock on: {} {} {n}", a.n, b.n);
    assert_eq!((a.flow, a.lease_s, a.boot), (CentiCelsius(5_225), 60, BOOT));
    let outcome = Outcome::Accepted { flow: a.flow, lease_s: 60 };
    for n in [a.n, b.n] {
        bench.receive(&ToGateway::Answer(Answer { boot: BOOT, n, outcome }));
    }
    let answers = bench.events_of(EventKind::Answer);
    let [body] = &answers[..] else { panic!("the same outcome is one event: {answers:?}") };
    let json = serde_json::to_value(body).unwrap();
    assert_eq!(json["outcome"], serde_json::json!({ "accepted": { "flow": 52.25, "lease_s": 60 } }), "in °C");
}

#[test]
fn numbers_rise_across_a_restart() {
    let number = |bench: &mut Bench| {
        bench.effects.clear();
        bench.feed(Input::Setpoint(&lease(1_000, 60)));
        let Some(ToDevice::Setpoint(setpoint)) = bench.written().pop() else { panic!("no set-point") };
        setpoint.n
    };
    let mut before = Bench::running(settings(), 1_000, None);
    let first = number(&mut before);
    let mut after = Bench::running(settings(), 1_000, None);
    after.advance(200);
    assert!(number(&mut after) > first);
}

#[test]
fn stale_foreign_or_uncontrolled_leases_are_declined() {
    let other_boot = Lease { based_on: Slot::new(Boot(BOOT.0 + 1), 1_000), ..lease(0, 60) };
    for (control, lease) in
        [(false, lease(1_000, 60)), (true, lease(499, 60)), (true, lease(1_510, 60)), (true, other_boot)]
    {
        let mut bench = Bench::running(Settings { control, ..settings() }, 1_000, None);
        bench.effects.clear();
        bench.feed(Input::Setpoint(&lease));
        let written = bench.written();
        assert!(!written.iter().any(|m| matches!(m, ToDevice::Setpoint(_) | ToDevice::Release { .. })), "{lease:?}");
        assert_eq!(bench.agent.counters().declined, 1);
    }
}

fn reset(counter: u32) -> published::Reset {
    published::Reset {
        boiler: "b1".parse().unwrap(),
        fault: Occurrence { boot: Boot(1), counter },
        kind: FaultKind::Ignition,
        approvals: vec![],
        instance: String::from("g1"),
        created_at: 0.0,
        valid_until: 4e9,
        version: 1,
    }
}

fn locked(next: u64) -> Status {
    let fault = Fault { boot: Boot(1), counter: 7, kind: FaultKind::Ignition, lockout: true };
    Status { fault: Some(fault), ..status(next) }
}

#[test]
fn reset_reaches_the_device_and_its_answer_is_an_event() {
    let mut bench = Bench::running(settings(), 1_000, None);
    bench.status(locked(1_005));
    bench.effects.clear();
    bench.feed(Input::Reset(&reset(7)));
    // The fault is of an earlier boot; the request is bound to this one.
    let [ToDevice::Reset { boot: BOOT, n, fault: 7 }] = bench.written()[..] else { panic!("{:?}", bench.written()) };
    let outcome = Outcome::Refused(Refusal::TooMany);
    for _ in 0..2 {
        bench.receive(&ToGateway::Answer(Answer { boot: BOOT, n, outcome }));
    }
    let answered = EventBody::ResetAnswered { fault: reset(7).fault, n, outcome: outcome.into() };
    assert_eq!(bench.events_of(EventKind::Reset), [answered], "once, and as the answer to a reset");
    bench.effects.clear();
    bench.feed(Input::Setpoint(&lease(1_000, 60)));
    assert!(
        matches!(bench.written()[..], [ToDevice::Setpoint(setpoint)] if setpoint.n > n),
        "both share one sequence of numbers"
    );
}

#[test]
fn expired_foreign_or_needless_resets_are_declined() {
    let late = published::Reset { valid_until: 1.0, ..reset(7) };
    let other_boot = published::Reset { fault: Occurrence { boot: Boot(2), counter: 7 }, ..reset(7) };
    let passing = Status { fault: locked(1_005).fault.map(|fault| Fault { lockout: false, ..fault }), ..locked(1_005) };
    for (control, status, reset) in [
        (false, locked(1_005), reset(7)),
        (true, locked(1_005), late),
        (true, locked(1_005), other_boot),
        (true, locked(1_005), reset(8)),
        (true, passing, reset(7)),
        (true, status(1_005), reset(7)),
    ] {
        let mut bench = Bench::running(Settings { control, ..settings() }, 1_000, None);
        bench.status(status);
        bench.effects.clear();
        bench.feed(Input::Reset(&reset));
        assert!(!bench.written().iter().any(|message| matches!(message, ToDevice::Reset { .. })), "{reset:?}");
        assert_eq!(bench.agent.counters().declined, 1, "{reset:?}");
    }
}

#[test]
fn status_is_published_every_second_and_on_change() {
    let mut bench = Bench::running(settings(), 100, None);
    for _ in 0..5 {
        bench.status(Status { marks: 0, ..status(101) });
    }
    bench.advance(2_000);
    bench.effects.clear();
    for _ in 0..30 {
        bench.advance(100);
    }
    let count = |bench: &Bench| bench.effects.iter().filter(|effect| matches!(effect, Effect::Status(_))).count();
    assert_eq!(count(&bench), 3);
    bench.effects.clear();
    bench.status(status(102));
    bench.advance(100);
    assert_eq!(count(&bench), 1, "a new state");
    let Some(Effect::Status(last)) = bench.effects.iter().rev().find(|effect| matches!(effect, Effect::Status(_)))
    else {
        panic!("no status");
    };
    let device = last.device.as_ref().unwrap();
    assert!(device.pump && !device.flame);
    assert_eq!(device.room, Some(20.5));
    assert_eq!(device.serial_number, "TW-1".to_string());
}
