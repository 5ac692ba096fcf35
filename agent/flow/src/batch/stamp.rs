//! When a slot was taken, on this machine's monotonic clock.
//!
//! Slot n is at n × period of the device clock, so one number places a whole boot: the offset between the two clocks.
//! Each `Pong`, `Status` and `Hello` carries the device's clock and gives one observation that is late by its
//! transmission, never early: a bound from above. A `Pong` says more, because we know when we asked. The device's clock
//! was read after the question, so what it shows against the time of asking is a bound from below. Both leak apart, so
//! that they let an oscillator go its way (±50 ppm is usual), and the estimate lies in the middle:
//!
//! ```text
//! upper = min(upper + 100 ppm · dt, received − device_us)        estimate = (lower + upper) ÷ 2
//! lower = max(lower − 100 ppm · dt, asked − device_us)
//! ```
//!
//! What question and answer spend on the line is known from their bytes and taken off, up to half the round trip each.
//! The output follows the estimate at no more than 500 ppm, so that stamps never go back within a boot. Where the
//! bounds contradict each other one of the clocks has jumped, and what is observed now is all that is known. Samples
//! are **never** observations: a backlog after a `Resume` would look like a delay of minutes and stay.
//!
//! One offset is right for now, and 60 ppm are 6 ms in the 100 s that a device gives back after a restart. So what was
//! stamped last, by whoever wrote the stream's end or before a silence, is an anchor: between it and the moment from
//! which on this boot is known again, slots lie on a straight line.
//!
//! A quick round trip shows that what was heard is good, which is when stamping begins.
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

/// How fast the bounds leak: twice the worst usual difference between two oscillators.
const LEAK_PPM: i64 = 100;
/// How fast the output follows the estimate: half a millisecond of overlap between batches of a second.
const SLEW_PPM: i64 = 500;
/// Two oscillators do not differ by more, nor does a calendar that is being slewed.
const APART_PPM: i64 = 200;
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
    /// Bytes of the question's frame and of the answer's.
    pub lengths: (usize, usize),
}

/// The clock of one boot, seen from here.
#[derive(Clone, Debug)]
pub struct Stamper {
    timing: Timing,
    boot: Boot,
    period_ns: u32,
    /// Listening since.
    since: Monotonic,
    bounds: Option<Bounds>,
    /// Monotonic nanoseconds minus device nanoseconds.
    output: i64,
    at: Monotonic,
    pongs: u32,
    /// The quickest round trip.
    quickest: Duration,
    /// The estimate is far from the output, since then.
    off_since: Option<Monotonic>,
    /// The slot behind the last one that was stamped before this was known, and its place.
    anchor: Option<(u64, i64)>,
    bend: Option<Bend>,
}

/// Between what the offset lies; without a bound from below before the first answer.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    lower: Option<i64>,
    upper: i64,
}

impl Bounds {
    fn middle(self) -> i64 {
        self.lower.map_or(self.upper, |lower| lower + (self.upper - lower) / 2)
    }

    /// What remains of them after `leak` nanoseconds of drift, with a new observation.
    fn narrowed(self, leak: i64, new: Self) -> Self {
        let upper = new.upper.min(self.upper.saturating_add(leak));
        let lower = new.lower.max(self.lower.map(|lower| lower.saturating_sub(leak)));
        if lower.is_some_and(|lower| lower > upper) { new } else { Self { lower, upper } }
    }
}

/// Slots up to `until` lie `by` beside where the offset places them, less and less from `from` on.
#[derive(Clone, Copy, Debug)]
struct Bend {
    from: u64,
    until: u64,
    by: i64,
}

impl Bend {
    fn at(self, seq: u64) -> i64 {
        let whole = |slots: u64| i64::try_from(slots).unwrap_or(i64::MAX);
        let left = whole(self.until.saturating_sub(seq.max(self.from)));
        self.by.saturating_mul(left) / whole(self.until - self.from).max(1)
    }
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
            bounds: None,
            output: 0,
            at: now,
            pongs: 0,
            quickest: Duration::MAX,
            off_since: None,
            anchor: None,
            bend: None,
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

    /// The stream holds this boot up to slot `seq`, which was taken at `place`. Where this boot is known already it is
    /// known better.
    pub fn anchor(&mut self, seq: u64, place: i64) {
        if !self.is_ready() {
            self.anchor = Some((seq, place));
        }
    }

    /// A `Pong` came in. Returns the jump in nanoseconds, where the stamps jump.
    pub fn pong(&mut self, pong: Answered) -> Option<i64> {
        let Answered { asked, received, device, lengths: (question, answer) } = pong;
        let round = received.since(asked);
        let on_line = |length: usize| {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX);
            whole_ns(self.timing.byte.saturating_mul(bytes).min(round / 2))
        };
        let upper = offset(received, device).saturating_sub(on_line(answer));
        let lower = offset(asked, device).saturating_add(on_line(question));
        let jump = self.hear(received, Bounds { lower: Some(lower), upper });
        let before = self.is_ready();
        self.pongs = self.pongs.saturating_add(1);
        self.quickest = self.quickest.min(round);
        if !before && self.is_ready() {
            self.tie(received);
        }
        jump
    }

    /// A message with the device's clock came in. Returns the jump in nanoseconds, where the stamps jump.
    pub fn observe(&mut self, received: Monotonic, device: DeviceTime) -> Option<i64> {
        self.hear(received, Bounds { lower: None, upper: offset(received, device) })
    }

    /// Stamping begins: what was taken meanwhile lies between the anchor and now.
    fn tie(&mut self, now: Monotonic) {
        let Some((from, place)) = self.anchor.take() else { return };
        let (Some(here), Some(until)) = (self.place(from), self.next(now)) else { return };
        let by = place.saturating_sub(here);
        let span = until.saturating_sub(from).saturating_mul(u64::from(self.period_ns));
        let apart = ppm(i64::try_from(span).unwrap_or(i64::MAX), APART_PPM).min(whole_ns(self.timing.off));
        self.bend = (by.saturating_abs() <= apart).then_some(Bend { from, until, by });
    }

    /// The slot that is due at `now`.
    fn next(&self, now: Monotonic) -> Option<u64> {
        let device_ns = self.device_time(now)?.0.saturating_mul(1_000);
        Some(device_ns / u64::from(self.period_ns.max(1)))
    }

    fn hear(&mut self, received: Monotonic, new: Bounds) -> Option<i64> {
        let silence = received.since(self.at);
        if silence > self.timing.off_for && self.bounds.is_some() {
            let known = self.next(self.at).filter(|_| self.is_ready());
            let anchor = known.and_then(|seq| Some((seq, self.place(seq)?)));
            *self = Self { anchor, ..Self::new(self.timing, self.boot, self.period_ns, received) };
        }
        self.at = received;
        let dt = whole_ns(silence);
        let bounds = self.bounds.map_or(new, |before| before.narrowed(ppm(dt, LEAK_PPM), new));
        self.bounds = Some(bounds);
        let estimate = bounds.middle();
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

    /// When slot `seq` was taken, in monotonic nanoseconds; none before anything was heard.
    #[must_use]
    pub fn place(&self, seq: u64) -> Option<i64> {
        self.bounds?;
        let into = i64::try_from(seq).ok()?.checked_mul(i64::from(self.period_ns))?;
        let beside = self.bend.map_or(0, |bend| bend.at(seq));
        self.output.checked_add(into)?.checked_add(beside)
    }

    /// The device's clock at `now`.
    #[must_use]
    pub fn device_time(&self, now: Monotonic) -> Option<DeviceTime> {
        self.bounds?;
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
