//! The last two minutes of readings, overwritten by age alone.
//!
//! Four bytes a slot: 48 KB of RAM for 12,000 of them. A slot that was not sampled keeps its place, marked by a bit
//! that no reading uses, so that every `Resume` gets the same gap.

use thermowell_wire::Reading;
use thermowell_wire::line::READINGS_MAX;

/// Marks a slot that was not sampled, in `Reading::marks`. Bits 5–7 of a reading are zero.
const MISSED: u8 = 1 << 7;

/// The ring over storage from the caller: an array on a board, a vector in the simulator.
#[derive(Clone, Debug)]
pub struct Ring<S> {
    storage: S,
    next: u64,
}

/// A run of slots of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Consecutive readings, at least one.
    Readings(heapless::Vec<Reading, READINGS_MAX>),
    /// Missed slots up to `to`, exclusive.
    Missed { to: u64 },
}

impl<S: AsRef<[Reading]> + AsMut<[Reading]>> Ring<S> {
    /// An empty ring; the content of `storage` does not matter.
    ///
    /// # Panics
    /// If `storage` is empty.
    #[must_use]
    pub fn new(storage: S) -> Self {
        assert!(!storage.as_ref().is_empty(), "a ring needs a slot");
        Self { storage, next: 0 }
    }

    /// Size in slots.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.storage.as_ref().len() as u64
    }

    /// The oldest slot held; equal to `next` while the ring is empty.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.next.saturating_sub(self.capacity())
    }

    /// The slot that is written next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Writes the next slot; None marks it as missed.
    pub fn push(&mut self, reading: Option<Reading>) {
        let index = self.index(self.next);
        let slot = reading.unwrap_or(Reading { marks: MISSED, ..Reading::default() });
        debug_assert!(reading.is_none_or(|reading| reading.marks & MISSED == 0), "bit 7 of a reading is zero");
        self.storage.as_mut()[index] = slot;
        self.next += 1;
    }

    /// Marks the next `slots` slots as missed.
    pub fn skip(&mut self, slots: u64) {
        // A stall longer than the ring: only its end fits.
        let forgotten = slots.saturating_sub(self.capacity());
        self.next += forgotten;
        for _ in forgotten..slots {
            self.push(None);
        }
    }

    /// The run that starts at `from`. None if that slot was overwritten or is not sampled yet.
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
