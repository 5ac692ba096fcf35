//! Notifications to the service manager: ready, watchdog, stopping. Does nothing without one.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// The task that feeds the watchdog; it ends when this is dropped.
#[derive(Debug)]
pub struct Watchdog {
    feeder: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Feeds the service manager's watchdog, if it set one up, at half its time-out: proof that this process's only
    /// thread still runs tasks.
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

/// Notifies that the roles run.
pub fn ready() {
    report(sd_notify::notify(&[NotifyState::Ready]), "ready");
}

/// Notifies that the roles drain.
pub fn stopping() {
    report(sd_notify::notify(&[NotifyState::Stopping]), "stopping");
}

fn report(sent: io::Result<()>, what: &'static str) {
    if let Err(error) = sent {
        tracing::warn!(what, %error, "could not notify the service manager");
    }
}
