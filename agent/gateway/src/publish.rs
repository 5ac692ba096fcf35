//! One batch to JetStream, and the end of a boiler's subject: the two calls that delivery is made of.
//!
//! Outcomes are values. A time-out is *unknown*: the batch may be stored, and only the subject's end tells.

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

/// What became of a batch.
#[derive(Debug)]
pub enum Published {
    /// Stored under this sequence.
    Stored(u64),
    /// Not stored, or nobody knows.
    Refused(Refused),
    /// No stream takes this subject: it must be added again.
    NoStream,
    /// The server answers with an error that may pass, such as full storage (10047): not stored.
    Declined(String),
}

/// What stands at the end of a boiler's subject.
#[derive(Debug)]
pub enum Tail {
    /// This message.
    Found {
        /// Its sequence in the stream.
        sequence: u64,
        /// Its bytes.
        payload: Bytes,
    },
    /// Nothing.
    Empty,
    /// The server did not say.
    Unknown,
    /// The stream is not there.
    NoStream,
}

/// What EVENT says last of a boiler's faults.
#[derive(Debug)]
pub enum LastFault {
    /// This.
    Found(Box<EventBody>),
    /// Nothing.
    Nothing,
    /// The server did not say.
    Unknown,
}

/// Publishes one batch under the condition that the subject still ends at `expected` (0: is empty).
pub async fn publish(context: Context, subject: String, expected: u64, payload: Vec<u8>) -> Published {
    let message = PublishMessage::build().expected_last_subject_sequence(expected).payload(payload.into());
    let acknowledged = async {
        // The future is polled at once: its time-out starts with the first poll.
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
        // The client knows the server's `max_payload` and does not even send what is larger.
        PublishErrorKind::MaxPayloadExceeded => Published::Refused(Refused::TooLarge),
        PublishErrorKind::Other if error_code(error) == Some(TOO_LARGE) => Published::Refused(Refused::TooLarge),
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => {
            let cause = crate::logs::chain(error);
            tracing::debug!(error = cause, "publish without an answer");
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

/// The board that an operator has accepted for `boiler`: [`device_id`](thermowell_wire::device_id) of the one before,
/// and its own serial number. None where nobody has, or where nobody could be asked: then a foreign board stays
/// refused, and this is asked again.
pub async fn accepted_board(context: Context, boiler: BoilerId) -> Option<(u32, String)> {
    let subject = subject::event(&boiler, EventKind::Boiler).to_string();
    let last = tokio::time::timeout(ACK_TIMEOUT, nats::last(&context, stream::EVENT, &subject)).await;
    let event: Event = serde_json::from_slice(&last.ok()?.ok()??.payload).ok()?;
    let EventBody::BoardAccepted { serial_number, instead_of, .. } = event.body else { return None };
    Some((instead_of, serial_number))
}

/// Reads the last event about a fault of `boiler`. What stands there and is no event says nothing of a fault.
pub async fn last_fault(context: Context, boiler: BoilerId) -> LastFault {
    let subject = subject::event(&boiler, EventKind::Fault).to_string();
    match tokio::time::timeout(ACK_TIMEOUT, nats::last(&context, stream::EVENT, &subject)).await {
        Ok(Ok(Some(message))) => match serde_json::from_slice::<Event>(&message.payload) {
            Ok(event) => LastFault::Found(Box::new(event.body)),
            Err(error) => {
                tracing::warn!(subject, %error, "an event that is none was ignored");
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
