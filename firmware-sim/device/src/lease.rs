//! Set-points with an end. Whatever happens on the gateway's side, the boiler forgets them when they end.
//!
//! | a set-point that | is |
//! |---|---|
//! | names another boot (it waited in a port, or in a cable) | refused, *boot* |
//! | has a number that was used, or a smaller one (replayed, overtaken) | refused, *order* |
//! | comes while the burner is locked out | refused, *lockout* |
//! | comes while somebody has set the boiler by hand | refused, *panel* |
//! | lasts 0 s | refused, *lease* |
//! | is outside the installer's limits, or longer than 120 s | accepted within them; the answer says what is held |
//!
//! The first objection is the one that is told. A frame carries no time, so one that was *late* within its boot is
//! obeyed if nothing newer has come: at most once, and no longer than its own lease. Who gives leases keeps late ones
//! from the line.

use thermowell_wire::line::{ActiveSetpoint, Demand, Refusal, Setpoint};
use thermowell_wire::{Boot, CentiCelsius};

use crate::Config;

/// A set-point that is obeyed now.
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

/// The lease, and the numbers that were used.
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

    /// The lease that runs.
    pub(crate) fn current(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Ends the lease whose time has come, and returns it.
    pub(crate) fn expire(&mut self, now_us: u64) -> Option<Lease> {
        self.lease.take_if(|lease| now_us >= lease.ends_us)
    }

    /// Ends the lease that runs, because something at the boiler goes before it, and returns it.
    pub(crate) fn end(&mut self) -> Option<Lease> {
        self.lease.take()
    }

    /// Takes a set-point within the limits of `config`. `objection` is what the boiler itself has against any.
    ///
    /// What is refused has used up its number: a copy of it that comes when the objection is gone is refused as well.
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

    /// Ends the lease at once, and returns it.
    pub(crate) fn release(&mut self, boot: Boot, n: u32) -> Result<Option<Lease>, Refusal> {
        self.check(boot, n)?;
        Ok(self.lease.take())
    }

    /// What acts on the boiler names this boot and a number that has not been used.
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
