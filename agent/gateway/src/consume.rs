//! Reads SAMPLES: from a given sequence on, or a single message.

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use bytes::Bytes;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream, wildcard};

use crate::nats::{self, Messages, RequestError};

/// The most filter subjects of a consumer. The server compares each message with each of them: 40 µs per message with
/// 156 subjects, 2 µs with one wildcard. With the wildcard the messages of boilers that are not configured here come
/// too.
const FILTERS_MAX: usize = 8;

/// The first sequence that SAMPLES still holds.
///
/// # Errors
/// The server does not answer.
pub async fn first_sequence(context: &Context) -> Result<u64, RequestError> {
    Ok(nats::stream_state(context, stream::SAMPLES).await?.first_sequence)
}

/// The message of SAMPLES at `sequence`, if it exists and is of `subject`.
///
/// # Errors
/// The server does not answer.
pub async fn message(context: &Context, sequence: u64, subject: &str) -> Result<Option<Bytes>, RequestError> {
    let found = nats::at(context, stream::SAMPLES, sequence).await?;
    Ok(found.filter(|message| message.subject.as_str() == subject).map(|message| message.payload))
}

/// Every message of `boilers` in SAMPLES from sequence `from` on: stored ones, then new ones. May include messages of
/// other boilers.
///
/// # Errors
/// The consumer cannot be created.
pub async fn samples(context: &Context, boilers: &[BoilerId], from: Option<u64>) -> Result<Messages, RequestError> {
    let subjects = if boilers.len() > FILTERS_MAX {
        vec![wildcard::SAMPLES.to_owned()]
    } else {
        boilers.iter().map(|boiler| subject::samples(boiler).to_string()).collect()
    };
    let from = match from {
        Some(start_sequence) if start_sequence > 0 => DeliverPolicy::ByStartSequence { start_sequence },
        Some(_) | None => DeliverPolicy::All,
    };
    nats::follow(context, stream::SAMPLES, subjects, from).await
}
