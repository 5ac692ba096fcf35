//! The feed: one JSON event per sample, for programs that expect one message each. A view for other programs;
//! Thermowell itself does not read it.

use alloc::string::ToString;
use alloc::vec::Vec;

use thermowell_wire::Slot;
use thermowell_wire::batch::{self, Packed};

use crate::consume::Consume;
use crate::published::{FeedData, FeedEvent};
use crate::time::Utc;

/// Turns messages of SAMPLES into events, each sample once and in order.
#[derive(Debug)]
pub struct Feed {
    consume: Consume,
    last: Option<Slot>,
    replay_from: Option<u64>,
}

impl Feed {
    /// Continues after the last event that the feed holds.
    #[must_use]
    pub fn new(last: Option<(u64, FeedEvent)>) -> Self {
        match last {
            Some((_, event)) => {
                let last = Slot::new(event.boot, event.seq);
                Self { consume: Consume::after(last), last: Some(last), replay_from: Some(event.samples) }
            }
            None => Self { consume: Consume::new(), last: None, replay_from: None },
        }
    }

    /// The sequence in SAMPLES from which to read; `None` is the beginning.
    #[must_use]
    pub fn replay_from(&self) -> Option<u64> {
        self.replay_from
    }

    /// Takes the message of this boiler in SAMPLES at [`Feed::replay_from`]. False if it does not hold the last event's
    /// slot, or there is none: a power cut may take more of SAMPLES than of the feed, and what is stored again has
    /// other sequences. Then [`Feed::look_back`] is to be given what is stored; until it finds more, the place is the
    /// beginning.
    pub fn found_at_replay(&mut self, message: Option<&[u8]>) -> bool {
        self.replay_from.take().is_none_or(|from| message.is_some_and(|bytes| self.look_back(from, bytes)))
    }

    /// Takes a stored message of this boiler; they are given from the oldest on. Returns whether it holds the last
    /// event's slot: then it is the place, and no more are needed. Else the place is the newest one of the event's boot
    /// that begins before it. Only of that boot the device is known to be the event's.
    pub fn look_back(&mut self, sequence: u64, bytes: &[u8]) -> bool {
        let (Some(last), Ok(packed)) = (self.last, batch::decode(bytes)) else { return false };
        let first = packed.first();
        if first.boot != last.boot || first > last {
            return false;
        }
        self.consume.set_device(packed.device());
        self.replay_from = Some(sequence);
        last < packed.end()
    }

    /// Adds the events of one message to `out`: none for a gap, for malformed bytes, for slots seen before, and ahead
    /// of [`Feed::replay_from`].
    pub fn events(&mut self, sequence: u64, bytes: &[u8], out: &mut Vec<FeedEvent>) {
        if self.replay_from.is_some_and(|from| sequence < from) {
            return;
        }
        let Ok(arrival) = self.consume.accept(sequence, bytes) else { return };
        let Packed::Batch(batch) = arrival.packed else { return };
        let header = batch.header;
        let seen = usize::try_from(arrival.seen).unwrap_or(usize::MAX);
        for (at, reading) in (0..header.count).zip(batch.readings()).skip(seen) {
            let valid = reading.is_valid();
            out.push(FeedEvent {
                name: "TemperatureSampled".to_string(),
                boot: header.boot,
                seq: header.seq + u64::from(at),
                data: FeedData {
                    temperature: valid.then(|| reading.temperature.celsius()),
                    created_at: Utc(header.utc_ns(at)).unix_seconds(),
                    quality: (!valid).then(|| reading.quality()),
                },
                samples: sequence,
            });
        }
    }
}

#[cfg(test)]
mod tests;
