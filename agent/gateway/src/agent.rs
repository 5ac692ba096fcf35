//! The agent: one task per boiler between its serial port and SAMPLES.
//!
//! The task is a plain loop: it passes events to `flow::Agent` and carries out the effects that it returns. Sequence
//! numbers are handled by `flow` alone.

mod boiler;

use std::collections::HashMap;
use std::sync::Arc;

use thermowell_wire::BoilerId;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::actuate::{self, Leases};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Board;
use crate::nats::{Connection, NatsError, User};
use crate::report::Reporter;
use crate::reset::{self, Station};
use crate::serial::Ports;
use crate::session::{Session, SessionError};
use crate::shutdown::Shutdown;
use crate::streams;

use boiler::{Boiler, Inbox};

/// Capacity of the reset channel. A pending reset is sent again every few seconds.
const RESETS: usize = 1;

/// Why the agent stopped working.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The connection cannot be configured.
    #[error("connect")]
    Connect(#[source] NatsError),
    /// The server or a stream is unusable.
    #[error("keep a session")]
    Session(#[source] SessionError),
    /// Delivery has stopped for every boiler until an operator intervenes. Names the last one that stopped.
    #[error("boiler {boiler} stopped: {reason}")]
    Stopped {
        boiler: BoilerId,
        /// Why, and what to do.
        reason: String,
    },
}

/// Runs the agent until `shutdown` is requested and its backlog is published, within a grace period.
///
/// # Errors
/// See [`AgentError`]: all of them need an operator. A boiler that stops leaves the others running.
pub async fn run(config: &Config, board: &Arc<Board>, shutdown: Shutdown) -> Result<(), AgentError> {
    let connection = Connection::open(&config.nats, User::Agent).await.map_err(AgentError::Connect)?;
    let session = Arc::new(Session::new(connection, streams::needed(config, &User::Agent)));
    let context = session.connection().context().clone();
    let reporter = Reporter::start(context.clone(), session.ready());
    board.join("agent", &session, &reporter);
    let clock = Clock::new(&config.clock);
    let ports = Ports::of(&config.boilers);

    let mut boilers = JoinSet::new();
    let (mut leases, mut changes) = (HashMap::new(), HashMap::new());
    let (mut background_tasks, shared) = (JoinSet::new(), Arc::new(config.clone()));
    for boiler in &config.boilers {
        let (lease_sender, boiler_leases) = Leases::channel(boiler.id.clone());
        let (reset_sender, reset_receiver) = mpsc::channel(RESETS);
        let (seen_sender, seen) = watch::channel(reset::Seen::default());
        let changed = Arc::new(Notify::new());
        leases.insert(boiler.id.clone(), lease_sender);
        changes.insert(boiler.id.clone(), changed.clone());
        let inbox = Inbox { leases: boiler_leases, resets: reset_receiver, seen: seen_sender, board: board.clone() };
        let task = Boiler::new(config, boiler, &session, &reporter, &clock, &ports, inbox);
        boilers.spawn(task.run(shutdown.clone()));
        let station = Station { seen, changed, orders: reset_sender };
        if config.control.enabled {
            let (id, context) = (boiler.id.clone(), context.clone());
            background_tasks.spawn(reset::keep(shared.clone(), id, context, reporter.clone(), station));
        }
    }
    if config.control.enabled {
        background_tasks.spawn(actuate::follow(context.clone(), session.ready(), leases));
        background_tasks.spawn(reset::follow(context, session.ready(), changes));
    }
    tokio::select! {
        outcome = all(&mut boilers) => outcome,
        error = session.keep() => Err(AgentError::Session(error)),
    }
}

/// Waits for every boiler's task. A fatal error ends the role at once; stopped boilers end it only when no other boiler
/// is left.
async fn all(boilers: &mut JoinSet<Result<(), AgentError>>) -> Result<(), AgentError> {
    let mut stopped = None;
    let mut finished = 0;
    while let Some(joined) = boilers.join_next().await {
        match joined.expect("a boiler's task neither panics nor is aborted") {
            Ok(()) => finished += 1,
            Err(error @ AgentError::Stopped { .. }) => stopped = Some(error),
            Err(error) => return Err(error),
        }
    }
    match stopped {
        Some(error) if finished == 0 => Err(error),
        Some(_) | None => Ok(()),
    }
}
