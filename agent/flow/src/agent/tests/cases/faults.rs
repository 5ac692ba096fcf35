//! What the device reports as wrong, and what EVENT says of it.

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

/// What the device says: `next`, its state and its fault.
fn said(next: u64, state: BoilerState, fault: Option<Fault>) -> ToGateway {
    ToGateway::Status(Status { state, fault, ..status(next) })
}

const BLOCKED: BoilerState = BoilerState::Blocked;
const LOCKOUT: BoilerState = BoilerState::Lockout;
const FIRING: BoilerState = BoilerState::Firing;

impl Bench {
    /// The device runs and is heard, and EVENT has been read: that was its last word on a fault.
    fn knowing(last: Option<&EventBody>) -> Self {
        let mut bench = Self::running(settings(), 1_000, None);
        assert_eq!(bench.questions(), 1);
        bench.tell(Input::LastFault(last));
        bench.effects.clear();
        bench
    }

    fn questions(&self) -> usize {
        self.effects.iter().filter(|effect| **effect == Effect::ReadFault).count()
    }

    /// Sleeps until it wants to be woken.
    fn sleep(&mut self) {
        let wake_at = self.agent.wake_at().unwrap();
        let ns = wake_at.0.checked_sub(self.now.monotonic.0).filter(|ns| *ns > 0).expect("it is not due for ever");
        self.now.monotonic.0 += ns;
        self.now.utc.0 += i64::try_from(ns).unwrap();
        self.tell(Input::Wake);
    }

    /// The events about faults so far.
    fn faults(&self) -> Vec<EventBody> {
        self.events().into_iter().filter(|(kind, _)| *kind == EventKind::Fault).map(|(_, body)| body).collect()
    }
}

#[test]
fn a_fault_is_told_when_it_begins_and_when_it_ends() {
    let mut bench = Bench::knowing(None);
    let dry = fault(3, FaultKind::LowPressure);
    bench.say(&said(1_005, FIRING, None));
    assert_eq!(bench.faults(), []);
    for next in [1_010, 1_110, 1_210] {
        bench.say(&said(next, BLOCKED, Some(dry)));
    }
    let began = EventBody::FaultBegan(report(dry, BLOCKED, 1_010));
    assert_eq!(bench.faults().as_slice(), core::slice::from_ref(&began), "once, where it was said first");
    for next in [1_300, 1_400] {
        bench.say(&said(next, FIRING, None));
    }
    assert_eq!(bench.faults(), [began, EventBody::FaultEnded(report(dry, FIRING, 1_300))]);
}

#[test]
fn a_fault_that_becomes_a_lockout_is_told_as_that_once() {
    let mut bench = Bench::knowing(None);
    let (passing, stands) = (fault(3, FaultKind::Pump), locked(3, FaultKind::Pump));
    bench.say(&said(1_010, BLOCKED, Some(passing)));
    bench.say(&said(1_020, LOCKOUT, Some(stands)));
    // A device that wavers.
    bench.say(&said(1_030, BLOCKED, Some(passing)));
    bench.say(&said(1_040, LOCKOUT, Some(stands)));
    bench.say(&said(1_050, FIRING, None));
    let told = [
        EventBody::FaultBegan(report(passing, BLOCKED, 1_010)),
        EventBody::FaultLockedOut(report(stands, LOCKOUT, 1_020)),
        EventBody::FaultEnded(report(stands, FIRING, 1_050)),
    ];
    assert_eq!(bench.faults(), told);
}

#[test]
fn another_occurrence_without_a_pause_is_an_end_and_a_begin() {
    let mut bench = Bench::knowing(None);
    let (one, two) = (fault(3, FaultKind::Sensor), fault(4, FaultKind::Sensor));
    bench.say(&said(1_010, BLOCKED, Some(one)));
    bench.say(&said(1_020, BLOCKED, Some(two)));
    let told = [
        EventBody::FaultBegan(report(one, BLOCKED, 1_010)),
        EventBody::FaultEnded(report(one, BLOCKED, 1_020)),
        EventBody::FaultBegan(report(two, BLOCKED, 1_020)),
    ];
    assert_eq!(bench.faults(), told, "the same kind is not the same fault");
}

#[test]
fn a_lockout_outlives_the_firmware_and_is_not_told_again_and_a_new_boot_is_told_first() {
    let mut bench = Bench::knowing(None);
    let stands = locked(3, FaultKind::Ignition);
    bench.say(&said(1_010, LOCKOUT, Some(stands)));
    let boot = Boot(BOOT.0 + (1 << 32) + 1);
    let again = |next, state, fault| {
        ToGateway::Status(Status { tag: boot.tag(), burner_starts: 0, state, fault, ..status(next) })
    };
    bench.effects.clear();
    bench.say(&ToGateway::Hello(Hello { boot, ..hello(5) }));
    bench.say(&again(6, LOCKOUT, Some(stands)));
    bench.say(&again(7, BoilerState::Standby, None));
    let [(EventKind::Boot, _), (EventKind::Fault, EventBody::FaultEnded(ended))] = &bench.events()[..] else {
        panic!("{:?}", bench.events());
    };
    assert_eq!((ended.fault.boot, ended.slot), (BOOT, Slot::new(boot, 7)), "the fault keeps the boot that it began in");
}

#[test]
fn an_agent_that_starts_while_a_fault_stands_does_not_tell_it_again() {
    let (old, new) = (locked(3, FaultKind::Ignition), fault(4, FaultKind::Sensor));
    let passing = report(fault(3, FaultKind::Ignition), BLOCKED, 900);
    for (last, told) in [
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
        bench.say(&said(1_010, LOCKOUT, Some(old)));
        assert_eq!(bench.faults(), told, "behind {last:?}");
    }
    let mut bench = Bench::knowing(Some(&EventBody::FaultBegan(report(new, BLOCKED, 900))));
    bench.say(&said(1_010, FIRING, None));
    assert_eq!(bench.faults(), [EventBody::FaultEnded(report(new, FIRING, 1_010))], "it ended while nobody was there");
}

#[test]
fn what_is_said_before_event_was_read_waits_for_that() {
    let mut bench = Bench::running(settings(), 1_000, None);
    let (told, new) = (locked(3, FaultKind::Ignition), fault(4, FaultKind::Sensor));
    bench.say(&said(1_010, LOCKOUT, Some(told)));
    bench.say(&said(1_020, FIRING, None));
    for next in 1_030..1_060 {
        bench.say(&said(next, BLOCKED, Some(new)));
    }
    assert_eq!((bench.faults(), bench.questions()), (vec![], 1));
    bench.pass(130);
    bench.tell(Input::LastFaultUnknown);
    let failed = bench.now.monotonic;
    while bench.questions() == 1 {
        bench.sleep();
    }
    assert_eq!(bench.now.monotonic.since(failed), Duration::from_secs(1), "not at once, and not late");
    bench.tell(Input::Disconnected);
    bench.tell(Input::LastFault(None));
    bench.pass(5_000);
    assert_eq!((bench.faults(), bench.questions()), (vec![], 2), "what was asked before is answered no more");
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(None));
    assert_eq!(bench.questions(), 3);
    bench.tell(Input::LastFault(Some(&EventBody::FaultBegan(report(told, LOCKOUT, 900)))));
    let news = [EventBody::FaultEnded(report(told, FIRING, 1_020)), EventBody::FaultBegan(report(new, BLOCKED, 1_030))];
    assert_eq!(bench.faults(), news);
    bench.tell(Input::Disconnected);
    bench.tell(Input::Connected);
    assert_eq!(bench.questions(), 3, "what EVENT had then is known, and what was told since is on its way there");
}

#[test]
fn what_a_boot_says_that_nobody_knows_yet_is_told_behind_it() {
    let mut bench = Bench::knowing(None);
    let (old, new) = (fault(3, FaultKind::Sensor), fault(4, FaultKind::LowPressure));
    bench.tell(Input::Disconnected);
    bench.say(&said(1_010, BLOCKED, Some(old)));
    assert_eq!(bench.faults(), [EventBody::FaultBegan(report(old, BLOCKED, 1_010))], "its reporter holds it");
    bench.effects.clear();
    let boot = Boot(BOOT.0 + (1 << 32) + 1);
    bench.say(&ToGateway::Hello(Hello { boot, ..hello(5) }));
    bench.say(&ToGateway::Status(Status { tag: boot.tag(), fault: Some(new), ..status(6) }));
    assert_eq!(bench.events(), []);
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(None));
    let told = bench.events();
    let kinds: Vec<EventKind> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [EventKind::Boot, EventKind::Fault, EventKind::Fault], "{told:?}");
}

#[test]
fn a_server_that_is_away_for_long_is_told_what_stands() {
    let mut bench = Bench::running(settings(), 1_000, None);
    for counter in 1..=100 {
        let next = 1_000 + 2 * u64::from(counter);
        bench.say(&said(next, BLOCKED, Some(fault(counter, FaultKind::Sensor))));
        bench.say(&said(next + 1, FIRING, None));
    }
    let last = fault(101, FaultKind::LowPressure);
    bench.say(&said(1_300, BLOCKED, Some(last)));
    bench.tell(Input::LastFault(None));
    let told = bench.faults();
    // Of the 16 reports that are kept, the oldest says that nothing stands, as EVENT does.
    assert_eq!(told.len(), 15, "{told:?}");
    assert_eq!(told.last(), Some(&EventBody::FaultBegan(report(last, BLOCKED, 1_300))));
}

#[test]
fn a_fault_that_comes_and_goes_is_told_a_few_times_and_as_it_stands_in_the_end() {
    let mut bench = Bench::knowing(None);
    // Ten changes a second for a minute, and a lockout in the end.
    let (mut next, begin) = (1_010, bench.now.monotonic);
    for counter in 1..=300 {
        for fault in [Some(fault(counter, FaultKind::LowPressure)), None] {
            bench.say(&said(next, BLOCKED, fault));
            bench.pass(97);
            next += 10;
        }
    }
    let told = bench.faults().len();
    assert!((26..=30).contains(&told), "16 at once and then one in five seconds: {told}");
    let stands = locked(301, FaultKind::LowPressure);
    bench.effects.clear();
    bench.say(&said(next, LOCKOUT, Some(stands)));
    assert_eq!(bench.faults(), []);
    bench.pass(130);
    while bench.faults().is_empty() {
        bench.sleep();
    }
    assert_eq!(bench.now.monotonic.since(begin).as_millis() % 5_000, 0, "on time");
    assert_eq!(bench.faults().last(), Some(&EventBody::FaultBegan(report(stands, LOCKOUT, next))));
    let untold = bench.agent.counters().faults_untold;
    assert!((250..600).contains(&untold), "{untold} of 600 changes");
    // A quiet time later, all is told again.
    bench.effects.clear();
    bench.pass(80_000);
    for counter in 302..322 {
        next += 10;
        bench.say(&said(next, BLOCKED, Some(fault(counter, FaultKind::LowPressure))));
    }
    assert_eq!(bench.faults().len(), 32, "an end and a begin each");
    // With nobody to tell it to, nobody is woken for it.
    bench.tell(Input::Disconnected);
    let boot = Boot(BOOT.0 + (1 << 32) + 1);
    bench.say(&ToGateway::Hello(Hello { boot, ..hello(5) }));
    bench.pass(5_000);
    assert!(bench.agent.wake_at().unwrap() > bench.now.monotonic);
}

/// Others read these bytes: if this fails, do not change the test.
#[test]
fn the_json_of_a_fault_is_this() {
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
