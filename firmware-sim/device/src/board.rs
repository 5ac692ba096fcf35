//! The firmware's inputs and actuators.

use thermowell_wire::{CentiCelsius, Quality};

/// The boiler's inputs.
///
/// Calls come in the order of the device clock. A simulator uses them to advance its plant under the actuators
/// commanded until then.
pub trait Board {
    /// Reads the flow sensor for slot `seq`, scheduled at `slot_us` of the device clock. None if there was no time to:
    /// the slot is missed.
    fn sample(&mut self, seq: u64, slot_us: u64, actuators: &Actuators) -> Option<Measured>;

    /// Reads the slow inputs, ten times a second.
    fn inputs(&mut self, device_us: u64, actuators: &Actuators) -> Inputs;
}

/// One reading of the flow sensor and the switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Flow temperature; meaningless unless the quality is `Ok`.
    pub flow: CentiCelsius,
    /// The sensor chain's diagnosis.
    pub quality: Quality,
    /// Flow switch of the tap: hot water is being drawn.
    pub hot_water: bool,
    /// Flame signal.
    pub flame: bool,
}

/// Slow inputs. None without a sensor, or with a faulty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    pub return_temperature: Option<CentiCelsius>,
    pub room: Option<CentiCelsius>,
    pub outdoor: Option<CentiCelsius>,
    pub pressure_mbar: u16,
    /// Second flow sensor, in the same pocket as the first. Ignored if the configuration has none.
    pub second_flow: Option<CentiCelsius>,
    /// Water flow, as reported by the pump or a flow switch. None without such a report.
    pub water_moves: Option<bool>,
    /// The fan moves air: a pressure switch or the fan's speed. None without such a report.
    pub air_proof: Option<bool>,
    /// A room thermostat's contact: true is closed, heat is wanted. None if none is fitted.
    ///
    /// It is the thermostat of the boiler's own control alone, and does not end or refuse a lease: a gateway has a room
    /// temperature and a target of its own, and a thermostat left at 20 °C would hold back every boost. It is connected
    /// so that the house is not overheated when the gateway is gone.
    pub room_contact: Option<bool>,
    /// The knob at the panel.
    pub panel: Panel,
    /// The reset button at the boiler.
    pub reset_pressed: bool,
}

/// The knob at the boiler's own panel. A manual setting overrides every lease until it is set back by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    /// The boiler's own control and leases.
    #[default]
    Automatic,
    /// This flow temperature, within the installer's limits.
    Flow(CentiCelsius),
    /// No heating. Frost protection and hot water stay on.
    Off,
}

/// Position of the diverter valve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diverter {
    /// To the radiators.
    #[default]
    Heating,
    /// To the hot-water exchanger.
    HotWater,
}

/// The firmware's commands to burner, fan, pump and valves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actuators {
    /// Burner power in thousandths of the maximum; 0 is off, any other value opens the gas valve.
    pub burner_permille: u16,
    /// The ignition spark.
    pub spark: bool,
    /// The fan: through the whole sequence of the burner and 10 s after the gas has closed.
    pub fan: bool,
    pub pump: bool,
    pub diverter: Diverter,
}
