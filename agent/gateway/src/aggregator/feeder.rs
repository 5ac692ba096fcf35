//! The optional feed: one JSON event per sample, for programs that expect that form.
//!
//! The feed is a derived view: Thermowell itself never reads it. It has its own consumer, so that a slow feed does not
//! delay the average. Each session starts from the last event of each boiler, which names its SAMPLES message; after a
//! power cut that may be another one, and the place is looked for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::slice;
use std::sync::{Mutex, PoisonError};

use async_nats::jetstream::Context;
use futures_util::{StreamExt as _, TryStreamExt as _};
use thermowell_flow::feed::Feed;
use thermowell_flow::published::FeedEvent;
use thermowell_wire::BoilerId;
use thermowell_wire::subject;
use tokio::sync::watch;

use super::BEGINS;
use crate::logs::{self, Throttle};
use crate::nats::{self, Phase, RequestError};
use crate::{consume, feed};

/// SAMPLES messages that are processed at once when the feed lags: an atomic batch costs the server tens of
/// milliseconds whatever its size, so a few large ones catch up where many small ones do not.
const CHUNK: usize = 50;
/// Atomic batches in flight. The server allows 50 per stream.
const AT_ONCE: usize = 16;

/// Publishes the feed until the process ends.
pub(super) async fn run(context: Context, ready: watch::Receiver<Phase>, boilers: Vec<BoilerId>) {
    let logged = Mutex::default();
    nats::in_each_session(ready, "feeding", || follow(&context, &boilers, &logged)).await;
}

type Publish<'a> = Pin<Box<dyn Future<Output = Result<(), RequestError>> + Send + 'a>>;

/// The state of one boiler's feed.
struct Lane {
    feed: Feed,
    /// The sequence of the last event in the stream.
    expected: u64,
    /// Not yet published.
    events: Vec<FeedEvent>,
}

/// `logged` are the boilers without a feed, of all sessions.
async fn follow(
    context: &Context,
    boilers: &[BoilerId],
    logged: &Mutex<Throttle<BoilerId>>,
) -> Result<Infallible, RequestError> {
    let mut last = feed::last_of_each(context, boilers).await?;
    // The feed of a boiler whose last event cannot be parsed stands still; those of the others do not.
    let lane = |boiler: &BoilerId| {
        let last = match last.remove(boiler).transpose() {
            Ok(last) => last,
            Err(error) => {
                let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(times) = logged.admits_each(boiler.clone()) {
                    let error = logs::chain(&error);
                    tracing::error!(%boiler, times, error, "this boiler has no feed until its last event is removed \
                        and the aggregator restarted");
                }
                return None;
            }
        };
        let expected = last.as_ref().map_or(0, |(sequence, _)| *sequence);
        Some((boiler.clone(), Lane { feed: Feed::new(last), expected, events: Vec::new() }))
    };
    let mut lanes: BTreeMap<BoilerId, Lane> = boilers.iter().filter_map(lane).collect();
    let starts: Vec<_> = lanes.iter_mut().map(|(id, lane)| lane.start(context, id)).collect();
    let starts = futures_util::stream::iter(starts).buffer_unordered(BEGINS);
    let starts: Vec<Option<u64>> = starts.try_collect().await?;
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
    /// The sequence in SAMPLES to start from; none is the beginning.
    async fn start(&mut self, context: &Context, boiler: &BoilerId) -> Result<Option<u64>, RequestError> {
        let Some(from) = self.feed.replay_from() else { return Ok(None) };
        let found = consume::message(context, from, &subject::samples(boiler)).await?;
        if !self.feed.found_at_replay(found.as_deref()) {
            let mut messages = consume::samples(context, slice::from_ref(boiler), None).await?;
            for _ in 0..messages.pending() {
                let message = messages.next().await?;
                if self.feed.look_back(nats::sequence(&message)?, &message.payload) {
                    break;
                }
            }
        }
        Ok(self.feed.replay_from())
    }

    /// Publishes the collected events, one atomic batch after another.
    async fn publish(&mut self, context: &Context, boiler: &BoilerId) -> Result<(), RequestError> {
        for events in self.events.chunks(feed::EVENTS_MAX) {
            self.expected = feed::publish(context, boiler, self.expected, events).await?;
        }
        self.events.clear();
        Ok(())
    }
}
