//! Simulated time. This is the only module here that reads a clock.
//!
//! ```text
//! simulated = (CLOCK_BOOTTIME − epoch) × speed          0 at the epoch, undefined before it
//! UTC       = epoch UTC + simulated
//! ```
//! All processes of a rig get the same epoch, so they agree on the time.

use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};
use thermowell_wire::units::{self, HOUR_NS};

const SECOND_NS: u64 = units::SECOND_NS.unsigned_abs();

/// Converts real time to simulated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    epoch_ns: u64,
    epoch_utc_ns: i64,
    speed: u32,
}

impl Clock {
    /// A clock that runs `speed` times as fast as the real one from `epoch_monotonic_ns` (CLOCK_BOOTTIME) on, when UTC
    /// is `epoch_utc_ns`. Defaults: an epoch of now, with the true UTC at speed 1 and the start of the hour otherwise.
    #[must_use]
    pub fn new(speed: u32, epoch_monotonic_ns: Option<u64>, epoch_utc_ns: Option<i64>) -> Self {
        let now_ns = monotonic_ns();
        let epoch_ns = epoch_monotonic_ns.unwrap_or(now_ns);
        let speed = speed.max(1);
        let epoch_utc_ns = epoch_utc_ns.unwrap_or_else(|| {
            let until_epoch_ns = i64::try_from(i128::from(epoch_ns) - i128::from(now_ns)).unwrap_or(0);
            let utc_ns = utc_ns().saturating_add(until_epoch_ns);
            if speed == 1 { utc_ns } else { utc_ns - utc_ns.rem_euclid(HOUR_NS) }
        });
        Self { epoch_ns, epoch_utc_ns, speed }
    }

    /// Simulated nanoseconds since the epoch; None before it.
    #[must_use]
    pub fn now_ns(&self) -> Option<u64> {
        monotonic_ns().checked_sub(self.epoch_ns).map(|real_ns| real_ns.saturating_mul(u64::from(self.speed)))
    }

    /// Real nanoseconds of CLOCK_BOOTTIME, for what does not scale, such as flushing a file.
    #[must_use]
    pub fn real_ns(&self) -> u64 {
        monotonic_ns()
    }

    /// UTC at `simulated_ns`, in nanoseconds since 1970.
    #[must_use]
    pub fn utc_ns(&self, simulated_ns: u64) -> i64 {
        self.epoch_utc_ns.saturating_add(i64::try_from(simulated_ns).unwrap_or(i64::MAX))
    }

    /// Simulated seconds per real second.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.speed
    }
}

fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    // The time since boot is never negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * SECOND_NS + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "this is clock.rs")]
fn utc_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_starts_at_epoch_and_scales() {
        let now = monotonic_ns();
        assert_eq!(Clock::new(60, Some(now + 3_600 * SECOND_NS), None).now_ns(), None);
        let clock = Clock::new(60, Some(now - SECOND_NS), Some(5));
        let simulated = clock.now_ns().expect("the epoch has passed");
        assert!((60 * SECOND_NS..120 * SECOND_NS).contains(&simulated), "{simulated}");
        assert_eq!(clock.utc_ns(7), 12);
        assert_eq!(Clock::new(2, None, None).utc_ns(0) % HOUR_NS, 0);
    }
}
