//! What the firmware sees of the boiler, and what it moves.

use thermowell_wire::{CentiCelsius, Quality};

/// The boiler's inputs, as the firmware reads them.
///
/// Both calls come in the order of the device clock. A simulator uses them to move its plant on, under the actuators
/// that were commanded until then.
pub trait Board {
    /// Reads the flow sensor for slot `seq`, scheduled at `slot_us` of the device clock. None where there was no time
    /// to: the slot is missed.
    fn sample(&mut self, seq: u64, slot_us: u64, actuators: &Actuators) -> Option<Measured>;

    /// Reads everything that changes slowly, ten times a second.
    fn inputs(&mut self, device_us: u64, actuators: &Actuators) -> Inputs;
}

/// One look at the flow sensor and the switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The flow temperature. Meaningless where the quality is not `Ok`.
    pub flow: CentiCelsius,
    /// The sensor chain's verdict.
    pub quality: Quality,
    /// The flow switch of the tap: hot water is drawn.
    pub hot_water: bool,
    /// The flame is seen.
    pub flame: bool,
}

/// What changes slowly. None where there is no sensor or it is faulty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Return temperature.
    pub return_temperature: Option<CentiCelsius>,
    /// Room temperature.
    pub room: Option<CentiCelsius>,
    /// Outdoor temperature.
    pub outdoor: Option<CentiCelsius>,
    /// Water pressure in mbar.
    pub pressure_mbar: u16,
    /// The second flow sensor, in the same pocket as the first. Ignored where the configuration has none.
    pub second_flow: Option<CentiCelsius>,
    /// Whether water moves, as the pump itself or a flow switch says. None where nothing says so.
    pub water_moves: Option<bool>,
    /// What somebody has set by hand.
    pub panel: Panel,
    /// The reset button at the boiler is pressed.
    pub reset_pressed: bool,
}

/// The knob at the boiler's own panel. What is set by hand goes before every lease, until it is set back by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    /// The boiler's own control, and leases.
    #[default]
    Automatic,
    /// This flow temperature, within the installer's limits.
    Flow(CentiCelsius),
    /// No heating. Frost protection and hot water go on.
    Off,
}

/// Where the pump's water goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diverter {
    /// To the radiators.
    #[default]
    Heating,
    /// To the hot-water exchanger.
    HotWater,
}

/// What the firmware commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actuators {
    /// Burner power in thousandths of the maximum; 0 is off, and anything else opens the gas valve.
    pub burner_permille: u16,
    /// The spark of the ignition.
    pub spark: bool,
    /// The pump runs.
    pub pump: bool,
    /// Where it pumps to.
    pub diverter: Diverter,
}
