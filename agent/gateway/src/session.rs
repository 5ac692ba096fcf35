//! A session: the time between two disconnects in which the server is verified and every stream exists.
//!
//! Roles work only inside a session. Each new one starts from what is stored on the server, never from memory: after a
//! crash of the server its streams may have lost their tails, or may be gone. Room and outdoor temperatures of sources
//! are an exception (`crate::ambient`): they are no part of a count.

use std::pin::Pin;

use async_nats::jetstream::stream::Config as StreamConfig;
use tokio::sync::{Notify, watch};
use tokio::time::Sleep;

use crate::logs::{Throttle, chain};
use crate::nats::{Connection, NatsError, Phase, RETRY};
use crate::streams::{self, StreamError};

/// Why there can be no session; retrying does not help.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server is unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is unusable.
    #[error("prepare the streams")]
    Stream(#[source] StreamError),
    /// The client has stopped for good; a restart creates a new one.
    #[error("the NATS client gave up, because the server refused us; check [nats] and the server's users")]
    Refused,
}

/// Publishes the begin and end of sessions, and accepts reports of missing streams.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    table: Vec<StreamConfig>,
    ready: watch::Sender<Phase>,
    missing: Notify,
}

impl Session {
    /// A session that needs the streams in `table`; it starts with [`Session::keep`].
    #[must_use]
    pub fn new(connection: Connection, table: Vec<StreamConfig>) -> Self {
        Self { connection, table, ready: watch::channel(Phase::Down).0, missing: Notify::new() }
    }

    /// `Up` while server and streams are usable.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<Phase> {
        self.ready.subscribe()
    }

    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Reports that a stream or a subject is missing: ends the session and begins another.
    pub fn stream_is_missing(&self) {
        self.missing.notify_one();
    }

    /// Keeps sessions until only an operator can help; returns the error of the unusable server or stream.
    pub async fn keep(&self) -> SessionError {
        let mut phase = self.connection.phase();
        let (mut failures, mut outdated) = (Throttle::default(), Throttle::default());
        // The earliest next check of the streams: one that goes missing repeatedly must not be checked faster.
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
                    if let Err(error) = self.prepare(current, &mut failures, &mut outdated).await {
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

    async fn prepare(
        &self,
        phase: Phase,
        failures: &mut Throttle<String>,
        outdated: &mut Throttle<String>,
    ) -> Result<(), SessionError> {
        self.connection.verify_server().map_err(SessionError::Server)?;
        match streams::ensure(self.connection.context(), &self.table, self.connection.user()).await {
            Ok(found) => {
                for error in found.iter().map(|error| chain(error)) {
                    if let Some(times) = outdated.admits_each(error.clone()) {
                        tracing::warn!(times, error, "stream not updated");
                    }
                }
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
                    tracing::warn!(tries, error, "streams are not ready, retrying");
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
