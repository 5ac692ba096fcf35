//! What a publisher is told and what it wants done.

use alloc::string::String;
use alloc::vec::Vec;

use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, Slot};

/// Why the server did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The stream's end is not at the expected sequence (10071).
    WrongSequence,
    /// Nobody knows: it may be stored or not.
    Unknown,
    /// It takes no message so large (`max_payload`, or 10054): a smaller one may pass.
    TooLarge,
}

/// The device that was accepted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// [`thermowell_wire::device_id`] of its serial number.
    pub device: u32,
    /// Its boot.
    pub boot: Boot,
    /// The oldest slot that its ring can hold.
    pub oldest: u64,
    /// The slot that it samples next.
    pub next: u64,
    /// It can be asked now.
    pub open: bool,
}

/// A gap that is in the stream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its first slot.
    pub first: Slot,
    /// The slot behind its last one.
    pub end: u64,
    /// Why.
    pub reason: GapReason,
}

/// What the publisher wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something happens.
    Wait,
    /// The subject's last message.
    ReadTail,
    /// This message, if the subject's last sequence is `expected`.
    Publish {
        /// The expectation; 0 is none.
        expected: u64,
        /// The message.
        payload: Vec<u8>,
        /// The first slot was moved up to this UTC, in nanoseconds.
        moved: Option<(Slot, i64)>,
    },
    /// These slots are missing before what is held, and the device may still have them.
    Hole(Slot),
    /// The stream's end is not ours.
    Conflict(Conflict),
}

/// The stream's end is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What was found there.
    pub found: String,
    /// The third one in a minute: this boiler stops.
    pub stop: bool,
}

/// What a read tail told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nobody asked.
    Stale,
    /// The stream ends where it should, or is met for the first time.
    Known,
    /// It ends before what was acknowledged.
    WentBack {
        /// The sequence that was expected.
        expected: u64,
        /// The sequence that was found; 0 is none.
        found: u64,
        /// Slots that have to be published again.
        slots: u64,
    },
    /// It is not ours.
    Conflict(Conflict),
}
