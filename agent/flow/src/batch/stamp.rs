//! Determines when a slot was sampled, on this machine's monotonic clock.
//!
//! Slot n is at n × period of the device clock, so one offset between the two clocks dates every slot of a boot. Each
//! `Pong`, `Status` and `Hello` contains the device's clock and gives one observation of the offset that is too large
//! by its transmission time, never too small: an upper bound. A `Pong` also gives a lower bound, because the time of
//! its `Ping` is known and the device's clock was read after that. The bounds leak apart to allow for the drift of the
//! oscillators (±50 ppm is usual), and the estimate is their middle:
//!
//! ```text
//! upper = min(upper + 100 ppm · dt, received − device_us)        estimate = (lower + upper) ÷ 2
//! lower = max(lower − 100 ppm · dt, asked − device_us)
//! ```
//!
//! The transmission times of `Ping` and `Pong` follow from their lengths and are subtracted, up to half the round trip
//! each. The output follows the estimate at no more than 500 ppm, so that stamps never go back within a boot. If the
//! bounds contradict each other, one of the clocks has jumped, and only the new observation is kept. Samples are
//! **never** observations: a backlog after a `Resume` would look like a persistent delay of minutes.
//!
//! One offset is right for the present only: 60 ppm are 6 ms in the 100 s that a device delivers after a restart. So
//! the last stamped slot, at the stream's end or before a silence, is an anchor: slots between it and the moment at
//! which stamping resumes are interpolated linearly.
//!
//! A crystal is within 100 ppm, and the above is designed for one. An RC oscillator is 1 or 2 % off: the estimate then
//! drifts by 20 ms each second, which the slew cannot follow. If that lasts for `off_for` (10 s), as a jump would, the
//! round trips of those 10 s show the rate of the device's clock, each within half its length. Up to [`RATE_MAX_PPM`]
//! the measured period of a slot is used from then on, in stamps and in the published `period_ns`, and is measured
//! again each minute. If round trips are too long for that (32 ms of 10 s are 3,200 ppm), the measurement continues
//! until its span decides. A clock within a crystal's tolerance is never measured, and an apparent rate (two jumps
//! within 10 s) ends with the next measurement. A clock that is farther off is reported with its rate; its stamps jump
//! every 10 s, and the slots that overlap are lost as `clock`.
//!
//! A rate survives a restart of the agent: an anchor has the period of the message at the stream's end, and a new
//! stamper starts with it.
//!
//! Stamping begins after a quick round trip, which shows that the observations are accurate.
//!
//! ```text
//!            Pong, Status, Hello            quick Pong, or enough of them
//!   unknown ────────────────────▶ listening ────────────────────────────▶ ready ──┐ slewed; off for 10 s: a jump
//!     ▲                                                                    │  ▲   │
//!     └────────────────────────── no observation for 10 s ─────────────────┘  └───┘
//! ```
//!
//! A silence that long (a suspend, a pulled cable, a stopped process) discards the estimate: oscillators have drifted,
//! and the first bytes afterwards have been in a buffer for an unknown time.

use core::time::Duration;

use thermowell_wire::Boot;

use crate::serial::QUICK_PINGS;
use crate::time::{DeviceTime, Monotonic};

/// How fast the bounds leak: twice the largest usual difference between two oscillators.
const LEAK_PPM: i64 = 100;
/// How fast the output follows the estimate: half a millisecond of overlap between batches of a second.
const SLEW_PPM: i64 = 500;
/// Largest difference between two oscillators, and between one and a calendar that is being slewed.
const APART_PPM: i64 = 200;
/// Smallest measured rate that is followed …
const RATE_MIN_PPM: i64 = 400;
/// … and the largest: twice the tolerance of an untrimmed RC oscillator (2.5 %).
pub const RATE_MAX_PPM: i64 = 50_000;
/// A followed rate is measured again after this multiple of `off_for`.
const RATE_AGAIN: u32 = 6;
/// An undecided measurement continues for up to this multiple of `off_for`: 10 min, in which round trips of 32 ms (an
/// adapter's timer of 16 ms, twice) leave an uncertainty of 53 ppm.
const RATE_OPEN: u32 = 60;
/// Answered pings before stamping begins …
const PONGS_MIN: u32 = 3;
/// … and without a quick one: their minimum is the best that this line allows.
const PONGS_ENOUGH: u32 = QUICK_PINGS;
/// A round trip is quick if it takes at most this part of `off`: 5 ms of 20.
const QUICK_PART: u32 = 4;

/// Bounds of the stamper, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// An estimate farther from the output than this is not slewed but jumped to …
    pub off: Duration,
    /// … after it has lasted this long. Also: without an observation for this long, the estimate is discarded.
    pub off_for: Duration,
    /// Transmission time of one byte on the line.
    pub byte: Duration,
}

/// An answered ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When the `Ping` was sent.
    pub asked: Monotonic,
    /// When the `Pong` was read.
    pub received: Monotonic,
    /// The device's clock at some moment in between.
    pub device: DeviceTime,
    /// Bytes of the frames of `Ping` and `Pong`.
    pub lengths: (usize, usize),
}

/// The relation of one boot's device clock to this machine's.
#[derive(Clone, Debug)]
pub struct Stamper {
    timing: Timing,
    boot: Boot,
    /// Period of a slot by the device's clock.
    nominal_ns: u32,
    /// Period of a slot on the monotonic clock: the same, unless the device's clock is outside a crystal's tolerance.
    period_ns: u32,
    /// Rate of the device's clock, if it is too far off to be followed.
    unfollowed_ppm: Option<i64>,
    /// The newest quick round trip, and the one at which the measurement of the rate began.
    newest: Option<Mark>,
    marked: Option<Mark>,
    /// The first mark of an undecided measurement.
    undecided: Option<Mark>,
    /// When listening began.
    since: Monotonic,
    bounds: Option<Bounds>,
    /// Monotonic nanoseconds minus device nanoseconds.
    output: i64,
    at: Monotonic,
    pongs: u32,
    /// The shortest round trip.
    quickest: Duration,
    /// Since when the estimate has been farther than `off` from the output.
    off_since: Option<Monotonic>,
    /// The slot after the last one stamped earlier, and its place.
    anchor: Option<(u64, i64)>,
    segment: Option<Segment>,
}

/// Both clocks in the middle of a round trip.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Monotonic nanoseconds, within half of `round_ns`.
    at: i64,
    device: DeviceTime,
    round_ns: i64,
}

/// Rate of a device's clock outside a crystal's tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Parts per million; positive is fast.
    pub ppm: i64,
    /// Whether stamps follow it.
    pub followed: bool,
}

/// Bounds of the offset; no lower bound before the first answer.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    lower: Option<i64>,
    upper: i64,
}

impl Bounds {
    fn middle(self) -> i64 {
        self.lower.map_or(self.upper, |lower| lower + (self.upper - lower) / 2)
    }

    /// These bounds after `leak` nanoseconds of drift, narrowed by a new observation.
    fn narrowed(self, leak: i64, new: Self) -> Self {
        let upper = new.upper.min(self.upper.saturating_add(leak));
        let lower = new.lower.max(self.lower.map(|lower| lower.saturating_sub(leak)));
        if lower.is_some_and(|lower| lower > upper) { new } else { Self { lower, upper } }
    }
}

/// A correction of the slots before `until`: `by` up to slot `from`, then falling linearly to 0 at `until`.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: u64,
    until: u64,
    by: i64,
}

impl Segment {
    fn at(self, seq: u64) -> i64 {
        let whole = |slots: u64| i64::try_from(slots).unwrap_or(i64::MAX);
        let left = whole(self.until.saturating_sub(seq.max(self.from)));
        self.by.saturating_mul(left) / whole(self.until - self.from).max(1)
    }
}

impl Stamper {
    /// A stamper without observations.
    #[must_use]
    pub fn new(timing: Timing, boot: Boot, period_ns: u32, now: Monotonic) -> Self {
        Self {
            timing,
            boot,
            nominal_ns: period_ns,
            period_ns,
            unfollowed_ppm: None,
            newest: None,
            marked: None,
            undecided: None,
            since: now,
            bounds: None,
            output: 0,
            at: now,
            pongs: 0,
            quickest: Duration::MAX,
            off_since: None,
            anchor: None,
            segment: None,
        }
    }

    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// When listening began.
    #[must_use]
    pub fn since(&self) -> Monotonic {
        self.since
    }

    /// Whether there are enough observations to stamp.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let quick = self.quickest <= self.timing.off / QUICK_PART;
        self.pongs >= if quick { PONGS_MIN } else { PONGS_ENOUGH }
    }

    /// The stream holds this boot up to slot `seq`, which was sampled at `place`, with slots `period_ns` apart. Ignored
    /// once the stamper is ready, because its own estimate is better.
    pub fn anchor(&mut self, seq: u64, place: i64, period_ns: u32) {
        if self.is_ready() {
            return;
        }
        self.anchor = Some((seq, place));
        let rate = rate_ppm(i64::from(self.nominal_ns), i64::from(period_ns));
        if (RATE_MIN_PPM..=RATE_MAX_PPM).contains(&rate.saturating_abs()) {
            self.follow(period_ns, self.device_time(self.at).unwrap_or_default());
        }
    }

    /// Nanoseconds between two slots on the monotonic clock.
    #[must_use]
    pub fn period_ns(&self) -> u32 {
        self.period_ns
    }

    /// Rate of the device's clock; `None` within a crystal's tolerance, or if not measured yet.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let unfollowed = self.unfollowed_ppm.map(|ppm| Rate { ppm, followed: false });
        let followed = self
            .follows()
            .then(|| Rate { ppm: rate_ppm(i64::from(self.nominal_ns), i64::from(self.period_ns)), followed: true });
        unfollowed.or(followed)
    }

    /// Takes a `Pong`. Returns the jump of the stamps in nanoseconds, if any.
    pub fn pong(&mut self, pong: Answered) -> Option<i64> {
        let Answered { asked, received, device, lengths: (question, answer) } = pong;
        let round = received.since(asked);
        let on_line = |length: usize| {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX);
            whole_ns(self.timing.byte.saturating_mul(bytes).min(round / 2))
        };
        let upper = self.offset(received, device).saturating_sub(on_line(answer));
        let lower = self.offset(asked, device).saturating_add(on_line(question));
        let jump = self.update(received, device, Bounds { lower: Some(lower), upper });
        let before = self.is_ready();
        self.pongs = self.pongs.saturating_add(1);
        self.quickest = self.quickest.min(round);
        if !before && self.is_ready() {
            self.pin(received);
        }
        if round <= self.quickest.saturating_mul(2).max(self.timing.off / QUICK_PART) {
            let at = nanoseconds(asked).saturating_add(whole_ns(round) / 2);
            self.mark(Mark { at, device, round_ns: whole_ns(round) });
        }
        jump
    }

    /// The rate is measured from the moment at which the estimate left the slew range until the measurement is decided,
    /// and each minute while a rate is followed.
    fn mark(&mut self, mark: Mark) {
        self.newest = Some(mark);
        if self.undecided.is_some() {
            self.measure(RATE_MIN_PPM, mark.device);
        }
        let follows = self.follows();
        match self.marked {
            None if follows || self.off_since.is_some() => self.marked = Some(mark),
            Some(first) if follows && self.off_since.is_none() => {
                if mark.at.saturating_sub(first.at) >= whole_ns(self.timing.off_for.saturating_mul(RATE_AGAIN)) {
                    self.measure(0, mark.device);
                    self.marked = Some(mark);
                }
            }
            None | Some(_) => {}
        }
    }

    /// Measures the rate of the device's clock between the two marks. The rate has changed if the marks are farther
    /// apart than `ppm_min` and the uncertainty of their round trips explain. `now` is the device's clock.
    fn measure(&mut self, ppm_min: i64, now: DeviceTime) {
        let (marked, undecided) = (self.marked.take(), self.undecided.take());
        let (Some(first), Some(last)) = (undecided.or(marked), self.newest) else { return };
        let span = last.at.saturating_sub(first.at);
        let passed = self.on_monotonic(last.device).saturating_sub(self.on_monotonic(first.device));
        if span < whole_ns(self.timing.off_for / 2) {
            self.undecided = Some(first).filter(|_| !self.follows());
            return;
        }
        if passed <= 0 {
            return;
        }
        self.unfollowed_ppm = None;
        let apart = span.saturating_sub(passed).saturating_abs();
        let (open, within) = ((first.round_ns + last.round_ns) / 2, ppm(span, ppm_min));
        if apart <= open.saturating_add(within) {
            let open_for = whole_ns(self.timing.off_for.saturating_mul(RATE_OPEN));
            let is_open = apart.saturating_add(open) > within && span <= open_for;
            self.undecided = Some(first).filter(|_| is_open && !self.follows());
            return;
        }
        let period_ns = i128::from(self.period_ns) * i128::from(span) / i128::from(passed);
        let period_ns = i64::try_from(period_ns).unwrap_or(i64::MAX);
        let rate = rate_ppm(i64::from(self.nominal_ns), period_ns);
        match u32::try_from(period_ns) {
            Ok(_) if rate.saturating_abs() < RATE_MIN_PPM => self.follow(self.nominal_ns, now),
            Ok(period_ns) if rate.saturating_abs() <= RATE_MAX_PPM => self.follow(period_ns, now),
            Ok(_) | Err(_) => self.unfollowed_ppm = Some(rate),
        }
    }

    /// Whether a measured period is in use.
    fn follows(&self) -> bool {
        self.period_ns != self.nominal_ns
    }

    /// Slots are `period_ns` apart from now on. The slot sampled at `device` keeps its place.
    fn follow(&mut self, period_ns: u32, device: DeviceTime) {
        let before = self.on_monotonic(device);
        self.period_ns = period_ns;
        let by = before.saturating_sub(self.on_monotonic(device));
        self.output = self.output.saturating_add(by);
        self.bounds = self.bounds.map(|Bounds { lower, upper }| Bounds {
            lower: lower.map(|lower| lower.saturating_add(by)),
            upper: upper.saturating_add(by),
        });
    }

    /// A span of the device's clock in monotonic nanoseconds.
    fn on_monotonic(&self, device: DeviceTime) -> i64 {
        let device_ns = i128::from(device.0) * 1_000;
        let ns = device_ns * i128::from(self.period_ns) / i128::from(self.nominal_ns.max(1));
        i64::try_from(ns).unwrap_or(i64::MAX)
    }

    /// Monotonic nanoseconds minus device nanoseconds.
    fn offset(&self, at: Monotonic, device: DeviceTime) -> i64 {
        nanoseconds(at).saturating_sub(self.on_monotonic(device))
    }

    /// Takes a message with the device's clock. Returns the jump of the stamps in nanoseconds, if any.
    pub fn observe(&mut self, received: Monotonic, device: DeviceTime) -> Option<i64> {
        self.update(received, device, Bounds { lower: None, upper: self.offset(received, device) })
    }

    /// Stamping begins: slots sampled since the anchor are interpolated between it and now.
    fn pin(&mut self, now: Monotonic) {
        let Some((from, place)) = self.anchor.take() else { return };
        let (Some(here), Some(until)) = (self.place(from), self.next(now)) else { return };
        let by = place.saturating_sub(here);
        let span = until.saturating_sub(from).saturating_mul(u64::from(self.period_ns));
        let apart = ppm(i64::try_from(span).unwrap_or(i64::MAX), APART_PPM).min(whole_ns(self.timing.off));
        self.segment = (by.saturating_abs() <= apart).then_some(Segment { from, until, by });
    }

    /// The slot that is due at `now`.
    fn next(&self, now: Monotonic) -> Option<u64> {
        let device_ns = self.device_time(now)?.0.saturating_mul(1_000);
        Some(device_ns / u64::from(self.nominal_ns.max(1)))
    }

    fn update(&mut self, received: Monotonic, device: DeviceTime, new: Bounds) -> Option<i64> {
        let silence = received.since(self.at);
        if silence > self.timing.off_for && self.bounds.is_some() {
            let known = self.next(self.at).filter(|_| self.is_ready());
            let anchor = known.and_then(|seq| Some((seq, self.place(seq)?)));
            let period_ns = self.period_ns;
            *self = Self { anchor, period_ns, ..Self::new(self.timing, self.boot, self.nominal_ns, received) };
        }
        self.at = received;
        let dt = whole_ns(silence);
        let bounds = self.bounds.map_or(new, |before| before.narrowed(ppm(dt, LEAK_PPM), new));
        self.bounds = Some(bounds);
        let estimate = bounds.middle();
        if !self.is_ready() {
            // Nothing is stamped yet, so no stamp can go back.
            self.output = estimate;
            return None;
        }
        let limit = ppm(dt, SLEW_PPM);
        self.output += (estimate - self.output).clamp(-limit, limit);
        self.jump(received, device, estimate - self.output, new.lower.is_some())
    }

    fn jump(&mut self, now: Monotonic, device: DeviceTime, off: i64, is_answer: bool) -> Option<i64> {
        if off.saturating_abs() <= whole_ns(self.timing.off) {
            self.off_since = None;
            return None;
        }
        if self.off_since.is_none() {
            self.marked = None;
        }
        let since = *self.off_since.get_or_insert(now);
        // If a rate may be the cause, only an answer decides: the other bounds are as old as the last answer.
        if now.since(since) < self.timing.off_for || (self.marked.is_some() && !is_answer) {
            return None;
        }
        self.off_since = None;
        self.measure(RATE_MIN_PPM, device);
        self.output += off;
        Some(off)
    }

    /// When slot `seq` was sampled, in monotonic nanoseconds; `None` before the first observation.
    #[must_use]
    pub fn place(&self, seq: u64) -> Option<i64> {
        self.bounds?;
        let into = i64::try_from(seq).ok()?.checked_mul(i64::from(self.period_ns))?;
        let correction = self.segment.map_or(0, |segment| segment.at(seq));
        self.output.checked_add(into)?.checked_add(correction)
    }

    /// The device's clock at `now`.
    #[must_use]
    pub fn device_time(&self, now: Monotonic) -> Option<DeviceTime> {
        self.bounds?;
        let ns = nanoseconds(now).checked_sub(self.output)?;
        let device_ns = i128::from(ns) * i128::from(self.nominal_ns) / i128::from(self.period_ns.max(1));
        u64::try_from(device_ns / 1_000).ok().map(DeviceTime)
    }

    /// Slot `seq` was moved up to `place`, the stored end: later slots move with it and slew back from there. Ignored
    /// if farther than `off`: then the slot is an old one, from before the clocks changed.
    pub fn raise(&mut self, seq: u64, place: i64) {
        let Some(here) = self.place(seq) else { return };
        let by = place.saturating_sub(here).max(0);
        if by <= whole_ns(self.timing.off) {
            self.output += by;
        }
    }
}

/// Transmission time of one byte at `baud`: ten bits. It is a duration of the boiler's side, so the speed factor does
/// not apply.
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

/// Rate of a clock whose slots are `period_ns` apart instead of `nominal_ns`, in ppm.
fn rate_ppm(nominal_ns: i64, period_ns: i64) -> i64 {
    let ppm = (i128::from(nominal_ns) - i128::from(period_ns)) * 1_000_000 / i128::from(period_ns.max(1));
    i64::try_from(ppm).unwrap_or(i64::MAX)
}

/// `parts` millionths of `ns`.
fn ppm(ns: i64, parts: i64) -> i64 {
    (ns / 1_000).saturating_mul(parts) / 1_000
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const TIMING: Timing =
        Timing { off: Duration::from_millis(20), off_for: Duration::from_secs(10), byte: Duration::ZERO };
    const BOOT: Boot = Boot(7);

    /// Runs a stamper with a clock that is `ppm` fast, pinged twice a second with round trips of up to 3 ms. Returns
    /// the jumps, by seconds after the start, and the error of the slot that is due at the end of each second, ns.
    fn play(ppm: i64, seconds: u64) -> (Stamper, Vec<(u64, i64)>, Vec<i64>) {
        play_on(
            1,
            seconds,
            |ns| ns + ns * i128::from(ppm) / 1_000_000,
            |shown| shown * 1_000_000 / i128::from(1_000_000 + ppm),
        )
    }

    /// The same for a clock given by `shows` (true to shown nanoseconds) and its inverse `when`, with round trips of up
    /// to `slow` times 3 ms.
    fn play_on(
        slow: u64,
        seconds: u64,
        shows: impl Fn(i128) -> i128,
        when: impl Fn(i128) -> i128,
    ) -> (Stamper, Vec<(u64, i64)>, Vec<i64>) {
        let mut stamper = Stamper::new(TIMING, BOOT, 10_000_000, Monotonic(0));
        let shows = |ns: u64| DeviceTime(u64::try_from(shows(i128::from(ns)) / 1_000).unwrap());
        let (mut jumps, mut errors) = (Vec::new(), Vec::new());
        for half in 1..=2 * seconds {
            let asked = half * 500_000_000;
            let there = slow * (200_000 + half * 7_919 % 1_000_000);
            let back = slow * (300_000 + half * 104_729 % 1_500_000);
            let received = asked + there + back;
            let answered = Answered {
                asked: Monotonic(asked),
                received: Monotonic(received),
                device: shows(asked + there),
                lengths: (8, 14),
            };
            jumps.extend(stamper.pong(answered).map(|by| (half / 2, by)));
            let seq = shows(received).0 / 10_000;
            let truth = when(i128::from(seq) * 10_000_000);
            let place = i128::from(stamper.place(seq).unwrap());
            if half % 2 == 0 {
                errors.push(i64::try_from(place - truth).unwrap());
            }
        }
        (stamper, jumps, errors)
    }

    #[test]
    fn crystal_keeps_its_nominal_period() {
        for ppm in [-100, 0, 60, 100] {
            let (stamper, jumps, errors) = play(ppm, 600);
            assert_eq!((stamper.period_ns(), stamper.rate(), jumps.len()), (10_000_000, None, 0), "{ppm}");
            assert!(errors.iter().all(|off| off.abs() < 1_500_000), "{ppm}");
        }
    }

    #[test]
    fn rc_oscillator_is_followed_after_one_jump() {
        for ppm in [-49_000, -20_000, -5_000, -1_000, 1_000, 5_000, 20_000, 49_000] {
            let (stamper, jumps, errors) = play(ppm, 600);
            let [(after, _)] = jumps[..] else { panic!("{ppm}: {jumps:?}") };
            let rate = stamper.rate().unwrap();
            assert!(rate.followed && (rate.ppm - ppm).abs() < 50, "{ppm}: {rate:?}");
            let settled = usize::try_from(after).unwrap();
            assert!(
                errors[settled..].iter().all(|off| off.abs() < 2_000_000),
                "{ppm}: {:?}",
                errors[settled..].iter().max()
            );
        }
    }

    #[test]
    fn a_clock_that_is_too_far_off_is_reported() {
        for ppm in [-80_000, 80_000] {
            let (stamper, jumps, _) = play(ppm, 120);
            let rate = stamper.rate().unwrap();
            assert!(!rate.followed && (rate.ppm - ppm).abs() < 1_000, "{rate:?}");
            assert!(jumps.len() > 5, "{jumps:?}");
        }
    }

    #[test]
    fn two_steps_of_a_clock_do_not_change_its_period() {
        // Two steps of 50 ms within 10 s look like a rate for a minute.
        let stepped =
            |ns: i128| ns + 50_000_000 * i128::from(u8::from(ns > 100_000_000_000) + u8::from(ns > 105_000_000_000));
        let (stamper, jumps, _) = play_on(1, 120, stepped, |shown| shown - 100_000_000);
        assert!(stamper.rate().is_some_and(|rate| rate.followed), "{jumps:?}");
        let (stamper, jumps, errors) = play_on(1, 400, stepped, |shown| shown - 100_000_000);
        assert_eq!((stamper.period_ns(), stamper.rate()), (10_000_000, None), "{jumps:?}");
        assert!(errors[300..].iter().all(|off| off.abs() < 1_500_000), "{jumps:?}");
    }

    #[test]
    fn rate_is_followed_with_a_slow_adapter() {
        for ppm in [-3_000, -2_000, -1_000, -700, 700, 1_000, 2_000, 3_000] {
            let clock = |ns: i128| ns + ns * ppm / 1_000_000;
            let (stamper, jumps, errors) = play_on(7, 1_200, clock, |shown| shown * 1_000_000 / (1_000_000 + ppm));
            let rate = stamper.rate().unwrap_or_else(|| panic!("{ppm}: {jumps:?}"));
            assert!(rate.followed && (i128::from(rate.ppm) - ppm).abs() < 300, "{ppm}: {rate:?}");
            assert!(jumps.len() <= 3, "{ppm}: {jumps:?}");
            assert!(errors[600..].iter().all(|off| off.abs() < 15_000_000), "{ppm}: {:?}", errors[600..].iter().max());
        }
    }

    #[test]
    fn crystal_with_slow_adapter_keeps_its_period_after_a_step() {
        let stepped = |ns: i128| if ns > 100_000_000_000 { ns + 50_000_000 } else { ns };
        let (stamper, jumps, _) = play_on(7, 1_200, stepped, |shown| shown - 50_000_000);
        assert_eq!((stamper.period_ns(), stamper.rate(), jumps.len()), (10_000_000, None, 1), "{jumps:?}");
    }
}
