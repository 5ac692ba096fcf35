//! A stream is generated from [`Op`]s, together with the truth of each slot. The aggregator works on spans and panes;
//! the reference evaluates one slot after the other.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use thermowell_wire::batch::{BatchHeader, GAP_ENCODED_MAX, encode_batch, encode_gap, encoded_max};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, CentiCelsius};

use super::*;
use crate::published::Missing;
use crate::time::HOUR_NS;

/// Two slots a second: few enough for a reference by slot, and still several per second.
const PERIOD_NS: u32 = 500_000_000;
const DEVICE: u32 = 7;

#[derive(Clone, Copy, Debug)]
enum Op {
    Read { count: u16, pump: bool, draw: bool, invalid: bool, slew: i8 },
    Gap { count: u64, reason: GapReason },
    Lose { count: u64 },
    Reboot { off_s: i64, ring: u64, lost: u64 },
    Again,
    Overlap { back: u16, count: u16 },
    Garbage,
    Unsynced { count: u16 },
    StepBack { by_s: i64, count: u16 },
}

/// One slot and its expected outcome.
#[derive(Clone, Copy, Debug)]
struct Truth {
    slot: Option<Slot>,
    utc_ns: i64,
    outcome: Result<Reading, Reason>,
}

struct Stream {
    messages: Vec<(u64, Vec<u8>)>,
    truth: Vec<Truth>,
    next: Slot,
    utc_ns: i64,
    /// The readings of the last batch, for messages that overlap.
    tail: Vec<(i64, Reading)>,
}

impl Stream {
    fn of(start_ns: i64, ops: &[Op]) -> Self {
        let next = Slot::new(Boot::new(3, 9), 1_000);
        let mut stream = Self { messages: Vec::new(), truth: Vec::new(), next, utc_ns: start_ns, tail: Vec::new() };
        stream.read(50, Op::Read { count: 50, pump: true, draw: false, invalid: false, slew: 0 });
        ops.iter().for_each(|op| stream.add(*op));
        stream
    }

    fn push(&mut self, bytes: Vec<u8>) {
        // Messages of other boilers are in between.
        let sequence = self.messages.last().map_or(41, |(sequence, _)| sequence + 3);
        self.messages.push((sequence, bytes));
    }

    fn batch(&mut self, first: Slot, utc_ns: i64, period_ns: u32, clock: ClockQuality, readings: &[Reading]) {
        let count = u16::try_from(readings.len()).unwrap();
        let header = BatchHeader {
            device: DEVICE,
            boot: first.boot,
            seq: first.seq,
            count,
            first_utc_ns: utc_ns,
            period_ns,
            clock,
            simulated: true,
        };
        let mut out = vec![0; encoded_max(readings.len())];
        let bytes = encode_batch(&header, readings, &mut out).unwrap().to_vec();
        self.push(bytes);
    }

    fn readings(&self, count: u16, marks: impl Fn(u16) -> u8) -> Vec<Reading> {
        let centi = |at: u16| i16::try_from((self.next.seq * 7 + u64::from(at) * 13) % 9_000).unwrap() - 500;
        (0..count).map(|at| Reading { temperature: CentiCelsius(centi(at)), marks: marks(at) }).collect()
    }

    fn read(&mut self, count: u16, op: Op) {
        let Op::Read { pump, draw, invalid, slew, .. } = op else { unreachable!() };
        let flags = u8::from(pump) * Reading::PUMP + u8::from(draw) * Reading::HOT_WATER;
        let readings = self.readings(count, |at| flags + u8::from(invalid && at % 5 == 0));
        let period_ns = PERIOD_NS.checked_add_signed(i32::from(slew) * 1_000).unwrap();
        self.batch(self.next, self.utc_ns, period_ns, ClockQuality::Synced, &readings);
        self.tail.clear();
        for reading in readings {
            self.truth.push(Truth { slot: Some(self.next), utc_ns: self.utc_ns, outcome: Ok(reading) });
            self.tail.push((self.utc_ns, reading));
            self.next.seq += 1;
            self.utc_ns += i64::from(period_ns);
        }
    }

    fn miss(&mut self, count: u64, reason: Reason) {
        for _ in 0..count {
            self.truth.push(Truth { slot: Some(self.next), utc_ns: self.utc_ns, outcome: Err(reason) });
            self.next.seq += 1;
            self.utc_ns += i64::from(PERIOD_NS);
        }
    }

    fn gap(&mut self, count: u64, reason: GapReason) {
        let gap = Gap {
            device: DEVICE,
            boot: self.next.boot,
            from: self.next.seq,
            to: self.next.seq + count,
            reason,
            from_utc_ns: self.utc_ns,
            period_ns: PERIOD_NS,
            clock: ClockQuality::Synced,
            simulated: true,
        };
        let mut out = [0; GAP_ENCODED_MAX];
        let bytes = encode_gap(&gap, &mut out).unwrap().to_vec();
        self.push(bytes);
        self.miss(count, reason.into());
        self.tail.clear();
    }

    fn plain(&mut self, count: u16) {
        self.read(count, Op::Read { count, pump: true, draw: false, invalid: false, slew: 0 });
    }

    fn add(&mut self, op: Op) {
        match op {
            Op::Read { count, .. } => self.read(count, op),
            Op::Gap { count, reason } => self.gap(count, reason),
            Op::Lose { count } => {
                self.miss(count, Reason::Unexplained);
                self.plain(7);
            }
            Op::Reboot { off_s, ring, lost } => self.reboot(off_s, ring, lost),
            Op::Again => {
                let (_, bytes) = self.messages.last().unwrap().clone();
                self.push(bytes);
            }
            Op::Overlap { back, count } => self.overlap(back, count),
            Op::Garbage => self.push(vec![1, 2, 3]),
            Op::Unsynced { count } => {
                let readings = self.readings(count, |_| Reading::PUMP);
                self.batch(self.next, self.utc_ns + 77, PERIOD_NS, ClockQuality::Unsynced, &readings);
                self.next.seq += u64::from(count);
                self.utc_ns += i64::from(count) * i64::from(PERIOD_NS);
                self.tail.clear();
            }
            Op::StepBack { by_s, count } => {
                self.utc_ns -= by_s * SECOND_NS;
                self.plain(count);
            }
        }
    }

    fn reboot(&mut self, off_s: i64, ring: u64, lost: u64) {
        // 0.2 of a slot off the grid of the old boot.
        let off_ns = off_s * SECOND_NS + i64::from(PERIOD_NS) / 5;
        let slots = (off_ns + i64::from(PERIOD_NS) / 2) / i64::from(PERIOD_NS);
        for at in 0..slots {
            let utc_ns = self.utc_ns + at * i64::from(PERIOD_NS);
            self.truth.push(Truth { slot: None, utc_ns, outcome: Err(Reason::Reboot) });
        }
        self.utc_ns += off_ns;
        self.next = Slot::new(Boot::new(self.next.boot.counter() + 1, 5), 0);
        if ring > 0 {
            self.gap(ring, GapReason::Ring);
        }
        self.miss(lost, Reason::Unexplained);
        self.plain(20);
    }

    /// A message that begins with slots of the last one.
    fn overlap(&mut self, back: u16, count: u16) {
        let back = usize::from(back).min(self.tail.len());
        let seen: Vec<(i64, Reading)> = self.tail[self.tail.len() - back..].to_vec();
        let fresh = self.readings(count, |_| Reading::PUMP);
        let readings: Vec<Reading> = seen.iter().map(|(_, reading)| *reading).chain(fresh.iter().copied()).collect();
        let first = Slot::new(self.next.boot, self.next.seq - u64::try_from(back).unwrap());
        let first_ns = self.utc_ns - i64::try_from(back).unwrap() * i64::from(PERIOD_NS);
        self.batch(first, first_ns, PERIOD_NS, ClockQuality::Synced, &readings);
        for reading in fresh {
            self.truth.push(Truth { slot: Some(self.next), utc_ns: self.utc_ns, outcome: Ok(reading) });
            self.next.seq += 1;
            self.utc_ns += i64::from(PERIOD_NS);
        }
        self.tail.clear();
    }
}

/// The expected content of an hour.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    created_at: i64,
    sum: i64,
    points: u64,
    heating: (i64, u64),
    minimum: Option<i16>,
    maximum: Option<i16>,
    missing: Missing,
    first: Option<Slot>,
}

fn expected(truth: &[Truth]) -> Vec<Expected> {
    let mut hours: Vec<Expected> = Vec::new();
    let mut marks: alloc::collections::BTreeMap<i64, (bool, bool)> = alloc::collections::BTreeMap::new();
    for Truth { utc_ns, outcome, .. } in truth {
        if let Ok(reading) = outcome {
            let (heats, draws) = marks.entry(Utc(*utc_ns).second()).or_insert((true, false));
            *heats &= reading.is_valid() && reading.pump() && !reading.hot_water();
            *draws |= reading.hot_water();
        }
    }
    let drawn = |second: i64| marks.range(second - 120..second).any(|(_, (_, draws))| *draws);
    for Truth { slot, utc_ns, outcome } in truth {
        let end = (Utc(*utc_ns).hour() + 1) * 3_600;
        while hours.last().is_none_or(|hour| hour.created_at < end) {
            let created_at = hours.last().map_or(end, |hour| hour.created_at + 3_600);
            hours.push(Expected { created_at, ..Expected::default() });
        }
        let hour = hours.last_mut().unwrap();
        hour.first = hour.first.or(*slot);
        match outcome {
            Ok(reading) if reading.is_valid() => {
                let centi = reading.temperature.0;
                hour.sum += i64::from(centi);
                hour.points += 1;
                hour.minimum = Some(hour.minimum.map_or(centi, |minimum| minimum.min(centi)));
                hour.maximum = Some(hour.maximum.map_or(centi, |maximum| maximum.max(centi)));
                let second = Utc(*utc_ns).second();
                if marks[&second].0 && !drawn(second) {
                    hour.heating.0 += i64::from(centi);
                    hour.heating.1 += 1;
                }
            }
            Ok(_) => hour.missing.invalid += 1,
            Err(Reason::Reboot) => hour.missing.reboot += 1,
            Err(Reason::Ring) => hour.missing.ring += 1,
            Err(Reason::Missed) => hour.missing.missed += 1,
            Err(Reason::Unexplained) => hour.missing.unexplained += 1,
            Err(Reason::Discarded) => hour.missing.discarded += 1,
            Err(Reason::Clock) => hour.missing.clock += 1,
        }
    }
    hours.pop();
    hours
}

fn settings() -> Settings {
    Settings { boiler: "b1".parse().unwrap(), instance: String::from("here") }
}

/// Feeds all messages and acknowledges every snapshot; returns snapshots, effects and the aggregator.
fn run(stream: &[(u64, Vec<u8>)], last: Option<(u64, Snapshot)>) -> (Vec<Snapshot>, Vec<Effect>, Aggregator) {
    let mut aggregator = Aggregator::new(settings(), last);
    aggregator.stream_begins_at(1);
    let from = aggregator.replay_from().unwrap_or(0);
    let mut snapshots = Vec::new();
    let mut effects = Vec::new();
    for (sequence, bytes) in stream.iter().filter(|(sequence, _)| *sequence >= from) {
        aggregator.observe(*sequence, bytes, &mut effects);
        while let Some((expected, snapshot)) = aggregator.next_snapshot() {
            let sequence = expected + 1;
            snapshots.push(snapshot.clone());
            aggregator.snapshot_stored(sequence);
        }
    }
    (snapshots, effects, aggregator)
}

fn json(snapshots: &[Snapshot]) -> Vec<String> {
    snapshots.iter().map(|snapshot| serde_json::to_string(snapshot).unwrap()).collect()
}

fn restored(snapshot: &Snapshot) -> Snapshot {
    serde_json::from_str(&serde_json::to_string(snapshot).unwrap()).unwrap()
}

fn any_read() -> impl Strategy<Value = Op> {
    (1u16..900, prop::bool::weighted(0.85), prop::bool::weighted(0.15), prop::bool::weighted(0.2), any::<i8>())
        .prop_map(|(count, pump, draw, invalid, slew)| Op::Read { count, pump, draw, invalid, slew })
}

fn any_op() -> impl Strategy<Value = Op> {
    let reason = prop_oneof![Just(GapReason::Ring), Just(GapReason::Missed), Just(GapReason::Discarded)];
    let off = prop_oneof![4 => 0i64..400, 1 => 3_000i64..40_000];
    prop_oneof![
        30 => any_read(),
        3 => (prop_oneof![1u64..500, 5_000u64..20_000], reason).prop_map(|(count, reason)| Op::Gap { count, reason }),
        1 => (1u64..9_000).prop_map(|count| Op::Lose { count }),
        2 => (off, 0u64..300, 0u64..3).prop_map(|(off_s, ring, lost)| Op::Reboot { off_s, ring, lost }),
        2 => Just(Op::Again),
        2 => (0u16..60, 1u16..200).prop_map(|(back, count)| Op::Overlap { back, count }),
        1 => Just(Op::Garbage),
    ]
}

fn any_op_of_time() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => any_op(),
        2 => (1u16..900).prop_map(|count| Op::Unsynced { count }),
        1 => (1i64..4_000, 1u16..900).prop_map(|(by_s, count)| Op::StepBack { by_s, count }),
    ]
}

const HOUR_START_NS: i64 = 490_000 * HOUR_NS;

fn starts() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(HOUR_START_NS),
        HOUR_START_NS..HOUR_START_NS + HOUR_NS,
        HOUR_START_NS - 30 * SECOND_NS..HOUR_START_NS
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// S2, S3, S4.
    #[test]
    fn hours_agree_with_a_reference_by_slot(
        start in starts(),
        ops in prop::collection::vec(any_op(), 1..80),
    ) {
        let stream = Stream::of(start, &ops);
        let (snapshots, _, aggregator) = run(&stream.messages, None);
        let open = aggregator.ledger.open().unwrap();
        let (mut counted, mut missing) = (open.valid.points, open.missing);
        for snapshot in &snapshots {
            counted += snapshot.temperature_points;
            missing += snapshot.missing;
        }
        prop_assert_eq!(aggregator.slots(), (counted, missing));
        prop_assert_eq!(aggregator.last_hour(), snapshots.last().map(hour_of));
        let found: Vec<Expected> = snapshots.iter().map(|snapshot| Expected {
            created_at: snapshot.created_at,
            sum: snapshot.sum_centi,
            points: snapshot.temperature_points,
            heating: (
                snapshot.heating.temperature.map_or(0, |_| 1),
                snapshot.heating.points,
            ),
            minimum: snapshot.minimum.map(|celsius| CentiCelsius::from_celsius(celsius).0),
            maximum: snapshot.maximum.map(|celsius| CentiCelsius::from_celsius(celsius).0),
            missing: snapshot.missing,
            first: snapshot.first,
        }).collect();
        let expected = expected(&stream.truth);
        for (snapshot, hour) in snapshots.iter().zip(&expected) {
            let mean = centi_mean(hour.heating.0, hour.heating.1).map(celsius);
            prop_assert_eq!(snapshot.heating.temperature, mean);
            prop_assert_eq!(snapshot.slots, snapshot.temperature_points + snapshot.missing.total());
        }
        let expected: Vec<Expected> = expected
            .into_iter()
            .map(|hour| Expected { heating: (i64::from(hour.heating.1 > 0), hour.heating.1), ..hour })
            .collect();
        prop_assert_eq!(found, expected);
        let partial = snapshots.iter().filter(|snapshot| snapshot.partial).count();
        prop_assert_eq!(partial, usize::from(!snapshots.is_empty()));
        let state = aggregator.state().unwrap();
        let newest = aggregator.newest().unwrap().second();
        let window: Vec<Reading> = stream.truth.iter()
            .filter(|truth| (newest - 3_599..=newest).contains(&Utc(truth.utc_ns).second()))
            .filter_map(|truth| truth.outcome.ok().filter(|reading| reading.is_valid()))
            .collect();
        prop_assert_eq!(state.average_points, u64::try_from(window.len()).unwrap());
        let sum: i64 = window.iter().map(|reading| i64::from(reading.temperature.0)).sum();
        prop_assert_eq!(state.average, centi_mean(sum, state.average_points).map(celsius));
    }

    /// S6: a restart from any stored snapshot gives the same bytes, including those of the stored hour.
    #[test]
    fn restart_from_any_snapshot_gives_the_same_bytes(
        start in starts(),
        ops in prop::collection::vec(any_op_of_time(), 10..50),
        from in 0usize..6,
    ) {
        let stream = Stream::of(start, &ops);
        let (snapshots, _, first_run) = run(&stream.messages, None);
        for (at, stored) in snapshots.iter().enumerate().skip(from).step_by(6) {
            let (again, effects, aggregator) = run(&stream.messages, Some((9, restored(stored))));
            let differing = effects.iter().find(|effect| matches!(effect, Effect::Event(..)));
            prop_assert_eq!(differing, None, "hour {} of {:?}", &stored.hour, stored);
            prop_assert_eq!(json(&again), json(&snapshots[at + 1..]));
            prop_assert_eq!(aggregator.newest(), first_run.newest());
        }
    }

    /// S6: after a crash at any message, the next run continues with the same bytes.
    #[test]
    fn crash_at_any_message_gives_the_same_bytes(
        start in starts(),
        ops in prop::collection::vec(any_op_of_time(), 20..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let stream = Stream::of(start, &ops);
        let (all, _, _) = run(&stream.messages, None);
        let (mut snapshots, _, _) = run(&stream.messages[..cut.index(stream.messages.len())], None);
        let last = snapshots.last().map(|last| (1, restored(last)));
        snapshots.extend(run(&stream.messages, last).0);
        prop_assert_eq!(json(&snapshots), json(&all));
    }
}

/// Messages of one second each.
fn seconds(count: u64) -> Vec<(u64, Vec<u8>)> {
    let ops =
        vec![Op::Read { count: 2, pump: true, draw: false, invalid: false, slew: 0 }; usize::try_from(count).unwrap()];
    Stream::of(HOUR_START_NS, &ops).messages
}

#[test]
fn lost_slots_are_discarded_or_unexplained() {
    let messages = seconds(100);
    for (begins_at, discarded, unexplained) in [(1, 0, 20), (messages[60].0, 20, 0)] {
        let mut aggregator = Aggregator::new(settings(), None);
        let mut effects = Vec::new();
        messages[..50].iter().for_each(|(sequence, bytes)| aggregator.observe(*sequence, bytes, &mut effects));
        aggregator.stream_begins_at(begins_at);
        messages[60..].iter().for_each(|(sequence, bytes)| aggregator.observe(*sequence, bytes, &mut effects));
        assert_eq!((aggregator.counters().discarded, aggregator.counters().unexplained), (discarded, unexplained));
        assert_eq!(effects.len(), 1);
    }
}

#[test]
fn recreated_stream_is_read_from_its_beginning() {
    let messages = seconds(7_300);
    let (snapshots, _, _) = run(&messages, None);
    let stored = &snapshots[0];
    let at = |sequence: u64| messages.iter().find(|(found, _)| *found == sequence).map(|(_, bytes)| bytes.as_slice());
    let mut aggregator = Aggregator::new(settings(), Some((4, restored(stored))));
    aggregator.found_at_replay(at(stored.samples.replay));
    assert_eq!(aggregator.replay_from(), Some(stored.samples.replay));
    aggregator.found_at_replay(Some(&messages[7_000].1));
    assert_eq!(aggregator.replay_from(), None);
    // Slots between the stored hour and the stream's beginning are discarded; nothing is compared.
    let (rest, effects, aggregator) = run(&messages[4_000..], Some((4, restored(stored))));
    assert_eq!(rest.len(), 1);
    assert!(rest[0].missing.discarded > 0 && rest[0].slots == 7_200 && !rest[0].partial);
    assert_eq!(aggregator.counters().discarded, rest[0].missing.discarded);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Event(..))).count(), 0);
}

#[test]
fn another_writer_of_snapshots_is_detected() {
    let messages = seconds(3 * 3_600);
    let filled = || {
        let mut aggregator = Aggregator::new(settings(), None);
        messages.iter().for_each(|(sequence, bytes)| aggregator.observe(*sequence, bytes, &mut Vec::new()));
        aggregator
    };
    let (snapshots, _, _) = run(&messages, None);
    let compare = |found: Option<(u64, Snapshot)>| {
        let (mut aggregator, mut effects) = (filled(), Vec::new());
        aggregator.snapshot_conflict(found, &mut effects);
        let next = aggregator.next_snapshot().map(|(expected, snapshot)| (expected, snapshot.created_at));
        (next.unwrap(), effects)
    };
    let first = snapshots[0].created_at;
    assert_eq!(compare(None), ((0, first), vec![]));
    assert_eq!(compare(Some((9, snapshots[0].clone()))), ((9, first + 3_600), vec![]));
    let mut other = snapshots[0].clone();
    other.sum_centi += 1;
    let (next, effects) = compare(Some((9, other)));
    assert_eq!(next, (9, first + 3_600));
    assert!(matches!(&effects[..], [Effect::Log(Log::SnapshotDiffers { .. }), Effect::Event(EventKind::Snapshot, _)]));
    let (_, effects) = compare(Some((9, snapshots[1].clone())));
    assert!(matches!(&effects[..], [Effect::Log(Log::AnotherIsAhead { .. }), Effect::Restart]));
}

#[test]
fn window_is_cleared_when_trusted_time_begins() {
    let read = Op::Read { count: 100, pump: true, draw: false, invalid: false, slew: 0 };
    let mut stream = Stream::of(HOUR_START_NS, &[read, Op::Unsynced { count: 40 }]);
    let (_, _, aggregator) = run(&stream.messages, None);
    let state = aggregator.state().unwrap();
    assert_eq!((state.average_points, state.clock), (190, ClockQuality::Unsynced));
    stream.add(read);
    let (_, _, aggregator) = run(&stream.messages, None);
    let state = aggregator.state().unwrap();
    assert_eq!((state.average_points, state.clock), (100, ClockQuality::Synced));
}

#[test]
fn readings_stamped_in_the_past_are_not_averaged() {
    let read = Op::Read { count: 100, pump: true, draw: false, invalid: false, slew: 0 };
    let short = Op::Read { count: 10, pump: true, draw: false, invalid: false, slew: 0 };
    let mut stream = Stream::of(HOUR_START_NS, &[read, Op::StepBack { by_s: 60, count: 100 }, short]);
    let (_, _, aggregator) = run(&stream.messages, None);
    let before = run(&stream.messages[..2], None).2;
    assert_eq!(aggregator.newest(), before.newest());
    assert_eq!(aggregator.counters().stepped_back, 110);
    let state = aggregator.state().unwrap();
    assert_eq!((state.average_points, state.current), (150, None));
    // 60 s are 120 slots, the last of which has the stamp of the newest one before.
    stream.add(Op::Read { count: 20, pump: true, draw: false, invalid: false, slew: 0 });
    let (_, _, aggregator) = run(&stream.messages, None);
    assert_eq!((aggregator.counters().stepped_back, aggregator.state().unwrap().average_points), (120, 160));
}

#[test]
fn unsynced_stamps_do_not_move_the_high_water_mark() {
    for (by_ns, points) in [(30 * SECOND_NS, 100), (-9 * 365 * 24 * HOUR_NS, 50), (9 * 365 * 24 * HOUR_NS, 50)] {
        let mut stream = Stream::of(HOUR_START_NS, &[]);
        let (next, utc_ns) = (stream.next, stream.utc_ns);
        let readings = stream.readings(50, |_| Reading::PUMP);
        stream.batch(next, utc_ns + by_ns, PERIOD_NS, ClockQuality::Unsynced, &readings);
        let (snapshots, _, aggregator) = run(&stream.messages, None);
        let state = aggregator.state().unwrap();
        assert_eq!((state.average_points, state.clock), (points, ClockQuality::Unsynced), "{by_ns}");
        assert_eq!((snapshots.len(), aggregator.ledger.newest_ns()), (0, Some(utc_ns - i64::from(PERIOD_NS))));
        // The next trusted slot is two hours later: the hours between are empty, and its own has the waiting slots.
        (stream.next.seq, stream.utc_ns) = (next.seq + 50, utc_ns + 2 * HOUR_NS);
        stream.plain(30);
        let (_, _, aggregator) = run(&stream.messages, None);
        assert_eq!(aggregator.state().unwrap().average_points, 30, "the window was cleared");
        stream.utc_ns += HOUR_NS;
        stream.plain(1);
        let (snapshots, _, _) = run(&stream.messages, None);
        let clock: Vec<_> = snapshots.iter().map(|hour| (hour.temperature_points, hour.missing.clock)).collect();
        assert_eq!(clock, [(50, 0), (0, 0), (30, 50)]);
    }
}

#[test]
fn closed_hours_stay_closed_when_the_clock_steps_back() {
    let read = Op::Read { count: 200, pump: true, draw: false, invalid: false, slew: 0 };
    let mut stream = Stream::of(HOUR_START_NS - 60 * SECOND_NS, &[read]);
    let (closed, _, _) = run(&stream.messages, None);
    stream.add(Op::StepBack { by_s: 2 * 3_600, count: 100 });
    let (snapshots, _, _) = run(&stream.messages, None);
    assert_eq!(json(&snapshots), json(&closed), "one hour, with the same bytes");
    stream.utc_ns += 3 * HOUR_NS;
    stream.plain(1);
    let (snapshots, _, _) = run(&stream.messages, None);
    assert_eq!(json(&snapshots[..1]), json(&closed));
    let hour = &snapshots[1];
    assert_eq!((hour.created_at, hour.missing.clock, hour.temperature_points), (490_001 * 3_600, 100, 130));
}

/// Even with a synchronised clock: after an hour opened in 2262 no other one could follow.
#[test]
fn implausible_stamp_opens_no_hour() {
    let until = Utc::PLAUSIBLE.end.0;
    for utc_ns in [i64::MIN, 0, Utc::PLAUSIBLE.start.0 - 1, until, until - SECOND_NS, i64::MAX - 60 * SECOND_NS] {
        let mut stream = Stream::of(HOUR_START_NS, &[]);
        let before = (stream.next, stream.utc_ns);
        let readings = stream.readings(100, |_| Reading::PUMP);
        stream.batch(before.0, utc_ns, PERIOD_NS, ClockQuality::Synced, &readings);
        let (snapshots, _, aggregator) = run(&stream.messages, None);
        assert!(snapshots.is_empty(), "{utc_ns}");
        assert_eq!((aggregator.counters().unsynced, aggregator.state().unwrap().clock), (100, ClockQuality::Unsynced));
        (stream.next.seq, stream.utc_ns) = (before.0.seq + 100, before.1 + 100 * i64::from(PERIOD_NS));
        stream.plain(100);
        let (_, _, aggregator) = run(&stream.messages, None);
        let open = aggregator.ledger.open().unwrap();
        assert_eq!((open.hour, open.valid.points, aggregator.counters().stepped_back), (490_000, 150, 0), "{utc_ns}");
    }
}

#[test]
fn restart_from_an_empty_hour_gives_the_same_bytes() {
    let read = Op::Read { count: 20, pump: true, draw: false, invalid: false, slew: 0 };
    let mut ops = vec![read; 100];
    ops.push(Op::Reboot { off_s: 60 * 3_600, ring: 30, lost: 0 });
    ops.extend(vec![read; 500]);
    // The last batches before the empty hours are within the 120 s before the hour.
    let stream = Stream::of(HOUR_START_NS - 1_030 * SECOND_NS, &ops);
    let (snapshots, _, _) = run(&stream.messages, None);
    assert_eq!(snapshots.len(), 1 + 48 + 1);
    assert_eq!(snapshots[49].skipped_hours, 12);
    for (at, stored) in snapshots.iter().enumerate() {
        let (again, effects, _) = run(&stream.messages, Some((9, restored(stored))));
        assert_eq!(effects, []);
        assert_eq!(json(&again), json(&snapshots[at + 1..]));
    }
}

#[test]
fn stored_last_slot_splits_messages_despite_stamps() {
    let messages = |start_ns| {
        // The hour's last slot is in the middle of a message and, shifted, of a second.
        let read = Op::Read { count: 49, pump: true, draw: false, invalid: false, slew: 0 };
        Stream::of(start_ns, &vec![read; 400]).messages
    };
    let (snapshots, _, _) = run(&messages(HOUR_START_NS), None);
    for shift_ns in [-1_300_000_000, -200_000_000, 200_000_000, 1_300_000_000] {
        let (again, effects, _) = run(&messages(HOUR_START_NS + shift_ns), Some((9, restored(&snapshots[0]))));
        assert_eq!(effects, [], "the stored hour holds the same slots");
        assert_eq!(again[0].first, Some(crate::consume::slot_after(snapshots[0].last)), "{shift_ns}");
    }
}

#[test]
fn restart_considers_the_draw_before_its_hour() {
    let read = |draw| Op::Read { count: 20, pump: true, draw, invalid: false, slew: 0 };
    // Two and a half hours of ten seconds each, and a draw that ends 50 s before each full hour.
    let ops: Vec<Op> = (1..900).map(|at| read(at % 360 == 355)).collect();
    let stream = Stream::of(HOUR_START_NS - 25 * SECOND_NS, &ops);
    let (snapshots, _, _) = run(&stream.messages, None);
    assert_eq!(snapshots.len(), 3);
    assert_eq!(snapshots[2].temperature_points - snapshots[2].heating.points, 2 * (70 + 10 + 50));
    for (at, stored) in snapshots.iter().enumerate() {
        let (again, effects, _) = run(&stream.messages, Some((9, restored(stored))));
        assert_eq!(effects, []);
        assert_eq!(json(&again), json(&snapshots[at + 1..]));
    }
}

#[test]
fn state_without_a_reading_has_the_cause() {
    let mut stream = Stream::of(HOUR_START_NS, &[]);
    let (_, _, aggregator) = run(&stream.messages, None);
    let state = aggregator.state().unwrap();
    assert_eq!((state.current.is_some(), state.quality), (true, SlotQuality::Ok));
    stream.gap(3, GapReason::Missed);
    let (_, _, aggregator) = run(&stream.messages, None);
    let state = aggregator.state().unwrap();
    assert_eq!((state.current, state.quality), (None, SlotQuality::Missing));
    assert_eq!(state.slot.seq, stream.next.seq - 1, "the last missing slot");
    assert!(serde_json::to_string(&state).unwrap().contains(r#""current":null,"quality":"missing""#));
}

/// A foreign board or a bridge may report a sensor that does not answer as `ok`.
#[test]
fn implausible_water_temperatures_are_invalid() {
    for centi in [-12_700, i16::MIN, 15_001] {
        let mut stream = Stream::of(HOUR_START_NS, &[]);
        let reading = Reading { temperature: CentiCelsius(centi), marks: Reading::PUMP };
        stream.batch(stream.next, stream.utc_ns, PERIOD_NS, ClockQuality::Synced, &[reading; 10]);
        let (_, _, before) = run(&stream.messages[..1], None);
        let (_, _, after) = run(&stream.messages, None);
        let (before, after) = (before.state().unwrap(), after.state().unwrap());
        assert_eq!((after.current, after.quality), (None, SlotQuality::OutOfRange), "{centi}");
        assert_eq!((after.average, after.minimum, after.maximum), (before.average, before.minimum, before.maximum));
        // The rest of the hour, and a slot of the next one.
        (stream.next.seq, stream.utc_ns) = (stream.next.seq + 10, stream.utc_ns + 10 * i64::from(PERIOD_NS));
        (0..9).for_each(|_| stream.plain(800));
        let (snapshots, _, _) = run(&stream.messages, None);
        assert_eq!((snapshots[0].missing.invalid, snapshots[0].slots), (10, snapshots[0].temperature_points + 10));
        assert!(snapshots[0].minimum.unwrap() >= -10.0);
    }
}
