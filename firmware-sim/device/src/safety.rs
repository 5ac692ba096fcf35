//! What may hold the burner off, whoever wants heat.
//!
//! | limit | what happens | comes back |
//! |---|---|---|
//! | flow ≥ 88 °C (control limit) | off, no fault | ≤ 82 °C |
//! | flow ≥ 95 °C (blocking limit) | off, *overheat* | ≤ 80 °C |
//! | flow ≥ 110 °C | lockout *overheat* | reset at the boiler |
//! | rise > 1 K/s below 60 °C, falling to > 0.5 K/s above 80 °C | minimum power | below half of it |
//! | the same for 5 s of minimum power | off, no fault | after a minimum off time |
//! | rise > 2.7 K/s: there is no water in the boiler | lockout *pump* | reset at the boiler |
//! | sensor < −25 °C (open), > 125 °C (short), no reading for 1 s | off, *sensor* | with a sound reading |
//! | two sensors > 10 K apart | off; after 1 s of it lockout *sensor mismatch* | reset at the boiler |
//! | pressure < 0.5 bar | off, *low pressure* | ≥ 0.8 bar |
//! | the pump runs and no water moves for 3 s | off, *pump* | water moves |
//! | flow − return > 40 K for 10 s of burning | off, *pump* | < 20 K |
//!
//! The temperatures, rises and pressures are those of makers' manuals, as the design has them; the limiter at 110 °C
//! is hardware besides (EN 14597). What the design does not number is ours: 3 s are a pump's run-up; 40 K are the end
//! of what makers allow (25 to 40 K), and full power with a pump at work gives 20 K.
//!
//! ```text
//!   Free ◀──▶ MinimumPower ──5 s──▶ Limited        Blocked(kind)            Lockout(kind)
//!     ▲                               │ │              │ ▲                       ▲
//!     └───────────────────────────────┘ └──────────────┘ └── whatever is worse ──┘
//!         each limit has its own hysteresis; the worst that stands is the verdict; a lockout ends by a reset alone
//! ```
//!
//! Every limit looks at the hotter of two sensors. A rise is measured as the smallest of four half seconds one behind
//! the other: a jump of the sensor is in one of them only, and noise of a count or two (0.05 K) never is in all. It
//! counts only while the gas is open, because water that the pump brings back may be hot as well.

use thermowell_wire::CentiCelsius;
use thermowell_wire::line::FaultKind;

use crate::Config;

const LIMIT: CentiCelsius = CentiCelsius(8_800);
const LIMIT_BACK: CentiCelsius = CentiCelsius(8_200);
const BLOCKING: CentiCelsius = CentiCelsius(9_500);
/// Where overheat passes; above it the pump carries heat away, whatever is wanted.
pub(crate) const BLOCKING_BACK: CentiCelsius = CentiCelsius(8_000);
const LOCKOUT: CentiCelsius = CentiCelsius(11_000);

/// Rises in hundredths of a degree in half a second.
const RISE_COLD: i32 = 50;
const RISE_HOT: i32 = 25;
const RISE_LOCKOUT: i32 = 135;
/// Up to here [`RISE_COLD`] holds, from [`RISE_HOT_FROM`] on [`RISE_HOT`], between them a straight line.
const RISE_COLD_TO: i32 = 6_000;
const RISE_HOT_FROM: i32 = 8_000;
/// Minimum power has so long to stop the rise.
const RISE_PATIENCE_US: u64 = 5_000_000;

/// Two sensors in one pocket differ by their tolerance: far less than 10 K.
const APART: i32 = 1_000;
const APART_US: u64 = 1_000_000;

const PRESSURE_MBAR: u16 = 500;
const PRESSURE_BACK_MBAR: u16 = 800;

/// Until a pump has run up.
const PUMP_US: u64 = 3_000_000;
const SPREAD: i32 = 4_000;
const SPREAD_BACK: i32 = 2_000;
const SPREAD_US: u64 = 10_000_000;

/// What the burner may do. The worse, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Burn.
    Free,
    /// Burn, as little as possible.
    MinimumPower,
    /// Not now: hot enough by the control limit, or by how fast it gets hot.
    Limited,
    /// Not until this has passed.
    Blocked(FaultKind),
    /// Not until somebody has reset it.
    Lockout(FaultKind),
}

/// What the limits are judged by, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// None where the sensor is broken or the reading too old.
    pub(crate) flow: Option<CentiCelsius>,
    /// The second sensor, where the configuration has one.
    pub(crate) second_flow: Option<CentiCelsius>,
    pub(crate) return_temperature: Option<CentiCelsius>,
    pub(crate) pressure_mbar: u16,
    pub(crate) water_moves: Option<bool>,
    /// What was commanded until now.
    pub(crate) pump: bool,
    pub(crate) gas: bool,
}

impl Seen {
    /// The hotter of the sensors that work.
    pub(crate) fn hottest(&self) -> Option<CentiCelsius> {
        self.flow.max(self.second_flow)
    }
}

/// Remembers what still stands.
#[derive(Clone, Debug)]
pub(crate) struct Safety {
    heat: Heat,
    rise: Rise,
    apart_since_us: Option<u64>,
    low_pressure: bool,
    pump: Pump,
}

impl Safety {
    pub(crate) fn new() -> Self {
        Self { heat: Heat::Cool, rise: Rise::new(), apart_since_us: None, low_pressure: false, pump: Pump::new() }
    }

    /// Judges what is seen now. Every limit looks, also where another has decided already: what it remembers has to be
    /// true when the other one has passed.
    pub(crate) fn step(&mut self, now_us: u64, seen: &Seen, config: &Config) -> Verdict {
        let heat = self.watch_heat(seen.hottest());
        let apart = self.watch_sensors(now_us, seen, config);
        let rise = self.rise.step(now_us, seen, config);
        let pressure = self.watch_pressure(seen, config);
        let pump = self.pump.step(now_us, seen);
        // From the worst to the mildest; of two that are as bad, the one that explains the other comes first.
        let all = [heat, apart, rise, pump, pressure];
        all.into_iter().fold(Verdict::Free, |worst, next| if rank(next) > rank(worst) { next } else { worst })
    }

    fn watch_heat(&mut self, hottest: Option<CentiCelsius>) -> Verdict {
        let Some(flow) = hottest else { return Verdict::Blocked(FaultKind::Sensor) };
        self.heat = match self.heat {
            _ if flow >= BLOCKING => Heat::Overheated,
            Heat::Overheated if flow > BLOCKING_BACK => Heat::Overheated,
            Heat::Cool | Heat::Limited | Heat::Overheated if flow >= LIMIT => Heat::Limited,
            Heat::Limited if flow > LIMIT_BACK => Heat::Limited,
            Heat::Cool | Heat::Limited | Heat::Overheated => Heat::Cool,
        };
        match self.heat {
            Heat::Overheated if flow >= LOCKOUT => Verdict::Lockout(FaultKind::Overheat),
            Heat::Overheated => Verdict::Blocked(FaultKind::Overheat),
            Heat::Limited => Verdict::Limited,
            Heat::Cool => Verdict::Free,
        }
    }

    /// A broken sensor, and two that disagree.
    fn watch_sensors(&mut self, now_us: u64, seen: &Seen, config: &Config) -> Verdict {
        let broken = seen.flow.is_none() || (config.second_sensor && seen.second_flow.is_none());
        let apart = match (seen.flow, seen.second_flow) {
            (Some(one), Some(other)) => (i32::from(one.0) - i32::from(other.0)).abs() > APART,
            (None | Some(_), None | Some(_)) => false,
        };
        if !apart {
            self.apart_since_us = None;
            return if broken { Verdict::Blocked(FaultKind::Sensor) } else { Verdict::Free };
        }
        let since_us = *self.apart_since_us.get_or_insert(now_us);
        if now_us.saturating_sub(since_us) >= APART_US {
            Verdict::Lockout(FaultKind::SensorMismatch)
        } else {
            Verdict::Blocked(FaultKind::SensorMismatch)
        }
    }

    fn watch_pressure(&mut self, seen: &Seen, config: &Config) -> Verdict {
        let enough = if self.low_pressure { PRESSURE_BACK_MBAR } else { PRESSURE_MBAR };
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

/// What the temperature limits remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heat {
    Cool,
    Limited,
    Overheated,
}

/// Control steps of half a second, and half seconds that must agree.
const HALF_SECOND: usize = 5;
const HALF_SECONDS: usize = 4;
const KEPT: usize = HALF_SECOND * HALF_SECONDS + 1;

/// How fast it gets hotter.
#[derive(Clone, Debug)]
struct Rise {
    /// The last readings, one a control step, the oldest first; none from before the gas opened.
    last: heapless::Deque<i16, KEPT>,
    /// Since when the burner is held at its minimum.
    held_since_us: Option<u64>,
    /// Off until then.
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
        self.last.push_back(flow.0).expect("one has just left");
        let rise = self.rise();
        let limit = rise_limit(flow);
        if rise > RISE_LOCKOUT {
            return Verdict::Lockout(FaultKind::Pump);
        }
        if rise > limit {
            let since_us = *self.held_since_us.get_or_insert(now_us);
            if now_us.saturating_sub(since_us) >= RISE_PATIENCE_US {
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

    /// In hundredths of a degree in half a second; nothing before there are readings enough.
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

/// Whether the pump moves water.
#[derive(Clone, Debug)]
struct Pump {
    still_since_us: Option<u64>,
    spread_since_us: Option<u64>,
    fails: bool,
}

impl Pump {
    fn new() -> Self {
        Self { still_since_us: None, spread_since_us: None, fails: false }
    }

    fn step(&mut self, now_us: u64, seen: &Seen) -> Verdict {
        let still = seen.pump && seen.water_moves == Some(false);
        let spread =
            seen.hottest().zip(seen.return_temperature).map(|(flow, back)| i32::from(flow.0) - i32::from(back.0));
        let wide = seen.gas && spread.is_some_and(|spread| spread > SPREAD);
        let stands = lasts(&mut self.still_since_us, now_us, still, PUMP_US)
            | lasts(&mut self.spread_since_us, now_us, wide, SPREAD_US);
        let moves = seen.water_moves.unwrap_or(true) && spread.is_none_or(|spread| spread < SPREAD_BACK);
        // While the pump rests its water rests too, so that a fault stands until the pump has run and been seen.
        self.fails = stands || (self.fails && !moves);
        if self.fails { Verdict::Blocked(FaultKind::Pump) } else { Verdict::Free }
    }
}

/// Whether `holds` has held for `for_us`.
fn lasts(since_us: &mut Option<u64>, now_us: u64, holds: bool, for_us: u64) -> bool {
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

        fn doubled() -> Self {
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
    fn limits_hold_until_the_water_has_cooled() {
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
    fn a_sensor_that_was_away_does_not_end_an_overheat() {
        let mut rig = Rig::new();
        rig.flow(9_500);
        assert_eq!(rig.step(Seen { flow: None, ..SOUND }), Verdict::Blocked(FaultKind::Sensor));
        assert_eq!(rig.flow(8_100), Verdict::Blocked(FaultKind::Overheat));
        assert_eq!(rig.flow(5_000), Verdict::Free, "a broken sensor is a fault that passes");
    }

    #[test]
    fn a_fast_rise_is_slowed_stopped_or_locked_out() {
        // Kelvin per second from where, and what has become of it after two seconds and after eight.
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
            assert_eq!(verdicts[..20], [free; 20], "two seconds of readings come first");
            assert_eq!((verdicts[22], verdicts[79]), (soon, late), "{rise} from {from}");
        }
    }

    #[test]
    fn a_rise_that_minimum_power_stops_is_free_again() {
        let mut rig = Rig::new();
        assert_eq!(rig.ramp(3_000, 150, 4).last(), Some(&Verdict::MinimumPower));
        assert_eq!(rig.ramp(3_600, 40, 3).last(), Some(&Verdict::Free));
        assert_eq!(rig.ramp(3_720, 150, 6).last(), Some(&Verdict::MinimumPower), "five seconds begin anew");
        // Between half of the limit and the limit it stays slow, and is not stopped.
        assert_eq!(rig.ramp(4_620, 80, 10).last(), Some(&Verdict::MinimumPower));
    }

    #[test]
    fn a_rise_that_minimum_power_does_not_stop_costs_a_minimum_off_time() {
        let mut rig = Rig::new();
        assert_eq!(rig.ramp(3_000, 150, 8).last(), Some(&Verdict::Limited));
        let off = Seen { gas: false, ..at(4_000) };
        assert_eq!(rig.hold(178, off), Verdict::Limited);
        assert_eq!(rig.hold(4, off), Verdict::Free);
    }

    #[test]
    fn a_jump_or_a_rise_without_gas_is_no_rise() {
        let mut rig = Rig::new();
        rig.hold(5, at(3_000));
        assert_eq!(rig.hold(5, at(3_900)), Verdict::Free, "nine kelvin at once are the sensor's");
        let mut rig = Rig::new();
        for tenth in 0..100 {
            let warm = Seen { gas: false, ..at(3_000 + tenth * 30) };
            assert_eq!(rig.step(warm), Verdict::Free);
        }
    }

    #[test]
    fn two_sensors_must_agree() {
        let pair = |one, other| Seen { second_flow: Some(CentiCelsius(other)), ..at(one) };
        for (one, other) in [(5_000, 6_001), (6_001, 5_000)] {
            let mut rig = Rig::doubled();
            assert_eq!(rig.step(pair(5_000, 6_000)), Verdict::Free, "10 K are not more than 10 K");
            for _ in 0..10 {
                assert_eq!(rig.step(pair(one, other)), Verdict::Blocked(FaultKind::SensorMismatch), "off at once");
            }
            assert_eq!(rig.step(pair(one, other)), Verdict::Lockout(FaultKind::SensorMismatch));
        }
        let mut rig = Rig::doubled();
        assert_eq!(rig.step(at(5_000)), Verdict::Blocked(FaultKind::Sensor), "the second is not there");
        assert_eq!(rig.step(pair(8_700, 8_800)), Verdict::Limited, "the hotter one counts");
        let blind = Seen { flow: None, second_flow: Some(CentiCelsius(11_000)), ..SOUND };
        assert_eq!(rig.step(blind), Verdict::Lockout(FaultKind::Overheat), "one eye is enough to see fire");
    }

    #[test]
    fn low_pressure_holds_until_somebody_has_refilled() {
        let mut rig = Rig::new();
        let mut at = |pressure_mbar| rig.step(Seen { pressure_mbar, ..SOUND });
        assert_eq!(at(500), Verdict::Free);
        assert_eq!(at(499), Verdict::Blocked(FaultKind::LowPressure));
        assert_eq!(at(799), Verdict::Blocked(FaultKind::LowPressure));
        assert_eq!(at(800), Verdict::Free);
        let config = Config { pressure_sensor: false, ..Config::default() };
        let mut rig = Rig { config, ..Rig::new() };
        assert_eq!(rig.step(Seen { pressure_mbar: 0, ..SOUND }), Verdict::Free, "there is no sensor to believe");
    }

    #[test]
    fn water_that_stands_still_is_noticed_by_a_switch() {
        let mut rig = Rig::new();
        let stands = Seen { water_moves: Some(false), ..SOUND };
        assert_eq!(rig.hold(3, stands), Verdict::Free, "a pump has to run up");
        assert_eq!(rig.step(stands), Verdict::Blocked(FaultKind::Pump));
        let off = Seen { pump: false, ..stands };
        assert_eq!(rig.hold(60, off), Verdict::Blocked(FaultKind::Pump), "a pump that rests proves nothing");
        assert_eq!(rig.step(SOUND), Verdict::Free);
        assert_eq!(rig.hold(60, off), Verdict::Free);
    }

    #[test]
    fn water_that_stands_still_is_noticed_by_the_spread() {
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
        assert_eq!(rig.hold(60, Seen { gas: false, ..spread(60) }), Verdict::Free, "only while it burns");
    }

    #[test]
    fn the_worst_counts() {
        let mut rig = Rig::doubled();
        let two = Seen { pressure_mbar: 0, second_flow: Some(CentiCelsius(8_900)), ..at(8_900) };
        assert_eq!(rig.step(two), Verdict::Blocked(FaultKind::LowPressure));
        let three = Seen { flow: Some(CentiCelsius(7_000)), ..two };
        rig.hold(1, three);
        assert_eq!(rig.step(three), Verdict::Lockout(FaultKind::SensorMismatch));
    }
}
