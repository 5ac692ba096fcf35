//! A stored snapshot, and the hour that it is of.

use bytes::Bytes;
use thermowell_flow::published::Snapshot;
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::hour_text;

use crate::nats;

/// A snapshot in SNAPSHOT.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) bytes: Bytes,
    pub(super) hour: i64,
    pub(super) snapshot: Snapshot,
}

impl Stored {
    /// An error is why this version cannot read the message.
    pub(super) fn read(sequence: u64, bytes: Bytes) -> Result<Self, String> {
        let snapshot: Snapshot = nats::parse(&bytes).map_err(|error| error.to_string())?;
        let hour = hour_of(&snapshot);
        if snapshot.hour != hour_text(hour) {
            return Err(format!("its hour is {} and its created_at {}", snapshot.hour, snapshot.created_at));
        }
        Ok(Self { sequence, bytes, hour, snapshot })
    }
}
