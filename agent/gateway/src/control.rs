//! What the controller says and hears beside states: the lease in the stream, published under the condition that nobody
//! else asks for this boiler; operators' commands; and what was decided and answered before and since.

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use thermowell_flow::published::{Command, Lease};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind, stream};

use crate::nats::{self, Messages, RequestError, Stored};

/// How far back in EVENT the last hour is looked for, for each boiler. One in which everything goes wrong makes a few
/// hundred events an hour; one in which nothing does makes twenty.
const LOOK_BACK: u64 = 4_096;

/// What became of a lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// It stands; the next one goes behind this sequence.
    Stands(u64),
    /// Another controller, of this name, asks for this boiler.
    Rival(String),
}

/// Publishes `lease` behind `expected`; where that is unknown or wrong, reads back who asked last.
///
/// LEASE lives in memory: after a restart of the server it is empty, and the first lease expects nothing.
///
/// # Errors
/// The server does not say. The device's lease runs out by itself.
pub async fn ask(
    context: &Context,
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
    let expected = match nats::last(context, stream::LEASE, &subject).await? {
        None => 0,
        // Nobody's lease: what stands there is written over.
        Some(message) if nats::is_stored_copy(&message) => message.sequence,
        Some(message) => match serde_json::from_slice::<Lease>(&message.payload) {
            Ok(other) if other.instance != lease.instance => return Ok(Asked::Rival(other.instance)),
            Ok(_) | Err(_) => message.sequence,
        },
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
