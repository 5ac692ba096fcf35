//! The optional feed: each sample of SAMPLES once more, as one JSON event for programs that expect it.
//!
//! It is a view: nothing of ours reads it, and it has a consumer of its own, so that a slow feed never holds up the
//! average. Each session begins at the last event of each boiler, which names the SAMPLES message that it comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use futures_util::StreamExt as _;
use thermowell_flow::feed::Feed;
use thermowell_wire::BoilerId;
use thermowell_wire::subject;
use tokio::sync::watch;

use crate::nats::{Phase, RequestError};
use crate::{consume, feed, logs};

/// The pause before another session.
const RETRY: Duration = Duration::from_millis(500);

/// Feeds until the process ends.
pub(super) async fn run(context: Context, mut ready: watch::Receiver<Phase>, boilers: Vec<BoilerId>) {
    loop {
        if ready.wait_for(|phase| *phase != Phase::Down).await.is_err() {
            return;
        }
        ready.mark_unchanged();
        tokio::select! {
            error = session(&context, &boilers) => {
                tracing::warn!(error = logs::chain(&error), "feed interrupted, beginning again at its end");
                tokio::time::sleep(RETRY).await;
            }
            _ = ready.changed() => {}
        }
    }
}

async fn session(context: &Context, boilers: &[BoilerId]) -> RequestError {
    match follow(context, boilers).await {
        Ok(()) => RequestError::new("read SAMPLES for the feed", "the server ended the consumer"),
        Err(error) => error,
    }
}

async fn follow(context: &Context, boilers: &[BoilerId]) -> Result<(), RequestError> {
    let mut feeds = BTreeMap::new();
    let mut starts = Vec::new();
    for boiler in boilers {
        let last = feed::last(context, boiler).await?;
        let expected = last.as_ref().map_or(0, |(sequence, _)| *sequence);
        let feed = Feed::new(last);
        starts.push(start(context, boiler, &feed).await?);
        feeds.insert(boiler.clone(), (feed, expected));
    }
    let from = starts.into_iter().min().flatten();
    let subjects = boilers.iter().map(|boiler| subject::samples(boiler).to_string()).collect();
    let mut messages = consume::samples(context, subjects, from).await?;
    let mut events = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.map_err(|error| RequestError::new("read SAMPLES for the feed", error))?;
        let info = message.info().map_err(|error| RequestError::new("read the sequence of a message", error))?;
        let Some(boiler) = subject::boiler_of(&message.subject) else { continue };
        let Some((feed, expected)) = feeds.get_mut(&boiler) else { continue };
        feed.events(info.stream_sequence, &message.payload, &mut events);
        *expected = feed::publish(context, &boiler, *expected, &events).await?;
        events.clear();
    }
    Ok(())
}

/// Where to begin: at the message that the last event came from; at the beginning, where SAMPLES has another one there or
/// none, because it began anew.
async fn start(context: &Context, boiler: &BoilerId, feed: &Feed) -> Result<Option<u64>, RequestError> {
    let Some(from) = feed.replay_from() else { return Ok(None) };
    let found = consume::message(context, from, &subject::samples(boiler)).await?;
    Ok(found.map(|_| from))
}
