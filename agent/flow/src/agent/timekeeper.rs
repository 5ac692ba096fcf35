//! When a slot was taken: the clock of the device, the monotonic clock and the calendar. The reader and the delivery
//! use no UTC but the one in a stamp.
//!
//! ```text
//! Ping, Status, Hello ──▶ stamper: slot ▸ monotonic          record: Waiting ▸ Placed ▸ Stamped
//! now ──────────────────▶ calendar: monotonic ▸ UTC                   stamper   calendar
//! ```
//!
//! A record waits up to `clock_wait` for both; then it is stamped with what is known.

use core::time::Duration;

use thermowell_wire::batch::{ClockQuality, Packed};
use thermowell_wire::{Boot, Slot};

use super::effect::Timing;
use crate::batch::stamp::{self, Answered, Rate, Stamper};
use crate::batch::{Record, Stamp};
use crate::spool::Spool;
use crate::time::{DeviceTime, HOUR_NS, Monotonic, Now};

/// A calendar that stepped forward by more than an hour is not trusted for 10 minutes.
const DISTRUST_NS: u64 = 600_000_000_000;
/// A change of the rate of a device's clock by this much is reported again.
const RATE_CHANGE_PPM: u64 = 5_000;

/// The clocks of one boiler.
#[derive(Debug)]
pub(super) struct Timekeeper {
    timing: stamp::Timing,
    clock_wait: Duration,
    clock_step: Duration,
    stamper: Option<Stamper>,
    /// The boot at the stream's end when that was read, and its period there in nanoseconds.
    stored_period: Option<(Boot, u32)>,
    calendar: Calendar,
    /// The rate of the device's clock, as last reported.
    reported: Option<Rate>,
    /// Until when stamping waits for the clocks.
    stamp_at: Option<Monotonic>,
}

/// The mapping from the monotonic clock to UTC, and how far it is trusted.
#[derive(Clone, Copy, Debug, Default)]
struct Calendar {
    /// The time of the first observation, and the last observation.
    seen: Option<(Monotonic, Seen)>,
    distrusted_until: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// UTC minus monotonic.
    mapping_ns: i64,
    clock: ClockQuality,
}

/// The stamps of the device jumped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jump {
    pub(super) by_ns: i64,
    /// The device's clock is too far off to be followed: its stamps jump every 10 s, and only its rate is reported.
    pub(super) is_regular: bool,
}

impl Timekeeper {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            timing: timing.stamp,
            clock_wait: timing.clock_wait,
            clock_step: timing.clock_step,
            stamper: None,
            stored_period: None,
            calendar: Calendar::default(),
            reported: None,
            stamp_at: None,
        }
    }

    /// Detects steps of the calendar. A long step forward from a trusted time is not trusted at once; a step from an
    /// untrusted time is expected. Returns by how much it stepped.
    pub(super) fn watch_calendar(&mut self, now: Now) -> Option<i64> {
        let monotonic_ns = i64::try_from(now.monotonic.0).unwrap_or(i64::MAX);
        let seen = Seen { mapping_ns: now.utc.0.saturating_sub(monotonic_ns), clock: clock_quality(now) };
        let (_, last) = self.calendar.seen.get_or_insert((now.monotonic, seen));
        let before = core::mem::replace(last, seen);
        let by_ns = seen.mapping_ns.saturating_sub(before.mapping_ns);
        if by_ns > HOUR_NS && before.clock == ClockQuality::Synced {
            self.calendar.distrusted_until = Monotonic(now.monotonic.0.saturating_add(DISTRUST_NS));
        }
        (u128::from(by_ns.unsigned_abs()) > self.clock_step.as_nanos()).then_some(by_ns)
    }

    /// A device with another boot was accepted. The waiting records of the boot before are placed with the last
    /// estimate of its clock.
    pub(super) fn begin_boot(&mut self, now: Now, boot: Boot, period_ns: u32, spool: &mut Spool) {
        if let Some(stamper) = &self.stamper {
            spool.stamp(|record| match (record.stamp, stamper.place(record.first.seq)) {
                (Stamp::Waiting, Some(place)) if record.first.boot == stamper.boot() => Stamp::Placed(place),
                (stamp, _) => stamp,
            });
        }
        self.stamp_waiting(now, spool);
        self.stamper = Some(Stamper::new(self.timing, boot, period_ns, now.monotonic));
    }

    /// The device was released.
    pub(super) fn forget(&mut self) {
        self.stamper = None;
    }

    /// The device showed its clock in a status or a greeting.
    pub(super) fn observe(&mut self, now: Now, device_us: u64) -> Option<Jump> {
        let by_ns = self.stamper.as_mut()?.observe(now.monotonic, DeviceTime(device_us))?;
        Some(self.jump(by_ns))
    }

    /// The device answered a ping.
    pub(super) fn pong(&mut self, answered: Answered) -> Option<Jump> {
        let by_ns = self.stamper.as_mut()?.pong(answered)?;
        Some(self.jump(by_ns))
    }

    fn jump(&self, by_ns: i64) -> Jump {
        let rate = self.stamper.as_ref().and_then(Stamper::rate);
        Jump { by_ns, is_regular: rate.is_some_and(|rate| !rate.followed) }
    }

    /// The rate of a clock outside a crystal's tolerance, once it is measured and when it has changed.
    pub(super) fn new_rate(&mut self) -> Option<Rate> {
        let rate = self.stamper.as_ref()?.rate()?;
        let same =
            |reported: &Rate| reported.followed == rate.followed && reported.ppm.abs_diff(rate.ppm) < RATE_CHANGE_PPM;
        if self.reported.as_ref().is_some_and(same) {
            return None;
        }
        self.reported = Some(rate);
        Some(rate)
    }

    /// Whether the device's clock is known.
    pub(super) fn is_ready(&self) -> bool {
        self.stamper.as_ref().is_some_and(Stamper::is_ready)
    }

    /// What the device's clock shows now.
    pub(super) fn device_time(&self, now: Now) -> Option<DeviceTime> {
        self.stamper.as_ref()?.device_time(now.monotonic)
    }

    /// The period of `boot` by the current estimate of its clock. Stamp and period of a record must come from the same
    /// estimate.
    pub(super) fn period_ns(&self, boot: Boot) -> Option<u32> {
        self.stamper.as_ref().filter(|stamper| stamper.boot() == boot).map(Stamper::period_ns)
    }

    /// The last message of the stream was read.
    pub(super) fn stored(&mut self, last: Option<&Packed<'_>>) {
        self.stored_period = last.map(|packed| (packed.first().boot, packed.period_ns()));
    }

    /// Anchors the stamper at the stream's end, which was stamped while this boot's clock was known.
    pub(super) fn anchor(&mut self, now: Now, end: Option<(Slot, i64)>) {
        let Some((end, utc_ns)) = end else { return };
        let stored = self.stored_period.filter(|(boot, _)| *boot == end.boot);
        if let Some(stamper) = self.stamper.as_mut().filter(|stamper| stamper.boot() == end.boot) {
            let period_ns = stored.map_or(stamper.period_ns(), |(_, period_ns)| period_ns);
            stamper.anchor(end.seq, on_monotonic(now, utc_ns), period_ns);
        }
    }

    /// A message was moved up to the stored end: later stamps of the boot move with it.
    pub(super) fn raise(&mut self, now: Now, slot: Slot, utc_ns: i64) {
        if let Some(stamper) = self.stamper.as_mut().filter(|stamper| stamper.boot() == slot.boot) {
            stamper.raise(slot.seq, on_monotonic(now, utc_ns));
        }
    }

    /// The stamp of `record`, as far as the clocks are known now.
    pub(super) fn stamp(&self, now: Now, record: &Record) -> Stamp {
        let place = match record.stamp {
            Stamp::Stamped { .. } => return record.stamp,
            Stamp::Placed(place) => place,
            Stamp::Waiting => match self.place(now, record.first) {
                Some(place) => place,
                None => return Stamp::Waiting,
            },
        };
        let clock = self.clock(now);
        let waited = now.monotonic.since(self.observed_since(now)) >= self.clock_wait;
        if clock == ClockQuality::Unsynced && !waited {
            return Stamp::Placed(place);
        }
        let ago = i64::try_from(now.monotonic.0).unwrap_or(i64::MAX).saturating_sub(place);
        Stamp::Stamped { utc_ns: now.utc.earlier_by(ago).0, clock }
    }

    /// Stamps the waiting records.
    pub(super) fn stamp_waiting(&mut self, now: Now, spool: &mut Spool) {
        self.stamp_at = None;
        if !spool.has_unstamped() {
            return;
        }
        let listening = self.stamper.as_ref().map(Stamper::since);
        let begun = [listening, Some(self.observed_since(now))].into_iter().flatten();
        let ends = begun.map(|since| since.after(self.clock_wait));
        self.stamp_at = ends.filter(|&at| at > now.monotonic).min();
        spool.stamp(|record| self.stamp(now, record));
    }

    /// The latest time at which [`Timekeeper::stamp_waiting`] must be called.
    pub(super) fn wake_at(&self) -> Option<Monotonic> {
        self.stamp_at
    }

    /// The place of a slot on the monotonic clock, once the stamper is ready or the wait for it is over.
    fn place(&self, now: Now, slot: Slot) -> Option<i64> {
        let stamper = self.stamper.as_ref().filter(|stamper| stamper.boot() == slot.boot)?;
        let waited = now.monotonic.since(stamper.since()) >= self.clock_wait;
        stamper.place(slot.seq).filter(|_| stamper.is_ready() || waited)
    }

    /// Whether the calendar is trusted now.
    fn clock(&self, now: Now) -> ClockQuality {
        if now.monotonic < self.calendar.distrusted_until { ClockQuality::Unsynced } else { clock_quality(now) }
    }

    /// Since when the calendar has been observed.
    fn observed_since(&self, now: Now) -> Monotonic {
        self.calendar.seen.map_or(now.monotonic, |(since, _)| since)
    }
}

/// The reported clock quality, or `Unsynced` if the calendar is implausible.
fn clock_quality(now: Now) -> ClockQuality {
    if now.utc.is_plausible() { now.clock } else { ClockQuality::Unsynced }
}

/// Converts a calendar time to the monotonic clock, by the current offset.
fn on_monotonic(now: Now, utc_ns: i64) -> i64 {
    let ago = now.utc.0.saturating_sub(utc_ns);
    i64::try_from(now.monotonic.0).unwrap_or(i64::MAX).saturating_sub(ago)
}
