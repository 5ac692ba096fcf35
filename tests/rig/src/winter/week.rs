//! Figures of some days of heating: comfort, starts, return temperature, gas.

use firmware_sim::scenario::BoilerScenario;
use serde::Serialize;
use thermowell_device::HeatingCurve;
use thermowell_wire::Reading;

use super::heating::{Author, Heating};

/// Not counted: the house begins at 20 °C everywhere, and the controller without an hour of history.
const SETTLE_S: u64 = 6 * 3_600;
const DAY_S: u64 = 86_400;
/// Joules in a kilowatt-hour.
const KWH_J: f64 = 3.6e6;

/// The figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Root of the mean squared distance of the room from its target, K.
    pub room_rmse_k: f64,
    /// Starts of the burner in an hour, draws of hot water included.
    pub starts_per_hour: f64,
    /// Mean return temperature while the burner burns for the rooms, °C.
    pub return_c: f64,
    /// Gas by its upper heating value, kWh in a day.
    pub gas_kwh_day: f64,
    /// Mean distance of the room from its target, K.
    pub room_bias_k: f64,
    /// Leases that the firmware refused.
    pub refused: u64,
}

impl Outcome {
    /// The mean of equally long weeks.
    #[must_use]
    pub fn together(weeks: &[Self]) -> Self {
        let count = weeks.len() as f64;
        let mean = |of: fn(&Self) -> f64| weeks.iter().map(of).sum::<f64>() / count;
        Self {
            room_rmse_k: mean(|week| week.room_rmse_k.powi(2)).sqrt(),
            starts_per_hour: mean(|week| week.starts_per_hour),
            return_c: mean(|week| week.return_c),
            gas_kwh_day: mean(|week| week.gas_kwh_day),
            room_bias_k: mean(|week| week.room_bias_k),
            refused: weeks.iter().map(|week| week.refused).sum(),
        }
    }
}

/// Heats for `days`, after six hours that do not count.
#[must_use]
pub fn heat(scenario: &BoilerScenario, own: HeatingCurve, author: Author, days: u64, target: f64) -> Outcome {
    let mut heating = Heating::new(scenario, own, author);
    for _ in 0..SETTLE_S {
        heating.second();
    }
    let (starts, gas_j) = (heating.bench().status().burner_starts, heating.bench().account().gas_j);
    let (mut sum, mut squares) = (0.0, 0.0);
    let (mut return_sum, mut burning) = (0.0, 0_u64);
    let seconds = days * DAY_S;
    for _ in 0..seconds {
        heating.second();
        let signals = heating.bench().signals();
        let off = signals.room_c - target;
        sum += off;
        squares += off * off;
        let reading: Reading = heating.bench().reading();
        if signals.flame && !reading.hot_water() {
            return_sum += signals.return_c;
            burning += 1;
        }
    }
    let started = heating.bench().status().burner_starts - starts;
    let count = seconds as f64;
    Outcome {
        room_rmse_k: (squares / count).sqrt(),
        starts_per_hour: f64::from(started) / (count / 3_600.0),
        return_c: return_sum / (burning.max(1) as f64),
        gas_kwh_day: (heating.bench().account().gas_j - gas_j) / KWH_J / days as f64,
        room_bias_k: sum / count,
        refused: heating.refused(),
    }
}
