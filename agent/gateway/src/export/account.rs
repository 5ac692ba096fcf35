//! The rows of a range, and their books, by the rules of the ledger.

use std::ops::Range;

use thermowell_flow::snapshot::{Reason, add_missing};
use thermowell_flow::time::slots_ns;
use thermowell_wire::{Boot, Slot};

use super::Books;
use crate::quantity::grouped;
use crate::samples::{Hole, Row, Time, Unpacked};

/// How much of its beginning or end may be missing in a range that counts as reached: a slot, and the rounding of its
/// stamp.
const EDGE_NS: i64 = 20_000_000;

/// The account of a range.
#[derive(Debug)]
pub(super) struct Account {
    range: Range<i64>,
    mark: Option<Mark>,
    waiting: Option<Waiting>,
    books: Books,
}

/// How far trusted time has advanced.
#[derive(Clone, Copy, Debug)]
struct Mark {
    boot: Boot,
    /// The stamp of the newest slot: what is stamped at it or below has no time of its own.
    newest_ns: i64,
    /// The stamp of the slot after it.
    end_ns: i64,
}

/// Slots without a trusted time, until the next slot that has one.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    first: Option<Slot>,
    slots: u64,
}

impl Account {
    pub(super) fn new(range: Range<i64>) -> Self {
        Self { range, mark: None, waiting: None, books: Books::default() }
    }

    /// Takes the next message, and hands its rows within the range to `out`. Returns whether the range has ended.
    pub(super) fn take(&mut self, message: &Unpacked<'_>, out: &mut dyn FnMut(Row)) -> bool {
        if !message.is_synced {
            self.wait(message);
            return false;
        }
        self.settle(message, out);
        for hole in &message.holes {
            self.hole(*hole, out);
        }
        let mark = self.mark.map_or(i64::MIN, |mark| mark.newest_ns);
        let mut late: Option<Hole> = None;
        for row in message.readings() {
            let Row::Reading { slot, utc_ns, reading } = row else { continue };
            if utc_ns <= mark {
                let hole = Hole { first: Some(slot), slots: 0, from_ns: mark, to_ns: mark, reason: Reason::Clock };
                late.get_or_insert(hole).slots += 1;
                continue;
            }
            if let Some(late) = late.take() {
                self.hole(late, out);
            }
            if !self.range.contains(&utc_ns) {
                continue;
            }
            let end_ns = utc_ns.saturating_add(i64::from(message.period_ns));
            self.books.slots += 1;
            if reading.is_valid() {
                self.books.counted += 1;
            } else {
                self.books.missing.invalid += 1;
            }
            self.knows(utc_ns, end_ns);
            out(row);
        }
        if let Some(late) = late {
            self.hole(late, out);
        }
        let newest_ns = message.end_ns.saturating_sub(i64::from(message.period_ns)).max(mark);
        let end_ns = self.mark.map_or(message.end_ns, |mark| mark.end_ns.max(message.end_ns));
        self.mark = Some(Mark { boot: message.boot, newest_ns, end_ns });
        message.end_ns >= self.range.end
    }

    /// The books, and whether they close over what was asked for.
    pub(super) fn books(mut self, from_ns: Option<i64>, to_ns: Option<i64>) -> Books {
        let books = &mut self.books;
        if books.missing.unexplained > 0 {
            let slots = grouped(&books.missing.unexplained.to_string(), ',');
            books.open.push(format!("{slots} slots are missing without a reason"));
        }
        if let Some(known) = &books.known {
            if from_ns.is_some_and(|from_ns| known.start > from_ns.saturating_add(EDGE_NS)) {
                books.open.push(format!("nothing is stored before {}", Time(known.start)));
            }
            if to_ns.is_some_and(|to_ns| known.end < to_ns.saturating_sub(EDGE_NS)) {
                books.open.push(format!("nothing is stored from {} on", Time(known.end)));
            }
        }
        self.books
    }

    /// Slots stamped by a clock that is not trusted. Those between two boots of that time are not counted: their number
    /// comes from the stamps.
    fn wait(&mut self, message: &Unpacked<'_>) {
        let mut readings = message.readings();
        let first = message.holes.iter().find_map(|hole| hole.first).or_else(|| match readings.next() {
            Some(Row::Reading { slot, .. }) => Some(slot),
            Some(Row::Hole(_)) | None => None,
        });
        let holes: u64 = message.holes.iter().filter(|hole| hole.first.is_some()).map(|hole| hole.slots).sum();
        let count = u64::try_from(message.readings().count()).unwrap_or(u64::MAX);
        self.waiting.get_or_insert(Waiting { first, slots: 0 }).slots += holes + count;
    }

    /// Gives the slots that wait the time at which trusted time begins again; what is left of the time between is that
    /// of a reboot.
    fn settle(&mut self, message: &Unpacked<'_>, out: &mut dyn FnMut(Row)) {
        let Some(Waiting { first, slots }) = self.waiting.take() else { return };
        let lost: u64 = message.holes.iter().map(|hole| hole.slots).sum();
        let begin_ns = message.begin_ns.saturating_sub(slots_ns(lost, message.period_ns));
        if let Some(mark) = self.mark.filter(|mark| mark.boot != message.boot) {
            let from_ns = mark.end_ns.saturating_add(slots_ns(slots, message.period_ns));
            if let Some(hole) = Hole::between_boots(from_ns, begin_ns, message.period_ns) {
                self.hole(hole, out);
            }
        }
        let hole = Hole { first, slots, from_ns: begin_ns, to_ns: begin_ns, reason: Reason::Clock };
        self.hole(hole, out);
    }

    fn hole(&mut self, hole: Hole, out: &mut dyn FnMut(Row)) {
        let Some(hole) = hole.within(&self.range) else { return };
        self.books.slots += hole.slots;
        add_missing(&mut self.books.missing, hole.reason, hole.slots);
        self.knows(hole.from_ns, hole.to_ns);
        out(Row::Hole(hole));
    }

    fn knows(&mut self, from_ns: i64, to_ns: i64) {
        let known = self.books.known.get_or_insert(from_ns..to_ns);
        known.end = known.end.max(to_ns);
    }
}

#[cfg(test)]
mod tests {
    use thermowell_flow::published::Missing;
    use thermowell_wire::batch::ClockQuality::{self, Synced, Unsynced};
    use thermowell_wire::line::GapReason;

    use super::*;
    use crate::samples::Unpack;
    use crate::samples::testing::{BOOT, NOON_NS, batch, gap, invalid, reading};

    const SECOND: i64 = 1_000_000_000;

    /// A second of readings that begins so many seconds after noon.
    fn second(boot: Boot, seq: u64, at_s: i64, clock: ClockQuality) -> Vec<u8> {
        batch(boot, seq, NOON_NS + at_s * SECOND, clock, &[reading(50_00); 100])
    }

    fn account(messages: &[Vec<u8>], from_s: i64, to_s: i64) -> (Books, Vec<Row>) {
        let (from_ns, to_ns) = (NOON_NS + from_s * SECOND, NOON_NS + to_s * SECOND);
        let (mut unpack, mut account, mut rows) = (Unpack::default(), Account::new(from_ns..to_ns), Vec::new());
        for (sequence, message) in (1..).zip(messages) {
            if let Some(unpacked) = unpack.observe(sequence, message) {
                account.take(&unpacked, &mut |row| rows.push(row));
            }
        }
        (account.books(Some(from_ns), Some(to_ns)), rows)
    }

    #[test]
    fn books_of_a_range_close_over_gaps_and_reboots() {
        let later = Boot::new(BOOT.counter() + 1, 7);
        let messages = [
            second(BOOT, 0, 0, Synced),
            gap(BOOT, 100..1_000, GapReason::Ring, NOON_NS + SECOND),
            batch(BOOT, 1_000, NOON_NS + 10 * SECOND, Synced, &[invalid(); 100]),
            second(later, 0, 31, Synced),
            second(later, 100, 32, Synced),
        ];
        let (books, rows) = account(&messages, 0, 33);
        let missing = Missing { ring: 900, reboot: 2_000, invalid: 100, ..Missing::default() };
        assert_eq!((books.slots, books.counted, books.missing), (3_300, 300, missing));
        assert_eq!((books.open, rows.len()), (Vec::new(), 402));
        // Within the gap and within the pause between the boots.
        let (books, rows) = account(&messages, 5, 20);
        let missing = Missing { ring: 500, reboot: 900, invalid: 100, ..Missing::default() };
        assert_eq!((books.slots, books.counted, books.missing), (1_500, 0, missing));
        assert!(books.open.is_empty());
        assert!(matches!(rows[0], Row::Hole(Hole { first: Some(slot), .. }) if slot.seq == 500));
    }

    #[test]
    fn range_that_is_not_stored_and_skipped_slots_leave_them_open() {
        let messages = [second(BOOT, 0, 10, Synced), second(BOOT, 200, 12, Synced)];
        let (books, _) = account(&messages, 0, 60);
        assert_eq!((books.slots, books.counted, books.missing.unexplained), (300, 200, 100));
        assert_eq!(
            books.open,
            [
                "100 slots are missing without a reason",
                "nothing is stored before 2026-01-07T12:00:10.000Z",
                "nothing is stored from 2026-01-07T12:00:13.000Z on",
            ]
        );
    }

    #[test]
    fn slots_without_a_trusted_time_are_missing_for_clock() {
        let messages = [
            second(BOOT, 0, 0, Synced),
            second(BOOT, 100, -900_000_000, Unsynced),
            second(BOOT, 200, 2, Synced),
            // The calendar went back by half a second.
            batch(BOOT, 300, NOON_NS + 2_500_000_000, Synced, &[reading(1); 100]),
        ];
        let (books, rows) = account(&messages, 0, 3);
        assert_eq!((books.slots, books.counted, books.missing.clock), (350, 200, 150));
        let later = account(&messages, 0, 4).0;
        assert_eq!((later.slots, later.counted, later.missing.clock), (400, 250, 150));
        let holes = rows.iter().filter(|row| matches!(row, Row::Hole(_))).count();
        assert_eq!((holes, books.open.len()), (2, 0));
    }

    /// A reboot without a trusted clock: its slots wait, and the rest of the time is the reboot's.
    #[test]
    fn time_between_boots_is_counted_once_without_a_clock() {
        let later = Boot::new(BOOT.counter() + 1, 7);
        let messages =
            [second(BOOT, 0, 0, Synced), second(later, 0, -900_000_000, Unsynced), second(later, 100, 20, Synced)];
        let (books, _) = account(&messages, 0, 21);
        assert_eq!((books.missing.reboot, books.missing.clock, books.counted), (1_800, 100, 200));
        assert_eq!((books.slots, books.open), (2_100, Vec::new()));
    }
}
