//! Burner and pump: what the boiler does about a flow temperature.
//!
//! ```text
//!              heat wanted              flow < target − 3 K, off for 3 min
//!   Standby ─────────────────▶ Waiting ───────────────────────────────────▶ Waiting (purge, spark) ──flame──▶ Firing
//!      ▲                          ▲                                                                             │
//!      │ 180 s                    │ flow > target + 5 K, or a limit                                             │
//!   Overrun ◀─────────────────────┴─────────────────────────────────────────────────────────────────────────────┘
//!                nothing wanted
//!
//!   Blocked: as Waiting or Overrun, while a fault stands that passes by itself
//!   Lockout: nothing burns until a reset; the pump carries the rest of the heat away, and protects from frost
//! ```
//!
//! One step every [`STEP_US`] of device time, in integers: first everything is judged, then something is moved. A lease
//! says what is wanted for the rooms, somebody at the panel goes before it, hot water and frost protection go before
//! them, [`crate::safety`] goes before everything, and the gas is opened by [`crate::burner`] alone.

use thermowell_wire::CentiCelsius;
use thermowell_wire::line::{BoilerState, Demand, FaultKind};

use crate::burner::{Burner, Phase};
use crate::lease::Lease;
use crate::safety::{BLOCKING_BACK, Safety, Seen, Verdict};
use crate::{Actuators, Config, Diverter};

/// Device time between two steps.
pub(crate) const STEP_US: u64 = 100_000;

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

/// What is wanted for the rooms, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rooms<'a> {
    /// The boiler's own control, or somebody at its panel: this flow temperature, or no heat.
    Own(Option<CentiCelsius>),
    /// A lease.
    Leased(&'a Lease),
}

/// Everything that a step goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) seen: Seen,
    /// None where the last look is too old to be believed.
    pub(crate) flame: Option<bool>,
    /// Hot water is drawn.
    pub(crate) draw: bool,
    pub(crate) rooms: Rooms<'a>,
    /// A lockout stands.
    pub(crate) locked: bool,
}

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
    burner: Burner,
    verdict: Verdict,
    actuators: Actuators,
    state: BoilerState,
    integral: i64,
    overrun_until_us: u64,
    frost_pump: bool,
    frost_burner: bool,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            safety: Safety::new(),
            burner: Burner::new(),
            verdict: Verdict::Free,
            actuators: Actuators::default(),
            state: BoilerState::Standby,
            integral: 0,
            overrun_until_us: 0,
            frost_pump: false,
            frost_burner: false,
        }
    }

    pub(crate) fn actuators(&self) -> &Actuators {
        &self.actuators
    }

    pub(crate) fn state(&self) -> BoilerState {
        self.state
    }

    pub(crate) fn starts(&self) -> u32 {
        self.burner.ignitions()
    }

    /// What holds the burner off and passes by itself.
    pub(crate) fn passing_fault(&self) -> Option<FaultKind> {
        match self.verdict {
            Verdict::Blocked(kind) => Some(kind),
            Verdict::Free | Verdict::MinimumPower | Verdict::Limited | Verdict::Lockout(_) => None,
        }
    }

    /// Somebody has reset the lockout.
    pub(crate) fn forgive(&mut self) {
        self.burner.forgive();
    }

    /// One step. Returns why the burner has to be locked out: it is off then.
    pub(crate) fn step(&mut self, now_us: u64, situation: &Situation<'_>, config: &Config) -> Option<FaultKind> {
        let Situation { seen, flame, draw, rooms, locked } = *situation;
        let seen = Seen { pump: self.actuators.pump, gas: self.burner.has_gas(), ..seen };
        self.verdict = self.safety.step(now_us, &seen, config);
        self.watch_frost(seen.flow);
        let wish = self.wish(draw, rooms, config);
        let allowed = !locked && may_burn(self.verdict);
        let wanted = match (seen.flow, wish) {
            (Some(flow), Some(wish)) if allowed => self.should_burn(now_us, flow, wish, config),
            (None | Some(_), None | Some(_)) => false,
        };
        let tripped = self.move_burner(now_us, wanted, flame, seen.flow, wish, config);
        let lockout = match self.verdict {
            Verdict::Lockout(kind) => Some(kind),
            Verdict::Free | Verdict::MinimumPower | Verdict::Limited | Verdict::Blocked(_) => tripped,
        };
        let locked = locked || lockout.is_some();
        self.move_pump(now_us, wish, locked, seen.hottest(), config);
        self.state = self.judge(wish, locked);
        lockout
    }

    /// Without a reading frost protection stays as it is.
    fn watch_frost(&mut self, flow: Option<CentiCelsius>) {
        let Some(flow) = flow else { return };
        self.frost_pump = flow < FROST_PUMP || (self.frost_pump && flow <= FROST_OFF);
        self.frost_burner = flow < FROST_BURNER || (self.frost_burner && flow <= FROST_OFF);
    }

    fn wish(&self, draw: bool, rooms: Rooms<'_>, config: &Config) -> Option<Wish> {
        if draw {
            return Some(Wish { target: config.hot_water_flow, hot_water: true });
        }
        let rooms = match rooms {
            Rooms::Own(flow) => flow,
            Rooms::Leased(Lease { demand: Demand::Heat, flow, .. }) => Some(*flow),
            Rooms::Leased(Lease { demand: Demand::None, .. }) => None,
        };
        let frost = self.frost_burner.then_some(FROST_TARGET);
        rooms.max(frost).map(|target| Wish { target, hot_water: false })
    }

    fn should_burn(&self, now_us: u64, flow: CentiCelsius, wish: Wish, config: &Config) -> bool {
        if self.burner.phase() != Phase::Off {
            return flow.0 <= wish.target.0.saturating_add(STOP_ABOVE);
        }
        // A tap cannot wait three minutes; after a boot it has to.
        let off_since_us = if wish.hot_water { 0 } else { self.burner.off_since_us() };
        let rested = now_us.saturating_sub(off_since_us) >= config.minimum_off_us;
        rested && flow.0 < wish.target.0.saturating_sub(config.start_below)
    }

    fn move_burner(
        &mut self,
        now_us: u64,
        wanted: bool,
        flame: Option<bool>,
        flow: Option<CentiCelsius>,
        wish: Option<Wish>,
        config: &Config,
    ) -> Option<FaultKind> {
        let tripped = self.burner.step(now_us, wanted, flame);
        let smallest = config.burner_permille_min.clamp(1, 1_000);
        let power = match (self.burner.phase(), flow, wish) {
            (Phase::Off | Phase::Purging { .. }, _, _) => 0,
            (Phase::Burning { .. }, Some(flow), Some(wish)) if self.verdict == Verdict::Free => {
                self.modulate(i64::from(wish.target.0) - i64::from(flow.0), smallest)
            }
            (Phase::Igniting { .. } | Phase::Burning { .. }, _, _) => {
                self.integral = i64::from(smallest) * INTEGRAL_UNITS;
                smallest
            }
        };
        self.actuators.burner_permille = power;
        self.actuators.spark = matches!(self.burner.phase(), Phase::Igniting { .. });
        tripped
    }

    /// Power for an error in hundredths of a degree. The integral is bounded by what the burner can do, so that it
    /// cannot wind up.
    fn modulate(&mut self, error: i64, smallest: u16) -> u16 {
        self.integral = (self.integral + error * INTEGRAL).clamp(0, 1_000 * INTEGRAL_UNITS);
        let asked = error * PROPORTIONAL / 10 + self.integral / INTEGRAL_UNITS;
        u16::try_from(asked.clamp(i64::from(smallest), 1_000)).unwrap_or(smallest)
    }

    fn move_pump(
        &mut self,
        now_us: u64,
        wish: Option<Wish>,
        locked: bool,
        hottest: Option<CentiCelsius>,
        config: &Config,
    ) {
        // The overrun counts from when heat was wanted last: nothing burns without a wish.
        // Without water a pump only wears out, and behind a lockout there is nothing to carry but the rest.
        let dry = self.passing_fault() == Some(FaultKind::LowPressure);
        let wanted = wish.is_some() && !locked && !dry;
        if wanted {
            self.overrun_until_us = self.overrun_until_us.max(now_us.saturating_add(config.overrun_us));
        }
        // What is too hot has to be carried away, whatever is wanted; and who cannot see has to believe that it is.
        let hot = hottest.is_none_or(|flow| flow > BLOCKING_BACK);
        self.actuators.pump = wanted || hot || self.frost_pump || now_us < self.overrun_until_us;
        let hot_water = wish.is_some_and(|wish| wish.hot_water) && !locked;
        self.actuators.diverter = if hot_water { Diverter::HotWater } else { Diverter::Heating };
    }

    fn judge(&self, wish: Option<Wish>, locked: bool) -> BoilerState {
        if locked {
            BoilerState::Lockout
        } else if self.passing_fault().is_some() {
            BoilerState::Blocked
        } else if matches!(self.burner.phase(), Phase::Burning { .. }) {
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

fn may_burn(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Free | Verdict::MinimumPower => true,
        Verdict::Limited | Verdict::Blocked(_) | Verdict::Lockout(_) => false,
    }
}
