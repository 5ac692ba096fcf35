//! Waiting that Ctrl-C and SIGTERM can interrupt, and the runtime for NATS connections.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The runtime of a run's own connections, and the signals that interrupt it. Clones share both.
#[derive(Clone, Debug)]
pub struct Wait {
    signals: Option<Rc<RefCell<[Signal; 2]>>>,
    runtime: Rc<Runtime>,
}

impl Wait {
    /// From now on Ctrl-C and SIGTERM interrupt [`Wait::sleep`] instead of ending the process.
    ///
    /// # Errors
    /// Too many files are open.
    pub fn interruptible() -> Result<Self> {
        let plain = Self::plain()?;
        let within = plain.runtime.enter();
        let signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        drop(within);
        Ok(Self { signals: Some(Rc::new(RefCell::new(signals))), ..plain })
    }

    /// Signals end the process as usual.
    ///
    /// # Errors
    /// Too many files are open.
    pub fn plain() -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        Ok(Self { signals: None, runtime: Rc::new(runtime) })
    }

    /// Lets time pass: the length of a phase, or the interval between two polls.
    ///
    /// # Errors
    /// A signal was received.
    pub fn sleep(&self, length: Duration) -> Result<()> {
        let Some(signals) = &self.signals else {
            self.block_on(async { tokio::time::sleep(length).await });
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

    /// Runs a future, for example one that needs NATS.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
