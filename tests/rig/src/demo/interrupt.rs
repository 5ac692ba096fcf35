//! Ctrl-C, SIGTERM and SIGHUP: each makes the demo stop in order and print the ledger.
//!
//! The handlers are installed before the first process starts, so that an early signal also ends the run in order.
//! The children have their own process groups and do not receive a terminal's Ctrl-C.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a run.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

/// SIGCONT: the demo continues after Ctrl-Z.
///
/// # Panics
/// Outside of a tokio runtime with I/O enabled.
pub(super) fn continuations() -> io::Result<Signal> {
    signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))
}

impl Interrupts {
    /// Installs the handlers for the rest of the process's life.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub(super) fn install() -> io::Result<Self> {
        let [interrupt, terminate, hang_up] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hang_up: hang_up? })
    }

    /// Waits for the next signal. Cancel safe: a signal that arrives between two calls is returned by the second.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }

    /// Whether a signal is pending.
    pub(super) async fn pending(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.next() => true,
            // The runtime polls its signals between two yields.
            () = async { tokio::task::yield_now().await; tokio::task::yield_now().await } => false,
        }
    }
}
