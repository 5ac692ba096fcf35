//! What the service manager is told: ready, alive, stopping. Nothing where nobody listens.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// The watchdog's feeder; it ends when this is dropped.
#[derive(Debug)]
pub struct Watchdog {
    feeder: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Feeds the watchdog that the service manager set up, if it did, at half its time: the proof that this process's
    /// one thread still turns.
    #[must_use]
    pub fn feed() -> Self {
        let feeder = sd_notify::watchdog_enabled().map(|limit| tokio::spawn(feed_every(limit / 2)));
        Self { feeder }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(feeder) = &self.feeder {
            feeder.abort();
        }
    }
}

async fn feed_every(pause: Duration) {
    loop {
        report(sd_notify::notify(&[NotifyState::Watchdog]), "watchdog");
        tokio::time::sleep(pause).await;
    }
}

/// The roles run.
pub fn ready() {
    report(sd_notify::notify(&[NotifyState::Ready]), "ready");
}

/// The roles drain.
pub fn stopping() {
    report(sd_notify::notify(&[NotifyState::Stopping]), "stopping");
}

fn report(told: io::Result<()>, what: &'static str) {
    if let Err(error) = told {
        tracing::warn!(what, %error, "the service manager was not told");
    }
}
