//! Faults of the device, and their events.

use thermowell_wire::line::{Fault, FaultKind};

use super::*;
use crate::published::{self, FaultReport};

fn fault(counter: u32, kind: FaultKind) -> Fault {
    Fault { boot: BOOT, counter, kind, lockout: false }
}

fn locked(counter: u32, kind: FaultKind) -> Fault {
    Fault { lockout: true, ..fault(counter, kind) }
}

fn report(fault: Fault, state: BoilerState, next: u64) -> FaultReport {
    let Fault { kind, lockout, .. } = fault;
    FaultReport { fault: fault.into(), kind, lockout, state, slot: Slot::new(BOOT, next) }
}

const BLOCKED: BoilerState = BoilerState::Blocked;
const LOCKOUT: BoilerState = BoilerState::Lockout;
const FIRING: BoilerState = BoilerState::Firing;

impl Bench {
    /// Running, with this as the last event about a fault in EVENT.
    fn knowing(last: Option<&EventBody>) -> Self {
        let mut bench = Self::running(settings(), 1_000, None);
        assert_eq!(bench.reads(), 1);
        bench.feed(Input::LastFault(last));
        bench.effects.clear();
        bench
    }

    fn reads(&self) -> usize {
        self.effects.iter().filter(|effect| **effect == Effect::ReadFault).count()
    }

    /// A status with this next slot, state and fault.
    fn report(&mut self, next: u64, state: BoilerState, fault: Option<Fault>) {
        self.status(Status { state, fault, ..status(next) });
    }

    /// Advances to `wake_at`.
    fn sleep(&mut self) {
        let ns = self.agent.wake_at().unwrap().0 - self.now.monotonic.0;
        assert!(ns > 0, "it is due already");
        self.advance_ns(ns);
    }

    fn faults(&self) -> Vec<EventBody> {
        self.events_of(EventKind::Fault)
    }
}

#[test]
fn begin_and_end_of_a_fault_are_events() {
    let mut bench = Bench::knowing(None);
    let dry = fault(3, FaultKind::LowPressure);
    bench.report(1_005, FIRING, None);
    assert_eq!(bench.faults(), []);
    for next in [1_010, 1_110, 1_210] {
        bench.report(next, BLOCKED, Some(dry));
    }
    let began = EventBody::FaultBegan(report(dry, BLOCKED, 1_010));
    assert_eq!(bench.faults().as_slice(), core::slice::from_ref(&began), "once, with the first slot");
    for next in [1_300, 1_400] {
        bench.report(next, FIRING, None);
    }
    assert_eq!(bench.faults(), [began, EventBody::FaultEnded(report(dry, FIRING, 1_300))]);
}

#[test]
fn fault_that_becomes_a_lockout_is_one_more_event() {
    let mut bench = Bench::knowing(None);
    let (passing, active) = (fault(3, FaultKind::Pump), locked(3, FaultKind::Pump));
    bench.report(1_010, BLOCKED, Some(passing));
    bench.report(1_020, LOCKOUT, Some(active));
    // A device whose reports alternate.
    bench.report(1_030, BLOCKED, Some(passing));
    bench.report(1_040, LOCKOUT, Some(active));
    bench.report(1_050, FIRING, None);
    let events = [
        EventBody::FaultBegan(report(passing, BLOCKED, 1_010)),
        EventBody::FaultLockedOut(report(active, LOCKOUT, 1_020)),
        EventBody::FaultEnded(report(active, FIRING, 1_050)),
    ];
    assert_eq!(bench.faults(), events);
}

#[test]
fn next_occurrence_without_a_pause_is_an_end_and_a_begin() {
    let mut bench = Bench::knowing(None);
    let (one, two) = (fault(3, FaultKind::Sensor), fault(4, FaultKind::Sensor));
    bench.report(1_010, BLOCKED, Some(one));
    bench.report(1_020, BLOCKED, Some(two));
    let events = [
        EventBody::FaultBegan(report(one, BLOCKED, 1_010)),
        EventBody::FaultEnded(report(one, BLOCKED, 1_020)),
        EventBody::FaultBegan(report(two, BLOCKED, 1_020)),
    ];
    assert_eq!(bench.faults(), events, "the same kind is not the same fault");
}

#[test]
fn lockout_that_outlives_a_reboot_is_reported_once() {
    let mut bench = Bench::knowing(None);
    let active = locked(3, FaultKind::Ignition);
    bench.report(1_010, LOCKOUT, Some(active));
    let boot = Boot(NEXT_BOOT.0 + 1);
    let again = |next, state, fault| {
        ToGateway::Status(Status { tag: boot.tag(), burner_starts: 0, state, fault, ..status(next) })
    };
    bench.effects.clear();
    bench.hello(Hello { boot, ..hello(5) });
    bench.receive(&again(6, LOCKOUT, Some(active)));
    bench.receive(&again(7, BoilerState::Standby, None));
    let [(EventKind::Boot, _), (EventKind::Fault, EventBody::FaultEnded(ended))] = &bench.events()[..] else {
        panic!("{:?}", bench.events());
    };
    assert_eq!((ended.fault.boot, ended.slot), (BOOT, Slot::new(boot, 7)), "a fault keeps the boot in which it began");
}

#[test]
fn restarted_agent_reports_only_what_event_does_not_have() {
    let (old, new) = (locked(3, FaultKind::Ignition), fault(4, FaultKind::Sensor));
    let passing = report(fault(3, FaultKind::Ignition), BLOCKED, 900);
    for (last, events) in [
        (EventBody::FaultBegan(report(old, LOCKOUT, 900)), vec![]),
        (EventBody::FaultLockedOut(report(old, LOCKOUT, 900)), vec![]),
        (EventBody::FaultBegan(passing), vec![EventBody::FaultLockedOut(report(old, LOCKOUT, 1_010))]),
        (EventBody::FaultEnded(report(old, FIRING, 900)), vec![EventBody::FaultBegan(report(old, LOCKOUT, 1_010))]),
        (EventBody::ClockJumped { by_ns: 1 }, vec![EventBody::FaultBegan(report(old, LOCKOUT, 1_010))]),
        (
            EventBody::FaultBegan(report(new, BLOCKED, 900)),
            vec![
                EventBody::FaultEnded(report(new, LOCKOUT, 1_010)),
                EventBody::FaultBegan(report(old, LOCKOUT, 1_010)),
            ],
        ),
    ] {
        let mut bench = Bench::knowing(Some(&last));
        bench.report(1_010, LOCKOUT, Some(old));
        assert_eq!(bench.faults(), events, "after {last:?}");
    }
    let mut bench = Bench::knowing(Some(&EventBody::FaultBegan(report(new, BLOCKED, 900))));
    bench.report(1_010, FIRING, None);
    assert_eq!(bench.faults(), [EventBody::FaultEnded(report(new, FIRING, 1_010))], "it ended while no agent ran");
}

#[test]
fn reports_wait_until_event_was_read() {
    let mut bench = Bench::running(settings(), 1_000, None);
    let (old, new) = (locked(3, FaultKind::Ignition), fault(4, FaultKind::Sensor));
    bench.report(1_010, LOCKOUT, Some(old));
    bench.report(1_020, FIRING, None);
    for next in 1_030..1_060 {
        bench.report(next, BLOCKED, Some(new));
    }
    assert_eq!((bench.faults(), bench.reads()), (vec![], 1));
    bench.advance(130);
    bench.feed(Input::LastFaultUnknown);
    let failed = bench.now.monotonic;
    while bench.reads() == 1 {
        bench.sleep();
    }
    assert_eq!(bench.now.monotonic.since(failed), Duration::from_secs(1), "a pause, then again");
    bench.feed(Input::Disconnected);
    bench.feed(Input::LastFault(None));
    bench.advance(5_000);
    assert_eq!((bench.faults(), bench.reads()), (vec![], 2), "the answer to a read before the disconnect is ignored");
    bench.connect(None);
    assert_eq!(bench.reads(), 3);
    bench.feed(Input::LastFault(Some(&EventBody::FaultBegan(report(old, LOCKOUT, 900)))));
    let news = [EventBody::FaultEnded(report(old, FIRING, 1_020)), EventBody::FaultBegan(report(new, BLOCKED, 1_030))];
    assert_eq!(bench.faults(), news);
    bench.feed(Input::Disconnected);
    bench.feed(Input::Connected);
    assert_eq!(bench.reads(), 3, "EVENT is read once");
}

#[test]
fn fault_in_a_new_boot_is_reported_after_the_boot() {
    let mut bench = Bench::knowing(None);
    let (old, new) = (fault(3, FaultKind::Sensor), fault(4, FaultKind::LowPressure));
    bench.feed(Input::Disconnected);
    bench.report(1_010, BLOCKED, Some(old));
    assert_eq!(bench.faults(), [EventBody::FaultBegan(report(old, BLOCKED, 1_010))], "the reporter queues it");
    bench.effects.clear();
    let boot = Boot(NEXT_BOOT.0 + 1);
    bench.hello(Hello { boot, ..hello(5) });
    bench.status(Status { tag: boot.tag(), fault: Some(new), ..status(6) });
    assert_eq!(bench.events(), []);
    bench.connect(None);
    let events = bench.events();
    let kinds: Vec<EventKind> = events.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [EventKind::Boot, EventKind::Fault, EventKind::Fault], "{events:?}");
}

#[test]
fn after_a_long_outage_the_active_fault_is_reported() {
    let mut bench = Bench::running(settings(), 1_000, None);
    for counter in 1..=100 {
        let next = 1_000 + 2 * u64::from(counter);
        bench.report(next, BLOCKED, Some(fault(counter, FaultKind::Sensor)));
        bench.report(next + 1, FIRING, None);
    }
    let last = fault(101, FaultKind::LowPressure);
    bench.report(1_300, BLOCKED, Some(last));
    bench.feed(Input::LastFault(None));
    let events = bench.faults();
    // Of the 16 reports that are kept, the oldest is one without a fault, as is EVENT.
    assert_eq!(events.len(), 15, "{events:?}");
    assert_eq!(events.last(), Some(&EventBody::FaultBegan(report(last, BLOCKED, 1_300))));
}

#[test]
fn flapping_fault_is_throttled_and_its_last_state_reported() {
    let mut bench = Bench::knowing(None);
    // Ten changes a second for a minute, then a lockout.
    let (mut next, begin) = (1_010, bench.now.monotonic);
    for counter in 1..=300 {
        for fault in [Some(fault(counter, FaultKind::LowPressure)), None] {
            bench.report(next, BLOCKED, fault);
            bench.advance(97);
            next += 10;
        }
    }
    let events = bench.faults().len();
    assert!((26..=30).contains(&events), "16 at once, then one in five seconds: {events}");
    let active = locked(301, FaultKind::LowPressure);
    bench.effects.clear();
    bench.report(next, LOCKOUT, Some(active));
    assert_eq!(bench.faults(), []);
    bench.advance(130);
    while bench.faults().is_empty() {
        bench.sleep();
    }
    assert_eq!(bench.now.monotonic.since(begin).as_millis() % 5_000, 0, "on time");
    assert_eq!(bench.faults().last(), Some(&EventBody::FaultBegan(report(active, LOCKOUT, next))));
    let unreported = bench.agent.counters().faults_unreported;
    assert!((250..600).contains(&unreported), "{unreported} of 600 changes");
    // After a quiet time all changes are reported again.
    bench.effects.clear();
    bench.advance(80_000);
    for counter in 302..322 {
        next += 10;
        bench.report(next, BLOCKED, Some(fault(counter, FaultKind::LowPressure)));
    }
    assert_eq!(bench.faults().len(), 32, "an end and a begin each");
    // Without a server there is no wake-up for it.
    bench.feed(Input::Disconnected);
    let boot = Boot(NEXT_BOOT.0 + 1);
    bench.hello(Hello { boot, ..hello(5) });
    bench.advance(5_000);
    assert!(bench.agent.wake_at().unwrap() > bench.now.monotonic);
}

/// Other programs read these bytes: if this fails, do not change the test.
#[test]
fn json_of_a_fault_does_not_change() {
    let body = EventBody::FaultLockedOut(report(locked(3, FaultKind::FlameLoss), LOCKOUT, 1_010));
    let event = published::Event { boiler: "b1".parse().unwrap(), created_at: 1_767_751_200.25, body };
    let json = serde_json::to_string(&event).unwrap();
    assert_eq!(
        json,
        r#"{"boiler":"b1","created_at":1767751200.25,"name":"FaultLockedOut","fault":"0000000712345678-3","#
            .to_string()
            + r#""kind":"flame_loss","lockout":true,"state":"lockout","slot":{"boot":"0000000712345678","seq":1010}}"#
    );
    assert_eq!(serde_json::from_str::<published::Event>(&json).unwrap(), event);
}
