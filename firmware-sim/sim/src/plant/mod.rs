//! The heating plant: boiler body, burner, pump, pipes, radiators, a house of two nodes, hot water, water pressure.
//!
//! ```text
//!            gas ─▶ burner ─▶ flue                       ┌─────────┐ radiators 3 × 20 l
//!                     │             ┌─ heating ─ supply ─▶ r1 r2 r3 ├──▶ return ─┐       room ──▶ outdoors
//!   inlet ─▶ body ────┴─ pump ─▶ diverter                └────┬────┘             │        │
//!     ▲      (flow)                 └─ hot water ─ plate ─────┼──────────────────┤       mass
//!     └───────────────────────────────────────────────────────┼──────────────────┘
//!                                                    heat to the room
//! ```
//! With a floor heating, r1 to r3 are the water in the floor's pipes, and their heat goes to the room through a screed.
//! Every box is one well-mixed node. All nodes advance together by an explicit step of 100 ms: the fastest one (the
//! 1.5 l at the inlet of the body) has a time constant of 5 s, so a step is 2 % of it. Each joule that leaves a node is
//! added to another one or to the [`Account`] in the same expression, so the balance closes to rounding.
//!
//! The plant follows the firmware's [`Actuators`] alone, with two exceptions that are hardware in a real boiler: the
//! limiter (EN 14597) closes the gas at 110 °C permanently, and the pump slows down if the water would change the
//! body's temperature faster than the burner at full power could. Ignition, minimum off time and overrun are the
//! firmware's task: open gas burns at the next step, unless a scenario prevents it.
//!
//! Time is simulated microseconds since the start. No clock is read here.

mod config;
mod tap;
mod trouble;

use thermowell_device::{Actuators, Diverter};

pub use self::{
    config::{HeatingConfig, HouseConfig, PlantConfig},
    tap::{DrawConfig, HotWaterConfig},
    trouble::{Failing, PlantFault, TroubleConfig},
};
use self::{
    tap::Tap,
    trouble::{Trouble, Troubles},
};
use crate::{
    quantity,
    weather::{Sky, Weather},
};

/// The plant's true values at one moment, without sensor errors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// Flow: water in the boiler body, in °C.
    pub flow_c: f64,
    /// Return: water at the boiler's inlet, in °C.
    pub return_c: f64,
    /// Room temperature in °C.
    pub room_c: f64,
    /// Outdoor temperature in °C.
    pub outdoor_c: f64,
    /// Pressure of the heating water in bar.
    pub pressure_bar: f64,
    /// A tap is open, whether the water gets warm or not.
    pub hot_water: bool,
    /// The burner is firing.
    pub flame: bool,
    /// Burner power as a share of the full one, 0 without a flame.
    pub modulation: f64,
    /// The hardware limiter has closed the gas.
    pub limited: bool,
    /// The pump moves water.
    pub water_moves: bool,
}

/// Energy balance since the start, in joules. Gas is counted by its upper heating value, so that the losses of a
/// condensing boiler are never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Account {
    /// In: gas.
    pub gas_j: f64,
    /// In: sun, people, appliances.
    pub gains_j: f64,
    /// Out: flue gas and condensate.
    pub flue_j: f64,
    /// Out: hot water.
    pub tap_j: f64,
    /// Out: from the house to the outside.
    pub outdoors_j: f64,
    /// Internal: from radiators or floor to rooms and walls.
    pub radiators_j: f64,
    /// Internal: from boiler and pipes to rooms.
    pub casing_j: f64,
}

/// Integration step.
pub const STEP_US: u64 = 100_000;
const STEP_S: f64 = 0.1;
/// Heat capacity of water in J/(kg K); a litre is taken as a kilogram.
const WATER_J_PER_KG_K: f64 = 4_186.0;
const INLET_LITRES: f64 = 1.5;
/// Losses to the room around the boiler in W/K. The parts after the body cool down faster than the body, so that the
/// return is never warmer than the flow.
const BODY_LOSS_W_PER_K: f64 = 1.5;
const INLET_LOSS_W_PER_K: f64 = 2.0;
/// Rate at which the fan changes the power, as a share of the full one per second.
const MODULATION_PER_S: f64 = 0.1;
/// Temperature at which the hardware limiter closes the gas (EN 14597; the makers' 110 °C).
const LIMITER_C: f64 = 110.0;
/// Share of the sun that falls on the mass of the walls, the rest on surfaces and contents of the room, unless the
/// scenario has another one: area of mass ÷ area of all surfaces of a medium building, 2.5 ÷ 4.5 (ISO 13790, simple
/// hourly method).
const SUN_TO_MASS: f64 = 2.5 / 4.5;
/// Share of the heat of people and appliances that is radiation, distributed like the sun (ISO 13790).
const INTERNAL_RADIATION: f64 = 0.5;
/// Air through leaks, (l/s)² per cm⁴ and per kelvin between inside and outside or per (m/s)² of wind: a house of two
/// storeys sheltered by other houses (Sherman and Grimsrud's model, from the ASHRAE Handbook of Fundamentals).
const STACK: f64 = 0.000_290;
const WIND: f64 = 0.000_231;
/// Heat of a litre of air, J/K.
const AIR_J_PER_L_K: f64 = 1.2;
/// Pressure rise per kelvin of the mean water temperature: a usual expansion vessel on 80 l of water.
const BAR_PER_K: f64 = 0.006;

/// Constants derived from the configuration.
#[derive(Clone, Debug)]
struct Constants {
    full_w: f64,
    minimum: f64,
    body_j_per_k: f64,
    inlet_j_per_k: f64,
    pipe_j_per_k: f64,
    radiator_j_per_k: f64,
    /// Heat of one third of the radiators at 50 K.
    radiator_w: f64,
    exponent: f64,
    /// 0 without a floor heating.
    screed_j_per_k: f64,
    /// From one third of the floor's water to the screed.
    screed_w_per_k: f64,
    emitter_to_mass: f64,
    pipe_loss_w_per_k: f64,
    pump_w_per_k: f64,
    plate: f64,
    cold_c: f64,
    room_j_per_k: f64,
    mass_j_per_k: f64,
    coupling_w_per_k: f64,
    sun_to_mass: f64,
    internal_to_mass: f64,
    outdoors_w_per_k: f64,
    leakage_cm2: f64,
    pressure_bar: f64,
}

impl Constants {
    fn new(config: &PlantConfig) -> Self {
        let PlantConfig { heating, house, hot_water, .. } = config;
        let house_j_per_k = house.area_m2 * house.kj_per_m2_k * 1e3;
        let room_share = house.room_percent / 100.0;
        let sun_to_mass = house.sun_to_mass_percent.map_or(SUN_TO_MASS, |percent| percent / 100.0);
        Self {
            full_w: heating.burner_kw * 1e3,
            minimum: heating.minimum_percent / 100.0,
            body_j_per_k: heating.body_kj_per_k * 1e3,
            inlet_j_per_k: INLET_LITRES * WATER_J_PER_KG_K,
            pipe_j_per_k: heating.pipe_litres * WATER_J_PER_KG_K,
            radiator_j_per_k: heating.radiator_litres / 3.0 * WATER_J_PER_KG_K,
            radiator_w: heating.radiator_kw * 1e3 / 3.0,
            exponent: heating.radiator_exponent,
            screed_j_per_k: heating.screed_mj_per_k * 1e6,
            screed_w_per_k: heating.screed_w_per_k / 3.0,
            emitter_to_mass: heating.to_mass_percent / 100.0,
            pipe_loss_w_per_k: heating.pipe_loss_w_per_k,
            pump_w_per_k: heating.pump_l_per_h / 3_600.0 * WATER_J_PER_KG_K,
            plate: hot_water.plate_percent / 100.0,
            cold_c: hot_water.cold_c,
            room_j_per_k: house_j_per_k * room_share,
            mass_j_per_k: house_j_per_k * (1.0 - room_share),
            coupling_w_per_k: house.coupling_w_per_k,
            sun_to_mass,
            internal_to_mass: INTERNAL_RADIATION * sun_to_mass,
            outdoors_w_per_k: house.transmission_w_per_k + house.ventilation_w_per_k,
            leakage_cm2: house.leakage_cm2,
            pressure_bar: heating.pressure_bar,
        }
    }
}

/// The temperatures of all nodes in °C.
#[derive(Clone, Copy, Debug)]
struct Nodes {
    body: f64,
    inlet: f64,
    supply: f64,
    back: f64,
    radiators: [f64; 3],
    screed: f64,
    room: f64,
    mass: f64,
}

#[derive(Clone, Debug)]
pub struct Plant {
    k: Constants,
    weather: Weather,
    tap: Tap,
    troubles: Troubles,
    trouble: Trouble,
    now_us: u64,
    nodes: Nodes,
    sky: Sky,
    /// kg/s of hot water.
    draw: f64,
    /// Share of the full power, 0 without a flame.
    modulation: f64,
    limited: bool,
    water_moves: bool,
    account: Account,
}

impl Plant {
    /// A plant in its initial state. The same configuration and seed give the same plant.
    #[must_use]
    pub fn new(config: &PlantConfig, seed: u64) -> Self {
        let (water, room) = (config.heating.water_c, config.house.room_c);
        let starts_at_us = quantity::micros(config.starts_at);
        // Two streams from one seed: the golden ratio is the usual constant for an independent second one.
        let mut weather = Weather::new(&config.weather, starts_at_us, seed);
        let troubles = Troubles::new(&config.trouble);
        let mut tap = Tap::new(&config.hot_water, starts_at_us, seed ^ 0x9e37_79b9_7f4a_7c15);
        Self {
            k: Constants::new(config),
            sky: weather.at(0),
            draw: tap.flow_at(0),
            weather,
            tap,
            trouble: troubles.at(0),
            troubles,
            now_us: 0,
            nodes: Nodes {
                body: water,
                inlet: water,
                supply: water,
                back: water,
                radiators: [water; 3],
                screed: room,
                room,
                mass: room,
            },
            modulation: 0.0,
            limited: false,
            water_moves: false,
            account: Account::default(),
        }
    }

    /// Advances the plant to the last whole step at or before `t_us`, under `actuators`. A time in the past has no
    /// effect.
    pub fn step_to(&mut self, t_us: u64, actuators: &Actuators) {
        while t_us - self.now_us.min(t_us) >= STEP_US {
            self.step(actuators);
            self.now_us += STEP_US;
            self.sky = self.weather.at(self.now_us);
            self.draw = self.tap.flow_at(self.now_us);
            self.trouble = self.troubles.at(self.now_us);
        }
    }

    /// Makes `what` fail from `at_us` until `until_us`, in addition to the scenario's faults.
    pub fn fail(&mut self, what: Failing, at_us: u64, until_us: u64) {
        self.troubles.begin(what, at_us, until_us);
    }

    /// The current true values.
    #[must_use]
    pub fn signals(&self) -> Signals {
        let nodes = &self.nodes;
        let [r1, r2, r3] = nodes.radiators;
        let heating_c = (nodes.body + nodes.inlet + nodes.supply + nodes.back + r1 + r2 + r3) / 7.0;
        Signals {
            flow_c: nodes.body,
            return_c: nodes.inlet,
            room_c: nodes.room,
            outdoor_c: self.sky.outdoor_c,
            pressure_bar: (self.k.pressure_bar + BAR_PER_K * (heating_c - 20.0) - self.trouble.lost_bar).max(0.0),
            hot_water: self.draw > 0.0,
            flame: self.modulation > 0.0,
            modulation: self.modulation,
            limited: self.limited,
            water_moves: self.water_moves,
        }
    }

    /// The energy balance since the start.
    #[must_use]
    pub fn account(&self) -> Account {
        self.account
    }

    fn step(&mut self, actuators: &Actuators) {
        let burner_w = self.burn(f64::from(actuators.burner_permille) / 1_000.0);
        let trouble = self.trouble;
        let k = &self.k;
        let old = self.nodes;
        let mut new = old;
        let sky = self.sky;
        let mut to_mass_w = k.sun_to_mass * sky.sun_w + k.internal_to_mass * sky.internal_w;
        let gains_w = sky.sun_w + sky.internal_w;
        let mut to_room_w = gains_w - to_mass_w;

        // Losses of boiler and pipes. A body colder than the room takes no heat from it: that would be some 10 W, and
        // leaving it out means that only the burner can warm the body, so that P ÷ C bounds its rise exactly.
        let body_loss_w = BODY_LOSS_W_PER_K * (old.body - old.room).max(0.0);
        let inlet_loss_w = INLET_LOSS_W_PER_K * (old.inlet - old.room);
        let supply_loss_w = k.pipe_loss_w_per_k * (old.supply - old.room);
        let back_loss_w = k.pipe_loss_w_per_k * (old.back - old.room);
        new.inlet -= inlet_loss_w * STEP_S / k.inlet_j_per_k;
        new.supply -= supply_loss_w * STEP_S / k.pipe_j_per_k;
        new.back -= back_loss_w * STEP_S / k.pipe_j_per_k;
        let casing_w = body_loss_w + inlet_loss_w + supply_loss_w + back_loss_w;
        to_room_w += casing_w;

        // Radiators and floors emit heat even without flow.
        let radiators_w = emit(k, &old, &mut new);
        to_room_w += (1.0 - k.emitter_to_mass) * radiators_w;
        to_mass_w += k.emitter_to_mass * radiators_w;

        // The pump.
        let direct_w = burner_w - body_loss_w;
        self.water_moves = actuators.pump && !trouble.pump;
        let flow = if self.water_moves { pump_w_per_k(k, direct_w, old.body - old.inlet) } else { 0.0 };
        let pumped_w = flow * (old.body - old.inlet);
        let tap_w = match trouble.diverter.unwrap_or(actuators.diverter) {
            Diverter::Heating => {
                let [r1, r2, r3] = old.radiators;
                // Closed valves: their share of the water bypasses the radiators.
                let (through, past) = (flow * trouble.radiators, flow * (1.0 - trouble.radiators));
                new.supply += flow * (old.body - old.supply) * STEP_S / k.pipe_j_per_k;
                new.radiators[0] += through * (old.supply - r1) * STEP_S / k.radiator_j_per_k;
                new.radiators[1] += through * (r1 - r2) * STEP_S / k.radiator_j_per_k;
                new.radiators[2] += through * (r2 - r3) * STEP_S / k.radiator_j_per_k;
                let to_back_w = through * (r3 - old.back) + past * (old.supply - old.back);
                new.back += to_back_w * STEP_S / k.pipe_j_per_k;
                new.inlet += flow * (old.back - old.inlet) * STEP_S / k.inlet_j_per_k;
                0.0
            }
            Diverter::HotWater => {
                let smaller = flow.min(self.draw * WATER_J_PER_KG_K);
                let tap_w = k.plate * smaller * (old.body - k.cold_c).max(0.0);
                new.inlet += (pumped_w - tap_w) * STEP_S / k.inlet_j_per_k;
                tap_w
            }
        };
        new.body += (direct_w - pumped_w) * STEP_S / k.body_j_per_k;

        // The house. Transmission leaves from the room node, so the steady-state loss is exactly W/K × difference.
        let above_outdoors = old.room - sky.outdoor_c;
        let outdoors_w_per_k =
            k.outdoors_w_per_k + trouble.window_w_per_k + leaks_w_per_k(k.leakage_cm2, above_outdoors, sky.wind_m_s);
        let outdoors_w = outdoors_w_per_k * above_outdoors;
        let coupled_w = k.coupling_w_per_k * (old.room - old.mass);
        new.room += (to_room_w - outdoors_w - coupled_w) * STEP_S / k.room_j_per_k;
        new.mass += (to_mass_w + coupled_w) * STEP_S / k.mass_j_per_k;

        self.account.gas_j += burner_w / efficiency(old.inlet) * STEP_S;
        self.account.flue_j += burner_w * (1.0 / efficiency(old.inlet) - 1.0) * STEP_S;
        self.account.gains_j += gains_w * STEP_S;
        self.account.tap_j += tap_w * STEP_S;
        self.account.outdoors_j += outdoors_w * STEP_S;
        self.account.radiators_j += radiators_w * STEP_S;
        self.account.casing_j += casing_w * STEP_S;
        self.nodes = new;
    }

    /// Moves the burner towards the requested share of its full power and returns the heat to the water in W.
    fn burn(&mut self, asked: f64) -> f64 {
        self.limited |= self.nodes.body >= LIMITER_C;
        self.modulation = if self.limited || self.trouble.flame || asked <= 0.0 {
            0.0
        } else if self.modulation == 0.0 {
            self.k.minimum
        } else {
            let change = MODULATION_PER_S * STEP_S;
            asked.clamp(self.modulation - change, self.modulation + change).clamp(self.k.minimum, 1.0)
        };
        self.modulation * self.k.full_w
    }
}

/// Takes the heat of a step from radiators or floor and returns it in W.
fn emit(k: &Constants, old: &Nodes, new: &mut Nodes) -> f64 {
    let share = |node: f64| ((node - old.room).max(0.0) / 50.0).powf(k.exponent);
    let mut heat_w = 0.0;
    if k.screed_j_per_k == 0.0 {
        for node in &mut new.radiators {
            let node_w = k.radiator_w * share(*node);
            *node -= node_w * STEP_S / k.radiator_j_per_k;
            heat_w += node_w;
        }
        return heat_w;
    }
    let mut to_screed_w = 0.0;
    for node in &mut new.radiators {
        let node_w = k.screed_w_per_k * (*node - old.screed);
        *node -= node_w * STEP_S / k.radiator_j_per_k;
        to_screed_w += node_w;
    }
    heat_w = 3.0 * k.radiator_w * share(old.screed);
    new.screed += (to_screed_w - heat_w) * STEP_S / k.screed_j_per_k;
    heat_w
}

/// Heat capacity flow of the pump in W/K: its full flow, or less if that would change the body's temperature faster
/// than the burner at full power could. `direct_w` is the heat from burner and casing to the body, `spread_k` the body
/// less the inlet.
fn pump_w_per_k(k: &Constants, direct_w: f64, spread_k: f64) -> f64 {
    let bound_w = if spread_k > 0.0 { k.full_w + direct_w } else { k.full_w - direct_w };
    if k.pump_w_per_k * spread_k.abs() <= bound_w { k.pump_w_per_k } else { bound_w.max(0.0) / spread_k.abs() }
}

/// Infiltration in W/K, driven by buoyancy (warm air rises out of a house) and wind.
fn leaks_w_per_k(leakage_cm2: f64, above_outdoors: f64, wind_m_s: f64) -> f64 {
    AIR_J_PER_L_K * leakage_cm2 * (STACK * above_outdoors.abs() + WIND * wind_m_s.powi(2)).sqrt()
}

/// Efficiency against the upper heating value by return temperature: below the dew point of the flue gas (57 °C) the
/// boiler condenses. The shape is the one in every maker's data sheet; the numbers are of a usual gas boiler.
fn efficiency(return_c: f64) -> f64 {
    if return_c < 57.0 {
        0.885 + (57.0 - return_c.max(25.0)) * (0.09 / 32.0)
    } else {
        0.885 - (return_c.min(90.0) - 57.0) * (0.02 / 33.0)
    }
}

#[cfg(test)]
mod tests;
