//! From stamped records to the stream: what is held in memory and in the spill file, and what is published next.
//!
//! ```text
//! records ▸ spool ▸ publisher ▸ SAMPLES
//!             │ ▲
//!             ▼ │ at the next start
//!          spill file
//! ```
//!
//! Each step returns a [`Turn`]: what the reader does next.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::time::Duration;

use thermowell_wire::batch::decode;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, Slot};

use super::effect::Out;
use super::timekeeper::Timekeeper;
use super::{Effect, Log, Settings};
use crate::batch::Record;
use crate::publish::{Conflict, Live, Next, Publisher, Refused, TailOutcome};
use crate::published::EventBody;
use crate::spool::spill::{Spill, Spiller};
use crate::spool::{Coverage, Spool, Unrestored};
use crate::time::{BOOT_NS_MAX, Monotonic};

/// The delivery of one boiler.
#[derive(Debug)]
pub(super) struct Delivery {
    spool: Spool,
    spiller: Spiller,
    publisher: Publisher,
    /// Records are kept this long after their acknowledgement, in connected time.
    keep: Duration,
    /// Unacknowledged records are spilled now.
    leaving: bool,
    is_full: bool,
    /// The spill file could not be synced in this outage: it is written again until it can, and that is logged once.
    is_spill_failing: bool,
    prune_at: Option<Monotonic>,
}

/// What the reader has to do after a step of the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Compare its position with the stream's end.
    Resync,
    /// Slots from here on are missing, and the device may still hold them.
    Hole(Slot),
    /// The session may be outdated: identify the device again.
    Identify,
}

impl Delivery {
    pub(super) fn new(settings: &Settings) -> Self {
        let timing = &settings.timing;
        Self {
            spool: Spool::new(settings.spool_bytes),
            spiller: Spiller::new(timing.spill, settings.spool_bytes),
            publisher: Publisher::new(timing.publish, settings.catch_up),
            keep: timing.publish.keep,
            leaving: false,
            is_full: false,
            is_spill_failing: false,
            prune_at: None,
        }
    }

    pub(super) fn connect(&mut self, now: Monotonic) {
        self.is_spill_failing = false;
        self.publisher.connect(now);
    }

    pub(super) fn disconnect(&mut self, now: Monotonic) {
        self.publisher.disconnect(now);
    }

    /// Stores a record in memory, stamped if possible.
    pub(super) fn hold(&mut self, out: &mut Out, time: &Timekeeper, mut record: Record) {
        if let Some(period_ns) = time.period_ns(record.first.boot) {
            record.origin.period_ns = period_ns;
        }
        record.stamp = time.stamp(out.now, &record);
        out.counters.batches += 1;
        let (first, end) = (record.first, record.end());
        self.spool.insert(out.now.monotonic, record);
        if self.publisher.end().is_some_and(|stored| end <= stored) {
            // It was open when the stream's end was read and is stored already: no acknowledgement will follow.
            self.spool.acknowledge(first, end, self.publisher.connected_time(out.now.monotonic));
        }
    }

    /// Stamps the waiting records.
    pub(super) fn stamp(&mut self, out: &Out, time: &mut Timekeeper) {
        time.stamp_waiting(out.now, &mut self.spool);
    }

    /// Another boot begins: see [`Timekeeper::begin_boot`].
    pub(super) fn begin_boot(&mut self, out: &Out, time: &mut Timekeeper, boot: Boot, period_ns: u32) {
        time.begin_boot(out.now, boot, period_ns, &mut self.spool);
        time.anchor(out.now, self.publisher.end_utc());
    }

    /// Prunes old records. Whether the spool is full now.
    pub(super) fn make_room(&mut self, out: &mut Out) -> bool {
        let now = out.now.monotonic;
        let connected = self.publisher.connected_time(now);
        self.spool.prune(connected, self.keep);
        let left = self.spool.prune_in(connected, self.keep).filter(|_| self.publisher.is_connected());
        self.prune_at = left.map(|left| now.after(left));
        let was_full = core::mem::replace(&mut self.is_full, !self.spool.has_room());
        match (was_full, self.is_full) {
            (false, true) => out.log(Log::SpoolFull { backlog: self.spool.backlog() }),
            (true, false) => out.log(Log::SpoolHasRoom),
            (true, true) | (false, false) => {}
        }
        self.is_full
    }

    /// Publishes the next message, or reads the stream's end.
    pub(super) fn deliver(&mut self, out: &mut Out, time: &mut Timekeeper, live: Option<Live>) -> Option<Turn> {
        match self.publisher.next(out.now.monotonic, live, &mut self.spool) {
            Next::Wait => {}
            Next::ReadTail => out.effects.push(Effect::ReadTail),
            Next::Publish { expected, payload, moved } => {
                out.counters.publishes += 1;
                if let Some((slot, utc_ns)) = moved {
                    time.raise(out.now, slot, utc_ns);
                }
                out.effects.push(Effect::Publish { expected, payload });
            }
            Next::Hole(at) => return Some(Turn::Hole(at)),
            Next::Conflict(conflict) => return Some(conflicting(out, conflict)),
        }
        None
    }

    /// The stream's end was read. `device` is the one whose history is expected, `replaced` the one that it has
    /// replaced.
    pub(super) fn tail(
        &mut self,
        out: &mut Out,
        time: &mut Timekeeper,
        tail: Option<(u64, &[u8])>,
        (device, replaced, live): (Option<u32>, Option<u32>, Option<Live>),
    ) -> Option<Turn> {
        match self.publisher.tail(out.now.monotonic, tail, device, live, replaced, &mut self.spool) {
            TailOutcome::Stale => return None,
            TailOutcome::Known => {}
            TailOutcome::WentBack { expected, found, slots } => {
                out.counters.rollbacks += 1;
                out.log(Log::StreamWentBack { expected, found, slots });
                out.event(EventKind::Delivery, EventBody::StreamWentBack { expected, found });
            }
            TailOutcome::Conflict(conflict) => return Some(conflicting(out, conflict)),
        }
        out.log(Log::TailRead { end: self.publisher.end() });
        time.stored(tail.and_then(|(_, bytes)| decode(bytes).ok()).as_ref());
        time.anchor(out.now, self.publisher.end_utc());
        Some(Turn::Resync)
    }

    pub(super) fn tail_unknown(&mut self, now: Monotonic) {
        self.publisher.tail_unknown(now);
    }

    pub(super) fn acknowledged(&mut self, out: &mut Out, sequence: u64) {
        out.counters.acknowledged += 1;
        let Some(gap) = self.publisher.acknowledge(out.now.monotonic, sequence, &mut self.spool) else { return };
        let Slot { boot, seq: from } = gap.first;
        let reason = gap.reason.to_string();
        out.event(EventKind::Gap, EventBody::GapNamed { boot, from, to: gap.end, reason });
    }

    pub(super) fn refused(&mut self, out: &mut Out, refused: Refused) {
        out.counters.wrong_sequences += u64::from(refused == Refused::WrongSequence);
        out.counters.unknown += u64::from(refused == Refused::Unknown);
        if let Some(slots) = self.publisher.refuse(out.now.monotonic, refused) {
            out.counters.too_large += 1;
            out.log(Log::TooLarge { slots });
        }
    }

    /// Takes a record of the spill file. Malformed messages are ignored: the shell has checked the checksum and reports
    /// them. A slot beyond the longest possible boot was not written by an agent.
    pub(super) fn restore(&mut self, out: &mut Out, message: &[u8]) {
        self.spiller.found(message.len());
        let Ok(packed) = decode(message) else { return };
        let record = Record::from_message(&packed);
        if record.end > BOOT_NS_MAX / u64::from(record.origin.period_ns) {
            out.counters.implausible += 1;
            return;
        }
        out.counters.restored += 1;
        out.counters.unrestored += self.spool.restore(out.now.monotonic, &record);
    }

    pub(super) fn spill_synced(&mut self, now: Monotonic) {
        self.is_spill_failing = false;
        self.spiller.synced(now);
    }

    pub(super) fn spill_failed(&mut self, out: &mut Out) {
        out.counters.spill_failures += 1;
        self.is_spill_failing = true;
        self.spiller.failed(out.now.monotonic, &mut self.spool);
    }

    /// Spills records that have waited too long, and removes a file that is no longer needed.
    pub(super) fn spill(&mut self, out: &mut Out) {
        let before = self.spiller.exists();
        let Out { now, effects, counters, .. } = out;
        self.spiller.next(now.monotonic, self.leaving, &mut self.spool, |spill| {
            counters.spilled += u64::from(matches!(spill, Spill::Append(_)));
            effects.push(Effect::Spill(spill));
        });
        match (before, self.spiller.exists()) {
            (false, true) if !self.is_spill_failing => out.log(Log::Spilling { backlog: self.spool.backlog() }),
            (true, false) => out.log(Log::SpillDone),
            (false, false | true) | (true, true) => {}
        }
    }

    /// The shutdown ends.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Another board takes over: its records and those of its predecessor are never held at once. `false` while records
    /// of the predecessor wait.
    pub(super) fn clear(&mut self) -> bool {
        let is_delivered = self.spool.backlog() == 0;
        if is_delivered {
            self.spool.clear();
        }
        is_delivered
    }

    /// The board whose records are held or, if none are, whose history the stream has. It is in memory or not.
    pub(super) fn history(&self, other_than: u32) -> Option<(u32, bool)> {
        let other = |known: &u32| *known != other_than;
        let held = self.spool.front().map(|record| record.origin.device).filter(other);
        held.map(|device| (device, true)).or_else(|| Some((self.publisher.device().filter(other)?, false)))
    }

    /// Reads the stream's end again: an operator may have accepted the board.
    pub(super) fn look_again(&mut self, now: Monotonic) {
        self.publisher.look_again(now);
    }

    pub(super) fn reread(&mut self, now: Monotonic) {
        self.publisher.reread(now);
    }

    /// Whether `slot` is held.
    pub(super) fn coverage(&self, slot: Slot) -> Coverage {
        self.spool.coverage(slot)
    }

    /// The first slot of `slot.boot` from `slot` on that is not held.
    pub(super) fn contiguous_end(&self, slot: Slot) -> u64 {
        self.spool.contiguous_end(slot)
    }

    /// The slot after the last one held of `boot`.
    pub(super) fn last_end(&self, boot: Boot) -> Option<u64> {
        self.spool.last_end(boot)
    }

    /// The first slot of `boot` that the stream needs; `None` while unknown.
    pub(super) fn wanted(&self, boot: Boot) -> Option<u64> {
        self.publisher.wanted(boot)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.publisher.is_connected()
    }

    /// Whether `boot` is new to the stream; `None` while its end is unknown.
    pub(super) fn is_new(&self, boot: Boot) -> Option<bool> {
        self.publisher.is_known().then(|| self.publisher.end().is_none_or(|end| end.boot != boot))
    }

    /// Slots that are not acknowledged.
    pub(super) fn backlog(&self) -> u64 {
        self.spool.backlog()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.spool.backlog() == 0 || !self.publisher.is_busy()
    }

    pub(super) fn spool_bytes(&self) -> usize {
        self.spool.bytes()
    }

    pub(super) fn spill_bytes(&self) -> usize {
        self.spiller.bytes()
    }

    pub(super) fn unrestored(&self) -> Option<Unrestored> {
        self.spool.unrestored()
    }

    /// The latest time at which the next step must be taken.
    pub(super) fn wake_at(&self) -> Option<Monotonic> {
        let due = [self.publisher.wake_at(), self.prune_at, self.spiller.wake_at(&self.spool)];
        due.into_iter().flatten().min()
    }
}

/// The last message in SAMPLES is not from this agent.
fn conflicting(out: &mut Out, Conflict { found, stop }: Conflict) -> Turn {
    out.counters.conflicts += 1;
    out.log(Log::Conflict { found: found.clone() });
    if stop {
        let reason = alloc::format!("the last message in SAMPLES is not from this agent: {found}");
        out.effects.push(Effect::Event(EventKind::Delivery, Box::new(EventBody::Conflict { found })));
        out.effects.push(Effect::Stop { reason });
    }
    Turn::Identify
}
