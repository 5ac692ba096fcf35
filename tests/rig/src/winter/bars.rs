//! What is required of the law.

use thermowell_flow::control::Emitter;

use super::night::Night;
use super::summer::Summer;
use super::trial::{Compared, Lazy, Step};
use super::week::Outcome;

/// Share of the room influence's error that ours may have, with radiators and with a floor heating.
pub(super) const RADIATORS_MAX: f64 = 0.75;
pub(super) const FLOOR_MAX: f64 = 1.0;
/// Share of the room influence's burner starts.
pub(super) const STARTS_MAX: f64 = 1.1;
/// With a lazy boiler: share of the law's own error without integral and hourly correction.
pub(super) const LAZY_MAX: f64 = 0.6;
/// With an optimum start: share of the K·h too cold of a start at the time itself.
pub(super) const NIGHT_MAX: f64 = 0.25;
/// And share of its gas: heating all night would be in time, too.
pub(super) const NIGHT_GAS_MAX: f64 = 1.03;
/// In summer: the warmest room, against a house that nothing heats, K.
pub(super) const SUMMER_MAX_K: f64 = 0.1;
/// In BOPTEST's case: shares of the baseline's discomfort and energy.
pub(super) const BESTEST_DISCOMFORT_MAX: f64 = 0.5;
pub(super) const BESTEST_ENERGY_MAX: f64 = 1.03;
/// After a step: overshoot of the room, and remaining oscillation, K.
pub(super) const OVERSHOOT_MAX_K: f64 = 0.3;
pub(super) const RIPPLE_MAX_K: f64 = 0.1;

impl Compared {
    /// Ours ÷ room influence: room error.
    pub(super) fn error(&self) -> f64 {
        ratio(&self.ours, &self.influence, |it| it.room_rmse_k)
    }

    /// Ours ÷ room influence: burner starts.
    pub(super) fn starts(&self) -> f64 {
        ratio(&self.ours, &self.influence, |it| it.starts_per_hour)
    }

    pub(super) fn error_max(&self) -> f64 {
        match self.emitter {
            Emitter::Radiators | Emitter::FanCoil => RADIATORS_MAX,
            Emitter::Floor => FLOOR_MAX,
        }
    }

    pub(super) fn is_nearer(&self) -> bool {
        self.error() <= self.error_max()
    }

    pub(super) fn is_sparing(&self) -> bool {
        self.starts() <= STARTS_MAX
    }

    pub(super) fn is_met(&self) -> bool {
        self.is_nearer() && self.is_sparing()
    }
}

impl Lazy {
    pub(super) fn error(&self) -> f64 {
        ratio(&self.with, &self.without, |it| it.room_rmse_k)
    }

    pub(super) fn is_met(&self) -> bool {
        self.error() <= LAZY_MAX
    }
}

impl Step {
    pub(super) fn is_met(&self) -> bool {
        self.overshoot_k <= OVERSHOOT_MAX_K && self.ripple_k <= RIPPLE_MAX_K
    }
}

impl Night {
    /// Against a start at the time itself, `late`.
    pub(super) fn is_in_time(&self, late: &Self) -> bool {
        self.cold_kh_day <= NIGHT_MAX * late.cold_kh_day && self.gas_kwh_day <= NIGHT_GAS_MAX * late.gas_kwh_day
    }
}

impl Summer {
    pub(super) fn is_met(&self) -> bool {
        let warm = [self.own, self.ours, self.roomless];
        warm.iter().all(|it| it.gas_kwh_day <= 0.0 && it.room_c <= self.free_c + SUMMER_MAX_K)
    }
}

/// The word of a verdict.
pub(super) fn word(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

pub(super) fn ratio(ours: &Outcome, other: &Outcome, of: fn(&Outcome) -> f64) -> f64 {
    of(ours) / of(other)
}
