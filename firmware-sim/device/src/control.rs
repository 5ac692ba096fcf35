//! Burner and pump: what the boiler does about a flow temperature.
//!
//! ```text
//!              heat wanted              flow < target − 3 K, off for 3 min
//!   Standby ─────────────────▶ Waiting ───────────────────────────────────▶ Firing
//!      ▲                          ▲                                            │
//!      │ 180 s                    │ flow > target + 5 K, or a limit            │
//!   Overrun ◀─────────────────────┴────────────────────────────────────────────┘
//!                nothing wanted          (Blocked: as Waiting or Overrun, while a fault stands)
//! ```
//!
//! One step every [`STEP_US`] of device time, in integers. A lease says what is wanted for the rooms; hot water and
//! frost protection go before it, and [`crate::safety`] goes before everything.

use thermowell_wire::line::{BoilerState, Demand, FaultKind};
use thermowell_wire::{CentiCelsius, Quality};

use crate::lease::Lease;
use crate::safety::{Safety, Verdict};
use crate::{Actuators, Config, Diverter, Measured};

/// Device time between two steps.
pub(crate) const STEP_US: u64 = 100_000;

/// The burner starts this far below the target.
const START_BELOW: i16 = 300;
/// The burner stops this far above the target.
const STOP_ABOVE: i16 = 500;
/// Proportional part: 4 % of the burner per kelvin, as thousandths per 10 hundredths of a degree.
const PROPORTIONAL: i64 = 4;
/// Integral part: 0.2 % of the burner per kelvin and second, in units of the integral per hundredth and step.
const INTEGRAL: i64 = 20;
/// Units of the integral in one thousandth of the burner.
const INTEGRAL_UNITS: i64 = 10_000;

/// Frost protection: the pump below 7 °C, the burner below 5 °C, both off above 15 °C.
const FROST_PUMP: CentiCelsius = CentiCelsius(700);
const FROST_BURNER: CentiCelsius = CentiCelsius(500);
const FROST_OFF: CentiCelsius = CentiCelsius(1_500);
/// What frost protection heats for: the hysteresis then holds the burner on until [`FROST_OFF`].
const FROST_TARGET: CentiCelsius = CentiCelsius(2_000);

/// What is wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    target: CentiCelsius,
    hot_water: bool,
}

/// Burner and pump.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    safety: Safety,
    verdict: Verdict,
    actuators: Actuators,
    state: BoilerState,
    integral: i64,
    /// When the burner went off; the boot counts as such.
    off_since_us: u64,
    overrun_until_us: u64,
    frost_pump: bool,
    frost_burner: bool,
    starts: u32,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            safety: Safety::new(),
            verdict: Verdict::Free,
            actuators: Actuators::default(),
            state: BoilerState::Standby,
            integral: 0,
            off_since_us: 0,
            overrun_until_us: 0,
            frost_pump: false,
            frost_burner: false,
            starts: 0,
        }
    }

    pub(crate) fn actuators(&self) -> &Actuators {
        &self.actuators
    }

    pub(crate) fn state(&self) -> BoilerState {
        self.state
    }

    pub(crate) fn starts(&self) -> u32 {
        self.starts
    }

    /// What holds the burner off, as far as it is a fault.
    pub(crate) fn fault(&self) -> Option<FaultKind> {
        match self.verdict {
            Verdict::Blocked(kind) => Some(kind),
            Verdict::Free | Verdict::Limited => None,
        }
    }

    /// One step. `own_flow` is what the boiler holds without a lease.
    pub(crate) fn step(
        &mut self,
        now_us: u64,
        measured: &Measured,
        lease: Option<&Lease>,
        own_flow: CentiCelsius,
        config: &Config,
    ) {
        let flow = (measured.quality == Quality::Ok).then_some(measured.flow);
        self.verdict = self.safety.step(flow);
        self.watch_frost(flow);
        let wish = self.wish(measured.hot_water, lease, own_flow, config);
        let burns = match (flow, wish) {
            (Some(flow), Some(wish)) if self.verdict == Verdict::Free => self.should_burn(now_us, flow, wish, config),
            (None | Some(_), None | Some(_)) => false,
        };
        self.move_burner(now_us, burns, flow, wish, config);
        self.move_pump(now_us, wish, config);
        self.state = self.judge(wish);
    }

    /// Without a reading frost protection stays as it is.
    fn watch_frost(&mut self, flow: Option<CentiCelsius>) {
        let Some(flow) = flow else { return };
        self.frost_pump = flow < FROST_PUMP || (self.frost_pump && flow <= FROST_OFF);
        self.frost_burner = flow < FROST_BURNER || (self.frost_burner && flow <= FROST_OFF);
    }

    fn wish(&self, draw: bool, lease: Option<&Lease>, own_flow: CentiCelsius, config: &Config) -> Option<Wish> {
        if draw {
            return Some(Wish { target: config.hot_water_flow, hot_water: true });
        }
        let rooms = match lease {
            None => Some(own_flow),
            Some(Lease { demand: Demand::Heat, flow, .. }) => Some(*flow),
            Some(Lease { demand: Demand::None, .. }) => None,
        };
        let frost = self.frost_burner.then_some(FROST_TARGET);
        rooms.max(frost).map(|target| Wish { target, hot_water: false })
    }

    fn should_burn(&self, now_us: u64, flow: CentiCelsius, wish: Wish, config: &Config) -> bool {
        if self.actuators.burner_permille > 0 {
            return flow.0 <= wish.target.0.saturating_add(STOP_ABOVE);
        }
        // A tap cannot wait three minutes; after a boot it has to.
        let off_since_us = if wish.hot_water { 0 } else { self.off_since_us };
        let rested = now_us.saturating_sub(off_since_us) >= config.minimum_off_us;
        rested && flow.0 < wish.target.0.saturating_sub(START_BELOW)
    }

    fn move_burner(
        &mut self,
        now_us: u64,
        burns: bool,
        flow: Option<CentiCelsius>,
        wish: Option<Wish>,
        config: &Config,
    ) {
        let burnt = self.actuators.burner_permille > 0;
        self.actuators.burner_permille = match (burns, flow, wish) {
            (true, Some(flow), Some(wish)) => {
                if !burnt {
                    self.starts += 1;
                    self.integral = i64::from(config.burner_permille_min) * INTEGRAL_UNITS;
                }
                self.modulate(i64::from(wish.target.0) - i64::from(flow.0), config)
            }
            (true | false, None | Some(_), None | Some(_)) => 0,
        };
        if burnt && self.actuators.burner_permille == 0 {
            self.off_since_us = now_us;
            self.overrun_until_us = now_us.saturating_add(config.overrun_us);
        }
    }

    /// Power for an error in hundredths of a degree. The integral is bounded by what the burner can do, so that it
    /// cannot wind up.
    fn modulate(&mut self, error: i64, config: &Config) -> u16 {
        self.integral = (self.integral + error * INTEGRAL).clamp(0, 1_000 * INTEGRAL_UNITS);
        let asked = error * PROPORTIONAL / 10 + self.integral / INTEGRAL_UNITS;
        let bounded = asked.clamp(i64::from(config.burner_permille_min.min(1_000)), 1_000);
        u16::try_from(bounded).unwrap_or(0)
    }

    fn move_pump(&mut self, now_us: u64, wish: Option<Wish>, config: &Config) {
        let wanted = wish.is_some() || self.frost_pump;
        if wanted {
            self.overrun_until_us = self.overrun_until_us.max(now_us.saturating_add(config.overrun_us));
        }
        // What a limit found too hot has to be carried away, whatever is wanted.
        let hot = self.verdict != Verdict::Free && self.fault() != Some(FaultKind::Sensor);
        self.actuators.pump = wanted || hot || now_us < self.overrun_until_us;
        let hot_water = wish.is_some_and(|wish| wish.hot_water);
        self.actuators.diverter = if hot_water { Diverter::HotWater } else { Diverter::Heating };
    }

    fn judge(&self, wish: Option<Wish>) -> BoilerState {
        if self.fault().is_some() {
            BoilerState::Blocked
        } else if self.actuators.burner_permille > 0 {
            BoilerState::Firing
        } else if wish.is_some() {
            BoilerState::Waiting
        } else if self.actuators.pump {
            BoilerState::Overrun
        } else {
            BoilerState::Standby
        }
    }
}
