//! Faults of the plant, as a scenario lists them.
//!
//! ```toml
//! [[trouble.pump]]        # the pump runs and moves no water
//! [[trouble.flame]]       # the flame goes out, and ignition fails
//! [[trouble.diverter]]    # the diverter is stuck at heating, or with at_hot_water = true at hot water
//! [[trouble.valves]]      # radiator valves close; percent = 95: that share of the water takes a bypass
//! [[trouble.window]]      # a window is open; w_per_k = 300: additional ventilation
//! [[trouble.leak]]        # water is lost; bar_per_hour = 2; it is not refilled
//! ```
//! Each starts at `at` and lasts `for` a time.

use std::time::Duration;

use serde::Deserialize;
use thermowell_device::Diverter;

use crate::quantity::{self, window_us};

/// All faults of a plant.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TroubleConfig {
    /// The pump moves no water.
    pub pump: Vec<PlantFault>,
    /// There is no flame.
    pub flame: Vec<PlantFault>,
    /// The diverter is stuck.
    pub diverter: Vec<PlantFault>,
    /// Radiator valves are closed.
    pub valves: Vec<PlantFault>,
    /// A window is open.
    pub window: Vec<PlantFault>,
    /// Water is lost.
    pub leak: Vec<PlantFault>,
}

/// One fault: its time, and its extent if it has one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantFault {
    /// Begin, since the start of the simulation.
    #[serde(deserialize_with = "quantity::offset")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "quantity::span")]
    pub length: Duration,
    /// Diverter: stuck at hot water instead of heating.
    #[serde(default)]
    pub at_hot_water: bool,
    /// Valves: share of the water that bypasses the radiators, 0 to 100.
    #[serde(default, deserialize_with = "quantity::within::<_, 0, 100>")]
    pub percent: f64,
    /// Window: additional ventilation, 0 to 10,000.
    #[serde(default, deserialize_with = "quantity::within::<_, 0, 10_000>")]
    pub w_per_k: f64,
    /// Leak: pressure loss, 0 to 100.
    #[serde(default, deserialize_with = "quantity::within::<_, 0, 100>")]
    pub bar_per_hour: f64,
}

/// A part that can fail by a console command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The pump moves no water.
    Pump,
    /// There is no flame.
    Flame,
}

impl PlantFault {
    fn plain(at_us: u64, until_us: u64) -> Self {
        Self {
            at: Duration::from_micros(at_us),
            length: Duration::from_micros(until_us.saturating_sub(at_us)),
            at_hot_water: false,
            percent: 0.0,
            w_per_k: 0.0,
            bar_per_hour: 0.0,
        }
    }

    fn holds(&self, t_us: u64) -> bool {
        let (from_us, until_us) = window_us(self.at, self.length);
        (from_us..until_us).contains(&t_us)
    }

    fn lost_bar(&self, t_us: u64) -> f64 {
        let (from_us, until_us) = window_us(self.at, self.length);
        let leaked_us = t_us.min(until_us).saturating_sub(from_us);
        self.bar_per_hour * leaked_us as f64 / 3.6e9
    }
}

/// The faults at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trouble {
    pub(super) pump: bool,
    pub(super) flame: bool,
    pub(super) diverter: Option<Diverter>,
    /// Share of the water through the radiators.
    pub(super) radiators: f64,
    pub(super) window_w_per_k: f64,
    pub(super) lost_bar: f64,
}

impl Trouble {
    const NONE: Self =
        Self { pump: false, flame: false, diverter: None, radiators: 1.0, window_w_per_k: 0.0, lost_bar: 0.0 };
}

/// The faults over time.
#[derive(Clone, Debug)]
pub(super) struct Troubles {
    config: TroubleConfig,
    /// Begin of the first fault.
    from_us: u64,
}

impl Troubles {
    pub(super) fn new(config: &TroubleConfig) -> Self {
        let TroubleConfig { pump, flame, diverter, valves, window, leak } = config;
        let all = [pump, flame, diverter, valves, window, leak].into_iter().flatten();
        let from_us = all.map(|it| window_us(it.at, it.length).0).min().unwrap_or(u64::MAX);
        Self { config: config.clone(), from_us }
    }

    /// Makes `what` fail from `at_us` until `until_us`.
    pub(super) fn begin(&mut self, what: Failing, at_us: u64, until_us: u64) {
        let list = match what {
            Failing::Pump => &mut self.config.pump,
            Failing::Flame => &mut self.config.flame,
        };
        list.push(PlantFault::plain(at_us, until_us));
        self.from_us = self.from_us.min(at_us);
    }

    pub(super) fn at(&self, t_us: u64) -> Trouble {
        if t_us < self.from_us {
            return Trouble::NONE;
        }
        let now = |list: &'_ [PlantFault]| list.iter().find(|it| it.holds(t_us)).cloned();
        let any = |list: &[PlantFault]| list.iter().any(|it| it.holds(t_us));
        let TroubleConfig { pump, flame, diverter, valves, window, leak } = &self.config;
        Trouble {
            pump: any(pump),
            flame: any(flame),
            diverter: now(diverter).map(|it| if it.at_hot_water { Diverter::HotWater } else { Diverter::Heating }),
            radiators: now(valves).map_or(1.0, |it| 1.0 - it.percent / 100.0),
            window_w_per_k: now(window).map_or(0.0, |it| it.w_per_k),
            lost_bar: leak.iter().map(|it| it.lost_bar(t_us)).sum(),
        }
    }
}
