//! What the boiler itself says: draws, lockouts, what it obeys and what it refuses, and how often its burner starts.

use core::time::Duration;

use heapless::Deque;
use thermowell_wire::Boot;
use thermowell_wire::line::{BoilerState, Demand, Fault, Refusal};

use crate::control::centi;
use crate::published::{DeviceStatus, Outcome};
use crate::time::Monotonic;

/// After a draw the flow sensor needs that long to tell about the rooms again.
const DRAW_REST: Duration = Duration::from_secs(120);
/// More starts than this in an hour wear a burner out. Those for the tap do not count: people turn it on.
const STARTS_MAX: usize = 3;
const STARTS_WITHIN: Duration = Duration::from_secs(3_600);

/// The boiler as its statuses and answers show it.
#[derive(Clone, Debug, Default)]
pub(super) struct Boiler {
    draw_at: Option<Monotonic>,
    locked: bool,
    fault: Option<Fault>,
    /// The flow temperature that it obeys, and until when.
    obeys: Option<(i64, Monotonic)>,
    /// It refused a set-point, because somebody has set it by hand.
    at_panel: bool,
    /// Since when something stands asked that it does not obey.
    unheeded_since: Option<Monotonic>,
    counted: Option<(Boot, u32)>,
    /// When the burner started for the rooms: one more than may be.
    starts: Deque<Monotonic, { STARTS_MAX + 1 }>,
    /// When there was one too many last.
    cycled_at: Option<Monotonic>,
}

impl Boiler {
    /// `asked`: something was asked that has not ended.
    pub(super) fn take(&mut self, device: &DeviceStatus, asked: bool, now: Monotonic) {
        if device.hot_water {
            self.draw_at = Some(now);
        }
        self.locked = device.state == BoilerState::Lockout;
        self.fault = device.fault;
        self.obeys = device.setpoint.filter(|setpoint| setpoint.demand == Demand::Heat).map(|setpoint| {
            let left = Duration::try_from_secs_f64(setpoint.lease_left_s).unwrap_or_default();
            (centi(setpoint.flow), now.after(left))
        });
        if device.setpoint.is_some() {
            (self.at_panel, self.unheeded_since) = (false, None);
        } else if asked {
            self.unheeded_since.get_or_insert(now);
        } else {
            self.unheeded_since = None;
        }
        self.count(device, now);
    }

    /// The device's answer to a set-point.
    pub(super) fn answered(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted { .. } => (self.at_panel, self.unheeded_since) = (false, None),
            Outcome::Refused(Refusal::Panel) => self.at_panel = true,
            // What these mean shows in the status, or passes with the next renewal.
            Outcome::Refused(
                Refusal::Boot
                | Refusal::Order
                | Refusal::Lockout
                | Refusal::NoSuchFault
                | Refusal::LocalOnly
                | Refusal::TooMany
                | Refusal::Lease,
            ) => {}
        }
    }

    /// Starts of the burner since the last status. One whose time nobody saw (a first status, another boot) is not one.
    fn count(&mut self, device: &DeviceStatus, now: Monotonic) {
        let before = self.counted.replace((device.boot, device.burner_starts));
        let before = before.filter(|(boot, _)| *boot == device.boot).map_or(device.burner_starts, |(_, starts)| starts);
        if device.hot_water {
            return;
        }
        let started = usize::try_from(device.burner_starts.saturating_sub(before)).unwrap_or(usize::MAX);
        for _ in 0..started.min(STARTS_MAX + 1) {
            if self.starts.is_full() {
                self.starts.pop_front();
            }
            self.starts.push_back(now).expect("the oldest has just left");
            let first = self.starts.front().filter(|_| self.starts.is_full());
            if first.is_some_and(|first| now.since(*first) <= STARTS_WITHIN) {
                self.cycled_at = Some(now);
            }
        }
    }

    /// The burner starts too often, or did within the last hour: one alarm for as long as it goes on.
    pub(super) fn is_cycling(&self, now: Monotonic) -> bool {
        self.cycled_at.is_some_and(|at| now.since(at) <= STARTS_WITHIN)
    }

    /// The last starts for the rooms that are remembered.
    pub(super) fn starts(&self) -> u32 {
        u32::try_from(self.starts.len()).expect("a handful")
    }

    /// Hot water is drawn, or was until just now.
    pub(super) fn is_drawing(&self, now: Monotonic) -> bool {
        self.draw_at.is_some_and(|at| now.since(at) < DRAW_REST)
    }

    /// Locked out, by which fault if it says so.
    pub(super) fn lockout(&self) -> Option<Option<Fault>> {
        self.locked.then_some(self.fault)
    }

    /// It does not do what it is asked: it said why, or a whole lease has passed.
    pub(super) fn is_refusing(&self, lease: Duration, now: Monotonic) -> bool {
        self.at_panel || self.unheeded_since.is_some_and(|since| now.since(since) >= lease)
    }

    /// The flow temperature that it obeys now, centi-degrees.
    pub(super) fn obeys(&self, now: Monotonic) -> Option<i64> {
        self.obeys.filter(|(_, until)| now < *until).map(|(flow_centi, _)| flow_centi)
    }
}
