//! Records in memory, ordered by slot: those not acknowledged, and those that may have to be published again.
//!
//! A record is kept for a while after its acknowledgement, because a broker that crashes loses its last
//! `sync_interval`: 3 × that, counted while connected. The spool is bounded in bytes; when it is full, reading stops,
//! so that the device's ring holds what it can and reports the rest as a gap. The spool never drops a record that was
//! not acknowledged.
//!
//! If no acknowledgement arrives for long, a copy is written to disk: [`spill`].

pub mod spill;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::batch::{COUNT_MAX, encoded_max};
use thermowell_wire::{Boot, Slot};

use crate::batch::{Record, Stamp};
use crate::time::Monotonic;

/// Memory of a record in addition to its body: the struct, its tree node, the allocator's overhead.
const OVERHEAD: usize = 160;

/// Whether a slot is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Up to this slot, exclusive.
    Held(u64),
    /// Not held; the next slot of this boot that is, if any.
    Free(Option<u64>),
}

#[derive(Clone, Debug)]
struct Entry {
    record: Record,
    held: Monotonic,
    /// Whether it is in the spill file.
    spilled: bool,
    /// The connected time at which it was acknowledged.
    acknowledged: Option<Duration>,
}

/// Records in the spill file for which memory had no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrestored {
    pub records: u64,
    /// Slots in those records.
    pub slots: u64,
    /// The slot after the last one.
    end: Slot,
}

/// The records of one boiler.
#[derive(Clone, Debug)]
pub struct Spool {
    entries: BTreeMap<Slot, Entry>,
    limit: usize,
    bytes: usize,
    backlog: u64,
    unstamped: usize,
    spilled: usize,
    unrestored: Option<Unrestored>,
}

impl Spool {
    /// An empty spool of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { entries: BTreeMap::new(), limit, bytes: 0, backlog: 0, unstamped: 0, spilled: 0, unrestored: None }
    }

    /// Slots that are not acknowledged.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog
    }

    /// Bytes in use.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more batch of any size fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes + encoded_max(COUNT_MAX) + OVERHEAD <= self.limit
    }

    /// Takes a record. Never refuses: the caller checks `has_room` before it reads from the device.
    pub fn insert(&mut self, now: Monotonic, record: Record) {
        self.take(now, record, false);
    }

    /// Takes those slots of a record from the spill file that are not held yet. Returns how many of the oldest records
    /// were evicted for it: the file may be twice as large as memory. The evicted ones were acknowledged before the
    /// file was last written, unless memory was larger then: see [`Spool::unrestored`].
    pub fn restore(&mut self, now: Monotonic, record: &Record) -> u64 {
        let mut at = record.first;
        while at.seq < record.end {
            match self.coverage(at) {
                Coverage::Held(end) => at.seq = end,
                Coverage::Free(next) => {
                    let end = next.unwrap_or(u64::MAX).min(record.end);
                    self.take(now, record.part(at.seq, end), true);
                    at.seq = end;
                }
            }
        }
        let mut gone = 0;
        while self.bytes > self.limit
            && let Some(&first) = self.entries.keys().next()
        {
            let Some(record) = self.remove(first) else { break };
            let before = self.unrestored.unwrap_or(Unrestored { records: 0, slots: 0, end: record.end() });
            self.unrestored = Some(Unrestored {
                records: before.records + 1,
                slots: before.slots + record.slots(),
                end: before.end.max(record.end()),
            });
            gone += 1;
        }
        gone
    }

    /// Records that may exist in the spill file only: memory had no room for them, and the stream's end has not been
    /// seen after them.
    #[must_use]
    pub fn unrestored(&self) -> Option<Unrestored> {
        self.unrestored
    }

    fn take(&mut self, held: Monotonic, record: Record, spilled: bool) {
        debug_assert!(self.is_free(&record), "a slot is held once");
        self.bytes += record.body_len() + OVERHEAD;
        self.backlog += record.slots();
        self.unstamped += usize::from(!is_stamped(&record));
        self.spilled += usize::from(spilled);
        self.entries.insert(record.first, Entry { record, held, spilled, acknowledged: None });
    }

    fn is_free(&self, record: &Record) -> bool {
        match self.coverage(record.first) {
            Coverage::Held(_) => false,
            Coverage::Free(next) => next.is_none_or(|next| next >= record.end),
        }
    }

    /// Whether `slot` is held.
    #[must_use]
    pub fn coverage(&self, slot: Slot) -> Coverage {
        if let Some((_, entry)) = self.entries.range(..=slot).next_back()
            && entry.record.first.boot == slot.boot
            && entry.record.end > slot.seq
        {
            return Coverage::Held(entry.record.end);
        }
        let next = self.entries.range(slot..).next().filter(|(first, _)| first.boot == slot.boot);
        Coverage::Free(next.map(|(first, _)| first.seq))
    }

    /// The first slot of `slot.boot` from `slot` on that is not held.
    #[must_use]
    pub fn contiguous_end(&self, slot: Slot) -> u64 {
        let mut at = slot.seq;
        while let Coverage::Held(end) = self.coverage(Slot::new(slot.boot, at)) {
            at = end;
        }
        at
    }

    /// The slot after the last one held of `boot`.
    #[must_use]
    pub fn last_end(&self, boot: Boot) -> Option<u64> {
        let upto = Slot::new(boot, u64::MAX);
        let (_, entry) = self.entries.range(..=upto).next_back()?;
        (entry.record.first.boot == boot).then_some(entry.record.end)
    }

    /// The first record.
    #[must_use]
    pub fn front(&self) -> Option<&Record> {
        self.entries.values().next().map(|entry| &entry.record)
    }

    /// The record that holds `position`, or else the first one after it.
    #[must_use]
    pub fn at_or_after(&self, position: Slot) -> Option<&Record> {
        let holding = self.entries.range(..=position).next_back().map(|(_, entry)| &entry.record);
        holding
            .filter(|record| record.end() > position)
            .or_else(|| self.entries.range(position..).next().map(|(_, entry)| &entry.record))
    }

    /// The records that begin at `first` or later.
    pub fn from(&self, first: Slot) -> impl Iterator<Item = &Record> {
        self.entries.range(first..).map(|(_, entry)| &entry.record)
    }

    /// The stream's end is `position`: records up to it are acknowledged, the others are not. Returns how many slots
    /// of acknowledged records have to be published again.
    pub fn settle(&mut self, position: Option<Slot>, connected: Duration) -> u64 {
        let mut back = 0;
        self.backlog = 0;
        self.unrestored =
            self.unrestored.filter(|unrestored| position.is_none_or(|position| position < unrestored.end));
        for entry in self.entries.values_mut() {
            if position.is_some_and(|position| entry.record.end() <= position) {
                entry.acknowledged.get_or_insert(connected);
            } else {
                self.backlog += entry.record.slots();
                if entry.acknowledged.take().is_some() {
                    back += entry.record.slots();
                }
            }
        }
        back
    }

    /// The records from the one that begins at `first` up to `end` are in the stream.
    pub fn acknowledge(&mut self, first: Slot, end: Slot, connected: Duration) {
        for entry in self.entries.range_mut(first..end).map(|(_, entry)| entry) {
            if entry.record.end() <= end && entry.acknowledged.is_none() {
                entry.acknowledged = Some(connected);
                self.backlog -= entry.record.slots();
            }
        }
    }

    /// Removes a record.
    pub fn remove(&mut self, first: Slot) -> Option<Record> {
        let entry = self.entries.remove(&first)?;
        self.bytes -= entry.record.body_len() + OVERHEAD;
        self.unstamped -= usize::from(!is_stamped(&entry.record));
        self.spilled -= usize::from(entry.spilled);
        if entry.acknowledged.is_none() {
            self.backlog -= entry.record.slots();
        }
        Some(entry.record)
    }

    /// Removes all records. The caller ensures that all are acknowledged.
    pub fn clear(&mut self) {
        debug_assert_eq!(self.backlog, 0, "only acknowledged records are dropped");
        *self = Self { unrestored: self.unrestored, ..Self::new(self.limit) };
    }

    /// Removes the records that were acknowledged at least `keep` of connected time ago.
    pub fn prune(&mut self, connected: Duration, keep: Duration) {
        while let Some((&first, entry)) = self.entries.first_key_value()
            && entry.acknowledged.is_some_and(|at| connected.saturating_sub(at) >= keep)
        {
            self.remove(first);
        }
    }

    /// How long from `connected` until [`Spool::prune`] has something to remove.
    #[must_use]
    pub fn prune_in(&self, connected: Duration, keep: Duration) -> Option<Duration> {
        let (_, entry) = self.entries.first_key_value()?;
        entry.acknowledged.map(|at| (at + keep).saturating_sub(connected))
    }

    /// Since when the first unacknowledged record has been held.
    #[must_use]
    pub fn pending_since(&self) -> Option<Monotonic> {
        if self.backlog == 0 {
            return None;
        }
        self.entries.values().find(|entry| entry.acknowledged.is_none()).map(|entry| entry.held)
    }

    /// Calls `each` with every stamped record that is not in the spill file, as a message, in order.
    ///
    /// A record that waits for its stamp is left out: its position on this machine's clock is meaningless after a
    /// restart, and it does not wait longer than the device's ring reaches back.
    pub fn spill(&mut self, mut each: impl FnMut(Vec<u8>)) {
        if !self.has_unspilled() {
            return;
        }
        for entry in self.entries.values_mut().filter(|entry| !entry.spilled) {
            let Stamp::Stamped { utc_ns, clock } = entry.record.stamp else { continue };
            entry.spilled = true;
            self.spilled += 1;
            let record = &entry.record;
            each(record.message(record.first.seq..record.end, utc_ns, clock));
        }
    }

    /// Marks all records as absent from the spill file.
    pub fn forget_spilled(&mut self) {
        self.spilled = 0;
        for entry in self.entries.values_mut() {
            entry.spilled = false;
        }
    }

    /// Whether any held record is in the spill file.
    #[must_use]
    pub fn has_spilled(&self) -> bool {
        self.spilled > 0
    }

    /// Whether any stamped record is not in the spill file.
    #[must_use]
    pub fn has_unspilled(&self) -> bool {
        self.spilled + self.unstamped < self.entries.len()
    }

    /// Whether any record waits for its stamp.
    #[must_use]
    pub fn has_unstamped(&self) -> bool {
        self.unstamped > 0
    }

    /// Updates the stamps of waiting records.
    pub fn stamp(&mut self, mut each: impl FnMut(&Record) -> Stamp) {
        if self.unstamped == 0 {
            return;
        }
        self.unstamped = 0;
        for entry in self.entries.values_mut() {
            if !is_stamped(&entry.record) {
                entry.record.stamp = each(&entry.record);
                self.unstamped += usize::from(!is_stamped(&entry.record));
            }
        }
    }
}

fn is_stamped(record: &Record) -> bool {
    matches!(record.stamp, Stamp::Stamped { .. })
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use thermowell_wire::batch::ClockQuality;
    use thermowell_wire::line::GapReason;

    use super::*;
    use crate::batch::Origin;

    const ORIGIN: Origin = Origin { device: 1, period_ns: 10_000_000, simulated: false };

    fn record(boot: u64, first: u64, end: u64) -> Record {
        Record::gap(Slot::new(Boot(boot), first), end, GapReason::Missed, ORIGIN)
    }

    proptest! {
        /// Compares held slots, holes and acknowledged records with a plain set of slots.
        #[test]
        fn coverage_agrees_with_a_naive_set(
            spans in prop::collection::vec((1u64..3, 0u64..200, 1u64..20), 1..40),
            boot in 1u64..3,
            at in 0u64..220,
        ) {
            let mut spool = Spool::new(1 << 20);
            let mut held = BTreeSet::new();
            for (boot, first, len) in spans {
                if (first..first + len).any(|seq| held.contains(&(boot, seq))) {
                    continue;
                }
                held.extend((first..first + len).map(|seq| (boot, seq)));
                spool.insert(Monotonic(0), record(boot, first, first + len));
            }
            let slot = Slot::new(Boot(boot), at);
            let missing = (at..).find(|&seq| !held.contains(&(boot, seq))).unwrap();
            prop_assert_eq!(spool.contiguous_end(slot), missing);
            match spool.coverage(slot) {
                Coverage::Held(end) => prop_assert!(held.contains(&(boot, at)) && end <= missing && end > at),
                Coverage::Free(next) => {
                    prop_assert!(!held.contains(&(boot, at)));
                    prop_assert_eq!(next, (at..300).find(|&seq| held.contains(&(boot, seq))));
                }
            }
            let after = held.iter().find(|&&(b, seq)| (b, seq) >= (boot, at));
            let found = spool.at_or_after(slot).map(|record| {
                let first = record.first.max(slot);
                (first.boot.0, first.seq)
            });
            prop_assert_eq!(found, after.copied());
            let last = held.range((boot, 0)..(boot, u64::MAX)).next_back();
            prop_assert_eq!(spool.last_end(Boot(boot)), last.map(|(_, seq)| seq + 1));
            spool.settle(Some(slot), Duration::ZERO);
            let after_slot: Vec<_> = spool.entries.values().filter(|entry| entry.record.end() > slot).collect();
            prop_assert_eq!(spool.backlog(), after_slot.iter().map(|entry| entry.record.slots()).sum::<u64>());
            let left = after_slot.len();
            spool.prune(Duration::from_secs(30), Duration::from_secs(30));
            prop_assert_eq!(spool.entries.len(), left);
            prop_assert_eq!(spool.bytes(), left * OVERHEAD);
        }
    }

    #[test]
    fn rollback_of_the_server_restores_the_backlog() {
        let mut spool = Spool::new(1 << 20);
        for first in [0, 100, 200] {
            spool.insert(Monotonic(0), record(1, first, first + 100));
            spool.acknowledge(Slot::new(Boot(1), first), Slot::new(Boot(1), first + 100), Duration::from_secs(1));
        }
        assert_eq!(spool.backlog(), 0);
        assert_eq!(spool.settle(Some(Slot::new(Boot(1), 150)), Duration::from_secs(2)), 200);
        assert_eq!(spool.backlog(), 200);
        spool.prune(Duration::from_secs(60), Duration::from_secs(30));
        assert_eq!(
            spool.front().map(|record| record.first.seq),
            Some(100),
            "only what the server still has may be removed"
        );
    }

    /// A spill file that was written with more memory: records that do not fit exist nowhere else, until the stream is
    /// seen to hold them.
    #[test]
    fn unrestored_counts_until_the_stream_has_the_records() {
        let mut spool = Spool::new(2 * OVERHEAD);
        for first in [0, 100, 200, 300] {
            let stamp = Stamp::Stamped { utc_ns: 0, clock: ClockQuality::Synced };
            spool.restore(Monotonic(0), &Record { stamp, ..record(1, first, first + 100) });
        }
        let left = Some((2, 200));
        let unrestored = |spool: &Spool| spool.unrestored().map(|it| (it.records, it.slots));
        assert_eq!((unrestored(&spool), spool.backlog()), (left, 200));
        spool.settle(None, Duration::ZERO);
        assert_eq!(unrestored(&spool), left, "the stream is empty");
        spool.settle(Some(Slot::new(Boot(1), 199)), Duration::ZERO);
        assert_eq!(unrestored(&spool), left, "it has all but one slot");
        spool.settle(Some(Slot::new(Boot(1), 200)), Duration::ZERO);
        assert_eq!(unrestored(&spool), None, "it was acknowledged before");
    }
}
