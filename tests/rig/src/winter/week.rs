//! Figures of some days of heating: comfort, starts, return temperature, gas.

use firmware_sim::bench::Bench;
use firmware_sim::scenario::BoilerScenario;
use serde::Serialize;
use thermowell_device::Config;
use thermowell_wire::Reading;

use super::heating::{Author, Heating};

/// Not counted: the house begins at 20 °C everywhere, and the controller without an hour of history.
pub const SETTLE_S: u64 = 24 * 3_600;
const DAY_S: u64 = 86_400;
/// Joules in a kilowatt-hour.
pub(super) const KWH_J: f64 = 3.6e6;
/// A room within this distance of its target is neither too cold nor too warm, K: half of the 1 K of category I in
/// EN 16798-1, because the target is constant here.
pub const BAND_K: f64 = 0.5;
/// What a start costs beyond the gas that the plant burns, J: the fan blows cold air through the hot body before each
/// ignition, and burns the unstable start load badly.
pub const START_J: f64 = 12e3;

/// The figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Root of the mean squared distance of the room from its target, K.
    pub room_rmse_k: f64,
    /// Mean distance of the room from its target, K.
    pub room_bias_k: f64,
    /// Standard deviation of the room, K.
    pub room_deviation_k: f64,
    /// Integral of what the room is colder than the band, K·h in a day.
    pub cold_kh_day: f64,
    /// Integral of what the room is warmer than the band, K·h in a day.
    pub warm_kh_day: f64,
    /// Starts of the burner in an hour, draws of hot water included.
    pub starts_per_hour: f64,
    /// Mean return temperature while the burner burns for the rooms, °C.
    pub return_c: f64,
    /// Gas by its upper heating value, the losses of the starts included, kWh in a day.
    pub gas_kwh_day: f64,
    /// Hours in a day in which the burner burns for the rooms.
    pub burning_h_day: f64,
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
            room_bias_k: mean(|week| week.room_bias_k),
            room_deviation_k: mean(|week| week.room_deviation_k.powi(2)).sqrt(),
            cold_kh_day: mean(|week| week.cold_kh_day),
            warm_kh_day: mean(|week| week.warm_kh_day),
            starts_per_hour: mean(|week| week.starts_per_hour),
            return_c: mean(|week| week.return_c),
            gas_kwh_day: mean(|week| week.gas_kwh_day),
            burning_h_day: mean(|week| week.burning_h_day),
            refused: weeks.iter().map(|week| week.refused).sum(),
        }
    }
}

/// What the boiler has burnt since a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burnt {
    gas_j: f64,
    starts: u32,
}

impl Burnt {
    pub(super) fn since_now(bench: &Bench) -> Self {
        Self { gas_j: bench.account().gas_j, starts: bench.status().burner_starts }
    }

    /// Starts of the burner until now.
    pub(super) fn starts(&self, bench: &Bench) -> f64 {
        f64::from(bench.status().burner_starts - self.starts)
    }

    /// Gas until now with what the starts cost, kWh.
    pub(super) fn kwh(&self, bench: &Bench) -> f64 {
        (bench.account().gas_j - self.gas_j + START_J * self.starts(bench)) / KWH_J
    }
}

/// Heats for `days`, after a day that does not count.
#[must_use]
pub fn heat(scenario: &BoilerScenario, firmware: Config, author: Author, days: u64, target: f64) -> Outcome {
    let mut heating = Heating::new(scenario, firmware, author);
    for _ in 0..SETTLE_S {
        heating.second();
    }
    let burnt = Burnt::since_now(heating.bench());
    let (mut sum, mut squares, mut cold, mut warm) = (0.0, 0.0, 0.0, 0.0);
    let (mut return_sum, mut burning) = (0.0, 0_u64);
    let seconds = days * DAY_S;
    for _ in 0..seconds {
        heating.second();
        let signals = heating.bench().signals();
        let off = signals.room_c - target;
        sum += off;
        squares += off * off;
        cold += (-off - BAND_K).max(0.0);
        warm += (off - BAND_K).max(0.0);
        let reading: Reading = heating.bench().reading();
        if signals.flame && !reading.hot_water() {
            return_sum += signals.return_c;
            burning += 1;
        }
    }
    let (count, days) = (seconds as f64, days as f64);
    let bias = sum / count;
    Outcome {
        room_rmse_k: (squares / count).sqrt(),
        room_bias_k: bias,
        room_deviation_k: (squares / count - bias * bias).max(0.0).sqrt(),
        cold_kh_day: cold / 3_600.0 / days,
        warm_kh_day: warm / 3_600.0 / days,
        starts_per_hour: burnt.starts(heating.bench()) / (count / 3_600.0),
        return_c: return_sum / (burning.max(1) as f64),
        gas_kwh_day: burnt.kwh(heating.bench()) / days,
        burning_h_day: burning as f64 / 3_600.0 / days,
        refused: heating.refused(),
    }
}
