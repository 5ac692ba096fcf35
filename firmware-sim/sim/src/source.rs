//! Sources of the firmware's inputs.

use thermowell_device::{Actuators, Inputs, Measured, Panel};
use thermowell_wire::{CentiCelsius, Quality};

use crate::plant::{Failing, Plant, Signals};
use crate::replay::{Played, Replay};
use crate::scenario::{BoilerScenario, ManualSetting, Senses};
use crate::sensor::{Sensor, SensorConfig};

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
        let (senses, manual) = (scenario.senses.clone(), scenario.device.manual.clone());
        let thermostat = scenario.device.room_contact_c.map(Thermostat::new);
        Self { plant, sensor, second, senses, thermostat, manual, ordered: None, pressed: false, signals }
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
        let planned = self.manual.iter().find(|setting| (setting.from_us..setting.until_us).contains(&t_us));
        let panel = self.ordered.or(planned.map(|setting| setting.panel)).unwrap_or_default();
        Inputs {
            return_temperature: Some(CentiCelsius::from_celsius(return_c)),
            room: Some(CentiCelsius::from_celsius(self.senses.room_c(t_us, room_c))),
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

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer `as` saturates")]
fn millibar(bar: f64) -> u16 {
    (bar * 1_000.0 + 0.5) as u16
}
