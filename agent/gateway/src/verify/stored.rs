//! Reads the stored messages of one subject in order, without a consumer: people have none (see `crate::nats::rights`).
//!
//! One request at a time would cost a round trip per message. So several requests are in flight, each for the subject's
//! first message from one of some consecutive sequences on. If one subject fills the stream, each returns another
//! message; with many subjects several return the same one, and the number of requests is reduced.

use std::collections::VecDeque;

use async_nats::jetstream::Context;
use bytes::Bytes;
use futures_util::future::try_join_all;
use thermowell_flow::published::Snapshot;
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::hour_text;

use crate::nats::{self, RequestError};

/// The most requests in flight, and so the most messages in memory. A hundredth of what the server queues.
const AT_ONCE_MAX: u64 = 64;

/// The messages of a subject up to a last sequence.
pub(super) struct Reader {
    context: Context,
    stream: &'static str,
    subject: String,
    /// The sequence from which the next message is requested.
    next: u64,
    end: u64,
    at_once: u64,
    ahead: VecDeque<(u64, Bytes)>,
}

impl Reader {
    pub(super) fn new(context: &Context, stream: &'static str, subject: String, from: u64, end: u64) -> Self {
        let (context, ahead) = (context.clone(), VecDeque::new());
        Self { context, stream, subject, next: from.max(1), end, at_once: AT_ONCE_MAX, ahead }
    }

    /// The next message and its sequence; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Bytes)>, RequestError> {
        if self.ahead.is_empty() && self.next <= self.end {
            self.ask().await?;
        }
        Ok(self.ahead.pop_front())
    }

    /// The subject's last sequence now; 0 if it is empty.
    pub(super) async fn newest(&self) -> Result<u64, RequestError> {
        super::end(&self.context, self.stream, &self.subject).await
    }

    /// Whether `end` is a later one; the messages up to it are then read too.
    pub(super) fn extend(&mut self, end: u64) -> bool {
        let is_later = end > self.end;
        self.end = self.end.max(end);
        is_later
    }

    async fn ask(&mut self) -> Result<(), RequestError> {
        let last = self.end.min(self.next + self.at_once - 1);
        let question = |from| nats::first_from(&self.context, self.stream, &self.subject, from);
        let answers = try_join_all((self.next..=last).map(question)).await?;
        // After the last answer the next messages are unknown; without one there are none.
        let reached = answers.last().and_then(Option::as_ref).map_or(self.end, |message| message.sequence);
        self.next = reached.min(self.end) + 1;
        for message in answers.into_iter().flatten() {
            let is_new = self.ahead.back().is_none_or(|(sequence, _)| *sequence < message.sequence);
            if is_new && message.sequence <= self.end {
                self.ahead.push_back((message.sequence, message.payload));
            }
        }
        // A round trip costs as much as a few requests: double their number while one in four returns a new message.
        let found = u64::try_from(self.ahead.len()).unwrap_or(AT_ONCE_MAX);
        self.at_once = if found * 4 >= self.at_once { self.at_once * 2 } else { found }.clamp(1, AT_ONCE_MAX);
        Ok(())
    }
}

/// A snapshot in SNAPSHOT.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) bytes: Bytes,
    pub(super) hour: i64,
    pub(super) snapshot: Snapshot,
}

impl Stored {
    /// An error is why this version cannot read the message.
    pub(super) fn read(sequence: u64, bytes: Bytes) -> Result<Self, String> {
        let snapshot: Snapshot = nats::parse(&bytes).map_err(|error| error.to_string())?;
        let hour = hour_of(&snapshot);
        if snapshot.hour != hour_text(hour) {
            return Err(format!("its hour is {} and its created_at {}", snapshot.hour, snapshot.created_at));
        }
        Ok(Self { sequence, bytes, hour, snapshot })
    }
}
