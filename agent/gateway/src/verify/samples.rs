//! Reads the stored samples of one boiler in order, without a consumer: people have none (see `crate::nats::rights`).
//!
//! One request at a time would cost a round trip per message. So several requests are in flight, each for the boiler's
//! first message from one of some consecutive sequences on. If one boiler fills the stream, each returns another
//! message; with many boilers several return the same one, and the number of requests is reduced.

use std::collections::VecDeque;

use async_nats::jetstream::Context;
use bytes::Bytes;
use futures_util::future::try_join_all;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::nats::{self, RequestError};

/// The most requests in flight, and so the most messages in memory. A hundredth of what the server queues.
const AT_ONCE_MAX: u64 = 64;

/// The messages of SAMPLES up to its last sequence at the start.
pub(super) struct Samples {
    context: Context,
    subject: String,
    /// The sequence from which the next message is requested.
    next: u64,
    end: u64,
    at_once: u64,
    ahead: VecDeque<(u64, Bytes)>,
}

impl Samples {
    pub(super) fn new(context: &Context, boiler: &BoilerId, from: u64, end: u64) -> Self {
        let (subject, ahead) = (subject::samples(boiler).to_string(), VecDeque::new());
        Self { context: context.clone(), subject, next: from.max(1), end, at_once: AT_ONCE_MAX, ahead }
    }

    /// The next message and its sequence; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Bytes)>, RequestError> {
        if self.ahead.is_empty() && self.next <= self.end {
            self.ask().await?;
        }
        Ok(self.ahead.pop_front())
    }

    async fn ask(&mut self) -> Result<(), RequestError> {
        let last = self.end.min(self.next + self.at_once - 1);
        let question = |from| nats::first_from(&self.context, stream::SAMPLES, &self.subject, from);
        let answers = try_join_all((self.next..=last).map(question)).await?;
        // Behind the last question's answer nothing is known; where it has none, there is nothing.
        self.next = self.end + 1;
        if let Some(Some(message)) = answers.last() {
            self.next = message.sequence + 1;
        }
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
