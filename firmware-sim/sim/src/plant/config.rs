//! Parameters of a plant. The defaults are a house of 120 m² with a gas boiler of 24 kW.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{HotWaterConfig, TroubleConfig};
use crate::{quantity, weather::WeatherConfig};

/// All parameters of a plant except its seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlantConfig {
    /// Time of day at the start of the simulation.
    pub starts_at: Duration,
    /// Boiler, pipes and radiators.
    pub heating: HeatingConfig,
    pub house: HouseConfig,
    pub weather: WeatherConfig,
    pub hot_water: HotWaterConfig,
    /// Faults of the plant.
    pub trouble: TroubleConfig,
}

/// Boiler, pipes and radiators.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeatingConfig {
    /// Heat to the water at full power in kW, 1 to 200.
    #[serde(deserialize_with = "quantity::within::<_, 1, 200>")]
    pub burner_kw: f64,
    /// Minimum burner power in % of the full one, 5 to 100.
    #[serde(deserialize_with = "quantity::within::<_, 5, 100>")]
    pub minimum_percent: f64,
    /// Heat capacity of the boiler body with its water in kJ/K, 2 to 500.
    #[serde(deserialize_with = "quantity::within::<_, 2, 500>")]
    pub body_kj_per_k: f64,
    /// Pump flow rate in l/h, 100 to 20,000.
    #[serde(deserialize_with = "quantity::within::<_, 100, 20_000>")]
    pub pump_l_per_h: f64,
    /// Water in each of the two pipes in l, 2 to 500.
    #[serde(deserialize_with = "quantity::within::<_, 2, 500>")]
    pub pipe_litres: f64,
    /// Water in the radiators in l, 10 to 5,000.
    #[serde(deserialize_with = "quantity::within::<_, 10, 5_000>")]
    pub radiator_litres: f64,
    /// Heat of all radiators at 50 K above the room in kW, 1 to 200.
    #[serde(deserialize_with = "quantity::within::<_, 1, 200>")]
    pub radiator_kw: f64,
    /// Radiator exponent (EN 442), 1 to 2; 1.3 for panel radiators.
    #[serde(deserialize_with = "quantity::within::<_, 1, 2>")]
    pub radiator_exponent: f64,
    /// Heat capacity of the screed of a floor heating in MJ/K, 1 to 200; 0 for radiators. With a screed, the radiators'
    /// water is that in the floor's pipes, and their rating is the floor's surface over the room: EN 1264 gives
    /// 8.92 W/m² × (surface − room)^1.1, which is 66 kW at 50 K for 100 m². 65 mm of screed on 100 m² are 13 MJ/K.
    #[serde(deserialize_with = "screed")]
    pub screed_mj_per_k: f64,
    /// From the water in the floor's pipes to its surface in W/K, 100 to 10,000. By EN 1264 a floor with pipes every
    /// 150 mm below tiles or thin parquet gives about 5 W/(m² K) from water to room. Its surface is 0.1 m² K/W of that
    /// resistance, so 10 W/(m² K) remain for pipe and screed, on 100 m².
    #[serde(deserialize_with = "quantity::within::<_, 100, 10_000>")]
    pub screed_w_per_k: f64,
    /// Share of the emitters' heat that goes to the mass of the walls in %, 0 to 100: radiation.
    #[serde(deserialize_with = "quantity::within::<_, 0, 100>")]
    pub to_mass_percent: f64,
    /// Loss of each of the two pipes to the rooms in W/K, 0 to 100.
    #[serde(deserialize_with = "quantity::within::<_, 0, 100>")]
    pub pipe_loss_w_per_k: f64,
    /// Initial temperature of all the water in °C, 5 to 80.
    #[serde(deserialize_with = "quantity::within::<_, 5, 80>")]
    pub water_c: f64,
    /// Water pressure at 20 °C in bar, 0 to 3.
    #[serde(deserialize_with = "quantity::within::<_, 0, 3>")]
    pub pressure_bar: f64,
}

impl Default for HeatingConfig {
    fn default() -> Self {
        Self {
            burner_kw: 24.0,
            minimum_percent: 20.0,
            body_kj_per_k: 13.5,
            pump_l_per_h: 1_000.0,
            pipe_litres: 8.0,
            radiator_litres: 60.0,
            radiator_kw: 10.0,
            radiator_exponent: 1.3,
            screed_mj_per_k: 0.0,
            screed_w_per_k: 1_000.0,
            to_mass_percent: 0.0,
            pipe_loss_w_per_k: 15.0,
            water_c: 35.0,
            pressure_bar: 1.5,
        }
    }
}

/// Parses the capacity of a screed. The integration step is too long for one below 1 MJ/K.
fn screed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let mj_per_k = quantity::within::<D, 0, 200>(deserializer)?;
    if mj_per_k == 0.0 || mj_per_k >= 1.0 {
        return Ok(mj_per_k);
    }
    Err(D::Error::custom(format_args!("{mj_per_k} is neither 0 nor from 1 to 200")))
}

/// The house: the rooms (air and contents) and the mass of its walls.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HouseConfig {
    /// Floor area in m², 20 to 5,000.
    #[serde(deserialize_with = "quantity::within::<_, 20, 5_000>")]
    pub area_m2: f64,
    /// Heat capacity in kJ/(m² K), 50 to 500; 165 is a medium building of ISO 13790.
    #[serde(deserialize_with = "quantity::within::<_, 50, 500>")]
    pub kj_per_m2_k: f64,
    /// Share of that capacity which is air, furniture and surfaces, in %, 5 to 50.
    #[serde(deserialize_with = "quantity::within::<_, 5, 50>")]
    pub room_percent: f64,
    /// Between room and mass in W/K, 100 to 20,000.
    #[serde(deserialize_with = "quantity::within::<_, 100, 20_000>")]
    pub coupling_w_per_k: f64,
    /// Share of the sun that goes to the mass in %, 0 to 100; half of the people's and appliances' heat is shared out
    /// in the same way. None for that of a medium building of ISO 13790: 56 %.
    #[serde(deserialize_with = "quantity::perhaps::<_, 0, 100>")]
    pub sun_to_mass_percent: Option<f64>,
    /// Transmission to the outside in W/K, 10 to 10,000.
    #[serde(deserialize_with = "quantity::within::<_, 10, 10_000>")]
    pub transmission_w_per_k: f64,
    /// Ventilation independent of the weather in W/K, 0 to 10,000.
    #[serde(deserialize_with = "quantity::within::<_, 0, 10_000>")]
    pub ventilation_w_per_k: f64,
    /// Leaks at 4 Pa in cm², 0 to 10,000: infiltration by wind and buoyancy. A tight house has 100, an old one of
    /// 120 m² around 600.
    #[serde(deserialize_with = "quantity::within::<_, 0, 10_000>")]
    pub leakage_cm2: f64,
    /// Initial temperature of the house in °C, 0 to 30.
    #[serde(deserialize_with = "quantity::within::<_, 0, 30>")]
    pub room_c: f64,
}

impl Default for HouseConfig {
    fn default() -> Self {
        Self {
            area_m2: 120.0,
            kj_per_m2_k: 165.0,
            room_percent: 10.0,
            coupling_w_per_k: 1_500.0,
            sun_to_mass_percent: None,
            transmission_w_per_k: 160.0,
            ventilation_w_per_k: 60.0,
            leakage_cm2: 0.0,
            room_c: 20.0,
        }
    }
}
