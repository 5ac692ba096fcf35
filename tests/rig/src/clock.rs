//! The rig's one clock: how long something takes. Calendar time is the gateway's and the simulator's business.

use std::time::{Duration, Instant};

/// A point in time from which the rig measures.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts to measure.
    #[expect(clippy::disallowed_methods, reason = "this is the rig's clock.rs")]
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is left of `limit`, or `None` when it has been used up.
    #[must_use]
    pub fn left_of(&self, limit: Duration) -> Option<Duration> {
        limit.checked_sub(self.elapsed()).filter(|left| !left.is_zero())
    }
}
