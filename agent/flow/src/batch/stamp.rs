//! When a slot was taken, on this machine's monotonic clock.
//!
//! Slot n is at n × period of the device clock, so one number places a whole boot: the offset between the two clocks.
//! Each `Pong`, `Status` and `Hello` carries the device's clock and gives one observation that is late by its
//! transmission, never early: a bound from above. A `Pong` shows more, because the time of the question is known. The
//! device's clock was read after the question, so what it shows against the time of asking is a bound from below. Both
//! leak apart, so that they let an oscillator go its way (±50 ppm is usual), and the estimate lies in the middle:
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
//! stamped last, by the writer of the stream's end or before a silence, is an anchor: between it and the moment from
//! which on this boot is known again, slots lie on a straight line.
//!
//! A crystal is within 100 ppm, and all of this is made for one. An RC oscillator is 1 or 2 % off: the estimate then
//! runs away by 20 ms each second, which no slew follows. Where that lasts for as long as a jump does, the round trips
//! of those 10 s show how fast the device's clock runs, each within half its length: up to [`RATE_MAX_PPM`] the period
//! of a slot is from then on what it really is, in stamps and in `period_ns` of what is published, and is measured
//! again each minute. Where round trips are too long for that (32 ms of 10 s are 3,200 ppm), the measurement goes on
//! until its span decides. A clock within a crystal's tolerance never gets there, and what looked like a rate (two
//! jumps within 10 s) ends with the next measurement. A clock that is farther off is named with its rate; its stamps
//! jump every 10 s, and the slots that overlap are lost as `clock`.
//!
//! A rate outlives the agent: an anchor carries the period of the message at the stream's end, and a new stamper begins
//! with it.
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
//! and what comes first has lain in a buffer for an unknown time.

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
/// The device's clock is off by more than is slewed, and by no jump …
const RATE_MIN_PPM: i64 = 400;
/// … and at most by this: twice what an RC oscillator without trimming is off by (2.5 %).
pub const RATE_MAX_PPM: i64 = 50_000;
/// Times `off_for` after which a rate that is followed is measured again.
const RATE_AGAIN: u32 = 6;
/// Times `off_for` for which a measurement that its round trips left open goes on: 10 min, in which round trips of 32
/// ms (an adapter's timer of 16 ms, twice) leave 53 ppm open.
const RATE_OPEN: u32 = 60;
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
    /// By the device's clock.
    nominal_ns: u32,
    /// On the monotonic clock: the same, unless the device's clock is off by more than a crystal's tolerance.
    period_ns: u32,
    /// How fast the device's clock runs, where it is too far off to be followed.
    unfollowed_ppm: Option<i64>,
    /// The newest quick round trip, and the one from which on the rate is measured.
    newest: Option<Mark>,
    marked: Option<Mark>,
    /// The mark of a measurement that its round trips left open.
    undecided: Option<Mark>,
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

/// Where both clocks stood, in the middle of a round trip.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Monotonic nanoseconds, wrong by half of `round_ns` at most.
    at: i64,
    device: DeviceTime,
    round_ns: i64,
}

/// How fast a device's clock runs, where that is beyond a crystal's tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Parts per million; positive is fast.
    pub ppm: i64,
    /// Stamps follow it.
    pub followed: bool,
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

    /// The stream holds this boot up to slot `seq`, which was taken at `place`, with slots `period_ns` apart. Where
    /// this boot is known already it is known better.
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

    /// How fast the device's clock runs; none within a crystal's tolerance, or before that is known.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let unfollowed = self.unfollowed_ppm.map(|ppm| Rate { ppm, followed: false });
        let followed = self
            .follows()
            .then(|| Rate { ppm: rate_ppm(i64::from(self.nominal_ns), i64::from(self.period_ns)), followed: true });
        unfollowed.or(followed)
    }

    /// A `Pong` came in. Returns the jump in nanoseconds, where the stamps jump.
    pub fn pong(&mut self, pong: Answered) -> Option<i64> {
        let Answered { asked, received, device, lengths: (question, answer) } = pong;
        let round = received.since(asked);
        let on_line = |length: usize| {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX);
            whole_ns(self.timing.byte.saturating_mul(bytes).min(round / 2))
        };
        let upper = self.offset(received, device).saturating_sub(on_line(answer));
        let lower = self.offset(asked, device).saturating_add(on_line(question));
        let jump = self.hear(received, device, Bounds { lower: Some(lower), upper });
        let before = self.is_ready();
        self.pongs = self.pongs.saturating_add(1);
        self.quickest = self.quickest.min(round);
        if !before && self.is_ready() {
            self.tie(received);
        }
        if round <= self.quickest.saturating_mul(2).max(self.timing.off / QUICK_PART) {
            let at = nanoseconds(asked).saturating_add(whole_ns(round) / 2);
            self.mark(Mark { at, device, round_ns: whole_ns(round) });
        }
        jump
    }

    /// A rate is measured from when the estimate ran away, until that is decided, and each minute where one is
    /// followed.
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

    /// Measures the device's clock between the two marks. It runs at another rate than was known where the marks are
    /// farther apart than `ppm_min` and what their round trips leave open explain. It shows `now`.
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

    /// Whether slots are placed by a measured period.
    fn follows(&self) -> bool {
        self.period_ns != self.nominal_ns
    }

    /// Slots are `period_ns` apart from now on. What is sampled at `device` keeps its place.
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

    /// A message with the device's clock came in. Returns the jump in nanoseconds, where the stamps jump.
    pub fn observe(&mut self, received: Monotonic, device: DeviceTime) -> Option<i64> {
        self.hear(received, device, Bounds { lower: None, upper: self.offset(received, device) })
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
        Some(device_ns / u64::from(self.nominal_ns.max(1)))
    }

    fn hear(&mut self, received: Monotonic, device: DeviceTime, new: Bounds) -> Option<i64> {
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
            // Nothing is stamped yet: no stamp can go back.
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
        // Where a rate may be behind it, an answer decides: other bounds are as old as the last one.
        if now.since(since) < self.timing.off_for || (self.marked.is_some() && !is_answer) {
            return None;
        }
        self.off_since = None;
        self.measure(RATE_MIN_PPM, device);
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
        let device_ns = i128::from(ns) * i128::from(self.nominal_ns) / i128::from(self.period_ns.max(1));
        u64::try_from(device_ns / 1_000).ok().map(DeviceTime)
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

/// How fast a clock runs whose slots are `period_ns` apart instead of `nominal_ns`.
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

    /// What a stamper makes of a clock that is `ppm` fast, asked twice a second over round trips of up to 3 ms: the
    /// jumps in seconds after the start, and how far the slot that is due is off at the end of each second, ns.
    fn play(ppm: i64, seconds: u64) -> (Stamper, Vec<(u64, i64)>, Vec<i64>) {
        play_on(
            1,
            seconds,
            |ns| ns + ns * i128::from(ppm) / 1_000_000,
            |shown| shown * 1_000_000 / i128::from(1_000_000 + ppm),
        )
    }

    /// The same for a clock that `shows` so many nanoseconds `when` so many have passed, over round trips of up to
    /// `slow` times 3 ms.
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
    fn a_crystal_keeps_its_period() {
        for ppm in [-100, 0, 60, 100] {
            let (stamper, jumps, errors) = play(ppm, 600);
            assert_eq!((stamper.period_ns(), stamper.rate(), jumps.len()), (10_000_000, None, 0), "{ppm}");
            assert!(errors.iter().all(|off| off.abs() < 1_500_000), "{ppm}");
        }
    }

    #[test]
    fn an_rc_oscillator_is_followed_after_one_jump() {
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
    fn a_clock_that_is_too_far_off_is_named() {
        for ppm in [-80_000, 80_000] {
            let (stamper, jumps, _) = play(ppm, 120);
            let rate = stamper.rate().unwrap();
            assert!(!rate.followed && (rate.ppm - ppm).abs() < 1_000, "{rate:?}");
            assert!(jumps.len() > 5, "{jumps:?}");
        }
    }

    #[test]
    fn two_steps_of_a_clock_leave_its_nominal_period() {
        // Twice 50 ms within 10 s: for a minute that looks like a rate.
        let stepped =
            |ns: i128| ns + 50_000_000 * i128::from(u8::from(ns > 100_000_000_000) + u8::from(ns > 105_000_000_000));
        let (stamper, jumps, _) = play_on(1, 120, stepped, |shown| shown - 100_000_000);
        assert!(stamper.rate().is_some_and(|rate| rate.followed), "{jumps:?}");
        let (stamper, jumps, errors) = play_on(1, 400, stepped, |shown| shown - 100_000_000);
        assert_eq!((stamper.period_ns(), stamper.rate()), (10_000_000, None), "{jumps:?}");
        assert!(errors[300..].iter().all(|off| off.abs() < 1_500_000), "{jumps:?}");
    }

    #[test]
    fn a_rate_is_followed_behind_a_slow_adapter() {
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
    fn a_crystal_behind_a_slow_adapter_keeps_its_period_after_a_step() {
        let stepped = |ns: i128| if ns > 100_000_000_000 { ns + 50_000_000 } else { ns };
        let (stamper, jumps, _) = play_on(7, 1_200, stepped, |shown| shown - 50_000_000);
        assert_eq!((stamper.period_ns(), stamper.rate(), jumps.len()), (10_000_000, None, 1), "{jumps:?}");
    }
}
