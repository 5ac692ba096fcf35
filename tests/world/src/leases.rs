//! Controllers and S7: nothing outside limits, nothing old or twice, and nothing for longer than its lease.
//!
//! One that means well asks every 15 s. Beside it there is one that lies: it asks for 150 °C or for years, goes by data
//! of long ago or of another boot, and sends once more what was sent before. What the device held is compared with
//! what could be asked in good faith.

use std::time::Duration;

use thermowell_flow::agent::Input;
use thermowell_flow::published::Lease;
use thermowell_wire::line::Demand;
use thermowell_wire::{Boot, CentiCelsius, Slot};

use crate::random::Random;
use crate::truth::Taken;
use crate::world::World;

/// The firmware's own limits: `thermowell_device::Config::default`.
const FLOW: std::ops::RangeInclusive<CentiCelsius> = CentiCelsius(2_500)..=CentiCelsius(7_500);
const LEASE_S_MAX: u16 = 120;
/// Seconds of slots that what a lease rests on may be off, as the product has it.
const BASED_ON_MAX: u64 = 500;
/// A lease may outlast its end by as much.
const LATE_MAX: Duration = Duration::from_secs(2);
/// Leases that are kept to be sent once more.
const SENT_MAX: usize = 8;

/// Who asks. Its dice are its own: a lie more does not make another world of everything else.
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
    /// What a controller asks for that knows the newest slot but ten; none while the device is off.
    pub(crate) fn in_good_faith(&self) -> Option<Lease> {
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

    /// Somebody asks for something, in good faith or not.
    pub(crate) fn ask_for_heat(&mut self) {
        let Some((boot, next)) = self.boiler.device().map(|device| (device.boot(), device.next())) else { return };
        let Some(good) = self.in_good_faith() else { return };
        let lie = if self.calm { 0 } else { self.author.random.index(12) };
        let lease = match lie {
            1 => Lease { flow: 150.0, ..good },
            2 => Lease { flow: -40.0, lease_s: u16::MAX, ..good },
            3 => Lease { based_on: Slot::new(boot, next.saturating_sub(10 + 3 * BASED_ON_MAX)), ..good },
            4 => Lease { based_on: Slot::new(Boot(boot.0.wrapping_sub(1 << 32)), next), ..good },
            5 | 6 if !self.author.sent.is_empty() => {
                let index = self.author.random.index(self.author.sent.len());
                self.author.sent[index].clone()
            }
            _ => good,
        };
        self.author.sent.truncate(SENT_MAX - 1);
        self.author.sent.insert(0, lease.clone());
        let before = self.agent.asked.len();
        self.tell_agent(Input::Setpoint(&lease));
        let passed_on = self.agent.asked.len() > before;
        let fresh = lease.based_on.boot == boot && next.abs_diff(lease.based_on.seq) <= 2 * BASED_ON_MAX;
        self.check(fresh || !passed_on, || format!("S7 {lease:?} was passed on to {boot} at slot {next}"));
    }

    /// What the device obeys now, it was asked for a moment ago.
    pub(crate) fn watch_lease(&mut self) {
        let leased = self.boiler.device().is_some_and(|device| device.is_leased());
        let Some(last) = self.truth.taken.last().filter(|_| leased).cloned() else { return };
        let lease = Duration::from_secs(u64::from(last.lease_s)) + LATE_MAX;
        let passed = Duration::from_nanos((self.now - crate::world::START).saturating_sub(last.t_ns));
        self.check(passed <= lease, || format!("S7 {passed:?} after {last:?} it is still obeyed"));
    }

    pub(crate) fn judge_leases(&mut self) {
        for (index, taken) in self.truth.taken.clone().into_iter().enumerate() {
            let Taken { boot, n, flow, lease_s, .. } = taken;
            let asked = self.agent.asked.contains(&(boot, n));
            self.check(asked, || format!("S7 nobody asked for {taken:?}"));
            let again = self.truth.taken.iter().take(index).any(|earlier| (earlier.boot, earlier.n) == (boot, n));
            self.check(!again, || format!("S7 {taken:?} was executed twice"));
            let overtaken = self.truth.taken.iter().take(index).any(|earlier| earlier.boot == boot && earlier.n > n);
            self.check(!overtaken, || format!("S7 {taken:?} was executed behind a later one"));
            let within = FLOW.contains(&flow) && (1..=LEASE_S_MAX).contains(&lease_s);
            self.check(within, || format!("S7 {taken:?} is outside the limits"));
        }
    }
}
