//! Set-points to the device: new ones only, each under a number that rises.
//!
//! The gateway requests, the firmware decides: the device's answer is published. A lease that is based on old data, on
//! another boot, or on older data than one already sent (a replay, or an overtaken lease) is not sent; the lease that
//! the device holds then expires. The device applies its own limits and returns the result in its answer.
//!
//! ```text
//!   lease ──▶ may control? ──▶ a device, its clock? ──▶ its boot? ──▶ ≤ 5 s of slots off? ──▶ not overtaken? ──▶ line
//!                  └────────────────┴────────── no: declined, counted ────┴─────────────────────────┘
//! ```
//!
//! The device accepts each number once, also across restarts of this agent. So numbers are derived from the device's
//! clock, ten a second, and always exceed those already seen: 13 years fit into 32 bits.

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

/// Why a lease or a reset is not sent to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// This agent is not configured to send set-points.
    #[error("control is off")]
    ControlOff,
    /// No device, or its clock is not known yet.
    #[error("no device")]
    NoDevice,
    /// Based on another boot than the device's.
    #[error("it is based on {based_on}, which is another boot")]
    OtherBoot { based_on: Slot },
    /// Based on slots too far from the device's newest one.
    #[error("it is based on {based_on}, the device is at {newest}")]
    Stale {
        based_on: Slot,
        /// The device's newest slot.
        newest: u64,
    },
    /// The reset has expired.
    #[error("it has expired")]
    Late,
    /// The device does not report this lockout.
    #[error("the device is not locked out by fault {fault}")]
    NoSuchFault { fault: Occurrence },
    /// A lease based on later slots has already been sent.
    #[error("it is based on {based_on}, one based on slot {sent} has already been sent")]
    Overtaken {
        based_on: Slot,
        /// The slot on which the later one is based.
        sent: u64,
    },
}

/// Turns leases and resets into requests to the device.
#[derive(Clone, Debug)]
pub struct Actuator {
    control: bool,
    based_on: Duration,
    /// The last number used, as a slot of its boot.
    last: Option<Slot>,
    /// The slot on which the last lease sent was based.
    sent: Option<Slot>,
    outcome: Option<Outcome>,
    /// The last reset sent: the fault, and the boot and number of the request.
    reset: Option<(Occurrence, Slot)>,
}

impl Actuator {
    /// `control`: whether it may send requests. `based_on`: the largest distance of a lease's data from the device's
    /// newest slot.
    #[must_use]
    pub fn new(control: bool, based_on: Duration) -> Self {
        Self { control, based_on, last: None, sent: None, outcome: None, reset: None }
    }

    /// The request for `lease`. `clock` is the device's clock now.
    ///
    /// # Errors
    /// [`Declined`]: an operating condition.
    pub fn request(
        &mut self,
        lease: &Lease,
        session: Option<&Session>,
        clock: Option<DeviceTime>,
    ) -> Result<ToDevice, Declined> {
        if !self.control {
            return Err(Declined::ControlOff);
        }
        let (Some(session), Some(clock)) = (session, clock) else { return Err(Declined::NoDevice) };
        let based_on = lease.based_on;
        let boot = session.boot();
        if based_on.boot != boot {
            return Err(Declined::OtherBoot { based_on });
        }
        let period_ns = u128::from(session.period_ns()).max(1);
        let slots = u64::try_from(self.based_on.as_nanos() / period_ns).unwrap_or(u64::MAX);
        // The device reports its position once a second; in between it follows from its clock.
        let newest = session.next.max(clock.0 / u64::from(session.hello.period_us).max(1));
        if based_on.seq.abs_diff(newest) > slots {
            return Err(Declined::Stale { based_on, newest });
        }
        let before = self.sent.filter(|before| before.boot == boot && before.seq > based_on.seq);
        if let Some(before) = before {
            return Err(Declined::Overtaken { based_on, sent: before.seq });
        }
        self.sent = Some(based_on);
        let n = self.number(session, clock);
        Ok(if lease.lease_s == 0 {
            ToDevice::Release { boot, n }
        } else {
            let flow = lease.flow_centi();
            ToDevice::Setpoint(Setpoint { boot, n, demand: lease.demand, flow, lease_s: lease.lease_s })
        })
    }

    /// The request for `reset`. `clock` is the device's clock now.
    ///
    /// # Errors
    /// [`Declined`]: an operating condition.
    pub fn reset(
        &mut self,
        now: Utc,
        reset: &Reset,
        session: Option<&Session>,
        clock: Option<DeviceTime>,
    ) -> Result<ToDevice, Declined> {
        if !self.control {
            return Err(Declined::ControlOff);
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

    /// The fault whose reset the device answers; `None` if it answers another request.
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

    /// Takes the device's answer; returns it if the outcome differs from the last one.
    pub fn answer(&mut self, answer: &Answer, session: Option<&Session>) -> Option<Answer> {
        if session.is_none_or(|session| session.boot() != answer.boot) {
            return None;
        }
        let last = self.last.filter(|last| last.boot == answer.boot).map_or(0, |last| last.seq);
        self.last = Some(Slot::new(answer.boot, last.max(u64::from(answer.n))));
        (self.outcome.replace(answer.outcome) != Some(answer.outcome)).then_some(*answer)
    }
}
