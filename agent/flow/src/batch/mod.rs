//! Readings to records. A record is kept in memory and published as one message.
//!
//! A batch ends where `seq` is a multiple of the batch size, at a gap, at the end of a boot, if the next slot is
//! already held, and after a second of silence. So two agents that read the same slots mostly cut the same batches.
//!
//! Readings are packed when the batch ends: 70 bytes for a second instead of 400. The stamp is set once the clocks are
//! known, which may be later; it is written into the header when the record is published.

pub mod stamp;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use thermowell_wire::batch::{
    BatchHeader, Body as PackedBody, COUNT_MAX, ClockQuality, GAP_ENCODED_MAX, Gap, Packed, decode_body, encode_batch,
    encode_body, encode_gap, encode_packed, encoded_max,
};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Reading, Slot};

use crate::time::Monotonic;

/// Most bytes of a batch's header, with its layout byte.
const HEAD_MAX: usize = 64;

/// The properties of a device that its records need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// [`thermowell_wire::device_id`] of its serial number.
    pub device: u32,
    /// Nanoseconds between two slots.
    pub period_ns: u32,
    /// Not a real boiler.
    pub simulated: bool,
}

/// When a record's first slot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The device's clock is not known yet.
    Waiting,
    /// Monotonic nanoseconds; the calendar is not trusted yet.
    Placed(i64),
    Stamped {
        /// UTC, nanoseconds since 1970.
        utc_ns: i64,
        /// Whether the clock was synchronised.
        clock: ClockQuality,
    },
}

/// Consecutive slots of one boot: samples or a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The first slot.
    pub first: Slot,
    /// The slot after the last one.
    pub end: u64,
    pub origin: Origin,
    /// When the first slot was taken.
    pub stamp: Stamp,
    /// The samples, or why there are none.
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body of a packed batch: its header is written when it is published.
    Samples(Box<[u8]>),
    Gap(GapReason),
}

impl Record {
    /// A gap: the slots from `first` up to `end`.
    #[must_use]
    pub fn gap(first: Slot, end: u64, reason: GapReason, origin: Origin) -> Self {
        Self { first, end, origin, stamp: Stamp::Waiting, body: Body::Gap(reason) }
    }

    /// Samples from `first` on, at most [`COUNT_MAX`].
    ///
    /// # Panics
    /// If there are no readings or too many.
    #[must_use]
    pub fn samples(first: Slot, readings: &[Reading], origin: Origin, scratch: &mut Vec<u8>) -> Self {
        scratch.resize(encoded_max(COUNT_MAX), 0);
        let packed = encode_body(readings, scratch).expect("1 to COUNT_MAX readings, and room for them");
        let end = first.seq + u64::try_from(readings.len()).expect("at most COUNT_MAX");
        Self { first, end, origin, stamp: Stamp::Waiting, body: Body::Samples(Box::from(&*packed)) }
    }

    /// Rebuilds a record from its message in the stream or the spill file.
    #[must_use]
    pub fn from_message(message: &Packed<'_>) -> Self {
        let (first, end) = (message.first(), message.end().seq);
        match message {
            Packed::Batch(batch) => {
                let BatchHeader { device, period_ns, simulated, first_utc_ns: utc_ns, clock, .. } = batch.header;
                let origin = Origin { device, period_ns, simulated };
                Self {
                    first,
                    end,
                    origin,
                    stamp: Stamp::Stamped { utc_ns, clock },
                    body: Body::Samples(batch.body.bytes().into()),
                }
            }
            Packed::Gap(gap) => {
                let origin = Origin { device: gap.device, period_ns: gap.period_ns, simulated: gap.simulated };
                let stamp = Stamp::Stamped { utc_ns: gap.from_utc_ns, clock: gap.clock };
                Self { first, end, origin, stamp, body: Body::Gap(gap.reason) }
            }
        }
    }

    /// The slots of a stamped record from `from` up to `to`.
    ///
    /// # Panics
    /// If they are outside the record, or it is not stamped.
    #[must_use]
    pub fn part(&self, from: u64, to: u64) -> Self {
        assert!(self.first.seq <= from && from < to && to <= self.end, "a part lies in its record");
        let Stamp::Stamped { clock, .. } = self.stamp else { panic!("only stamped records are divided") };
        let utc_ns = self.utc_ns(from).expect("it is stamped");
        let (first, stamp) = (Slot::new(self.first.boot, from), Stamp::Stamped { utc_ns, clock });
        match &self.body {
            Body::Gap(reason) => Self { stamp, ..Self::gap(first, to, *reason, self.origin) },
            Body::Samples(packed) => {
                let readings = self.readings(packed, from..to);
                Self { stamp, ..Self::samples(first, &readings, self.origin, &mut Vec::new()) }
            }
        }
    }

    /// The readings of the slots `part` from the record's `packed` samples.
    fn readings(&self, packed: &[u8], part: Range<u64>) -> Vec<Reading> {
        let skip = usize::try_from(part.start - self.first.seq).expect("less than COUNT_MAX");
        let take = usize::try_from(part.end - part.start).expect("at most COUNT_MAX");
        self.body(packed).readings().skip(skip).take(take).collect()
    }

    /// Its `packed` samples.
    fn body<'a>(&self, packed: &'a [u8]) -> PackedBody<'a> {
        let count = u16::try_from(self.slots()).expect("at most COUNT_MAX");
        decode_body(count, packed).expect("packed by Record::samples, or checked by the decoder")
    }

    /// The slot after the last one.
    #[must_use]
    pub fn end(&self) -> Slot {
        Slot::new(self.first.boot, self.end)
    }

    #[must_use]
    pub fn slots(&self) -> u64 {
        self.end - self.first.seq
    }

    /// Bytes of its body.
    #[must_use]
    pub fn body_len(&self) -> usize {
        match &self.body {
            Body::Samples(packed) => packed.len(),
            Body::Gap(_) => 0,
        }
    }

    /// UTC of slot `seq` of this record, if it is stamped.
    #[must_use]
    pub fn utc_ns(&self, seq: u64) -> Option<i64> {
        let Stamp::Stamped { utc_ns, .. } = self.stamp else { return None };
        let into = i64::try_from(seq.checked_sub(self.first.seq)?).ok()?;
        utc_ns.checked_add(into.checked_mul(i64::from(self.origin.period_ns))?)
    }

    /// The message for the stream: the slots of `part`, the first one at `utc_ns`.
    ///
    /// # Panics
    /// If `part` is empty or outside the record, or the UTC of its end overflows. That cannot happen: records lie
    /// within [`crate::time::BOOT_NS_MAX`] of a boot, and stamps come from [`crate::time::Utc::earlier_by`] or from a
    /// message.
    #[must_use]
    pub fn message(&self, part: Range<u64>, utc_ns: i64, clock: ClockQuality) -> Vec<u8> {
        let Range { start: from, end: to } = part;
        assert!(self.first.seq <= from && from < to && to <= self.end, "the message lies in its record");
        let Origin { device, period_ns, simulated } = self.origin;
        let boot = self.first.boot;
        match &self.body {
            Body::Gap(reason) => {
                let gap =
                    Gap { device, boot, from, to, reason: *reason, from_utc_ns: utc_ns, period_ns, clock, simulated };
                let mut out = [0; GAP_ENCODED_MAX];
                encode_gap(&gap, &mut out).expect("its end does not overflow, and GAP_ENCODED_MAX is enough").to_vec()
            }
            Body::Samples(packed) => {
                let first = Slot::new(boot, from);
                if (from, to) != (self.first.seq, self.end) {
                    return pack(first, &self.readings(packed, from..to), utc_ns, clock, self.origin);
                }
                let body = self.body(packed);
                let count = usize::try_from(self.slots()).expect("at most COUNT_MAX");
                let header = header(first, count, utc_ns, clock, self.origin);
                let mut out = vec![0; HEAD_MAX + packed.len()];
                let len = encode_packed(&header, &body, &mut out).expect("a header takes at most HEAD_MAX").len();
                out.truncate(len);
                out
            }
        }
    }

    /// The readings of its slots from `from` on, none for a gap.
    #[must_use]
    pub fn readings_from(&self, from: u64) -> Vec<Reading> {
        match &self.body {
            Body::Samples(packed) => self.readings(packed, from..self.end),
            Body::Gap(_) => Vec::new(),
        }
    }
}

/// A message of `readings`, the first one at `utc_ns`.
///
/// # Panics
/// As [`Record::message`], and if there are no readings or too many.
#[must_use]
pub fn pack(first: Slot, readings: &[Reading], utc_ns: i64, clock: ClockQuality, origin: Origin) -> Vec<u8> {
    let header = header(first, readings.len(), utc_ns, clock, origin);
    let mut out = vec![0; encoded_max(readings.len())];
    let len = encode_batch(&header, readings, &mut out).expect("1 to COUNT_MAX readings, and an end in range").len();
    out.truncate(len);
    out
}

fn header(first: Slot, count: usize, first_utc_ns: i64, clock: ClockQuality, origin: Origin) -> BatchHeader {
    let Origin { device, period_ns, simulated } = origin;
    let count = u16::try_from(count).expect("at most COUNT_MAX readings");
    BatchHeader { device, boot: first.boot, seq: first.seq, count, first_utc_ns, period_ns, clock, simulated }
}

/// Collects consecutive readings and cuts them into records.
#[derive(Clone, Debug)]
pub struct Cutter {
    size: u64,
    first: Slot,
    origin: Origin,
    readings: Vec<Reading>,
    fed: Monotonic,
    scratch: Vec<u8>,
}

impl Cutter {
    /// A cutter of batches of `size` samples, clamped to 1 … [`COUNT_MAX`].
    #[must_use]
    pub fn new(size: u16) -> Self {
        let size = usize::from(size).clamp(1, COUNT_MAX);
        let origin = Origin { device: 0, period_ns: 1, simulated: false };
        Self {
            size: u64::try_from(size).expect("at most COUNT_MAX"),
            first: Slot::default(),
            origin,
            readings: Vec::with_capacity(size),
            fed: Monotonic::default(),
            scratch: Vec::new(),
        }
    }

    /// The open batch: its first slot and the slot after its last one.
    #[must_use]
    pub fn open(&self) -> Option<(Slot, u64)> {
        (!self.readings.is_empty()).then(|| (self.first, self.end()))
    }

    /// Slots in the open batch.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.readings.len()).expect("at most COUNT_MAX")
    }

    /// Slots from `next` until the batch is cut.
    #[must_use]
    pub fn room(&self, next: u64) -> u64 {
        self.size - next % self.size
    }

    /// Whether no batch is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Takes readings from `first` on and calls `each` with each full record.
    ///
    /// # Panics
    /// If they do not continue the open batch: the caller cuts first.
    pub fn feed(
        &mut self,
        now: Monotonic,
        first: Slot,
        mut readings: &[Reading],
        origin: Origin,
        mut each: impl FnMut(Record),
    ) {
        self.fed = now;
        let mut at = first.seq;
        while !readings.is_empty() {
            if self.readings.is_empty() {
                (self.first, self.origin) = (Slot::new(first.boot, at), origin);
            }
            assert!(self.first.boot == first.boot && self.end() == at, "readings continue the open batch");
            let room = usize::try_from(self.room(at)).expect("at most COUNT_MAX");
            let (take, rest) = readings.split_at(room.min(readings.len()));
            self.readings.extend_from_slice(take);
            at = self.end();
            readings = rest;
            if at.is_multiple_of(self.size)
                && let Some(record) = self.cut()
            {
                each(record);
            }
        }
    }

    /// Ends the open batch early.
    pub fn cut(&mut self) -> Option<Record> {
        if self.readings.is_empty() {
            return None;
        }
        let record = Record::samples(self.first, &self.readings, self.origin, &mut self.scratch);
        self.readings.clear();
        Some(record)
    }

    /// When the open batch will have waited `silence` for its next slot.
    #[must_use]
    pub fn silent_at(&self, silence: Duration) -> Option<Monotonic> {
        (!self.readings.is_empty()).then(|| self.fed.after(silence))
    }

    fn end(&self) -> u64 {
        self.first.seq + self.len()
    }
}
