//! A session: the time between two disconnects in which the server is known good and every stream stands.
//!
//! Roles work only inside a session. Each new one starts from what the server says, never from memory: after a crash
//! of the server its streams may have lost their tails, or may be gone.

use std::pin::Pin;

use async_nats::jetstream::stream::Config as StreamConfig;
use tokio::sync::{Notify, watch};
use tokio::time::Sleep;

use crate::logs::{Throttle, chain};
use crate::nats::{Connection, NatsError, Phase, RETRY};
use crate::streams::{self, StreamError};

/// Why no session can be had, whatever the waiting.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server is not one that we can use.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is not one that we can use.
    #[error("prepare the streams")]
    Stream(#[source] StreamError),
    /// The client ended for good: another start begins anew.
    #[error("the NATS client gave up, because the server refused us; look at [nats] and at the server's users")]
    Refused,
}

/// Tells when a session begins and ends, and can be told that a stream is missing.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    table: Vec<StreamConfig>,
    ready: watch::Sender<Phase>,
    missing: Notify,
}

impl Session {
    /// A keeper of the streams in `table`; nothing happens until [`Session::keep`] runs.
    #[must_use]
    pub fn new(connection: Connection, table: Vec<StreamConfig>) -> Self {
        Self { connection, table, ready: watch::channel(Phase::Down).0, missing: Notify::new() }
    }

    /// `Up` while server and streams are good.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<Phase> {
        self.ready.subscribe()
    }

    /// The connection that the session lives on.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Somebody met a stream or a subject that is not there: end the session and begin another.
    pub fn stream_is_missing(&self) {
        self.missing.notify_one();
    }

    /// Keeps sessions until only an operator can help: returns a server or a stream that is not ours to use.
    pub async fn keep(&self) -> SessionError {
        let mut phase = self.connection.phase();
        let mut failures = Throttle::default();
        // The streams are not looked at before: a stream that goes missing again and again is no reason to ask faster.
        let mut due = retry();
        let mut current = *phase.borrow_and_update();
        let mut is_due = true;
        loop {
            match current {
                Phase::Down => {
                    self.ready.send_replace(Phase::Down);
                }
                Phase::Up(_) if is_due => {
                    due = retry();
                    is_due = false;
                    if let Err(error) = self.prepare(current, &mut failures).await {
                        return error;
                    }
                }
                Phase::Up(_) => {}
            }
            tokio::select! {
                changed = phase.changed() => {
                    if changed.is_err() {
                        return SessionError::Refused;
                    }
                    current = *phase.borrow_and_update();
                    is_due = true;
                }
                () = self.missing.notified() => {
                    self.ready.send_replace(Phase::Down);
                }
                () = &mut due, if self.is_unprepared(current) => is_due = true,
            }
        }
    }

    async fn prepare(&self, phase: Phase, failures: &mut Throttle<String>) -> Result<(), SessionError> {
        self.connection.verify_server().map_err(SessionError::Server)?;
        match streams::ensure(self.connection.context(), &self.table, self.connection.user()).await {
            Ok(()) => {
                let tries = failures.end() + 1;
                if tries > 1 {
                    tracing::info!(tries, "streams are ready");
                }
                self.ready.send_replace(phase);
                Ok(())
            }
            Err(error) if error.is_fatal() => Err(SessionError::Stream(error)),
            Err(error) => {
                let error = chain(&error);
                if let Some(tries) = failures.admits(error.clone()) {
                    tracing::warn!(tries, error, "streams are not ready, trying again");
                }
                Ok(())
            }
        }
    }

    fn is_unprepared(&self, phase: Phase) -> bool {
        phase != Phase::Down && *self.ready.borrow() != phase
    }
}

fn retry() -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(RETRY))
}
