//! Catching up: records that wait are published together, up to [`COUNT_MAX`] samples in a message.
//!
//! One message is in flight, so each message of a backlog costs a round trip. Live data is not affected: a
//! record that waits alone is published as it was cut.
//!
//! A message has one stamp and one period, so it has the mean period of its records. They are joined as long as the
//! first slot of each keeps its own stamp within [`APART_NS`]. The records follow the device's clock, so neighbours
//! differ by microseconds; after a jump of the clocks a new message begins.
//!
//! ```text
//! stamp │            ╱▪  each record's start must lie within APART_NS of the line from the first slot
//!       │        ▪╱       to the end of the last record: an interval of slopes, narrowed by each record
//!       │    ╱▪
//!       │╱──────────── slot
//! ```

use alloc::vec::Vec;

use thermowell_wire::batch::COUNT_MAX;
use thermowell_wire::{Reading, Slot};

use crate::batch::{Body, Record, Stamp};
use crate::spool::Spool;

/// How far the stamp of a record's first slot may move when records are joined: a tenth of a slot at 100 Hz, and a
/// twentieth of what a stamp may be off (20 ms).
const APART_NS: i64 = 1_000_000;

/// Several records as one message.
pub(super) struct Joined {
    /// The slot after the last one.
    pub(super) end: u64,
    pub(super) period_ns: u32,
    pub(super) readings: Vec<Reading>,
}

/// Joins `record`, from the slot `from` at `utc_ns` on, with those that follow it, to at most `slots_max` slots. `None`
/// if nothing can be joined.
pub(super) fn join(spool: &Spool, record: &Record, from: Slot, utc_ns: i64, slots_max: u64) -> Option<Joined> {
    let slots_max = slots_max.min(u64::try_from(COUNT_MAX).unwrap_or(u64::MAX));
    let mut slopes = Slopes { lowest: 1, highest: i64::from(u32::MAX) };
    let (mut end, mut last) = (record.end, None);
    for next in spool.from(record.end()) {
        if next.first != Slot::new(from.boot, end) || !continues(record, next) || next.end - from.seq > slots_max {
            break;
        }
        let (Some(start_ns), Some(end_ns)) = (next.utc_ns(next.first.seq), next.utc_ns(next.end)) else { break };
        if !slopes.pass(next.first.seq - from.seq, start_ns, utc_ns) {
            break;
        }
        end = next.end;
        let Some(period_ns) = slopes.mean(end - from.seq, end_ns, utc_ns) else { continue };
        last = Some((end, period_ns));
    }
    let (end, period_ns) = last?;
    let mut readings = record.readings_from(from.seq);
    for next in spool.from(record.end()).take_while(|next| next.end <= end && next.first.boot == from.boot) {
        readings.extend(next.readings_from(next.first.seq));
    }
    Some(Joined { end, period_ns, readings })
}

/// Whether `next` has samples that can share a header with those of `record`.
fn continues(record: &Record, next: &Record) -> bool {
    let (Stamp::Stamped { clock, .. }, Stamp::Stamped { clock: its, .. }) = (record.stamp, next.stamp) else {
        return false;
    };
    let alike = |of: &Record| (of.origin.device, of.origin.simulated);
    matches!(next.body, Body::Samples(_))
        && matches!(record.body, Body::Samples(_))
        && clock == its
        && alike(record) == alike(next)
}

/// The periods with which every record so far keeps its stamp.
struct Slopes {
    lowest: i64,
    highest: i64,
}

impl Slopes {
    /// Narrows them by a record `slots` after the first slot. `false` if none is left.
    fn pass(&mut self, slots: u64, start_ns: i64, first_ns: i64) -> bool {
        let (Ok(slots), Some(after)) = (i64::try_from(slots), start_ns.checked_sub(first_ns)) else { return false };
        // Rounded inwards.
        self.lowest = self.lowest.max(-(-after.saturating_sub(APART_NS)).div_euclid(slots));
        self.highest = self.highest.min(after.saturating_add(APART_NS).div_euclid(slots));
        self.lowest <= self.highest
    }

    /// The period with which `slots` end at `end_ns`, if it is one of them.
    fn mean(&self, slots: u64, end_ns: i64, first_ns: i64) -> Option<u32> {
        let mean = end_ns.checked_sub(first_ns)?.checked_div(i64::try_from(slots).ok()?)?;
        if (self.lowest..=self.highest).contains(&mean) { u32::try_from(mean).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;
    use thermowell_wire::batch::ClockQuality;
    use thermowell_wire::line::GapReason;
    use thermowell_wire::{Boot, CentiCelsius};

    use super::*;
    use crate::batch::Origin;
    use crate::time::Monotonic;

    const PERIOD_NS: i64 = 10_000_000;
    const ORIGIN: Origin = Origin { device: 1, period_ns: 10_000_000, simulated: false };

    /// Consecutive records of ten samples from slot 0 on, each `late_ns` after its even place.
    fn spool(late_ns: &[i64]) -> Spool {
        let mut spool = Spool::new(1 << 20);
        for (n, late_ns) in (0..).zip(late_ns) {
            insert(&mut spool, record(n, *late_ns));
        }
        spool
    }

    fn insert(spool: &mut Spool, record: Record) {
        spool.insert(Monotonic(0), record);
    }

    fn record(n: u16, late_ns: i64) -> Record {
        let first = u64::from(n) * 10;
        let temperature = CentiCelsius(i16::try_from(n).unwrap());
        let readings = [Reading { temperature, marks: 0 }; 10];
        let utc_ns = i64::from(n) * 10 * PERIOD_NS + late_ns;
        let stamp = Stamp::Stamped { utc_ns, clock: ClockQuality::Synced };
        Record { stamp, ..Record::samples(Slot::new(Boot(1), first), &readings, ORIGIN, &mut vec![]) }
    }

    fn joined(spool: &Spool, slots_max: u64) -> Option<Joined> {
        let record = spool.front().unwrap();
        join(spool, record, record.first, record.utc_ns(record.first.seq).unwrap(), slots_max)
    }

    fn end(spool: &Spool) -> Option<u64> {
        joined(spool, u64::MAX).map(|joined| joined.end)
    }

    #[test]
    fn waiting_records_fill_a_message() {
        let found = joined(&spool(&[0; 300]), u64::MAX).unwrap();
        assert_eq!((found.end, found.period_ns, found.readings.len()), (1_000, 10_000_000, 1_000));
        assert!(
            (0..100).all(|n| found.readings[10 * n..][..10].iter().all(|r| usize::try_from(r.temperature.0) == Ok(n)))
        );
        assert_eq!(joined(&spool(&[0; 300]), 105).unwrap().end, 100);
        assert!(joined(&spool(&[0; 300]), 19).is_none());
        assert!(joined(&spool(&[0]), 1_000).is_none());
    }

    #[test]
    fn message_begins_in_the_middle_of_a_record() {
        let spool = spool(&[0; 3]);
        let from = Slot::new(Boot(1), 7);
        let found = join(&spool, spool.front().unwrap(), from, 7 * PERIOD_NS, 1_000).unwrap();
        assert_eq!((found.end, found.readings.len(), found.period_ns), (30, 23, 10_000_000));
    }

    /// 200 ppm fast: the mean period is the device's.
    #[test]
    fn drifting_clock_keeps_its_stamps() {
        let late: vec::Vec<_> = (0..100).map(|n| n * 10 * 2_000).collect();
        let found = joined(&spool(&late), u64::MAX).unwrap();
        assert_eq!((found.end, found.period_ns), (1_000, 10_001_980));
    }

    #[test]
    fn another_header_ends_the_message() {
        let mut jump = [0; 6];
        jump[3..].fill(5 * APART_NS);
        assert_eq!(end(&spool(&jump)), Some(30));

        let change = |change: fn(&mut Record)| {
            let mut spool = spool(&[0; 2]);
            let mut third = record(2, 0);
            change(&mut third);
            insert(&mut spool, third);
            end(&spool)
        };
        assert_eq!(change(|_| ()), Some(30));
        assert_eq!(change(|third| third.origin.simulated = true), Some(20));
        assert_eq!(change(|third| third.origin.device = 2), Some(20));
        assert_eq!(change(|third| third.first.boot = Boot(2)), Some(20));
        assert_eq!(change(|third| third.stamp = Stamp::Waiting), Some(20));
        assert_eq!(change(|third| third.body = Body::Gap(GapReason::Ring)), Some(20));
        assert_eq!(
            change(|third| third.stamp = Stamp::Stamped { utc_ns: 20 * PERIOD_NS, clock: ClockQuality::Unsynced }),
            Some(20)
        );
    }

    proptest! {
        /// Every record keeps its stamp, whatever the stamps are.
        #[test]
        fn no_stamp_moves_further_than_allowed(late in prop::collection::vec(-3_000_000i64..3_000_000, 2..100)) {
            let spool = spool(&late);
            if let Some(found) = joined(&spool, u64::MAX) {
                for (n, late_ns) in (0i64..).zip(&late).take(found.readings.len() / 10) {
                    let stamp = late[0] + 10 * n * i64::from(found.period_ns);
                    prop_assert!((stamp - 10 * n * PERIOD_NS - late_ns).abs() <= APART_NS);
                }
            }
        }
    }
}
