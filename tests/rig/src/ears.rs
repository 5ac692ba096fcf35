//! Waiting that Ctrl-C and SIGTERM interrupt, and the runtime for what needs NATS.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The runtime of a run's own connections, and the signals that end it.
#[derive(Debug)]
pub struct Ears {
    interrupt: Signal,
    terminate: Signal,
    runtime: Runtime,
}

impl Ears {
    /// From now on Ctrl-C and SIGTERM end [`Ears::pass`], and not the process.
    ///
    /// # Errors
    /// The system has no more files.
    pub fn open() -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        let within = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(within);
        Ok(Self { interrupt, terminate, runtime })
    }

    /// Lets time pass: the length of something, or the pause between two looks.
    ///
    /// # Errors
    /// A signal came.
    pub fn pass(&mut self, length: Duration) -> anyhow::Result<()> {
        let Self { interrupt, terminate, runtime } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupt.recv() => bail!("interrupted"),
                _ = terminate.recv() => bail!("interrupted"),
                () = tokio::time::sleep(length) => Ok(()),
            }
        })
    }

    /// Runs what needs NATS.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
