//! Recomputes consecutive hours: `flow::Aggregator` fed from SAMPLES, up to the last sequence at the start.

use std::collections::VecDeque;

use async_nats::jetstream::Context;
use thermowell_flow::aggregator::{Aggregator, Effect, Settings};
use thermowell_flow::published::{EventBody, Provisional, Snapshot};
use thermowell_wire::BoilerId;
use thermowell_wire::subject;

use super::history::Stored;
use super::samples::Samples;
use crate::consume;
use crate::nats::RequestError;

/// A recomputed hour.
#[derive(Debug)]
pub(super) enum Closed {
    /// The stored hour from which the chain started, within its own boundaries; the recomputed one if it differs.
    Reopened(Option<Box<Snapshot>>),
    /// A later hour, as an aggregator would publish it.
    Fresh(Box<Snapshot>),
}

/// Consecutive hours.
pub(super) struct Chain {
    aggregator: Aggregator,
    samples: Samples,
    ended: bool,
    /// True until the stored hour from which it started is closed again.
    reopened: bool,
    effects: Vec<Effect>,
    closed: VecDeque<Closed>,
}

impl Chain {
    /// Starts from a stored hour; none if SAMPLES no longer has its first slot.
    pub(super) async fn reopen(
        context: &Context,
        boiler: &BoilerId,
        stored: &Stored,
        end: u64,
    ) -> Result<Option<Self>, RequestError> {
        let mut aggregator = Aggregator::new(settings(boiler), Some((stored.sequence, stored.snapshot.clone())));
        let replay = stored.snapshot.samples.replay;
        let found = consume::message(context, replay, &subject::samples(boiler)).await?;
        aggregator.found_at_replay(found.as_deref());
        if replay > end || aggregator.replay_from().is_none() {
            return Ok(None);
        }
        Self::read(context, boiler, aggregator, replay, end).await.map(Some)
    }

    /// Starts at the beginning of a history, the message at `first`.
    pub(super) async fn begin(
        context: &Context,
        boiler: &BoilerId,
        first: u64,
        end: u64,
    ) -> Result<Self, RequestError> {
        Self::read(context, boiler, Aggregator::new(settings(boiler), None), first, end).await
    }

    async fn read(
        context: &Context,
        boiler: &BoilerId,
        mut aggregator: Aggregator,
        from: u64,
        end: u64,
    ) -> Result<Self, RequestError> {
        aggregator.stream_begins_at(consume::first_sequence(context).await?);
        let samples = Samples::new(context, boiler, from, end);
        let reopened = aggregator.replay_from().is_some();
        let (effects, closed) = (Vec::new(), VecDeque::new());
        Ok(Self { aggregator, samples, ended: false, reopened, effects, closed })
    }

    /// The next closed hour; none at the end of SAMPLES.
    pub(super) async fn next(&mut self) -> Result<Option<Closed>, RequestError> {
        while self.closed.is_empty() && !self.ended {
            self.take().await?;
        }
        Ok(self.closed.pop_front())
    }

    /// The hour that is still open.
    pub(super) fn open(&self) -> Option<Provisional> {
        self.aggregator.state().map(|state| state.provisional)
    }

    /// Processes one message.
    async fn take(&mut self) -> Result<(), RequestError> {
        match self.samples.next().await? {
            Some((sequence, payload)) => {
                self.aggregator.observe(sequence, &payload, &mut self.effects);
                self.collect();
            }
            None => self.ended = true,
        }
        Ok(())
    }

    fn collect(&mut self) {
        if self.reopened && self.aggregator.counters().hours > 0 {
            self.reopened = false;
            let differing = self.effects.drain(..).find_map(|effect| match effect {
                Effect::Event(_, body) => recomputed(*body),
                Effect::Log(_) | Effect::Restart => None,
            });
            self.closed.push_back(Closed::Reopened(differing));
        }
        self.effects.clear();
        while let Some((expected, snapshot)) = self.aggregator.next_snapshot() {
            self.closed.push_back(Closed::Fresh(Box::new(snapshot.clone())));
            self.aggregator.snapshot_stored(expected + 1);
        }
    }
}

fn settings(boiler: &BoilerId) -> Settings {
    Settings { boiler: boiler.clone(), instance: "verify".to_owned() }
}

/// The snapshot of the aggregator's only event.
fn recomputed(body: EventBody) -> Option<Box<Snapshot>> {
    if let EventBody::SnapshotDiffers { recomputed } = body { Some(recomputed) } else { None }
}
