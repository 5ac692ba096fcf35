//! The hardware of a scenario: the installer's settings, the panel, and the slow sensors.

use std::time::Duration;

use serde::Deserialize;
use thermowell_device::{Config, Panel};
use thermowell_wire::CentiCelsius;

use super::BoilerScenario;
use crate::quantity::{self, window_us};

/// A manual setting at the panel, for a limited time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManualSetting {
    /// Begin, in µs of simulated time since the start.
    pub from_us: u64,
    pub until_us: u64,
    pub panel: Panel,
}

/// The installer's settings; None keeps the firmware's own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InstallerSettings {
    /// Hysteresis below the target at which the burner starts, in K, 1 to 30.
    pub start_below_k: Option<f64>,
    /// Heating limit of the boiler's own control in °C, 5 to 30.
    pub heating_limit_c: Option<f64>,
    /// Lower limit of the flow temperature in °C, 10 to 30.
    pub flow_min_c: Option<f64>,
    /// Upper limit of the flow temperature in °C, 30 to 85; 45 for a heated floor. The two ranges meet in one value, so
    /// the limits are never the wrong way round.
    pub flow_max_c: Option<f64>,
}

impl BoilerScenario {
    /// The firmware's configuration for this boiler: `base`, with the settings of its plant and installer. A simulated
    /// plant has two flow sensors in one pocket.
    #[must_use]
    pub fn firmware(&self, base: Config) -> Config {
        let set = |value: Option<f64>, own| value.map_or(own, CentiCelsius::from_celsius);
        let InstallerSettings { start_below_k, heating_limit_c, flow_min_c, flow_max_c } = self.device.installer;
        Config {
            start_below: set(start_below_k, CentiCelsius(base.start_below)).0,
            heating_limit: set(heating_limit_c, base.heating_limit),
            flow_min: set(flow_min_c, base.flow_min),
            flow_max: set(flow_max_c, base.flow_max),
            burner_permille_min: permille(self.plant.heating.minimum_percent),
            second_sensor: true,
            ..base
        }
    }
}

/// `[[device.panel]]`: without `flow_c` heating is switched off.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PanelTable {
    #[serde(deserialize_with = "quantity::offset")]
    at: Duration,
    #[serde(rename = "for", deserialize_with = "quantity::span")]
    length: Duration,
    #[serde(default, deserialize_with = "quantity::perhaps::<_, 5, 95>")]
    flow_c: Option<f64>,
}

impl PanelTable {
    pub(super) fn setting(&self) -> ManualSetting {
        let (from_us, until_us) = window_us(self.at, self.length);
        let panel = self.flow_c.map_or(Panel::Off, |flow| Panel::Flow(CentiCelsius::from_celsius(flow)));
        ManualSetting { from_us, until_us, panel }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer `as` saturates")]
fn permille(percent: f64) -> u16 {
    (percent * 10.0 + 0.5) as u16
}

/// The room sensor, `[room_sensor]`. By default it follows the air at once, in the steps of the line protocol.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomSensorConfig {
    /// Time constant of the sensor in its housing on a wall.
    #[serde(deserialize_with = "quantity::offset")]
    pub lag: Duration,
    /// Its readings are multiples of this, in K, 0 to 5; finer than 0.01 K is 0.01 K.
    #[serde(deserialize_with = "quantity::within::<_, 0, 5>")]
    pub step_k: f64,
}

impl Default for RoomSensorConfig {
    fn default() -> Self {
        Self { lag: Duration::ZERO, step_k: 0.01 }
    }
}

/// Faulty readings of the slow sensors: `[[senses.room]]` and `[[senses.outdoor]]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Senses {
    pub room: Vec<FaultyReading>,
    pub outdoor: Vec<FaultyReading>,
}

/// A sensor that reads a fixed temperature: 85 is a 1-wire sensor's power-on value, −127 a missing reply, 0 an unset
/// register.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultyReading {
    /// Begin, since the start of the simulation.
    #[serde(deserialize_with = "quantity::offset")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "quantity::span")]
    pub length: Duration,
    /// Its reading in °C, −327 to 327: the range of the line protocol.
    #[serde(deserialize_with = "quantity::within::<_, -327, 327>")]
    pub celsius: f64,
}

impl Senses {
    /// Reading of the room sensor at `t_us` if the true temperature is `room_c`.
    #[must_use]
    pub fn room_c(&self, t_us: u64, room_c: f64) -> f64 {
        read(&self.room, t_us, room_c)
    }

    /// Reading of the outdoor sensor at `t_us` if the true temperature is `outdoor_c`.
    #[must_use]
    pub fn outdoor_c(&self, t_us: u64, outdoor_c: f64) -> f64 {
        read(&self.outdoor, t_us, outdoor_c)
    }
}

fn read(faulty: &[FaultyReading], t_us: u64, truth: f64) -> f64 {
    let faulty = faulty.iter().find(|reading| {
        let (from_us, until_us) = window_us(reading.at, reading.length);
        (from_us..until_us).contains(&t_us)
    });
    faulty.map_or(truth, |reading| reading.celsius)
}
