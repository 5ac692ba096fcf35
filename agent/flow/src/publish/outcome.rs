//! Durations, inputs and outputs of a publisher.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, Slot};

/// Durations of the publisher, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Records are kept this long after their acknowledgement, in connected time.
    pub keep: Duration,
    /// Between two reads of the tail after a failure.
    pub again: Duration,
    /// Without an answer for this long the outcome is unknown. Longer than the shell's own time-outs.
    pub answer: Duration,
    /// A message that begins at most this much before the stored end is moved up to it.
    pub overlap: Duration,
    /// A hole before restored records waits this long for a device that may still hold its slots: the longest time that
    /// a device's ring covers.
    pub device: Duration,
    /// Conflicts are counted over this long.
    pub conflict_window: Duration,
    /// Between a conflict and the next read of the tail.
    pub conflict_pause: Duration,
}

/// Why the server did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The stream's end is not at the expected sequence (10071).
    WrongSequence,
    /// Unknown: it may be stored or not.
    Unknown,
    /// The message is too large (`max_payload`, or 10054): a smaller one may pass.
    TooLarge,
}

/// The device that was accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// [`thermowell_wire::device_id`] of its serial number.
    pub device: u32,
    pub boot: Boot,
    /// The oldest slot that its ring can hold.
    pub oldest: u64,
    /// The slot that it samples next.
    pub next: u64,
    /// The link is up.
    pub open: bool,
}

/// A gap that was stored in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub first: Slot,
    /// The slot after its last one.
    pub end: u64,
    pub reason: GapReason,
}

/// What the publisher requests next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until the next input.
    Wait,
    /// Read the subject's last message.
    ReadTail,
    /// Publish this message, if the subject's last sequence is `expected`.
    Publish {
        /// The expected sequence; 0 for an empty subject.
        expected: u64,
        payload: Vec<u8>,
        /// The first slot was moved up to this UTC, in nanoseconds.
        moved: Option<(Slot, i64)>,
    },
    /// Slots from here on are missing before the next held record, and the device may still hold them.
    Hole(Slot),
    /// The last message in SAMPLES is not from this agent.
    Conflict(Conflict),
}

/// The last message in SAMPLES is not from this agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What was found there.
    pub found: String,
    /// The third one in a minute: this boiler stops.
    pub stop: bool,
}

/// The result of a read of the tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailOutcome {
    /// There was no request for it.
    Stale,
    /// The stream ends as expected, or is read for the first time.
    Known,
    /// It ends before what was acknowledged.
    WentBack {
        /// The sequence that was expected.
        expected: u64,
        /// The sequence that was found; 0 if empty.
        found: u64,
        /// Slots that have to be published again.
        slots: u64,
    },
    /// The last message in SAMPLES is not from this agent.
    Conflict(Conflict),
}
