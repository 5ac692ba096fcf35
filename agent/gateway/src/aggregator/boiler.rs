//! One boiler in the aggregator: `flow::Aggregator`, and at most one publish of STATE and one of SNAPSHOT in flight.

use std::mem::Discriminant;
use std::sync::Arc;

use async_nats::jetstream::Context;
use thermowell_flow::aggregator::{self as flow, Effect};
use thermowell_flow::published::Snapshot;
use thermowell_wire::BoilerId;
use thermowell_wire::subject;

use super::rival::{self, Put};
use super::{Aggregator, Pending};
use crate::clock::{Clock, boottime_ns};
use crate::consume;
use crate::logs::{self, Throttle};
use crate::metrics::Board;
use crate::metrics::aggregator::{Report, Values};
use crate::nats::RequestError;
use crate::report::Reporter;
use crate::snapshot;

/// Between two reports to the board while the aggregator lags.
const REPORT_NS: u64 = 1_000_000_000;

/// The outcome of a publish.
pub(super) enum Outcome {
    State(Put),
    Snapshot(Box<Result<snapshot::Outcome, RequestError>>),
}

/// What the streams hold when a boiler begins.
pub(super) struct Stored {
    /// The first sequence of SAMPLES.
    pub(super) first_sequence: u64,
    /// The boiler's last snapshot and its sequence.
    pub(super) snapshot: Option<(u64, Snapshot)>,
    /// The sequence of the boiler's last STATE; 0 without one.
    pub(super) state_at: u64,
}

pub(super) struct Boiler {
    id: BoilerId,
    aggregator: flow::Aggregator,
    replay_from: Option<u64>,
    context: Context,
    reporter: Reporter,
    board: Arc<Board>,
    /// When the board got the last report, CLOCK_BOOTTIME.
    reported_ns: u64,
    effects: Vec<Effect>,
    logged: Throttle<Discriminant<flow::Log>>,
    /// The state has changed since the last publish of STATE.
    dirty: bool,
    publishing_state: bool,
    /// The sequence of the stored STATE; none if it has to be read first.
    state_at: Option<u64>,
    publishing_snapshot: bool,
}

impl Boiler {
    /// Starts from the boiler's last snapshot.
    pub(super) async fn begin(parent: &Aggregator, id: BoilerId, stored: Stored) -> Result<Self, RequestError> {
        let Aggregator { context, reporter, instance, board, .. } = parent;
        let settings = flow::Settings { boiler: id.clone(), instance: instance.clone() };
        let mut aggregator = flow::Aggregator::new(settings, stored.snapshot);
        aggregator.stream_begins_at(stored.first_sequence);
        if let Some(from) = aggregator.replay_from() {
            let found = consume::message(context, from, &subject::samples(&id)).await?;
            aggregator.found_at_replay(found.as_deref());
        }
        Ok(Self {
            id,
            replay_from: aggregator.replay_from(),
            aggregator,
            context: context.clone(),
            reporter: reporter.clone(),
            board: board.clone(),
            reported_ns: 0,
            effects: Vec::new(),
            logged: Throttle::default(),
            dirty: false,
            publishing_state: false,
            state_at: Some(stored.state_at),
            publishing_snapshot: false,
        })
    }

    #[must_use]
    pub(super) fn id(&self) -> &BoilerId {
        &self.id
    }

    /// The sequence in SAMPLES from which this boiler reads; none is the beginning of the stream.
    pub(super) fn replay_from(&self) -> Option<u64> {
        self.replay_from
    }

    /// Processes one message of SAMPLES.
    pub(super) fn observe(&mut self, sequence: u64, payload: &[u8], clock: &Clock) -> Result<(), RequestError> {
        // One consumer serves every boiler and starts at the lowest of their sequences.
        if self.replay_from.is_some_and(|from| sequence < from) {
            return Ok(());
        }
        self.aggregator.observe(sequence, payload, &mut self.effects);
        self.dirty = true;
        self.carry_out(clock)
    }

    /// The publishes that are due now: no STATE while the aggregator lags.
    pub(super) fn publish(&mut self, is_lagging: bool) -> Vec<Pending> {
        let mut due = Vec::new();
        if self.dirty && is_lagging {
            self.report_progress();
        }
        if self.dirty
            && !is_lagging
            && !self.publishing_state
            && let Some(state) = self.aggregator.state()
        {
            self.dirty = false;
            self.publishing_state = true;
            self.report(Some(Values::from(&state)));
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

    /// Reports the counters once a second, without values: they are an hour old, or a day.
    fn report_progress(&mut self) {
        let now_ns = boottime_ns();
        if now_ns.saturating_sub(self.reported_ns) >= REPORT_NS {
            self.reported_ns = now_ns;
            self.report(None);
        }
    }

    fn report(&self, values: Option<Values>) {
        let aggregator = &self.aggregator;
        let (counters, slots, last_hour) = (*aggregator.counters(), aggregator.slots(), aggregator.last_hour());
        self.board.aggregator(&self.id, Report { values, counters, slots, last_hour });
    }

    /// Processes the outcome of a publish.
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
            Put::Retry(sequence) => {
                self.dirty = true;
                Some(sequence)
            }
            // The next STATE follows with the next batch.
            Put::Unknown => None,
            Put::Yield(rival) => {
                let why = format!("aggregator {rival} is active too and takes precedence by its name");
                return Err(RequestError::new(format!("continue boiler {}", self.id), why));
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
        let mut restart = false;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Event(kind, body) => self.reporter.event(&self.id, kind, clock.now().utc, *body),
                Effect::Log(log) => logs::aggregator(&self.id, &log, &mut self.logged),
                Effect::Restart => restart = true,
            }
        }
        if restart {
            let why = "the stored snapshot is not the one that this session started from";
            return Err(RequestError::new(format!("continue boiler {}", self.id), why));
        }
        Ok(())
    }
}
