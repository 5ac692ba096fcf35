//! One boiler's aggregator: SAMPLES in, the rolling state and the hourly snapshots out.
//!
//! It keeps nothing on disk: it begins at the boiler's last snapshot, reads SAMPLES from [`Aggregator::replay_from`],
//! and so restores the state of the previous run. Start, rollback, wiped stream and another machine share this path,
//! and a replay gives the same bytes.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use thermowell_wire::batch::{self, Batch, ClockQuality, Gap, Malformed, Packed};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{BoilerId, Reading, Slot};

use crate::aggregate::{Pane, Window, coverage};
use crate::consume::{Arrival, Consume, Lost, Refusal};
use crate::published::{EventBody, Missing, Provisional, SlotQuality, Snapshot, State, celsius, centi_mean};
use crate::snapshot::{Head, Ledger, Reason, Span, hour_of};
use crate::time::{SECOND_NS, Utc, hour_text, slots_ns};

mod counters;
#[cfg(test)]
mod tests;

pub use counters::Counters;

/// Bound on closed hours that wait for the server: two days without a reading and three days of SAMPLES are 120.
pub const BACKLOG_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The boiler.
    pub boiler: BoilerId,
    /// Identifies this process in the published state.
    pub instance: String,
}

/// Requests to the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Publishes an event.
    Event(EventKind, Box<EventBody>),
    /// Writes a log line.
    Log(Log),
    /// Discard this aggregator and begin at the stored snapshot, which is not the one from which this one continued.
    Restart,
}

/// Log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// A message is malformed.
    Malformed {
        sequence: u64,
        /// Why it was refused.
        cause: Malformed,
    },
    /// All slots of a message were seen before, or its boot is closed.
    Seen { sequence: u64, slots: u64 },
    /// Slots left the stream before they were read.
    Discarded { first: Slot, slots: u64 },
    /// Slots are missing for an unknown cause: a bug.
    Unexplained { first: Slot, slots: u64 },
    /// Stamps went back: these slots are not averaged.
    SteppedBack { first: Slot, slots: u64 },
    /// The stored snapshot of an hour differs from the recomputed one.
    SnapshotDiffers {
        /// In hours since 1970.
        hour: i64,
    },
    /// A later hour than ours is stored: another aggregator is ahead of this one.
    AnotherIsAhead {
        /// In hours since 1970.
        hour: i64,
    },
    /// Too many closed hours wait for the server: this one is only counted in `skipped_hours`.
    BacklogFull {
        /// In hours since 1970.
        hour: i64,
    },
}

/// The newest slot that is accounted for.
#[derive(Clone, Copy, Debug)]
struct Newest {
    slot: Slot,
    stamp: Utc,
    reading: Option<Reading>,
    period_ns: u32,
    clock: ClockQuality,
    simulated: bool,
}

/// One boiler's aggregator.
#[derive(Debug)]
pub struct Aggregator {
    settings: Settings,
    consume: Consume,
    window: Window,
    ledger: Ledger,
    /// The snapshot from which it continues, until its hour is closed again.
    stored: Option<Box<Snapshot>>,
    replay_from: Option<u64>,
    began: bool,
    newest: Option<Newest>,
    closed: VecDeque<Snapshot>,
    /// The sequence of the boiler's last snapshot; 0 without one.
    expected: u64,
    /// The hour of that snapshot.
    stored_hour: Option<i64>,
    dropped_hours: u64,
    counters: Counters,
    /// Slots of the hours that closed since it began: counted, and missing.
    closed_slots: (u64, Missing),
}

impl Aggregator {
    /// Begins at the boiler's last snapshot, given with its stream sequence; `None` at the beginning of a history.
    #[must_use]
    pub fn new(settings: Settings, last: Option<(u64, Snapshot)>) -> Self {
        let (expected, stored) = last.map_or((0, None), |(sequence, stored)| (sequence, Some(Box::new(stored))));
        let boiler = settings.boiler.clone();
        Self {
            settings,
            consume: Consume::new(),
            window: Window::new(),
            ledger: stored.as_ref().map_or(Ledger::new(boiler.clone()), |stored| Ledger::recompute(boiler, stored)),
            replay_from: stored.as_ref().map(|stored| stored.samples.replay),
            stored_hour: stored.as_deref().map(hour_of),
            stored,
            began: false,
            newest: None,
            closed: VecDeque::new(),
            expected,
            dropped_hours: 0,
            counters: Counters::default(),
            closed_slots: (0, Missing::default()),
        }
    }

    /// The sequence in SAMPLES from which to read; `None` is the beginning.
    #[must_use]
    pub fn replay_from(&self) -> Option<u64> {
        self.replay_from
    }

    /// Takes the message of this boiler in SAMPLES at [`Aggregator::replay_from`]. If there is none, or another one
    /// than the snapshot refers to (the stream was recreated), reading starts at the beginning.
    pub fn found_at_replay(&mut self, message: Option<&[u8]>) {
        let Some(stored) = &self.stored else { return };
        let first = message.and_then(|bytes| batch::decode(bytes).ok()).map(|packed| packed.first());
        if first.is_none_or(|first| first > Ledger::begin_of(stored)) {
            self.replay_from = None;
        }
    }

    /// Sets the first sequence of SAMPLES when reading began. Missing slots count as `discarded` if they may lie before
    /// it, else as `unexplained`.
    pub fn stream_begins_at(&mut self, first_sequence: u64) {
        self.consume.stream_begins_at(first_sequence);
    }

    /// Takes one message of SAMPLES of this boiler.
    pub fn observe(&mut self, sequence: u64, bytes: &[u8], effects: &mut Vec<Effect>) {
        let arrival = match self.consume.accept(sequence, bytes) {
            Ok(arrival) => arrival,
            Err(Refusal::Malformed(cause)) => {
                self.counters.malformed += 1;
                return effects.push(Effect::Log(Log::Malformed { sequence, cause }));
            }
            Err(Refusal::Seen { slots }) => {
                self.counters.duplicates += slots;
                return effects.push(Effect::Log(Log::Seen { sequence, slots }));
            }
        };
        let lost = arrival.lost.or_else(|| self.begin(&arrival));
        let head = head_of(sequence, &arrival.packed);
        self.counters.duplicates += arrival.seen;
        self.ledger.enter(&head);
        if let Some(lost) = lost {
            self.lose(&lost, &head, effects);
        }
        match &arrival.packed {
            Packed::Batch(batch) => self.batch(batch, arrival.seen, &head, effects),
            Packed::Gap(gap) => self.gap(gap, arrival.seen, &head),
        }
        self.ledger.leave(&head, arrival.packed.end_utc_ns());
        self.take_closed(effects);
    }

    /// The state to publish; `None` before the first slot.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let newest = self.newest?;
        let view = self.window.view();
        let valid = newest.reading.filter(|reading| reading.is_valid());
        let provisional = match self.ledger.open() {
            Some(open) => Provisional {
                hour: hour_text(open.hour),
                temperature: centi_mean(open.valid.centi, open.valid.points).map(celsius),
                points: open.valid.points,
            },
            None => Provisional { hour: hour_text(newest.stamp.hour()), temperature: None, points: 0 },
        };
        Some(State {
            boiler: self.settings.boiler.clone(),
            instance: self.settings.instance.clone(),
            stamp: newest.stamp.unix_seconds(),
            slot: newest.slot,
            current: valid.map(|reading| reading.temperature.celsius()),
            quality: newest.reading.map_or(SlotQuality::Missing, |reading| reading.quality().into()),
            heating: view.is_heating,
            average: centi_mean(view.valid.centi, view.valid.points).map(celsius),
            average_points: view.valid.points,
            average_heating: centi_mean(view.heating.centi, view.heating.points).map(celsius),
            heating_share: coverage(view.heating_seconds, u32::try_from(SECOND_NS).expect("10^9 is below 2^32")),
            coverage: coverage(view.valid.points, newest.period_ns),
            minimum: view.minimum.map(|centi| celsius(i64::from(centi))),
            maximum: view.maximum.map(|centi| celsius(i64::from(centi))),
            provisional,
            last_hour: self.stored_hour.map(hour_text),
            clock: newest.clock,
            simulated: newest.simulated,
            version: 1,
        })
    }

    /// The oldest closed hour that is not stored yet, and the sequence that the boiler's last snapshot must have. One
    /// is in flight at a time.
    #[must_use]
    pub fn next_snapshot(&self) -> Option<(u64, &Snapshot)> {
        self.closed.front().map(|snapshot| (self.expected, snapshot))
    }

    /// The snapshot was stored under `sequence`.
    pub fn snapshot_stored(&mut self, sequence: u64) {
        if let Some(snapshot) = self.closed.pop_front() {
            self.expected = sequence;
            self.stored_hour = Some(hour_of(&snapshot));
        }
    }

    /// The snapshot was refused, or the outcome is unknown: `found` is the boiler's last stored one.
    pub fn snapshot_conflict(&mut self, found: Option<(u64, Snapshot)>, effects: &mut Vec<Effect>) {
        let Some((sequence, found)) = found else {
            // The stream is empty: earlier snapshots are lost, the next ones are published.
            self.expected = 0;
            return;
        };
        let hour = hour_of(&found);
        let Some(ours) = self.closed.front().map(hour_of) else { return };
        self.expected = sequence;
        if hour == ours {
            let snapshot = self.closed.pop_front().expect("the queue has a front");
            self.stored_hour = Some(hour);
            let last = snapshot.last;
            self.compare(snapshot, &found, effects);
            if last != found.last {
                effects.push(Effect::Restart);
            }
        } else if hour > ours {
            effects.push(Effect::Log(Log::AnotherIsAhead { hour }));
            effects.push(Effect::Restart);
        } else if Some(hour) != self.stored_hour {
            effects.push(Effect::Restart);
        }
    }

    /// When the newest slot was taken.
    #[must_use]
    pub fn newest(&self) -> Option<Utc> {
        self.newest.map(|newest| newest.stamp)
    }

    /// The last hour that is stored, in hours since 1970.
    #[must_use]
    pub fn last_hour(&self) -> Option<i64> {
        self.stored_hour
    }

    /// Slots of all hours since it began, the open one included: counted, and missing by reason. The first is the hour
    /// of the stored snapshot.
    #[must_use]
    pub fn slots(&self) -> (u64, Missing) {
        let (mut counted, mut missing) = self.closed_slots;
        if let Some(open) = self.ledger.open() {
            counted += open.valid.points;
            missing += open.missing;
        }
        (counted, missing)
    }

    /// Counts since the aggregator began.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Handles the first message: if it begins too late to recompute the stored hour, the history continues after that
    /// hour.
    fn begin(&mut self, arrival: &Arrival<'_>) -> Option<Lost> {
        let first_ever = !core::mem::replace(&mut self.began, true);
        let stored = self.stored.as_ref().filter(|_| first_ever)?;
        let first = arrival.packed.first();
        if first <= Ledger::begin_of(stored) {
            return None;
        }
        self.ledger = Ledger::after(self.settings.boiler.clone(), stored);
        let last = self.stored.take()?.last;
        let from = if last.boot == first.boot { last.seq + 1 } else { 0 };
        let count = first.seq.saturating_sub(from);
        (count > 0).then_some(Lost { first: Slot::new(first.boot, from), count, discarded: true })
    }

    fn lose(&mut self, lost: &Lost, head: &Head, effects: &mut Vec<Effect>) {
        let (first, slots) = (lost.first, lost.count);
        let back_ns = slots_ns(slots, head.period_ns);
        let span = Span { first, count: slots, utc_ns: head.utc_ns.saturating_sub(back_ns) };
        if lost.discarded {
            self.counters.discarded = self.counters.discarded.saturating_add(slots);
            effects.push(Effect::Log(Log::Discarded { first, slots }));
            self.ledger.record_missing(span, Reason::Discarded, head);
        } else {
            self.counters.unexplained = self.counters.unexplained.saturating_add(slots);
            effects.push(Effect::Log(Log::Unexplained { first, slots }));
            self.ledger.record_missing(span, Reason::Unexplained, head);
        }
    }

    fn gap(&mut self, gap: &Gap, seen: u64, head: &Head) {
        self.counters.gaps += 1;
        let skip_ns = slots_ns(seen, gap.period_ns);
        let first = Slot::new(gap.boot, gap.from + seen);
        let span = Span { first, count: gap.to - first.seq, utc_ns: gap.from_utc_ns.saturating_add(skip_ns) };
        self.ledger.record_missing(span, gap.reason.into(), head);
        let last_ns = Packed::Gap(*gap).end_utc_ns().saturating_sub(i64::from(gap.period_ns));
        let stamp = self.mark(last_ns, head);
        if head.synced {
            self.window.advance(stamp.second());
        }
        self.newest = Some(newest(Slot::new(gap.boot, gap.to - 1), stamp, None, head));
    }

    fn batch(&mut self, batch: &Batch<'_>, seen: u64, head: &Head, effects: &mut Vec<Effect>) {
        self.counters.batches += 1;
        let header = &batch.header;
        let mut at = u16::try_from(seen).expect("fewer slots were seen than a batch holds");
        let mut readings = batch.readings();
        readings.by_ref().take(usize::from(at)).for_each(drop);
        self.counters.samples += u64::from(header.count - at);
        if head.synced {
            let stale = self.stale(batch, at);
            self.step_back(batch, at, stale, head, effects);
            readings.by_ref().take(usize::from(stale)).for_each(drop);
            at += stale;
        } else {
            let span = span(batch, at, header.count - at);
            self.counters.unsynced += span.count;
            self.ledger.record_missing(span, Reason::Clock, head);
        }
        // Before the window moves: the change to trusted time clears it.
        let stamp = self.mark(header.utc_ns(header.count - 1), head);
        let mut newest_reading = None;
        while at < header.count {
            let slots = self.piece(batch, at);
            let mut pane = Pane::EMPTY;
            for reading in readings.by_ref().take(usize::from(slots)) {
                pane.add(reading);
                newest_reading = Some(reading);
            }
            let span = span(batch, at, slots);
            self.window.add(Utc(span.utc_ns).second(), &pane);
            if head.synced {
                self.ledger.count(&span, &pane, head);
            }
            at += slots;
        }
        let last = Slot::new(header.boot, header.seq + u64::from(header.count - 1));
        self.newest = Some(newest(last, stamp, newest_reading, head));
    }

    /// How many readings from `at` on lie in one second and on one side of the ledger's cuts.
    fn piece(&self, batch: &Batch<'_>, at: u16) -> u16 {
        let header = &batch.header;
        let utc = Utc(header.utc_ns(at));
        let left_ns = SECOND_NS - utc.0.rem_euclid(SECOND_NS);
        let in_second = u64::try_from(left_ns).unwrap_or(1).div_ceil(u64::from(header.period_ns));
        let uncut = self.ledger.uncut(Slot::new(header.boot, header.seq + u64::from(at)));
        let left = header.count - at;
        u16::try_from(in_second.min(uncut)).unwrap_or(left).min(left)
    }

    /// How many readings from `at` on are stamped at or below the high-water mark.
    fn stale(&self, batch: &Batch<'_>, at: u16) -> u16 {
        let mark_ns = self.ledger.newest_ns();
        let is_stale = |index: &u16| mark_ns.is_some_and(|mark_ns| batch.header.utc_ns(*index) <= mark_ns);
        let fresh = (at..batch.header.count).find(|index| !is_stale(index));
        fresh.unwrap_or(batch.header.count) - at
    }

    fn step_back(&mut self, batch: &Batch<'_>, at: u16, slots: u16, head: &Head, effects: &mut Vec<Effect>) {
        if slots == 0 {
            return;
        }
        let span = span(batch, at, slots);
        self.counters.stepped_back += span.count;
        effects.push(Effect::Log(Log::SteppedBack { first: span.first, slots: span.count }));
        self.ledger.record_missing(span, Reason::Clock, head);
    }

    /// The stamp of a message's last slot, or the high-water mark if that is later. The window is cleared where trusted
    /// time begins.
    fn mark(&mut self, last_ns: i64, head: &Head) -> Utc {
        if !head.synced {
            return Utc(last_ns);
        }
        if self.newest.is_some_and(|newest| newest.clock == ClockQuality::Unsynced) {
            self.window.clear();
        }
        Utc(self.ledger.newest_ns().map_or(last_ns, |mark_ns| mark_ns.max(last_ns)))
    }

    /// Takes the hours that the ledger closed: the stored one is compared, the others wait for the server.
    fn take_closed(&mut self, effects: &mut Vec<Effect>) {
        while let Some(mut snapshot) = self.ledger.take_closed() {
            self.counters.hours += 1;
            self.closed_slots.0 += snapshot.temperature_points;
            self.closed_slots.1 += snapshot.missing;
            let hour = hour_of(&snapshot);
            if let Some(stored) = self.stored.take_if(|stored| hour_of(stored) == hour) {
                self.compare(snapshot, &stored, effects);
            } else if self.closed.len() >= BACKLOG_MAX {
                self.dropped_hours += 1;
                self.counters.dropped_hours += 1;
                effects.push(Effect::Log(Log::BacklogFull { hour }));
            } else {
                snapshot.skipped_hours += core::mem::take(&mut self.dropped_hours);
                self.closed.push_back(snapshot);
            }
        }
    }

    /// Compares a recomputed hour with the stored one, which is kept; a difference is reported. Sequences may differ,
    /// because a stream can be recreated.
    fn compare(&mut self, mut ours: Snapshot, stored: &Snapshot, effects: &mut Vec<Effect>) {
        ours.samples = stored.samples;
        if ours == *stored {
            return;
        }
        self.counters.differing += 1;
        effects.push(Effect::Log(Log::SnapshotDiffers { hour: hour_of(stored) }));
        let body = EventBody::SnapshotDiffers { recomputed: Box::new(ours) };
        effects.push(Effect::Event(EventKind::Snapshot, Box::new(body)));
    }
}

fn head_of(sequence: u64, packed: &Packed<'_>) -> Head {
    let (utc_ns, period_ns, clock, simulated, is_batch) = match packed {
        Packed::Batch(Batch { header, .. }) => {
            (header.first_utc_ns, header.period_ns, header.clock, header.simulated, true)
        }
        Packed::Gap(gap) => (gap.from_utc_ns, gap.period_ns, gap.clock, gap.simulated, false),
    };
    let plausible = [utc_ns, packed.end_utc_ns()].iter().all(|ns| Utc(*ns).is_plausible());
    let synced = clock == ClockQuality::Synced && plausible;
    Head { sequence, first: packed.first(), utc_ns, period_ns, synced, simulated, is_batch }
}

fn span(batch: &Batch<'_>, at: u16, slots: u16) -> Span {
    let first = Slot::new(batch.header.boot, batch.header.seq + u64::from(at));
    Span { first, count: u64::from(slots), utc_ns: batch.header.utc_ns(at) }
}

fn newest(slot: Slot, stamp: Utc, reading: Option<Reading>, head: &Head) -> Newest {
    let clock = if head.synced { ClockQuality::Synced } else { ClockQuality::Unsynced };
    Newest { slot, stamp, reading, period_ns: head.period_ns, clock, simulated: head.simulated }
}
