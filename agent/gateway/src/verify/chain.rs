//! Recomputes consecutive hours: `flow::Aggregator` fed from SAMPLES, up to the last sequence at the start.

use std::collections::VecDeque;

use async_nats::jetstream::Context;
use bytes::Bytes;
use thermowell_flow::aggregator::{Aggregator, Effect, Settings};
use thermowell_flow::published::{EventBody, Provisional, Snapshot};
use thermowell_flow::snapshot::hour_of;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use super::stored::Stored;
use crate::consume;
use crate::nats::{InOrder, RequestError};

/// A boiler's samples, up to the last sequence at the start.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) context: &'a Context,
    pub(super) boiler: &'a BoilerId,
    pub(super) end: u64,
}

/// Consecutive hours.
pub(super) struct Chain {
    aggregator: Aggregator,
    samples: InOrder,
    /// The stored hour from which it starts, until that is closed again, within its own boundaries.
    reopened: Option<Snapshot>,
    effects: Vec<Effect>,
    closed: VecDeque<Snapshot>,
}

impl Chain {
    /// Starts from a stored hour, which is also its first; none if SAMPLES no longer has that hour's first slot.
    pub(super) async fn reopen(source: Source<'_>, stored: &Stored) -> Result<Option<Self>, RequestError> {
        let replay = stored.snapshot.samples.replay;
        let mut aggregator = Aggregator::new(source.settings(), Some((stored.sequence, stored.snapshot.clone())));
        aggregator.found_at_replay(source.message(replay).await?.as_deref());
        if replay > source.end || aggregator.replay_from().is_none() {
            return Ok(None);
        }
        Self::read(source, aggregator, replay, Some(stored.snapshot.clone())).await.map(Some)
    }

    /// Starts at the beginning of a history, the message at `first`.
    pub(super) async fn begin(source: Source<'_>, first: u64) -> Result<Self, RequestError> {
        Self::read(source, Aggregator::new(source.settings(), None), first, None).await
    }

    async fn read(
        source: Source<'_>,
        mut aggregator: Aggregator,
        from: u64,
        reopened: Option<Snapshot>,
    ) -> Result<Self, RequestError> {
        let Source { context, boiler, end } = source;
        aggregator.stream_begins_at(consume::first_sequence(context).await?);
        let samples = InOrder::new(context, stream::SAMPLES, subject::samples(boiler).to_string(), from, end);
        Ok(Self { aggregator, samples, reopened, effects: Vec::new(), closed: VecDeque::new() })
    }

    /// The next closed hour if it is before `until`; none at the end of SAMPLES.
    pub(super) async fn next_before(&mut self, until: i64) -> Result<Option<Snapshot>, RequestError> {
        while self.closed.is_empty() {
            let Some(message) = self.samples.next().await? else { return Ok(None) };
            self.aggregator.observe(message.sequence, &message.payload, &mut self.effects);
            self.collect();
        }
        Ok(if hour_of(&self.closed[0]) < until { self.closed.pop_front() } else { None })
    }

    /// The hour that is still open.
    pub(super) fn open(&self) -> Option<Provisional> {
        self.aggregator.state().map(|state| state.provisional)
    }

    fn collect(&mut self) {
        if self.aggregator.counters().hours > 0
            && let Some(stored) = self.reopened.take()
        {
            let differing = self.effects.drain(..).find_map(recomputed);
            self.closed.push_back(differing.unwrap_or(stored));
        }
        self.effects.clear();
        while let Some((expected, snapshot)) = self.aggregator.next_snapshot() {
            self.closed.push_back(snapshot.clone());
            self.aggregator.snapshot_stored(expected + 1);
        }
    }
}

impl Source<'_> {
    /// The boiler's message at `sequence`.
    pub(super) async fn message(&self, sequence: u64) -> Result<Option<Bytes>, RequestError> {
        consume::message(self.context, sequence, &subject::samples(self.boiler)).await
    }

    fn settings(&self) -> Settings {
        Settings { boiler: self.boiler.clone(), instance: "verify".to_owned() }
    }
}

/// The reopened hour as it is now; none if it is as stored.
fn recomputed(effect: Effect) -> Option<Snapshot> {
    if let Effect::Event(_, body) = effect
        && let EventBody::SnapshotDiffers { recomputed } = *body
    {
        return Some(*recomputed);
    }
    None
}
