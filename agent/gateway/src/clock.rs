//! The only module that reads clocks.
//!
//! [`Clock`] maps CLOCK_BOOTTIME to the monotonic axis of `flow` and to UTC. On a gateway both are the machine's own.
//! The rig runs simulated time faster: then one real nanosecond is `speed` nanoseconds of the axis, and UTC is
//! simulated, counted from an epoch that every process of the run gets.
//!
//! Steps of the calendar must be tested, and tests must not set the machine's clock: `clock.step_file` names a file
//! with nanoseconds that are added to UTC, read again at each reading. Such a clock is not real: a device that is not
//! simulated is refused, as with a scaled one.
//!
//! Durations of the transport (acknowledgements, freshness, back-off) are real: [`Clock::transport`] scales them to the
//! axis, once, when the roles are set up.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use thermowell_flow::time::{HOUR_NS, Monotonic, Now, Utc};
use thermowell_wire::batch::ClockQuality;

use crate::config;

/// A scaled axis begins this many real nanoseconds before its epoch, so that it is not negative in a process that
/// starts before it.
const BEFORE_EPOCH_NS: i128 = HOUR_NS as i128;

/// Both clocks are read within this time, or read again: a process that is preempted between the two reads would stamp
/// late by that time, and see its calendar step.
const TOGETHER_NS: u64 = 20_000;
/// The most attempts; then the best pair is used.
const READ_MAX: u32 = 20;
#[derive(Clone, Debug)]
pub struct Clock {
    speed: u32,
    epoch: Option<config::Epoch>,
    assume_synced: bool,
    step_file: Option<PathBuf>,
}

impl Clock {
    #[must_use]
    pub fn new(config: &config::Clock) -> Self {
        let config::Clock { speed, epoch, assume_synced, step_file } = config.clone();
        Self { speed, epoch, assume_synced, step_file }
    }

    /// Whether it is the machine's own time. With any other clock only simulated boilers are accepted.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.speed == 1 && self.step_file.is_none()
    }

    /// How many times faster than real time the axis runs.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// One reading of the clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let now = self.unstepped();
        Now { utc: Utc(now.utc.0.saturating_add(self.step_ns())), ..now }
    }

    fn unstepped(&self) -> Now {
        match &self.epoch {
            None => {
                let (boottime, realtime) = together(boottime_ns, realtime_ns);
                Now { monotonic: Monotonic(boottime), utc: Utc(realtime), clock: self.host_quality() }
            }
            Some(epoch) => {
                let boottime = boottime_ns();
                let elapsed = i128::from(boottime) - i128::from(epoch.monotonic_ns);
                let axis = (elapsed + BEFORE_EPOCH_NS) * i128::from(self.speed);
                let utc = i128::from(epoch.utc_ns) + elapsed * i128::from(self.speed);
                Now {
                    monotonic: Monotonic(u64::try_from(axis.max(0)).unwrap_or(u64::MAX)),
                    utc: Utc(i64::try_from(utc).unwrap_or(i64::MAX)),
                    clock: ClockQuality::Synced,
                }
            }
        }
    }

    /// The offset in the step file; 0 without one.
    fn step_ns(&self) -> i64 {
        let text = self.step_file.as_deref().and_then(|path| fs::read_to_string(path).ok());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// The age of a published time in real seconds; negative if it is ahead of this clock.
    #[must_use]
    pub fn age_s(&self, unix_seconds: f64) -> f64 {
        (self.now().utc.unix_seconds() - unix_seconds) / f64::from(self.speed)
    }

    /// A real duration on the axis.
    #[must_use]
    pub fn transport(&self, real: Duration) -> Duration {
        real.saturating_mul(self.speed)
    }

    /// Waits until the axis reaches `at`; forever without one.
    pub async fn sleep_until(&self, at: Option<Monotonic>) {
        match at {
            Some(at) => tokio::time::sleep(at.since(self.now().monotonic) / self.speed.max(1)).await,
            None => std::future::pending().await,
        }
    }

    fn host_quality(&self) -> ClockQuality {
        if self.assume_synced || kernel_reports_synchronised() { ClockQuality::Synced } else { ClockQuality::Unsynced }
    }
}

/// The same moment on both clocks: the first pair of readings within [`TOGETHER_NS`], else the best.
fn together(monotonic: impl Fn() -> u64, calendar: impl Fn() -> i64) -> (u64, i64) {
    let read = || {
        let before = monotonic();
        let utc = calendar();
        let took = monotonic().saturating_sub(before);
        (took, before + took / 2, utc)
    };
    let mut best = read();
    for _ in 1..READ_MAX {
        if best.0 <= TOGETHER_NS {
            break;
        }
        let again = read();
        if again.0 < best.0 {
            best = again;
        }
    }
    (best.1, best.2)
}

/// Real Unix time in nanoseconds, whatever the speed: for comparison with the server's time stamps.
#[must_use]
pub fn realtime_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// Real Unix time in seconds, to the second: when a process began.
#[must_use]
pub fn realtime_s() -> f64 {
    i32::try_from(realtime_ns() / 1_000_000_000).map_or(0.0, f64::from)
}

/// The processor time of this process, user and system.
#[must_use]
pub fn process_cpu() -> Duration {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(cpu.tv_sec).unwrap_or(0), u32::try_from(cpu.tv_nsec).unwrap_or(0))
}

/// Real nanoseconds since the machine started, suspend included.
#[must_use]
pub fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let ns = now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec);
    u64::try_from(ns).unwrap_or(0)
}

/// Whether the kernel reports a synchronised clock (`adjtimex`; no safe crate has that call).
#[must_use]
#[expect(unsafe_code, reason = "the one system call that tells whether a time source disciplines the clock")]
pub fn kernel_reports_synchronised() -> bool {
    // SAFETY: `timex` is plain numbers for which zero is valid, and `modes == 0` makes the call read only.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut timex)
    };
    state >= 0 && state != libc::TIME_ERROR
}

/// The runtime's clock, for spans of real time within this process: tests can pause it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn runtime_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_axis_and_calendar_advance_together() {
        let epoch = config::Epoch { monotonic_ns: boottime_ns(), utc_ns: 1_767_744_000_000_000_000 };
        let clock = Clock { speed: 60, epoch: Some(epoch), assume_synced: false, step_file: None };
        let first = clock.now();
        let second = clock.now();
        let axis = i64::try_from(second.monotonic.0 - first.monotonic.0).unwrap();
        assert_eq!(axis, second.utc.0 - first.utc.0);
        assert_eq!(axis % 60, 0, "every real nanosecond is sixty");
        assert!(first.utc.0 >= 1_767_744_000_000_000_000);
    }

    /// Two interruptions of 300 ms, each between the two clocks; then none.
    #[test]
    fn preemption_between_the_reads_is_no_calendar_step() {
        use std::cell::Cell;
        let (now, left) = (Cell::new(5_000_000_000_u64), Cell::new(2));
        let tick = |by: u64| now.replace(now.get() + by);
        let monotonic = || tick(50);
        let calendar = || {
            if left.get() > 0 {
                left.set(left.get() - 1);
                tick(300_000_000);
            }
            i64::try_from(tick(50)).unwrap() + 1_000
        };
        let (boottime, realtime) = together(monotonic, calendar);
        let apart = realtime - i64::try_from(boottime).unwrap() - 1_000;
        assert!(apart.abs() <= 50, "{apart}");
        assert!(now.get() < 5_700_000_000, "the first good pair is used");
    }

    #[test]
    fn transport_durations_are_scaled_once() {
        let clock = Clock { speed: 60, epoch: None, assume_synced: true, step_file: None };
        assert_eq!(clock.transport(Duration::from_secs(2)), Duration::from_secs(120));
    }

    #[test]
    fn step_moves_the_calendar_only_and_clock_is_not_real() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step");
        let real = Clock { speed: 1, epoch: None, assume_synced: true, step_file: None };
        let stepped = Clock { step_file: Some(path.clone()), ..real.clone() };
        assert!(real.is_real() && !stepped.is_real(), "even with an empty file");
        let off = |stepped: &Clock| {
            let (real, stepped) = (real.now(), stepped.now());
            let went_on = i64::try_from(stepped.monotonic.since(real.monotonic).as_nanos()).unwrap();
            stepped.utc.0 - real.utc.0 - went_on
        };
        let hour = 3_600_000_000_000;
        for (text, step) in [("", 0), ("-3600000000000\n", -hour), ("soon", 0), ("3600000000000", hour)] {
            fs::write(&path, text).unwrap();
            assert!((off(&stepped) - step).abs() < 1_000_000_000, "{text:?}: {}", off(&stepped));
        }
    }
}
