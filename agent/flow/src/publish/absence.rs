//! Gaps that delivery itself records before the held records, and the first slot of a history.

use thermowell_wire::Slot;
use thermowell_wire::line::GapReason;

use super::Live;
use crate::batch::{Record, Stamp};
use crate::spool::Spool;
use crate::time::slots_ns;

/// The gap from `from` up to `record`: slots that neither memory nor device holds any more.
pub(super) fn gap_before(record: &Record, from: u64) -> Record {
    let mut gap = Record::gap(Slot::new(record.first.boot, from), record.first.seq, GapReason::Ring, record.origin);
    let back = slots_ns(gap.slots(), record.origin.period_ns);
    gap.stamp = match record.stamp {
        Stamp::Waiting => Stamp::Waiting,
        Stamp::Placed(ns) => Stamp::Placed(ns.saturating_sub(back)),
        Stamp::Stamped { utc_ns, clock } => Stamp::Stamped { utc_ns: utc_ns.saturating_sub(back), clock },
    };
    gap
}

/// The first slot of a history without stored messages: the oldest one in memory or ring.
pub(super) fn origin(live: Option<Live>, spool: &Spool) -> Option<Slot> {
    let held = spool.front().map(|record| record.first);
    let ring = live.filter(|live| live.open).map(|live| Slot::new(live.boot, live.oldest));
    match (held, ring) {
        (Some(held), Some(ring)) => Some(held.min(ring)),
        (held, ring) => held.or(ring),
    }
}
