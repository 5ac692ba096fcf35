//! Whether the boiler's own control may heat: the heating limit by the day's outdoor temperature, and a limit in time
//! while there is no such temperature.
//!
//! ```text
//!             day's outdoor temperature ≥ limit                    no outdoor temperature, no lease, no person
//!    heating ───────────────────────────────────▶ warm season      ─────────── 72 h ──────────▶ unguided
//!       ▲                                             │                                            │
//!       └────── ≤ limit − 2 K, or unknown for 24 h ───┘       ◀──── any of the three appears ──────┘
//! ```
//!
//! | what | number | why |
//! |---|---|---|
//! | limit | 15.00 °C | that of degree days 20/15 (VDI 3807): above it sun and people keep a usual house warm |
//! | hysteresis | 2 K | a sixth of the daily wave is left in the day's temperature: 1.3 K of a wave of ±4 K |
//! | time constant | 24 h | a night in July is no winter; a usual house has about as much inertia |
//! | without a reading | 24 h | the day's temperature is then that of another day |
//! | unguided | 72 h | a weekend and a working day: by then a person has noticed that sensor and gateway are gone |
//!
//! The day's temperature is the mean of the readings of each minute since the start; after 24 h each new reading has a
//! weight of 1 ÷ 1,441, which makes it a low-pass. It is fed during leases too, so that it is right when one ends. It
//! is volatile: after a start on a cold summer night the boiler heats until the mean of the morning reaches the limit.
//! The hysteresis begins with a whole day: held down to 13 °C by the mean of one afternoon, a house would get cold in a
//! week of 14 °C, and a day of heating too much costs less.
//!
//! It counts in millionths of a degree, because a minute moves it by less than a hundredth; what the division cuts off
//! is less than 1.5 mK of the mean.

use thermowell_wire::CentiCelsius;
use thermowell_wire::units::{DAY_US, MINUTE_US};

use crate::Config;

/// The heating season begins again this far below the limit.
const HYSTERESIS: i64 = 2 * DEGREE;
/// Millionths of a degree.
const DEGREE: i64 = 1_000_000;
const HUNDREDTH: i64 = DEGREE / 100;
/// Readings, one a minute, after which the mean becomes a low-pass.
const READINGS_MAX: i64 = 24 * 60;
/// How long the day's temperature outlasts the sensor.
const KEPT_US: u64 = DAY_US;

/// Why the boiler's own control gives no heat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeat {
    /// The panel is set to off.
    Panel,
    /// The day's outdoor temperature is above the heating limit.
    HeatingLimit,
    /// The room contact is open.
    RoomContact,
    /// Neither an outdoor temperature, nor a lease, nor a person, nor a room contact for too long.
    Unguided,
}

impl NoHeat {
    /// Its name in logs and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Panel => "panel",
            Self::HeatingLimit => "heating_limit",
            Self::RoomContact => "room_contact",
            Self::Unguided => "unguided",
        }
    }
}

/// The heating season as the boiler's own control sees it.
#[derive(Clone, Debug)]
pub(crate) struct Season {
    day: Option<Day>,
    /// The heating limit is in force.
    warm: bool,
    /// When there was last an outdoor temperature, a lease or a person; 0 is the start.
    guided_us: u64,
    unguided: bool,
}

impl Season {
    pub(crate) fn new() -> Self {
        Self { day: None, warm: false, guided_us: 0, unguided: false }
    }

    /// One control step. `attended`: a lease stands, a person is at the panel, or a room contact is fitted.
    pub(crate) fn step(&mut self, now_us: u64, outdoor: Option<CentiCelsius>, attended: bool, config: &Config) {
        if self.day.as_ref().is_some_and(|day| now_us.saturating_sub(day.read_us) >= KEPT_US) {
            self.day = None;
        }
        if let Some(outdoor) = outdoor {
            self.day.get_or_insert_with(|| Day::new(now_us)).feed(now_us, outdoor);
        }
        let limit = i64::from(config.heating_limit.0) * HUNDREDTH;
        let was_warm = self.warm;
        let holds = |day: &Day| was_warm && day.is_whole() && day.mean > limit - HYSTERESIS;
        let reaches = |day: &Day| day.mean >= limit || holds(day);
        self.warm = self.day.as_ref().is_some_and(reaches);
        if outdoor.is_some() || attended {
            self.guided_us = now_us;
        }
        self.unguided = now_us.saturating_sub(self.guided_us) >= config.unguided_us;
    }

    /// The heating limit is in force.
    pub(crate) fn is_warm(&self) -> bool {
        self.warm
    }

    /// The boiler has heated by itself for too long without an outdoor temperature.
    pub(crate) fn is_unguided(&self) -> bool {
        self.unguided
    }

    /// The day's outdoor temperature.
    pub(crate) fn day(&self) -> Option<CentiCelsius> {
        let hundredths = self.day.as_ref()?.mean / HUNDREDTH;
        i16::try_from(hundredths).ok().map(CentiCelsius)
    }
}

/// The day's outdoor temperature.
#[derive(Clone, Debug)]
struct Day {
    /// In millionths of a degree.
    mean: i64,
    /// Readings in the mean, up to [`READINGS_MAX`].
    readings: i64,
    /// When the next reading is due.
    due_us: u64,
    /// Time of the last valid reading, whether it was due or not.
    read_us: u64,
}

impl Day {
    fn new(now_us: u64) -> Self {
        Self { mean: 0, readings: 0, due_us: now_us, read_us: now_us }
    }

    /// Whether it is the mean of a day, and not of a part.
    fn is_whole(&self) -> bool {
        self.readings >= READINGS_MAX
    }

    /// Each reading stands for a minute, also the first one after an outage: what was not measured does not count.
    fn feed(&mut self, now_us: u64, outdoor: CentiCelsius) {
        self.read_us = now_us;
        if now_us < self.due_us {
            return;
        }
        self.due_us = now_us.saturating_add(MINUTE_US);
        self.mean += (i64::from(outdoor.0) * HUNDREDTH - self.mean) / (self.readings + 1);
        self.readings = (self.readings + 1).min(READINGS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 60;

    /// A season stepped once a minute.
    struct Rig {
        season: Season,
        config: Config,
        minute: u64,
    }

    impl Rig {
        fn new() -> Self {
            Self { season: Season::new(), config: Config::default(), minute: 0 }
        }

        fn step(&mut self, outdoor: Option<i16>, attended: bool) {
            self.season.step(self.minute * MINUTE_US, outdoor.map(CentiCelsius), attended, &self.config);
            self.minute += 1;
        }

        fn hold(&mut self, minutes: u64, outdoor: Option<i16>) {
            (0..minutes).for_each(|_| self.step(outdoor, false));
        }

        fn day(&self) -> i16 {
            self.season.day().unwrap().0
        }
    }

    #[test]
    fn mean_since_start_becomes_a_low_pass_of_24_hours() {
        let mut rig = Rig::new();
        assert_eq!(rig.season.day(), None);
        rig.hold(1, Some(-1_000));
        assert_eq!(rig.day(), -1_000, "the first reading is the mean");
        rig.hold(6 * HOUR - 1, Some(-1_000));
        rig.hold(6 * HOUR, Some(1_000));
        assert_eq!(rig.day(), 0, "half a day of each");
        rig.hold(12 * HOUR, Some(0));
        assert_eq!(rig.day(), 0);
        rig.hold(24 * HOUR, Some(1_000));
        let after_a_day = 1_000.0 * (1.0 - (-1.0_f64).exp());
        assert!((f64::from(rig.day()) - after_a_day).abs() < 1.5, "{} instead of {after_a_day}", rig.day());
        rig.hold(20 * 24 * HOUR, Some(1_000));
        assert!((999..=1_000).contains(&rig.day()), "{}", rig.day());
    }

    #[test]
    fn mean_does_not_depend_on_the_number_of_steps() {
        let mut coarse = Rig::new();
        let mut fine = Season::new();
        for minute in 0..3_000 {
            let outdoor = i16::try_from(minute % 1_000).unwrap();
            coarse.step(Some(outdoor), false);
            for tenth in 0..600 {
                let now_us = minute * MINUTE_US + tenth * 100_000;
                fine.step(now_us, Some(CentiCelsius(outdoor)), false, &coarse.config);
            }
        }
        assert_eq!(coarse.season.day(), fine.day());
    }

    #[test]
    fn limit_holds_from_15_down_to_13_degrees() {
        let mut rig = Rig::new();
        let at = |rig: &mut Rig, mean: i64| {
            rig.season.day = Some(Day { mean, readings: READINGS_MAX, due_us: u64::MAX, read_us: 0 });
            rig.season.step(0, Some(CentiCelsius(0)), false, &rig.config);
            rig.season.is_warm()
        };
        assert!(!at(&mut rig, 15 * DEGREE - 1));
        assert!(at(&mut rig, 15 * DEGREE));
        assert!(at(&mut rig, 13 * DEGREE + 1));
        assert!(!at(&mut rig, 13 * DEGREE));
        assert!(!at(&mut rig, 15 * DEGREE - 1), "the hysteresis begins again");
        rig.config.heating_limit = CentiCelsius(1_000);
        assert!(at(&mut rig, 10 * DEGREE), "the installer's limit");
    }

    #[test]
    fn first_day_has_no_hysteresis() {
        let mut rig = Rig::new();
        rig.hold(6 * HOUR, Some(1_700));
        assert!(rig.season.is_warm());
        rig.hold(12 * HOUR, Some(1_300));
        assert!(!rig.season.is_warm(), "{} after an afternoon and a night", rig.day());
        rig.hold(24 * HOUR, Some(1_700));
        assert!(rig.season.is_warm());
        rig.hold(24 * HOUR, Some(1_200));
        assert!(rig.season.is_warm(), "{} from then on", rig.day());
    }

    #[test]
    fn day_outlasts_its_sensor_by_24_hours() {
        let mut rig = Rig::new();
        rig.hold(HOUR, Some(2_000));
        rig.hold(24 * HOUR - 1, None);
        assert!(rig.season.is_warm());
        assert_eq!(rig.season.day(), Some(CentiCelsius(2_000)));
        rig.hold(1, None);
        assert!(!rig.season.is_warm());
        assert_eq!(rig.season.day(), None);
        rig.hold(1, Some(500));
        assert_eq!(rig.season.day(), Some(CentiCelsius(500)), "it begins again, without the old day");
    }

    #[test]
    fn outage_of_the_sensor_has_no_weight() {
        let mut rig = Rig::new();
        rig.hold(24 * HOUR, Some(2_000));
        rig.hold(20 * HOUR, None);
        rig.hold(1, Some(0));
        assert_eq!(rig.day(), 1_998, "one minute of 1,441");
    }

    #[test]
    fn unguided_after_72_hours_until_attended() {
        type Attend = fn(&mut Rig);
        let attends: [Attend; 2] = [|rig| rig.step(None, true), |rig| rig.step(Some(0), false)];
        for attend in attends {
            let mut rig = Rig::new();
            rig.hold(72 * HOUR, None);
            assert!(!rig.season.is_unguided());
            rig.hold(1, None);
            assert!(rig.season.is_unguided());
            attend(&mut rig);
            assert!(!rig.season.is_unguided());
            rig.hold(72 * HOUR - 1, None);
            assert!(!rig.season.is_unguided(), "the time begins again");
            rig.hold(1, None);
            assert!(rig.season.is_unguided());
        }
    }

    proptest! {
        /// Against a twin in floating point; the mean stays within the readings.
        #[test]
        fn mean_equals_its_naive_twin(days in prop::collection::vec((-5_000..6_000_i16, 1..900_u64), 1..12)) {
            let mut rig = Rig::new();
            let (mut twin, mut readings) = (0.0, 0.0_f64);
            let (mut low, mut high) = (i16::MAX, i16::MIN);
            for (outdoor, minutes) in days {
                for _ in 0..minutes {
                    rig.step(Some(outdoor), false);
                    twin += (f64::from(outdoor) - twin) / (readings.min(1_440.0) + 1.0);
                    readings += 1.0;
                }
                (low, high) = (low.min(outdoor), high.max(outdoor));
                prop_assert!((low..=high).contains(&rig.day()), "{} not in {low}..={high}", rig.day());
                let mean = rig.season.day.as_ref().unwrap().mean as f64 / 10_000.0;
                prop_assert!((mean - twin).abs() < 0.15, "{mean} instead of {twin}");
            }
        }

        /// Whatever the readings, the limit is in force above it, and not below its hysteresis.
        #[test]
        fn limit_follows_the_day(readings in prop::collection::vec(prop::option::of(-5_000..6_000_i16), 1..4_000)) {
            let mut rig = Rig::new();
            for outdoor in readings {
                let before = rig.season.is_warm();
                rig.step(outdoor, false);
                let warm = rig.season.is_warm();
                let whole = rig.season.day.as_ref().is_some_and(Day::is_whole);
                match rig.season.day.as_ref().map(|day| day.mean) {
                    Some(mean) if mean >= 15 * DEGREE => prop_assert!(warm),
                    Some(mean) if mean <= 13 * DEGREE || !whole => prop_assert!(!warm),
                    Some(_) => prop_assert_eq!(warm, before),
                    None => prop_assert!(!warm),
                }
            }
        }
    }
}
