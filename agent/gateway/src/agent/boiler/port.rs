//! The port in the boiler's task: opened, read, lost, and waited for with a back-off.
//!
//! ```text
//!            ┌──────────── due ────────────┐
//!            ▼                             │
//! Waiting ─ open ─ fails ─▶ pause × 2 ─────┤  20 ms to 1 s
//!            │                             │
//!          opens ── bytes ─▶ pause = 20 ms │
//!            └───── lost ──────────────────┘
//! ```
//! The next try has a deadline. What else happens meanwhile, such as a lease or a status, does not move it.
//!
//! A port that opens and is lost again without one byte counts as a failed try, in the pause and in the log.

use std::io;
use std::mem::{Discriminant, discriminant};
use std::pin::Pin;
use std::time::Duration;

use thermowell_flow::agent::Input;
use tokio::time::Sleep;

use super::Boiler;
use crate::clock::boottime_ns;
use crate::logs::{Throttle, chain, elapsed};
use crate::serial::{OpenError, Port, holder};

/// The first and the longest pause between two attempts to open a port.
const REOPEN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The wait for a port.
pub(super) struct Waiting {
    /// The next try. None while the port is open.
    pub(super) due: Option<Pin<Box<Sleep>>>,
    pause: Duration,
    failures: Throttle<Discriminant<OpenError>>,
    /// The port opened so often since it last gave a byte.
    silent_opens: u32,
    /// The port is missing since then.
    since_ns: u64,
}

impl Waiting {
    /// For a port that was not tried yet.
    pub(super) fn new() -> Self {
        let due = Some(Box::pin(tokio::time::sleep(Duration::ZERO)));
        Self { due, pause: Duration::ZERO, failures: Throttle::default(), silent_opens: 0, since_ns: boottime_ns() }
    }

    fn again(&mut self) {
        self.pause = (self.pause * 2).clamp(REOPEN.0, REOPEN.1);
        self.due = Some(Box::pin(tokio::time::sleep(self.pause)));
    }

    /// Takes a failed try. How many there were, where the log has it: the first of each cause, the second, the fourth
    /// and so on.
    fn failed(&mut self, error: &OpenError) -> Option<u32> {
        self.again();
        self.failures.admits(discriminant(error))
    }

    /// The port is open, at this try; none where the log does not have it.
    fn opened(&mut self) -> Option<u32> {
        self.due = None;
        self.silent_opens = self.silent_opens.saturating_add(1);
        let tries = self.failures.end() + 1;
        self.silent_opens.is_power_of_two().then_some(tries)
    }

    fn heard(&mut self) {
        (self.pause, self.silent_opens) = (Duration::ZERO, 0);
    }

    /// The port is gone; whether the log has it.
    fn lost(&mut self) -> bool {
        self.again();
        self.since_ns = boottime_ns();
        self.silent_opens == 0 || self.silent_opens.is_power_of_two()
    }
}

impl Boiler {
    pub(super) fn read(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        let cause = match read {
            Ok(0) => "unplugged".to_owned(),
            Ok(count) => {
                self.waiting.heard();
                return self.step(Input::Bytes(&buffer[..count]));
            }
            Err(error) => error.to_string(),
        };
        if self.close() {
            let port = self.config.port.display();
            tracing::warn!(boiler = %self.config.id, %port, cause, "serial port lost");
        }
    }

    /// Whether the log has it.
    pub(super) fn close(&mut self) -> bool {
        if self.port.take().is_none() {
            return false;
        }
        let is_news = self.waiting.lost();
        self.step(Input::PortClosed);
        is_news
    }

    pub(super) fn open(&mut self) {
        match Port::open(&self.config, &self.ports) {
            Ok(port) => {
                if let Some(tries) = self.waiting.opened() {
                    let (port, waited) = (self.config.port.display(), elapsed(self.waiting.since_ns));
                    tracing::info!(boiler = %self.config.id, %port, tries, waited, "serial port open");
                }
                self.port = Some(port);
                self.step(Input::PortOpened);
            }
            Err(error) => {
                if let Some(tries) = self.waiting.failed(&error) {
                    self.complain(tries, &error);
                }
            }
        }
    }

    fn complain(&self, tries: u32, error: &OpenError) {
        let (boiler, reason) = (self.config.id.clone(), chain(error));
        match error {
            OpenError::InUse { path } => {
                let path = path.clone();
                // The search takes its time, and this is the thread of all boilers.
                tokio::task::spawn_blocking(move || {
                    let error = format!("{reason} by {}", holder(&path));
                    tracing::warn!(%boiler, tries, error, "serial port not open, waiting for it");
                });
            }
            OpenError::Open { .. } | OpenError::Shared { .. } => {
                tracing::warn!(%boiler, tries, error = reason, "serial port not open, waiting for it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::path::PathBuf;

    use super::super::or_never;
    use super::*;

    fn absent() -> OpenError {
        OpenError::Open { path: PathBuf::from("/dev/absent"), source: io::ErrorKind::NotFound.into() }
    }

    fn in_use() -> OpenError {
        OpenError::InUse { path: PathBuf::from("/dev/absent") }
    }

    #[tokio::test(start_paused = true)]
    async fn other_wake_ups_do_not_put_off_the_next_try() {
        let mut waiting = Waiting::new();
        for _ in 0..10 {
            waiting.failed(&absent());
        }
        assert_eq!(waiting.pause, REOPEN.1);
        let mut wakes = 0;
        loop {
            tokio::select! {
                () = or_never(&mut waiting.due) => break,
                () = tokio::time::sleep(Duration::from_millis(300)) => wakes += 1,
            }
            assert!(wakes < 10, "the try is put off");
        }
        assert_eq!(wakes, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_port_has_no_next_try_until_it_is_lost() {
        let mut waiting = Waiting::new();
        or_never(&mut waiting.due).await;
        waiting.opened();
        let idle = async {
            or_never(&mut waiting.due).await;
            pending::<()>().await;
        };
        assert!(tokio::time::timeout(Duration::from_mins(1), idle).await.is_err());
        waiting.lost();
        or_never(&mut waiting.due).await;
    }

    #[tokio::test(start_paused = true)]
    async fn failed_tries_are_logged_by_powers_of_two_for_each_cause() {
        let mut waiting = Waiting::new();
        let logged = (1..=100).filter_map(|_| waiting.failed(&absent())).count();
        assert_eq!(logged, 7);
        assert_eq!(waiting.failed(&in_use()), Some(101), "another cause is news");
        assert_eq!(waiting.failed(&absent()), None, "the one before goes on where it was");
        assert_eq!(waiting.opened(), Some(103), "and so is the end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_flaps_without_a_byte_is_throttled() {
        let mut waiting = Waiting::new();
        let logged = (1..=100).filter(|_| waiting.opened().is_some() | waiting.lost()).count();
        assert_eq!(logged, 7);
        assert_eq!(waiting.pause, REOPEN.1);
        waiting.heard();
        assert!(waiting.lost(), "a port that was heard is news");
        assert_eq!(waiting.pause, REOPEN.0);
        assert_eq!(waiting.opened(), Some(1));
    }
}
