//! The controller, and S7: no set-point outside limits, stale or repeated, and none in force beyond its lease.
//!
//! A valid lease is requested every 15 s. In between there are invalid ones: for 150 °C or for years, based on old data
//! or on another boot, or repeated. What the device accepted is compared with what was validly requested.

use std::time::Duration;

use thermowell_flow::agent::Input;
use thermowell_flow::published::Lease;
use thermowell_wire::line::Demand;
use thermowell_wire::{Boot, CentiCelsius, Slot};

use crate::random::Random;
use crate::truth::Accepted;
use crate::world::World;

/// The firmware's own limits, from `thermowell_device::Config::default`.
const FLOW: std::ops::RangeInclusive<CentiCelsius> = CentiCelsius(2_500)..=CentiCelsius(7_500);
const LEASE_S_MAX: u16 = 120;
/// Largest age in slots of the data that a lease is based on, as in the product.
const BASED_ON_MAX: u64 = 500;
/// Tolerance for a lease that outlasts its end.
const LATE_MAX: Duration = Duration::from_secs(2);
/// Leases kept for repetition.
const SENT_MAX: usize = 8;

/// The controller. It has its own random numbers, so that one more invalid lease does not change the rest of the world.
#[derive(Debug)]
pub(crate) struct Author {
    random: Random,
    sent: Vec<Lease>,
}

impl Author {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(!seed), sent: Vec::new() }
    }
}

impl World {
    /// The lease of a controller that knows all but the newest ten slots; None while the device is off.
    pub(crate) fn valid_lease(&self) -> Option<Lease> {
        let device = self.boiler.device()?;
        Some(Lease {
            demand: Demand::Heat,
            flow: 45.0,
            lease_s: 60,
            based_on: Slot::new(device.boot(), device.next().saturating_sub(10)),
            instance: "world".to_owned(),
            created_at: 0.0,
            version: 1,
        })
    }

    /// Requests a lease, valid or not.
    pub(crate) fn ask_for_heat(&mut self) {
        let Some((boot, next)) = self.boiler.device().map(|device| (device.boot(), device.next())) else { return };
        let Some(valid) = self.valid_lease() else { return };
        let invalid = if self.calm { 0 } else { self.author.random.index(12) };
        let lease = match invalid {
            1 => Lease { flow: 150.0, ..valid },
            2 => Lease { flow: -40.0, lease_s: u16::MAX, ..valid },
            3 => Lease { based_on: Slot::new(boot, next.saturating_sub(10 + 3 * BASED_ON_MAX)), ..valid },
            4 => Lease { based_on: Slot::new(Boot(boot.0.wrapping_sub(1 << 32)), next), ..valid },
            5 | 6 if !self.author.sent.is_empty() => {
                let index = self.author.random.index(self.author.sent.len());
                self.author.sent[index].clone()
            }
            _ => valid,
        };
        self.author.sent.truncate(SENT_MAX - 1);
        self.author.sent.insert(0, lease.clone());
        let before = self.agent.written.len();
        self.feed_agent(Input::Setpoint(&lease));
        let forwarded = self.agent.written.len() > before;
        let fresh = lease.based_on.boot == boot && next.abs_diff(lease.based_on.seq) <= 2 * BASED_ON_MAX;
        self.check(fresh || !forwarded, || format!("S7 {lease:?} was forwarded to {boot} at slot {next}"));
    }

    /// The lease in force must have been accepted no longer ago than its duration.
    pub(crate) fn watch_lease(&mut self) {
        let leased = self.boiler.device().is_some_and(|device| device.is_leased());
        let Some(last) = self.truth.accepted.last().filter(|_| leased).cloned() else { return };
        let lease = Duration::from_secs(u64::from(last.lease_s)) + LATE_MAX;
        let passed = Duration::from_nanos((self.now - crate::world::START).saturating_sub(last.t_ns));
        self.check(passed <= lease, || format!("S7 {last:?} is still in force after {passed:?}"));
    }

    pub(crate) fn judge_leases(&mut self) {
        for (index, accepted) in self.truth.accepted.clone().into_iter().enumerate() {
            let Accepted { boot, n, flow, lease_s, .. } = accepted;
            let requested = self.agent.written.contains(&(boot, n));
            self.check(requested, || format!("S7 {accepted:?} was never requested"));
            let again = self.truth.accepted.iter().take(index).any(|earlier| (earlier.boot, earlier.n) == (boot, n));
            self.check(!again, || format!("S7 {accepted:?} was executed twice"));
            let overtaken = self.truth.accepted.iter().take(index).any(|earlier| earlier.boot == boot && earlier.n > n);
            self.check(!overtaken, || format!("S7 {accepted:?} was executed after a later one"));
            let within = FLOW.contains(&flow) && (1..=LEASE_S_MAX).contains(&lease_s);
            self.check(within, || format!("S7 {accepted:?} is outside the limits"));
        }
    }
}
