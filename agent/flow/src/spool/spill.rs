//! When records are written to disk: only while JetStream acknowledges nothing, and at shutdown with a backlog.
//!
//! Memory stays the working set; the file is a copy for the next start. So it is never read while the agent runs, and a
//! lost file costs nothing that memory or the device's ring still holds.
//!
//! ```text
//!          a record waits longer than `after`            nothing of the file is held any more
//!  absent ────────────────────────────────────▶ growing ─────────────────────────────────────▶ absent
//!                                                │  ▲ │
//!                             its bound is reached│  │ │ a sync failed: never again on that file
//!                                                ▼  │ ▼
//!                                    a new file with all records in memory replaces it
//! ```
//!
//! Its bound is twice that of memory: records removed from memory stay in the file until it is rewritten, and with this
//! bound each byte is written at most twice.

use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::spill::RECORD_OVERHEAD;

use super::Spool;
use crate::time::Monotonic;

/// Durations of the spill file, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A record that waits longer for its acknowledgement is written. Well below the time that the device's ring
    /// covers.
    pub after: Duration,
    /// Between two syncs while the file grows, and before a retry after a failure.
    pub every: Duration,
}

/// An operation on the spill file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spill {
    /// The following records go to a new file, which replaces the old one, if any, with the next sync.
    Begin,
    /// One record: a message of SAMPLES.
    Append(Vec<u8>),
    /// The appended records must survive a power cut. At most one sync is under way.
    Sync,
    /// The file is no longer needed.
    Remove,
}

/// The agent's view of one boiler's spill file.
#[derive(Clone, Debug)]
pub struct Spiller {
    timing: Timing,
    /// Bound of the file.
    limit: usize,
    /// Bytes of its records; `None` without a file.
    bytes: Option<usize>,
    /// Something was appended since the last sync.
    dirty: bool,
    syncing: bool,
    /// When the next sync or retry is due.
    due: Monotonic,
    /// Failed syncs since the last success.
    failures: u32,
}

impl Spiller {
    /// No file yet. `memory` is the bound of the spool.
    #[must_use]
    pub fn new(timing: Timing, memory: usize) -> Self {
        let limit = memory.saturating_mul(2);
        Self { timing, limit, bytes: None, dirty: false, syncing: false, due: Monotonic(0), failures: 0 }
    }

    /// A record of `len` bytes was found in the file at the start.
    pub fn found(&mut self, len: usize) {
        *self.bytes.get_or_insert(0) += len + RECORD_OVERHEAD;
    }

    /// Bytes of the file's records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.unwrap_or(0)
    }

    /// Whether there is a file.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.bytes.is_some()
    }

    /// The last sync succeeded.
    pub fn synced(&mut self, now: Monotonic) {
        self.syncing = false;
        self.failures = 0;
        self.due = now.after(self.timing.every);
    }

    /// The last sync failed: the file's content is unknown, and another `fsync` would report success.
    pub fn failed(&mut self, now: Monotonic, spool: &mut Spool) {
        spool.forget_spilled();
        (self.syncing, self.dirty, self.bytes) = (false, false, None);
        self.failures = self.failures.saturating_add(1);
        self.due = now.after(self.timing.every);
    }

    /// Emits the operations that are due. `leaving`: the agent shuts down.
    pub fn next(&mut self, now: Monotonic, leaving: bool, spool: &mut Spool, mut each: impl FnMut(Spill)) {
        let waiting = spool.pending_since().is_some_and(|since| now >= since.after(self.timing.after));
        if waiting || (leaving && spool.backlog() > 0) {
            self.append(now, leaving, spool, &mut each);
        }
        if self.dirty && !self.syncing && (leaving || self.due <= now) {
            (self.dirty, self.syncing) = (false, true);
            each(Spill::Sync);
        }
        if self.exists() && !self.dirty && !self.syncing && !waiting && !leaving && !spool.has_spilled() {
            self.bytes = None;
            each(Spill::Remove);
        }
    }

    fn append(&mut self, now: Monotonic, leaving: bool, spool: &mut Spool, each: &mut impl FnMut(Spill)) {
        if self.failures > 0 && self.due > now && !leaving {
            return;
        }
        if self.bytes.is_some_and(|bytes| bytes > self.limit) && !self.syncing {
            spool.forget_spilled();
            self.bytes = None;
        }
        let (mut bytes, mut dirty) = (self.bytes, self.dirty);
        spool.spill(|message| {
            if bytes.is_none() {
                each(Spill::Begin);
            }
            *bytes.get_or_insert(0) += message.len() + RECORD_OVERHEAD;
            dirty = true;
            each(Spill::Append(message));
        });
        (self.bytes, self.dirty) = (bytes, dirty);
    }

    /// The latest time at which [`Spiller::next`] must be called.
    #[must_use]
    pub fn wake_at(&self, spool: &Spool) -> Option<Monotonic> {
        let pending = spool.pending_since().map(|since| since.after(self.timing.after));
        let begin = pending.filter(|_| spool.has_unspilled());
        let begin = begin.map(|at| if self.failures > 0 { at.max(self.due) } else { at });
        let sync = (self.dirty && !self.syncing).then_some(self.due);
        [begin, sync].into_iter().flatten().min()
    }
}
