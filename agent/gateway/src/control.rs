//! The lease in the stream: published under the condition that nobody else asks for this boiler.

use async_nats::jetstream::Context;
use thermowell_flow::published::Lease;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::nats::{self, RequestError, Stored};

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
