//! One boiler in the aggregator: `flow::Aggregator` and its two publishes, each one at a time.

use async_nats::jetstream::Context;
use thermowell_flow::aggregator::{self as flow, Effect};
use thermowell_wire::BoilerId;
use thermowell_wire::subject;

use super::Pending;
use super::rival::{self, Put};
use crate::clock::Clock;
use crate::consume;
use crate::nats::RequestError;
use crate::report::Reporter;
use crate::snapshot;

/// What the server said to one of the two publishes.
pub(super) enum Outcome {
    /// What stands as STATE now, as far as it is known.
    State(Put),
    /// What stands where the snapshot should go, if the server said.
    Snapshot(Box<Result<snapshot::Outcome, RequestError>>),
}

pub(super) struct Boiler {
    id: BoilerId,
    aggregator: flow::Aggregator,
    replay_from: Option<u64>,
    context: Context,
    reporter: Reporter,
    effects: Vec<Effect>,
    /// There is news that STATE does not tell yet.
    dirty: bool,
    publishing_state: bool,
    /// The sequence of the STATE that stands; none where that has to be read first.
    state_at: Option<u64>,
    publishing_snapshot: bool,
}

impl Boiler {
    /// A boiler at its last snapshot.
    pub(super) async fn begin(
        context: &Context,
        reporter: &Reporter,
        id: &BoilerId,
        instance: &str,
        first_sequence: u64,
    ) -> Result<Self, RequestError> {
        let last = snapshot::last(context, id).await?;
        let settings = flow::Settings { boiler: id.clone(), instance: instance.to_owned() };
        let mut aggregator = flow::Aggregator::new(settings, last.map(|last| *last));
        aggregator.stream_begins_at(first_sequence);
        if let Some(from) = aggregator.replay_from() {
            let found = consume::message(context, from, &subject::samples(id)).await?;
            aggregator.found_at_replay(found.as_deref());
        }
        Ok(Self {
            id: id.clone(),
            replay_from: aggregator.replay_from(),
            aggregator,
            context: context.clone(),
            reporter: reporter.clone(),
            effects: Vec::new(),
            dirty: false,
            publishing_state: false,
            state_at: None,
            publishing_snapshot: false,
        })
    }

    /// The sequence in SAMPLES from which this boiler wants to read; none is the beginning.
    pub(super) fn replay_from(&self) -> Option<u64> {
        self.replay_from
    }

    /// Takes one message of SAMPLES.
    pub(super) fn observe(&mut self, sequence: u64, payload: &[u8], clock: &Clock) -> Result<(), RequestError> {
        // One consumer serves every boiler and begins where the earliest wants to.
        if self.replay_from.is_some_and(|from| sequence < from) {
            return Ok(());
        }
        self.aggregator.observe(sequence, payload, &mut self.effects);
        self.dirty = true;
        self.carry_out(clock)
    }

    /// The publishes that are due now: no STATE while the aggregator is behind.
    pub(super) fn publish(&mut self, is_behind: bool) -> Vec<Pending> {
        let mut due = Vec::new();
        if self.dirty
            && !is_behind
            && !self.publishing_state
            && let Some(state) = self.aggregator.state()
        {
            self.dirty = false;
            self.publishing_state = true;
            let (id, context, at) = (self.id.clone(), self.context.clone(), self.state_at);
            due.push(Box::pin(async move {
                let put = rival::put(&context, &id, at, &state).await;
                (id, Outcome::State(put))
            }) as Pending);
        }
        if !self.publishing_snapshot
            && let Some((expected, snapshot)) = self.aggregator.next_snapshot()
        {
            self.publishing_snapshot = true;
            let (id, context, snapshot) = (self.id.clone(), self.context.clone(), snapshot.clone());
            due.push(Box::pin(async move {
                let outcome = snapshot::store(&context, &id, expected, &snapshot).await;
                (id, Outcome::Snapshot(Box::new(outcome)))
            }));
        }
        due
    }

    /// Takes the server's answer.
    pub(super) fn published(&mut self, outcome: Outcome, clock: &Clock) -> Result<(), RequestError> {
        match outcome {
            Outcome::State(put) => {
                self.publishing_state = false;
                self.state_is(put)?;
            }
            Outcome::Snapshot(outcome) => {
                self.publishing_snapshot = false;
                match (*outcome)? {
                    snapshot::Outcome::Stored(sequence) => self.stored(sequence),
                    snapshot::Outcome::Conflict(found) => {
                        self.aggregator.snapshot_conflict(found.map(|found| *found), &mut self.effects);
                        self.carry_out(clock)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn state_is(&mut self, put: Put) -> Result<(), RequestError> {
        self.state_at = match put {
            Put::Stored(sequence) => Some(sequence),
            Put::Behind(sequence) => {
                self.dirty = true;
                Some(sequence)
            }
            // The next one comes with the next batch.
            Put::Unknown => None,
            Put::Yield(rival) => {
                let why = format!("aggregator {rival} works too, and its name comes first");
                return Err(RequestError::new(format!("go on with boiler {}", self.id), why));
            }
        };
        Ok(())
    }

    fn stored(&mut self, sequence: u64) {
        if let Some((_, snapshot)) = self.aggregator.next_snapshot() {
            tracing::info!(boiler = %self.id, hour = snapshot.hour, temperature = snapshot.temperature,
                points = snapshot.temperature_points, missing = snapshot.missing.total(), "hourly snapshot");
        }
        self.aggregator.snapshot_stored(sequence);
        self.dirty = true;
    }

    fn carry_out(&mut self, clock: &Clock) -> Result<(), RequestError> {
        let mut anew = false;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Event(kind, body) => self.reporter.event(&self.id, kind, clock.now().utc, *body),
                Effect::Log(log) => crate::logs::aggregator(&self.id, &log),
                Effect::Restart => anew = true,
            }
        }
        if anew {
            let why = "the stored snapshot is not the one that this session went on from";
            return Err(RequestError::new(format!("go on with boiler {}", self.id), why));
        }
        Ok(())
    }
}
