//! Leases: set-points that expire. Whatever happens on the gateway's side, the boiler drops them at their end.
//!
//! | a set-point | is |
//! |---|---|
//! | for another boot (it waited in a port or adapter) | refused, *boot* |
//! | with a number that is not above the last one (replayed, overtaken) | refused, *order* |
//! | during a lockout | refused, *lockout* |
//! | while the boiler is set by hand | refused, *panel* |
//! | for 0 s | refused, *lease* |
//! | outside the installer's limits, or longer than 120 s | clamped and accepted; the answer has the clamped values |
//!
//! The first reason that applies is reported. A frame has no timestamp, so a *late* one of the same boot is accepted if
//! nothing newer has arrived: at most once, and for no longer than its own lease. The sender must keep late set-points
//! off the line.

use thermowell_wire::line::{ActiveSetpoint, Demand, Refusal, Setpoint};
use thermowell_wire::{Boot, CentiCelsius};

use crate::Config;

/// The set-point in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) n: u32,
    pub(crate) demand: Demand,
    /// Within the installer's limits.
    pub(crate) flow: CentiCelsius,
    pub(crate) lease_s: u16,
    pub(crate) ends_us: u64,
}

impl Lease {
    /// As `Status` reports it at `now_us`.
    pub(crate) fn active(&self, now_us: u64) -> ActiveSetpoint {
        let left_ms = self.ends_us.saturating_sub(now_us) / 1_000;
        let lease_left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        ActiveSetpoint { n: self.n, demand: self.demand, flow: self.flow, lease_left_ms }
    }
}

/// The current lease, and the highest number used.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    boot: Boot,
    newest_n: Option<u32>,
    lease: Option<Lease>,
}

impl Leases {
    pub(crate) fn new(boot: Boot) -> Self {
        Self { boot, newest_n: None, lease: None }
    }

    pub(crate) fn current(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Ends the lease if it has expired, and returns it.
    pub(crate) fn expire(&mut self, now_us: u64) -> Option<Lease> {
        self.lease.take_if(|lease| now_us >= lease.ends_us)
    }

    /// Ends the lease because a lockout or the panel overrides it, and returns it.
    pub(crate) fn end(&mut self) -> Option<Lease> {
        self.lease.take()
    }

    /// Accepts a set-point within the limits of `config`. `objection` is the boiler's own reason to refuse any.
    ///
    /// A refused set-point has used up its number: a copy that arrives later is refused as well.
    pub(crate) fn ask(
        &mut self,
        setpoint: &Setpoint,
        objection: Option<Refusal>,
        config: &Config,
        now_us: u64,
    ) -> Result<Lease, Refusal> {
        self.check(setpoint.boot, setpoint.n)?;
        if let Some(refusal) = objection {
            return Err(refusal);
        }
        if setpoint.lease_s == 0 {
            return Err(Refusal::Lease);
        }
        let lease_s = setpoint.lease_s.min(config.lease_s_max);
        let lease = Lease {
            n: setpoint.n,
            demand: setpoint.demand,
            flow: setpoint.flow.min(config.flow_max).max(config.flow_min),
            lease_s,
            ends_us: now_us.saturating_add(u64::from(lease_s) * 1_000_000),
        };
        self.lease = Some(lease);
        Ok(lease)
    }

    /// Ends the lease early, and returns it.
    pub(crate) fn release(&mut self, boot: Boot, n: u32) -> Result<Option<Lease>, Refusal> {
        self.check(boot, n)?;
        Ok(self.lease.take())
    }

    /// Requires this boot and a number above the last one, then uses the number up.
    pub(crate) fn check(&mut self, boot: Boot, n: u32) -> Result<(), Refusal> {
        if boot != self.boot {
            return Err(Refusal::Boot);
        }
        if self.newest_n.is_some_and(|newest| n <= newest) {
            return Err(Refusal::Order);
        }
        self.newest_n = Some(n);
        Ok(())
    }
}
