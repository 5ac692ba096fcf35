//! Reads the stored messages of one subject in order, without a consumer: people have none (see [`super::rights`]).
//!
//! One request at a time would cost a round trip per message. So several requests are in flight, each for the subject's
//! first message from one of some consecutive sequences on. If one subject fills the stream, each returns another
//! message; with many subjects several return the same one, and the number of requests is reduced.

use std::collections::VecDeque;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use futures_util::future::try_join_all;

use super::{RequestError, first_from, last, stream_state};

/// The most requests in flight, and so the most messages in memory. A hundredth of what the server queues.
const AT_ONCE_MAX: u64 = 64;

/// The messages of a subject, which may have wildcards, up to a last sequence.
pub struct InOrder {
    context: Context,
    stream: &'static str,
    subject: String,
    /// The sequence from which the next message is requested.
    next: u64,
    end: u64,
    at_once: u64,
    ahead: VecDeque<StreamMessage>,
}

impl InOrder {
    /// The messages from sequence `from` to `end`, both included.
    #[must_use]
    pub fn new(context: &Context, stream: &'static str, subject: String, from: u64, end: u64) -> Self {
        let (context, ahead) = (context.clone(), VecDeque::new());
        Self { context, stream, subject, next: from.max(1), end, at_once: AT_ONCE_MAX, ahead }
    }

    /// The next message; none at the end.
    ///
    /// # Errors
    /// The server does not answer, or the stream does not exist.
    pub async fn next(&mut self) -> Result<Option<StreamMessage>, RequestError> {
        if self.ahead.is_empty() && self.next <= self.end {
            self.ask().await?;
        }
        Ok(self.ahead.pop_front())
    }

    /// The subject's last sequence now; 0 if it is empty.
    ///
    /// # Errors
    /// The server does not answer, or the stream does not exist.
    pub async fn newest(&self) -> Result<u64, RequestError> {
        end(&self.context, self.stream, &self.subject).await
    }

    /// The last sequence that is read.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether `end` is a later one; the messages up to it are then read too.
    pub fn extend(&mut self, end: u64) -> bool {
        let is_later = end > self.end;
        self.end = self.end.max(end);
        is_later
    }

    async fn ask(&mut self) -> Result<(), RequestError> {
        let last = self.end.min(self.next + self.at_once - 1);
        let question = |from| first_from(&self.context, self.stream, &self.subject, from);
        let answers = try_join_all((self.next..=last).map(question)).await?;
        // After the last answer the next messages are unknown; without one there are none.
        let reached = answers.last().and_then(Option::as_ref).map_or(self.end, |message| message.sequence);
        self.next = reached.min(self.end) + 1;
        for message in answers.into_iter().flatten() {
            let is_new = self.ahead.back().is_none_or(|newest| newest.sequence < message.sequence);
            if is_new && message.sequence <= self.end {
                self.ahead.push_back(message);
            }
        }
        // A round trip costs as much as a few requests: double their number while one in four returns a new message.
        let found = u64::try_from(self.ahead.len()).unwrap_or(AT_ONCE_MAX);
        self.at_once = if found * 4 >= self.at_once { self.at_once * 2 } else { found }.clamp(1, AT_ONCE_MAX);
        Ok(())
    }
}

/// The sequence of a subject's last message; 0 if there is none.
///
/// # Errors
/// The server does not answer, or the stream does not exist.
pub async fn end(context: &Context, stream: &str, subject: &str) -> Result<u64, RequestError> {
    Ok(last(context, stream, subject).await?.map_or(0, |message| message.sequence))
}

/// The sequence of the first message of `subject` that is stamped at `since_ns` or later, by bisection: 25 requests for
/// a full stream. `stamp` reads it from a message; one without a stamp counts as earlier. Without such a message it is
/// the sequence after the last.
///
/// # Errors
/// The server does not answer, or the stream does not exist.
pub async fn first_since(
    context: &Context,
    stream: &str,
    subject: &str,
    since_ns: i64,
    stamp: impl Fn(&StreamMessage) -> Option<i64>,
) -> Result<u64, RequestError> {
    let state = stream_state(context, stream).await?;
    let (mut low, mut high) = (state.first_sequence.max(1), state.last_sequence + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match first_from(context, stream, subject, middle).await? {
            Some(message) if stamp(&message).is_none_or(|stamp| stamp < since_ns) => low = message.sequence + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The sequence of a message of `subject` before `sequence`, near it; 1 if there is none.
///
/// # Errors
/// The server does not answer, or the stream does not exist.
pub async fn one_before(context: &Context, stream: &str, subject: &str, sequence: u64) -> Result<u64, RequestError> {
    let mut back = 1;
    while back < sequence {
        let found = first_from(context, stream, subject, sequence - back).await?;
        if let Some(message) = found.filter(|message| message.sequence < sequence) {
            return Ok(message.sequence);
        }
        back *= 2;
    }
    Ok(1)
}
