//! The house, the weather and the law of a simulation.

use std::time::Duration;

use anyhow::{Context as _, Result};
use firmware_sim::scenario::{BoilerScenario, Scenario};
use serde::Deserialize;
use thermowell_device::HeatingCurve;
use thermowell_flow::control::{Curve, CurvePoint, Emitter, Law, Period, Schedule};
use thermowell_wire::CentiCelsius;

/// The committed parameters.
const COMMITTED: &str = include_str!("../../../../config/winter.toml");

/// The parameters, as `config/winter.toml` has them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Target of the room temperature, °C.
    pub target: f64,
    /// The heating curve of the boiler and of the law.
    pub curve: TwoPoints,
    /// The law's other parameters.
    pub law: Gains,
}

/// A line through two points.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoPoints {
    /// The cold end.
    pub cold: Point,
    /// The warm end.
    pub warm: Point,
}

/// A point of the heating curve, °C.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Outdoor temperature.
    pub outdoor: f64,
    /// Flow temperature.
    pub flow: f64,
}

/// The law's gains and limits.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gains {
    /// K of flow per K below the room's target.
    pub kp: f64,
    /// Gain of the last hour's deviation.
    pub k: f64,
    /// Lowest flow temperature, °C.
    pub flow_min: f64,
    /// Highest flow temperature, °C.
    pub flow_max: f64,
}

impl Parameters {
    /// The committed parameters.
    ///
    /// # Errors
    /// The file is malformed.
    pub fn committed() -> Result<Self, toml::de::Error> {
        Self::parse(COMMITTED)
    }

    /// Parses the parameters.
    ///
    /// # Errors
    /// The text is malformed.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The law for the product's controller.
    #[must_use]
    pub fn law(&self) -> Law {
        let point = |point: Point| CurvePoint { outdoor: point.outdoor, flow: point.flow };
        Law {
            curve: Curve { cold: point(self.curve.cold), warm: point(self.curve.warm) },
            schedule: Schedule { offset_s: 0, periods: vec![Period { from_s: 0, target: self.target }] },
            kp: self.law.kp,
            ki: 1.0,
            heating_limit: 15.0,
            emitter: Emitter::Radiators,
            k: self.law.k,
            flow_min: self.law.flow_min,
            flow_max: self.law.flow_max,
            lease_s: 60,
            renew: Duration::from_secs(15),
        }
    }

    /// The same curve for the boiler's own control.
    #[must_use]
    pub fn own(&self) -> HeatingCurve {
        let point = |point: Point| thermowell_device::CurvePoint {
            outdoor: CentiCelsius::from_celsius(point.outdoor),
            flow: CentiCelsius::from_celsius(point.flow),
        };
        let TwoPoints { cold, warm } = self.curve;
        HeatingCurve { cold: point(cold), mild: point(warm), ..HeatingCurve::default() }
    }
}

/// A climate: its name and the mean outdoor temperature in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Climate {
    /// Its name in the table.
    pub name: &'static str,
    /// Mean outdoor temperature, °C.
    pub mean_c: f64,
}

/// The simulated climates.
pub const CLIMATES: [Climate; 3] = [
    Climate { name: "cold", mean_c: -5.0 },
    Climate { name: "mild", mean_c: 5.0 },
    Climate { name: "warm", mean_c: 12.0 },
];

/// The kind of boiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 24 kW, starts 3 K below the set-point.
    Sound,
    /// 40 % of that power in one stage, starts 10 K below the set-point.
    Lazy,
}

/// The simulator's house and weather in `climate`, all from `seed`. The house is an old one, and there is wind and sun:
/// a heating curve has no input for either.
///
/// # Errors
/// The simulator does not accept a key.
pub fn scenario(climate: Climate, kind: Kind, seed: u64) -> Result<BoilerScenario> {
    let boiler = match kind {
        Kind::Sound => "",
        Kind::Lazy => "[plant]\nburner_kw = 9.6\nminimum_percent = 100\n[device]\nstart_below_k = 10\n",
    };
    let text = format!(
        "seed = {seed}\n{boiler}[weather]\nmean_c = {:.1}\nwind_m_s = 5\n[house]\nventilation_w_per_k = 0\n\
         leakage_cm2 = 600\n[hot_water]\ndraws_per_day = 20\n",
        climate.mean_c
    );
    let id = "b1".parse().expect("b1 is a name for a boiler");
    Ok(Scenario::parse("winter", &text).context("build the house")?.boiler(&id))
}

/// The same house without disturbances, for the step response.
///
/// # Errors
/// The simulator does not accept a key.
pub fn calm(climate: Climate) -> Result<BoilerScenario> {
    let mut scenario = scenario(climate, Kind::Sound, 1)?;
    let weather = &mut scenario.plant.weather;
    (weather.swing_k, weather.wander_k, weather.solar_peak_w, weather.wind_m_s) = (0.0, 0.0, 0.0, 0.0);
    scenario.plant.hot_water.draws_per_day = 0.0;
    Ok(scenario)
}
