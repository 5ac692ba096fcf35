//! The feed: one JSON event per sample, for programs that expect one message each. A view for other programs;
//! Thermowell itself does not read it.

use alloc::string::ToString;
use alloc::vec::Vec;

use thermowell_wire::Slot;
use thermowell_wire::batch::Packed;

use crate::consume::Consume;
use crate::published::{FeedData, FeedEvent};
use crate::time::Utc;

/// Turns messages of SAMPLES into events, each sample once and in order.
#[derive(Debug)]
pub struct Feed {
    consume: Consume,
    replay_from: Option<u64>,
}

impl Feed {
    /// Continues after the last event that the feed holds.
    #[must_use]
    pub fn new(last: Option<(u64, FeedEvent)>) -> Self {
        match last {
            Some((_, event)) => {
                Self { consume: Consume::after(Slot::new(event.boot, event.seq)), replay_from: Some(event.samples) }
            }
            None => Self { consume: Consume::new(), replay_from: None },
        }
    }

    /// The sequence in SAMPLES from which to read; `None` is the beginning.
    #[must_use]
    pub fn replay_from(&self) -> Option<u64> {
        self.replay_from
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
