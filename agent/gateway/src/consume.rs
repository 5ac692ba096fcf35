//! Reads SAMPLES: from where the reader wants to begin, and one message by itself.

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use bytes::Bytes;
use thermowell_wire::subject::stream;

use crate::nats::{self, Messages, RequestError};

/// The first sequence that SAMPLES still holds.
///
/// # Errors
/// The server does not say.
pub async fn first_sequence(context: &Context) -> Result<u64, RequestError> {
    Ok(nats::stream_state(context, stream::SAMPLES).await?.first_sequence)
}

/// The message of SAMPLES at `sequence`, if it is there and of `subject`.
///
/// # Errors
/// The server does not say.
pub async fn message(context: &Context, sequence: u64, subject: &str) -> Result<Option<Bytes>, RequestError> {
    let found = nats::at(context, stream::SAMPLES, sequence).await?;
    Ok(found.filter(|message| message.subject.as_str() == subject).map(|message| message.payload))
}

/// Every message of `subjects` in SAMPLES from sequence `from` on, and what will come.
///
/// # Errors
/// The consumer cannot be made.
pub async fn samples(context: &Context, subjects: Vec<String>, from: Option<u64>) -> Result<Messages, RequestError> {
    let from = match from {
        Some(start_sequence) if start_sequence > 0 => DeliverPolicy::ByStartSequence { start_sequence },
        Some(_) | None => DeliverPolicy::All,
    };
    nats::follow(context, stream::SAMPLES, subjects, from).await
}
