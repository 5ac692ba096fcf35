//! What an aggregator counts, for `/metrics`.

/// Counts since the aggregator began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches with new slots.
    pub batches: u64,
    /// Gaps with new slots.
    pub gaps: u64,
    /// Slots read, valid or not.
    pub samples: u64,
    /// Slots that were seen before.
    pub duplicates: u64,
    /// Malformed messages.
    pub malformed: u64,
    /// Slots that left the stream before they were read.
    pub discarded: u64,
    /// Slots missing for an unknown cause.
    pub unexplained: u64,
    /// Slots whose stamp went back.
    pub stepped_back: u64,
    /// Slots stamped by an unsynchronised clock.
    pub unsynced: u64,
    /// Hours closed.
    pub hours: u64,
    /// Stored hours that differ from the recomputed ones.
    pub differing: u64,
    /// Closed hours dropped because too many waited.
    pub dropped_hours: u64,
}
