//! The rig's clocks: stopwatches, waiting for a level, and the time axis that all processes of a run share.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Interval between two polls of a level.
const LOOK: Duration = Duration::from_millis(20);

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

/// CPU time of this thread, which does not include waiting.
#[must_use]
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(u64::try_from(ns(ClockId::ThreadCPUTime)).unwrap_or(0))
}

fn ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// A stopwatch.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
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

    /// The rest of `limit`; `None` if it has passed.
    #[must_use]
    pub fn left_of(&self, limit: Duration) -> Option<Duration> {
        limit.checked_sub(self.elapsed()).filter(|left| !left.is_zero())
    }
}

/// Polls `look` until it returns a value; `None` if there is none within `limit`.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let watch = Stopwatch::start();
    loop {
        let left = watch.left_of(limit);
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(LOOK.min(left?));
    }
}
