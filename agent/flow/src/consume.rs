//! Takes the messages of SAMPLES in order and says of each which of its slots are new, and what is missing before it.
//!
//! The stream is in order per boiler, so two numbers are enough to count every slot once: the boot, and the slot that
//! is expected next in it. A boot once left is closed. A slot below the expected one was seen; of a message that
//! overlaps, only the part behind counts. Slots beyond the expected one are lost: either their messages have left the
//! stream, or nobody knows, which is an error in this software.

use thermowell_wire::Slot;
use thermowell_wire::batch::{self, Malformed, Packed};

/// The place in one boiler's stream.
#[derive(Debug, Default)]
pub struct Consume {
    device: Option<u32>,
    next: Option<Slot>,
    previous: Option<u64>,
    stream_begins_at: u64,
}

/// What a message brings.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The message.
    pub packed: Packed<'a>,
    /// How many of its first slots were seen before.
    pub seen: u64,
    /// The slots between the last message and this one.
    pub lost: Option<Lost>,
}

/// Slots that should have come before a message and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first of them.
    pub first: Slot,
    /// How many.
    pub count: u64,
    /// Their messages have left the stream; otherwise nobody knows where they are.
    pub discarded: bool,
}

/// Why a message brings nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its bytes are no message.
    #[error("malformed message")]
    Malformed(#[source] Malformed),
    /// All its slots were seen, or belong to a boot that has been left.
    #[error("all {slots} slots were seen")]
    Seen {
        /// How many slots that are.
        slots: u64,
    },
}

impl Consume {
    /// At the beginning of a history: the first message is where it begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Behind `last`: what is not behind it was seen.
    #[must_use]
    pub fn behind(last: Slot) -> Self {
        Self { next: Some(behind(last)), ..Self::default() }
    }

    /// The stream's first sequence: what lies before it has been discarded.
    pub fn stream_begins_at(&mut self, first_sequence: u64) {
        self.stream_begins_at = first_sequence;
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// The message brings nothing; see [`Refusal`].
    pub fn accept<'a>(&mut self, sequence: u64, bytes: &'a [u8]) -> Result<Arrival<'a>, Refusal> {
        let packed = batch::decode(bytes).map_err(Refusal::Malformed)?;
        let (first, end) = (packed.first(), packed.end());
        let same_device = self.device.is_none_or(|device| device == packed.device());
        // Boots compare by age only within one device: with another board, history goes on at its first slot.
        let expected = match self.next {
            Some(next) if same_device && first.boot <= next.boot => Some(next),
            Some(_) => Some(Slot::new(first.boot, 0)),
            None => None,
        };
        if expected.is_some_and(|expected| end <= expected) {
            return Err(Refusal::Seen { slots: end.seq - first.seq });
        }
        let seen = expected.map_or(0, |expected| expected.seq.saturating_sub(first.seq));
        let lost = expected.filter(|expected| expected.seq < first.seq).map(|expected| Lost {
            first: expected,
            count: first.seq - expected.seq,
            discarded: self.previous.is_none_or(|previous| previous + 1 < self.stream_begins_at),
        });
        self.device = Some(packed.device());
        self.next = Some(end);
        self.previous = Some(sequence);
        Ok(Arrival { packed, seen, lost })
    }
}

/// The slot behind `slot`.
#[must_use]
pub fn behind(slot: Slot) -> Slot {
    Slot::new(slot.boot, slot.seq.saturating_add(1))
}
