//! The spilling of an agent: records to disk while the server acknowledges nothing, and back at the next start.

use alloc::vec::Vec;

use thermowell_wire::batch::decode;

use super::{Agent, Effect, Log};
use crate::batch::Record;
use crate::spool::Unrestored;
use crate::spool::spill::Spill;
use crate::time::{BOOT_NS_MAX, Now};

impl Agent {
    /// Takes a record of the spill file. Malformed messages are ignored: the shell has checked the checksum and reports
    /// them. A slot beyond the longest possible boot was not written by an agent.
    pub(super) fn restore(&mut self, now: Now, message: &[u8]) {
        self.spiller.found(message.len());
        let Ok(packed) = decode(message) else { return };
        let record = Record::from_message(&packed);
        if record.end > BOOT_NS_MAX / u64::from(record.origin.period_ns) {
            self.counters.implausible += 1;
            return;
        }
        self.counters.restored += 1;
        self.counters.unrestored += self.spool.restore(now.monotonic, &record);
    }

    /// Records that may exist in the spill file only, which must then not be removed.
    #[must_use]
    pub fn unrestored(&self) -> Option<Unrestored> {
        self.spool.unrestored()
    }

    pub(super) fn spill_failed(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.counters.spill_failures += 1;
        self.spiller.failed(now.monotonic, &mut self.spool);
        self.log(now, Log::SpillFailed, effects);
    }

    /// Spills records that have waited too long, and removes a file that is no longer needed.
    pub(super) fn spill(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let before = self.spiller.exists();
        let spilled = &mut self.counters.spilled;
        self.spiller.next(now.monotonic, self.leaving, &mut self.spool, |spill| {
            *spilled += u64::from(matches!(spill, Spill::Append(_)));
            effects.push(Effect::Spill(spill));
        });
        match (before, self.spiller.exists()) {
            (false, true) => self.log(now, Log::Spilling { backlog: self.spool.backlog() }, effects),
            (true, false) => self.log(now, Log::SpillDone, effects),
            (false, false) | (true, true) => {}
        }
    }
}
