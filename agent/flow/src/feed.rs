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

    /// Takes the message of this boiler in SAMPLES at [`Feed::replay_from`]. If there is none, or another one than the
    /// last event was made from, reading starts at the beginning: a power cut may take more of SAMPLES than of the
    /// feed, and what is stored again has other sequences.
    pub fn found_at_replay(&mut self, message: Option<&[u8]>) {
        let Some(last) = self.last else { return };
        let found = message.and_then(|bytes| batch::decode(bytes).ok());
        if !found.is_some_and(|packed| (packed.first()..packed.end()).contains(&last)) {
            self.replay_from = None;
        }
    }

    /// Adds the events of one message to `out`: none for a gap, for malformed bytes, and for slots seen before.
    pub fn events(&mut self, sequence: u64, bytes: &[u8], out: &mut Vec<FeedEvent>) {
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
