//! Waiting with open ears: whoever waits hears Ctrl-C, and what needs NATS runs here.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The runtime of a run's own connections, and its ears.
#[derive(Debug)]
pub struct Ears {
    interrupt: Signal,
    terminate: Signal,
    runtime: Runtime,
}

/// Somebody wants the run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl Ears {
    /// From now on Ctrl-C and SIGTERM are heard here.
    ///
    /// # Errors
    /// The system has no more files.
    pub fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(within);
        Ok(Self { interrupt, terminate, runtime })
    }

    /// Lets time pass: the length of something, or the pause between two looks.
    ///
    /// # Errors
    /// Somebody wants it to end.
    pub fn pass(&mut self, length: Duration) -> Result<(), Interrupted> {
        let Self { interrupt, terminate, runtime } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupt.recv() => Err(Interrupted),
                _ = terminate.recv() => Err(Interrupted),
                () = tokio::time::sleep(length) => Ok(()),
            }
        })
    }

    /// Runs what needs NATS.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
