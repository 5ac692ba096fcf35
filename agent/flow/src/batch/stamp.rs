//! When a slot was taken, on this machine's monotonic clock.
//!
//! Slot n is at n × period of the device clock, so one number places a whole boot: the offset between the two clocks.
//! Each `Pong`, `Status` and `Hello` carries the device's clock and gives one observation that is late by its
//! transmission, never early. So the estimate is a leaky minimum,
//!
//! ```text
//! estimate = min(estimate + 100 ppm · dt, received − device_us)
//! ```
//!
//! where the leak lets it follow an oscillator that is slower than ours (±50 ppm is usual), and the output follows the
//! estimate at no more than 500 ppm, so that stamps never go back within a boot. Samples are **never** observations: a
//! backlog after a `Resume` would look like a delay of minutes and stay.

use core::time::Duration;

use thermowell_wire::Boot;

use crate::time::{DeviceTime, Monotonic};

/// How fast the estimate rises by itself: twice the worst usual difference between two oscillators.
const LEAK_PPM: i64 = 100;
/// How fast the output follows the estimate: half a millisecond of overlap between batches of a second.
const SLEW_PPM: i64 = 500;
/// Answered pings before anything is stamped.
const PONGS_MIN: u32 = 3;

/// Bounds of the stamper, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Farther off than this is not followed but jumped to …
    pub off: Duration,
    /// … when it lasts this long.
    pub off_for: Duration,
}

/// The clock of one boot, seen from here.
#[derive(Clone, Debug)]
pub struct Stamper {
    timing: Timing,
    boot: Boot,
    period_ns: i64,
    /// Monotonic nanoseconds minus device nanoseconds.
    estimate: Option<i64>,
    output: i64,
    at: Monotonic,
    pongs: u32,
    off_since: Option<Monotonic>,
}

impl Stamper {
    /// A stamper that has heard nothing yet.
    #[must_use]
    pub fn new(timing: Timing, boot: Boot, period_ns: u32) -> Self {
        Self {
            timing,
            boot,
            period_ns: i64::from(period_ns),
            estimate: None,
            output: 0,
            at: Monotonic::default(),
            pongs: 0,
            off_since: None,
        }
    }

    /// The boot that it stamps.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// Whether enough was heard to stamp.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.pongs >= PONGS_MIN
    }

    /// A `Pong` came in. Returns the jump, where the stamps jump.
    pub fn pong(&mut self, received: Monotonic, device: DeviceTime) -> Option<i64> {
        let jump = self.observe(received, device);
        self.pongs = self.pongs.saturating_add(1);
        jump
    }

    /// A message with the device's clock came in. Returns the jump in nanoseconds, where the stamps jump.
    pub fn observe(&mut self, received: Monotonic, device: DeviceTime) -> Option<i64> {
        let observed = nanoseconds(received).saturating_sub(device_ns(device));
        let dt = i64::try_from(received.since(self.at).as_nanos()).unwrap_or(i64::MAX);
        self.at = received;
        let estimate = match self.estimate {
            Some(before) => observed.min(before.saturating_add(ppm(dt, LEAK_PPM))),
            None => observed,
        };
        self.estimate = Some(estimate);
        if !self.is_ready() {
            // Nothing is stamped yet: no stamp can go back.
            self.output = estimate;
            return None;
        }
        let limit = ppm(dt, SLEW_PPM);
        self.output += (estimate - self.output).clamp(-limit, limit);
        self.jump(received, estimate - self.output)
    }

    fn jump(&mut self, now: Monotonic, off: i64) -> Option<i64> {
        if u128::from(off.unsigned_abs()) <= self.timing.off.as_nanos() {
            self.off_since = None;
            return None;
        }
        let since = *self.off_since.get_or_insert(now);
        if now.since(since) < self.timing.off_for {
            return None;
        }
        self.off_since = None;
        self.output += off;
        Some(off)
    }

    /// When slot `seq` was taken, in monotonic nanoseconds; none before anything was heard.
    #[must_use]
    pub fn place(&self, seq: u64) -> Option<i64> {
        self.estimate?;
        let into = i64::try_from(seq).ok()?.checked_mul(self.period_ns)?;
        self.output.checked_add(into)
    }

    /// The device's clock at `now`.
    #[must_use]
    pub fn device_time(&self, now: Monotonic) -> Option<DeviceTime> {
        self.estimate?;
        let ns = nanoseconds(now).checked_sub(self.output)?;
        u64::try_from(ns / 1_000).ok().map(DeviceTime)
    }

    /// Slot `seq` was moved up to `place`, the stored end: later slots follow, and slew back from there. Farther than
    /// what is followed, the slot is one of long ago, when the clocks stood otherwise.
    pub fn lift(&mut self, seq: u64, place: i64) {
        let Some(here) = self.place(seq) else { return };
        let by = place.saturating_sub(here).max(0);
        if u128::from(by.unsigned_abs()) <= self.timing.off.as_nanos() {
            self.output += by;
        }
    }
}

fn nanoseconds(at: Monotonic) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn device_ns(at: DeviceTime) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// `parts` millionths of `ns`.
fn ppm(ns: i64, parts: i64) -> i64 {
    (ns / 1_000).saturating_mul(parts) / 1_000
}
