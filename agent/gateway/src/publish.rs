//! The two requests of delivery: publish one batch to JetStream, read the last message of a boiler's subject.
//!
//! Outcomes are values. After a time-out the outcome is *unknown*: the batch may be stored. Read the last message to
//! learn it.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::DirectGetErrorKind;
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use thermowell_flow::agent::Refused;
use thermowell_flow::published::{Event, EventBody};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind, stream};

use crate::nats::{self, ACK_TIMEOUT};

/// "Message size exceeds maximum allowed" of the stream.
const TOO_LARGE: u64 = 10_054;

/// The outcome of a publish of a batch.
#[derive(Debug)]
pub enum Published {
    /// Stored under this sequence.
    Stored(u64),
    /// Not stored, or unknown.
    Refused(Refused),
    /// No stream has this subject: it must be added again.
    NoStream,
    /// Not stored: a transient error of the server, such as full storage (10047).
    Declined(String),
}

/// The last message of a boiler's subject.
#[derive(Debug)]
pub enum Tail {
    Found {
        sequence: u64,
        payload: Bytes,
    },
    Empty,
    /// The server did not answer.
    Unknown,
    /// The stream does not exist.
    NoStream,
}

/// The last event about a fault of a boiler.
#[derive(Debug)]
pub enum LastFault {
    Found(Box<EventBody>),
    Nothing,
    /// The server did not answer.
    Unknown,
}

/// Publishes one batch if the subject's last sequence is `expected` (0: the subject is empty).
pub async fn publish(context: Context, subject: String, expected: u64, payload: Vec<u8>) -> Published {
    let message = PublishMessage::build().expected_last_subject_sequence(expected).payload(payload.into());
    let acknowledged = async {
        // Poll the acknowledgement at once: its time-out starts with the first poll.
        context.send_publish(subject, message).await?.await
    };
    match tokio::time::timeout(ACK_TIMEOUT, acknowledged).await {
        Ok(Ok(ack)) => Published::Stored(ack.sequence),
        Ok(Err(error)) => refusal(&error),
        Err(_) => Published::Refused(Refused::Unknown),
    }
}

fn refusal(error: &PublishError) -> Published {
    match error.kind() {
        PublishErrorKind::WrongLastSequence => Published::Refused(Refused::WrongSequence),
        PublishErrorKind::StreamNotFound => Published::NoStream,
        // The client knows the server's `max_payload` and does not send larger messages.
        PublishErrorKind::MaxPayloadExceeded => Published::Refused(Refused::TooLarge),
        PublishErrorKind::Other if error_code(error) == Some(TOO_LARGE) => Published::Refused(Refused::TooLarge),
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => {
            let cause = crate::logs::chain(error);
            tracing::debug!(error = cause, "publish not acknowledged");
            match error_code(error) {
                Some(_) => Published::Declined(cause),
                None => Published::Refused(Refused::Unknown),
            }
        }
    }
}

fn error_code(error: &PublishError) -> Option<u64> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<jetstream::Error>().map(|cause| cause.error_code().0)
}

/// The board that an operator has accepted for `boiler`: the [`device_id`](thermowell_wire::device_id) of its
/// predecessor, and its own serial number. None if there is none or the server did not answer: then a foreign board
/// stays refused, and the next read of the tail asks again.
pub async fn accepted_board(context: Context, boiler: BoilerId) -> Option<(u32, String)> {
    let subject = subject::event(&boiler, EventKind::Boiler).to_string();
    let last = tokio::time::timeout(ACK_TIMEOUT, nats::last(&context, stream::EVENT, &subject)).await;
    let event: Event = serde_json::from_slice(&last.ok()?.ok()??.payload).ok()?;
    let EventBody::BoardAccepted { serial_number, instead_of, .. } = event.body else { return None };
    Some((instead_of, serial_number))
}

/// Reads the last event about a fault of `boiler`. A malformed message counts as no event.
pub async fn last_fault(context: Context, boiler: BoilerId) -> LastFault {
    let subject = subject::event(&boiler, EventKind::Fault).to_string();
    match tokio::time::timeout(ACK_TIMEOUT, nats::last(&context, stream::EVENT, &subject)).await {
        Ok(Ok(Some(message))) => match nats::parse::<Event>(&message.payload) {
            Ok(event) => LastFault::Found(Box::new(event.body)),
            Err(error) => {
                tracing::warn!(subject, %error, "ignoring malformed event");
                LastFault::Nothing
            }
        },
        Ok(Ok(None)) => LastFault::Nothing,
        Ok(Err(_)) | Err(_) => LastFault::Unknown,
    }
}

/// Reads the last message of `subject` in SAMPLES.
pub async fn tail(context: Context, subject: String) -> Tail {
    let Ok(samples) = context.get_stream_no_info(stream::SAMPLES).await else { return Tail::Unknown };
    match tokio::time::timeout(ACK_TIMEOUT, samples.direct_get_last_for_subject(subject)).await {
        Ok(Ok(message)) => Tail::Found { sequence: message.sequence, payload: message.payload },
        Ok(Err(error)) => match error.kind() {
            DirectGetErrorKind::NotFound => Tail::Empty,
            DirectGetErrorKind::ErrorResponse(..) => Tail::NoStream,
            DirectGetErrorKind::InvalidSubject
            | DirectGetErrorKind::TimedOut
            | DirectGetErrorKind::Request
            | DirectGetErrorKind::Other => Tail::Unknown,
        },
        Err(_) => Tail::Unknown,
    }
}
