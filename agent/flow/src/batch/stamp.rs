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
//!
//! A `Pong` says more, because we know when we asked. The device's clock was read between the question and the answer,
//! so the answer spent on the line what its bytes take, and never more than half the round trip: that much is taken
//! off, or every stamp would be late by it. A quick round trip shows that what was heard is good, which is when
//! stamping begins. And where even the question lies behind the output, the output is wrong, however late answers are.
//!
//! ```text
//!            Pong, Status, Hello            quick Pong, or enough of them
//!  ignorant ────────────────────▶ listening ────────────────────────────▶ ready ──┐ slewed; off for 10 s: a jump
//!     ▲                                                                    │  ▲   │
//!     └──────────────────────────── nothing heard for 10 s ────────────────┘  └───┘
//! ```
//!
//! A silence that long (a suspend, a pulled cable, a stopped process) ends what was known: oscillators have drifted,
//! and what comes first has lain in a buffer, nobody knows how long.

use core::time::Duration;

use thermowell_wire::Boot;

use crate::serial::QUICK_PINGS;
use crate::time::{DeviceTime, Monotonic};

/// How fast the estimate rises by itself: twice the worst usual difference between two oscillators.
const LEAK_PPM: i64 = 100;
/// How fast the output follows the estimate: half a millisecond of overlap between batches of a second.
const SLEW_PPM: i64 = 500;
/// Answered pings before anything is stamped …
const PONGS_MIN: u32 = 3;
/// … and when none of them was quick, so many: their minimum is as good as it gets on this line.
const PONGS_ENOUGH: u32 = QUICK_PINGS;
/// A round trip is quick that takes at most this part of what is not followed but jumped to: 5 ms of 20.
const QUICK_PART: u32 = 4;

/// Bounds of the stamper, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Farther off than this is not followed but jumped to …
    pub off: Duration,
    /// … when it lasts this long. Without any observation for this long, nothing is known any more.
    pub off_for: Duration,
    /// What one byte takes on the line.
    pub byte: Duration,
}

/// An answered ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When we asked.
    pub asked: Monotonic,
    /// When the answer was read.
    pub received: Monotonic,
    /// The device's clock in between.
    pub device: DeviceTime,
    /// Bytes of the answer's frame.
    pub length: usize,
}

/// The clock of one boot, seen from here.
#[derive(Clone, Debug)]
pub struct Stamper {
    timing: Timing,
    boot: Boot,
    period_ns: u32,
    /// Listening since.
    since: Monotonic,
    /// Monotonic nanoseconds minus device nanoseconds.
    estimate: Option<i64>,
    output: i64,
    at: Monotonic,
    pongs: u32,
    /// The quickest round trip.
    quickest: Duration,
    /// The estimate is far from the output, since then.
    off_since: Option<Monotonic>,
    /// Even the questions lie far behind the output: since then, and the least that was observed.
    behind: Option<(Monotonic, i64)>,
}

impl Stamper {
    /// A stamper that has heard nothing yet.
    #[must_use]
    pub fn new(timing: Timing, boot: Boot, period_ns: u32, now: Monotonic) -> Self {
        Self {
            timing,
            boot,
            period_ns,
            since: now,
            estimate: None,
            output: 0,
            at: now,
            pongs: 0,
            quickest: Duration::MAX,
            off_since: None,
            behind: None,
        }
    }

    /// The boot that it stamps.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// Since when it has been listening.
    #[must_use]
    pub fn since(&self) -> Monotonic {
        self.since
    }

    /// Whether enough was heard to stamp.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let quick = self.quickest <= self.timing.off / QUICK_PART;
        self.pongs >= if quick { PONGS_MIN } else { PONGS_ENOUGH }
    }

    /// A `Pong` came in. Returns the jump in nanoseconds, where the stamps jump.
    pub fn pong(&mut self, pong: Answered) -> Option<i64> {
        let Answered { asked, received, device, length } = pong;
        let round = received.since(asked);
        let bytes = u32::try_from(length).unwrap_or(u32::MAX);
        let on_line = self.timing.byte.saturating_mul(bytes).min(round / 2);
        let observed = offset(received, device).saturating_sub(whole_ns(on_line));
        let jump = self.hear(received, observed);
        let jump = self.catch_up(received, offset(asked, device), observed).or(jump);
        self.pongs = self.pongs.saturating_add(1);
        self.quickest = self.quickest.min(round);
        jump
    }

    /// A message with the device's clock came in. Returns the jump in nanoseconds, where the stamps jump.
    pub fn observe(&mut self, received: Monotonic, device: DeviceTime) -> Option<i64> {
        self.hear(received, offset(received, device))
    }

    fn hear(&mut self, received: Monotonic, observed: i64) -> Option<i64> {
        let silence = received.since(self.at);
        if silence > self.timing.off_for && self.estimate.is_some() {
            *self = Self::new(self.timing, self.boot, self.period_ns, received);
        }
        self.at = received;
        let dt = whole_ns(silence);
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
        if off.saturating_abs() <= whole_ns(self.timing.off) {
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

    /// The device's clock lost time: the estimate would rise to it in an hour.
    fn catch_up(&mut self, now: Monotonic, least: i64, observed: i64) -> Option<i64> {
        if !self.is_ready() || least.saturating_sub(self.output) <= whole_ns(self.timing.off) {
            self.behind = None;
            return None;
        }
        let (since, lowest) = *self.behind.get_or_insert((now, observed));
        let lowest = lowest.min(observed);
        self.behind = Some((since, lowest));
        if now.since(since) < self.timing.off_for {
            return None;
        }
        let off = lowest - self.output;
        (self.behind, self.estimate, self.output) = (None, Some(lowest), lowest);
        Some(off)
    }

    /// When slot `seq` was taken, in monotonic nanoseconds; none before anything was heard.
    #[must_use]
    pub fn place(&self, seq: u64) -> Option<i64> {
        self.estimate?;
        let into = i64::try_from(seq).ok()?.checked_mul(i64::from(self.period_ns))?;
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
        if by <= whole_ns(self.timing.off) {
            self.output += by;
        }
    }
}

/// What one byte takes on a line of `baud`: ten bits. It stands for the boiler's side, so no speed stretches it.
#[must_use]
pub fn byte_at(baud: u32) -> Duration {
    Duration::from_nanos(10_000_000_000 / u64::from(baud.max(1)))
}

fn nanoseconds(at: Monotonic) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn whole_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Monotonic nanoseconds minus device nanoseconds.
fn offset(at: Monotonic, device: DeviceTime) -> i64 {
    let device_ns = i64::try_from(device.0).unwrap_or(i64::MAX).saturating_mul(1_000);
    nanoseconds(at).saturating_sub(device_ns)
}

/// `parts` millionths of `ns`.
fn ppm(ns: i64, parts: i64) -> i64 {
    (ns / 1_000).saturating_mul(parts) / 1_000
}
