//! The last two minutes of readings, overwritten by age alone.
//!
//! Four bytes a slot: 48 KB of RAM for 12,000 of them. A slot that was not sampled keeps its place, marked in a bit
//! that no reading uses, so that each `Resume` answers it again as the same gap.

use thermowell_wire::Reading;
use thermowell_wire::line::READINGS_MAX;

/// In `Reading::marks` of a slot that was not sampled. Bits 5–7 of a reading are zero.
const MISSED: u8 = 1 << 7;

/// The ring over storage that the caller brings: an array on a board, a vector in the simulator.
#[derive(Clone, Debug)]
pub struct Ring<S> {
    storage: S,
    next: u64,
}

/// What stands at one place of the ring and directly behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Consecutive readings, at least one.
    Readings(heapless::Vec<Reading, READINGS_MAX>),
    /// Missed slots up to, not including, `to`.
    Missed {
        /// The first slot behind them.
        to: u64,
    },
}

impl<S: AsRef<[Reading]> + AsMut<[Reading]>> Ring<S> {
    /// An empty ring; what `storage` holds does not matter.
    ///
    /// # Panics
    /// Where `storage` has no slot.
    #[must_use]
    pub fn new(storage: S) -> Self {
        assert!(!storage.as_ref().is_empty(), "a ring needs a slot");
        Self { storage, next: 0 }
    }

    /// Slots that it holds at most.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.storage.as_ref().len() as u64
    }

    /// The oldest slot that it holds; equal to `next` while it is empty.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.next.saturating_sub(self.capacity())
    }

    /// The slot that is written next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Writes the next slot; None is a missed one.
    pub fn push(&mut self, reading: Option<Reading>) {
        let index = self.index(self.next);
        let slot = reading.unwrap_or(Reading { marks: MISSED, ..Reading::default() });
        debug_assert!(reading.is_none_or(|reading| reading.marks & MISSED == 0), "bit 7 of a reading is zero");
        self.storage.as_mut()[index] = slot;
        self.next += 1;
    }

    /// Marks the next `slots` slots as missed.
    pub fn skip(&mut self, slots: u64) {
        // Of a stall longer than the ring only the end can be remembered.
        let forgotten = slots.saturating_sub(self.capacity());
        self.next += forgotten;
        for _ in forgotten..slots {
            self.push(None);
        }
    }

    /// What stands at `from`. None where nothing does: overwritten, or not sampled yet.
    #[must_use]
    pub fn stretch(&self, from: u64) -> Option<Stretch> {
        if from < self.oldest() || from >= self.next {
            return None;
        }
        if self.is_missed(from) {
            let to = (from..self.next).find(|&seq| !self.is_missed(seq)).unwrap_or(self.next);
            return Some(Stretch::Missed { to });
        }
        let here = (from..self.next).take(READINGS_MAX).take_while(|&seq| !self.is_missed(seq));
        Some(Stretch::Readings(here.map(|seq| self.storage.as_ref()[self.index(seq)]).collect()))
    }

    fn is_missed(&self, seq: u64) -> bool {
        self.storage.as_ref()[self.index(seq)].marks & MISSED != 0
    }

    fn index(&self, seq: u64) -> usize {
        usize::try_from(seq % self.capacity()).expect("below the length of a slice")
    }
}
