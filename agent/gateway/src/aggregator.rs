//! The aggregator: reads SAMPLES, publishes STATE after each batch and one SNAPSHOT per closed hour.
//!
//! While it lags behind the stream it publishes no STATE: values of an hour ago would look current, and publishing them
//! would cost more than the sums.
//!
//! It keeps nothing on disk. Each session starts from each boiler's last snapshot and replays SAMPLES from there, so a
//! restart, a rollback, a wiped stream and a failover to another machine take the same path.

mod boiler;
mod feeder;
mod rival;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{Context, Message};
use futures_util::stream::FuturesUnordered;
use futures_util::{Future, StreamExt as _, TryStreamExt as _};
use thermowell_wire::BoilerId;
use thermowell_wire::subject;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::consume;
use crate::logs::{self, Throttle};
use crate::metrics::Board;
use crate::nats::{self, Connection, MESSAGES_MAX, NatsError, Phase, RETRY, RequestError, User};
use crate::report::Reporter;
use crate::session::{Session, SessionError};
use crate::shutdown::Shutdown;
use crate::{snapshot, streams};

use boiler::{Boiler, Outcome, Stored};

/// How long a shutdown waits for outstanding acknowledgements.
const GRACE: Duration = Duration::from_secs(2);

/// The most boilers that read the message at their snapshot at once. One after another, 1,000 would take 0.3 s.
const BEGINS: usize = 64;

/// A publish in flight; its output names the boiler.
type Pending = Pin<Box<dyn Future<Output = (BoilerId, Outcome)> + Send>>;

/// Why the aggregator stopped working.
#[derive(Debug, thiserror::Error)]
pub enum AggregatorError {
    /// The connection cannot be configured.
    #[error("connect")]
    Connect(#[source] NatsError),
    /// The server or a stream is unusable.
    #[error("keep a session")]
    Session(#[source] SessionError),
}

/// Runs the aggregator until `shutdown` is requested.
///
/// # Errors
/// See [`AggregatorError`]: all of them need an operator.
pub async fn run(config: &Config, board: &Arc<Board>, mut shutdown: Shutdown) -> Result<(), AggregatorError> {
    let connection = Connection::open(&config.nats, User::Aggregator).await.map_err(AggregatorError::Connect)?;
    let session = Session::new(connection, streams::needed(config, &User::Aggregator));
    let context = session.connection().context().clone();
    let reporter = Reporter::start(context.clone(), session.ready());
    board.join("aggregator", &session, &reporter);
    let boilers = config.boiler_ids();
    let mut background_tasks = JoinSet::new();
    if config.feed.enabled {
        background_tasks.spawn(feeder::run(context.clone(), session.ready(), boilers.clone()));
    }
    let (instance, clock, board) = (config.gateway.clone(), Clock::new(&config.clock), board.clone());
    let aggregator = Aggregator { context, reporter, boilers, instance, clock, board };
    tokio::select! {
        () = aggregator.sessions(&session, shutdown.clone()) => Ok(()),
        error = session.keep() => Err(AggregatorError::Session(error)),
        () = async { shutdown.requested().await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

struct Aggregator {
    context: Context,
    reporter: Reporter,
    boilers: Vec<BoilerId>,
    instance: String,
    clock: Clock,
    board: Arc<Board>,
}

impl Aggregator {
    /// Runs one session after another, until shutdown.
    async fn sessions(&self, session: &Session, mut shutdown: Shutdown) {
        let mut ready = session.ready();
        let (mut failures, mut logged) = (Throttle::default(), Throttle::default());
        loop {
            tokio::select! {
                Ok(_) = ready.wait_for(|phase| *phase != Phase::Down) => {}
                () = shutdown.requested() => return,
            }
            ready.mark_unchanged();
            tokio::select! {
                outcome = self.work(shutdown.clone(), &mut logged) => match outcome {
                    Ok(()) => return,
                    Err(error) => {
                        let error = logs::chain(&error);
                        if let Some(tries) = failures.admits(error.clone()) {
                            tracing::warn!(tries, error, "session failed, restarting it");
                        }
                        tokio::time::sleep(RETRY).await;
                    }
                },
                _ = ready.changed() => {
                    failures.end();
                    tracing::debug!("session ended");
                }
            }
            self.board.lag(None);
        }
    }

    /// Every boiler, at its last snapshot, but those whose last one cannot be parsed: it is their checkpoint. `states`
    /// are the sequences of the last STATES, `logged` the lines of all sessions.
    async fn begin(
        &self,
        states: BTreeMap<BoilerId, u64>,
        logged: &mut Throttle<String>,
    ) -> Result<BTreeMap<BoilerId, Boiler>, RequestError> {
        let first = consume::first_sequence(&self.context);
        let snapshots = snapshot::last_of_each(&self.context, &self.boilers);
        let (first_sequence, mut snapshots) = tokio::try_join!(first, snapshots)?;
        let mut begins = Vec::with_capacity(self.boilers.len());
        for id in &self.boilers {
            match snapshots.remove(id).transpose() {
                Ok(snapshot) => {
                    let state_at = states.get(id).copied().unwrap_or(0);
                    begins.push(Boiler::begin(self, id.clone(), Stored { first_sequence, snapshot, state_at }));
                }
                Err(error) => {
                    let error = logs::chain(&error);
                    if let Some(times) = logged.admits_each(error.clone()) {
                        tracing::error!(boiler = %id, times, error, "this boiler is not aggregated until its last \
                            snapshot is removed and the aggregator restarted");
                    }
                }
            }
        }
        let begins = futures_util::stream::iter(begins).buffer_unordered(BEGINS);
        begins.map_ok(|boiler| (boiler.id().clone(), boiler)).try_collect().await
    }

    /// One session: start from the last snapshots, replay, follow.
    async fn work(&self, mut shutdown: Shutdown, logged: &mut Throttle<String>) -> Result<(), RequestError> {
        let states = rival::stand_by(&self.context, &self.boilers, &self.instance, logged).await?;
        let mut boilers = self.begin(states, logged).await?;
        let from = boilers.values().map(Boiler::replay_from).min().flatten();
        let mut messages = consume::samples(&self.context, &self.boilers, from).await?;
        let lag_max = lag_max(boilers.len());
        let mut is_lagging = false;
        let mut pending: FuturesUnordered<Pending> = FuturesUnordered::new();
        tracing::info!(boilers = boilers.len(), from, "aggregating");
        loop {
            tokio::select! {
                chunk = messages.chunk(MESSAGES_MAX) => {
                    let chunk = chunk?;
                    for message in &chunk {
                        observe(&mut boilers, message, &self.clock)?;
                    }
                    let remaining = chunk.last().map(nats::remaining).transpose()?;
                    is_lagging = remaining.is_some_and(|remaining| remaining > lag_max);
                    self.board.lag(remaining);
                    for boiler in boilers.values_mut() {
                        pending.extend(boiler.publish(is_lagging));
                    }
                }
                Some((id, outcome)) = pending.next() => {
                    if let Some(boiler) = boilers.get_mut(&id) {
                        boiler.published(outcome, &self.clock)?;
                        pending.extend(boiler.publish(is_lagging));
                    }
                }
                () = shutdown.requested() => break,
            }
        }
        while let Some((id, outcome)) = pending.next().await {
            if let Some(boiler) = boilers.get_mut(&id) {
                boiler.published(outcome, &self.clock)?;
                pending.extend(boiler.publish(is_lagging));
            }
        }
        Ok(())
    }
}

/// The most undelivered messages without a lag: one chunk, or two messages of each boiler.
fn lag_max(boilers: usize) -> u64 {
    u64::try_from(boilers.saturating_mul(2).max(MESSAGES_MAX)).unwrap_or(u64::MAX)
}

fn observe(boilers: &mut BTreeMap<BoilerId, Boiler>, message: &Message, clock: &Clock) -> Result<(), RequestError> {
    let sequence = nats::sequence(message)?;
    let boiler = subject::boiler_of(&message.subject).and_then(|id| boilers.get_mut(&id));
    if let Some(boiler) = boiler {
        boiler.observe(sequence, &message.payload, clock)?;
    }
    Ok(())
}
