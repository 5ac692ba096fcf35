//! The rig's clocks: how long something takes, and where a run lies in time, which is handed to every process of it.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME in nanoseconds: the axis that every process of a run shares.
#[must_use]
pub fn boottime_ns() -> i64 {
    ns(ClockId::Boottime)
}

/// True UTC, nanoseconds since 1970.
#[must_use]
pub fn realtime_ns() -> i64 {
    ns(ClockId::Realtime)
}

/// What this thread has used of a processor: waiting for one does not count.
#[must_use]
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(u64::try_from(ns(ClockId::ThreadCPUTime)).unwrap_or(0))
}

fn ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

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
