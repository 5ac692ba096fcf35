//! `Resets` with a model of the stream that enforces the publish conditions, with crashes, lost answers and stale
//! reads; and each refusal.

use std::collections::BTreeSet;
use std::string::ToString as _;
use std::vec;

use proptest::prelude::*;
use thermowell_wire::Boot;
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{BoilerState, FaultKind, Refusal as No};

use super::*;
use crate::command;
use crate::published::{FreshnessLimits, Status};
use crate::testing;
use crate::time::{SECOND_NS, Utc};

const START: Utc = Utc(1_767_754_800 * SECOND_NS);
const BOOT: Boot = Boot(0x0000_0003_dead_beef);
const PEOPLE: [&str; 3] = ["anna", "ben", "carla"];

fn fault(counter: u32, kind: FaultKind) -> Fault {
    Fault { boot: BOOT, counter, kind, lockout: true }
}

fn name(person: usize) -> OperatorName {
    PEOPLE[person].parse().unwrap()
}

/// COMMAND: the stored messages in order, with the second of each.
#[derive(Debug, Default)]
struct Stream {
    messages: Vec<(u64, Message)>,
}

#[derive(Clone, Debug)]
enum Message {
    Approval { fault: Occurrence, by: OperatorName },
    Reset(Reset),
    Command,
}

impl Stream {
    fn last(&self) -> u64 {
        u64::try_from(self.messages.len()).unwrap()
    }

    fn numbered(&self) -> impl Iterator<Item = (u64, u64, &Message)> {
        (1..).zip(&self.messages).map(|(sequence, (at, message))| (sequence, *at, message))
    }

    fn found(&self, fault: Occurrence, now_s: u64) -> Found {
        let newest = |by: OperatorName| {
            let own =
                |message: &Message| matches!(message, Message::Approval { fault: f, by: b } if (*f, b) == (fault, &by));
            let (sequence, at, _) = self.numbered().filter(|(.., message)| own(message)).last()?;
            let approved = Approved { by: by.clone(), sequence, at: f64::from(u32::try_from(at).unwrap()) };
            Some(Vote { approved, age: Duration::from_secs(now_s - at) })
        };
        let votes = (0..PEOPLE.len()).filter_map(|p| newest(name(p))).collect();
        let reset = self.numbered().filter_map(|(sequence, at, message)| match message {
            Message::Reset(reset) if reset.fault == fault => {
                Some(Ordered { sequence, reset: reset.clone(), votes: self.stored_votes(reset, at) })
            }
            Message::Reset(_) | Message::Approval { .. } | Message::Command => None,
        });
        let reset = reset.last();
        Found { fault, last: self.last(), votes, end: reset.as_ref().map_or(0, |found| found.sequence), reset }
    }

    /// The reset's approvals that are stored at the given sequence.
    fn stored_votes(&self, reset: &Reset, ordered_at: u64) -> Vec<Vote> {
        let stored = |approved: &&Approved| {
            let own = (reset.fault, &approved.by);
            let is_it = |message: &Message| matches!(message, Message::Approval { fault, by } if (*fault, by) == own);
            self.numbered().find(|(sequence, _, message)| *sequence == approved.sequence && is_it(message))
        };
        let vote = |approved: &Approved| {
            let (_, at, _) = stored(&approved)?;
            Some(Vote { approved: approved.clone(), age: Duration::from_secs(ordered_at.saturating_sub(at)) })
        };
        reset.approvals.iter().filter_map(vote).collect()
    }

    /// Like the server: stores only if both conditions hold.
    fn order(&mut self, reset: &Reset, end: u64, last: u64, now_s: u64) -> Option<u64> {
        if last != self.last() || end != self.found(reset.fault, now_s).end {
            return None;
        }
        self.messages.push((now_s, Message::Reset(reset.clone())));
        Some(self.last())
    }
}

/// The resets of a boiler, with stream, device and effects.
struct Bench {
    state: Resets,
    now_s: u64,
    stream: Stream,
    device: Option<Fault>,
    handed: usize,
    events: Vec<EventBody>,
    /// The next answer of the server is lost.
    answer_lost: bool,
    /// Another message is stored between the read and the order.
    concurrent_write: bool,
    /// The next read does not return the reset, like one from a lagging replica.
    stale_read: bool,
}

fn settings(instance: &str, approvals: u8) -> Settings {
    Settings {
        boiler: "b1".parse().unwrap(),
        instance: instance.into(),
        approvals,
        valid: Duration::from_secs(60),
        again: Duration::from_secs(5),
    }
}

impl Bench {
    fn new(approvals: u8) -> Self {
        Self {
            state: Resets::new(settings("g1", approvals)),
            now_s: 10,
            stream: Stream::default(),
            device: None,
            handed: 0,
            events: vec![],
            answer_lost: false,
            concurrent_write: false,
            stale_read: false,
        }
    }

    fn now(&self) -> Now {
        let ns = self.now_s * 1_000_000_000;
        let utc = Utc(START.0 + i64::try_from(ns).unwrap());
        Now { monotonic: Monotonic(ns), utc, clock: ClockQuality::Synced }
    }

    fn input_and_settle(&mut self, input: Input) {
        let mut inputs = vec![input];
        let mut steps = 0;
        while let Some(input) = inputs.pop() {
            steps += 1;
            assert!(steps < 20, "it does not settle");
            let mut effects = vec![];
            self.state.step(self.now(), input, &mut effects);
            for effect in effects {
                inputs.extend(self.execute(effect));
            }
        }
    }

    fn execute(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Read(fault) => {
                let found = self.stream.found(fault, self.now_s);
                let is_stale = found.reset.is_some() && core::mem::take(&mut self.stale_read);
                let (end, reset) = if is_stale { (0, None) } else { (found.end, found.reset) };
                Some(Input::Found(Box::new(Found { end, reset, ..found })))
            }
            Effect::Order { reset, end, last } => {
                if core::mem::take(&mut self.concurrent_write) {
                    self.stream.messages.push((self.now_s, Message::Command));
                }
                let stored = self.stream.order(&reset, end, last, self.now_s);
                match stored {
                    _ if core::mem::take(&mut self.answer_lost) => Some(Input::Unanswered),
                    Some(sequence) => Some(Input::Stored(sequence)),
                    None => Some(Input::Overtaken),
                }
            }
            Effect::Hand(reset) => {
                assert!(self.now().utc.unix_seconds() < reset.valid_until, "an expired order is never sent");
                self.handed += 1;
                None
            }
            Effect::Event(body) => {
                self.events.push(*body);
                None
            }
        }
    }

    fn lock(&mut self, fault: Option<Fault>) {
        self.device = fault;
        self.input_and_settle(Input::Device { fault, answered: None });
    }

    fn answer(&mut self, outcome: Outcome) {
        let answered = self.device.map(|fault| (fault.into(), outcome));
        self.input_and_settle(Input::Device { fault: self.device, answered });
    }

    fn approve(&mut self, person: usize) {
        let Some(fault) = self.device else { return };
        self.stream.messages.push((self.now_s, Message::Approval { fault: fault.into(), by: name(person) }));
        self.input_and_settle(Input::Changed);
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_s += 1;
            if self.state.wake_at().is_some_and(|at| at <= self.now().monotonic) {
                self.input_and_settle(Input::Wake);
            }
        }
    }

    fn crash(&mut self, approvals: u8) {
        self.state = Resets::new(settings("g1", approvals));
        self.input_and_settle(Input::Device { fault: self.device, answered: None });
    }

    fn resets(&self) -> Vec<(u64, &Reset)> {
        let resets = self.stream.numbered().filter_map(|(sequence, _, message)| match message {
            Message::Reset(reset) => Some((sequence, reset)),
            Message::Approval { .. } | Message::Command => None,
        });
        resets.collect()
    }
}

#[test]
fn two_approvals_lead_to_one_reset_after_them() {
    let mut bench = Bench::new(2);
    bench.lock(Some(fault(7, FaultKind::Ignition)));
    bench.approve(0);
    bench.approve(0);
    assert!(bench.resets().is_empty(), "the same person twice is one person");
    bench.approve(2);
    let [(sequence, reset)] = bench.resets()[..] else { panic!("{:?}", bench.stream) };
    let by: Vec<_> = reset.approvals.iter().map(|vote| (vote.by.as_str(), vote.sequence)).collect();
    assert_eq!((sequence, by), (4, vec![("anna", 2), ("carla", 3)]));
    assert_eq!(bench.handed, 1);
    assert!(matches!(bench.events[..], [EventBody::ResetOrdered { sequence: 4, .. }]), "{:?}", bench.events);

    bench.answer(Outcome::Accepted { flow: 0.0, lease_s: 0 });
    bench.approve(1);
    bench.pass(600);
    assert_eq!((bench.handed, bench.resets().len(), bench.events.len()), (1, 1, 1), "once");
    bench.lock(Some(fault(8, FaultKind::Ignition)));
    assert_eq!(bench.resets().len(), 1, "the next fault needs approvals of its own");
}

#[test]
fn one_approval_suffices_if_configured() {
    let mut bench = Bench::new(1);
    bench.lock(Some(fault(7, FaultKind::FlameLoss)));
    bench.approve(1);
    assert_eq!((bench.resets().len(), bench.handed), (1, 1));
}

#[test]
fn approval_expires_after_15_minutes() {
    let mut bench = Bench::new(2);
    bench.lock(Some(fault(7, FaultKind::Ignition)));
    bench.approve(0);
    bench.pass(15 * 60 + 1);
    bench.approve(1);
    assert!(bench.resets().is_empty());
    bench.pass(10 * 60);
    bench.approve(0);
    assert_eq!(bench.resets().len(), 1);
}

#[test]
fn local_only_faults_are_never_reset_remotely() {
    for kind in [FaultKind::Overheat, FaultKind::SensorMismatch, FaultKind::Pump] {
        let mut bench = Bench::new(2);
        bench.lock(Some(fault(7, kind)));
        (0..3).for_each(|person| bench.approve(person));
        assert!(bench.resets().is_empty(), "{kind:?}");
    }
    let mut bench = Bench::new(2);
    bench.lock(Some(Fault { lockout: false, ..fault(7, FaultKind::LowPressure) }));
    (0..3).for_each(|person| bench.approve(person));
    assert!(bench.resets().is_empty(), "it ends by itself");
}

#[test]
fn order_is_sent_until_it_is_answered_or_expires() {
    let ordered = || {
        let mut bench = Bench::new(2);
        bench.lock(Some(fault(7, FaultKind::Ignition)));
        bench.approve(0);
        bench.approve(1);
        bench
    };
    let mut answered = ordered();
    answered.pass(7);
    answered.answer(Outcome::Refused(No::TooMany));
    answered.pass(100);
    assert_eq!((answered.handed, answered.events.len()), (2, 1));
    let mut silent = ordered();
    silent.pass(200);
    assert_eq!(silent.handed, 12);
    assert!(matches!(silent.events[..], [_, EventBody::ResetDropped { .. }]), "{:?}", silent.events);
    let mut gone = ordered();
    gone.lock(None);
    gone.pass(200);
    assert_eq!((gone.handed, gone.events.len()), (1, 1), "reset at the boiler, or the answer was lost");
}

#[test]
fn order_is_found_and_not_repeated_after_a_crash() {
    let mut bench = Bench::new(2);
    bench.lock(Some(fault(7, FaultKind::Ignition)));
    bench.approve(0);
    bench.approve(1);
    bench.crash(2);
    assert_eq!((bench.resets().len(), bench.handed), (1, 2));
    bench.pass(61);
    let handed = bench.handed;
    bench.crash(2);
    bench.pass(100);
    assert_eq!((bench.resets().len(), bench.handed), (1, handed), "history");
}

/// The agent crashes after the order and is back after its expiry: without an event, the cause would be unknown.
#[test]
fn expired_order_is_published_as_dropped_once() {
    let late = |at_once: Option<Outcome>| {
        let mut bench = Bench::new(2);
        bench.lock(Some(fault(7, FaultKind::Ignition)));
        bench.approve(0);
        bench.approve(1);
        bench.events.clear();
        bench.now_s += 61;
        bench.state = Resets::new(settings("g1", 2));
        let answered = bench.device.map(Occurrence::from).zip(at_once);
        bench.input_and_settle(Input::Device { fault: bench.device, answered });
        bench
    };
    let mut bench = late(None);
    let dropped =
        |bench: &Bench| matches!(&bench.events[..], [EventBody::ResetDropped { fault, .. }] if fault.counter == 7);
    assert!(dropped(&bench), "{:?}", bench.events);
    bench.approve(2);
    bench.pass(600);
    // The line goes down and comes back: the order is read again.
    bench.lock(None);
    bench.lock(Some(fault(7, FaultKind::Ignition)));
    bench.pass(600);
    assert!(dropped(&bench) && bench.handed == 1, "{:?}", bench.events);
    bench.lock(Some(fault(8, FaultKind::Ignition)));
    (0..2).for_each(|person| bench.approve(person));
    assert_eq!((bench.resets().len(), bench.handed), (2, 2), "the reset of the next fault is not affected");

    assert!(late(Some(Outcome::Refused(No::TooMany))).events.is_empty(), "its answer was an event");
}

#[test]
fn lost_answer_or_concurrent_write_causes_no_second_reset() {
    for (answer_lost, concurrent_write) in [(true, false), (false, true), (true, true)] {
        let mut bench = Bench::new(2);
        bench.lock(Some(fault(7, FaultKind::Ignition)));
        bench.approve(0);
        (bench.answer_lost, bench.concurrent_write) = (answer_lost, concurrent_write);
        bench.approve(1);
        bench.pass(10);
        assert_eq!(bench.resets().len(), 1, "answer_lost {answer_lost}, concurrent_write {concurrent_write}");
        assert!(bench.handed > 0);
        assert!(matches!(bench.events[..], [EventBody::ResetOrdered { .. }]), "{:?}", bench.events);
    }
}

/// The end of COMMAND is read, then two approvals are stored and read. If the server lost its stream now, an order
/// based on that end would be stored without them.
#[test]
fn approvals_later_than_the_end_are_read_again_before_the_order() {
    let mut bench = Bench::new(2);
    bench.lock(Some(fault(7, FaultKind::Ignition)));
    let fault = Occurrence::from(bench.device.unwrap());
    for person in 0..2 {
        bench.stream.messages.push((bench.now_s, Message::Approval { fault, by: name(person) }));
    }
    let mut effects_of = |last| {
        let mut effects = vec![];
        let found = Found { last, ..bench.stream.found(fault, bench.now_s) };
        bench.state.step(bench.now(), Input::Found(Box::new(found)), &mut effects);
        effects
    };
    assert_eq!(effects_of(0), [Effect::Read(fault)]);
    assert_eq!(effects_of(1), [Effect::Read(fault)]);
    let effects = effects_of(2);
    assert!(matches!(&effects[..], [Effect::Order { end: 0, last: 2, .. }]), "{effects:?}");
}

/// An order is valid only with its approvals before it, and an invalid one does not block a valid one.
#[test]
fn order_without_valid_approvals_is_ignored() {
    let ordered = |people: &[(usize, u64)]| {
        let approvals =
            people.iter().map(|(person, sequence)| Approved { by: name(*person), sequence: *sequence, at: 0.0 });
        Reset {
            boiler: "b1".parse().unwrap(),
            fault: fault(7, FaultKind::Ignition).into(),
            kind: FaultKind::Ignition,
            approvals: approvals.collect(),
            instance: "g2".into(),
            created_at: START.unix_seconds(),
            valid_until: START.unix_seconds() + 10_000.0,
            version: 1,
        }
    };
    let approval = |counter, person| {
        let fault = fault(counter, FaultKind::Ignition).into();
        Message::Approval { fault, by: name(person) }
    };
    // Messages before the order and their time; the operators and sequences that the order names.
    let (anna, late) = (approval(7, 0), 2_000);
    let forged = [
        ("no approval", vec![], late, vec![]),
        ("one approval", vec![anna.clone()], late, vec![(0, 1)]),
        ("two approvals of one operator", vec![anna.clone(), anna.clone()], late, vec![(0, 1), (0, 2)]),
        ("no message at the sequence", vec![anna.clone()], late, vec![(0, 1), (1, 99)]),
        ("an approval of another operator", vec![anna.clone(), anna.clone()], late, vec![(0, 1), (1, 2)]),
        ("an approval of another fault", vec![anna.clone(), approval(6, 1)], late, vec![(0, 1), (1, 2)]),
        ("an approval after the order", vec![anna.clone()], late, vec![(0, 1), (1, 3)]),
        ("expired approvals", vec![anna.clone(), approval(7, 1)], 10, vec![(0, 1), (1, 2)]),
    ];
    for (what, before, at, named) in forged {
        let mut bench = Bench::new(2);
        // None of these approvals counts for a new order any more.
        bench.now_s = late + 1_000;
        bench.stream.messages.extend(before.into_iter().map(|message| (at, message)));
        bench.stream.messages.push((late, Message::Reset(ordered(&named))));
        if what == "an approval after the order" {
            bench.stream.messages.push((late, approval(7, 1)));
        }
        bench.lock(Some(fault(7, FaultKind::Ignition)));
        bench.pass(20);
        assert_eq!((bench.handed, bench.events.len(), bench.resets().len()), (0, 0, 1), "{what}");
        bench.approve(0);
        bench.approve(2);
        assert_eq!((bench.handed, bench.resets().len()), (1, 2), "{what}: it does not block a valid order");
    }
    let mut real = Bench::new(2);
    real.stream.messages.extend([approval(7, 0), approval(7, 1)].map(|message| (10, message)));
    real.stream.messages.push((10, Message::Reset(ordered(&[(0, 1), (1, 2)]))));
    real.lock(Some(fault(7, FaultKind::Ignition)));
    assert_eq!((real.handed, real.resets().len()), (1, 1), "another gateway ordered it");
}

#[derive(Clone, Debug)]
enum Step {
    Approve(usize),
    Pass(u64),
    Crash,
    LoseAnswer,
    ConcurrentWrite,
    StaleRead,
    Lock(u32),
    Answer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..PEOPLE.len()).prop_map(Step::Approve),
        2 => prop_oneof![1_u64..30, 800_u64..1_000].prop_map(Step::Pass),
        1 => Just(Step::Crash),
        1 => Just(Step::LoseAnswer),
        1 => Just(Step::ConcurrentWrite),
        1 => Just(Step::StaleRead),
        1 => (1_u32..4).prop_map(Step::Lock),
        1 => Just(Step::Answer),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    /// In any sequence of steps: at most one reset per fault, after fresh approvals of enough different operators.
    #[test]
    fn at_most_one_reset_per_fault_after_its_approvals(steps in steps(), approvals in 1_u8..=3) {
        let mut bench = Bench::new(approvals);
        for step in steps {
            match step {
                Step::Approve(person) => bench.approve(person),
                Step::Pass(seconds) => bench.pass(seconds),
                Step::Crash => bench.crash(approvals),
                Step::LoseAnswer => bench.answer_lost = true,
                Step::ConcurrentWrite => bench.concurrent_write = true,
                Step::StaleRead => bench.stale_read = true,
                Step::Lock(counter) => bench.lock(Some(fault(counter, FaultKind::Ignition))),
                Step::Answer => bench.answer(Outcome::Accepted { flow: 0.0, lease_s: 0 }),
            }
        }
        let faults: BTreeSet<Occurrence> = bench.resets().iter().map(|(_, reset)| reset.fault).collect();
        prop_assert_eq!(faults.len(), bench.resets().len(), "never twice");
        for (sequence, reset) in bench.resets() {
            let (ordered_at, _) = bench.stream.messages[usize::try_from(sequence - 1).unwrap()];
            let mut people = BTreeSet::new();
            for vote in &reset.approvals {
                let (at, message) = &bench.stream.messages[usize::try_from(vote.sequence - 1).unwrap()];
                let own = (reset.fault, &vote.by);
                let is_it = matches!(message, Message::Approval { fault, by } if (*fault, by) == own);
                prop_assert!(is_it && vote.sequence < sequence && ordered_at - at <= 900);
                people.insert(&vote.by);
            }
            prop_assert!(people.len() >= usize::from(approvals));
        }
        // Liveness: with enough fresh approvals and no disturbance at the end, there is a reset.
        bench.pass(10);
        if let Some(device) = bench.device {
            let found = bench.stream.found(device.into(), bench.now_s);
            let fresh = found.votes.iter().filter(|vote| vote.age <= Duration::from_secs(880)).count();
            prop_assert!(fresh < usize::from(approvals) || found.reset.is_some());
        }
    }
}

fn status(fault: Option<Fault>) -> Status {
    let mut status = testing::status(BOOT, START.unix_seconds());
    let device = status.device.as_mut().unwrap();
    (device.state, device.fault) = (BoilerState::Lockout, fault);
    status
}

#[test]
fn refused_approval_names_the_cause() {
    let locked = status(Some(fault(7, FaultKind::Ignition)));
    let people: Vec<OperatorName> = (0..3).map(name).collect();
    let boiler: BoilerId = "b1".parse().unwrap();
    let anna = Approved { by: name(0), sequence: 1, at: 0.0 };
    let votes = [Vote { approved: anna, age: Duration::from_secs(130) }];
    let reset = Bench::new(1).stream_with_reset();
    let on = Approving {
        boiler: &boiler,
        fault: fault(7, FaultKind::Ignition).into(),
        by: &people[1],
        operators: &people,
        control: true,
        status: Some(&locked),
        freshness: FreshnessLimits::at_speed(1),
        votes: &votes,
        reset: None,
    };
    let approval = approve(START, &on).unwrap();
    assert_eq!((approval.kind, approval.by.as_str()), (FaultKind::Ignition, "ben"));
    let refused = |on: &Approving<'_>| approve(START, on).unwrap_err().to_string();
    let twice = "anna approved 3 min ago; it counts for 15 min, and another operator must approve too: ben, carla";
    assert_eq!(refused(&Approving { by: &people[0], ..on.clone() }), twice);
    let old = [Vote { age: Duration::from_secs(901), ..votes[0].clone() }];
    assert!(approve(START, &Approving { by: &people[0], votes: &old, ..on.clone() }).is_ok(), "it has expired");
    let ordered = "the reset of fault 00000003deadbeef-7 was ordered already, and there is one for each fault; \
                   look at its events";
    assert_eq!(refused(&Approving { reset: Some(&reset), ..on.clone() }), ordered);
    let other = Approving { fault: fault(8, FaultKind::Ignition).into(), ..on.clone() };
    let reason = "boiler b1 has no fault 00000003deadbeef-8; its fault is 00000003deadbeef-7 (ignition)";
    assert_eq!(refused(&other), reason);
    for (fault, reason) in [
        (None, "boiler b1 has no fault 00000003deadbeef-7; it has no fault"),
        (
            Some(fault(7, FaultKind::Overheat)),
            "fault 00000003deadbeef-7 (overheat) can only be reset at the boiler, after an inspection",
        ),
        (
            Some(Fault { lockout: false, ..fault(7, FaultKind::LowPressure) }),
            "fault 00000003deadbeef-7 (low_pressure) passes by itself; only a lockout is reset",
        ),
    ] {
        assert_eq!(refused(&Approving { status: Some(&status(fault)), ..on.clone() }), reason);
    }
    assert!(refused(&Approving { control: false, ..on.clone() }).starts_with("control is off"));
    let old = Status { created_at: START.unix_seconds() - 9.0, ..locked.clone() };
    let stale = refused(&Approving { status: Some(&old), ..on.clone() });
    assert_eq!(stale, "the status is 9 s old; at most 5 s are allowed");
    let nothing = Refusal::Rule(command::Refusal::Nothing { boiler: boiler.clone(), what: "status", by: "the agent" });
    assert_eq!(approve(START, &Approving { status: None, ..on.clone() }), Err(nothing));
}

impl Bench {
    fn stream_with_reset(mut self) -> Reset {
        self.lock(Some(fault(7, FaultKind::Ignition)));
        self.approve(0);
        self.resets()[0].1.clone()
    }
}
