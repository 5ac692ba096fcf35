//! Messages that the server, not their author, put where they are.
//!
//! The server sends its answers to whatever subject the question names, and looks at nobody's permissions when it does.
//! So whoever may write into one stream, and may ask for its messages as they are, can have them stored under any
//! subject. `super::rights` gives people no such pair of rights; the roles have some.
//!
//! An answer to a direct get carries headers that the server adds and never takes away, which is what is looked for
//! here, and nothing that acts on a boiler may go by one. What a *consumer* delivers carries none: sent to a subject of
//! ours it is stored like anything that its author wrote there, and nobody can tell. Only who follows COMMAND with a
//! consumer could do that to what acts, and these are the agent and the controller, which are trusted. An order of a
//! reset is judged by the approvals below it all the same, whoever wrote it.

use async_nats::HeaderMap;
use async_nats::header::{NATS_SEQUENCE, NATS_STREAM, NATS_SUBJECT};
use async_nats::jetstream::message::StreamMessage;

/// Whether a message that a subscription or a consumer brought is a copy.
#[must_use]
pub fn is_copy(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(NATS_STREAM).is_some())
}

/// Whether a message that was read from its stream is a copy. Asked for like that, each may carry its own place.
#[must_use]
pub fn is_stored_copy(message: &StreamMessage) -> bool {
    let names_another = |header, own: &str| message.headers.get_all(header).any(|value| value.as_str() != own);
    names_another(NATS_SUBJECT, message.subject.as_str()) || names_another(NATS_SEQUENCE, &message.sequence.to_string())
}
