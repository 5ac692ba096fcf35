//! Set-points to the device: new ones only, each under a number that rises.
//!
//! The gateway asks, the firmware decides: what is published is the device's answer. A wish that was decided on old
//! data, or on another boot, is not passed on; the lease that the device holds then runs out by itself.
//!
//! The device takes a number once, also across restarts of this agent. So numbers come from the device's own clock,
//! ten a second, and never below one that was seen: 13 years fit into 32 bits.

use core::time::Duration;

use thermowell_wire::Slot;
use thermowell_wire::line::{Answer, Outcome, Setpoint, ToDevice};

use crate::published::Lease;
use crate::serial::Session;
use crate::time::DeviceTime;

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
}

/// Passes leases on.
#[derive(Clone, Debug)]
pub struct Actuator {
    control: bool,
    based_on: Duration,
    last: Option<Slot>,
    outcome: Option<Outcome>,
}

impl Actuator {
    /// An actuator that may send set-points, or not; `based_on` is how far behind the device's newest slot a lease's
    /// data may be.
    #[must_use]
    pub fn new(control: bool, based_on: Duration) -> Self {
        Self { control, based_on, last: None, outcome: None }
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
        let n = self.number(session, clock);
        Ok(if lease.lease_s == 0 {
            ToDevice::Release { boot, n }
        } else {
            let flow = lease.flow_centi();
            ToDevice::Setpoint(Setpoint { boot, n, demand: lease.demand, flow, lease_s: lease.lease_s })
        })
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
