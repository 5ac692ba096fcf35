//! Publishes the feed: the events of some SAMPLES messages as one atomic batch, all or nothing.
//!
//! The first event carries the condition that the subject's last sequence is the expected one. So a retry, a crash
//! between two events or a second writer leaves neither a gap nor a duplicate.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use serde::Deserialize;
use thermowell_flow::published::FeedEvent;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::nats::{self, ACK_TIMEOUT, RequestError};

/// The most events in one atomic batch: the server's limit.
pub const EVENTS_MAX: usize = 1_000;

/// The server's answer to the last message of an atomic batch.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    err_code: u64,
    description: String,
}

/// The last event in the feed and its sequence of each of `boilers` that has one; an error for one that cannot be
/// parsed.
///
/// # Errors
/// The server does not answer.
pub async fn last_of_each(
    context: &Context,
    boilers: &[BoilerId],
) -> Result<BTreeMap<BoilerId, Result<(u64, FeedEvent), RequestError>>, RequestError> {
    nats::last_kept_of_each(context, stream::FEED, boilers, subject::feed).await
}

/// Publishes `events`, at most [`EVENTS_MAX`], if the subject's last sequence is `expected` (0: the subject is empty).
/// Returns the sequence of the last event.
///
/// # Errors
/// The server refused the batch or did not answer. Read back the subject's last message to learn the outcome.
pub async fn publish(
    context: &Context,
    boiler: &BoilerId,
    expected: u64,
    events: &[FeedEvent],
) -> Result<u64, RequestError> {
    let failed = |error: async_nats::Error| RequestError::new(format!("publish to the feed of {boiler}"), error);
    let client = context.client();
    let subject = subject::feed(boiler).to_string();
    let Some((last, body)) = events.split_last() else { return Ok(expected) };
    // Differs from the id of a batch that a killed aggregator left unfinished.
    let id = client.new_inbox().replace("_INBOX.", "");
    for (index, event) in body.iter().enumerate() {
        let headers = headers(&id, index + 1, expected);
        let sent = client.publish_with_headers(subject.clone(), headers, nats::json(event).into());
        sent.await.map_err(|error| failed(error.into()))?;
    }
    let mut headers = headers(&id, events.len(), expected);
    headers.insert("Nats-Batch-Commit", "1");
    let request = client.request_with_headers(subject, headers, nats::json(last).into());
    let answer = tokio::time::timeout(ACK_TIMEOUT, request).await;
    let answer = answer.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
    let answer: Answer = serde_json::from_slice(&answer.payload).map_err(|error| failed(error.into()))?;
    match answer.error {
        None => Ok(answer.seq),
        Some(refusal) => Err(failed(format!("{} ({})", refusal.description, refusal.err_code).into())),
    }
}

fn headers(id: &str, number: usize, expected: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Batch-Id", id);
    headers.insert("Nats-Batch-Sequence", number.to_string());
    if number == 1 {
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
    }
    headers
}
