//! The invariants, checked when a world ends.
//!
//! | id | compares |
//! |---|---|
//! | S1 | in a lossless world: no gap of the ring; in every world: the content of the spill file |
//! | S1 | where no fault loses bytes or records: each ended boot, up to its end |
//! | S2, S4 | each message begins where its predecessor ended, and has what the firmware sampled |
//! | S3 | the averages, with a sum over every reading in SAMPLES |
//! | S6 | an aggregator that starts without state; each hour once |
//! | S7 | the set-points written to the line, by boot and number, with those in force on the device (`leases`) |
//! | S8 | stamps within a boot, with the true time |
//!
//! S5 is checked at every step, L1 at the end of the calm phase, and a gap of the ring when it is stored.

use std::collections::BTreeMap;

use thermowell_flow::published::Snapshot;
use thermowell_wire::batch::{Packed, decode};
use thermowell_wire::line::GapReason;
use thermowell_wire::units::{HOUR_NS, SECOND_NS};
use thermowell_wire::{Boot, Reading, Slot};

use crate::aggregator::{begin, first_utc_ns, json, snapshot};
use crate::broker::{Broker, Stored};
use crate::plan::Kind;
use crate::truth::BootRecord;
use crate::world::{START, World};

/// Largest error of a stamp: 300 ms of a stalled line at the start, and drift.
const STAMP_OFF_NS: i64 = 400_000_000;

/// A boot of this many slots was read up to its end: by then the agent has received its `Hello` and caught up.
const SETTLED: u64 = 300;
/// Sampled but not sent yet, when the firmware goes down.
const UNSENT_MAX: u64 = 4;

/// A valid reading and its stamp.
#[derive(Clone, Copy, Debug)]
struct Valid {
    utc_ns: i64,
    centi: i64,
}

impl World {
    pub(crate) fn judge(&mut self) {
        let messages = std::mem::take(&mut self.broker.samples.messages);
        let valid = self.judge_samples(&messages);
        self.judge_spilled(&messages);
        self.judge_ended_boots(&messages);
        self.broker.samples.messages = messages;
        self.judge_leases();
        self.judge_snapshots();
        if self.plan.has(Kind::ClockStep) {
            // Averages and hours across clock steps have their tests in `flow`.
            return;
        }
        self.judge_average(&valid);
        if !self.plan.has_any(&[Kind::Rollback, Kind::Wipe]) {
            self.judge_replay();
            self.judge_hours(&valid);
        }
    }

    fn judge_samples(&mut self, messages: &[Stored]) -> Vec<Valid> {
        let mut valid = Vec::new();
        let mut end: Option<(Slot, i64)> = None;
        for stored in messages {
            let Ok(packed) = decode(&stored.payload) else { continue };
            self.judge_order(&packed, end);
            match &packed {
                Packed::Gap(gap) => {
                    let missed = gap.reason == GapReason::Missed;
                    let lost = !self.plan.lossless || missed;
                    self.check(lost, || format!("S1 lost in a lossless world: {gap:?}"));
                    if missed {
                        let record = self.truth.boot(gap.boot);
                        let named =
                            record.is_some_and(|it| (gap.from..gap.to).all(|seq| it.reading(seq) == Some(None)));
                        self.check(named, || format!("S4 sampled, but reported as missed: {gap:?}"));
                    }
                }
                Packed::Batch(batch) => {
                    let header = batch.header;
                    for (index, reading) in (0..).zip(batch.readings()) {
                        self.judge_reading(Slot::new(header.boot, header.seq + u64::from(index)), reading);
                        if reading.is_valid() {
                            let centi = i64::from(reading.temperature.0);
                            valid.push(Valid { utc_ns: header.utc_ns(index), centi });
                        }
                    }
                }
            }
            self.judge_stamp(&packed, stored.at);
            end = Some((packed.end(), packed.end_utc_ns()));
        }
        valid
    }

    /// What the spill file held when an agent died must be delivered by its successor, regardless of the ring.
    fn judge_spilled(&mut self, messages: &[Stored]) {
        if self.plan.has(Kind::Wipe) {
            // Records are removed when they are delivered, and then the stream was wiped.
            return;
        }
        for message in messages {
            let Ok(Packed::Gap(gap)) = decode(&message.payload) else { continue };
            let lost = self.spilled.iter().find(|(boot, from, end)| {
                *boot == gap.boot && gap.reason != GapReason::Missed && *from < gap.to && gap.from < *end
            });
            let lost = lost.copied();
            self.check(lost.is_none(), || format!("S1 the spill file had {lost:?}: {gap:?}"));
        }
    }

    /// What an ended boot sent is delivered, where no fault loses it on the way. A scenario may reboot unread.
    fn judge_ended_boots(&mut self, messages: &[Stored]) {
        if !self.plan.has(Kind::Reboot) || self.plan.has_any(&Kind::LOSSY) {
            return;
        }
        let mut ends: BTreeMap<Boot, u64> = BTreeMap::new();
        for message in messages {
            let Ok(end) = decode(&message.payload).map(|packed| packed.end()) else { continue };
            ends.insert(end.boot, end.seq);
        }
        let Some((_, ended)) = self.truth.boots.split_last() else { return };
        // Missed slots are reported with the next sample.
        let sampled = |record: &BootRecord| record.slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let ended: Vec<_> = ended.iter().map(|record| (record.boot, sampled(record) as u64)).collect();
        for (boot, slots) in ended {
            let end = ends.get(&boot).copied().unwrap_or(0);
            let whole = slots < SETTLED || end + UNSENT_MAX >= slots;
            self.check(whole, || format!("S1 {boot} ended at {slots}, SAMPLES has it up to {end}"));
        }
    }

    fn judge_order(&mut self, packed: &Packed<'_>, before: Option<(Slot, i64)>) {
        let first = packed.first();
        let Some((end, end_utc_ns)) = before else {
            let ring = matches!(packed, Packed::Gap(gap) if gap.reason == GapReason::Ring);
            return self.check(!ring, || format!("S4 the history begins with lost slots: {first}"));
        };
        let goes_on =
            if first.boot == end.boot { first.seq == end.seq } else { first.boot > end.boot && first.seq == 0 };
        self.check(goes_on, || format!("S2 {first} is stored after {end}"));
        let back = end_utc_ns - first_utc_ns(packed);
        let steps = self.plan.has(Kind::ClockStep) || first.boot != end.boot;
        // More than 20 ms is a reported step back; less than half a period is the correction of the clock.
        let back = !steps && back > 5_000_000 && back <= 20_000_000;
        self.check(!back, || format!("S8 {first} goes back"));
    }

    fn judge_reading(&mut self, slot: Slot, reading: Reading) {
        let sampled = self.truth.boot(slot.boot).and_then(|record| record.reading(slot.seq));
        self.check(sampled == Some(Some(reading)), || format!("S2 {slot} is {reading:?} instead of {sampled:?}"));
    }

    /// A stamp is the true time plus an offset that the wall clock had at some moment between sampling and storing,
    /// because a slot is stamped once, in between.
    fn judge_stamp(&mut self, packed: &Packed<'_>, stored_at: u64) {
        let (first, stamp) = (packed.first(), first_utc_ns(packed));
        let Some(record) = self.truth.boot(first.boot) else {
            return self.fail(format!("S2 unknown boot {}", first.boot));
        };
        let (truth, end, sampled) = (record.utc_of(first.seq), packed.end(), record.slots.len() as u64);
        self.check(end.seq <= sampled, || format!("S4 {first} to {end} of a boot with {sampled} slots"));
        let taken_at = START + u64::try_from(truth - self.utc_at(START)).unwrap_or(0);
        let replaced = self.offsets.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
        let shown =
            self.offsets.iter().zip(replaced).filter(|((since, _), until)| *since <= stored_at && taken_at < *until);
        let off = shown.map(|((_, offset), _)| (stamp - truth - offset).abs()).min().unwrap_or(i64::MAX);
        self.check(off < STAMP_OFF_NS, || format!("S8 {first} is stamped {} ms off", off / 1_000_000));
    }

    fn judge_snapshots(&mut self) {
        let mut before: Option<i64> = None;
        let rolled_back = self.plan.has(Kind::Rollback);
        for stored in self.broker.snapshots.messages.clone() {
            let snapshot = snapshot(&stored);
            let Snapshot { slots, temperature_points, missing, created_at, .. } = &snapshot;
            let closes = *slots == temperature_points + missing.total();
            self.check(closes, || format!("S4 {} does not add up: {snapshot:?}", snapshot.hour));
            self.check(missing.unexplained == 0, || format!("S4 unexplained slots: {snapshot:?}"));
            let rises = before.is_none_or(|before| before < *created_at);
            self.check(rises || rolled_back, || format!("S6 {} is stored twice", snapshot.hour));
            before = Some(*created_at);
        }
    }

    /// The rolling average, against a sum over every reading of the last 3,600 panes.
    fn judge_average(&mut self, valid: &[Valid]) {
        let Some(state) = self.aggregator.aggregator().and_then(|it| it.state()) else {
            return self.fail("S3 no state".to_owned());
        };
        let Some(newest) = self.aggregator.aggregator().and_then(|it| it.newest()) else { return };
        let upto = newest.second();
        let held = self.broker.samples.messages.first().map_or(0, |stored| stored.sequence);
        let first_read = self.broker.snapshots.tail().map_or(0, |stored| snapshot(stored).samples.first);
        let restarted = held > first_read && first_read > 0;
        if restarted || self.plan.has(Kind::Wipe) {
            // The stream no longer has what the window was computed from.
            return;
        }
        let (mut sum, mut points) = (0, 0);
        for reading in valid {
            let second = reading.utc_ns.div_euclid(SECOND_NS);
            if second > upto - 3_600 && second <= upto {
                sum += reading.centi;
                points += 1;
            }
        }
        let counted = state.average_points;
        self.check(counted == points, || format!("S3 {counted} readings averaged, expected {points}"));
        let (average, mean) = (state.average.unwrap_or(f64::NAN), mean(sum, points));
        self.check((average - mean).abs() < 0.005_1, || format!("S3 the average is {average}, expected {mean}"));
    }

    /// Each hour, against a sum over its readings.
    fn judge_hours(&mut self, valid: &[Valid]) {
        let mut hours: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
        for reading in valid {
            let hour = hours.entry(reading.utc_ns.div_euclid(HOUR_NS)).or_default();
            hour.0 += reading.centi;
            hour.1 += 1;
        }
        for stored in self.broker.snapshots.messages.clone() {
            let snapshot = snapshot(&stored);
            let hour = snapshot.created_at * SECOND_NS / HOUR_NS - 1;
            let (sum, points) = hours.get(&hour).copied().unwrap_or_default();
            let equal = snapshot.sum_centi == sum && snapshot.temperature_points == points;
            self.check(equal, || format!("S3 {} has {points} readings, sum {sum}: {snapshot:?}", snapshot.hour));
        }
    }

    /// An aggregator that starts without state publishes the same bytes.
    fn judge_replay(&mut self) {
        let empty = Broker { samples: self.broker.samples.clone(), ..Broker::default() };
        let (mut aggregator, _) = begin(self.aggregator_settings(), &empty);
        let (mut effects, mut closed) = (Vec::new(), Vec::new());
        for stored in &empty.samples.messages {
            aggregator.observe(stored.sequence, &stored.payload, &mut effects);
            while let Some((expected, snapshot)) = aggregator.next_snapshot() {
                closed.push(json(snapshot));
                aggregator.snapshot_stored(expected + 1);
            }
        }
        let published: Vec<Vec<u8>> = self.broker.snapshots.messages.iter().map(|it| it.payload.clone()).collect();
        let differ = closed.iter().zip(&published).find(|(again, published)| again != published);
        let (again, published_len) = (closed.len(), published.len());
        self.check(again == published_len, || {
            format!("S6 a replay closes {again} hours, {published_len} are published")
        });
        self.check(differ.is_none(), || {
            let text =
                differ.map(|(a, b)| (String::from_utf8_lossy(a).into_owned(), String::from_utf8_lossy(b).into_owned()));
            format!("S6 a replay gives other bytes: {text:?}")
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "an hour of centi-degrees stays far below 2^53")]
fn mean(sum: i64, points: u64) -> f64 {
    sum as f64 / points as f64 / 100.0
}
