//! Safety limits: what holds the burner off, whatever the heat demand.
//!
//! | limit | reaction | clears |
//! |---|---|---|
//! | flow ≥ 88 °C (control limit) | off, no fault | ≤ 82 °C |
//! | flow ≥ 95 °C (blocking limit) | off, *overheat* | ≤ 80 °C |
//! | flow ≥ 110 °C | lockout *overheat* | reset at the boiler |
//! | rise > 1 K/s below 60 °C, falling to > 0.5 K/s above 80 °C | minimum power | below half of it |
//! | the same after 5 s at minimum power | off, no fault | after the minimum off time |
//! | rise > 2.7 K/s: no water in the boiler | lockout *pump* | reset at the boiler |
//! | sensor < −25 °C (open), > 125 °C (short), no reading for 1 s | off, *sensor* | with a valid reading |
//! | two sensors > 10 K apart | off; after 1 s of it lockout *sensor mismatch* | reset at the boiler |
//! | pressure < 0.5 bar | off, *low pressure* | ≥ 0.8 bar |
//! | pump on and no water flow for 3 s | off, *pump* | water flows |
//! | flow − return > 40 K for 10 s of firing | off, *pump* | < 20 K |
//!
//! Temperatures, rises and pressures come from makers' manuals, by way of the design; the limiter at 110 °C is
//! independent hardware in addition (EN 14597). Numbers that the design does not give are ours: a pump needs up to 3 s
//! to run up; 40 K is the upper end of what makers allow (25 to 40 K), and full power with a working pump gives 20 K.
//!
//! ```text
//!   Free ◀──▶ MinimumPower ──5 s──▶ Limited        Blocked(kind)            Lockout(kind)
//!     ▲                               │ │              │ ▲                       ▲
//!     └───────────────────────────────┘ └──────────────┘ └── a worse limit ──┘
//!         each limit has its own hysteresis; the worst active limit is the verdict; only a reset ends a lockout
//! ```
//!
//! Every limit takes the hotter of two sensors. A rise is the smallest over four consecutive half seconds: a jump of
//! the sensor shows in only one of them, and noise of a count or two (0.05 K) never in all. It counts only while the
//! gas is open, because water that the pump brings back may be hot as well.

use thermowell_wire::CentiCelsius;
use thermowell_wire::line::FaultKind;

use crate::Config;

const LIMIT: CentiCelsius = CentiCelsius(8_800);
const LIMIT_CLEARS: CentiCelsius = CentiCelsius(8_200);
const BLOCKING: CentiCelsius = CentiCelsius(9_500);
/// Where overheat clears. Above it the pump runs on, whatever the demand.
pub(crate) const BLOCKING_CLEARS: CentiCelsius = CentiCelsius(8_000);
const LOCKOUT: CentiCelsius = CentiCelsius(11_000);

/// Rises in hundredths of a kelvin per half second.
const RISE_COLD: i32 = 50;
const RISE_HOT: i32 = 25;
const RISE_LOCKOUT: i32 = 135;
/// [`RISE_COLD`] applies up to here, [`RISE_HOT`] from [`RISE_HOT_FROM`] on; linear in between.
const RISE_COLD_TO: i32 = 6_000;
const RISE_HOT_FROM: i32 = 8_000;
/// How long minimum power may take to stop the rise.
const RISE_TIMEOUT_US: u64 = 5_000_000;

/// Two sensors in one pocket differ by their tolerance only, far less than 10 K.
const MISMATCH: i32 = 1_000;
const MISMATCH_US: u64 = 1_000_000;

const PRESSURE_MBAR: u16 = 500;
const PRESSURE_CLEARS_MBAR: u16 = 800;

/// A pump's run-up.
const PUMP_US: u64 = 3_000_000;
const SPREAD: i32 = 4_000;
const SPREAD_CLEARS: i32 = 2_000;
const SPREAD_US: u64 = 10_000_000;

/// What the burner may do, from the mildest to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No limit is active.
    Free,
    /// Fire at minimum power only.
    MinimumPower,
    /// Off without a fault: the control limit, or a rise that minimum power did not stop.
    Limited,
    /// Off until the fault clears by itself.
    Blocked(FaultKind),
    /// Off until a reset.
    Lockout(FaultKind),
}

/// Inputs of the limits at one control step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// None if the sensor is faulty or the reading too old.
    pub(crate) flow: Option<CentiCelsius>,
    /// The second sensor, if the configuration has one.
    pub(crate) second_flow: Option<CentiCelsius>,
    pub(crate) return_temperature: Option<CentiCelsius>,
    pub(crate) pressure_mbar: u16,
    pub(crate) water_moves: Option<bool>,
    /// The actuators as commanded until now.
    pub(crate) pump: bool,
    pub(crate) gas: bool,
}

impl Seen {
    /// The hotter of the working sensors.
    pub(crate) fn hottest(&self) -> Option<CentiCelsius> {
        self.flow.max(self.second_flow)
    }
}

/// The limits, with their hysteresis and timers.
#[derive(Clone, Debug)]
pub(crate) struct Safety {
    heat: Heat,
    rise: Rise,
    mismatch_since_us: Option<u64>,
    low_pressure: bool,
    pump: Pump,
}

impl Safety {
    pub(crate) fn new() -> Self {
        Self { heat: Heat::Cool, rise: Rise::new(), mismatch_since_us: None, low_pressure: false, pump: Pump::new() }
    }

    /// Evaluates every limit, even if another one has tripped already: each one's state must be right when the other
    /// clears.
    pub(crate) fn step(&mut self, now_us: u64, seen: &Seen, config: &Config) -> Verdict {
        let heat = self.watch_heat(seen.hottest());
        let mismatch = self.watch_sensors(now_us, seen, config);
        let rise = self.rise.step(now_us, seen, config);
        let pressure = self.watch_pressure(seen, config);
        let pump = self.pump.step(now_us, seen);
        // Checks are in order of priority: of two equally bad verdicts the first wins, because it explains the other.
        let all = [heat, mismatch, rise, pump, pressure];
        all.into_iter().fold(Verdict::Free, |worst, next| if rank(next) > rank(worst) { next } else { worst })
    }

    fn watch_heat(&mut self, hottest: Option<CentiCelsius>) -> Verdict {
        let Some(flow) = hottest else { return Verdict::Blocked(FaultKind::Sensor) };
        self.heat = match self.heat {
            _ if flow >= BLOCKING => Heat::Overheated,
            Heat::Overheated if flow > BLOCKING_CLEARS => Heat::Overheated,
            Heat::Cool | Heat::Limited | Heat::Overheated if flow >= LIMIT => Heat::Limited,
            Heat::Limited if flow > LIMIT_CLEARS => Heat::Limited,
            Heat::Cool | Heat::Limited | Heat::Overheated => Heat::Cool,
        };
        match self.heat {
            Heat::Overheated if flow >= LOCKOUT => Verdict::Lockout(FaultKind::Overheat),
            Heat::Overheated => Verdict::Blocked(FaultKind::Overheat),
            Heat::Limited => Verdict::Limited,
            Heat::Cool => Verdict::Free,
        }
    }

    /// A faulty sensor, or two that disagree.
    fn watch_sensors(&mut self, now_us: u64, seen: &Seen, config: &Config) -> Verdict {
        let broken = seen.flow.is_none() || (config.second_sensor && seen.second_flow.is_none());
        let mismatch = match (seen.flow, seen.second_flow) {
            (Some(one), Some(other)) => (i32::from(one.0) - i32::from(other.0)).abs() > MISMATCH,
            (None | Some(_), None | Some(_)) => false,
        };
        if !mismatch {
            self.mismatch_since_us = None;
            return if broken { Verdict::Blocked(FaultKind::Sensor) } else { Verdict::Free };
        }
        let since_us = *self.mismatch_since_us.get_or_insert(now_us);
        if now_us.saturating_sub(since_us) >= MISMATCH_US {
            Verdict::Lockout(FaultKind::SensorMismatch)
        } else {
            Verdict::Blocked(FaultKind::SensorMismatch)
        }
    }

    fn watch_pressure(&mut self, seen: &Seen, config: &Config) -> Verdict {
        let enough = if self.low_pressure { PRESSURE_CLEARS_MBAR } else { PRESSURE_MBAR };
        self.low_pressure = config.pressure_sensor && seen.pressure_mbar < enough;
        if self.low_pressure { Verdict::Blocked(FaultKind::LowPressure) } else { Verdict::Free }
    }
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Free => 0,
        Verdict::MinimumPower => 1,
        Verdict::Limited => 2,
        Verdict::Blocked(_) => 3,
        Verdict::Lockout(_) => 4,
    }
}

/// State of the temperature limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heat {
    Cool,
    Limited,
    Overheated,
}

/// Control steps in half a second, and half seconds that must agree.
const HALF_SECOND: usize = 5;
const HALF_SECONDS: usize = 4;
const KEPT: usize = HALF_SECOND * HALF_SECONDS + 1;

/// The rate-of-rise limiter.
#[derive(Clone, Debug)]
struct Rise {
    /// The last readings, one per control step, oldest first. Cleared while the gas is closed.
    last: heapless::Deque<i16, KEPT>,
    /// Since when the burner is held at minimum power.
    held_since_us: Option<u64>,
    /// End of the forced off time.
    off_until_us: u64,
}

impl Rise {
    fn new() -> Self {
        Self { last: heapless::Deque::new(), held_since_us: None, off_until_us: 0 }
    }

    fn step(&mut self, now_us: u64, seen: &Seen, config: &Config) -> Verdict {
        let (Some(flow), true) = (seen.hottest(), seen.gas) else {
            self.last.clear();
            self.held_since_us = None;
            return if now_us < self.off_until_us { Verdict::Limited } else { Verdict::Free };
        };
        if self.last.is_full() {
            self.last.pop_front();
        }
        self.last.push_back(flow.0).expect("the oldest was removed if full");
        let rise = self.rise();
        let limit = rise_limit(flow);
        if rise > RISE_LOCKOUT {
            return Verdict::Lockout(FaultKind::Pump);
        }
        if rise > limit {
            let since_us = *self.held_since_us.get_or_insert(now_us);
            if now_us.saturating_sub(since_us) >= RISE_TIMEOUT_US {
                self.off_until_us = now_us.saturating_add(config.minimum_off_us);
            }
        } else if rise * 2 <= limit {
            self.held_since_us = None;
        }
        match self.held_since_us {
            _ if now_us < self.off_until_us => Verdict::Limited,
            Some(_) => Verdict::MinimumPower,
            None => Verdict::Free,
        }
    }

    /// Hundredths of a kelvin per half second; 0 until there are enough readings.
    fn rise(&self) -> i32 {
        if !self.last.is_full() {
            return 0;
        }
        let at = |index: usize| self.last.iter().nth(index).map_or(0, |&reading| i32::from(reading));
        let rises = (0..HALF_SECONDS).map(|half| at((half + 1) * HALF_SECOND) - at(half * HALF_SECOND));
        rises.min().unwrap_or(0)
    }
}

fn rise_limit(flow: CentiCelsius) -> i32 {
    let flow = i32::from(flow.0).clamp(RISE_COLD_TO, RISE_HOT_FROM);
    RISE_COLD - (RISE_COLD - RISE_HOT) * (flow - RISE_COLD_TO) / (RISE_HOT_FROM - RISE_COLD_TO)
}

/// Detects a pump that moves no water: by a flow switch, or by the flow/return spread.
#[derive(Clone, Debug)]
struct Pump {
    stagnant_since_us: Option<u64>,
    spread_since_us: Option<u64>,
    fails: bool,
}

impl Pump {
    fn new() -> Self {
        Self { stagnant_since_us: None, spread_since_us: None, fails: false }
    }

    fn step(&mut self, now_us: u64, seen: &Seen) -> Verdict {
        let stagnant = seen.pump && seen.water_moves == Some(false);
        let spread =
            seen.hottest().zip(seen.return_temperature).map(|(flow, back)| i32::from(flow.0) - i32::from(back.0));
        let wide = seen.gas && spread.is_some_and(|spread| spread > SPREAD);
        let trips = persists(&mut self.stagnant_since_us, now_us, stagnant, PUMP_US)
            | persists(&mut self.spread_since_us, now_us, wide, SPREAD_US);
        let moves = seen.water_moves.unwrap_or(true) && spread.is_none_or(|spread| spread < SPREAD_CLEARS);
        // A stopped pump proves nothing: the fault stays until the pump has run and the water was seen moving.
        self.fails = trips || (self.fails && !moves);
        if self.fails { Verdict::Blocked(FaultKind::Pump) } else { Verdict::Free }
    }
}

/// Whether `holds` has been true for `for_us`.
fn persists(since_us: &mut Option<u64>, now_us: u64, holds: bool, for_us: u64) -> bool {
    if !holds {
        *since_us = None;
        return false;
    }
    now_us.saturating_sub(*since_us.get_or_insert(now_us)) >= for_us
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const SOUND: Seen = Seen {
        flow: Some(CentiCelsius(5_000)),
        second_flow: None,
        return_temperature: Some(CentiCelsius(4_000)),
        pressure_mbar: 1_500,
        water_moves: Some(true),
        pump: true,
        gas: true,
    };

    /// The limits, stepped ten times a second.
    struct Rig {
        safety: Safety,
        config: Config,
        now_us: u64,
    }

    impl Rig {
        fn new() -> Self {
            Self { safety: Safety::new(), config: Config::default(), now_us: 0 }
        }

        fn with_second_sensor() -> Self {
            Self { config: Config { second_sensor: true, ..Config::default() }, ..Self::new() }
        }

        fn step(&mut self, seen: Seen) -> Verdict {
            self.now_us += 100_000;
            self.safety.step(self.now_us, &seen, &self.config)
        }

        fn hold(&mut self, seconds: u64, seen: Seen) -> Verdict {
            (0..seconds * 10).map(|_| self.step(seen)).last().unwrap()
        }

        fn flow(&mut self, centi: i16) -> Verdict {
            self.step(at(centi))
        }

        /// Gets hotter by `centi_per_second` from `from` on; the verdict of each step.
        fn ramp(&mut self, from: i16, centi_per_second: i32, seconds: i32) -> Vec<Verdict> {
            let flows = (0..seconds * 10).map(|tenth| i32::from(from) + centi_per_second * tenth / 10);
            flows.map(|flow| self.flow(i16::try_from(flow).unwrap())).collect()
        }
    }

    fn at(centi: i16) -> Seen {
        Seen { flow: Some(CentiCelsius(centi)), return_temperature: Some(CentiCelsius(centi - 1_000)), ..SOUND }
    }

    #[test]
    fn temperature_limits_hold_until_cooled() {
        let mut rig = Rig::new();
        assert_eq!(rig.flow(8_799), Verdict::Free);
        assert_eq!(rig.flow(8_800), Verdict::Limited);
        assert_eq!(rig.flow(8_201), Verdict::Limited);
        assert_eq!(rig.flow(8_200), Verdict::Free);
        assert_eq!(rig.flow(9_499), Verdict::Limited);
        assert_eq!(rig.flow(9_500), Verdict::Blocked(FaultKind::Overheat));
        assert_eq!(rig.flow(8_001), Verdict::Blocked(FaultKind::Overheat));
        assert_eq!(rig.flow(8_000), Verdict::Free);
        assert_eq!(rig.flow(10_999), Verdict::Blocked(FaultKind::Overheat));
        assert_eq!(rig.flow(11_000), Verdict::Lockout(FaultKind::Overheat));
    }

    #[test]
    fn sensor_outage_does_not_clear_overheat() {
        let mut rig = Rig::new();
        rig.flow(9_500);
        assert_eq!(rig.step(Seen { flow: None, ..SOUND }), Verdict::Blocked(FaultKind::Sensor));
        assert_eq!(rig.flow(8_100), Verdict::Blocked(FaultKind::Overheat));
        assert_eq!(rig.flow(5_000), Verdict::Free, "a sensor fault clears by itself");
    }

    #[test]
    fn fast_rise_is_slowed_stopped_or_locked_out() {
        // Start, rise in 0.01 K/s, and the verdict after two seconds and after eight.
        let (free, slow, off) = (Verdict::Free, Verdict::MinimumPower, Verdict::Limited);
        for (from, rise, soon, late) in [
            (3_000, 96, free, free),
            (3_000, 104, slow, off),
            (7_000, 58, free, free),
            (6_800, 90, slow, off),
            (8_000, 48, free, free),
            (8_000, 54, slow, off),
            (3_000, 266, slow, off),
            (3_000, 280, Verdict::Lockout(FaultKind::Pump), Verdict::Lockout(FaultKind::Pump)),
        ] {
            let verdicts = Rig::new().ramp(from, rise, 8);
            assert_eq!(verdicts[..20], [free; 20], "no verdict before two seconds of readings");
            assert_eq!((verdicts[22], verdicts[79]), (soon, late), "{rise} from {from}");
        }
    }

    #[test]
    fn burner_is_free_once_minimum_power_stops_the_rise() {
        let mut rig = Rig::new();
        assert_eq!(rig.ramp(3_000, 150, 4).last(), Some(&Verdict::MinimumPower));
        assert_eq!(rig.ramp(3_600, 40, 3).last(), Some(&Verdict::Free));
        assert_eq!(rig.ramp(3_720, 150, 6).last(), Some(&Verdict::MinimumPower), "the five seconds start over");
        // Between half the limit and the limit it stays at minimum power, and is not stopped.
        assert_eq!(rig.ramp(4_620, 80, 10).last(), Some(&Verdict::MinimumPower));
    }

    #[test]
    fn rise_despite_minimum_power_costs_minimum_off_time() {
        let mut rig = Rig::new();
        assert_eq!(rig.ramp(3_000, 150, 8).last(), Some(&Verdict::Limited));
        let off = Seen { gas: false, ..at(4_000) };
        assert_eq!(rig.hold(178, off), Verdict::Limited);
        assert_eq!(rig.hold(4, off), Verdict::Free);
    }

    #[test]
    fn sensor_jump_or_rise_without_gas_is_ignored() {
        let mut rig = Rig::new();
        rig.hold(5, at(3_000));
        assert_eq!(rig.hold(5, at(3_900)), Verdict::Free, "a jump of 9 K is a sensor artefact");
        let mut rig = Rig::new();
        for tenth in 0..100 {
            let warm = Seen { gas: false, ..at(3_000 + tenth * 30) };
            assert_eq!(rig.step(warm), Verdict::Free);
        }
    }

    #[test]
    fn sensor_mismatch_blocks_then_locks_out() {
        let pair = |one, other| Seen { second_flow: Some(CentiCelsius(other)), ..at(one) };
        for (one, other) in [(5_000, 6_001), (6_001, 5_000)] {
            let mut rig = Rig::with_second_sensor();
            assert_eq!(rig.step(pair(5_000, 6_000)), Verdict::Free, "exactly 10 K is allowed");
            for _ in 0..10 {
                assert_eq!(rig.step(pair(one, other)), Verdict::Blocked(FaultKind::SensorMismatch), "off at once");
            }
            assert_eq!(rig.step(pair(one, other)), Verdict::Lockout(FaultKind::SensorMismatch));
        }
        let mut rig = Rig::with_second_sensor();
        assert_eq!(rig.step(at(5_000)), Verdict::Blocked(FaultKind::Sensor), "the second sensor is missing");
        assert_eq!(rig.step(pair(8_700, 8_800)), Verdict::Limited, "the hotter one counts");
        let first_lost = Seen { flow: None, second_flow: Some(CentiCelsius(11_000)), ..SOUND };
        assert_eq!(
            rig.step(first_lost),
            Verdict::Lockout(FaultKind::Overheat),
            "one working sensor is enough for a lockout"
        );
    }

    #[test]
    fn low_pressure_blocks_until_refilled() {
        let mut rig = Rig::new();
        let mut at = |pressure_mbar| rig.step(Seen { pressure_mbar, ..SOUND });
        assert_eq!(at(500), Verdict::Free);
        assert_eq!(at(499), Verdict::Blocked(FaultKind::LowPressure));
        assert_eq!(at(799), Verdict::Blocked(FaultKind::LowPressure));
        assert_eq!(at(800), Verdict::Free);
        let config = Config { pressure_sensor: false, ..Config::default() };
        let mut rig = Rig { config, ..Rig::new() };
        assert_eq!(
            rig.step(Seen { pressure_mbar: 0, ..SOUND }),
            Verdict::Free,
            "without a sensor the pressure is ignored"
        );
    }

    #[test]
    fn missing_water_flow_is_detected_by_switch() {
        let mut rig = Rig::new();
        let stagnant = Seen { water_moves: Some(false), ..SOUND };
        assert_eq!(rig.hold(3, stagnant), Verdict::Free, "the pump may run up");
        assert_eq!(rig.step(stagnant), Verdict::Blocked(FaultKind::Pump));
        let off = Seen { pump: false, ..stagnant };
        assert_eq!(rig.hold(60, off), Verdict::Blocked(FaultKind::Pump), "a stopped pump does not clear it");
        assert_eq!(rig.step(SOUND), Verdict::Free);
        assert_eq!(rig.hold(60, off), Verdict::Free);
    }

    #[test]
    fn missing_water_flow_is_detected_by_spread() {
        let mut rig = Rig::new();
        let spread = |kelvin: i16| Seen {
            return_temperature: Some(CentiCelsius(5_000 - kelvin * 100)),
            water_moves: None,
            ..SOUND
        };
        assert_eq!(rig.hold(60, spread(40)), Verdict::Free);
        assert_eq!(rig.hold(10, spread(41)), Verdict::Free);
        assert_eq!(rig.step(spread(41)), Verdict::Blocked(FaultKind::Pump));
        let off = Seen { gas: false, ..spread(20) };
        assert_eq!(rig.hold(60, off), Verdict::Blocked(FaultKind::Pump));
        assert_eq!(rig.step(Seen { gas: false, ..spread(19) }), Verdict::Free);
        assert_eq!(rig.hold(60, Seen { gas: false, ..spread(60) }), Verdict::Free, "only while firing");
    }

    #[test]
    fn worst_limit_wins() {
        let mut rig = Rig::with_second_sensor();
        let two = Seen { pressure_mbar: 0, second_flow: Some(CentiCelsius(8_900)), ..at(8_900) };
        assert_eq!(rig.step(two), Verdict::Blocked(FaultKind::LowPressure));
        let three = Seen { flow: Some(CentiCelsius(7_000)), ..two };
        rig.hold(1, three);
        assert_eq!(rig.step(three), Verdict::Lockout(FaultKind::SensorMismatch));
    }
}
