//! Snapshots in the stream: published by compare-and-set, at most one per boiler and hour, whoever else tries.

use async_nats::jetstream::Context;
use thermowell_flow::published::Snapshot;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::nats::{self, RequestError, Stored};

/// What stands where a snapshot should go.
#[derive(Debug)]
pub enum Outcome {
    /// It, under this sequence.
    Stored(u64),
    /// Another one under its sequence, or none.
    Conflict(Option<Box<(u64, Snapshot)>>),
}

/// Publishes `snapshot` behind sequence `expected`, and reads back whenever that is in doubt.
///
/// # Errors
/// The server does not say what stands there.
pub async fn store(
    context: &Context,
    boiler: &BoilerId,
    expected: u64,
    snapshot: &Snapshot,
) -> Result<Outcome, RequestError> {
    match nats::compare_and_set(context, &subject::snapshot(boiler), expected, snapshot).await {
        Stored::Yes(sequence) => Ok(Outcome::Stored(sequence)),
        Stored::Conflict | Stored::Unknown => last(context, boiler).await.map(Outcome::Conflict),
    }
}

/// The boiler's last snapshot and its sequence.
///
/// # Errors
/// The server does not say, or what stands there is no snapshot of a version that this program knows.
pub async fn last(context: &Context, boiler: &BoilerId) -> Result<Option<Box<(u64, Snapshot)>>, RequestError> {
    let Some(message) = nats::last(context, stream::SNAPSHOT, &subject::snapshot(boiler)).await? else {
        return Ok(None);
    };
    let sequence = message.sequence;
    let snapshot = serde_json::from_slice(&message.payload).map_err(|error| {
        RequestError::new(format!("understand the snapshot of {boiler} at sequence {sequence}"), error)
    })?;
    Ok(Some(Box::new((sequence, snapshot))))
}
