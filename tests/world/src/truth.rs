//! The account of the boiler: what it sampled and lost.

use firmware_sim::account::{Entry, Event, true_ns};
use thermowell_wire::{Boot, CentiCelsius, Reading};

#[derive(Clone, Debug)]
pub(crate) struct BootRecord {
    pub(crate) boot: Boot,
    /// True UTC of slot 0, in nanoseconds.
    pub(crate) utc_ns: i64,
    pub(crate) period_us: u32,
    pub(crate) drift_ppb: i64,
    pub(crate) slots: Vec<Option<Reading>>,
}

impl BootRecord {
    /// True UTC of a slot.
    pub(crate) fn utc_of(&self, seq: u64) -> i64 {
        let since_ns = true_ns(u128::from(seq) * u128::from(self.period_us) * 1_000, self.drift_ppb);
        self.utc_ns + i64::try_from(since_ns).unwrap_or(i64::MAX)
    }

    pub(crate) fn reading(&self, seq: u64) -> Option<Option<Reading>> {
        self.slots.get(usize::try_from(seq).ok()?).copied()
    }
}

/// A set-point that the device accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Time since the begin of the world.
    pub(crate) t_ns: u64,
    pub(crate) boot: Boot,
    pub(crate) n: u32,
    /// Clamped by the device.
    pub(crate) flow: CentiCelsius,
    pub(crate) lease_s: u16,
}

/// The account of one boiler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    pub(crate) boots: Vec<BootRecord>,
    pub(crate) accepted: Vec<Accepted>,
    /// Slots that the ring had overwritten when they were requested: boot, first slot, end.
    pub(crate) overwritten: Vec<(Boot, u64, u64)>,
}

impl Truth {
    pub(crate) fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::Slot(reading) => {
                if let Some(boot) = self.boots.last_mut() {
                    boot.slots.push(reading);
                }
            }
            Entry::Event(Event::Boot { boot, utc_ns, period_us, drift_ppb, .. }) => {
                self.boots.push(BootRecord { boot, utc_ns, period_us, drift_ppb, slots: Vec::new() });
            }
            Entry::Event(Event::Lease { t_ns, boot, n, flow, lease_s }) => {
                self.accepted.push(Accepted { t_ns, boot, n, flow, lease_s });
            }
            Entry::Event(Event::Ring { boot, from, to, .. }) => self.overwritten.push((boot, from, to)),
            Entry::Event(
                Event::End { .. }
                | Event::Missed { .. }
                | Event::Unplug { .. }
                | Event::Plug { .. }
                | Event::OwnControl { .. }
                | Event::OwnHeat { .. },
            ) => {}
        }
    }

    pub(crate) fn boot(&self, boot: Boot) -> Option<&BootRecord> {
        self.boots.iter().find(|record| record.boot == boot)
    }

    pub(crate) fn samples(&self) -> u64 {
        self.boots.iter().map(|boot| u64::try_from(boot.slots.len()).unwrap_or(0)).sum()
    }
}
