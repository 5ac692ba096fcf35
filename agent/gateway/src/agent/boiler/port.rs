//! The serial port in the boiler's task: open, read, lose, reopen with back-off.
//!
//! ```text
//!            ┌──────────── due ────────────┐
//!            ▼                             │
//! Waiting ─ open ─ fails ─▶ pause × 2 ─────┤  20 ms to 1 s
//!            │                             │
//!          opens ── bytes ─▶ pause = 20 ms │
//!            └───── lost ──────────────────┘
//! ```
//! The next attempt has a deadline. Other events meanwhile, such as a lease or a status, do not move it.
//!
//! A port that opens and is lost again without one byte counts as a failed attempt, in the pause and in the log.

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

/// A port that flaps is not logged each time, unless so many attempts have failed: two seconds.
const LONG: u32 = 8;

/// Back-off and log throttling of a port.
pub(super) struct Waiting {
    /// The next attempt. None while the port is open.
    pub(super) due: Option<Pin<Box<Sleep>>>,
    pause: Duration,
    failures: Throttle<Discriminant<OpenError>>,
    /// How often the port opened since its last byte.
    silent_opens: u32,
    /// Losses after a byte.
    losses: Throttle<()>,
    /// The last loss is in the log, so failed attempts and the next opening are too.
    is_loss_logged: bool,
    /// Since when the port is missing, CLOCK_BOOTTIME.
    since_ns: u64,
}

impl Waiting {
    /// The first attempt is due at once.
    pub(super) fn new() -> Self {
        let due = Some(Box::pin(tokio::time::sleep(Duration::ZERO)));
        Self {
            due,
            pause: Duration::ZERO,
            failures: Throttle::default(),
            silent_opens: 0,
            losses: Throttle::default(),
            is_loss_logged: true,
            since_ns: boottime_ns(),
        }
    }

    fn back_off(&mut self) {
        self.pause = (self.pause * 2).clamp(REOPEN.0, REOPEN.1);
        self.due = Some(Box::pin(tokio::time::sleep(self.pause)));
    }

    /// Records a failed attempt. Returns the number of attempts if this one is to be logged: the first of each cause,
    /// the second, the fourth and so on.
    fn failed(&mut self, error: &OpenError) -> Option<u32> {
        self.back_off();
        let tries = self.failures.admits(discriminant(error))?;
        self.is_loss_logged |= tries >= LONG;
        self.is_loss_logged.then_some(tries)
    }

    /// Records that the port opened. Returns the number of attempts if this is to be logged.
    fn opened(&mut self) -> Option<u32> {
        self.due = None;
        self.silent_opens = self.silent_opens.saturating_add(1);
        let tries = self.failures.end() + 1;
        (self.is_loss_logged && self.silent_opens.is_power_of_two()).then_some(tries)
    }

    fn received(&mut self) {
        (self.pause, self.silent_opens) = (Duration::ZERO, 0);
    }

    /// Records that the port is gone. Returns whether this is to be logged.
    fn lost(&mut self) -> bool {
        self.back_off();
        self.since_ns = boottime_ns();
        self.is_loss_logged = match self.silent_opens {
            0 => self.losses.admits(()).is_some(),
            opens => opens.is_power_of_two(),
        };
        self.is_loss_logged
    }
}

impl Boiler {
    pub(super) fn read(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        let cause = match read {
            Ok(0) => "unplugged".to_owned(),
            Ok(count) => {
                self.waiting.received();
                return self.step(Input::Bytes(&buffer[..count]));
            }
            Err(error) => error.to_string(),
        };
        if self.close() {
            let port = self.config.port.display();
            tracing::warn!(boiler = %self.config.id, %port, cause, "serial port lost");
        }
    }

    /// Returns whether this is to be logged.
    fn close(&mut self) -> bool {
        if self.port.take().is_none() {
            return false;
        }
        self.counters.losses += 1;
        let is_logged = self.waiting.lost();
        self.step(Input::PortClosed);
        is_logged
    }

    pub(super) fn open(&mut self) {
        match Port::open(&self.config, &self.ports) {
            Ok(port) => {
                self.counters.opens += 1;
                if let Some(tries) = self.waiting.opened() {
                    let (port, waited) = (self.config.port.display(), elapsed(self.waiting.since_ns));
                    tracing::info!(boiler = %self.config.id, %port, tries, waited, "serial port open");
                }
                self.port = Some(port);
                self.step(Input::PortOpened);
            }
            Err(error) => {
                if let Some(tries) = self.waiting.failed(&error) {
                    self.warn(tries, &error);
                }
            }
        }
    }

    fn warn(&self, tries: u32, error: &OpenError) {
        let (boiler, reason) = (self.config.id.clone(), chain(error));
        match error {
            OpenError::InUse { path } => {
                let path = path.clone();
                // The search through /proc is slow, and this thread serves all boilers.
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
    async fn other_events_do_not_delay_the_next_attempt() {
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
            assert!(wakes < 10, "the attempt is delayed");
        }
        assert_eq!(wakes, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn open_port_has_no_attempt_due_until_it_is_lost() {
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
    async fn failures_are_logged_by_powers_of_two_per_cause() {
        let mut waiting = Waiting::new();
        let logged = (1..=100).filter_map(|_| waiting.failed(&absent())).count();
        assert_eq!(logged, 7);
        assert_eq!(waiting.failed(&in_use()), Some(101), "a new cause is logged");
        assert_eq!(waiting.failed(&absent()), None, "the count of the first cause continues");
        assert_eq!(waiting.opened(), Some(103), "success is logged");
    }

    #[tokio::test(start_paused = true)]
    async fn flapping_port_without_a_byte_is_throttled() {
        let mut waiting = Waiting::new();
        let logged = (1..=100).filter(|_| waiting.opened().is_some() | waiting.lost()).count();
        assert_eq!(logged, 7);
        assert_eq!(waiting.pause, REOPEN.1);
        waiting.received();
        assert!(waiting.lost(), "the loss is logged after a byte");
        assert_eq!(waiting.pause, REOPEN.0);
        assert_eq!(waiting.opened(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn flapping_port_with_bytes_is_throttled() {
        let mut waiting = Waiting::new();
        let flap = |waiting: &mut Waiting| {
            let opened = waiting.opened().is_some();
            waiting.received();
            let lost = waiting.lost();
            assert_eq!(waiting.failed(&absent()).is_some(), lost);
            (opened, lost)
        };
        let flaps: Vec<_> = (1..=100).map(|_| flap(&mut waiting)).collect();
        let counts = (flaps.iter().filter(|flap| flap.0).count(), flaps.iter().filter(|flap| flap.1).count());
        assert_eq!(counts, (8, 7), "the first opening, and 7 losses with the openings after them");
        let logged = (2..=100).filter_map(|_| waiting.failed(&absent())).count();
        assert_eq!((logged, waiting.opened()), (4, Some(101)), "attempts 8, 16, 32 and 64 of a long loss");
    }
}
