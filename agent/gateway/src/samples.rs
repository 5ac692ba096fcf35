//! The messages of SAMPLES as slots in time: readings, and every hole with its reason.
//!
//! Holes come from slots, not from seconds without readings: a gap is a message, slots that were skipped are counted,
//! and the time between two starts of the firmware, of which there is no message, is that from the old boot's end to
//! the new one's slot 0.

mod form;

use std::ops::Range;

use thermowell_flow::consume::Consume;
use thermowell_flow::snapshot::Reason;
use thermowell_flow::time::slots_ns;
use thermowell_wire::batch::{Batch, ClockQuality, Packed};
use thermowell_wire::{Boot, Slot};

pub use form::Form;
pub(crate) use form::{CSV_HEADER, Row, Time};

/// The position in one boiler's stream.
#[derive(Debug, Default)]
pub(crate) struct Unpack {
    consume: Consume,
    end: Option<End>,
}

/// Where the newest message ends.
#[derive(Clone, Copy, Debug)]
struct End {
    boot: Boot,
    /// The stamp of the slot after it.
    utc_ns: i64,
    clock: ClockQuality,
}

/// A message with new slots.
#[derive(Debug)]
pub(crate) struct Unpacked<'a> {
    /// The clock became trusted, or is no longer: these stamps are on another axis than those before.
    pub(crate) is_other_axis: bool,
    /// Stamped by a synchronised clock.
    pub(crate) is_synced: bool,
    pub(crate) boot: Boot,
    pub(crate) period_ns: u32,
    /// The stamp of its first slot.
    pub(crate) begin_ns: i64,
    /// What is missing between the message before and this one, then the message itself if it is a gap.
    pub(crate) holes: Vec<Hole>,
    /// Readings, and how many of them were seen before.
    pub(crate) batch: Option<(Batch<'a>, usize)>,
    /// The stamp of the slot after the message.
    pub(crate) end_ns: i64,
}

/// Consecutive slots that are missing for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// None for those between two boots, which have no number.
    pub(crate) first: Option<Slot>,
    pub(crate) slots: u64,
    /// Its beginning and end, UTC nanoseconds.
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    pub(crate) reason: Reason,
}

impl Unpack {
    /// Sets the first sequence of SAMPLES, so that what was removed from it is not called unexplained.
    pub(crate) fn stream_begins_at(&mut self, first_sequence: u64) {
        self.consume.stream_begins_at(first_sequence);
    }

    /// Takes the next message; none if it is malformed or was seen.
    pub(crate) fn observe<'a>(&mut self, sequence: u64, bytes: &'a [u8]) -> Option<Unpacked<'a>> {
        let arrival = self.consume.accept(sequence, bytes).ok()?;
        let packed = arrival.packed;
        let (first, period_ns) = (packed.first(), packed.period_ns());
        let (start_ns, clock) = match packed {
            Packed::Batch(batch) => (batch.header.first_utc_ns, batch.header.clock),
            Packed::Gap(gap) => (gap.from_utc_ns, gap.clock),
        };
        let is_other_axis = self.end.is_some_and(|end| end.clock != clock);
        let mut holes = Vec::new();
        if let Some(end) = self.end.filter(|end| end.boot != first.boot && !is_other_axis) {
            let zero_ns = start_ns.saturating_sub(slots_ns(first.seq, period_ns));
            holes.extend(Hole::between_boots(end.utc_ns, zero_ns, period_ns));
        }
        if let Some(lost) = arrival.lost {
            let from_ns = start_ns.saturating_sub(slots_ns(lost.count, period_ns));
            let reason = if lost.discarded { Reason::Discarded } else { Reason::Unexplained };
            holes.push(Hole { first: Some(lost.first), slots: lost.count, from_ns, to_ns: start_ns, reason });
        }
        let end_ns = packed.end_utc_ns();
        let batch = match packed {
            Packed::Batch(batch) => Some((batch, usize::try_from(arrival.seen).unwrap_or(usize::MAX))),
            Packed::Gap(gap) => {
                let from_ns = start_ns.saturating_add(slots_ns(arrival.seen, period_ns));
                let (first, slots) = (Slot::new(gap.boot, gap.from + arrival.seen), gap.count() - arrival.seen);
                holes.push(Hole { first: Some(first), slots, from_ns, to_ns: end_ns, reason: gap.reason.into() });
                None
            }
        };
        self.end = Some(End { boot: first.boot, utc_ns: end_ns, clock });
        let (is_synced, boot, begin_ns) = (clock == ClockQuality::Synced, first.boot, start_ns);
        Some(Unpacked { is_other_axis, is_synced, boot, period_ns, begin_ns, holes, batch, end_ns })
    }
}

impl Unpacked<'_> {
    /// The readings that are new.
    pub(crate) fn readings(&self) -> impl Iterator<Item = Row> {
        self.batch.iter().flat_map(|(batch, seen)| {
            let header = batch.header;
            let readings = (0..header.count).zip(batch.readings()).skip(*seen);
            readings.map(move |(at, reading)| Row::Reading {
                slot: Slot::new(header.boot, header.seq + u64::from(at)),
                utc_ns: header.utc_ns(at),
                reading,
            })
        })
    }
}

impl Hole {
    /// The time between the end of a boot and slot 0 of the next one, in slots.
    pub(crate) fn between_boots(from_ns: i64, to_ns: i64, period_ns: u32) -> Option<Self> {
        let period = i64::from(period_ns);
        let slots = to_ns.saturating_sub(from_ns).saturating_add(period / 2).div_euclid(period);
        let slots = u64::try_from(slots).ok().filter(|slots| *slots > 0)?;
        Some(Self { first: None, slots, from_ns, to_ns, reason: Reason::Reboot })
    }

    /// The part within `range`: a slot belongs to the time of its stamp. None if no slot does.
    pub(crate) fn within(self, range: &Range<i64>) -> Option<Self> {
        let rest = if self.from_ns < range.start { self.split(range.start).1? } else { self };
        if rest.from_ns >= range.end {
            return None;
        }
        rest.split(range.end).0
    }

    /// The slots stamped before `at_ns`, and the others.
    pub(crate) fn split(self, at_ns: i64) -> (Option<Self>, Option<Self>) {
        if self.from_ns >= at_ns {
            return (None, Some(self));
        }
        let length = i128::from(self.to_ns.saturating_sub(self.from_ns)).max(1);
        let before = i128::from(at_ns.saturating_sub(self.from_ns)) * i128::from(self.slots);
        let before = u64::try_from((before + length - 1) / length).unwrap_or(u64::MAX);
        if before >= self.slots {
            return (Some(self), None);
        }
        let at = |slots: u64| i64::try_from(i128::from(slots) * length / i128::from(self.slots)).unwrap_or(i64::MAX);
        let middle_ns = self.from_ns.saturating_add(at(before));
        let first = self.first.map(|first| Slot::new(first.boot, first.seq.saturating_add(before)));
        let rest = Self { first, slots: self.slots - before, from_ns: middle_ns, ..self };
        (Some(Self { slots: before, to_ns: middle_ns, ..self }), Some(rest))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
