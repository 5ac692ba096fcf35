//! What the firmware's inputs are connected to.

use thermowell_device::{Actuators, Diverter, Inputs, Measured, Panel};
use thermowell_wire::{CentiCelsius, Quality};

use crate::plant::{self, Failing, Plant, Signals};
use crate::replay::{Played, Replay};
use crate::scenario::{BoilerScenario, Hand, Senses};
use crate::sensor::{Sensor, SensorConfig};

/// Where readings come from. Time is simulated microseconds since the epoch and only goes forward.
#[derive(Debug)]
pub enum Source {
    /// The simulated plant, seen through its flow sensor.
    Plant(Box<PlantSource>),
    /// A recorded series; it begins with the simulation, and after its end there is silence.
    Replay(Replay),
}

/// The plant and its sensors. Time only goes forward.
#[derive(Debug)]
pub struct PlantSource {
    plant: Plant,
    sensor: Sensor,
    /// In the same pocket, and never broken.
    second: Sensor,
    senses: Senses,
    hands: Vec<Hand>,
    /// Set by an order: goes before what the scenario sets.
    hand: Option<Panel>,
    /// The reset button is pressed, until it was read once.
    pressed: bool,
    signals: Signals,
}

impl Source {
    /// The plant of `scenario`.
    #[must_use]
    pub fn plant(scenario: &BoilerScenario) -> Self {
        Self::Plant(Box::new(PlantSource::new(scenario)))
    }

    /// The flow sensor and the switches at `t_us`; None is silence.
    pub fn measure(&mut self, t_us: u64, actuators: &Actuators) -> Option<Measured> {
        match self {
            Self::Plant(it) => Some(it.measure(t_us, actuators)),
            Self::Replay(replay) => match replay.at(t_us) {
                // Nobody recorded the flame; one that never lit would be a lockout.
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
            // One temperature was recorded, and nothing around it. A boiler at work has this pressure.
            Self::Replay(_) => Inputs { pressure_mbar: 1_500, ..Inputs::default() },
        }
    }

    /// Lets time pass without a device: nothing burns, nothing is pumped.
    pub fn idle(&mut self, t_us: u64) {
        match self {
            Self::Plant(it) => it.advance(t_us, &Actuators::default()),
            Self::Replay(_) => {}
        }
    }
}

impl PlantSource {
    /// The plant of `scenario`, at rest.
    #[must_use]
    pub fn new(scenario: &BoilerScenario) -> Self {
        let plant = Plant::new(&scenario.plant, scenario.seed_of("plant"));
        let signals = plant.signals();
        let sensor = Sensor::new(&scenario.sensor, scenario.seed_of("sensor"));
        let SensorConfig { pocket_lag, noise_counts, .. } = scenario.sensor;
        let sound = SensorConfig { pocket_lag, noise_counts, ..SensorConfig::default() };
        let second = Sensor::new(&sound, scenario.seed_of("second sensor"));
        let (senses, hands) = (scenario.senses.clone(), scenario.device.hands.clone());
        Self { plant, sensor, second, senses, hands, hand: None, pressed: false, signals }
    }

    /// Somebody turns the knob at the panel, whatever the scenario has in store for it.
    pub fn set_panel(&mut self, panel: Panel) {
        self.hand = Some(panel);
    }

    /// Somebody presses the reset button, for a moment.
    pub fn press_reset(&mut self) {
        self.pressed = true;
    }

    /// Lets `what` fail from `at_us` until `until_us`.
    pub fn fail(&mut self, what: Failing, at_us: u64, until_us: u64) {
        self.plant.fail(what, at_us, until_us);
    }

    /// The plant, as nobody in it can see it.
    #[must_use]
    pub fn truth(&self) -> &Plant {
        &self.plant
    }

    /// The flow sensor and the switches at `t_us`, after `actuators` until then.
    pub fn measure(&mut self, t_us: u64, actuators: &Actuators) -> Measured {
        self.advance(t_us, actuators);
        let (flow, quality) = self.sensor.sample(t_us, self.signals.flow_c);
        let Signals { hot_water, flame, .. } = self.signals;
        Measured { flow, quality, hot_water, flame }
    }

    /// The slow inputs at `t_us`, after `actuators` until then.
    pub fn inputs(&mut self, t_us: u64, actuators: &Actuators) -> Inputs {
        self.advance(t_us, actuators);
        let Signals { flow_c, return_c, room_c, outdoor_c, pressure_bar, water_moves, .. } = self.signals;
        let (second, quality) = self.second.sample(t_us, flow_c);
        let planned = self.hands.iter().find(|hand| (hand.from_us..hand.until_us).contains(&t_us));
        let panel = self.hand.or(planned.map(|hand| hand.panel)).unwrap_or_default();
        Inputs {
            return_temperature: Some(CentiCelsius::from_celsius(return_c)),
            room: Some(CentiCelsius::from_celsius(self.senses.room_c(t_us, room_c))),
            outdoor: Some(CentiCelsius::from_celsius(self.senses.outdoor_c(t_us, outdoor_c))),
            pressure_mbar: millibar(pressure_bar),
            second_flow: (quality == Quality::Ok).then_some(second),
            water_moves: Some(water_moves),
            panel,
            reset_pressed: std::mem::take(&mut self.pressed),
        }
    }

    fn advance(&mut self, t_us: u64, actuators: &Actuators) {
        let diverter = match actuators.diverter {
            Diverter::Heating => plant::Diverter::Heating,
            Diverter::HotWater => plant::Diverter::HotWater,
        };
        let burner = f64::from(actuators.burner_permille) / 1_000.0;
        self.plant.step_to(t_us, &plant::Actuators { burner, pump: actuators.pump, diverter });
        self.signals = self.plant.signals();
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer `as` saturates")]
fn millibar(bar: f64) -> u16 {
    (bar * 1_000.0 + 0.5) as u16
}
