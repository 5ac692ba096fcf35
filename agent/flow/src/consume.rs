//! Takes the messages of SAMPLES in order and determines which slots of each are new, and which are missing before it.
//!
//! The stream is in order per boiler, so two numbers are enough to count every slot once: the boot, and the slot
//! expected next in it. A boot is closed once a newer one begins. A slot below the expected one was seen before; of a
//! message that overlaps, only the rest counts. Slots skipped before a message are lost: either their messages have
//! left the stream, or the cause is unknown, which is a bug.

use thermowell_wire::Slot;
use thermowell_wire::batch::{self, Malformed, Packed};

use crate::time::BOOT_NS_MAX;

/// The position in one boiler's stream.
#[derive(Debug, Default)]
pub struct Consume {
    device: Option<u32>,
    next: Option<Slot>,
    previous: Option<u64>,
    stream_begins_at: u64,
}

/// A message with new slots.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub packed: Packed<'a>,
    /// How many of its first slots were seen before.
    pub seen: u64,
    /// The slots between the last message and this one.
    pub lost: Option<Lost>,
}

/// Slots that are missing before a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub first: Slot,
    pub count: u64,
    /// Their messages have left the stream; otherwise the cause is unknown.
    pub discarded: bool,
}

/// Why a message has no new slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Also: slots beyond the longest boot, which no agent publishes.
    #[error("malformed message")]
    Malformed(#[source] Malformed),
    /// All its slots were seen before, or belong to a closed boot.
    #[error("all {slots} slots were seen")]
    Seen { slots: u64 },
}

impl Consume {
    /// At the beginning of a history: the first message defines its first slot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// After `last`: everything up to it was seen before.
    #[must_use]
    pub fn after(last: Slot) -> Self {
        Self { next: Some(slot_after(last)), ..Self::default() }
    }

    /// Sets the device of what was seen before: boots of another one are not compared with it.
    pub fn set_device(&mut self, device: u32) {
        self.device = Some(device);
    }

    /// Sets the stream's first sequence: messages before it have been discarded.
    pub fn stream_begins_at(&mut self, first_sequence: u64) {
        self.stream_begins_at = first_sequence;
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// If the message has no new slots; see [`Refusal`].
    pub fn accept<'a>(&mut self, sequence: u64, bytes: &'a [u8]) -> Result<Arrival<'a>, Refusal> {
        let packed = batch::decode(bytes).map_err(Refusal::Malformed)?;
        let (first, end) = (packed.first(), packed.end());
        if end.seq > BOOT_NS_MAX / u64::from(packed.period_ns()) {
            return Err(Refusal::Malformed(Malformed::Range));
        }
        let same_device = self.device.is_none_or(|device| device == packed.device());
        // Boots sort by age only within one device: after a change of the board, history continues at its first slot.
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

/// The slot after `slot`.
#[must_use]
pub fn slot_after(slot: Slot) -> Slot {
    Slot::new(slot.boot, slot.seq.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use thermowell_wire::line::GapReason;
    use thermowell_wire::{Boot, batch::ClockQuality};

    use super::*;

    #[test]
    fn slots_beyond_the_longest_boot_are_malformed() {
        let accept = |to, period_ns| {
            let (boot, reason, clock) = (Boot(1), GapReason::Ring, ClockQuality::Synced);
            let gap = batch::Gap {
                device: 1,
                boot,
                from: to - 1,
                to,
                reason,
                from_utc_ns: 0,
                period_ns,
                clock,
                simulated: true,
            };
            let mut out = [0; batch::GAP_ENCODED_MAX];
            Consume::new().accept(1, batch::encode_gap(&gap, &mut out).unwrap()).map(|arrival| arrival.seen)
        };
        let last = BOOT_NS_MAX / 10_000_000;
        assert_eq!(accept(last, 10_000_000), Ok(0));
        assert_eq!(accept(last + 1, 10_000_000), Err(Refusal::Malformed(Malformed::Range)));
    }
}
