//! Detects messages that the server copied onto a subject, and that their author did not publish there.
//!
//! The server sends its responses to any reply subject that the request names, without checking permissions for it. So
//! a user who may publish to one stream and may read its raw messages can have them stored under any subject.
//! `super::rights` gives people no such pair of rights; some roles have them.
//!
//! The response to a direct get has headers that the server adds and never removes. They are detected here, and nothing
//! that acts on a boiler may use such a message. What a *consumer* delivers has no such headers: sent to one of our
//! subjects, it cannot be told from an original. Only users with a consumer of COMMAND could do that with messages that
//! act on a boiler: the agent and the controller, which are trusted. A reset order is valid only with the approvals
//! that it names, no matter who wrote it.

use async_nats::HeaderMap;
use async_nats::header::{NATS_SEQUENCE, NATS_STREAM, NATS_SUBJECT};
use async_nats::jetstream::message::StreamMessage;

/// Whether a message from a subscription or a consumer is a copy.
#[must_use]
pub fn is_copy(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(NATS_STREAM).is_some())
}

/// Whether a message read from its stream is a copy. Such a read may add the headers of the message's own place.
#[must_use]
pub fn is_stored_copy(message: &StreamMessage) -> bool {
    let names_another = |header, own: &str| message.headers.get_all(header).any(|value| value.as_str() != own);
    names_another(NATS_SUBJECT, message.subject.as_str()) || names_another(NATS_SEQUENCE, &message.sequence.to_string())
}
