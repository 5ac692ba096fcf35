//! Requests that several modules make: read a message of a stream, read a stream's state, publish under a condition.
//!
//! Messages are read by requests that only the stream's leader answers: with a direct get, a follower of a replicated
//! stream could answer that there is no command yet.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind, State};
use async_nats::jetstream::{self, Context, ErrorCode};
use serde::Serialize;
use thermowell_flow::published::Event;
use thermowell_wire::subject::{self, EventKind};

use super::forbidden::{Forbidden, Mark, mark, request_forbidden_since};

/// A request failed. Worth a retry in a new session.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct RequestError {
    operation: String,
    #[source]
    source: async_nats::Error,
}

impl RequestError {
    /// An error of `operation`.
    pub fn new(operation: impl Into<String>, source: impl Into<async_nats::Error>) -> Self {
        Self { operation: operation.into(), source: source.into() }
    }

    /// Whether the cause is a missing right.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.source.is::<Forbidden>()
    }

    /// An error of `operation`, which made `request` to the server's API after `mark`. The server does not answer what
    /// it forbids: then the cause is the missing right, and not the time-out.
    pub(crate) fn of_api(
        operation: impl Into<String>,
        mark: Mark,
        request: &str,
        source: impl Into<async_nats::Error>,
    ) -> Self {
        match request_forbidden_since(mark, request) {
            Some(forbidden) => Self::new(operation, forbidden),
            None => Self::new(operation, source),
        }
    }
}

/// The request for the state and the configuration of `stream`.
pub(crate) fn info_of(stream: &str) -> String {
    format!("STREAM.INFO.{stream}")
}

/// A message of `stream` cannot be read by `operation`, which began at `mark`.
fn unread(operation: String, mark: Mark, stream: &str, error: async_nats::Error) -> RequestError {
    RequestError::of_api(operation, mark, &format!("STREAM.MSG.GET.{stream}"), error)
}

/// The outcome of a publish under a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Stored under this sequence.
    Yes(u64),
    /// The condition does not hold: not stored.
    Conflict,
    /// Not acknowledged: read back to learn the outcome.
    Unknown,
}

/// Why a publish under a condition was not acknowledged.
#[derive(Debug)]
pub enum Doubt {
    /// The condition does not hold: not stored.
    Conflict,
    /// Read back to learn the outcome.
    Unknown(PublishError),
}

/// Publishes `value` as JSON if the last sequence of `subject` is `expected` (0: the subject is empty).
pub async fn compare_and_set<T: Serialize>(context: &Context, subject: &str, expected: u64, value: &T) -> Stored {
    let message = PublishMessage::build().expected_last_subject_sequence(expected);
    match publish_if(context, subject, message, value).await {
        Ok(acknowledgement) => Stored::Yes(acknowledgement.sequence),
        Err(Doubt::Conflict) => Stored::Conflict,
        Err(Doubt::Unknown(error)) => {
            tracing::debug!(subject, error = crate::logs::chain(&error), "publish not acknowledged");
            Stored::Unknown
        }
    }
}

/// Publishes `value` as JSON with the conditions in the headers of `message`.
///
/// # Errors
/// See [`Doubt`].
pub async fn publish_if<T: Serialize>(
    context: &Context,
    subject: &str,
    message: PublishMessage,
    value: &T,
) -> Result<PublishAck, Doubt> {
    let message = message.payload(json(value).into());
    let acknowledged = async { context.send_publish(subject.to_owned(), message).await?.await };
    acknowledged.await.map_err(|error: PublishError| match error.kind() {
        PublishErrorKind::WrongLastSequence => Doubt::Conflict,
        PublishErrorKind::Other if is_conflict_of_replicas(&error) => Doubt::Conflict,
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::MaxPayloadExceeded
        | PublishErrorKind::Other => Doubt::Unknown(error),
    })
}

/// A replicated stream has a separate error code for a publish that conflicts with another one in flight.
fn is_conflict_of_replicas(error: &PublishError) -> bool {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<jetstream::Error>());
    cause.is_some_and(|cause| cause.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

/// Publishes an event, once: the server deduplicates it by `id` within its window.
///
/// # Errors
/// The publish was not acknowledged.
pub async fn announce(context: &Context, kind: EventKind, id: &str, event: &Event) -> Result<(), RequestError> {
    let subject = subject::event(&event.boiler, kind);
    let failed = |error: PublishError| RequestError::new(format!("publish {subject}"), error);
    let message = PublishMessage::build().message_id(id).payload(json(event).into());
    context.send_publish(subject.to_string(), message).await.map_err(failed)?.await.map_err(failed)?;
    Ok(())
}

/// A published type as JSON.
pub fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("published types have string keys and finite numbers")
}

/// The state of `stream`, with its first and last sequence.
///
/// # Errors
/// The server does not answer, or the stream does not exist.
pub async fn stream_state(context: &Context, stream: &str) -> Result<State, RequestError> {
    let mark = mark();
    match context.get_stream(stream).await {
        Ok(found) => Ok(found.cached_info().state.clone()),
        Err(error) => Err(RequestError::of_api(format!("read the state of {stream}"), mark, &info_of(stream), error)),
    }
}

/// The last message of `subject` in `stream`, if there is one.
///
/// # Errors
/// The server does not answer, or the stream does not exist.
pub async fn last(context: &Context, stream: &str, subject: &str) -> Result<Option<StreamMessage>, RequestError> {
    let mark = mark();
    let failed = |error| unread(format!("read the last message of {subject}"), mark, stream, error);
    let found = context.get_stream_no_info(stream).await.map_err(|error| failed(error.into()))?;
    if_any(found.get_last_raw_message_by_subject(subject).await).map_err(|error| failed(error.into()))
}

/// The message of `stream` at `sequence`, if there is one.
///
/// # Errors
/// The server does not answer, or the stream does not exist.
pub async fn at(context: &Context, stream: &str, sequence: u64) -> Result<Option<StreamMessage>, RequestError> {
    let mark = mark();
    let failed = |error| unread(format!("read message {sequence} of {stream}"), mark, stream, error);
    // The server reads 0 as a request without a sequence, and refuses it.
    if sequence == 0 {
        return Ok(None);
    }
    let found = context.get_stream_no_info(stream).await.map_err(|error| failed(error.into()))?;
    if_any(found.get_raw_message(sequence).await).map_err(|error| failed(error.into()))
}

/// The first message of `subject` in `stream` at `sequence` or later, if there is one.
///
/// # Errors
/// The server does not answer, or the stream does not exist.
pub async fn first_from(
    context: &Context,
    stream: &str,
    subject: &str,
    sequence: u64,
) -> Result<Option<StreamMessage>, RequestError> {
    let mark = mark();
    let failed = |error| unread(format!("read {subject} from message {sequence} on"), mark, stream, error);
    let found = context.get_stream_no_info(stream).await.map_err(|error| failed(error.into()))?;
    if_any(found.get_first_raw_message_by_subject(subject, sequence).await).map_err(|error| failed(error.into()))
}

/// No message is a valid answer, not an error.
fn if_any(answer: Result<StreamMessage, RawMessageError>) -> Result<Option<StreamMessage>, RawMessageError> {
    match answer {
        Ok(message) => Ok(Some(message)),
        Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(error),
    }
}
