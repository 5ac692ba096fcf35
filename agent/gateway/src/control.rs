//! The controller's access to the streams, apart from STATE and STATUS: the leases, each published under the condition
//! that the last one is the one read before, so that a second controller is detected; operators' commands; and the
//! events with past and new decisions and answers.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use thermowell_flow::controller::{Author, Standing};
use thermowell_flow::published::{Command, Lease};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind, stream};

use crate::clock::Clock;
use crate::nats::{self, Messages, RequestError, Stored};

/// How many events of EVENT are searched for the last hour, for each boiler. A boiler with many faults makes a few
/// hundred events an hour, one without makes twenty.
const LOOK_BACK: u64 = 4_096;

/// The outcome of a publish of a lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Published {
    /// Stored; the next lease expects this sequence.
    Stored(u64),
    /// Another controller has a lease on this boiler.
    Another(Standing),
}

/// The last message of LEASE for `boiler`, with its age on the axis of `clock`. A malformed message has no author and
/// counts as a release: it is replaced.
///
/// # Errors
/// The server does not answer.
pub async fn standing(context: &Context, boiler: &BoilerId, clock: &Clock) -> Result<Option<Standing>, RequestError> {
    let Some(message) = nats::last(context, stream::LEASE, &subject::setpoint(boiler)).await? else {
        return Ok(None);
    };
    let lease = serde_json::from_slice::<Lease>(&message.payload).ok();
    let age = clock.transport(Duration::from_nanos(u64::try_from(nats::age_ns(&message)).unwrap_or(0)));
    let is_release = lease.as_ref().is_none_or(|lease| lease.lease_s == 0);
    let instance = lease.map(|lease| lease.instance).unwrap_or_default();
    Ok(Some(Standing { sequence: message.sequence, instance, is_release, age }))
}

/// Publishes `lease` if the last one has the sequence `expected`; if that is unknown or wrong, reads back the last one
/// and its author first.
///
/// LEASE is a memory stream: after a restart of the server it is empty, and the first lease expects nothing.
///
/// # Errors
/// The server does not answer. The device's lease expires by itself.
pub async fn publish(
    context: &Context,
    clock: &Clock,
    author: &Author,
    boiler: &BoilerId,
    expected: Option<u64>,
    lease: &Lease,
) -> Result<Published, RequestError> {
    let subject = subject::setpoint(boiler);
    if let Some(expected) = expected
        && let Stored::Yes(sequence) = nats::compare_and_set(context, &subject, expected, lease).await
    {
        return Ok(Published::Stored(sequence));
    }
    let expected = match standing(context, boiler, clock).await? {
        None => 0,
        Some(standing) if author.is_anothers(&standing) => return Ok(Published::Another(standing)),
        Some(standing) => standing.sequence,
    };
    match nats::compare_and_set(context, &subject, expected, lease).await {
        Stored::Yes(sequence) => Ok(Published::Stored(sequence)),
        Stored::Conflict | Stored::Unknown => Err(RequestError::new(
            format!("publish a lease of boiler {boiler}"),
            "it was not stored; retrying at the next renewal",
        )),
    }
}

/// New commands for `boilers`.
///
/// # Errors
/// The consumer cannot be created.
pub async fn commands(context: &Context, boilers: &[BoilerId]) -> Result<Messages, RequestError> {
    let subjects = boilers.iter().map(|boiler| subject::commands(boiler).to_string()).collect();
    nats::follow(context, stream::COMMAND, subjects, DeliverPolicy::New).await
}

/// The last command for `boiler` and its sequence, by [`nats::command_in`].
///
/// # Errors
/// The server does not answer.
pub async fn last_command(context: &Context, boiler: &BoilerId) -> Result<Option<(u64, Command)>, RequestError> {
    let last = nats::last(context, stream::COMMAND, &subject::commands(boiler)).await?;
    Ok(last.and_then(|message| Some((message.sequence, nats::command_in(&message)?))))
}

/// Decisions about `boilers` and their answers: those of the last hour first, then new ones.
///
/// # Errors
/// The server does not answer, or the consumer cannot be created.
pub async fn events(context: &Context, boilers: &[BoilerId]) -> Result<Messages, RequestError> {
    let last = nats::stream_state(context, stream::EVENT).await?.last_sequence;
    let back = LOOK_BACK.saturating_mul(u64::try_from(boilers.len()).unwrap_or(u64::MAX));
    let start_sequence = last.saturating_sub(back).max(1);
    let kinds = [EventKind::Decision, EventKind::Answer];
    let subjects = boilers.iter().flat_map(|id| kinds.map(|kind| subject::event(id, kind).to_string())).collect();
    nats::follow(context, stream::EVENT, subjects, DeliverPolicy::ByStartSequence { start_sequence }).await
}
