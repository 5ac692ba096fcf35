//! Ctrl-C, SIGTERM and SIGHUP: each asks the demo to stop, close the books and print the ledger.
//!
//! The handlers are installed before anything is started, so that an early signal ends the run in order as well. The
//! children are in process groups of their own and do not see a terminal's Ctrl-C.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a run.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

/// SIGCONT: the demo goes on after Ctrl-Z.
///
/// # Panics
/// Outside of a tokio runtime with I/O enabled.
pub(super) fn continuations() -> io::Result<Signal> {
    signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))
}

impl Interrupts {
    /// Installs the handlers, for the rest of the process's life.
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

    /// Whether a signal is waiting.
    pub(super) async fn pending(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.next() => true,
            // The runtime looks at its signals between two yields.
            () = async { tokio::task::yield_now().await; tokio::task::yield_now().await } => false,
        }
    }
}
