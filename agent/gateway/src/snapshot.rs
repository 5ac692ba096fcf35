//! Publishes snapshots by compare-and-set: at most one per boiler and hour, also with several writers.

use std::collections::BTreeMap;

use async_nats::jetstream::Context;
use thermowell_flow::published::Snapshot;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::nats::{self, RequestError, Stored};

/// The outcome of a publish of a snapshot.
#[derive(Debug)]
pub enum Outcome {
    /// Stored under this sequence.
    Stored(u64),
    /// Not stored, or not acknowledged: the boiler's last snapshot and its sequence, if there is one.
    Conflict(Option<Box<(u64, Snapshot)>>),
}

/// Publishes `snapshot` if the boiler's last one has the sequence `expected`; reads back the last one if it was not
/// acknowledged.
///
/// # Errors
/// The last snapshot cannot be read back.
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
/// The server does not answer, or this version cannot parse the message.
pub async fn last(context: &Context, boiler: &BoilerId) -> Result<Option<Box<(u64, Snapshot)>>, RequestError> {
    let last = nats::last_kept(context, stream::SNAPSHOT, &subject::snapshot(boiler)).await?;
    Ok(last.map(|kept| Box::new(kept.into_numbered())))
}

/// The last snapshot and its sequence of each of `boilers` that has one; an error for one that cannot be parsed.
///
/// # Errors
/// The server does not answer.
pub async fn last_of_each(
    context: &Context,
    boilers: &[BoilerId],
) -> Result<BTreeMap<BoilerId, Result<(u64, Snapshot), RequestError>>, RequestError> {
    nats::last_kept_of_each(context, stream::SNAPSHOT, boilers, subject::snapshot).await
}
