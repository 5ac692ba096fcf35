//! Sources of the firmware's inputs.

use thermowell_device::{Actuators, Inputs, Measured, Panel};
use thermowell_wire::{CentiCelsius, Quality};

use crate::plant::{Failing, Plant, Signals};
use crate::replay::{Played, Replay};
use crate::scenario::{BoilerScenario, ManualSetting, RoomSensorConfig, Senses};
use crate::sensor::{Lag, Sensor, SensorConfig};

/// Resolution of a temperature on the line, K.
const LINE_STEP_K: f64 = 0.01;

/// Source of readings. Time is simulated microseconds since the epoch and only moves forward.
#[derive(Debug)]
pub enum Source {
    /// The simulated plant with its sensors.
    Plant(Box<PlantSource>),
    /// A recorded series. It begins with the simulation; after its end nothing is sampled.
    Replay(Replay),
}

/// The plant and its sensors. Time only moves forward.
#[derive(Debug)]
pub struct PlantSource {
    plant: Plant,
    sensor: Sensor,
    /// In the same pocket, and never faulty.
    second: Sensor,
    room: RoomSensor,
    senses: Senses,
    thermostat: Option<Thermostat>,
    manual: Vec<ManualSetting>,
    /// Set by a command; overrides the scenario's setting.
    ordered: Option<Panel>,
    /// The reset button was pressed and not read since.
    pressed: bool,
    signals: Signals,
}

impl Source {
    /// The plant of `scenario`.
    #[must_use]
    pub fn plant(scenario: &BoilerScenario) -> Self {
        Self::Plant(Box::new(PlantSource::new(scenario)))
    }

    /// The flow sensor and the switches at `t_us`; None if nothing is recorded there.
    pub fn measure(&mut self, t_us: u64, actuators: &Actuators) -> Option<Measured> {
        match self {
            Self::Plant(it) => Some(it.measure(t_us, actuators)),
            Self::Replay(replay) => match replay.at(t_us) {
                // A recording has no flame signal; without one the firmware would lock out.
                Played::Reading(flow, quality) => {
                    Some(Measured { flow, quality, hot_water: false, flame: actuators.burner_permille > 0 })
                }
                Played::Silent | Played::End => None,
            },
        }
    }

    /// The slow inputs at `t_us`.
    pub fn inputs(&mut self, t_us: u64, actuators: &Actuators) -> Inputs {
        match self {
            Self::Plant(it) => it.inputs(t_us, actuators),
            // A recording has one temperature and nothing else. This is a usual operating pressure.
            Self::Replay(_) => Inputs { pressure_mbar: 1_500, ..Inputs::default() },
        }
    }

    /// Advances without a device: burner and pump are off.
    pub fn idle(&mut self, t_us: u64) {
        match self {
            Self::Plant(it) => it.advance(t_us, &Actuators::default()),
            Self::Replay(_) => {}
        }
    }
}

impl PlantSource {
    /// The plant of `scenario`, in its initial state.
    #[must_use]
    pub fn new(scenario: &BoilerScenario) -> Self {
        let plant = Plant::new(&scenario.plant, scenario.seed_of("plant"));
        let signals = plant.signals();
        let sensor = Sensor::new(&scenario.sensor, scenario.seed_of("sensor"));
        let SensorConfig { pocket_lag, noise_counts, .. } = scenario.sensor;
        let sound = SensorConfig { pocket_lag, noise_counts, ..SensorConfig::default() };
        let second = Sensor::new(&sound, scenario.seed_of("second sensor"));
        let room = RoomSensor::new(&scenario.room_sensor, signals.room_c);
        let (senses, manual) = (scenario.senses.clone(), scenario.device.manual.clone());
        let thermostat = scenario.device.room_contact_c.map(Thermostat::new);
        Self { plant, sensor, second, room, senses, thermostat, manual, ordered: None, pressed: false, signals }
    }

    /// Turns the knob at the panel; this overrides the scenario.
    pub fn set_panel(&mut self, panel: Panel) {
        self.ordered = Some(panel);
    }

    /// Presses the reset button briefly.
    pub fn press_reset(&mut self) {
        self.pressed = true;
    }

    /// Makes `what` fail from `at_us` until `until_us`.
    pub fn fail(&mut self, what: Failing, at_us: u64, until_us: u64) {
        self.plant.fail(what, at_us, until_us);
    }

    /// The plant's true state, without sensor errors.
    #[must_use]
    pub fn truth(&self) -> &Plant {
        &self.plant
    }

    /// The flow sensor and the switches at `t_us`, with `actuators` applied until then.
    pub fn measure(&mut self, t_us: u64, actuators: &Actuators) -> Measured {
        self.advance(t_us, actuators);
        let (flow, quality) = self.sensor.sample(t_us, self.signals.flow_c);
        let Signals { hot_water, flame, .. } = self.signals;
        Measured { flow, quality, hot_water, flame }
    }

    /// The slow inputs at `t_us`, with `actuators` applied until then.
    pub fn inputs(&mut self, t_us: u64, actuators: &Actuators) -> Inputs {
        self.advance(t_us, actuators);
        let Signals { flow_c, return_c, room_c, outdoor_c, pressure_bar, water_moves, .. } = self.signals;
        let (second, quality) = self.second.sample(t_us, flow_c);
        let sensed_c = self.room.sample(t_us, room_c);
        let planned = self.manual.iter().find(|setting| (setting.from_us..setting.until_us).contains(&t_us));
        let panel = self.ordered.or(planned.map(|setting| setting.panel)).unwrap_or_default();
        Inputs {
            return_temperature: Some(CentiCelsius::from_celsius(return_c)),
            room: Some(CentiCelsius::from_celsius(self.senses.room_c(t_us, sensed_c))),
            outdoor: Some(CentiCelsius::from_celsius(self.senses.outdoor_c(t_us, outdoor_c))),
            pressure_mbar: millibar(pressure_bar),
            second_flow: (quality == Quality::Ok).then_some(second),
            water_moves: Some(water_moves),
            air_proof: Some(actuators.fan),
            room_contact: self.thermostat.as_mut().map(|thermostat| thermostat.contact(room_c)),
            panel,
            reset_pressed: std::mem::take(&mut self.pressed),
        }
    }

    fn advance(&mut self, t_us: u64, actuators: &Actuators) {
        self.plant.step_to(t_us, actuators);
        self.signals = self.plant.signals();
    }
}

/// A room thermostat with a contact, as on a living room's wall: it feels the true room temperature.
#[derive(Clone, Copy, Debug)]
struct Thermostat {
    target_c: f64,
    closed: bool,
}

impl Thermostat {
    /// Half the difference between closing and opening: that of a bimetal.
    const HYSTERESIS_K: f64 = 0.5;

    fn new(target_c: f64) -> Self {
        Self { target_c, closed: false }
    }

    /// Whether the contact is closed in a room of `room_c`.
    fn contact(&mut self, room_c: f64) -> bool {
        let offset_k = if self.closed { Self::HYSTERESIS_K } else { -Self::HYSTERESIS_K };
        self.closed = room_c < self.target_c + offset_k;
        self.closed
    }
}

/// A first-order lag, then steps. Time only moves forward.
#[derive(Debug)]
struct RoomSensor {
    /// None without a lag: the reading is exactly the room's temperature.
    lag: Option<Lag>,
    /// 0 without steps: the line protocol has its own.
    step_k: f64,
}

impl RoomSensor {
    fn new(config: &RoomSensorConfig, room_c: f64) -> Self {
        let RoomSensorConfig { lag, step_k } = *config;
        let step_k = if step_k > LINE_STEP_K { step_k } else { 0.0 };
        Self { lag: (!lag.is_zero()).then(|| Lag::new(lag, Some(room_c))), step_k }
    }

    /// The reading at `t_us`, °C.
    fn sample(&mut self, t_us: u64, room_c: f64) -> f64 {
        let inside_c = self.lag.as_mut().map_or(room_c, |lag| lag.settle(t_us, room_c));
        if self.step_k > 0.0 { (inside_c / self.step_k).round() * self.step_k } else { inside_c }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer `as` saturates")]
fn millibar(bar: f64) -> u16 {
    (bar * 1_000.0 + 0.5) as u16
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Scenario;

    const MINUTE_US: u64 = 60_000_000;

    #[test]
    fn room_sensor_lags_and_rounds() {
        let config = RoomSensorConfig { lag: Duration::from_secs(900), step_k: 0.5 };
        let mut sensor = RoomSensor::new(&config, 20.0);
        let after_lag = (0..=150).map(|step| sensor.sample(step * MINUTE_US / 10, 30.0)).last().unwrap();
        assert_eq!(after_lag, 26.5, "20 °C + 10 K × (1 − 1/e) are 26.32 °C");
        // A pause is one long stride.
        assert_eq!(sensor.sample(10_000 * MINUTE_US, 30.2), 30.0);
        let mut perfect = RoomSensor::new(&RoomSensorConfig::default(), 20.0);
        assert_eq!((perfect.sample(1, 20.123), perfect.sample(1, 21.456)), (20.123, 21.456));
    }

    #[test]
    fn faults_override_the_room_sensor_of_a_scenario() {
        let text = "[room_sensor]\nlag = \"15 min\"\nstep_k = 0.1\n[[senses.room]]\nat = \"1h\"\nfor = \"1h\"\n\
                    celsius = 85.0\n[weather]\nmean_c = -15.0\n";
        let scenario = Scenario::parse("test", text).unwrap().boiler(&"b1".parse().unwrap());
        let mut source = PlantSource::new(&scenario);
        let mut largest_k = 0.0_f64;
        for minute in 0..180 {
            let room = source.inputs(minute * MINUTE_US, &Actuators::default()).room.unwrap();
            if (60..120).contains(&minute) {
                assert_eq!(room, CentiCelsius(8_500));
            } else {
                assert_eq!(room.0 % 10, 0, "{room}");
                largest_k = largest_k.max((room.celsius() - source.truth().signals().room_c).abs());
            }
        }
        assert!((0.2..1.5).contains(&largest_k), "a cooling room is below its lagging sensor: {largest_k}");
    }
}
