//! The boiler's own reports: draws, lockouts, active and refused set-points, burner starts.

use core::time::Duration;

use heapless::Deque;
use thermowell_wire::Boot;
use thermowell_wire::line::{BoilerState, Demand, Fault, Refusal};

use crate::control::centi;
use crate::published::{DeviceStatus, Outcome};
use crate::time::Monotonic;

/// Time after a draw until the flow temperature is that of the heating circuit again.
const DRAW_REST: Duration = Duration::from_secs(120);
/// More starts than this in an hour wear out a burner. Starts for hot water do not count: they are not caused by
/// control.
const STARTS_MAX: usize = 3;
const STARTS_WITHIN: Duration = Duration::from_secs(3_600);

/// The boiler's state, from its statuses and answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Boiler {
    draw_at: Option<Monotonic>,
    locked: bool,
    blocked: bool,
    fault: Option<Fault>,
    /// The flow temperature of the active lease, and its end.
    obeys: Option<(i64, Monotonic)>,
    /// It refused a set-point because of an override at its panel.
    at_panel: bool,
    /// Since when it has not obeyed an active request.
    ignored_since: Option<Monotonic>,
    counted: Option<(Boot, u32)>,
    /// The last burner starts for the rooms: one more than allowed.
    starts: Deque<Monotonic, { STARTS_MAX + 1 }>,
    /// When the limit was last exceeded.
    cycled_at: Option<Monotonic>,
}

impl Boiler {
    /// Takes a status. `asked`: a request is active.
    pub(super) fn take(&mut self, device: &DeviceStatus, asked: bool, now: Monotonic) {
        if device.hot_water {
            self.draw_at = Some(now);
        }
        self.locked = device.state == BoilerState::Lockout;
        self.blocked = device.state == BoilerState::Blocked;
        self.fault = device.fault;
        self.obeys = device.setpoint.filter(|setpoint| setpoint.demand == Demand::Heat).map(|setpoint| {
            let left = Duration::try_from_secs_f64(setpoint.lease_left_s).unwrap_or_default();
            (centi(setpoint.flow), now.after(left))
        });
        if device.setpoint.is_some() {
            (self.at_panel, self.ignored_since) = (false, None);
        } else if asked {
            self.ignored_since.get_or_insert(now);
        } else {
            self.ignored_since = None;
        }
        self.count(device, now);
    }

    /// The device's answer to a set-point.
    pub(super) fn answered(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted { .. } => (self.at_panel, self.ignored_since) = (false, None),
            Outcome::Refused(Refusal::Panel) => self.at_panel = true,
            // These show in the status, or end with the next renewal.
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

    /// Counts burner starts since the last status, except those of unknown time (first status, another boot).
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

    /// Whether the burner has started too often within the last hour: one alarm as long as this lasts.
    pub(super) fn is_cycling(&self, now: Monotonic) -> bool {
        self.cycled_at.is_some_and(|at| now.since(at) <= STARTS_WITHIN)
    }

    /// Number of recorded starts for the rooms.
    pub(super) fn starts(&self) -> u32 {
        u32::try_from(self.starts.len()).expect("at most four")
    }

    /// Whether hot water is or was just drawn.
    pub(super) fn is_drawing(&self, now: Monotonic) -> bool {
        self.draw_at.is_some_and(|at| now.since(at) < DRAW_REST)
    }

    /// The lockout, if any, and its fault, if reported.
    pub(super) fn lockout(&self) -> Option<Option<Fault>> {
        self.locked.then_some(self.fault)
    }

    /// Whether a limit holds the burner off.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether it refuses requests: by an answer, or by not obeying for a whole lease.
    pub(super) fn is_refusing(&self, lease: Duration, now: Monotonic) -> bool {
        self.at_panel || self.ignored_since.is_some_and(|since| now.since(since) >= lease)
    }

    /// The flow temperature of the active lease, centi-degrees.
    pub(super) fn obeys(&self, now: Monotonic) -> Option<i64> {
        self.obeys.filter(|(_, until)| now < *until).map(|(flow_centi, _)| flow_centi)
    }
}
