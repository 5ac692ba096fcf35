//! Frames to slots in order: accepts only the slot that is expected next.
//!
//! The gateway's half of go-back-N: a slot after the expected one is a hole, answered by one `Resume`; a slot before it
//! is a duplicate. A gap counts only if it begins at the expected slot, so that a late answer to an old `Resume` cannot
//! open a hole. A cursor is for one boot.

use core::ops::Range;
use core::time::Duration;

use thermowell_wire::line::{GapNotice, Samples};
use thermowell_wire::{Boot, Reading, Slot};

use crate::time::Monotonic;

/// Durations of the cursor, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two `Resume` for the same slot.
    pub again: Duration,
    /// Between two `Resume` for different slots.
    pub apart: Duration,
    /// Without progress for this long, `Resume` is repeated: it may have been lost.
    pub progress: Duration,
}

/// How a `Samples` or `Gap` relates to the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival<T> {
    /// Continues at the expected slot.
    InOrder(T),
    /// All its slots were seen before.
    Duplicate,
    /// Slots are missing before it.
    Hole,
    /// Of another boot.
    Foreign,
}

/// The position in the slots of one boot.
#[derive(Clone, Debug)]
pub struct Cursor {
    timing: Timing,
    boot: Boot,
    expected: u64,
    asked: Option<(u64, Monotonic)>,
    progressed: Monotonic,
}

impl Cursor {
    /// A cursor that expects `expected`; the caller sends the `Resume`.
    #[must_use]
    pub fn new(timing: Timing, expected: Slot, now: Monotonic) -> Self {
        Self { timing, boot: expected.boot, expected: expected.seq, asked: Some((expected.seq, now)), progressed: now }
    }

    /// The slot that is expected next.
    #[must_use]
    pub fn expected(&self) -> Slot {
        Slot::new(self.boot, self.expected)
    }

    /// Returns the readings from the expected slot on.
    pub fn samples<'a>(&self, samples: &'a Samples) -> Arrival<&'a [Reading]> {
        if samples.tag != self.boot.tag() {
            return Arrival::Foreign;
        }
        let Some(seen) = self.expected.checked_sub(samples.seq) else { return Arrival::Hole };
        match usize::try_from(seen).ok().and_then(|seen| samples.readings.get(seen..)) {
            Some(rest) if !rest.is_empty() => Arrival::InOrder(rest),
            Some(_) | None => Arrival::Duplicate,
        }
    }

    /// Accepts a gap that begins at the expected slot.
    #[must_use]
    pub fn gap(&self, gap: &GapNotice) -> Arrival<Range<u64>> {
        if gap.tag != self.boot.tag() {
            Arrival::Foreign
        } else if gap.from == self.expected {
            Arrival::InOrder(gap.from..gap.to)
        } else if gap.from < self.expected {
            Arrival::Duplicate
        } else {
            Arrival::Hole
        }
    }

    /// Slots below `expected` have been taken.
    pub fn advance(&mut self, expected: u64, now: Monotonic) {
        self.expected = expected;
        self.progressed = now;
    }

    /// Moves to another slot; the caller sends the `Resume`.
    pub fn aim(&mut self, expected: u64, now: Monotonic) {
        self.expected = expected;
        self.progressed = now;
        self.asked = Some((expected, now));
    }

    /// Whether a `Resume` for the expected slot may be sent now because of a hole; if so, records it as sent.
    pub fn may_resume(&mut self, now: Monotonic) -> bool {
        let due = match self.asked {
            Some((seq, at)) if seq == self.expected => now.since(at) >= self.timing.again,
            Some((_, at)) => now.since(at) >= self.timing.apart,
            None => true,
        };
        if due {
            self.asked = Some((self.expected, now));
        }
        due
    }

    /// When another `Resume` is due for lack of progress.
    #[must_use]
    pub fn stalled_at(&self) -> Monotonic {
        let asked = self.asked.map_or(self.progressed, |(_, at)| at);
        self.progressed.max(asked).after(self.timing.progress)
    }
}

#[cfg(test)]
mod tests {
    use thermowell_wire::line::GapReason;

    use super::*;

    const BOOT: Boot = Boot(0x1_0000_0042);
    const TIMING: Timing = Timing {
        again: Duration::from_millis(100),
        apart: Duration::from_millis(20),
        progress: Duration::from_secs(1),
    };

    fn cursor(expected: u64) -> Cursor {
        Cursor::new(TIMING, Slot::new(BOOT, expected), Monotonic(0))
    }

    fn samples(tag: u8, seq: u64, count: usize) -> Samples {
        Samples { tag, seq, readings: core::iter::repeat_n(Reading::default(), count).collect() }
    }

    #[test]
    fn only_the_expected_slot_is_in_order() {
        let cursor = cursor(100);
        assert_eq!(cursor.samples(&samples(0x42, 100, 5)), Arrival::InOrder(&[Reading::default(); 5][..]));
        assert_eq!(cursor.samples(&samples(0x42, 98, 5)), Arrival::InOrder(&[Reading::default(); 3][..]));
        assert_eq!(cursor.samples(&samples(0x42, 95, 5)), Arrival::Duplicate);
        assert_eq!(cursor.samples(&samples(0x42, 0, 5)), Arrival::Duplicate);
        assert_eq!(cursor.samples(&samples(0x42, 101, 5)), Arrival::Hole);
        assert_eq!(cursor.samples(&samples(0x43, 100, 5)), Arrival::Foreign);
    }

    #[test]
    fn gap_counts_only_at_the_expected_slot() {
        let cursor = cursor(100);
        let gap = |tag, from| GapNotice { tag, from, to: 200, reason: GapReason::Ring };
        assert_eq!(cursor.gap(&gap(0x42, 100)), Arrival::InOrder(100..200));
        assert_eq!(cursor.gap(&gap(0x42, 99)), Arrival::Duplicate);
        assert_eq!(cursor.gap(&gap(0x42, 101)), Arrival::Hole);
        assert_eq!(cursor.gap(&gap(0x41, 100)), Arrival::Foreign);
    }

    #[test]
    fn resume_is_sent_once_per_hole() {
        let ms = |ms: u64| Monotonic(ms * 1_000_000);
        let mut cursor = cursor(100);
        assert!(!cursor.may_resume(ms(99)), "the first `Resume` is under way");
        assert!(cursor.may_resume(ms(100)));
        assert!(!cursor.may_resume(ms(199)));
        cursor.advance(150, ms(120));
        assert!(cursor.may_resume(ms(120)), "another hole");
        cursor.advance(160, ms(130));
        assert!(!cursor.may_resume(ms(139)), "but not at once");
        assert_eq!(cursor.stalled_at(), ms(1_130));
    }
}
