//! A message of ours as it stands in a stream, understood.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use serde::de::DeserializeOwned;
use thermowell_flow::time::Utc;

use super::{RequestError, last};
use crate::clock;

/// A message of ours as it stands in a stream.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    /// Its sequence there.
    pub sequence: u64,
    /// When the server took it, by its calendar: a real one, whatever the speed.
    pub at: Utc,
    /// What it says.
    pub value: T,
}

impl<T: DeserializeOwned> Kept<T> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is nothing that this program knows.
    pub fn read(message: &StreamMessage) -> Result<Self, RequestError> {
        let sequence = message.sequence;
        let value = serde_json::from_slice(&message.payload).map_err(|error| {
            RequestError::new(format!("understand message {sequence} of {}", message.subject), error)
        })?;
        Ok(Self { sequence, at: stored_at(message), value })
    }
}

impl<T> Kept<T> {
    /// How old it is. A calendar that went back makes nothing young.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_nanos(clock::realtime_ns().saturating_sub(self.at.0).unsigned_abs())
    }

    /// Sequence and value.
    #[must_use]
    pub fn numbered(&self) -> (u64, &T) {
        (self.sequence, &self.value)
    }
}

/// How old a message is, nanoseconds; less than nothing where the server's calendar is ahead of ours.
#[must_use]
pub fn age_ns(message: &StreamMessage) -> i64 {
    clock::realtime_ns().saturating_sub(stored_at(message).0)
}

/// When the server took a message, by its calendar.
fn stored_at(message: &StreamMessage) -> Utc {
    Utc(i64::try_from(message.time.unix_timestamp_nanos()).unwrap_or(i64::MAX))
}

/// The last message of `subject` in `stream`, understood, if there is one.
///
/// # Errors
/// The server does not say, or it is nothing that this program knows.
pub async fn last_kept<T: DeserializeOwned>(
    context: &Context,
    stream: &str,
    subject: &str,
) -> Result<Option<Kept<T>>, RequestError> {
    last(context, stream, subject).await?.as_ref().map(Kept::read).transpose()
}
