//! Shutdown requests: by a signal in the binary, by a trigger in tests and between roles.
//!
//! A request is a level, not an edge: a late receiver still sees it, and it is never withdrawn.
//!
//! SIGHUP is a request too. A terminal that closes sends it, and a role that kept running would hold the ports without
//! being visible. Under systemd it is the old way to request a reload: the unit restarts the role, which reads the
//! configuration again. If it was ignored at the start (`nohup`), it stays ignored.

use std::fs;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The receiver of a shutdown request. Clones see the same request.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requests: watch::Receiver<bool>,
}

/// The sender of a shutdown request. Dropping it counts as a request too, so that no receiver waits forever.
#[derive(Clone, Debug)]
pub struct Trigger {
    requests: watch::Sender<bool>,
}

/// A signal handler cannot be installed.
#[derive(Debug, thiserror::Error)]
#[error("listen for {signal}")]
pub struct SignalsUnavailable {
    signal: &'static str,
    #[source]
    source: io::Error,
}

impl Shutdown {
    /// A shutdown that is requested by SIGTERM, SIGINT or SIGHUP.
    ///
    /// Further signals change nothing: the caller bounds the drain.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn on_signals() -> Result<Self, SignalsUnavailable> {
        let listen = |kind, name| signal(kind).map_err(|source| SignalsUnavailable { signal: name, source });
        let mut terminate = listen(SignalKind::terminate(), "SIGTERM")?;
        let mut interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
        let mut hangup = match is_ignored(SignalKind::hangup()) {
            true => None,
            false => Some(listen(SignalKind::hangup(), "SIGHUP")?),
        };
        let (trigger, shutdown) = Self::manual();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = or_never(&mut hangup) => "SIGHUP",
            };
            tracing::info!(signal = name, "shutdown requested");
            trigger.request();
        });
        Ok(shutdown)
    }

    /// A shutdown that is requested by the trigger: for tests, and to stop the roles of one process in order.
    #[must_use]
    pub fn manual() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger { requests: sender }, Self { requests: receiver })
    }

    /// Waits until the shutdown is requested. Safe to cancel and to call again.
    pub async fn requested(&mut self) {
        // An error means that every trigger is dropped, which is a request too.
        drop(self.requests.wait_for(|requested| *requested).await);
    }
}

/// Whether the process ignores this signal, from /proc: a mask in hexadecimal with signal 1 in its lowest bit.
#[must_use]
pub fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

async fn or_never(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

impl Trigger {
    /// Requests the shutdown. Idempotent.
    pub fn request(&self) {
        self.requests.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_a_request_early_or_late() {
        let (trigger, mut early) = Shutdown::manual();
        assert!(!*early.requests.borrow());
        let waiting = tokio::spawn({
            let mut early = early.clone();
            async move { early.requested().await }
        });
        trigger.request();
        waiting.await.unwrap();
        let mut late = early.clone();
        late.requested().await;
        late.requested().await;
        early.requested().await;
    }

    #[tokio::test]
    async fn dropped_trigger_is_a_request() {
        let (trigger, mut shutdown) = Shutdown::manual();
        drop(trigger);
        shutdown.requested().await;
    }
}
