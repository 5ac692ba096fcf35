//! What the controller says and hears beside states: the lease in the stream, published behind the one that was read
//! before it, so that no other controller asks unseen; operators' commands; and what was decided and answered before
//! and since.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use thermowell_flow::controller::{Author, Standing};
use thermowell_flow::published::{Command, Lease};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind, stream};

use crate::clock::Clock;
use crate::nats::{self, Messages, RequestError, Stored};

/// How far back in EVENT the last hour is looked for, for each boiler. One in which everything goes wrong makes a few
/// hundred events an hour; one in which nothing does makes twenty.
const LOOK_BACK: u64 = 4_096;

/// What became of a lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// It stands; the next one goes behind this sequence.
    Stands(u64),
    /// Another controller asks for this boiler.
    Another(Standing),
}

/// What stands in LEASE for `boiler`, and its age on the axis of `clock`. What nobody asked for has no author, and is
/// as a release: it is written over.
///
/// # Errors
/// The server does not say.
pub async fn standing(context: &Context, boiler: &BoilerId, clock: &Clock) -> Result<Option<Standing>, RequestError> {
    let Some(message) = nats::last(context, stream::LEASE, &subject::setpoint(boiler)).await? else {
        return Ok(None);
    };
    let lease = serde_json::from_slice::<Lease>(&message.payload).ok().filter(|_| !nats::is_stored_copy(&message));
    let age = clock.transport(Duration::from_nanos(u64::try_from(nats::age_ns(&message)).unwrap_or(0)));
    let is_release = lease.as_ref().is_none_or(|lease| lease.lease_s == 0);
    let instance = lease.map(|lease| lease.instance).unwrap_or_default();
    Ok(Some(Standing { sequence: message.sequence, instance, is_release, age }))
}

/// Publishes `lease` behind `expected`; where that is unknown or wrong, reads back who asked last.
///
/// LEASE lives in memory: after a restart of the server it is empty, and the first lease expects nothing.
///
/// # Errors
/// The server does not say. The device's lease runs out by itself.
pub async fn ask(
    context: &Context,
    clock: &Clock,
    author: &Author,
    boiler: &BoilerId,
    expected: Option<u64>,
    lease: &Lease,
) -> Result<Asked, RequestError> {
    let subject = subject::setpoint(boiler);
    if let Some(expected) = expected
        && let Stored::Yes(sequence) = nats::compare_and_set(context, &subject, expected, lease).await
    {
        return Ok(Asked::Stands(sequence));
    }
    let expected = match standing(context, boiler, clock).await? {
        None => 0,
        Some(standing) if author.is_anothers(&standing) => return Ok(Asked::Another(standing)),
        Some(standing) => standing.sequence,
    };
    match nats::compare_and_set(context, &subject, expected, lease).await {
        Stored::Yes(sequence) => Ok(Asked::Stands(sequence)),
        Stored::Conflict | Stored::Unknown => Err(RequestError::new(
            format!("ask for boiler {boiler}"),
            "the lease was not taken; trying at the next renewal",
        )),
    }
}

/// Commands of `boilers` from now on.
///
/// # Errors
/// The consumer cannot be made.
pub async fn commands(context: &Context, boilers: &[BoilerId]) -> Result<Messages, RequestError> {
    let subjects = boilers.iter().map(|boiler| subject::commands(boiler).to_string()).collect();
    nats::follow(context, stream::COMMAND, subjects, DeliverPolicy::New).await
}

/// The command of `boiler` that COMMAND ends with, and its sequence. One that nobody understands, or
/// gave, is none.
///
/// # Errors
/// The server does not say.
pub async fn last_command(context: &Context, boiler: &BoilerId) -> Result<Option<(u64, Command)>, RequestError> {
    let last = nats::last(context, stream::COMMAND, &subject::commands(boiler)).await?;
    Ok(last.filter(|last| !nats::is_stored_copy(last)).and_then(|message| {
        let parsed = serde_json::from_slice(&message.payload);
        parsed.ok().map(|command| (message.sequence, command))
    }))
}

/// Decisions about `boilers` and their answers, those of the last hour first, and then what comes.
///
/// # Errors
/// The server does not say, or the consumer cannot be made.
pub async fn events(context: &Context, boilers: &[BoilerId]) -> Result<Messages, RequestError> {
    let last = nats::stream_state(context, stream::EVENT).await?.last_sequence;
    let back = LOOK_BACK.saturating_mul(u64::try_from(boilers.len()).unwrap_or(u64::MAX));
    let start_sequence = last.saturating_sub(back).max(1);
    let kinds = [EventKind::Decision, EventKind::Answer];
    let subjects = boilers.iter().flat_map(|id| kinds.map(|kind| subject::event(id, kind).to_string())).collect();
    nats::follow(context, stream::EVENT, subjects, DeliverPolicy::ByStartSequence { start_sequence }).await
}
