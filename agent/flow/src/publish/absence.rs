//! Records of absence that delivery itself makes: before what is held.

use thermowell_wire::Slot;
use thermowell_wire::line::GapReason;

use crate::batch::{Record, Stamp};

/// The absence of the slots from `from` up to `record`, which nobody has any more.
pub(super) fn gap_before(record: &Record, from: u64) -> Record {
    let mut gap = Record::gap(Slot::new(record.first.boot, from), record.first.seq, GapReason::Ring, record.origin);
    let slots = i64::try_from(gap.slots()).unwrap_or(i64::MAX);
    let back = slots.saturating_mul(i64::from(record.origin.period_ns));
    gap.stamp = match record.stamp {
        Stamp::Waiting => Stamp::Waiting,
        Stamp::Placed(ns) => Stamp::Placed(ns.saturating_sub(back)),
        Stamp::Stamped { utc_ns, clock } => Stamp::Stamped { utc_ns: utc_ns.saturating_sub(back), clock },
    };
    gap
}
