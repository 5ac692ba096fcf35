//! The log of an outage of the server: the disconnect, attempts 1, 2, 4, 8 … of each cause, and the reconnect with the
//! duration.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::Server;

use crate::clock::boottime_ns;
use crate::logs::{self, Throttle};

/// The log state of one connection.
#[derive(Debug)]
pub(super) struct Outage {
    url: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when there is no connection, CLOCK_BOOTTIME; at first the start of the process.
    since_ns: Option<u64>,
    tries: Throttle<String>,
    /// Other errors that the client reports while it is connected.
    reports: Throttle<String>,
}

impl Outage {
    pub(super) fn new(url: &str) -> Self {
        let state = State { since_ns: Some(boottime_ns()), tries: Throttle::default(), reports: Throttle::default() };
        Self { url: url.to_owned(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection has ended.
    pub(super) fn begin(&self) {
        self.state().since_ns = Some(boottime_ns());
        tracing::warn!(url = self.url, "disconnected from NATS, reconnecting; samples and events are held");
    }

    /// Called before each attempt to connect, with the error of the last attempt for each address.
    pub(super) fn tried(&self, servers: &[Server]) {
        let causes: HashSet<&str> = servers.iter().filter_map(|server| server.last_error.as_deref()).collect();
        for cause in causes {
            self.failed(cause);
        }
    }

    fn failed(&self, cause: &str) {
        let mut state = self.state();
        if let Some(tries) = state.tries.admits(cause.to_owned()) {
            tracing::warn!(url = self.url, tries, cause, "no connection to NATS, retrying");
        }
    }

    /// A connection is established.
    pub(super) fn end(&self, connection: u64) {
        let mut state = self.state();
        let tries = state.tries.end() + 1;
        state.reports.end();
        let away = state.since_ns.take().map(logs::elapsed).unwrap_or_default();
        tracing::info!(connection, url = self.url, away, tries, "connected to NATS");
    }

    /// Other errors that the client reports. Without a connection these only repeat failed attempts without their
    /// cause, and are not logged.
    pub(super) fn report(&self, text: String) {
        let mut state = self.state();
        if state.since_ns.is_none()
            && let Some(times) = state.reports.admits(text.clone())
        {
            tracing::warn!(url = self.url, report = text, times, "NATS connection");
        }
    }
}
