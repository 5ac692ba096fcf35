//! Roles in one process: started together, stopped in the direction of the data flow.
//!
//! ```text
//!            request ─▶ agent ends, or its grace is over ─▶ aggregator … ─▶ controller … ─▶ front …
//! ```
//!
//! The HTTP listener is no role: it serves until all of them have ended, and none of them waits for it.
//!
//! Each role stays polled while its predecessors drain, so the aggregator still receives the agent's last batches.
//! A role that ends by itself stops the others, in the same order: a restart of the process restarts all of them. Only
//! the front does not: the others keep their promises without it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::agent::{self, AgentError};
use crate::aggregator::{self, AggregatorError};
use crate::config::{self, Config};
use crate::controller::{self, ControllerError};
use crate::front::{FrontError, Site};
use crate::http;
use crate::logs;
use crate::metrics::Board;
use crate::shutdown::{Shutdown, Trigger};

/// How long the agent may take to publish its backlog; the rest is still in the boilers' rings.
const AGENT_GRACE: Duration = Duration::from_secs(5);
/// How long the others may take to stop: their state is in the streams.
const GRACE: Duration = Duration::from_secs(3);

/// Why the process ended before a shutdown was requested.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("agent")]
    Agent(#[source] AgentError),
    #[error("aggregator")]
    Aggregator(#[source] AggregatorError),
    #[error("controller")]
    Controller(#[source] ControllerError),
    #[error("front")]
    Front(#[source] FrontError),
    /// A role ended without an error and without a request.
    #[error("{role} ended without a request to stop")]
    Ended { role: &'static str },
}

/// A role to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Serial ports to SAMPLES, leases to boilers.
    Agent,
    /// SAMPLES to STATE and hourly snapshots.
    Aggregator,
    /// STATE to set-point leases.
    Controller,
    /// The dashboard.
    Front,
}

impl Role {
    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Aggregator => "aggregator",
            Self::Controller => "controller",
            Self::Front => "front",
        }
    }
}

/// Runs one role, or all that the configuration enables, until `shutdown` is requested and they have drained, or until
/// one of them ends by itself.
///
/// # Errors
/// The first role that failed.
pub async fn run(config: &Config, role: Option<Role>, shutdown: Shutdown) -> Result<(), RunError> {
    let roles = match role {
        Some(role) => vec![role],
        None if config.control.enabled => vec![Role::Agent, Role::Aggregator, Role::Controller, Role::Front],
        None => vec![Role::Agent, Role::Aggregator, Role::Front],
    };
    // An hour of each boiler: 90 KB that the other roles do not need.
    let site = roles.contains(&Role::Front).then(|| Site::new(config));
    let board = Board::new(config, &roles.iter().map(|role| role.name()).collect::<Vec<_>>());
    let (_until_the_roles_end, serving) = Shutdown::manual();
    if let Some(address) = address(&config.http, role) {
        let (hosts, common) = (config.http.hosts.clone(), http::common(&board));
        let router = match &site {
            Some(site) => common.merge(site.router()),
            None => common,
        };
        tokio::spawn(async move { http::serve(address, &hosts, router, serving).await });
    }
    supervise(roles.into_iter().map(|role| start(config, &board, site.as_ref(), role)).collect(), shutdown).await
}

/// Where the process of this role serves HTTP; the front's address is that of all roles in one process.
fn address(http: &config::Http, role: Option<Role>) -> Option<SocketAddr> {
    match role {
        None | Some(Role::Front) => http.front,
        Some(Role::Agent) => http.agent,
        Some(Role::Aggregator) => http.aggregator,
        Some(Role::Controller) => http.controller,
    }
}

fn start(config: &Config, board: &Arc<Board>, site: Option<&Site>, role: Role) -> Running {
    let (config, board, site) = (config.clone(), board.clone(), site.cloned());
    match role {
        Role::Agent => Running::start(role.name(), AGENT_GRACE, |shutdown| async move {
            agent::run(&config, &board, shutdown).await.map_err(RunError::Agent)
        }),
        Role::Aggregator => Running::start(role.name(), GRACE, |shutdown| async move {
            aggregator::run(&config, &board, shutdown).await.map_err(RunError::Aggregator)
        }),
        Role::Controller => Running::start(role.name(), GRACE, |shutdown| async move {
            controller::run(&config, &board, shutdown).await.map_err(RunError::Controller)
        }),
        Role::Front => Running::start(role.name(), GRACE, |shutdown| async move {
            site.expect("the front has a site").run(&config, &board, shutdown).await.map_err(RunError::Front)
        }),
    }
}

struct Running {
    role: &'static str,
    grace: Duration,
    trigger: Trigger,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn start<F>(role: &'static str, grace: Duration, run: impl FnOnce(Shutdown) -> F) -> Self
    where
        F: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let (trigger, shutdown) = Shutdown::manual();
        tracing::info!(role, "start");
        Self { role, grace, trigger, task: tokio::spawn(run(shutdown)) }
    }

    /// Requests the role to stop and waits for it, at most for its grace period.
    async fn stop(mut self) -> Result<(), RunError> {
        self.trigger.request();
        match timeout(self.grace, &mut self.task).await {
            Ok(ended) => {
                tracing::info!(role = self.role, "stopped");
                ended.expect("a role neither panics nor is aborted within its grace period")
            }
            Err(_) => {
                let grace = config::show_duration(self.grace);
                tracing::warn!(role = self.role, grace, "did not stop within the grace period, aborting");
                self.task.abort();
                Ok(())
            }
        }
    }
}

async fn supervise(mut roles: Vec<Running>, mut shutdown: Shutdown) -> Result<(), RunError> {
    let mut outcome = Ok(());
    loop {
        let (ended, index, _) = tokio::select! {
            () = shutdown.requested() => break,
            early = select_all(roles.iter_mut().map(|running| &mut running.task)) => early,
        };
        let role = roles.remove(index).role;
        let ended = ended.expect("a role neither panics nor is aborted while it runs");
        let error = ended.err().unwrap_or(RunError::Ended { role });
        if role != Role::Front.name() || roles.is_empty() {
            outcome = Err(error);
            break;
        }
        let error = logs::chain(&error);
        tracing::error!(error, "the dashboard has ended, the other roles go on without it until a restart");
    }
    for running in roles {
        let stopped = running.stop().await;
        outcome = outcome.and(stopped);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;

    type Record = Arc<Mutex<Vec<String>>>;

    fn cooperative(name: &'static str, record: &Record) -> Running {
        let record = record.clone();
        Running::start(name, Duration::from_secs(60), |mut shutdown| async move {
            shutdown.requested().await;
            record.lock().unwrap().push(format!("{name} asked"));
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            record.lock().unwrap().push(format!("{name} drained"));
            Ok(())
        })
    }

    #[tokio::test]
    async fn roles_drain_one_after_another() {
        let record = Record::default();
        let (trigger, shutdown) = Shutdown::manual();
        trigger.request();
        let roles = ["agent", "aggregator", "controller"].map(|name| cooperative(name, &record)).into_iter().collect();
        supervise(roles, shutdown).await.unwrap();
        let order =
            ["agent", "aggregator", "controller"].map(|name| [format!("{name} asked"), format!("{name} drained")]);
        assert_eq!(*record.lock().unwrap(), order.concat());
    }

    #[tokio::test]
    async fn role_that_does_not_stop_is_aborted() {
        let record = Record::default();
        let (trigger, shutdown) = Shutdown::manual();
        trigger.request();
        let (alive, gone) = oneshot::channel::<()>();
        let hanging = Running::start("agent", Duration::ZERO, |_| async move {
            let _alive = alive;
            std::future::pending().await
        });
        supervise(vec![hanging, cooperative("aggregator", &record)], shutdown).await.unwrap();
        assert_eq!(*record.lock().unwrap(), ["aggregator asked", "aggregator drained"]);
        timeout(Duration::from_secs(10), gone).await.expect("an aborted role is dropped").unwrap_err();
    }

    #[tokio::test]
    async fn role_that_fails_stops_the_others_in_order() {
        let record = Record::default();
        let (_trigger, shutdown) = Shutdown::manual();
        let failing =
            Running::start("aggregator", GRACE, |_| async { Err(RunError::Controller(ControllerError::Off)) });
        let roles = vec![cooperative("agent", &record), failing, cooperative("controller", &record)];
        let error = supervise(roles, shutdown).await.unwrap_err();
        assert!(matches!(error, RunError::Controller(ControllerError::Off)), "{error:?}");
        assert_eq!(*record.lock().unwrap(), ["agent asked", "agent drained", "controller asked", "controller drained"]);
    }

    /// A gateway without the front's key, for one.
    #[tokio::test]
    async fn front_that_fails_leaves_the_others_running() {
        let record = Record::default();
        let (trigger, shutdown) = Shutdown::manual();
        let (sender, ended) = oneshot::channel::<()>();
        let failing = Running::start("front", GRACE, |_| async move {
            drop(sender);
            Err(RunError::Front(FrontError::Refused))
        });
        let running = tokio::spawn(supervise(vec![cooperative("agent", &record), failing], shutdown));
        ended.await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!running.is_finished() && record.lock().unwrap().is_empty());
        trigger.request();
        running.await.unwrap().unwrap();
        assert_eq!(*record.lock().unwrap(), ["agent asked", "agent drained"]);
        let (_trigger, shutdown) = Shutdown::manual();
        let alone = Running::start("front", GRACE, |_| async { Err(RunError::Front(FrontError::Refused)) });
        let error = supervise(vec![alone], shutdown).await.unwrap_err();
        assert!(matches!(error, RunError::Front(FrontError::Refused)), "{error:?}");
    }

    #[tokio::test]
    async fn role_that_ends_unrequested_is_an_error() {
        let (_trigger, shutdown) = Shutdown::manual();
        let leaving = Running::start("agent", GRACE, |_| async { Ok(()) });
        let error = supervise(vec![leaving], shutdown).await.unwrap_err();
        assert_eq!(error.to_string(), "agent ended without a request to stop");
    }
}
