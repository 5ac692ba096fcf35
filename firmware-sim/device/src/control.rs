//! Burner and pump: turns a flow temperature and a heat demand into actuator commands.
//!
//! ```text
//!              heat wanted              flow < target − 3 K, off for 3 min
//!   Standby ─────────────────▶ Waiting ───────────────────────────────────▶ Waiting (purge, spark) ──flame──▶ Firing
//!    ▲  ▲ │                       ▲                                                                             │
//!    │  │ │ 180 s                 │ flow > target + 5 K, or a limit                                             │
//!    │ Overrun ◀──────────────────┴─────────────────────────────────────────────────────────────────────────────┘
//!    │    │       nothing wanted: a lease or the panel asks for none, or own control withholds it (`season`)
//!    └────┘ exercise: 60 s of pump after 24 h without
//!
//!   Blocked: as Waiting or Overrun, while a fault is active that clears by itself
//!   Lockout: no firing until a reset; the pump overruns, and protects from frost
//! ```
//!
//! Firing begins with 5 s at the start load, then it modulates. A tap that stays open for more than 30 min alternates
//! with heating, every 30 min: it may be a flow switch that is stuck, and the house must not freeze for it.
//!
//! One step every [`STEP_US`] of device time, in integers: evaluate everything first, then move the actuators.
//! [`crate::safety`] overrides hot water and frost protection, these override the panel, and the panel overrides a
//! lease. Only [`crate::burner`] opens the gas.

use thermowell_wire::CentiCelsius;
use thermowell_wire::line::{BoilerState, Demand, FaultKind};
use thermowell_wire::units::{DAY_US, MINUTE_US};

use crate::burner::{Burner, Phase};
use crate::lease::Lease;
use crate::safety::{BLOCKING_CLEARS, Safety, Seen, Verdict};
use crate::{Actuators, Config, Diverter};

/// Device time between two steps.
pub(crate) const STEP_US: u64 = 100_000;

/// The burner stops this many hundredths of a kelvin above the target.
const STOP_ABOVE: i16 = 500;
/// Proportional part: 4 % of the burner per kelvin, as thousandths per 10 hundredths of a degree.
const PROPORTIONAL: i64 = 4;
/// Integral part: 0.2 % of the burner per kelvin and second, in integral units per hundredth of a kelvin and step.
const INTEGRAL: i64 = 20;
/// Integral units per thousandth of the burner.
const INTEGRAL_UNITS: i64 = 10_000;

/// Frost protection: the pump below 7 °C, the burner below 5 °C, both off above 15 °C.
const FROST_PUMP: CentiCelsius = CentiCelsius(700);
const FROST_BURNER: CentiCelsius = CentiCelsius(500);
const FROST_OFF: CentiCelsius = CentiCelsius(1_500);
/// Flow target of frost protection: with it the hysteresis keeps the burner on until [`FROST_OFF`].
const FROST_TARGET: CentiCelsius = CentiCelsius(2_000);

/// A pump that has not run for this long is exercised, or it seizes in summer. Makers do it once a day, for seconds to
/// minutes.
const EXERCISE_AFTER_US: u64 = DAY_US;
const EXERCISE_US: u64 = MINUTE_US;

/// Heating demand, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heating<'a> {
    /// The boiler's own control or its panel: this flow temperature, or no heat.
    Own(Option<CentiCelsius>),
    Leased(&'a Lease),
}

/// Inputs of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) seen: Seen,
    /// None if the last reading is too old.
    pub(crate) flame: Option<bool>,
    /// None if the boiler does not measure it.
    pub(crate) air: Option<bool>,
    /// Hot water is being drawn.
    pub(crate) draw: bool,
    pub(crate) heating: Heating<'a>,
    /// A lockout is active.
    pub(crate) locked: bool,
}

/// The heat demand that takes precedence now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HeatRequest {
    target: CentiCelsius,
    hot_water: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Control {
    safety: Safety,
    burner: Burner,
    verdict: Verdict,
    actuators: Actuators,
    state: BoilerState,
    integral: i64,
    overrun_until_us: u64,
    /// When the pump last ran; 0 is the boot.
    pumped_us: u64,
    exercise_until_us: u64,
    /// Since when hot water is drawn.
    draw_since_us: Option<u64>,
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
            pumped_us: 0,
            exercise_until_us: 0,
            draw_since_us: None,
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

    /// The active fault that holds the burner off and clears by itself.
    pub(crate) fn passing_fault(&self) -> Option<FaultKind> {
        match self.verdict {
            Verdict::Blocked(kind) => Some(kind),
            Verdict::Free | Verdict::MinimumPower | Verdict::Limited | Verdict::Lockout(_) => None,
        }
    }

    /// Clears the burner's counts after a lockout reset.
    pub(crate) fn clear_counts(&mut self) {
        self.burner.clear_counts();
    }

    /// One step. Returns the fault that must lock out the burner, which is off then.
    pub(crate) fn step(&mut self, now_us: u64, situation: &Situation<'_>, config: &Config) -> Option<FaultKind> {
        let Situation { seen, flame, air, draw, heating, locked } = *situation;
        let seen = Seen { pump: self.actuators.pump, gas: self.burner.has_gas(), ..seen };
        self.verdict = self.safety.step(now_us, &seen, config);
        self.watch_frost(seen.flow);
        let request = self.request(now_us, draw, heating, config);
        let allowed = !locked && may_burn(self.verdict);
        let wanted = match (seen.flow, request) {
            (Some(flow), Some(request)) if allowed => self.should_burn(now_us, flow, request, config),
            (None | Some(_), None | Some(_)) => false,
        };
        let tripped = self.burner.step(now_us, wanted, flame, air);
        self.move_burner(seen.flow, request, config);
        let lockout = match self.verdict {
            Verdict::Lockout(kind) => Some(kind),
            Verdict::Free | Verdict::MinimumPower | Verdict::Limited | Verdict::Blocked(_) => tripped,
        };
        let locked = locked || lockout.is_some();
        self.move_pump(now_us, request, locked, seen.hottest(), config);
        self.state = self.judge(request, locked);
        lockout
    }

    /// Without a reading frost protection keeps its state.
    fn watch_frost(&mut self, flow: Option<CentiCelsius>) {
        let Some(flow) = flow else { return };
        self.frost_pump = flow < FROST_PUMP || (self.frost_pump && flow <= FROST_OFF);
        self.frost_burner = flow < FROST_BURNER || (self.frost_burner && flow <= FROST_OFF);
    }

    fn request(&mut self, now_us: u64, draw: bool, heating: Heating<'_>, config: &Config) -> Option<HeatRequest> {
        let heating = match heating {
            Heating::Own(flow) => flow,
            Heating::Leased(Lease { demand: Demand::Heat, flow, .. }) => Some(*flow),
            Heating::Leased(Lease { demand: Demand::None, .. }) => None,
        };
        let frost = self.frost_burner.then_some(FROST_TARGET);
        let heating = heating.max(frost).map(|target| HeatRequest { target, hot_water: false });
        let hot_water = HeatRequest { target: config.hot_water_flow, hot_water: true };
        if self.has_tap_turn(now_us, draw, config) { Some(hot_water) } else { heating.or(draw.then_some(hot_water)) }
    }

    /// Whether the tap is open and has precedence: in the first, third … turn of an endless draw.
    fn has_tap_turn(&mut self, now_us: u64, draw: bool, config: &Config) -> bool {
        if !draw {
            self.draw_since_us = None;
            return false;
        }
        let drawn_us = now_us.saturating_sub(*self.draw_since_us.get_or_insert(now_us));
        (drawn_us / config.hot_water_priority_us.max(1)).is_multiple_of(2)
    }

    fn should_burn(&self, now_us: u64, flow: CentiCelsius, request: HeatRequest, config: &Config) -> bool {
        if self.burner.phase() != Phase::Off {
            return flow.0 <= request.target.0.saturating_add(STOP_ABOVE);
        }
        // Hot water does not wait for the minimum off time, except after a boot.
        let off_since_us = if request.hot_water { 0 } else { self.burner.off_since_us() };
        let rested = now_us.saturating_sub(off_since_us) >= config.minimum_off_us;
        rested && flow.0 < request.target.0.saturating_sub(config.start_below)
    }

    fn move_burner(&mut self, flow: Option<CentiCelsius>, request: Option<HeatRequest>, config: &Config) {
        let smallest = config.burner_permille_min.clamp(1, 1_000);
        let power = match (self.burner.phase(), flow, request) {
            (Phase::Off | Phase::Purging { .. }, _, _) => 0,
            (Phase::Igniting { .. } | Phase::Burning { .. }, _, _) if self.burner.is_starting() => {
                self.integral = i64::from(smallest) * INTEGRAL_UNITS;
                if self.verdict == Verdict::Free { config.start_permille.clamp(smallest, 1_000) } else { smallest }
            }
            (Phase::Burning { .. }, Some(flow), Some(request)) if self.verdict == Verdict::Free => {
                self.modulate(i64::from(request.target.0) - i64::from(flow.0), smallest)
            }
            (Phase::Igniting { .. } | Phase::Burning { .. }, _, _) => {
                self.integral = i64::from(smallest) * INTEGRAL_UNITS;
                smallest
            }
        };
        self.actuators.burner_permille = power;
        self.actuators.spark = matches!(self.burner.phase(), Phase::Igniting { .. });
        self.actuators.fan = self.burner.needs_air();
    }

    /// Burner power for an error in hundredths of a kelvin. Anti-windup: the integral is clamped to the burner's range.
    fn modulate(&mut self, error: i64, smallest: u16) -> u16 {
        self.integral = (self.integral + error * INTEGRAL).clamp(0, 1_000 * INTEGRAL_UNITS);
        let asked = error * PROPORTIONAL / 10 + self.integral / INTEGRAL_UNITS;
        u16::try_from(asked.clamp(i64::from(smallest), 1_000)).unwrap_or(smallest)
    }

    fn move_pump(
        &mut self,
        now_us: u64,
        request: Option<HeatRequest>,
        locked: bool,
        hottest: Option<CentiCelsius>,
        config: &Config,
    ) {
        // The overrun starts when heat was last wanted: nothing fires without a demand.
        // Without water a pump only wears out, and during a lockout only the residual heat is left to remove.
        let dry = self.passing_fault() == Some(FaultKind::LowPressure);
        let wanted = request.is_some() && !locked && !dry;
        if wanted {
            self.overrun_until_us = self.overrun_until_us.max(now_us.saturating_add(config.overrun_us));
        }
        // An overheated boiler needs the pump whatever the demand, and without a sensor it must be assumed overheated.
        let hot = hottest.is_none_or(|flow| flow > BLOCKING_CLEARS);
        let overruns = now_us < self.overrun_until_us;
        self.actuators.pump = wanted || hot || self.frost_pump || overruns || self.exercises(now_us, dry);
        if self.actuators.pump {
            self.pumped_us = now_us;
        }
        let hot_water = request.is_some_and(|request| request.hot_water) && !locked;
        self.actuators.diverter = if hot_water { Diverter::HotWater } else { Diverter::Heating };
    }

    fn exercises(&mut self, now_us: u64, dry: bool) -> bool {
        if now_us.saturating_sub(self.pumped_us) >= EXERCISE_AFTER_US {
            self.exercise_until_us = now_us.saturating_add(EXERCISE_US);
        }
        !dry && now_us < self.exercise_until_us
    }

    fn judge(&self, request: Option<HeatRequest>, locked: bool) -> BoilerState {
        if locked {
            BoilerState::Lockout
        } else if self.passing_fault().is_some() {
            BoilerState::Blocked
        } else if matches!(self.burner.phase(), Phase::Burning { .. }) {
            BoilerState::Firing
        } else if request.is_some() {
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
