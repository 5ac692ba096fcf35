//! What the log has of a server that is away: that it is gone, the tries 1, 2, 4, 8 … of each cause to reach it, and
//! that it is back, after how long.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::Server;

use crate::clock::boottime_ns;
use crate::logs::{self, Throttle};

/// The way to the server, as the log has it.
#[derive(Debug)]
pub(super) struct Outage {
    url: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The server is away since then; from the start of the process on.
    since_ns: Option<u64>,
    tries: Throttle<String>,
    /// What else the client reports while it is connected.
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

    /// A connection has ended.
    pub(super) fn begin(&self) {
        self.state().since_ns = Some(boottime_ns());
        tracing::warn!(url = self.url, "disconnected from NATS, trying again; what is published is held");
    }

    /// Before each try to connect: what came of the last one, of each address.
    pub(super) fn tried(&self, servers: &[Server]) {
        let causes: HashSet<&str> = servers.iter().filter_map(|server| server.last_error.as_deref()).collect();
        for cause in causes {
            self.failed(cause);
        }
    }

    fn failed(&self, cause: &str) {
        let mut state = self.state();
        if let Some(tries) = state.tries.admits(cause.to_owned()) {
            tracing::warn!(url = self.url, tries, cause, "no connection to NATS, trying again");
        }
    }

    /// A connection stands.
    pub(super) fn end(&self, connection: u64) {
        let mut state = self.state();
        let tries = state.tries.end() + 1;
        state.reports.end();
        let away = state.since_ns.take().map(logs::elapsed).unwrap_or_default();
        tracing::info!(connection, url = self.url, away, tries, "connected to NATS");
    }

    /// What the client reports apart from the state of the connection. While it is away, that is each failed try once
    /// more, without its cause.
    pub(super) fn report(&self, text: String) {
        let mut state = self.state();
        if state.since_ns.is_none()
            && let Some(times) = state.reports.admits(text.clone())
        {
            tracing::warn!(url = self.url, report = text, times, "NATS connection");
        }
    }
}
