//! Waiting that Ctrl-C and SIGTERM can interrupt, and the runtime for what needs NATS.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The runtime of a run's own connections, and the signals that end it. Clones share both.
#[derive(Clone, Debug)]
pub struct Ears {
    signals: Option<Rc<RefCell<[Signal; 2]>>>,
    runtime: Rc<Runtime>,
}

impl Ears {
    /// From now on Ctrl-C and SIGTERM end [`Ears::pass`], and not the process.
    ///
    /// # Errors
    /// The system has no more files.
    pub fn open() -> Result<Self> {
        let deaf = Self::deaf()?;
        let within = deaf.runtime.enter();
        let signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        drop(within);
        Ok(Self { signals: Some(Rc::new(RefCell::new(signals))), ..deaf })
    }

    /// Signals end the process, as is usual.
    ///
    /// # Errors
    /// The system has no more files.
    pub fn deaf() -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        Ok(Self { signals: None, runtime: Rc::new(runtime) })
    }

    /// Lets time pass: the length of something, or the pause between two looks.
    ///
    /// # Errors
    /// A signal came.
    pub fn pass(&self, length: Duration) -> Result<()> {
        let Some(signals) = &self.signals else {
            self.wait_for(async { tokio::time::sleep(length).await });
            return Ok(());
        };
        let [interrupt, terminate] = &mut *signals.borrow_mut();
        self.runtime.block_on(async {
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
