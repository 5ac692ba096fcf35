//! Non-volatile memory: counters of boots and faults, the lockout, and the recent starts and resets.
//!
//! | kept | why |
//! |---|---|
//! | boot counter, fault counter | boots and faults have permanent, unique names |
//! | the lockout | a power cycle is no reset |
//! | the minutes of the last 5 resets | at most 5 resets in 15 minutes, locally and remotely: the makers' limit |
//! | the minutes of the last 3 starts | 3 starts in 10 minutes are a lockout: a boot loop |
//!
//! Everything else is volatile on purpose: ignition tries, flame losses, limits that clear by themselves. A start
//! clears them, and costs a full minimum off time.
//!
//! A boiler has no calendar, so minutes are minutes of operation; time without power does not count, which errs on the
//! safe side. Minutes are rounded so that a limit never ends early. To spare the memory cells the minute counter stops
//! as soon as no event is recent enough to count: it is written at most [`COUNTING_MIN`] times after each start and
//! each reset.

use thermowell_wire::Boot;
use thermowell_wire::line::{Fault, FaultKind, Refusal};
use thermowell_wire::units::MINUTE_US;

/// Most resets …
const RESETS_MAX: usize = 5;
/// … within this many minutes.
const RESETS_MIN: u32 = 15;
/// Starts that make a boot loop …
const STARTS_MAX: usize = 3;
/// … within this many minutes.
const STARTS_MIN: u32 = 10;
/// How long minutes are counted after the last event: until the longest limit has certainly passed.
const COUNTING_MIN: u32 = RESETS_MIN + 2;

/// What survives a power cut. The caller stores it whenever it has changed, and hands it back at the next start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonVolatile {
    /// Starts so far.
    pub boot_counter: u32,
    /// Faults so far.
    pub fault_counter: u32,
    /// The fault that locked out the burner.
    pub lockout: Option<Fault>,
    /// Minutes of operation, counted only while a start or reset is recent.
    pub minutes: u32,
    /// Minutes of the last starts, newest first.
    pub starts: [Option<u32>; STARTS_MAX],
    /// Minutes of the last resets, newest first.
    pub resets: [Option<u32>; RESETS_MAX],
}

impl NonVolatile {
    /// Counts a start and names it. `random` comes from the hardware's generator.
    #[must_use = "the boot belongs to exactly one start"]
    pub fn start(&mut self, random: u32) -> Boot {
        self.boot_counter = self.boot_counter.saturating_add(1);
        let boot = Boot::new(self.boot_counter, random);
        let minutes = self.minutes;
        remember(&mut self.starts, minutes);
        if self.is_crowded(&self.starts, STARTS_MIN) {
            self.lock(FaultKind::BootLoop, boot);
        }
        boot
    }

    /// Names a new occurrence of a fault.
    pub(crate) fn occurrence(&mut self, kind: FaultKind, boot: Boot) -> Fault {
        self.fault_counter = self.fault_counter.saturating_add(1);
        Fault { boot, counter: self.fault_counter, kind, lockout: false }
    }

    /// Locks out the burner. During a lockout the first cause stays.
    pub(crate) fn lock(&mut self, kind: FaultKind, boot: Boot) {
        if self.lockout.is_none() {
            let fault = self.occurrence(kind, boot);
            self.lockout = Some(Fault { lockout: true, ..fault });
        }
    }

    /// Remote reset of the lockout with the number `counter`.
    pub(crate) fn reset_remotely(&mut self, counter: u32) -> Result<(), Refusal> {
        match self.lockout {
            Some(fault) if fault.counter == counter && fault.kind.is_local_only() => Err(Refusal::LocalOnly),
            Some(fault) if fault.counter == counter => self.reset(),
            None | Some(_) => Err(Refusal::NoSuchFault),
        }
    }

    /// Reset at the boiler, of any lockout.
    pub(crate) fn reset(&mut self) -> Result<(), Refusal> {
        if self.lockout.is_none() {
            return Err(Refusal::NoSuchFault);
        }
        if self.is_crowded(&self.resets, RESETS_MIN) {
            return Err(Refusal::TooMany);
        }
        let minutes = self.minutes;
        remember(&mut self.resets, minutes);
        self.lockout = None;
        // The boot loop was seen and reset: allow another power cycle.
        self.starts = [None; STARTS_MAX];
        Ok(())
    }

    /// Counts a minute of operation while an event is recent.
    fn count_minute(&mut self) {
        let newest = [self.starts[0], self.resets[0]].into_iter().flatten().max();
        if newest.is_some_and(|minute| self.minutes.saturating_sub(minute) < COUNTING_MIN) {
            self.minutes = self.minutes.saturating_add(1);
        }
    }

    /// Whether all of `events` may lie within the last `limit_min`. Both ends are whole minutes, so a difference of
    /// exactly the limit may still lie within it.
    fn is_crowded(&self, events: &[Option<u32>], limit_min: u32) -> bool {
        let oldest = events.last().copied().flatten();
        oldest.is_some_and(|minute| self.minutes.saturating_sub(minute) <= limit_min)
    }
}

fn remember(events: &mut [Option<u32>], minute: u32) {
    events.rotate_right(1);
    events[0] = Some(minute);
}

/// The non-volatile memory with the timer of its minute counter.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) kept: NonVolatile,
    minute_due_us: u64,
}

impl Memory {
    pub(crate) fn new(kept: NonVolatile) -> Self {
        Self { kept, minute_due_us: MINUTE_US }
    }

    pub(crate) fn step(&mut self, now_us: u64) {
        while now_us >= self.minute_due_us {
            self.minute_due_us += MINUTE_US;
            self.kept.count_minute();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs for `minutes` after a start.
    fn run(kept: &mut NonVolatile, minutes: u64) {
        let mut memory = Memory::new(*kept);
        memory.step(minutes * MINUTE_US);
        *kept = memory.kept;
    }

    fn start(kept: &mut NonVolatile) -> Boot {
        kept.start(0)
    }

    fn kinds(kept: &NonVolatile) -> Option<FaultKind> {
        kept.lockout.map(|fault| fault.kind)
    }

    #[test]
    fn boots_get_ascending_names() {
        let mut kept = NonVolatile::default();
        assert_eq!(kept.start(7), Boot::new(1, 7));
        assert_eq!(kept.start(7), Boot::new(2, 7));
    }

    #[test]
    fn three_starts_in_ten_minutes_lock_out_for_good() {
        for (between_min, locked) in [(0, true), (4, true), (5, true), (6, false), (600, false)] {
            let mut kept = NonVolatile::default();
            for _ in 0..2 {
                start(&mut kept);
                run(&mut kept, between_min);
                assert_eq!(kinds(&kept), None);
            }
            let third = kept.start(0);
            assert_eq!(kept.lockout.is_some(), locked, "{between_min} min between the starts");
            if let Some(fault) = kept.lockout {
                assert_eq!((fault.kind, fault.boot, fault.lockout), (FaultKind::BootLoop, third, true));
                run(&mut kept, 60);
                start(&mut kept);
                assert_eq!(kept.lockout, Some(fault), "neither time nor another start ends it");
            }
        }
    }

    #[test]
    fn sixth_reset_in_fifteen_minutes_is_refused_across_power_cuts() {
        let mut kept = NonVolatile::default();
        let boot = kept.start(0);
        run(&mut kept, 100);
        for counter in 1..=5 {
            kept.lock(FaultKind::Ignition, boot);
            assert_eq!(kept.reset_remotely(counter), Ok(()));
        }
        kept.lock(FaultKind::Ignition, boot);
        assert_eq!(kept.reset_remotely(6), Err(Refusal::TooMany));
        assert_eq!(kept.reset(), Err(Refusal::TooMany), "neither at the boiler");
        run(&mut kept, 8);
        start(&mut kept);
        run(&mut kept, 7);
        assert_eq!(kept.reset_remotely(6), Err(Refusal::TooMany), "still within 15 minutes");
        run(&mut kept, 1);
        assert_eq!(kept.reset_remotely(6), Ok(()));
        assert_eq!(kinds(&kept), None);
    }

    #[test]
    fn remote_reset_needs_the_number_and_may_be_local_only() {
        let mut kept = NonVolatile::default();
        let boot = kept.start(0);
        assert_eq!(kept.reset_remotely(0), Err(Refusal::NoSuchFault));
        assert_eq!(kept.reset(), Err(Refusal::NoSuchFault));
        for kind in [FaultKind::Overheat, FaultKind::SensorMismatch, FaultKind::Pump] {
            kept.lock(kind, boot);
            let counter = kept.fault_counter;
            kept.lock(FaultKind::FlameLoss, boot);
            assert_eq!((kinds(&kept), kept.fault_counter), (Some(kind), counter), "the first cause stays");
            assert_eq!(kept.reset_remotely(counter - 1), Err(Refusal::NoSuchFault));
            assert_eq!(kept.reset_remotely(counter), Err(Refusal::LocalOnly));
            assert_eq!(kept.reset(), Ok(()));
        }
    }

    #[test]
    fn minute_counter_stops_without_events() {
        let mut kept = NonVolatile::default();
        start(&mut kept);
        run(&mut kept, 1_000_000);
        assert_eq!(kept.minutes, COUNTING_MIN);
        start(&mut kept);
        run(&mut kept, 1_000_000);
        assert_eq!(kept.minutes, 2 * COUNTING_MIN);
    }
}
