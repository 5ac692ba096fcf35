//! The optional feed: each sample of SAMPLES once more, as one JSON event for programs that expect it.
//!
//! It is a view: nothing of ours reads it, and it has a consumer of its own, so that a slow feed never holds up the
//! average. Each session begins at the last event of each boiler, which names the SAMPLES message that it comes from.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;

use async_nats::jetstream::Context;
use futures_util::StreamExt as _;
use thermowell_flow::feed::Feed;
use thermowell_flow::published::FeedEvent;
use thermowell_wire::BoilerId;
use thermowell_wire::subject;
use tokio::sync::watch;

use crate::nats::{self, Phase, RequestError};
use crate::{consume, feed};

/// SAMPLES messages that are taken at once where the feed is behind: an atomic batch costs the server tens of
/// milliseconds whatever its size, so few large ones catch up where many small ones do not.
const CHUNK: usize = 50;
/// Atomic batches under way. The server allows 50 a stream.
const AT_ONCE: usize = 16;

/// Feeds until the process ends.
pub(super) async fn run(context: Context, ready: watch::Receiver<Phase>, boilers: Vec<BoilerId>) {
    nats::in_each_session(ready, "feeding", || follow(&context, &boilers)).await;
}

type Publish<'a> = Pin<Box<dyn Future<Output = Result<(), RequestError>> + Send + 'a>>;

/// One boiler's part of the feed.
struct Lane {
    feed: Feed,
    /// The sequence of the last event in the stream.
    expected: u64,
    /// What is not there yet.
    events: Vec<FeedEvent>,
}

async fn follow(context: &Context, boilers: &[BoilerId]) -> Result<Infallible, RequestError> {
    let mut lanes = BTreeMap::new();
    let mut starts = Vec::new();
    for boiler in boilers {
        let last = feed::last(context, boiler).await?;
        let expected = last.as_ref().map_or(0, |(sequence, _)| *sequence);
        let feed = Feed::new(last);
        starts.push(start(context, boiler, &feed).await?);
        lanes.insert(boiler.clone(), Lane { feed, expected, events: Vec::new() });
    }
    let from = starts.into_iter().min().flatten();
    let mut messages = consume::samples(context, boilers, from).await?;
    loop {
        for message in messages.chunk(CHUNK).await? {
            let sequence = nats::sequence(&message)?;
            let lane = subject::boiler_of(&message.subject).and_then(|boiler| lanes.get_mut(&boiler));
            if let Some(lane) = lane {
                lane.feed.events(sequence, &message.payload, &mut lane.events);
            }
        }
        let mut publishes: Vec<Publish<'_>> = Vec::with_capacity(lanes.len());
        for (boiler, lane) in &mut lanes {
            publishes.push(Box::pin(lane.publish(context, boiler)));
        }
        let mut publishes = futures_util::stream::iter(publishes).buffer_unordered(AT_ONCE);
        while let Some(published) = publishes.next().await {
            published?;
        }
    }
}

impl Lane {
    /// Publishes what has gathered, one atomic batch behind the other.
    async fn publish(&mut self, context: &Context, boiler: &BoilerId) -> Result<(), RequestError> {
        for events in self.events.chunks(feed::EVENTS_MAX) {
            self.expected = feed::publish(context, boiler, self.expected, events).await?;
        }
        self.events.clear();
        Ok(())
    }
}

/// Where to begin: at the message that the last event came from; at the beginning, where SAMPLES has another one there
/// or none, because it began anew.
async fn start(context: &Context, boiler: &BoilerId, feed: &Feed) -> Result<Option<u64>, RequestError> {
    let Some(from) = feed.replay_from() else { return Ok(None) };
    let found = consume::message(context, from, &subject::samples(boiler)).await?;
    Ok(found.map(|_| from))
}
