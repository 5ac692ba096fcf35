//! Set-points to the device: new ones only, each under a number that rises.
//!
//! The gateway asks, the firmware decides: what is published is the device's answer. A wish that was decided on old
//! data, on another boot, or before one that was passed on (a replay, or an overtaken one) goes no further; the lease
//! that the device holds then runs out by itself. Limits are the device's own: its answer says what it made of them.
//!
//! ```text
//!   lease ──▶ may control? ──▶ a device, its clock? ──▶ its boot? ──▶ ≤ 5 s of slots off? ──▶ not overtaken? ──▶ line
//!                  └────────────────┴────────── no: declined, counted ────┴─────────────────────────┘
//! ```
//!
//! The device takes a number once, also across restarts of this agent. So numbers come from the device's own clock,
//! ten a second, and never below one that was seen: 13 years fit into 32 bits.

use core::time::Duration;

use thermowell_wire::line::{Answer, Outcome, Setpoint, ToDevice};
use thermowell_wire::{Occurrence, Slot};

use crate::published::{Lease, Reset};
use crate::serial::Session;
use crate::time::{DeviceTime, Utc};

#[cfg(test)]
mod tests;

/// Microseconds of device time per number.
const NUMBER_US: u64 = 100_000;

/// Why a lease is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// This agent may not send set-points.
    #[error("control is off")]
    NotControlling,
    /// No device, or none whose clock is known.
    #[error("no device")]
    NoDevice,
    /// Decided on another boot than the device's.
    #[error("it was decided on {based_on}, which is another boot")]
    OtherBoot {
        /// What it was decided on.
        based_on: Slot,
    },
    /// Decided on slots that are too far from the device's newest.
    #[error("it was decided on {based_on}, the device is at {newest}")]
    Stale {
        /// What it was decided on.
        based_on: Slot,
        /// The device's newest.
        newest: u64,
    },
    /// The order of a reset has ended.
    #[error("its time is over")]
    Late,
    /// The device does not report this lockout.
    #[error("the device is not locked out by fault {fault}")]
    NoSuchFault {
        /// The fault that is meant.
        fault: Occurrence,
    },
    /// One that was decided later has been passed on.
    #[error("it was decided on {based_on}, behind it one on slot {passed_on} has been passed on")]
    Overtaken {
        /// What it was decided on.
        based_on: Slot,
        /// What the later one was decided on.
        passed_on: u64,
    },
}

/// Passes leases on.
#[derive(Clone, Debug)]
pub struct Actuator {
    control: bool,
    based_on: Duration,
    /// The number that was used last, as the slot of a boot.
    last: Option<Slot>,
    /// What the last lease that was passed on was decided on.
    passed_on: Option<Slot>,
    outcome: Option<Outcome>,
    /// The reset that was sent last: which fault, in which boot, under which number.
    reset: Option<(Occurrence, Slot)>,
}

impl Actuator {
    /// An actuator that may send set-points, or not; `based_on` is how far behind the device's newest slot a lease's
    /// data may be.
    #[must_use]
    pub fn new(control: bool, based_on: Duration) -> Self {
        Self { control, based_on, last: None, passed_on: None, outcome: None, reset: None }
    }

    /// The request that stands for `lease`, or why there is none. `clock` is the device's, now.
    ///
    /// # Errors
    /// See [`Declined`]: operating conditions.
    pub fn request(
        &mut self,
        lease: &Lease,
        session: Option<&Session>,
        clock: Option<DeviceTime>,
    ) -> Result<ToDevice, Declined> {
        if !self.control {
            return Err(Declined::NotControlling);
        }
        let (Some(session), Some(clock)) = (session, clock) else { return Err(Declined::NoDevice) };
        let based_on = lease.based_on;
        let boot = session.boot();
        if based_on.boot != boot {
            return Err(Declined::OtherBoot { based_on });
        }
        let period_ns = u128::from(session.period_ns()).max(1);
        let slots = u64::try_from(self.based_on.as_nanos() / period_ns).unwrap_or(u64::MAX);
        // Once a second the device says where it is; in between its clock does.
        let newest = session.next.max(clock.0 / u64::from(session.hello.period_us).max(1));
        if based_on.seq.abs_diff(newest) > slots {
            return Err(Declined::Stale { based_on, newest });
        }
        let before = self.passed_on.filter(|before| before.boot == boot && before.seq > based_on.seq);
        if let Some(before) = before {
            return Err(Declined::Overtaken { based_on, passed_on: before.seq });
        }
        self.passed_on = Some(based_on);
        let n = self.number(session, clock);
        Ok(if lease.lease_s == 0 {
            ToDevice::Release { boot, n }
        } else {
            let flow = lease.flow_centi();
            ToDevice::Setpoint(Setpoint { boot, n, demand: lease.demand, flow, lease_s: lease.lease_s })
        })
    }

    /// The request that stands for `reset`, or why there is none. `clock` is the device's, now.
    ///
    /// # Errors
    /// See [`Declined`]: operating conditions.
    pub fn reset(
        &mut self,
        now: Utc,
        reset: &Reset,
        session: Option<&Session>,
        clock: Option<DeviceTime>,
    ) -> Result<ToDevice, Declined> {
        if !self.control {
            return Err(Declined::NotControlling);
        }
        if now.unix_seconds() >= reset.valid_until {
            return Err(Declined::Late);
        }
        let (Some(session), Some(clock)) = (session, clock) else { return Err(Declined::NoDevice) };
        let fault = session.status.as_ref().and_then(|status| status.fault).filter(|fault| fault.lockout);
        if fault.map(Occurrence::from) != Some(reset.fault) {
            return Err(Declined::NoSuchFault { fault: reset.fault });
        }
        let (boot, n) = (session.boot(), self.number(session, clock));
        self.reset = Some((reset.fault, Slot::new(boot, u64::from(n))));
        Ok(ToDevice::Reset { boot, n, fault: reset.fault.counter })
    }

    /// The fault whose reset the device answers here; none where it answers something else.
    pub fn answers_reset(&mut self, answer: &Answer) -> Option<Occurrence> {
        let sent = Slot::new(answer.boot, u64::from(answer.n));
        self.reset.take_if(|(_, slot)| *slot == sent).map(|(fault, _)| fault)
    }

    fn number(&mut self, session: &Session, clock: DeviceTime) -> u32 {
        let boot = session.boot();
        let by_clock = clock.0 / NUMBER_US;
        let active = session.status.as_ref().and_then(|status| status.setpoint).map_or(0, |active| u64::from(active.n));
        let last = self.last.filter(|last| last.boot == boot).map_or(0, |last| last.seq);
        let n = by_clock.max(active + 1).max(last + 1);
        self.last = Some(Slot::new(boot, n));
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// The device's answer; returns it where the outcome is another than last time.
    pub fn answer(&mut self, answer: &Answer, session: Option<&Session>) -> Option<Answer> {
        if session.is_none_or(|session| session.boot() != answer.boot) {
            return None;
        }
        let last = self.last.filter(|last| last.boot == answer.boot).map_or(0, |last| last.seq);
        self.last = Some(Slot::new(answer.boot, last.max(u64::from(answer.n))));
        (self.outcome.replace(answer.outcome) != Some(answer.outcome)).then_some(*answer)
    }
}
